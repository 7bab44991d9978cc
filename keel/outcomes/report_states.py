"""Response, remission and staying well, by what the protocol itself says they are.

share       of those whose value is known, with Wilson's interval; the missing are counted beside it
sustained   the state at the protocol's first endpoint visit and at every later one that has come due; a gap is unknown
time        days from the first dose to the first visit with a response; until then the last value (Kaplan–Meier)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from keel.domain.errors import Refused
from keel.domain.protocol import Change
from keel.domain.report import Report
from keel.outcomes.estimand import Estimand, IntercurrentEvent
from keel.outcomes.proportions import share
from keel.outcomes.report_answer import (
    ALL,
    HAPPENED,
    WITHHELD,
    Draft,
    Flows,
    Judged,
    Sight,
    Study,
    Table,
    TimeTo,
    after_baseline,
    between,
    few,
    groups,
    labels_of,
    measure_of,
    members,
    number,
    percent,
    sentences,
    small,
    visits_of,
)
from keel.outcomes.survival import kaplan_meier

STATES = ("remission", "response", "neither", "missing")


def states(report: Report, study: Study, rows: pl.DataFrame, sight: Sight) -> Draft:
    draft = Draft()
    judged, measure = study.judged, measure_of(report, study)
    if judged is None or measure is None or (judged.response is None and judged.remission is None):
        draft.refused.append(
            f"The protocol {study.protocol} does not say what a response or a remission is. Nothing is made up for it."
        )
        return draft
    own = members(rows, report).filter((pl.col("measure") == measure) & (pl.col("state") != "unscheduled"))
    after = after_baseline(visits_of(own, study), judged)
    if not after:
        draft.refused.append(
            f"Nobody of the population “{report.population}” has a value of {measure} after baseline yet."
        )
        return draft
    defined = {"response": judged.response, "remission": judged.remission}
    rules = {name: change for name, change in defined.items() if change is not None}
    draft.numbers = {
        "measure": measure,
        "population": report.population,
        "definitions": {name: in_words(change) for name, change in rules.items()},
        "shares": {},
        "sustained": {},
    }
    draft.estimand = Estimand(
        population=f"{report.population.replace('_', ' ')}, as far as the state is known",
        treatment=" and ".join(label for _, label in study.arms) + ", described, not compared",
        variable="; ".join(f"{name}: {said}" for name, said in draft.numbers["definitions"].items()),
        intercurrent_events=(IntercurrentEvent(HAPPENED, "treatment policy"),),
        summary="share of those whose state is known; who is missing is counted beside it",
    ).sentences()
    tables = groups(own, study)
    for name, change in rules.items():
        _shares(draft, report, study, name, change, tables, after, sight)
        _sustained(draft, report, judged, name, change, tables, after, sight)
    for name in defined:
        if name not in rules:
            draft.refused.append(f"The protocol {study.protocol} does not say what a {name} is: none is counted.")
    _flows(draft, study, judged, own, after, sight)
    if "response" in rules:
        _time(draft, report, judged, tables, rules["response"], after, sight)
    return draft


def in_words(change: Change) -> str:
    """A definition as it is read: all its conditions must hold."""
    parts = []
    if change.drop_percent_at_least is not None:
        parts.append(f"a fall of at least {change.drop_percent_at_least:g}% from baseline")
    if change.drop_at_least is not None:
        parts.append(f"a fall of at least {change.drop_at_least:g} points from baseline")
    if change.at_most is not None:
        parts.append(f"a score of {change.at_most:g} or less")
    return " and ".join(parts)


def holds(change: Change, baseline: float | None, value: float | None) -> bool | None:
    """Whether it holds; None where the value, or the baseline that it needs, is not known."""
    if value is None:
        return None
    if baseline is None:
        return None if change.drop_percent_at_least or change.drop_at_least else change.holds(0.0, value)
    return change.holds(baseline, value)


def _judged(table: pl.DataFrame, change: Change) -> list[bool | None]:
    pairs = zip(table["baseline"], table["value"], strict=True)
    return [holds(change, baseline, value) for baseline, value in pairs]


def _shares(
    draft: Draft,
    report: Report,
    study: Study,
    name: str,
    change: Change,
    tables: Mapping[str, pl.DataFrame],
    after: list[str],
    sight: Sight,
) -> None:
    def counted(table: pl.DataFrame, visit: str) -> tuple[int, int, int] | None:
        due = table.filter((pl.col("visit") == visit) & pl.col("state").is_in(["observed", "missing"]))
        found = _judged(due, change)
        return (found.count(True), len(found) - found.count(None), found.count(None)) if found else None

    said: dict[str, dict[str, Any]] = {}
    lines: list[tuple[str, ...]] = []
    for visit, label in zip(after, labels_of(after, study), strict=True):
        cells = {group: counted(table, visit) for group, table in tables.items()}
        shown, hidden = _shown({group: cell for group, cell in cells.items() if cell}, report, sight)
        draft.withheld |= hidden
        said[visit] = shown
        lines.append((label, *(_in_cell(group, cells[group], shown, sight) for group in tables)))
    draft.numbers["shares"][name] = said
    note = f"{name.capitalize()}: {in_words(change)}. Shares of those whose value is known, with Wilson's 95% interval."
    draft.tables.append(Table(f"{name.capitalize()} at each visit", ("Visit", *tables), tuple(lines), note))


def _shown(
    cells: Mapping[str, tuple[int, int, int]], report: Report, sight: Sight
) -> tuple[dict[str, dict[str, Any] | None], bool]:
    """Each group's share, None where it is withheld; and whether any was."""
    arms = {group: (events, n) for group, (events, n, _) in cells.items() if group != ALL}
    hidden = small(arms, sight)
    if ALL in cells:
        hidden |= small({ALL: cells[ALL][:2]}, sight)
    found: dict[str, dict[str, Any] | None] = {
        group: None
        if group in hidden
        else asdict(share(events, n, level=report.confidence, unknown=unknown))
        if n
        else {"events": 0, "n": 0, "unknown": unknown}
        for group, (events, n, unknown) in cells.items()
    }
    unsaid = [] if sight.rows else [one for one in found.values() if one and 0 < one["unknown"] < sight.least]
    for one in unsaid:
        one["unknown"] = None
    return found, bool(hidden or unsaid)


def _in_cell(group: str, cell: Any, shown: Mapping[str, Any], sight: Sight) -> str:
    if cell is None:
        return "nobody due"
    found = shown[group]
    if found is None:
        return WITHHELD
    missing = f"; {found['unknown']} missing" if found["unknown"] and sight.rows else ""
    if not found["n"]:
        return "none known" + missing
    interval = f"{percent(found['ci_low'])} to {percent(found['ci_high'])}"
    return f"{found['events']} of {found['n']}, {percent(found['estimate'])} ({interval}){missing}"


def _sustained(
    draft: Draft,
    report: Report,
    judged: Judged,
    name: str,
    change: Change,
    tables: Mapping[str, pl.DataFrame],
    after: list[str],
    sight: Sight,
) -> None:
    first = next((v for v in after if v in judged.visits), None)
    if first is None:
        draft.refused.append(f"Sustained {name} is not counted: nobody has come to the protocol's endpoint visit yet.")
        return
    counted = after[after.index(first) :]

    def of(table: pl.DataFrame) -> tuple[int, int, int]:
        due = table.filter(pl.col("visit").is_in(counted) & pl.col("state").is_in(["observed", "missing"]))
        people = [one for _, one in due.group_by("course") if first in one["visit"].to_list()]
        found = [_stays(_judged(one, change)) for one in people]
        return found.count(True), len(found) - found.count(None), found.count(None)

    cells = {group: of(table) for group, table in tables.items()}
    shown, hidden = _shown(cells, report, sight)
    draft.withheld |= hidden
    draft.numbers["sustained"][name] = {"visits": counted, "groups": shown}
    line = (f"Sustained {name}", *(_in_cell(group, cells[group], shown, sight) for group in tables))
    known = next((i for i, t in enumerate(draft.tables) if t.title == "Staying well"), None)
    earlier = draft.tables.pop(known).rows if known is not None else ()
    note = "At the first endpoint visit and at every later one that has come due; a missing value leaves it unknown."
    draft.tables.append(Table("Staying well", ("State", *tables), (*earlier, line), note))


def _stays(found: list[bool | None]) -> bool | None:
    if False in found:
        return False
    return None if None in found else True


# ---- figures -----------------------------------------------------------------------------------------------


def _flows(draft: Draft, study: Study, judged: Judged, own: pl.DataFrame, after: list[str], sight: Sight) -> None:
    """How people moved between the states, over the visits that everybody shown has come due for."""
    table = own.filter(pl.col("visit").is_in(after) & pl.col("state").is_in(["observed", "missing"]))
    everywhere = len(set(own["course"].to_list()))
    by_visit = Counter(table["visit"].to_list())
    # A visit that few have reached would show an outflow that is none: two thirds is our house rule for drawing it.
    drawn = [v for v in after if by_visit[v] * 3 >= 2 * everywhere]
    people = [
        {visit: _state(judged, b, v) for visit, b, v in zip(one["visit"], one["baseline"], one["value"], strict=True)}
        for _, one in table.group_by("course", maintain_order=True)
    ]
    whole = [one for one in people if all(visit in one for visit in drawn)]
    if len(drawn) < 2 or not whole:
        return
    counts = tuple({s: sum(one[v] == s for one in whole) for s in STATES} for v in drawn)
    flows = tuple(dict(Counter((one[a], one[b]) for one in whole)) for a, b in pairwise(drawn))
    cells = [n for each in counts for n in each.values()] + [n for each in flows for n in each.values()]
    if not sight.rows and any(0 < n < sight.least for n in cells):
        draft.withheld = True
        draft.refused.append(f"The flow between states is not drawn: some of it is {few(sight)}.")
        return
    title = f"Where {len(whole)} people stood, visit by visit"
    draft.figures.append(Flows(title, labels_of(drawn, study), counts, flows))


def _state(judged: Judged, baseline: float | None, value: float | None) -> str:
    if judged.remission and holds(judged.remission, baseline, value):
        return "remission"
    if judged.response and holds(judged.response, baseline, value):
        return "response"
    return "missing" if value is None or baseline is None else "neither"


def _time(
    draft: Draft,
    report: Report,
    judged: Judged,
    tables: Mapping[str, pl.DataFrame],
    change: Change,
    after: list[str],
    sight: Sight,
) -> None:
    if not sight.rows:
        draft.withheld = True
        draft.refused.append("The time to response is not drawn: each of its steps is a single person.")
        return
    drawn, lines = [], []
    names = [name for name in tables if name != ALL] or [ALL]
    for name in names:
        times = [t for _, one in tables[name].group_by("course", maintain_order=True) if (t := _time_of(one, change))]
        if len(times) < report.least_people:
            draft.refused.append(f"The time to response of {name} is not drawn: {len(times)} people have a time.")
            continue
        time, event = (np.array(column, dtype=np.float64) for column in zip(*times, strict=True))
        try:
            curve = kaplan_meier(time, event, level=report.confidence)
        except Refused as refused:
            draft.refused += sentences(refused)
            continue
        plain: Callable[[Any], float] = float
        bounds = zip(curve.time, curve.survival, curve.ci_low, curve.ci_high, strict=True)
        # At the bottom of the curve the interval does not exist: the step is drawn without one.
        steps = tuple((plain(t), plain(s), *_known(low, high, s)) for t, s, low, high in bounds)
        drawn.append((name, steps, tuple(plain(t) for t, e in times if not e), tuple(plain(t) for t, _ in times)))
        lines.append(
            (
                name,
                str(curve.n),
                str(int(curve.events.sum())),
                "not reached" if curve.median is None else f"{number(curve.median, 0)} days",
                between(curve.median_low, curve.median_high, 0),
            )
        )
        draft.numbers.setdefault("time_to_response", {})[name] = {
            "n": curve.n,
            "events": int(curve.events.sum()),
            "median_days": curve.median,
            "median_low": curve.median_low,
            "median_high": curve.median_high,
        }
    if drawn:
        end = max(max([s[0] for s in steps] + list(censored)) for _, steps, censored, _ in drawn)
        title = "Time from the first dose to the first response"
        draft.figures.append(TimeTo(title, "Share without a response yet", tuple(drawn), end, judged.colour))
        columns = ("Group", "People", "Responded", "Median", "95% interval")
        draft.tables.append(Table(title, columns, tuple(lines), "Kaplan–Meier, intervals on the log-log scale."))


def _known(low: float, high: float, estimate: float) -> tuple[float, float]:
    if np.isnan(low) or np.isnan(high):
        return float(estimate), float(estimate)
    return float(low), float(high)


def _time_of(one: pl.DataFrame, change: Change) -> tuple[float, float] | None:
    """(days since the first dose, 1 for a response): None where there is no value after the dose."""
    seen = one.filter((pl.col("study_day") > 1) & pl.col("value").is_not_null()).sort("study_day")
    last = None
    for day, baseline, value in zip(seen["study_day"], seen["baseline"], seen["value"], strict=True):
        found = holds(change, baseline, value)
        if found is None:
            continue
        last = (float(day - 1), float(found))
        if found:
            return last
    return last
