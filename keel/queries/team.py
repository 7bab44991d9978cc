"""What a team looks at together: the caseload, the calendar, the people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from keel.domain import access
from keel.domain.course import PHASES, Course, fold
from keel.domain.events import Actor
from keel.domain.schedule import PlannedVisit
from keel.domain.visit import schedule
from keel.queries import account, blinding, definitions
from keel.queries.course import ENDS, PHASE_WORDS, day_words
from keel.queries.door import query
from keel.records import journal, vault
from keel.records.models import AlertRow, CourseRow, MembershipRow, SiteRow, StudyRow, VisitRow


@dataclass(frozen=True)
class Case:
    """One course on the board: who, where it stands, what is next, what is wrong."""

    course: str
    code: str
    name: str
    study: str
    day: str
    next_label: str
    next_on: date | None
    next_state: str
    wrong: tuple[str, ...]
    state: str
    ended: str


@dataclass(frozen=True)
class Column:
    phase: str
    label: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Caseload:
    columns: tuple[Column, ...]
    ended: tuple[Case, ...]
    wrong: int
    today: date
    studies: tuple[tuple[str, str], ...]


@query("see_caseload")
def caseload(*, by: Actor, at: datetime, study: str = "", find: str = "") -> Caseload:
    """Every course of the site by phase, the ones that need a hand first."""
    today = today_at(by.site, at)
    everybody = list(CourseRow.objects.filter(site=by.site).order_by("code"))
    titles = dict(StudyRow.objects.values_list("id", "title"))
    studies = tuple(sorted({(r.study, titles[r.study]) for r in everybody}))
    rows = [r for r in everybody if not study or r.study == study]
    known = vault.identities([r.participant for r in rows]) if access.may(by, "see_identity") else {}
    alerts = set(
        AlertRow.objects.filter(site=by.site).exclude(state__in=("acted_on", "closed")).values_list("course", flat=True)
    )
    cases = [
        _case(row, known[row.participant].name if row.participant in known else "", row.id in alerts, today, by)
        for row in rows
    ]
    if find:
        cases = [(phase, c) for phase, c in cases if find.casefold() in f"{c.code} {c.name}".casefold()]
    if blinding.blind(by):  # the phase tells whether a session was held
        courses = tuple(case for phase, case in cases if phase != "ended")
        return Caseload((Column("courses", "Courses", courses),), (), 0, today, studies)
    columns = tuple(
        Column(phase, PHASE_WORDS[phase], tuple(sorted((c for p, c in cases if p == phase), key=_urgency)))
        for phase in PHASES
        if phase != "ended"
    )
    ended = tuple(c for p, c in cases if p == "ended")
    return Caseload(
        columns,
        ended,
        sum(bool(c.wrong) or c.next_state == "overdue" for col in columns for c in col.cases),
        today,
        studies,
    )


_ORDER = {"stop": 0, "overdue": 1, "unknown": 2, "due": 3, "in_window": 4, "planned": 5, "": 6}


def _urgency(case: Case) -> tuple[int, date, str]:
    return _ORDER.get(case.state, 6), case.next_on or date.max, case.code


def _case(row: CourseRow, name: str, alert: bool, today: date, by: Actor) -> tuple[str, Case]:
    state: Course = journal.state_of(f"course:{row.id}", fold)
    study = definitions.protocol(row.protocol, row.protocol_version).short_title
    if blinding.blind(by):
        return row.phase, Case(row.id, row.code, "", study, "", "", None, "", (), "", "")
    coming, wrong = None, []
    if state.enrolled_on and not state.ended:
        coming = _coming(row, state, today, by)
    if alert and access.may(by, "see_alerts"):
        wrong.append("alert open")
    if not state.ended:
        if row.verdict in ("stop", "unknown") and state.standing_stops:
            wrong.append("a rule says stop" if row.verdict == "stop" else "facts missing")
        elif row.verdict and not row.verdict_signed:
            wrong.append("verdict not signed")
        if any(c.withdrawn_at for c in state.consents.values()):
            wrong.append("consent withdrawn")
    worst = "stop" if any(w in ("alert open", "a rule says stop", "consent withdrawn") for w in wrong) else ""
    late = coming is not None and coming.state == "overdue"
    worst = worst or ("overdue" if late else ("unknown" if wrong else ""))
    case = Case(
        course=row.id,
        code=row.code,
        name=name or (vault.GONE if row.erased else ""),
        study=study,
        day=day_words(state, today),
        next_label=coming.label if coming else "",
        next_on=(coming.due_on or coming.earliest_on) if coming else None,
        next_state=coming.state if coming else "",
        wrong=tuple(wrong) if access.may(by, "see_safety") else (),
        state=worst or (coming.state if coming else ""),
        ended=ENDS.get(row.ended, ""),
    )
    return row.phase, case


def _shown(row: CourseRow, state: Course, today: date, by: Actor) -> tuple[PlannedVisit, ...]:
    """The visits of a course that the reader may see; a blinded one sees only ratings, by that name."""
    protocol = definitions.protocol(row.protocol, row.protocol_version)
    planned = schedule(state, protocol, today)
    if not blinding.blind(by):
        return planned
    ratings = {v.id for v in protocol.visits if blinding.rated(v)}
    return tuple(replace(p, label=blinding.RATING) for p in planned if p.visit in ratings)


def _coming(row: CourseRow, state: Course, today: date, by: Actor) -> PlannedVisit | None:
    open_states = ("overdue", "due", "in_window", "planned")
    return next((planned for planned in _shown(row, state, today, by) if planned.state in open_states), None)


def today_at(site: str, at: datetime) -> date:
    """The day it is at a site."""
    zone = SiteRow.objects.filter(id=site).values_list("timezone", flat=True).first()
    return at.astimezone(ZoneInfo(zone or "UTC")).date()


# ---- the calendar ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Appointment:
    """Something on a day: a booked visit (with its time), or one whose day comes without a booking."""

    on: date
    at: datetime | None
    course: str
    code: str
    name: str
    visit: str
    label: str
    state: str


@dataclass(frozen=True)
class Calendar:
    """A month; it begins in the column `column` of a week that begins on Monday (1)."""

    column: int
    first: date
    last: date
    days: tuple[tuple[date, tuple[Appointment, ...]], ...]
    today: date
    before: date
    after: date


@query("see_calendar")
def calendar(*, by: Actor, at: datetime, month: date | None = None) -> Calendar:
    """A month of the site: booked visits with their time, and open ones on the day they are due."""
    today = today_at(by.site, at)
    first = (month or today).replace(day=1)
    last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    zone = ZoneInfo(SiteRow.objects.get(id=by.site).timezone)
    rows = {r.id: r for r in CourseRow.objects.filter(site=by.site)}
    known = vault.identities([r.participant for r in rows.values()]) if access.may(by, "see_identity") else {}
    booked = {
        (v.course, v.visit): v.booked_at
        for v in VisitRow.objects.filter(course__in=list(rows)).exclude(booked_at=None)
        if v.booked_at
    }
    found: list[Appointment] = []
    for row in rows.values():
        found += _appointments(
            row, known[row.participant].name if row.participant in known else "", booked, zone, today, by
        )
    days = []
    day = first
    while day <= last:
        days.append(
            (day, tuple(sorted((a for a in found if a.on == day), key=lambda a: (a.at is None, str(a.at), a.code))))
        )
        day += timedelta(days=1)
    return Calendar(
        first.isoweekday(),
        first,
        last,
        tuple(days),
        today,
        (first - timedelta(days=1)).replace(day=1),
        last + timedelta(days=1),
    )


def _appointments(
    row: CourseRow, name: str, booked: dict[tuple[str, str], datetime], zone: ZoneInfo, today: date, by: Actor
) -> list[Appointment]:
    state: Course = journal.state_of(f"course:{row.id}", fold)
    if state.enrolled_on is None:
        return []
    found = []
    for planned in _shown(row, state, today, by):
        at = booked.get((row.id, planned.visit))
        local = at.astimezone(zone) if at else None
        on = planned.done_on or (local.date() if local else None) or planned.due_on or planned.earliest_on
        if blinding.blind(by) and (planned.done_on or not local):
            continue  # what was held, and what the protocol plans, tell the arm; a booking is work
        if on and planned.state not in ("missed", "withdrawn"):
            found.append(
                Appointment(
                    on,
                    None if planned.done_on else local,
                    row.id,
                    row.code,
                    name,
                    blinding.sign(row.id, planned.visit, by),
                    planned.label,
                    planned.state,
                )
            )
    return found


# ---- people ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    staff: str
    name: str
    roles: tuple[tuple[str, str, datetime], ...]


@query("see_team")
def people(*, by: Actor) -> tuple[Person, ...]:
    """Who works at this site, in which roles, since when."""
    rows = list(MembershipRow.objects.filter(site=by.site, revoked_at=None).order_by("granted_at"))
    names = account.names({row.staff for row in rows})
    held: dict[str, list[tuple[str, str, datetime]]] = {}
    for row in rows:
        held.setdefault(row.staff, []).append((row.role, access.ROLES[row.role], row.granted_at))
    return tuple(sorted((Person(s, names.get(s, s), tuple(roles)) for s, roles in held.items()), key=lambda p: p.name))
