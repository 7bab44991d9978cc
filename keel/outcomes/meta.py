"""Meta-analysis: fixed and random effects, what disagrees between studies, and what may be missing.

Model, for studies i = 1…k with effect y_i and sampling variance v_i:
    y_i = x_i'β + u_i + e_i,   u_i ~ N(0, τ²),   e_i ~ N(0, v_i);   w_i = 1/(v_i + τ²)
    β̂ = (X'WX)⁻¹X'Wy;  without moderators X is a column of ones and β̂ is the pooled effect.
τ² by `method`:
    REML  maximum of −½[Σ log(v_i+τ²) + log|X'WX| + Σ w_i r_i²]      ML  without the middle term
    PM    root of Σ w_i r_i² = k − p (Paule–Mandel; EB, empirical Bayes, has the same root)
    DL    (Q − (k−p)) / (tr W₀ − tr((X'W₀X)⁻¹X'W₀²X)), W₀ = diag(1/v)          HE  the same with W₀ = I
    HS    (Q − k)/Σ(1/v_i)     SJ  one Sidik–Jonkman step from τ₀² = Σ(y−ȳ)²/k     FE  τ² = 0
Negative solutions are 0. REML and ML are found by scanning the score for every root, so that the highest
maximum is taken and not the nearest one.
`test`: "z" normal; "t" Student with k−p; "knha" Knapp–Hartung, var(β̂) times s² = Σ w_i r_i²/(k−p), Student k−p.
Heterogeneity: Q = Σ r_i²/v_i about the fixed-effect fit; I² = 100 τ²/(τ² + s̄²) and H² = 1 + τ²/s̄² with the typical
variance s̄² = (k−p)/tr(P₀) (for FE: 100 (Q−(k−p))/Q and Q/(k−p)); τ² interval by the Q profile, those of I² and H² from it.
Prediction interval: β̂ ± c √(se² + τ²), with the se and the quantile c of the chosen test (as metafor does; "classic"
takes the z-test's se with Student k−1, as R's meta does). A fixed-effect model has none.

Sources: Viechtbauer 2005 (doi:10.3102/10769986030003261), 2007 (doi:10.1002/sim.2514); Knapp and Hartung 2003
(doi:10.1002/sim.1482); Higgins and Thompson 2002 (doi:10.1002/sim.1186); Riley 2011 (doi:10.1136/bmj.d549);
Egger 1997 (doi:10.1136/bmj.315.7109.629); Duval and Tweedie 2000 (doi:10.1111/j.0006-341X.2000.00455.x).
Compared with metafor 3.8-1: tests/reference/meta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict, Unpack

import numpy as np
from scipy import optimize, stats

from keel.domain.errors import refuse
from keel.outcomes.columns import BoolArray, FloatArray, alphabetical, check_full_rank

METHODS = ("REML", "ML", "PM", "EB", "DL", "HE", "SJ", "HS", "FE")
TESTS = ("z", "t", "knha")
MOST_STEPS = 2000


@dataclass(frozen=True)
class Coefficient:
    """One term of the model with its test and interval; `df` is infinite for the normal test."""

    term: str
    estimate: float
    se: float
    df: float
    statistic: float
    p: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Pooled:
    """A fitted meta-analysis. `i2` in percent; `moderator_*` and `r2` only where there are moderators."""

    method: str
    test: str
    level: float
    k: int
    coefficients: tuple[Coefficient, ...]
    tau2: float
    i2: float
    h2: float
    q: float
    q_df: int
    q_p: float
    prediction_low: float | None
    prediction_high: float | None
    loglik: float
    moderator_statistic: float | None = None
    moderator_p: float | None = None
    r2: float | None = None

    @property
    def estimate(self) -> float:
        return self.coefficients[0].estimate

    @property
    def se(self) -> float:
        return self.coefficients[0].se

    @property
    def p(self) -> float:
        return self.coefficients[0].p

    @property
    def ci_low(self) -> float:
        return self.coefficients[0].ci_low

    @property
    def ci_high(self) -> float:
        return self.coefficients[0].ci_high

    @property
    def statistic(self) -> float:
        return self.coefficients[0].statistic


@dataclass(frozen=True)
class _Fit:
    """Weighted least squares at one τ²: β, its unscaled covariance, residuals and weighted residual sum."""

    beta: FloatArray
    vb: FloatArray
    rss: float
    weights: FloatArray
    residuals: FloatArray


def pool(
    effect: FloatArray,
    variance: FloatArray,
    *,
    method: str = "REML",
    test: str = "z",
    level: float = 0.95,
    moderators: FloatArray | None = None,
    labels: Sequence[str] = (),
    prediction: str = "metafor",
) -> Pooled:
    """Pool `effect` (k) with sampling `variance` (k); `moderators` (k × q, no intercept) make it meta-regression.

    Refuses fewer than two studies, a variance that is not positive, missing or infinite values, a design that
    repeats itself, and the Knapp–Hartung test where all studies agree exactly (its standard error would be 0).
    """
    method = {"EE": "FE", "CE": "FE"}.get(method.upper(), method.upper())
    effects, variances, x, names = _checked(effect, variance, method, test, moderators, labels)
    k, p = x.shape
    unit = in_units(effects, variances)
    y, v = unit.y, unit.v
    scaled_tau2 = tau_squared(y, v, x, method)
    tau2 = scaled_tau2 * unit.size**2
    fit = _weighted(y, v + scaled_tau2, x)
    _check_spread(fit, test, effects / unit.size)
    scale = fit.rss / (k - p) if test == "knha" else 1.0
    df = float("inf") if test == "z" else float(k - p)
    critical = critical_value(level, df)
    beta = unit.size * fit.beta + unit.mean * (np.arange(p) == 0)
    coefficients = tuple(
        coefficient(name, float(b), float(np.sqrt(scale * var)) * unit.size, df, critical)
        for name, b, var in zip(names, beta, np.diag(fit.vb), strict=True)
    )
    q = _weighted(y, v, x).rss
    i2, h2 = _inconsistency(q, k - p, scaled_tau2, v, x, method)
    z_se = float(np.sqrt(fit.vb[0, 0])) * unit.size
    low, high = _prediction(coefficients[0], tau2, critical, method, p, prediction, z_se, level, k)
    pooled = Pooled(
        method,
        test,
        level,
        k,
        coefficients,
        tau2,
        i2,
        h2,
        q,
        k - p,
        float(stats.chi2.sf(q, k - p)),
        low,
        high,
        _loglik(scaled_tau2, y, v, x, restricted=method != "ML")
        - (k if method == "ML" else k - p) * float(np.log(unit.size)),
    )
    return _with_moderators(pooled, fit, scale, unit) if p > 1 else pooled


def _checked(
    effect: FloatArray,
    variance: FloatArray,
    method: str,
    test: str,
    moderators: FloatArray | None,
    labels: Sequence[str],
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[str, ...]]:
    for chosen, known, what in ((method, METHODS, "method"), (test, TESTS, "test")):
        if chosen not in known:
            raise refuse(f"There is no {what} {chosen!r}", "it is not known here", f"Known: {', '.join(known)}")
    return check_studies(effect, variance, moderators, labels)


def check_studies(
    effect: FloatArray, variance: FloatArray, moderators: FloatArray | None, labels: Sequence[str]
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[str, ...]]:
    """Effects, variances, design (intercept first) and a name per column; refuses what cannot be pooled."""
    y, v = np.asarray(effect, dtype=np.float64), np.asarray(variance, dtype=np.float64)
    for name, column in (("effect", y), ("variance", v)):
        wrong = np.flatnonzero(~np.isfinite(column))
        if wrong.size:
            raise refuse(
                f"The {name} of study {wrong[0] + 1} was not used",
                f"it is {column[wrong[0]]:g}",
                "Leave that study out, or give its number",
                where=f"{name}, study {wrong[0] + 1}",
            )
    bad = np.flatnonzero(v <= 0)
    if bad.size:
        raise refuse(
            f"The variance of study {bad[0] + 1} is {v[bad[0]]:g}",
            "a sampling variance is greater than zero",
            "Give the squared standard error of that study",
            where=f"variance, study {bad[0] + 1}",
            code="impossible-value",
        )
    small = int(np.argmin(v)) if len(v) else 0
    if len(v) and v[small] < 1e-15 * float(np.median(v)):
        raise refuse(
            f"The variance of study {small + 1} was not used",
            f"it is {v[small]:g}, so small beside {np.median(v):g} of the others that none of them would count",
            "Mend that value, or leave that study out",
            where=f"variance, study {small + 1}",
            code="drowned",
        )
    x = np.ones((len(y), 1)) if moderators is None else np.column_stack([np.ones(len(y)), moderators])
    names = ("intercept", *labels) if labels else ("intercept", *(f"x{i}" for i in range(1, x.shape[1])))
    if len(y) <= x.shape[1]:
        raise refuse(
            "The studies were not pooled",
            f"there {'is' if len(y) == 1 else 'are'} {len(y)}, and {x.shape[1] + 1} are the least for this model",
            "Give more studies, or fewer moderators",
            where="studies",
            code="too-few",
        )
    check_full_rank(x, names)
    return y, v, x, names


@dataclass(frozen=True)
class Unit:
    """Effects about their mean and in units of their typical standard error: y = (effect − mean)/size, v = variance/size².
    Neither a unit of measurement nor a distance from zero then costs digits, or changes where a search stops."""

    y: FloatArray
    v: FloatArray
    size: float
    mean: float


def in_units(effect: FloatArray, variance: FloatArray) -> Unit:
    """The effects and variances as the searches below see them."""
    size, mean = float(np.sqrt(np.median(variance))), float(effect.mean())
    return Unit((effect - mean) / size, variance / size**2, size, mean)


def _left_over(y: FloatArray, x: FloatArray) -> FloatArray:
    """What least squares on x leaves of y: the quadratic forms below are the same in it, and lose nothing to what x explains."""
    q = np.linalg.qr(x)[0]
    rest = y - q @ (q.T @ y)
    return np.asarray(rest - q @ (q.T @ rest))


def _check_spread(fit: _Fit, test: str, y: FloatArray) -> None:
    """`y` as given: what is left of it after rounding is no spread."""
    if test == "knha" and _is_rounding(fit, y):
        raise refuse(
            "The Knapp-Hartung test was not made",
            "all studies agree exactly with the model, so its standard error would be zero",
            "Use the test z",
            where="effect",
            code="constant",
        )


def _is_rounding(fit: _Fit, y: FloatArray) -> bool:
    return fit.rss <= 1e-26 * float(fit.weights @ y**2)


def critical_value(level: float, df: float) -> float:
    """How many standard errors an interval reaches to each side: Student's, or normal where `df` is infinite."""
    half = (1 + level) / 2
    return float(stats.norm.ppf(half) if np.isinf(df) else stats.t.ppf(half, df))


def coefficient(term: str, estimate: float, se: float, df: float, critical: float) -> Coefficient:
    """An estimate with its test and its interval of `critical` standard errors to each side."""
    statistic = estimate / se
    p = 2 * (stats.norm.sf(abs(statistic)) if np.isinf(df) else stats.t.sf(abs(statistic), df))
    return Coefficient(term, estimate, se, df, statistic, float(p), estimate - critical * se, estimate + critical * se)


def _weighted(y: FloatArray, total: FloatArray, x: FloatArray) -> _Fit:
    root = 1 / np.sqrt(total)
    q, r = np.linalg.qr(root[:, None] * x)
    back = np.linalg.inv(r)
    beta = back @ (q.T @ (root * y))
    residuals = y - x @ beta
    return _Fit(beta, back @ back.T, float(np.sum((root * residuals) ** 2)), root**2, residuals)


def _projection(total: FloatArray, x: FloatArray) -> FloatArray:
    root = 1 / np.sqrt(total)
    q = np.linalg.qr(root[:, None] * x)[0]
    return np.asarray((np.eye(len(total)) - q @ q.T) * np.outer(root, root))


# ---- τ² ------------------------------------------------------------------------------------------------


def tau_squared(y: FloatArray, v: FloatArray, x: FloatArray, method: str) -> float:
    """The between-study variance by `method`; never below 0."""
    k, p = x.shape
    if method == "FE":
        return 0.0
    if method in ("REML", "ML"):
        return _maximum(_left_over(y, x), v, x, restricted=method == "REML")
    if method in ("PM", "EB"):
        return _q_root(y, v, x, float(k - p))
    if method == "SJ":
        start = float(np.mean((y - y.mean()) ** 2))
        if start == 0:
            return 0.0
        return float(start * _weighted(y, v + start, x).rss / (k - p))
    if method == "HS":
        return float(max(0.0, (_weighted(y, v, x).rss - k) / np.sum(1 / v)))
    weights = 1 / v if method == "DL" else np.ones(k)
    p0 = _projection(1 / weights, x)
    rest = _left_over(y, x)
    return max(0.0, float((rest @ p0 @ rest - np.sum(np.diag(p0) * v)) / np.trace(p0)))


def _maximum(y: FloatArray, v: FloatArray, x: FloatArray, *, restricted: bool) -> float:
    """Scan the derivative of the (restricted) likelihood over τ², solve at every change of sign, keep the highest."""

    def score(tau2: float) -> float:
        projection = _projection(v + tau2, x)
        pull = projection @ y
        trace = np.trace(projection) if restricted else np.sum(1 / (v + tau2))
        return float(pull @ pull - trace)

    top = max(float(np.ptp(y)) ** 2, float(v.max())) * 10
    while score(top) > 0:
        top *= 4
    grid = np.concatenate([[0.0], np.geomspace(min(float(v.min()), top) * 1e-6, top, 120)])
    scores = [score(t) for t in grid]
    found = [0.0]
    for low, high, at_low, at_high in zip(grid, grid[1:], scores, scores[1:], strict=False):
        if at_low > 0 >= at_high:
            found.append(float(optimize.brentq(score, low, high, xtol=1e-16, rtol=1e-14, maxiter=MOST_STEPS)))
    return max(found, key=lambda t: _loglik(t, y, v, x, restricted=restricted))


def _loglik(tau2: float, y: FloatArray, v: FloatArray, x: FloatArray, *, restricted: bool) -> float:
    fit = _weighted(y, v + tau2, x)
    k, p = x.shape
    value = -0.5 * (float(np.sum(np.log(v + tau2))) + fit.rss)
    if not restricted:
        return float(value - 0.5 * k * np.log(2 * np.pi))
    value += 0.5 * float(np.linalg.slogdet(fit.vb)[1]) + 0.5 * float(np.linalg.slogdet(x.T @ x)[1])
    return float(value - 0.5 * (k - p) * np.log(2 * np.pi))


def _q_root(y: FloatArray, v: FloatArray, x: FloatArray, target: float) -> float:
    """The τ² at which the generalised Q equals `target`; 0 where Q is below it already."""

    def gap(tau2: float) -> float:
        return _weighted(y, v + tau2, x).rss - target

    if gap(0.0) <= 0:
        return 0.0
    top = largest = float(np.ptp(y)) ** 2 + float(v.max())
    while gap(top) > 0:
        top *= 4
        if top > 1e12 * largest:
            raise refuse("The interval of tau2 was not found", "it has no upper end for these studies", where="tau2")
    return float(optimize.brentq(gap, 0.0, top, xtol=1e-16, rtol=1e-14, maxiter=MOST_STEPS))


def tau2_interval(
    effect: FloatArray, variance: FloatArray, *, level: float = 0.95, moderators: FloatArray | None = None
) -> tuple[float, float]:
    """Confidence interval of τ² by the Q profile (Viechtbauer 2007)."""
    effects, variances, x, _ = _checked(effect, variance, "FE", "z", moderators, ())
    unit, df = in_units(effects, variances), len(effects) - x.shape[1]
    upper, lower = stats.chi2.ppf((1 + level) / 2, df), stats.chi2.ppf((1 - level) / 2, df)
    low, high = (_q_root(unit.y, unit.v, x, float(point)) * unit.size**2 for point in (upper, lower))
    return low, high


@dataclass(frozen=True)
class Heterogeneity:
    """Intervals of τ², I² (percent) and H²."""

    tau2_low: float
    tau2_high: float
    i2_low: float
    i2_high: float
    h2_low: float
    h2_high: float


def heterogeneity_intervals(
    effect: FloatArray, variance: FloatArray, *, level: float = 0.95, moderators: FloatArray | None = None
) -> Heterogeneity:
    """The Q-profile interval of τ², and what its ends are as I² and H² with the typical variance."""
    low, high = tau2_interval(effect, variance, level=level, moderators=moderators)
    _, v, x, _ = _checked(effect, variance, "FE", "z", moderators, ())
    typical = typical_variance(v, x)
    shares = (100 * low / (low + typical), 100 * high / (high + typical))
    return Heterogeneity(low, high, *shares, 1 + low / typical, 1 + high / typical)


def typical_variance(v: FloatArray, x: FloatArray) -> float:
    """s̄² of Higgins and Thompson, in its form for any design: (k−p)/tr(P₀)."""
    return float((x.shape[0] - x.shape[1]) / np.trace(_projection(v, x)))


def _inconsistency(q: float, df: int, tau2: float, v: FloatArray, x: FloatArray, method: str) -> tuple[float, float]:
    if method == "FE":
        return (max(0.0, 100 * (q - df) / q) if q > 0 else 0.0), q / df
    typical = typical_variance(v, x)
    return 100 * tau2 / (tau2 + typical), 1 + tau2 / typical


def _prediction(
    pooled: Coefficient,
    tau2: float,
    critical: float,
    method: str,
    p: int,
    definition: str,
    z_se: float,
    level: float,
    k: int,
) -> tuple[float | None, float | None]:
    if method == "FE" or p > 1:
        return None, None
    se2 = pooled.se**2
    if definition == "classic":
        se2, critical = z_se**2, float(stats.t.ppf((1 + level) / 2, k - 1))
    half = critical * float(np.sqrt(se2 + tau2))
    return pooled.estimate - half, pooled.estimate + half


def _with_moderators(pooled: Pooled, fit: _Fit, scale: float, unit: Unit) -> Pooled:
    """Adds the joint test of all moderators and R²: the share of τ² that they explain, without τ² (FE) the adjusted R² of the
    weighted regression. There is none where nothing was to be explained."""
    m = len(fit.beta) - 1
    beta, cov = fit.beta[1:], scale * fit.vb[1:, 1:]
    wald = float(beta @ np.linalg.solve(cov, beta))
    if pooled.test == "z":
        statistic, p = wald, float(stats.chi2.sf(wald, m))
    else:
        statistic, p = wald / m, float(stats.f.sf(wald / m, m, pooled.k - m - 1))
    nothing = np.ones((pooled.k, 1))
    if pooled.method == "FE":
        alone, left = _weighted(unit.y, unit.v, nothing).rss / (pooled.k - 1), fit.rss / (pooled.k - m - 1)
    else:
        alone, left = tau_squared(unit.y, unit.v, nothing, pooled.method), pooled.tau2 / unit.size**2
    r2 = max(0.0, 100 * (alone - left) / alone) if alone > 0 else None
    return replace(pooled, moderator_statistic=statistic, moderator_p=p, r2=r2)


# ---- what the studies look like from another side --------------------------------------------------------


class Chosen(TypedDict, total=False):
    """How to pool: the options of `pool` that every other side of the same studies keeps."""

    method: str
    test: str
    level: float
    prediction: str


@dataclass(frozen=True)
class Subgroups:
    """Each subgroup pooled with a τ² of its own, and Q between the subgroup estimates."""

    groups: tuple[tuple[str, Pooled | None], ...]
    q_between: float
    q_df: int
    q_p: float


def by_subgroup(
    effect: FloatArray,
    variance: FloatArray,
    group: Sequence[str],
    **chosen: Unpack[Chosen],
) -> Subgroups:
    """Pool within each group. A group of one study is listed without a result and takes no part in the test between.

    Q between = Σ (μ̂_g − μ̂)²/se_g² about their inverse-variance mean, χ² with one less than the number of groups.
    """
    names = np.array(group)
    fitted: list[tuple[str, Pooled | None]] = []
    for name in alphabetical(set(group)):
        rows = names == name
        found = None
        if rows.sum() > 1:
            found = pool(effect[rows], variance[rows], **chosen)
        fitted.append((name, found))
    results = [result for _, result in fitted if result is not None]
    if len(results) < 2:
        raise refuse(
            "The subgroups were not compared",
            f"{len(results)} of them {'has' if len(results) == 1 else 'have'} more than one study",
            "Use a grouping with at least two groups of two studies",
            where="group",
            code="too-few",
        )
    means, weights = np.array([r.estimate for r in results]), np.array([1 / r.se**2 for r in results])
    centre = float(weights @ means / weights.sum())
    q = float(weights @ (means - centre) ** 2)
    df = len(results) - 1
    return Subgroups(tuple(fitted), q, df, float(stats.chi2.sf(q, df)))


def leave_one_out(effect: FloatArray, variance: FloatArray, **chosen: Unpack[Chosen]) -> tuple[Pooled, ...]:
    """The pooled effect without study 1, without study 2, …; needs three studies."""
    return _of_each(effect, variance, ~np.eye(len(effect), dtype=bool), chosen)


def cumulative(effect: FloatArray, variance: FloatArray, **chosen: Unpack[Chosen]) -> tuple[Pooled, ...]:
    """The pooled effect of the first two studies, the first three, … in the order given."""
    return _of_each(effect, variance, np.tri(len(effect), dtype=bool)[1:], chosen)


def _of_each(
    effect: FloatArray, variance: FloatArray, choices: Iterable[BoolArray], chosen: Chosen
) -> tuple[Pooled, ...]:
    return tuple(pool(effect[rows], variance[rows], **chosen) for rows in choices)


@dataclass(frozen=True)
class Asymmetry:
    """Egger's test: the slope of the effect on its standard error, and the effect at a standard error of 0."""

    model: str
    slope: float
    se: float
    statistic: float
    df: float
    p: float
    limit: float


def egger(
    effect: FloatArray, variance: FloatArray, *, model: str = "lm", method: str = "REML", test: str = "z"
) -> Asymmetry:
    """Funnel asymmetry. `model` "lm": the classical weighted regression with a multiplicative residual variance,
    Student k−2 (the slope on the standard error is the "intercept" of Egger's own formulation);
    "rma": mixed-effects meta-regression on the standard error.
    """
    if model not in ("lm", "rma"):
        raise refuse(f"There is no Egger model {model!r}", "it is not known", "Known: lm, rma")
    se = np.sqrt(np.asarray(variance, dtype=np.float64))
    if model == "rma":
        fit = pool(effect, variance, method=method, test=test, moderators=se[:, None], labels=["standard error"])
        slope = fit.coefficients[1]
        return Asymmetry(model, slope.estimate, slope.se, slope.statistic, slope.df, slope.p, fit.estimate)
    y, v, x, _ = _checked(effect, variance, "FE", "z", se[:, None], ["standard error"])
    wls = _weighted(y, v, x)
    df = len(y) - 2
    if _is_rounding(wls, y):
        raise refuse(
            "Egger's test was not made",
            "the effects lie exactly on a line over their standard errors, so there is no error to test against",
            "Leave --egger out",
            where="effect",
            code="constant",
        )
    error = float(np.sqrt(wls.vb[1, 1] * wls.rss / df))
    statistic = float(wls.beta[1]) / error
    p = float(2 * stats.t.sf(abs(statistic), df))
    return Asymmetry(model, float(wls.beta[1]), error, statistic, df, p, float(wls.beta[0]))


@dataclass(frozen=True)
class TrimAndFill:
    """`filled` studies were added on `side`; `pooled` is the analysis with them."""

    estimator: str
    side: str
    filled: int
    se: float
    pooled: Pooled
    effect: FloatArray
    variance: FloatArray


def trim_and_fill(
    effect: FloatArray,
    variance: FloatArray,
    *,
    estimator: str = "L0",
    **chosen: Unpack[Chosen],
) -> TrimAndFill:
    """Duval and Tweedie's estimate of the studies missing on one side, and the pooled effect with them added.

    The side is where a regression of effect on standard error says small studies are missing. `estimator`
    L0 or R0. The filled studies are pooled with the test that was asked for (metafor's trimfill goes back to z).
    A sensitivity analysis, not a correction: it assumes that asymmetry comes from suppression alone.
    """
    counts: dict[str, Callable[[FloatArray, int], float]] = {"L0": _missing_l0, "R0": _missing_r0}
    if estimator not in counts:
        raise refuse(f"There is no estimator {estimator!r}", "it is not known", "Known: L0, R0")
    method = chosen.get("method", "REML")
    root = np.sqrt(variance)
    tilt = (
        pool(effect, variance, method=method, moderators=root[:, None], labels=["standard error"])
        .coefficients[1]
        .estimate
    )
    sign = -1.0 if tilt < 0 else 1.0
    order = np.argsort(sign * effect, kind="stable")
    y, v = (sign * effect)[order], variance[order]
    missing, centre, k = 0, 0.0, len(y)
    for _ in range(100):
        before = missing
        left = k - missing
        centre = pool(y[:left], v[:left], method=method).estimate if left > 1 else float(y[0])
        distance = y - centre
        ranks = np.empty(k)
        ranks[np.argsort(np.abs(distance), kind="stable")] = np.arange(1, k + 1)
        count = counts[estimator](np.sign(distance) * ranks, k)
        # Round half to even, as the reference does; never so many that no study would remain.
        missing = min(max(0, round(count)), k - 1)
        if missing == before:
            break
    filled = 2 * centre - y[k - missing :]
    all_effects = np.concatenate([effect, sign * filled])
    all_variances = np.concatenate([variance, v[k - missing :]])
    pooled = pool(all_effects, all_variances, **chosen)
    error = _missing_se(estimator, k, count)
    side = "right" if sign < 0 else "left"
    return TrimAndFill(estimator, side, missing, error, pooled, all_effects, all_variances)


def _missing_l0(signed_ranks: FloatArray, k: int) -> float:
    return float((4 * signed_ranks[signed_ranks > 0].sum() - k * (k + 1)) / (2 * k - 1))


def _missing_r0(signed_ranks: FloatArray, k: int) -> float:
    below = signed_ranks[signed_ranks < 0]
    return float(k - (-below).max() - 1) if below.size else float(k - 1)


def _missing_se(estimator: str, k: int, count: float) -> float:
    c = count
    if estimator == "R0":
        return float(np.sqrt(2 * max(0.0, c) + 2))
    spread = k * (k + 1) * (2 * k + 1) + 10 * c**3 + 27 * c**2 + 17 * c - 18 * k * c**2 - 18 * k * c + 6 * k**2 * c
    return float(4 * np.sqrt(max(0.0, spread / 24)) / (2 * k - 1))


# ---- a Bayesian answer on a grid -------------------------------------------------------------------------


@dataclass(frozen=True)
class Posterior:
    """Posterior of the pooled effect (mean, sd, shortest interval) and the median of τ."""

    mean: float
    sd: float
    ci_low: float
    ci_high: float
    tau_median: float
    level: float


def bayesian(
    effect: FloatArray, variance: FloatArray, *, mu_sd: float = 1.0, tau_scale: float = 0.5, level: float = 0.95
) -> Posterior:
    """μ ~ N(0, mu_sd²), τ ~ half-normal(tau_scale). Given τ the posterior of μ is normal, so only τ needs a grid:
    p(τ | y) ∝ p(τ) · N(y; 0, diag(v + τ²) + mu_sd² 11'), 4,000 points up to eight scales.
    """
    y, v, _, _ = _checked(effect, variance, "FE", "z", None, ())
    tau = (np.arange(4000) + 0.5) / 4000 * 8 * tau_scale
    total = v[None, :] + tau[:, None] ** 2
    precision = (1 / total).sum(axis=1) + 1 / mu_sd**2
    centre = (y / total).sum(axis=1) / precision
    log_weight = -0.5 * (tau / tau_scale) ** 2 - 0.5 * np.log(total).sum(axis=1) - 0.5 * np.log(precision)
    log_weight += 0.5 * precision * centre**2 - 0.5 * (y**2 / total).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = float(weight @ centre)
    sd = float(np.sqrt(weight @ (1 / precision + centre**2) - mean**2))

    def below(point: float, share: float) -> float:
        return float(weight @ stats.norm.cdf((point - centre) * np.sqrt(precision))) - share

    def quantile(share: float) -> float:
        return float(optimize.brentq(below, mean - 20 * sd, mean + 20 * sd, args=(share,), xtol=1e-12))

    def width(left: float) -> float:
        return quantile(left + level) - quantile(left)

    left = float(optimize.minimize_scalar(width, bounds=(1e-6, 1 - level - 1e-6), method="bounded").x)
    low, high = quantile(left), quantile(left + level)
    return Posterior(mean, sd, low, high, float(np.interp(0.5, np.cumsum(weight), tau)), level)
