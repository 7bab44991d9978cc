"""One course: the strip that says whose it is, its chart, a visit, the journal that can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from keel.domain import access
from keel.domain.adverse_event import CALLED, DISCLOSED_TO, STARTS
from keel.domain.course import Course, fold
from keel.domain.events import Actor, Event
from keel.domain.medication import DECISIONS
from keel.domain.protocol import Endpoint, Protocol, Visit
from keel.domain.schedule import Move, PlannedVisit, moves
from keel.domain.visit import ENDED_BECAUSE, MISSED_BECAUSE, arm_of, happened, schedule
from keel.library import shelf
from keel.queries import account, blinding, definitions, forms
from keel.queries.door import course_row, query
from keel.records import journal, vault
from keel.records.models import (
    AlertRow,
    ConsentRow,
    CourseRow,
    DeviationRow,
    LookRow,
    ResponseRow,
    SiteRow,
    StudyRow,
    VisitRow,
    WordsRow,
)

PHASE_WORDS = {
    "enquiry": "Enquiry",
    "screening": "Screening",
    "preparation": "Preparation",
    "dosing": "Dosing",
    "integration": "Integration",
    "follow_up": "Follow-up",
    "ended": "Ended",
}
VERDICTS = {"clear": "Clear", "caution": "Caution", "unknown": "Not known yet", "stop": "Stop", "": "Not judged yet"}
ENDS = {
    "screening_failed": "Screening failed",
    "withdrawn": "Withdrawn",
    "lost": "Lost to follow-up",
    "completed": "Completed",
}


@dataclass(frozen=True)
class Strip:
    """Whose course a page is about, as far as the reader may know it."""

    id: str
    code: str
    name: str
    protocol: str
    arm: str
    phase: str
    day: str
    standing: str
    standing_label: str
    site: str
    ended: str


@dataclass(frozen=True)
class Seen:
    """A course with what every page about it needs: its row, its state, its protocol, the day at its site."""

    row: CourseRow
    state: Course
    protocol: Protocol
    today: date
    strip: Strip

    @property
    def arm(self) -> str:
        """The arm to plan by. Dates that depend on the arm are not shown to a blinded reader."""
        return arm_of(self.state, self.protocol)


def see(course: str, *, by: Actor, what: str, at: datetime) -> Seen:
    """Open a course for a page; refuses as the access table says."""
    row = course_row(course, by=by, what=what)
    state: Course = journal.state_of(f"course:{course}", fold)
    protocol = definitions.protocol(row.protocol, row.protocol_version)
    today = at.astimezone(ZoneInfo(SiteRow.objects.get(id=row.site).timezone)).date()
    return Seen(row, state, protocol, today, _strip(row, state, protocol, today, by))


def _strip(row: CourseRow, state: Course, protocol: Protocol, today: date, by: Actor) -> Strip:
    known = vault.identity(row.participant) if access.may(by, "see_identity") else None
    arm = next((a.label for a in protocol.arms if a.id == row.arm), "") if row.arm and len(protocol.arms) > 1 else ""
    standing, label = row.verdict or "unknown", VERDICTS[row.verdict]
    if row.ended:
        standing, label = ("done" if row.ended == "completed" else "withdrawn"), ENDS[row.ended]
    elif blinding.blind(by):
        standing = ""
    else:
        label = f"Eligibility: {label.lower()}" + (", not signed" if row.verdict and not row.verdict_signed else "")
    name = known.name if known else (vault.GONE if row.erased and access.may(by, "see_identity") else "")
    return Strip(
        id=row.id,
        code=row.code,
        name=name,
        protocol=protocol.short_title,
        arm=arm,
        phase="" if blinding.blind(by) else PHASE_WORDS[row.phase],
        day=day_words(state, today) if access.may(by, "see_arm") else "",
        standing=standing,
        standing_label=label,
        site=row.site,
        ended=row.ended,
    )


def day_words(state: Course, today: date) -> str:
    """Where a course is in its own words: days since the last dose, else since enrolment."""
    dosed = [(v.on, v.id) for v in state.visits.values() if v.on and v.id in state.days and v.on <= today]
    if dosed:
        day, visit = max(dosed)
        gone = (today - day).days
        return f"{gone} days after {visit.replace('-', ' ')}" if gone else f"{visit.replace('-', ' ')} is today"
    if state.enrolled_on:
        gone = (today - state.enrolled_on).days
        return f"day {gone} since enrolment"
    return ""


# ---- the chart ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class VisitLine:
    """A visit on the chart: its plan, its booking, the page that it is recorded on."""

    planned: PlannedVisit
    kind: str
    phase: str
    booked_at: datetime | None
    asked: int
    answered: int


@dataclass(frozen=True)
class Series:
    """One score of one instrument over the visits: (visit, label, value), in the order of the visits."""

    instrument: str
    score: str
    low: float
    high: float
    points: tuple[tuple[str, str, float | None], ...]
    thresholds: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Said:
    """Words that somebody wrote, opened."""

    kind: str
    words: str
    at: datetime
    by: str
    due_on: date | None = None
    state: str = ""
    id: str = ""


@dataclass(frozen=True)
class Chart:
    """A participant's chart."""

    strip: Strip
    phase: str
    lines: tuple[VisitLine, ...]
    series: tuple[Series, ...]
    alerts: tuple[AlertRow, ...]
    consents: tuple[ConsentRow, ...]
    deviations: tuple[DeviationRow, ...]
    words: tuple[Said, ...]
    looks: tuple[tuple[datetime, str, str], ...]
    today: date
    enrolled_on: date | None
    doses: tuple[str, ...]
    visit_words: Mapping[str, str]
    study: str
    next_step: str


@query("see_visit")
def visit_meant(*, course: str, told: str, by: Actor, at: datetime) -> str:
    """The visit that an address of this reader means."""
    return blinding.meant(course, told, see(course, by=by, what="see_visit", at=at).protocol.visits, by)


@query("see_chart")
def chart(*, course: str, by: Actor, at: datetime) -> Chart:
    """Everything of one course on one page, as far as the reader may see it."""
    seen = see(course, by=by, what="see_chart", at=at)
    unblinded = not blinding.blind(by)
    lines = _lines(seen) if unblinded else ()
    names = account.names(set(LookRow.objects.filter(course=course).values_list("by", flat=True)))
    return Chart(
        strip=seen.strip,
        phase=seen.row.phase if unblinded else "",
        lines=lines,
        series=_series(seen, lines),
        alerts=tuple(AlertRow.objects.filter(course=course).order_by("-raised_at"))
        if access.may(by, "see_alerts")
        else (),
        consents=tuple(ConsentRow.objects.filter(course=course).order_by("offered_at"))
        if access.may(by, "see_consent")
        else (),
        deviations=tuple(DeviationRow.objects.filter(course=course).order_by("-noted_at", "id")) if unblinded else (),
        words=words_of(seen) if access.may(by, "see_preparation") else (),
        looks=tuple(
            (look.at, names.get(look.by, look.by), access.ROLES.get(look.role, look.role))
            for look in LookRow.objects.filter(course=course).order_by("-at")[:12]
        ),
        today=seen.today,
        enrolled_on=seen.row.enrolled_on if unblinded else None,
        doses=tuple(line.planned.visit for line in lines if line.kind == "dosing"),
        visit_words={line.planned.visit: line.planned.label for line in lines},
        study=StudyRow.objects.get(id=seen.row.study).title,
        next_step=next_step(seen) if unblinded else "",
    )


def next_step(seen: Seen) -> str:
    """The one thing that brings this course on, in a sentence."""
    s = seen.state
    if s.ended:
        return ""
    if not s.pre_screened:
        return "Pre-screen the enquiry by telephone."
    if not s.consents:
        return "Offer the consent documents."
    if not s.consented:
        waiting = [c for c in s.consents.values() if not c.stands]
        unsigned = [c.document for c in waiting if not c.signed_at]
        return (
            f"Consent waits for the participant: {', '.join(unsigned)}."
            if unsigned
            else "Consent waits for the countersignature."
        )
    if not s.verdict:
        return "Record what the safety rules ask for."
    if s.signed_verdict is None:
        return "The verdict waits for the physician."
    if s.enrolled_on is None:
        return "Enrol the participant."
    if len(seen.protocol.arms) > 1 and not s.arm:
        return "Measure expectancy, then allocate."
    coming = next(
        (p for p in schedule(s, seen.protocol, seen.today) if p.state in ("overdue", "due", "in_window", "planned")),
        None,
    )
    day = coming and (coming.due_on or coming.earliest_on)
    when = f", due {day:%-d %B %Y}" if day else ""
    return f"Next: {coming.label}{when}." if coming else "Every visit is settled: complete the course."


def _lines(seen: Seen) -> tuple[VisitLine, ...]:
    booked = dict(VisitRow.objects.filter(course=seen.row.id).values_list("visit", "booked_at"))
    done = set(
        ResponseRow.objects.filter(course=seen.row.id).exclude(completed_at=None).values_list("visit", "instrument")
    )
    found: list[VisitLine] = []
    for planned in schedule(seen.state, seen.protocol, seen.today):
        visit = seen.protocol.visit(planned.visit, seen.arm)
        answered = sum((visit.id, ask.instrument) in done for ask in visit.asks)
        line = VisitLine(planned, visit.kind, visit.phase, booked.get(visit.id), len(visit.asks), answered)
        found.append(line)
    return tuple(found)


def _series(seen: Seen, lines: tuple[VisitLine, ...]) -> tuple[Series, ...]:
    rows = ResponseRow.objects.filter(course=seen.row.id).exclude(completed_at=None).order_by("completed_at")
    values: dict[tuple[str, str], float | None] = {}
    instruments: list[str] = []
    for row in rows:
        if row.instrument not in instruments:
            instruments.append(row.instrument)
        score = "total" if "total" in row.scores else next(iter(row.scores), "")
        value = row.scores.get(score)
        values[row.instrument, row.visit] = (
            float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        )
    endpoint = seen.protocol.endpoint
    if endpoint and endpoint.instrument in instruments:
        instruments.sort(key=lambda i: i != endpoint.instrument)
    shown = []
    for instrument in instruments:
        points = tuple(
            (line.planned.visit, line.planned.label, values[instrument, line.planned.visit])
            for line in lines
            if (instrument, line.planned.visit) in values
        )
        numbers = [p[2] for p in points if p[2] is not None]
        if numbers:
            known = endpoint if endpoint and endpoint.instrument == instrument else None
            lines_of = _thresholds(known, points)
            shown.append(
                Series(instrument, "total", 0, max([*numbers, *(t[0] for t in lines_of)]) * 1.1 + 1, points, lines_of)
            )
    return tuple(shown)


def _thresholds(
    endpoint: Endpoint | None, points: tuple[tuple[str, str, float | None], ...]
) -> tuple[tuple[float, str], ...]:
    """The protocol's own lines: half of this person's baseline, and the score of remission."""
    if endpoint is None:
        return ()
    found: list[tuple[float, str]] = []
    baseline = next((value for visit, _, value in points if visit == endpoint.baseline), None)
    if endpoint.response and endpoint.response.drop_percent_at_least is not None and baseline:
        drop = endpoint.response.drop_percent_at_least
        found.append((baseline * (1 - drop / 100), f"response, {drop:g} % below baseline"))
    if endpoint.remission and endpoint.remission.at_most is not None:
        found.append((endpoint.remission.at_most, f"remission, {endpoint.remission.at_most:g} or less"))
    return tuple(found)


_WORD_KINDS = {
    "intention_set": "Intention",
    "fear_noted": "Fear",
    "support_person_named": "Support person",
    "ride_home_confirmed": "Way home",
    "touch_agreed": "Touch agreement",
    "insight_noted": "Insight",
    "commitment_made": "Commitment",
    "practice_noted": "Practice",
    "journal_written": "Shared from the journal",
    "note_written": "Note",
}


def words_of(seen: Seen) -> tuple[Said, ...]:
    """Everything that was said in a course and is shared, opened, the newest first; not the team's notes of a dosing day."""
    open_ = vault.opener(seen.row.participant)
    shared = WordsRow.objects.filter(course=seen.row.id, shared=True).exclude(kind="note_written")
    rows = list(shared.order_by("-at"))
    names = account.names({row.by for row in rows})
    return tuple(
        Said(
            _WORD_KINDS.get(row.kind, row.kind),
            open_(row.words) if row.words else _touch_words(row),
            row.at,
            "Participant" if row.role == "participant" else names.get(row.by, row.by),
            row.due_on,
            row.state,
            row.detail.get("commitment", row.id),
        )
        for row in rows
    )


def _touch_words(row: WordsRow) -> str:
    areas = row.detail.get("areas")
    if areas is None:
        return "confirmed" if row.detail.get("confirmed") else "not any more"
    welcome = ", ".join(area for area, yes in areas.items() if yes)
    return f"Welcome: {welcome or 'none'}"


# ---- a visit --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """One instrument at a visit, of whom, whether it is answered, and whether the shelf can score it."""

    instrument: str
    title: str
    of: str
    when: str
    response: str
    state: str
    mine: bool
    shelved: bool


@dataclass(frozen=True)
class VisitPage:
    strip: Strip
    visit: Visit
    planned: PlannedVisit
    booked_at: datetime | None
    minutes: int | None
    notes: str
    covered: tuple[str, ...]
    held_by: str
    event: str
    asked: tuple[Asked, ...]
    present: tuple[str, ...]
    moves: tuple[Move, ...]
    today: date
    address: str
    blind: bool
    causes: Mapping[str, str] = field(default_factory=lambda: MISSED_BECAUSE)


@query("see_visit")
def visit(*, course: str, visit: str, by: Actor, at: datetime) -> VisitPage:
    """One visit of one course: its window, what is asked, who is there, what stands."""
    seen = see(course, by=by, what="see_visit", at=at)
    found = seen.protocol.visit(visit, seen.arm)
    blind = blinding.blind(by)
    if blind and not blinding.rated(found):
        raise access.not_here("see_visit")
    row = VisitRow.objects.filter(id=f"{course}/{visit}").first()
    planned = next(p for p in schedule(seen.state, seen.protocol, seen.today) if p.visit == visit)
    known = happened(seen.state)
    may_read = access.may(by, "see_preparation")
    if blind:
        found = found.model_copy(
            update={"label": blinding.RATING, "note": None, "present": (), "doses": (), "kind": "follow_up"}
        )
        planned = replace(planned, label=blinding.RATING, due_on=None, earliest_on=None, latest_on=None, cause="")
    return VisitPage(
        strip=seen.strip,
        visit=found,
        planned=planned,
        booked_at=row.booked_at if row else None,
        minutes=row.minutes if row else None,
        notes=vault.opener(seen.row.participant)(row.notes) if row and row.notes and may_read else "",
        covered=tuple(row.covered) if row else (),
        held_by=account.names({row.by}).get(row.by, "") if row and row.by else "",
        event=row.event if row else "",
        asked=_asked(seen, found, by),
        present=tuple(_presence(p.role, p.at_least, p.where) for p in found.present),
        moves=moves(seen.protocol, seen.arm, known, visit, seen.today)
        if known and not blind and not planned.done_on and not planned.cause
        else (),
        today=seen.today,
        address=blinding.sign(course, visit, by),
        blind=blind,
    )


def _presence(role: str, at_least: int, where: str) -> str:
    return f"{at_least} {role.replace('_', ' ')}{'s' if at_least > 1 else ''}, {where.replace('_', ' ')}"


_MAY_RATE = {
    "blinded_rater": ("rater",),
    "clinician": ("physician", "facilitator"),
    "facilitator": ("facilitator",),
}


def _asked(seen: Seen, visit: Visit, by: Actor) -> tuple[Asked, ...]:
    rows = {
        (r.instrument, r.respondent): r
        for r in ResponseRow.objects.filter(course=seen.row.id, visit=visit.id).order_by("begun_at")
    }
    blind = blinding.blind(by)
    shelved = set(shelf.ids("instruments"))
    found = []
    for ask in visit.asks:
        if blind and ask.of != "blinded_rater":
            continue
        row = next((r for (instrument, _), r in rows.items() if instrument == ask.instrument), None)
        state = "done" if row and row.completed_at else ("due" if row else "planned")
        title = definitions.title(ask.instrument)
        mine, there = by.role in _MAY_RATE.get(ask.of, ()), ask.instrument in shelved
        found.append(Asked(ask.instrument, title, ask.of, ask.when or "", row.id if row else "", state, mine, there))
    return tuple(found)


# ---- the journal of a course ----------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One event of the journal as a sentence."""

    id: str
    position: int
    kind: str
    what: str
    at: datetime
    recorded_at: datetime
    by: str
    because: str
    hash: str
    corrects: str
    corrected: bool
    response: str = ""
    parts: tuple[Told, ...] = ()


@query("see_journal")
def journal_of(*, course: str, by: Actor, at: datetime) -> tuple[Strip, tuple[Told, ...]]:
    """Every event of a course, the newest first, each as a sentence; a private journal's words stay closed."""
    seen = see(course, by=by, what="see_journal", at=at)
    events = journal.events(f"course:{course}")
    names = account.names({e.by["actor"] for e in events})
    open_ = vault.opener(seen.row.participant) if access.may(by, "see_preparation") else (lambda words: "")
    corrected = {e.payload["corrects"] for e in events if e.kind == "amended"}
    labels = {v.id: v.label for v in seen.protocol.visits}
    told = [_told(e, names, open_, labels, e.id in corrected) for e in reversed(events)]
    return seen.strip, tuple(_gathered(told))


def _gathered(told: list[Told]) -> Iterator[Told]:
    """Answers that follow one another in one questionnaire, on one day and by one person, as one line with its parts."""
    for _, run in groupby(told, lambda one: (one.response, one.by, one.at.date()) if one.response else one.id):
        parts = tuple(run)
        if len(parts) == 1:
            yield parts[0]
        else:
            yield replace(parts[0], what=f"{len(parts)} answers given", parts=parts)


def _told(
    e: Event, names: Mapping[str, str], open_: Callable[[Any], str], labels: Mapping[str, str], corrected: bool
) -> Told:
    who = {"participant": "Participant", "system": "Keel"}.get(str(e.by["role"]), "") or names.get(
        e.by["actor"], e.by["actor"]
    )
    role = access.ROLES.get(e.by["role"], "")
    reason = e.payload.get("reason")
    return Told(
        id=e.id,
        position=e.position,
        kind=e.kind,
        what=sentence(e, open_, labels),
        at=e.occurred_at,
        recorded_at=e.recorded_at,
        by=f"{who}, {role.lower()}" if role and who != "Participant" else who,
        because=open_(reason) if isinstance(reason, Mapping) else "",
        hash=e.hash[:12],
        corrects=e.payload.get("corrects", "")[:8] if e.kind == "amended" else "",
        corrected=corrected,
        response=e.payload["response"] if e.kind == "item_answered" else "",
    )


def sentence(e: Event, open_: Callable[[Any], str], labels: Mapping[str, str]) -> str:
    """What an event says, in words that anyone in the clinic would use."""
    p = e.payload
    visit = labels.get(p.get("visit", ""), p.get("visit", ""))
    instrument = forms.title(p["instrument"]) if p.get("instrument") else ""
    document = definitions.document_title(p["document"]) if p.get("document") else ""
    words = open_(p.get("words")) if p.get("words") and e.kind != "journal_written" else ""
    if e.kind == "amended":
        done = "Taken back" if p["payload"].get("withdrawn") else "Corrected"
        return f"{done}: {p['kind'].replace('_', ' ')}"
    if e.kind == "facts_recorded":
        return "Recorded: " + ", ".join(f"{name.replace('_', ' ')}" for name in p["facts"])
    told = {
        "course_opened": "Enquiry opened",
        "pre_screened": f"Pre-screened: {str(p.get('outcome', '')).replace('_', ' ')}",
        "judged": f"Safety rules judged: {VERDICTS.get(p.get('verdict', ''), '')}",
        "verdict_signed": f"Verdict signed: {VERDICTS.get(p.get('verdict', ''), '')}",
        "finding_overridden": f"Finding overridden: {p.get('rule', '')}",
        "screening_failed": f"Screening failed: {str(p.get('reason', '')).replace('-', ' ')}",
        "consent_offered": f"Consent offered: {document}, version {p.get('version', '')}",
        "comprehension_answered": f"Comprehension {'passed' if p.get('passed') else 'not passed yet'}: {document}",
        "consent_signed": f"Consent signed: {document}",
        "consent_countersigned": f"Consent countersigned: {document}",
        "consent_withdrawn": f"Consent withdrawn: {document}",
        "enrolled": f"Enrolled on {_day(p.get('on'))}",
        "allocated": f"Allocated: {p.get('arm', '')}",
        "visit_held": f"{visit} held on {_day(p.get('on'))}"
        + (f", {p['minutes']} minutes" if p.get("minutes") else ""),
        "visit_missed": f"{visit} missed: {MISSED_BECAUSE.get(p.get('cause', ''), p.get('cause', ''))}",
        "visit_booked": f"{visit} booked for {str(p.get('starts_at', ''))[:16].replace('T', ' ')}",
        "deviation_noted": f"Deviation: {p.get('said', '')}",
        "response_begun": f"{instrument} begun",
        "item_answered": f"Question {p.get('item', '')} answered",
        "response_completed": "Questionnaire completed",
        "sheet_keyed": f"{instrument} keyed from paper, the first of two entries",
        "rated_again": f"{instrument} rated by a second rater",
        "response_entered": f"{instrument} entered" + (" from paper" if p.get("paper") else ""),
        "session_planned": f"Session opened for {visit}",
        "arrived": "Arrived",
        "supplement_agreed": f"Supplemental dose, asked sober: {'yes' if p.get('agreed') else 'no'}",
        "dose_prepared": f"Dose prepared: {p.get('arithmetic') or p.get('substance', '')}, lot {p.get('lot', '')}",
        "dose_confirmed": "Dose checked by a second person",
        "dose_given": f"Dose given: {p.get('arithmetic') or p.get('substance', '')}, lot {p.get('lot', '')}",
        "vitals_recorded": "Vital signs: " + _vitals(p),
        "moment_noted": f"{str(p.get('kind', '')).replace('_', ' ').capitalize()}",
        "phase_reached": f"Phase: {str(p.get('state', '')).replace('_', ' ')}",
        "release_item_signed": f"Release checklist signed: {str(p.get('item', '')).replace('-', ' ')}",
        "released": "Released",
        "session_stopped": "Session stopped",
        "alert_raised": f"Alert ({p.get('level', '')}): {p.get('why', '')}",
        "alert_moved": f"Alert {str(p.get('state', '')).replace('_', ' ')}"
        + (f": {open_(p['done'])}" if p.get("done") else ""),
        "alert_climbed": "Alert went on to the next person on the ladder",
        "commitment_kept": f"Commitment: {str(p.get('outcome', '')).replace('_', ' ')}",
        "withdrawn": f"Withdrawn: {ENDED_BECAUSE.get(str(p.get('reason')), '')}",
        "lost_to_follow_up": "Lost to follow-up",
        "course_completed": "Course completed",
        "person_erased": "The person's identity and words were erased",
        "link_sent": "Personal link sent",
        "link_revoked": "Personal link revoked",
        "link_opened": "Personal link opened",
        "journal_written": "A page of the private journal was written",
        "journal_shared": "A page of the private journal was " + ("shared" if p.get("shared") else "taken back"),
        "cohort_joined": "Joined a cohort",
        "adverse_event_reported": f"Adverse event: {p.get('term', '')}",
        "unblinded": f"Arm disclosed to: {DISCLOSED_TO.get(str(p.get('whom')), '')}",
        "emergency_contacted": f"Called in an emergency: {CALLED.get(str(p.get('whom')), '')}",
        "prescriber_decided": f"Prescriber of {p.get('medicine', '')}: {DECISIONS.get(str(p.get('decision')), '')}",
        "events_asked_for": "Asked for anything new: " + ("there was something" if p.get("anything") else "nothing"),
        "report_started": f"Reporting clock: {STARTS.get(str(p.get('name', '')), '')} on {_day(p.get('on'))}",
        "report_sent": f"Report sent on {_day(p.get('on'))} ({p.get('name', '')})",
    }.get(e.kind) or _WORD_KINDS.get(e.kind, e.kind.replace("_", " ").capitalize())
    return f"{told}: {words}" if words else told


def _day(text: Any) -> str:
    """A day of the record as it is said."""
    return f"{date.fromisoformat(str(text)[:10]):%-d %B %Y}" if text else ""


def _vitals(p: Mapping[str, Any]) -> str:
    found = []
    if p.get("systolic_mmhg") is not None:
        found.append(f"{p['systolic_mmhg']}/{p.get('diastolic_mmhg', '?')} mmHg")
    for name, unit in (("heart_rate_bpm", "a minute"), ("temperature_c", "°C"), ("spo2_percent", "% oxygen")):
        if p.get(name) is not None:
            found.append(f"{p[name]} {unit}")
    return ", ".join(found)


def zone(site: str) -> str:
    """The time zone of a site."""
    return str(SiteRow.objects.get(id=site).timezone)
