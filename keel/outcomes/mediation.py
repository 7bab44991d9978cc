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
# Of the logarithm of a determinant that is near 1 for most resamples: below, a resample has lost a column.
LOST = -27.0


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
class _Basis:
    """[1, X, C…, M…] = q r with orthonormal q, and Y = q g + rest. Resamples are made of `columns` = [q, rest]: their cross
    products are near the unit matrix whatever the units, the distances from zero and the closeness of the columns are."""

    q: FloatArray
    r: FloatArray
    g: FloatArray
    rest: FloatArray

    @property
    def columns(self) -> FloatArray:
        return np.column_stack([self.q, self.rest])

    @classmethod
    def of(cls, predictors: FloatArray, y: FloatArray) -> _Basis:
        q, r = np.linalg.qr(predictors)
        g = q.T @ y
        more = q.T @ (y - q @ g)
        return cls(q, r, g + more, y - q @ g - q @ more)

    def back(self, gamma: FloatArray) -> FloatArray:
        """Coefficients of the first columns from those of the first k of q (B × k)."""
        k = gamma.shape[1]
        return np.asarray(gamma @ np.linalg.inv(self.r[:k, :k]).T)


@dataclass(frozen=True)
class _Layout:
    """Which column is which in [1, X, C…, M…, Y]."""

    mediators: int
    covariates: int
    serial: bool

    @property
    def base(self) -> int:
        """How many columns stand before the mediators."""
        return 2 + self.covariates

    @property
    def y(self) -> int:
        return self.base + self.mediators

    def before_mediator(self, j: int) -> int:
        """How many columns predict mediator j."""
        return self.base + (j if self.serial else 0)

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
    called: Sequence[str] = (),
    serial: bool = False,
    interval: str = "bca",
    draws: int = 10_000,
    seed: int = 1,
    level: float = 0.95,
) -> Mediation:
    """Fit the model on complete rows: x (n), mediators (n × k, in causal order when serial), y (n), covariates (n × q).
    `names` are those of the mediators, `called` what x, the covariates and y are called.

    Refuses a constant column, columns that repeat each other, and fewer rows than the outcome model needs.
    """
    if interval not in INTERVALS:
        raise refuse(f"There is no interval {interval!r}", "it is not known", f"Known: {', '.join(INTERVALS)}")
    layout, basis, labels = _layout(x, mediators, y, covariates, names, serial, called)
    found = _fit(_whole(basis), layout, basis)
    routes = layout.routes
    route_names = [" → ".join(["x", *(labels[j] for j in r), "y"]) for r in routes]
    estimates = _effects(found, routes)[:, 0]
    paths = _path_table(basis, layout, labels, level)
    if interval == "delta":
        effects = _delta(basis, layout, estimates, level)
        used, from_seed = 0, None
    else:
        bootstrap.check_draws(interval, draws)
        effects = _bootstrapped(basis, layout, estimates, interval, draws, seed, level)
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
    called: Sequence[str] = (),
) -> tuple[_Layout, _Basis, list[str]]:
    m = mediators[:, None] if mediators.ndim == 1 else mediators
    c = np.empty((len(y), 0)) if covariates is None else covariates
    labels = list(names) or ["m"] if m.shape[1] == 1 else list(names) or [f"m{j + 1}" for j in range(m.shape[1])]
    if not 1 <= m.shape[1] <= MOST_MEDIATORS:
        raise refuse("The mediation was not computed", f"it has {m.shape[1]} mediators", f"Give 1 to {MOST_MEDIATORS}")
    own = list(called) or ["x", *(f"covariate {i + 1}" for i in range(c.shape[1])), "y"]
    for values, name in ((x, own[0]), *((m[:, j], labels[j]) for j in range(m.shape[1])), (y, own[-1])):
        check_varies(values, name, least=m.shape[1] + c.shape[1] + 4)
    check_full_rank(np.column_stack([np.ones(len(y)), x, c, m]), ["constant", *own[:-1], *labels])
    columns = np.column_stack([x, c, m])
    predictors = np.column_stack([np.ones(len(y)), columns - columns.mean(axis=0)])
    return _Layout(m.shape[1], c.shape[1], serial), _Basis.of(predictors, y - y.mean()), labels


# ---- many small regressions at once ---------------------------------------------------------------------


def _solve(gram: FloatArray, right: FloatArray) -> FloatArray:
    """Coefficients (B × k) from cross products of the predictors (B × k × k) and with the response (B × k); NaN where singular."""
    scale = 1 / np.sqrt(np.maximum(np.einsum("bii->bi", gram), 1e-300))
    gram = gram * scale[:, :, None] * scale[:, None, :]
    lost = np.linalg.slogdet(gram)[1] < LOST
    if lost.any():
        gram[lost] = np.eye(gram.shape[1])
    solved = np.linalg.solve(gram, (right * scale)[:, :, None])[:, :, 0] * scale
    solved[lost] = np.nan
    return np.asarray(solved)


def _of_column(cross: FloatArray, basis: _Basis, k: int, column: int) -> FloatArray:
    """Coefficients (B × k) in q of a column of the predictors on those before place k."""
    right = cross[:, :k, k:-1] @ basis.r[k:, column]
    return np.asarray(basis.r[:k, column] + _solve(cross[:, :k, :k], right))


def _fit(cross: FloatArray, layout: _Layout, basis: _Basis) -> _Paths:
    k, count = layout.mediators, len(cross)
    a, d = np.empty((count, k)), np.zeros((count, k, k))
    for j in range(k):
        beta = basis.back(_of_column(cross, basis, layout.before_mediator(j), layout.base + j))
        a[:, j] = beta[:, 1]
        if layout.serial:
            d[:, j, :j] = beta[:, layout.base :]
    last = basis.back(basis.g + _solve(cross[:, :-1, :-1], cross[:, :-1, -1]))
    return _Paths(a, d, last[:, layout.base :], last[:, 1])


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


def _whole(basis: _Basis) -> FloatArray:
    """Cross products of the rows as they are."""
    return np.asarray((basis.columns.T @ basis.columns)[None])


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
    basis: _Basis, layout: _Layout, estimates: FloatArray, kind: str, draws: int, seed: int, level: float
) -> list[tuple[float, float, float, float, float]]:
    z, routes = basis.columns, layout.routes
    drawn = np.hstack([_effects(_fit(cross, layout, basis), routes) for cross in _resampled(z, draws, seed)])
    left = _effects(_fit(_left_out(z), layout, basis), routes) if kind == "bca" else None
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
    basis: _Basis, layout: _Layout, estimates: FloatArray, level: float
) -> list[tuple[float, float, float, float, float]]:
    """First-order variances. Every effect but the proportion is linear in each coefficient, so that the central
    difference below is its exact derivative; the proportion's is exact to the square of the step."""
    beta, covariance, places = _stacked(basis, layout)
    step = 1e-4 * np.sqrt(np.diag(covariance))

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


def _stacked(basis: _Basis, layout: _Layout) -> tuple[FloatArray, FloatArray, list[tuple[str, int, int]]]:
    """All path coefficients in one vector, their covariance, and what each is.

    Equations of parallel mediators share their predictors, so their coefficients covary by the covariance of the
    residuals; a serial model conditions on the earlier mediators, whose residuals are then uncorrelated.
    """
    equations = [(layout.before_mediator(j), layout.base + j) for j in range(layout.mediators)]
    equations.append((layout.y, layout.y))
    betas, residuals, inverses = [], [], []
    for k, response in equations:
        inside, left = _explained(basis, k, response)
        _check_leftover(inside, left)
        root = np.linalg.inv(basis.r[:k, :k])
        betas.append(root @ inside)
        inverses.append(root @ root.T)
        residuals.append(left)
    sizes = [len(b) for b in betas]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    covariance = np.zeros((starts[-1], starts[-1]))
    for i in range(len(equations)):
        for j in range(len(equations)):
            joint = i != j and not layout.serial and max(i, j) < layout.mediators
            if i == j or joint:
                shared = residuals[i] @ residuals[j] / (len(basis.rest) - sizes[i])
                covariance[starts[i] : starts[i + 1], starts[j] : starts[j + 1]] = shared * inverses[i]
    places: list[tuple[str, int, int]] = []
    for j in range(layout.mediators):
        places.append(("a", j, int(starts[j]) + 1))
        if layout.serial:
            places += [(f"d{i}", j, int(starts[j]) + layout.base + i) for i in range(j)]
    places.append(("direct", 0, int(starts[-2]) + 1))
    places += [("b", j, int(starts[-2]) + layout.base + j) for j in range(layout.mediators)]
    return np.concatenate(betas), covariance, places


def _explained(basis: _Basis, k: int, response: int) -> tuple[FloatArray, FloatArray]:
    """What the first k columns of q explain of a column (k coefficients), and what they leave (n)."""
    if response == basis.q.shape[1]:
        return basis.g[:k], basis.q[:, k:] @ basis.g[k:] + basis.rest
    return basis.r[:k, response], basis.q[:, k:] @ basis.r[k:, response]


def _check_leftover(inside: FloatArray, left: FloatArray) -> None:
    if float(left @ left) <= 1e-20 * float(inside @ inside):
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


def _path_table(basis: _Basis, layout: _Layout, labels: Sequence[str], level: float) -> tuple[Effect, ...]:
    beta, covariance, places = _stacked(basis, layout)
    n = len(basis.rest)
    outcome_df = n - layout.y
    rows = []
    for kind, j, index in places:
        if kind in ("b", "direct"):
            name, df = (f"{labels[j]} → y" if kind == "b" else "x → y (direct)"), outcome_df
        else:
            source = "x" if kind == "a" else labels[int(kind[1:])]
            name, df = f"{source} → {labels[j]}", n - layout.before_mediator(j)
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
    layout, basis, _ = _layout(x, mediator, y, covariates, (), False)
    grid = np.round(np.arange(-0.9, 0.91, 0.1), 10) if rho is None else np.asarray(rho, dtype=np.float64)
    if (np.abs(grid) >= 1).any():
        raise refuse("The sensitivity was not computed", "a correlation lies strictly between -1 and 1", where="rho")
    estimate, r = _under_rho(_whole(basis), basis, grid)
    chunks = [_under_rho(cross, basis, grid)[0] for cross in _resampled(basis.columns, draws, seed)]
    drawn = np.vstack(chunks)
    bounds = [
        bootstrap.interval(drawn[:, i], float(estimate[0, i]), kind="percentile", level=level) for i in range(len(grid))
    ]
    at_zero = float(r[0])
    shares = 1.0
    for k, response in ((layout.base, layout.base), (layout.y, layout.y)):
        inside, left = _explained(basis, k, response)
        shares *= float(left @ left / (left @ left + inside @ inside))
    low, high = np.array(bounds).T
    return Sensitivity(grid, estimate[0], low, high, at_zero, at_zero**2, at_zero**2 * shares)


def _under_rho(cross: FloatArray, basis: _Basis, rho: FloatArray) -> tuple[FloatArray, FloatArray]:
    """indirect(ρ) as B × grid, and r as B, from cross products. What X and C leave of M is a multiple of the last column q_m of q,
    and what they leave of Y is g_m q_m + rest: nothing has to be taken away from what they explain."""
    k = basis.q.shape[1] - 1
    gram, with_m, with_rest = cross[:, :k, :k], cross[:, :k, k], cross[:, :k, k + 1]
    length, slope = basis.r[k, k], basis.g[k]
    of_m, of_y = _solve(gram, with_m), _solve(gram, slope * with_m + with_rest)
    mm = length**2 * (cross[:, k, k] - np.einsum("bp,bp->b", of_m, with_m))
    y_y = slope**2 * cross[:, k, k] + 2 * slope * cross[:, k, k + 1] + cross[:, k + 1, k + 1]
    yy = y_y - np.einsum("bp,bp->b", of_y, slope * with_m + with_rest)
    m_y = slope * cross[:, k, k] + cross[:, k, k + 1]
    my = length * (m_y - np.einsum("bp,bp->b", of_m, slope * with_m + with_rest))
    a = basis.back(basis.r[:k, k] + length * of_m)[:, 1]
    # A resample that M or Y is explained in exactly has no correlation of residuals: NaN, dropped by the interval.
    known = (mm > 0) & (yy > 0)
    mm, yy = np.where(known, mm, np.nan), np.where(known, yy, np.nan)
    r = np.clip(my / np.sqrt(mm * yy), -1, 1)
    bend = r[:, None] - rho[None, :] * np.sqrt((1 - r[:, None] ** 2) / (1 - rho[None, :] ** 2))
    return (a * np.sqrt(yy / mm))[:, None] * bend, r
