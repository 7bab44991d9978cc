"""Medicines: reading what somebody takes, knowing it by any of its names, and when a washout is over.

A name that nobody knows is unknown, never harmless. Nothing here advises anyone to stop a medicine: it
says which day a washout would be over, and whose decision stopping is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Final

from keel.domain.expression import Expression

_NO_DOSE: Final = re.compile(
    r"(-\s*\d|nan\b|-?inf|0+([.,]0+)?\s*[a-zµμ]*$|[\d.,]+\s*(kg|kilograms?|lbs?|pounds?|t|l|liters?|litres?)\b)", re.I
)
"""A dose below or at nothing, or in a unit in which nobody takes a medicine."""

_LONGEST_HOURS: Final = 24 * 365
"""No medicine has a longer half-life than a year: a longer one is a slip of the pen."""


@dataclass(frozen=True)
class Medication:
    """One medicine as entered. Without `stopped_on`, or with one after the day asked about, it is being taken.

    `half_life_hours` is what a pharmacist may add where the shelf has none; `last_dose_on` is for medicines
    taken now and then.
    """

    name: str
    dose: str = ""
    started_on: date | None = None
    stopped_on: date | None = None
    last_dose_on: date | None = None
    half_life_hours: float | None = None

    def is_taken(self, on: date) -> bool:
        return self.stopped_on is None or self.stopped_on > on

    def days_off(self, on: date) -> int | None:
        """Whole days since the last dose; None while it is being taken."""
        return None if self.stopped_on is None or self.stopped_on > on else (on - self.stopped_on).days


@dataclass(frozen=True)
class Medicine:
    """One ingredient of the shelf: every name it goes by, its classes (with the groups above them), its half-life."""

    id: str
    names: tuple[str, ...]
    classes: frozenset[str]
    half_life_hours: float | None = None
    half_life_source: str = ""
    source: str = ""


@dataclass(frozen=True)
class Recognised:
    """What a written name was found to be: the medicines in it, and the words nobody could read."""

    medicines: tuple[Medicine, ...]
    unread: str = ""

    @property
    def is_known(self) -> bool:
        return bool(self.medicines) and not self.unread


def read_medications(given: Any) -> tuple[Medication, ...]:
    """Read a list of medicines. Raises ValueError, in words, for what is no list of medicines."""
    if not isinstance(given, list | tuple):
        raise ValueError("it is not a list of medicines")
    return tuple(_read_medication(one) for one in given)


def _read_medication(one: Any) -> Medication:
    if isinstance(one, str):
        one = {"name": one}
    if not isinstance(one, Mapping) or not isinstance(one.get("name"), str) or not one["name"].strip():
        raise ValueError(f"{str(one)[:60]!r} has no name of a medicine")
    name = one["name"].strip()
    days = {key: _day(one.get(key), name, key) for key in ("started_on", "stopped_on", "last_dose_on")}
    if days["started_on"] and days["stopped_on"] and days["stopped_on"] < days["started_on"]:
        raise ValueError(f"{name} was stopped before it was started")
    half_life = one.get("half_life_hours")
    if half_life is not None and (
        isinstance(half_life, bool) or not isinstance(half_life, int | float) or not 0 < half_life < _LONGEST_HOURS
    ):
        raise ValueError(f"the half-life of {name} is not a number of hours that can be")
    return Medication(name, _dose(one.get("dose"), name), half_life_hours=half_life, **days)


def _dose(given: Any, name: str) -> str:
    """What was written of a dose; nothing reckons with it, and what can be no dose is not let stand as one."""
    if given is None:
        return ""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise ValueError(f"the dose of {name} is neither a number nor words")
    text = str(given).strip()
    if _NO_DOSE.match(text):
        raise ValueError(
            f"the dose of {name} cannot be {text[:20]!r}: it is not above nothing, or in no unit of a dose"
        )
    return text[:80]


def _day(value: Any, name: str, key: str) -> date | None:
    if value is None:
        return None
    try:
        day = value if type(value) is date else date.fromisoformat(str(value).strip()[:10])
    except ValueError:
        raise ValueError(f"{key} of {name} is {value!r}, not a date like 2026-03-01") from None
    if not 1900 <= day.year <= 2200:
        raise ValueError(f"{key} of {name} is {day}, which cannot be")
    return day


# ---- names ------------------------------------------------------------------------------------

# What people write around a name: strengths, forms, salts, how often. None of it changes what the medicine is.
_AROUND_WORDS: Final = """
    tablet tablets tab tabs capsule capsules cap caps pill pills oral orally po daily once twice bid tid qid qd od bd
    prn nocte mane mg mcg ug µg μg g ml iu meq mmol hour hours hr hrs h er sr xr xl la cr dr ir mr cd retard extended
    modified prolonged sustained immediate release delayed hydrochloride hcl hydrobromide hbr maleate mesylate
    mesilate succinate tartrate fumarate besylate besilate oxalate phosphate sulfate sulphate sodium potassium
    citrate carbonate acetate dimesylate bitartrate orotate magnesium per day a the at night morning evening mg/day
    microgram micrograms milligram milligrams odt patch spray solution suspension liquid drops generic
"""
_AROUND: Final = frozenset(_AROUND_WORDS.split())
_NUMBER: Final = re.compile(r"^[\d.,/x×+-]*\d[\d.,/x×+-]*(mg|mcg|ug|µg|μg|g|ml|iu|meq|mmol|h|hr|%)?(/(day|d|ml))?$")
_SPLIT: Final = re.compile(r"[\s()\[\],;:+/]+")


def words_of(name: str) -> tuple[str, ...]:
    """A written name as bare words: lower case, hyphens and quotes gone, one space everywhere."""
    text = name.casefold().replace("®", " ").replace("™", " ").replace("'", "").replace("’", "").replace("-", " ")
    return tuple(word.strip(".") for word in _SPLIT.split(text) if word.strip("."))


@dataclass(frozen=True)
class MedicineList:
    """Every medicine of the shelf by every name; built once by `keel.library.medicines`."""

    by_words: Mapping[tuple[str, ...], tuple[Medicine, ...]]
    by_id: Mapping[str, Medicine]
    longest: int

    @classmethod
    def of(cls, medicines: Iterable[Medicine]) -> MedicineList:
        by_words: dict[tuple[str, ...], tuple[Medicine, ...]] = {}
        by_id: dict[str, Medicine] = {}
        for medicine in medicines:
            by_id[medicine.id] = medicine
            for name in (medicine.id.replace("_", " "), *medicine.names):
                words = words_of(name)
                if medicine not in by_words.get(words, ()):
                    by_words[words] = (*by_words.get(words, ()), medicine)
        return cls(by_words, by_id, max((len(words) for words in by_words), default=0))

    def recognise(self, name: str) -> Recognised:
        """Find the medicines in a written name; the longest names first, strengths and forms left aside."""
        words, found, unread = words_of(name), dict[str, Medicine](), list[str]()
        place = 0
        while place < len(words):
            for length in range(min(self.longest, len(words) - place), 0, -1):
                here = self.by_words.get(words[place : place + length])
                if here:
                    found.update((medicine.id, medicine) for medicine in here)
                    place += length
                    break
            else:
                if words[place] not in _AROUND and not _NUMBER.match(words[place]):
                    unread.append(words[place])
                place += 1
        return Recognised(tuple(found.values()), " ".join(unread))


# ---- what a medicine means for a substance -----------------------------------------------------

ACTIONS: Final = ("exclude", "taper", "hold", "caution", "continue", "ok")


@dataclass(frozen=True)
class Interaction:
    """One cell of the matrix: what a medicine class (or one medicine) means for a substance.

    `washout_days` is the number that a source names; where it is None and `default_rule` is true the house
    formula stands in: five half-lives rounded up to days, and seven days. `hold_hours` is for what is only
    left out around the day. `in_service` softens the action in a regulated service that is not a trial. `only_if`
    is a condition on the facts: where it is known not to hold, the row says nothing.
    """

    substance: str
    medicine_class: str
    action: str
    because: str
    mechanism: str = ""
    basis: str = "house"
    evidence: tuple[str, ...] = ()
    confidence: str = ""
    verified: bool = False
    washout_days: int | None = None
    hold_hours: int | None = None
    in_service: str = ""
    version: int = 1
    only_if: Expression | None = None

    @property
    def rule_id(self) -> str:
        """The name that its findings go by."""
        return f"medication-{self.medicine_class.replace('_', '-')}"

    def action_in(self, service: bool) -> str:
        return self.in_service if service and self.in_service else self.action


def default_washout_days(half_life_hours: float) -> int:
    """The house formula: ceil(5 × half-life in days) + 7 days. Needs the medical lead's signature."""
    return math.ceil(5 * half_life_hours / 24) + 7


@dataclass(frozen=True)
class Washout:
    """How long after its last dose a medicine is taken to be gone: `days`, or None where nobody knows; and why."""

    days: int | None
    why: str


def washout_of(
    medication: Medication,
    medicine: Medicine,
    row: Interaction,
    protocol_days: Mapping[str, int],
) -> Washout:
    """The washout of one medicine under one row.

    The protocol's number for this very medicine goes before everything. Its number for a class goes before the
    row's own, but not before a row about this very medicine (fluoxetine stays longer than its class). A row
    without a number uses the house formula over the half-life, if one is known.
    """
    if medicine.id in protocol_days:
        return Washout(protocol_days[medicine.id], f"the protocol's own number for {medicine.id}")
    own = [protocol_days[c] for c in medicine.classes if c in protocol_days]
    if own and row.action != "exclude" and row.medicine_class != medicine.id:
        return Washout(max(own), "the protocol's own number")
    if row.washout_days is not None:
        return Washout(row.washout_days, "the number that the evidence names")
    known = [hours for hours in (medication.half_life_hours, medicine.half_life_hours) if hours is not None]
    if not known:
        return Washout(None, f"no half-life of {medicine.id} is on the shelf; the pharmacist can supply it")
    formula = f"house formula: five half-lives of {max(known):g} hours, rounded up to days, and 7 days"
    return Washout(default_washout_days(max(known)), formula)


@dataclass(frozen=True)
class Standing:
    """Where one medicine stands under one row on one day.

    `state` is taking, washing_out, over, or open (no washout can be worked out). `over_on` is the first day on
    which the washout is over, None while it is taken or open.
    """

    medication: Medication
    medicine: Medicine
    row: Interaction
    state: str
    washout: Washout | None = None
    over_on: date | None = None


def rows_for(medicine: Medicine, rows: Sequence[Interaction]) -> tuple[Interaction, ...]:
    return tuple(row for row in rows if row.medicine_class == medicine.id or row.medicine_class in medicine.classes)


def standing(
    medication: Medication, medicine: Medicine, row: Interaction, on: date, protocol_days: Mapping[str, int]
) -> Standing:
    """Work out where a medicine stands: still taken, washing out, or over, and on which day it is over."""
    washout = (
        Washout(math.ceil(row.hold_hours / 24), f"left out for {row.hold_hours} hours")
        if row.hold_hours is not None
        else washout_of(medication, medicine, row, protocol_days)
    )
    last = medication.stopped_on
    over_on = last + timedelta(days=washout.days) if last is not None and washout.days is not None else None
    if medication.is_taken(on):
        return Standing(medication, medicine, row, "taking", washout, over_on)
    if over_on is None:
        return Standing(medication, medicine, row, "open", washout)
    return Standing(medication, medicine, row, "over" if on >= over_on else "washing_out", washout, over_on)


# ---- the planner ------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlanLine:
    """One medicine on the planner's time line.

    `over_on` is the first day its washout is over: known only once a last dose has a date (also a planned
    one). `ask` says what must be asked of whom; `risks` what stopping may bring.
    """

    medication: Medication
    medicine_id: str
    medicine_class: str
    action: str
    state: str
    washout_days: int | None
    why: str
    over_on: date | None
    ask: str
    risks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The earliest day on which every washout is over; None while a question is open, and then `open_questions`."""

    substance: str
    earliest_on: date | None
    lines: tuple[PlanLine, ...]
    open_questions: tuple[str, ...] = ()


DECISIONS: Final = {
    "continue": "It goes on as it is",
    "taper": "It is tapered",
    "change": "It is changed for another",
    "asked": "Asked, no decision yet",
}
"""What a prescriber may have decided about a medicine; the decision is theirs, and is only written down here."""
NEVER_STOP: Final = (
    "Whether this medicine may be tapered is for its prescriber and the person to decide; Keel never advises it."
)


def earliest_day(
    medications: Sequence[Medication] | None,
    substance: str,
    rows: Sequence[Interaction],
    medicines: MedicineList,
    *,
    on: date,
    protocol_days: Mapping[str, int] | None = None,
    risks: Mapping[str, tuple[str, ...]] | None = None,
    service: bool = False,
) -> Plan:
    """The planner: for each medicine its washout and the day it is over; together the earliest day for a dose.

    `rows` is the matrix of the substance, `risks` the withdrawal and relapse risks by class, `protocol_days` the
    protocol's own washouts by class or ingredient. A medicine still taken counts from its planned last dose if
    one is entered, and is otherwise an open question to its prescriber.
    """
    if medications is None:
        return Plan(substance, None, (), ("Nobody has asked yet which medicines are taken.",))
    lines: list[PlanLine] = []
    questions: list[str] = []
    for medication in medications:
        recognised = medicines.recognise(medication.name)
        if not recognised.is_known:
            unread = recognised.unread or medication.name
            questions.append(f"{medication.name}: nobody here knows {unread!r}; ask the pharmacist what it is.")
        for medicine in recognised.medicines:
            lines.extend(_lines(medication, medicine, rows, on, protocol_days or {}, risks or {}, service, questions))
    waiting = [line.over_on for line in lines if line.state in ("washing_out", "taking") and line.over_on]
    # What is only left out around the dose is counted from today: no dose before it has been left out long enough.
    waiting += [on + timedelta(days=line.washout_days or 0) for line in lines if _still_to_leave_out(line)]
    earliest = None if questions else max([on, *waiting])
    return Plan(substance, earliest, tuple(lines), tuple(questions))


def _still_to_leave_out(line: PlanLine) -> bool:
    return line.action == "hold" and line.state == "taking" and line.over_on is None and line.washout_days is not None


def _lines(
    medication: Medication,
    medicine: Medicine,
    rows: Sequence[Interaction],
    on: date,
    protocol_days: Mapping[str, int],
    risks: Mapping[str, tuple[str, ...]],
    service: bool,
    questions: list[str],
) -> Iterable[PlanLine]:
    fitting = rows_for(medicine, rows)
    if not fitting:
        questions.append(f"{medication.name}: the matrix has no row for it; ask the prescriber and the pharmacist.")
    for row in fitting:
        action = row.action_in(service)
        if action not in ("exclude", "taper", "hold"):
            # The matrix would let it go on, and the protocol itself asks for a washout of its class: that one counts.
            named = next((c for c in (medicine.id, *sorted(medicine.classes)) if c in protocol_days), None)
            if named is None:
                continue
            row, action = (
                replace(row, action="taper", medicine_class=named, washout_days=None, hold_hours=None),
                "taper",
            )
        at = standing(medication, medicine, row, on, protocol_days)
        days = at.washout.days if at.washout else None
        if at.state == "open":
            questions.append(f"{medication.name}: {at.washout.why if at.washout else 'its washout is not known'}.")
        elif at.state == "taking" and at.over_on is None and action != "hold":
            questions.append(f"{medication.name} is being taken. {NEVER_STOP}")
        ask = NEVER_STOP if at.state == "taking" else ""
        found = tuple(r for c in sorted({medicine.id, *medicine.classes}) for r in risks.get(c, ()))
        yield PlanLine(
            medication,
            medicine.id,
            row.medicine_class,
            action,
            at.state,
            days,
            at.washout.why if at.washout else "",
            at.over_on,
            ask,
            found if at.state == "taking" else (),
        )


@dataclass(frozen=True)
class MedicineFact:
    """A medicine as a rule sees it: what was entered and every medicine it was recognised to be."""

    medication: Medication
    recognised: Recognised = field(default_factory=lambda: Recognised(()))

    def is_a(self, name: str) -> bool:
        return any(name == m.id or name in m.classes for m in self.recognised.medicines)
