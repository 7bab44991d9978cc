"""Covariance structures of repeated measures, with their first and second derivatives.

Every structure but the unstructured one is Sigma = D P D with log standard deviations and transformed
correlations, so that any real vector is a covariance (definitions as in R's mmrm 0.3 and SAS PROC MIXED):

    rho = t / sqrt(1 + t^2)                       ar1, ar1h, toep, toeph, ad, adh
    rho = (1 + a) / (1 + exp(-t)) - a, a = 1/(m-1)   cs, csh
    rho = 1 / (1 + exp(-t)), Sigma = exp(s) rho^d    sp_exp (d = distance in time)

The suffix h gives each visit a variance of its own. The unstructured covariance is fitted in its own elements,
in which the likelihood is closest to quadratic; the log-Cholesky parameters of mmrm are used only where a result
depends on the parametrisation (the second-order term of Kenward-Roger).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

# Of the correlation matrix: below, visits repeat one another. A search that ended nowhere is judged more strictly.
SMALLEST_EIGENVALUE = 1e-8
SMALLEST_EIGENVALUE_OF_A_FAILURE = 1e-4

COVARIANCES = ("us", "toep", "toeph", "ar1", "ar1h", "cs", "csh", "ad", "adh", "sp_exp")
IN_WORDS = {
    "us": "unstructured",
    "toep": "Toeplitz",
    "toeph": "heterogeneous Toeplitz",
    "ar1": "autoregressive",
    "ar1h": "heterogeneous autoregressive",
    "cs": "compound symmetry",
    "csh": "heterogeneous compound symmetry",
    "ad": "ante-dependence",
    "adh": "heterogeneous ante-dependence",
    "sp_exp": "spatial exponential",
}


@dataclass(frozen=True)
class Shape:
    """Sigma and its derivatives at one point, for all patterns at once.

    `sigma` (b, r, r), `slopes` (b, r, k, r) with slopes[:, :, h, :] = dSigma/dtheta_h, and `bends` (b, k, k, r, r)
    or None where Sigma is linear in its parameters. b is 1 where all participants share one matrix over the
    visits, or the number of distinct visit patterns for a spatial structure.
    """

    sigma: Array
    slopes: Array
    bends: Array | None


@dataclass(frozen=True)
class Structure:
    """A covariance structure over `m` visits, or over `distance` (patterns, r, r) for the spatial ones."""

    name: str
    m: int
    distance: Array | None = None

    @property
    def heterogeneous(self) -> bool:
        return self.name in ("toeph", "ar1h", "csh", "adh")

    @property
    def n_parameters(self) -> int:
        if self.name == "us":
            return self.m * (self.m + 1) // 2
        if self.name == "sp_exp":
            return 2
        return (self.m if self.heterogeneous else 1) + self.n_correlations

    @property
    def n_correlations(self) -> int:
        return self.m - 1 if self.name.removesuffix("h") in ("toep", "ad") else 1

    def sigma(self, x: Array) -> Array:
        """Sigma (b, r, r) at the parameters x (k,)."""
        if self.name == "us":
            return _from_elements(x, self.m)[None]
        if self.distance is not None:
            return np.asarray(np.exp(x[0] + self.distance * _log_rho(x[1])))
        spread, correlation = self._parts(x)
        return np.asarray(np.outer(spread, spread) * correlation[0])[None]

    def shape(self, x: Array) -> Shape:
        if self.name == "us":
            return Shape(self.sigma(x), _element_slopes(self.m), None)
        if self.distance is not None:
            return _spatial_exponential(x, self.distance)
        return self._product(x)

    def _parts(self, x: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        n_sd = len(x) - self.n_correlations
        spread = np.exp(np.broadcast_to(x[:n_sd], self.m)) if n_sd == 1 else np.exp(x[:n_sd])
        return spread, self._correlation(x[n_sd:])

    def _product(self, x: Array) -> Shape:
        """Derivatives of Sigma_ab = exp(l_a + l_b) P_ab, where l is linear and P smooth in the parameters."""
        m, n_sd = self.m, len(x) - self.n_correlations
        spread, (p, dp, ddp) = self._parts(x)
        scale = np.outer(spread, spread)
        to_visit = np.eye(m) if n_sd > 1 else np.ones((1, m))
        share = to_visit[:, :, None] + to_visit[:, None, :]  # (n_sd, m, m): d(l_a + l_b)/d(log sd)
        sigma, d_cor, dd_cor = scale * p, scale * dp, scale * ddp
        slopes = np.concatenate([share * sigma, d_cor])
        k = len(x)
        bends = np.empty((k, k, m, m))
        bends[:n_sd, :n_sd] = share[:, None] * share[None, :] * sigma
        bends[:n_sd, n_sd:] = share[:, None] * d_cor[None, :]
        bends[n_sd:, :n_sd] = bends[:n_sd, n_sd:].swapaxes(0, 1)
        bends[n_sd:, n_sd:] = dd_cor
        return Shape(sigma[None], np.ascontiguousarray(slopes.transpose(1, 0, 2))[None], bends[None])

    def _correlation(self, t: Array) -> tuple[Array, Array, Array]:
        """P (m, m), dP (c, m, m) and ddP (c, c, m, m)."""
        family = self.name.removesuffix("h")
        lag = np.abs(np.subtract.outer(np.arange(self.m), np.arange(self.m)))
        if family == "cs":
            return _compound_symmetry(t, self.m)
        rho, d_rho, dd_rho = bounded(t)
        if family == "ar1":
            return _autoregressive(rho[0], d_rho[0], dd_rho[0], lag)
        if family == "toep":
            at_lag = (lag[None] == np.arange(1, self.m)[:, None, None]).astype(np.float64)
            p = np.eye(self.m) + np.tensordot(rho, at_lag, 1)
            bends = np.zeros((len(t), len(t), self.m, self.m))
            bends[np.arange(len(t)), np.arange(len(t))] = dd_rho[:, None, None] * at_lag
            return p, d_rho[:, None, None] * at_lag, bends
        return _ante_dependence(rho, d_rho, dd_rho)

    def start(self, sigma: Array) -> Array:
        """Parameters near a positive definite matrix (m, m); the spatial one takes the mean correlation of neighbours for
        that over the median distance, over a short one where it is none."""
        if self.name == "us":
            return to_elements(sigma)
        sd = np.sqrt(np.diag(sigma))
        r = sigma / np.outer(sd, sd)
        level = np.log(sd) if self.heterogeneous else np.array([np.log(np.mean(sd**2)) / 2])
        if self.distance is not None:
            apart = self.distance[self.distance > 0]
            near = float(np.diag(r, 1).mean()) if len(r) > 1 else 0.4
            far = (
                0.5 if near > 0.05 else 0.1
            )  # visits that are nearly independent are so from the shortest times apart on
            log_rho = np.log(np.clip(near, 0.05, 0.95)) / (float(np.quantile(apart, far)) if apart.size else 1.0)
            return np.array([2 * level[0], log_rho - np.log(-np.expm1(log_rho))])
        neighbours = np.diag(r, 1)
        family = self.name.removesuffix("h")
        if family == "cs":
            low = -1 / (self.m - 1)
            middle = float(np.clip(r[np.triu_indices(self.m, 1)].mean(), low * 0.9, 0.95))
            share = (middle - low) / (1 - low)
            return np.append(level, np.log(share / (1 - share)))
        if family == "ar1":
            return np.append(level, unbounded(np.clip(neighbours.mean(keepdims=True), -0.95, 0.95)))
        if family == "toep":
            by_lag = np.array([np.diag(r, d).mean() for d in range(1, self.m)])
            return np.concatenate([level, unbounded(_positive_toeplitz(by_lag))])
        return np.concatenate([level, unbounded(np.clip(neighbours, -0.95, 0.95))])


def bounded(t: Array) -> tuple[Array, Array, Array]:
    """rho = t / sqrt(1 + t^2) and its two derivatives."""
    base = 1 + t * t
    return t / np.sqrt(base), base**-1.5, -3 * t * base**-2.5


def unbounded(rho: Array) -> Array:
    return np.asarray(rho / np.sqrt(1 - rho * rho))


def is_singular(sigma: Array, *, converged: bool) -> bool:
    """True where a covariance matrix (m, m) is singular for all practical purposes."""
    sd = np.sqrt(np.diag(sigma))
    floor = SMALLEST_EIGENVALUE if converged else SMALLEST_EIGENVALUE_OF_A_FAILURE
    if not np.all(np.isfinite(sd)) or sd.min() < 1e-5 * sd.max():
        return True
    return bool(np.linalg.eigvalsh(sigma / np.outer(sd, sd))[0] < floor)


def _log_rho(t: float) -> float:
    return float(-np.logaddexp(0.0, -t))


def _from_elements(x: Array, m: int) -> Array:
    rows, columns = _lower(m)
    sigma = np.empty((m, m))
    sigma[rows, columns] = x
    sigma[columns, rows] = x
    return sigma


def to_elements(sigma: Array) -> Array:
    """The lower triangle of a symmetric matrix (m, m), row by row."""
    return np.asarray(sigma[_lower(len(sigma))])


@cache
def _lower(m: int) -> tuple[Codes, Codes]:
    return np.tril_indices(m)


@cache
def _element_slopes(m: int) -> Array:
    """dSigma / d element, (1, m, k, m)."""
    rows, columns = _lower(m)
    slopes = np.zeros((1, m, len(rows), m))
    each = np.arange(len(rows))
    slopes[0, rows, each, columns] = 1
    slopes[0, columns, each, rows] = 1
    return slopes


def _compound_symmetry(t: Array, m: int) -> tuple[Array, Array, Array]:
    low = 1 / (m - 1)
    share = float(special.expit(t[0]))
    rho, d_rho = share * (1 + low) - low, share * (1 - share) * (1 + low)
    off = 1 - np.eye(m)
    return np.eye(m) + rho * off, (d_rho * off)[None], (d_rho * (1 - 2 * share) * off)[None, None]


def _autoregressive(rho: float, d_rho: float, dd_rho: float, lag: npt.NDArray[np.int64]) -> tuple[Array, Array, Array]:
    by_rho = np.where(lag > 0, lag * rho ** np.maximum(lag - 1, 0), 0.0)
    by_rho_twice = np.where(lag > 1, lag * (lag - 1) * rho ** np.maximum(lag - 2, 0), 0.0)
    return (
        np.asarray(rho**lag, dtype=np.float64),
        (by_rho * d_rho)[None],
        (by_rho_twice * d_rho**2 + by_rho * dd_rho)[None, None],
    )


def _ante_dependence(rho: Array, d_rho: Array, dd_rho: Array) -> tuple[Array, Array, Array]:
    """P_ab = product of the neighbours' correlations between a and b.

    Each product is taken anew without the factors that are differentiated: dividing by a correlation would fail at 0.
    """
    c, m = len(rho), len(rho) + 1
    p, dp, ddp = np.eye(m), np.zeros((c, m, m)), np.zeros((c, c, m, m))
    for a in range(m):
        for b in range(a + 1, m):
            between = range(a, b)
            p[a, b] = p[b, a] = np.prod(rho[a:b])
            for h in between:
                others = np.prod([rho[i] for i in between if i != h])
                dp[h, a, b] = dp[h, b, a] = d_rho[h] * others
                ddp[h, h, a, b] = ddp[h, h, b, a] = dd_rho[h] * others
                for j in range(a, h):
                    rest = d_rho[h] * d_rho[j] * np.prod([rho[i] for i in between if i not in (h, j)])
                    ddp[h, j, a, b] = ddp[h, j, b, a] = ddp[j, h, a, b] = ddp[j, h, b, a] = rest
    return p, dp, ddp


def _spatial_exponential(x: Array, distance: Array) -> Shape:
    rho = float(special.expit(x[1]))
    sigma = np.exp(x[0] + distance * _log_rho(x[1]))
    by_rho = sigma * distance * (1 - rho)
    bends = np.stack(
        [
            np.stack([sigma, by_rho], axis=1),
            np.stack([by_rho, by_rho * (distance * (1 - rho) - rho)], axis=1),
        ],
        axis=1,
    )
    return Shape(sigma, np.stack([sigma, by_rho], axis=2), bends)


def _positive_toeplitz(by_lag: Array) -> Array:
    """Shrink correlations by lag until their Toeplitz matrix is safely positive definite."""
    m = len(by_lag) + 1
    lag = np.abs(np.subtract.outer(np.arange(m), np.arange(m)))
    kept = np.clip(by_lag, -0.95, 0.95)
    while np.linalg.eigvalsh(np.append(1.0, kept)[lag])[0] < 0.02:
        kept = 0.9 * kept
    return np.asarray(kept)


def cholesky_curvature(sigma: Array, element_covariance: Array) -> Array:
    """sum_hj W_hj d2 Sigma / dtheta_h dtheta_j (m, m) for the log-Cholesky parameters of the unstructured covariance.

    theta = (log d_1 .. log d_m, l_21, l_31, l_32 ...) with Sigma = (D L)(D L)', L of unit diagonal: mmrm's choice.
    `element_covariance` is the covariance of the elements of Sigma, from which that of theta follows.
    """
    m = len(sigma)
    factor = np.linalg.cholesky(sigma)
    d = np.diag(factor)
    rows, columns = np.tril_indices(m, -1)
    k = m + len(rows)
    slope = np.zeros((k, m, m))
    slope[np.arange(m), np.arange(m)] = factor
    slope[m + np.arange(len(rows)), rows, columns] = d[rows]
    d_sigma = slope @ factor.T
    d_sigma = d_sigma + d_sigma.swapaxes(1, 2)
    jacobian = d_sigma[:, *np.tril_indices(m)]  # (theta, elements)
    inverse = np.linalg.inv(jacobian)
    w = inverse.T @ element_covariance @ inverse
    bend = np.zeros((m, m))  # sum W_hj d2 L_hj: log d_a twice gives row a, log d_a with l_ab gives d_a at (a, b)
    bend += np.diag(w)[:m, None] * factor
    bend[rows, columns] += 2 * w[rows, m + np.arange(len(rows))] * d[rows]
    weighted = (w @ slope.reshape(k, -1)).reshape(k, m, m)
    return np.asarray(bend @ factor.T + factor @ bend.T + 2 * np.einsum("hab,hcb->ac", slope, weighted, optimize=True))
