"""Empirical (sandwich) covariance of the coefficients: CR0, CR2 (bias-reduced) and CR3 (jackknife).

With whitened rows x~_i, e~_i of participant i and H_ii = x~_i Phi x~_i':

    Phi { sum_i x~_i' A_i e~_i e~_i' A_i x~_i } Phi,   A_i = I (CR0), (I - H_ii)^(-1/2) (CR2), (I - H_ii)^(-1) (CR3)

without a further scale factor, as R's mmrm. The Satterthwaite degrees of freedom are those of Bell and McCaffrey
(2002) with the identity as working covariance of the whitened rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keel.domain.errors import refuse
from keel.outcomes.covariance import Array

EMPIRICAL = ("empirical", "empirical-bias-reduced", "empirical-jackknife")


@dataclass(frozen=True)
class Sandwich:
    """`covariance` (p, p); `adjusted` (n, r, p) = A_i x~_i and `whitened` (n, r, p) = x~_i, for the df."""

    covariance: Array
    adjusted: Array
    whitened: Array
    phi: Array

    def degrees_of_freedom(self, contrasts: Array) -> Array:
        """Bell-McCaffrey degrees of freedom (c,) of contrasts (c, p).

        G_ij = v_i'v_j [i = j] - u_i' Phi u_j with v_i = A_i x~_i Phi c, u_i = x~_i' v_i; df = tr(G)^2 / sum G_ij^2.
        """
        out = np.empty(len(contrasts))
        for place, contrast in enumerate(contrasts):
            v = self.adjusted @ (self.phi @ contrast)
            u = np.einsum("nrp,nr->np", self.whitened, v)
            own = np.einsum("np,pq,nq->n", u, self.phi, u, optimize=True)
            diagonal = (v * v).sum(1) - own
            cross = u.T @ u @ self.phi
            squares = float(np.trace(cross @ cross) + (diagonal**2 - own**2).sum())
            out[place] = diagonal.sum() ** 2 / squares if squares > 0 else np.nan
        return out


def sandwich(name: str, x: Array, residual: Array, phi: Array) -> Sandwich:
    """Empirical covariance from whitened rows x (n, r, p) and residuals (n, r), zero where not seen."""
    adjusted = x
    if name != "empirical":
        rest = np.eye(x.shape[1]) - x @ phi @ x.swapaxes(1, 2)
        values, vectors = np.linalg.eigh(rest)
        floor = np.finfo(float).eps * x.shape[1] * values[:, -1:]
        if name == "empirical-jackknife" and (values <= 1e-10).any():
            raise refuse(
                "The jackknife covariance was not computed",
                "one participant alone determines a coefficient, so the model cannot be fitted without that one",
                "Use --vcov empirical-bias-reduced, or a model with fewer coefficients",
                where="vcov",
                code="leverage_one",
            )
        power = -1.0 if name == "empirical-jackknife" else -0.5
        kept = np.where(values > floor, np.maximum(values, 1e-300) ** power, 0.0)
        adjusted = (vectors * kept[:, None, :]) @ (vectors.swapaxes(1, 2) @ x)
    scores = np.einsum("nrp,nr->np", adjusted, residual)
    return Sandwich(phi @ (scores.T @ scores) @ phi, adjusted, x, phi)
