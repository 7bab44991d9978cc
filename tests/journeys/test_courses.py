"""Whole courses in a browser: Davis 2021 from the enquiry to twelve months, and the group day of Agrawal 2024."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.house import House, browser, house
from tests.journeys.walk import Board, Clinic, Person

__all__ = ["browser", "house"]
pytestmark = [pytest.mark.browser, pytest.mark.database]
TREATMENT = "treatment-psilocybin"


def admit(clinic: Clinic, name: str, diagnoses: tuple[str, ...]) -> Person:
    """From the enquiry to enrolment: coordinator, participant on the phone, physician."""
    person = Person(clinic, name)
    person.enquire()
    person.pre_screen()
    person.open_phone()
    person.consent(TREATMENT)
    person.measure("screening")
    person.record_facts(diagnoses)
    person.hold("screening")
    person.sign_verdict()
    person.enrol()
    return person


def dosing_day(clinic: Clinic, people: list[Person], visit: str, facilitators: list[str]) -> None:
    """The whole day on two tablets: presence, the dose checked by two, vital signs, moments, the checklist, release."""
    for person in people:
        person.judge_today()
        person.measure(visit, when="before_dose")
    board = Board(clinic, people, visit)
    first, second = facilitators[0], facilitators[1]
    tablet = board.tablet(first)
    staff = tablet.locator("form:has(input[name=kind][value=come_in]) input[name=staff]")
    ids = [staff.nth(i).get_attribute("value") for i in range(staff.count())]
    for id in ids[: max(2, len(people) + 1)]:
        board.send(first, "come_in", staff=id)
    for person in people:
        board.send(first, "arrive", person)
        board.send(second, "vitals", person, systolic_mmhg="118", diastolic_mmhg="76", heart_rate_bpm="66")
        clinic.go(minutes=2)
        board.send(second, "vitals", person, systolic_mmhg="119", diastolic_mmhg="77", heart_rate_bpm="66")
        board.send(first, "prepare_dose", person, lot="SIM-0042")
        board.send(second, "confirm_dose", person)
        board.send(first, "give_dose", person)
    clinic.go(minutes=40)
    for person in people:
        board.send(first, "reach", person, step="reach_onset")
        board.send(second, "moment", person, moment="water")
        board.send(second, "vitals", person, systolic_mmhg="131", diastolic_mmhg="82", heart_rate_bpm="78")
    clinic.go(hours=7)
    for person in people:
        person.measure(visit, when="after_effects")
        for item in clinic.protocol.release.items:
            board.send(second, "sign", person, item=item.id)
        board.send(first, "release", person)


def settle(clinic: Clinic, person: Person, visit: str) -> None:
    """A visit after the dosing days: what it asks, then that it was held."""
    person.measure(visit)
    if clinic.visit(visit).kind == "integration":
        person.integrate(visit)
    else:
        person.hold(visit)


def test_davis_2021_from_the_enquiry_to_the_twelve_month_visit(house: House, browser: Any) -> None:
    clinic = Clinic(house, browser, "davis-2021")
    person = admit(clinic, "Ada Simulated", ("mdd",))
    person.measure("baseline")
    person.hold("baseline")
    person.allocate()
    enrolled = clinic.now.date()
    arm = house.make("tests.journeys.scenes:record")["courses"][0]["arm"]

    if arm == "delayed":  # eight weeks of waiting, with two assessments
        for week in (5, 8):
            clinic.morning(enrolled + timedelta(days=7 * week))
            settle(clinic, person, f"waiting-week-{week}")
    first = enrolled + timedelta(weeks=11 if arm == "delayed" else 3)
    for number, before in ((1, 14), (2, 10), (3, 6)):
        clinic.morning(first - timedelta(days=before))
        person.prepare(f"preparation-{number}", 100)
    clinic.morning(first - timedelta(days=2))
    person.prepare("preparation-final", 120)
    person.measure("preparation-final")
    person.bring()

    clinic.morning(first, 8)
    dosing_day(clinic, [person], "session-1", ["facilitator", "facilitator2"])
    for visit, day in (("after-1-day-1", 1), ("after-1-week-1", 7)):
        clinic.morning(first + timedelta(days=day), 9)
        settle(clinic, person, visit)
    clinic.morning(first + timedelta(days=8), 8)
    dosing_day(clinic, [person], "session-2", ["facilitator", "facilitator2"])
    second = first + timedelta(days=8)
    for visit, day in (("after-2-day-1", 1), ("after-2-week-1", 7), ("after-2-week-4", 28), ("month-1", 31)):
        clinic.morning(second + timedelta(days=day))
        settle(clinic, person, visit)
    for visit, day in (("month-3", 92), ("month-6", 183), ("month-12", 365)):
        clinic.morning(second + timedelta(days=day))
        settle(clinic, person, visit)

    person.press(person.desk("coordinator", "end/"), "Complete the course")
    chart = person.desk("coordinator")
    assert "Completed" in chart.locator(".strip").inner_text()
    told = person.desk("investigator", "journal/")
    assert told.get_by_text("Dose given").count() == 2
    found = house.make("tests.journeys.scenes:record")
    assert (found["broken"], found["different"]) == ("", {})
    assert found["courses"][0]["ended"] == "completed"


def test_a_cohort_of_three_through_the_group_day_of_agrawal_2024(house: House, browser: Any) -> None:
    clinic = Clinic(house, browser, "agrawal-2024")
    people = [admit(clinic, f"{name} Simulated", ("mdd", "cancer")) for name in ("Gus", "Gail", "Greta")]
    desk = clinic.desk("coordinator")
    desk.goto("/cohorts/")
    for person in people:
        desk.locator(f"[name=course][value='{person.course}']").check()
    desk.get_by_label("Name").fill("Cohort of March")
    desk.get_by_role("button", name="Form the cohort").click()
    desk.get_by_role("heading", name="Cohort of March").wait_for()

    day = clinic.now.date() + timedelta(days=21)
    clinic.morning(day - timedelta(days=7))
    for person in people:
        person.prepare("preparation-individual", 120)
    clinic.morning(day - timedelta(days=4))
    for person in people:
        person.prepare("preparation-group", 60)
        person.bring()
    clinic.morning(day - timedelta(days=1))
    for person in people:
        person.measure("baseline")
        person.hold("baseline")
    clinic.morning(day, 8)
    dosing_day(clinic, people, "dosing", ["facilitator", "facilitator2"])

    found = house.make("tests.journeys.scenes:record")
    assert (found["broken"], found["different"]) == ("", {})
    assert [c["phase"] for c in found["courses"]] == ["dosing"] * 3
    # A person's page never shows another's.
    report = people[0].desk("facilitator", "dosing/")
    assert "Gail" not in report.locator(".strip").inner_text()
