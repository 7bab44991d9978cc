"""Scores and conditions in FHIRPath, whose three truth values are ours: what is unknown is the empty collection."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from keel.domain.instrument import (
    Bands,
    Blank,
    Cases,
    Code,
    Count,
    Frequencies,
    Instrument,
    Item,
    Largest,
    Linear,
    Listed,
    LookUp,
    Mean,
    Number,
    Percent,
    Possible,
    Profile,
    Prorated,
    Ratio,
    Rule,
    Step,
    Sum,
    Terms,
    Truth,
    Where,
)
from keel.exchange.logic import CannotSay

# An expression stands for the scores that it uses, written out; beyond this it is kept as text.
LONGEST = 60_000


def expressions(instrument: Instrument) -> Iterator[tuple[str, str, str]]:
    """(score, expression, why not) for every score and band, in order; one of the last two is empty."""
    scope = Scope(instrument)
    for step in instrument.steps:
        try:
            text = scope.step(step)
            if len(text) > LONGEST:
                raise CannotSay("it would be longer than a form takes")
            scope.scores[step.name] = text
            yield step.name, text, ""
        except CannotSay as error:
            yield step.name, "", str(error)
    for band in instrument.bands:
        if band.gives:
            try:
                yield band.gives, scope.band(band), ""
            except CannotSay as error:
                yield band.gives, "", str(error)


def condition(instrument: Instrument, rule: Rule) -> str:
    """When an item is asked, from the answers as they were entered."""
    return Scope(instrument, raw=True).rule(rule)


@dataclass
class Scope:
    """What expressions of one form can name: its items, and the scores said so far. `raw`: answers as entered, without
    what a skipped item counts."""

    instrument: Instrument
    raw: bool = False
    scores: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.items: dict[str, Item] = {item.id: item for item in self.instrument.items}

    # ---- values ---------------------------------------------------------------------------------------------

    def value(self, ref: str) -> str:
        """One item or score; empty while it is blank."""
        if ref not in self.items:
            if ref not in self.scores:
                raise CannotSay(f"{ref} has no expression")
            return f"({self.scores[ref]})"
        item = self.items[ref]
        if item.not_applicable_if and not self.raw:
            raise CannotSay(f"item {ref} may not apply, which the answers alone do not say")
        answer = f"%resource.item.where(linkId={_text(ref)}).answer.value{_as_code(item)}"
        if self.raw or item.asked_if is None or item.skipped is None:
            return answer
        asked = Scope(self.instrument, raw=True).rule(item.asked_if)
        if item.overrides:
            return f"iif(({asked}) = true, {answer}, iif(({asked}) = false, {item.skipped}, {{}}))"
        return f"iif({answer}.exists(), {answer}, iif(({asked}) = false, {item.skipped}, {{}}))"

    def values(self, refs: Iterable[str], change: Callable[[str], str] = lambda _: "") -> str:
        """All values that are there, one after the other; `change` gives what is done to each."""
        parts: list[str] = []
        for key, group in _together(refs, lambda ref: (self._plain(ref), change(ref))):
            if key[0]:
                links = " | ".join(_text(ref) for ref in group)
                parts.append(f"%resource.item.where(linkId in ({links})).answer.value{key[0]}{key[1]}")
            else:
                parts += [f"({self.value(ref)}){key[1]}" for ref in group]
        return parts[0] if len(parts) == 1 else parts[0] + "".join(f".combine({part})" for part in parts[1:])

    def _plain(self, ref: str) -> str:
        """How the answers of this item become codes, where many items can be read at once; else nothing."""
        item = self.items.get(ref)
        if item is None or item.not_applicable_if or (item.asked_if and item.skipped is not None and not self.raw):
            return ""
        return _as_code(item) or ".select($this)"

    def change(self, step: Terms) -> Callable[[str], str]:
        """What a step does to each of its codes."""
        if step.reversed_if:
            raise CannotSay("it is turned round by something that is no answer of the form")
        tables = {ref: self.instrument.recodes[name] for name, refs in step.recode.items() for ref in refs}

        def changed(ref: str) -> str:
            if ref in tables:
                return f".select({_table(tables[ref].items())})"
            if ref in step.reversed:
                answers = self.items[ref].answers
                return f".select({answers.low + answers.high} - $this)"
            return ""

        return changed

    def whole(self, refs: tuple[str, ...], finish: Callable[[str], str], step: Terms) -> str:
        """A score that a single blank takes away."""
        values = self.values(refs, self.change(step))
        return f"iif({self.values(refs)}.count() = {len(refs)}, {finish(values)}, {{}})"

    # ---- rules ----------------------------------------------------------------------------------------------

    def rule(self, rule: Rule) -> str:
        if rule.all or rule.any:
            word = " and " if rule.all else " or "
            return "(" + word.join(self.rule(part) for part in (*rule.all, *rule.any)) + ")"
        if rule.negated:
            return f"({self.rule(rule.negated)}).not()"
        if rule.answered:
            return f"({self.values(rule.answered)}.count() = {len(rule.answered)})"
        if rule.count:
            return self._counted(rule)
        if rule.sum:
            values = self.values(rule.sum)
            share = (rule.percent_at_least or 0) * (rule.maximum or 0)
            return f"iif({values}.count() = {len(rule.sum)}, 100 * ({_sum(values)}) >= {share}, {{}})"
        if rule.of:
            return f"({self.value(rule.of)} {_compare(rule, self._truth(rule.of))})"
        raise CannotSay("it asks for what is not an answer of the form")

    def _truth(self, ref: str) -> bool:
        """Is this a score that is true or false?"""
        return any(step.name == ref and isinstance(step, Truth) for step in self.instrument.steps)

    def _counted(self, rule: Rule) -> str:
        assert rule.where is not None
        values, n = self.values(rule.count), len(rule.count)
        sure = f"{values}.where($this {_compare(rule.where, False)}).count()"
        might = f"({sure} + {n} - {values}.count())"
        if rule.at_least is not None:
            k = rule.at_least
            return f"iif({sure} >= {k}, true, iif({might} >= {k}, {{}}, false))"
        if rule.at_most is not None:
            k = rule.at_most
            return f"iif({might} <= {k}, true, iif({sure} <= {k}, {{}}, false))"
        k = int(rule.equals or 0)
        inside = f"{sure} <= {k} and {k} <= {might}"
        return f"iif({values}.count() = {n}, {sure} = {k}, iif({inside}, {{}}, false))"

    # ---- steps ----------------------------------------------------------------------------------------------

    def step(self, step: Step) -> str:
        if step.needs is not None:
            raise CannotSay(f"it needs {step.needs}, which is no answer of the form")
        if type(step) not in _STEPS:
            raise CannotSay(f"there is no expression for `{getattr(step, 'op', '')}`")
        return _STEPS[type(step)](step, self)

    def band(self, band: Bands) -> str:
        text = "{}"
        for upper, says in reversed(list(zip(band.upper, band.labels, strict=True))):
            text = f"iif($this <= {upper}, {_text(says)}, {text})"
        return f"{self.value(band.of)}.select(iif($this < {band.lower}, {{}}, {text}))"


def _together(
    refs: Iterable[str], key: Callable[[str], tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], list[str]]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for ref in refs:
        groups.setdefault(key(ref), []).append(ref)
    yield from groups.items()


def _as_code(item: Item) -> str:
    """From an answer as FHIR holds it to the code as Keel knows it."""
    kind = item.answers.kind
    if kind == "yes_no":
        return ".select(iif($this, 1, 0))"
    if kind in ("choice", "many"):
        return ".code"
    if kind == "codes" and is_picked(item):
        return ".code.select($this.toInteger())"
    return ""


def is_picked(item: Item) -> bool:
    """Is an item answered from a list, rather than by typing a number?"""
    answers = item.answers
    if answers.kind in ("choice", "many"):
        return True
    return answers.kind == "codes" and (bool(answers.codes or answers.labels) or len(answers.allowed()) <= 21)


def _text(value: str) -> str:
    return "'" + json.dumps(value, ensure_ascii=False)[1:-1].replace("'", "\\'") + "'"


def _constant(value: Code) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else str(value)


def _compare(by: Rule | Where, truth: bool) -> str:
    if by.at_least is not None:
        return f">= {by.at_least}"
    if by.at_most is not None:
        return f"<= {by.at_most}"
    value = by.equals
    assert value is not None
    if truth:
        return f"= {'true' if value else 'false'}"
    return f"= {_constant(int(value) if isinstance(value, bool) else value)}"


def _table(rows: Iterable[tuple[str, Number]]) -> str:
    text = "{}"
    for code, value in reversed(list(rows)):
        text = f"iif($this = {code}, {value}, {text})"
    return text


def _sum(values: str) -> str:
    return f"{values}.sum()"


def _prorated(step: Prorated, scope: Scope) -> str:
    if step.allow_if:
        raise CannotSay("how many blanks are allowed is set by something that is no answer of the form")
    values, n = scope.values(step.of, scope.change(step)), len(step.of)
    text = f"{_sum(values)} * {n} / {values}.count()"
    return f"iif({values}.count() >= {max(1, n - step.allow)}, {text}, {{}})"


def _possible(step: Possible, scope: Scope) -> str:
    if step.reversed or step.recode:
        raise CannotSay("it counts codes that were turned first")
    ends = []
    for ref in step.of:
        answers = scope.items[ref].answers
        end = answers.low if step.op == "lowest_possible" else answers.high
        ends.append(f"iif({scope.value(ref)}.exists(), {scope.value(ref)}, {end})")
    return " + ".join(ends)


def _largest(step: Largest, scope: Scope) -> str:
    values = scope.values(step.of, scope.change(step))
    return f"{values}.aggregate(iif($total.empty() or $this > $total, $this, $total), {{}})"


def _count(step: Count, scope: Scope) -> str:
    return scope.whole(step.of, lambda values: f"{values}.where($this {_compare(step.where, False)}).count()", step)


def _blank(step: Blank, scope: Scope) -> str:
    return f"{len(step.of)} - {scope.values(step.of)}.count()"


def _linear(step: Linear, scope: Scope) -> str:
    text = f"$this * {step.times}" if step.times != 1 else "$this"
    if step.divide != 1:
        text = f"({text}) / {step.divide}"
    if step.plus:
        text = f"{text} + {step.plus}" if step.plus > 0 else f"{text} - {-step.plus}"
    return f"{scope.value(step.of)}.select({text})"


def _ratio(step: Ratio, scope: Scope) -> str:
    top, under = scope.value(step.of), scope.value(step.by)
    return f"iif({under} > 0, {step.times} * {top} / {under}, {{}})"


def _cases(step: Cases, scope: Scope) -> str:
    text = "{}" if step.otherwise is None else _constant(step.otherwise)
    for case in reversed(step.cases):
        rule = scope.rule(case.rule)
        text = f"iif(({rule}) = true, {_constant(case.gives)}, iif(({rule}) = false, {text}, {{}}))"
    return text


def _look_up(step: LookUp, scope: Scope) -> str:
    rows = ((str(step.first + n), value) for n, value in enumerate(step.values))
    return f"{scope.value(step.of)}.select({_table(rows)})"


def _profile(step: Profile, scope: Scope) -> str:
    codes = " & ".join(f"{scope.value(ref)}.toString()" for ref in step.of)
    return f"iif({scope.values(step.of)}.count() = {len(step.of)}, {codes}, {{}})"


def _frequencies(step: Frequencies, scope: Scope) -> str:
    values = scope.values(step.of)
    counts = " & ".join(f"{values}.where($this = {code}).count().toString()" for code in step.codes)
    return f"iif({values}.count() = {len(step.of)}, {counts}, {{}})"


def _listed(step: Listed, scope: Scope) -> str:
    """A list of items: as many answers as there are items."""
    wanted = " | ".join(_constant(code) for code in step.codes)
    parts = [f"iif({scope.value(ref)}.where($this in ({wanted})).exists(), {_text(ref)}, {{}})" for ref in step.of]
    return parts[0] + "".join(f".combine({part})" for part in parts[1:])


def _summed(step: Sum, scope: Scope) -> str:
    return scope.whole(step.of, _sum, step)


_STEPS: Mapping[type, Callable[[Any, Scope], str]] = {
    Sum: _summed,
    Mean: lambda step, scope: scope.whole(step.of, lambda values: f"{_sum(values)} / {len(step.of)}", step),
    Percent: lambda step, scope: scope.whole(step.of, lambda values: f"100 * {_sum(values)} / {step.maximum}", step),
    Largest: _largest,
    Prorated: _prorated,
    Possible: _possible,
    Count: _count,
    Blank: _blank,
    Linear: _linear,
    Ratio: _ratio,
    Truth: lambda step, scope: scope.rule(step.rule),
    Cases: _cases,
    LookUp: _look_up,
    Profile: _profile,
    Frequencies: _frequencies,
    Listed: _listed,
}
