"""Partially nested models against lme4, lmerTest and nlme, and against a slow referee."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from keel.domain.errors import Refused
from keel.outcomes.columns import FloatArray
from keel.outcomes.partial_nesting import Nested, design_effect, fit_nested

HERE = Path(__file__).parents[1] / "reference"
R = json.loads((HERE / "partial_nesting/reference.json").read_text())
DATA = pl.read_csv(HERE / "data/sim_pat_cohorts.csv")
LABELS = ["intercept", "base", "grp"]
GRP = DATA["grp"].to_list()
MATRIX = np.column_stack([np.ones(DATA.height), DATA["base"].to_numpy(), DATA["grp"].cast(pl.Float64).to_numpy()])
COHORT = [c if g == 1 else None for c, g in zip(DATA["cohort"].to_list(), GRP, strict=True)]


def fitted(y: FloatArray | None = None, **options: object) -> Nested:
    outcome = DATA["chg"].to_numpy() if y is None else y
    return fit_nested(outcome, MATRIX, LABELS, {"cohort": COHORT}, **options)


def test_one_residual_variance_agrees_with_lme4_and_lmertest() -> None:
    fit, r = fitted(), R["equal"]
    assert [t.estimate for t in fit.coefficients] == pytest.approx(r["estimate"], rel=1e-5)
    assert [t.se for t in fit.coefficients] == pytest.approx(r["se"], rel=1e-5)
    assert [t.df for t in fit.coefficients] == pytest.approx(r["df"], rel=1e-3)
    assert [t.p for t in fit.coefficients] == pytest.approx(r["p"], rel=1e-3)
    assert [fit.clusters[0].variance, fit.residual["all"]] == pytest.approx([r["cohort"], r["residual"]], rel=1e-4)
    assert fit.m2loglik == pytest.approx(r["m2loglik"], abs=1e-6)


def test_a_residual_variance_per_arm_agrees_with_nlme() -> None:
    fit, r = fitted(residual_by=[str(g) for g in GRP]), R["unequal"]
    assert [t.estimate for t in fit.coefficients] == pytest.approx(r["estimate"], rel=1e-4)
    assert [t.se for t in fit.coefficients] == pytest.approx(r["se"], rel=1e-4)
    found = [fit.clusters[0].variance, fit.residual["1"], fit.residual["0"]]
    assert found == pytest.approx([r["cohort"], r["residual_grp"], r["residual_control"]], rel=1e-3)
    assert fit.m2loglik <= r["m2loglik"] + 1e-6
    assert fit.m2loglik == pytest.approx(r["m2loglik"], abs=1e-5)


def test_cohorts_and_facilitators_together_agree_with_lme4() -> None:
    r = R["three"]
    kinds = {"cohort": COHORT, "facilitator": r["input"]["facilitator"]}
    fit = fit_nested(np.array(r["input"]["y"]), MATRIX, LABELS, kinds)
    assert [t.estimate for t in fit.coefficients] == pytest.approx(r["estimate"], rel=1e-4)
    assert [t.se for t in fit.coefficients] == pytest.approx(r["se"], rel=1e-3)
    assert [t.df for t in fit.coefficients] == pytest.approx(r["df"], rel=1e-2)
    assert [c.variance for c in fit.clusters] == pytest.approx([r["cohort"], r["facilitator"]], rel=1e-2, abs=1e-3)
    assert fit.m2loglik == pytest.approx(r["m2loglik"], abs=1e-5)


def test_icc_design_effect_and_its_profile_interval() -> None:
    fit = fitted(residual_by=[str(g) for g in GRP])
    (cohort,) = fit.clusters
    assert cohort.icc == pytest.approx(cohort.variance / (cohort.variance + fit.residual["1"]))
    assert cohort.icc_low is not None
    assert cohort.icc_high is not None
    assert 0 <= cohort.icc_low <= cohort.icc <= cohort.icc_high < 1
    assert [round(design_effect(np.full(5, 4.0), icc), 2) for icc in (0.07, 0.12)] == [1.21, 1.36]


def test_a_cohort_effect_of_nothing_is_told_and_leaves_the_arms_regression() -> None:
    rng = np.random.default_rng(1)
    y = 2.0 * MATRIX[:, 2] + rng.normal(size=len(MATRIX))
    # Cohort means are pulled to one another: less between-cohort spread than chance gives.
    codes = np.array([c or "" for c in COHORT])
    for cohort in set(codes[codes != ""]):
        y[codes == cohort] -= y[codes == cohort].mean() - 2.0
    fit = fitted(y)
    assert fit.clusters[0].variance == pytest.approx(0, abs=1e-6)
    assert "came out as zero" in fit.notes[0]
    ols = np.linalg.lstsq(MATRIX, y, rcond=None)[0]
    assert [t.estimate for t in fit.coefficients] == pytest.approx(list(ols), rel=1e-5)
    assert fit.coefficients[2].df == pytest.approx(len(y) - 3, rel=1e-4)


def test_what_cannot_be_estimated_is_refused() -> None:
    with pytest.raises(Refused, match="nobody shares one"):
        fit_nested(DATA["chg"].to_numpy(), MATRIX, LABELS, {"cohort": [str(i) for i in range(DATA.height)]})
    with pytest.raises(Refused, match="there is 1"):
        fit_nested(DATA["chg"].to_numpy(), MATRIX, LABELS, {"cohort": ["a"] * DATA.height})
    with pytest.raises(Refused, match="every value is 3"):
        fitted(np.full(DATA.height, 3.0))
    with pytest.raises(Refused, match="missing"):
        fitted(np.full(DATA.height, np.nan))


def test_clusters_that_the_formula_tells_apart_already_are_refused() -> None:
    cohort = ["a", "b", "c"] * 5
    matrix = np.column_stack([np.ones(15), [float(c == "b") for c in cohort], [float(c == "c") for c in cohort]])
    outcome = np.random.default_rng(1).normal(size=15)
    with pytest.raises(Refused, match="told apart already"):
        fit_nested(outcome, matrix, ["1", "b", "c"], {"cohort": cohort})


@pytest.mark.parametrize("value", [1e20, 1e40])
def test_values_too_far_apart_for_the_arithmetic_are_refused(value: float) -> None:
    y = DATA["chg"].to_numpy().copy()
    y[9] = value
    with pytest.raises(Refused, match="beside it they are lost"):
        fitted(y)


def test_units_and_distances_from_zero_change_nothing() -> None:
    """−2 REML changes by what the units themselves change; every test stays."""
    plain = fitted(DATA["chg"].to_numpy())
    n, p = len(DATA), len(plain.coefficients)
    for size, apart in ((1e-20, 0.0), (1e20, 0.0), (1.0, 1e8)):
        other = fitted(DATA["chg"].to_numpy() * size + apart)
        assert other.m2loglik == pytest.approx(plain.m2loglik + 2 * (n - p) * np.log(size), abs=1e-5)
        for one, two in zip(plain.coefficients[1:], other.coefficients[1:], strict=True):
            assert (two.t, two.df, two.p) == pytest.approx((one.t, one.df, one.p), rel=1e-5)
        assert other.clusters[0].icc_high == pytest.approx(plain.clusters[0].icc_high, rel=1e-4)


def test_clusters_that_leave_nothing_within_are_refused() -> None:
    """The residual variance would be the least that the search allows, and look like a number."""
    of_cohort = {name: float(at * 7 % 5) for at, name in enumerate(sorted({str(c) for c in DATA["cohort"]}))}
    matrix = np.ones((len(DATA), 1))
    with pytest.raises(Refused, match="within the clusters nothing is left"):
        fit_nested(
            np.array([of_cohort[str(c)] for c in DATA["cohort"]]),
            matrix,
            ["1"],
            {"cohort": [str(c) for c in DATA["cohort"]]},
        )
