"""Bad input: a sentence that says what was refused, why, and what would make it right; and nothing is written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from keel.actions import assessment, dosing, follow_up, integration, preparation, visits
from keel.domain.errors import Refused
from keel.records.models import DeviationRow, EventRow
from tests.clinic import Clinic, begin, enrolled, state_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def refused(action: Any, why: str, **given: Any) -> None:
    """Refused for this reason, in a sentence with what and why; nothing was written."""
    before = EventRow.objects.count()
    with pytest.raises(Refused, match=why) as told:
        action(**given)
    assert EventRow.objects.count() == before
    for reason in told.value.reasons:
        assert reason.what and reason.why, reason
        assert reason.mend, f"nothing says what would make it right: {reason}"


def test_visits_that_cannot_be(clinic: Clinic) -> None:
    waiting, by = begin(clinic), clinic.staff["physician"]
    told: dict[str, Any] = {"visit": "baseline", "on": clinic.today, "by": by, "at": clinic.at}
    refused(visits.hold_visit, "consent is not signed", course=waiting, **told)
    course = enrolled(clinic, name="Eve Simulated")
    refused(visits.hold_visit, "has no visit 'moon'", course=course, **{**told, "visit": "moon"})
    refused(visits.hold_visit, "is still to come", course=course, **{**told, "on": clinic.today + timedelta(days=1)})
    refused(visits.hold_visit, "0 minutes is no length", course=course, minutes=0, **told)
    refused(visits.hold_visit, "it is a preparation visit", course=course, **{**told, "visit": "preparation-1"})
    visits.hold_visit(course=course, **told)
    refused(visits.hold_visit, "it stands as held on", course=course, **told)
    refused(
        visits.miss_visit,
        "it stands as held or missed",
        course=course,
        visit="baseline",
        cause="ill",
        by=by,
        at=clinic.at,
    )
    refused(visits.miss_visit, "'flu' is no cause", course=course, visit="month-1", cause="flu", by=by, at=clinic.at)
    refused(
        visits.book_visit,
        "that time is past",
        course=course,
        visit="month-1",
        starts_at=clinic.at - timedelta(1),
        by=by,
        at=clinic.at,
    )
    amend: dict[str, Any] = {"course": course, "visit": "baseline", "on": clinic.today, "by": by, "at": clinic.at}
    refused(visits.amend_visit, "no reason is given", reason=" ", **amend)
    refused(visits.amend_visit, "was not held", reason="Wrong.", **{**amend, "visit": "month-1"})


def test_a_visit_out_of_window_is_recorded_and_noted_as_a_deviation(clinic: Clinic) -> None:
    course = enrolled(clinic)
    at = clinic.later(days=30)
    visits.hold_visit(course=course, visit="screening", on=clinic.today, by=clinic.staff["physician"], at=at)
    assert state_of(course).visits["screening"].on == clinic.today
    noted = DeviationRow.objects.get(course=course)
    assert (noted.visit, noted.kind, noted.days) == ("screening", "out_of_window", 30)


def test_answers_that_cannot_be(clinic: Clinic) -> None:
    course, by = enrolled(clinic), clinic.staff["coordinator"]
    told: dict[str, Any] = {"course": course, "visit": "", "by": by, "at": clinic.at}
    refused(assessment.enter, "no instrument called 'horoscope'", instrument="horoscope", items=[1], **told)
    refused(assessment.enter, "item 2", instrument="phq-9", items=[1, 9, 0, 0, 0, 0, 0, 0, 0], **told)
    refused(assessment.enter, "items", instrument="phq-9", items=[1, 2], **told)


def test_doses_and_days_that_cannot_be(clinic: Clinic) -> None:
    course, by = enrolled(clinic), clinic.staff["facilitator"]
    told: dict[str, Any] = {"by": by, "at": clinic.at}
    refused(
        dosing.open_session, "no dosing visit", courses=[course], visit="baseline", room="A", on=clinic.today, **told
    )
    refused(dosing.open_session, "no room", courses=[course], visit="session-1", room=" ", on=clinic.today, **told)
    dosing.open_session(courses=[course], visit="session-1", room="A", on=clinic.today, **told)
    refused(
        dosing.open_session,
        "opened, held or missed already",
        courses=[course],
        visit="session-1",
        room="A",
        on=clinic.today,
        **told,
    )
    day: dict[str, Any] = {"course": course, "visit": "session-1", **told}
    refused(dosing.give_dose, "has not arrived", **day)
    dosing.arrive(**day)
    dose: dict[str, Any] = {"substance": "psilocybin-anhydrous", "value": 20, "unit": "mg_per_70kg", "lot": "L1", **day}
    refused(dosing.prepare_dose, "over the maximum of the protocol", **{**dose, "value": 45})
    refused(dosing.prepare_dose, "counts this dose in", **{**dose, "unit": "mg"})
    refused(dosing.prepare_dose, "not psilocin", **{**dose, "substance": "psilocin"})
    refused(dosing.prepare_dose, "'grams' is no unit", **{**dose, "unit": "grams"})
    refused(dosing.prepare_dose, "no lot number", **{**dose, "lot": " "})
    dosing.prepare_dose(**dose)
    refused(dosing.confirm_dose, "you prepared it yourself", **day)
    refused(dosing.give_dose, "nobody confirmed the dose", **day)
    refused(dosing.record_vitals, "1200 mmHg cannot be a reading", systolic_mmhg=1200, diastolic_mmhg=80, **day)
    refused(dosing.record_vitals, "upside down", systolic_mmhg=70, diastolic_mmhg=120, **day)
    refused(
        dosing.record_vitals,
        "its time lies ahead",
        systolic_mmhg=120,
        occurred_at=clinic.at + timedelta(hours=1),
        **day,
    )
    refused(dosing.release, "no dose was given", **day)


def test_words_and_ends_that_cannot_be(clinic: Clinic) -> None:
    course, by = enrolled(clinic), clinic.staff["facilitator"]
    told: dict[str, Any] = {"course": course, "by": by, "at": clinic.at}
    refused(preparation.set_intention, "there are no words", words="  ", **told)
    refused(preparation.agree_touch, "'knee' is no area", areas={"knee": True}, words="", **told)
    refused(integration.make_commitment, "is past", words="Walk.", due_on=clinic.today - timedelta(days=1), **told)
    refused(integration.keep_commitment, "no such commitment", commitment="x", outcome="kept", **told)
    ending: dict[str, Any] = {"course": course, "on": clinic.today, "by": clinic.staff["coordinator"], "at": clinic.at}
    refused(follow_up.complete_course, "neither held nor missed", **ending)
    refused(follow_up.withdraw, "'bored' is no cause", reason="bored", **ending)
    follow_up.withdraw(reason="moved", **ending)
    refused(preparation.set_intention, "the course ended", words="Too late.", **told)
