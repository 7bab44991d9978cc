"""Missing outcomes imputed many times: at random, or as the reference arm would have fared.

Outcome at T visits of person i with covariates and arm in x_i (q, with intercept; every effect has a value per visit):
    y_i ~ N(B'x_i, Σ),  one Σ for all arms.
Draws of (B, Σ): data augmentation under the prior |Σ|^{−(T+1)/2},
    Y_mis | B, Σ     normal, given what the person has
    Σ | Y            inverse Wishart(residual cross products, n − q)
    B | Σ, Y         matrix normal about (X'X)⁻¹X'Y with (X'X)⁻¹ ⊗ Σ
in many chains side by side (a burn-in each, then every THIN-th state).
Imputation of person i last seen at visit d: the missing part of N(m_i, Σ) given the observed part, with m_i
    MAR   own arm throughout                      J2R   own arm to d, reference arm after     (jump to reference)
    CR    reference arm throughout                CIR   own arm to d, then own at d + increments of the reference arm
    LMCF  own arm to d, then its mean at d carried forward
Gaps before d are imputed with the rest of that vector. Somebody never seen has d = 0: J2R, CIR and CR are then the
reference arm, LMCF is MAR.
Delta: a number added to what was imputed outside the reference arm; the tipping point is the first that turns p.

Analysis of one completed trial: analysis of covariance at one visit, arm + covariates. Rubin's rules:
    Q̄ = mean,  T = W + (1 + 1/m) B,  λ = (1 + 1/m) B/T
    ν = 1/(1/ν_m + 1/ν_obs),  ν_m = (m−1)/λ²,  ν_obs = (1−λ) ν_com (ν_com+1)/(ν_com+3)    (Barnard and Rubin)
`conditional_mean` is the other theory: one imputation by conditional means at the REML estimates, error by jackknife
over people (the sampling error of the reference-based estimate, smaller than Rubin's). Both estimate the same; say
which error is printed.

Sources: Carpenter, Roger and Kenward 2013 (doi:10.1080/10543406.2013.834911); Schafer 1997; Barnard and Rubin 1999
(doi:10.1093/biomet/86.4.948); Wolbers 2022 (doi:10.1002/pst.2234).
Compared with SAS, rbmi and nlme: docs/manual/imputation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from keel.domain.errors import Refused, refuse
from keel.outcomes.columns import BoolArray, FloatArray, IntArray, check_full_rank, design, is_constant, numbers, texts
from keel.outcomes.covariance import is_singular
from keel.outcomes.mmrm import fit_mmrm
from keel.outcomes.progress import step

STRATEGIES = ("MAR", "J2R", "CIR", "CR", "LMCF")
CHAINS, BURN_IN, THIN = 100, 200, 20


@dataclass(frozen=True)
class Repeated:
    """A trial laid out: y (n × T, NaN missing), arm codes (n) into `arms`, covariates (n × k, complete)."""

    subjects: tuple[str, ...]
    visits: tuple[str, ...]
    arms: tuple[str, ...]
    arm: IntArray
    y: FloatArray
    covariates: FloatArray
    labels: tuple[str, ...]

    @property
    def missing(self) -> BoolArray:
        return np.isnan(self.y)

    @property
    def last_seen(self) -> IntArray:
        """How many visits lie up to and including the last observed one; 0 for somebody never seen."""
        seen = ~self.missing
        return np.where(seen.any(axis=1), self.y.shape[1] - np.argmax(seen[:, ::-1], axis=1), 0).astype(np.int64)

    def design(self, arm: IntArray | None = None) -> FloatArray:
        """n × q: intercept, 0/1 columns of every arm but the first, covariates; `arm` replaces everybody's arm."""
        codes = self.arm if arm is None else arm
        dummies = (codes[:, None] == np.arange(1, len(self.arms))[None, :]).astype(np.float64)
        return np.column_stack([np.ones(len(self.y)), dummies, self.covariates])


@dataclass(frozen=True)
class Parameters:
    """Draws of the model: beta (D × q × T) and sigma (D × T × T)."""

    beta: FloatArray
    sigma: FloatArray


@dataclass(frozen=True)
class Result:
    """A difference to the reference arm at one visit, with the theory behind its standard error in `error`."""

    arm: str
    reference: str
    visit: str
    strategy: str
    estimate: float
    se: float
    df: float
    t: float
    p: float
    ci_low: float
    ci_high: float
    error: str
    imputations: int
    seed: int | None
    missing_information: float | None


def lay_out(
    table: pl.DataFrame,
    *,
    subject: str,
    visit: str,
    arm: str,
    outcome: str,
    covariates: Sequence[str] = (),
    visits: Sequence[str] = (),
) -> Repeated:
    """From one row per person and visit (absent rows and empty outcomes are missing) to people × visits.

    `visits` gives their order (else sorted as text). Refuses a visit twice, an arm or covariate that changes within a
    person, and a covariate that is missing.
    """
    who, when, which = texts(table, subject), texts(table, visit), texts(table, arm)
    values = numbers(table, outcome)
    given = design(table, covariates, intercept=False)
    for header, column in ((subject, who), (visit, when), (arm, which)):
        if None in column:
            raise refuse(f"Column {header!r} was not used", f"row {column.index(None) + 1} is empty", where=header)
    people = sorted({str(w) for w in who})
    order = tuple(visits) or tuple(sorted({str(w) for w in when}))
    arms = tuple(sorted({str(a) for a in which}))
    row_of = {person: i for i, person in enumerate(people)}
    y = np.full((len(people), len(order)), np.nan)
    filled = np.zeros(y.shape, dtype=bool)
    codes = np.full(len(people), -1, dtype=np.int64)
    held = np.full((len(people), given.matrix.shape[1]), np.nan)
    for row, (person, moment, name) in enumerate(zip(who, when, which, strict=True)):
        if moment not in order:
            continue
        i, t = row_of[str(person)], order.index(str(moment))
        if filled[i, t]:
            raise refuse(
                f"{person} has visit {moment} twice", "each visit counts once", where=f"{visit}, row {row + 1}"
            )
        if codes[i] >= 0 and (codes[i] != arms.index(str(name)) or not np.array_equal(held[i], given.matrix[row])):
            raise refuse(
                f"{person} changes arm or covariate between visits",
                "both belong to the person",
                "Give the values at baseline on every row",
                where=f"{subject}, row {row + 1}",
            )
        codes[i], held[i] = arms.index(str(name)), given.matrix[row]
        y[i, t], filled[i, t] = values[row], True
    known = codes >= 0
    laid = Repeated(
        tuple(p for p, k in zip(people, known, strict=True) if k),
        order,
        arms,
        codes[known],
        y[known],
        held[known],
        given.labels,
    )
    _check(laid)
    return laid


def _check(trial: Repeated) -> None:
    if np.isnan(trial.covariates).any():
        row, column = (int(v[0]) for v in np.nonzero(np.isnan(trial.covariates)))
        raise refuse(
            "The outcomes were not imputed",
            f"{trial.subjects[row]} has no {trial.labels[column]}",
            "Covariates must be complete",
            where=trial.labels[column],
        )
    if len(trial.arms) < 2:
        raise refuse("The outcomes were not imputed", f"there is {len(trial.arms)} arm", "Give two", where="arm")
    x = trial.design()
    check_full_rank(x, ["intercept", *trial.arms[1:], *trial.labels])
    for t, name in enumerate(trial.visits):
        seen = ~trial.missing[:, t]
        fewest = min(int(seen[trial.arm == code].sum()) for code in range(len(trial.arms)))
        if fewest < 2 or seen.sum() <= x.shape[1] + len(trial.visits):
            raise refuse(
                "The outcomes were not imputed",
                f"at visit {name} there are {int(seen.sum())} values, and {fewest} in one arm",
                "Leave that visit out",
                where=name,
                code="too-few",
            )
        if is_constant(trial.y[seen, t]):
            raise refuse(
                "The outcomes were not imputed", f"every value at visit {name} is the same", where=name, code="constant"
            )
        left = trial.y[seen, t] - x[seen] @ np.linalg.lstsq(x[seen], trial.y[seen, t], rcond=None)[0]
        if float(np.abs(left).max()) <= 1e-12 * float(np.abs(trial.y[seen, t]).max()):
            raise refuse(
                "The outcomes were not imputed",
                f"arm and covariates explain every value at visit {name} exactly",
                "Look for a covariate that repeats the outcome",
                where=name,
                code="no_residual",
            )

    seen = (~trial.missing).astype(np.int64)
    never = np.argwhere(np.triu(seen.T @ seen == 0))
    if len(never):
        one, other = (trial.visits[t] for t in never[0])
        raise refuse(
            "The outcomes were not imputed",
            f"nobody was seen at both {one} and {other}, so nothing says how they go together",
            "Leave one of the two visits out",
            where=f"{one}, {other}",
            code="never_together",
        )


def _code(trial: Repeated, reference: str) -> int:
    if reference not in trial.arms:
        raise refuse(
            f"There is no arm {reference!r}", "nobody is in it", f"Arms: {', '.join(trial.arms)}", where="reference"
        )
    return trial.arms.index(reference)


# ---- draws of the model ---------------------------------------------------------------------------------


def draw_parameters(trial: Repeated, draws: int, *, seed: int) -> Parameters:
    """`draws` approximately independent draws of (B, Σ)."""
    if not 2 <= draws <= 100_000:
        raise refuse(f"{draws} imputations were not made", "2 is the least and 100,000 the most", where="imputations")
    rng = np.random.default_rng(seed)
    chains = min(CHAINS, draws)
    rounds = -(-draws // chains)
    x = trial.design()
    y = np.broadcast_to(_first_guess(trial, x), (chains, *trial.y.shape)).copy()
    patterns = _patterns(trial)
    kept_beta, kept_sigma = [], []
    steps = BURN_IN + rounds * THIN
    basis, root = _rooted(x)
    for turn in range(1, steps + 1):
        try:
            gamma, sigma = _draw_given_complete(y, basis, rng)
            if turn < steps:
                _fill(y, basis @ gamma, sigma, patterns, rng)
        except np.linalg.LinAlgError:
            raise _singular() from None
        if turn > BURN_IN and (turn - BURN_IN) % THIN == 0:
            kept_beta.append(root @ gamma)
            kept_sigma.append(sigma)
        if turn % 10 == 0:
            step("Drawing imputations", turn, steps)
    if is_singular(np.median(sigma, axis=0), converged=True):
        raise _singular()
    return Parameters(np.concatenate(kept_beta)[:draws], np.concatenate(kept_sigma)[:draws])


def _singular() -> Refused:
    return refuse(
        "The outcomes were not imputed",
        "what one visit leaves unexplained follows exactly from another visit, or from the covariates",
        "Look for visits that were copied, or for a covariate that repeats the outcome",
        where="outcome",
        code="singular",
    )


def _rooted(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Orthonormal columns q and a lower triangular root with q = x root, root root' = (x'x)⁻¹. Covariates far from 0 lose no digits so."""
    q, r = np.linalg.qr(x[:, ::-1])
    sign = np.where(np.diag(r) < 0, -1.0, 1.0)
    return (q * sign)[:, ::-1], np.linalg.inv((sign[:, None] * r)[::-1, ::-1])


def _first_guess(trial: Repeated, x: FloatArray) -> FloatArray:
    y = trial.y.copy()
    for t in range(y.shape[1]):
        seen = ~np.isnan(y[:, t])
        y[~seen, t] = x[~seen] @ np.linalg.lstsq(x[seen], y[seen, t], rcond=None)[0]
    return y


def _patterns(trial: Repeated) -> list[tuple[IntArray, BoolArray]]:
    """Rows that miss the same visits, with those visits; complete rows are left out."""
    kinds, which = np.unique(trial.missing, axis=0, return_inverse=True)
    return [(np.flatnonzero(which.ravel() == k), kind) for k, kind in enumerate(kinds) if kind.any()]


def _draw_given_complete(y: FloatArray, basis: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """One draw of (B, Σ) per chain from completed outcomes (C × n × T); B in the orthonormal `basis`."""
    chains, n, visits = y.shape
    q = basis.shape[1]
    centre = basis.T @ y
    residual = y - basis @ centre
    root = np.linalg.cholesky(residual.transpose(0, 2, 1) @ residual)
    # Bartlett: with A lower triangular, A A' is Wishart(I); C A'⁻¹ is then a root of the inverse Wishart.
    a = np.zeros((chains, visits, visits))
    below = np.tril_indices(visits, -1)
    a[:, below[0], below[1]] = rng.standard_normal((chains, len(below[0])))
    a[:, range(visits), range(visits)] = np.sqrt(rng.chisquare(n - q - np.arange(visits), size=(chains, visits)))
    factor = np.linalg.solve(a, root.transpose(0, 2, 1)).transpose(0, 2, 1)
    noise = rng.standard_normal((chains, q, visits))
    gamma = centre + noise @ factor.transpose(0, 2, 1)
    return gamma, factor @ factor.transpose(0, 2, 1)


def _fill(
    y: FloatArray,
    mean: FloatArray,
    sigma: FloatArray,
    patterns: list[tuple[IntArray, BoolArray]],
    rng: np.random.Generator | None,
) -> None:
    """Draw the missing part of N(mean, Σ) given the observed into y (D × n × T); its mean where rng is None."""
    for rows, missing in patterns:
        gone, seen = np.flatnonzero(missing), np.flatnonzero(~missing)
        part = mean[:, rows][:, :, gone]
        left = sigma[:, gone][:, :, gone]
        if seen.size:
            across = sigma[:, seen][:, :, gone]
            slope = np.linalg.solve(sigma[:, seen][:, :, seen], across)
            part = part + (y[:, rows][:, :, seen] - mean[:, rows][:, :, seen]) @ slope
            left = left - across.transpose(0, 2, 1) @ slope
        if rng is not None:
            noise = rng.standard_normal((len(y), len(rows), len(gone)))
            part = part + noise @ np.linalg.cholesky(left).transpose(0, 2, 1)
        y[:, rows[:, None], gone] = part


# ---- imputation under a strategy ------------------------------------------------------------------------


def strategy_means(trial: Repeated, beta: FloatArray, strategy: str | Sequence[str], reference: str) -> FloatArray:
    """m_i for every draw and person (D × n × T). `strategy` is one name, or one per person."""
    chosen = [strategy] * len(trial.y) if isinstance(strategy, str) else list(strategy)
    for name in sorted(set(chosen)):
        if name not in STRATEGIES:
            raise refuse(f"There is no strategy {name!r}", "it is not known", f"Known: {', '.join(STRATEGIES)}")
    own = trial.design() @ beta
    other = trial.design(np.full(len(trial.y), _code(trial, reference))) @ beta
    seen = trial.last_seen
    after = np.arange(trial.y.shape[1])[None, :] >= seen[:, None]
    never = seen == 0
    at = np.maximum(seen - 1, 0)
    person = np.arange(len(trial.y))
    own_at, other_at = own[:, person, at][:, :, None], other[:, person, at][:, :, None]
    gained = np.where(never[None, :, None], other, own_at + other - other_at)
    means = {
        "MAR": own,
        "J2R": np.where(after, other, own),
        "CR": other,
        "CIR": np.where(after, gained, own),
        "LMCF": np.where(after & ~never[:, None], np.broadcast_to(own_at, own.shape), own),
    }
    result = np.empty_like(own)
    for name in set(chosen):
        rows = np.array([c == name for c in chosen])
        result[:, rows] = means[name][:, rows]
    return result


def impute(
    trial: Repeated, parameters: Parameters, strategy: str | Sequence[str], *, reference: str, seed: int | None
) -> FloatArray:
    """Completed outcomes, D × n × T; `seed` None puts conditional means in place of draws."""
    means = strategy_means(trial, parameters.beta, strategy, reference)
    y = np.broadcast_to(trial.y, means.shape).copy()
    rng = None if seed is None else np.random.default_rng(seed)
    _fill(y, means, parameters.sigma, _patterns(trial), rng)
    return y


# ---- analysis and pooling -------------------------------------------------------------------------------


def ancova(trial: Repeated, y: FloatArray, arm: str, reference: str) -> tuple[FloatArray, FloatArray, int]:
    """Arm minus reference, adjusted, for completed outcomes at one visit (D × n): estimates, variances, df."""
    x = trial.design()
    contrast = np.zeros(x.shape[1])
    for name, sign in ((arm, 1.0), (reference, -1.0)):
        code = _code(trial, name)
        if code:
            contrast[code] = sign
    basis, root = _rooted(x)
    gamma = y @ basis
    residual = y - gamma @ basis.T
    df = len(x) - x.shape[1]
    across = contrast @ root
    return gamma @ across, (residual**2).sum(axis=1) / df * float(across @ across), df


@dataclass(frozen=True)
class Combined:
    """Rubin's rules on m estimates."""

    estimate: float
    se: float
    df: float
    missing_information: float


def rubin(estimates: FloatArray, variances: FloatArray, df_complete: float) -> Combined:
    """Combine m estimates and their variances; df by Barnard and Rubin."""
    m = len(estimates)
    within, between = float(variances.mean()), float(estimates.var(ddof=1))
    total = within + (1 + 1 / m) * between
    share = (1 + 1 / m) * between / total
    observed = (1 - share) * df_complete * (df_complete + 1) / (df_complete + 3)
    df = 1 / (share**2 / (m - 1) + 1 / observed)
    return Combined(float(estimates.mean()), total**0.5, df, share)


def multiple_imputation(
    trial: Repeated,
    parameters: Parameters,
    *,
    arm: str,
    reference: str,
    strategy: str | Sequence[str] = "MAR",
    visit: str | None = None,
    delta: float = 0.0,
    seed: int = 1,
    level: float = 0.95,
) -> Result:
    """Impute with every draw, analyse at `visit` (the last), combine; `delta` as in `tipping`."""
    return tipping(
        trial,
        parameters,
        [delta],
        arm=arm,
        reference=reference,
        strategy=strategy,
        visit=visit,
        seed=seed,
        level=level,
    )[0]


def tipping(
    trial: Repeated,
    parameters: Parameters,
    deltas: Sequence[float],
    *,
    arm: str,
    reference: str,
    strategy: str | Sequence[str] = "MAR",
    visit: str | None = None,
    seed: int = 1,
    level: float = 0.95,
) -> tuple[Result, ...]:
    """The same imputations with each of `deltas` added to what was imputed outside the reference arm."""
    t = _visit(trial, visit)
    completed = impute(trial, parameters, strategy, reference=reference, seed=seed)[:, :, t]
    shifted = _shifted(trial, t, reference)
    results = []
    for delta in deltas:
        estimates, variances, df = ancova(trial, completed + delta * shifted, arm, reference)
        pooled = rubin(estimates, variances, df)
        about = (arm, reference, trial.visits[t], _labelled(strategy, delta))
        results.append(
            _result(about, pooled.estimate, pooled.se, pooled.df, level, "Rubin", len(estimates), seed, pooled)
        )
    return tuple(results)


def _shifted(trial: Repeated, t: int, reference: str) -> FloatArray:
    """1 for those whose outcome at visit t is imputed and who are not in the reference arm."""
    outside = trial.missing[:, t] & (trial.arm != _code(trial, reference))
    return np.asarray(outside, dtype=np.float64)


def _labelled(strategy: str | Sequence[str], delta: float) -> str:
    name = strategy if isinstance(strategy, str) else "by person"
    return f"{name}, delta {delta:g}" if delta else name


def _visit(trial: Repeated, visit: str | None) -> int:
    if visit is None:
        return len(trial.visits) - 1
    if visit not in trial.visits:
        raise refuse(
            f"There is no visit {visit!r}", "nobody has it", f"Visits: {', '.join(trial.visits)}", where="visit"
        )
    return trial.visits.index(visit)


def _result(
    about: tuple[str, str, str, str],
    estimate: float,
    se: float,
    df: float,
    level: float,
    error: str,
    imputations: int,
    seed: int | None,
    pooled: Combined | None = None,
) -> Result:
    t = estimate / se
    half = float(stats.t.ppf((1 + level) / 2, df)) * se
    p = float(2 * stats.t.sf(abs(t), df))
    share = pooled.missing_information if pooled else None
    return Result(*about, estimate, se, df, t, p, estimate - half, estimate + half, error, imputations, seed, share)


# ---- conditional means and the jackknife ----------------------------------------------------------------


def reml_parameters(trial: Repeated) -> Parameters:
    """The REML estimates of (B, Σ) as one draw: Σ of the unstructured MMRM, B by least squares given Σ."""
    n, visits = trial.y.shape
    columns = {f"c{k}": np.repeat(trial.covariates[:, k], visits) for k in range(trial.covariates.shape[1])}
    long = pl.DataFrame(
        {
            "y": trial.y.ravel(),
            "visit": pl.Series(trial.visits * n, dtype=pl.Enum(trial.visits)),
            "subject": np.repeat(np.arange(n), visits).astype(str),
            "arm": [f"a{code:03d}" for code in trial.arm for _ in range(visits)],
            **columns,
        }
    ).filter(pl.col("y").is_not_nan())
    formula = f"y ~ ({' + '.join(['arm', *columns])}) * visit"
    sigma = fit_mmrm(long, formula, visit="visit", subject="subject").covariances[0].matrix
    return Parameters(_given_sigma(trial, sigma)[None], np.asarray(sigma, dtype=np.float64)[None])


def _given_sigma(trial: Repeated, sigma: FloatArray) -> FloatArray:
    """Generalised least squares of the observed outcomes: B (q × T)."""
    x, root = _rooted(trial.design())
    q, visits = x.shape[1], trial.y.shape[1]
    normal, right = np.zeros((q, visits, q, visits)), np.zeros((q, visits))
    kinds, which = np.unique(trial.missing, axis=0, return_inverse=True)
    for k, kind in enumerate(kinds):
        seen = np.flatnonzero(~kind)
        rows = np.flatnonzero(which.ravel() == k)
        if not seen.size:
            continue
        weight = np.zeros((visits, visits))
        weight[np.ix_(seen, seen)] = np.linalg.inv(sigma[np.ix_(seen, seen)])
        normal += np.einsum("ab,st->asbt", x[rows].T @ x[rows], weight)
        right += x[rows].T @ (np.where(kind, 0.0, trial.y[rows]) @ weight)
    return np.asarray(root @ np.linalg.solve(normal.reshape(q * visits, -1), right.ravel()).reshape(q, visits))


def conditional_mean(
    trial: Repeated,
    *,
    arm: str,
    reference: str,
    strategy: str = "MAR",
    visit: str | None = None,
    delta: float = 0.0,
    level: float = 0.95,
    jackknife: Sequence[Parameters] | None = None,
) -> Result:
    """One imputation by conditional means at the REML estimates; normal interval, error by leaving out each in turn.

    `jackknife` takes the estimates of `left_out_parameters`, so that several strategies share those fits.
    """
    t = _visit(trial, visit)

    def value(part: Repeated, parameters: Parameters) -> float:
        completed = impute(part, parameters, strategy, reference=reference, seed=None)[:, :, t]
        completed = completed + delta * _shifted(part, t, reference)
        return float(ancova(part, completed, arm, reference)[0][0])

    estimate = value(trial, reml_parameters(trial))
    left = left_out_parameters(trial) if jackknife is None else jackknife
    n = len(trial.y)
    without = np.array([value(_without(trial, i), parameters) for i, parameters in enumerate(left)])
    se = float(np.sqrt((n - 1) / n * np.sum((without - without.mean()) ** 2)))
    about = (arm, reference, trial.visits[t], _labelled(strategy, delta))
    return _result(about, estimate, se, float("inf"), level, "jackknife", 1, None)


def left_out_parameters(trial: Repeated) -> tuple[Parameters, ...]:
    """The REML estimates without person 1, without person 2, …"""
    found = []
    for i in range(len(trial.y)):
        found.append(reml_parameters(_without(trial, i)))
        step("Leaving out each person in turn", i + 1, len(trial.y))
    return tuple(found)


def _without(trial: Repeated, index: int) -> Repeated:
    keep = np.arange(len(trial.y)) != index
    return Repeated(
        tuple(s for i, s in enumerate(trial.subjects) if i != index),
        trial.visits,
        trial.arms,
        trial.arm[keep],
        trial.y[keep],
        trial.covariates[keep],
        trial.labels,
    )
