"""A small simulated clinic for tests: two sites, one member of staff per role, a study, a participant."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from keel.actions import screening, study, team
from keel.domain import access
from keel.domain import screening as rules
from keel.domain.access import SYSTEM
from keel.domain.course import Course, fold
from keel.domain.events import Actor
from keel.library.rule_files import catalogue
from keel.queries import definitions
from keel.records import journal

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PASSWORD = "simulated-clinic"


@dataclass
class Clinic:
    """`staff[role]` at the site north, `elsewhere[role]` at the site south; `at` is the clinic's clock."""

    staff: dict[str, Actor]
    elsewhere: dict[str, Actor]
    emails: dict[str, str]
    at: datetime = START
    links: dict[str, str] = field(default_factory=dict)

    def later(self, **by: float) -> datetime:
        """Move the clock on: `clinic.later(days=7)`."""
        self.at += timedelta(**by)
        return self.at

    @property
    def today(self) -> date:
        return self.at.date()


def open_clinic(*, protocol: str = "davis-2021", study_id: str = "mood") -> Clinic:
    """Two sites with staff in every role, and a study of one protocol at both."""
    emails: dict[str, str] = {}
    everyone: dict[str, dict[str, Actor]] = {}
    for site, name in (("north", "North clinic (simulated)"), ("south", "South clinic (simulated)")):
        team.open_site(site=site, name=name, country="GB", timezone="Europe/London", by=SYSTEM, at=START)
        everyone[site] = {}
        for role in sorted(access.STAFF):
            email = f"{role}@{site}.example"
            staff = team.admit(email=email, name=f"Simulated {role} {site}", password=PASSWORD, by=SYSTEM, at=START)
            team.grant(staff=staff, site=site, role=role, by=SYSTEM, at=START)
            everyone[site][role] = Actor(staff, role, site)
            emails[f"{site}/{role}"] = email
    study.open_study(
        study=study_id,
        title="Simulated study",
        protocol=protocol,
        sites=["north", "south"],
        documents=["treatment-psilocybin", "recording"],
        by=SYSTEM,
        at=START,
    )
    return Clinic(everyone["north"], everyone["south"], emails)


@pytest.fixture
def clinic(db: None) -> Clinic:
    return open_clinic()


# ---- courses ------------------------------------------------------------------------------------------

NAME = "Ada Simulated"
BORN_ON = date(1986, 5, 4)

CLEAR_FACTS = {
    "weight_kg": 71.5,
    "height_cm": 174,
    "sex": "male",
    "diagnoses": ["mdd"],
    "episode_months": 9,
    "history": {name.removeprefix("history."): False for name in catalogue() if name.startswith("history.")},
    "family_first_degree": {"psychotic_disorder": False, "bipolar_disorder": False},
    "family_second_degree": {"psychotic_disorder": False, "bipolar_disorder": False},
    "blood_pressure": [
        {"systolic_mmhg": 122, "diastolic_mmhg": 78, "on": "2026-03-01"},
        {"systolic_mmhg": 118, "diastolic_mmhg": 76, "on": "2026-03-01"},
        {"systolic_mmhg": 124, "diastolic_mmhg": 80, "on": "2026-03-02"},
        {"systolic_mmhg": 120, "diastolic_mmhg": 78, "on": "2026-03-02"},
    ],
    "heart_rate_bpm": 68,
    "temperature_c": 36.7,
    "qtcf_ms": 408,
    "breastfeeding": False,
    "scales": {"grid-hamd-17": 22},
    "suicidality": {
        **dict.fromkeys(("q1", "q2", "q6", "active_ideation_with_intent", "current_thoughts_of_harm"), False),
        "reviewed_by_clinician": True,
    },
    "medications": [],
    "support_person": True,
    "ride_home": True,
    "can_swallow_capsules": True,
    "speaks_language": True,
    "psychedelic_use_last_months": 240,
}
"""Somebody whom nothing keeps out of Davis 2021, as far as the rules know."""


def state_of(course: str) -> Course:
    state: Course = journal.state_of(f"course:{course}", fold)
    return state


def begin(clinic: Clinic, *, name: str = NAME, born_on: date = BORN_ON, study_id: str = "mood") -> str:
    """A new course at the site north, pre-screened; gives its id."""
    by = clinic.staff["coordinator"]
    opened = screening.open_course(
        site="north", study=study_id, name=name, born_on=born_on, phone="+44 20 7946 0000", by=by, at=clinic.at
    )
    course = opened.stream.partition(":")[2]
    answers = dict.fromkeys(rules.PRE_SCREEN, True)
    screening.pre_screen(course=course, answers=answers, outcome="suitable", by=by, at=clinic.at)
    return course


def participant_of(course: str) -> Actor:
    state = state_of(course)
    return Actor(state.participant, "participant", state.site, courses=(course,))


def right_answers(document: str, version: int = 1) -> dict[str, str]:
    return {q.id: q.right for q in definitions.document(document, version).questions}


def consent(clinic: Clinic, course: str, document: str = "treatment-psilocybin", *, name: str = NAME) -> None:
    """Offer, understand, sign and countersign one document."""
    staff, person = clinic.staff, participant_of(course)
    screening.offer_consent(course=course, document=document, by=staff["coordinator"], at=clinic.at)
    answers = right_answers(document)
    screening.answer_comprehension(course=course, document=document, answers=answers, by=person, at=clinic.at)
    screening.sign_consent(course=course, document=document, name=name, by=person, at=clinic.at)
    screening.countersign_consent(course=course, document=document, by=staff["physician"], at=clinic.at)


def judge_clear(clinic: Clinic, course: str) -> None:
    """Facts that let somebody in, what stays unknown overridden by the physician, and the verdict signed."""
    staff = clinic.staff
    screening.record_facts(course=course, facts=CLEAR_FACTS, by=staff["physician"], at=clinic.at)
    for finding in state_of(course).standing_stops:
        assert finding["finding"] == "unknown", finding
        screening.override_finding(
            course=course, rule=finding["rule"], reason="Decided at the bedside.", by=staff["physician"], at=clinic.at
        )
    screening.sign_verdict(course=course, by=staff["physician"], at=clinic.at)


def enrolled(clinic: Clinic, *, name: str = NAME, born_on: date = BORN_ON, study_id: str = "mood") -> str:
    """A course from the enquiry to enrolment; gives its id."""
    course = begin(clinic, name=name, born_on=born_on, study_id=study_id)
    consent(clinic, course, name=name)
    judge_clear(clinic, course)
    screening.enrol(course=course, by=clinic.staff["coordinator"], at=clinic.at)
    return course
