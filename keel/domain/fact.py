"""Facts about a person: what is known, since when, from whom; and why something is not known.

A fact is given plainly (`34`) or with its day and source (`{"value": 34, "on": "2026-03-01", "source": "chart"}`).
What is impossible, dated in the future or too old is not a fact: it becomes *absent*, with the reason,
and the rules that need it will say unknown. Nothing here is ever repaired or guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from keel.domain.errors import Reason, refuse
from keel.domain.medication import Medication, read_medications

_LARGEST: Final = 1e9
KINDS: Final = ("number", "flag", "choice", "choices", "readings", "medications")


@dataclass(frozen=True)
class FactKind:
    """One line of the catalogue: what a fact is called, what it may be, how long it holds and who supplies it.

    `least` and `most` bound what a living person can have (they catch slips of the pen, they are no
    safety limits). `max_age_days` gives, for each guarded step, the age after which it is unknown again;
    `lasting` are the answers that age does not undo (a positive pregnancy test stands until another one). `choices`
    are all the answers of a choice, and of a list of choices the ones that the rules know.
    """

    name: str
    label: str
    kind: str
    group: str = ""
    unit: str = ""
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    fields: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    max_age_days: Mapping[str, int] = field(default_factory=dict)
    lasting: tuple[str, ...] = ()
    supplied_by: tuple[str, ...] = ()
    ask: str = ""


@dataclass(frozen=True)
class Reading:
    """One set of figures taken together (a blood pressure), and its day where known."""

    figures: Mapping[str, float]
    on: date | None = None


FactValue = bool | int | float | str | tuple[str, ...] | tuple[Reading, ...] | tuple[Medication, ...]


@dataclass(frozen=True)
class Fact:
    name: str
    value: FactValue
    on: date | None = None
    source: str | None = None


@dataclass(frozen=True)
class Facts:
    """What is known of one person on one day: `known` by name, and for what was given in vain, `absent` says why.

    `notes` are of what was given and can never have been right, and of names that no catalogue has.
    """

    on: date
    known: Mapping[str, Fact] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[Reason, ...] = ()

    def why_absent(self, name: str) -> str:
        return self.absent.get(name, "not known")

    def is_wrong(self, name: str) -> bool:
        """Whether something was told of it that can never have been right: not the same as never asked."""
        return any(note.where == name for note in self.notes)


def read_facts(raw: object, catalogue: Mapping[str, FactKind], *, on: date, guard: str = "admit") -> Facts:
    """Read facts by name as the day `on` sees them, before the step `guard`.

    Refuses only when `raw` is not an object. A fact that is wrong in itself is absent with a reason and a
    note; a name that the catalogue does not know is a note.
    """
    if not isinstance(raw, Mapping):
        raise refuse("The facts were not read", "they are not an object of facts by name", 'Give {"age_years": 34, …}')
    known: dict[str, Fact] = {}
    absent: dict[str, str] = {}
    notes: list[Reason] = []
    told: dict[str, Any] = {}
    for name, given, day, source, beside in _leaves(raw, catalogue, notes):
        if given is None:
            continue
        kind = catalogue[name]
        try:
            _check_beside(kind, beside)
            if (first := told.setdefault(name, given)) is not given and first != given:
                raise _NotAFact(f"it is told twice, as {_short(first)} and as {_short(given)}")
            fact_on = read_day(day)
            value = _read_value(kind, given)
            if value not in kind.lasting:
                _check_age(kind, fact_on, on, guard)
            elif fact_on is not None:
                _check_not_to_come(fact_on, on)
            if isinstance(value, tuple) and kind.kind == "readings":
                value = _fresh_readings(kind, value, on, guard)
            known[name] = Fact(name, value, fact_on, source)
        except _NotAFact as reason:
            known.pop(name, None)
            absent[name] = str(reason)
            if reason.wrong:
                notes.append(
                    Reason(
                        f"{kind.label} was set aside",
                        str(reason),
                        "Correct it and judge again",
                        name,
                        "impossible-fact",
                    )
                )
    return Facts(on, known, absent, tuple(notes))


class _NotAFact(Exception):
    """Why a given value does not count; `wrong` when it can never have been right."""

    def __init__(self, why: str, *, wrong: bool = True):
        super().__init__(why)
        self.wrong = wrong


def _leaves(
    raw: Mapping[Any, Any], catalogue: Mapping[str, FactKind], notes: list[Reason]
) -> Iterable[tuple[str, Any, Any, str | None, Mapping[Any, Any]]]:
    """Every named leaf (name, value, on, source, what else was said of it); a wrapped group hands all that down."""
    stack: list[tuple[str, Any, Any, str | None, Mapping[Any, Any]]] = [
        (str(k), v, None, None, {}) for k, v in reversed(list(raw.items()))
    ]
    while stack:
        name, given, day, source, beside = stack.pop()
        if isinstance(given, Mapping) and "value" in given:
            day, source = given.get("on", day), _text(given.get("source")) or source
            beside = {**beside, **{k: v for k, v in given.items() if k not in ("value", "on", "source")}}
            given = given["value"]
        if name in catalogue:
            yield name, given, day, source, beside
        elif any(known.startswith(f"{name}.") for known in catalogue):
            if isinstance(given, Mapping):
                stack.extend((f"{name}.{k}", v, day, source, beside) for k, v in reversed(list(given.items())))
            elif given is not None:
                notes.append(
                    Reason("A group of facts was set aside", "it is not an object", "Give it by name", name, "bad-fact")
                )
        elif given is not None:
            why = "no fact of that name is in the catalogue"
            notes.append(Reason("A fact was not used", why, "", name[:80] or "(no name)", "unknown-fact"))


def _check_beside(kind: FactKind, beside: Mapping[Any, Any]) -> None:
    """What stands beside a value may turn it into another one (pounds, Bazett): only its own unit may stand there."""
    for name, said in beside.items():
        if said is None or (name == "unit" and kind.unit and said == kind.unit):
            continue
        takes = f"it is taken in {kind.unit}" if name == "unit" and kind.unit else "only value, on and source are read"
        raise _NotAFact(f"beside it stands {str(name)[:40]} {_short(said)}, and {takes}")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def read_day(value: object) -> date | None:
    """A day from `2026-03-01` or an instant that begins with one; None stays None."""
    if value is None:
        return None
    try:
        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, date):
            return value
        if isinstance(value, str):
            return datetime.fromisoformat(value.strip()).date()
    except ValueError:
        pass
    raise _NotAFact(f"its day {_short(value)} is not a date like 2026-03-01")


def _check_age(kind: FactKind, fact_on: date | None, on: date, guard: str) -> None:
    if fact_on is None:
        return
    _check_not_to_come(fact_on, on)
    longest = kind.max_age_days.get(guard)
    age = (on - fact_on).days
    if longest is not None and age > longest:
        raise _NotAFact(f"it is {age} days old and holds for {longest} days", wrong=False)


def _check_not_to_come(fact_on: date, on: date) -> None:
    if fact_on > on:
        raise _NotAFact(f"it is dated {fact_on}, which lies after {on}")


def _read_value(kind: FactKind, given: Any) -> FactValue:
    match kind.kind:
        case "flag":
            if not isinstance(given, bool):
                raise _NotAFact(f"{_short(given)} is neither true nor false")
            return given
        case "number":
            return _number(given, kind.least, kind.most, kind.unit)
        case "choice":
            if not isinstance(given, str) or given.strip().casefold() not in kind.choices:
                raise _NotAFact(f"{_short(given)} is not one of {', '.join(kind.choices)}")
            return given.strip().casefold()
        case "choices":
            if not isinstance(given, list | tuple) or not all(isinstance(g, str) for g in given):
                raise _NotAFact("it is not a list of words")
            return tuple("_".join(g.casefold().replace("-", " ").split()) for g in given if g.strip())
        case "readings":
            return _read_readings(kind, given)
    try:
        return read_medications(given)
    except ValueError as error:
        raise _NotAFact(str(error)) from None


def _number(given: Any, least: float | None, most: float | None, unit: str) -> float | int:
    if isinstance(given, bool) or not isinstance(given, int | float) or not -_LARGEST < given < _LARGEST:
        raise _NotAFact(f"{_short(given)} is not a number that can be")
    if (least is not None and given < least) or (most is not None and given > most):
        raise _NotAFact(f"{given} {unit}".rstrip() + f" cannot be: it lies outside {least} to {most}")
    return given


def _read_readings(kind: FactKind, given: Any) -> tuple[Reading, ...]:
    if isinstance(given, Mapping):
        given = [given]
    if not isinstance(given, list | tuple):
        raise _NotAFact("it is not a list of readings")
    readings = []
    for one in given:
        if not isinstance(one, Mapping):
            raise _NotAFact(f"{_short(one)} is not a reading")
        if any(one.get(name) is None for name in kind.fields):
            raise _NotAFact(f"a reading lacks {' or '.join(kind.fields)}")
        _check_beside(kind, {"unit": one.get("unit")})
        figures = {name: float(_number(one[name], *bounds, kind.unit)) for name, bounds in kind.fields.items()}
        if figures.get("diastolic_mmhg", 0) >= figures.get("systolic_mmhg", 1):
            raise _NotAFact("a diastolic figure is not below its systolic one")
        readings.append(Reading(figures, read_day(one.get("on"))))
    return tuple(readings)


def _fresh_readings(kind: FactKind, readings: tuple[Any, ...], on: date, guard: str) -> tuple[Reading, ...]:
    """The readings that still hold; a reading from the future spoils the set, an old one just leaves it."""
    fresh: list[Reading] = []
    reasons: list[_NotAFact] = []
    for reading in readings:
        try:
            _check_age(kind, reading.on, on, guard)
            fresh.append(reading)
        except _NotAFact as reason:
            if reason.wrong:
                raise
            reasons.append(reason)
    if not fresh:
        raise reasons[-1] if reasons else _NotAFact("there is no reading", wrong=False)
    return tuple(fresh)
