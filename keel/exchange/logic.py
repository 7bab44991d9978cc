"""The expression languages of REDCap and XLSForm: text to a tree and back, and the tree to Keel's rules.

Both languages treat a blank as an ordinary value, Keel as unknown. What is written out is therefore guarded: an
expression gives a blank as soon as an answer that it stands on is blank. What is read in becomes a rule only where
the rule says the same; everything else is refused here with `NotUnderstood`, and its text is kept by the caller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ValidationError

from keel.domain.instrument import Answers, Code, Number, Rule, Where

Dialect = Literal["redcap", "xlsform"]

# Longer or deeper than any form that people write; an expression beyond is kept as text.
LONGEST = 20_000
DEEPEST = 60


class NotUnderstood(Exception):
    """The expression says something that a rule or a score here cannot say; the text is a reason for a person."""


@dataclass(frozen=True)
class Lit:
    value: Number | str


@dataclass(frozen=True)
class Ref:
    """A field, or one box of a checkbox field."""

    name: str
    box: str | None = None


@dataclass(frozen=True)
class Op:
    """`and or = <> >= > <= < + - * /` with two sides, or a function with its arguments."""

    op: str
    args: tuple[Node, ...]


Node = Lit | Ref | Op

_TOKENS = {
    "redcap": re.compile(
        r"""\s*(?:(?P<ref>\[[a-zA-Z0-9_]+(?:\([^()\[\]]+\))?\])|(?P<text>"[^"]*"|'[^']*')|(?P<number>\d+(?:\.\d+)?|\.\d+)"""
        r"""|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign><>|!=|>=|<=|[=<>()+\-*/,]))"""
    ),
    "xlsform": re.compile(
        r"""\s*(?:(?P<ref>\$\{[^{}\s]+\})|(?P<text>"[^"]*"|'[^']*')|(?P<number>\d+(?:\.\d+)?)"""
        r"""|(?P<name>[A-Za-z_][A-Za-z0-9_-]*)|(?P<sign>!=|>=|<=|[=<>()+\-*,.]))"""
    ),
}
_COMPARE = ("=", "<>", ">=", "<=", ">", "<")
_WORDS = {"and": "and", "or": "or", "div": "/", "mod": "mod"}


# ---- text to tree -----------------------------------------------------------------------------------------


def parse(text: str, dialect: Dialect) -> Node:
    """The tree of an expression. Raises NotUnderstood."""
    if len(text) > LONGEST:
        raise NotUnderstood(f"it is longer than {LONGEST} characters")
    reader = _Reader(list(_tokens(text, dialect)))
    node = reader.either(0)
    if reader.here < len(reader.tokens):
        raise NotUnderstood(f"{reader.tokens[reader.here][1]!r} was not expected")
    return node


def _tokens(text: str, dialect: Dialect) -> Iterator[tuple[str, str]]:
    at, pattern = 0, _TOKENS[dialect]
    text = text.strip()
    while at < len(text):
        found = pattern.match(text, at)
        if not found or found.end() == at:
            raise NotUnderstood(f"{text[at : at + 20].strip()!r} is not part of the language known here")
        yield found.lastgroup or "", found.group(found.lastgroup or 0)
        at = found.end()


@dataclass
class _Reader:
    tokens: list[tuple[str, str]]
    here: int = 0

    def peek(self) -> str:
        kind, text = self.tokens[self.here] if self.here < len(self.tokens) else ("", "")
        return "" if kind in ("text", "ref", "number") else _WORDS.get(text.lower(), text)

    def take(self) -> tuple[str, str]:
        if self.here >= len(self.tokens):
            raise NotUnderstood("it ends too early")
        self.here += 1
        return self.tokens[self.here - 1]

    def either(self, depth: int) -> Node:
        return self._chain(("or",), self.both, depth)

    def both(self, depth: int) -> Node:
        return self._chain(("and",), self.compared, depth)

    def compared(self, depth: int) -> Node:
        left = self.added(depth)
        sign = self.peek()
        sign = "<>" if sign == "!=" else sign
        if sign not in _COMPARE:
            return left
        self.take()
        return Op(sign, (left, self.added(depth)))

    def added(self, depth: int) -> Node:
        return self._chain(("+", "-"), self.multiplied, depth)

    def multiplied(self, depth: int) -> Node:
        return self._chain(("*", "/", "mod"), self.single, depth)

    def _chain(self, signs: tuple[str, ...], part: Callable[[int], Node], depth: int) -> Node:
        node: Node = part(depth)
        while self.peek() in signs:
            sign = _WORDS.get(self.take()[1].lower(), self.tokens[self.here - 1][1])
            node = Op(sign, (node, part(depth)))
        return node

    def single(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise NotUnderstood(f"it is nested deeper than {DEEPEST}")
        kind, text = self.take()
        if kind == "text":
            return Lit(text[1:-1])
        if kind == "number":
            return Lit(_number(text))
        if kind == "ref":
            return _ref(text)
        if text == "-":
            return Op("-", (Lit(0), self.single(depth + 1)))
        if text == "(":
            node = self.either(depth + 1)
            self._close()
            return node
        if kind == "name" and self.peek() == "(":
            return self._call(text, depth)
        raise NotUnderstood(f"{text!r} was not expected")

    def _call(self, name: str, depth: int) -> Node:
        self.take()
        args: list[Node] = []
        while self.peek() != ")":
            args.append(self.either(depth + 1))
            if self.peek() == ",":
                self.take()
            elif self.peek() != ")":
                raise NotUnderstood(f"a bracket after {name!r} is not closed")
        self.take()
        return Op(name.lower(), tuple(args))

    def _close(self) -> None:
        if self.take()[1] != ")":
            raise NotUnderstood("a bracket is not closed")


def _ref(text: str) -> Ref:
    inner = text.strip("[]${}")
    name, _, box = inner.partition("(")
    return Ref(name, box.rstrip(")") or None)


def _number(text: str) -> Number:
    value = float(text)
    if not math.isfinite(value):
        raise NotUnderstood(f"{text[:20]} is no number that is reckoned with")
    return int(value) if value.is_integer() else value


def refs(node: Node) -> Iterator[str]:
    """The fields that an expression looks at."""
    if isinstance(node, Ref):
        yield node.name
    elif isinstance(node, Op):
        for part in node.args:
            yield from refs(part)


_MENTIONS = {"redcap": re.compile(r"\[([a-zA-Z0-9_]+)(?:\([^()]*\))?\]"), "xlsform": re.compile(r"\$\{([^{}\s]+)\}")}


def mentions(text: str, dialect: Dialect) -> tuple[str, ...]:
    """The fields that a text names, whether or not the rest of it is understood."""
    return tuple(dict.fromkeys(_MENTIONS[dialect].findall(text)))


# ---- tree to rule -------------------------------------------------------------------------------------------


def rule_of(node: Node, items: Mapping[str, tuple[str, Answers]]) -> Rule:
    """The rule that says the same; `items` gives the id and the way to answer of each field. Raises NotUnderstood."""
    try:
        return _rule(node, items)
    except (ValidationError, OverflowError):
        raise NotUnderstood("a value in it is nothing that an item is compared with") from None


def _rule(node: Node, items: Mapping[str, tuple[str, Answers]]) -> Rule:
    if isinstance(node, Op):
        if node.op in ("and", "or"):
            parts = [_rule(part, items) for part in _flat(node, node.op)]
            return _every(parts) if node.op == "and" else Rule(any=tuple(parts))
        if node.op == "not" and len(node.args) == 1:
            return Rule.model_validate({"not": _rule(node.args[0], items)})
        if node.op == "selected" and len(node.args) == 2:
            return _compared(Op("=", node.args), items)
        if node.op in _COMPARE:
            return _compared(node, items)
    raise NotUnderstood("it is not a comparison of fields with values, joined by and, or, not")


def _every(parts: list[Rule]) -> Rule:
    """`it is given, and it is at most 3`: the first is said by the second, which a blank never meets here."""
    said = {part.of for part in parts if part.of} | {p.negated.of for p in parts if p.negated and p.negated.of}
    kept = [part for part in parts if not (part.answered and said.issuperset(part.answered))]
    return kept[0] if len(kept) == 1 else Rule(all=tuple(kept))


def _flat(node: Op, op: str) -> Iterator[Node]:
    for part in node.args:
        if isinstance(part, Op) and part.op == op:
            yield from _flat(part, op)
        else:
            yield part


_TURNED = {">=": "<=", "<=": ">=", ">": "<", "<": ">", "=": "=", "<>": "<>"}


def _compared(node: Op, items: Mapping[str, tuple[str, Answers]]) -> Rule:
    left, right = node.args
    op = node.op
    if isinstance(left, Lit) and isinstance(right, Ref):
        left, right, op = right, left, _TURNED[op]
    if not isinstance(left, Ref) or not isinstance(right, Lit):
        raise NotUnderstood("a comparison here has a field on one side and a value on the other")
    if left.box is not None:
        raise NotUnderstood("single boxes of a field with many answers are not asked about here")
    if left.name not in items:
        raise NotUnderstood(f"the field {left.name} is not an item here")
    id, answers = items[left.name]
    if right.value == "":
        if op not in ("=", "<>"):
            raise NotUnderstood("a blank can only be equal or not")
        given = Rule(answered=(id,))
        return given if op == "<>" else Rule.model_validate({"not": given})
    if answers.kind == "many":
        raise NotUnderstood(f"{left.name} has many answers, and a comparison with one of them is not said here")
    return _with(id, op, _code(right.value, answers), answers)


def _code(value: Number | str, answers: Answers) -> Code:
    if answers.kind == "choice":
        return str(value)
    try:
        return _number(str(value)) if isinstance(value, (str, float)) else value
    except ValueError:
        raise NotUnderstood(f"{value!r} is not a number") from None


def _with(id: str, op: str, code: Code, answers: Answers) -> Rule:
    if op == "=":
        return Rule(of=id, equals=code)
    if op == "<>":
        return Rule.model_validate({"not": Rule(of=id, equals=code)})
    if isinstance(code, str):
        raise NotUnderstood("words have no order")
    whole = answers.kind in ("codes", "yes_no") and float(code).is_integer()
    if op == ">=" or (op == ">" and whole):
        return Rule(of=id, at_least=code if op == ">=" else int(code) + 1)
    if op == "<=" or (op == "<" and whole):
        return Rule(of=id, at_most=code if op == "<=" else int(code) - 1)
    opposite = Rule(of=id, at_most=code) if op == ">" else Rule(of=id, at_least=code)
    return Rule.model_validate({"not": opposite})


# ---- tree to score --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scored:
    """A calculation as a score: `op` sum, mean, percent or rule; the items with those that are reversed; and whether
    the form counts a blank as nothing, which the score here does not."""

    op: Literal["sum", "mean", "percent", "rule"]
    of: tuple[str, ...] = ()
    reversed: tuple[str, ...] = ()
    maximum: int = 0
    rule: Rule | None = None
    blanks_counted: bool = False


def score_of(node: Node, items: Mapping[str, tuple[str, Answers]]) -> Scored:
    """The score that a calculation stands for. Raises NotUnderstood."""
    node = _unguarded(node)
    if isinstance(node, Op) and node.op == "if" and len(node.args) == 3 and node.args[1:] == (Lit(1), Lit(0)):
        return Scored("rule", rule=rule_of(node.args[0], items))
    if isinstance(node, Op) and node.op == "/" and isinstance(node.args[1], Lit):
        return _divided(node.args[0], node.args[1].value, items)
    if isinstance(node, Op) and node.op in ("mean", "sum") and len(node.args) > 1:
        of, turned = _terms(node.args, items)
        return Scored("mean" if node.op == "mean" else "sum", of, turned, blanks_counted=True)
    of, turned = _terms(tuple(_flat(node, "+")) if isinstance(node, Op) and node.op == "+" else (node,), items)
    return Scored("sum", of, turned)


def _unguarded(node: Node) -> Node:
    """`if(every field is given, X, "")` stands for X: a blank gives no score here anyway."""
    if isinstance(node, Op) and node.op == "if" and len(node.args) == 3 and node.args[2] == Lit(""):
        condition, value, _ = node.args
        tests = tuple(_flat(condition, "and")) if isinstance(condition, Op) and condition.op == "and" else (condition,)
        given = {test.args[0] for test in tests if isinstance(test, Op) and _asks_given(test)}
        if len(given) == len(set(tests)) and {Ref(name) for name in refs(value)} <= given:
            return value
    return node


def _asks_given(test: Op) -> bool:
    return test.op == "<>" and len(test.args) == 2 and isinstance(test.args[0], Ref) and test.args[1] == Lit("")


def _divided(top: Node, by: Number | str, items: Mapping[str, tuple[str, Answers]]) -> Scored:
    hundred = isinstance(top, Op) and top.op == "*" and Lit(100) in top.args
    inner = next(part for part in top.args if part != Lit(100)) if hundred and isinstance(top, Op) else top
    found = score_of(inner, items)
    if found.op == "sum" and not found.blanks_counted:
        if hundred and isinstance(by, int):
            return Scored("percent", found.of, found.reversed, maximum=by)
        if not hundred and by == len(found.of):
            return Scored("mean", found.of, found.reversed)
    raise NotUnderstood("it divides by something else than the number of its items")


def _terms(
    nodes: tuple[Node, ...], items: Mapping[str, tuple[str, Answers]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    of, turned = [], []
    for node in nodes:
        backwards = isinstance(node, Op) and node.op == "-" and isinstance(node.args[0], Lit)
        ref = node.args[1] if backwards and isinstance(node, Op) else node
        if not isinstance(ref, Ref) or ref.box is not None or ref.name not in items:
            raise NotUnderstood("it is not a sum, mean or percentage of items of this form")
        id, answers = items[ref.name]
        if answers.kind not in ("codes", "scale", "yes_no", "number"):
            raise NotUnderstood(f"{ref.name} is answered in words")
        if backwards and isinstance(node, Op):
            if node.args[0] != Lit(answers.low + answers.high):
                raise NotUnderstood(f"{ref.name} is reversed about something else than its ends")
            turned.append(id)
        of.append(id)
    if len(set(of)) != len(of):
        raise NotUnderstood("an item counts twice")
    return tuple(of), tuple(turned)


# ---- rules to text ------------------------------------------------------------------------------------------


class CannotSay(Exception):
    """The language of the form has no words for this; the text says why."""


@dataclass(frozen=True)
class Writer:
    """Writes rules as text. `names` gives the field of an item or score, `words` are the items answered in words;
    `values` and `known` are what stands for an item that may be skipped, and when that is known.

    `rule(r)` is true where r is surely true and `rule(r, negated=True)` where it is surely false, so that a blank
    leaves both false: three truth values in languages that have two."""

    dialect: Dialect
    names: Mapping[str, str]
    words: frozenset[str]
    values: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)

    def field(self, ref: str) -> str:
        if ref not in self.names:
            raise CannotSay(f"{ref} has no field in the form")
        return f"[{self.names[ref]}]" if self.dialect == "redcap" else f"${{{self.names[ref]}}}"

    def given(self, ref: str) -> str:
        return self.known.get(ref) or f"{self.field(ref)} {self.unequal} {self.blank}"

    def missing(self, ref: str) -> str:
        if ref in self.known:
            return f"if({self.known[ref]}, 0, 1) = 1"
        return f"{self.field(ref)} = {self.blank}"

    def value(self, ref: str) -> str:
        return self.values.get(ref) or self.field(ref)

    @property
    def unequal(self) -> str:
        return "<>" if self.dialect == "redcap" else "!="

    @property
    def blank(self) -> str:
        return '""' if self.dialect == "redcap" else "''"

    def text(self, value: str) -> str:
        return f'"{value}"' if self.dialect == "redcap" else f"'{value}'"

    def divided(self, top: str, by: str) -> str:
        return f"({top})/{by}" if self.dialect == "redcap" else f"({top}) div {by}"

    def rule(self, rule: Rule, *, negated: bool = False) -> str:
        if rule.all or rule.any:
            parts = [self.rule(part, negated=negated) for part in (*rule.all, *rule.any)]
            return _joined(parts, "and" if bool(rule.all) != negated else "or")
        if rule.negated:
            return self.rule(rule.negated, negated=not negated)
        if rule.answered:
            tests = [self.missing(ref) if negated else self.given(ref) for ref in rule.answered]
            return _joined(tests, "or" if negated else "and")
        if rule.count:
            return self._counted(rule, negated)
        if rule.sum:
            share = (rule.percent_at_least or 0) * (rule.maximum or 0)
            total = " + ".join(map(self.value, rule.sum))
            tests = [*map(self.given, rule.sum), f"100*({total}) {'<' if negated else '>='} {share}"]
            return _joined(tests, "and")
        if rule.of:
            return self.compared(rule.of, rule, negated=negated)
        raise CannotSay("it asks for what is not an answer of the form")

    def compared(self, ref: str, by: Rule | Where, *, negated: bool = False) -> str:
        """A comparison that a blank never meets."""
        bare = self._bare(ref, by, negated)
        never_blank = (by.at_least is not None and by.at_least > 0) or by.equals not in (None, 0, False, "")
        if never_blank and not negated and ref not in self.values:
            return bare
        return f"({self.given(ref)} and {bare})"

    def _bare(self, ref: str, by: Rule | Where, negated: bool) -> str:
        left = self.value(ref)
        if by.at_least is not None:
            return f"{left} {'<' if negated else '>='} {by.at_least}"
        if by.at_most is not None:
            return f"{left} {'>' if negated else '<='} {by.at_most}"
        value = int(by.equals) if isinstance(by.equals, bool) else by.equals
        shown = value if isinstance(value, float) else f"'{value}'"
        return f"{left} {self.unequal if negated else '='} {shown}"

    def _counted(self, rule: Rule, negated: bool) -> str:
        """How many meet a condition, between those that surely do and those that surely do not."""
        assert rule.where is not None
        yes = [self.compared(ref, rule.where) for ref in rule.count]
        no = [self.compared(ref, rule.where, negated=True) for ref in rule.count]
        n = len(yes)
        if rule.at_least == 1:
            return _joined(no, "and") if negated else _joined(yes, "or")
        if rule.at_least is not None:
            return f"{_tally(no)} > {n - rule.at_least}" if negated else f"{_tally(yes)} >= {rule.at_least}"
        if rule.at_most is not None:
            return f"{_tally(yes)} > {rule.at_most}" if negated else f"{_tally(no)} >= {n - rule.at_most}"
        exactly = int(rule.equals or 0)
        if negated:
            return f"({_tally(yes)} > {exactly} or {_tally(no)} > {n - exactly})"
        return f"({_tally(yes)} = {exactly} and {_tally(no)} = {n - exactly})"


def _joined(parts: list[str], word: str) -> str:
    return f"({f' {word} '.join(parts)})" if len(parts) > 1 else parts[0]


def _tally(tests: list[str]) -> str:
    return "(" + " + ".join(f"if({test}, 1, 0)" for test in tests) + ")"
