"""Kenward-Roger and the sandwich, written once more as the papers have them: dense matrices, differences for derivatives."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from keel.outcomes.columns import read_table
from keel.outcomes.covariance import Array, Structure
from keel.outcomes.formula import Factor
from keel.outcomes.mmrm import MMRM, fit_mmrm

DATA = Path(__file__).parents[1] / "reference" / "data" / "sim_pat_mmrm_24x4.csv"
TRIAL = read_table(DATA).with_columns(
    w=0.5 + pl.col("usubjid").str.slice(-1).cast(pl.Float64) / 5 + pl.col("visit").str.slice(-1).cast(pl.Float64) / 10
)
FORMULA = "chg ~ base + arm + visit"
KINDS = [
    ("us", None, None),
    ("ar1h", "arm", None),
    ("toeph", None, "w"),
    ("cs", "arm", "w"),
    ("adh", None, None),
    ("ad", None, "w"),
]

Sigmas = Callable[[Array], list[Array]]


def fitted(kind: tuple[str, str | None, str | None], **chosen: str) -> MMRM:
    covariance, group, weights = kind
    return fit_mmrm(
        TRIAL, FORMULA, visit="visit", subject="usubjid", covariance=covariance, group=group, weights=weights, **chosen
    )


def log_cholesky(theta: Array) -> Array:
    m = int((np.sqrt(8 * len(theta) + 1) - 1) / 2)
    unit = np.eye(m)
    unit[np.tril_indices(m, -1)] = theta[m:]
    factor = np.exp(theta[:m])[:, None] * unit
    return factor @ factor.T


def theta_of(fit: MMRM) -> tuple[Array, Sigmas]:
    """mmrm's parameters at the fitted covariances, and the map from them to the covariance of each group."""
    name = fit.choices.covariance
    if name == "us":
        factor = np.linalg.cholesky(fit.covariances[0].matrix)
        d = np.diag(factor)
        low = np.tril_indices(len(d), -1)
        return np.append(np.log(d), (factor / d[:, None])[low]), lambda theta: [log_cholesky(theta)]
    shape = Structure(name, 4)
    parts = [shape.start(one.matrix) for one in fit.covariances]  # exact: the matrix has the structure
    k = len(parts[0])
    return np.concatenate(parts), lambda theta: [
        shape.sigma(theta[g * k : (g + 1) * k])[0] for g in range(len(fit.covariances))
    ]


class Dense:
    """The whole model in one covariance matrix Omega(theta), N x N."""

    def __init__(self, fit: MMRM):
        data = fit.data
        assert isinstance(data.visit, Factor)
        self.x, self.y, self.subject = data.x, data.y, data.subject
        self.visit, self.group, self.root = data.visit.codes, data.group[data.subject], np.sqrt(data.weight)
        self.theta, self.sigmas = theta_of(fit)
        self.same = self.subject[:, None] == self.subject[None, :]

    def omega(self, theta: Array) -> Array:
        out = np.zeros((len(self.y), len(self.y)))
        for g, sigma in enumerate(self.sigmas(theta)):
            out += sigma[np.ix_(self.visit, self.visit)] * (self.group == g)[:, None] * (self.group == g)[None, :]
        return out * self.same / np.outer(self.root, self.root)

    def m2loglik(self, theta: Array) -> float:
        omega = self.omega(theta)
        inverse = np.linalg.inv(omega)
        information = self.x.T @ inverse @ self.x
        residual = self.y - self.x @ np.linalg.solve(information, self.x.T @ inverse @ self.y)
        dets = np.linalg.slogdet(omega)[1] + np.linalg.slogdet(information)[1]
        return float(dets + residual @ inverse @ residual + (len(self.y) - self.x.shape[1]) * np.log(2 * np.pi))

    def second(self, f: Callable[[Array], Array | float], step: float) -> list[list[Array]]:
        eye = step * np.eye(len(self.theta))
        return [
            [
                np.asarray(
                    f(self.theta + a + b) - f(self.theta + a - b) - f(self.theta - a + b) + f(self.theta - a - b)
                )
                / (4 * step**2)
                for b in eye
            ]
            for a in eye
        ]


@cache
def dense_of(kind: tuple[str, str | None, str | None]) -> tuple[Dense, Array, Array, Array, Array]:
    """The dense model with Omega, Phi, W and the list of dOmega at its maximum."""
    dense = Dense(fitted(kind))
    omega, step = dense.omega(dense.theta), 1e-5
    phi = np.linalg.inv(dense.x.T @ np.linalg.inv(omega) @ dense.x)
    w = 2 * np.linalg.inv(np.array(dense.second(dense.m2loglik, 2e-3)))
    eye = step * np.eye(len(dense.theta))
    slopes = np.array([(dense.omega(dense.theta + a) - dense.omega(dense.theta - a)) / (2 * step) for a in eye])
    return dense, omega, phi, w, slopes


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("df", ["kenward-roger", "kenward-roger-linear"])
def test_kenward_roger_is_that_of_the_paper(kind: tuple[str, str | None, str | None], df: str) -> None:
    dense, omega, phi, w, slopes = dense_of(kind)
    inverse, x = np.linalg.inv(omega), dense.x
    turned = [-inverse @ one @ inverse for one in slopes]
    p = [x.T @ one @ x for one in turned]
    bends = dense.second(dense.omega, 1e-4) if df == "kenward-roger" else None
    middle = np.zeros_like(phi)
    for h in range(len(p)):
        for j in range(len(p)):
            q = x.T @ turned[h] @ omega @ turned[j] @ x
            r = x.T @ inverse @ bends[h][j] @ inverse @ x if bends else 0.0
            middle += w[h, j] * (q - p[h] @ phi @ p[j] - r / 4)
    wanted = phi + 2 * phi @ middle @ phi
    fit = fitted(kind, df=df)
    assert fit.m2loglik == pytest.approx(dense.m2loglik(dense.theta), abs=1e-7)
    assert np.sqrt(np.diag(fit.vcov)) == pytest.approx(np.sqrt(np.diag(wanted)), rel=2e-4)
    gradient = np.array([np.diag(phi @ one @ phi) for one in p])
    satterthwaite = 2 * np.diag(phi) ** 2 / np.einsum("hc,hj,jc->c", gradient, w, gradient)
    assert [one.df for _, one in fit.coefficients() if one] == pytest.approx(satterthwaite, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("vcov", ["empirical", "empirical-bias-reduced", "empirical-jackknife"])
def test_the_sandwich_is_that_of_bell_and_mccaffrey(kind: tuple[str, str | None, str | None], vcov: str) -> None:
    """Whitened by the Cholesky factor of the inverse, one participant after the other; the df from the n x n matrix G."""
    dense, omega, phi, _, _ = dense_of(kind)
    beta = phi @ dense.x.T @ np.linalg.inv(omega) @ dense.y
    white, residual, adjusted = np.zeros_like(dense.x), np.zeros_like(dense.y), np.zeros_like(dense.x)
    for i in range(dense.subject.max() + 1):
        rows = np.flatnonzero(dense.subject == i)
        root = np.linalg.cholesky(np.linalg.inv(omega[np.ix_(rows, rows)])).T
        white[rows], residual[rows] = root @ dense.x[rows], root @ (dense.y[rows] - dense.x[rows] @ beta)
        values, vectors = np.linalg.eigh(np.eye(len(rows)) - white[rows] @ phi @ white[rows].T)
        power = {"empirical": 0.0, "empirical-bias-reduced": -0.5, "empirical-jackknife": -1.0}[vcov]
        adjusted[rows] = vectors @ np.diag(values**power) @ vectors.T @ white[rows]
    members = [np.flatnonzero(dense.subject == i) for i in range(dense.subject.max() + 1)]
    scores = np.array([adjusted[rows].T @ residual[rows] for rows in members])
    fit = fitted(kind, vcov=vcov)
    assert fit.vcov == pytest.approx(phi @ scores.T @ scores @ phi, rel=1e-5, abs=1e-8)
    rest = np.eye(len(dense.y)) - white @ phi @ white.T
    contrast = np.eye(len(beta))[2]
    g = np.array([rest[:, rows] @ adjusted[rows] @ phi @ contrast for rows in members])
    big = g @ g.T
    wanted = np.trace(big) ** 2 / (big**2).sum()
    arm = fit.coefficients()[2][1]
    assert arm is not None
    assert arm.df == pytest.approx(wanted, rel=1e-5)
