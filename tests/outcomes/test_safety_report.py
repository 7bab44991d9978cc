"""The safety table counts people and events apart, shows its denominators and closes small cells."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.adverse_event import AdverseEvent
from keel.domain.errors import Refused
from keel.outcomes.safety_report import (
    TOTAL,
    Exposure,
    Reported,
    by_grade,
    by_seriousness,
    by_valence,
    safety_table,
)

AT = datetime(2026, 3, 10, tzinfo=UTC)
EXPOSED = {"25mg": Exposure(30, 55), "1mg": Exposure(30, 60)}


def headache(person: int, arm: str = "25mg") -> Reported:
    return Reported(f"{arm}-{person}", arm, AdverseEvent("Headache", AT, grade=1, serious=frozenset()))


def test_people_and_events_are_counted_apart() -> None:
    events = [headache(n) for n in range(10)] + [headache(0)] + [headache(n, "1mg") for n in range(6)]
    (row,) = safety_table(events, EXPOSED)
    cell = row.cells["25mg"]
    assert (cell.people, cell.events) == (10, 11)
    assert cell.percent == pytest.approx(100 / 3)
    assert cell.per_100_doses == pytest.approx(20)
    assert row.cells[TOTAL].people == 16 and row.cells[TOTAL].exposure == Exposure(60, 115)


def test_the_interval_is_the_exact_one() -> None:
    """Clopper and Pearson, 6 of 30; the interval itself is tested where it is made."""
    (row,) = safety_table([headache(n) for n in range(6)] + [headache(n, "1mg") for n in range(6)], EXPOSED)
    cell = row.cells["25mg"]
    assert (cell.low, cell.high) == (pytest.approx(7.713, abs=1e-3), pytest.approx(38.567, abs=1e-3))


def test_a_small_cell_closes_its_row_and_the_total_stays_when_it_is_large() -> None:
    events = [headache(n) for n in range(12)] + [headache(n, "1mg") for n in range(2)]
    (row,) = safety_table(events, EXPOSED)
    assert row.cells["25mg"].is_closed and row.cells["1mg"].is_closed
    assert row.cells["25mg"].people is None and row.cells["25mg"].events is None
    assert row.cells[TOTAL].people == 14
    (small,) = safety_table(events[:2], EXPOSED)
    assert all(cell.is_closed for cell in small.cells.values())


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 29), st.sampled_from(["25mg", "1mg"])), min_size=1), st.integers(2, 8))
def test_no_closed_figure_can_be_found_by_subtraction(told: list[tuple[int, str]], smallest: int) -> None:
    (row,) = safety_table([headache(n, arm) for n, arm in told], EXPOSED, smallest=smallest)
    for cell in row.cells.values():
        assert cell.is_closed or not 0 < (cell.people or 0) < smallest
        assert not cell.is_closed or (cell.people, cell.events, cell.percent) == (None, None, None)
    closed = [arm for arm, cell in row.cells.items() if cell.is_closed and arm != TOTAL]
    assert len(closed) in (0, len(EXPOSED))


def test_other_ways_to_cut_it() -> None:
    events = [headache(n) for n in range(6)]
    assert [row.label for row in safety_table(events, EXPOSED, by=by_grade)] == ["grade 1"]
    assert [row.label for row in safety_table(events, EXPOSED, by=by_seriousness)] == ["not serious"]
    assert [row.label for row in safety_table(events, EXPOSED, by=by_valence)] == ["not told"]


def test_a_count_without_its_denominator_is_refused() -> None:
    with pytest.raises(Refused, match="no exposure"):
        safety_table([headache(0, "10mg")], EXPOSED)
    with pytest.raises(Refused, match="were exposed"):
        safety_table([headache(n) for n in range(31)], EXPOSED)
