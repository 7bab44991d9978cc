"""A whole course in a browser: Davis 2021 from the enquiry to the twelve-month visit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.house import House, browser, house
from tests.journeys.walk import Clinic, admit, dosing_day, settle

__all__ = ["browser", "house"]
pytestmark = [pytest.mark.browser, pytest.mark.database]


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
    told.get_by_text("Dose given").first.wait_for()
    assert told.get_by_text("Dose given").count() == 2
    found = house.make("tests.journeys.scenes:record")
    assert (found["broken"], found["different"]) == ("", {})
    assert found["courses"][0]["ended"] == "completed"
