"""Random responses to any instrument: answers within the codes, blanks, and answers outside them."""

from __future__ import annotations

from itertools import accumulate
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


def responses(one: Instrument, chance: Random, n: int, *, blank: float, wrong: float) -> list[Response]:
    """Many responses at once, drawn item by item: some ten times faster than one by one."""
    ids = [item.id for item in one.items]
    drawn = [_column(item, chance, n, blank, wrong) for item in one.items]
    told = [[context(wanted, chance, wrong) for _ in range(n)] for wanted in one.contexts.values()]
    contexts = [dict(zip(one.contexts, row, strict=True)) for row in zip(*told, strict=True)] if told else [{}] * n
    return [(dict(zip(ids, row, strict=True)), contexts[k]) for k, row in enumerate(zip(*drawn, strict=True))]


def _column(item: Item, chance: Random, n: int, blank: float, wrong: float) -> list[Any]:
    """One item's answers of n people, from a pool in which blanks and wrong answers have their share."""
    pool = _pool(item, chance)
    share = (1 - blank - wrong) / len(pool)
    weights = [share] * len(pool) + [blank, wrong]
    return chance.choices([*pool, None, outside(item)], cum_weights=list(accumulate(weights)), k=n)


def _pool(item: Item, chance: Random) -> list[Any]:
    if item.answers.kind in ("scale", "number", "many"):
        return [answer(item, chance, 0, 0) for _ in range(40)] + [item.answers.low, item.answers.high] * (
            item.answers.kind == "scale"
        )
    return list(item.answers.allowed())


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
    first, told = rows[0]
    wide = {id: [items[id] for items, _ in rows] for id in first}
    wide |= {f"context.{name}": [known[name] for _, known in rows] for name in told}
    return pl.DataFrame(wide, strict=False)
