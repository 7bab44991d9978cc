"""Simulated trials, an MMRM each: people who drop out, an unstructured REML fit, a Satterthwaite test, and the decision.

A trial has arms of fixed sizes, a baseline, and T visits: y_it = m_t + e_{arm,t} + s (base_i − mean) + noise ~ N(0, Σ).
Somebody still there at visit t leaves before t+1 with a probability whose logit is `leave_logit` + `leave_slope`·y_it:
missing at random. The analysis is  y ~ base + arm * visit,  Σ unstructured, REML; the contrast is each arm minus the
first at the last visit.

All trials are fitted at once. With drop-out only (monotone gaps) a person who stayed to visit k enters through the
leading k × k block of Σ, and every column of the design is one of u = (1, arms, base) times a vector over visits (V).
So a trial is, per k, nothing but
    U_k = Σ u u',  H_k = Σ u y',  Y_k = Σ y y',  n_k
and each step costs patterns × a power of the visits, whatever the number of people. With W_k = Σ_k⁻¹, C = (X'WX)⁻¹, R_k
the residual products, M_k = V (C ∘ U_k) V' and Q_k = W_k (R_k + M_k) W_k, for elements E, F of Σ:
    −2 REML   Σ n_k log|Σ_k| + tr(W_k R_k) + log|X'WX|
    gradient  Σ tr(E (n_k W_k − Q_k))
    Hessian   Σ [−n_k tr(E W_k F W_k) + 2 tr(E W_k F Q_k)] − tr(C B_E C B_F) − 2 g_E' C g_F,
              B_E = X'WEWX, g_E = X'WEWr
Steps are Newton's (Fisher's where the Hessian is not positive), halved until the likelihood rises. A trial that does not
arrive is told in `converged`, and takes no part in the shares.
Compared with keel.outcomes.mmrm: tests/outcomes/test_trials.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from keel.domain.errors import refuse
from keel.outcomes.columns import BoolArray, FloatArray, IntArray
from keel.outcomes.progress import step

STEPS = 40
CLOSE = 1e-9
CHUNK = 250


@dataclass(frozen=True)
class Scenario:
    """The truth that trials are drawn from: `people` per arm, `means` (arms × visits), `sigma` (visits × visits)."""

    people: tuple[int, ...]
    means: tuple[tuple[float, ...], ...]
    sigma: tuple[tuple[float, ...], ...]
    baseline_mean: float = 30.0
    baseline_sd: float = 5.0
    baseline_slope: float = 0.3
    leave_logit: float = -3.0
    leave_slope: float = 0.0

    @property
    def visits(self) -> int:
        return len(self.sigma)


@dataclass(frozen=True)
class Trials:
    """Simulated data: y (B × n × T, 0 after leaving), `stayed` (B × n) visits seen, arm (n), base (B × n)."""

    y: FloatArray
    stayed: IntArray
    arm: IntArray
    base: FloatArray
    arms: int


@dataclass(frozen=True)
class Outcomes:
    """Per trial (B × (arms − 1)): the difference to the first arm at the last visit, with its test."""

    estimate: FloatArray
    se: FloatArray
    df: FloatArray
    p: FloatArray
    m2loglik: FloatArray
    converged: BoolArray


@dataclass(frozen=True)
class Verdict:
    """What the trials decided: share significant at `alpha` per arm with its Monte Carlo error, bias and coverage."""

    trials: int
    converged: int
    significant: FloatArray
    monte_carlo_se: FloatArray
    bias: FloatArray
    coverage: FloatArray


def simulate(scenario: Scenario, trials: int, *, seed: int) -> Trials:
    """Draw `trials` trials. Refuses a scenario that contradicts itself."""
    _check(scenario, trials)
    rng = np.random.default_rng(seed)
    arm = np.repeat(np.arange(len(scenario.people)), scenario.people)
    n, visits = len(arm), scenario.visits
    base = rng.normal(scenario.baseline_mean, scenario.baseline_sd, (trials, n))
    noise = rng.standard_normal((trials, n, visits)) @ np.linalg.cholesky(np.array(scenario.sigma)).T
    y = np.array(scenario.means)[arm] + noise
    y += scenario.baseline_slope * (base - scenario.baseline_mean)[:, :, None]
    leaves = rng.random((trials, n, visits)) < 1 / (1 + np.exp(-scenario.leave_logit - scenario.leave_slope * y))
    # Everybody is seen at the first visit; leaving after visit t hides t+1 and what follows.
    gone = np.cumsum(leaves[:, :, : visits - 1], axis=2) > 0
    stayed = 1 + (~gone).sum(axis=2)
    y[:, :, 1:][gone] = 0.0
    return Trials(y, stayed, arm, base, len(scenario.people))


def _check(scenario: Scenario, trials: int) -> None:
    sigma, means = np.array(scenario.sigma), np.array(scenario.means)
    square = sigma.ndim == 2 and sigma.shape[0] == sigma.shape[1] and np.allclose(sigma, sigma.T)
    if not square or sigma.shape[0] < 2 or np.linalg.eigvalsh(sigma).min() <= 0:
        raise refuse("The trials were not simulated", "sigma is not a covariance of two visits or more", where="sigma")
    if len(scenario.people) < 2 or means.shape != (len(scenario.people), len(sigma)):
        raise refuse(
            "The trials were not simulated", "means are not one row per arm and one column per visit", where="means"
        )
    if min(scenario.people) < 2 or sum(scenario.people) <= len(sigma) + len(scenario.people) + 1 or trials < 1:
        raise refuse("The trials were not simulated", "there are too few people, or no trial", where="people")


def analyse(trials: Trials) -> Outcomes:
    """Fit every trial. Works through them a few hundred at a time, so that memory stays small."""
    parts = []
    count = len(trials.y)
    for start in range(0, count, CHUNK):
        rows = slice(start, start + CHUNK)
        parts.append(_fitted(Trials(trials.y[rows], trials.stayed[rows], trials.arm, trials.base[rows], trials.arms)))
        step("Fitting simulated trials", min(count, start + CHUNK), count)
    joined = [np.concatenate([getattr(p, name) for p in parts]) for name in Outcomes.__dataclass_fields__]
    return Outcomes(*joined)


def verdict(outcomes: Outcomes, truth: FloatArray, *, alpha: float = 0.05) -> Verdict:
    """Shares over the trials that converged; `truth` is the true difference of each arm at the last visit."""
    good = outcomes.converged
    if not good.any():
        raise refuse("The trials have no verdict", "none of them could be fitted", where="trials")
    estimate, se, df, p = (a[good] for a in (outcomes.estimate, outcomes.se, outcomes.df, outcomes.p))
    count = int(good.sum())
    share = (p < alpha).mean(axis=0)
    half = stats.t.ppf(1 - alpha / 2, df) * se
    covered = (np.abs(estimate - truth) <= half).mean(axis=0)
    error = np.sqrt(np.maximum(share * (1 - share), 1 / count) / count)
    return Verdict(len(good), count, share, error, (estimate - truth).mean(axis=0), covered)


# ---- the fit ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sums:
    """Per trial and length of stay (B × K × …), with the design: column c is u[which[c]] times shape[:, c]."""

    n: FloatArray
    u: FloatArray
    h: FloatArray
    y: FloatArray
    which: IntArray
    shape: FloatArray
    elements: FloatArray


@dataclass(frozen=True)
class _Point:
    """What one Σ gives for every trial; `m2loglik` is infinite where Σ is not positive."""

    m2loglik: FloatArray
    w: FloatArray
    c: FloatArray
    beta: FloatArray
    gap: FloatArray
    residual: FloatArray


def _fitted(trials: Trials) -> Outcomes:
    sums = _summed(trials)
    sigma = _start(sums)
    point = _at(sums, sigma)
    done = np.zeros(len(sigma), dtype=bool)
    for turn in range(STEPS):
        gradient, hessian, fisher, _ = _slopes(sums, sigma, point, fisher_only=turn == 0)
        move = _direction(gradient, hessian, fisher)
        decrement = np.einsum("be,be->b", gradient, move)
        done = np.isfinite(point.m2loglik) & (decrement < CLOSE)
        if done.all():
            break
        move[done] = 0.0
        sigma, point = _stepped(sums, sigma, point, move)
    return _tested(sums, sigma, point, done, trials.arms)


def _summed(trials: Trials) -> _Sums:
    count, n, visits = trials.y.shape
    dummies = (trials.arm[:, None] == np.arange(1, trials.arms)[None, :]).astype(np.float64)
    # The baseline is centred per trial: only the intercepts of the visits move, and the sums keep their digits.
    base = trials.base - trials.base.mean(axis=1, keepdims=True)
    fixed = np.column_stack([np.ones(n), dummies])
    u = np.concatenate([np.broadcast_to(fixed, (count, *fixed.shape)), base[:, :, None]], axis=2)
    z = np.concatenate([u, trials.y], axis=2)
    stays = (trials.stayed[:, None, :] == np.arange(1, visits + 1)[None, :, None]).astype(np.float64)
    products = np.stack([(z * stays[:, k, :, None]).transpose(0, 2, 1) @ z for k in range(visits)], axis=1)
    q = u.shape[2]
    which = np.concatenate([np.repeat(np.arange(q - 1), visits), [q - 1]])
    shape = np.column_stack([np.tile(np.eye(visits), (1, q - 1)), np.ones(visits)])
    rows, columns = np.tril_indices(visits)
    elements = np.zeros((len(rows), visits, visits))
    elements[np.arange(len(rows)), rows, columns] = 1.0
    elements[np.arange(len(rows)), columns, rows] = 1.0
    return _Sums(
        stays.sum(axis=2),
        products[:, :, :q, :q],
        products[:, :, :q, q:],
        products[:, :, q:, q:],
        which,
        shape,
        elements,
    )


def _start(sums: _Sums) -> FloatArray:
    """Covariances of what is there of each pair of visits, pulled towards their diagonal until they are positive."""
    visits = sums.y.shape[-1]
    later = np.cumsum(sums.u[:, ::-1], axis=1)[:, ::-1]
    h, y = np.cumsum(sums.h[:, ::-1], axis=1)[:, ::-1], np.cumsum(sums.y[:, ::-1], axis=1)[:, ::-1]
    n = np.cumsum(sums.n[:, ::-1], axis=1)[:, ::-1]
    ridge = 1e-9 * np.eye(later.shape[-1])
    sigma = np.empty((len(later), visits, visits))
    for t in range(visits):
        slopes = np.linalg.solve(later[:, t] + ridge, h[:, t])
        left = y[:, t] - h[:, t].transpose(0, 2, 1) @ slopes
        df = np.maximum(n[:, t] - later.shape[-1], 1.0)
        sigma[:, t, : t + 1] = left[:, t, : t + 1] / df[:, None]
        sigma[:, : t + 1, t] = sigma[:, t, : t + 1]
    diagonal = np.einsum("bii->bi", sigma)
    diagonal[...] = np.maximum(diagonal, 1e-8 * diagonal.max(axis=1, keepdims=True))
    apart = np.eye(visits) * sigma
    for _ in range(30):
        bad = np.linalg.eigvalsh(sigma).min(axis=1) <= 1e-4 * diagonal.min(axis=1)
        if not bad.any():
            break
        sigma[bad] = 0.8 * sigma[bad] + 0.2 * apart[bad]
    return sigma


def _at(sums: _Sums, sigma: FloatArray) -> _Point:
    count, visits = sigma.shape[:2]
    positive = np.linalg.eigvalsh(sigma).min(axis=1) > 0
    safe = np.where(positive[:, None, None], sigma, np.eye(visits))
    w = np.zeros((count, visits, visits, visits))
    logs = np.empty((count, visits))
    for k in range(visits):
        block = safe[:, : k + 1, : k + 1]
        w[:, k, : k + 1, : k + 1] = np.linalg.inv(block)
        logs[:, k] = np.linalg.slogdet(block)[1]
    seen = w @ sums.shape
    information = np.einsum("bkcd,bkcd->bcd", sums.shape.T @ seen, _columns(sums, sums.u), optimize=True)
    right = np.einsum("bktc,bkct->bc", seen, sums.h[:, :, sums.which, :], optimize=True)
    c = np.linalg.inv(information)
    beta = (c @ right[:, :, None])[:, :, 0]
    by_visit = np.zeros((count, sums.u.shape[-1], visits))
    for column, basis in enumerate(sums.which):
        by_visit[:, basis] += beta[:, column, None] * sums.shape[:, column]
    gap = sums.h - sums.u @ by_visit[:, None]
    across = sums.h.transpose(0, 1, 3, 2) @ by_visit[:, None]
    residual = sums.y - across - by_visit.transpose(0, 2, 1)[:, None] @ gap
    m2loglik = (sums.n * logs).sum(axis=1) + np.einsum("bkst,bkts->b", w, residual, optimize=True)
    m2loglik += np.linalg.slogdet(information)[1]
    return _Point(np.where(positive, m2loglik, np.inf), w, c, beta, gap, residual)


def _columns(sums: _Sums, u: FloatArray) -> FloatArray:
    """Sums over u spread to the columns of the design."""
    return np.asarray(u[..., sums.which[:, None], sums.which[None, :]])


def _slopes(
    sums: _Sums, sigma: FloatArray, point: _Point, *, fisher_only: bool = False
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Gradient (B × E), observed and expected Hessian (B × E × E) of −2 REML, and B_E (B × E × p × p)."""
    count, visits = sigma.shape[:2]
    size = len(sums.elements)
    gradient, observed, expected = np.zeros((count, size)), np.zeros((count, size, size)), np.zeros((count, size, size))
    p = len(sums.which)
    b, g = np.zeros((count, size, p, p)), np.zeros((count, size, p))
    spread = _columns(sums, sums.u)
    for k in range(visits):
        w = point.w[:, k]
        m = sums.shape @ (point.c * spread[:, k]) @ sums.shape.T
        wide = w @ m @ w
        q = w @ point.residual[:, k] @ w + wide
        n = sums.n[:, k, None, None]
        gradient += np.einsum("bst,ets->be", n * w - q, sums.elements, optimize=True)
        e_w = (sums.elements @ w[:, None]).reshape(count, size, -1)
        turned = (w[:, None] @ sums.elements).reshape(count, size, -1)
        # tr(E W F X) is the product of EW with (XE)' laid out flat, for X = W, Q and W M W.
        plain = n * (e_w @ turned.transpose(0, 2, 1))
        of_q = e_w @ (q[:, None] @ sums.elements).reshape(count, size, -1).transpose(0, 2, 1)
        of_m = e_w @ (wide[:, None] @ sums.elements).reshape(count, size, -1).transpose(0, 2, 1)
        observed += 2 * of_q - plain
        expected += plain - 2 * of_m
        a = turned.reshape(count, size, visits, visits) @ w[:, None]
        a_v = a @ sums.shape
        b += (sums.shape.T @ a_v) * spread[:, k, None]
        g += np.einsum("betc,bct->bec", a_v, point.gap[:, k][:, sums.which, :], optimize=True)
    c_b = (point.c[:, None] @ b).reshape(count, size, -1)
    b_c = (b @ point.c[:, None]).reshape(count, size, -1)
    twice = c_b @ b_c.transpose(0, 2, 1)
    observed += -twice - 2 * g @ point.c @ g.transpose(0, 2, 1)
    expected += twice
    return gradient, expected if fisher_only else observed, expected, b


def _direction(gradient: FloatArray, hessian: FloatArray, fisher: FloatArray) -> FloatArray:
    """Newton's step where the Hessian is positive, else Fisher's."""
    lowest = np.linalg.eigvalsh(hessian)
    chosen = np.where((lowest[:, 0] > 1e-10 * lowest[:, -1])[:, None, None], hessian, fisher)
    return np.asarray(np.linalg.solve(chosen, gradient[:, :, None])[:, :, 0])


def _stepped(sums: _Sums, sigma: FloatArray, point: _Point, move: FloatArray) -> tuple[FloatArray, _Point]:
    share = np.ones(len(sigma))
    change = np.einsum("be,est->bst", move, sums.elements)
    for _ in range(12):
        candidate = sigma - share[:, None, None] * change
        found = _at(sums, candidate)
        worse = ~(found.m2loglik <= point.m2loglik + 1e-9 * np.abs(point.m2loglik))
        if not worse.any():
            return candidate, found
        share[worse] /= 2
    # What still is worse stays where it was: it ends as not converged.
    candidate[worse] = sigma[worse]
    return candidate, _at(sums, candidate)


def _tested(sums: _Sums, sigma: FloatArray, point: _Point, done: BoolArray, arms: int) -> Outcomes:
    visits = sigma.shape[1]
    _, observed, _, b = _slopes(sums, sigma, point)
    inverse = 2 * np.linalg.inv(observed)
    estimate, se, df = (np.empty((len(sigma), arms - 1)) for _ in range(3))
    for index in range(arms - 1):
        column = (index + 1) * visits + visits - 1
        along = point.c[:, :, column]
        variance = point.c[:, column, column]
        slope = np.einsum("bp,bepq,bq->be", along, b, along, optimize=True)
        estimate[:, index], se[:, index] = point.beta[:, column], np.sqrt(variance)
        df[:, index] = 2 * variance**2 / np.einsum("be,bef,bf->b", slope, inverse, slope, optimize=True)
    with np.errstate(invalid="ignore"):
        p = np.asarray(2 * stats.t.sf(np.abs(estimate / se), df), dtype=np.float64)
    sound = done & np.isfinite(p).all(axis=1) & (df > 0).all(axis=1)
    values = sums.n @ np.arange(1, visits + 1)
    constant = (values - len(sums.which)) * np.log(2 * np.pi)
    return Outcomes(estimate, se, df, p, point.m2loglik + constant, sound)
