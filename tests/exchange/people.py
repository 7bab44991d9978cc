"""Random answers to any instrument, and a second reading of the two expression languages to hold ours against."""

from __future__ import annotations

import random
from typing import Any

from keel.domain.instrument import Instrument, Item
from keel.exchange.logic import Lit, Node, Op, Ref
from keel.library.instrument_files import instruments

# The definitions alone: a site's value sets are files of their own.
OWN = {id: one.model_copy(update={"value_sets": {}}) for id, one in instruments().items()}


def answer(item: Item, rng: random.Random) -> Any:
    answers = item.answers
    if answers.kind == "scale":
        return rng.randint(int(answers.low), int(answers.high))
    if answers.kind == "number":
        return rng.randint(0, 100)
    if answers.kind == "many":
        return [code for code in answers.choices if rng.random() < 0.4]
    return rng.choice(answers.allowed())


def answers_to(instrument: Instrument, rng: random.Random, blanks: float) -> dict[str, Any]:
    return {item.id: answer(item, rng) for item in instrument.items if rng.random() >= blanks}


def evaluate(node: Node, cells: dict[str, Any]) -> Any:
    """What a form would show: a blank is an empty text, a comparison of a blank with a number is false."""
    if isinstance(node, Lit):
        return node.value
    if isinstance(node, Ref):
        return cells.get(node.name, "")
    return _FUNCTIONS[node.op](node, cells)


def _number(node: Node, cells: dict[str, Any]) -> float:
    value = evaluate(node, cells)
    assert value != "", "a blank was reckoned with"
    return float(value)


def _compare(node: Op, cells: dict[str, Any]) -> bool:
    left, right = (evaluate(part, cells) for part in node.args)
    if node.op in ("=", "<>"):
        return (_alike(left) == _alike(right)) == (node.op == "=")
    if left == "" or right == "":
        return False
    left, right = float(left), float(right)
    return {">=": left >= right, "<=": left <= right, ">": left > right, "<": left < right}[node.op]


def _alike(value: Any) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def _if(node: Op, cells: dict[str, Any]) -> Any:
    return evaluate(node.args[1] if evaluate(node.args[0], cells) else node.args[2], cells)


def _reckon(node: Op, cells: dict[str, Any]) -> float:
    left, right = (_number(part, cells) for part in node.args)
    return {"+": left + right, "-": left - right, "*": left * right, "/": left / right if right else 0.0}[node.op]


_FUNCTIONS = {
    **dict.fromkeys(("=", "<>", ">=", "<=", ">", "<"), _compare),
    **dict.fromkeys(("+", "-", "*", "/"), _reckon),
    "and": lambda node, cells: all(evaluate(part, cells) for part in node.args),
    "or": lambda node, cells: any(evaluate(part, cells) for part in node.args),
    "if": _if,
}
