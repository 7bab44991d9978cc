"""Simulated trials: the batched fit is the MMRM's, and under no effect it is wrong as often as it says."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from keel.domain.errors import Refused
from keel.outcomes.lsmeans import contrasts, ls_means
from keel.outcomes.mmrm import fit_mmrm
from keel.outcomes.trials import Outcomes, Scenario, Trials, analyse, simulate, verdict


def scenario(people: tuple[int, ...], visits: int, effect: float = 0.0) -> Scenario:
    sigma = tuple(tuple(60 * 0.75 ** abs(i - j) for j in range(visits)) for i in range(visits))
    means = tuple(
        tuple(-8.0 - t + arm * effect * t / (visits - 1) for t in range(visits)) for arm in range(len(people))
    )
    return Scenario(people, means, sigma, leave_logit=-2.6, leave_slope=0.02)


def table_of(trials: Trials, index: int) -> pl.DataFrame:
    rows = [
        (str(i), f"v{t}", f"a{trials.arm[i]}", trials.base[index, i], trials.y[index, i, t])
        for i in range(trials.y.shape[1])
        for t in range(trials.stayed[index, i])
    ]
    return pl.DataFrame(rows, schema=["id", "visit", "arm", "base", "y"], orient="row")


@pytest.mark.parametrize(("people", "visits"), [((12, 12), 4), ((30, 30, 25), 5)])
def test_the_batched_fit_is_the_mmrm(people: tuple[int, ...], visits: int) -> None:
    trials = simulate(scenario(people, visits, 3.0), 6, seed=1)
    found = analyse(trials)
    assert found.converged.all()
    for index in range(6):
        fit = fit_mmrm(table_of(trials, index), "y ~ base + arm * visit", visit="visit", subject="id")
        means = [m for m in ls_means(fit, "arm", by="visit") if f"v{visits - 1}" in str(m)]
        for arm, contrast in enumerate(contrasts(fit, means)[: len(people) - 1]):
            other = contrast.estimate
            assert other is not None
            ours = [found.estimate[index, arm], found.se[index, arm], found.df[index, arm], found.p[index, arm]]
            assert ours == pytest.approx([other.estimate, other.se, other.df, other.p], rel=1e-4)
        assert found.m2loglik[index] == pytest.approx(fit.m2loglik, abs=1e-6)


def test_under_no_effect_five_in_a_hundred_are_significant() -> None:
    found = verdict(analyse(simulate(scenario((26, 26), 4), 600, seed=2)), np.zeros(1))
    assert found.converged == 600
    assert abs(found.significant[0] - 0.05) < 3 * found.monte_carlo_se[0]
    assert abs(found.coverage[0] - 0.95) < 3 * found.monte_carlo_se[0]
    assert abs(found.bias[0]) < 3 * 2.6 / np.sqrt(600)


def test_a_real_effect_is_found_and_the_same_seed_gives_the_same_trials() -> None:
    plan = scenario((26, 26), 4, effect=-8.0)
    found = verdict(analyse(simulate(plan, 150, seed=3)), np.array([-8.0]))
    assert found.significant[0] > 0.8
    np.testing.assert_array_equal(simulate(plan, 5, seed=3).y, simulate(plan, 5, seed=3).y)


def test_people_leave_and_do_not_come_back() -> None:
    trials = simulate(dataclasses.replace(scenario((50, 50), 4), leave_logit=-1.0), 3, seed=4)
    assert 1 <= trials.stayed.min() < trials.stayed.max() == 4
    hidden = np.arange(4)[None, None, :] >= trials.stayed[:, :, None]
    assert (trials.y[hidden] == 0).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sigma": ((1.0, 2.0), (2.0, 1.0))}, "not a covariance"),
        ({"means": ((0.0,),)}, "one row per arm"),
        ({"people": (1, 1)}, "too few people"),
    ],
)
def test_a_scenario_that_contradicts_itself_is_refused(change: dict[str, object], says: str) -> None:
    plan = Scenario((20, 20), ((0.0, 0.0), (0.0, 0.0)), ((1.0, 0.5), (0.5, 1.0)))
    with pytest.raises(Refused, match=says):
        simulate(dataclasses.replace(plan, **change), 2, seed=1)


def test_no_verdict_without_a_fitted_trial() -> None:
    none = np.full((2, 1), np.nan)
    with pytest.raises(Refused, match="none of them"):
        verdict(Outcomes(none, none, none, none, np.full(2, np.nan), np.zeros(2, dtype=bool)), np.zeros(1))
