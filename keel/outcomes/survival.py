"""Time to response, to relapse, to leaving: Kaplan–Meier.

    Ŝ(t) = Π_{t_j ≤ t} (1 − d_j/n_j);   var(Ŝ) = Ŝ² Σ d_j/(n_j(n_j−d_j))   (Greenwood)
    interval "log-log": Ŝ^exp(±z σ), σ² = Σ d_j/(n_j(n_j−d_j)) / (log Ŝ)²;   "plain": Ŝ ± z √var, cut to 0…1
    median: the first time at which Ŝ ≤ ½ (the middle of the step where Ŝ is ½, up to the last time seen where none follows);
            its interval where the bounds of Ŝ cross ½
    log-rank: (O−E)²/V over two groups or its quadratic form over more, χ²
Somebody who left at a time is at risk at that time.
Sources: Kaplan and Meier 1958; Kalbfleisch and Prentice 1980; Mantel 1966.
Compared with R's survival 3.5-3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from keel.domain.errors import refuse
from keel.outcomes.columns import FloatArray

HALF_WITHIN = float(np.sqrt(np.finfo(np.float64).eps))


@dataclass(frozen=True)
class Curve:
    """One step per time with an event (arrays of one length); `median*` is None where the curve never gets there."""

    time: FloatArray
    at_risk: FloatArray
    events: FloatArray
    survival: FloatArray
    se: FloatArray
    ci_low: FloatArray
    ci_high: FloatArray
    median: float | None
    median_low: float | None
    median_high: float | None
    interval: str
    n: int


def kaplan_meier(time: FloatArray, event: FloatArray, *, interval: str = "log-log", level: float = 0.95) -> Curve:
    """`time` followed (n, ≥ 0) and whether the `event` came then (1) or not yet (0). Refuses impossible times."""
    if interval not in ("log-log", "plain"):
        raise refuse(f"There is no interval {interval!r}", "it is not known", "Known: log-log, plain")
    _check(time, event)
    steps, at_risk, events = _risk_table(time, event)
    survival: FloatArray = np.cumprod(1 - events / at_risk).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        hazard_variance: FloatArray = np.cumsum(events / (at_risk * (at_risk - events)))
        # At zero survival the variance is 0 times infinity; it is not known.
        se: FloatArray = np.where(survival > 0, survival * np.sqrt(hazard_variance), np.nan)
    z = float(stats.norm.ppf((1 + level) / 2))
    low, high = _bounds(survival, se, hazard_variance, z, interval)
    last = float(time.max())
    return Curve(
        steps,
        at_risk,
        events,
        survival,
        se,
        low,
        high,
        _crossing(steps, survival, last),
        _crossing(steps, low, last),
        _crossing(steps, high, last),
        interval,
        len(time),
    )


def _check(time: FloatArray, event: FloatArray) -> None:
    wrong = np.flatnonzero(~np.isfinite(time) | (time < 0) | ~np.isin(event, (0.0, 1.0)))
    if len(time) == 0 or wrong.size:
        row = f", row {wrong[0] + 1}" if wrong.size else ""
        why = (
            "there is nobody"
            if len(time) == 0
            else f"time {time[wrong[0]]:g} with event {event[wrong[0]]:g} is not possible"
        )
        raise refuse("The curve was not drawn", why, "Times are zero or more, events 0 or 1", where=f"time{row}")


def _risk_table(time: FloatArray, event: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    steps, events = np.unique(time[event == 1], return_counts=True)
    at_risk = len(time) - np.searchsorted(np.sort(time), steps, side="left")
    return steps, at_risk.astype(np.float64), events.astype(np.float64)


def _bounds(
    survival: FloatArray, se: FloatArray, hazard_variance: FloatArray, z: float, interval: str
) -> tuple[FloatArray, FloatArray]:
    if interval == "plain":
        return np.clip(survival - z * se, 0, 1), np.clip(survival + z * se, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = z * np.sqrt(hazard_variance) / np.abs(np.log(survival))
        low, high = survival ** np.exp(spread), survival ** np.exp(-spread)
    known = survival > 0
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def _crossing(steps: FloatArray, curve: FloatArray, last: float) -> float | None:
    """The first time at which the curve is at one half or below; `last` is the time up to which anybody was followed."""
    # A product of fractions that is one half misses it by rounding: R allows the same hair.
    below = np.flatnonzero(curve <= 0.5 + HALF_WITHIN)
    if not below.size:
        return None
    first = int(below[0])
    # Exactly one half on a flat stretch: the middle of that stretch, the usual convention for a median.
    if abs(curve[first] - 0.5) <= HALF_WITHIN:
        return float((steps[first] + (steps[first + 1] if first + 1 < len(steps) else last)) / 2)
    return float(steps[first])


@dataclass(frozen=True)
class LogRank:
    statistic: float
    df: int
    p: float


def log_rank(time: FloatArray, event: FloatArray, group: Sequence[str]) -> LogRank:
    """Do the groups' curves differ. Refuses a single group, or nobody with the event."""
    _check(time, event)
    names = sorted(set(group))
    if len(names) < 2 or event.sum() == 0:
        raise refuse(
            "The curves were not compared",
            f"there {'is one group' if len(names) < 2 else 'was no event'}",
            "Give two groups with events",
            where="group",
        )
    steps, at_risk, events = _risk_table(time, event)
    member = np.array([[g == name for g in group] for name in names])
    own_risk = np.array([_at_risk(time[m], steps) for m in member])
    own_events = np.array([[float(np.sum((time[m] == t) & (event[m] == 1))) for t in steps] for m in member])
    share = own_risk / at_risk
    gap = (own_events - events * share).sum(axis=1)[:-1]
    weight = events * np.where(at_risk > 1, (at_risk - events) / np.maximum(at_risk - 1, 1), 0.0)
    covariance = np.diag((weight * share).sum(axis=1)) - (weight * share) @ share.T
    statistic = float(gap @ np.linalg.pinv(covariance[:-1, :-1]) @ gap)
    df = len(names) - 1
    return LogRank(statistic, df, float(stats.chi2.sf(statistic, df)))


def _at_risk(time: FloatArray, steps: FloatArray) -> FloatArray:
    return (len(time) - np.searchsorted(np.sort(time), steps, side="left")).astype(np.float64)
