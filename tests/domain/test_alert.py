"""Alerts climb until somebody takes them, miss nothing over a restart, and never go back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.alert import MOVES, Alert, check_move, climb, escalation_for, next_call_at
from keel.domain.errors import Refused
from keel.library import alert_files

AT = datetime(2026, 3, 10, 23, 50, tzinfo=UTC)
URGENT = alert_files.ladder("urgent")


def alert(state: str = "raised", calls: int = 0) -> Alert:
    return Alert("a", "urgent", state, AT, calls)


def test_the_first_rung_is_called_at_once_and_the_others_in_time() -> None:
    assert [call.role for call in climb(alert(), URGENT, AT)] == [URGENT.rungs[0].role]
    later = AT + timedelta(minutes=URGENT.rungs[1].after_minutes)
    assert [call.role for call in climb(alert(calls=1), URGENT, later)] == [URGENT.rungs[1].role]
    assert climb(alert(calls=1), URGENT, later - timedelta(seconds=1)) == ()


def test_seeing_it_does_not_stop_the_ladder_and_taking_it_does() -> None:
    late = AT + timedelta(hours=1)
    assert climb(alert("seen", 1), URGENT, late)
    for state in ("acknowledged", "acted_on", "closed"):
        assert climb(alert(state, 1), URGENT, late) == ()
        assert next_call_at(alert(state, 1), URGENT) is None


def test_a_restart_in_the_middle_skips_no_rung() -> None:
    calls = climb(alert(calls=1), URGENT, AT + timedelta(days=1))
    assert [call.number for call in calls[: len(URGENT.rungs) - 1]] == list(range(1, len(URGENT.rungs)))
    assert len(calls) == len(URGENT.rungs), "and of the missed repeats only the latest"
    assert climb(alert(calls=calls[-1].number + 1), URGENT, AT + timedelta(days=1)) == ()


@settings(deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=12))
def test_however_often_the_clock_is_asked_every_rung_is_called_once(minutes: list[int]) -> None:
    state, numbers = alert(), []
    for minute in sorted(minutes):
        calls = climb(state, URGENT, AT + timedelta(minutes=minute))
        numbers += [call.number for call in calls]
        state = replace(state, calls=calls[-1].number + 1) if calls else state
    assert numbers == sorted(set(numbers))
    due = [n for n, rung in enumerate(URGENT.rungs) if rung.after_minutes <= max(minutes)]
    assert numbers[: len(due)] == due


def test_no_state_goes_back_and_each_ends_closed() -> None:
    order = list(MOVES)
    for state, ways in MOVES.items():
        assert all(order.index(way) > order.index(state) for way in ways)
        assert ways or state == "closed"


def test_a_move_says_what_was_done() -> None:
    check_move(alert(), "seen")
    check_move(alert(), "acknowledged", done="Called her, she is safe at home.")
    with pytest.raises(Refused, match="what was done"):
        check_move(alert(), "acknowledged")
    with pytest.raises(Refused, match="cannot become raised"):
        check_move(alert("seen"), "raised")
    with pytest.raises(Refused, match="nothing else"):
        check_move(alert("closed"), "acted_on", done="x")


def test_an_incomplete_screen_is_treated_like_a_moderate_one() -> None:
    table = alert_files.escalations()
    assert escalation_for("unknown", table) == table["moderate"]
    assert table["high"].blocks_dosing and table["high"].keeps_visit_open and table["high"].alert == "urgent"
    assert table["moderate"].blocks_dosing
    assert not table["low"].blocks_dosing


def test_help_is_known_by_country_and_never_guessed() -> None:
    lines = alert_files.crisis_lines("us")
    assert lines is not None and not lines.verified
    assert [line["call"] for line in lines.lines] == ["988"]
    assert alert_files.crisis_lines("ZZ") is None
    with pytest.raises(Refused, match="no ladder"):
        alert_files.ladder("loud")
