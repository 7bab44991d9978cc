"""Correlations of a list of pairs: Pearson's r with a BCa bootstrap interval, p alone and adjusted for their number.

Each person gives one value to each side of a pair. A pair of fewer than `least_people` complete people is refused: its
interval would be an ornament. Pairs are adjusted over those that were computed, and how many those are is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from keel.domain.errors import Refused
from keel.domain.report import Pair, Report, Taken
from keel.outcomes.columns import FloatArray
from keel.outcomes.correlate import Bootstrap, adjusted, correlate
from keel.outcomes.progress import step
from keel.outcomes.report_answer import (
    Dots,
    Draft,
    Intervals,
    Sight,
    Study,
    Table,
    between,
    measure_of,
    members,
    number,
    p_value,
    sentences,
)

Values = Mapping[tuple[str, str, str], float]


def correlations(report: Report, study: Study, rows: pl.DataFrame, sight: Sight) -> Draft:
    draft = Draft()
    own = members(rows, report).filter(pl.col("value").is_not_null())
    people = sorted(own["course"].unique().to_list())
    values = {(c, m, v): x for c, m, v, x in own.select("course", "measure", "visit", "value").iter_rows()}
    least = max(report.least_people, 0 if sight.rows else sight.least)
    found: list[tuple[Pair, dict[str, Any], FloatArray]] = []
    lines: list[tuple[Pair, dict[str, Any] | None, int]] = []
    for place, pair in enumerate(report.pairs):
        step("Correlating", place, len(report.pairs))
        both = _complete(pair, report, study, people, values)
        one = _correlated(draft, pair, both, report, least, sight)
        lines.append((pair, one, len(both)))
        if one is not None:
            found.append((pair, one, both))
    if found:
        for (_, one, _), p in zip(found, adjusted([one["p"] for _, one, _ in found], report.adjust), strict=True):
            one["p_adjusted"] = p
    draft.numbers = {
        "population": report.population,
        "method": "pearson",
        "interval": f"bootstrap BCa, {report.draws} draws, seed {report.seed}",
        "adjusted": f"{report.adjust} over {len(found)}",
        "pairs": [
            {"x": pair.x.label, "y": pair.y.label, **(one or {"n": n if sight.rows or n >= least else None})}
            for pair, one, n in lines
        ],
    }
    draft.tables.append(_table(report, lines, len(found), sight, least))
    if found:
        _draw(draft, report, found, sight)
    return draft


def _complete(pair: Pair, report: Report, study: Study, people: list[str], values: Values) -> FloatArray:
    sides = [[_taken(side, report, study, person, values) for person in people] for side in (pair.x, pair.y)]
    whole = [(x, y) for x, y in zip(*sides, strict=True) if x is not None and y is not None]
    return np.array(whole, dtype=np.float64).reshape(-1, 2)


def _taken(side: Taken, report: Report, study: Study, person: str, values: Values) -> float | None:
    """A person's value; of several visits the one that counts, where at least one is known."""
    measure = measure_of(report, study, side.measure)
    known = [values[person, measure, v] for v in side.visits if measure and (person, measure, v) in values]
    if not known:
        return None
    return {"only": known[0], "highest": max(known), "lowest": min(known), "last": known[-1]}[side.take]


def _correlated(
    draft: Draft, pair: Pair, both: FloatArray, report: Report, least: int, sight: Sight
) -> dict[str, Any] | None:
    name = f"{pair.x.label} with {pair.y.label}"
    if len(both) < least:
        told = "1 person has" if len(both) == 1 else f"{len(both)} people have"
        said = told if sight.rows or not len(both) else f"fewer than {least} people have"
        draft.withheld |= not sight.rows
        draft.refused.append(f"{name}: {said} both values, and {least} are the least.")
        return None
    try:
        found = correlate(
            both[:, 0],
            both[:, 1],
            level=report.confidence,
            resample=Bootstrap(draws=report.draws, kind="bca", seed=report.seed),
        )
    except Refused as refused:
        draft.refused += [f"{name}: {why}" for why in sentences(refused)]
        return None
    return asdict(found)


def _table(
    report: Report, lines: list[tuple[Pair, dict[str, Any] | None, int]], computed: int, sight: Sight, least: int
) -> Table:
    rows = []
    for pair, one, n in lines:
        printed = "–"
        if pair.printed:
            p = f"p {p_value(pair.printed.p)}" if pair.printed.p is not None else "p < .001"
            printed = f"{number(pair.printed.r, 2)}, {p}"
        own = ("–",) * 4
        if one:
            own = (
                number(one["estimate"], 2),
                between(one["ci_low"], one["ci_high"], 2),
                p_value(one["p"]),
                p_value(one["p_adjusted"]),
            )
        shown = str(n) if sight.rows or n >= least or not n else f"fewer than {least}"
        rows.append((pair.short or f"{pair.x.label} with {pair.y.label}", shown, *own, printed))
    columns = ("Pair", "n", "r", "95% interval", "p", f"p ({report.adjust.capitalize()})", "As printed")
    note = (
        f"Pearson's r; bootstrap intervals (BCa, {report.draws:,} draws, seed {report.seed}); "
        f"p adjusted over the {computed} pairs that could be computed."
    )
    return Table("Correlations", columns, tuple(rows), note)


def _draw(draft: Draft, report: Report, found: list[tuple[Pair, dict[str, Any], FloatArray]], sight: Sight) -> None:
    lines = tuple(
        (pair.short or f"{pair.x.label} – {pair.y.label}", one["estimate"], one["ci_low"], one["ci_high"])
        for pair, one, _ in found
    )
    if report.shows("forest"):
        draft.figures.append(
            Intervals("Every correlation with its interval", lines, 0.0, "goes with less", "goes with more")
        )
    if not report.shows("scatter"):
        return
    if not sight.rows:
        draft.withheld = True
        draft.refused.append("The scatter plots are not drawn: each point of them is a person.")
        return
    drawn: set[str] = set()
    for pair, one, both in found:
        if pair.x.label not in drawn:
            drawn.add(pair.x.label)
            draft.figures.append(_dots(pair, one, both, report.confidence))


def _dots(pair: Pair, one: dict[str, Any], both: FloatArray, level: float) -> Dots:
    says = f"r {number(one['estimate'], 2)} ({between(one['ci_low'], one['ci_high'], 2)}), n {one['n']}"
    points = tuple((float(x), float(y)) for x, y in both)
    return Dots(f"{pair.x.label} and {pair.y.label}", pair.x.label, pair.y.label, points, _line(both, level), says)


def _line(both: FloatArray, level: float) -> tuple[tuple[float, float, float, float], ...]:
    """The straight line through the points with the interval of its mean, at 20 places."""
    x, y = both[:, 0], both[:, 1]
    n, spread = len(x), float(np.sum((x - x.mean()) ** 2))
    slope = float(np.sum((x - x.mean()) * (y - y.mean())) / spread)
    at = np.linspace(x.min(), x.max(), 20)
    fit = y.mean() + slope * (at - x.mean())
    rest = y - y.mean() - slope * (x - x.mean())
    error = np.sqrt(np.sum(rest**2) / (n - 2) * (1 / n + (at - x.mean()) ** 2 / spread))
    half = float(stats.t.ppf((1 + level) / 2, n - 2)) * error
    return tuple((float(a), float(f), float(f - h), float(f + h)) for a, f, h in zip(at, fit, half, strict=True))
