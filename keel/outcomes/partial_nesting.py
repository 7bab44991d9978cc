"""Trials in which one arm is treated in groups and the other is not: partially nested mixed models.

    y = Xβ + Σ_r Z_r u_r + e,   u_r ~ N(0, τ_r² I),   e_i ~ N(0, σ²_{g(i)})
Z_r has a row of zeros for everybody who is in no cluster of kind r (the control arm): the cluster effect exists only
where there are clusters. Several kinds (cohort, facilitator) may be nested or crossed. The residual variance may differ
by arm.
    V = Σ_k θ_k G_k,   −2 REML = log|V| + log|X'V⁻¹X| + r'V⁻¹r + (n−p) log 2π,   P = V⁻¹ − V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹
    gradient  tr(PG_k) − y'PG_kPy;   Hessian  −tr(PG_kPG_l) + 2 y'PG_kPG_lPy
Degrees of freedom: Satterthwaite, ν = 2f²/(f'ᵀ W f'), f = c'(X'V⁻¹X)⁻¹c, W = 2·(observed Hessian)⁻¹.
A variance that comes out as 0 is kept at 0, left out of W, and told in `notes`.
    ICC = τ²/(Σ τ² + σ²) in the clustered arm, its interval by profile likelihood (one kind of cluster)
    design effect = 1 + (m̃ − 1) ICC,  m̃ = Σm²/Σm over the clusters (the mean size where all are equal)

Sources: Roberts and Roberts 2005 (doi:10.1191/1740774505cn076oa); Bauer 2008 (doi:10.1080/00273170802034810);
Satterthwaite 1946. Compared with lme4 1.1-31, lmerTest 3.1-3 and nlme 3.1-162: tests/reference/partial_nesting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, sparse, stats

from keel.domain.errors import refuse
from keel.outcomes.columns import FloatArray, IntArray, check_full_rank, check_size, check_varies

# People who share no cluster, however far apart, share no entry of V; what is left is this many entries at most.
MOST_ENTRIES = 20_000_000
# In units of the residual variance of least squares: a variance that is nothing, and the least that a residual may have.
ZERO = 1e-7
LEAST = 1e-6


@dataclass(frozen=True)
class Term:
    """A fixed effect with its Satterthwaite test."""

    term: str
    estimate: float
    se: float
    df: float
    t: float
    p: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class Clusters:
    """What one kind of cluster does: its variance, ICC, and how much it inflates the variance of its arm."""

    name: str
    variance: float
    icc: float
    icc_low: float | None
    icc_high: float | None
    clusters: int
    people: int
    size: float
    design_effect: float


@dataclass(frozen=True)
class Nested:
    """A fitted partially nested model; `residual` maps each residual group to its variance."""

    coefficients: tuple[Term, ...]
    clusters: tuple[Clusters, ...]
    residual: Mapping[str, float]
    m2loglik: float
    n: int
    level: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Model:
    """V is block diagonal over people tied by clusters: `parts` (K × entries) holds the entries of the G_k inside the blocks, at
    `rows` and `columns`, blocks of one size after another; `sizes` says how many of which size."""

    y: FloatArray
    x: FloatArray
    parts: FloatArray
    rows: IntArray
    columns: IntArray
    sizes: tuple[tuple[int, int], ...]

    def sparse(self, entries: FloatArray) -> sparse.csr_array:
        n = len(self.y)
        return sparse.csr_array((entries, (self.rows, self.columns)), shape=(n, n))

    def inverse(self, theta: FloatArray) -> tuple[FloatArray, float]:
        """Entries of V⁻¹, and log|V|."""
        v = theta @ self.parts
        inverted, log_determinant, start = np.empty_like(v), 0.0, 0
        for size, count in self.sizes:
            end = start + count * size**2
            blocks = v[start:end].reshape(count, size, size)
            inverted[start:end] = np.linalg.inv(blocks).ravel()
            log_determinant += float(np.linalg.slogdet(blocks)[1].sum())
            start = end
        return inverted, log_determinant


def _model(y: FloatArray, x: FloatArray, clusters: Mapping[str, Sequence[str | None]], groups: Sequence[str]) -> _Model:
    n = len(y)
    codes = [_codes(members) for members in clusters.values()]
    tied = sparse.coo_array((n, n))
    for code in codes:
        inside = np.flatnonzero(code >= 0)
        # Each is tied to the first of the cluster: enough to find who hangs together.
        first = np.unique(code[inside], return_index=True)[1]
        tied = tied + sparse.coo_array((np.ones(len(inside)), (inside, inside[first][code[inside]])), shape=(n, n))
    block = sparse.csgraph.connected_components(tied, directed=False)[1]
    members = np.argsort(block, kind="stable")
    lengths = np.bincount(block)
    if float((lengths.astype(np.float64) ** 2).sum()) > MOST_ENTRIES:
        raise refuse(
            "The nested model was not fitted", f"{lengths.max()} people hang together through clusters, too many"
        )
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    rows, columns, sizes = [], [], []
    for size in np.unique(lengths):
        of_size = members[starts[lengths == size][:, None] + np.arange(size)]
        rows.append(np.broadcast_to(of_size[:, :, None], (len(of_size), size, size)).ravel())
        columns.append(np.broadcast_to(of_size[:, None, :], (len(of_size), size, size)).ravel())
        sizes.append((int(size), len(of_size)))
    row, column = np.concatenate(rows), np.concatenate(columns)
    shared = [(code[row] == code[column]) & (code[row] >= 0) for code in codes]
    named = np.array(groups)
    own = [(row == column) & (named[row] == name) for name in sorted(set(groups))]
    parts = np.array([*shared, *own], dtype=np.float64)
    return _Model(y, x, parts, row.astype(np.int64), column.astype(np.int64), tuple(sizes))


def _codes(members: Sequence[str | None]) -> IntArray:
    """A number per cluster from 0, −1 for nobody's."""
    known = np.array([m is not None for m in members])
    codes = np.full(len(members), -1, dtype=np.int64)
    codes[known] = np.unique([m for m in members if m is not None], return_inverse=True)[1]
    return codes


@dataclass(frozen=True)
class _State:
    """Everything that one θ gives."""

    m2loglik: float
    gradient: FloatArray
    inverse: FloatArray  # entries of V⁻¹
    pulled: FloatArray
    cov_beta: FloatArray
    beta: FloatArray
    half: FloatArray  # V⁻¹X


def fit_nested(
    outcome: FloatArray,
    matrix: FloatArray,
    labels: Sequence[str],
    clusters: Mapping[str, Sequence[str | None]],
    *,
    residual_by: Sequence[str] | None = None,
    level: float = 0.95,
) -> Nested:
    """Fit by REML. `outcome` n, `matrix` n × p with its intercept, `clusters` by kind: each one's cluster or None.

    Refuses missing values, repeated columns, a kind with fewer than two clusters or with nobody sharing one.
    """
    _check(outcome, matrix, labels, clusters)
    try:
        return _fitted(outcome, matrix, labels, clusters, residual_by, level)
    except (np.linalg.LinAlgError, ArithmeticError):
        raise refuse(
            "The nested model was not fitted",
            "its variances cannot be told apart in these data, or values lie too far apart for the arithmetic",
            "Look for a value of another unit, or use fewer kinds of cluster",
            where="outcome",
            code="singular",
        ) from None


def _fitted(
    outcome: FloatArray,
    matrix: FloatArray,
    labels: Sequence[str],
    clusters: Mapping[str, Sequence[str | None]],
    residual_by: Sequence[str] | None,
    level: float,
) -> Nested:
    groups = ["all"] * len(outcome) if residual_by is None else list(residual_by)
    names = sorted(set(groups))
    unit = _unit(outcome, matrix)
    model = _model(unit.y, unit.x, clusters, groups)
    theta = _maximise(model, len(clusters))
    state = _state(model, theta)
    free = theta > ZERO
    weight = _weight(model, state, theta, free, len(clusters))
    terms = tuple(
        _term(name, start, column, model, state, weight, free, level)
        for name, start, column in zip(labels, unit.start, unit.back, strict=True)
    )
    notes = tuple(
        f"The variance of {name} came out as zero: its clusters differ no more than their people do."
        for name, above in zip(clusters, free, strict=False)
        if not above
    )
    described = tuple(
        _describe(name, members, index, theta, clusters, groups, names, model, unit.size, level)
        for index, (name, members) in enumerate(clusters.items())
    )
    variances = {name: float(v) * unit.size**2 for name, v in zip(names, theta[len(clusters) :], strict=True)}
    return Nested(terms, described, variances, state.m2loglik + unit.m2loglik, len(outcome), level, notes)


@dataclass(frozen=True)
class _Unit:
    """The design in an orthonormal basis and the outcome as scaled residuals of least squares: what the search works on, so that
    neither a unit nor a covariate far from zero costs digits. β = start + back γ with γ of the basis; `m2loglik` is what the
    change of units adds."""

    y: FloatArray
    x: FloatArray
    start: FloatArray
    back: FloatArray
    size: float
    m2loglik: float


def _unit(outcome: FloatArray, matrix: FloatArray) -> _Unit:
    q, r = np.linalg.qr(matrix)
    at = q.T @ outcome
    rest = outcome - q @ at
    more = q.T @ rest
    rest, at = rest - q @ more, at + more
    n, p = matrix.shape
    size = float(np.linalg.norm(rest)) / (n - p) ** 0.5
    if size <= max(1e-7 * float(np.std(outcome)), 1e-13 * float(np.abs(outcome).max())):
        raise refuse(
            "The nested model was not fitted", "the fixed effects explain the outcome exactly", where="outcome"
        )
    back = np.linalg.inv(r)
    added = 2 * (n - p) * np.log(size) + 2 * np.log(np.abs(np.diag(r))).sum()
    return _Unit(rest / size, q, back @ at, size * back, size, float(added))


def _check_left(residual: FloatArray) -> None:
    """Refuse a residual variance at the edge of the search: within clusters nothing is left, and the number would be the edge."""
    if (residual <= 10 * LEAST).any():
        raise refuse(
            "The nested model was not fitted",
            "within the clusters nothing is left unexplained, so there is no residual variance to estimate",
            "Look for values that are the same for everybody of a cluster",
            where="outcome",
            code="no_residual",
        )


def _check(
    outcome: FloatArray, matrix: FloatArray, labels: Sequence[str], clusters: Mapping[str, Sequence[str | None]]
) -> None:
    if not np.isfinite(outcome).all() or not np.isfinite(matrix).all():
        raise refuse("The nested model was not fitted", "a value is missing or infinite", "Give complete rows")
    check_size(outcome, "outcome")
    check_varies(outcome, "outcome", least=matrix.shape[1] + 3)
    check_full_rank(matrix, labels)
    for name, members in clusters.items():
        sizes = _sizes(members)
        if len(sizes) < 2 or sizes.max() < 2:
            why = f"there {'is' if len(sizes) == 1 else 'are'} {len(sizes)}"
            why = why if len(sizes) < 2 else "nobody shares one"
            raise refuse(
                f"The effect of {name} cannot be estimated",
                f"it needs at least two clusters and people who share one, and {why}",
                "Leave it out",
                where=name,
                code="too-few",
            )
        _check_apart(matrix, name, members)


def _check_apart(matrix: FloatArray, name: str, members: Sequence[str | None]) -> None:
    """Refuse clusters that the fixed effects tell apart already: nothing is left then to see how clusters differ."""
    codes = _codes(members)
    count = int(codes.max()) + 1
    if count > matrix.shape[1]:
        return
    own = (codes[:, None] == np.arange(count)[None, :]).astype(np.float64)
    left = own - matrix @ np.linalg.lstsq(matrix, own, rcond=None)[0]
    if float(np.abs(left).max()) < 1e-8:
        raise refuse(
            f"The effect of {name} cannot be estimated",
            f"{count} clusters are told apart already by the {matrix.shape[1]} coefficients of the formula",
            "Give more clusters, or fewer terms",
            where=name,
            code="too-few",
        )


def _sizes(members: Sequence[str | None]) -> FloatArray:
    return np.asarray(np.unique([m for m in members if m is not None], return_counts=True)[1], dtype=np.float64)


def _state(model: _Model, theta: FloatArray) -> _State:
    entries, log_determinant = model.inverse(theta)
    inverse = model.sparse(entries)
    half: FloatArray = inverse @ model.x
    cov: FloatArray = np.linalg.inv(model.x.T @ half).astype(np.float64)
    beta = cov @ (half.T @ model.y)
    pulled = inverse @ (model.y - model.x @ beta)
    n, p = model.x.shape
    m2loglik = (
        log_determinant - float(np.linalg.slogdet(cov)[1]) + float(model.y @ pulled) + (n - p) * np.log(2 * np.pi)
    )
    spread = (half @ cov)[model.rows]
    weights = entries - np.einsum("ep,ep->e", spread, half[model.columns]) - pulled[model.rows] * pulled[model.columns]
    return _State(float(m2loglik), model.parts @ weights, entries, pulled, cov, beta, half)


def _hessian(model: _Model, state: _State) -> FloatArray:
    inverse = model.sparse(state.inverse)
    parts = [model.sparse(part) for part in model.parts]
    through = [inverse @ part for part in parts]
    of_x = [part @ state.half for part in parts]
    of_y = [part @ state.pulled for part in parts]
    b = [state.cov_beta @ (state.half.T @ one) for one in of_x]
    count = len(parts)
    hessian = np.empty((count, count))
    for k in range(count):
        for m in range(k + 1):
            trace = float((through[k] * through[m].T).sum())
            trace -= 2 * float(np.sum(state.cov_beta * (of_x[k].T @ (inverse @ of_x[m]))))
            trace += float(np.sum(b[k] * b[m].T))
            projected = inverse @ of_y[m] - state.half @ (state.cov_beta @ (state.half.T @ of_y[m]))
            hessian[k, m] = hessian[m, k] = 2 * float(of_y[k] @ projected) - trace
    return hessian


def _maximise(model: _Model, random: int) -> FloatArray:
    """L-BFGS-B with exact gradients, then Newton steps on the variances that are not at zero."""
    count = len(model.parts)
    start = np.array([0.2] * random + [1.0] * (count - random))
    bounds = [(0.0, None)] * random + [(LEAST, None)] * (count - random)

    def value(theta: FloatArray) -> tuple[float, FloatArray]:
        state = _state(model, theta)
        return state.m2loglik, state.gradient

    found = optimize.minimize(value, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12})
    theta: FloatArray = np.asarray(found.x, dtype=np.float64)
    _check_left(theta[random:])
    for _ in range(20):
        free = theta > ZERO
        state = _state(model, theta)
        step = np.zeros(count)
        step[free] = np.linalg.solve(_hessian(model, state)[np.ix_(free, free)], state.gradient[free])
        if (theta - step < 0).any():
            break
        theta = theta - step
        if np.abs(step).max() < 1e-10:
            return theta
    state = _state(model, theta)
    inside = np.where(theta > ZERO, np.abs(state.gradient), np.maximum(-state.gradient, 0))
    if inside.max() > 1e-3:
        raise refuse(
            "The nested model did not converge",
            f"the likelihood still changes by {inside.max():.2g} per unit of variance",
            "Simplify it: fewer kinds of cluster, or one residual variance",
            code="not-converged",
        )
    return theta


def _weight(model: _Model, state: _State, theta: FloatArray, free: np.ndarray, random: int) -> FloatArray:
    """Twice the inverse Hessian of the variances that are free. Refuses variances that the data say nothing about."""
    hessian = _hessian(model, state)
    known = np.diag(hessian)[random:] * theta[random:] ** 2
    part = hessian[np.ix_(free, free)]
    spread = np.sqrt(np.maximum(np.diag(part), 0))
    if (known < 1e-8).any() or not np.linalg.eigvalsh(part)[0] > 1e-10 * float(spread.min()) ** 2:
        raise refuse(
            "The nested model was not fitted",
            "its variances cannot be told apart in these data",
            "Nobody may be alone in a residual group or an arm; else use fewer kinds of cluster",
            where="outcome",
            code="singular",
        )
    return np.asarray(2 * np.linalg.inv(part))


def _term(
    name: str,
    start: float,
    contrast: FloatArray,
    model: _Model,
    state: _State,
    weight: FloatArray,
    free: np.ndarray,
    level: float,
) -> Term:
    estimate, variance = start + float(contrast @ state.beta), float(contrast @ state.cov_beta @ contrast)
    contrast = contrast / np.abs(contrast).max()  # the degrees of freedom are the same in any unit
    share = float(contrast @ state.cov_beta @ contrast)
    direction = state.half @ (state.cov_beta @ contrast)
    slope = (model.parts @ (direction[model.rows] * direction[model.columns]))[free]
    df = float(2 * share**2 / (slope @ weight @ slope))
    if not (0 < df < np.inf and variance > 0):
        raise refuse(
            "The tests were not computed",
            f"the variances leave no degrees of freedom for {name!r}",
            "Give more people: nobody may be alone in a residual group or an arm",
            where=name,
            code="no_degrees_of_freedom",
        )
    se = variance**0.5
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    p = float(2 * stats.t.sf(abs(estimate / se), df))
    return Term(name, estimate, se, df, estimate / se, p, estimate - half, estimate + half)


def _describe(
    name: str,
    members: Sequence[str | None],
    index: int,
    theta: FloatArray,
    clusters: Mapping[str, Sequence[str | None]],
    groups: Sequence[str],
    names: Sequence[str],
    model: _Model,
    size: float,
    level: float,
) -> Clusters:
    sizes = _sizes(members)
    inside = [groups[i] for i, m in enumerate(members) if m is not None]
    shares = np.array([inside.count(g) / len(inside) for g in names])
    residual = float(shares @ theta[len(clusters) :])
    icc = float(theta[index] / (theta[: len(clusters)].sum() + residual))
    weighted = float((sizes**2).sum() / sizes.sum())
    low, high = _icc_interval(model, theta, shares, level) if len(clusters) == 1 else (None, None)
    effect = design_effect(sizes, icc)
    return Clusters(name, float(theta[index]) * size**2, icc, low, high, len(sizes), int(sizes.sum()), weighted, effect)


def design_effect(sizes: FloatArray, icc: float) -> float:
    """1 + (Σm²/Σm − 1)·ICC: by how much clusters of these `sizes` inflate the variance of a mean."""
    sizes = np.asarray(sizes, dtype=np.float64)
    return float(1 + ((sizes**2).sum() / sizes.sum() - 1) * icc)


def _icc_interval(
    model: _Model, theta: FloatArray, shares: FloatArray, level: float
) -> tuple[float | None, float | None]:
    """The ICCs whose best −2 REML lies within the χ²₁ point of the best of all (profile likelihood)."""
    # With a residual variance per arm the clustered arm must be one of the groups for its ICC to be one number.
    if not np.isin(shares, (0.0, 1.0)).all():
        return None, None
    own = 1 + int(np.argmax(shares))
    best = _state(model, theta).m2loglik
    reach = float(stats.chi2.ppf(level, 1))

    def excess(icc: float) -> float:
        tied = model.parts[own] + icc / (1 - icc) * model.parts[0]
        rest = [model.parts[k] for k in range(1, len(model.parts)) if k != own]
        return _state_at_best(replace(model, parts=np.stack([tied, *rest]))) - best - reach

    at = float(theta[0] / (theta[0] + theta[own]))
    low = 0.0 if at == 0 or excess(0.0) <= 0 else float(optimize.brentq(excess, 0.0, at, xtol=1e-6))
    high = 1.0 if at >= 0.999 or excess(0.999) <= 0 else float(optimize.brentq(excess, at, 0.999, xtol=1e-6))
    return low, high


def _state_at_best(model: _Model) -> float:
    return _state(model, _maximise(model, 0)).m2loglik
