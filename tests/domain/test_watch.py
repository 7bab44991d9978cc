"""The clock of the dosing day: when vital signs are due, which limits speak, who is missing, where presence broke."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from keel.domain import watch
from keel.domain.protocol import Presence, Threshold, Vitals
from keel.domain.watch import Stay, Taken
from keel.library.jurisdiction_files import jurisdiction
from keel.library.protocol_files import protocol

DOSED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MDMA = protocol("mapp2").vitals
assert MDMA is not None


def at(minute: float) -> datetime:
    return DOSED + timedelta(minutes=minute)


def systolic(*readings: tuple[float, float]) -> list[Taken]:
    return [Taken(at(minute), {"systolic_mmhg": value}) for minute, value in readings]


def alarms(taken: list[Taken], *, dosed: bool = True) -> set[str]:
    return {c.threshold.id for c in watch.crossings(MDMA.thresholds, taken, dosed=dosed) if c.stands}


def asked_again(taken: list[Taken]) -> dict[str, datetime | None]:
    return {c.threshold.id: c.again_from for c in watch.crossings(MDMA.thresholds, taken, dosed=True) if not c.stands}


# ---- limits ---------------------------------------------------------------------------------------------


def test_a_break_counts_only_while_it_is_short_and_somebody_else_is_there() -> None:
    left = at(60)
    stays = [Stay(at(-5), left)]

    def found(minutes: float, *, allowed: int | None = 5, others: bool = True) -> watch.Unwatched | None:
        return watch.unwatched(stays, start=DOSED, at=at(60 + minutes), break_minutes=allowed, others_here=others)

    assert found(-1) is None
    assert found(4) == watch.Unwatched(left, at(65), False)
    assert found(6) == watch.Unwatched(left, at(65), True)
    for alone in (found(1, allowed=None), found(1, others=False)):
        assert alone == watch.Unwatched(left, None, True)


def test_mdma_does_not_cry_wolf_at_an_expected_peak() -> None:
    once = systolic((60, 150), (75, 165))
    assert "alert-systolic" not in alarms(once)
    assert asked_again(once)["alert-systolic"] == at(85)
    gone = systolic((60, 150), (75, 165), (87, 152))
    assert "alert-systolic" not in alarms(gone) and "alert-systolic" not in asked_again(gone)


def test_a_pressure_that_stays_high_is_an_alarm() -> None:
    assert "alert-systolic" in alarms(systolic((75, 165), (86, 162)))
    assert "alert-systolic" in alarms(systolic((75, 165), (120, 162)))  # later is no reason to be calmer
    assert "alert-systolic" not in alarms(systolic((75, 165), (77, 166)))  # two minutes apart is one peak
    assert "alert-systolic" in alarms(systolic((75, 165), (77, 166), (86, 164)))


def test_a_crisis_needs_no_second_reading_and_comes_first() -> None:
    found = watch.crossings(MDMA.thresholds, systolic((75, 185)), dosed=True)
    assert found[0].threshold.does == "call_physician" and found[0].stands


def test_limits_of_the_dose_count_before_it_and_those_of_the_release_after() -> None:
    high = systolic((-30, 150), (-20, 150), (-10, 150))
    assert alarms(high, dosed=False) == {"hold-systolic"}
    assert alarms(systolic((-30, 150), (-20, 150)), dosed=False) == set()
    assert "hold-systolic" not in alarms(high, dosed=True)


def test_a_second_dose_is_not_judged_by_old_readings() -> None:
    full = [Taken(at(85), {"systolic_mmhg": 150, "diastolic_mmhg": 90, "heart_rate_bpm": 90, "temperature_c": 37})]
    assert watch.supplemental_blocks(MDMA, full, at=at(95)) == ()
    (stale,) = watch.supplemental_blocks(MDMA, full, at=at(110))
    assert stale.code == "vitals-unknown"
    high = [Taken(at(92), {"systolic_mmhg": 161, "diastolic_mmhg": 90, "heart_rate_bpm": 90, "temperature_c": 37})]
    assert [r.where for r in watch.supplemental_blocks(MDMA, high, at=at(95))] == ["no-booster-systolic"]


def test_nobody_is_released_unmeasured_or_high() -> None:
    assert watch.release_blocks(MDMA, [], dosed_at=DOSED)[0].code == "vitals-unknown"
    assert watch.release_blocks(MDMA, systolic((-10, 118)), dosed_at=DOSED)[0].code == "vitals-unknown"
    assert watch.release_blocks(MDMA, systolic((470, 161)), dosed_at=DOSED)[0].where == "release-systolic"
    assert watch.release_blocks(MDMA, systolic((300, 170), (470, 128)), dosed_at=DOSED) == ()


@given(st.lists(st.tuples(st.integers(0, 480), st.integers(90, 200)), max_size=12, unique_by=lambda r: r[0]))
def test_an_alarm_says_what_the_slow_rule_says(readings: list[tuple[int, int]]) -> None:
    limit = Threshold.model_validate(
        {"id": "x", "measure": "systolic_mmhg", "at_least": 160, "readings": 2, "minutes_apart": (10, 15),
         "does": "alert", "because": "b"}
    )  # fmt: skip
    found = watch.crossings([limit], systolic(*readings), dosed=True)
    ordered = sorted(readings)
    run = []
    while ordered and ordered[-1][1] >= 160:
        run.append(ordered.pop()[0])
    assert bool(found) == bool(run)
    if found:
        assert found[0].stands == (max(run) - min(run) >= 10)


# ---- the schedule ---------------------------------------------------------------------------------------

EVERY_30 = Vitals(minutes=(-30, 0, 30, 60, 90))


def states(taken: list[Taken], minute: float) -> list[str]:
    return [d.state for d in watch.due(EVERY_30, taken, dosed_at=DOSED, at=at(minute))]


def test_times_are_met_late_missed_or_to_come() -> None:
    assert states([], 2) == ["missed", "due", "planned", "planned", "planned"]
    assert states(systolic((1, 120)), 2) == ["missed", "done", "planned", "planned", "planned"]
    assert states(systolic((-30, 120), (1, 120)), 36) == ["done", "done", "overdue", "planned", "planned"]
    assert states(systolic((-30, 120), (1, 120)), 46) == ["done", "done", "missed", "planned", "planned"]
    assert states(systolic((-30, 120), (1, 120), (33, 130)), 60) == ["done", "done", "done", "due", "planned"]


def test_before_the_dose_only_what_comes_before_it_is_asked() -> None:
    assert [d.minute for d in watch.due(EVERY_30, [], dosed_at=None, at=at(-40))] == [-30, 0]
    assert {d.state for d in watch.due(EVERY_30, systolic((-20, 120)), dosed_at=None, at=at(-10))} == {"done"}


def test_a_supplemental_dose_adds_its_own_checks() -> None:
    times = watch.due(MDMA, [], dosed_at=DOSED, at=at(100), supplemental_at=at(100))
    assert {85, 115} <= {d.minute for d in times}


def test_the_next_is_the_first_that_waits() -> None:
    times = watch.due(EVERY_30, systolic((-30, 120), (1, 120)), dosed_at=DOSED, at=at(40))
    waits = watch.next_due(times)
    assert waits is not None and (waits.minute, waits.state) == (30, "overdue")


# ---- the room -------------------------------------------------------------------------------------------

EACH = Presence(role="facilitator", at_least=1, per_participants=1)


def test_a_room_is_short_at_once() -> None:
    assert watch.shortages([EACH], people=3, here=["facilitator"] * 3) == ()
    (short,) = watch.shortages([EACH], people=3, here=["facilitator", "facilitator", "physician"])
    assert short.why == "2 of 3 facilitators in it"


def test_in_oregon_the_largest_dose_in_the_room_decides() -> None:
    law = jurisdiction("oregon")

    def short(doses_mg: list[float], facilitators: int) -> tuple[str, ...]:
        found = watch.shortages(
            [], people=len(doses_mg), here=["facilitator"] * facilitators, law=law, doses_mg=doses_mg,
            substance="psilocybin-analyte",
        )  # fmt: skip
        return tuple(r.code for r in found)

    assert short([10, 10, 10, 10, 10, 10], 1) == ()
    assert short([10, 10, 10, 10, 10, 25], 1) == ("too-few-facilitators",)
    assert short([10, 10, 10, 10, 10, 25], 2) == ()
    assert short([35, 5, 5], 1) == ("too-few-facilitators",)


# ---- continuous presence --------------------------------------------------------------------------------


def test_the_record_proves_presence_or_says_where_it_broke() -> None:
    relief = [Stay(at(-10), at(120)), Stay(at(118), None)]
    assert watch.gaps(relief, start=DOSED, end=at(300)) == ()
    (broken,) = watch.gaps([Stay(at(-10), at(120)), Stay(at(126), None)], start=DOSED, end=at(300))
    assert (broken.start, broken.end, broken.minutes) == (at(120), at(126), 6)
    assert watch.gaps([], start=DOSED, end=at(60))[0].minutes == 60


@given(
    st.lists(st.tuples(st.integers(-20, 80), st.integers(1, 90) | st.none()), max_size=5),
    st.integers(1, 2),
)
def test_gaps_are_those_of_a_count_minute_by_minute(stays: list[tuple[int, int | None]], needed: int) -> None:
    """The slow way: look at the middle of every minute."""
    there = [Stay(at(came), None if length is None else at(came + length)) for came, length in stays]
    found = watch.gaps(there, start=DOSED, end=at(60), needed=needed)
    for minute in range(60):
        middle = at(minute + 0.5)
        count = sum(s.came_at <= middle and (s.left_at is None or s.left_at > middle) for s in there)
        assert any(g.start <= middle < g.end for g in found) == (count < needed)
    assert all(low.end < high.start for low, high in pairwise(found))
