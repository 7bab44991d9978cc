"""Reports on tables that are worked out by hand: the pure half of the insight door."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.domain.protocol import Change
from keel.domain.report import Report
from keel.library.report_files import report
from keel.outcomes import dataset
from keel.outcomes.blinding import bang, tally
from keel.outcomes.dataset import Plan, PlannedVisit, Population
from keel.outcomes.describe import Flow, suppressed
from keel.outcomes.mmrm import fit_mmrm
from keel.outcomes.report import Answer, compute
from keel.outcomes.report_answer import Judged, Sight, Study, small
from keel.outcomes.report_flow import STAGES, _stages_shown
from keel.outcomes.report_states import holds

ALL_ROWS = Sight(rows=True, least=5)
FEW = Sight(rows=False, least=5)
START = date(2026, 1, 5)
MEASURE = "madrs.total"
GUESS = "treatment-guess.arm"


def study(**change: Any) -> Study:
    judged = Judged(
        label="MADRS",
        measure=MEASURE,
        baseline="baseline",
        visits=("week-3",),
        response=Change(drop_percent_at_least=50.0),
        remission=Change(at_most=10.0),
        low=0,
        high=60,
        colour="depression",
    )
    visits = (("baseline", "Baseline"), ("week-1", "Week 1"), ("week-3", "Week 3"), ("week-6", "Week 6"))
    arms = (("drug", "Drug"), ("sham", "Sham"))
    given = {"id": "s", "title": "Simulated", "protocol": "p", "protocol_version": 1, "allocation": "randomised"}
    return Study(**{**given, "arms": arms, "visits": visits, "doses": (), "judged": judged, **change})


PLAN = Plan(
    visits=tuple(
        PlannedVisit(f"week-{w}" if w else "baseline", "randomised", 7 * w, None, None, (MEASURE,))
        for w in (0, 1, 3, 6)
    ),
    baseline_visit="baseline",
    populations=(
        Population("screened", ("screened",)),
        Population("enrolled", ("enrolled",)),
        Population("dosed", ("dosed",)),
        Population("intention_to_treat", ("randomised",)),
        Population("per_protocol", ("randomised",)),
        Population("safety", ("dosed",)),
    ),
    cut_on=START + timedelta(days=400),
    reveal_arm=True,
)


def rows(
    values: dict[str, list[float | None]], arm: Callable[[str], str], guess: dict[str, int] | None = None
) -> pl.DataFrame:
    """A dataset of people whose values at baseline and weeks 1, 3 and 6 are given."""
    events = []
    for person, line in values.items():
        who = {"participant": person, "course": person, "study": "s", "site": "x", "arm": arm(person)}
        blank = {"visit": None, "measure": None, "value": None}
        for kind in ("screened", "enrolled", "randomised", "dosed"):
            events.append({**who, "kind": kind, **blank, "on": START})
        for week, value in zip((0, 1, 3, 6), line, strict=True):
            visit = f"week-{week}" if week else "baseline"
            said = {"visit": visit, "measure": MEASURE, "value": value, "on": START + timedelta(days=7 * week)}
            events.append({**who, "kind": "measured", **said})
        if guess and person in guess:
            said = {"visit": "no visit", "measure": GUESS, "value": float(guess[person]), "on": START}
            events.append({**who, "kind": "measured", **said})
    return dataset.build(pl.DataFrame(events, infer_schema_length=None), PLAN)


def trial(n: int = 24, seed: int = 3) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    values: dict[str, list[float | None]] = {}
    for i in range(n):
        base = float(rng.integers(28, 40))
        falls = (4, 8, 9) if i % 2 else (8, 17, 19)
        values[f"{i:03d}"] = [base, *(max(0.0, round(base - fall + rng.normal(0, 5))) for fall in falls)]
    values["003"][3] = None
    return rows(values, lambda person: "sham" if int(person) % 2 else "drug")


NOBODY = pl.DataFrame(schema={"course": pl.String, "arm": pl.String})


def asked(name: str, table: pl.DataFrame, sight: Sight = ALL_ROWS, **change: Any) -> Answer:
    return compute(report(name), study(**change), table, NOBODY, sight)


# ---- what is missing ------------------------------------------------------------------------------------------


def what_if(table: pl.DataFrame, sight: Sight = ALL_ROWS, **change: Any) -> Answer:
    asked_of_all = report("missing-data").model_copy(update={"protocols": (), "imputations": 60, **change})
    return compute(asked_of_all, study(), table, NOBODY, sight)


def with_leavers(n: int = 40) -> pl.DataFrame:
    """Every fifth person of the drug arm leaves after week 1, doing well."""
    values: dict[str, list[float | None]] = {}
    rng = np.random.default_rng(8)
    for i in range(n):
        base, fall = float(rng.integers(28, 40)), 4.0 if i % 2 else 14.0
        line = [base - fall * share + rng.normal(0, 3) for share in (0.6, 1.0, 1.0)]
        values[f"{i:03d}"] = [base, line[0], *((None, None) if i % 10 == 0 else line[1:])]
    return rows(values, lambda person: "sham" if int(person) % 2 else "drug")


def test_the_difference_shrinks_as_the_missing_are_taken_for_the_reference_and_tips() -> None:
    answer = what_if(with_leavers())
    found = {one["strategy"]: one for one in answer.numbers["results"]}
    assert set(found) == {"MAR", "J2R", "CIR", "CR"}
    assert answer.numbers["reference"] == "sham"
    assert found["MAR"]["estimate"] < found["CIR"]["estimate"] < found["J2R"]["estimate"] < 0
    tipped = answer.numbers["tipping"]
    assert tipped[0]["estimate"] == pytest.approx(found["MAR"]["estimate"])
    # four of twenty are imputed: a point added to each moves the difference by about a fifth of a point
    assert tipped[1]["estimate"] - tipped[0]["estimate"] == pytest.approx(4 / 20, rel=0.05)
    assert answer.numbers == what_if(with_leavers()).numbers
    assert "treatment policy" in answer.estimand[3]


def test_who_is_not_there_yet_is_not_missing_and_few_people_are_withheld() -> None:
    table = with_leavers()
    late = (pl.col("course") == "007") & (pl.col("visit").cast(pl.String) == "week-3")
    state = pl.when(late).then(pl.lit("not due")).otherwise(pl.col("state").cast(pl.String)).alias("state")
    answer = what_if(table.with_columns(state))
    assert answer.numbers["people"] == 39
    assert any("not reached" in line for line in answer.refused)
    few = what_if(with_leavers(8), FEW)
    assert few.withheld
    assert not few.numbers
    assert "Nothing was imputed" in what_if(with_leavers(4)).refused[0]
    assert "10 are the least" in what_if(with_leavers(4)).refused[0]
    assert "no arm" in what_if(table, reference="other").refused[0]


def test_a_year_counts_visits_people_and_sessions_and_closes_small_cells() -> None:
    answer = asked("year-at-a-glance", with_leavers(), doses=("week-1",))
    counted = answer.numbers["years"]["2026"]
    assert counted["visits"]["2026-01"] == 40 + 40 + 36  # baseline, week 1, and week 3 of those who stayed
    assert counted["dosing sessions"]["2026-01"] == 40
    assert counted["people"]["2026-02"] == 36
    assert sum(n for _, n in answer.figures[0].days) == 40 + 40 + 36 + 36
    closed = asked("year-at-a-glance", with_leavers(8), FEW, doses=("week-1",))
    assert not closed.figures
    assert closed.withheld


# ---- the outcome over time ------------------------------------------------------------------------------------


def test_randomised_arms_are_compared_by_the_mmrm_of_the_library() -> None:
    table = trial()
    answer = asked("outcome-over-time", table)
    own = table.filter((pl.col("visit").cast(pl.String) != "baseline") & pl.col("change").is_not_null())
    own = own.with_columns(pl.col("visit", "arm").cast(pl.String))
    fit = fit_mmrm(own, "change ~ baseline + arm * visit", visit="visit", subject="course")
    assert answer.numbers["mmrm"]["m2loglik"] == pytest.approx(fit.m2loglik, rel=1e-9)
    assert [c["visit"] for c in answer.numbers["mmrm"]["contrasts"]] == ["week-1", "week-3", "week-6"]
    assert len(answer.estimand) == 5
    mean = answer.numbers["groups"]["Drug"]["week-3"]
    drug = own.filter((pl.col("arm") == "drug") & (pl.col("visit") == "week-3"))["value"]
    assert mean["n"] == 12
    assert mean["mean"] == pytest.approx(drug.mean())


@pytest.mark.parametrize("allocation", ["single", "waiting_list"])
def test_what_was_not_randomised_is_described_and_not_compared(allocation: str) -> None:
    answer = asked("outcome-over-time", trial(), allocation=allocation)
    assert answer.numbers["mmrm"] is None
    assert "No difference between arms is estimated" in answer.refused[0]


def test_values_without_spread_have_no_interval_and_the_model_says_why_not() -> None:
    flat = rows({f"{i:02d}": [30.0, 20.0, 15.0, 15.0] for i in range(8)}, lambda p: "drug" if int(p) % 2 else "sham")
    answer = asked("outcome-over-time", flat)
    cell = answer.numbers["groups"]["everybody"]["week-3"]
    assert (cell["mean"], cell["mean_low"], cell["mean_high"]) == (15.0, None, None)
    assert answer.numbers["mmrm"] is None
    assert any(line.startswith("The MMRM was not fitted.") for line in answer.refused)


def test_a_missing_value_is_counted_as_missing() -> None:
    cell = asked("outcome-over-time", trial()).numbers["groups"]["Sham"]["week-6"]
    assert (cell["n"], cell["due"]) == (11, 12)


def test_nobody_and_no_endpoint_are_sentences() -> None:
    assert "names nothing" in asked("outcome-over-time", trial(), judged=None).refused[0]
    empty = trial().clear()
    for name in ("outcome-over-time", "response-and-remission", "levin-2024", "blinding"):
        answer = asked(name, empty, protocol="davis-2021")
        assert answer.refused and not answer.numbers


# ---- states ----------------------------------------------------------------------------------------------------


def test_sustained_needs_every_later_visit_and_a_gap_is_unknown() -> None:
    table = rows(
        {
            "stays": [30.0, 20.0, 15.0, 10.0],
            "relapses": [30.0, 20.0, 15.0, 16.0],
            "gap": [30.0, 20.0, 15.0, None],
            "never": [30.0, 28.0, 28.0, 28.0],
        },
        lambda person: "drug",
    )
    answer = asked("response-and-remission", table, arms=(("drug", "Drug"),), allocation="single")
    found = answer.numbers["sustained"]["response"]["groups"]["everybody"]
    assert (found["events"], found["n"], found["unknown"]) == (1, 3, 1)
    week = answer.numbers["shares"]["response"]["week-3"]["everybody"]
    assert (week["events"], week["n"], week["unknown"]) == (3, 4, 0)
    assert answer.numbers["shares"]["remission"]["week-6"]["everybody"]["events"] == 1


def test_without_a_definition_nothing_is_counted() -> None:
    judged = study().judged
    assert judged is not None
    bare = Judged(**{**vars(judged), "response": None, "remission": None})
    answer = asked("response-and-remission", trial(), judged=bare)
    assert not answer.tables
    assert "does not say what a response" in answer.refused[0]


def test_unknown_is_never_a_response() -> None:
    fall, cut = Change(drop_percent_at_least=50.0), Change(at_most=10.0)
    assert holds(fall, None, 3.0) is None
    assert holds(fall, 30.0, None) is None
    assert holds(fall, 0.0, 0.0) is None
    assert holds(fall, 31.0, 15.5) is True
    assert holds(cut, None, 10.0) is True
    assert holds(cut, None, 11.0) is False


# ---- blinding --------------------------------------------------------------------------------------------------


def test_guesses_give_both_indices_and_the_outcome_by_guess() -> None:
    values = {f"{i:02d}": [30.0 + i % 3, 20.0, 16.0 + i % 5 + 4 * (i % 2), 15.0] for i in range(24)}
    truth = {person: 2 if int(person) % 2 else 1 for person in values}
    guess = {
        person: (0 if i % 6 == 5 else 3 - truth[person] if i % 4 == 0 else truth[person])
        for i, person in enumerate(values)
    }
    table = rows(values, lambda person: "sham" if int(person) % 2 else "drug", guess)
    answer = asked("blinding", table)
    names = {0: "don't know", 1: "drug", 2: "sham"}
    arms = ["sham" if int(p) % 2 else "drug" for p in values]
    expected = bang(tally(arms, [names[guess[p]] for p in values]))
    got = [one for one in answer.numbers["indices"] if one["name"] == "Bang"]
    assert [one["estimate"] for one in got] == [one.estimate for one in expected]
    assert answer.numbers["outcome_by_guess"]["n"] == sum(g != 0 for g in guess.values())
    hidden = asked("blinding", table, FEW)
    assert hidden.withheld and "indices" not in hidden.numbers


def test_few_guesses_and_guesses_all_alike_give_no_interval_that_looks_sure() -> None:
    def of(people: int) -> Answer:
        values = {f"{i:02d}": [30.0, 20.0, 16.0 + i, 15.0] for i in range(people)}
        guess = {person: 1 if i % 2 == 0 or i == 1 else 2 for i, person in enumerate(values)}
        return asked("blinding", rows(values, lambda person: "sham" if int(person) % 2 else "drug", guess))

    few = of(8)
    assert "indices" not in few.numbers and few.numbers["guesses"]["drug"]["drug"] == 4
    assert any("4 in Drug and 4 in Sham" in line for line in few.refused)
    alike = of(14)
    drug, sham, james = alike.numbers["indices"]
    assert (drug["estimate"], drug["ci_low"], drug["p"]) == (1.0, None, None), "all seven guessed alike"
    assert sham["ci_low"] < sham["estimate"] < sham["ci_high"] and james["se"] > 0
    assert any("Bang's index of Drug has no interval" in line for line in alike.refused)


# ---- what whoever may not see rows is shown ----------------------------------------------------------------------


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6),
    st.integers(2, 12),
)
def test_no_small_cell_is_shown_and_none_can_be_worked_out(pairs: dict[str, tuple[int, int]], least: int) -> None:
    cells = {name: (min(a, b), max(a, b)) for name, (a, b) in pairs.items()}
    hidden = small(cells, Sight(rows=False, least=least))
    open_ = [name for name, (_, all_) in cells.items() if name not in hidden and all_ > 0]
    if hidden and open_:
        together = [sum(cells[name][side] for name in hidden) for side in (0, 1)]
        assert not any(0 < k < least for k in (*together, together[1] - together[0])), "few together can be worked out"
    for name, (with_, all_) in cells.items():
        if name not in hidden:
            assert not any(0 < k < least for k in (with_, all_ - with_, all_))
    if len(hidden) == 1:
        (only,) = hidden
        assert not [n for n, (_, all_) in cells.items() if n != only and all_ > 0], "a single gap could be worked out"
    assert small(cells, Sight(rows=True, least=least)) == frozenset()


def test_counts_that_are_few_together_are_not_told_by_the_whole() -> None:
    assert suppressed({"a": 1, "b": 1, "c": 20, "d": 30}, least=5) == {"a": None, "b": None, "c": None, "d": 30}
    cells = {"A": (1, 10), "B": (1, 10), "C": (10, 20)}
    assert small(cells, FEW) == {"A", "B", "C"}, "12 of 40 in all, less 10 of 20, would tell 1 and 1"


def test_of_whom_few_were_asked_nothing_is_told() -> None:
    values = {"00": [30.0, 20.0, 10.0, 9.0], "01": [31.0, 25.0, 20.0, 19.0]}
    table = rows(values, lambda person: "sham" if int(person) % 2 else "drug", {"00": 1, "01": 2})
    answer = asked("blinding", table, FEW)
    assert answer.numbers == {"asked": None} and answer.withheld and not answer.tables and not answer.figures


def test_no_baseline_of_one_person_is_left_when_change_is_taken_from_mean() -> None:
    values: dict[str, list[float | None]] = {f"{i:02d}": [30.0 + i, 20.0, 10.0 + i, 12.0] for i in range(16)}
    values["03"][2] = None
    for person in ("01", "05", "07", "09", "11", "13"):
        values[person][3] = None
    given = {"arms": (("drug", "Drug"),), "allocation": "single"}
    cells = asked("outcome-over-time", rows(values, lambda person: "drug"), FEW, **given).numbers["groups"]["everybody"]
    assert cells["week-1"]["mean"] - cells["week-1"]["change"] == pytest.approx(cells["baseline"]["mean"])
    assert cells["week-3"]["n"] == 15 and "change" not in cells["week-3"] and "d_av" not in cells["week-3"]
    assert "change" in cells["week-6"], "six have none: their baseline together tells of nobody"
    assert all("due" not in cell for cell in cells.values()), "or it would fill the gaps of other visits"


@given(st.lists(st.tuples(*[st.integers(0, 8)] * 4), min_size=1, max_size=3))
def test_no_stage_of_an_arm_can_be_worked_out_from_the_others(drawn: list[tuple[int, int, int, int]]) -> None:
    arms = {
        str(i): {"allocated": a + b + c, "dosed": min(d, a + b + c), "completed": a, "left": b, "continuing": c}
        for i, (a, b, c, d) in enumerate(drawn)
    }
    shown = _stages_shown(Flow(99, 99, {}, 0, arms, {}), FEW)
    for arm, stages in shown.items():
        assert all(n is None or not 0 < n < 5 for n in stages.values())
        assert all(n in (None, arms[arm][stage]) for stage, n in stages.items())
    gaps = [(arm, stage) for arm in arms for stage in STAGES if shown[arm][stage] is None]
    parts = {"allocated": 1.0, "completed": -1.0, "left": -1.0, "continuing": -1.0}
    known = [[parts.get(stage, 0.0) if arm == own else 0.0 for arm, stage in gaps] for own in arms]
    # Of these two other reports show what all arms come to, unless that is few; of one arm alone it is that arm's number.
    came = {own: [stages[own] for stages in arms.values() if stages[own]] for own in ("allocated", "dosed")}
    several = [own for own, counts in came.items() if len(counts) > 1 and sum(counts) >= 5]
    known += [[float(stage == own) for _, stage in gaps] for own in several]
    rank = np.linalg.matrix_rank(np.array(known)) if gaps else 0
    for i in range(len(gaps)):
        one = [float(i == j) for j in range(len(gaps))]
        assert np.linalg.matrix_rank(np.array([*known, one])) > rank, f"{gaps[i]} of {shown}"


def test_few_missing_people_are_not_told_beside_a_share_of_many() -> None:
    values: dict[str, list[float | None]] = {f"{i:02d}": [30.0, 20.0, 10.0 if i % 2 else 28.0, 12.0] for i in range(24)}
    values["03"][2] = None
    table = rows(values, lambda person: "drug")
    given = {"arms": (("drug", "Drug"),), "allocation": "single"}
    told = asked("response-and-remission", table, **given).numbers["shares"]["response"]["week-3"]["everybody"]
    kept = asked("response-and-remission", table, FEW, **given).numbers["shares"]["response"]["week-3"]["everybody"]
    assert (told["events"], told["unknown"]) == (11, 1)
    assert (kept["events"], kept["unknown"]) == (11, None)


def test_a_study_and_an_answer_survive_the_folder() -> None:
    whole = study()
    assert Study.from_json(json.loads(json.dumps(whole.as_json()))) == whole
    answer = asked("response-and-remission", trial())
    assert json.loads(json.dumps(answer.numbers, allow_nan=False)) == answer.numbers


def test_a_report_of_another_protocol_is_not_computed() -> None:
    answer = asked("levin-2024", trial())
    assert "this study runs p" in answer.refused[0]
    assert isinstance(report("levin-2024"), Report)
