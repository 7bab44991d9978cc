"""The schedule under any course: windows hold, dates follow their anchors, states only ripen."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.protocol import ENROLLED, Protocol, Visit
from keel.domain.schedule import Happened, deviations, moves, plan
from keel.domain.windows import Bound, check_windows, negative_cycle
from keel.library.protocol_files import protocols

from .small import visits_of

START = date(2026, 1, 5)
FAR = date(2040, 1, 1)
RIPENING = ["planned", "in_window", "due", "overdue"]
ARMS = [(p, arm) for p in protocols() for arm in p.arm_ids]


# ---- drawing protocols and courses ---------------------------------------------------------------


@st.composite
def small_protocols(draw: st.DrawFn) -> Protocol:
    """Up to six visits, each anchored to enrolment or an earlier one, with windows that may be unknown."""
    visits: list[dict[str, Any]] = []
    for at in range(draw(st.integers(1, 6))):
        anchors = [ENROLLED, *(v["id"] for v in visits)]
        visit: dict[str, Any] = {"id": f"v{at}", "after": draw(st.sampled_from(anchors))}
        due = draw(st.one_of(st.none(), st.integers(0, 40)))
        if due is not None:
            visit["due_days"] = due
        near = 5 if due is None else due
        if draw(st.booleans()):
            visit["earliest_days"] = near - draw(st.integers(0, 5))
        if draw(st.booleans()):
            visit["latest_days"] = near + draw(st.integers(0, 9))
        visits.append(visit)
    return visits_of(*visits)


def anchors_first(visits: tuple[Visit, ...]) -> list[Visit]:
    """The visits in an order in which every anchor comes before what hangs on it."""
    done: list[Visit] = []
    while len(done) < len(visits):
        known = {ENROLLED, *(v.id for v in done)}
        done += [v for v in visits if v not in done and all(w.after in known for w in v.windows)]
    return done


def legal_days(draw: st.DrawFn, found: Protocol, arm: str, start: date) -> dict[str, date] | None:
    """Actual days drawn inside every window; None where the windows left no day."""
    days = {ENROLLED: start}
    for visit in anchors_first(found.visits_for(arm)):
        early = [days[w.after] + timedelta(w.earliest_days) for w in visit.windows if w.earliest_days is not None]
        late = [days[w.after] + timedelta(w.latest_days) for w in visit.windows if w.latest_days is not None]
        near = visit.due_on(days[visit.after]) or days[visit.after]
        first = max(early) if early else min([near, *late]) - timedelta(3)
        last = min(late) if late else max(near, first) + timedelta(3)
        if first > last:
            return None
        days[visit.id] = first + timedelta(draw(st.integers(0, (last - first).days)))
    del days[ENROLLED]
    return days


@st.composite
def courses(draw: st.DrawFn) -> tuple[Protocol, dict[str, date]]:
    found = draw(small_protocols())
    days = legal_days(draw, found, "only", START)
    return found, days or {}


def judged(found: Protocol, arm: str, done: dict[str, date], on: date = FAR) -> dict[str, Any]:
    early = min([START, *done.values()])
    return {v.visit: v for v in plan(found, arm, enrolled_on=early, on=on, done=done)}


# ---- windows hold --------------------------------------------------------------------------------


@given(courses())
@settings(max_examples=150, deadline=None)
def test_days_inside_every_window_are_never_a_deviation(course: tuple[Protocol, dict[str, date]]) -> None:
    found, done = course
    done = {id: day for id, day in done.items() if day >= START}
    rows = plan(found, "only", enrolled_on=START, on=FAR, done=done)
    assert {v.state for v in rows if v.visit in done} <= {"done"}
    assert not [d for d in deviations(found, "only", Happened(START, done)) if d.kind == "out_of_window"]


@given(st.data(), st.sampled_from(ARMS))
@settings(max_examples=150, deadline=None)
def test_real_protocols_can_be_run_inside_their_windows(data: st.DataObject, chosen: tuple[Protocol, str]) -> None:
    found, arm = chosen
    days = data.draw(st.composite(lambda draw: legal_days(draw, found, arm, START))())
    assert days is not None, "a protocol on the shelf leaves a day for every visit"
    happened = Happened(START, days)
    assert not [d for d in deviations(found, arm, happened) if d.kind == "out_of_window"]
    screened = {v.id for v in found.visits_for(arm) if v.kind == "screening"}
    if all(day >= START or id in screened for id, day in days.items()):
        rows = plan(found, arm, enrolled_on=START, on=FAR, done=days)
        assert {v.state for v in rows} == {"done"}


@given(courses(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_day_outside_a_window_always_is_one(course: tuple[Protocol, dict[str, date]], data: st.DataObject) -> None:
    found, done = course
    bounded = [v for v in found.visits_for("only") if v.latest_days is not None and v.id in done]
    if not bounded:
        return
    visit = data.draw(st.sampled_from(bounded))
    anchor = done.get(visit.after, START)
    late = data.draw(st.integers(1, 30))
    done = {**done, visit.id: anchor + timedelta(visit.latest_days + late)}
    found_late = {
        d.visit: d.days for d in deviations(found, "only", Happened(START, done)) if d.kind == "out_of_window"
    }
    assert found_late[visit.id] == late


# ---- dates follow their anchors ------------------------------------------------------------------


@given(courses())
@settings(max_examples=100, deadline=None)
def test_a_due_day_lies_in_its_window(course: tuple[Protocol, dict[str, date]]) -> None:
    found, _ = course
    for row in plan(found, "only", enrolled_on=START, on=START):
        if row.due_on:
            assert (row.earliest_on or row.due_on) <= row.due_on <= (row.latest_on or row.due_on)


@given(small_protocols(), st.integers(0, 400))
@settings(max_examples=100, deadline=None)
def test_a_later_enrolment_moves_every_open_day_by_as_much(found: Protocol, days: int) -> None:
    shift = timedelta(days)
    before = plan(found, "only", enrolled_on=START, on=START)
    after = plan(found, "only", enrolled_on=START + shift, on=START + shift)
    for was, now in zip(before, after, strict=True):
        for name in ("due_on", "earliest_on", "latest_on"):
            day = getattr(was, name)
            assert getattr(now, name) == (day + shift if day else None)
        assert was.state == now.state


@given(st.data(), st.sampled_from(ARMS), st.integers(0, 30), st.integers(1, 30))
@settings(max_examples=150, deadline=None)
def test_a_later_visit_never_brings_another_forward(
    data: st.DataObject, chosen: tuple[Protocol, str], early: int, more: int
) -> None:
    found, arm = chosen
    moved = data.draw(st.sampled_from([v.id for v in found.visits_for(arm)]))
    first = judged(found, arm, {moved: START + timedelta(early)})
    second = judged(found, arm, {moved: START + timedelta(early + more)})
    for id, row in first.items():
        for name in ("due_on", "earliest_on", "latest_on"):
            was, now = getattr(row, name), getattr(second[id], name)
            assert (was is None) == (now is None)
            assert was is None or was <= now


@given(st.data(), st.sampled_from(ARMS), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_moves_are_the_difference_of_two_plans(data: st.DataObject, chosen: tuple[Protocol, str], days: int) -> None:
    found, arm = chosen
    moved = data.draw(st.sampled_from([v.id for v in found.visits_for(arm)]))
    day = START + timedelta(days)
    told = {m.visit: (m.due_on, m.earliest_on, m.latest_on) for m in moves(found, arm, Happened(START), moved, day)}
    before, after = judged(found, arm, {}), judged(found, arm, {moved: day})
    changed = {
        id: (row.due_on, row.earliest_on, row.latest_on)
        for id, row in after.items()
        if id != moved
        and (row.due_on, row.earliest_on, row.latest_on)
        != (before[id].due_on, before[id].earliest_on, before[id].latest_on)
    }
    assert told == changed


# ---- states only ripen ---------------------------------------------------------------------------


@given(st.data(), st.sampled_from(ARMS), st.integers(0, 500), st.integers(0, 200))
@settings(max_examples=150, deadline=None)
def test_an_open_visit_only_ripens_with_time(
    data: st.DataObject, chosen: tuple[Protocol, str], days: int, more: int
) -> None:
    found, arm = chosen
    ids = [v.id for v in found.visits_for(arm)]
    done = dict.fromkeys(data.draw(st.sets(st.sampled_from(ids), max_size=3)), START)
    on = START + timedelta(days)
    now, later = judged(found, arm, done, on), judged(found, arm, done, on + timedelta(more))
    for id in ids:
        if id not in done:
            assert RIPENING.index(now[id].state) <= RIPENING.index(later[id].state)


@given(st.sampled_from(ARMS), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_withdrawal_ends_every_open_visit_and_no_other(chosen: tuple[Protocol, str], days: int) -> None:
    found, arm = chosen
    on = START + timedelta(days)
    first, second, *rest = found.visits_for(arm)
    rows = plan(
        found, arm, enrolled_on=START, on=on, done={first.id: START}, missed={second.id: "ill"}, withdrawn_on=on
    )
    assert [r.state for r in rows] == [rows[0].state, "missed", *["withdrawn"] * len(rest)]
    assert rows[0].state in ("done", "done_out_of_window")


# ---- the network of windows ----------------------------------------------------------------------


@st.composite
def networks(draw: st.DrawFn) -> list[Bound]:
    points = ["p0", "p1", "p2", "p3"][: draw(st.integers(2, 4))]
    pairs = st.tuples(st.sampled_from(points), st.sampled_from(points), st.integers(-3, 3))
    return [Bound(a, b, d, f"{b} by {d} after {a}") for a, b, d in draw(st.lists(pairs, max_size=7)) if a != b]


def can_be_kept(asked: list[Bound]) -> bool:
    """By trying every day: the first point at 0, the others within the widest spread that bounds of 3 can ask for."""
    points = sorted({p for b in asked for p in (b.first, b.then)})
    if not points:
        return True
    for rest in product(range(-9, 10), repeat=len(points) - 1):
        days = dict(zip(points, (0, *rest), strict=True))
        if all(days[b.then] - days[b.first] <= b.days for b in asked):
            return True
    return False


@given(networks())
@settings(max_examples=250, deadline=None)
def test_the_network_agrees_with_trying_every_day(asked: list[Bound]) -> None:
    cycle = negative_cycle(asked)
    assert (cycle is None) == can_be_kept(asked)
    if cycle is not None:
        assert sum(b.days for b in cycle) < 0
        assert all(a.then == b.first for a, b in zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        assert set(cycle) <= set(asked)


def test_clashing_visits_are_named() -> None:
    found = visits_of(
        {"id": "baseline", "due_days": 0, "latest_days": 2},
        {"id": "dosing", "after": "baseline", "earliest_days": 14, "latest_days": 21},
        {
            "id": "score",
            "after": "dosing",
            "earliest_days": 7,
            "also": [{"after": "baseline", "latest_days": 20}],
        },
    )
    (clash,) = check_windows(found)
    assert set(clash.visits) == {"baseline", "dosing", "score"}
    assert clash.short_by == 1
    assert "score at most 20 days after baseline" in clash.because
    assert "together they lack 1 day(s)" in clash.because


def test_two_clashes_are_both_named() -> None:
    pair = [
        {"id": f"{n}-late", "after": f"{n}-first", "earliest_days": 9, "also": [{"after": ENROLLED, "latest_days": 5}]}
        for n in "ab"
    ]
    firsts = [{"id": f"{n}-first", "earliest_days": 0} for n in "ab"]
    clashes = check_windows(visits_of(*firsts, *pair))
    assert [set(c.visits) for c in clashes] == [{"a-first", "a-late"}, {"b-first", "b-late"}]


def test_a_second_window_narrows_the_first() -> None:
    found = visits_of(
        {"id": "a", "due_days": 0},
        {"id": "b", "after": "a", "due_days": 10, "earliest_days": 5, "latest_days": 15,
         "also": [{"after": ENROLLED, "latest_days": 12}]},
    )  # fmt: skip
    row = plan(found, "only", enrolled_on=START, on=START + timedelta(4), done={"a": START + timedelta(4)})[1]
    assert (row.earliest_on, row.due_on, row.latest_on) == tuple(START + timedelta(n) for n in (9, 12, 12))


@pytest.mark.parametrize("days", [0, 1, 4, 5, 6, 9, 10, 11])
def test_the_states_at_every_edge_of_a_window(days: int) -> None:
    found = visits_of({"id": "v", "due_days": 7, "earliest_days": 5, "latest_days": 10})
    state = plan(found, "only", enrolled_on=START, on=START + timedelta(days))[0].state
    expected = "planned" if days < 5 else "in_window" if days < 7 else "due" if days <= 10 else "overdue"
    assert state == expected


def test_an_unknown_window_is_never_a_deviation() -> None:
    found = visits_of({"id": "v", "due_days": 7})
    late = START + timedelta(300)
    assert plan(found, "only", enrolled_on=START, on=late)[0].state == "overdue"
    assert plan(found, "only", enrolled_on=START, on=late, done={"v": late})[0].state == "done"
    assert deviations(found, "only", Happened(START, {"v": late})) == ()


def test_missed_visits_are_told_with_their_cause() -> None:
    found = visits_of({"id": "v", "due_days": 7}, {"id": "w", "after": "v", "due_days": 7})
    happened = Happened(START, missed={"v": "in hospital"})
    (told,) = deviations(found, "only", happened)
    assert (told.kind, told.because) == ("missed", "v was missed: in hospital")
    after = plan(found, "only", enrolled_on=START, on=START + timedelta(14), missed=happened.missed)[1]
    assert (after.state, after.due_on) == ("due", START + timedelta(14))
    assert replace(happened, missed={}) == Happened(START)
