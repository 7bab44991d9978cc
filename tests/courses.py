"""A course that has come so far, for tests that begin in the middle: consented, enrolled, allocated."""

from __future__ import annotations

from datetime import date, datetime

from keel.domain.access import SYSTEM
from keel.domain.events import Actor, new_id
from keel.records import journal, vault
from keel.records.models import StudyRow
from keel.records.vault import Identity
from tests.clinic import Clinic

BORN_ON = date(1984, 6, 30)


def enrolled(
    clinic: Clinic,
    *,
    site: str = "north",
    study: str = "mood",
    arm: str = "immediate",
    code: str = "N-001",
    name: str = "Simulated Ada",
    consent: bool = True,
    at: datetime | None = None,
) -> tuple[str, Actor]:
    """(course, its participant as an actor): from enquiry to allocation on the clinic's day."""
    at = at or clinic.at
    course, person = new_id(), new_id()
    protocol = StudyRow.objects.get(id=study)
    vault.admit(person, site, Identity(name=name, born_on=BORN_ON, phone="+44 20 7946 0000"))
    opened = {
        "participant": person,
        "site": site,
        "study": study,
        "protocol": protocol.protocol,
        "protocol_version": protocol.protocol_version,
        "code": code,
    }
    with journal.writing(f"course:{course}") as writing:
        writing.append("course_opened", opened, by=SYSTEM, at=at)
        writing.append("pre_screened", {}, by=SYSTEM, at=at)
        if consent:
            about = {"document": "participation"}
            writing.append("consent_offered", {**about, "version": 1}, by=SYSTEM, at=at)
            writing.append("comprehension_answered", {**about, "answers": {}, "passed": True}, by=SYSTEM, at=at)
            writing.append("consent_signed", {**about, "name": name}, by=SYSTEM, at=at)
            writing.append("consent_countersigned", about, by=SYSTEM, at=at)
        writing.append("enrolled", {"on": at.date().isoformat()}, by=SYSTEM, at=at)
        writing.append("allocated", {"arm": arm}, by=SYSTEM, at=at)
    return course, Actor(person, "participant", site, courses=(course,))


def held(course: str, visit: str, on: date, *, at: datetime, phase: str = "preparation") -> None:
    """A visit that took place."""
    with journal.writing(f"course:{course}") as writing:
        said = {"visit": visit, "on": on.isoformat(), "phase": phase, "mode": "individual"}
        writing.append("visit_held", said, by=SYSTEM, at=at)
