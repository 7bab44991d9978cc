"""Mediation with linear models: single, parallel and serial mediators, covariates, and hidden confounding.

    M_j = i_j + a_j X + Σ_{l<j} d_jl M_l + C γ_j + e_j        (the d terms only in a serial model)
    Y   = i_y + c' X + Σ_j b_j M_j + C γ_y + e_y
Indirect effects are products along a path: a_j b_j, and in a serial model also a_1 d_21 b_2, a_1 d_21 d_32 b_3, …
The total indirect effect is their sum, the direct effect c', the total effect c their sum (exactly, for linear models
on the same rows), the proportion mediated their ratio. All are per unit of X.

Intervals: bootstrap percentile or BCa (rows resampled; every resample is refitted from its cross products),
or "delta": the first-order delta method (Sobel), with a normal interval. The regressions are ordinary least squares.

Sensitivity (one mediator; Imai, Keele and Yamamoto 2010): if e_m and e_y correlate by ρ for an unmeasured reason,
    indirect(ρ) = a (s₁/s₂)(r − ρ √((1−r²)/(1−ρ²)))
s₁, s₂ the residual deviations of Y on X, C and of M on X, C, r the correlation of those residuals; 0 at ρ = r.

The mediator was not randomised, and an experience that people report after dosing is not blind: an indirect effect is a
statement about the model, and the sensitivity analysis belongs beside it.

Sources: Sobel 1982; Preacher and Hayes 2008 (doi:10.3758/BRM.40.3.879); Imai et al. 2010 (doi:10.1214/10-STS321).
Compared with lm and boot in R 4.2.2: tests/reference/associations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from scipy import stats

from keel.domain.errors import refuse
from keel.outcomes import bootstrap
from keel.outcomes.columns import FloatArray, check_full_rank, check_varies

INTERVALS = ("bca", "percentile", "delta")
MOST_MEDIATORS = 5


@dataclass(frozen=True)
class Effect:
    """An effect with its interval; `se` is the delta method's, or the deviation of the bootstrap draws."""

    name: str
    estimate: float
    se: float
    ci_low: float
    ci_high: float
    p: float


@dataclass(frozen=True)
class Mediation:
    """All effects of one mediation model; `paths` are the single regression coefficients with their t tests."""

    n: int
    mode: str
    interval: str
    level: float
    draws: int
    seed: int | None
    indirect: Effect
    specific: tuple[Effect, ...]
    direct: Effect
    total: Effect
    proportion: Effect
    paths: tuple[Effect, ...]


@dataclass(frozen=True)
class Sensitivity:
    """indirect(ρ) over a grid, with intervals; `rho_at_zero` is where it vanishes.

    `r2_residual` = ρ² there, the product of the shares of residual variance an unmeasured cause would have to
    explain in M and in Y; `r2_total` the same as shares of the total variances.
    """

    rho: FloatArray
    indirect: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    rho_at_zero: float
    r2_residual: float
    r2_total: float


@dataclass(frozen=True)
class _Layout:
    """Which column is which in Z = [1, X, C…, M…, Y]."""

    mediators: int
    covariates: int
    serial: bool

    @property
    def base(self) -> list[int]:
        return list(range(2 + self.covariates))

    @property
    def y(self) -> int:
        return 2 + self.covariates + self.mediators

    def m(self, j: int) -> int:
        return 2 + self.covariates + j

    def predictors_of_mediator(self, j: int) -> list[int]:
        return self.base + ([self.m(i) for i in range(j)] if self.serial else [])

    @property
    def routes(self) -> list[tuple[int, ...]]:
        longest = self.mediators if self.serial else 1
        return [r for size in range(1, longest + 1) for r in combinations(range(self.mediators), size)]


@dataclass(frozen=True)
class _Paths:
    """Coefficients for many resamples at once: a (B × k), d (B × k × k), b (B × k), direct (B)."""

    a: FloatArray
    d: FloatArray
    b: FloatArray
    direct: FloatArray

    def route(self, route: tuple[int, ...]) -> FloatArray:
        product = self.a[:, route[0]] * self.b[:, route[-1]]
        for earlier, later in pairwise(route):
            product = product * self.d[:, later, earlier]
        return np.asarray(product)


def mediate(
    x: FloatArray,
    mediators: FloatArray,
    y: FloatArray,
    *,
    covariates: FloatArray | None = None,
    names: Sequence[str] = (),
    serial: bool = False,
    interval: str = "bca",
    draws: int = 10_000,
    seed: int = 1,
    level: float = 0.95,
) -> Mediation:
    """Fit the model on complete rows: x (n), mediators (n × k, in causal order when serial), y (n), covariates (n × q).

    Refuses a constant column, columns that repeat each other, and fewer rows than the outcome model needs.
    """
    if interval not in INTERVALS:
        raise refuse(f"There is no interval {interval!r}", "it is not known", f"Known: {', '.join(INTERVALS)}")
    layout, z, labels = _layout(x, mediators, y, covariates, names, serial)
    cross = (z.T @ z)[None]
    found = _fit(cross, layout)
    routes = layout.routes
    route_names = [" → ".join(["x", *(labels[j] for j in r), "y"]) for r in routes]
    estimates = _effects(found, routes)[:, 0]
    paths = _path_table(z, layout, labels, level)
    if interval == "delta":
        effects = _delta(z, layout, estimates, level)
        used, from_seed = 0, None
    else:
        bootstrap.check_draws(interval, draws)
        effects = _bootstrapped(z, layout, estimates, interval, draws, seed, level)
        used, from_seed = draws, seed
    named = [
        Effect(name, *values)
        for name, values in zip([*route_names, "indirect", "direct", "total", "proportion"], effects, strict=True)
    ]
    indirect, direct, total, proportion = named[-4:]
    specific = tuple(named[:-4])
    mode = "single" if layout.mediators == 1 else "serial" if serial else "parallel"
    return Mediation(
        len(y), mode, interval, level, used, from_seed, indirect, specific, direct, total, proportion, paths
    )


def _layout(
    x: FloatArray,
    mediators: FloatArray,
    y: FloatArray,
    covariates: FloatArray | None,
    names: Sequence[str],
    serial: bool,
) -> tuple[_Layout, FloatArray, list[str]]:
    m = mediators[:, None] if mediators.ndim == 1 else mediators
    c = np.empty((len(y), 0)) if covariates is None else covariates
    labels = list(names) or ["m"] if m.shape[1] == 1 else list(names) or [f"m{j + 1}" for j in range(m.shape[1])]
    if not 1 <= m.shape[1] <= MOST_MEDIATORS:
        raise refuse("The mediation was not computed", f"it has {m.shape[1]} mediators", f"Give 1 to {MOST_MEDIATORS}")
    for values, name in ((x, "x"), *((m[:, j], labels[j]) for j in range(m.shape[1])), (y, "y")):
        check_varies(values, name, least=m.shape[1] + c.shape[1] + 4)
    predictors = np.column_stack([np.ones(len(y)), x, c, m])
    check_full_rank(predictors, ["constant", "x", *(f"covariate {i + 1}" for i in range(c.shape[1])), *labels])
    # Centred and scaled: cross products of raw columns would lose digits that the small systems below need.
    columns = np.column_stack([x, c, m, y])
    z = np.column_stack([np.ones(len(y)), columns - columns.mean(axis=0)])
    return _Layout(m.shape[1], c.shape[1], serial), z, labels


# ---- many small regressions at once ---------------------------------------------------------------------


def _solve(cross: FloatArray, predictors: list[int], response: int) -> FloatArray:
    """Coefficients (B × p) of `response` on `predictors` from cross products (B × q × q); NaN where singular."""
    gram = cross[:, predictors][:, :, predictors]
    scale = 1 / np.sqrt(np.maximum(np.einsum("bii->bi", gram), 1e-300))
    gram = gram * scale[:, :, None] * scale[:, None, :]
    right = cross[:, predictors, response] * scale
    lost = np.linalg.slogdet(gram)[1] < -25.0 - 2 * len(predictors)
    if lost.any():
        gram[lost] = np.eye(len(predictors))
    solved = np.linalg.solve(gram, right[:, :, None])[:, :, 0] * scale
    solved[lost] = np.nan
    return np.asarray(solved)


def _fit(cross: FloatArray, layout: _Layout) -> _Paths:
    k, count = layout.mediators, len(cross)
    a, d = np.empty((count, k)), np.zeros((count, k, k))
    for j in range(k):
        beta = _solve(cross, layout.predictors_of_mediator(j), layout.m(j))
        a[:, j] = beta[:, 1]
        if layout.serial:
            d[:, j, :j] = beta[:, len(layout.base) :]
    last = _solve(cross, [*layout.base, *(layout.m(j) for j in range(k))], layout.y)
    return _Paths(a, d, last[:, len(layout.base) :], last[:, 1])


def _effects(paths: _Paths, routes: list[tuple[int, ...]]) -> FloatArray:
    """Rows: every route, indirect, direct, total, proportion; columns: resamples."""
    specific = np.array([paths.route(route) for route in routes])
    indirect = specific.sum(axis=0)
    total = indirect + paths.direct
    with np.errstate(divide="ignore", invalid="ignore"):
        proportion = indirect / total
    return np.vstack([specific, indirect, paths.direct, total, proportion])


def _upper(z: FloatArray) -> tuple[FloatArray, tuple[np.ndarray, np.ndarray]]:
    """Each row's products z_i z_j for i ≤ j (n × q(q+1)/2), and where they belong in the matrix."""
    where = np.triu_indices(z.shape[1])
    return z[:, where[0]] * z[:, where[1]], where


def _square(packed: FloatArray, where: tuple[np.ndarray, np.ndarray], size: int) -> FloatArray:
    full = np.empty((len(packed), size, size))
    full[:, where[0], where[1]] = packed
    full[:, where[1], where[0]] = packed
    return full


def _resampled(z: FloatArray, draws: int, seed: int) -> list[FloatArray]:
    """Cross products of every resample, chunk by chunk: one matrix product of counts by row products."""
    products, where = _upper(z)
    return [
        _square(counts @ products, where, z.shape[1])
        for counts in bootstrap.resampled_counts(len(z), draws, seed, width=2)
    ]


def _left_out(z: FloatArray) -> FloatArray:
    products, where = _upper(z)
    return _square(products.sum(axis=0) - products, where, z.shape[1])


def _bootstrapped(
    z: FloatArray, layout: _Layout, estimates: FloatArray, kind: str, draws: int, seed: int, level: float
) -> list[tuple[float, float, float, float, float]]:
    drawn = np.hstack([_effects(_fit(cross, layout), layout.routes) for cross in _resampled(z, draws, seed)])
    left = _effects(_fit(_left_out(z), layout), layout.routes) if kind == "bca" else None
    results = []
    for i, estimate in enumerate(estimates):
        low, high = bootstrap.interval(
            drawn[i], float(estimate), kind=kind, level=level, left_out=None if left is None else left[i]
        )
        spread = float(np.std(drawn[i][np.isfinite(drawn[i])], ddof=1))
        results.append((float(estimate), spread, low, high, bootstrap.two_sided_p(drawn[i])))
    return results


# ---- delta method ---------------------------------------------------------------------------------------


def _delta(
    z: FloatArray, layout: _Layout, estimates: FloatArray, level: float
) -> list[tuple[float, float, float, float, float]]:
    """First-order variances. Every effect but the proportion is linear in each coefficient, so that the central
    difference below is its exact derivative; the proportion's is exact to the square of the step."""
    beta, covariance, places = _stacked(z, layout)
    step = 1e-5 * np.maximum(np.sqrt(np.diag(covariance)), 1e-12)

    def at(values: FloatArray) -> FloatArray:
        return _effects(_unstacked(values, places, layout), layout.routes)[:, 0]

    gradient = np.column_stack(
        [(at(beta + e) - at(beta - e)) / (2 * e.sum()) for e in np.diag(step)]
    )  # effects × coefficients
    se = np.sqrt(np.einsum("ei,ij,ej->e", gradient, covariance, gradient))
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    p = 2 * stats.norm.sf(np.abs(estimates / se))
    rows = zip(estimates, se, estimates - half, estimates + half, p, strict=True)
    return [
        (float(estimate), float(error), float(low), float(high), float(tail))
        for estimate, error, low, high, tail in rows
    ]


def _stacked(z: FloatArray, layout: _Layout) -> tuple[FloatArray, FloatArray, list[tuple[str, int, int]]]:
    """All path coefficients in one vector, their covariance, and what each is.

    Equations of parallel mediators share their predictors, so their coefficients covary by the covariance of the
    residuals; a serial model conditions on the earlier mediators, whose residuals are then uncorrelated.
    """
    equations = [(layout.predictors_of_mediator(j), layout.m(j)) for j in range(layout.mediators)]
    equations.append(([*layout.base, *(layout.m(j) for j in range(layout.mediators))], layout.y))
    betas, residuals, inverses = [], [], []
    for predictors, response in equations:
        x = z[:, predictors]
        inverse = np.linalg.inv(x.T @ x)
        beta = inverse @ (x.T @ z[:, response])
        _check_leftover(z[:, response], x @ beta)
        betas.append(beta)
        inverses.append(inverse)
        residuals.append(z[:, response] - x @ beta)
    sizes = [len(b) for b in betas]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    covariance = np.zeros((starts[-1], starts[-1]))
    for i in range(len(equations)):
        for j in range(len(equations)):
            joint = i != j and not layout.serial and max(i, j) < layout.mediators
            if i == j or joint:
                shared = residuals[i] @ residuals[j] / (len(z) - sizes[i])
                covariance[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] = shared * inverses[i]
    places: list[tuple[str, int, int]] = []
    for j in range(layout.mediators):
        places.append(("a", j, int(starts[j]) + 1))
        if layout.serial:
            places += [(f"d{i}", j, int(starts[j]) + len(layout.base) + i) for i in range(j)]
    places.append(("direct", 0, int(starts[-2]) + 1))
    places += [("b", j, int(starts[-2]) + len(layout.base) + j) for j in range(layout.mediators)]
    return np.concatenate(betas), covariance, places


def _check_leftover(response: FloatArray, fitted: FloatArray) -> None:
    left = response - fitted
    if float(left @ left) <= 1e-20 * float(response @ response):
        raise refuse(
            "The mediation was not computed",
            "a mediator or the outcome follows exactly from the columns before it, so there is no error to test against",
            "Leave that column out, or give more people",
            where="m, y",
            code="exact-fit",
        )


def _unstacked(beta: FloatArray, places: list[tuple[str, int, int]], layout: _Layout) -> _Paths:
    k = layout.mediators
    a, d, b, direct = np.zeros((1, k)), np.zeros((1, k, k)), np.zeros((1, k)), np.zeros(1)
    for kind, j, index in places:
        if kind == "a":
            a[0, j] = beta[index]
        elif kind == "b":
            b[0, j] = beta[index]
        elif kind == "direct":
            direct[0] = beta[index]
        else:
            d[0, j, int(kind[1:])] = beta[index]
    return _Paths(a, d, b, direct)


def _path_table(z: FloatArray, layout: _Layout, labels: Sequence[str], level: float) -> tuple[Effect, ...]:
    beta, covariance, places = _stacked(z, layout)
    outcome_df = len(z) - len(layout.base) - layout.mediators
    rows = []
    for kind, j, index in places:
        if kind in ("b", "direct"):
            name, df = (f"{labels[j]} → y" if kind == "b" else "x → y (direct)"), outcome_df
        else:
            source = "x" if kind == "a" else labels[int(kind[1:])]
            name, df = f"{source} → {labels[j]}", len(z) - len(layout.predictors_of_mediator(j))
        estimate, se = float(beta[index]), float(np.sqrt(covariance[index, index]))
        half = float(stats.t.ppf((1 + level) / 2, df)) * se
        p = float(2 * stats.t.sf(abs(estimate / se), df))
        rows.append(Effect(name, estimate, se, estimate - half, estimate + half, p))
    return tuple(rows)


# ---- sensitivity ----------------------------------------------------------------------------------------


def sensitivity(
    x: FloatArray,
    mediator: FloatArray,
    y: FloatArray,
    *,
    covariates: FloatArray | None = None,
    rho: FloatArray | None = None,
    draws: int = 2_000,
    seed: int = 1,
    level: float = 0.95,
) -> Sensitivity:
    """The indirect effect if the residuals of mediator and outcome were correlated by ρ (one mediator)."""
    layout, z, _ = _layout(x, mediator, y, covariates, (), False)
    grid = np.round(np.arange(-0.9, 0.91, 0.1), 10) if rho is None else np.asarray(rho, dtype=np.float64)
    if (np.abs(grid) >= 1).any():
        raise refuse("The sensitivity was not computed", "a correlation lies strictly between -1 and 1", where="rho")
    estimate, r = _under_rho((z.T @ z)[None], layout, grid)
    chunks = [_under_rho(cross, layout, grid)[0] for cross in _resampled(z, draws, seed)]
    drawn = np.vstack(chunks)
    bounds = [
        bootstrap.interval(drawn[:, i], float(estimate[0, i]), kind="percentile", level=level) for i in range(len(grid))
    ]
    at_zero = float(r[0])
    shares = 1.0
    for response, predictors in ((layout.m(0), layout.base), (layout.y, [*layout.base, layout.m(0)])):
        shares *= _residual_share(z, predictors, response)
    low, high = np.array(bounds).T
    return Sensitivity(grid, estimate[0], low, high, at_zero, at_zero**2, at_zero**2 * shares)


def _under_rho(cross: FloatArray, layout: _Layout, rho: FloatArray) -> tuple[FloatArray, FloatArray]:
    """indirect(ρ) as B × grid, and r as B, from cross products."""
    base, m, y = layout.base, layout.m(0), layout.y
    of_m, of_y = _solve(cross, base, m), _solve(cross, base, y)
    mm = cross[:, m, m] - np.einsum("bp,bp->b", of_m, cross[:, base, m])
    yy = cross[:, y, y] - np.einsum("bp,bp->b", of_y, cross[:, base, y])
    my = cross[:, m, y] - np.einsum("bp,bp->b", of_m, cross[:, base, y])
    # A resample that M or Y is explained in exactly has no correlation of residuals: NaN, dropped by the interval.
    known = (mm > 0) & (yy > 0)
    mm, yy = np.where(known, mm, np.nan), np.where(known, yy, np.nan)
    r = np.clip(my / np.sqrt(mm * yy), -1, 1)
    bend = r[:, None] - rho[None, :] * np.sqrt((1 - r[:, None] ** 2) / (1 - rho[None, :] ** 2))
    return (of_m[:, 1] * np.sqrt(yy / mm))[:, None] * bend, r


def _residual_share(z: FloatArray, predictors: list[int], response: int) -> float:
    x, v = z[:, predictors], z[:, response]
    residual = v - x @ np.linalg.lstsq(x, v, rcond=None)[0]
    return float(residual @ residual / (v @ v))
