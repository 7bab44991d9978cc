"""Random responses to any instrument: answers within the codes, blanks, and answers outside them."""

from __future__ import annotations

from random import Random
from typing import Any

import polars as pl

from keel.domain.instrument import Context, Instrument, Item

# Answers by item id, and the context.
Response = tuple[dict[str, Any], dict[str, Any]]


def response(one: Instrument, chance: Random, *, blank: float, wrong: float) -> Response:
    """One response by item id, and its context."""
    items = {item.id: answer(item, chance, blank, wrong) for item in one.items}
    return items, {name: context(wanted, chance, wrong) for name, wanted in one.contexts.items()}


def answer(item: Item, chance: Random, blank: float, wrong: float) -> Any:
    roll = chance.random()
    if roll < blank:
        return None
    if roll < blank + wrong:
        return outside(item)
    if item.answers.kind == "scale":
        return chance.randint(int(item.answers.low) * 4, int(item.answers.high) * 4) / 4
    if item.answers.kind == "number":
        return float(chance.randint(-5, 100))
    if item.answers.kind == "many":
        return [code for code in item.answers.choices if chance.random() < 0.3]
    return chance.choice(item.answers.allowed())


def outside(item: Item) -> Any:
    if item.answers.kind == "choice":
        return "elsewhere"
    if item.answers.kind == "many":
        return ["elsewhere"]
    if item.answers.kind == "number":
        return float("nan")
    return item.answers.high + 1


def context(wanted: Context, chance: Random, wrong: float) -> Any:
    roll = chance.random()
    if roll < 0.3:
        return None
    if wanted.kind == "yes_no":
        return chance.random() < 0.5
    if wanted.kind == "choice":
        return chance.choice(wanted.choices or ("nowhere",))
    low, high = int(wanted.low or 0), int(wanted.high or 100)
    return high + 1 if roll > 1 - wrong else chance.randint(low, high)


def table(one: Instrument, rows: list[Response]) -> pl.DataFrame:
    """The same responses as columns, contexts as `context.NAME`."""
    wide = [{**items, **{f"context.{name}": value for name, value in told.items()}} for items, told in rows]
    return pl.DataFrame(wide, infer_schema_length=None, strict=False)
