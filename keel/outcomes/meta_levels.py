"""Meta-analysis of studies that give several effects each: the three-level and the correlated-and-hierarchical-effects model.

Model, for effect j = 1…m_i of study i:
    y_ij = x_ij'β + u_i + w_ij + e_ij,   u_i ~ N(0, σ²_between),   w_ij ~ N(0, σ²_within),   e_i ~ N(0, V_i)
    V_i has v_ij on its diagonal and ρ √(v_ij v_il) off it: the sampling errors of one study are taken to correlate ρ
    (assumed, not estimated; 0 where every effect of a study has people of its own).
    Ω_i = V_i + σ²_between 11' + σ²_within I,   W = Ω⁻¹,   β̂ = Φ X'Wy,   Φ = (X'WX)⁻¹
Both variances by `method`:
    REML  maximum of −½[log|Ω| + log|X'WX| − log|X'X| + r'Wr + (k−p) log 2π]     ML  −½[log|Ω| + r'Wr + k log 2π]
    by Newton's method with the observed Hessian from the best points of a grid; a variance that comes out negative is 0.
`test`: "z" normal, "t" Student with `df`: "residual" k−p, or "contain": for a column that is constant within every study the
number of studies less p, else k−p. All moderators together: χ², or F with the fewest of their degrees of freedom.
`robust` "cr2": covariance Φ [Σ X'WA_i r_i r_i'A_i WX] Φ over studies, A_i = D_i'(D_i (Ω_i − X_iΦX_i') D_i')^(−1/2) D_i with
Cholesky's D_i'D_i = Ω_i, and Satterthwaite's degrees of freedom of Bell and McCaffrey with Ω as working model; all moderators
together by the approximate Hotelling test. It stays right where ρ and the two levels are wrong, given enough studies.
Heterogeneity: Q = r'V⁻¹r about the fit without σ², χ² with k−p. I² of a level = 100 σ²_level/(σ²_between + σ²_within + s̄²)
with the typical variance s̄² = (k−p)/tr(P₀), P₀ = V⁻¹ − V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹. Intervals of the variances by profile likelihood:
all values at which twice the fall of the (restricted) log-likelihood is at most the point of χ²₁.
Prediction interval of a new effect of a new study: β̂ ± c √(se² + σ²_between + σ²_within), se and c of the chosen test.

Sources: Konstantopoulos 2011 (doi:10.1002/jrsm.35); Pustejovsky and Tipton 2022 (doi:10.1007/s11121-021-01246-3) and 2018
(doi:10.1080/07350015.2016.1247004); Tipton and Pustejovsky 2015 (doi:10.3102/1076998615606099).
Compared with metafor 3.8-1 (rma.mv) and clubSandwich 0.5.8: tests/reference/meta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from keel.domain.errors import refuse
from keel.outcomes.columns import BoolArray, FloatArray, IntArray
from keel.outcomes.meta import Coefficient, check_studies, coefficient, critical_value, in_units

METHODS = ("REML", "ML")
TESTS = ("z", "t")
DFS = ("residual", "contain")
ROBUST = ("cr2",)
# What one study of m effects takes is m² entries; more than this in all is no meta-analysis but a mistaken column.
MOST_ENTRIES = 20_000_000
BOTH = np.ones(2, dtype=bool)

# Statistic, degrees of freedom and p of all moderators together, where there are any.
Joint = tuple[float | None, float | None, float | None]


@dataclass(frozen=True)
class Level:
    """One level's variance with its profile-likelihood interval and its share (percent) of the typical total variance."""

    name: str
    variance: float
    low: float | None
    high: float | None
    i2: float


@dataclass(frozen=True)
class PooledLevels:
    """A fitted model of several effects per study; `levels` are between and within studies, `i2` and `h2` of both together."""

    method: str
    test: str
    df_method: str | None
    robust: str | None
    rho: float
    level: float
    k: int
    studies: int
    coefficients: tuple[Coefficient, ...]
    levels: tuple[Level, Level]
    i2: float
    h2: float
    q: float
    q_df: int
    q_p: float
    prediction_low: float | None
    prediction_high: float | None
    loglik: float
    moderator_statistic: float | None = None
    moderator_df: float | None = None
    moderator_p: float | None = None

    @property
    def tau2(self) -> float:
        """Both variances together: what one effect of one study differs by from the pooled effect."""
        return self.levels[0].variance + self.levels[1].variance


@dataclass(frozen=True)
class _Block:
    """All studies of m effects: y (n, m), x (n, m, p), sampling covariance v (n, m, m)."""

    y: FloatArray
    x: FloatArray
    v: FloatArray

    def total(self, theta: FloatArray) -> FloatArray:
        return np.asarray(self.v + theta[0] + theta[1] * np.eye(self.v.shape[1]))


@dataclass(frozen=True)
class _Model:
    blocks: tuple[_Block, ...]
    k: int
    p: int
    studies: int
    restricted: bool
    log_xx: float


@dataclass(frozen=True)
class _Point:
    """What one pair of variances gives: β, Φ, r'Wr, and W and WX of every block."""

    theta: FloatArray
    loglik: float
    beta: FloatArray
    phi: FloatArray
    rss: float
    inverses: tuple[FloatArray, ...]
    wx: tuple[FloatArray, ...]


def pool_levels(
    effect: FloatArray,
    variance: FloatArray,
    study: Sequence[str],
    *,
    rho: float = 0.6,
    method: str = "REML",
    test: str = "z",
    df: str = "residual",
    robust: str | None = None,
    level: float = 0.95,
    moderators: FloatArray | None = None,
    labels: Sequence[str] = (),
    intervals: bool = True,
) -> PooledLevels:
    """Pool `effect` (k) with sampling `variance` (k) where the rows of one `study` belong together.

    The profile-likelihood intervals of the variances take most of the time; without `intervals` they are left out.

    Refuses what `meta.pool` refuses, a correlation outside 0 ≤ rho < 1, and rows in which the variance between
    studies cannot be told from that within (every study with one effect, or one study alone).
    """
    method = method.upper()
    _check_choices(method, test, df, robust, rho)
    effects, variances, x, names = check_studies(effect, variance, moderators, labels)
    unit = in_units(effects, variances)
    square = unit.size**2
    codes = np.unique(np.array(study), return_inverse=True)[1].astype(np.int64)
    model = _model(unit.y, unit.v, x, codes, rho, restricted=method == "REML")
    _check_told_apart(model)
    found = _highest(model)
    if robust:
        covariance, dfs, joint = _robust(model, found, names)
    else:
        covariance, dfs = found.phi, _dfs(x, codes, model, test, df)
        joint = _moderators(found, dfs)
    beta = unit.size * found.beta + unit.mean * (np.arange(model.p) == 0)
    rows = zip(names, beta, unit.size * np.sqrt(np.diag(covariance)), dfs, strict=True)
    coefficients = tuple(
        coefficient(name, float(b), float(se), float(d), critical_value(level, float(d))) for name, b, se, d in rows
    )
    fixed = _point(model, np.zeros(2))
    typical = _typical_variance(model)
    both = float(found.theta.sum())
    asked = level if intervals else None
    levels = (
        _level(model, found, 0, asked, typical, square),
        _level(model, found, 1, asked, typical, square),
    )
    low, high = _prediction(coefficients[0], both * square, level) if model.p == 1 else (None, None)
    return PooledLevels(
        method,
        "t" if robust else test,
        "satterthwaite" if robust else df if test == "t" else None,
        robust,
        rho,
        level,
        model.k,
        model.studies,
        coefficients,
        levels,
        100 * both / (both + typical),
        1 + both / typical,
        fixed.rss,
        model.k - model.p,
        float(stats.chi2.sf(fixed.rss, model.k - model.p)),
        low,
        high,
        found.loglik - (model.k - (model.p if model.restricted else 0)) * float(np.log(unit.size)),
        *joint,
    )


def _check_choices(method: str, test: str, df: str, robust: str | None, rho: float) -> None:
    known = ((method, METHODS, "method"), (test, TESTS, "test"), (df, DFS, "df"), (robust or "cr2", ROBUST, "robust"))
    for chosen, choices, what in known:
        if chosen not in choices:
            raise refuse(
                f"There is no {what} {chosen!r} for several effects per study",
                "the model does not have it",
                f"Known: {', '.join(choices)}",
                where=what,
            )
    if not 0 <= rho < 1:
        raise refuse(
            f"A correlation of {rho:g} between the sampling errors of a study was not used",
            "it lies from 0 up to, but not at, 1",
            "Give a --rho such as 0.6, or 0 where every effect has people of its own",
            where="rho",
            code="impossible-value",
        )


def _model(y: FloatArray, v: FloatArray, x: FloatArray, codes: IntArray, rho: float, *, restricted: bool) -> _Model:
    sizes = np.bincount(codes)
    if float((sizes.astype(np.float64) ** 2).sum()) > MOST_ENTRIES:
        raise refuse(
            "The studies were not pooled",
            f"one study has {sizes.max()} effects, too many to correlate with each other",
            "Name the column of the studies as the cluster",
            where="cluster",
        )
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    blocks = []
    for size in np.unique(sizes):
        rows = order[starts[sizes == size][:, None] + np.arange(size)]
        se = np.sqrt(v[rows])
        correlation = rho + (1 - rho) * np.eye(size)
        blocks.append(_Block(y[rows], x[rows], correlation * se[:, :, None] * se[:, None, :]))
    log_xx = float(np.linalg.slogdet(x.T @ x)[1])
    return _Model(tuple(blocks), len(y), x.shape[1], len(sizes), restricted, log_xx)


def _check_told_apart(model: _Model) -> None:
    """Refuse where the two variances multiply the same matrix once β is taken out, so that only their sum can be seen."""
    xx = _summed("nmp,nmq->pq", ((b.x, b.x) for b in model.blocks))
    inner = np.linalg.inv(xx)
    sums = np.concatenate([b.x.sum(axis=1) for b in model.blocks])
    sizes = np.concatenate([np.full(len(b.y), b.y.shape[1]) for b in model.blocks]).astype(np.float64)
    own = np.diag(sizes) - sums @ inner @ sums.T
    between, crossed, within = float(np.sum(own**2)), float(np.trace(own)), float(model.k - model.p)
    if between * within - crossed**2 > 1e-9 * between * within:
        return
    alone = f"there {'is one study' if model.studies == 1 else f'are {model.studies} studies'}"
    why = f"{alone} with {model.k} effects" + (" and moderators" if model.p > 1 else "")
    raise refuse(
        "The variances between and within studies were not told apart",
        f"{why}, which cannot tell the one from the other",
        "Pool without --cluster where every study has one effect; else give more studies, or fewer moderators",
        where="cluster",
        code="too-few",
    )


def _summed(subscripts: str, parts: Iterator[tuple[FloatArray, ...]]) -> FloatArray:
    return np.asarray(sum(np.einsum(subscripts, *arrays, optimize=True) for arrays in parts), dtype=np.float64)


def _inverse(matrices: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.inv(matrices), dtype=np.float64)


# ---- the likelihood and its slopes ---------------------------------------------------------------------


def _point(model: _Model, theta: FloatArray) -> _Point:
    inverses = tuple(_inverse(b.total(theta)) for b in model.blocks)
    wx = tuple(w @ b.x for w, b in zip(inverses, model.blocks, strict=True))
    paired = list(zip(model.blocks, wx, strict=True))
    phi = _inverse(_summed("nmp,nmq->pq", ((b.x, a) for b, a in paired)))
    beta = phi @ _summed("nmp,nm->p", ((a, b.y) for b, a in paired))
    rss = float(sum(np.sum(r * q) for r, q in _residuals(model, beta, inverses)))
    loglik = -0.5 * (sum(float(np.linalg.slogdet(b.total(theta))[1].sum()) for b in model.blocks) + rss)
    if model.restricted:
        loglik += 0.5 * (float(np.linalg.slogdet(phi)[1]) + model.log_xx)
    loglik -= 0.5 * (model.k - (model.p if model.restricted else 0)) * float(np.log(2 * np.pi))
    return _Point(theta, loglik, beta, phi, rss, inverses, wx)


def _residuals(
    model: _Model, beta: FloatArray, inverses: Sequence[FloatArray]
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """r and q = Wr of every block."""
    for block, w in zip(model.blocks, inverses, strict=True):
        residual = block.y - block.x @ beta
        yield residual, (w @ residual[:, :, None])[:, :, 0]


def _slopes(model: _Model, at: _Point) -> tuple[FloatArray, FloatArray]:
    """Gradient (2,) and observed Hessian (2, 2) of the log-likelihood in the variances, between first.

    With G_0 = 11' and G_1 = I inside a study, P = W − WXΦX'W: ½(q'G_k q − tr PG_k) and ½ tr PG_kPG_l − q'G_k P G_l q
    (ML: W in place of P in the traces).
    """
    trace, pull, traces, pulled = np.zeros(2), np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2))
    first, second = np.zeros((2, model.p, model.p)), np.zeros((2, 2, model.p, model.p))
    score = np.zeros((2, model.p))
    for w, a, (_, q) in zip(at.inverses, at.wx, _residuals(model, at.beta, at.inverses), strict=True):
        u, wq = w.sum(axis=2), (w @ q[:, :, None])[:, :, 0]
        sum_w, sum_q, sum_a = u.sum(axis=1), q.sum(axis=1), a.sum(axis=1)
        u_a = (u[:, None, :] @ a)[:, 0, :]
        trace += [sum_w.sum(), np.trace(w, axis1=1, axis2=2).sum()]
        traces += [[np.sum(sum_w**2), np.sum(u * u)], [np.sum(u * u), np.sum(w * w)]]
        pull += [np.sum(sum_q**2), np.sum(q * q)]
        mixed = np.sum(sum_q * np.sum(u * q, axis=1))
        pulled += [[np.sum(sum_q**2 * sum_w), mixed], [mixed, np.sum(q * wq)]]
        score += [sum_q @ sum_a, np.tensordot(q, a, axes=2)]
        first += [sum_a.T @ sum_a, np.tensordot(a, a, axes=((0, 1), (0, 1)))]
        inner = np.tensordot(a, w @ a, axes=((0, 1), (0, 1)))
        second += [[(sum_a * sum_w[:, None]).T @ sum_a, sum_a.T @ u_a], [u_a.T @ sum_a, inner]]
    gradient = 0.5 * (pull - trace)
    hessian = 0.5 * traces - pulled + score @ at.phi @ score.T
    if model.restricted:
        tied = at.phi @ first
        gradient = gradient + 0.5 * np.trace(tied, axis1=1, axis2=2)
        hessian = hessian + 0.5 * np.einsum("kpq,lqp->kl", tied, tied) - np.einsum("pq,klqp->kl", at.phi, second)
    return gradient, hessian


def _highest(model: _Model) -> _Point:
    """The highest maximum over both variances: the three best points of a grid, each climbed from."""
    best = sorted((_point(model, start) for start in _starts(model)), key=lambda point: -point.loglik)[:3]
    return max((_climb(model, point, BOTH) for point in best), key=lambda point: point.loglik)


def _starts(model: _Model) -> Iterator[FloatArray]:
    variances = np.concatenate([np.diagonal(b.v, axis1=1, axis2=2).ravel() for b in model.blocks])
    effects = np.concatenate([b.y.ravel() for b in model.blocks])
    top = max(float(np.ptp(effects)) ** 2, float(np.median(variances)))
    yield np.zeros(2)
    for total in np.geomspace(min(float(variances.min()), top) * 1e-2, top, 7):
        for share in (0.0, 0.5, 1.0):
            yield np.array([share * total, (1 - share) * total])


def _climb(model: _Model, point: _Point, free: BoolArray) -> _Point:
    """Newton's steps in the variances that are free and not held at 0, halved until the likelihood rises."""
    slopes = _slopes(model, point)
    for _ in range(200):
        moving = free & ~((point.theta <= 0) & (slopes[0] <= 0))
        if not moving.any():
            break
        step = _newton_step(*slopes, moving)
        if abs(float(step @ slopes[0])) < 1e-20:
            break
        risen = _risen(model, point, slopes[0], step)
        if risen is None:
            break
        point, slopes = risen
    return point


def _newton_step(gradient: FloatArray, hessian: FloatArray, moving: BoolArray) -> FloatArray:
    step = np.zeros(2)
    values, vectors = np.linalg.eigh(-hessian[np.ix_(moving, moving)])
    # Where the surface does not curve down, go up along its slope, as far as its curvature says.
    curved = np.maximum(np.abs(values), 1e-8 * np.abs(values).max() + 1e-300)
    step[moving] = vectors @ ((vectors.T @ gradient[moving]) / curved)
    return step


def _risen(
    model: _Model, point: _Point, gradient: FloatArray, step: FloatArray
) -> tuple[_Point, tuple[FloatArray, FloatArray]] | None:
    for halving in range(40):
        theta = np.maximum(point.theta + step / 2.0**halving, 0.0)
        if (theta == point.theta).all():
            return None
        there = _point(model, theta)
        rise = there.loglik - point.loglik
        slopes = _slopes(model, there)
        if rise > 0:
            return there, slopes
        # At the top rounding hides which of two points is higher; the slope still tells.
        if rise > -1e-12 * max(1.0, abs(point.loglik)) and 2 * abs(slopes[0]) @ abs(step) < abs(gradient) @ abs(step):
            return there, slopes
    return None


# ---- what is read off the maximum ----------------------------------------------------------------------


def _dfs(x: FloatArray, codes: IntArray, model: _Model, test: str, df: str) -> FloatArray:
    if test == "z":
        return np.full(model.p, np.inf)
    left = np.full(model.p, float(model.k - model.p))
    if df == "contain":
        first = np.unique(codes, return_index=True)[1]
        constant = (x == x[first][codes]).all(axis=0)
        left[constant] = max(1.0, float(model.studies - model.p))
    return left


def _moderators(found: _Point, dfs: FloatArray) -> Joint:
    m = len(found.beta) - 1
    if m == 0:
        return None, None, None
    wald = float(found.beta[1:] @ np.linalg.solve(found.phi[1:, 1:], found.beta[1:]))
    df = float(dfs[1:].min())
    if np.isinf(df):
        return wald, None, float(stats.chi2.sf(wald, m))
    return wald / m, df, float(stats.f.sf(wald / m, m, df))


def _prediction(pooled: Coefficient, both: float, level: float) -> tuple[float, float]:
    half = critical_value(level, pooled.df) * float(np.sqrt(pooled.se**2 + both))
    return pooled.estimate - half, pooled.estimate + half


def _typical_variance(model: _Model) -> float:
    inverses = [np.linalg.inv(b.v) for b in model.blocks]
    wx = [w @ b.x for w, b in zip(inverses, model.blocks, strict=True)]
    xwx = _summed("nmp,nmq->pq", ((b.x, a) for b, a in zip(model.blocks, wx, strict=True)))
    xwwx = _summed("nmp,nmq->pq", ((a, a) for a in wx))
    trace = sum(float(np.trace(w, axis1=1, axis2=2).sum()) for w in inverses)
    return (model.k - model.p) / (trace - float(np.trace(np.linalg.solve(xwx, xwwx))))


def _level(model: _Model, found: _Point, place: int, level: float | None, typical: float, square: float) -> Level:
    """One level in the unit of the data, whose square is `square` times that of the model."""
    name, variance = ("between studies", "within studies")[place], float(found.theta[place])
    share = 100 * variance / (float(found.theta.sum()) + typical)
    if level is None:
        return Level(name, square * variance, None, None, share)
    low, high = _profile_interval(model, found, place, level, typical)
    return Level(name, square * variance, square * low, square * high, share)


def _profile_interval(model: _Model, found: _Point, place: int, level: float, typical: float) -> tuple[float, float]:
    """Where the profile likelihood of one variance has fallen by half the point of χ²₁; 0 below where it never does."""
    fall = 0.5 * float(stats.chi2.ppf(level, 1))

    other = float(found.theta[1 - place])
    free = np.arange(2) != place

    def above(value: float) -> float:
        starts = [np.where(free, start, value) for start in (0.0, other, typical)]
        best = max((_point(model, start) for start in starts), key=lambda point: point.loglik)
        return _climb(model, best, free).loglik - found.loglik + fall

    here = float(found.theta[place])
    high = 2 * here + typical
    while above(high) > 0:
        high *= 4
    low = 0.0 if here == 0 or above(0.0) >= 0 else _crossing(above, 0.0, here)
    return low, _crossing(above, here, high)


def _crossing(above: Callable[[float], float], start: float, end: float) -> float:
    return float(optimize.brentq(above, start, end, xtol=1e-14, rtol=1e-10))


# ---- robust to a wrong working model -------------------------------------------------------------------


def _robust(model: _Model, found: _Point, names: Sequence[str]) -> tuple[FloatArray, FloatArray, Joint]:
    """CR2 covariance (p, p), Satterthwaite degrees of freedom (p,), and the joint test of the moderators."""
    phi, scores, own, tied = found.phi, [], [], []
    root = np.linalg.cholesky(phi)
    for block, wx in zip(model.blocks, found.wx, strict=True):
        omega = block.total(found.theta)
        lever = phi @ wx.swapaxes(1, 2) @ _adjusted(omega, block.x, phi)
        scores.append(np.einsum("npm,nm->np", lever, block.y - block.x @ found.beta))
        half = lever @ np.linalg.cholesky(omega)
        own.append(half @ half.swapaxes(1, 2))
        tied.append(lever @ block.x @ root)
    score, parts, ties = np.concatenate(scores), np.concatenate(own), np.concatenate(tied)
    covariance = score.T @ score
    _check_shared(np.einsum("njj->j", parts) - np.einsum("njk,njk->j", ties, ties), phi, names)
    dfs = np.array([_satterthwaite(parts[:, j, j], ties[:, j, :]) for j in range(model.p)])
    _check_spread(covariance, phi)
    if model.p == 1:
        return covariance, dfs, (None, None, None)
    return covariance, dfs, _hotelling(found.beta[1:], covariance[1:, 1:], parts[:, 1:, 1:], ties[:, 1:, :])


def _check_spread(covariance: FloatArray, phi: FloatArray) -> None:
    if (np.diag(covariance) <= 1e-24 * np.diag(phi)).any():
        raise refuse(
            "The robust error was not computed",
            "all studies agree exactly with the model, so it would be zero",
            "Leave out --robust",
            where="effect",
            code="constant",
        )


def _check_shared(expected: FloatArray, phi: FloatArray, names: Sequence[str]) -> None:
    """CR2 is unbiased under the working model, unless one study alone tells a coefficient: its residual is 0 whatever it is."""
    alone = np.flatnonzero(expected < (1 - 1e-6) * np.diag(phi))
    if alone.size:
        raise refuse(
            f"The robust error of {names[alone[0]]!r} was not computed",
            "one study alone tells that coefficient, or a part of it, and there is nothing to see its error by",
            "Leave that moderator out, or leave out --robust",
            where="robust",
            code="leverage_one",
        )


def _adjusted(omega: FloatArray, x: FloatArray, phi: FloatArray) -> FloatArray:
    upper = np.linalg.cholesky(omega).swapaxes(1, 2)
    rest = upper @ (omega - x @ phi @ x.swapaxes(1, 2)) @ upper.swapaxes(1, 2)
    values, vectors = np.linalg.eigh((rest + rest.swapaxes(1, 2)) / 2)
    kept = values > 1e-12 * np.linalg.norm(omega, axis=(1, 2))[:, None] ** 2
    root = np.where(kept, np.where(kept, values, 1.0) ** -0.5, 0.0)
    return np.asarray(upper.swapaxes(1, 2) @ (vectors * root[:, None, :]) @ vectors.swapaxes(1, 2) @ upper)


def _satterthwaite(own: FloatArray, tied: FloatArray) -> float:
    """(tr P)²/Σ P_ij², P = diag(own) − tied tied': the moments of the estimated variance under the working model."""
    crossed = tied.T @ tied
    diagonal = own - np.sum(tied**2, axis=1)
    squares = float(np.sum(crossed**2) + np.sum(diagonal**2) - np.sum(np.sum(tied**2, axis=1) ** 2))
    return float(diagonal.sum()) ** 2 / squares if squares > 0 else float("nan")


def _hotelling(beta: FloatArray, covariance: FloatArray, own: FloatArray, tied: FloatArray) -> Joint:
    """Approximate Hotelling test (HTZ) that all m of `beta` are 0: (η − m + 1)/(η m) β'C⁻¹β is F with m and η − m + 1.

    η matches the total variance of the estimated covariance, made spherical, to that of a Wishart matrix.
    """
    m = len(beta)
    near = own - tied @ tied.swapaxes(1, 2)
    values, vectors = np.linalg.eigh(near.sum(axis=0))
    spherical = (vectors / np.sqrt(values)) @ vectors.T
    near, ties = spherical @ near @ spherical, spherical @ tied
    same = ties @ ties.swapaxes(1, 2)
    crossed = np.einsum("ask,atl->stkl", ties, ties)
    swapped = np.sum(near**2) - np.sum(same**2) + np.sum(crossed * crossed.swapaxes(0, 1))
    straight = np.sum(np.trace(near, axis1=1, axis2=2) ** 2) - np.sum(np.trace(same, axis1=1, axis2=2) ** 2)
    eta = m * (m + 1) / float(swapped + straight + np.sum(crossed**2))
    df = eta - m + 1
    if df <= 0:
        return None, None, None
    statistic = df / (eta * m) * float(beta @ np.linalg.solve(covariance, beta))
    return statistic, df, float(stats.f.sf(statistic, m, df))
