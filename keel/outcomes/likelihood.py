"""The (restricted) likelihood of a marginal normal model with block-diagonal covariance, and its maximum.

Participants who were seen at the same visits share one covariance matrix. All that the likelihood, its gradient
and its Hessian need from such participants is sum_i z_ia z_ib' over pairs of visits, z = (x, y). These moments are
taken once; from then on an iteration costs the number of visit patterns, not of participants, and is a few
matrix products. With many patterns of few participants (visits at uneven days) the rows themselves are cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from keel.outcomes.covariance import Array, Shape, Structure

Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MOST_MOMENTS = 30_000_000  # doubles; above this (240 MB) the rows are kept instead
MOST_STEPS = 100
SMALLEST_DECREMENT = 1e-10  # of -2 log L: the step that is left changes it by less
NEARER = 1e-6  # of -2 log L: a maximum that is higher by less is the same one
SETTLED = 1e-6  # squared relative change of a covariance matrix in the step that is left
DETERMINED = "the gradient vanishes and the Hessian is positive definite"
UNDETERMINED = "the gradient vanishes, but a covariance parameter is not determined by the data"
RUNNING = "a covariance runs to the edge of the possible"
SMALL_DECREMENT = 1e-6  # small enough where rounding keeps the steps from getting smaller


@dataclass(frozen=True)
class Patterns:
    """The distinct sets of visits. `present` (K, r), `group` (K,), `size` (K,) participants, `of` (n,) pattern."""

    present: Mask
    group: Codes
    size: Array
    of: Codes


class Sums(Protocol):
    """Sums over participants of z_i' A z_i for matrices A that depend on the pattern only."""

    def quadratic(self, a: Array) -> Array:
        """sum_i z_i' A_k(i) z_i, (k, q, q), for symmetric a (K, r, k, r) that is zero outside the pattern."""

    def spread(self, c: Array) -> Array:
        """sum over the participants of a pattern of z_i C z_i', (K, r, r), for symmetric c (q, q)."""


class Moments:
    """Sums from moments: one row per pattern and pair of visits, one column per pair of variables."""

    def __init__(self, z: Array, patterns: Patterns):
        _, self.r, self.q = z.shape
        self.u, self.v = np.triu_indices(self.q)
        self.n_patterns = len(patterns.size)
        order = np.argsort(patterns.of, kind="stable")
        ends = np.cumsum(patterns.size).astype(np.int64)
        pairs = [_pairs(row) for row in patterns.present]
        self.k = np.repeat(np.arange(self.n_patterns), [len(a) for a, _ in pairs])
        self.a = np.concatenate([a for a, _ in pairs])
        self.b = np.concatenate([b for _, b in pairs])
        self.rows = np.empty((len(self.k), len(self.u)))
        at = 0
        for k, (a, b) in enumerate(pairs):
            members = order[ends[k] - int(patterns.size[k]) : ends[k]]
            self.rows[at : at + len(a)] = self._gram(z[members], patterns.present[k], a, b)
            at += len(a)

    def _gram(self, z: Array, present: Mask, a: Codes, b: Codes) -> Array:
        visits = int(present.sum())
        place = np.cumsum(present) - 1
        flat = z[:, present].reshape(len(z), visits * self.q)
        gram = (flat.T @ flat).reshape(visits, self.q, visits, self.q)
        blocks = gram[place[a], :, place[b]]
        both = np.where((a != b)[:, None, None], blocks + blocks.swapaxes(1, 2), blocks)
        return np.asarray(both[:, self.u, self.v])

    def quadratic(self, a: Array) -> Array:
        packed = a[self.k, self.a, :, self.b].T @ self.rows
        out = np.empty((a.shape[2], self.q, self.q))
        out[:, self.u, self.v] = packed
        out[:, self.v, self.u] = packed
        return out

    def spread(self, c: Array) -> Array:
        packed = np.where(self.u == self.v, 1.0, 2.0) * c[self.u, self.v]
        sums = self.rows @ packed
        out = np.zeros((self.n_patterns, self.r, self.r))
        half = np.where(self.a == self.b, sums, sums / 2)
        out[self.k, self.a, self.b] = half
        out[self.k, self.b, self.a] = half
        return out


class Rows:
    """Sums from the rows themselves."""

    def __init__(self, z: Array, patterns: Patterns):
        self.z = z
        self.of = patterns.of
        self.n_patterns = len(patterns.size)

    def quadratic(self, a: Array) -> Array:
        q = self.z.shape[2]
        flat = self.z.reshape(-1, q)
        return np.stack([flat.T @ (a[self.of, :, h] @ self.z).reshape(-1, q) for h in range(a.shape[2])])

    def spread(self, c: Array) -> Array:
        out = np.zeros((self.n_patterns, self.z.shape[1], self.z.shape[1]))
        np.add.at(out, self.of, (self.z @ c) @ self.z.swapaxes(1, 2))
        return out


def sums_of(z: Array, patterns: Patterns) -> Sums:
    """Moments where they are small, rows where every participant has days of their own. z is (n, r, q)."""
    q = z.shape[2]
    visits = patterns.present.sum(1)
    n_moments = int((visits * (visits + 1) // 2).sum()) * (q * (q + 1) // 2)
    return Moments(z, patterns) if n_moments <= MOST_MOMENTS else Rows(z, patterns)


def _pairs(present: Mask) -> tuple[Codes, Codes]:
    at = np.flatnonzero(present)
    order = np.arange(len(at))
    first, second = np.nonzero(order[:, None] <= order)
    return at[first], at[second]


@dataclass(frozen=True)
class Point:
    """The model at given covariance parameters; beta in the basis of the design that was handed in."""

    x: Array
    value: float  # -2 log L without the constants
    beta: Array
    phi: Array  # (p, p) inverse of sum X' Sigma^-1 X
    precision: Array  # (K, r, r) Sigma^-1 of each pattern, zero outside it


@dataclass(frozen=True)
class Slopes:
    """First and second order at a Point. `p` (k, p, p) is X' S^-1 dS S^-1 X; `jacobian` Phi p Phi."""

    gradient: Array
    hessian: Array
    p: Array
    jacobian: Array


class Likelihood:
    """-2 log (restricted) likelihood over the covariance parameters, beta profiled out.

    z (n, r, q) holds each participant's design rows and response (last), zero where not seen; `structures` one
    Structure per group of patterns, whose parameters follow one another in x.
    """

    def __init__(self, z: Array, patterns: Patterns, structures: tuple[Structure, ...], *, reml: bool):
        self.patterns, self.structures, self.reml = patterns, structures, reml
        self.sums = sums_of(z, patterns)
        self.p = z.shape[2] - 1
        sizes = np.cumsum([0, *(s.n_parameters for s in structures)])
        self.slices = [slice(int(a), int(b)) for a, b in pairwise(sizes)]
        self.members = [np.flatnonzero(patterns.group == g) for g in range(len(structures))]
        self.n_parameters = int(sizes[-1])

    def point(self, x: Array) -> Point | None:
        """The model at x, or None where a covariance is not positive definite."""
        sigma = self._sigmas(x)
        if sigma is None:
            return None
        try:
            factor = np.linalg.cholesky(sigma)
            inverse = np.linalg.inv(sigma)
        except np.linalg.LinAlgError:
            return None
        log_det = 2 * float(self.patterns.size @ np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1))
        present = self.patterns.present
        precision = np.asarray(inverse * (present[:, :, None] & present[:, None, :]), dtype=np.float64)
        full = self.sums.quadratic(precision[:, :, None, :])[0]
        try:
            information = np.linalg.cholesky(full[:-1, :-1])
        except np.linalg.LinAlgError:
            return None
        half = np.linalg.inv(information)
        phi = np.asarray(half.T @ half, dtype=np.float64)
        beta = phi @ full[:-1, -1]
        value = log_det + float(full[-1, -1] - full[:-1, -1] @ beta)
        if self.reml:
            value += 2 * float(np.log(np.diag(information)).sum())
        return Point(x, value, beta, phi, precision) if np.isfinite(value) else None

    def _sigmas(self, x: Array) -> Array | None:
        """Sigma of each pattern (K, r, r), with ones on the diagonal where a visit is missing."""
        present = self.patterns.present
        out = np.zeros((*present.shape, present.shape[1]))
        for structure, part, members in zip(self.structures, self.slices, self.members, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):
                sigma = structure.sigma(x[part])
            # the whole matrix of the visits, not only the parts that patterns show, is to be a covariance
            if not np.all(np.isfinite(sigma)) or (structure.distance is None and not _positive(sigma)):
                return None
            seen = present[members]
            out[members] = np.where(seen[:, :, None] & seen[:, None, :], sigma, 0.0)
        k, a = np.nonzero(~present)
        out[k, a, a] = 1.0
        return out

    def is_settled(self, at: Point, direction: Array) -> bool:
        """Whether a step would leave every covariance as it is, in proportion to itself.

        On the way to a singular covariance -2 log L hardly changes any more while the smallest eigenvalue still halves.
        """
        here, there = self._sigmas(at.x), self._sigmas(at.x + direction)
        if here is None or there is None:
            return False
        change = at.precision @ (there - here)
        return bool(np.einsum("kab,kba->k", change, change).max() < SETTLED)

    def slopes(self, at: Point) -> Slopes:
        """Gradient and observed Hessian of -2 log L at a point."""
        w, size = at.precision, self.patterns.size[:, None, None]
        minus = np.append(-at.beta, 1.0)
        residual = self.sums.spread(np.outer(minus, minus))
        leverage = self._leverage(at)
        slope_weight = size * w - w @ (residual + leverage) @ w
        observed = 2 * w @ (residual + leverage) @ w - size * w
        k = self.n_parameters
        gradient, hessian = np.empty(k), np.zeros((k, k))
        derivatives = np.empty((k, self.p + 1, self.p + 1))
        for structure, part, members in zip(self.structures, self.slices, self.members, strict=True):
            shape = structure.shape(at.x[part])
            v = np.zeros((*w.shape[:2], shape.slopes.shape[2], w.shape[2]))
            right = _times(w[members], shape.slopes)
            v[members] = _times_right(right, w[members])
            derivatives[part] = self.sums.quadratic(v)
            gradient[part] = _against(shape.slopes, _flat(slope_weight[members], shape)[:, :, None, :])[:, 0]
            hessian[part, part] = _curve(shape, right, observed[members]) + _bend(shape, slope_weight[members])
        p = derivatives[:, :-1, :-1]
        jacobian = at.phi @ p @ at.phi
        b = derivatives[:, :-1, -1] - p @ at.beta
        traces = _traces(p, jacobian) if self.reml else 0.0
        return Slopes(gradient, hessian - traces - 2 * b @ at.phi @ b.T, p, jacobian)

    def information(self, at: Point, slopes: Slopes) -> Array:
        """The expected Hessian of -2 log L at a point."""
        w = at.precision
        expected = self.patterns.size[:, None, None] * w - 2 * w @ self._leverage(at) @ w
        out = _traces(slopes.p, slopes.jacobian) if self.reml else np.zeros_like(slopes.hessian)
        for structure, part, members in zip(self.structures, self.slices, self.members, strict=True):
            shape = structure.shape(at.x[part])
            out[part, part] += _curve(shape, _times(w[members], shape.slopes), expected[members])
        return out

    def _leverage(self, at: Point) -> Array:
        """sum over the participants of a pattern of x_i Phi x_i', which REML adds to the residuals; zero for ML."""
        if not self.reml:
            return np.zeros_like(at.precision)
        corner = np.zeros((self.p + 1, self.p + 1))
        corner[:-1, :-1] = at.phi
        return self.sums.spread(corner)


def _traces(p: Array, jacobian: Array) -> Array:
    """tr(Phi p_h Phi p_j), (k, k)."""
    return np.asarray(p.reshape(len(p), -1) @ jacobian.reshape(len(p), -1).T)


def _positive(sigma: Array) -> bool:
    try:
        np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        return False
    return True


def _times(w: Array, slopes: Array) -> Array:
    """W dS_h for every pattern, (K, r, k, r)."""
    b, r, k, _ = slopes.shape
    return np.asarray(w @ slopes.reshape(b, r, k * r)).reshape(len(w), r, k, r)


def _times_right(left: Array, w: Array) -> Array:
    """(K, r, k, r) times (K, r, r) on the last axis."""
    n, r, k, _ = left.shape
    return np.asarray(left.reshape(n, r * k, r) @ w).reshape(n, r, k, r)


def _flat(a: Array, shape: Shape) -> Array:
    """Sum over patterns where all of them share one covariance matrix."""
    return a.sum(0, keepdims=True) if len(shape.sigma) == 1 else a


def _against(slopes: Array, other: Array) -> Array:
    """sum over patterns of tr(dS_h O_j): (k, j) from (b, r, k, r) and (b, r, j, r)."""
    k, j = slopes.shape[2], other.shape[2]
    return np.asarray(slopes.transpose(2, 0, 3, 1).reshape(k, -1) @ other.transpose(0, 1, 3, 2).reshape(-1, j))


def _curve(shape: Shape, w_slopes: Array, weight: Array) -> Array:
    """sum over patterns of tr(dS_h W dS_j B) for B = weight."""
    right = _times_right(w_slopes, weight)
    out = _against(shape.slopes, _flat(right, shape))
    return np.asarray((out + out.T) / 2)


def _bend(shape: Shape, weight: Array) -> Array | float:
    """sum over patterns of tr(A d2S_hj)."""
    if shape.bends is None:
        return 0.0
    return np.asarray(np.einsum("bhjac,bca->hj", shape.bends, _flat(weight, shape), optimize=True))


@dataclass(frozen=True)
class Attempt:
    """What one optimiser did: told to the reader whether or not it was the one that arrived."""

    optimiser: str
    start: str
    steps: int
    value: float
    decrement: float
    arrived: bool
    why: str


@dataclass(frozen=True)
class Maximum:
    """Where the search ended, with every attempt; the last of them is the one that led here."""

    point: Point
    slopes: Slopes
    attempts: tuple[Attempt, ...]

    @property
    def converged(self) -> bool:
        return self.attempts[-1].arrived


def maximise(likelihood: Likelihood, starts: dict[str, Array], *, from_all: bool) -> Maximum:
    """Newton steps from the starts, then L-BFGS-B and Newton again if none arrives; each attempt is recorded.

    With `from_all` every start is tried and the highest maximum is the answer: a likelihood can have several. Without
    it the starts are tried from the likeliest on, and the first that arrives is the answer.
    """
    found: list[tuple[Attempt, Point | None, Slopes | None]] = []
    names = list(starts)
    if not from_all:
        values = {name: likelihood.point(x) for name, x in starts.items()}
        names.sort(key=lambda name: np.inf if (at := values[name]) is None else at.value)
    for name in names:
        found.append(_newton(likelihood, starts[name], name))
        if found[-1][0].arrived and not from_all:
            break
    if not any(attempt.arrived for attempt, _, _ in found):
        found.append(_newton(likelihood, _quasi_newton(likelihood, list(starts.values())[-1]), "end of L-BFGS-B"))
    found.sort(key=lambda one: (one[0].arrived, -one[0].value))
    _, point, slopes = found[-1]
    if point is None or slopes is None:
        raise FloatingPointError("the likelihood is not finite at any start")
    return Maximum(point, slopes, tuple(attempt for attempt, _, _ in found))


def _newton(likelihood: Likelihood, x: Array, start: str) -> tuple[Attempt, Point | None, Slopes | None]:
    """Newton where the Hessian is positive definite, Fisher scoring where it is not, with step halving."""
    at = likelihood.point(x)
    if at is None:
        return Attempt("newton", start, 0, np.inf, np.inf, False, "the start is not a covariance"), None, None
    decrement, why, arrived = np.inf, f"{MOST_STEPS} steps were not enough", False
    slopes = likelihood.slopes(at)
    for step in range(MOST_STEPS + 1):
        direction, is_newton = _direction(likelihood, at, slopes)
        before, decrement = decrement, float(-slopes.gradient @ direction)
        stalled = decrement < SMALL_DECREMENT and decrement > before / 4
        if decrement < SMALLEST_DECREMENT or (stalled and (is_newton or step > 10)):
            settled = likelihood.is_settled(at, direction)
            if settled or decrement < SMALLEST_DECREMENT:
                arrived = is_newton and settled
                why = RUNNING if not settled else DETERMINED if is_newton else UNDETERMINED
                break
        moved = None if step == MOST_STEPS else _halve(likelihood, at, direction, decrement)
        if moved is None:
            settled = likelihood.is_settled(at, direction)
            arrived = is_newton and decrement < SMALL_DECREMENT and settled
            why = why if step == MOST_STEPS else "no step along the descent direction lowers -2 log L"
            break
        at = moved
        slopes = likelihood.slopes(at)
    return Attempt("newton", start, step, at.value, decrement, arrived, why), at, slopes


def _direction(likelihood: Likelihood, at: Point, slopes: Slopes) -> tuple[Array, bool]:
    """A step downhill, and whether it is Newton's own: that needs a positive definite Hessian."""
    for is_newton in (True, False):
        matrix = slopes.hessian if is_newton else likelihood.information(at, slopes)
        known = np.diag(matrix) > 0
        if is_newton and not known.all():
            continue
        scale = np.where(known, np.sqrt(np.abs(np.diag(matrix))), 1.0)
        unit = matrix / scale[:, None] / scale[None, :]
        unit[~known, ~known] = 1.0  # a parameter that the data say nothing about stays where it is
        try:
            factor = np.linalg.cholesky(unit)
        except np.linalg.LinAlgError:
            continue
        half = np.linalg.solve(factor, slopes.gradient / scale)
        return np.asarray(-np.linalg.solve(factor.T, half) / scale), is_newton
    return np.asarray(-slopes.gradient / (1 + np.abs(np.diag(slopes.hessian)))), False


def _halve(likelihood: Likelihood, at: Point, direction: Array, decrement: float) -> Point | None:
    length = 1.0
    noise = 1e-12 * (1 + abs(at.value))
    for _ in range(40):
        there = likelihood.point(at.x + length * direction)
        if there is not None and there.value <= at.value - 1e-4 * length * decrement + noise:
            return there
        length /= 2
    return None


def _quasi_newton(likelihood: Likelihood, x: Array) -> Array:
    from scipy import optimize  # slow to import, and hardly ever needed

    def value_and_gradient(x: Array) -> tuple[float, Array]:
        at = likelihood.point(x)
        return (1e30, np.zeros_like(x)) if at is None else (at.value, likelihood.slopes(at).gradient)

    target: Callable[[Array], tuple[float, Array]] = value_and_gradient
    return np.asarray(optimize.minimize(target, x, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x)
