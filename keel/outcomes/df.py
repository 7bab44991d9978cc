"""Degrees of freedom and tests of linear functions of the coefficients.

One contrast c: t = c'b / sqrt(c'Vc) with
    Satterthwaite    2 f^2 / (g' W g), f = c' Phi c, g_h = c' dPhi/dtheta_h c, W the inverse observed information
                     (with an empirical V: Bell-McCaffrey, see robust)
    Kenward-Roger    the same number for one contrast; V is the adjusted covariance
    between-within   n - intercept - between coefficients, or N - n - within coefficients; the smallest of the
                     coefficients that the contrast involves
    residual         N - p
Several contrasts at once: Fai and Cornelius (1996) for Satterthwaite, the scaled F of Kenward and Roger (1997).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special  # not scipy.stats, which takes longer to import than a model to fit

from keel.outcomes.covariance import Array
from keel.outcomes.robust import Sandwich

DF_METHODS = ("satterthwaite", "kenward-roger", "kenward-roger-linear", "between-within", "residual")
NAMED = {
    "satterthwaite": "Satterthwaite",
    "kenward-roger": "Kenward-Roger",
    "kenward-roger-linear": "Kenward-Roger (linear)",
    "between-within": "between-within",
    "residual": "residual",
}


@dataclass(frozen=True)
class Inference:
    """All that tests need. `beta` (p,), `phi` and `vcov` (p, p), `jacobian` (k, p, p) = dPhi/dtheta,
    `theta_covariance` (k, k), `coefficient_df` (p,) the between-within degrees of each coefficient."""

    method: str
    beta: Array
    phi: Array
    vcov: Array
    jacobian: Array
    theta_covariance: Array
    coefficient_df: Array
    residual_df: int
    sandwich: Sandwich | None


@dataclass(frozen=True)
class Estimate:
    """A linear function of the coefficients with its test against zero and its interval."""

    estimate: float
    se: float
    df: float
    t: float
    p: float
    ci_low: float
    ci_high: float

    def as_json(self) -> dict[str, float]:
        return dict(vars(self))


@dataclass(frozen=True)
class JointTest:
    """F test that several linear functions of the coefficients are zero."""

    num_df: int
    den_df: float
    f: float
    p: float

    def as_json(self) -> dict[str, float]:
        return dict(vars(self))


def estimates(by: Inference, contrasts: Array, *, confidence: float = 0.95) -> list[Estimate]:
    """Estimate, standard error, df, t, two-sided p and interval of each row of `contrasts` (c, p)."""
    value = contrasts @ by.beta
    with np.errstate(
        invalid="ignore", divide="ignore"
    ):  # no variance, no degrees of freedom: not a number, printed as null
        se = np.sqrt(_variance(by.vcov, contrasts))
        df = degrees_of_freedom(by, contrasts)
        t = value / se
    p = 2 * special.stdtr(df, -np.abs(t))
    half = special.stdtrit(df, (1 + confidence) / 2) * se
    columns = np.column_stack([value, se, df, t, p, value - half, value + half])
    return [Estimate(*row) for row in columns.tolist()]


def degrees_of_freedom(by: Inference, contrasts: Array) -> Array:
    """Degrees of freedom (c,) of each row of `contrasts` (c, p)."""
    if by.method == "residual":
        return np.full(len(contrasts), float(by.residual_df))
    if by.method == "between-within":
        return np.array([by.coefficient_df[row != 0].min() for row in contrasts])
    if by.sandwich is not None:
        return by.sandwich.degrees_of_freedom(contrasts)
    variance = _variance(by.phi, contrasts)
    gradient = _quadratic(by, contrasts)
    return np.asarray(2 * variance**2 / _variance(by.theta_covariance, gradient))


def _variance(covariance: Array, contrasts: Array) -> Array:
    """c'Vc of each row of `contrasts`."""
    return np.asarray((contrasts @ covariance * contrasts).sum(1))


def _quadratic(by: Inference, contrasts: Array) -> Array:
    """c' dPhi/dtheta_h c, (c, k)."""
    squares = contrasts[:, :, None] * contrasts[:, None, :]
    return np.asarray(squares.reshape(len(contrasts), -1) @ by.jacobian.reshape(len(by.jacobian), -1).T)


def joint_test(by: Inference, contrasts: Array) -> JointTest:
    """Test that all rows of `contrasts` (c, p) are zero. Rows that follow from others are left out first."""
    contrasts = _independent(contrasts)
    if len(contrasts) == 1:
        one = estimates(by, contrasts)[0]
        return JointTest(1, one.df, one.t**2, one.p)
    if by.method.startswith("kenward-roger"):
        return _kenward_roger(by, contrasts)
    if by.method == "satterthwaite":
        return _fai_cornelius(by, contrasts)
    involved = (contrasts != 0).any(0)
    df = float(by.residual_df if by.method == "residual" else by.coefficient_df[involved].min())
    f = _wald(by, contrasts) / len(contrasts)
    return JointTest(len(contrasts), df, f, float(special.fdtrc(len(contrasts), df, f)))


def _independent(contrasts: Array) -> Array:
    """Drop rows that are combinations of earlier ones, without changing the others."""
    kept: list[Array] = []
    basis = np.empty((0, contrasts.shape[1]))
    for row in contrasts:
        rest = row - basis.T @ (basis @ row)
        size = float(np.linalg.norm(rest))
        if size > 1e-8 * max(1.0, float(np.linalg.norm(row))):
            kept.append(row)
            basis = np.vstack([basis, rest / size])
    return np.array(kept)


def _wald(by: Inference, contrasts: Array) -> float:
    value = contrasts @ by.beta
    return float(value @ np.linalg.solve(contrasts @ by.vcov @ contrasts.T, value))


def _fai_cornelius(by: Inference, contrasts: Array) -> JointTest:
    variance, vectors = np.linalg.eigh(contrasts @ by.vcov @ contrasts.T)
    rotated = vectors.T @ contrasts
    f = float(((rotated @ by.beta) ** 2 / variance).mean())
    if by.sandwich is not None:
        each = by.sandwich.degrees_of_freedom(rotated)
    else:
        gradient = _quadratic(by, rotated)
        each = 2 * variance**2 / _variance(by.theta_covariance, gradient)
    df = _pooled(each)
    return JointTest(len(each), df, f, float(special.fdtrc(len(each), df, f)))


def _pooled(each: Array) -> float:
    """The denominator df whose F has the expectation of the mean of independent squared t variables."""
    if np.ptp(each) < 1e-8:
        return float(each.mean())
    if (each <= 2).any():
        return 2.0
    expectation = float((each / (each - 2)).sum())
    return 2 * expectation / (expectation - len(each))


def _kenward_roger(by: Inference, contrasts: Array) -> JointTest:
    """Scaled F: lambda * Wald / c on (c, m), matched to the first two moments (Kenward and Roger 1997)."""
    c = len(contrasts)
    inverse = np.linalg.inv(contrasts @ by.phi @ contrasts.T)
    d = inverse @ (contrasts @ by.jacobian @ contrasts.T)  # (k, c, c)
    traces = np.trace(d, axis1=1, axis2=2)
    pairs = d.reshape(len(d), -1) @ d.swapaxes(1, 2).reshape(len(d), -1).T
    a1 = float(traces @ by.theta_covariance @ traces)
    a2 = float((by.theta_covariance * pairs).sum())
    b = (a1 + 6 * a2) / (2 * c)
    g = ((c + 1) * a1 - (c + 4) * a2) / ((c + 2) * a2)
    base = 3 * c + 2 * (1 - g)
    c1, c2, c3 = g / base, (c - g) / base, (c + 2 - g) / base
    e = 1 / (1 - a2 / c)
    v = 2 / c * (1 + c1 * b) / ((1 - c2 * b) ** 2 * (1 - c3 * b))
    m = 4 + (c + 2) / (c * v / (2 * e * e) - 1)
    f = m / (e * (m - 2)) * _wald(by, contrasts) / c
    return JointTest(c, m, f, float(special.fdtrc(c, m, f)))
