"""MMRM against reference programs: nlme, lme4 with lmerTest and pbkrtest, emmeans, clubSandwich, SAS listings.

The numbers, the programs and their versions lie in tests/reference/mmrm/, the scripts that made them beside them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from keel.domain.errors import Refused
from keel.outcomes.columns import read_table
from keel.outcomes.df import Estimate
from keel.outcomes.lsmeans import contrasts, joint_tests, ls_means
from keel.outcomes.mmrm import MMRM, fit_mmrm

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "reference" / "mmrm"
SHARED = ROOT.parent / "shared" / "data"


def reference(name: str) -> dict[str, Any]:
    return json.loads((REFERENCE / f"{name}.json").read_text())


@cache
def simulated(name: str, weeks: tuple[float, ...] = (1, 2, 4, 8, 12, 26, 39, 52)) -> pl.DataFrame:
    table = read_table(ROOT / "tests" / "reference" / "data" / name)
    visits = sorted(set(table["visit"]))
    week = pl.col("visit").replace_strict(visits, weeks[: len(visits)], return_dtype=pl.Float64)
    return table.with_columns(week.alias("week"))


def label(one: dict[str, Any]) -> str:
    return "-".join(str(one[key]) for key in ("data", "covariance", "method") if key in one)


@pytest.mark.parametrize("told", [*reference("gls")["fits"], *reference("gls_1000x8")["fits"]], ids=label)
def test_gls_finds_the_same_model(told: dict[str, Any]) -> None:
    spatial = told["covariance"] == "sp_exp"
    fit = fit_mmrm(
        simulated(told["data"]),
        told["formula"],
        visit="week" if spatial else "visit",
        subject="usubjid",
        covariance=told["covariance"],
        method=told["method"],
    )
    assert (fit.n_obs, fit.n_subjects) == (told["n_obs"], told["n_subjects"])
    assert fit.m2loglik == pytest.approx(told["m2loglik"], abs=1e-6)
    # gls multiplies the ML standard errors by sqrt(N / (N - p)); SAS and mmrm do not
    widened = (fit.n_obs / (fit.n_obs - len(fit.beta))) ** 0.5 if told["method"] == "ml" else 1.0
    ours = dict(fit.coefficients())
    for one in told["coefficients"]:
        mine = ours[one["term"]]
        assert mine is not None
        assert mine.estimate == pytest.approx(one["estimate"], rel=1e-4, abs=1e-4 * mine.se)
        assert mine.se * widened == pytest.approx(one["se"], rel=1e-4)


SAS_NAMES = {
    "Unstructured": "us",
    "Ante-dependence": "adh",
    "Autoregressive": "ar1",
    "Compound Symmetry": "cs",
    "Heterogeneous Toeplitz": "toeph",
    "Heterogeneous Compound": "csh",
    "Spatial Exponential": "sp_exp",
}
# sp(gau), and distances over two coordinates, are not among Keel's structures
NOT_OURS = ("sp_gau", "sp_exp2")


def listings() -> list[dict[str, Any]]:
    path = SHARED / "reference_fev_sas_listings.json"
    return json.loads(path.read_text()) if path.exists() else []


def sas_fit(listing: dict[str, Any]) -> MMRM:
    name = listing["source"]
    effects = {one["effect"] for one in listing["fixed"]}
    if "AVISIT" in effects:
        formula = "FEV1 ~ RACE + SEX + ARMCD * AVISIT"
    else:
        formula = "FEV1 ~ ARMCD + SEX" if "SEX" in effects else "FEV1 ~ 1"
    covariance = "ar1h" if "ar1h" in name else SAS_NAMES[listing["structure"]]
    return fit_mmrm(
        sas_order(read_table(SHARED / "fev_data.csv"), listing),
        formula,
        visit="VISITN" if covariance == "sp_exp" else "AVISIT",
        subject="USUBJID",
        covariance=covariance,
        method=listing["method"].lower(),
        group="ARMCD" if "group" in name else None,
        weights="WEIGHT" if "weighted" in name else None,
    )


def sas_order(table: pl.DataFrame, listing: dict[str, Any]) -> pl.DataFrame:
    """Each factor with that level first which the listing took as its reference: the one it prints no coefficient for."""
    for name in {one["effect"] for one in listing["fixed"]} & set(table.columns):
        printed = {" ".join(one["level"]) for one in listing["fixed"] if one["effect"] == name}
        levels = sorted(table[name].unique().to_list(), key=lambda level: (level in printed, level))
        table = table.with_columns(pl.col(name).cast(pl.Enum(levels)))
    return table


def sas_variances(fit: MMRM, listing: dict[str, Any]) -> dict[tuple[str | None, str], float]:
    """The covariance parameters under SAS's names, by group; the listings of sas_log count VIS1, their reference, last."""
    found = {}
    for one in fit.covariances:
        group = f"ARMCD {one.group}" if one.group else None
        order = np.argsort(one.visits)
        matrix = one.matrix[np.ix_(order, order)]
        if "sas_log" in listing["source"]:
            matrix = np.roll(matrix, (-1, -1), axis=(0, 1))
        sd = matrix.diagonal() ** 0.5
        correlation = matrix / sd[:, None] / sd
        for a in range(len(sd)):
            found[group, f"Var({a + 1})"] = matrix[a, a]
            found[group, f"TOEPH({a})"] = correlation[a, 0]
            found[group, f"Rho({a})"] = correlation[a, a - 1]
            found |= {(group, f"UN({a + 1},{b + 1})"): matrix[a, b] for b in range(a + 1)}
        found |= {(group, name): correlation[1, 0] for name in ("ARH(1)", "CSH", "AR(1)")}
        found[group, "CS"] = matrix[1, 0]
        found[group, "Variance"] = found[group, "Residual"] = matrix[0, 0]
        if fit.choices.covariance == "cs":
            found[group, "Residual"] = found[group, "Variance"] = matrix[0, 0] - matrix[1, 0]
        if correlation[1, 0] > 0:
            found[group, "SP(EXP)"] = -1 / float(np.log(correlation[1, 0]))
    return found


def test_sas_listings_are_reproduced() -> None:
    """Each listing in turn, every number. SAS stops when the criterion is below 1e-8, up to 2e-5 above the minimum of -2 log L."""
    told = [one for one in listings() if not any(name in one["source"] for name in NOT_OURS)]
    assert len(told) == 35 or not SHARED.exists(), "the shared data are here, the SAS listings are not"
    for listing in told:
        fit = sas_fit(listing)
        assert -2e-5 < fit.m2loglik - listing["m2ll"] < 1e-6, listing["source"]
        assert fit.n_obs == listing["n_used"]
        # where the program stopped d above the minimum of -2 log L, no parameter is farther off than sqrt(d) standard errors
        reach = max(listing["m2ll"] - fit.m2loglik, 0.0) ** 0.5 + 1e-3
        ours = sas_variances(fit, listing)
        for one in listing["cov"]:
            mine = ours[one["group"], one["parm"]]
            se = (float(one["upper"]) - one["lower"]) / 3.92
            assert mine == pytest.approx(one["estimate"], rel=1e-4, abs=reach * se), (listing["source"], one)
        coefficients = dict(fit.coefficients())
        for one in listing["fixed"]:
            estimate = coefficients[sas_term(one)]
            assert estimate is not None
            assert estimate.estimate == pytest.approx(one["estimate"], rel=1e-4, abs=1e-3 * one["se"])
            assert estimate.se == pytest.approx(one["se"], rel=1e-3)
            if "weighted" not in listing["source"]:  # printed without decimals; see the next test
                assert estimate.df == pytest.approx(one["df"], abs=0.51), (listing["source"], one)
        tests = {frozenset(term.split(":")): test for term, test in joint_tests(fit)}
        for one in listing["type3"]:
            test = tests[frozenset(one["effect"].split("*"))]
            assert test is not None
            assert test.num_df == one["num_df"]
            assert test.f == pytest.approx(one["F"], rel=1e-3, abs=0.0051), (listing["source"], one)


def test_weighted_degrees_of_freedom_are_those_of_the_rows_scaled_by_hand() -> None:
    """SAS prints 519 for a race of 197 people with weights. A weight scales a row: the same rows scaled by hand, with no weight, say 187."""
    if not SHARED.exists():
        return
    table = read_table(SHARED / "fev_data.csv")
    weighted = fit_mmrm(table, "FEV1 ~ SEX", visit="AVISIT", subject="USUBJID", weights="WEIGHT")
    root = pl.col("WEIGHT").cast(pl.Float64).sqrt()
    by_hand = table.with_columns(
        (pl.col("FEV1").cast(pl.Float64, strict=False) * root).alias("y"),
        root.alias("one"),
        (root * (pl.col("SEX") == "Male")).alias("male"),
    ).drop("FEV1")
    scaled = fit_mmrm(by_hand, "y ~ 0 + one + male", visit="AVISIT", subject="USUBJID")
    for (_, mine), (_, other) in zip(weighted.coefficients(), scaled.coefficients(), strict=True):
        assert mine is not None and other is not None
        assert (mine.se, mine.df) == pytest.approx((other.se, other.df), rel=1e-6)


def sas_term(one: dict[str, Any]) -> str:
    if one["effect"] == "Intercept":
        return "(Intercept)"
    if one["effect"] == "AVISIT*ARMCD":
        return f"ARMCD{one['level'][1]}:AVISIT{one['level'][0]}"
    return one["effect"] + " ".join(one["level"])


def mixed_models() -> list[dict[str, Any]]:
    return reference("lmer")["fits"]


def compound_symmetry(told: dict[str, Any], **more: str) -> MMRM:
    """The random-intercept model of lmer, as a marginal model."""
    chosen = {"covariance": "cs", **more}
    return fit_mmrm(simulated(told["data"]), told["formula"], visit="visit", subject="usubjid", **chosen)


@pytest.mark.parametrize("told", mixed_models(), ids=label)
def test_lmertest_gives_the_same_satterthwaite_degrees(told: dict[str, Any]) -> None:
    fit = compound_symmetry(told)
    assert fit.m2loglik == pytest.approx(told["m2loglik"], abs=1e-6)
    ours = dict(fit.coefficients())
    for one in told["satterthwaite"]:
        close(ours[one["term"]], one["estimate"], one["se"], one["df"], one["p"])


@pytest.mark.parametrize("told", mixed_models(), ids=label)
def test_pbkrtest_gives_the_same_kenward_roger(told: dict[str, Any]) -> None:
    """pbkrtest uses the expected information and parameters in which the covariance is linear: so do we, asked to."""
    fit = compound_symmetry(told, df="kenward-roger-linear", information="expected")
    ours = dict(fit.coefficients())
    for one in told["kenward_roger"]:
        close(ours[one["term"]], one["estimate"], one["se"], one["df"], one["p"])


@pytest.mark.parametrize("told", mixed_models(), ids=label)
def test_observed_and_expected_information_are_near_each_other(told: dict[str, Any]) -> None:
    """R's mmrm and SAS take the observed information, our default; the facts found 402.9 beside 405.2."""
    fit = compound_symmetry(told, df="kenward-roger-linear")
    ours = dict(fit.coefficients())
    for one in told["kenward_roger"]:
        mine = ours[one["term"]]
        assert mine is not None
        assert mine.se == pytest.approx(one["se"], rel=1e-4)
        assert mine.df == pytest.approx(one["df"], rel=0.01)


@pytest.mark.parametrize("weights", ["equal", "proportional"])
@pytest.mark.parametrize("told", mixed_models(), ids=label)
def test_emmeans_gives_the_same_means(told: dict[str, Any], weights: str) -> None:
    fit = compound_symmetry(told)
    ours = {
        tuple(level for _, level in one.levels): one.estimate
        for one in ls_means(fit, "arm", by="visit", weights=weights)
    }
    for one in told["lsmeans" if weights == "equal" else "lsmeans_proportional"]:
        close(ours[one["arm"], one["visit"]], one["emmean"], one["SE"], one["df"], one["p.value"])


@pytest.mark.parametrize("told", mixed_models(), ids=label)
def test_emmeans_gives_the_same_contrasts(told: dict[str, Any]) -> None:
    fit = compound_symmetry(told)
    ours = {(one.label, one.by[0][1]): one.estimate for one in contrasts(fit, ls_means(fit, "arm", by="visit"))}
    for one in told["contrasts"]:
        close(ours[one["contrast"], one["visit"]], one["estimate"], one["SE"], one["df"], one["p.value"])


@pytest.mark.parametrize("kind", ["tests", "tests_kenward_roger"])
@pytest.mark.parametrize("told", mixed_models(), ids=label)
def test_whole_terms_are_tested_as_lmertest_does(told: dict[str, Any], kind: str) -> None:
    kenward_roger = {"df": "kenward-roger-linear", "information": "expected"}
    fit = compound_symmetry(told, **(kenward_roger if kind == "tests_kenward_roger" else {}))
    ours = dict(joint_tests(fit))
    for one in told[kind]:
        mine = ours[one["term"]]
        assert mine is not None
        assert mine.num_df == one["num_df"]
        assert mine.den_df == pytest.approx(one["den_df"], rel=1e-4)
        assert mine.f == pytest.approx(one["f"], rel=1e-4)
        assert mine.p == pytest.approx(one["p"], rel=1e-3)


@pytest.mark.parametrize("told", reference("emmeans")["fits"], ids=lambda told: told["formula"])
def test_emmeans_on_an_unstructured_gls_gives_the_same_means_and_tests(told: dict[str, Any]) -> None:
    table = simulated("sim_pat_mmrm_233x6.csv").with_columns(two=(pl.col("sev") == "g1").cast(pl.Int64) + 1)
    fit = fit_mmrm(table, told["formula"], visit="visit", subject="usubjid", df="residual")
    means = ls_means(fit, "arm", by="visit")
    ours = {(one.levels[0][1], one.levels[1][1]): one.estimate for one in means}
    for one in told["lsmeans"]:
        near(ours[one["arm"], one["visit"]], one["emmean"], one["SE"])
    overall = {one.levels[0][1]: one.estimate for one in ls_means(fit, "arm")}
    for one in told["by_arm"]:
        near(overall[one["arm"]], one["emmean"], one["SE"])
    for kind, name in (("pairwise", "pairwise"), ("trt.vs.ctrl", "trt_vs_ctrl")):
        found = {(one.label, one.by[0][1]): one.estimate for one in contrasts(fit, means, kind=kind)}
        for one in told[name]:
            near(found[one["contrast"], one["visit"]], one["estimate"], one["SE"])
    tests = {term.replace("log(base)", "base"): test for term, test in joint_tests(fit)}
    for one in told["tests"]:
        test = tests[one["term"]]
        assert test is not None
        assert test.num_df == one["num_df"]
        assert test.f == pytest.approx(one["f"], abs=6e-4)  # emmeans rounds F to three decimals


def near(mine: Estimate | None, estimate: float, se: float) -> None:
    assert mine is not None
    assert mine.estimate == pytest.approx(estimate, rel=1e-4, abs=1e-4 * se)
    assert mine.se == pytest.approx(se, rel=1e-4)


def close(mine: Estimate | None, estimate: float, se: float, df: float, p: float) -> None:
    assert mine is not None
    assert mine.estimate == pytest.approx(estimate, rel=1e-4, abs=1e-5 * se)
    assert mine.se == pytest.approx(se, rel=1e-4)
    assert mine.df == pytest.approx(df, rel=1e-4)
    assert mine.p == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize(("type_", "vcov"), [("CR0", "empirical"), ("CR3", "empirical-jackknife")])
def test_clubsandwich_gives_the_same_sandwich(type_: str, vcov: str) -> None:
    """CR2 is left out: clubSandwich takes its square root in other coordinates, mmrm and we in whitened ones."""
    told = reference("sandwich")
    fit = fit_mmrm(simulated(told["data"]), told["formula"], visit="visit", subject="usubjid", vcov=vcov)
    ours = dict(fit.coefficients())
    for one in told["se"][type_]:
        mine = ours[one["term"]]
        assert mine is not None
        assert mine.se == pytest.approx(one["se"], rel=1e-4)


PUBLISHED = reference("published")["fits"]


def test_numbers_printed_for_the_test_sets_of_mmrm_are_reproduced() -> None:
    """R mmrm's and SAS's numbers for fev_data and a real trial, where those data lie beside the checkout."""
    assert PUBLISHED
    for told in PUBLISHED if SHARED.exists() else []:
        fit = fit_mmrm(read_table(SHARED / told["data"]), told["formula"], **told["options"])
        if "m2loglik" in told:
            assert fit.m2loglik == pytest.approx(told["m2loglik"], abs=1e-4), told["source"]
        ours = dict(fit.coefficients())
        for one in told.get("coefficients", []):
            mine = ours[one["term"]]
            assert mine is not None
            for name in set(one) - {"term"}:
                # as printed, and as far as the other programs go towards the optimum before they stop
                allowed = {"estimate": 2e-4 * mine.se, "se": 2e-4 * mine.se, "df": 5e-4 * mine.df}[name]
                assert getattr(mine, name) == pytest.approx(one[name], abs=allowed), (told["source"], one)
        for variance, (_, mine) in zip(told.get("variances", []), fit.coefficients(), strict=False):
            assert mine is not None
            assert mine.se**2 == pytest.approx(variance, rel=1e-4), told["source"]


def rs_own() -> list[dict[str, Any]]:
    return reference("mmrm")["fits"]


@pytest.mark.parametrize("data", sorted({one["data"] for one in rs_own()}))
def test_rs_mmrm_gives_the_same_for_every_covariance_and_df(data: str) -> None:
    """Weights, groups, drop-out, levels with capitals: see tests/reference/mmrm/mmrm.R. The bars are those of the issue."""
    table = read_table(REFERENCE / "sets" / data)
    for told in (one for one in rs_own() if one["data"] == data):
        spatial = told["covariance"] == "sp_exp"
        linear = told["vcov"] == "kenward-roger-linear"
        fit = fit_mmrm(
            table,
            told["formula"],
            visit="time" if spatial else "visit",
            subject="id",
            covariance=told["covariance"],
            method=told["method"],
            df=told["vcov"] if linear else told["df"],
            vcov=told["vcov"],
            weights=told.get("weights"),
            group=told.get("group"),
        )
        assert fit.n_subjects == told["n_subjects"]
        assert fit.m2loglik == pytest.approx(told["m2loglik"], rel=1e-7), told
        ours = dict(fit.coefficients())
        for one in told["coefficients"]:
            within_the_bars(ours[one["term"]], one["estimate"], one["se"], one["df"])
        if "contrasts" in told and not spatial:
            means = contrasts(fit, ls_means(fit, "arm", by="visit"))
            found = {(one.label, one.by[0][1]): one.estimate for one in means}
            for one in told["contrasts"]:
                within_the_bars(
                    found[one["contrast"].replace("(", "").replace(")", ""), str(one["visit"])],
                    one["estimate"],
                    one["SE"],
                    one["df"],
                )


def test_of_two_maxima_the_higher_is_given_and_the_other_told() -> None:
    """R's mmrm finds the one or the other, by where it starts."""
    told = reference("maxima")
    best = min(told["maxima"], key=lambda one: one["m2loglik"])
    other = max(told["maxima"], key=lambda one: one["m2loglik"])
    table = read_table(REFERENCE / "sets" / told["data"])
    fit = fit_mmrm(table, told["formula"], visit="visit", subject="id", covariance=told["covariance"])
    assert fit.m2loglik == pytest.approx(best["m2loglik"], rel=1e-7)
    ours = dict(fit.coefficients())
    for term, *numbers in zip(told["terms"], best["estimate"], best["se"], best["df"], strict=True):
        within_the_bars(ours[term], *numbers)
    assert any(f"higher by {other['m2loglik'] - best['m2loglik']:.3g}." in note for note in fit.notes)


@pytest.mark.parametrize("covariance", ["us", "toep", "toeph", "ar1", "ar1h", "cs", "csh", "ad", "adh", "sp_exp"])
def test_a_correlation_from_one_pair_is_refused(covariance: str) -> None:
    """One person was seen twice, and a correlation of one suits two numbers best: R's mmrm gives 0.005 to 0.16 as a
    standard error here, on 0.00 degrees of freedom, by where its search happens to stop."""
    table = read_table(REFERENCE / "sets" / "one_pair.csv")
    visit = "time" if covariance == "sp_exp" else "visit"
    with pytest.raises(Refused, match="singular"):
        fit_mmrm(table, "y ~ arm * visit", visit=visit, subject="id", covariance=covariance)


def within_the_bars(mine: Estimate | None, estimate: float, se: float, df: float) -> None:
    assert mine is not None
    assert mine.estimate == pytest.approx(estimate, rel=1e-4, abs=1e-5 * se)
    assert mine.se == pytest.approx(se, rel=1e-3)
    assert mine.df == pytest.approx(df, rel=1e-2)
