"""How a questionnaire behaves in one's own data: reliability, floor and ceiling, gaps, straight lines, agreement.

Tables in, plain values out. Items are columns of codes; a blank is null. What is computed on complete rows only
says how many there were. Reliability is a property of these answers, not of the instrument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import optimize, stats

from keel.domain.errors import refuse

Matrix = NDArray[np.float64]
LEAST_UNIQUE = 0.005  # as in R's factanal


@dataclass(frozen=True)
class Reliability:
    """`alpha` (Cronbach) and `omega` (McDonald's total, one factor by maximum likelihood) on `n` complete rows; None
    where the answers do not vary enough to say. `loadings` are those of the one factor, in the items' own units."""

    alpha: float | None
    omega: float | None
    loadings: tuple[float, ...] | None
    n: int
    n_left_out: int


@dataclass(frozen=True)
class Ends:
    """Shares of scores at the lowest and highest possible value, of `n` that could be scored."""

    floor: float | None
    ceiling: float | None
    n: int


@dataclass(frozen=True)
class Agreement:
    """An estimate with its confidence interval; None where it cannot be computed."""

    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    method: str


# ---- reliability ------------------------------------------------------------------------------------------


def reliability(
    frame: pl.DataFrame, items: Sequence[str], *, reversed: Sequence[str] = (), ends: float = 0
) -> Reliability:
    """Alpha and omega of a scale. `reversed` items are turned by `ends` - x (lowest plus highest code) first."""
    _known(frame, items)
    turned = [
        (ends - pl.col(item) if item in reversed else pl.col(item)).cast(pl.Float64).alias(item) for item in items
    ]
    whole = frame.select(turned).drop_nulls()
    data = whole.to_numpy()
    fits = len(items) >= 2 and len(data) > len(items)
    cov = np.atleast_2d(np.cov(data, rowvar=False)) if fits else np.zeros((0, 0))
    varied = fits and bool(np.all(np.diag(cov) > 0))
    loadings = _one_factor(cov) if varied and len(items) >= 3 else None
    return Reliability(
        alpha=_alpha(cov) if varied else None,
        omega=_omega(cov, loadings) if loadings is not None else None,
        loadings=tuple(float(one) for one in loadings) if loadings is not None else None,
        n=whole.height,
        n_left_out=frame.height - whole.height,
    )


def _alpha(cov: Matrix) -> float | None:
    """k / (k - 1) x (1 - sum of the items' variances / variance of the sum)."""
    k, total = len(cov), float(cov.sum())
    return k / (k - 1) * (1 - float(np.trace(cov)) / total) if total > 0 else None


def _omega(cov: Matrix, loadings: Matrix) -> float:
    """(sum of loadings)^2 over itself plus the sum of uniquenesses (McDonald 1999)."""
    common = float(loadings.sum()) ** 2
    return common / (common + float((np.diag(cov) - loadings**2).sum()))


def _one_factor(cov: Matrix) -> Matrix | None:
    """Loadings of one common factor by maximum likelihood (Jöreskog 1967): the uniquenesses are searched on the
    correlation matrix, between LEAST_UNIQUE and 1, and the loadings follow from the first eigenvector.

    Where one item's uniqueness ends at its bound (Heywood) the likelihood may have several tops, one for each item that can
    be taken for the factor itself: each is tried, and the highest kept.
    """
    spread = np.sqrt(np.diag(cov))
    corr = cov / np.outer(spread, spread)
    if np.linalg.matrix_rank(corr) < len(corr):
        return None
    found = _uniquenesses(corr, np.clip(1 / np.diag(np.linalg.inv(corr)) * (1 - 0.5 / len(corr)), LEAST_UNIQUE, 1))
    if (found.x <= LEAST_UNIQUE).any():
        others = [_uniquenesses(corr, np.where(np.arange(len(corr)) == item, 0.01, 0.6)) for item in range(len(corr))]
        found = min([found, *others], key=lambda one: float(one.fun))
    loadings: Matrix = _loadings(corr, found.x) * spread
    return loadings if loadings.sum() >= 0 else -loadings


def _uniquenesses(corr: Matrix, start: Matrix) -> optimize.OptimizeResult:
    def discrepancy(unique: Matrix) -> tuple[float, Matrix]:
        root = 1 / np.sqrt(unique)
        rest = np.linalg.eigvalsh(corr * np.outer(root, root))[:-1]
        unexplained = _loadings(corr, unique) ** 2 + unique - 1
        return float(np.sum(rest - np.log(rest) - 1)), unexplained / unique**2

    bounds = [(LEAST_UNIQUE, 1)] * len(corr)
    return optimize.minimize(discrepancy, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-12})


def _loadings(corr: Matrix, unique: Matrix) -> Matrix:
    root = 1 / np.sqrt(unique)
    values, vectors = np.linalg.eigh(corr * np.outer(root, root))
    return np.asarray(vectors[:, -1] * np.sqrt(max(values[-1] - 1, 0)) / root)


# ---- how people answer --------------------------------------------------------------------------------------


def floor_and_ceiling(scores: pl.Series, *, low: float, high: float) -> Ends:
    """How many stand at the ends of a score: where they pile up, change can no longer be seen."""
    known = scores.drop_nulls()
    if known.is_empty():
        return Ends(None, None, 0)
    return Ends(float((known <= low).sum()) / len(known), float((known >= high).sum()) / len(known), len(known))


def missing_by_item(frame: pl.DataFrame, items: Sequence[str]) -> pl.DataFrame:
    """Per item: `item`, `n_missing`, `share`, in the order given."""
    _known(frame, items)
    blank = [frame[item].null_count() for item in items]
    rows = max(frame.height, 1)
    return pl.DataFrame({"item": list(items), "n_missing": blank, "share": [one / rows for one in blank]})


def straight_lines(frame: pl.DataFrame, items: Sequence[str]) -> pl.DataFrame:
    """Per row, on the raw codes as answered: `answered`, `longest_run` of one code in printed order (a blank breaks a
    run), and `straight` (every item answered, all alike). Reversed items make a straight line contradict itself."""
    _known(frame, items)
    codes = [pl.col(item) for item in items]
    run = pl.lit(0)
    steps = []
    for place, code in enumerate(codes):
        same = code.eq(codes[place - 1]).fill_null(False) if place else pl.lit(False)
        run = pl.when(code.is_null()).then(0).when(same).then(run + 1).otherwise(1)
        steps.append(run)
    longest = pl.max_horizontal(steps)
    answered = pl.sum_horizontal([code.is_not_null() for code in codes])
    return frame.select(
        answered.alias("answered"), longest.alias("longest_run"), (longest == len(items)).alias("straight")
    )


def answer_times(frame: pl.DataFrame) -> pl.DataFrame:
    """From long rows `item`, `seconds`: per item `n`, `median_s`, `p10_s`, `p90_s`, in order of first appearance."""
    _known(frame, ["item", "seconds"])
    seconds = pl.col("seconds").drop_nulls()
    return frame.group_by("item", maintain_order=True).agg(
        seconds.len().alias("n"),
        seconds.median().alias("median_s"),
        seconds.quantile(0.1, "linear").alias("p10_s"),
        seconds.quantile(0.9, "linear").alias("p90_s"),
    )


# ---- agreement of raters ------------------------------------------------------------------------------------


def icc(
    ratings: pl.DataFrame,
    raters: Sequence[str],
    *,
    form: Literal["1,1", "2,1", "3,1", "1,k", "2,k", "3,k"] = "2,1",
    level: float = 0.95,
) -> Agreement:
    """Intraclass correlation after Shrout & Fleiss 1979: rows are persons, columns raters, complete rows only.

    1: other raters for each person; 2: the same raters, a sample of raters (absolute agreement); 3: just these raters
    (consistency). `,1` for one rater's value, `,k` for the mean of all. The interval is theirs, from F.
    """
    _known(ratings, raters)
    data = ratings.select(pl.col(list(raters)).cast(pl.Float64)).drop_nulls().to_numpy()
    n, k = data.shape
    method = f"ICC({form}), Shrout & Fleiss 1979"
    if n < 2 or k < 2 or float(data.var()) == 0:
        return Agreement(None, None, None, n, method)
    between, judges, error, within = _mean_squares(data)
    alpha = (1 - level) / 2
    one, low, high = {"1": _icc1, "2": _icc2, "3": _icc3}[form[0]](between, judges, error, within, n, k, alpha)
    if form.endswith("k"):
        one, low, high = (k * value / (1 + (k - 1) * value) for value in (one, low, high))
    return Agreement(one, low, high, n, method)


def _mean_squares(data: Matrix) -> tuple[float, float, float, float]:
    """Between persons, between judges, residual, within persons."""
    n, k = data.shape
    grand = data.mean()
    persons = k * float(((data.mean(axis=1) - grand) ** 2).sum())
    judges = n * float(((data.mean(axis=0) - grand) ** 2).sum())
    rest = float(((data - grand) ** 2).sum()) - persons - judges
    return (
        persons / (n - 1),
        judges / (k - 1),
        max(rest, 0.0) / ((n - 1) * (k - 1)),
        (max(rest, 0.0) + judges) / (n * (k - 1)),
    )


Three = tuple[float, float, float]


def _icc1(between: float, judges: float, error: float, within: float, n: int, k: int, alpha: float) -> Three:
    f = between / within if within else np.inf
    low = f / stats.f.ppf(1 - alpha, n - 1, n * (k - 1))
    high = f * stats.f.ppf(1 - alpha, n * (k - 1), n - 1)
    return _from_f(f, k), _from_f(low, k), _from_f(high, k)


def _icc3(between: float, judges: float, error: float, within: float, n: int, k: int, alpha: float) -> Three:
    f = between / error if error else np.inf
    low = f / stats.f.ppf(1 - alpha, n - 1, (n - 1) * (k - 1))
    high = f * stats.f.ppf(1 - alpha, (n - 1) * (k - 1), n - 1)
    return _from_f(f, k), _from_f(low, k), _from_f(high, k)


def _from_f(f: float, k: int) -> float:
    return 1.0 if np.isinf(f) else float((f - 1) / (f + k - 1))


def _icc2(between: float, judges: float, error: float, within: float, n: int, k: int, alpha: float) -> Three:
    """The interval needs Satterthwaite's degrees of freedom, for judges and error are both estimated."""
    one = (between - error) / (between + (k - 1) * error + k * (judges - error) / n)
    if error == 0 and judges == 0:
        return 1.0, 1.0, 1.0
    ratio = judges / error if error else np.inf
    if np.isinf(ratio):
        df = float(k - 1)
    else:
        top = k * one * ratio + n * (1 + (k - 1) * one) - k * one
        df = (k - 1) * (n - 1) * top**2 / ((n - 1) * (k * one * ratio) ** 2 + (n * (1 + (k - 1) * one) - k * one) ** 2)
    lower = stats.f.ppf(1 - alpha, n - 1, df)
    upper = stats.f.ppf(1 - alpha, df, n - 1)
    spread = k * judges + (k * n - k - n) * error
    low = n * (between - lower * error) / (lower * spread + n * between)
    high = n * (upper * between - error) / (spread + n * upper * between)
    return float(one), float(low), float(high)


def weighted_kappa(
    first: pl.Series,
    second: pl.Series,
    *,
    codes: Sequence[float],
    weights: Literal["none", "linear", "quadratic"] = "quadratic",
    level: float = 0.95,
) -> Agreement:
    """Agreement of two raters on ordered codes beyond chance (Cohen 1968), pairs rated by both.

    A disagreement weighs by the distance of the codes' places, linear or squared; with `none` all weigh the same. The
    interval is the large-sample one of Fleiss, Cohen & Everitt 1969.
    """
    pairs = pl.DataFrame({"a": first, "b": second}).drop_nulls()
    place = {code: n for n, code in enumerate(codes)}
    strange = set(pairs["a"].unique()) | set(pairs["b"].unique())
    if strange - set(codes):
        raise refuse(
            "Agreement was not computed",
            f"{', '.join(map(str, sorted(strange - set(codes))))} is not among the codes",
            f"Give ratings of {', '.join(map(str, codes))}",
        )
    method = f"kappa, {weights} weights"
    table = np.zeros((len(codes), len(codes)))
    for a, b in pairs.iter_rows():
        table[place[a], place[b]] += 1
    n = int(table.sum())
    if n == 0:
        return Agreement(None, None, None, 0, method)
    share = table / n
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    weight = _weights(len(codes), weights)
    seen, chance = float((weight * share).sum()), float((weight * np.outer(rows, columns)).sum())
    if chance >= 1:
        return Agreement(None, None, None, n, method)
    kappa = (seen - chance) / (1 - chance)
    mean = (weight @ columns)[:, None] + (rows @ weight)[None, :]
    variance = float((share * (weight - mean * (1 - kappa)) ** 2).sum()) - (kappa - chance * (1 - kappa)) ** 2
    reach = float(stats.norm.ppf((1 + level) / 2)) * float(np.sqrt(max(variance, 0) / n)) / (1 - chance)
    return Agreement(kappa, kappa - reach, min(kappa + reach, 1.0), n, method)


def _weights(size: int, kind: str) -> Matrix:
    """1 on the diagonal, falling with distance to 0 at the far corner."""
    if kind == "none" or size < 2:
        return np.eye(size)
    gap = np.abs(np.subtract.outer(np.arange(size), np.arange(size))) / (size - 1)
    return np.asarray(1 - gap if kind == "linear" else 1 - gap**2, dtype=np.float64)


def _known(frame: pl.DataFrame, columns: Sequence[str]) -> None:
    absent = [column for column in columns if column not in frame.columns]
    if absent or not columns:
        raise refuse(
            "The table was not analysed",
            f"it has no column {', '.join(absent)}" if absent else "no column was named",
            f"It has {', '.join(frame.columns) or 'none'}",
        )
