"""The adverse events of one course: what stands, what was judged, what is owed to whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from keel.domain.adverse_event import (
    ACTIONS,
    GRADES,
    SERIOUSNESS,
    STARTS,
    UNCODED,
    AdverseEvent,
    Clock,
    check_adverse_event,
    due_reports,
)
from keel.domain.course import Course
from keel.domain.events import Actor
from keel.library import alert_files
from keel.queries import account
from keel.queries.course import Seen, Strip, see
from keel.queries.course import zone as zone_of
from keel.queries.door import query
from keel.records import vault
from keel.records.models import AdverseEventRow, CourseRow, SiteRow

WINDOW_BEFORE = "Before any dose"


@dataclass(frozen=True)
class Report:
    """What one clock says of one event, in words; `state` is the look of it."""

    clock: str
    label: str
    owner: str
    state: str
    says: str
    due_on: date | None
    sent_on: date | None
    proof: str
    starts: str
    starts_label: str
    evidence: str
    verified: bool


@dataclass(frozen=True)
class Line:
    """One event as it stands; `given` is what the form of its amendment begins with."""

    id: str
    term: str
    words: str
    grade: int | None
    grade_words: str
    valence: str
    serious: tuple[str, ...] | None
    related: str
    expected: str
    began_at: datetime
    ended_at: datetime | None
    outcome: str
    action: str
    visit: str
    minute: int | None
    session: str
    window: str
    by: str
    reported_at: datetime
    amended: bool
    told_by_participant: bool
    reports: tuple[Report, ...]
    given: Mapping[str, Any]

    @property
    def to_judge(self) -> tuple[str, ...]:
        """What nobody has judged yet, as it is said."""
        open_ = {
            "a term": self.term == UNCODED,
            "grade": self.grade is None,
            "seriousness": self.serious is None,
            "relatedness": not self.related,
            "expectedness": not self.expected,
        }
        return tuple(name for name, missing in open_.items() if missing)


@dataclass(frozen=True)
class Page:
    strip: Strip
    lines: tuple[Line, ...]
    terms: tuple[str, ...]
    zone: ZoneInfo
    today: date
    now: datetime
    last_contact: str
    visits: tuple[tuple[str, str], ...]
    dosing_days: tuple[tuple[str, date], ...]


@query("see_safety")
def adverse_events(*, course: str, by: Actor, at: datetime) -> Page:
    """Every event of a course, the newest first, each with the reports it calls for."""
    seen = see(course, by=by, what="see_safety", at=at)
    zone = ZoneInfo(zone_of(seen.row.site))
    return Page(
        strip=seen.strip,
        lines=lines_of(seen, zone),
        terms=tuple(t for t in (*alert_files.terms(), UNCODED) if t not in alert_files.terms_apart()),
        zone=zone,
        today=seen.today,
        now=at.astimezone(zone),
        last_contact=_last_contact(seen.state, zone),
        visits=tuple((visit.id, visit.label) for visit in seen.protocol.visits_for(seen.arm)),
        dosing_days=tuple((day.visit, day.on) for day in seen.state.days.values()),
    )


def _last_contact(state: Course, zone: ZoneInfo) -> str:
    if not state.contacts:
        return ""
    last = state.contacts[-1]
    when = datetime.fromisoformat(last["at"]).astimezone(zone)
    return f"{when:%-d %B %Y, %H:%M}: {'there was something' if last['anything'] else 'nothing new'}"


def lines_of(seen: Seen, zone: ZoneInfo) -> tuple[Line, ...]:
    """The events of an opened course."""
    rows = list(AdverseEventRow.objects.filter(course=seen.row.id).order_by("-began_at", "id"))
    open_ = vault.opener(seen.row.participant)
    names = account.names({row.by for row in rows})
    labels = {visit.id: visit.label for visit in seen.protocol.visits}
    windows = {window.id: window.label for window in alert_files.windows()}
    clocks, regimes = alert_files.clocks(), regimes_at(seen.row.site)
    return tuple(_line(row, seen, zone, open_, names, labels, windows, clocks, regimes) for row in rows)


def _line(
    row: AdverseEventRow,
    seen: Seen,
    zone: ZoneInfo,
    open_: Any,
    names: Mapping[str, str],
    labels: Mapping[str, str],
    windows: Mapping[str, str],
    clocks: Iterable[Clock],
    regimes: frozenset[str],
) -> Line:
    event = event_of(row)
    detail = row.detail
    told = detail.get("told_by") == "participant"
    return Line(
        id=row.id,
        term=row.term,
        words=open_(row.words) if row.words else "",
        grade=row.grade,
        grade_words=GRADES.get(row.grade, ""),
        valence=row.valence,
        serious=None if row.serious is None else tuple(SERIOUSNESS[s] for s in row.serious),
        related=row.related,
        expected=row.expected,
        began_at=event.began_at.astimezone(zone),
        ended_at=event.ended_at.astimezone(zone) if event.ended_at else None,
        outcome=row.outcome,
        action=ACTIONS.get(row.action, ""),
        visit=labels.get(row.visit, row.visit),
        minute=detail.get("minute"),
        session=detail.get("session", ""),
        window=windows.get(detail.get("window") or "", WINDOW_BEFORE),
        by="Participant" if told else names.get(row.by, ""),
        reported_at=row.reported_at.astimezone(zone),
        amended=row.amended,
        told_by_participant=told,
        reports=reports_of(row, event, seen.state, clocks, regimes, zone, seen.today, open_),
        given={
            "term": row.term,
            "valence": row.valence,
            "grade": str(row.grade or ""),
            "serious": None if row.serious is None else list(row.serious),
            "related": row.related,
            "expected": row.expected,
            "outcome": row.outcome,
            "action": row.action,
        },
    )


def event_of(row: AdverseEventRow) -> AdverseEvent:
    """The event of a row as the rules and the tables of a study take it."""
    return check_adverse_event(
        {
            "term": row.term,
            "began_at": row.began_at or row.reported_at,
            "ended_at": row.ended_at,
            "grade": row.grade,
            "serious": row.serious,
            "related": row.related or None,
            "expected": row.expected or None,
            "valence": row.valence or None,
            "outcome": row.outcome or None,
            "visit": row.visit,
            "minute": row.detail.get("minute"),
        },
        now=max(row.reported_at, row.began_at or row.reported_at),
    )


# ---- what is owed -------------------------------------------------------------------------------


def regimes_at(site: str) -> frozenset[str]:
    """The reporting regimes of a site: those it names, else those of its country."""
    row = SiteRow.objects.get(id=site)
    named = row.detail.get("regimes")
    return frozenset(named) if named else alert_files.regimes_of(row.country) | {row.jurisdiction} - {""}


def reports_of(
    row: AdverseEventRow,
    event: AdverseEvent,
    state: Course,
    clocks: Iterable[Clock],
    regimes: frozenset[str],
    zone: ZoneInfo,
    on: date,
    open_: Any,
) -> tuple[Report, ...]:
    """Every report that an event calls for or may call for, with its owner, its day and its proof."""
    mine = [said for said in state.reports if said["event"] == row.id]
    started = {said["name"]: date.fromisoformat(said["on"]) for said in mine if said["kind"] == "report_started"}
    sent = {said["name"]: said for said in mine if said["kind"] == "report_sent"}
    dues = due_reports(
        event,
        clocks,
        regimes=regimes,
        started_on={"site_awareness": row.reported_at.astimezone(zone).date(), **started},
        sent={name: date.fromisoformat(said["on"]) for name, said in sent.items()},
        on=on,
        reassessed="sponsor_redetermination" in started,
    )
    return tuple(
        Report(
            clock=due.clock.id,
            label=due.clock.label,
            owner=due.clock.owner,
            state=_LOOK[due.state],
            says=_says(due.state, due.due_on, due.missing, on, due.clock),
            due_on=due.due_on,
            sent_on=date.fromisoformat(sent[due.clock.id]["on"]) if due.clock.id in sent else None,
            proof=open_(sent[due.clock.id]["words"]) if due.clock.id in sent else "",
            starts=due.clock.starts if due.state == "not_started" and due.clock.starts in STARTS else "",
            starts_label=_start(due.clock),
            evidence=", ".join(due.clock.evidence),
            verified=due.clock.verified,
        )
        for due in dues
    )


_LOOK = {
    "running": "due",
    "overdue": "stop",
    "sent": "done",
    "not_started": "unknown",
    "open": "caution",
    "undecided": "unknown",
}
_MISSING = {
    "serious": "seriousness",
    "fatal": "seriousness",
    "life_threatening": "seriousness",
    "suspected": "relatedness",
    "unexpected": "expectedness",
}


def _start(clock: Clock) -> str:
    return STARTS.get(clock.starts, "The report before it went out")


def _says(state: str, due_on: date | None, missing: Iterable[str], on: date, clock: Clock) -> str:
    if state == "undecided":
        lacks = ", ".join(sorted({_MISSING.get(name, name) for name in missing}))
        return f"nobody can say before this is judged: {lacks}"
    if state == "not_started":
        return f"starts when: {_start(clock).lower()}"
    if state == "open" or due_on is None:
        return "owed; no source names a number of days: the site says by when" if state == "open" else "sent"
    days = (due_on - on).days
    said = f"{due_on:%-d %B %Y}"
    if state == "sent":
        return f"was due on {said}"
    if days < 0:
        return f"was due on {said}, {-days} day{'s' if days != -1 else ''} ago"
    return f"due today, {said}" if days == 0 else f"due in {days} day{'s' if days != 1 else ''}, {said}"


# ---- the participant's own ------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    words: str
    began_on: date


@dataclass(frozen=True)
class Telling:
    """The page on which a participant tells of something: their course, the day, what they told before."""

    course: str
    today: date
    told: tuple[Told, ...]


@query("see_own_course")
def telling(*, by: Actor, at: datetime) -> Telling:
    row = CourseRow.objects.filter(id__in=by.courses).order_by("ended", "-opened_at").first()
    course = row.id if row else by.courses[0]
    seen = see(course, by=by, what="see_own_course", at=at)
    zone = ZoneInfo(zone_of(seen.row.site))
    open_ = vault.opener(seen.row.participant)
    mine = AdverseEventRow.objects.filter(course=course, detail__told_by="participant").order_by("-reported_at")
    told = tuple(Told(open_(row.words), (row.began_at or row.reported_at).astimezone(zone).date()) for row in mine[:10])
    return Telling(course, seen.today, told)
