"""When each visit is due, what state it is in, and what moves when one visit moves. Pure: the day is given as `on`.

A visit's dates hang on its anchor's actual date; until the anchor has happened they are projected from the anchor's
own due date, so the whole course has dates from the first day and they settle one by one.

The states, judged on the day `on`:

| state | when |
|---|---|
| `done` | it happened, inside every window whose anchor has happened (or no window is known) |
| `done_out_of_window` | it happened, outside such a window: a protocol deviation |
| `missed` | it was recorded as missed, with a cause |
| `withdrawn` | open when the person withdrew |
| `planned` | not yet: before its window, or it follows a visit that has not happened |
| `in_window` | its window is open and its due day has not come (or none is named) |
| `due` | the due day has come and the window, as far as it is known, is open |
| `overdue` | its latest day has passed; where no latest day is known, its due day |

An unknown bound is never invented: a visit that is overdue only because its due day passed is not out of window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Literal

from keel.domain.errors import Reason, Refused
from keel.domain.protocol import ENROLLED, Example, Protocol, Visit, Within

State = Literal["planned", "in_window", "due", "overdue", "done", "done_out_of_window", "missed", "withdrawn"]
STATES: tuple[State, ...] = (
    "planned",
    "in_window",
    "due",
    "overdue",
    "done",
    "done_out_of_window",
    "missed",
    "withdrawn",
)


@dataclass(frozen=True)
class PlannedVisit:
    """A visit with its dates. `projected` says that its anchor has not happened, so that the dates may still move."""

    visit: str
    label: str
    due_on: date | None
    earliest_on: date | None
    latest_on: date | None
    state: State
    done_on: date | None = None
    cause: str | None = None
    projected: bool = False

    def as_json(self) -> dict[str, str | None]:
        days = {"due_on": self.due_on, "earliest_on": self.earliest_on, "latest_on": self.latest_on}
        return {"visit": self.visit, **{k: d.isoformat() if d else None for k, d in days.items()}, "state": self.state}


@dataclass(frozen=True)
class Happened:
    """What is known of one course: the day of enrolment, actual dates by visit, causes of missed visits."""

    enrolled_on: date
    done: Mapping[str, date] = field(default_factory=dict)
    missed: Mapping[str, str] = field(default_factory=dict)
    withdrawn_on: date | None = None


@dataclass(frozen=True)
class Move:
    """How the dates of one visit change; `days` is the shift of the due day, None where it has none."""

    visit: str
    label: str
    was_due_on: date | None
    due_on: date | None
    earliest_on: date | None
    latest_on: date | None
    days: int | None


@dataclass(frozen=True)
class Deviation:
    """A departure from the schedule that the record itself shows.

    `kind`: out_of_window (`days` early is negative, late positive), wrong_order, or missed.
    """

    visit: str
    kind: Literal["out_of_window", "wrong_order", "missed"]
    because: str
    happened_on: date | None = None
    days: int | None = None


def plan(
    protocol: Protocol,
    arm: str,
    *,
    enrolled_on: date,
    on: date,
    done: Mapping[str, date] | None = None,
    missed: Mapping[str, str] | None = None,
    withdrawn_on: date | None = None,
) -> tuple[PlannedVisit, ...]:
    """The visits of an arm with dates and states, in the order of the protocol.

    Refuses what cannot have happened (see `check_happened`), with every reason.
    """
    happened = Happened(enrolled_on, done or {}, missed or {}, withdrawn_on)
    check_happened(protocol, arm, happened, on=on)
    return _planned(protocol, arm, happened, on)


def check_happened(protocol: Protocol, arm: str, happened: Happened, *, on: date) -> None:
    """Refuses an unknown arm or visit, a day after `on`, and any visit but screening before enrolment."""
    known = {v.id: v for v in protocol.visits_for(arm)}
    reasons: list[Reason] = []
    if happened.enrolled_on > on:
        reasons.append(_future("Enrolment", happened.enrolled_on, on, "enrolled_on"))
    if happened.withdrawn_on and happened.withdrawn_on > on:
        reasons.append(_future("The withdrawal", happened.withdrawn_on, on, "withdrawn_on"))
    for id in (*happened.done, *happened.missed):
        if id not in known:
            reasons.append(_unknown(protocol, arm, id, tuple(known)))
    for id, day in happened.done.items():
        if day > on:
            reasons.append(_future(f"The visit {id}", day, on, f"visits.{id}"))
        if day < happened.enrolled_on and id in known and known[id].kind != "screening":
            reasons.append(_before_enrolment(id, day, happened.enrolled_on))
        if id in happened.missed:
            reasons.append(_both(id))
    if reasons:
        raise Refused(reasons)


def moves(protocol: Protocol, arm: str, happened: Happened, visit: str, new_date: date) -> tuple[Move, ...]:
    """The other open visits whose dates change when `visit` takes place on `new_date` (past or future)."""
    protocol.visit(visit, arm)
    missed = {id: cause for id, cause in happened.missed.items() if id != visit}
    then = Happened(happened.enrolled_on, {**happened.done, visit: new_date}, missed, happened.withdrawn_on)
    before = _planned(protocol, arm, happened, happened.enrolled_on)
    after = _planned(protocol, arm, then, happened.enrolled_on)
    return tuple(
        _move(was, now)
        for was, now in zip(before, after, strict=True)
        if was.visit != visit
        and was.state not in ("done", "done_out_of_window", "missed")
        and _dates(was) != _dates(now)
    )


def deviations(protocol: Protocol, arm: str, happened: Happened) -> tuple[Deviation, ...]:
    """Visits out of window, in the wrong order, or missed, in the order of the protocol."""
    days = _Days(protocol, arm, happened)
    found: list[Deviation] = []
    for visit in days.visits.values():
        found += _out_of_window(visit, days)
        found += _wrong_order(visit, days)
        if visit.id in happened.missed:
            found.append(Deviation(visit.id, "missed", f"{visit.label} was missed: {happened.missed[visit.id]}"))
    return tuple(found)


def broken_examples(protocol: Protocol) -> tuple[str, ...]:
    """The examples of the file that the schedule does not bear out, each in a sentence."""
    return tuple(said for at, example in enumerate(protocol.examples) for said in _broken(protocol, example, at))


def _broken(protocol: Protocol, example: Example, at: int) -> Iterator[str]:
    given = {"enrolled_on": example.enrolled_on, "on": example.on}
    try:
        rows = plan(protocol, example.arm, done=example.visits, missed=example.missed, **given)
    except Refused as refused:
        yield f"examples[{at}] is refused: {refused}"
        return
    found = {row.visit: row for row in rows}
    for id, expected in example.gives.items():
        if id not in found:
            yield f"examples[{at}] names {id}, which the {example.arm} arm does not have"
            continue
        for name, value in expected.model_dump(exclude_unset=True).items():
            if (actual := getattr(found[id], name)) != value:
                yield f"examples[{at}] says {name} {value} for {id}, and the schedule gives {actual}"


# ---- dates ---------------------------------------------------------------------------------------


class _Days:
    """The dates of one course, worked out once. Anchors never form a loop: the protocol was checked for that."""

    def __init__(self, protocol: Protocol, arm: str, happened: Happened):
        self.visits = {v.id: v for v in protocol.visits_for(arm)}
        self.happened = happened
        self._window: dict[str, tuple[date | None, date | None]] = {}
        self._windows = {id: v.windows for id, v in self.visits.items()}
        self._expected: dict[str, date] = {ENROLLED: happened.enrolled_on}

    def actual(self, anchor: str) -> date | None:
        """The day that an anchor really happened."""
        return self.happened.enrolled_on if anchor == ENROLLED else self.happened.done.get(anchor)

    def expected(self, anchor: str) -> date:
        """The actual day of an anchor, or the day it is projected for."""
        if anchor not in self._expected:
            self._expected[anchor] = self.actual(anchor) or self._projected(self.visits[anchor])
        return self._expected[anchor]

    def _projected(self, visit: Visit) -> date:
        earliest, latest = self.window(visit)
        return self.due(visit) or earliest or latest or self.expected(visit.after)

    def due(self, visit: Visit) -> date | None:
        """The due day, moved to the nearest day of the window where another anchor has narrowed it."""
        day = visit.due_on(self.expected(visit.after))
        if day is None:
            return None
        earliest, latest = self.window(visit)
        day = max(day, earliest) if earliest else day
        return min(day, latest) if latest else day

    def window(self, visit: Visit) -> tuple[date | None, date | None]:
        """The first and last day that all windows allow together, as far as they are known."""
        if visit.id not in self._window:
            self._window[visit.id] = _together((w, self.expected(w.after)) for w in self._windows[visit.id])
        return self._window[visit.id]

    def firm_window(self, visit: Visit) -> tuple[date | None, date | None]:
        """The same from windows whose anchors have really happened: what a deviation is judged by."""
        return _together((w, day) for w in self._windows[visit.id] if (day := self.actual(w.after)))

    def is_waiting(self, visit: Visit) -> bool:
        """Whether the visit cannot come yet, because what it follows has neither happened nor been missed."""
        anchor = visit.after
        if anchor == ENROLLED or anchor in self.happened.done or anchor in self.happened.missed:
            return False
        return not visit.comes_before_anchor or self.is_waiting(self.visits[anchor])


def _together(windows: Iterable[tuple[Within, date]]) -> tuple[date | None, date | None]:
    """What several windows, each with the day of its anchor, allow at once."""
    early: list[date] = []
    late: list[date] = []
    for window, anchor_on in windows:
        if window.earliest_days is not None:
            early.append(anchor_on + timedelta(days=window.earliest_days))
        if window.latest_days is not None:
            late.append(anchor_on + timedelta(days=window.latest_days))
    return max(early, default=None), min(late, default=None)


# ---- states --------------------------------------------------------------------------------------


def _planned(protocol: Protocol, arm: str, happened: Happened, on: date) -> tuple[PlannedVisit, ...]:
    days = _Days(protocol, arm, happened)
    return tuple(_planned_visit(visit, days, on) for visit in days.visits.values())


def _planned_visit(visit: Visit, days: _Days, on: date) -> PlannedVisit:
    earliest, latest = days.window(visit)
    due = days.due(visit)
    return PlannedVisit(
        visit=visit.id,
        label=visit.label,
        due_on=due,
        earliest_on=earliest,
        latest_on=latest,
        state=_state(visit, days, due, earliest, latest, on),
        done_on=days.happened.done.get(visit.id),
        cause=days.happened.missed.get(visit.id),
        projected=days.actual(visit.after) is None,
    )


def _state(visit: Visit, days: _Days, due: date | None, earliest: date | None, latest: date | None, on: date) -> State:
    happened = days.happened
    if visit.id in happened.done:
        return "done_out_of_window" if _days_outside(happened.done[visit.id], *days.firm_window(visit)) else "done"
    if visit.id in happened.missed:
        return "missed"
    if happened.withdrawn_on is not None:
        return "withdrawn"
    if days.is_waiting(visit):
        return "planned"
    return _open_state(due, earliest, latest, on)


def _open_state(due: date | None, earliest: date | None, latest: date | None, on: date) -> State:
    """The state of a visit that may happen, from its dates alone."""
    last = latest or due
    if last is not None and on > last:
        return "overdue"
    if due is not None and on >= due:
        return "due"
    if earliest is not None and on >= earliest:
        return "in_window"
    if earliest is None and due is None and latest is not None:
        return "in_window"
    return "planned"


def _days_outside(day: date, earliest: date | None, latest: date | None) -> int:
    """Days before the window (negative) or after it (positive); 0 inside, and where no bound is known."""
    if earliest and day < earliest:
        return (day - earliest).days
    if latest and day > latest:
        return (day - latest).days
    return 0


# ---- moves and deviations ------------------------------------------------------------------------


def _dates(visit: PlannedVisit) -> tuple[date | None, date | None, date | None]:
    return visit.due_on, visit.earliest_on, visit.latest_on


def _move(was: PlannedVisit, now: PlannedVisit) -> Move:
    days = (now.due_on - was.due_on).days if was.due_on and now.due_on else None
    return Move(now.visit, now.label, was.due_on, now.due_on, now.earliest_on, now.latest_on, days)


def _out_of_window(visit: Visit, days: _Days) -> list[Deviation]:
    day = days.happened.done.get(visit.id)
    if day is None:
        return []
    earliest, latest = days.firm_window(visit)
    outside = _days_outside(day, earliest, latest)
    if not outside:
        return []
    how = "early" if outside < 0 else "late"
    allowed = f"from {earliest or 'an unknown day'} to {latest or 'an unknown day'}"
    because = f"{visit.label} took place on {day}, {abs(outside)} day(s) too {how}: the protocol allows it {allowed}"
    return [Deviation(visit.id, "out_of_window", because, day, outside)]


def _wrong_order(visit: Visit, days: _Days) -> list[Deviation]:
    """A visit before what it follows, or dosing before the preparation that the protocol lists ahead of it."""
    day = days.happened.done.get(visit.id)
    if day is None:
        return []
    found = []
    for earlier in predecessors(visit, tuple(days.visits.values())):
        if earlier in days.happened.missed:
            continue
        then, label = days.happened.done.get(earlier), days.visits[earlier].label
        if then is None:
            found.append(f"{visit.label} took place on {day}, and {label}, which comes before it, has not")
        elif then > day:
            found.append(f"{visit.label} took place on {day}, before {label} on {then}")
    return [Deviation(visit.id, "wrong_order", because, day) for because in found]


def predecessors(visit: Visit, visits: tuple[Visit, ...]) -> tuple[str, ...]:
    """The visits that must come first (the same day will do).

    What the visit follows; whatever leads up to it; and for dosing, every visit of screening, baseline,
    preparation and waiting that the protocol lists ahead of it.
    """
    ids = [v.id for v in visits]
    first = {visit.after} if visit.after != ENROLLED and not visit.comes_before_anchor else set()
    first |= {v.id for v in visits if v.after == visit.id and v.comes_before_anchor}
    if visit.kind == "dosing":
        ahead = visits[: ids.index(visit.id)]
        first |= {v.id for v in ahead if v.kind in ("screening", "baseline", "preparation", "waiting")}
    return tuple(id for id in ids if id in first)


# ---- reasons -------------------------------------------------------------------------------------


def _future(what: str, day: date, on: date, where: str) -> Reason:
    return Reason(
        f"{what} was not accepted",
        f"{day} is after {on}, the day the plan is made for",
        "Correct the date, or plan for a later day",
        where,
        "future-date",
    )


def _unknown(protocol: Protocol, arm: str, id: str, known: tuple[str, ...]) -> Reason:
    return Reason(
        f"The visit {id!r} was not accepted",
        f"the {arm} arm of {protocol.id} has no such visit",
        f"Use one of: {', '.join(known)}",
        f"visits.{id}",
        "unknown-visit",
    )


def _before_enrolment(id: str, day: date, enrolled_on: date) -> Reason:
    return Reason(
        f"The visit {id} was not accepted",
        f"{day} is before enrolment on {enrolled_on}, and only screening may come before it",
        "Correct one of the two dates",
        f"visits.{id}",
        "before-enrolment",
    )


def _both(id: str) -> Reason:
    return Reason(
        f"The visit {id} was not accepted",
        "it is recorded as done and as missed",
        "Keep the one that is true",
        f"visits.{id}",
        "done-and-missed",
    )
