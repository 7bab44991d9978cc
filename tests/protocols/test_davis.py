"""Davis 2021 as the registry and the papers give it, and how its schedule moves."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from keel.domain.dose import MgPer70Kg
from keel.domain.errors import Refused
from keel.domain.schedule import Happened, deviations, moves, plan
from keel.library.protocol_files import protocol

DAVIS = protocol("davis-2021")
START = date(2026, 1, 5)


def planned(arm: str = "immediate", on: date = START, **happened):
    return {v.visit: v for v in plan(DAVIS, arm, enrolled_on=START, on=on, **happened)}


@pytest.mark.parametrize(
    ("arm", "weeks"),
    [
        ("immediate", {"session-1": 3, "session-2": 4, "after-2-week-1": 5, "after-2-week-4": 8}),
        ("delayed", {"waiting-week-5": 5, "waiting-week-8": 8, "session-1": 11, "session-2": 12, "after-2-week-1": 13}),
    ],
)
def test_the_nominal_calendar_is_the_registrys(arm: str, weeks: dict[str, int]) -> None:
    visits = planned(arm)
    assert {id: visits[id].due_on for id in weeks} == {id: START + timedelta(weeks=n) for id, n in weeks.items()}


def test_session_2_is_allowed_7_to_14_days_after_the_real_session_1() -> None:
    done = {"session-1": date(2026, 1, 29)}
    session_2 = planned(done=done, on=date(2026, 2, 1))["session-2"]
    assert (session_2.due_on, session_2.earliest_on, session_2.latest_on) == (
        date(2026, 2, 5),
        date(2026, 2, 5),
        date(2026, 2, 12),
    )


def test_follow_ups_are_calendar_months() -> None:
    done = {"session-2": date(2026, 1, 31)}
    visits = planned(done=done, on=date(2026, 1, 31))
    assert [visits[f"month-{n}"].due_on for n in (1, 3, 6, 12)] == [
        date(2026, 2, 28),
        date(2026, 4, 30),
        date(2026, 7, 31),
        date(2027, 1, 31),
    ]


@pytest.mark.parametrize(
    ("on", "state"),
    [
        (date(2026, 1, 30), "planned"),
        (date(2026, 2, 2), "due"),
        (date(2026, 2, 9), "due"),
        (date(2026, 2, 10), "overdue"),
    ],
)
def test_states_of_session_2_day_by_day(on: date, state: str) -> None:
    assert planned(done={"session-1": date(2026, 1, 26)}, on=on)["session-2"].state == state


def test_a_visit_that_follows_an_open_one_is_planned_however_late_it_is() -> None:
    visits = planned(on=date(2026, 6, 1))
    assert visits["session-1"].state == "overdue"
    assert visits["preparation-1"].state == "overdue"
    assert visits["session-2"].state == visits["month-12"].state == "planned"


def test_missed_and_withdrawn() -> None:
    visits = planned(
        on=date(2026, 3, 1),
        done={"baseline": START},
        missed={"preparation-1": "ill"},
        withdrawn_on=date(2026, 1, 20),
    )
    assert (visits["preparation-1"].state, visits["preparation-1"].cause) == ("missed", "ill")
    assert visits["baseline"].state == "done"
    assert visits["session-1"].state == "withdrawn"


def test_out_of_window_is_a_deviation_by_itself() -> None:
    done = {"session-1": date(2026, 1, 26), "session-2": date(2026, 2, 12)}
    assert planned(done=done, on=date(2026, 2, 12))["session-2"].state == "done_out_of_window"
    late = [d for d in deviations(DAVIS, "immediate", Happened(START, done)) if d.kind == "out_of_window"]
    assert [(d.visit, d.days) for d in late] == [("session-2", 3)]
    assert "3 day(s) too late" in late[0].because


def test_dosing_before_preparation_is_the_wrong_order() -> None:
    done = {"session-1": date(2026, 1, 26), "preparation-2": date(2026, 1, 27)}
    wrong = [d for d in deviations(DAVIS, "immediate", Happened(START, done)) if d.kind == "wrong_order"]
    assert all(d.visit == "session-1" for d in wrong)
    assert any("before Preparation 2 on 2026-01-27" in d.because for d in wrong)
    assert any("Baseline, which comes before it, has not" in d.because for d in wrong)


def test_what_moves_when_session_1_moves() -> None:
    happened = Happened(START, {"screening": START, "baseline": START})
    moved = {m.visit: m.days for m in moves(DAVIS, "immediate", happened, "session-1", date(2026, 1, 28))}
    assert moved["session-2"] == moved["after-2-week-1"] == moved["preparation-final"] == 2
    assert "baseline" not in moved and "session-1" not in moved


@pytest.mark.parametrize(
    ("happened", "said"),
    [
        ({"done": {"session-9": START}}, "has no such visit"),
        ({"done": {"baseline": date(2026, 1, 6)}}, "is after 2026-01-05, the day the plan is made for"),
        ({"done": {"baseline": date(2026, 1, 4)}}, "only screening may come before it"),
        ({"done": {"baseline": START}, "missed": {"baseline": "ill"}}, "recorded as done and as missed"),
        ({"withdrawn_on": date(2026, 1, 6)}, "The withdrawal was not accepted"),
    ],
)
def test_what_cannot_have_happened_is_refused(happened: dict, said: str) -> None:
    with pytest.raises(Refused, match=said):
        planned(**happened)


def test_screening_may_come_before_enrolment() -> None:
    assert planned(done={"screening": date(2025, 12, 1)})["screening"].state == "done"


def test_remission_needs_the_fall_and_the_score() -> None:
    remission = DAVIS.endpoint.remission
    assert remission.holds(20, 7) is True
    assert remission.holds(20, 8) is False
    assert remission.holds(12, 7) is False
    assert DAVIS.endpoint.response.holds(20, 10) is True
    assert DAVIS.endpoint.response.holds(20, 11) is False
    assert DAVIS.endpoint.response.holds(0, 0) is None


def test_the_second_dose_is_larger_and_by_weight() -> None:
    amounts = [DAVIS.visit(f"session-{n}", "immediate").doses[0].options for n in (1, 2)]
    assert amounts == [(MgPer70Kg(20),), (MgPer70Kg(30),)]
    worked = amounts[0][0].worked(84)
    assert (float(worked.mg), worked.text) == (24.0, "20 mg × 84 kg ÷ 70 kg = 24.0 mg")
