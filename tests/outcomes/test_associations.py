"""Correlation, mediation, proportions and survival against R; the reference script lies beside its output."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.outcomes import bootstrap, proportions
from keel.outcomes.columns import FloatArray
from keel.outcomes.correlate import Bootstrap, adjusted, correlate, n_behind
from keel.outcomes.mediation import mediate, sensitivity
from keel.outcomes.survival import kaplan_meier, log_rank

HERE = Path(__file__).parents[1] / "reference"
R = json.loads((HERE / "associations/reference.json").read_text())
DATA = pl.read_csv(HERE / "data/sim_pat_mediation_n80.csv")


def column(name: str) -> FloatArray:
    return DATA[name].cast(pl.Float64).to_numpy()


COVARIATES = np.column_stack([column("grid_hamd_base"), column("expectancy")])


def test_pearson_spearman_and_partial_agree_with_r() -> None:
    pearson = correlate(column("wai"), column("grid_hamd_wk4"))
    assert pearson.estimate == pytest.approx(R["pearson"]["estimate"], rel=1e-10)
    assert [pearson.p, pearson.ci_low, pearson.ci_high] == pytest.approx(
        [R["pearson"]["p"], *R["pearson"]["ci"]], rel=1e-8
    )
    spearman = correlate(column("wai"), column("grid_hamd_wk4"), method="spearman")
    assert [spearman.estimate, spearman.p] == pytest.approx([R["spearman"][k] for k in ("estimate", "p")], rel=1e-8)
    partial = correlate(column("wai"), column("grid_hamd_wk4"), given=COVARIATES)
    assert [partial.estimate, partial.p] == pytest.approx([R["partial"][k] for k in ("estimate", "p")], rel=1e-8)


def test_repeated_measures_agree_with_the_analysis_of_covariance_in_r() -> None:
    repeated = R["repeated"]
    x, y, person = np.array(repeated["x"]), np.array(repeated["y"]), [str(p) for p in repeated["person"]]
    within = correlate(x, y, method="within", person=person)
    assert [within.estimate, within.df, within.p] == pytest.approx(
        [repeated[k] for k in ("within", "df", "p")], rel=1e-8
    )
    assert correlate(x, y, method="between", person=person).estimate == pytest.approx(repeated["between"], rel=1e-10)


def test_adjusted_p_values_agree_with_r() -> None:
    assert adjusted(R["adjust"]["p"], "holm") == pytest.approx(R["adjust"]["holm"])
    assert adjusted(R["adjust"]["p"], "bh") == pytest.approx(R["adjust"]["bh"])


@pytest.mark.parametrize(
    ("r", "p", "expected"),
    [
        (-0.65, 0.002, 20),
        (-0.47, 0.036, 20),
        (-0.54, 0.014, 20),
        (0.49, 0.027, 20),
        (0.52, 0.040, 16),
        (-0.45, 0.030, 23),
    ],
)
def test_the_sample_behind_a_printed_r_and_p_of_levin_2024(r: float, p: float, expected: int) -> None:
    assert expected in n_behind(r, p)
    assert 24 not in n_behind(r, p)


def test_a_bootstrap_interval_is_its_seeds_and_near_fishers() -> None:
    x, y = column("wai"), column("grid_hamd_wk4")
    for method in ("pearson", "spearman"):
        plain = correlate(x, y, method=method)
        bca = correlate(x, y, method=method, resample=Bootstrap(2000, "bca", seed=5))
        assert bca == correlate(x, y, method=method, resample=Bootstrap(2000, "bca", seed=5))
        assert bca.ci_low == pytest.approx(plain.ci_low, abs=0.08)
        assert bca.ci_high == pytest.approx(plain.ci_high, abs=0.08)
        assert bca.seed == 5


def test_people_not_rows_are_resampled_where_measures_repeat() -> None:
    """With everybody's rows written twice the within correlation is the same, and so is its people's bootstrap."""
    repeated = R["repeated"]
    x, y, person = np.array(repeated["x"]), np.array(repeated["y"]), [str(p) for p in repeated["person"]]
    once = correlate(x, y, method="within", person=person, resample=Bootstrap(500, "percentile", 2))
    twice = correlate(
        np.tile(x, 2), np.tile(y, 2), method="within", person=person * 2, resample=Bootstrap(500, "percentile", 2)
    )
    assert [twice.ci_low, twice.ci_high] == pytest.approx([once.ci_low, once.ci_high])


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=6, max_size=30), st.floats(0.1, 9))
def test_correlation_ignores_scale_and_turns_with_sign(method: str, rows: list[tuple[int, int]], scale: float) -> None:
    x, y = np.array(rows, dtype=float).T
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        with pytest.raises(Refused, match="every value is"):
            correlate(x, y, method=method)
        return
    plain = correlate(x, y, method=method)
    assert correlate(scale * x + 3, -y, method=method).estimate == pytest.approx(-plain.estimate, abs=1e-9)
    assert plain.ci_low - 1e-12 <= plain.estimate <= plain.ci_high + 1e-12


# ---- mediation ------------------------------------------------------------------------------------------


def test_single_mediation_agrees_with_lm_sobel_and_boot() -> None:
    r = R["single"]
    args = (column("wai"), column("meq30"), column("grid_hamd_wk4"))
    delta = mediate(*args, covariates=COVARIATES, interval="delta")
    paths = {p.name: p for p in delta.paths}
    assert [paths["x → m"].estimate, paths["x → m"].se] == pytest.approx([r["a"], r["a_se"]], rel=1e-8)
    b = paths["m → y"]
    assert [b.estimate, b.se, b.p] == pytest.approx([r["b"], r["b_se"], r["b_p"]], rel=1e-8)
    assert [delta.indirect.estimate, delta.indirect.se] == pytest.approx([r["indirect"], r["sobel"]], rel=1e-7)
    assert [delta.direct.estimate, delta.total.estimate] == pytest.approx([r["direct"], r["total"]], rel=1e-8)
    for kind in ("percentile", "bca"):
        booted = mediate(*args, covariates=COVARIATES, interval=kind, draws=20_000, seed=3)
        for effect, theirs, spread in zip(
            (booted.indirect, booted.direct, booted.total), r["boot"], r["boot_sd"], strict=True
        ):
            # Two bootstraps with other draws: their ends agree to Monte Carlo error, a few hundredths of the spread.
            assert [effect.ci_low, effect.ci_high] == pytest.approx(theirs[kind], abs=0.12 * spread)
            assert effect.se == pytest.approx(spread, rel=0.03)


def test_rs_mediation_gives_the_same_effects_and_the_same_sensitivity() -> None:
    """mediate and medsens of R's mediation 4.5.1. medsens names the place on its grid nearest to 0; ours is the root itself."""
    r = json.loads((HERE / "associations/mediation.json").read_text())
    args = (column("wai"), column("meq30"), column("grid_hamd_wk4"))
    found = mediate(*args, covariates=COVARIATES, interval="percentile", draws=5_000)
    for name in ("indirect", "direct", "total", "proportion"):
        assert getattr(found, name).estimate == pytest.approx(r[name]["estimate"], rel=1e-9)
    for name in ("indirect", "direct", "total"):  # 500 draws of theirs: to three tenths of a standard error
        one = getattr(found, name)
        assert [one.ci_low, one.ci_high] == pytest.approx([r[name]["ci_low"], r[name]["ci_high"]], abs=0.3 * one.se)
    curve = sensitivity(*args, covariates=COVARIATES, rho=np.array(r["rho"]), draws=200)
    assert list(curve.indirect) == pytest.approx(r["indirect_at_rho"], abs=1e-5)
    assert abs(curve.rho_at_zero - r["rho_at_zero"]) < 0.05
    assert r["r2_residual"] == pytest.approx(r["rho_at_zero"] ** 2)
    assert curve.r2_total / curve.r2_residual == pytest.approx(r["r2_total"] / r["r2_residual"], rel=1e-6)


def test_parallel_and_serial_mediation_agree_with_lm() -> None:
    x, y, m = column("wai"), column("grid_hamd_wk4"), np.column_stack([column("meq30"), column("piq")])
    parallel = mediate(x, m, y, names=["meq", "piq"], interval="delta")
    (a1, a2), (b1, b2) = R["parallel"]["a"], R["parallel"]["b"]
    assert [e.estimate for e in parallel.specific] == pytest.approx([a1 * b1, a2 * b2], rel=1e-8)
    serial = mediate(x, m, y, names=["meq", "piq"], serial=True, interval="delta")
    s = R["serial"]
    expected = {"x → meq → y": s["a1"] * b1, "x → piq → y": s["a2"] * b2, "x → meq → piq → y": s["a1"] * s["d21"] * b2}
    assert {e.name: e.estimate for e in serial.specific} == pytest.approx(expected, rel=1e-8)
    assert serial.total.estimate == pytest.approx(s["total"], rel=1e-8)
    assert parallel.indirect.estimate == pytest.approx(serial.indirect.estimate, rel=1e-8)
    assert parallel.indirect.se == pytest.approx(serial.indirect.se, rel=0.05)


def test_the_fast_bootstrap_agrees_with_refitting_every_resample() -> None:
    """The referee: lstsq on the very rows that the seed draws, one resample at a time."""
    x, m, y = column("wai"), column("meq30"), column("grid_hamd_wk4")
    rows = np.random.default_rng(8).integers(0, 80, size=(200, 80))
    slow = []
    for chosen in rows:
        one = np.ones(80)
        a = np.linalg.lstsq(np.column_stack([one, x[chosen]]), m[chosen], rcond=None)[0][1]
        b = np.linalg.lstsq(np.column_stack([one, x[chosen], m[chosen]]), y[chosen], rcond=None)[0][2]
        slow.append(a * b)
    fast = mediate(x, m, y, interval="percentile", draws=200, seed=8).indirect
    assert [fast.ci_low, fast.ci_high] == pytest.approx(list(np.quantile(slow, [0.025, 0.975])), rel=1e-9)


def test_sensitivity_passes_through_the_estimate_and_through_zero() -> None:
    args = (column("wai"), column("meq30"), column("grid_hamd_wk4"))
    found = mediate(*args, covariates=COVARIATES, interval="delta")
    at = sensitivity(*args, covariates=COVARIATES, rho=np.array([0.0]), draws=200)
    assert at.indirect[0] == pytest.approx(found.indirect.estimate, rel=1e-9)
    there = sensitivity(*args, covariates=COVARIATES, rho=np.array([at.rho_at_zero]), draws=200)
    assert there.indirect[0] == pytest.approx(0, abs=1e-9)
    assert there.r2_total < there.r2_residual == pytest.approx(at.rho_at_zero**2)


def test_sensitivity_finds_the_truth_behind_a_hidden_cause() -> None:
    """M and Y share a cause that nobody measured, and M does nothing: at the true correlation the effect is nil."""
    rng = np.random.default_rng(11)
    n = 200_000
    x, hidden = rng.normal(size=n), rng.normal(size=n)
    m = 0.5 * x + hidden + rng.normal(size=n)
    y = 0.3 * x + hidden + rng.normal(size=n)
    assert mediate(x, m, y, interval="delta").indirect.estimate > 0.2
    assert sensitivity(x, m, y, rho=np.array([0.5]), draws=100).indirect[0] == pytest.approx(0, abs=0.01)


def test_mediation_that_cannot_be_is_refused() -> None:
    x, m, y = column("wai"), column("meq30"), column("grid_hamd_wk4")
    for arguments, says in (
        ((np.ones(80), m, y), "every value is 1"),
        ((x, 2 * x + 1, y), "'m'"),
        ((x[:4], m[:4], y[:4]), "4 complete rows"),
    ):
        with pytest.raises(Refused, match=says):
            mediate(*arguments)


# ---- proportions and survival ---------------------------------------------------------------------------


@pytest.mark.parametrize("case", R["proportions"], ids=lambda c: f"{c['x']}of{c['n']}")
def test_intervals_of_shares_agree_with_r(case: dict[str, int | list[float]]) -> None:
    for kind in ("wilson", "exact"):
        ours = proportions.share(case["x"], case["n"], interval=kind)
        assert [ours.ci_low, ours.ci_high] == pytest.approx(case[kind], abs=1e-9)


def test_the_printed_differences_of_raison_2023() -> None:
    """Sustained response 20/48 v 5/44: 30.3 (13.5-47.1) is the Wald interval; Newcombe gives 12.3-45.7."""
    wald = proportions.difference(20, 48, 5, 44, interval="wald")
    newcombe = proportions.difference(20, 48, 5, 44)
    assert [round(100 * v, 1) for v in (wald.estimate, wald.ci_low, wald.ci_high)] == [30.3, 13.5, 47.1]
    assert [round(100 * v, 1) for v in (newcombe.ci_low, newcombe.ci_high)] == [12.3, 45.7]


def test_states_of_people_keep_the_unknown_apart() -> None:
    baseline, nan = np.array([21.0, 20.0, 24.0, 0.0, 22.0]), np.nan
    value = np.array([10.5, 11.0, nan, 0.0, 7.0])
    response = proportions.responded(baseline, value)
    np.testing.assert_array_equal(response, [1, 0, nan, nan, 1])
    np.testing.assert_array_equal(proportions.remitted(value, at_most=7), [0, 0, nan, 1, 1])
    assert proportions.share_of(response) == proportions.share(2, 3, unknown=2)
    states = np.array([[1, 1], [1, 0], [nan, 0], [1, nan], [nan, nan]])
    np.testing.assert_array_equal(proportions.sustained(states), [1, 0, 0, nan, nan])
    np.testing.assert_array_equal(proportions.relapsed(np.array([1, 1, 0, 1, nan]), states), [0, 1, nan, nan, nan])
    changed = proportions.reliable_change(baseline, value, reliability=0.84, sd=5.0)
    np.testing.assert_array_equal(changed, [-1, -1, nan, 0, -1])


@pytest.mark.parametrize("mode", ["parallel", "serial"])
def test_the_delta_errors_of_two_mediators_are_lavaans(mode: str) -> None:
    theirs = json.loads((HERE / "associations/lavaan.json").read_text())[mode]
    mediators = np.column_stack([column("meq30"), column("piq")])
    found = mediate(
        column("wai"),
        mediators,
        column("grid_hamd_wk4"),
        covariates=COVARIATES,
        serial=mode == "serial",
        interval="delta",
    )
    effects = [*found.specific, found.indirect, found.direct, found.total]
    assert [e.estimate for e in effects] == pytest.approx(theirs["estimate"], rel=1e-5)
    assert [e.se for e in effects] == pytest.approx(theirs["se"], rel=1e-6)


@pytest.mark.parametrize("kind", ["log-log", "plain"])
def test_kaplan_meier_agrees_with_survfit(kind: str) -> None:
    r = R["survival"]
    curve = kaplan_meier(np.array(r["input"]["time"], float), np.array(r["input"]["event"], float), interval=kind)
    theirs = r[kind.replace("-", "_")]
    named = {"time": "time", "at_risk": "at_risk", "events": "events", "survival": "survival", "se": "se"}
    for ours, key in (named | {"ci_low": "low", "ci_high": "high"}).items():
        np.testing.assert_allclose(getattr(curve, ours), theirs[key], rtol=1e-9)
    if kind == "log-log":
        found = [curve.median, curve.median_low, curve.median_high]
        assert found == [r["median"], r["median_low"], r["median_high"]]


@pytest.mark.parametrize(
    ("time", "event", "median"),
    [
        # survival 3.5-3, quantile(survfit(Surv(time, event) ~ 1), .5): the middle of the step at one half, also where a
        # product of fractions misses the half by rounding, and where nothing but leaving follows.
        (range(1, 101), [1] * 100, 50.5),
        (range(1, 31), [1] * 30, 15.5),
        ([1, 2], [1, 0], 1.5),
        ([1, 2, 3], [0, 1, 0], 2.5),
        ([1, 2, 3, 4], [0, 1, 1, 0], 3),
        ([1, 2, 3, 4], [1, 0, 0, 0], None),
    ],
)
def test_the_median_is_the_middle_of_a_step_at_one_half(time: range, event: list[int], median: float | None) -> None:
    assert kaplan_meier(np.array(time, float), np.array(event, float)).median == median


def test_a_resample_that_is_the_sample_in_another_order_counts_as_a_tie() -> None:
    draws = np.random.default_rng(1).normal(size=2000)
    left_out = np.linspace(-1, 1.5, 6)
    draws[:200] = 0.3
    exact = bootstrap.interval(draws, 0.3, kind="bca", left_out=left_out)
    draws[:200] += np.tile([1e-16, -1e-16, 2e-16, 1e-16], 50)
    assert bootstrap.interval(draws, 0.3, kind="bca", left_out=left_out) == pytest.approx(exact, abs=1e-12)


def test_the_log_rank_test_agrees_with_survdiff() -> None:
    r = R["survival"]
    test = log_rank(np.array(r["input"]["time"], float), np.array(r["input"]["event"], float), r["input"]["arm"])
    assert [test.statistic, test.p] == pytest.approx([r["logrank"], r["logrank_p"]], rel=1e-9)


def test_impossible_times_are_refused() -> None:
    with pytest.raises(Refused, match="row 2"):
        kaplan_meier(np.array([1.0, -1.0]), np.array([1.0, 1.0]))
    with pytest.raises(Refused, match="nobody"):
        kaplan_meier(np.array([]), np.array([]))
    with pytest.raises(Refused, match="not a share"):
        proportions.share(3, 2)
