"""Blinding indices on the published check case, and what a guess takes from an effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.outcomes.blinding import Guesses, bang, james, outcome_by_guess, tally
from keel.outcomes.columns import numbers, read_table

CRISP = Guesses(("active", "placebo"), np.array([[82.0, 25.0, 170.0], [27.0, 29.0, 83.0]]))


def test_the_crisp_trial_as_published() -> None:
    """Active arm .2058 (SE .0352), placebo arm .0144 (.0538); James .7479."""
    active, placebo = bang(CRISP)
    assert [round(v, 4) for v in (active.estimate, active.se)] == [0.2058, 0.0352]
    assert [round(v, 4) for v in (placebo.estimate, placebo.se)] == [0.0144, 0.0538]
    assert round(james(CRISP).estimate, 4) == 0.7479


def test_the_example_of_the_program_bi() -> None:
    """What R's BI prints for its example, as shown in the README of JuliaHealth/BlindingIndex.jl: three digits."""
    guesses = Guesses(("treatment", "placebo"), np.array([[48.0, 4.0, 330.0], [22.0, 30.0, 319.0]]))
    whole = james(guesses)
    assert [round(v, 3) for v in (whole.estimate, whole.se, whole.ci_low, whole.ci_high)] == [
        0.896,
        0.011,
        0.875,
        0.918,
    ]
    printed = [[round(v, 3) for v in (i.estimate, i.se, i.ci_low, i.ci_high)] for i in bang(guesses)]
    assert printed == [[0.115, 0.018, 0.08, 0.15], [0.022, 0.019, -0.016, 0.06]]


def test_the_ends_of_both_scales() -> None:
    unblinded = Guesses(("a", "b"), np.array([[20.0, 0.0, 0.0], [0.0, 20.0, 0.0]]))
    assert [i.estimate for i in bang(unblinded)] == [1, 1]
    assert james(unblinded).estimate == pytest.approx(0)
    guessing = Guesses(("a", "b"), np.array([[10.0, 10.0, 0.0], [10.0, 10.0, 0.0]]))
    assert james(guessing).estimate == pytest.approx(0.5)
    assert [i.estimate for i in bang(guessing)] == [0, 0]


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(5, 200), min_size=6, max_size=6))
def test_james_error_is_that_of_a_simulated_trial(counts: list[int]) -> None:
    """The delta-method error against the spread over multinomial redraws."""
    guesses = Guesses(("a", "b"), np.array(counts, dtype=float).reshape(2, 3))
    n = sum(counts)
    redrawn = np.random.default_rng(4).multinomial(n, np.array(counts) / n, size=800).reshape(-1, 2, 3)
    spread = np.std([james(Guesses(("a", "b"), c.astype(float))).estimate for c in redrawn if c.min() > 0])
    assert james(guesses).se == pytest.approx(spread, rel=0.25)


def test_guesses_are_counted_and_odd_ones_refused() -> None:
    counted = tally(["drug", "drug", "placebo", None], ["drug", "don't know", "placebo", "drug"])
    np.testing.assert_array_equal(counted.counts, [[1, 0, 1], [0, 1, 0]])
    with pytest.raises(Refused, match="row 1"):
        tally(["drug", "placebo"], ["drugg", "drug"])
    with pytest.raises(Refused, match="nobody in placebo"):
        tally(["drug", "placebo"], ["drug", None])
    with pytest.raises(Refused, match="1 arm"):
        tally(["drug"], ["drug"])


MICRODOSE = Path(__file__).parents[3] / "shared/data/microdose_blinding_min.csv"


@pytest.mark.parametrize("path", [p for p in [MICRODOSE] if p.exists()], ids=["microdose"] * MICRODOSE.exists())
def test_the_self_blinding_trial(path: Path) -> None:
    """Facts 7.3: Bang -.01 (dose) and +.51 (placebo); the guess takes more than half of the difference."""
    table = read_table(path).filter(pl.col("test_name") == "PANAS")
    dose, placebo = bang(tally(table["condition"].to_list(), table["guess"].to_list()))
    assert [round(i.estimate, 2) for i in (dose, placebo)] == [-0.01, 0.51]
    table = table.filter(pl.col("guess").is_not_null() & pl.col("value").is_not_null())
    treated, guessed = ((table[c] == "MD").cast(pl.Float64).to_numpy() for c in ("condition", "guess"))
    found = outcome_by_guess(treated, guessed, numbers(table, "value"), person=table["trial_id"].to_list())
    assert [found.estimate, found.adjusted, found.guess] == pytest.approx([2.25, 0.97, 5.49], abs=0.16)
    assert [found.se, found.adjusted_se, found.guess_se] == pytest.approx([0.73, 0.72, 0.69], abs=0.01)


def test_rows_of_one_person_are_not_counted_as_many() -> None:
    rng = np.random.default_rng(9)
    person = np.repeat(np.arange(40), 6)
    treated = (person % 2).astype(float)
    guessed = (rng.random(240) < 0.5).astype(float)
    outcome = rng.normal(0, 3, 40)[person] + rng.normal(0, 1, 240)
    alone = outcome_by_guess(treated, guessed, outcome)
    together = outcome_by_guess(treated, guessed, outcome, person=[str(p) for p in person])
    assert together.estimate == pytest.approx(alone.estimate, abs=1e-6)
    assert together.se > 2 * alone.se


def test_an_effect_that_is_all_guess_shrinks_to_nothing() -> None:
    rng = np.random.default_rng(6)
    treated = np.repeat([0.0, 1.0], 300)
    guessed = (rng.random(600) < np.where(treated == 1, 0.8, 0.3)).astype(float)
    found = outcome_by_guess(treated, guessed, -5 * guessed + rng.normal(0, 3, 600))
    assert found.estimate < -1.5
    assert abs(found.adjusted) < 0.8
    assert found.guess == pytest.approx(-5, abs=0.8)
    with pytest.raises(Refused, match="does not vary apart"):
        outcome_by_guess(treated, treated, treated)
