"""From the journal to the events of an analysis: what `keel.outcomes.dataset` takes, read up to a place in the journal.

Nothing else enters: no read model, no clock, no file. The day of the cut is the day on which the event at that place was
recorded. Amendments stand in the place of what they correct. What is derived from the protocol comes from the copy of
it that the journal holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

import polars as pl

from keel.domain.course import amended
from keel.domain.errors import Refused, refuse
from keel.domain.events import Event
from keel.domain.protocol import Protocol, Timing, Visit
from keel.outcomes.dataset import EVENT_COLUMNS, PlannedVisit, Population
from keel.outcomes.progress import step
from keel.queries import definitions
from keel.records import journal
from keel.records.journal import Place

# What the journal calls it -> what the analysis calls it.
MARKS = {
    "course_opened": "opened",
    "pre_screened": "screened",
    "enrolled": "enrolled",
    "allocated": "randomised",
    "dose_given": "dosed",
    "consent_withdrawn": "consent_withdrawn",
    "session_stopped": "session_stopped",
    "transferred": "transferred",
    "rescue_given": "rescue_given",
    "screening_failed": "screening_failed",
    "withdrawn": "withdrawn",
    "lost_to_follow_up": "lost",
    "course_completed": "completed",
}
ENDS = ("screening_failed", "withdrawn", "lost", "completed")
INTERCURRENT = (
    "dose_missed",
    "session_stopped",
    "transferred",
    "rescue_given",
    "consent_withdrawn",
    "withdrawn",
    "lost",
)
_MEASURED = ("response_begun", "response_completed", "response_entered")
_ABOUT = ("site_opened", "study_opened", "definition_adopted")
KINDS = (*MARKS, *_MEASURED, *_ABOUT, "visit_held", "visit_missed", "amended")
MONTH_DAYS = 365.25 / 12


@dataclass
class Told:
    """What the journal says of one course: its events in order, amendments in their place."""

    id: str
    events: list[Event] = field(default_factory=list)

    @property
    def opened(self) -> Mapping[str, str]:
        return self.events[0].payload


@dataclass(frozen=True)
class JournalTable:
    """`events` for the dataset, `people` (one row per course), and what they were read from."""

    place: Place
    head: str
    cut_on: date
    title: str
    protocol: Protocol
    events: pl.DataFrame
    people: pl.DataFrame
    definitions: Mapping[str, str]
    opened: int


def read(study: str, site: str, place: Place) -> JournalTable:
    """The courses of a study at one site (`*`: at every one) as the journal stood at a place."""
    newest = journal.newest(place)
    if newest is None:
        raise refuse("The journal was not read", "nothing is written in it yet", "Open a study and its first course")
    told, about = _read(place)
    opened = about.get(("study_opened", study))
    if opened is None or site not in (*opened.payload["sites"], "*"):
        raise refuse(
            "The study was not read", "there is no such study at your site", "Check the address", code="not-found"
        )
    own = [c for c in told if c.opened["study"] == study and site in (c.opened["site"], "*")]
    protocol = definitions.protocol(opened.payload["protocol"], opened.payload["protocol_version"])
    zones = {key[1]: ZoneInfo(event.payload["timezone"]) for key, event in about.items() if key[0] == "site_opened"}
    rows = [row for course in own for row in _rows(course, protocol, zones[course.opened["site"]])]
    return JournalTable(
        place=place,
        head=newest.hash,
        cut_on=newest.recorded_at.date(),
        title=opened.payload["title"],
        protocol=protocol,
        events=pl.DataFrame(rows, schema=_SCHEMA, orient="row"),
        people=pl.DataFrame([_person(course, protocol) for course in own], schema=_PEOPLE, orient="row").sort("course"),
        definitions=_definitions(own, protocol, about),
        opened=sum(c.events[0].kind == "course_opened" for c in own),
    )


_TYPES = {"text": pl.String, "number": pl.Float64, "day": pl.Date}
_SCHEMA = {name: _TYPES[kind] for name, kind in EVENT_COLUMNS.items()}


def _read(place: Place) -> tuple[list[Told], dict[tuple[str, str], Event]]:
    """Every course that was opened, and the sites, studies and definitions by kind and id."""
    courses: dict[str, Told] = {}
    places: dict[str, int] = {}
    about: dict[tuple[str, str], Event] = {}
    for read, event in enumerate(journal.upto(place, KINDS)):
        if read % 2000 == 0:
            step("Reading the journal", read)
        if event.kind in _ABOUT:
            about[event.kind, event.subject] = event
            continue
        if not event.stream.startswith("course:"):
            continue
        course = courses.setdefault(event.subject, Told(event.subject))
        if event.kind == "amended":
            found = places.get(event.payload["corrects"])
            if found is not None:
                course.events[found] = amended(event)
            continue
        places[event.id] = len(course.events)
        course.events.append(event)
    return list(courses.values()), about


# ---- events ---------------------------------------------------------------------------------------------

Row = tuple[str, str, str, str, str | None, str, str | None, str | None, float | None, date]


def _rows(course: Told, protocol: Protocol, zone: ZoneInfo) -> Iterator[Row]:
    opened = course.opened
    who = (opened["participant"], opened["code"], opened["study"], opened["site"], _arm(course, protocol))
    begun: dict[str, Event] = {}
    dosing = {v.id for v in protocol.visits if v.kind == "dosing"}
    for event in course.events:
        said, on = event.payload, _day(event, zone)
        if event.kind in MARKS and not said.get("supplemental"):
            yield (*who, MARKS[event.kind], None, None, None, on)
        elif event.kind == "visit_held":
            yield (*who, held(said["visit"]), None, None, None, on)
        elif event.kind == "visit_missed" and said["visit"] in dosing:
            yield (*who, "dose_missed", None, None, None, on)
        elif event.kind == "response_begun":
            begun[said["response"]] = event
        elif event.kind == "response_completed":
            start = begun[said["response"]].payload
            yield from _measured(who, start["instrument"], start["visit"], said["scores"], on)
        elif event.kind == "response_entered":
            yield from _measured(who, said["instrument"], said["visit"], said["scores"], on)


def held(visit: str) -> str:
    """What the day of a visit is called among the marks of a course."""
    return f"held {visit}"


def _measured(
    who: tuple[str, str, str, str, str | None], instrument: str, visit: str, scores: Mapping[str, object], on: date
) -> Iterator[Row]:
    """Scores that are numbers. What was asked outside the protocol's visits has no place of its own."""
    for name in _scores_of(instrument):
        value = scores.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield (*who, "measured", visit or "no visit", f"{instrument}.{name}", float(value), on)


def _scores_of(instrument: str) -> tuple[str, ...]:
    """Its scores on a scale with two ends: totals and subscales; changes are the dataset's own business."""
    try:
        definition = definitions.instrument(instrument)
    except Refused:
        return ()
    return tuple(
        s.name for s in definition.steps if s.show and not s.needs and s.low is not None and s.high is not None
    )


def _day(event: Event, zone: ZoneInfo) -> date:
    on = event.payload.get("on")
    return date.fromisoformat(on) if isinstance(on, str) else _local(event.occurred_at, zone)


def _local(moment: datetime, zone: ZoneInfo) -> date:
    return moment.astimezone(zone).date()


def _arm(course: Told, protocol: Protocol) -> str | None:
    """The arm that was drawn; of a protocol with one arm that arm, from enrolment on."""
    drawn = next((e.payload["arm"] for e in course.events if e.kind == "allocated"), None)
    if drawn is None and len(protocol.arms) == 1 and any(e.kind == "enrolled" for e in course.events):
        return protocol.arms[0].id
    return str(drawn) if drawn is not None else None


# ---- people ---------------------------------------------------------------------------------------------

_PEOPLE = {
    "participant": pl.String,
    "course": pl.String,
    "site": pl.String,
    "arm": pl.String,
    "screened": pl.Boolean,
    "enrolled": pl.Boolean,
    "dosed": pl.Boolean,
    "completed": pl.Boolean,
    "left": pl.Boolean,
    "why_not_enrolled": pl.String,
    "why_left": pl.String,
}


def _person(course: Told, protocol: Protocol) -> tuple[object, ...]:
    """Where one course stands in the flow."""
    kinds = {e.kind for e in course.events}
    reason = {e.kind: e.payload.get("reason", "") for e in course.events if MARKS.get(e.kind) in ENDS}
    enrolled = "enrolled" in kinds
    left = enrolled and bool(kinds & {"withdrawn", "lost_to_follow_up"})
    # Who left before the pre-screening was looked at all the same: the flow starts with everybody who left a trace there.
    ended_early = not enrolled and bool(reason)
    why_not = None
    if not enrolled:
        why_not = (next(iter(reason.values())) or "not recorded") if reason else "still being screened"
    lost = "lost to follow-up" if "lost_to_follow_up" in kinds else None
    opened = course.opened
    return (
        opened["participant"],
        opened["code"],
        opened["site"],
        _arm(course, protocol),
        "pre_screened" in kinds or ended_early,
        enrolled,
        "dose_given" in kinds,
        enrolled and "course_completed" in kinds,
        left,
        why_not,
        (lost or reason.get("withdrawn") or "not recorded") if left else None,
    )


def _definitions(courses: Sequence[Told], protocol: Protocol, about: Mapping[tuple[str, str], Event]) -> dict[str, str]:
    """The versions of all that was used: `kind/id/version` -> the fingerprint of the file it was adopted from."""
    used = Counter({f"protocols/{protocol.id}/{protocol.version}": 1})
    for course in courses:
        for event in course.events:
            if event.kind in ("response_begun", "response_entered"):
                used[f"instruments/{event.payload['instrument']}/{event.payload['instrument_version']}"] += 1
    adopted = {name: about.get(("definition_adopted", name)) for name in sorted(used)}
    return {name: event.payload["sha256"] if event else "" for name, event in adopted.items()}


# ---- the plan -------------------------------------------------------------------------------------------


def planned_visits(protocol: Protocol, *, shared_only: bool = False) -> tuple[PlannedVisit, ...]:
    """The visits of the protocol as an analysis needs them, once for all arms that have them at the same time.

    With `shared_only` those that tell arms apart are left out: for whoever must not know the arm.
    """
    found: list[PlannedVisit] = []
    for visit in protocol.visits:
        arms = [arm for arm in protocol.arm_ids if visit.is_in(arm)]
        by_timing: dict[PlannedVisit, list[str]] = {}
        for arm in arms:
            by_timing.setdefault(_planned(visit.for_arm(arm)), []).append(arm)
        everywhere = len(by_timing) == 1 and len(arms) == len(protocol.arm_ids)
        if everywhere:
            found.append(next(iter(by_timing)))
        elif not shared_only:
            found += [_for_arms(one, tuple(those)) for one, those in by_timing.items()]
    return tuple(found)


def _planned(visit: Visit) -> PlannedVisit:
    measures = (f"{ask.instrument}.{name}" for ask in visit.asks for name in _scores_of(ask.instrument))
    anchor = visit.after if visit.after == "enrolled" else held(visit.after)
    day = _due_day(visit)
    # A window that does not hold its own due day is a fact about the file, not about a person: the bounds stay out.
    earliest, latest = visit.earliest_days, visit.latest_days
    if day is not None and earliest is not None and earliest > day:
        earliest = None
    if day is not None and latest is not None and latest < day:
        latest = None
    return PlannedVisit(visit.id, anchor, day, earliest, latest, tuple(dict.fromkeys(measures)))


def _due_day(visit: Timing) -> int | None:
    """Days after the anchor; calendar months as so many days of a mean month, for the order of values only."""
    if visit.due_months is not None:
        return round(visit.due_months * MONTH_DAYS)
    return visit.due_offset_days


def _for_arms(visit: PlannedVisit, arms: tuple[str, ...]) -> PlannedVisit:
    return PlannedVisit(visit.id, visit.anchor, visit.day, visit.earliest, visit.latest, visit.measures, arms)


def populations(protocol: Protocol) -> tuple[Population, ...]:
    """Who belongs to which analysis. Per protocol is a house rule, to be signed off by the study's statistician."""
    entered = "randomised" if len(protocol.arms) > 1 else "enrolled"
    never = ("dose_missed", "session_stopped", "transferred", "consent_withdrawn", "withdrawn", "lost")
    return (
        Population("screened", ("screened",)),
        Population("enrolled", ("enrolled",)),
        Population("dosed", ("dosed",)),
        Population("intention_to_treat", (entered,)),
        Population("per_protocol", (entered, "dosed"), never),
        Population("safety", ("dosed",)),
    )
