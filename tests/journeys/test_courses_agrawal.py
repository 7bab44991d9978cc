"""A cohort of three in a browser, through the group day of Agrawal 2024."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.house import House, browser, house
from tests.journeys.walk import Clinic, admit, dosing_day

__all__ = ["browser", "house"]
pytestmark = [pytest.mark.browser, pytest.mark.database]


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
