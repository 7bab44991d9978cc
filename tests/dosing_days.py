"""Courses that are ready for their dosing day, for tests that begin in that room."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from keel.actions import dosing
from keel.domain.access import SYSTEM
from keel.domain.course import Course, fold
from keel.domain.errors import Reason
from keel.domain.events import Actor, new_id
from keel.domain.protocol import Protocol
from keel.domain.visit import arm_of, readiness
from keel.library import shelf
from keel.queries import definitions
from keel.records import journal, vault
from keel.records.models import StudyRow
from keel.records.vault import Identity
from tests.clinic import Clinic

NAMES = ("Ada Simulated", "Ben Simulated", "Cleo Simulated", "Dan Simulated")
WEIGHT_KG = 71.5


@dataclass
class Day:
    """An opened session: its people, the visit, who works in it, and the clock of the room."""

    session: str
    courses: list[str]
    visit: str
    first: Actor
    second: Actor
    at: datetime
    pace: float = 1.0

    def later(self, minutes: float = 1) -> datetime:
        self.at += timedelta(minutes=minutes * self.pace)
        return self.at


def state_of(course: str) -> Course:
    state: Course = journal.state_of(f"course:{course}", fold)
    return state


def _enrolled(number: int, *, study: str, arm: str, at: datetime) -> str:
    course, person = new_id(), new_id()
    row = StudyRow.objects.get(id=study)
    vault.admit(person, "north", Identity(name=NAMES[number - 1], born_on=date(1984, 6, 30), phone="+44 20 7946 0000"))
    opened = {
        "participant": person,
        "site": "north",
        "study": study,
        "protocol": row.protocol,
        "protocol_version": row.protocol_version,
        "code": f"N-{number:03}",
    }
    about = {"document": "participation"}
    with journal.writing(f"course:{course}") as writing:
        for kind, payload in (
            ("course_opened", opened),
            ("pre_screened", {}),
            ("consent_offered", {**about, "version": 1}),
            ("comprehension_answered", {**about, "answers": {}, "passed": True}),
            ("consent_signed", {**about, "name": NAMES[number - 1]}),
            ("consent_countersigned", about),
            ("enrolled", {"on": at.date().isoformat()}),
            ("allocated", {"arm": arm}),
        ):
            writing.append(kind, payload, by=SYSTEM, at=at)
    return course


def ready(clinic: Clinic, number: int, on: datetime, *, study: str, arm: str, visit: str, cohort: str = "") -> str:
    """A course that nothing keeps from being dosed on that day; the events are appended, not acted out."""
    course = _enrolled(number, study=study, arm=arm, at=on - timedelta(days=21))
    state = state_of(course)
    protocol = definitions.protocol(state.protocol, state.protocol_version)
    today = on.date()
    with journal.writing(f"course:{course}") as writing:

        def add(kind: str, payload: dict[str, object], at: datetime = on) -> None:
            writing.append(kind, payload, by=SYSTEM, at=at)

        if cohort:
            add("cohort_joined", {"cohort": cohort})
        for each in protocol.visits_for(arm):
            if each.id == visit:
                break
            _hold_before(add, each, today, on)
        for ask in protocol.visit(visit, arm).asks:
            if ask.when == "before_dose":
                add("response_entered", _answer(ask.instrument, visit))
        add(
            "facts_recorded", {"facts": {"weight_kg": {"value": WEIGHT_KG, "on": today.isoformat(), "source": "scale"}}}
        )
        add("judged", {"findings": [], "verdict": "clear", "on": today.isoformat()})
        add("verdict_signed", {"verdict": "clear"})
        add("intention_set", {"words": vault.sealer(state.participant)("To meet what comes.")})
        add("touch_agreed", {"areas": {"hand": True, "shoulder": True, "head": False}})
        add("support_person_named", {"words": vault.sealer(state.participant)("Eve, +44 20 7946 0001")})
        add("ride_home_confirmed", {"confirmed": True})
    assert not _blocks(course, protocol, visit, today), _blocks(course, protocol, visit, today)
    return course


def _blocks(course: str, protocol: Protocol, visit: str, today: date) -> tuple[Reason, ...]:
    return readiness(state_of(course), protocol, visit, today, shelf=shelf.ids("instruments"))


def _hold_before(add, each, today: date, on: datetime) -> None:
    held = today - timedelta(days=1 if each.kind == "baseline" else 3)
    said = {"visit": each.id, "on": held.isoformat(), "phase": each.phase, "mode": "individual", "minutes": 480}
    add("visit_held", said)
    for ask in each.asks:
        add("response_entered", _answer(ask.instrument, each.id))


def _answer(instrument: str, visit: str) -> dict[str, object]:
    return {
        "response": new_id(),
        "instrument": instrument,
        "instrument_version": 1,
        "visit": visit,
        "respondent": "participant",
        "items": {},
        "scores": {},
        "missing": [],
        "context": {},
        "paper": True,
    }


def lately(minutes: float) -> tuple[datetime, float]:
    """So many minutes ago, and the pace of a day that begins then; shortly after midnight both shrink, as the day is today's."""
    now = datetime.now(UTC)
    local = now.astimezone(ZoneInfo("Europe/London"))
    since = (local - local.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() / 60
    pace = min(1.0, since * 0.9 / minutes)
    return now - timedelta(minutes=minutes * pace), pace


def people_of(clinic: Clinic) -> tuple[Actor, Actor]:
    """The two who work in the room: a facilitator and the physician."""
    return clinic.staff["facilitator"], clinic.staff["physician"]


def opened(
    clinic: Clinic,
    *,
    protocol: Protocol,
    study: str,
    visit: str,
    arm: str,
    people: int = 1,
    at: datetime | None = None,
    pace: float = 1.0,
) -> Day:
    """A session of so many people, opened, with both members of staff in the room and everybody arrived."""
    at = at or clinic.at
    cohort = new_id() if people > 1 else ""
    courses = [
        ready(clinic, n + 1, at, study=study, arm=arm, visit=visit, cohort=cohort) for n in range(people)
    ]  # fmt: skip
    first, second = people_of(clinic)
    made = dosing.open_session(courses=courses, visit=visit, room="Garden room", on=at.date(), by=first, at=at)
    day = Day(made.payload["session"], courses, visit, first, second, at, pace)
    assert arm_of(state_of(courses[0]), protocol) == arm
    for who in (first, second):
        dosing.come_in(session=day.session, staff=who.id, by=first, at=day.later())
    for course in courses:
        dosing.arrive(course=course, visit=visit, by=first, at=day.later())
    return day


def prepare(day: Day, course: str, mg_per_ml: float | None = None) -> None:
    """The first prepares what the protocol gives first, the second checks it; `mg_per_ml` of what is poured."""
    state = state_of(course)
    protocol = definitions.protocol(state.protocol, state.protocol_version)
    plan = protocol.visit(day.visit, arm_of(state, protocol)).doses[0]
    option = plan.options[0] if plan.options else None
    dosing.prepare_dose(
        course=course,
        visit=day.visit,
        substance=plan.substance,
        value=option.value if option else None,
        unit=option.unit if option else None,
        lot="SIM-1",
        mg_per_ml=mg_per_ml,
        by=day.first,
        at=day.later(),
    )
    dosing.confirm_dose(course=course, visit=day.visit, by=day.second, at=day.later())


def dose(day: Day, course: str) -> datetime:
    """Prepared, checked and given; the moment it was given."""
    prepare(day, course)
    dosing.give_dose(course=course, visit=day.visit, by=day.first, at=day.later())
    return day.at
