"""A year at a glance: on which days people came, and how many did in each month.

A visit counts on the day on which something was answered at it, once per person; a dosing session is such a visit. Nothing
planned is counted, and nothing that was never answered.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from keel.domain.report import Report
from keel.outcomes.report_answer import WITHHELD, Calendar, Draft, Sight, Study, Table, counts_shown, members

MOST_YEARS = 2
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def year(report: Report, study: Study, rows: pl.DataFrame, sight: Sight) -> Draft:
    draft = Draft()
    held = members(rows, report).filter((pl.col("state") != "missing") & pl.col("on").is_not_null())
    held = held.filter(pl.col("value").is_not_null()).select("course", "visit", "on").unique()
    if not held.height:
        draft.refused.append(f"Nobody of the population “{report.population}” has answered anything yet.")
        return draft
    years = sorted({on.year for on in held["on"].to_list()}, reverse=True)[:MOST_YEARS]
    draft.numbers = {"population": report.population, "years": {}}
    for one in years:
        of_year = held.filter(pl.col("on").dt.year() == one)
        doses = of_year.filter(pl.col("visit").is_in(list(study.doses)))
        _table(draft, one, of_year, doses, sight)
        if sight.rows and report.shows("calendar"):
            draft.figures.append(Calendar(f"{one}: days on which people came", one, _by_day(of_year), "visits"))
    if not sight.rows:
        draft.withheld = True
        draft.refused.append("The calendar is not drawn: a day of it can be one person.")
    return draft


def _by_day(held: pl.DataFrame) -> tuple[tuple[date, int], ...]:
    return tuple(held.group_by("on").len().sort("on").iter_rows())


def _table(draft: Draft, one: int, held: pl.DataFrame, doses: pl.DataFrame, sight: Sight) -> None:
    months = [f"{one}-{month:02d}" for month in range(1, 13)]
    counted = {}
    for name, visits in (("visits", held), ("dosing sessions", doses), ("people", held.select("course", "on"))):
        at = pl.col("on").dt.strftime("%Y-%m").alias("month")
        own = visits.with_columns(at)
        own = own.unique(["course", "month"]) if name == "people" else own
        there = dict(own.group_by("month").len().iter_rows())
        counted[name] = counts_shown({month: there.get(month, 0) for month in months}, sight)
    draft.numbers["years"][str(one)] = counted
    draft.withheld |= any(n is None for counts in counted.values() for n in counts.values())
    lines = tuple(
        (MONTHS[i], *(WITHHELD if counts[month] is None else str(counts[month]) for counts in counted.values()))
        for i, month in enumerate(months)
    )
    note = "Visits at which something was answered, by the day of the answer; people count once a month."
    draft.tables.append(Table(f"{one} by month", ("Month", "Visits", "Dosing sessions", "People"), lines, note))
