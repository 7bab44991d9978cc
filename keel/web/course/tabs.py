"""The pages about one course, in the order of the course, as far as the reader may open them."""

from __future__ import annotations

from typing import Any

from django.urls import NoReverseMatch, reverse

from keel.domain import access
from keel.domain.events import Actor

# (what of domain/access.py, name of the page, words): one line here puts a page into every course.
TABS: tuple[tuple[str, str, str], ...] = (
    ("see_chart", "chart", "Chart"),
    ("see_screening", "screening", "Screening"),
    ("see_screening", "medications", "Medicines"),
    ("see_consent", "consent", "Consent"),
    ("see_preparation", "preparation", "Preparation"),
    ("see_session", "dosing", "Dosing day"),
    ("see_integration", "integration", "Integration"),
    ("see_safety", "course_safety", "Safety"),
    ("see_safety", "adverse_events", "Adverse events"),
    ("see_responses", "responses", "Questionnaires"),
    ("see_journal", "course_journal", "Journal"),
    ("send_link", "links", "Personal link"),
    ("erase_person", "erase", "Erase"),
)


def tabs(course: str, by: Actor, current: str) -> list[dict[str, Any]]:
    """The sub-navigation of a course page; `current` is the name of the page that is open."""
    found = []
    for what, name, label in TABS:
        if access.may(by, what):
            try:
                found.append(
                    {"url": reverse(name, kwargs={"course": course}), "label": label, "current": name == current}
                )
            except NoReverseMatch:
                continue
    return found
