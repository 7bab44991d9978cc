"""Oregon's steps at and around every boundary, and what is refused."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.domain.jurisdiction import (
    Jurisdiction,
    check_group,
    check_preparation,
    least_minutes,
    minimum_minutes,
    required_facilitators,
)
from keel.library import shelf
from keel.library.jurisdiction_files import jurisdiction
from keel.library.protocol_files import protocol

OREGON = jurisdiction("oregon")
SESSION = datetime(2026, 3, 20, 9, 0)


@pytest.mark.parametrize(
    ("months", "whole_fungi", "minutes"),
    [(None, False, 60), (3, False, 30), (12, False, 30), (13, False, 60), (3, True, 60)],
)
def test_a_repeat_of_a_very_small_dose_may_be_shorter(months: float | None, whole_fungi: bool, minutes: int) -> None:
    assert minimum_minutes(OREGON, 2, months_since_last=months, whole_fungi=whole_fungi) == minutes
    assert minimum_minutes(OREGON, 25, months_since_last=months) == 300


@given(st.floats(0, 50), st.floats(0, 50), st.integers(1, 25), st.integers(1, 25))
def test_more_is_never_less(a: float, b: float, few: int, many: int) -> None:
    low, high = sorted((a, b))
    fewer, more = sorted((few, many))
    assert minimum_minutes(OREGON, low) <= minimum_minutes(OREGON, high)
    assert required_facilitators(OREGON, fewer, low) <= required_facilitators(OREGON, more, high)


@pytest.mark.parametrize("dose_mg", [50.001, 75, -1, float("nan")])
def test_a_dose_without_a_step_is_refused(dose_mg: float) -> None:
    with pytest.raises(Refused, match="allows up to 50 mg"):
        minimum_minutes(OREGON, dose_mg)


def test_the_largest_dose_decides() -> None:
    check_group(OREGON, [10, 10, 10, 25], facilitators=1, substance="psilocybin-analyte")
    with pytest.raises(
        Refused, match=r"largest dose is 35 mg, so 4 participants need 2, and there are 1.*Bring 1 more"
    ):
        check_group(OREGON, [10, 10, 10, 35], facilitators=1, substance="psilocybin-analyte")


@pytest.mark.parametrize(
    ("doses", "occupancy", "substance", "said"),
    [
        ([2] * 26, None, "psilocybin-analyte", "allows 25"),
        ([2] * 6, 5, "psilocybin-analyte", "the room holds 5"),
        ([25], None, "psilocin", "not psilocin"),
        ([], None, "psilocybin-analyte", "nobody is in it"),
    ],
)
def test_a_room_that_cannot_be(doses: list[float], occupancy: int | None, substance: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        check_group(OREGON, doses, facilitators=26, substance=substance, occupancy=occupancy)


@pytest.mark.parametrize("before", [timedelta(hours=24), timedelta(days=90)])
def test_preparation_at_the_edge_will_do(before: timedelta) -> None:
    check_preparation(OREGON, prepared_at=SESSION - before, session_at=SESSION)


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (timedelta(hours=23, minutes=59), "less than 24 hours"),
        (timedelta(days=90, minutes=1), "more than 90 days"),
        (None, "none is recorded"),
    ],
)
def test_preparation_too_late_too_early_or_none(before: timedelta | None, said: str) -> None:
    with pytest.raises(Refused, match=said):
        check_preparation(OREGON, prepared_at=SESSION - before if before else None, session_at=SESSION)


def test_steps_must_meet() -> None:
    whole = dict(shelf.read("jurisdictions", "oregon").table)
    whole["session_steps"] = [s for s in whole["session_steps"] if s["from_mg"] != 10]
    with pytest.raises(Refused, match=r"session_steps\[3\].from_mg: The dose steps do not meet"):
        Jurisdiction.from_table(whole, "jurisdictions/oregon.toml")


def test_reports_are_data() -> None:
    quarterly = next(r for r in OREGON.reports if r.id == "sb-303")
    assert (quarterly.every_months, quarterly.due_days) == (3, 15)


def test_a_rule_that_was_not_found_is_not_permission() -> None:
    colorado = jurisdiction("colorado")
    with pytest.raises(Refused, match="was not found, so its rule is not known"):
        minimum_minutes(colorado, 10)
    with pytest.raises(Refused, match="Ask the authority"):
        check_group(colorado, [10, 10], facilitators=2, substance="psilocin")
    with pytest.raises(Refused, match="not psilocybin-anhydrous"):
        check_group(colorado, [10], facilitators=1, substance="psilocybin-anhydrous")


@pytest.mark.parametrize(
    ("id", "place", "doses_mg", "minutes"),
    [
        ("oregon-adult-psilocybin", OREGON, [25], 300),
        ("oregon-adult-psilocybin", OREGON, [25, 10], 360),
        ("oregon-adult-psilocybin", OREGON, [24.9, 0.1], 300),
        ("oregon-adult-psilocybin", OREGON, [60], 360),
        ("oregon-adult-psilocybin", None, [25], None),
        ("comp001", OREGON, [25], 360),
        ("comp001", None, [25], 360),
        ("comp005", None, [25], None),
    ],
)
def test_nobody_leaves_before_the_longer_of_the_two(
    id: str, place: Jurisdiction | None, doses_mg: list[float], minutes: int | None
) -> None:
    assert least_minutes(protocol(id), place, doses_mg) == minutes
