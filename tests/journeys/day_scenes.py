"""Dosing days for browser tests, today. Each gives plain JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from keel.actions import dosing, study, team
from keel.domain.access import SYSTEM
from keel.queries import definitions
from keel.records import journal
from keel.records.models import DayRow, MomentRow, PresenceRow, VitalsRow
from keel.records.rebuild import rebuild
from tests.clinic import PASSWORD, open_clinic
from tests.dosing_days import Day, dose, lately, opened


def cohort_under_way(people: int = 3, dosed: bool = True) -> dict[str, Any]:
    """A cohort of Agrawal 2024 in its room, dosed some minutes ago, with a facilitator for each person."""
    clinic = open_clinic()
    study.open_study(
        study="together", title="Simulated cohort", protocol="agrawal-2024", sites=["north"],
        documents=["treatment-psilocybin"], by=SYSTEM, at=clinic.at,
    )  # fmt: skip
    protocol = definitions.protocol("agrawal-2024", 1)
    at, pace = lately(40)
    day = opened(
        clinic, protocol=protocol, study="together", visit="dosing", arm=protocol.arm_ids[0], people=people, at=at,
        pace=pace,
    )  # fmt: skip
    for number in range(people - 1):
        email = f"f{number}@north.example"
        staff = team.admit(email=email, name=f"Simulated facilitator {number + 2}", password=PASSWORD, by=SYSTEM, at=at)
        team.grant(staff=staff, site="north", role="facilitator", by=SYSTEM, at=at)
        dosing.come_in(session=day.session, staff=staff, by=day.first, at=day.later())
    for course in day.courses if dosed else ():
        dose(day, course)
    return {"session": day.session, "courses": day.courses, "visit": day.visit, "emails": clinic.emails}


def standing(session: str) -> dict[str, Any]:
    """What the record holds of a session: moments and readings by person, in the order of their time."""
    courses = list(DayRow.objects.filter(session=session).values_list("course", flat=True))
    moments = list(
        MomentRow.objects.filter(session=session).order_by("at", "id").values_list("id", "course", "kind", "at")
    )
    vitals = VitalsRow.objects.filter(course__in=courses).order_by("at", "id").values_list("course", "systolic_mmhg")
    ids = Counter(event.id for course in courses for event in journal.events(f"course:{course}"))
    return {
        "moments": [[id, course, kind, at.isoformat()] for id, course, kind, at in moments],
        "vitals": [list(v) for v in vitals],
        "here": PresenceRow.objects.filter(session=session, left_at=None).count(),
        "twice": [id for id, times in ids.items() if times > 1],
        "verified": journal.verify().first_broken is None,
        "identical": not rebuild(keep=False).different,
    }


__all__ = ["Day", "cohort_under_way", "standing"]
