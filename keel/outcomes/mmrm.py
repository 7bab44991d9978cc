"""The mixed model for repeated measures (MMRM): y_i ~ N(X_i beta, Sigma_i), Sigma_i from one Sigma over visits.

    fit = fit_mmrm(table, "chg ~ base + arm * visit", visit="visit", subject="usubjid", df="kenward-roger")
    fit.coefficients(), fit.covariances, fit.m2loglik;  lsmeans.ls_means(fit, "arm", by="visit")

Definitions are those of R's mmrm 0.3 (and of SAS PROC MIXED where the two agree); docs/manual/mmrm.md has them in
formulas. The search for the maximum is Newton's, on exact first and second derivatives (see likelihood).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from keel.domain.errors import Refused, refuse
from keel.outcomes import df as degrees
from keel.outcomes.covariance import (
    COVARIANCES,
    IN_WORDS,
    Array,
    Codes,
    Structure,
    cholesky_curvature,
    is_singular,
)
from keel.outcomes.df import DF_METHODS, Estimate, Inference, JointTest
from keel.outcomes.formula import Factor, parse_formula
from keel.outcomes.likelihood import NEARER, Attempt, Likelihood, Maximum, Patterns, maximise
from keel.outcomes.repeated import RepeatedMeasures, repeated_measures
from keel.outcomes.robust import EMPIRICAL, Sandwich, sandwich

VCOVS = ("asymptotic", *EMPIRICAL, "kenward-roger", "kenward-roger-linear")
METHODS = ("reml", "ml")
INFORMATION = ("observed", "expected")
FARTHEST = 14.0  # -log of a correlation that is as good as zero
ALIASED = 1e-7  # of a column's length: what is left after the columns before it (R's tolerance)


@dataclass(frozen=True)
class Choices:
    """How the model is fitted and what its tests rest on.

    `information` of the covariance parameters behind Satterthwaite and Kenward-Roger: observed (R mmrm, SAS,
    lmerTest) or expected (pbkrtest).
    """

    covariance: str = "us"
    method: str = "reml"
    df: str = "satterthwaite"
    vcov: str = "asymptotic"
    information: str = "observed"


@dataclass(frozen=True)
class GroupCovariance:
    """Sigma of one covariance group: over `visits`, or over two visits a unit of time apart if spatial."""

    group: str
    visits: tuple[str, ...]
    matrix: Array


@dataclass(frozen=True)
class MMRM:
    """A fitted model. `kept` marks the columns of the design that were estimated; the others are aliased."""

    choices: Choices
    data: RepeatedMeasures
    kept: np.ndarray[tuple[int], np.dtype[np.bool_]]
    m2loglik: float
    n_parameters: int
    covariances: tuple[GroupCovariance, ...]
    inference: Inference
    attempts: tuple[Attempt, ...]
    smallest_eigenvalue: float
    notes: tuple[str, ...]
    confidence: float = 0.95

    @property
    def n_obs(self) -> int:
        return len(self.data.y)

    @property
    def n_subjects(self) -> int:
        return self.data.n_subjects

    @property
    def beta(self) -> Array:
        return self.inference.beta

    @property
    def vcov(self) -> Array:
        """Covariance (p, p) of the estimated coefficients, of the kind that was chosen."""
        return self.inference.vcov

    @property
    def terms(self) -> tuple[str, ...]:
        return self.data.coding.names

    def coefficients(self) -> list[tuple[str, Estimate | None]]:
        """Each coefficient by name; None where its column is aliased and cannot be estimated."""
        found = iter(degrees.estimates(self.inference, np.eye(len(self.beta)), confidence=self.confidence))
        return [(name, next(found) if keep else None) for name, keep in zip(self.terms, self.kept, strict=True)]

    def estimates(self, contrasts: Array) -> list[Estimate | None]:
        """Rows of `contrasts` (c, all columns) times the coefficients; None where that cannot be estimated."""
        able = self.estimable(contrasts)
        found = iter(
            degrees.estimates(self.inference, contrasts[able][:, self.kept], confidence=self.confidence)
            if able.any()
            else []
        )
        return [next(found) if one else None for one in able]

    def joint_test(self, contrasts: Array) -> JointTest | None:
        """F test that all rows of `contrasts` (c, all columns) are zero, over all of them and of their combinations
        that can be estimated."""
        able = self.estimable(contrasts)
        rows = contrasts[able]
        if not able.all():
            rows = np.vstack([rows, self._estimable_combinations(contrasts)])
        rows = rows[:, self.kept]
        rows = rows[np.abs(rows).max(1, initial=0.0) > 1e-12]
        return degrees.joint_test(self.inference, rows) if len(rows) else None

    def _estimable_combinations(self, contrasts: Array) -> Array:
        """A basis of what can be estimated in the span of `contrasts`, although its rows cannot: where the cell that
        nobody was seen in belongs to the level all others are compared with, the others can still be compared."""
        length = np.linalg.norm(contrasts, axis=1)[:, None] + 1e-300
        left, values, _ = np.linalg.svd((contrasts / length) @ _null_space(self.data.x))
        rank = int((values > 1e-8).sum())
        return np.asarray(left[:, rank:].T @ (contrasts / length))

    def estimable(self, contrasts: Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        if self.kept.all():
            return np.ones(len(contrasts), dtype=bool)
        null = _null_space(self.data.x)
        size = np.linalg.norm(contrasts, axis=1) + 1e-300
        return np.asarray(np.abs(contrasts @ null).max(1) <= 1e-8 * size)


def fit_mmrm(
    table: pl.DataFrame,
    formula: str,
    *,
    visit: str,
    subject: str,
    covariance: str = "us",
    method: str = "reml",
    df: str = "satterthwaite",
    vcov: str | None = None,
    group: str | None = None,
    weights: str | None = None,
    information: str = "observed",
    confidence: float = 0.95,
) -> MMRM:
    """Fit an MMRM to a table with one row per participant and visit.

    `vcov` defaults to the one that belongs to `df`. Raises Refused, with what and where, for data that cannot
    carry the model and for a search that did not arrive at a proper maximum: there is no result to misread then.
    """
    choices = _choices(covariance, method, df, vcov, information)
    data = repeated_measures(
        table,
        parse_formula(formula),
        visit=visit,
        subject=subject,
        group=group,
        weights=weights,
        spatial=covariance == "sp_exp",
    )
    return fit_repeated(data, choices, confidence=confidence)


def _choices(covariance: str, method: str, df: str, vcov: str | None, information: str) -> Choices:
    for what, given, known in (
        ("covariance", covariance, COVARIANCES),
        ("method", method, METHODS),
        ("df", df, DF_METHODS),
        ("vcov", vcov, (None, *VCOVS)),
        ("information", information, INFORMATION),
    ):
        if given not in known:
            choices = ", ".join(str(one) for one in known if one)
            raise refuse(f"There is no {what} {given!r}", f"Known are {choices}", where=what, code="unknown_choice")
    kenward_roger = df.startswith("kenward-roger")
    chosen = vcov or (df if kenward_roger else "asymptotic")
    if kenward_roger != chosen.startswith("kenward-roger"):
        raise refuse(
            f"{df} degrees of freedom were not combined with a {chosen} covariance",
            "Kenward-Roger corrects the degrees of freedom and the covariance of the coefficients together",
            "Leave out --vcov, or choose kenward-roger or kenward-roger-linear for both",
            where="vcov",
            code="kenward_roger_pair",
        )
    if df == "kenward-roger-linear" and chosen != df:
        raise refuse(
            f"{df} was not combined with a {chosen} covariance",
            "The one leaves out the second derivatives of the covariance, the other takes them in",
            "Leave out --vcov",
            where="vcov",
            code="kenward_roger_pair",
        )
    if kenward_roger and method != "reml":
        raise refuse(
            "Kenward-Roger was not computed",
            "It is defined for REML, and the method is ML",
            "Use --method reml",
            where="method",
            code="kenward_roger_ml",
        )
    return Choices(covariance, method, df, chosen, information)


@dataclass(frozen=True)
class Basis:
    """The design in an orthonormal basis and the response as scaled residuals: what the search works on.

    x = q @ r for the kept columns; y = x @ centre + scale * z. Badly scaled covariates cost no precision this way.
    """

    kept: np.ndarray[tuple[int], np.dtype[np.bool_]]
    q: Array
    r: Array
    centre: Array
    scale: float
    z: Array


def fit_repeated(data: RepeatedMeasures, choices: Choices, *, confidence: float = 0.95) -> MMRM:
    """Fit the model to rows that are already checked (simulations call this directly)."""
    basis = _basis(data)
    padded, patterns, distance = _blocks(data, basis, spatial=choices.covariance == "sp_exp")
    m = len(data.visit.levels) if isinstance(data.visit, Factor) else padded.shape[1]
    structures = tuple(
        Structure(choices.covariance, m, None if distance is None else distance[patterns.group == g])
        for g in range(len(data.groups))
    )
    _check_seen_together(data, structures[0], patterns)
    likelihood = Likelihood(padded, patterns, structures, reml=choices.method == "reml")
    maximum = _search(likelihood, padded, data)
    _check_maximum(maximum, likelihood, data)
    return _result(data, choices, basis, padded, likelihood, maximum, confidence)


def _basis(data: RepeatedMeasures) -> Basis:
    x, y = data.x, data.y
    q, r = np.linalg.qr(x)
    kept = independent_columns(r)
    used = x[:, kept]
    if len(y) <= used.shape[1]:
        raise refuse(
            "The model was not fitted",
            f"it has {used.shape[1]} coefficients for {len(y)} rows",
            "Give more data, or a formula with fewer terms",
            where="formula",
            code="too_many_coefficients",
        )
    if not kept.all():
        q, r = np.linalg.qr(used)
    at = q.T @ y
    residual = y - q @ at
    largest = float(np.abs(y).max())
    scale = largest * float(np.sqrt(((residual / largest) ** 2).mean()))
    if scale <= 1e-10 * largest:
        raise refuse(
            "The model was not fitted",
            f"the terms of the formula explain {data.formula.response!r} without any remainder, so there is no "
            "variance to estimate",
            "Look for a term that repeats the response",
            where=data.formula.response,
            code="no_residual",
        )
    return Basis(kept, q, r, np.linalg.solve(r, at), scale, residual / scale)


def independent_columns(r: Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which columns of a matrix add something to those before them, as R's qr decides it, from its factor r."""
    size = np.linalg.norm(r, axis=0)
    if r.shape[0] == r.shape[1] and (np.abs(np.diag(r)) > ALIASED * size).all():
        return np.ones(r.shape[1], dtype=bool)  # the diagonal is what is left of each column after those before it
    kept = np.zeros(r.shape[1], dtype=bool)
    basis = np.empty((r.shape[0], 0))
    for at in range(r.shape[1]):
        rest = r[:, at] - basis @ (basis.T @ r[:, at])
        rest = rest - basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > ALIASED * size[at]:
            kept[at] = True
            basis = np.column_stack([basis, rest / length])
    return kept


def _null_space(x: Array) -> Array:
    _, values, vectors = np.linalg.svd(np.linalg.qr(x / (np.linalg.norm(x, axis=0) + 1e-300), mode="r"))
    rank = int((values > ALIASED * values[0]).sum())
    return np.asarray(vectors[rank:].T / (np.linalg.norm(x, axis=0) + 1e-300)[:, None])


def _blocks(data: RepeatedMeasures, basis: Basis, *, spatial: bool) -> tuple[Array, Patterns, Array | None]:
    """Rows as (n, r, q) blocks of participants, the visit patterns, and the distances in time if spatial."""
    place = _places(data) if spatial else _codes(data)
    r = int(place.max()) + 1
    root = np.sqrt(data.weight)
    z = np.zeros((data.n_subjects, r, basis.q.shape[1] + 1))
    z[data.subject, place, :-1] = root[:, None] * basis.q
    z[data.subject, place, -1] = root * basis.z
    seen = np.zeros((data.n_subjects, r), dtype=bool)
    seen[data.subject, place] = True
    time = np.zeros((data.n_subjects, r))
    if spatial and not isinstance(data.visit, Factor):
        time[data.subject, place] = data.visit
    key = np.column_stack([data.group, seen, time]) if spatial else np.column_stack([data.group, _packed(seen)])
    _, first, of = np.unique(key, axis=0, return_index=True, return_inverse=True)
    of = of.reshape(-1)
    size = np.bincount(of, minlength=len(first)).astype(np.float64)
    patterns = Patterns(seen[first], data.group[first], size, of)
    if not spatial:
        return z, patterns, None
    both = patterns.present[:, :, None] & patterns.present[:, None, :]
    return z, patterns, np.abs(time[first][:, :, None] - time[first][:, None, :]) * both


def _codes(data: RepeatedMeasures) -> Codes:
    assert isinstance(data.visit, Factor)
    return data.visit.codes


def _packed(seen: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Codes:
    return np.packbits(seen, axis=1).astype(np.int64)


def _places(data: RepeatedMeasures) -> Codes:
    """The order of each row among its participant's visits in time."""
    assert not isinstance(data.visit, Factor)
    order = np.lexsort((data.visit, data.subject))
    who = data.subject[order]
    start = np.flatnonzero(np.r_[True, np.diff(who) != 0])
    out = np.empty(len(order), dtype=np.int64)
    out[order] = np.arange(len(order)) - np.repeat(start, np.diff(np.r_[start, len(order)]))
    return out


def _check_seen_together(data: RepeatedMeasures, structure: Structure, patterns: Patterns) -> None:
    """Refuse an unstructured covariance with an element that no participant speaks to."""
    if structure.name != "us" or not isinstance(data.visit, Factor):
        return
    for g, name in enumerate(data.groups):
        seen = patterns.present[patterns.group == g].astype(np.int64)
        together = seen.T @ seen
        never = np.argwhere(np.triu(together == 0))
        if len(never):
            a, b = (data.visit.levels[i] for i in never[0])
            inside = f" in group {name}" if name else ""
            what = f"nobody{inside} was seen at visit {a}" if a == b else f"nobody{inside} was seen at both {a} and {b}"
            raise refuse(
                "The unstructured covariance was not fitted",
                f"{what}, so the data say nothing about that element",
                "Use a structured covariance (toeph, ar1h, csh), or leave the visit out",
                where=f"covariance {a}, {b}",
                code="never_together",
            )


def _search(likelihood: Likelihood, padded: Array, data: RepeatedMeasures) -> Maximum:
    by_group = [padded[data.group == g, :, -1] for g in range(len(data.groups))]
    moments = [_moment_covariance(residual) for residual in by_group]
    within = [_moment_covariance(_about_visit_means(residual)) for residual in by_group]
    starts = {
        "moments of the residuals": moments,
        "spread within visits": within,
        "falling correlation": [_falling(sigma) for sigma in moments],
        "independent visits": [np.diag(np.diag(sigma)) for sigma in moments],
    }
    from_all = likelihood.structures[0].name != "us"
    if not from_all:
        del starts["falling correlation"]
    at = {
        name: np.concatenate([s.start(sigma) for s, sigma in zip(likelihood.structures, sigmas, strict=True)])
        for name, sigmas in starts.items()
    }
    try:
        with np.errstate(all="ignore"):  # a point that is not finite is not taken
            return maximise(likelihood, at, from_all=from_all)
    except FloatingPointError:
        raise _singular(data, "it cannot be evaluated at any start", None) from None


def _about_visit_means(residual: Array) -> Array:
    """Residuals (n, m), zero where missing, without the mean of each visit, which the formula may not hold."""
    seen = residual != 0
    return np.asarray((residual - residual.sum(0) / np.maximum(seen.sum(0), 1)) * seen)


def _falling(sigma: Array) -> Array:
    """The variances of sigma (m, m) with a correlation of 0.7 per visit."""
    sd = np.sqrt(np.diag(sigma))
    return np.asarray(np.outer(sd, sd) * 0.7 ** np.abs(np.subtract.outer(np.arange(len(sd)), np.arange(len(sd)))))


def _moment_covariance(residual: Array) -> Array:
    """Pairwise covariance (m, m) of residuals (n, m), zero where missing, moved inside the positive definite ones."""
    seen = (residual != 0).astype(np.float64)
    together = seen.T @ seen
    raw = residual.T @ residual / np.maximum(together, 1)
    variance = np.maximum(np.diag(raw), 1e-3 * max(float(np.diag(raw).mean()), 1e-12))
    sd = np.sqrt(variance)
    correlation = raw / np.outer(sd, sd)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    mended = (vectors * np.maximum(values, 0.05)) @ vectors.T
    unit = np.sqrt(np.diag(mended))
    return np.asarray(mended / np.outer(unit, unit) * np.outer(sd, sd))


def _check_maximum(maximum: Maximum, likelihood: Likelihood, data: RepeatedMeasures) -> None:
    """Refuse an end of the search that is not a maximum, and a covariance on the edge of the possible."""
    present = likelihood.patterns.present
    for g, (structure, part) in enumerate(zip(likelihood.structures, likelihood.slices, strict=True)):
        for at, sigma in enumerate(structure.sigma(maximum.point.x[part])):
            seen = present[likelihood.members[g][at]] if structure.distance is not None else np.ones(len(sigma), bool)
            if is_singular(sigma[np.ix_(seen, seen)], converged=maximum.converged):
                raise _singular(data, _nearly_same(sigma, data), data.groups[g])
    if not maximum.converged:
        last = maximum.attempts[-1]
        tried = "Tried: " + "; ".join(f"{a.optimiser} from {a.start}, {a.steps} steps" for a in maximum.attempts)
        raise refuse(
            "The model did not converge",
            f"At the end of the search {last.why} (a step would still lower -2 log L by {last.decrement:.2g}). {tried}",
            "Use a simpler covariance, or look at visits with few participants",
            where="convergence",
            code="not_converged",
        )


def _nearly_same(sigma: Array, data: RepeatedMeasures) -> str:
    sd = np.sqrt(np.diag(sigma))
    low = int(np.argmin(sd))
    off = np.abs(np.tril(sigma / np.outer(sd, sd), -1))
    a, b = np.unravel_index(int(np.argmax(off)), off.shape)
    if not isinstance(data.visit, Factor):
        return "the visits of a participant are as good as identical"
    levels = data.visit.levels
    _, vectors = np.linalg.eigh(sigma / np.outer(sd, sd))
    followed = levels[int(np.argmax(np.abs(vectors[:, 0])))]
    if sd[low] < 1e-5 * sd.max():
        return f"there is no variance left at visit {levels[low]}"
    if off[a, b] > 1 - 1e-3:
        return f"visits {levels[int(b)]} and {levels[int(a)]} are as good as identical (correlation {off[a, b]:.6f})"
    return f"visit {followed} follows from the others in the rows there are"


def _singular(data: RepeatedMeasures, why: str, group: str | None) -> Refused:
    inside = f" of group {group}" if group else ""
    return refuse(
        f"The covariance{inside} is singular, and no result is given",
        f"{why[0].upper()}{why[1:]}",
        "Look for visits that were copied, or use a simpler covariance",
        where="covariance",
        code="singular",
    )


def _result(
    data: RepeatedMeasures,
    choices: Choices,
    basis: Basis,
    padded: Array,
    likelihood: Likelihood,
    maximum: Maximum,
    confidence: float,
) -> MMRM:
    at, slopes = maximum.point, maximum.slopes
    n, p = len(data.y), basis.q.shape[1]
    free = n - p if choices.method == "reml" else n
    m2loglik = at.value + free * (np.log(2 * np.pi) + 2 * np.log(basis.scale)) - float(np.log(data.weight).sum())
    if choices.method == "reml":
        m2loglik += 2 * float(np.log(np.abs(np.diag(basis.r))).sum())
    observed = choices.information == "observed"
    information = slopes.hessian if observed else likelihood.information(at, slopes)
    theta_covariance = np.asarray(2 * np.linalg.inv(information), dtype=np.float64)
    robust, vcov = _vcov(choices, padded, likelihood, maximum, theta_covariance)
    back = np.asarray(basis.scale * np.linalg.inv(basis.r), dtype=np.float64)
    inference = Inference(
        method=choices.df,
        beta=basis.centre + back @ at.beta,
        phi=back @ at.phi @ back.T,
        vcov=back @ vcov @ back.T,
        jacobian=back @ slopes.jacobian @ back.T,
        theta_covariance=theta_covariance,
        coefficient_df=_between_within(data, basis.kept),
        residual_df=n - p,
        sandwich=None if robust is None else _in_basis(robust, back),
    )
    _check_degrees(inference, data, basis.kept)
    scale = np.sqrt(np.diag(slopes.hessian))
    aliased = [name for name, keep in zip(data.coding.names, basis.kept, strict=True) if not keep]
    notes = (*data.notes, *_search_notes(maximum.attempts), *_edge_notes(likelihood, at.x))
    if aliased:
        notes += (f"Aliased with earlier columns and not estimated: {', '.join(aliased)}.",)
    return MMRM(
        choices=choices,
        data=data,
        kept=basis.kept,
        m2loglik=float(m2loglik),
        n_parameters=likelihood.n_parameters,
        covariances=_covariances(data, likelihood, at.x, basis.scale),
        inference=inference,
        attempts=maximum.attempts,
        smallest_eigenvalue=float(np.linalg.eigvalsh(slopes.hessian / np.outer(scale, scale))[0]),
        notes=notes,
        confidence=confidence,
    )


def _search_notes(attempts: tuple[Attempt, ...]) -> tuple[str, ...]:
    """What the other starts came to, where it was not the same maximum."""
    best = attempts[-1]
    failed = [f"{a.optimiser} from {a.start} ({a.why})" for a in attempts if not a.arrived]
    lower = [a.value - best.value for a in attempts if a.arrived and a.value > best.value + NEARER]
    notes = []
    if failed:
        notes.append(f"The search did not arrive from every start: {'; '.join(failed)}.")
    if lower:
        notes.append(
            f"The likelihood has more than one maximum; the highest that was found is given, from {best.start}. "
            f"The next has a -2 log L that is higher by {min(lower):.3g}."
        )
    return tuple(notes)


def _edge_notes(likelihood: Likelihood, x: Array) -> tuple[str, ...]:
    """sp_exp cannot follow a negative correlation: the search then ends at zero, its edge."""
    for structure, part in zip(likelihood.structures, likelihood.slices, strict=True):
        if structure.distance is not None:
            nearest = structure.distance[structure.distance > 0].min(initial=np.inf)
            if np.isfinite(nearest) and nearest * np.logaddexp(0.0, -x[part][1]) > FARTHEST:
                return ("The correlation is estimated as zero, the edge of what sp_exp allows.",)
    return ()


def _vcov(
    choices: Choices, padded: Array, likelihood: Likelihood, maximum: Maximum, theta_covariance: Array
) -> tuple[Sandwich | None, Array]:
    """Covariance of the coefficients in the orthonormal basis, of the kind that was chosen."""
    at = maximum.point
    if choices.vcov == "asymptotic":
        return None, at.phi
    if choices.vcov in EMPIRICAL:
        root = np.linalg.cholesky(at.precision + _missing_ones(likelihood.patterns))[likelihood.patterns.of]
        white = root.swapaxes(1, 2) @ padded
        x, residual = white[:, :, :-1], white[:, :, -1] - white[:, :, :-1] @ at.beta
        found = sandwich(choices.vcov, x, residual, at.phi)
        return found, found.covariance
    return None, _kenward_roger(likelihood, maximum, theta_covariance, second_order=choices.vcov == "kenward-roger")


def _missing_ones(patterns: Patterns) -> Array:
    out = np.zeros((*patterns.present.shape, patterns.present.shape[1]))
    k, a = np.nonzero(~patterns.present)
    out[k, a, a] = 1.0
    return out


def _in_basis(robust: Sandwich, back: Array) -> Sandwich:
    """The same in the coordinates of the design: a contrast c becomes back' c."""
    ahead = np.linalg.inv(back)
    return Sandwich(
        back @ robust.covariance @ back.T, robust.adjusted @ ahead, robust.whitened @ ahead, back @ robust.phi @ back.T
    )


def _kenward_roger(likelihood: Likelihood, maximum: Maximum, w: Array, *, second_order: bool) -> Array:
    """Phi + 2 Phi { sum_hj W_hj (Q_hj - P_h Phi P_j - R_hj / 4) } Phi; the linear form leaves R out.

    Contracted over (h, j) before the sum over participants, so that it costs as much as one gradient.
    """
    at, slopes = maximum.point, maximum.slopes
    size = at.precision.shape
    middle = np.zeros(size)
    for structure, part, members in zip(likelihood.structures, likelihood.slices, likelihood.members, strict=True):
        shape = structure.shape(at.x[part])
        own, precision = w[part, part], at.precision[members]
        b, r, k, _ = shape.slopes.shape
        left = (precision @ shape.slopes.reshape(b, r, k * r)).reshape(-1, r * k, r)
        left = (left @ precision).reshape(len(members), r, k * r)  # S^-1 dS_h S^-1, (visit, (h, visit))
        right = np.einsum("bakc,kj->bjac", shape.slopes, own, optimize=True)  # sum_h W_hj dS_h
        inner = left @ right.reshape(b, k * r, r) @ precision
        if second_order:
            inner = inner - _second_order(structure, shape.bends, shape.sigma, own, precision) / 4
        middle[members] = inner
    middle = (middle + middle.swapaxes(1, 2)) / 2
    spread = likelihood.sums.quadratic(middle[:, :, None, :])[0][:-1, :-1]
    k = len(w)
    p = slopes.p.shape[1]
    weighted_p = (w @ slopes.p.reshape(k, -1)).reshape(k, p, p)
    curved = np.einsum("kab,kbc->ac", slopes.p @ at.phi, weighted_p, optimize=True)
    adjusted = at.phi + 2 * at.phi @ (spread - curved) @ at.phi
    return np.asarray((adjusted + adjusted.T) / 2)


def _second_order(structure: Structure, bends: Array | None, sigma: Array, w: Array, precision: Array) -> Array:
    """Sigma^-1 {sum_hj W_hj d2 Sigma_hj} Sigma^-1 for each pattern."""
    if bends is None:
        bend = cholesky_curvature(sigma[0], w)[None]
    else:
        bend = np.einsum("bhjac,hj->bac", bends, w, optimize=True)
    return np.asarray(precision @ bend @ precision)


def _between_within(data: RepeatedMeasures, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Array:
    """Between-within degrees of freedom of each estimated coefficient (p,)."""
    x = data.x[:, kept]
    first = np.empty((data.n_subjects, x.shape[1]))
    first[data.subject[::-1]] = x[::-1]
    within = (x != first[data.subject]).any(0)
    intercept = np.array([name == "(Intercept)" for name, keep in zip(data.coding.names, kept, strict=True) if keep])
    n_within, n_other = int((within & ~intercept).sum()), int((~within | intercept).sum())
    df_between, df_within = data.n_subjects - n_other, len(data.y) - data.n_subjects - n_within
    return np.where(within | intercept, float(df_within), float(df_between))


def _check_degrees(
    inference: Inference, data: RepeatedMeasures, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> None:
    df = degrees.degrees_of_freedom(inference, np.eye(len(inference.beta)))
    variance = np.diag(inference.vcov)
    wrong = np.flatnonzero(~(df > 0) | ~(variance > 0) | ~np.isfinite(df))
    if wrong.size:
        names = [name for name, keep in zip(data.coding.names, kept, strict=True) if keep]
        raise refuse(
            "The tests were not computed",
            f"{degrees.NAMED[inference.method]} leaves no degrees of freedom or no variance for {names[wrong[0]]!r}",
            "Give more participants, or a model with fewer terms",
            where=names[wrong[0]],
            code="no_degrees_of_freedom",
        )


def _covariances(data: RepeatedMeasures, likelihood: Likelihood, x: Array, scale: float) -> tuple[GroupCovariance, ...]:
    out = []
    for name, structure, part in zip(data.groups, likelihood.structures, likelihood.slices, strict=True):
        if isinstance(data.visit, Factor):
            out.append(GroupCovariance(name, data.visit.levels, structure.sigma(x[part])[0] * scale**2))
        else:
            apart = np.array([[[0.0, 1.0], [1.0, 0.0]]])
            unit = Structure(structure.name, 2, apart).sigma(x[part])[0] * scale**2
            out.append(GroupCovariance(name, ("0", "1"), unit))
    return tuple(out)


def in_words(choices: Choices) -> str:
    return f"{IN_WORDS[choices.covariance]} covariance, {choices.method.upper()}, {degrees.NAMED[choices.df]}"
