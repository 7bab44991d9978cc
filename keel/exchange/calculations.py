"""Scores as calculations of a form: what REDCap and XLSForm can say of a definition, and why not where they cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from keel.domain.instrument import (
    Bands,
    Blank,
    Cases,
    Count,
    Instrument,
    Item,
    Largest,
    Linear,
    LookUp,
    Mean,
    Number,
    Percent,
    Possible,
    Prorated,
    Ratio,
    Step,
    Sum,
    Terms,
    Truth,
)
from keel.exchange.logic import LONGEST, CannotSay, Dialect, Writer


@dataclass(frozen=True)
class Calculation:
    """A score of a form: its field, its text, whether it gives words, and whether people see it. `text` is empty
    where the language cannot say it, and `why` says why."""

    score: str
    field: str
    label: str
    text: str
    words: bool
    shown: bool
    why: str = ""


def writer_of(instrument: Instrument, dialect: Dialect, names: Mapping[str, str]) -> Writer:
    """Writes branching: answers as they were entered."""
    words = frozenset(item.id for item in instrument.items if item.answers.kind in ("choice", "many"))
    return Writer(dialect, names, words)


def calculations(instrument: Instrument, dialect: Dialect, names: Mapping[str, str]) -> list[Calculation]:
    """Every score and band, in order; a score that stands on one that cannot be said cannot be said either."""
    known = {item.id: names[item.id] for item in instrument.items}
    out = []
    for step in instrument.steps:
        made = _calculation(step, instrument, writer_of(instrument, dialect, known), names)
        if made.text:
            known[step.name] = made.field
        out.append(made)
    writer = writer_of(instrument, dialect, known)
    return out + [_band(band, writer, names) for band in instrument.bands if band.gives]


def _calculation(step: Step, instrument: Instrument, writer: Writer, names: Mapping[str, str]) -> Calculation:
    words = isinstance(step, Cases) and any(isinstance(case.gives, str) for case in step.cases)
    label = step.label or step.name
    try:
        text = say(step, instrument, writer)
        if len(text) > LONGEST:
            raise CannotSay("it would be longer than a form takes")
    except CannotSay as error:
        return Calculation(step.name, names[step.name], label, "", words, step.show, str(error))
    return Calculation(step.name, names[step.name], label, text, words, step.show)


def _band(band: Bands, writer: Writer, names: Mapping[str, str]) -> Calculation:
    name = str(band.gives)
    label = f"{name} ({band.author})"
    try:
        text = writer.blank
        for upper, says in reversed(list(zip(band.upper, band.labels, strict=True))):
            text = f"if({writer.field(band.of)} <= {upper}, {writer.text(says)}, {text})"
        text = f"if({writer.given(band.of)} and {writer.field(band.of)} >= {band.lower}, {text}, {writer.blank})"
    except CannotSay as error:
        return Calculation(name, names[name], label, "", True, True, str(error))
    return Calculation(name, names[name], label, text, True, True)


def say(step: Step, instrument: Instrument, writer: Writer) -> str:
    """The calculation of one score. Raises CannotSay."""
    if step.needs is not None:
        raise CannotSay(f"it needs {step.needs}, which is no answer of the form")
    if type(step) not in _SAYS:
        raise CannotSay(f"there is no expression for `{getattr(step, 'op', '')}`")
    return _SAYS[type(step)](step, instrument, _with_skips(instrument, writer))


def _with_skips(instrument: Instrument, writer: Writer) -> Writer:
    """An item that was skipped counts as its form says; an item that may not apply has no value to write."""
    values, known = {}, {}
    for item in instrument.items:
        if item.asked_if and item.skipped is not None:
            values[item.id], known[item.id] = _skipped(item, writer)
    return replace(writer, values=values, known=known)


def _skipped(item: Item, writer: Writer) -> tuple[str, str]:
    assert item.asked_if is not None
    field, given = writer.field(item.id), writer.given(item.id)
    asked, not_asked = writer.rule(item.asked_if), writer.rule(item.asked_if, negated=True)
    if item.overrides:
        return f"if({asked}, {field}, {item.skipped})", f"(({asked} and {given}) or {not_asked})"
    return f"if({given}, {field}, {item.skipped})", f"({given} or {not_asked})"


# ---- operators ------------------------------------------------------------------------------------------------


def _values(step: Terms, instrument: Instrument, writer: Writer) -> list[str]:
    """The value of each item as it counts."""
    if step.reversed_if:
        raise CannotSay("it is turned round by something that is no answer of the form")
    tables = {ref: instrument.recodes[name] for name, refs in step.recode.items() for ref in refs}
    return [_value(ref, step, instrument, writer, tables.get(ref)) for ref in step.of]


def _value(ref: str, step: Terms, instrument: Instrument, writer: Writer, table: Mapping[str, Number] | None) -> str:
    if any(item.id == ref and item.not_applicable_if for item in instrument.items):
        raise CannotSay(f"item {ref} may not apply, which a form cannot tell from a blank")
    value = writer.value(ref)
    if table is not None:
        text = writer.blank
        for code, gives in reversed(list(table.items())):
            text = f"if({value} = {code}, {gives}, {text})"
        return text
    if ref in step.reversed:
        answers = instrument.item(ref).answers
        return f"({answers.low + answers.high} - {value})"
    return value


def _whole(refs: tuple[str, ...], text: str, writer: Writer) -> str:
    return f"if({' and '.join(map(writer.given, refs))}, {text}, {writer.blank})"


def _sum(step: Terms, instrument: Instrument, writer: Writer) -> str:
    return _whole(step.of, " + ".join(_values(step, instrument, writer)), writer)


def _mean(step: Mean, instrument: Instrument, writer: Writer) -> str:
    total = " + ".join(_values(step, instrument, writer))
    return _whole(step.of, writer.divided(total, str(len(step.of))), writer)


def _percent(step: Percent, instrument: Instrument, writer: Writer) -> str:
    total = " + ".join(_values(step, instrument, writer))
    return _whole(step.of, writer.divided(f"100*({total})", str(step.maximum)), writer)


def _count(step: Count, instrument: Instrument, writer: Writer) -> str:
    _values(step, instrument, writer)
    if step.reversed or step.recode:
        raise CannotSay("it counts codes that were turned first")
    tally = " + ".join(f"if({writer.compared(ref, step.where)}, 1, 0)" for ref in step.of)
    return _whole(step.of, tally, writer)


def _or_zero(step: Terms, instrument: Instrument, writer: Writer) -> list[str]:
    values = _values(step, instrument, writer)
    return [f"if({writer.given(ref)}, {value}, 0)" for ref, value in zip(step.of, values, strict=True)]


def _how_many(refs: tuple[str, ...], writer: Writer) -> str:
    return "(" + " + ".join(f"if({writer.given(ref)}, 1, 0)" for ref in refs) + ")"


def _prorated(step: Prorated, instrument: Instrument, writer: Writer) -> str:
    if step.allow_if:
        raise CannotSay("how many blanks are allowed is set by something that is no answer of the form")
    total, answered = " + ".join(_or_zero(step, instrument, writer)), _how_many(step.of, writer)
    text = writer.divided(f"({total})*{len(step.of)}", answered)
    least = max(1, len(step.of) - step.allow)
    return f"if({answered} >= {least}, {text}, {writer.blank})"


def _possible(step: Possible, instrument: Instrument, writer: Writer) -> str:
    if step.reversed or step.recode:
        raise CannotSay("it counts codes that were turned first")
    parts = []
    for ref, value in zip(step.of, _values(step, instrument, writer), strict=True):
        answers = instrument.item(ref).answers
        end = answers.low if step.op == "lowest_possible" else answers.high
        parts.append(f"if({writer.given(ref)}, {value}, {end})")
    return " + ".join(parts)


def _largest(step: Largest, instrument: Instrument, writer: Writer) -> str:
    """Built from comparisons: `max` means other things in the two languages when something is blank."""
    values = _values(step, instrument, writer)
    lowest = min((instrument.item(ref).answers.low for ref in step.of if _is_item(instrument, ref)), default=0)
    text = f"{lowest}"
    if len(step.of) > 6:
        raise CannotSay("the largest of so many would be longer than a form takes")
    for ref, value in zip(step.of, values, strict=True):
        text = f"if({writer.given(ref)} and {value} > {text}, {value}, {text})"
    return f"if({_how_many(step.of, writer)} > 0, {text}, {writer.blank})"


def _is_item(instrument: Instrument, ref: str) -> bool:
    return any(item.id == ref for item in instrument.items)


def _blank(step: Blank, instrument: Instrument, writer: Writer) -> str:
    return f"{len(step.of)} - {_how_many(step.of, writer)}"


def _linear(step: Linear, instrument: Instrument, writer: Writer) -> str:
    text = writer.value(step.of)
    if step.times != 1:
        text = f"{text}*{step.times}"
    if step.divide != 1:
        text = writer.divided(text, str(step.divide))
    if step.plus:
        text = f"{text} + {step.plus}" if step.plus > 0 else f"{text} - {-step.plus}"
    return _whole((step.of,), text, writer)


def _ratio(step: Ratio, instrument: Instrument, writer: Writer) -> str:
    top, under = writer.value(step.of), writer.value(step.by)
    text = writer.divided(f"{step.times}*{top}", under)
    return f"if({writer.given(step.of)} and {writer.given(step.by)} and {under} > 0, {text}, {writer.blank})"


def _truth(step: Truth, instrument: Instrument, writer: Writer) -> str:
    yes, no = writer.rule(step.rule), writer.rule(step.rule, negated=True)
    return f"if({yes}, 1, if({no}, 0, {writer.blank}))"


def _cases(step: Cases, instrument: Instrument, writer: Writer) -> str:
    text = writer.blank if step.otherwise is None else _constant(step.otherwise, writer)
    for case in reversed(step.cases):
        yes, no = writer.rule(case.rule), writer.rule(case.rule, negated=True)
        text = f"if({yes}, {_constant(case.gives, writer)}, if({no}, {text}, {writer.blank}))"
    return text


def _constant(value: Any, writer: Writer) -> str:
    return writer.text(value) if isinstance(value, str) else str(int(value) if isinstance(value, bool) else value)


def _look_up(step: LookUp, instrument: Instrument, writer: Writer) -> str:
    text = writer.blank
    for place, value in reversed(list(enumerate(step.values, step.first))):
        text = f"if({writer.field(step.of)} = {place}, {value}, {text})"
    return _whole((step.of,), text, writer)


_SAYS: dict[type, Callable[[Any, Instrument, Writer], str]] = {
    Sum: _sum,
    Mean: _mean,
    Percent: _percent,
    Count: _count,
    Prorated: _prorated,
    Possible: _possible,
    Largest: _largest,
    Blank: _blank,
    Linear: _linear,
    Ratio: _ratio,
    Truth: _truth,
    Cases: _cases,
    LookUp: _look_up,
}
