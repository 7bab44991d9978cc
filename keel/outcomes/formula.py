"""Model formulas as R writes them: `chg ~ base + sev + arm * visit`, and the design matrix they stand for.

Understood: `+ - : * / ^`, brackets, `0`, `1`, `-1`, `factor(x)`, and the numeric functions `log log2 log10 exp
sqrt abs` and `I(...)` with arithmetic inside. Factors get treatment coding with the first level as the
reference. Terms, columns and names come out in R's order and spelling (`RACEBlack or African American`,
`ARMCDTRT:AVISITVIS2`), so that results can be laid side by side with R's without translation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from keel.domain.errors import Refused, refuse

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Term = tuple[str, ...]

# A piece of a parsed formula: ("name", x), ("number", 2.0), ("call", f, piece), ("bracket", piece), (operator, left, right).
Piece = tuple[Any, ...]

NUMERIC_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "I": lambda values: values,
}
DEEPEST = 100
FACTOR_FUNCTIONS = ("factor", "as.factor", "C")
BINDING = {"~": 1, "+": 2, "-": 2, "*": 3, "/": 3, ":": 4, "^": 6}
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>`[^`]+`|[^\W\d][\w.]*|\.[\w.]+)|(?P<op>.))"
)


@dataclass(frozen=True)
class Factor:
    """A categorical column: `codes` (n,) index into `levels`."""

    codes: Codes
    levels: tuple[str, ...]


Column = Factor | Array


@dataclass(frozen=True)
class Formula:
    """A parsed formula. `terms` are tuples of variable labels, the empty tuple is the intercept.

    `variables` maps each label (`base`, `log(base)`, `factor(site)`) to its parsed piece, in order of appearance.
    """

    text: str
    response: str
    terms: tuple[Term, ...]
    variables: Mapping[str, Piece]

    @property
    def intercept(self) -> bool:
        return () in self.terms

    def columns_used(self) -> tuple[str, ...]:
        """Names of the data columns of the right-hand side, in order of appearance."""
        found: dict[str, None] = {}
        for piece in self.variables.values():
            for name in names_in(piece):
                found[name] = None
        return tuple(found)


def parse_formula(text: str) -> Formula:
    """Parse `response ~ terms`. Raises Refused with the place where it stops making sense."""
    if "|" in text:
        raise _misread(text, "there is a bar |; visit, participant and covariance are given beside the formula")
    if text.count("(") > DEEPEST:
        raise _misread(text, f"there are more than {DEEPEST} brackets")
    piece = _Parser(text).formula()
    if piece[0] != "~":
        raise _misread(text, "there is no response column before the sign ~")
    if piece[1][0] != "name":
        raise _misread(
            text, f"{spell(piece[1])} stands before the sign ~, where one column stands; make a column of it first"
        )
    variables: dict[str, Piece] = {}
    terms = _expand(piece[2], variables, text)
    order = {label: place for place, label in enumerate(variables)}
    dressed = [tuple(sorted(term, key=order.__getitem__)) for term in terms]
    ranked = sorted(dressed, key=len)  # stable: R lists by degree, then by appearance
    if not ranked:
        raise _misread(text, "it leaves nothing to estimate")
    used = {label for term in ranked for label in term}
    kept = {label: piece for label, piece in variables.items() if label in used}
    return Formula(text=text, response=piece[1][1], terms=tuple(ranked), variables=kept)


def names_in(piece: Piece) -> tuple[str, ...]:
    if piece[0] == "name":
        return (piece[1],)
    return tuple(name for part in piece[1:] if isinstance(part, tuple) for name in names_in(part))


def is_factor_call(piece: Piece) -> bool:
    return bool(piece[0] == "call" and piece[1] in FACTOR_FUNCTIONS)


def _misread(text: str, why: str) -> Refused:
    return refuse(
        "The formula was not understood",
        f"In {text!r} {why}",
        "Write it as in R, for example: chg ~ base + arm * visit",
        where="formula",
        code="formula",
    )


class _Parser:
    """Precedence climbing over R's formula operators."""

    def __init__(self, text: str):
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            match = TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise _misread(text, f"character {at + 1} is out of place")
            self.tokens.append((match.lastgroup, match.group(match.lastgroup)))
            at = match.end()
        self.at = 0

    def formula(self) -> Piece:
        if not self.tokens:
            raise _misread(self.text, "there is nothing")
        piece = self.expression(0)
        if self.at < len(self.tokens):
            raise _misread(self.text, f"{self.tokens[self.at][1]!r} is out of place")
        return piece

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "its end")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def expression(self, floor: int) -> Piece:
        left = self.atom()
        while (sign := self.peek())[0] == "op" and BINDING.get(sign[1], 0) > floor:
            self.take()
            # ^ binds to the right, everything else to the left
            right = self.expression(BINDING[sign[1]] - (1 if sign[1] == "^" else 0))
            left = (sign[1], left, right)
        return left

    def atom(self) -> Piece:
        kind, word = self.take()
        if kind == "number":
            return ("number", float(word))
        if kind == "name":
            if self.peek() == ("op", "(") and not word.startswith("`"):
                return ("call", word, self.bracket(f" of {word}, which takes one column or one calculation"))
            return ("name", word.strip("`"))
        if word == "(":
            self.at -= 1
            return ("bracket", self.bracket())
        if word in "+-":
            return (word, ("number", 0.0), self.expression(5)) if word == "-" else self.expression(5)
        raise _misread(self.text, f"{word!r} is out of place")

    def bracket(self, whose: str = "") -> Piece:
        self.take()
        inside = self.expression(0)
        kind, word = self.take()
        if kind == "end":
            raise _misread(self.text, "a bracket is not closed")
        if (kind, word) != ("op", ")"):
            raise _misread(self.text, f"{word!r} is out of place in the bracket{whose}")
        return inside


def _expand(piece: Piece, variables: dict[str, Piece], text: str) -> list[Term]:
    """The terms of the right-hand side, the intercept first unless it was taken out."""
    terms = _terms(piece, variables, text)
    intercept = [term for term in terms if term in ((), ("0",))]
    rest = [term for term in terms if term not in ((), ("0",))]
    return rest if intercept and intercept[-1] == ("0",) else [(), *rest]


def _terms(piece: Piece, variables: dict[str, Piece], text: str) -> list[Term]:
    sign = piece[0]
    if sign == "number":
        if piece[1] not in (0.0, 1.0):
            raise _misread(text, f"the number {piece[1]:g} is not a term; only 0 and 1 are")
        return [()] if piece[1] == 1.0 else [("0",)]
    if sign in ("name", "call"):
        label = spell(piece)
        if sign == "call" and piece[1] not in NUMERIC_FUNCTIONS and piece[1] not in FACTOR_FUNCTIONS:
            known = ", ".join([*NUMERIC_FUNCTIONS, *FACTOR_FUNCTIONS])
            raise _misread(text, f"{label} calls a function that is not known here ({known})")
        variables.setdefault(label, piece)
        return [(label,)]
    if sign == "bracket":
        return _terms(piece[1], variables, text)
    left = _terms(piece[1], variables, text)
    if sign == "^":
        return _power(left, piece[2], text)
    right = _terms(piece[2], variables, text)
    return _combine(sign, left, right, text)


def _combine(sign: str, left: list[Term], right: list[Term], text: str) -> list[Term]:
    if sign == "+":
        return _unique([*left, *right])
    if sign == "-":
        minus_one = [("0",)] if () in right else []
        start = [term for term in left if term != ("0",)] if minus_one else left
        plus_one = [()] if ("0",) in right and piece_is_zero(left) is False else []
        return _unique([*(t for t in start if not _within(t, right)), *minus_one, *plus_one])
    crossed = _unique([_merge(one, other) for one, other in product(left, right)])
    if sign == ":":
        return crossed
    if sign == "*":
        return _unique([*left, *right, *crossed])
    if sign == "/":
        return _unique([*left, *(_merge(tuple(v for t in left for v in t), other) for other in right)])
    raise _misread(text, f"{sign!r} is out of place")


def piece_is_zero(terms: list[Term]) -> bool:
    """True for the 0 that stands before a leading minus sign."""
    return terms == [("0",)]


def _power(left: list[Term], exponent: Piece, text: str) -> list[Term]:
    while exponent[0] == "bracket":
        exponent = exponent[1]
    if exponent[0] != "number" or exponent[1] != int(exponent[1]) or not 1 <= exponent[1] <= 9:
        raise _misread(text, "a power of terms needs a whole number from 1 to 9; for x squared write I(x^2)")
    out = left
    for _ in range(int(exponent[1]) - 1):
        out = _unique([*out, *(_merge(one, other) for one, other in product(out, left))])
    return out


def _merge(one: Term, other: Term) -> Term:
    return tuple(dict.fromkeys([*one, *other]))


def _within(term: Term, terms: list[Term]) -> bool:
    return any(set(term) == set(other) for other in terms)


def _unique(terms: Sequence[Term]) -> list[Term]:
    found: dict[frozenset[str], Term] = {}
    for term in terms:
        if term in ((), ("0",)):  # the last word on the intercept counts
            found.pop(frozenset(), None)
            found.pop(frozenset({"0"}), None)
        found.setdefault(frozenset(term), term)
    return list(found.values())


def spell(piece: Piece) -> str:
    """The label R gives to a piece: `log(base)`, `I(base^2)`."""
    if piece[0] == "name":
        return str(piece[1])
    if piece[0] == "number":
        return _spell_number(piece[1])
    if piece[0] == "call":
        return f"{piece[1]}({spell(piece[2])})"
    if piece[0] == "bracket":
        return f"({spell(piece[1])})"
    if piece[0] == "-" and piece[1] == ("number", 0.0):
        return f"-{spell(piece[2])}"
    gap = "" if piece[0] in "^/:" else " "
    return f"{spell(piece[1])}{gap}{piece[0]}{gap}{spell(piece[2])}"


def _spell_number(value: float) -> str:
    """All 15 figures, and the power of ten only where it is shorter: two numbers never share a label."""
    figures, _, power = f"{value:.14e}".partition("e")
    short = f"{figures.rstrip('0').rstrip('.')}e{power}"
    plain = f"{Decimal(f'{value:.15g}'):f}"
    return short if len(short) < len(plain) else plain


def evaluate(piece: Piece, columns: Mapping[str, Column]) -> Column:
    """The value of a piece on data: a factor, or numbers (n,). Raises Refused for arithmetic on text."""
    if piece[0] == "name":
        return columns[piece[1]]
    if piece[0] == "bracket":
        return evaluate(piece[1], columns)
    if is_factor_call(piece):
        return as_factor(evaluate(piece[2], columns))
    with np.errstate(all="ignore"):  # what is not finite is refused with its row by whoever asked
        return _arithmetic(piece, columns)


def as_factor(column: Column) -> Factor:
    if isinstance(column, Factor):
        return column
    values, codes = np.unique(column, return_inverse=True)
    return Factor(codes.astype(np.int64).reshape(-1), tuple(f"{value:.15g}" for value in values))


def _arithmetic(piece: Piece, columns: Mapping[str, Column]) -> Array:
    if piece[0] == "number":
        return np.asarray(piece[1], dtype=np.float64)  # without a dimension: it broadcasts as a column would
    if piece[0] == "name":
        column = columns[piece[1]]
        if isinstance(column, Factor):
            raise refuse(
                f"{piece[1]} cannot be used in arithmetic",
                "It holds text",
                "Use a column of numbers",
                where="formula",
                code="text_in_arithmetic",
            )
        return column
    if piece[0] == "bracket":
        return _arithmetic(piece[1], columns)
    if piece[0] == "call":
        return np.asarray(NUMERIC_FUNCTIONS[piece[1]](_arithmetic(piece[2], columns)), dtype=np.float64)
    left, right = _arithmetic(piece[1], columns), _arithmetic(piece[2], columns)
    operations = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power}
    if piece[0] not in operations:
        raise refuse(f"{spell(piece)} is not arithmetic", f"{piece[0]!r} stands inside a function", where="formula")
    return np.asarray(operations[piece[0]](left, right), dtype=np.float64)


@dataclass(frozen=True)
class Coding:
    """How the terms of a formula become columns, fixed by the levels seen in the data.

    `levels` holds the levels of each variable that is a factor; `full` the (term, variable) pairs that are
    coded with one indicator per level because the term's margin is not in the model.
    """

    formula: Formula
    levels: Mapping[str, tuple[str, ...]]
    full: frozenset[tuple[Term, str]]
    names: tuple[str, ...]
    term_of_column: tuple[int, ...]

    def matrix(self, variables: Mapping[str, Column], rows: int) -> Array:
        """Design matrix (rows, columns) for values of the variables (labels as keys)."""
        variables = {label: self._in_levels(label, column) for label, column in variables.items()}
        out = np.empty((rows, len(self.names)))
        at = 0
        for term in self.formula.terms:
            for column in self._columns(term, variables, rows):
                out[:, at] = column
                at += 1
        return out

    def _in_levels(self, label: str, column: Column) -> Column:
        """A factor in the levels of the data, where a few values alone (a reference grid) do not show them all."""
        levels = self.levels.get(label)
        if levels is None or not isinstance(column, Factor) or column.levels == levels:
            return column
        place = np.array([levels.index(level) for level in column.levels], dtype=np.int64)
        return Factor(place[column.codes], levels)

    def _columns(self, term: Term, variables: Mapping[str, Column], rows: int) -> list[Array]:
        out = [np.ones(rows)]
        for label in term:  # the first variable of a term varies fastest, as in R
            parts = _coded(variables[label], (term, label) in self.full)
            out = [part if len(term) == 1 else done * part for part in parts for done in out]
        return out


def _coded(column: Column, full: bool) -> list[Array]:
    if not isinstance(column, Factor):
        return [column]
    return [(column.codes == level).astype(np.float64) for level in range(0 if full else 1, len(column.levels))]


def code(formula: Formula, variables: Mapping[str, Column]) -> Coding:
    """Decide the coding from the data's own levels.

    A factor in a term is coded by contrasts where what remains of the term without it is part of an earlier term,
    and by indicators where it is not; without an intercept the first factor of the formula is coded by indicators.
    This is R's rule, kept to the letter although it can leave a column out (`y ~ a:x + b/a`), so that a formula
    means in both programs the same.
    """
    levels = {label: column.levels for label, column in variables.items() if isinstance(column, Factor)}
    full = {
        (term, label)
        for place, term in enumerate(formula.terms)
        for label in term
        if label in levels and not _margin_is_there(frozenset(term) - {label}, formula.terms[:place])
    }
    if not formula.intercept:
        first = next(((t, v) for t in formula.terms for v in t if v in levels), None)
        full |= {first} if first else set()
    names: list[str] = []
    owner: list[int] = []
    for place, term in enumerate(formula.terms):
        spelled = _names(term, levels, frozenset(full))
        names += spelled
        owner += [place] * len(spelled)
    return Coding(formula, levels, frozenset(full), tuple(names), tuple(owner))


def _margin_is_there(margin: frozenset[str], earlier: Sequence[Term]) -> bool:
    return not margin or any(margin <= set(term) for term in earlier)


def _names(term: Term, levels: Mapping[str, tuple[str, ...]], full: frozenset[tuple[Term, str]]) -> list[str]:
    if not term:
        return ["(Intercept)"]
    out = [""]
    for label in term:
        if label in levels:
            parts = [f"{label}{level}" for level in levels[label][0 if (term, label) in full else 1 :]]
        else:
            parts = [label]
        out = [f"{done}:{part}" if done else part for part in parts for done in out]
    return out
