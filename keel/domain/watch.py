"""What the clock of a dosing day asks for: vital signs due, limits crossed, people in the room, breaks in presence.

    due(vitals, taken, dosed_at=…, at=…)          the times of the protocol, each done, late, missed or to come
    crossings(thresholds, taken, at=…)            limits crossed, or crossed once and to be measured again
    shortages(wanted, people=3, here=["facilitator"], law=…, doses_mg=…)   what a room lacks now
    gaps(stays, start=…, end=…)                   when nobody (or too few) watched
    unwatched(stays, start=…, at=…, …)            since when nobody watches now, and until when a break may last

All pure: the moment is given as `at`, instants are aware, vital signs are `Taken`.

House rules, each to be signed off by a site: a due time counts as met by a reading nearer to it than to its
neighbours; it is late after LATE_MINUTES; a second reading that is high counts whenever it comes at least as late as
the protocol's shorter distance, because a pressure that stayed high longer is no reason to be calmer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from keel.domain.errors import Reason, Refused
from keel.domain.jurisdiction import Jurisdiction, check_group
from keel.domain.protocol import Consequence, Presence, Threshold, Vitals

LATE_MINUTES = 5
AROUND_MINUTES = 15
"""How old a reading may be that a supplemental dose is judged by, where the protocol names no time of its own."""

DOES: dict[Consequence, str] = {
    "hold_dose": "Hold the dose",
    "alert": "Tell the lead facilitator and stay close",
    "call_physician": "Call the physician",
    "withhold_supplemental": "Give no supplemental dose",
    "cool_actively": "Cool actively",
    "emergency": "Emergency: call for help",
    "no_release": "No release yet",
}
MEASURES: dict[str, tuple[str, str]] = {
    "systolic_mmhg": ("Systolic", "mmHg"),
    "diastolic_mmhg": ("Diastolic", "mmHg"),
    "heart_rate_bpm": ("Pulse", "/min"),
    "temperature_c": ("Temperature", "°C"),
    "spo2_percent": ("Oxygen", "%"),
}


@dataclass(frozen=True)
class Taken:
    """One set of vital signs: when, and value by measure (a key of MEASURES); what was not taken is absent."""

    at: datetime
    values: Mapping[str, float]


# ---- the schedule -----------------------------------------------------------------------------------

DueState = Literal["done", "planned", "due", "overdue", "missed"]


@dataclass(frozen=True)
class Due:
    """A time at which vital signs are taken. `minute` counts from the first dose; no `at` before there was one."""

    minute: int
    at: datetime | None
    state: DueState


def due(
    vitals: Vitals | None,
    taken: Sequence[Taken],
    *,
    dosed_at: datetime | None,
    at: datetime,
    supplemental_at: datetime | None = None,
) -> tuple[Due, ...]:
    """The vital-sign times of one person, in their order. Before the dose only those up to it are asked for."""
    if vitals is None:
        return ()
    if dosed_at is None:
        met = bool(taken)
        return tuple(Due(m, None, "done" if met else "due") for m in vitals.minutes if m <= 0)
    minutes = sorted({*vitals.minutes, *_around(vitals, dosed_at, supplemental_at)})
    found = []
    for place, minute in enumerate(minutes):
        moment = dosed_at + timedelta(minutes=minute)
        low = dosed_at + timedelta(minutes=(minutes[place - 1] + minute) / 2) if place else None
        high = dosed_at + timedelta(minutes=(minutes[place + 1] + minute) / 2) if place + 1 < len(minutes) else None
        met = any((low is None or t.at > low) and (high is None or t.at <= high) for t in taken)
        found.append(Due(minute, moment, "done" if met else _standing(moment, high, at)))
    return tuple(found)


def _around(vitals: Vitals, dosed_at: datetime, supplemental_at: datetime | None) -> tuple[int, ...]:
    if supplemental_at is None or vitals.around_supplemental_minutes is None:
        return ()
    minute = int((supplemental_at - dosed_at).total_seconds() // 60)
    return (minute - vitals.around_supplemental_minutes, minute + vitals.around_supplemental_minutes)


def _standing(moment: datetime, until: datetime | None, at: datetime) -> DueState:
    if until is not None and at > until:
        return "missed"
    if at > moment + timedelta(minutes=LATE_MINUTES):
        return "overdue"
    return "due" if at >= moment else "planned"


def next_due(times: Sequence[Due]) -> Due | None:
    """The first time that still waits."""
    return next((d for d in times if d.state in ("overdue", "due", "planned")), None)


# ---- limits -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crossing:
    """A limit that is crossed (`stands`), or was crossed but not yet often enough: then `again_from` to `again_to`."""

    threshold: Threshold
    value: float
    at: datetime
    stands: bool
    again_from: datetime | None = None
    again_to: datetime | None = None

    @property
    def says(self) -> str:
        name, unit = MEASURES[self.threshold.measure]
        return f"{name} {self.value:g} {unit}"


def crossings(thresholds: Sequence[Threshold], taken: Sequence[Taken], *, dosed: bool) -> tuple[Crossing, ...]:
    """The limits that the readings cross now, the gravest first.

    A limit needs its number of readings in a row, far enough apart; a single expected peak is shown as a request to
    measure again, never as an alarm. Limits of the dose itself count before it, those of the release after it.
    """
    found = [c for t in thresholds if _counts(t, dosed) and (c := _crossing(t, taken)) is not None]
    return tuple(sorted(found, key=lambda c: (not c.stands, GRAVITY.index(c.threshold.does))))


GRAVITY: tuple[Consequence, ...] = (
    "emergency",
    "call_physician",
    "cool_actively",
    "hold_dose",
    "alert",
    "withhold_supplemental",
    "no_release",
)


def _counts(threshold: Threshold, dosed: bool) -> bool:
    return dosed if threshold.does in ("withhold_supplemental", "no_release") else (
        not dosed if threshold.does == "hold_dose" else True
    )  # fmt: skip


def _crossing(threshold: Threshold, taken: Sequence[Taken]) -> Crossing | None:
    readings = sorted((t.at, t.values[threshold.measure]) for t in taken if threshold.measure in t.values)
    run: list[tuple[datetime, float]] = []
    for moment, value in reversed(readings):
        if not threshold.is_crossed_by(value):
            break
        run.append((moment, value))
    if not run:
        return None
    (last_at, last), need = run[0], threshold.readings or 1
    least, most = threshold.minutes_apart or (0, 0)
    counted = _far_enough(run, timedelta(minutes=least))
    if counted >= need:
        return Crossing(threshold, last, last_at, True)
    earliest = last_at + timedelta(minutes=least)
    return Crossing(threshold, last, last_at, False, earliest, last_at + timedelta(minutes=most or least))


def _far_enough(run: Sequence[tuple[datetime, float]], apart: timedelta) -> int:
    """How many readings of a run count: each at least `apart` from the one before that counts."""
    counted, previous = 0, None
    for moment, _ in reversed(run):
        if previous is None or moment - previous >= apart:
            counted, previous = counted + 1, moment
    return counted


def blocks(
    thresholds: Sequence[Threshold], taken: Sequence[Taken], does: Consequence, *, what: str, mend: str, dosed: bool
) -> tuple[Reason, ...]:
    """The crossed limits with one consequence, as reasons for a refusal."""
    return tuple(
        Reason(what, f"{c.says}: {c.threshold.because.rstrip('.').lower()}", mend, c.threshold.id, "limit-crossed")
        for c in crossings(thresholds, taken, dosed=dosed)
        if c.stands and c.threshold.does == does
    )


def supplemental_blocks(vitals: Vitals | None, taken: Sequence[Taken], *, at: datetime) -> tuple[Reason, ...]:
    """What vital signs say against a supplemental dose now. Nothing measured lately is not good news."""
    what = "The supplemental dose was not given"
    limits = [] if vitals is None else [t for t in vitals.thresholds if t.does == "withhold_supplemental"]
    if vitals is None or not limits:
        return ()
    lately = timedelta(minutes=vitals.around_supplemental_minutes or AROUND_MINUTES)
    fresh = [t for t in taken if at - lately <= t.at <= at]
    missing = [MEASURES[m][0].lower() for m in dict.fromkeys(t.measure for t in limits) if _last(fresh, m) is None]
    if missing:
        why = f"{' and '.join(missing)} not measured in the last {lately.total_seconds() / 60:g} minutes"
        return (Reason(what, why, "Measure first", "vitals", "vitals-unknown"),)
    return blocks(limits, fresh, "withhold_supplemental", what=what, mend="Give none", dosed=True)


def release_blocks(vitals: Vitals | None, taken: Sequence[Taken], *, dosed_at: datetime | None) -> tuple[Reason, ...]:
    """What vital signs say against the release. With nothing measured since the dose they are not known."""
    what = "The release was refused"
    if vitals is None or dosed_at is None:
        return ()
    since = [t for t in taken if t.at >= dosed_at]
    if not since:
        return (
            Reason(what, "no vital signs were taken since the dose", "Take them", "vitals", "vitals-unknown"),
        )  # fmt: skip
    mend = "Wait, and measure again"
    return blocks(vitals.thresholds, since, "no_release", what=what, mend=mend, dosed=True)


def _last(taken: Sequence[Taken], measure: str) -> float | None:
    known = [(t.at, t.values[measure]) for t in taken if measure in t.values]
    return max(known)[1] if known else None


# ---- people in the room -----------------------------------------------------------------------------


def shortages(
    wanted: Sequence[Presence],
    *,
    people: int,
    here: Sequence[str],
    law: Jurisdiction | None = None,
    doses_mg: Sequence[float] = (),
    substance: str = "",
) -> tuple[Reason, ...]:
    """What the room lacks now, by the protocol and, where a law's steps apply, by the largest dose in the room.

    `here` holds the role of everybody in the room; `people` how many are treated; `doses_mg` each one's total dose.
    Without a table of steps the law says nothing here that can be counted.
    """
    found = list(_protocol_short(wanted, people, here))
    if law is not None and law.group_steps and doses_mg:
        try:
            check_group(law, doses_mg, facilitators=sum(r == "facilitator" for r in here), substance=substance)
        except Refused as refused:
            found += [Reason("The room", r.why, r.mend, law.id, r.code) for r in refused.reasons]
    return tuple(found)


def _protocol_short(wanted: Sequence[Presence], people: int, here: Sequence[str]) -> Iterator[Reason]:
    for rule in wanted:
        if rule.where != "in_room" or rule.role not in ("facilitator", "physician"):
            continue
        need, there = rule.needed(people), sum(role == rule.role for role in here)
        if there < need:
            noun = rule.role if need == 1 else f"{rule.role}s"
            yield Reason("The room", f"{there} of {need} {noun} in it", "Wait until they are there", code="presence")


@dataclass(frozen=True)
class Stay:
    """Somebody in the room from `came_at` until `left_at` (None: still there)."""

    came_at: datetime
    left_at: datetime | None = None


@dataclass(frozen=True)
class Gap:
    """Fewer than needed were there from `start` to `end`; `there` is the least number in between."""

    start: datetime
    end: datetime
    there: int

    @property
    def minutes(self) -> float:
        return (self.end - self.start).total_seconds() / 60


def gaps(stays: Sequence[Stay], *, start: datetime, end: datetime, needed: int = 1) -> tuple[Gap, ...]:
    """When between `start` and `end` fewer than `needed` were in the room. Empty: presence was continuous."""
    edges = {start, end}
    for stay in stays:
        edges |= {moment for moment in (stay.came_at, stay.left_at) if moment is not None and start < moment < end}
    ordered = sorted(edges)
    found: list[Gap] = []
    for low, high in pairwise(ordered):
        there = sum(s.came_at <= low and (s.left_at is None or s.left_at >= high) for s in stays)
        if there >= needed:
            continue
        if found and found[-1].end == low:
            found[-1] = Gap(found[-1].start, high, min(found[-1].there, there))
        else:
            found.append(Gap(low, high, there))
    return tuple(found)


@dataclass(frozen=True)
class Unwatched:
    """Nobody watches now. `back_by`: when the break that the law allows is over; None where it allows none now."""

    since: datetime
    back_by: datetime | None
    over: bool


def unwatched(
    stays: Sequence[Stay], *, start: datetime, at: datetime, break_minutes: int | None, others_here: bool
) -> Unwatched | None:
    """Whether nobody watches at `at`. A break counts as one only while somebody else is in the room (Oregon, S 51)."""
    found = gaps(stays, start=start, end=at)
    if not found or found[-1].end != at:
        return None
    since = found[-1].start
    back_by = since + timedelta(minutes=break_minutes) if break_minutes and others_here else None
    return Unwatched(since, back_by, back_by is None or at > back_by)
