"""Reference-based imputation against nlme, and against SAS and rbmi on the public antidepressant trial where it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from keel.domain.errors import Refused
from keel.outcomes import imputation as mi
from keel.outcomes.columns import read_table
from keel.outcomes.estimand import Estimand, Estimated, IntercurrentEvent

HERE = Path(__file__).parents[1] / "reference"
R = json.loads((HERE / "imputation/reference.json").read_text())
SHARED = Path(__file__).parents[3] / "shared/data/antidepressant_hamd17.csv"


def simulated(name: str = "sim_pat_mmrm_233x6.csv") -> mi.Repeated:
    table = read_table(HERE / "data" / name)
    return mi.lay_out(table, subject="usubjid", visit="visit", arm="arm", outcome="chg", covariates=["base"])


def test_conditional_means_of_every_strategy_agree_with_nlme() -> None:
    trial = simulated()
    parameters = mi.reml_parameters(trial)
    for strategy in mi.STRATEGIES:
        last = mi.impute(trial, parameters, strategy, reference="A0", seed=None)[:, :, -1]
        ours = [float(mi.ancova(trial, last, arm, "A0")[0][0]) for arm in ("A1", "A2")]
        assert ours == pytest.approx(R[strategy]["estimate"], rel=1e-4)


def test_the_many_imputations_gather_about_the_conditional_mean() -> None:
    trial = simulated()
    parameters = mi.draw_parameters(trial, 100, seed=3)
    for strategy in mi.STRATEGIES:
        result = mi.multiple_imputation(trial, parameters, arm="A2", reference="A0", strategy=strategy, seed=4)
        # 100 imputations: Monte Carlo error of the mean is about a tenth of the spread between them.
        assert result.estimate == pytest.approx(R[strategy]["estimate"][1], abs=0.25)
        assert (result.error, result.imputations, result.seed) == ("Rubin", 100, 4)
    again = mi.draw_parameters(trial, 100, seed=3)
    np.testing.assert_array_equal(parameters.beta, again.beta)


def test_a_trial_without_gaps_is_its_own_analysis_of_covariance() -> None:
    table = read_table(HERE / "data/sim_pat_mmrm_24x4.csv").with_columns(pl.col("chg").fill_null("-3.5"))
    trial = mi.lay_out(table, subject="usubjid", visit="visit", arm="arm", outcome="chg", covariates=["base"])
    result = mi.multiple_imputation(
        trial, mi.draw_parameters(trial, 20, seed=1), arm="A1", reference="A0", strategy="J2R"
    )
    (estimate,), (variance,), df = mi.ancova(trial, trial.y[None, :, -1], "A1", "A0")
    assert [result.estimate, result.se] == pytest.approx([estimate, variance**0.5])
    assert result.df == pytest.approx(df * (df + 1) / (df + 3))


def test_rubins_rules_and_the_degrees_of_freedom() -> None:
    r = R["rubin"]
    pooled = mi.rubin(np.array(r["estimates"]), np.array(r["variances"]), r["df_complete"])
    assert [pooled.estimate, pooled.se, pooled.df] == pytest.approx([r["estimate"], r["se"], r["df"]], rel=1e-10)


def test_draws_of_a_complete_trial_follow_the_posterior() -> None:
    """With nothing missing the posterior is known: B about least squares, E[Σ] = residual products/(n − q − T − 1)."""
    rng = np.random.default_rng(2)
    n, arm = 60, np.arange(60) % 2
    y = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.6], [0.0, 0.8]]) + arm[:, None] * np.array([1.0, -1.0])
    trial = mi.Repeated(tuple(map(str, range(n))), ("1", "2"), ("a", "b"), arm, y, np.empty((n, 0)), ())
    drawn = mi.draw_parameters(trial, 4000, seed=5)
    x = trial.design()
    centre = np.linalg.lstsq(x, y, rcond=None)[0]
    products = (y - x @ centre).T @ (y - x @ centre)
    np.testing.assert_allclose(drawn.beta.mean(axis=0), centre, atol=0.02)
    np.testing.assert_allclose(drawn.sigma.mean(axis=0), products / (n - 2 - 2 - 1), rtol=0.03)
    spread = np.cov(drawn.beta[:, 1].T)
    np.testing.assert_allclose(spread, np.linalg.inv(x.T @ x)[1, 1] * products / (n - 2 - 2 - 1), rtol=0.1)


def test_strategies_may_differ_by_person_and_delta_moves_only_the_imputed() -> None:
    trial = simulated("sim_pat_mmrm_24x4.csv")
    parameters = mi.reml_parameters(trial)
    mixed = ["J2R" if i % 2 else "MAR" for i in range(len(trial.y))]
    means = mi.strategy_means(trial, parameters.beta, mixed, "A0")
    for name, rows in (("MAR", slice(0, None, 2)), ("J2R", slice(1, None, 2))):
        whole = mi.strategy_means(trial, parameters.beta, name, "A0")
        np.testing.assert_array_equal(means[:, rows], whole[:, rows])
    drawn = mi.draw_parameters(trial, 50, seed=1)
    none, some = mi.tipping(trial, drawn, [0, 5], arm="A1", reference="A0")
    moved = trial.missing[:, -1] & (trial.arm == 1)
    shift = mi.ancova(trial, 5.0 * moved[None, :], "A1", "A0")[0][0]
    assert some.estimate - none.estimate == pytest.approx(shift)
    assert some.strategy == "MAR, delta 5"


ANTIDEPRESSANT = [SHARED] if SHARED.exists() else []


@pytest.mark.parametrize("path", ANTIDEPRESSANT, ids=["hamd17"] * len(ANTIDEPRESSANT))
def test_the_antidepressant_trial_agrees_with_sas_and_rbmi(path: Path) -> None:
    """Facts 7.2. SAS five macros, 10,000 draws, Rubin; rbmi conditional mean with jackknife; tipping points."""
    trial = mi.lay_out(
        read_table(path), subject="PATIENT", visit="VISIT", arm="THERAPY", outcome="CHANGE", covariates=["BASVAL"]
    )
    arms = {"arm": "DRUG", "reference": "PLACEBO"}
    parameters = mi.draw_parameters(trial, 400, seed=1)
    sas = {"MAR": (-2.795, 1.114), "CIR": (-2.446, 1.107), "CR": (-2.366, 1.107), "J2R": (-2.124, 1.1275)}
    for strategy, (estimate, se) in sas.items():
        found = mi.multiple_imputation(trial, parameters, **arms, strategy=strategy)
        assert found.estimate == pytest.approx(estimate, abs=0.08)
        assert found.se == pytest.approx(se, rel=0.03)
    left = mi.left_out_parameters(trial)
    rbmi = {"MAR": (-2.8018, 1.1067, 0.0114), "CIR": (-2.4491, 1.0008, 0.0144), "CR": (-2.3707, 0.9811, 0.0157)}
    rbmi |= {"J2R": (-2.1255, 0.8581, 0.0133), "LMCF": (-2.5139, 1.0291, 0.0146)}
    for strategy, (estimate, se, p) in rbmi.items():
        result = mi.conditional_mean(trial, **arms, strategy=strategy, jackknife=left)
        assert [result.estimate, result.se, result.p] == pytest.approx([estimate, se, p], abs=2e-4)
    for strategy, delta, p in (("MAR", 2, 0.038), ("MAR", 3, 0.065), ("J2R", 1, 0.030), ("J2R", 2, 0.063)):
        tipped = mi.conditional_mean(trial, **arms, strategy=strategy, delta=delta, jackknife=left)
        assert tipped.p == pytest.approx(p, abs=1e-3)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("p1", "v1", "a", 1.0), ("p1", "v1", "a", 2.0)], "twice"),
        ([("p1", "v1", "a", 1.0), ("p1", "v2", "b", 2.0)], "changes arm"),
        ([("p1", "v1", "a", 1.0), ("p2", "v1", "a", 2.0)], "there is 1 arm"),
        ([("p1", "v1", "a", 1.0), ("p2", "v1", "b", 2.0), ("p3", "v1", "b", None)], "there are 2 values"),
    ],
)
def test_a_trial_that_cannot_be_imputed_is_refused(rows: list[tuple[str, str, str, float | None]], says: str) -> None:
    table = pl.DataFrame(rows, schema=["id", "visit", "arm", "y"], orient="row")
    with pytest.raises(Refused, match=says):
        mi.lay_out(table, subject="id", visit="visit", arm="arm", outcome="y")


def copied(second: object, *, apart: bool = False) -> mi.Repeated:
    """Forty people at two visits; `apart` lets nobody have both."""
    rng = np.random.default_rng(2)
    rows: list[tuple[str, str, str, float | None]] = []
    for i in range(40):
        y = float(rng.normal())
        later = y if second == "copied" else float(rng.normal())
        half = apart and i % 4 < 2
        rows += [(f"p{i}", "V1", "ab"[i % 2], None if half else y), (f"p{i}", "V2", "ab"[i % 2], later)]
        rows[-1] = (*rows[-1][:3], None if apart and not half else later)
    table = pl.DataFrame(rows, schema=["id", "visit", "arm", "y"], orient="row")
    return mi.lay_out(table, subject="id", visit="visit", arm="arm", outcome="y")


def test_a_visit_that_repeats_another_is_refused() -> None:
    trial = copied("copied")
    with pytest.raises(Refused, match="follows exactly from another visit"):
        mi.draw_parameters(trial, 20, seed=1)
    with pytest.raises(Refused, match="Visits V1 and V2"):
        mi.reml_parameters(trial)


def test_two_visits_that_nobody_has_both_of_are_refused() -> None:
    with pytest.raises(Refused, match="nobody was seen at both V1 and V2"):
        copied("new", apart=True)


def test_unknown_names_are_refused() -> None:
    trial = simulated("sim_pat_mmrm_24x4.csv")
    parameters = mi.reml_parameters(trial)
    for change, says in (
        ({"reference": "placebo"}, "placebo"),
        ({"strategy": "LOCF"}, "LOCF"),
        ({"visit": "V9"}, "V9"),
    ):
        with pytest.raises(Refused, match=says):
            mi.tipping(trial, parameters, [0], **({"arm": "A1", "reference": "A0"} | change))


def test_an_estimand_has_five_attributes_and_fitting_imputations() -> None:
    events = (
        IntercurrentEvent("antidepressant started", "hypothetical", "MAR"),
        IntercurrentEvent("second dose refused", "treatment policy", "J2R"),
    )
    estimand = Estimand(
        "adults with major depression, as randomised",
        "25 mg once v 1 mg once",
        "change at week 3",
        events,
        "difference",
    )
    assert [line.split(":")[0] for line in estimand.sentences()] == [
        "Population",
        "Treatment",
        "Variable",
        "Intercurrent events",
        "Summary",
    ]
    result = Estimated(estimand, "MMRM", "at random", -2.8, 1.1, -5.0, -0.6, 0.01).with_sensitivity(
        [("J2R", -2.1, 0.06)]
    )
    assert result.sensitivity == (("J2R", -2.1, 0.06),)
    for make, says in (
        (lambda: IntercurrentEvent("x", "ignore"), "five"),
        (lambda: IntercurrentEvent("x", "hypothetical", "J2R"), "does not estimate"),
        (lambda: Estimand("", "a", "b", (), "c"), "population is empty"),
        (lambda: Estimand("p", "a", "b", (events[0], events[0]), "c"), "two strategies"),
    ):
        with pytest.raises(Refused, match=says):
            make()
