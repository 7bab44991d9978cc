"""Safety at a glance: of one participant, and of a study with its rates, its clocks and how fast people were reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from zoneinfo import ZoneInfo

from keel.domain import access
from keel.domain.adverse_event import CALLED, DISCLOSED_TO
from keel.domain.events import Actor, parse_instant
from keel.library import alert_files
from keel.outcomes.safety_report import (
    SMALLEST_CELL,
    Exposure,
    Reported,
    Row,
    by_grade,
    by_seriousness,
    by_term,
    by_valence,
    by_window,
    safety_table,
)
from keel.queries import account, definitions, periodic
from keel.queries.adverse_events import Line, event_of, lines_of
from keel.queries.course import Strip, see
from keel.queries.course import zone as zone_of
from keel.queries.door import query
from keel.queries.periodic import Periodic
from keel.records import vault
from keel.records.models import (
    AdverseEventRow,
    AlertRow,
    CourseRow,
    DeviationRow,
    DoseRow,
    EventRow,
    FindingRow,
    StudyRow,
)

_WORSE = ("stop", "unknown", "caution")
_PRESSING = ("stop", "due", "caution", "unknown")


@dataclass(frozen=True)
class Override:
    """Findings of these rules that a physician overrode, the level they had then and have now."""

    course: str
    code: str
    rules: tuple[str, ...]
    finding: str
    now: str
    by: str
    because: str
    at: datetime


@dataclass(frozen=True)
class Deviation:
    course: str
    code: str
    kind: str
    said: str
    noted_at: datetime


@dataclass(frozen=True)
class Incident:
    """An unblinding or a call in an emergency."""

    kind: str
    whom: str
    words: str
    at: datetime
    by: str


@dataclass(frozen=True)
class Contact:
    """An alert and how long it took until a person took it; `waited` empty while nobody has."""

    course: str
    code: str
    level: str
    why: str
    raised_at: datetime
    waited: str
    state: str


# ---- one participant ----------------------------------------------------------------------------


@dataclass(frozen=True)
class CoursePage:
    strip: Strip
    zone: ZoneInfo
    alerts: tuple[Contact, ...]
    events: tuple[Line, ...]
    findings: tuple[tuple[str, str, str], ...]
    overrides: tuple[Override, ...]
    deviations: tuple[Deviation, ...]
    incidents: tuple[Incident, ...]
    now: datetime


@query("see_safety")
def of_course(*, course: str, by: Actor, at: datetime) -> CoursePage:
    """Everything about the safety of one person on one page."""
    seen = see(course, by=by, what="see_safety", at=at)
    zone = ZoneInfo(zone_of(seen.row.site))
    open_ = vault.opener(seen.row.participant)
    courses = {course: seen.row}
    names = account.names({said["by"] for said in seen.state.incidents})
    rows = FindingRow.objects.filter(course=course).exclude(finding="clear")
    standing = sorted(rows, key=lambda row: (_WORSE.index(row.finding), row.rule))
    return CoursePage(
        strip=seen.strip,
        zone=zone,
        alerts=_contacts(courses, at),
        events=lines_of(seen, zone),
        findings=tuple((row.finding, row.rule, row.because) for row in standing),
        overrides=_overrides(courses),
        deviations=_deviations(courses),
        incidents=tuple(
            Incident(
                said["kind"],
                {**DISCLOSED_TO, **CALLED}[said["whom"]],
                open_(said["words"]),
                datetime.fromisoformat(said["at"]),
                names.get(said["by"], ""),
            )
            for said in reversed(seen.state.incidents)
        ),
        now=at.astimezone(zone),
    )


# ---- a study ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Table:
    """One table of the report: what its rows are, and a row for each label with a cell for each arm and the total."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Owed:
    course: str
    code: str
    term: str
    label: str
    owner: str
    says: str
    state: str


@dataclass(frozen=True)
class StudyPage:
    id: str
    title: str
    zone: ZoneInfo
    arms: tuple[tuple[str, str], ...]
    exposure: Mapping[str, Exposure]
    smallest: int
    tables: tuple[Table, ...]
    watched: tuple[Row, ...]
    before_dose: int
    unjudged: int
    owed: tuple[Owed, ...]
    periodic: tuple[Periodic, ...]
    deviations: tuple[Deviation, ...]
    overrides: tuple[Override, ...]
    contacts: tuple[Contact, ...]
    medians: tuple[tuple[str, int, str], ...]


@query("see_safety")
def of_study(*, study: str, by: Actor, at: datetime) -> StudyPage:
    """The safety report of a study at the reader's site: people and events per arm over what they were exposed to.

    Rates are of events that began on or after the first dose. Fewer than `smallest` people in a cell close the row.
    """
    row = StudyRow.objects.filter(id=study).first()
    if row is None or by.site not in row.sites:
        raise access.not_here("see_safety")
    protocol = definitions.protocol(row.protocol, row.protocol_version)
    courses = {c.id: c for c in CourseRow.objects.filter(study=study, site=by.site)}
    arms = {arm.id: arm.label for arm in protocol.arms}
    exposure = _exposure(courses, arms)
    after, before = _reported(courses, exposure)
    watched = [one for one in after if one.event.term in alert_files.watched_terms()]
    zone = ZoneInfo(zone_of(by.site))
    told = AdverseEventRow.objects.filter(course__in=list(courses)).values_list("course", flat=True)
    lines = [
        (courses[id], line)
        for id in sorted(set(told))
        for line in lines_of(see(id, by=by, what="see_safety", at=at), zone)
    ]
    contacts = _contacts(courses, at)
    kinds = (
        ("By term", by_term),
        ("By grade", by_grade),
        ("By seriousness", by_seriousness),
        ("By window after the dose", by_window),
        ("By how it was", by_valence),
    )
    return StudyPage(
        id=row.id,
        title=row.title,
        zone=zone,
        arms=tuple((id, label) for id, label in arms.items() if id in exposure),
        exposure=exposure,
        smallest=SMALLEST_CELL,
        tables=tuple(Table(title, safety_table(after, exposure, by=each)) for title, each in kinds),
        watched=safety_table(watched, exposure),
        before_dose=before,
        unjudged=sum(bool(line.to_judge) for _, line in lines),
        owed=_owed(lines),
        periodic=periodic.of_site(by.site, at=at),
        deviations=_deviations(courses),
        overrides=_overrides(courses),
        contacts=contacts,
        medians=_medians(courses),
    )


def _exposure(courses: Mapping[str, CourseRow], arms: Mapping[str, str]) -> dict[str, Exposure]:
    """People and doses of each arm; somebody who is dosed without an arm counts in the protocol's first."""
    people: dict[str, set[str]] = {}
    doses: dict[str, int] = {}
    for dose in DoseRow.objects.filter(course__in=list(courses), supplemental=False):
        arm = courses[dose.course].arm or next(iter(arms))
        people.setdefault(arm, set()).add(courses[dose.course].participant)
        doses[arm] = doses.get(arm, 0) + 1
    return {arm: Exposure(len(people[arm]), doses[arm]) for arm in arms if arm in people}


def _reported(courses: Mapping[str, CourseRow], exposure: Mapping[str, Exposure]) -> tuple[list[Reported], int]:
    """The events after a dose, each with its arm, and how many began before any dose."""
    labels = {window.id: window.label for window in alert_files.windows()}
    first = next(iter(exposure), "")
    after, before = [], 0
    for row in AdverseEventRow.objects.filter(course__in=list(courses)):
        window = row.detail.get("window")
        if window is None:
            before += 1
            continue
        course = courses[row.course]
        after.append(Reported(course.participant, course.arm or first, event_of(row), labels.get(window, window)))
    return after, before


def _owed(lines: list[tuple[CourseRow, Line]]) -> tuple[Owed, ...]:
    """The reports that are not sent yet and whose need is judged, the overdue first."""
    found = [
        Owed(course.id, course.code, line.term, r.label, r.owner, r.says, r.state)
        for course, line in lines
        for r in line.reports
        if r.sent_on is None and (line.serious or r.state in ("stop", "due", "caution"))
    ]
    return tuple(sorted(found, key=lambda owed: (_PRESSING.index(owed.state), owed.code)))


def _deviations(courses: Mapping[str, CourseRow]) -> tuple[Deviation, ...]:
    rows = DeviationRow.objects.filter(course__in=list(courses)).order_by("-noted_at", "id")
    return tuple(Deviation(r.course, courses[r.course].code, r.kind, r.said, r.noted_at) for r in rows)


def _overrides(courses: Mapping[str, CourseRow]) -> tuple[Override, ...]:
    """Every override that was ever made, the newest first: a later judgement takes none of them off the list.

    Those that one person made on one day for one reason, and that stand alike, are one line with all their rules.
    """
    made = list(
        EventRow.objects.filter(kind="finding_overridden", stream__in=[f"course:{id}" for id in courses]).order_by(
            "-seq"
        )
    )
    stands = {row.id: row.finding for row in FindingRow.objects.filter(course__in=list(courses))}
    names = account.names({json.loads(event.by)["actor"] for event in made})
    lines: dict[Override, list[Override]] = {}
    for one in (_override(event, courses, stands, names) for event in made):
        alike = replace(one, rules=(), at=one.at.replace(hour=0, minute=0, second=0, microsecond=0))
        lines.setdefault(alike, []).append(one)
    return tuple(replace(same[0], rules=tuple(sorted(r for one in same for r in one.rules))) for same in lines.values())


def _override(
    event: EventRow, courses: Mapping[str, CourseRow], stands: Mapping[str, str], names: Mapping[str, str]
) -> Override:
    course, payload = event.stream.partition(":")[2], json.loads(event.payload)
    return Override(
        course,
        courses[course].code,
        (payload["rule"],),
        payload["finding"],
        stands.get(f"{course}/{payload['rule']}", "not judged"),
        names.get(json.loads(event.by)["actor"], ""),
        vault.opener(courses[course].participant)(payload["reason"]),
        parse_instant(event.recorded_at),
    )


def _contacts(courses: Mapping[str, CourseRow], at: datetime) -> tuple[Contact, ...]:
    rows = AlertRow.objects.filter(course__in=list(courses)).order_by("-raised_at", "id")
    return tuple(
        Contact(row.course, courses[row.course].code, row.level, row.why, row.raised_at, _waited(row), row.state)
        for row in rows
    )


def _waited(row: AlertRow) -> str:
    return _span(row.acknowledged_at - row.raised_at) if row.acknowledged_at else ""


def _span(waited: timedelta) -> str:
    """ "25 minutes", "3 hours 5 minutes", "2 days 4 hours": exact enough to compare."""
    minutes = int(waited.total_seconds() // 60)
    days, hours = divmod(minutes // 60, 24)
    parts = [(days, "day"), (hours, "hour"), (minutes % 60, "minute")]
    said = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in parts if n]
    return " ".join(said[:2]) or "less than a minute"


def _medians(courses: Mapping[str, CourseRow]) -> tuple[tuple[str, int, str], ...]:
    """For each level: how many alerts were taken, and half of them within how long."""
    found = []
    for level in ("urgent", "notify"):
        taken = AlertRow.objects.filter(course__in=list(courses), level=level).exclude(acknowledged_at=None)
        waits: list[timedelta] = [row.acknowledged_at - row.raised_at for row in taken if row.acknowledged_at]
        if waits:
            found.append((level, len(waits), _span(timedelta(seconds=median(w.total_seconds() for w in waits)))))
    return tuple(found)
