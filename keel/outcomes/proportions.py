"""Proportions with honest intervals, and who responded, remitted, relapsed, stayed well or changed reliably.

    Wilson           (p + z²/2n ± z√(p(1−p)/n + z²/4n²)) / (1 + z²/n)
    exact            Clopper–Pearson: beta quantiles B(α/2; x, n−x+1) and B(1−α/2; x+1, n−x)
    difference       Newcombe's hybrid of two Wilson intervals, or Wald
    response         (baseline − value)/baseline ≥ share          remission    value ≤ cut
    sustained        the state at every one of the named visits   relapse      lost after it had been reached
    reliable change  |value − baseline| > z · s₁ √2 √(1 − reliability)   (Jacobson and Truax)
What share or cut makes a response or a remission is the protocol's; here they are arguments.
Unknown stays unknown: a person without the visit is NaN, and is counted as such, never as well.

Sources: Wilson 1927; Clopper and Pearson 1934; Newcombe 1998 (Stat Med 17:873);
Jacobson and Truax 1991 (doi:10.1037/0022-006X.59.1.12). Compared with R's prop.test and binom.test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from keel.domain.errors import refuse
from keel.outcomes.columns import FloatArray


@dataclass(frozen=True)
class Share:
    """`events` of `n` with an interval; `unknown` people are in neither."""

    events: int
    n: int
    estimate: float
    ci_low: float
    ci_high: float
    interval: str
    level: float
    unknown: int = 0


@dataclass(frozen=True)
class Difference:
    """First share minus second."""

    estimate: float
    ci_low: float
    ci_high: float
    interval: str
    level: float


def share(events: int, n: int, *, interval: str = "wilson", level: float = 0.95, unknown: int = 0) -> Share:
    """`events` of `n` with a "wilson" or "exact" interval. Refuses n = 0 and more events than people."""
    if n < 1 or not 0 <= events <= n:
        raise refuse(
            "The share was not computed",
            f"{events} of {n} is not a share",
            "Give at least one person, and no more events than people",
            where="events",
            code="impossible-value",
        )
    if interval == "wilson":
        low, high = _wilson(events, n, level)
    elif interval == "exact":
        tail = (1 - level) / 2
        low = float(special.betaincinv(events, n - events + 1, tail)) if events else 0.0
        high = float(special.betaincinv(events + 1, n - events, 1 - tail)) if events < n else 1.0
    else:
        raise refuse(f"There is no interval {interval!r}", "it is not known", "Known: wilson, exact")
    return Share(events, n, events / n, low, high, interval, level, unknown)


def _wilson(events: int, n: int, level: float) -> tuple[float, float]:
    z, p = float(special.ndtri((1 + level) / 2)), events / n
    centre, half = p + z**2 / (2 * n), z * float(np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    # Exact at the ends, where rounding would leave a hair beside 0 or 1.
    return (low if events else 0.0), (high if events < n else 1.0)


def share_of(state: FloatArray, *, interval: str = "wilson", level: float = 0.95) -> Share:
    """The share of 1 in a column of 1, 0 and NaN (unknown)."""
    known = state[~np.isnan(state)]
    return share(int(known.sum()), len(known), interval=interval, level=level, unknown=len(state) - len(known))


def difference(
    events1: int, n1: int, events2: int, n2: int, *, interval: str = "newcombe", level: float = 0.95
) -> Difference:
    """Difference of two independent shares with a "newcombe" or "wald" interval."""
    first, second = share(events1, n1, level=level), share(events2, n2, level=level)
    gap = first.estimate - second.estimate
    if interval == "wald":
        variance = sum(s.estimate * (1 - s.estimate) / s.n for s in (first, second))
        below = above = float(special.ndtri((1 + level) / 2)) * float(np.sqrt(variance))
    elif interval == "newcombe":
        below = float(np.hypot(first.estimate - first.ci_low, second.ci_high - second.estimate))
        above = float(np.hypot(first.ci_high - first.estimate, second.estimate - second.ci_low))
    else:
        raise refuse(f"There is no interval {interval!r}", "it is not known", "Known: newcombe, wald")
    return Difference(gap, gap - below, gap + above, interval, level)


# ---- states of a person ---------------------------------------------------------------------------------


def responded(baseline: FloatArray, value: FloatArray, *, at_least: float = 0.5) -> FloatArray:
    """1 where the value fell by at least that share of the baseline, 0 where not, NaN where unknown.

    A baseline of zero or less has no share of it: unknown.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        fall = np.where(baseline > 0, (baseline - value) / baseline, np.nan)
    # Half of an odd total is reached exactly at .5; the hair forgives the division, not the person.
    return np.where(np.isnan(fall), np.nan, (fall >= at_least - 1e-12).astype(np.float64))


def remitted(value: FloatArray, *, at_most: float) -> FloatArray:
    """1 where the value is at most the cut, 0 where above, NaN where unknown."""
    return np.where(np.isnan(value), np.nan, (value <= at_most).astype(np.float64))


def sustained(states: FloatArray) -> FloatArray:
    """People × visits of 1, 0, NaN → 1 where all are 1, 0 where any is 0, else NaN (unknown)."""
    failed = (states == 0).any(axis=1)
    unknown = np.isnan(states).any(axis=1)
    return np.where(failed, 0.0, np.where(unknown, np.nan, 1.0))


def relapsed(reached: FloatArray, later: FloatArray) -> FloatArray:
    """Of those who had `reached` the state (1): 1 where any of the `later` visits lost it, 0 where none did; else NaN.

    `later` is people × visits. A gap before any loss is seen leaves it unknown.
    """
    lost = (later == 0).any(axis=1)
    unknown = np.isnan(later).any(axis=1)
    outcome = np.where(lost, 1.0, np.where(unknown, np.nan, 0.0))
    return np.where(reached == 1, outcome, np.nan)


def reliable_change(
    baseline: FloatArray, value: FloatArray, *, reliability: float, sd: float, level: float = 0.95
) -> FloatArray:
    """−1 reliably lower, 0 within error, 1 reliably higher, NaN unknown; `sd`, `reliability`: the instrument's."""
    if not 0 <= reliability < 1 or sd <= 0:
        raise refuse(
            "Reliable change was not computed",
            f"a reliability of {reliability:g} and an SD of {sd:g} are not possible",
            "Give a reliability from 0 to below 1, and an SD above 0",
            where="reliability",
        )
    bound = float(special.ndtri((1 + level) / 2)) * sd * float(np.sqrt(2 * (1 - reliability)))
    change = value - baseline
    return np.where(np.isnan(change), np.nan, np.sign(change) * (np.abs(change) > bound))
