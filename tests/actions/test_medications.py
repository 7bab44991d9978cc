"""The medication planner: when every washout is over, and whose decision stopping is."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from keel.actions import medications as act
from keel.actions import screening
from keel.domain.errors import Refused
from keel.queries import medications as ask
from keel.records import journal
from tests.actions.test_adverse_events import desk
from tests.clinic import Clinic, begin, state_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime.now(UTC)


@pytest.fixture
def course(clinic: Clinic) -> str:
    clinic.at = NOW - timedelta(minutes=5)
    return begin(clinic)


def takes(clinic: Clinic, course: str, *medicines: dict[str, Any]) -> None:
    facts = {"medications": list(medicines)}
    screening.record_facts(course=course, facts=facts, by=clinic.staff["physician"], at=clinic.at)


def seen(clinic: Clinic, course: str) -> ask.Page:
    return ask.medications(course=course, by=clinic.staff["physician"], at=clinic.at)


def decide(clinic: Clinic, course: str, role: str = "physician", **more: Any) -> None:
    given = {"medicine": "Zoloft", "decision": "taper", "prescriber": "Dr Simulated GP", "on": clinic.today, **more}
    act.record_prescriber_decision(course=course, **given, by=clinic.staff[role], at=clinic.at)


def test_nobody_asked_is_not_none(clinic: Clinic, course: str) -> None:
    page = seen(clinic, course)
    assert page.earliest_on is None and "Nobody has asked yet" in page.questions[0]
    takes(clinic, course)
    page = seen(clinic, course)
    assert (page.earliest_on, page.questions, page.rows) == (clinic.today, (), ())


def test_a_medicine_that_is_taken_is_a_question_to_its_prescriber(clinic: Clinic, course: str) -> None:
    takes(clinic, course, {"name": "Zoloft", "dose": "50 mg", "started_on": "2025-01-10"})
    page = seen(clinic, course)
    assert page.earliest_on is None and "Keel never advises it" in page.questions[0]
    (row,) = page.rows
    assert row.state == "taking" and any("withdrawal and relapse" in risk for risk in row.risks)
    planned = clinic.today + timedelta(days=20)
    decide(clinic, course, last_dose_on=planned, words="Slowly, over three weeks")
    page = seen(clinic, course)
    (row,) = page.rows
    assert row.planned and row.washout_days and page.earliest_on == planned + timedelta(days=row.washout_days)
    assert (row.decisions[0].prescriber, row.decisions[0].by) == ("Dr Simulated GP", "Simulated physician north")
    assert "Dr Simulated" not in str([e.payload for e in journal.events(f"course:{course}")])
    assert state_of(course).facts["medications"]["value"][0].get("stopped_on") is None
    clinic.later(days=21)  # the planned day has passed and nobody said that it was the last dose
    assert seen(clinic, course).earliest_on is None


def test_the_longest_washout_is_the_day(clinic: Clinic, course: str) -> None:
    stopped = (clinic.today - timedelta(days=3)).isoformat()
    takes(clinic, course, {"name": "fluoxetine", "stopped_on": stopped}, {"name": "Zoloft", "stopped_on": stopped})
    page = seen(clinic, course)
    assert page.earliest_on == max(row.over_on for row in page.rows if row.over_on) > clinic.today
    assert {row.state for row in page.rows} == {"washing_out"}


def test_the_protocol_s_own_washout_counts_where_the_matrix_would_let_it_go_on(clinic: Clinic, course: str) -> None:
    takes(clinic, course, {"name": "Wellbutrin"})
    page = seen(clinic, course)
    assert page.earliest_on is None and page.rows[0].state == "taking"
    takes(clinic, course, {"name": "Wellbutrin", "stopped_on": (clinic.today - timedelta(days=4)).isoformat()})
    page = seen(clinic, course)
    assert (page.rows[0].washout_days, page.earliest_on) == (14, clinic.today + timedelta(days=10))


def test_what_is_left_out_around_the_dose_counts_from_today(clinic: Clinic, course: str) -> None:
    takes(clinic, course, {"name": "ibuprofen"})
    assert seen(clinic, course).earliest_on == clinic.today + timedelta(days=7)


def test_a_name_that_nobody_knows_keeps_the_day_open(clinic: Clinic, course: str) -> None:
    takes(clinic, course, {"name": "Wunderpille 300"})
    page = seen(clinic, course)
    assert page.earliest_on is None and page.rows[0].state == "unknown" and "pharmacist" in page.questions[0]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"medicine": "Aspirin"}, "not among the medicines"),
        ({"decision": "stop at once"}, "no decision"),
        ({"prescriber": " "}, "who decided"),
        ({"on": date(2099, 1, 1)}, "still to come"),
        ({"decision": "continue", "last_dose_on": date(2026, 12, 1)}, "goes on"),
        ({"last_dose_on": date(2099, 1, 1)}, "more than a year away"),
    ],
)
def test_a_decision_that_is_refused(clinic: Clinic, course: str, wrong: dict[str, Any], why: str) -> None:
    takes(clinic, course, {"name": "Zoloft"})
    with pytest.raises(Refused, match=why):
        decide(clinic, course, **wrong)
    with pytest.raises(Refused, match="may not"):
        decide(clinic, course, "facilitator")
    decide(clinic, course)
    assert len(state_of(course).decisions) == 1


def test_the_page_draws_the_line_and_keeps_what_was_typed(clinic: Clinic, course: str) -> None:
    client, url = desk(clinic, "physician"), f"/course/{course}/medications/"
    assert "Nobody has asked yet" in client.get(url).content.decode()
    takes(
        clinic,
        course,
        {"name": "Zoloft", "started_on": "2025-01-10"},
        {"name": "Paracetamol", "stopped_on": "2026-01-01"},
    )
    text = client.get(url).content.decode()
    assert "<svg" in text and "Keel never advises it" in text and "withdrawal and relapse" in text
    given = {"form": "decided", "medicine": "Zoloft", "decision": "taper", "prescriber": "Dr Kept", "on": "2099-01-01"}
    wrong = client.post(url, given)
    assert wrong.status_code == 409 and 'value="Dr Kept"' in wrong.content.decode()
    assert client.post(url, {**given, "on": clinic.today.isoformat()}).status_code == 302
    assert "It is tapered, by Dr Kept" in client.get(url).content.decode()
    assert desk(clinic, "rater").get(url).status_code == 403
