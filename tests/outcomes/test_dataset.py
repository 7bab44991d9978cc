"""The analysis dataset: by hand on one small clinic, against a slow referee on random ones, and byte for byte."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.outcomes.dataset import (
    EVENT_COLUMNS,
    Plan,
    PlannedVisit,
    Population,
    build,
    dictionary,
    parquet_bytes,
    write,
)

DAY = date(2026, 1, 1)
VISITS = (
    PlannedVisit("baseline", "enrolled", 0, -7, 7, ("madrs",)),
    PlannedVisit("week-3", "dosed", 21, 18, 24, ("madrs",)),
    PlannedVisit("week-12", "dosed", 84, 77, 91, ("madrs",)),
)
PLAN = Plan(VISITS, baseline_visit="baseline", intercurrent=("antidepressant_started",), reveal_arm=True)
SCHEMA = {name: {"text": pl.String, "number": pl.Float64, "day": pl.Date}[kind] for name, kind in EVENT_COLUMNS.items()}


def events(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """(participant, kind, days after DAY, visit, value) with the usual study, site and arm."""
    full = [
        (
            who,
            f"C-{who}",
            "study",
            "site",
            "drug" if who < "P3" else "placebo",
            kind,
            visit,
            visit and "madrs",
            value,
            DAY + timedelta(days),
        )
        for who, kind, days, visit, value in rows
    ]
    return pl.DataFrame(full, schema=SCHEMA, orient="row")


CLINIC = [
    *[("P1", kind, 0, None, None) for kind in ("screened", "enrolled", "randomised")],
    ("P1", "dosed", 7, None, None),
    ("P1", "measured", 0, "baseline", 30.0),
    ("P1", "measured", 26, "week-3", 14.0),
    ("P1", "measured", 29, "week-3", 12.0),
    ("P1", "measured", 91, "week-12", 15.0),
    ("P1", "measured", 40, "extra", 20.0),
    ("P1", "antidepressant_started", 60, None, None),
    *[("P2", kind, 0, None, None) for kind in ("screened", "enrolled", "randomised")],
    ("P2", "measured", 1, "baseline", 0.0),
    ("P3", "screened", 0, None, None),
    ("P3", "measured", 0, "baseline", 18.0),
]


def rows_of(table: pl.DataFrame, who: str) -> dict[str, dict[str, Any]]:
    return {row["visit"]: row for row in table.filter(pl.col("participant") == who).to_dicts()}


def test_a_small_clinic_by_hand() -> None:
    table = build(events(CLINIC), PLAN)
    assert table["participant"].unique().sort().to_list() == ["P1", "P2"]
    one = rows_of(table, "P1")
    assert list(one) == ["baseline", "week-3", "week-12", "extra"]
    week_3 = one["week-3"]
    # Day 19 and day 22 after dosing: 22 is nearer to 21.
    assert (week_3["value"], week_3["day"], week_3["study_day"], week_3["in_window"]) == (12.0, 22, 23, True)
    assert (week_3["baseline"], week_3["change"], week_3["percent_change"]) == (30.0, -18.0, -60.0)
    assert (one["baseline"]["study_day"], one["baseline"]["day"]) == (-7, 0)
    assert one["extra"]["state"] == "unscheduled"
    assert [one[v]["after_intercurrent"] for v in one] == [False, False, True, False]
    assert week_3["intercurrent_event"] == "antidepressant_started"
    two = rows_of(table, "P2")
    assert [two[v]["state"] for v in two] == ["observed", "missing", "missing"]
    assert two["baseline"]["percent_change"] is None
    assert (two["baseline"]["intention_to_treat"], two["baseline"]["dosed"], two["baseline"]["safety"]) == (
        True,
        False,
        False,
    )
    assert list(table.columns) == [m.column for m in dictionary(PLAN)]


def test_what_is_not_due_yet_is_not_missing() -> None:
    plan = Plan(VISITS, baseline_visit="baseline", cut_on=DAY + timedelta(50))
    one = rows_of(build(events(CLINIC[:6]), plan), "P1")
    assert [one[v]["state"] for v in one] == ["observed", "observed", "not due"]


def test_a_blinded_dataset_has_no_arms() -> None:
    plan = Plan(VISITS, baseline_visit="baseline")
    table = build(events(CLINIC), plan)
    assert table["arm"].null_count() == table.height
    assert "withheld" in next(m.meaning for m in dictionary(plan) if m.column == "arm")


def test_baseline_is_the_last_value_before_the_first_dose_where_no_visit_is_named() -> None:
    rows = [*CLINIC, ("P1", "measured", 7, "screening-2", 28.0), ("P1", "measured", 8, "day-1", 5.0)]
    one = rows_of(build(events(rows), Plan(VISITS)), "P1")
    assert {row["baseline"] for row in one.values()} == {28.0}


def test_populations_are_rules() -> None:
    plan = Plan(
        VISITS,
        populations=(
            Population("enrolled", ("enrolled",)),
            Population("twice", at_least={"dosed": 2}),
            Population("well", never=("dosed",)),
        ),
    )
    table = build(events([*CLINIC, ("P2", "dosed", 7, None, None), ("P2", "dosed", 28, None, None)]), plan)
    members = table.group_by("participant").agg(pl.col("twice").first(), pl.col("well").first()).sort("participant")
    assert members.rows() == [("P1", False, False), ("P2", True, False)]


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_the_dataset_agrees_with_a_slow_referee(data: st.DataObject) -> None:
    rows: list[tuple[Any, ...]] = []
    for who in ("P1", "P2", "P3", "P4"):
        rows.append((who, "screened", 0, None, None))
        enrolled, dosed = data.draw(st.booleans()), data.draw(st.none() | st.integers(0, 9))
        rows += [(who, "enrolled", 0, None, None)] if enrolled else []
        rows += [(who, "dosed", dosed, None, None)] if dosed is not None else []
        seen = data.draw(
            st.dictionaries(
                st.tuples(st.sampled_from(["baseline", "week-3", "extra"]), st.integers(0, 40)),
                st.integers(0, 60),
                max_size=6,
            )
        )
        rows += [(who, "measured", day, visit, float(value)) for (visit, day), value in seen.items()]
    table = build(events(rows), PLAN)
    for who in ("P1", "P2", "P3", "P4"):
        assert {k: (r["value"], r["baseline"]) for k, r in rows_of(table, who).items()} == _slow(rows, who)


def _slow(rows: list[tuple[Any, ...]], who: str) -> dict[str, tuple[float | None, float | None]]:
    own = [r for r in rows if r[0] == who]
    first = {kind: min((r[2] for r in own if r[1] == kind), default=None) for kind in ("enrolled", "dosed")}
    if first["enrolled"] is None:
        return {}
    found: dict[str, float | None] = {}
    for visit in VISITS:
        values = [(r[2], r[4]) for r in own if r[1] == "measured" and r[3] == visit.id]
        target = None if first[visit.anchor] is None else first[visit.anchor] + visit.day
        best = min(values, key=lambda v: (0 if target is None else abs(v[0] - target), -v[0]), default=None)
        found[visit.id] = best[1] if best else None
    others = sorted((r[2], r[4]) for r in own if r[3] == "extra")
    found |= {"extra": others[-1][1]} if others else {}
    return {visit: (value, found["baseline"]) for visit, value in found.items()}


def test_the_same_events_give_the_same_bytes_in_any_order() -> None:
    table = events(CLINIC)
    once = parquet_bytes(build(table, PLAN), PLAN, journal_position=7)
    for seed in range(5):
        shuffled = table.sample(fraction=1, shuffle=True, seed=seed)
        assert parquet_bytes(build(pl.concat([shuffled, shuffled]), PLAN), PLAN, journal_position=7) == once
    assert parquet_bytes(build(table, PLAN), PLAN, journal_position=8) != once


def test_the_dictionary_lies_beside_the_file(tmp_path: Path) -> None:
    written = write(build(events(CLINIC), PLAN), tmp_path / "adqs.parquet", PLAN, journal_position=7)
    beside = json.loads((tmp_path / "adqs.dictionary.json").read_text())
    assert beside["dataset"]["sha256"] == written.sha256
    assert [c["column"] for c in beside["columns"]] == pl.read_parquet(tmp_path / "adqs.parquet").columns
    assert (written.rows, written.participants) == (7, 2)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop("visit"), "no column 'visit'"),
        (lambda t: t.head(0), "no events"),
        (lambda t: t.with_columns(value=pl.lit("much")), "must be a number"),
        (lambda t: t.with_columns(value=pl.lit(float("inf"))), "infinite"),
        (lambda t: t.with_columns(on=pl.lit(None, dtype=pl.Date)), "no day"),
        (lambda t: t.with_columns(measure=pl.lit(None, dtype=pl.String)), "no measure"),
        (lambda t: pl.concat([t, t.with_columns(pl.lit("placebo").alias("arm"))]), "has arm 'drug' and 'placebo'"),
        (lambda t: pl.concat([t, t.with_columns(pl.col("value") + 1)]), "two values on"),
    ],
)
def test_events_that_contradict_themselves_are_refused(change: Any, says: str) -> None:
    with pytest.raises(Refused, match=says):
        build(change(events(CLINIC)), PLAN)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Plan(()), "no visit"),
        (Plan(VISITS, baseline_visit="week-9"), "week-9"),
        (Plan(VISITS, rows_for="everybody"), "everybody"),
        (Plan((PlannedVisit("v", "enrolled", 5, 6, 9, ("madrs",)),)), "does not hold its own day"),
    ],
)
def test_plans_that_contradict_themselves_are_refused(plan: Plan, says: str) -> None:
    with pytest.raises(Refused, match=says):
        build(events(CLINIC), plan)


# ---- what arms have apart, and what is not known ------------------------------------------------------------


def _course(name: str, arm: str, *marks: tuple[str, date]) -> list[dict[str, object]]:
    who = {"participant": name, "course": name, "study": "s", "site": "x", "arm": arm}
    blank = {"visit": None, "measure": None, "value": None}
    return [{**who, "kind": kind, **blank, "on": on} for kind, on in marks]


def test_a_visit_of_one_arm_is_awaited_in_that_arm_only_and_at_its_own_time() -> None:
    start = date(2026, 1, 5)
    plan = Plan(
        visits=(
            PlannedVisit("wait", "enrolled", 35, None, None, ("m",), ("later",)),
            PlannedVisit("session", "enrolled", 21, None, None, ("m",), ("now",)),
            PlannedVisit("session", "enrolled", 77, None, None, ("m",), ("later",)),
        ),
        baseline_before="enrolled",
        populations=(Population("enrolled", ("enrolled",)),),
        cut_on=start + timedelta(days=40),
    )
    events = [*_course("a", "now", ("enrolled", start)), *_course("b", "later", ("enrolled", start))]
    found = build(pl.DataFrame(events, schema_overrides={"value": pl.Float64}, infer_schema_length=None), plan)
    lines = found.select("course", pl.col("visit", "state").cast(pl.String), "planned_day", "in_window").rows()
    # Without a latest day a visit is missing once its due day has passed; without a window nothing says out of window.
    assert lines == [
        ("a", "session", "missing", 21, None),
        ("b", "wait", "missing", 35, None),
        ("b", "session", "not due", 77, None),
    ]


def test_after_the_end_of_a_course_nothing_is_awaited() -> None:
    start = date(2026, 1, 5)
    plan = Plan(
        visits=(PlannedVisit("late", "enrolled", 300, 290, 310, ("m",)),),
        baseline_before="enrolled",
        populations=(Population("enrolled", ("enrolled",)),),
        cut_on=start + timedelta(days=30),
        closes=("withdrawn",),
    )
    events = [
        *_course("stays", "x", ("enrolled", start)),
        *_course("left", "x", ("enrolled", start), ("withdrawn", start + timedelta(days=9))),
    ]
    found = build(pl.DataFrame(events, schema_overrides={"value": pl.Float64}, infer_schema_length=None), plan)
    assert dict(found.select("course", pl.col("state").cast(pl.String)).rows()) == {
        "left": "missing",
        "stays": "not due",
    }


def test_the_same_visit_of_the_same_arm_twice_is_refused() -> None:
    twice = (PlannedVisit("v", "enrolled", 1, 1, 1, ("m",)), PlannedVisit("v", "enrolled", 2, 2, 2, ("m",), ("now",)))
    plan = Plan(visits=twice, baseline_before="enrolled", populations=(Population("enrolled", ("enrolled",)),))
    events = pl.DataFrame(_course("a", "now", ("enrolled", date(2026, 1, 5))), schema_overrides={"value": pl.Float64})
    with pytest.raises(Refused, match="one twice"):
        build(events, plan)
