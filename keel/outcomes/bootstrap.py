"""Bootstrap intervals: percentile, and BCa (bias-corrected and accelerated), from draws already made.

    percentile  the (1−L)/2 and (1+L)/2 quantiles of the draws
    BCa         the quantiles at Φ(z₀ + (z₀+z)/(1 − a(z₀+z))), z₀ = Φ⁻¹(share of draws below the estimate),
                a = Σ(θ̄−θ₍ᵢ₎)³ / (6 (Σ(θ̄−θ₍ᵢ₎)²)^{3/2}) over the leave-one-out values θ₍ᵢ₎

Source: Efron 1987 (doi:10.1080/01621459.1987.10478410); DiCiccio and Efron 1996 (doi:10.1214/ss/1032280214).
Draws come from NumPy's PCG64 with a given seed, so the same seed gives the same interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from keel.domain.errors import refuse
from keel.outcomes.columns import FloatArray, IntArray
from keel.outcomes.progress import step

KINDS = ("bca", "percentile")
# Enough rows × draws at a time to keep the arithmetic busy, few enough to stay in memory (about 16 MB) and to stop soon.
CHUNK_CELLS = 2_000_000


def check_draws(kind: str, draws: int) -> None:
    if kind not in KINDS:
        raise refuse(f"There is no bootstrap interval {kind!r}", "it is not known", f"Known: {', '.join(KINDS)}")
    if not 100 <= draws <= 1_000_000:
        raise refuse(
            f"{draws} bootstrap draws were not made",
            "fewer than 100 say nothing about the tails, more than 1,000,000 take too long",
            "Ask for 10,000",
            where="bootstrap",
        )


def resampled_rows(n: int, draws: int, seed: int, *, width: int = 1) -> Iterator[IntArray]:
    """Row numbers drawn with replacement, in chunks of (draws in the chunk) × n; `width` numbers are kept per row."""
    rng = np.random.default_rng(seed)
    size = max(1, CHUNK_CELLS // (n * width))
    for start in range(0, draws, size):
        step("Drawing samples", start, draws)
        yield rng.integers(0, n, size=(min(size, draws - start), n))


def resampled_counts(n: int, draws: int, seed: int, *, width: int = 1) -> Iterator[FloatArray]:
    """The same draws as how often each row was taken: chunks of (draws in the chunk) × n."""
    for rows in resampled_rows(n, draws, seed, width=width):
        offset = rows + n * np.arange(len(rows))[:, None]
        yield np.bincount(offset.ravel(), minlength=n * len(rows)).reshape(len(rows), n).astype(np.float64)


def interval(
    draws: FloatArray, estimate: float, *, kind: str, level: float = 0.95, left_out: FloatArray | None = None
) -> tuple[float, float]:
    """The interval of `estimate` from `draws`; BCa also needs the `left_out` (leave-one-out) values.

    Draws that could not be computed (NaN) are dropped; refuses when they are more than a twentieth.
    """
    usable = draws[np.isfinite(draws)]
    if len(usable) < 0.95 * len(draws):
        raise refuse(
            "The bootstrap interval was not made",
            f"{len(draws) - len(usable)} of {len(draws)} resamples could not be computed",
            "There are too few people, or too few distinct values, for a bootstrap",
            where="bootstrap",
            code="degenerate-bootstrap",
        )
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if kind == "bca":
        if left_out is None:
            raise ValueError("BCa needs the leave-one-out values")
        tails = _accelerated(tails, usable, estimate, left_out[np.isfinite(left_out)])
    low, high = np.quantile(usable, tails)
    return float(low), float(high)


def _accelerated(tails: FloatArray, draws: FloatArray, estimate: float, left_out: FloatArray) -> FloatArray:
    # Of few people many resamples are the sample itself in another order, whose estimate differs by rounding only: a tie.
    tied = np.abs(draws - estimate) <= 1e-9 * float(np.std(draws))
    below = np.mean((draws < estimate) & ~tied) + np.mean(tied) / 2
    # The clip keeps z₀ finite where every draw lies on one side of the estimate.
    z0 = float(stats.norm.ppf(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws))))
    away = left_out.mean() - left_out
    spread = float(np.sum(away**2))
    acceleration = float(np.sum(away**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    z = z0 + stats.norm.ppf(tails)
    return np.asarray(stats.norm.cdf(z0 + z / (1 - acceleration * z)), dtype=np.float64)


def two_sided_p(draws: FloatArray) -> float:
    """How often the draws fall on the rarer side of 0, doubled; one is added so that it is never 0."""
    usable = draws[np.isfinite(draws)]
    rarer = min(int(np.sum(usable <= 0)), int(np.sum(usable >= 0)))
    return min(1.0, 2 * (rarer + 1) / (len(usable) + 1))
