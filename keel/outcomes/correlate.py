"""Correlations with intervals instead of stars.

    pearson     r; t = r√(df/(1−r²)), df = n−2; interval by Fisher's z, se 1/√(n−3)
    spearman    r of mid-ranks; the same t as an approximation; z interval with se √((1+r²/2)/(n−3)) (Bonett–Wright)
    partial     r of the residuals on the `given` columns (of ranks for Spearman); df = n−2−q, z interval with n−q
    within      repeated measures: r of deviations from each person's means; df = N−K−1 (N rows, K people);
                z interval with n = df+1, i.e. se 1/√(df−2)  (the convention of rmcorr)
    between     r of the people's means, each weighted by its number of rows; df = K−2
Bootstrap intervals resample rows, or whole people where there are repeated measures.
Several tests: Holm (family-wise) and Benjamini–Hochberg (false discovery rate).

Sources: Bakdash and Marusich 2017 (doi:10.3389/fpsyg.2017.00456); Bonett and Wright 2000 (doi:10.1007/BF02294183);
Holm 1979; Benjamini and Hochberg 1995. Compared with R's cor.test, lm, p.adjust and boot:
tests/reference/associations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from keel.domain.errors import refuse
from keel.outcomes import bootstrap
from keel.outcomes.columns import FloatArray, IntArray, check_full_rank, check_varies

METHODS = ("pearson", "spearman", "within", "between")
# Nearer to 1 a correlation is rounding: one column was made from the other.
PERFECT = 1e-12
# Of the size of a value: a smaller deviation from a mean is rounding.
ROUNDING = 1e-14


@dataclass(frozen=True)
class Correlation:
    """One correlation: `n` rows used (people for between), `df` of its test, how its `interval` was made."""

    method: str
    estimate: float
    ci_low: float
    ci_high: float
    interval: str
    level: float
    p: float
    df: float
    n: int
    seed: int | None = None


@dataclass(frozen=True)
class Bootstrap:
    """How to resample: `draws` times, `kind` bca or percentile, from `seed`."""

    draws: int = 10_000
    kind: str = "bca"
    seed: int = 1


def correlate(
    x: FloatArray,
    y: FloatArray,
    *,
    method: str = "pearson",
    given: FloatArray | None = None,
    person: Sequence[str] | None = None,
    level: float = 0.95,
    resample: Bootstrap | None = None,
    names: Sequence[str] = (),
) -> Correlation:
    """Correlate `x` with `y` (n each, complete). `given` (n × q) is partialled out; `person` names whose row each is.
    `names` are what the columns are called: x, y, then those of `given`.

    Refuses a constant column, too few rows, points that all lie on one line, and methods within or between without `person`.
    """
    if method not in METHODS:
        raise refuse(f"There is no correlation {method!r}", "it is not known", f"Known: {', '.join(METHODS)}")
    q = 0 if given is None else given.shape[1]
    called = list(names) or ["x", "y", *(f"given {i + 1}" for i in range(q))]
    if method in ("within", "between"):
        if given is not None:
            raise refuse(
                f"The {method} correlation was not computed",
                "nothing can be partialled out of it",
                "Leave --partial out",
            )
        return _clustered(x, y, method, person, level, resample, called)
    for values, name in ((x, called[0]), (y, called[1])):
        check_varies(values, name, least=4)
    data = np.column_stack([x, y] if given is None else [x, y, given])
    n = len(x)
    if n - 3 - q < 1:
        raise refuse(
            "The correlation was not computed", f"{n} rows are too few with {q} columns partialled out", where="n"
        )
    if given is not None:
        held = np.column_stack([np.ones(n), given])
        check_full_rank(held, ["constant", *called[2:]])
        data = data if method == "spearman" else _without_held(data, held)
    rows = np.arange(n)[None, :]
    statistic = _ranked if method == "spearman" else _plain
    r = float(statistic(data, rows)[0])
    if not np.isfinite(r):
        raise refuse(
            "The partial correlation was not computed",
            f"{called[0]}, {called[1]} and what is partialled out follow exactly from each other",
            where=", ".join(called[2:]),
        )
    _check_error(r, n, method, called)
    df, se = n - 2 - q, 1 / np.sqrt(n - 3 - q)
    se = se * np.sqrt(1 + r**2 / 2) if method == "spearman" else se
    name = method if given is None else f"partial {method}"
    plain = _with_z_interval(name, r, float(se), df, n, level)
    if resample is None:
        return plain
    return _with_bootstrap(plain, lambda chosen: statistic(data, chosen), n, resample, width=data.shape[1])


def _without_held(data: FloatArray, held: FloatArray) -> FloatArray:
    """x and y as the held columns leave them, and those at right angles: the same correlations, in every resample, with no digit
    lost to columns far from zero or near each other."""
    basis = np.linalg.qr(held)[0]
    rest = data[:, :2]
    for _ in range(2):
        rest = rest - basis @ (basis.T @ rest)
    rest[:, np.linalg.norm(rest, axis=0) <= 1e-10 * np.linalg.norm(data[:, :2] - data[:, :2].mean(axis=0), axis=0)] = (
        0.0
    )
    return np.column_stack([rest, basis[:, 1:]])


def _check_error(r: float, n: int, method: str, called: Sequence[str]) -> None:
    if 1 - abs(r) > PERFECT:
        return
    how = "stand in the same order" if method == "spearman" else "lie on one line"
    raise refuse(
        "The correlation was not computed",
        f"all {n} points {how} (r = {np.sign(r):g}), so there is no error to make an interval or a test from",
        "Look whether one column was made from the other",
        where=", ".join(called[:2]),
        code="perfect",
    )


def _with_z_interval(method: str, r: float, se: float, df: float, n: int, level: float) -> Correlation:
    t = r * np.sqrt(df / ((1 - r) * (1 + r)))
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    low, high = (float(np.tanh(np.arctanh(r) + side * half)) for side in (-1, 1))
    return Correlation(method, r, low, high, "Fisher z", level, float(2 * stats.t.sf(abs(t), df)), df, n)


def _with_bootstrap(
    plain: Correlation, statistic: Callable[[IntArray], FloatArray], units: int, resample: Bootstrap, *, width: int
) -> Correlation:
    """The same estimate and p with a bootstrap interval over `units` rows or people."""
    bootstrap.check_draws(resample.kind, resample.draws)
    chunks = bootstrap.resampled_rows(units, resample.draws, resample.seed, width=width)
    draws = np.concatenate([statistic(rows) for rows in chunks])
    left_out = None
    if resample.kind == "bca":
        every = np.arange(units)
        left_out = np.array([statistic(np.delete(every, i)[None, :])[0] for i in range(units)])
    low, high = bootstrap.interval(draws, plain.estimate, kind=resample.kind, level=plain.level, left_out=left_out)
    label = f"bootstrap {resample.kind}, {resample.draws} draws"
    return Correlation(
        plain.method, plain.estimate, low, high, label, plain.level, plain.p, plain.df, plain.n, resample.seed
    )


def _plain(data: FloatArray, rows: IntArray) -> FloatArray:
    """Correlation of the first two columns given the others, for each line of row numbers."""
    return _partial(data[rows])


def _ranked(data: FloatArray, rows: IntArray) -> FloatArray:
    return _partial(np.asarray(stats.rankdata(data[rows], axis=1), dtype=np.float64))


def _partial(sampled: FloatArray) -> FloatArray:
    """(draws × n × columns) → draws. NaN where a column is constant or the partialled columns explain one exactly."""
    centred = sampled - sampled.mean(axis=1, keepdims=True)
    cross = np.einsum("bni,bnj->bij", centred, centred)
    scale = np.sqrt(np.einsum("bii->bi", cross))
    scale[scale <= ROUNDING * np.sqrt((sampled**2).sum(axis=1))] = 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        r = cross / (scale[:, :, None] * scale[:, None, :])
    if r.shape[1] > 2:
        usable = np.isfinite(r).all(axis=(1, 2))
        usable[usable] = np.linalg.cond(r[usable]) < 1e12
        inverse = np.full_like(r, np.nan)
        inverse[usable] = np.linalg.inv(r[usable])
        with np.errstate(invalid="ignore"):
            return np.asarray(-inverse[:, 0, 1] / np.sqrt(inverse[:, 0, 0] * inverse[:, 1, 1]))
    return np.asarray(np.where(np.isfinite(r[:, 0, 1]), np.clip(r[:, 0, 1], -1, 1), np.nan))


# ---- repeated measures ---------------------------------------------------------------------------------


def _clustered(
    x: FloatArray,
    y: FloatArray,
    method: str,
    person: Sequence[str] | None,
    level: float,
    resample: Bootstrap | None,
    called: Sequence[str],
) -> Correlation:
    if person is None:
        raise refuse(
            f"The {method} correlation was not computed",
            "it needs to know whose row each is",
            "Give --subject COLUMN",
            where="subject",
        )
    codes = np.unique(np.array(person), return_inverse=True)[1]
    counts = np.bincount(codes).astype(np.float64)
    people = len(counts)
    means = [np.bincount(codes, weights=v) / counts for v in (x, y)]
    if method == "within":
        dx, dy = _from(x, means[0][codes]), _from(y, means[1][codes])
        parts = np.column_stack([np.bincount(codes, weights=a * b) for a, b in ((dx, dx), (dx, dy), (dy, dy))])
        df, n = len(x) - people - 1, len(x)
        statistic = _within
    else:
        a, b = means
        # Centred on the weighted mean first: the sums below then lose no digits to the scale of the measure.
        a, b = (
            _from(a, np.full(people, np.average(a, weights=counts))),
            _from(b, np.full(people, np.average(b, weights=counts))),
        )
        parts = np.column_stack([counts, counts * a, counts * b, counts * a * a, counts * a * b, counts * b * b])
        df, n = people - 2, people
        statistic = _between
    if df < 3 or people < 3:
        raise refuse(
            f"The {method} correlation was not computed",
            f"{len(x)} rows of {people} people leave {df} degrees of freedom",
            "Give more people, or more rows of each",
            where="subject",
            code="too-few",
        )
    r = float(statistic(parts[None, :, :].sum(axis=1))[0])
    if not np.isfinite(r):
        raise refuse(
            f"The {method} correlation was not computed",
            f"{called[0]} or {called[1]} does not vary "
            + ("within any person" if method == "within" else "between people"),
            where=", ".join(called[:2]),
            code="constant",
        )
    _check_error(r, n, method, called)
    se = 1 / np.sqrt(df - 2) if method == "within" else 1 / np.sqrt(people - 3) if people > 3 else np.inf
    plain = _with_z_interval(method, r, float(se), df, n, level)
    if resample is None:
        return plain
    return _with_bootstrap(plain, lambda rows: statistic(parts[rows].sum(axis=1)), people, resample, width=6)


def _from(values: FloatArray, means: FloatArray) -> FloatArray:
    """Deviations from means; what is only rounding is no deviation."""
    away = values - means
    return np.asarray(np.where(np.abs(away) <= ROUNDING * np.abs(values), 0.0, away))


def _within(sums: FloatArray) -> FloatArray:
    xx, xy, yy = sums.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(xy / np.sqrt(xx * yy))


def _between(sums: FloatArray) -> FloatArray:
    w, a, b, aa, ab, bb = sums.T
    xx, xy, yy = aa - a * a / w, ab - a * b / w, bb - b * b / w
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where((xx > 1e-12 * aa) & (yy > 1e-12 * bb), xy / np.sqrt(xx * yy), np.nan))


# ---- several tests -------------------------------------------------------------------------------------


def adjusted(p: Sequence[float], method: str) -> tuple[float, ...]:
    """p values adjusted for their number: "holm" (family-wise error) or "bh" (false discovery rate)."""
    values = np.asarray(p, dtype=np.float64)
    m = len(values)
    order = np.argsort(values, kind="stable")
    if method == "holm":
        stepped = np.maximum.accumulate(values[order] * (m - np.arange(m)))
    elif method == "bh":
        stepped = np.minimum.accumulate((values[order] * m / np.arange(1, m + 1))[::-1])[::-1]
    else:
        raise refuse(f"There is no adjustment {method!r}", "it is not known", "Known: holm, bh")
    result = np.empty(m)
    result[order] = np.minimum(1.0, stepped)
    return tuple(float(v) for v in result)


def n_behind(r: float, p: float, *, r_digits: int = 2, p_digits: int = 3, most: int = 1000) -> tuple[int, ...]:
    """The sample sizes at which a Pearson r and its two-sided p, rounded as printed, belong together.

    What a paper prints is rounded: every r and p that would have been printed so is allowed.
    """
    n = np.arange(4, most + 1)
    half_r, half_p = 0.5 * 10.0**-r_digits, 0.5 * 10.0**-p_digits
    least, largest = p_of(min(abs(r) + half_r, 1 - 1e-12), n), p_of(max(abs(r) - half_r, 0.0), n)
    return tuple(int(k) for k in n[(least <= p + half_p) & (largest >= p - half_p)])


def p_of(r: float, n: int | IntArray) -> FloatArray:
    """Two-sided p of a Pearson r, -1 < r < 1, among n people (one number or many): Student's t on n − 2."""
    df = np.asarray(n) - 2
    return np.asarray(2 * stats.t.sf(abs(r) * np.sqrt(df / (1 - r**2)), df))
