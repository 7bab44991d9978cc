"""Adverse events: everything that happened, good, bad or strange, and the clocks that start to run.

Five things are kept apart that are often muddled: the grade (how severe, CTCAE 1 to 5), the seriousness (a
regulator's list of outcomes), the relatedness, the expectedness, and the valence (how it was for the person).
A pleasant event is collected like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from keel.domain.errors import Reason, Refused
from keel.domain.expression import UNKNOWN, Answer, Expression, evaluate

GRADES: Final = {
    1: "mild, observed only",
    2: "moderate: little or local treatment; limits instrumental activities of daily life",
    3: "severe: hospital, or self-care limited",
    4: "life-threatening",
    5: "death",
}
SERIOUSNESS: Final = {
    "death": "Death",
    "life_threatening": "Life-threatening",
    "hospitalisation": "Stay in hospital, or a longer one",
    "disability": "Lasting or significant disability",
    "congenital_anomaly": "Congenital anomaly",
    "medically_important": "Important medical event",
}
VALENCES: Final = ("pleasant", "unpleasant", "mixed", "neutral")
RELATEDNESS: Final = ("related", "possibly_related", "unlikely_related", "not_related")
SUSPECTED: Final = frozenset({"related", "possibly_related"})
EXPECTEDNESS: Final = ("expected", "unexpected")
OUTCOMES: Final = ("resolved", "resolving", "not_resolved", "resolved_with_sequelae", "fatal", "unknown")
ACTIONS: Final = {
    "none": "None needed",
    "watched": "Watched",
    "treated": "Treated",
    "dose_postponed": "Dose put off",
    "stopped": "Treatment stopped",
    "hospital": "Sent to hospital",
}
UNCODED: Final = "Other"
"""A term for what is not on the list, or not sorted yet: the words say what it was."""
DISCLOSED_TO: Final = {
    "participant": "The participant",
    "treating_physician": "A physician who treats them elsewhere",
    "site_staff": "Staff of this site who were blinded",
    "sponsor": "The sponsor or a regulator",
}
CALLED: Final = {
    "ambulance": "An ambulance or the emergency number",
    "hospital": "A hospital or emergency department",
    "crisis_team": "A crisis team",
    "police": "The police",
}
STARTS: Final = {
    "site_awareness": "The site learned of it",
    "sponsor_receipt": "The sponsor received it",
    "sponsor_determination": "The sponsor determined that it qualifies",
    "sponsor_redetermination": "The sponsor determined anew",
}
"""The events that start a reporting clock. The first is the day of the first report here."""
CLOCK_FACTS: Final = frozenset({"serious", "fatal", "life_threatening", "suspected", "unexpected", "reassessed"})


@dataclass(frozen=True)
class AdverseEvent:
    """One event. None means not judged yet, which is never the same as no."""

    term: str
    began_at: datetime
    grade: int | None = None
    serious: frozenset[str] | None = None
    related: str | None = None
    expected: str | None = None
    valence: str | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    action: str = ""
    words: str = ""
    visit: str = ""
    minute: int | None = None

    @property
    def is_serious(self) -> bool | None:
        return None if self.serious is None else bool(self.serious)


@dataclass(frozen=True)
class Window:
    """A phase of the aftermath, by days since the dose; `last_day` None is without end."""

    id: str
    label: str
    first_day: int
    last_day: int | None
    basis: str = "house"


def check_adverse_event(given: Mapping[str, Any], *, now: datetime) -> AdverseEvent:
    """Read an adverse event as entered. Refuses with every reason at once; what was not judged stays None.

    `term`, `began_at` (ISO instant) are needed; `grade` 1 to 5, `serious` a list of criteria (empty = judged and
    none), `related`, `expected`, `valence`, `outcome`, `ended_at`, `minute` may follow later.
    """
    began_at, ended_at = (_instant(given.get(key), now) for key in ("began_at", "ended_at"))
    reasons = [*_wrong_times(given, began_at, ended_at, now), *_wrong_judgements(given)]
    term = given.get("term")
    if not isinstance(term, str) or not term.strip():
        reasons.insert(0, _no("term", "it has no term", "Choose a term, or write what happened"))
    if reasons or began_at is None:
        raise Refused(reasons)
    serious = given.get("serious")
    return AdverseEvent(
        term=str(term).strip(),
        began_at=began_at,
        grade=given.get("grade"),
        serious=None if serious is None else frozenset(serious),
        related=given.get("related"),
        expected=given.get("expected"),
        valence=given.get("valence"),
        ended_at=ended_at,
        outcome=given.get("outcome"),
        action=str(given.get("action") or ""),
        words=str(given.get("words") or ""),
        visit=str(given.get("visit") or ""),
        minute=given.get("minute"),
    )


def _no(field: str, why: str, mend: str) -> Reason:
    return Reason("The event was not recorded", why, mend, field, "bad-adverse-event")


def _wrong_times(
    given: Mapping[str, Any], began_at: datetime | None, ended_at: datetime | None, now: datetime
) -> Iterator[Reason]:
    if began_at is None:
        yield _no("began_at", "it does not say when it began", "Give the day and the time, as well as it is known")
    elif began_at > now:
        yield _no("began_at", "it would begin in the future", "Give a time that has passed")
    if given.get("ended_at") is not None and ended_at is None:
        yield _no("ended_at", f"{given['ended_at']!r} is no day and time", "Give the day and the time")
    if began_at and ended_at and ended_at < began_at:
        yield _no("ended_at", "it would end before it began", "Correct one of the two")


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "related": RELATEDNESS,
    "expected": EXPECTEDNESS,
    "valence": VALENCES,
    "outcome": OUTCOMES,
}


def _wrong_judgements(given: Mapping[str, Any]) -> Iterator[Reason]:
    grade, serious = given.get("grade"), given.get("serious")
    if grade is not None and (not isinstance(grade, int) or isinstance(grade, bool) or grade not in GRADES):
        yield _no("grade", f"{grade!r} is no CTCAE grade", "Choose 1, 2, 3, 4 or 5")
    if serious is not None and (
        not isinstance(serious, list | tuple | set | frozenset) or any(one not in SERIOUSNESS for one in serious)
    ):
        yield _no("serious", "it names a criterion of seriousness that there is not", f"Use {', '.join(SERIOUSNESS)}")
    elif grade == 5 and serious is not None and "death" not in serious:
        yield _no("serious", "grade 5 is death and the criteria do not name it", "Add death, or correct the grade")
    for key, allowed in _CHOICES.items():
        if given.get(key) is not None and given[key] not in allowed:
            yield _no(key, f"{given[key]!r} is none of the answers", f"Use {', '.join(allowed)}")


def _instant(value: Any, now: datetime) -> datetime | None:
    """A day and time; one without a zone is taken in the zone of `now`."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        return None
    if not isinstance(found, datetime):
        return None
    return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)


def window_of(began_on: date, last_dose_on: date | None, windows: Sequence[Window]) -> Window | None:
    """The phase in which an event began, by days since the dose before it; None before any dose."""
    if last_dose_on is None or began_on < last_dose_on:
        return None
    days = (began_on - last_dose_on).days
    fitting = (w for w in windows if w.first_day <= days and (w.last_day is None or days <= w.last_day))
    return next(fitting, None)


# ---- reporting clocks ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Clock:
    """One reporting clock: when it applies, which event starts it, in how many calendar days the report is due.

    `starts` is one of STARTS, or `sent:` and the id of another clock: this one runs from the day its report went out.
    `days` None is a duty whose number no source gave: it is owed, and the site says by when.
    """

    id: str
    regime: str
    label: str
    when: Expression
    starts: str
    days: int | None
    owner: str
    evidence: tuple[str, ...]
    verified: bool


@dataclass(frozen=True)
class Due:
    """What one clock says of one event.

    `state` is running (with `due_on`), overdue, sent, not_started (the starting event has no date yet), open
    (no number is known), or undecided (`missing` names the judgements without which nobody can say).
    """

    clock: Clock
    state: str
    started_on: date | None = None
    due_on: date | None = None
    missing: tuple[str, ...] = ()


def due_reports(
    event: AdverseEvent,
    clocks: Iterable[Clock],
    *,
    regimes: frozenset[str],
    started_on: Mapping[str, date],
    sent: Mapping[str, date],
    on: date,
    reassessed: bool = False,
) -> tuple[Due, ...]:
    """Every report that an event calls for, or may call for while a judgement is missing.

    `regimes` are those the site is under; `started_on` says on which day each starting event happened (the
    sponsor's receipt and the sponsor's determination are two); `sent` the day each clock's report went out.
    Days are calendar days.
    """
    world = _EventWorld(event, reassessed)
    dues = (_due(clock, world, started_on, sent, on) for clock in clocks if clock.regime in regimes)
    return tuple(due for due in dues if due is not None)


def _due(
    clock: Clock, world: _EventWorld, started_on: Mapping[str, date], sent: Mapping[str, date], on: date
) -> Due | None:
    applies = evaluate(clock.when, world)
    if applies.value is False:
        return None
    before = clock.starts.removeprefix("sent:")
    started = started_on.get(clock.starts) if before == clock.starts else sent.get(before)
    due_on = started + timedelta(days=clock.days) if started is not None and clock.days is not None else None
    if clock.id in sent:
        return Due(clock, "sent", started, due_on)
    if applies.is_unknown:
        return Due(clock, "undecided", started, due_on, tuple(sorted(applies.missing)))
    if clock.days is None:
        return Due(clock, "open", started)
    if due_on is None:
        return Due(clock, "not_started")
    return Due(clock, "overdue" if on > due_on else "running", started, due_on)


class _EventWorld:
    """An event as the conditions of the clocks ask for it: what was not judged is UNKNOWN."""

    def __init__(self, event: AdverseEvent, reassessed: bool):
        criteria, related, expected = event.serious, event.related, event.expected
        self.facts: dict[str, bool | None] = {
            "serious": event.is_serious,
            "fatal": None if criteria is None else "death" in criteria,
            "life_threatening": None if criteria is None else "life_threatening" in criteria,
            "suspected": None if related is None else related in SUSPECTED,
            "unexpected": None if expected is None else expected == "unexpected",
            "reassessed": reassessed,
        }

    def look(self, path: str) -> Answer:
        value = self.facts.get(path)
        return Answer(UNKNOWN, missing=frozenset({path})) if value is None else Answer(value, frozenset({path}))

    def ask(self, question: str, args: tuple[Answer | str, ...], named: Mapping[str, Answer]) -> Answer:
        raise Refused(Reason("The clock was not judged", f"{question}(…) is no question about an event"))
