"""The small language in which rules are written: three-valued, closed, and it says what it looked at.

    takes(lithium) or history.seizure_disorder
    age_years < limit.least_years
    "mdd" in diagnoses and scales["grid-hamd-17"] >= limit.least_total

A rule never learns more than it was told: what is not known is UNKNOWN, and UNKNOWN travels by
Kleene's tables (false and unknown is false; true and unknown is unknown). An answer carries the facts
that decided it and, when it is UNKNOWN, the facts that are missing, and only those that would matter.

The syntax is Python's, read by Python's own parser and then held to a short white list; nothing is
ever executed. Names of facts are dotted (`history.stroke`) or subscripted (`scales["caps-5"]`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol, TypeGuard

from keel.domain.errors import Refused, refuse


class Unknown(Enum):
    """The third truth value. It is neither true nor false, so asking for its truth is an error."""

    UNKNOWN = "unknown"

    def __bool__(self) -> bool:
        raise TypeError("unknown is neither true nor false")


UNKNOWN: Final = Unknown.UNKNOWN

Plain = bool | int | float | str | date
Value = Plain | tuple[object, ...] | Unknown
LONGEST_TEXT = 2000


@dataclass(frozen=True)
class Answer:
    """What an expression came to: its `value`, the facts `used`, and the facts `missing` where it is UNKNOWN."""

    value: Value
    used: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()

    @property
    def is_unknown(self) -> bool:
        return self.value is UNKNOWN


class World(Protocol):
    """What an expression may ask: facts by path, and a few named questions."""

    def look(self, path: str) -> Answer: ...

    def ask(self, question: str, args: tuple[Answer | str, ...], named: Mapping[str, Answer]) -> Answer: ...


@dataclass(frozen=True)
class Expression:
    """A checked expression: its text, the fact paths it looks at, the questions it asks, and what they name.

    `named` holds (question, name) for every question about a named thing: ("takes", "lithium").
    """

    text: str
    tree: ast.expr = field(compare=False, repr=False)
    paths: frozenset[str]
    questions: frozenset[str]
    named: frozenset[tuple[str, str]]


# The first argument of these is the name of a thing (a medicine, a class, a fact), not a value to be worked out.
NAMES_ITS_ARGUMENT: Final = frozenset(
    {"takes", "takes_class", "within_weeks", "taken_in_last_days", "reported", "known", "age_days", "mean"}
)
_PATH: Final = "path"
_QUESTION: Final = "question"
_COMPARES: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_SUMS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


@lru_cache(maxsize=4096)
def parse(text: str) -> Expression:
    """Read an expression. Refuses anything outside the language, naming the part that is not allowed."""
    if len(text) > LONGEST_TEXT:
        raise _no(text[:40], f"it is longer than {LONGEST_TEXT} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _no(text, f"it cannot be read ({getattr(error, 'msg', error)})") from None
    try:
        found = set(_walk(tree, text))
    except RecursionError:
        raise _no(text[:40], "it is nested too deeply") from None
    return Expression(
        text.strip(),
        tree,
        paths=frozenset(name for kind, name in found if kind == _PATH),
        questions=frozenset(name for kind, name in found if kind == _QUESTION),
        named=frozenset((kind, name) for kind, name in found if kind not in (_PATH, _QUESTION)),
    )


def evaluate(expression: Expression, world: World) -> Answer:
    """Work an expression out in a world of facts. Refuses only what makes no sense, such as adding words."""
    return _work(expression.tree, expression.text, world)


def kleene_not(a: Answer) -> Answer:
    return a if a.value is UNKNOWN else Answer(not a.value, a.used)


def kleene_and(parts: tuple[Answer, ...]) -> Answer:
    """False as soon as one part is false, however little is known of the others."""
    return _decide(parts, decisive=False)


def kleene_or(parts: tuple[Answer, ...]) -> Answer:
    """True as soon as one part is true, however little is known of the others."""
    return _decide(parts, decisive=True)


def _decide(parts: tuple[Answer, ...], *, decisive: bool) -> Answer:
    deciding = [p for p in parts if p.value is decisive]
    if deciding:
        return Answer(decisive, _all(p.used for p in deciding))
    unknown = [p for p in parts if p.is_unknown]
    used = _all(p.used for p in parts)
    if unknown:
        return Answer(UNKNOWN, used, _all(p.missing for p in unknown))
    return Answer(not decisive, used)


def _all(sets: Iterator[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)


# ---- reading ----------------------------------------------------------------------------------


def _no(text: str, why: str) -> Refused:
    return refuse(
        f"The condition {text!r} was not accepted", why, "Write facts, comparisons, and, or, not", code="bad-condition"
    )


def path_of(node: ast.expr) -> str | None:
    """The dotted path that a node names (`history.stroke`, `scales["caps-5"]`), or None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = path_of(node.value)
        return f"{head}.{node.attr}" if head else None
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        head = path_of(node.value)
        return f"{head}.{node.slice.value}" if head else None
    return None


def _name_of(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return path_of(node)


def _walk(node: ast.expr, text: str) -> Iterator[tuple[str, str]]:
    """What an expression mentions, as (kind, name); refuses what is not in the language."""
    path = path_of(node)
    if path is not None:
        yield _PATH, path
    elif isinstance(node, ast.Constant):
        if not isinstance(node.value, bool | int | float | str):
            raise _no(text, f"{node.value!r} is not a number, a word, true or false")
    elif isinstance(node, ast.BoolOp | ast.Tuple | ast.List):
        for part in node.values if isinstance(node, ast.BoolOp) else node.elts:
            yield from _walk(part, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield from _walk(node.operand, text)
    elif isinstance(node, ast.BinOp) and type(node.op) in _SUMS:
        yield from _walk(node.left, text)
        yield from _walk(node.right, text)
    elif isinstance(node, ast.Compare) and all(type(op) in _COMPARES for op in node.ops):
        for part in (node.left, *node.comparators):
            yield from _walk(part, text)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        yield from _walk_question(node, node.func.id, text)
    else:
        raise _no(text, f"{ast.unparse(node)!r} is not part of the language")


def _walk_question(node: ast.Call, question: str, text: str) -> Iterator[tuple[str, str]]:
    yield _QUESTION, question
    args = node.args
    if question in NAMES_ITS_ARGUMENT:
        name = _name_of(args[0]) if args else None
        if name is None:
            raise _no(text, f"{question}(…) needs a name")
        yield question, name
        args = args[1:]
    for part in args:
        yield from _walk(part, text)
    for keyword in node.keywords:
        if keyword.arg is None:
            raise _no(text, "** is not part of the language")
        yield from _walk(keyword.value, text)


# ---- working out ------------------------------------------------------------------------------


def _work(node: ast.expr, text: str, world: World) -> Answer:
    path = path_of(node)
    if path is not None:
        return world.look(path)
    match node:
        case ast.Constant(value=value) if isinstance(value, bool | int | float | str):
            return Answer(value)
        case ast.Tuple(elts=elts) | ast.List(elts=elts):
            return _several(tuple(_work(part, text, world) for part in elts))
        case ast.BoolOp(op=op, values=values):
            parts = tuple(_truth(_work(part, text, world), text) for part in values)
            return kleene_and(parts) if isinstance(op, ast.And) else kleene_or(parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return kleene_not(_truth(_work(operand, text, world), text))
        case ast.UnaryOp(operand=operand):
            return _sum(Answer(0), ast.Sub(), _work(operand, text, world), text)
        case ast.BinOp(left=left, op=operator, right=right):
            return _sum(_work(left, text, world), operator, _work(right, text, world), text)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            sides = [_work(part, text, world) for part in (left, *comparators)]
            pairs = zip(sides, ops, sides[1:], strict=False)
            return kleene_and(tuple(_compare(a, op, b, text) for a, op, b in pairs))
        case ast.Call(func=ast.Name(id=question), args=args, keywords=keywords):
            worked: list[Answer | str] = []
            for place, part in enumerate(args):
                name = _name_of(part) if place == 0 and question in NAMES_ITS_ARGUMENT else None
                worked.append(name if name is not None else _work(part, text, world))
            named = {k.arg: _work(k.value, text, world) for k in keywords if k.arg is not None}
            return world.ask(question, tuple(worked), named)
    raise _no(text, "it is not part of the language")


def _several(parts: tuple[Answer, ...]) -> Answer:
    used, missing = _all(p.used for p in parts), _all(p.missing for p in parts)
    if any(p.is_unknown for p in parts):
        return Answer(UNKNOWN, used, missing)
    return Answer(tuple(p.value for p in parts), used)


def _truth(answer: Answer, text: str) -> Answer:
    if answer.is_unknown or isinstance(answer.value, bool):
        return answer
    raise _no(text, f"{answer.value!r} is not true or false")


def _sum(left: Answer, operator: ast.operator, right: Answer, text: str) -> Answer:
    used, missing = left.used | right.used, left.missing | right.missing
    if left.is_unknown or right.is_unknown:
        return Answer(UNKNOWN, used, missing)
    a, b = left.value, right.value
    if not (_is_number(a) and _is_number(b)):
        raise _no(text, f"{a!r} and {b!r} cannot be calculated with")
    if isinstance(operator, ast.Div) and b == 0:
        raise _no(text, "it divides by zero")
    return Answer(_SUMS[type(operator)](a, b), used)


def _compare(left: Answer, operator: ast.cmpop, right: Answer, text: str) -> Answer:
    used, missing = left.used | right.used, left.missing | right.missing
    if left.is_unknown or right.is_unknown:
        return Answer(UNKNOWN, used, missing)
    return Answer(_holds(left.value, _COMPARES[type(operator)], right.value, text), used)


def _holds(a: Value, operator: str, b: Value, text: str) -> bool:
    if operator in ("in", "not in"):
        if not isinstance(b, tuple):
            raise _no(text, f"{b!r} is not a list")
        return (a in b) is (operator == "in")
    if operator in ("==", "!="):
        return (a == b) is (operator == "==")
    less, equal = _before(a, b, text), a == b
    return {"<": less, "<=": less or equal, ">": not less and not equal, ">=": not less}[operator]


def _before(a: Value, b: Value, text: str) -> bool:
    if isinstance(a, date) and isinstance(b, date):
        return a < b
    if _is_number(a) and _is_number(b):
        return a < b
    raise _no(text, f"{a!r} and {b!r} have no order")


def _is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
