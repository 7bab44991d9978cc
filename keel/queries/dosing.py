"""The dosing day as it may be seen: the gate before it, the board of the room, one person's report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from keel.domain import access, watch
from keel.domain.course import Course, DosingDay, fold
from keel.domain.dose import SUBSTANCE_NAMES
from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.domain.jurisdiction import Jurisdiction, least_minutes
from keel.domain.protocol import DosePlan, Protocol, Visit
from keel.domain.session import LABELS, MOMENTS, STATES, WITHDRAWN
from keel.domain.visit import arm_of, readiness, unanswered
from keel.domain.vitals import PLAUSIBLE
from keel.domain.watch import Crossing, Due, Gap, Stay, Taken, Unwatched
from keel.library import coverage_files, music_files, shelf
from keel.library.alert_files import crisis_lines
from keel.library.formulary_files import Medicine, formulary
from keel.library.jurisdiction_files import jurisdiction
from keel.queries import account, definitions
from keel.queries.course import Strip, see
from keel.queries.door import query
from keel.records import journal, vault
from keel.records.models import (
    CourseRow,
    DayRow,
    DoseRow,
    MembershipRow,
    MomentRow,
    PresenceRow,
    ReleaseItemRow,
    ResponseRow,
    RoomRow,
    SessionRow,
    SiteRow,
    VisitRow,
    VitalsRow,
    WordsRow,
)

WATCHERS = ("facilitator", "physician")


# ---- what actions ask ---------------------------------------------------------------------------------


def protocol_of(state: Course) -> Protocol:
    """The protocol in the version that the course began with."""
    return definitions.protocol(state.protocol, state.protocol_version)


def law_of(protocol: Protocol) -> Jurisdiction | None:
    return jurisdiction(protocol.jurisdiction) if protocol.jurisdiction else None


def taken(course: str, visit: str) -> list[Taken]:
    """The vital signs of one person's day, in their order."""
    return [_taken(row) for row in VitalsRow.objects.filter(course=course, visit=visit).order_by("at", "id")]


def _taken(row: VitalsRow) -> Taken:
    return Taken(row.at, {m: v for m in PLAUSIBLE if (v := getattr(row, m)) is not None})


def company_missing(state: Course, day: DosingDay) -> tuple[Reason, ...]:
    """Whoever the protocol, or the law by the largest dose in the room, wants there and is not."""
    rows = list(DayRow.objects.filter(session=day.session).exclude(state__in=("released", "transferred")))
    here = [row.role for row in PresenceRow.objects.filter(session=day.session, left_at=None)]
    return _short(protocol_of(state), arm_of(state, protocol_of(state)), day.visit, rows, here)


def _short(protocol: Protocol, arm: str, visit: str, rows: Sequence[DayRow], here: Sequence[str]) -> tuple[Reason, ...]:
    found = protocol.visit(visit, arm)
    substance = found.doses[0].substance if found.doses else ""
    law = law_of(protocol)
    return watch.shortages(
        found.present,
        people=len(rows),
        here=here,
        law=law,
        doses_mg=[_dose_mg(row) for row in rows] if law else (),
        substance=substance,
    )


def _dose_mg(row: DayRow) -> float:
    """The milligrams that one person was given that day, with what is prepared for them."""
    given = DoseRow.objects.filter(course=row.course, visit=row.visit).values_list("given_mg", flat=True)
    return float(sum(mg or 0 for mg in (*given, (row.prepared or {}).get("given_mg"))))


def release_reasons(
    state: Course, day: DosingDay, at: datetime, measured: Sequence[Taken] | None = None
) -> list[Reason]:
    """What still stands between the participant and the door. `measured`: the vital signs, where they are read already."""
    measured = taken(state.id, day.visit) if measured is None else measured
    protocol, what = protocol_of(state), "The release was refused"
    found = [
        Reason(what, f"not signed: {item.label}", "Check and sign it", item.id, "release-item")
        for item in protocol.release.items
        if item.required and item.id not in day.signed
    ]
    if not day.doses and not day.stopped_at:
        why = "no dose was given and the session was not stopped"
        found.append(Reason(what, why, "Stop the session with its reason"))
    found += [
        Reason(what, f"an urgent alert waits for somebody: {alert.why.rstrip('.')}", "Take it first", code="alert")
        for alert in unanswered(state)
        if alert.source.get("visit") == day.visit and "instrument" in alert.source
    ]
    earliest = _earliest(protocol, day)
    if earliest is not None and at < earliest[0]:
        left = int((earliest[0] - at).total_seconds() // 60) + 1
        why = f"{earliest[1]} minutes after the last dose are not over"
        found.append(Reason(what, why, f"Wait {left} more minutes", "time", "too-early"))
    dosed_at = datetime.fromisoformat(day.doses[0]["at"]) if day.doses else None
    return [*found, *watch.release_blocks(protocol.vitals, measured, dosed_at=dosed_at)]


def _earliest(protocol: Protocol, day: DosingDay) -> tuple[datetime, int] | None:
    """From when the rule lets somebody leave, and its minutes; None where no rule names a time."""
    minutes = least_minutes(protocol, law_of(protocol), [d.get("given_mg") or 0 for d in day.doses])
    if not day.doses or not minutes:
        return None
    last = max(datetime.fromisoformat(d["at"]) for d in day.doses)
    return last + timedelta(minutes=minutes), minutes


# ---- before the day -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fellow:
    """Somebody who would be in the session, with all that blocks their day."""

    course: str
    code: str
    name: str
    blocks: tuple[Reason, ...]
    opened: bool


@dataclass(frozen=True)
class DosingVisit:
    """One dosing visit of a course: where it stands, and what keeps it from taking place."""

    id: str
    label: str
    state: str
    session: str
    on: date | None
    fellows: tuple[Fellow, ...]
    together: bool
    alone_allowed: bool
    gives: tuple[str, ...]

    @property
    def ready(self) -> bool:
        return all(not fellow.blocks for fellow in self.fellows)


@dataclass(frozen=True)
class Gate:
    strip: Strip
    visits: tuple[DosingVisit, ...]
    today: date
    rooms: tuple[str, ...]


@query("see_session")
def gate(*, course: str, by: Actor, at: datetime) -> Gate:
    """The dosing visits of a course, each with what blocks it for everybody who would be in the session."""
    seen = see(course, by=by, what="see_session", at=at)
    days = {row.visit: row for row in DayRow.objects.filter(course=course)}
    fellows = [seen.state]
    if seen.row.cohort:
        rows = CourseRow.objects.filter(cohort=seen.row.cohort, site=seen.row.site, ended="").exclude(id=course)
        fellows += [journal.state_of(f"course:{row.id}", fold) for row in rows.order_by("code")]
    found = []
    for visit in seen.protocol.visits_for(seen.arm):
        if visit.kind == "dosing":
            found.append(_dosing_visit(seen.protocol, visit, fellows, days.get(visit.id), seen.today, by))
    rooms = RoomRow.objects.filter(site=seen.row.site).values_list("room", flat=True)
    used = SessionRow.objects.filter(site=seen.row.site).values_list("room", flat=True)
    return Gate(seen.strip, tuple(found), seen.today, tuple(sorted({*rooms, *used})))


def _dosing_visit(
    protocol: Protocol, visit: Visit, fellows: Sequence[Course], row: DayRow | None, today: date, by: Actor
) -> DosingVisit:
    cohort = protocol.cohort
    together = bool(fellows[0].cohort and cohort and cohort.most > 1)
    names = vault.identities([f.participant for f in fellows]) if access.may(by, "see_identity") else {}
    people = []
    for one in fellows if together else fellows[:1]:
        opened = visit.id in one.days or visit.id in one.visits
        blocks = () if opened else readiness(one, protocol, visit.id, today, shelf=shelf.ids("instruments"))
        known = names.get(one.participant)
        people.append(Fellow(one.id, one.code, known.name if known else "", blocks, opened))
    held = fellows[0].visits.get(visit.id)
    state = row.state if row else ("missed" if held and held.cause else "released" if held else "")
    return DosingVisit(
        visit.id,
        visit.label,
        state,
        row.session if row else "",
        row.on if row else None,
        tuple(people),
        together,
        not (cohort and cohort.same_time and fellows[0].cohort),
        tuple(str(d) for d in visit.doses) if access.may(by, "see_arm") else (),
    )


# ---- the board ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sign:
    """One vital sign: its last value with the ones before it, and whether a limit speaks."""

    measure: str
    label: str
    unit: str
    values: tuple[float, ...]
    at: datetime | None
    state: str

    @property
    def value(self) -> float | None:
        return self.values[-1] if self.values else None


@dataclass(frozen=True)
class Line:
    """One entry of the day's log. `kind` is the event's; `what` says it in words; `session` entries are the room's."""

    id: str
    at: datetime
    kind: str
    what: str
    words: str
    by: str
    amended: bool
    shared: bool = False


@dataclass(frozen=True)
class Item:
    id: str
    label: str
    required: bool
    signed_by: str
    signed_at: datetime | None


@dataclass(frozen=True)
class Order:
    """A rescue medicine that was ordered and not given yet."""

    id: str
    name: str
    dose: str
    by: str
    mine: bool


@dataclass(frozen=True)
class Supplement:
    """The supplemental dose: from when to when it may be offered, and whether now."""

    options: tuple[float, ...]
    opens_at: datetime | None
    closes_at: datetime | None
    open: bool
    agreed: bool | None


@dataclass(frozen=True)
class Person:
    """One person's part of the board. Nothing in it is about anybody else."""

    course: str
    code: str
    name: str
    visit: str
    protocol: str
    state: str
    state_label: str
    standing: str
    standing_says: str
    steps: tuple[str, ...]
    arrived_at: datetime | None
    dosed_at: datetime | None
    left_at: datetime | None
    stopped_because: str
    plan: DosePlan | None
    unit: str
    substance: str
    weight_kg: float | None
    prepared: Mapping[str, Any] | None
    prepared_by: str
    prepared_mine: bool
    confirmed_by: str
    doses: tuple[DoseRow, ...]
    supplement: Supplement | None
    asks_supplement: bool
    supplement_agreed: bool | None
    signs: tuple[Sign, ...]
    times: tuple[Due, ...]
    next: Due | None
    crossings: tuple[Crossing, ...]
    touch: Mapping[str, bool]
    touch_words: str
    intentions: tuple[str, ...]
    orders: tuple[Order, ...]
    items: tuple[Item, ...]
    blocks: tuple[Reason, ...]
    earliest_at: datetime | None
    log: tuple[Line, ...]

    @property
    def here(self) -> bool:
        return self.state not in ("prepared", "released", "transferred")

    @property
    def under(self) -> bool:
        """Dosed and not gone yet."""
        return self.dosed_at is not None and self.here

    @property
    def last_at(self) -> datetime | None:
        return max((s.at for s in self.signs if s.at), default=None)


@dataclass(frozen=True)
class Member:
    """Somebody of the staff: in the room since, or not."""

    id: str
    name: str
    role: str
    since: datetime | None
    watches: tuple[str, ...] = ()


@dataclass(frozen=True)
class Next:
    """What is due next in the room."""

    course: str
    who: str
    due: Due


@dataclass(frozen=True)
class MusicPhase:
    """A phase of the music's programme: from when to when by the first dose in the room, and whether it is on now."""

    label: str
    from_at: datetime | None
    to_at: datetime | None
    now: bool
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """A session as its room sees it."""

    id: str
    site: str
    zone: ZoneInfo
    room: str
    on: date
    at: datetime
    study: str
    people: tuple[Person, ...]
    inside: tuple[Member, ...]
    outside: tuple[Member, ...]
    short: tuple[Reason, ...]
    needed: int
    nexts: tuple[Next, ...]
    log: tuple[Line, ...]
    medicines: tuple[Medicine, ...]
    music: tuple[MusicPhase, ...]
    place: str

    @property
    def last_shared(self) -> Line | None:
        """The newest line of the log that is about light, noise or music and stands."""
        return next((line for line in reversed(self.log) if line.kind in ("music", "room")), None)

    @property
    def streams(self) -> list[str]:
        """The journal streams that this board follows."""
        return [f"session:{self.id}", *(f"course:{p.course}" for p in self.people)]

    def person(self, course: str) -> Person:
        found = next((p for p in self.people if p.course == course), None)
        if found is None:
            raise access.not_here("see_session")
        return found


@query("see_session")
def board(*, session: str, by: Actor, at: datetime, only: str = "") -> Board:
    """Everything that the board of a session shows; with `only`, a course, no other person is read."""
    place = journal.end()
    row = _session(session, by)
    days = list(DayRow.objects.filter(session=session))
    courses = {c.id: c for c in CourseRow.objects.filter(id__in=[d.course for d in days])}
    days.sort(key=lambda d: courses[d.course].code)
    wanted_days = [day for day in days if only in ("", day.course)]
    if not wanted_days:
        raise access.not_here("see_session")
    zone = ZoneInfo(SiteRow.objects.get(id=row.site).timezone)
    read = _Read(session, wanted_days, [courses[day.course] for day in wanted_days], by, zone)
    people = tuple(_person(day, courses[day.course], read, by, at) for day in wanted_days)
    here = [p.role for p in read.presences if p.left_at is None]
    first = journal.state_of(f"course:{days[0].course}", fold)
    protocol = protocol_of(first)
    left = [d for d in days if d.state not in ("released", "transferred")]
    arm = arm_of(first, protocol)
    short = _short(protocol, arm, days[0].visit, left, here) if left else ()
    wanted = protocol.visit(days[0].visit, arm).present
    inside, outside = _members(row, read)
    return Board(
        id=session,
        site=row.site,
        zone=zone,
        room=row.room,
        on=row.on,
        at=at,
        study=row.study,
        people=people,
        inside=inside,
        outside=outside,
        short=short,
        needed=sum(w.needed(len(left)) for w in wanted if w.where == "in_room") if left else 0,
        nexts=_nexts(people, at),
        log=_room_log(read),
        medicines=tuple(formulary().values()),
        music=_music(protocol, days, at),
        place=str(place),
    )


def _music(protocol: Protocol, days: Sequence[DayRow], at: datetime) -> tuple[MusicPhase, ...]:
    """The programme of the music. Every arm has the same, so that no arm is heard."""
    substances = [d.substance for v in protocol.visits if v.id == days[0].visit for d in v.doses]
    phases = next((found for s in substances if (found := music_files.programme(s))), ())
    dosed_at = min((d.dosed_at for d in days if d.dosed_at), default=None)
    if dosed_at is None:
        return tuple(MusicPhase(p.label, None, None, False, p.pieces) for p in phases)
    now = music_files.phases_at(phases, (at - dosed_at).total_seconds() / 60)
    return tuple(
        MusicPhase(
            p.label,
            dosed_at + timedelta(minutes=p.from_minute),
            dosed_at + timedelta(minutes=p.to_minute),
            p in now,
            p.pieces,
        )
        for p in phases
    )


def _session(session: str, by: Actor) -> SessionRow:
    row = SessionRow.objects.filter(id=session).first()
    if row is None:
        raise access.not_here("see_session")
    access.check_site(by, "see_session", site=row.site)
    return row


@query("see_session")
def check_session(*, session: str, by: Actor) -> None:
    """Refused, as if it were not there, for a session of another site."""
    _session(session, by)


@query("see_session")
def visit_in(*, session: str, course: str, by: Actor) -> str:
    """The visit that a person has in a session; refused for somebody who is not in it."""
    _session(session, by)
    found = DayRow.objects.filter(session=session, course=course).values_list("visit", flat=True).first()
    if found is None:
        raise access.not_here("see_session")
    return str(found)


class _Read:
    """The rows of a session, read once for all its people."""

    def __init__(
        self, session: str, days: Sequence[DayRow], courses: Sequence[CourseRow], by: Actor, zone: ZoneInfo
    ) -> None:
        ids = [c.id for c in courses]
        visits = {d.visit for d in days}
        self.by = by
        self.zone = zone
        self.presences = list(PresenceRow.objects.filter(session=session).order_by("came_at", "id"))
        self.moments = list(MomentRow.objects.filter(session=session, course__in=["", *ids]).order_by("at", "id"))
        self.vitals = _by_course(VitalsRow.objects.filter(course__in=ids, visit__in=visits).order_by("at", "id"))
        self.doses = _by_course(DoseRow.objects.filter(course__in=ids, visit__in=visits).order_by("given_at", "id"))
        self.signed = _by_course(ReleaseItemRow.objects.filter(course__in=ids, visit__in=visits))
        self.wishes = _by_course(
            WordsRow.objects.filter(course__in=ids, kind__in=("intention_set", "touch_agreed")).order_by("at", "id")
        )
        named = access.may(by, "see_identity")
        self.identities = vault.identities([c.participant for c in courses]) if named else {}
        staff = {p.staff for p in self.presences} | {m.by for m in self.moments} | {d.confirmed_by for d in days}
        staff |= {(d.prepared or {}).get("by", "") for d in days}
        staff |= {m.detail.get("staff", "") for m in self.moments}
        for rows in (self.vitals, self.doses):
            staff |= {row.by for found in rows.values() for row in found}
        staff |= {row.signed_by for found in self.signed.values() for row in found}
        self.names = account.names(staff - {""})

    def name(self, staff: str) -> str:
        return self.names.get(staff, "")


def _by_course(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.course].append(row)
    return found


def _person(day: DayRow, row: CourseRow, read: _Read, by: Actor, at: datetime) -> Person:
    state: Course = journal.state_of(f"course:{row.id}", fold)
    protocol = protocol_of(state)
    arm = arm_of(state, protocol)
    visit = protocol.visit(day.visit, arm)
    open_ = vault.opener(row.participant)
    measured = [_taken(v) for v in read.vitals[row.id]]
    doses = tuple(read.doses[row.id])
    second = next((d.given_at for d in doses if d.supplemental), None)
    times = watch.due(protocol.vitals, measured, dosed_at=day.dosed_at, at=at, supplemental_at=second)
    limits = protocol.vitals.thresholds if protocol.vitals else ()
    crossed = watch.crossings(limits, measured, dosed=day.dosed_at is not None)
    crossed = tuple(c for c in crossed if _speaks(c, day, visit))
    standing_now = {c.threshold.measure for c in crossed if c.stands}
    crossed = tuple(c for c in crossed if c.stands or c.threshold.measure not in standing_now)
    known = read.identities.get(row.participant)
    plan = visit.doses[0] if visit.doses else None
    own = state.days[day.visit]
    earliest = _earliest(protocol, own)
    nobody = _unwatched(day, row, read, protocol, at)
    standing, says = _standing(day, times, crossed, nobody, read.zone)
    wishes = read.wishes[row.id]
    touch = next((w for w in reversed(wishes) if w.kind == "touch_agreed"), None)
    weight = state.facts.get("weight_kg") or {}
    return Person(
        course=row.id,
        code=row.code,
        name=known.name if known else "",
        visit=day.visit,
        protocol=protocol.short_title,
        state=day.state,
        state_label=LABELS[day.state],
        standing=standing,
        standing_says=says,
        steps=tuple(STATES[day.state]),
        arrived_at=day.arrived_at,
        dosed_at=day.dosed_at,
        left_at=_left_at(day),
        stopped_because=open_(day.stopped_because) if day.stopped_because else "",
        plan=plan,
        unit=plan.unit or "" if plan else "",
        substance=SUBSTANCE_NAMES[plan.substance] if plan else "",
        weight_kg=weight.get("value") if weight.get("on") == day.on.isoformat() else None,
        prepared=day.prepared,
        prepared_by=read.name((day.prepared or {}).get("by", "")),
        prepared_mine=(day.prepared or {}).get("by") == by.id,
        confirmed_by=read.name(day.confirmed_by),
        doses=doses,
        supplement=_supplement(plan, doses, at, own.supplement_agreed),
        asks_supplement=protocol.has_supplement(day.visit),
        supplement_agreed=own.supplement_agreed,
        signs=_signs(protocol, measured, crossed),
        times=times,
        next=watch.next_due(times) if day.state not in ("released", "transferred", "prepared") else None,
        crossings=crossed if day.state not in ("released", "transferred") else (),
        touch=dict(touch.detail.get("areas", {})) if touch else {},
        touch_words=open_(touch.words) if touch and touch.words else "",
        intentions=tuple(open_(w.words) for w in wishes if w.kind == "intention_set"),
        orders=_orders(read, row.id, by),
        items=_items(protocol, read.signed[row.id], read),
        blocks=tuple(release_reasons(state, own, at, measured)) if "begin_release" in STATES[day.state] or day.state == "release_check" else (),
        earliest_at=earliest[0] if earliest else None,
        log=_log(row.id, day, doses, read, open_),
    )  # fmt: skip


def _left_at(day: DayRow) -> datetime | None:
    """When the person left, released or transferred."""
    return day.released_at or (day.stopped_at if day.state == "transferred" else None)


def _speaks(crossing: Crossing, day: DayRow, visit: Visit) -> bool:
    """Which limits the board shows now: those of a second dose where there is one, those of the release at its time."""
    does = crossing.threshold.does
    if does == "no_release":
        return day.state in ("release_check", "return", "stopped")
    if does == "withhold_supplemental":
        return any(d.supplemental for d in visit.doses)
    return True


def _unwatched(day: DayRow, row: CourseRow, read: _Read, protocol: Protocol, at: datetime) -> Unwatched | None:
    """Whether nobody watches this person now; from the dose until they leave."""
    if day.dosed_at is None or day.state in ("released", "transferred"):
        return None
    law = law_of(protocol)
    mine = [Stay(p.came_at, p.left_at) for p in read.presences if _watches(p, row.id)]
    return watch.unwatched(
        mine,
        start=day.dosed_at,
        at=at,
        break_minutes=law.presence.break_minutes if law and law.presence else None,
        others_here=any(p.left_at is None for p in read.presences),
    )


def _watches(presence: PresenceRow, course: str) -> bool:
    return presence.role in WATCHERS and (not presence.watches or course in presence.watches)


def _standing(
    day: DayRow, times: Sequence[Due], crossed: Sequence[Crossing], nobody: Unwatched | None, zone: ZoneInfo
) -> tuple[str, str]:
    """The one thing to be seen from two metres."""
    if day.state in ("released", "transferred"):
        return "done", LABELS[day.state]
    if nobody and nobody.over:
        return "stop", f"Nobody watches since {nobody.since.astimezone(zone):%H:%M}"
    worst = next((c for c in crossed if c.stands and c.threshold.does not in ("withhold_supplemental",)), None)
    if worst:
        grave = worst.threshold.does in ("emergency", "call_physician", "cool_actively", "hold_dose")
        return ("stop" if grave else "caution"), watch.DOES[worst.threshold.does]
    if nobody and nobody.back_by:
        return "caution", f"On a break: back by {nobody.back_by.astimezone(zone):%H:%M}"
    if any(not c.stands for c in crossed):
        return "caution", "Measure again"
    late = next((d for d in times if d.state == "overdue"), None)
    if late and day.state != "prepared":
        return "overdue", "Vital signs are late"
    if day.dosed_at and not any(d.state == "done" for d in times if d.minute >= 0):
        return "unknown", "Nothing measured since the dose"
    return ("clear", "Within the limits") if day.dosed_at else ("planned", LABELS[day.state])


def _supplement(
    plan: DosePlan | None, doses: Sequence[DoseRow], at: datetime, agreed: bool | None
) -> Supplement | None:
    """Offered only after a first dose, only once, only while its window is open, and only where it was agreed on sober."""
    extra = plan.supplemental if plan else None
    if extra is None or not doses or (extra.amounts and any(d.supplemental for d in doses)):
        return None
    options = tuple(a for a in extra.amounts if not extra.half_of_first or a * 2 == doses[0].amount)
    if extra.window_minutes is None:
        return Supplement(options, None, None, bool(agreed), agreed)
    first, last = (doses[0].given_at + timedelta(minutes=m) for m in extra.window_minutes)
    return Supplement(options, first, last, bool(agreed) and first <= at <= last, agreed)


def _signs(protocol: Protocol, measured: Sequence[Taken], crossed: Sequence[Crossing]) -> tuple[Sign, ...]:
    wanted = ["systolic_mmhg", "diastolic_mmhg", "heart_rate_bpm"]
    warm = protocol.vitals and "temperature" in protocol.vitals.measures
    wanted += [m for m in ("temperature_c", "spo2_percent") if any(m in t.values for t in measured)]
    if warm and "temperature_c" not in wanted:
        wanted.append("temperature_c")
    found = []
    for measure in wanted:
        known = [(t.at, t.values[measure]) for t in measured if measure in t.values]
        mine = [c for c in crossed if c.threshold.measure == measure]
        state = "stop" if any(c.stands for c in mine) else "caution" if mine else ""
        label, unit = watch.MEASURES[measure]
        values = tuple(value for _, value in known[-12:])
        found.append(Sign(measure, label, unit, values, known[-1][0] if known else None, state))
    return tuple(found)


def _orders(read: _Read, course: str, by: Actor) -> tuple[Order, ...]:
    mine = [m for m in read.moments if m.course == course]
    done = {m.detail.get("order") for m in mine if m.kind == "rescue_given"}
    return tuple(
        Order(m.id, m.detail["name"], m.detail["dose"], read.name(m.by), m.by == by.id)
        for m in mine
        if m.kind == "rescue_ordered" and m.id not in done
    )


def _items(protocol: Protocol, signed: Sequence[ReleaseItemRow], read: _Read) -> tuple[Item, ...]:
    by_item = {row.item: row for row in signed}
    return tuple(
        Item(i.id, i.label, i.required, read.name(row.signed_by) if row else "", row.signed_at if row else None)
        for i in protocol.release.items
        for row in [by_item.get(i.id)]
    )


def _log(course: str, day: DayRow, doses: Sequence[DoseRow], read: _Read, open_: Any) -> tuple[Line, ...]:
    lines = [_line(m, read, open_) for m in read.moments if m.course == course]
    lines += [
        Line(v.id, v.at, "vitals_recorded", f"Vital signs {_reading(v)}", "", read.name(v.by), v.amended)
        for v in read.vitals[course]
    ]
    for d in doses:
        which = "Supplemental dose" if d.supplemental else "Dose"
        lines.append(
            Line(d.id, d.given_at, "dose_given", f"{which} given, lot {d.lot}", "", read.name(d.by), d.amended)
        )
    for row in read.signed[course]:
        lines.append(
            Line(
                row.id, row.signed_at, "release_item_signed", f"Signed: {row.item}", "", read.name(row.signed_by), False
            )
        )
    for moment, what in ((day.arrived_at, "Arrived"), (day.released_at, "Released")):
        if moment:
            lines.append(Line("", moment, what.lower(), what, "", "", False))
    if day.stopped_at:
        what = "Transferred" if day.state == "transferred" else "Session stopped"
        lines.append(Line("", day.stopped_at, "session_stopped", what, open_(day.stopped_because), "", False))
    return tuple(sorted(lines, key=lambda line: (line.at, line.id)))


_WAS = {"came_in": "came in", "went_out": "left"}


def _room_log(read: _Read) -> tuple[Line, ...]:
    """What the room shares, and who came and left. Whom they watch is left out: it would name people."""
    lines = [_line(m, read, str) for m in read.moments if not m.course]
    for p in read.presences:
        name = read.name(p.staff)
        lines.append(Line(p.id, p.came_at, "came_in", f"{name} {_WAS['came_in']}", "", "", p.amended, True))
        if p.left_at:
            lines.append(
                Line(p.left_entry, p.left_at, "went_out", f"{name} {_WAS['went_out']}", "", "", p.left_amended, True)
            )
    return tuple(sorted(lines, key=lambda line: (line.at, line.id)))


def _line(row: MomentRow, read: _Read, open_: Any) -> Line:
    what = MOMENTS.get(row.kind, row.kind.replace("_", " ").capitalize())
    detail = row.detail or {}
    if row.kind == WITHDRAWN:
        was = str(detail.get("was", ""))
        if was in _WAS:
            was = f"{read.name(detail['staff'])} {_WAS[was]}"
        about = ", ".join(str(detail[name]) for name in ("step", "piece", "said") if detail.get(name))
        what = ": ".join(filter(None, ("Taken back", MOMENTS.get(was, was if " " in was else "Vital signs"), about)))
    elif row.kind in ("rescue_ordered", "rescue_given"):
        what = f"{detail['name']} {detail['dose']} {'ordered' if row.kind == 'rescue_ordered' else 'given'}"
    elif row.kind == "music":
        what = ": ".join(["Music", *(str(detail[name]) for name in ("step", "piece", "said") if detail.get(name))])
    elif "said" in detail:
        what = f"{what}: {detail['said']}"
    elif "step" in detail:
        what = str(detail["step"])
    words = open_(row.words) if row.words else ""
    corrected = row.amended and row.kind != WITHDRAWN
    return Line(row.id, row.at, row.kind, what, words, read.name(row.by), corrected, not row.course)


def _reading(row: VitalsRow) -> str:
    parts = []
    if row.systolic_mmhg is not None or row.diastolic_mmhg is not None:
        parts.append(f"{row.systolic_mmhg or '?'}/{row.diastolic_mmhg or '?'} mmHg")
    if row.heart_rate_bpm is not None:
        parts.append(f"{row.heart_rate_bpm}/min")
    if row.temperature_c is not None:
        parts.append(f"{row.temperature_c:g} °C")
    if row.spo2_percent is not None:
        parts.append(f"{row.spo2_percent} %")
    return ", ".join(parts)


def _members(row: SessionRow, read: _Read) -> tuple[tuple[Member, ...], tuple[Member, ...]]:
    inside = {p.staff: p for p in read.presences if p.left_at is None}
    roles: dict[str, str] = {}
    for staff, role in MembershipRow.objects.filter(site=row.site, revoked_at=None, role__in=WATCHERS).values_list(
        "staff", "role"
    ):
        if roles.get(staff) != "facilitator":
            roles[staff] = role
    names = account.names({*roles, *inside})
    members = [
        Member(
            staff,
            names.get(staff, ""),
            inside[staff].role if staff in inside else role,
            inside[staff].came_at if staff in inside else None,
            tuple(inside[staff].watches) if staff in inside else (),
        )
        for staff, role in roles.items()
    ]
    members.sort(key=lambda m: (m.role, m.name))
    return tuple(m for m in members if m.since), tuple(m for m in members if not m.since)


def _nexts(people: Sequence[Person], at: datetime) -> tuple[Next, ...]:
    waiting = [Next(p.course, given_name(p), p.next) for p in people if p.next is not None]
    return tuple(sorted(waiting, key=lambda n: n.due.at or at))


def given_name(person: Person) -> str:
    """How a person is called in the room: given name and initial; the code where the reader may not know the name."""
    first, _, last = person.name.partition(" ")
    return f"{first} {last[:1]}." if last else first or person.code


# ---- after the day ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """Who was there when, and whether the record proves that somebody watched all the time."""

    stays: tuple[tuple[str, str, datetime, datetime | None], ...]
    gaps: tuple[Gap, ...]
    needed: int
    allowed_minutes: int | None
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Note:
    """What one of the team wrote about the day, and signed by writing it."""

    words: str
    by: str
    at: datetime


@dataclass(frozen=True)
class Report:
    """One person's day as the record has it."""

    board: Board
    person: Person
    strip: Strip
    readings: tuple[Taken, ...]
    stretches: tuple[tuple[str, datetime, datetime], ...]
    watched: Watched
    ended_at: datetime | None
    protocol: Protocol
    notes: tuple[Note, ...]


@query("see_session")
def report(*, session: str, course: str, by: Actor, at: datetime) -> Report:
    """One person's session: readings, phases, doses, presence, release."""
    shown = board(session=session, by=by, at=at)
    person = shown.person(course)
    seen = see(course, by=by, what="see_session", at=at)
    day = DayRow.objects.get(id=f"{course}/{person.visit}")
    ended = _left_at(day)
    return Report(
        board=shown,
        person=person,
        strip=seen.strip,
        readings=tuple(taken(course, person.visit)),
        stretches=_stretches(course, person, ended or at),
        watched=_watched(session, course, person, day, ended or at, seen.protocol),
        ended_at=ended,
        protocol=seen.protocol,
        notes=_notes(seen.row, person.visit, day),
    )


def _notes(row: CourseRow, visit: str, day: DayRow) -> tuple[Note, ...]:
    """The notes of the release and those that were signed apart, in the order of their time."""
    open_ = vault.opener(row.participant)
    held = VisitRow.objects.filter(id=f"{row.id}/{visit}").first()
    signed = list(WordsRow.objects.filter(course=row.id, visit=visit, kind="note_written"))
    names = account.names({w.by for w in signed} | ({held.by} if held else set()) - {""})
    found = [Note(open_(w.words), names.get(w.by, ""), w.at) for w in signed]
    if held and held.notes:
        at = _left_at(day) or day.dosed_at or day.arrived_at
        found += [Note(open_(held.notes), names.get(held.by, ""), at)] if at else []
    return tuple(sorted(found, key=lambda note: note.at))


@dataclass(frozen=True)
class DayBefore:
    """A dosing day as integration takes it over: where its report is, what was said, what the team noted."""

    visit: str
    label: str
    on: date
    session: str
    state_label: str
    said: tuple[Note, ...]
    notes: tuple[Note, ...]


@query("see_integration")
def days_before(*, course: str, by: Actor, at: datetime) -> tuple[DayBefore, ...]:
    """The dosing days of a course, the newest first; what was said under the medicine word for word."""
    seen = see(course, by=by, what="see_integration", at=at)
    open_ = vault.opener(seen.row.participant)
    labels = {v.id: v.label for v in seen.protocol.visits}
    found = []
    for day in DayRow.objects.filter(course=course).exclude(state="prepared").order_by("-on"):
        rows = MomentRow.objects.filter(course=course, visit=day.visit, kind__in=("said", "insight")).order_by("at")
        said = tuple(Note(open_(m.words) if m.words else MOMENTS[m.kind], "", m.at) for m in rows)
        label = labels.get(day.visit, day.visit)
        notes = _notes(seen.row, day.visit, day)
        found.append(DayBefore(day.visit, label, day.on, day.session, LABELS[day.state], said, notes))
    return tuple(found)


def _stretches(course: str, person: Person, end: datetime) -> tuple[tuple[str, datetime, datetime], ...]:
    """The phases from the dose on, each until the next began."""
    if person.dosed_at is None:
        return ()
    marks = [("dosed", person.dosed_at)]
    for event in journal.events(f"course:{course}"):
        if event.kind == "phase_reached" and event.payload["visit"] == person.visit:
            marks.append((event.payload["state"], event.occurred_at))
    marks.sort(key=lambda mark: mark[1])
    ends = [moment for _, moment in marks[1:]] + [end]
    return tuple((LABELS[s], low, high) for (s, low), high in zip(marks, ends, strict=True) if high > low)


def _watched(session: str, course: str, person: Person, day: DayRow, end: datetime, protocol: Protocol) -> Watched:
    rows = PresenceRow.objects.filter(session=session).order_by("came_at", "id")
    mine = [r for r in rows if _watches(r, course)]
    names = account.names({r.staff for r in mine})
    stays = tuple((names.get(r.staff, ""), r.role, r.came_at, r.left_at) for r in mine)
    law = law_of(protocol)
    allowed = law.presence.break_minutes if law and law.presence else None
    if day.dosed_at is None:
        return Watched(stays, (), 1, allowed, None, None)
    found = watch.gaps([Stay(r.came_at, r.left_at) for r in mine], start=day.dosed_at, end=end)
    return Watched(stays, found, 1, allowed, day.dosed_at, end)


@dataclass(frozen=True)
class Sheet:
    """The emergency sheet: one page, about one person."""

    person: Person
    board: Board
    born_on: date | None
    phone: str
    contact: str
    contact_phone: str
    support: str
    ride: str
    weight: str
    allergies: str
    medicines: tuple[str, ...] | None
    conditions: tuple[str, ...] | None
    emergency: str
    lines: tuple[Mapping[str, str], ...]
    as_of: datetime


@query("see_session")
def emergency(*, session: str, course: str, by: Actor, at: datetime) -> Sheet:
    """Who it is, what they weigh and take, what was given and measured, whom to call."""
    shown = board(session=session, by=by, at=at)
    person = shown.person(course)
    state: Course = journal.state_of(f"course:{course}", fold)
    known = vault.identity(state.participant) if access.may(by, "see_identity") else None
    open_ = vault.opener(state.participant)
    words: dict[str, str] = {}
    for row in WordsRow.objects.filter(
        course=course, kind__in=("support_person_named", "ride_home_confirmed")
    ).order_by("at", "id"):
        # Confirmed without words is confirmed; a word taken back is not.
        words[row.kind] = open_(row.words) if row.words else "confirmed" if row.detail.get("confirmed") else ""
    help_ = crisis_lines(SiteRow.objects.get(id=shown.site).country)
    return Sheet(
        person=person,
        board=shown,
        born_on=known.born_on if known else None,
        phone=known.phone if known else "",
        contact=known.contact_name if known else "",
        contact_phone=known.contact_phone if known else "",
        support=words.get("support_person_named", ""),
        ride=words.get("ride_home_confirmed", ""),
        weight=_fact(state, "weight_kg", "kg"),
        allergies=_fact(state, "allergies"),
        medicines=_medicines(state),
        conditions=_conditions(state),
        emergency=help_.emergency if help_ else "",
        lines=help_.lines if help_ else (),
        as_of=at,
    )


def _fact(state: Course, name: str, unit: str = "") -> str:
    known = state.facts.get(name)
    if known is None or known["value"] is None:
        return ""
    value = known["value"]
    said = (
        ", ".join(map(str, value)) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else value
    )
    return f"{said} {unit} ({known['on']})".replace("  ", " ")


def _medicines(state: Course) -> tuple[str, ...] | None:
    """What is taken; None where nobody asked, which is not the same as nothing."""
    known = state.facts.get("medications")
    if known is None or known["value"] is None:
        return None
    said = []
    for m in known["value"]:
        since = f", since {m['started_on']}" if m.get("started_on") else ""
        until = f", stopped {m['stopped_on']}" if m.get("stopped_on") else ""
        said.append(f"{m['name']} {m.get('dose') or ''}".strip() + since + until)
    return tuple(said)


def _conditions(state: Course) -> tuple[str, ...] | None:
    """Current and past conditions; None where neither was asked."""
    if "diagnoses" not in state.facts and "history" not in state.facts:
        return None
    found = list(state.facts.get("diagnoses", {}).get("value") or [])
    history = state.facts.get("history", {}).get("value") or {}
    return tuple(str(c).replace("_", " ") for c in [*found, *(name for name, had in history.items() if had)])


# ---- the setting, as ReSPCT asks -------------------------------------------------------------------------


_SECTIONS = ((7, "The place"), (17, "The dosing session"), (25, "The therapy around it"), (30, "How it was"))
# Items that the record itself answers; the others are lines of the room's description (`room:` in the coverage table).
READ_FROM_THE_RECORD = {
    "8": "people",
    "11": "music",
    "12": "interventions",
    "14": "dosing",
    "15": "procedures",
    "16": "before_and_after",
    "17": "disturbances",
    "20": "sessions",
    "21": "preparation",
    "22": "integration",
    "23": "follow_up",
    "26": "alliance",
}


@dataclass(frozen=True)
class SettingItem:
    """One item of the guideline and what the record says of it; nothing said means that it is not reported."""

    number: int
    section: str
    name: str
    says: tuple[str, ...]

    @property
    def reported(self) -> bool:
        return bool(self.says)


@dataclass(frozen=True)
class Setting:
    session: str
    room: str
    on: date
    profile: Mapping[str, str]
    items: tuple[SettingItem, ...]

    @property
    def unreported(self) -> tuple[SettingItem, ...]:
        return tuple(item for item in self.items if not item.reported)


@query("see_session")
def setting(*, session: str, by: Actor, at: datetime) -> Setting:
    """The thirty items for a session: counts and descriptions of the room and the day, never a single person's words."""
    row = _session(session, by)
    described = RoomRow.objects.filter(id=f"{row.site}/{row.room}").first()
    profile: dict[str, str] = dict(described.profile) if described else {}
    known = _known(row, profile)
    items = []
    for item in coverage_files.coverage("respct").items:
        room = next((w.removeprefix("room:") for w in item.where if w.startswith("room:")), "")
        part = READ_FROM_THE_RECORD.get(item.id, "")
        says = known.get(part, ()) if part else (profile.get(room, ""),)
        section = next(name for last, name in _SECTIONS if int(item.id) <= last)
        items.append(SettingItem(int(item.id), section, item.label, tuple(s for s in says if s)))
    return Setting(session, row.room, row.on, profile, tuple(items))


def _known(row: SessionRow, profile: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    days = list(DayRow.objects.filter(session=row.id))
    moments = list(MomentRow.objects.filter(session=row.id).order_by("at", "id"))
    state: Course = journal.state_of(f"course:{days[0].course}", fold)
    protocol = protocol_of(state)
    visit = protocol.visit(days[0].visit, arm_of(state, protocol))
    pieces = [
        ", ".join(str(m.detail[name]) for name in ("step", "piece") if m.detail.get(name))
        for m in moments
        if m.kind == "music" and (m.detail.get("step") or m.detail.get("piece", "stopped") != "stopped")
    ]
    noises = [m.detail["said"] for m in moments if m.kind == "room" and m.detail.get("said")]
    return {
        "people": _company(row, days),
        "music": (profile.get("music", ""), f"Played: {'; '.join(pieces)}" if pieces else ""),
        "interventions": _counted(moments, ("reassurance", "touch_offered", "touch_given")),
        "dosing": _regimen(days, visit),
        "procedures": _procedures(days, visit, protocol),
        "before_and_after": (_release_words(protocol),),
        "disturbances": (profile.get("disturbances", ""), f"On the day: {'; '.join(noises)}" if noises else ""),
        **_around_the_day(days, protocol),
    }


def _company(row: SessionRow, days: Sequence[DayRow]) -> tuple[str, ...]:
    roles: dict[str, set[str]] = defaultdict(set)
    for presence in PresenceRow.objects.filter(session=row.id):
        roles[presence.role].add(presence.staff)
    staff = [f"{len(people)} {role}{'s' if len(people) != 1 else ''}" for role, people in sorted(roles.items())]
    return (f"{len(days)} participant{'s' if len(days) != 1 else ''}", *staff) if staff else ()


def _counted(moments: Sequence[MomentRow], kinds: Sequence[str]) -> tuple[str, ...]:
    found = []
    for kind in kinds:
        times = sum(m.kind == kind for m in moments)
        if times:
            found.append(f"{MOMENTS[kind]}: {times} time{'s' if times != 1 else ''}")
    return tuple(found)


def _regimen(days: Sequence[DayRow], visit: Visit) -> tuple[str, ...]:
    if not any(day.dosed_at for day in days):
        return ()
    hours = [
        (day.released_at - day.arrived_at).total_seconds() / 3600 for day in days if day.released_at and day.arrived_at
    ]
    length = f"From arrival to release {min(hours):.1f} to {max(hours):.1f} hours" if hours else ""
    return ("; ".join(map(str, visit.doses)), length)


def _procedures(days: Sequence[DayRow], visit: Visit, protocol: Protocol) -> tuple[str, ...]:
    sets = VitalsRow.objects.filter(course__in=[d.course for d in days], visit=visit.id).count()
    measured = ", ".join(m.replace("_", " ") for m in protocol.vitals.measures) if protocol.vitals else ""
    asked = ", ".join(ask.instrument for ask in visit.asks)
    return (
        f"Vital signs ({measured}) taken {sets} times" if sets and measured else "",
        f"Asked: {asked}" if asked else "",
    )


def _release_words(protocol: Protocol) -> str:
    rule = protocol.release
    least = f"not before {rule.minimum_minutes} minutes; " if rule.minimum_minutes else ""
    return f"Release: {least}{'; '.join(i.label for i in rule.items)}" if rule.items or least else ""


def _around_the_day(days: Sequence[DayRow], protocol: Protocol) -> dict[str, tuple[str, ...]]:
    """What the courses know of the time before and after: sessions held, topics covered, alliance measured."""
    courses = [day.course for day in days]
    rows = VisitRow.objects.filter(course__in=courses, on__isnull=False)
    kinds = {v.id: v.kind for v in protocol.visits}
    held = [(kinds.get(r.visit, ""), r) for r in rows]
    planned = [f"{n} {k.replace('_', ' ')}" for k in ("preparation", "dosing", "integration")
               if (n := sum(v.kind == k for v in protocol.visits))]  # fmt: skip
    topics = sorted({topic for kind, r in held if kind == "preparation" for topic in r.covered})
    alliance = ResponseRow.objects.filter(
        course__in=courses, instrument__in=("wai-sr", "wai-s", "star-p", "star-c"), completed_at__isnull=False
    )
    measured = sorted({f"{r.instrument} at {r.visit}" for r in alliance})
    later = [v.label for v in protocol.visits if v.kind == "follow_up"]
    return {
        "sessions": (f"Planned: {', '.join(planned)}",) if planned else (),
        "preparation": (_minutes(held, "preparation"), f"Covered: {', '.join(topics)}" if topics else ""),
        "integration": (_minutes(held, "integration"),),
        "follow_up": (f"Planned: {', '.join(later)}",) if later else (),
        "alliance": tuple(measured),
    }


def _minutes(held: Sequence[tuple[str, VisitRow]], kind: str) -> str:
    rows = [r for k, r in held if k == kind]
    return f"{len(rows)} sessions held, {sum(r.minutes or 0 for r in rows)} minutes in all" if rows else ""
