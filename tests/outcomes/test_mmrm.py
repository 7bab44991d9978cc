"""MMRM against a slow, obvious version of itself, and the properties it must have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.outcomes import likelihood
from keel.outcomes.columns import read_table
from keel.outcomes.covariance import COVARIANCES, Array, Structure, cholesky_curvature, to_elements
from keel.outcomes.formula import parse_formula
from keel.outcomes.likelihood import Likelihood, Moments, Patterns, Rows
from keel.outcomes.lsmeans import contrasts, joint_tests, ls_means, reduced_tests
from keel.outcomes.mmrm import MMRM, Choices, fit_mmrm, fit_repeated
from keel.outcomes.repeated import repeated_measures, with_response

DATA = Path(__file__).parents[1] / "reference" / "data"
TRIAL = read_table(DATA / "sim_pat_mmrm_24x4.csv").with_columns(
    pl.col("chg").cast(pl.Float64), week=pl.col("visit").str.slice(-2).cast(pl.Float64) ** 1.5
)
FORMULA = "chg ~ base + arm * visit"
COMMON = [name for name in COVARIANCES if name != "sp_exp"]


def fitted(table: pl.DataFrame = TRIAL, formula: str = FORMULA, **chosen: str) -> MMRM:
    visit = "week" if chosen.get("covariance") == "sp_exp" else "visit"
    return fit_mmrm(table, formula, visit=visit, subject="usubjid", **chosen)


def structure(name: str, m: int = 4) -> Structure:
    days = np.array([0.0, 1.0, 2.5, 6.0])
    distance = np.abs(np.subtract.outer(days, days))[None] if name == "sp_exp" else None
    return Structure(name, m, distance)


def parameters(shape: Structure, seed: int) -> Array:
    """Parameters near a covariance; a full Toeplitz or compound matrix is not one everywhere."""
    draw = np.random.default_rng(seed)
    correlation = 0.5 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    sd = 1 + 2 * draw.random(4)
    return shape.start(np.outer(sd, sd) * correlation) + 0.05 * draw.standard_normal(shape.n_parameters)


@pytest.mark.parametrize("name", COVARIANCES)
def test_derivatives_of_a_structure_are_those_of_its_matrix(name: str) -> None:
    shape = structure(name)
    x, step = parameters(shape, 7), 1e-6
    at = shape.shape(x)
    assert at.sigma == pytest.approx(shape.sigma(x))
    for h in range(shape.n_parameters):
        move = step * np.eye(shape.n_parameters)[h]
        slope = (shape.sigma(x + move) - shape.sigma(x - move)) / (2 * step)
        assert at.slopes[:, :, h, :] == pytest.approx(slope, abs=1e-7)
        if at.bends is not None:
            bend = (shape.shape(x + move).slopes - shape.shape(x - move).slopes) / (2 * step)
            assert at.bends[:, h].transpose(0, 2, 1, 3) == pytest.approx(bend, abs=1e-6)


def test_the_log_cholesky_curvature_is_that_of_its_map() -> None:
    """sum W_hj d2 Sigma / dtheta_h dtheta_j by differences of Sigma(theta) = (D L)(D L)'."""
    rows, columns = np.tril_indices(3, -1)

    def sigma(theta: Array) -> Array:
        unit = np.eye(3)
        unit[rows, columns] = theta[3:]
        factor = np.exp(theta[:3])[:, None] * unit
        return factor @ factor.T

    theta, step = np.array([0.2, -0.1, 0.3, 0.5, -0.4, 0.8]), 1e-4
    eye = step * np.eye(6)
    jacobian = np.array([(to_elements(sigma(theta + h)) - to_elements(sigma(theta - h))) / (2 * step) for h in eye])
    half = np.random.default_rng(3).standard_normal((6, 6))
    w = half @ half.T
    wanted = np.zeros((3, 3))
    for h in range(6):
        for j in range(6):
            four = sigma(theta + eye[h] + eye[j]) - sigma(theta + eye[h] - eye[j])
            four = four - sigma(theta - eye[h] + eye[j]) + sigma(theta - eye[h] - eye[j])
            wanted += w[h, j] * four / (4 * step**2)
    assert cholesky_curvature(sigma(theta), jacobian.T @ w @ jacobian) == pytest.approx(wanted, abs=1e-4)


def blocks(seed: int, n: int = 30, visits: int = 4, q: int = 4) -> tuple[Array, Patterns]:
    draw = np.random.default_rng(seed)
    seen = draw.random((n, visits)) < 0.75
    seen[:, 0] = True
    z = draw.standard_normal((n, visits, q)) * seen[:, :, None]
    key = seen @ (2 ** np.arange(visits))
    _, first, of, size = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    patterns = Patterns(seen[first], np.zeros(len(first), dtype=np.int64), size.astype(float), of.reshape(-1))
    return z, patterns


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_moments_and_rows_give_the_same_sums(seed: int) -> None:
    z, patterns = blocks(seed)
    moments, rows = Moments(z, patterns), Rows(z, patterns)
    draw = np.random.default_rng(seed + 1)
    both = patterns.present[:, :, None] & patterns.present[:, None, :]
    a = draw.standard_normal((len(patterns.size), 4, 3, 4))
    a = (a + a.transpose(0, 3, 2, 1)) * both[:, :, None, :]
    c = draw.standard_normal((4, 4))
    assert moments.quadratic(a) == pytest.approx(rows.quadratic(a), abs=1e-9)
    assert moments.spread(c + c.T) == pytest.approx(rows.spread(c + c.T), abs=1e-9)


def dense_m2loglik(z: Array, patterns: Patterns, sigma: Array, *, reml: bool) -> float:
    """-2 log L without constants by one big matrix: the referee."""
    x, y, omega = [], [], []
    for one, k in zip(z, patterns.of, strict=True):
        seen = patterns.present[k]
        x.append(one[seen, :-1])
        y.append(one[seen, -1])
        omega.append(sigma[np.ix_(seen, seen)])
    big = np.zeros((sum(map(len, y)),) * 2)
    at = 0
    for block in omega:
        big[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    design, response, inverse = np.vstack(x), np.concatenate(y), np.linalg.inv(big)
    information = design.T @ inverse @ design
    residual = response - design @ np.linalg.solve(information, design.T @ inverse @ response)
    value = float(np.linalg.slogdet(big)[1] + residual @ inverse @ residual)
    return value + (float(np.linalg.slogdet(information)[1]) if reml else 0.0)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", COMMON)
def test_likelihood_gradient_and_hessian_are_those_of_the_referee(name: str, reml: bool) -> None:
    z, patterns = blocks(11)
    shape = structure(name)
    model = Likelihood(z, patterns, (shape,), reml=reml)
    x = parameters(shape, 5)

    def gradient(x: Array) -> Array:
        point = model.point(x)
        assert point is not None
        return model.slopes(point).gradient

    point = model.point(x)
    assert point is not None
    assert point.value == pytest.approx(dense_m2loglik(z, patterns, shape.sigma(x)[0], reml=reml), abs=1e-8)
    slopes, step = model.slopes(point), 1e-5
    for h, move in enumerate(step * np.eye(len(x))):
        up, down = (dense_m2loglik(z, patterns, shape.sigma(x + s * move)[0], reml=reml) for s in (1, -1))
        assert slopes.gradient[h] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-4)
        wanted = (gradient(x + move) - gradient(x - move)) / (2 * step)
        assert slopes.hessian[h] == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def test_spatial_exponential_on_evenly_spaced_visits_is_autoregressive() -> None:
    even = TRIAL.with_columns(week=pl.col("visit").str.slice(-2).cast(pl.Float64))
    spatial = fit_mmrm(even, FORMULA, visit="week", subject="usubjid", covariance="sp_exp")
    serial = fitted(covariance="ar1")
    assert spatial.m2loglik == pytest.approx(serial.m2loglik, abs=1e-7)
    for (_, one), (_, other) in zip(spatial.coefficients(), serial.coefficients(), strict=True):
        assert one is not None and other is not None
        assert (one.estimate, one.se, one.df) == pytest.approx((other.estimate, other.se, other.df), rel=1e-5)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_days_of_their_own_for_everybody_are_fitted(df: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every participant has a pattern: by moments, and by the rows as a large trial would, with the same answer."""
    draw = np.random.default_rng(1)
    uneven = TRIAL.with_columns(week=pl.col("week") + pl.Series(0.2 * draw.random(TRIAL.height)))
    by_moments = fitted(uneven, covariance="sp_exp", df=df)
    monkeypatch.setattr(likelihood, "MOST_MOMENTS", 0)
    by_rows = fitted(uneven, covariance="sp_exp", df=df)
    assert by_rows.m2loglik == pytest.approx(by_moments.m2loglik, abs=1e-9)
    assert by_rows.vcov == pytest.approx(by_moments.vcov, rel=1e-8)


def test_a_spatial_correlation_at_its_edge_is_told() -> None:
    """Neighbouring visits that go against each other: rho can only fall to zero, whatever the unit of time."""
    draw = np.random.default_rng(2)
    sway = np.repeat(draw.standard_normal(24), 4) * np.tile([-3.0, 3.0, -3.0, 3.0], 24)
    table = TRIAL.with_columns(chg=pl.Series(sway + draw.standard_normal(96)), week=pl.col("week") / 52)
    fit = fitted(table, covariance="sp_exp")
    assert any("edge" in note for note in fit.notes)
    assert not any("edge" in note for note in fitted(covariance="sp_exp").notes)


def test_another_response_on_the_same_design_is_another_table() -> None:
    complete = TRIAL.with_columns(chg=pl.col("base").cast(pl.Float64) + pl.int_range(pl.len()).cast(pl.Float64))
    draw = np.random.default_rng(8)
    y = draw.standard_normal(TRIAL.height) + np.repeat(draw.standard_normal(24), 4)
    y[draw.random(TRIAL.height) < 0.1] = np.nan
    y[:4] = np.nan  # one participant without any row
    asked = {"visit": "visit", "subject": "usubjid", "group": "arm"}
    data = with_response(repeated_measures(complete, parse_formula(FORMULA), **asked), y)
    short = fit_repeated(data, Choices(covariance="ar1h"))
    whole = fit_mmrm(complete.with_columns(chg=pl.Series(y)), FORMULA, covariance="ar1h", **asked)
    assert short.n_subjects == whole.n_subjects == 23
    assert short.m2loglik == pytest.approx(whole.m2loglik, abs=1e-8)
    assert short.vcov == pytest.approx(whole.vcov, rel=1e-6)
    with pytest.raises(Refused, match="no value at all"):
        with_response(data, np.full(len(data.y), np.nan))


@pytest.mark.parametrize("name", COMMON)
def test_nested_structures_are_ordered_by_their_likelihood(name: str) -> None:
    """The unstructured covariance contains all others, the heterogeneous one its homogeneous sister."""
    own = fitted(covariance=name).m2loglik
    assert fitted(covariance="us").m2loglik <= own + 1e-8
    if f"{name}h" in COVARIANCES:
        assert fitted(covariance=f"{name}h").m2loglik <= own + 1e-8


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_shuffled_rows_give_the_same_answer(df: str) -> None:
    plain, mixed = fitted(df=df), fitted(TRIAL.sample(fraction=1.0, shuffle=True, seed=4), df=df)
    assert mixed.m2loglik == pytest.approx(plain.m2loglik, abs=1e-8)
    assert mixed.vcov == pytest.approx(plain.vcov, rel=1e-6)


@pytest.mark.parametrize("vcov", ["asymptotic", "empirical", "empirical-bias-reduced", "empirical-jackknife"])
def test_another_unit_changes_nothing_but_the_unit(vcov: str) -> None:
    plain = fitted(vcov=vcov)
    scaled = fitted(TRIAL.with_columns(pl.col("chg") * 1e6 + 3e7, pl.col("base").cast(pl.Float64) / 1e5), vcov=vcov)
    ours, theirs = dict(plain.coefficients()), dict(scaled.coefficients())
    one, other = ours["armA1:visitV04"], theirs["armA1:visitV04"]
    assert one is not None and other is not None
    assert (other.estimate / 1e6, other.se / 1e6, other.df, other.p) == pytest.approx(
        (one.estimate, one.se, one.df, one.p), rel=1e-5
    )


def test_a_weight_of_two_is_half_the_variance() -> None:
    """With one variance for all rows, a constant weight scales Sigma and leaves the tests alone."""
    weighted = fitted(TRIAL.with_columns(w=pl.lit(2.0)), covariance="cs", weights="w")
    plain = fitted(covariance="cs")
    assert weighted.covariances[0].matrix == pytest.approx(2 * plain.covariances[0].matrix, rel=1e-6)
    assert weighted.vcov == pytest.approx(plain.vcov, rel=1e-6)
    assert weighted.m2loglik == pytest.approx(plain.m2loglik, abs=1e-7)


def test_groups_that_share_nothing_are_fitted_as_if_alone() -> None:
    """With all coefficients crossed with the group, -2 log L of ML is the sum over the groups."""
    whole = fitted(formula="chg ~ arm * (base + visit)", group="arm", method="ml")
    alone = [
        fitted(TRIAL.filter(pl.col("arm") == arm), "chg ~ base + visit", method="ml").m2loglik for arm in ("A0", "A1")
    ]
    assert whole.m2loglik == pytest.approx(sum(alone), abs=1e-6)
    assert [one.group for one in whole.covariances] == ["A0", "A1"]


def test_kenward_roger_is_exact_for_balanced_compound_symmetry() -> None:
    """Complete data, one arm against another at all visits: the textbook split-plot test on n - 2 degrees."""
    complete = TRIAL.filter(pl.col("chg").is_not_null().all().over("usubjid"))
    arms = [set(complete.filter(pl.col("arm") == arm)["usubjid"]) for arm in ("A0", "A1")]
    size = min(map(len, arms))
    kept = sorted(arms[0])[:size] + sorted(arms[1])[:size]
    balanced = complete.filter(pl.col("usubjid").is_in(kept))
    fit = fitted(balanced, "chg ~ arm + visit", covariance="cs", df="kenward-roger-linear")
    of_people = balanced.group_by("usubjid", "arm").agg(pl.col("chg").mean())
    a, b = (of_people.filter(pl.col("arm") == arm)["chg"].to_numpy() for arm in ("A0", "A1"))
    arm = dict(fit.coefficients())["armA1"]
    assert arm is not None
    assert arm.estimate == pytest.approx(b.mean() - a.mean())
    assert arm.se == pytest.approx(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / size), rel=1e-6)
    assert arm.df == pytest.approx(2 * size - 2, rel=1e-6)


def test_a_cell_without_data_has_no_mean() -> None:
    gap = TRIAL.filter(~((pl.col("arm") == "A1") & (pl.col("visit") == "V04")))
    fit = fitted(gap)
    assert dict(fit.coefficients())["armA1:visitV04"] is None
    means = {tuple(level for _, level in one.levels): one.estimate for one in ls_means(fit, "arm", by="visit")}
    assert means["A1", "V04"] is None
    assert means["A0", "V04"] is not None and means["A1", "V03"] is not None
    differences = {one.by[0][1]: one.estimate for one in contrasts(fit, ls_means(fit, "arm", by="visit"))}
    assert differences["V04"] is None and differences["V03"] is not None


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_what_a_gap_leaves_to_test_does_not_depend_on_which_level_comes_first(df: str) -> None:
    """emmeans' joint_tests: one of the two comparisons of three arms is left, whatever the arm with the gap is called."""
    third = pl.when(pl.col("usubjid").str.slice(-1).cast(pl.Int64) % 3 == 0).then(pl.lit("A2")).otherwise(pl.col("arm"))
    gap = TRIAL.with_columns(arm=third).filter(~((pl.col("arm") == "A2") & (pl.col("visit") == "V04")))
    found = []
    for first in ("A0", "A2"):
        swapped = gap.with_columns(arm=pl.col("arm").replace({"A2": first, first: "A2"}))
        fit = fitted(swapped, covariance="ar1", df=df)
        tests = joint_tests(fit)
        told = [sentence.split(" degrees")[0] for sentence in reduced_tests(fit, tests)]
        assert told == [
            f"The test of {what}" for what in ("arm has 1 of 2", "visit has 2 of 3", "arm:visit has 5 of 6")
        ]
        found.append({term: (test.num_df, test.f) for term, test in tests if test is not None})
    assert found[0].keys() == found[1].keys() == {"base", "arm", "visit", "arm:visit"}
    for term, (num_df, f) in found[0].items():
        assert found[1][term][0] == num_df
        assert found[1][term][1] == pytest.approx(f, rel=1e-6)


@pytest.mark.parametrize(
    ("formula", "num_df"),
    [
        ("chg ~ base + visit + arm:visit", {"base": 1, "visit": 3, "visit:arm": 4}),
        ("chg ~ visit + base:visit", {"visit": 3, "visit:base": 4}),
        ("chg ~ 0 + arm:visit + base", {"base": 1, "arm:visit": 7}),
        ("chg ~ sev/arm + visit", {"sev": 1, "visit": 3, "sev:arm": 2}),
        ("chg ~ sev + arm:visit + sev:arm:visit", {"sev": 1, "arm:visit": 7, "sev:arm:visit": 7}),
        ("chg ~ arm + sev:arm:visit", {"arm": 1, "arm:sev:visit": 14}),
        ("chg ~ (base + arm) * visit", {"base": 1, "arm": 1, "visit": 3, "base:visit": 3, "arm:visit": 3}),
    ],
)
def test_a_term_is_tested_with_all_that_it_adds(formula: str, num_df: dict[str, int]) -> None:
    """As in SAS's type III, car's and emmeans': the arms at every visit where `arm` itself is not in the model."""
    fit = fitted(formula=formula, covariance="ar1")
    tests = dict(joint_tests(fit))
    assert {term: test.num_df for term, test in tests.items() if test is not None} == num_df
    last = list(tests)[-1]
    own = np.array([":".join(fit.data.formula.terms[k]) == last for k in fit.data.coding.term_of_column])
    of_coefficients = fit.joint_test(np.eye(len(own))[own])
    if own.sum() == num_df[last]:  # nothing comes after it, so its own coefficients say the same
        assert of_coefficients is not None and tests[last] is not None
        assert tests[last].f == pytest.approx(of_coefficients.f, rel=1e-6)


def test_a_number_in_factor_stays_a_number_elsewhere() -> None:
    """As in R: `factor(dose) + dose:visit` has a slope per visit, not a level per visit."""
    dose = (pl.col("usubjid").str.slice(-1).cast(pl.Int64) % 3) * 5
    table = TRIAL.with_columns(dose=dose, named=pl.lit("d") + dose.cast(pl.String))
    fit = fitted(table, "chg ~ factor(dose) + dose:visit + arm", covariance="cs")
    plain = fitted(table, "chg ~ named + dose:visit + arm", covariance="cs")
    assert [name for name in fit.terms if ":" in name] == [f"dose:visitV0{k}" for k in (1, 2, 3, 4)]
    assert fit.m2loglik == pytest.approx(plain.m2loglik, abs=1e-6)
    beta = {name: one.estimate for name, one in fit.coefficients() if one is not None}
    at_v01 = [
        beta["(Intercept)"] + (beta[f"factor(dose){d}"] + d * beta["dose:visitV01"] if d else 0) for d in (0, 5, 10)
    ]
    mean = next(one for one in ls_means(fit, "arm", by="visit") if one.levels == (("arm", "A0"), ("visit", "V01")))
    assert mean.estimate is not None
    assert mean.estimate.estimate == pytest.approx(sum(at_v01) / 3)  # every level of the factor, as emmeans


def test_names_of_which_some_are_numbers_are_a_factor_where_it_is_said() -> None:
    site = (pl.col("usubjid").str.slice(-1).cast(pl.Int64) % 3).cast(pl.String).replace({"0": "none"})
    table = TRIAL.with_columns(site=site)
    with pytest.raises(Refused, match=r"write factor\(site\) in the formula"):
        fitted(table, "chg ~ site + arm")
    fit = fitted(table, "chg ~ factor(site) + arm", covariance="cs")
    assert fit.terms[1:3] == ("factor(site)2", "factor(site)none")
    assert [one.levels[0][1] for one in ls_means(fit, "site")] == ["1", "2", "none"]


def test_a_counterfactual_mean_is_the_mean_prediction() -> None:
    fit = fitted(formula="chg ~ base + sev + arm * visit")
    mean = next(one for one in ls_means(fit, "arm", by="visit", weights="counterfactual"))
    assert mean.estimate is not None
    data = repeated_measures(
        TRIAL.with_columns(arm=pl.when(pl.int_range(pl.len()) < 0).then("arm").otherwise(pl.lit("A0"))),
        parse_formula("chg ~ base + sev + visit"),
        visit="visit",
        subject="usubjid",
    )
    base, sev = np.asarray(data.columns["base"]).mean(), data.x[:, 2].mean()
    beta = dict(zip(fit.terms, fit.beta, strict=True))
    wanted = beta["(Intercept)"] + beta["base"] * base + beta["sevg1"] * sev
    assert mean.estimate.estimate == pytest.approx(wanted)
    assert mean.levels == (("arm", "A0"), ("visit", "V01"))


def test_the_search_tells_what_it_did() -> None:
    fit = fitted()
    last = fit.attempts[-1]
    assert last.arrived and last.optimiser == "newton" and last.decrement < 1e-6
    assert fit.smallest_eigenvalue > 0
