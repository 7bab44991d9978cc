"""Effect sizes, each with its definition, its standard error and the way its interval was made.

The same data give different numbers under the same word: the two printed versions of a well known
trial's effects differ only in which standard deviation divides and which interval is used. So every
value here says what it is.

Between two groups (m mean, s standard deviation, n people; 1 treated, 2 control)
    MD      m1 − m2,                 v = s1²/n1 + s2²/n2
    d       (m1 − m2)/s_p,           s_p² = ((n1−1)s1² + (n2−1)s2²)/(n1+n2−2);  v = 1/n1 + 1/n2 + d²/(2(n1+n2))
    SMD     g = J(n1+n2−2)·d         (Hedges), v = 1/n1 + 1/n2 + g²/(2(n1+n2))
    SMD-D   (1 − 3/(4(n1+n2−2)−1))·d, variance of the uncorrected d: 1/n1 + 1/n2 + d²/(2(n1+n2))  (as some databases print)
    SMD1    J(n2−1)·(m1 − m2)/s2     (Glass, the control group's s), v = 1/n1 + 1/n2 + Δ²/(2 n2)
Within one group (before 1, after 2; r their correlation)
    MC      m1 − m2,                 v = (s1² + s2² − 2 r s1 s2)/n
    SMCC    J(n−1)·(m1 − m2)/s_c     (s_c the standard deviation of the change), v = 1/n + SMCC²/(2n)
    SMCR    J(n−1)·(m1 − m2)/s1      (s1 at baseline), v = 2(1−r)/n + SMCR²/(2n)
Two proportions (a of n1, c of n2; half is added to all four cells of a study with an empty cell)
    RR      log((a/n1)/(c/n2)),      v = 1/a − 1/n1 + 1/c − 1/n2
    OR      log(a d/(b c)),          v = 1/a + 1/b + 1/c + 1/d
    RD      a/n1 − c/n2,             v = p1(1−p1)/n1 + p2(1−p2)/n2
    ROM     log(m1/m2),              v = s1²/(n1 m1²) + s2²/(n2 m2²)      (both means of one sign)
One proportion: PR x/n, PLN log(x/n), PLO log(x/(n−x)), PAS arcsin√(x/n), v = 1/(4n), and PFT (Freeman and Tukey)
½[arcsin√(x/(n+1)) + arcsin√((x+1)/(n+1))], v = 1/(4n+2).  One correlation: ZCOR atanh r, v = 1/(n−3).
J(m) = Γ(m/2)/(√(m/2) Γ((m−1)/2)), exact (but in SMD-D).

Sources: Hedges 1981 (doi:10.3102/10769986006002107); Morris 2008 (doi:10.1177/1094428106291059);
Viechtbauer 2010 (doi:10.18637/jss.v036.i03), whose escalc is the comparison.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

from keel.domain.errors import refuse
from keel.outcomes.columns import FloatArray

MOST_PEOPLE = 1e10

# measure -> the columns it needs, in the order they are read
NEEDS: dict[str, tuple[str, ...]] = {
    "MD": ("m1", "sd1", "n1", "m2", "sd2", "n2"),
    "SMD": ("m1", "sd1", "n1", "m2", "sd2", "n2"),
    "SMD-D": ("m1", "sd1", "n1", "m2", "sd2", "n2"),
    "SMD1": ("m1", "n1", "m2", "sd2", "n2"),
    "ROM": ("m1", "sd1", "n1", "m2", "sd2", "n2"),
    "MC": ("m1", "sd1", "m2", "sd2", "n", "r"),
    "SMCC": ("m1", "sd1", "m2", "sd2", "n", "r"),
    "SMCR": ("m1", "sd1", "m2", "n", "r"),
    "RR": ("a", "n1", "c", "n2"),
    "OR": ("a", "n1", "c", "n2"),
    "RD": ("a", "n1", "c", "n2"),
    "PR": ("x", "n"),
    "PLN": ("x", "n"),
    "PLO": ("x", "n"),
    "PAS": ("x", "n"),
    "PFT": ("x", "n"),
    "ZCOR": ("r", "n"),
    "COR": ("r", "n"),
}

DEFINITIONS: dict[str, str] = {
    "MD": "difference of means, group 1 minus group 2",
    "SMD": "Hedges' g: difference of means over the pooled SD, times the exact J",
    "SMD-D": "Hedges' g with J ≈ 1 - 3/(4 df - 1) and the sampling variance of the uncorrected d",
    "ROM": "log ratio of means, group 1 over group 2",
    "SMD1": "Glass' delta: difference of means over the SD of group 2, times the exact J",
    "MC": "mean change, first minus second",
    "SMCC": "mean change over the SD of the change, times the exact J",
    "SMCR": "mean change over the SD of the first measurement, times the exact J",
    "RR": "log risk ratio, group 1 over group 2",
    "OR": "log odds ratio, group 1 over group 2",
    "RD": "risk difference, group 1 minus group 2",
    "PR": "proportion",
    "PLN": "log of a proportion",
    "PLO": "log odds of a proportion",
    "PAS": "arcsine of the root of a proportion",
    "PFT": "double arcsine of a proportion (Freeman and Tukey)",
    "ZCOR": "Fisher's z of a correlation",
    "COR": "correlation",
}


@dataclass(frozen=True)
class EffectSize:
    """One effect with its `definition`, `interval` method, standard error and p of no effect."""

    measure: str
    definition: str
    estimate: float
    se: float
    ci_low: float
    ci_high: float
    interval: str
    level: float
    p: float
    n: int


def small_sample_j(df: FloatArray | float) -> FloatArray:
    """Hedges' exact correction J(df); df must exceed 1."""
    m = np.asarray(df, dtype=np.float64)
    return np.asarray(np.exp(special.gammaln(m / 2) - np.log(np.sqrt(m / 2)) - special.gammaln((m - 1) / 2)))


def effects(
    measure: str, values: Mapping[str, FloatArray], *, keep_empty: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Effects and sampling variances of `measure` for every study at once.

    `values` holds the columns named in NEEDS[measure], each of one length; NaN stays NaN. A study with no event, or only
    events, in both arms has no ratio and is NaN; `keep_empty` gives it one with half added to each cell.
    Refuses what cannot be: no people, a negative SD, more events than people, |r| > 1.
    """
    _check_measure(measure)
    columns = {name: np.asarray(values[name], dtype=np.float64) for name in NEEDS[measure]}
    _check_possible(measure, columns)
    if measure == "ROM":
        _refuse_where(
            columns["m1"] * columns["m2"] <= 0, columns["m1"], "m1", "a ratio of means needs both of one sign"
        )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        effect, variance = _computed(measure, columns, keep_empty)
    wild = np.flatnonzero(np.isinf(effect) | np.isinf(variance) | (variance <= 0))
    if wild.size:
        raise refuse(
            f"The {measure} of row {wild[0] + 1} was not computed",
            "it has no variance, or is too large for any number",
            f"Look for a value of {', '.join(columns)} in that row that is not possible",
            where=f"row {wild[0] + 1}",
            code="impossible-value",
        )
    return effect, variance


def _computed(measure: str, columns: Mapping[str, FloatArray], keep_empty: bool) -> tuple[FloatArray, FloatArray]:
    if measure in ("RR", "OR", "RD"):
        return _two_proportions(measure, columns, keep_empty)
    if measure in ("MD", "SMD", "SMD-D", "SMD1", "ROM"):
        return _two_means(measure, columns)
    if measure in ("MC", "SMCC", "SMCR"):
        return _change(measure, columns)
    return _single(measure, columns)


def _check_measure(measure: str) -> None:
    if measure not in NEEDS:
        raise refuse(
            f"There is no effect size {measure!r}",
            "it is not known here",
            f"Known: {', '.join(NEEDS)}",
            where="measure",
        )


def _check_possible(measure: str, columns: Mapping[str, FloatArray]) -> None:
    fewest = 4 if measure in ("ZCOR", "COR") else 2 if any(c in columns for c in ("m1",)) else 1
    for name, column in columns.items():
        if name in ("n", "n1", "n2"):
            _refuse_where(column < fewest, column, name, f"this effect needs at least {fewest} people in a group")
            _refuse_where(column > MOST_PEOPLE, column, name, "there are not so many people")
        elif name.startswith("sd"):
            _refuse_where(column <= 0, column, name, "a standard deviation is greater than zero")
        elif name == "r":
            _refuse_where(np.abs(column) >= 1, column, name, "a correlation lies strictly between -1 and 1")
        elif name in ("a", "c", "x"):
            total = columns[{"a": "n1", "c": "n2", "x": "n"}[name]]
            _refuse_where(column < 0, column, name, "a count is not negative")
            _refuse_where(column > total, column, name, "there are more events than people")


def _check_numbers(**values: float) -> None:
    columns = {name: np.array([value], dtype=np.float64) for name, value in values.items()}
    wrong = [name for name, column in columns.items() if not np.isfinite(column[0])]
    if wrong:
        raise refuse("The effect size was not computed", f"{wrong[0]} is not a finite number", where=wrong[0])
    _check_possible("SMD", columns)


def _refuse_where(wrong: np.ndarray, column: FloatArray, name: str, why: str) -> None:
    rows = np.flatnonzero(wrong)
    if rows.size:
        row = int(rows[0])
        raise refuse(
            f"{column[row]:g} is not possible for {name}",
            why,
            "Mend that value, or leave it empty if it is missing",
            where=f"{name}, row {row + 1}",
            code="impossible-value",
        )


def _two_means(measure: str, c: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    difference, n1, n2 = c["m1"] - c["m2"], c["n1"], c["n2"]
    if measure == "MD":
        return difference, c["sd1"] ** 2 / n1 + c["sd2"] ** 2 / n2
    if measure == "ROM":
        variance = (c["sd1"] / c["m1"]) ** 2 / n1 + (c["sd2"] / c["m2"]) ** 2 / n2
        return np.log(c["m1"] / c["m2"]), variance
    if measure == "SMD1":
        glass = small_sample_j(n2 - 1) * difference / c["sd2"]
        return glass, 1 / n1 + 1 / n2 + glass**2 / (2 * n2)
    pooled = np.sqrt(((n1 - 1) * c["sd1"] ** 2 + (n2 - 1) * c["sd2"] ** 2) / (n1 + n2 - 2))
    d = difference / pooled
    if measure == "SMD-D":
        return (1 - 3 / (4 * (n1 + n2 - 2) - 1)) * d, 1 / n1 + 1 / n2 + d**2 / (2 * (n1 + n2))
    hedges = small_sample_j(n1 + n2 - 2) * d
    return hedges, 1 / n1 + 1 / n2 + hedges**2 / (2 * (n1 + n2))


def _change(measure: str, c: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    change, n, r = c["m1"] - c["m2"], c["n"], c["r"]
    if measure == "SMCR":
        value = small_sample_j(n - 1) * change / c["sd1"]
        return value, 2 * (1 - r) / n + value**2 / (2 * n)
    variance = _change_variance(c["sd1"], c["sd2"], r)
    if measure == "MC":
        return change, variance / n
    value = small_sample_j(n - 1) * change / np.sqrt(variance)
    return value, 1 / n + value**2 / (2 * n)


def _change_variance(sd1: FloatArray, sd2: FloatArray, r: FloatArray) -> FloatArray:
    """s1² + s2² − 2 r s1 s2, written so that nothing cancels where r is near 1."""
    return np.asarray((sd1 - sd2) ** 2 + 2 * (1 - r) * sd1 * sd2)


def _two_proportions(measure: str, c: Mapping[str, FloatArray], keep_empty: bool) -> tuple[FloatArray, FloatArray]:
    a, b, x, d = c["a"], c["n1"] - c["a"], c["c"], c["n2"] - c["c"]
    half = np.where((a == 0) | (b == 0) | (x == 0) | (d == 0), 0.5, 0.0)
    # In a study where nobody, or everybody, had the event in both arms a ratio says nothing: left missing.
    if measure != "RD" and not keep_empty:
        half = np.where(((a == 0) & (x == 0)) | ((b == 0) & (d == 0)), np.nan, half)
    a, b, x, d = a + half, b + half, x + half, d + half
    n1, n2 = a + b, x + d
    if measure == "RR":
        return np.log(a / n1) - np.log(x / n2), 1 / a - 1 / n1 + 1 / x - 1 / n2
    if measure == "OR":
        return np.log(a * d / (b * x)), 1 / a + 1 / b + 1 / x + 1 / d
    p1, p2 = a / n1, x / n2
    return p1 - p2, p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2


def _single(measure: str, c: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray]:
    if measure == "ZCOR":
        return np.arctanh(c["r"]), 1 / (c["n"] - 3)
    if measure == "COR":
        return c["r"], (1 - c["r"] ** 2) ** 2 / (c["n"] - 1)
    x, rest = c["x"], c["n"] - c["x"]
    if measure == "PAS":
        return np.arcsin(np.sqrt(x / c["n"])), 1 / (4 * c["n"])
    if measure == "PFT":
        both = np.arcsin(np.sqrt(x / (c["n"] + 1))) + np.arcsin(np.sqrt((x + 1) / (c["n"] + 1)))
        return both / 2, 1 / (4 * c["n"] + 2)
    half = np.where((x == 0) | (rest == 0), 0.5, 0.0)
    x, rest = x + half, rest + half
    if measure == "PLO":
        return np.log(x / rest), 1 / x + 1 / rest
    if measure == "PLN":
        return np.log(x / (x + rest)), 1 / x - 1 / (x + rest)
    share = x / (x + rest)
    return share, share * (1 - share) / (x + rest)


def from_summary(measure: str, *, level: float = 0.95, **values: float) -> EffectSize:
    """One effect from plain numbers with a Wald interval, e.g. from_summary("SMD", m1=…, sd1=…, n1=…, …)."""
    effect, variance = effects(measure, {k: np.array([v], dtype=np.float64) for k, v in values.items()})
    estimate, se = float(effect[0]), float(np.sqrt(variance[0]))
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    people = sum(values[name] for name in ("n", "n1", "n2") if name in values)
    return EffectSize(
        measure,
        DEFINITIONS[measure],
        estimate,
        se,
        estimate - half,
        estimate + half,
        "Wald, normal",
        level,
        float(2 * stats.norm.sf(abs(estimate / se))),
        int(people),
    )


# ---- Cohen's d from two groups or from two moments of one group, with exact intervals ------------------


def noncentral_t_interval(t: float, df: float, level: float) -> tuple[float, float]:
    """The noncentrality parameters for which the observed t is the upper and the lower tail point.

    Source: Steiger and Fouladi 1997. The interval of d is this divided by the scale that turns d into t.
    """
    tail = (1 - level) / 2

    def solve(probability: float) -> float:
        def gap(ncp: float) -> float:
            return float(stats.nct.cdf(t, df, ncp)) - probability

        width = 5.0
        while not (gap(t - width) >= 0 >= gap(t + width)):  # also where SciPy's tail is not a number
            width *= 2
            if width > 1e4:
                raise refuse(
                    "The exact interval was not computed",
                    f"t = {t:g} is too large for it",
                    "Look for values that hardly vary, or in another unit",
                )
        return float(optimize.brentq(gap, t - width, t + width, xtol=1e-10))

    # For large |t| SciPy's noncentral t loses its tail; the mirrored problem is the same and is stable.
    if t < 0:
        low, high = noncentral_t_interval(-t, df, level)
        return -high, -low
    return solve(1 - tail), solve(tail)


def cohens_d(
    m1: float, sd1: float, n1: int, m2: float, sd2: float, n2: int, *, level: float = 0.95, hedges: bool = False
) -> EffectSize:
    """Cohen's d (or Hedges' g) of two independent groups, pooled SD, interval by the noncentral t."""
    _check_numbers(sd1=sd1, n1=n1, sd2=sd2, n2=n2, m1=m1)
    df = n1 + n2 - 2
    pooled = math.sqrt(((n1 - 1) * sd1**2 + (n2 - 1) * sd2**2) / df)
    scale = math.sqrt(n1 * n2 / (n1 + n2))
    d = (m1 - m2) / pooled
    low, high = (bound / scale for bound in noncentral_t_interval(d * scale, df, level))
    j = float(small_sample_j(df)) if hedges else 1.0
    se = math.sqrt(1 / n1 + 1 / n2 + (j * d) ** 2 / (2 * (n1 + n2)))
    return EffectSize(
        "g" if hedges else "d",
        "Hedges' g: pooled SD, exact J" if hedges else "Cohen's d: difference of means over the pooled SD",
        j * d,
        se,
        j * low,
        j * high,
        "noncentral t",
        level,
        float(2 * stats.t.sf(abs(d * scale), df)),
        n1 + n2,
    )


def glass_delta(m1: float, n1: int, m2: float, n2: int, *, sd: float, sd_of: str, level: float = 0.95) -> EffectSize:
    """Glass' delta without correction: (m1 − m2) over the SD of one named group; `sd_of` is its name.

    Wald interval with v = 1/n1 + 1/n2 + Δ²/(2 n_s), n_s the size of the group that gave the SD ("treated" is group 1).
    """
    _check_numbers(sd1=sd, n1=n1, n2=n2, m1=m1)
    delta = (m1 - m2) / sd
    giver = n1 if sd_of == "treated" else n2
    se = math.sqrt(1 / n1 + 1 / n2 + delta**2 / (2 * giver))
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    p = float(2 * stats.norm.sf(abs(delta / se)))
    definition = f"Glass' delta: difference of means over the SD of the {sd_of} group"
    return EffectSize("delta", definition, delta, se, delta - half, delta + half, "Wald, normal", level, p, n1 + n2)


WITHIN: dict[str, str] = {
    "d_z": "mean change over the SD of the change",
    "d_av": "mean change over the root of the mean of both variances",
    "d_rm": "mean change over the SD of the change, times the root of 2(1 - r)",
    "d_baseline": "mean change over the SD of the first measurement",
}


def within_d(
    m1: float, sd1: float, m2: float, sd2: float, n: int, r: float, *, kind: str = "d_z", level: float = 0.95
) -> EffectSize:
    """Cohen's d of a change within one group, `kind` as in WITHIN; first minus second.

    d_z has the noncentral-t interval; the others the large-sample standard error
    √(((1 + d²/2)·2(1−r))/n) for d_av and d_rm, √(2(1−r)/n + d²/(2n)) for d_baseline, with a normal interval.
    """
    if kind not in WITHIN:
        raise refuse(f"There is no within-group effect size {kind!r}", "it is not known", f"Known: {', '.join(WITHIN)}")
    _check_numbers(sd1=sd1, sd2=sd2, n=n, r=r, m1=m1)
    sd_change = math.sqrt(float(_change_variance(np.array(sd1), np.array(sd2), np.array(r))))
    divisor = {
        "d_z": sd_change,
        "d_av": math.sqrt((sd1**2 + sd2**2) / 2),
        "d_rm": sd_change / math.sqrt(2 * (1 - r)),
        "d_baseline": sd1,
    }[kind]
    d = (m1 - m2) / divisor
    t = (m1 - m2) / sd_change * math.sqrt(n)
    p = float(2 * stats.t.sf(abs(t), n - 1))
    if kind == "d_z":
        low, high = (bound / math.sqrt(n) for bound in noncentral_t_interval(t, n - 1, level))
        se = math.sqrt(1 / n + d**2 / (2 * n))
        return EffectSize(kind, WITHIN[kind], d, se, low, high, "noncentral t", level, p, n)
    variance = 2 * (1 - r) / n + d**2 / (2 * n) if kind == "d_baseline" else (1 + d**2 / 2) * 2 * (1 - r) / n
    se = math.sqrt(variance)
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    return EffectSize(kind, WITHIN[kind], d, se, d - half, d + half, "Wald, normal", level, p, n)
