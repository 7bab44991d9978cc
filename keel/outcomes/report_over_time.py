"""The outcome over time: means and changes with intervals, each person behind them, and between randomised arms an MMRM.

    mean, change   Student intervals, n − 1 degrees of freedom, from those who have a value
    d_av           mean change over the root of the mean of both variances (keel.outcomes.effect_size)
    MMRM           change ~ baseline + arm * visit over the visits after baseline that all arms share
Missing values: description uses what was obtained; the MMRM is valid where they are missing at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from keel.domain.errors import Refused
from keel.domain.report import Report
from keel.outcomes.columns import FloatArray
from keel.outcomes.effect_size import within_d
from keel.outcomes.estimand import Estimand, IntercurrentEvent
from keel.outcomes.lsmeans import contrasts, ls_means
from keel.outcomes.mmrm import fit_mmrm
from keel.outcomes.report_answer import (
    ALL,
    HAPPENED,
    WITHHELD,
    Course,
    Draft,
    Judged,
    Mean,
    Sight,
    Study,
    Table,
    after_baseline,
    between,
    few,
    groups,
    labels_of,
    measure_of,
    members,
    number,
    p_value,
    percent,
    sentences,
    small,
    visits_of,
)


def over_time(report: Report, study: Study, rows: pl.DataFrame, sight: Sight) -> Draft:
    draft = Draft()
    measure, judged = measure_of(report, study), study.judged
    if measure is None or judged is None:
        draft.refused.append(f"The protocol {study.protocol} names nothing that it is judged by: there is no outcome.")
        return draft
    own = members(rows, report).filter((pl.col("measure") == measure) & (pl.col("state") != "unscheduled"))
    visits = visits_of(own, study)
    if not visits:
        draft.refused.append(f"Nobody of the population “{report.population}” has a value of {measure} yet.")
        return draft
    tables = groups(own, study)
    found = {name: _described(table, visits, report.confidence) for name, table in tables.items()}
    telling = _telling(tables, visits, judged.baseline, sight)
    hidden, unsaid = (_hidden(found, visits, sight, of) for of in ("n", "due"))
    shown = {
        name: {visit: cell for visit, cell in cells.items() if (name, visit) not in hidden}
        for name, cells in found.items()
    }
    if not sight.rows:
        shown = {
            name: {
                visit: _without_few(cell, bool(unsaid), sight, telling=visit in telling)
                for visit, cell in cells.items()
            }
            for name, cells in shown.items()
        }
    draft.withheld = bool(hidden | unsaid | telling)
    draft.numbers = {"measure": measure, "population": report.population, "visits": visits, "groups": shown}
    draft.tables += [_table(name, visits, found[name], hidden, study, sight, telling) for name in found]
    if unsaid and not sight.rows:
        draft.refused.append(f"What was obtained of what was due is not shown: some of it is {few(sight)}.")
    else:
        draft.tables.append(_missing(found, visits, study, sight))
    draft.figures.append(_figure(report, study, judged, own, visits, shown, sight))
    draft.estimand = _described_estimand(report, study, judged)
    _compare(draft, report, study, judged, own, visits, sight)
    return draft


def _described_estimand(report: Report, study: Study, judged: Judged) -> tuple[str, ...]:
    """What the description estimates where no arms are compared."""
    return Estimand(
        population=f"{report.population.replace('_', ' ')}, as far as they have a value",
        treatment=" and ".join(label for _, label in study.arms) + ", described, not compared",
        variable=f"{judged.measure}, and its change from baseline, at each visit",
        intercurrent_events=(IntercurrentEvent(HAPPENED, "treatment policy"),),
        summary="mean of the values that were obtained; nothing is filled in",
    ).sentences()


def _described(table: pl.DataFrame, visits: list[str], level: float) -> dict[str, dict[str, Any]]:
    """Every visit that anybody of the group was due for."""
    found = {}
    for visit in visits:
        at = table.filter(pl.col("visit") == visit)
        due = at.filter(pl.col("state").is_in(["observed", "missing"]))
        if not at.height:
            continue
        known = due.filter(pl.col("value").is_not_null())
        paired = known.filter(pl.col("change").is_not_null())
        found[visit] = {
            "n": known.height,
            "due": due.height,
            "not_due": at.height - due.height,
            **_mean(known["value"].to_numpy(), level, "mean"),
            "change_n": paired.height,
            **_mean(paired["change"].to_numpy(), level, "change"),
            "d_av": _effect(paired, level),
        }
    return found


def _mean(values: FloatArray, level: float, name: str) -> dict[str, float | None]:
    n = len(values)
    mean = float(values.mean()) if n else None
    sd = float(values.std(ddof=1)) if n > 1 else None
    # Without spread there is no interval: an interval of no width would only look like certainty.
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / np.sqrt(n) if sd else None
    low, high = (None, None) if mean is None or half is None else (float(mean - half), float(mean + half))
    return {name: mean, f"{name}_sd": sd, f"{name}_low": low, f"{name}_high": high}


def _effect(paired: pl.DataFrame, level: float) -> dict[str, Any] | None:
    """The change as d_av with its interval; None where it does not vary or too few have both values."""
    before, after = paired["baseline"].to_numpy(), paired["value"].to_numpy()
    if len(before) < 4 or np.ptp(before) == 0 or np.ptp(after) == 0 or np.ptp(before - after) == 0:
        return None
    r = float(np.corrcoef(before, after)[0, 1])
    sds = (float(before.std(ddof=1)), float(after.std(ddof=1)))
    try:
        found = within_d(before.mean(), sds[0], after.mean(), sds[1], len(before), r, kind="d_av", level=level)
    except Refused:
        return None
    return {k: v for k, v in asdict(found).items() if k in ("estimate", "se", "ci_low", "ci_high", "definition", "n")}


def _hidden(found: dict[str, dict[str, Any]], visits: list[str], sight: Sight, of: str) -> set[tuple[str, str]]:
    """(group, visit) that whoever asks may not see: few people of `n`; of `due` also where few of them are missing."""
    hidden: set[tuple[str, str]] = set()
    for visit in visits:
        cells = {name: (cell[visit]["n"], cell[visit][of]) for name, cell in found.items() if visit in cell}
        arms = {name: both for name, both in cells.items() if name != ALL}
        hidden |= {(name, visit) for name in small(arms, sight)}
        if ALL in cells:
            hidden |= {(ALL, visit) for _ in small({ALL: cells[ALL]}, sight)}
    return hidden


def _telling(tables: Mapping[str, pl.DataFrame], visits: list[str], baseline: str | None, sight: Sight) -> set[str]:
    """Visits whose change is withheld from who may not see rows.

    A mean less its change is the baseline of those who have both. Where that is all but few of those whose baseline is
    known from another line, the difference would tell the baseline of few, of one person to the last digit.
    """
    hidden: set[str] = set()
    if sight.rows:
        return hidden
    for table in tables.values():
        known = table.filter(pl.col("value").is_not_null())
        lines = [set(known.filter(pl.col("visit") == baseline)["course"])]
        for visit in visits:
            at = known.filter((pl.col("visit") == visit) & pl.col("state").is_in(["observed", "missing"]))
            paired = set(at.filter(pl.col("change").is_not_null())["course"])
            apart = [at.height - len(paired), *(len(paired ^ line) for line in lines)]
            if any(0 < people < sight.least for people in apart):
                hidden.add(visit)
            else:
                lines.append(paired)
    return hidden


def _without_few(cell: dict[str, Any], unsaid: bool, sight: Sight, *, telling: bool) -> dict[str, Any]:
    """A cell of enough people, less what in it is about few of them."""
    gone = {"not_due", *(("due",) if unsaid else ())}
    if telling or 0 < cell["change_n"] < sight.least:
        gone |= {"change_n", "change", "change_sd", "change_low", "change_high", "d_av"}
    return {name: value for name, value in cell.items() if name not in gone}


def _table(
    name: str,
    visits: list[str],
    cells: dict[str, Any],
    hidden: set[tuple[str, str]],
    study: Study,
    sight: Sight,
    telling: set[str],
) -> Table:
    lines = []
    for visit, label in zip(visits, labels_of(visits, study), strict=True):
        if visit not in cells:
            continue
        if (name, visit) in hidden:
            lines.append((label, WITHHELD, *("–",) * 6))
            continue
        c = cells[visit]
        effect = c["d_av"]
        few_pairs = visit in telling or (not sight.rows and 0 < c["change_n"] < sight.least)
        at_baseline = study.judged is not None and visit == study.judged.baseline
        change = ("–", "–", "–") if few_pairs or at_baseline else _change_cells(c, effect)
        lines.append(
            (
                label,
                str(c["n"]),
                number(c["mean"]),
                number(c["mean_sd"]),
                between(c["mean_low"], c["mean_high"]),
                *change,
            )
        )
    columns = ("Visit", "n", "Mean", "SD", "95% interval", "Change", "95% interval", "Effect (d_av)")
    note = "Change is from baseline, of those who have both values. d_av: mean change over the root of the mean of both variances."
    if telling:
        note += " Where few have one value and not the other, the change is withheld."
    return Table(f"Means: {name}", columns, tuple(lines), note)


def _change_cells(c: dict[str, Any], effect: dict[str, Any] | None) -> tuple[str, str, str]:
    said = (
        "–"
        if effect is None
        else f"{number(-effect['estimate'], 2)} ({between(-effect['ci_high'], -effect['ci_low'], 2)})"
    )
    return number(c["change"]), between(c["change_low"], c["change_high"]), said


def _missing(found: dict[str, dict[str, Any]], visits: list[str], study: Study, sight: Sight) -> Table:
    def cell(name: str, visit: str) -> str:
        c = found[name].get(visit)
        if c is None:
            return "not asked"
        rest = f", {c['not_due']} not due" if c["not_due"] and sight.rows else ""
        return (f"{c['n']} of {c['due']} ({percent(c['n'] / c['due'])})" if c["due"] else "nobody due") + rest

    lines = [
        (label, *(cell(name, visit) for name in found))
        for visit, label in zip(visits, labels_of(visits, study), strict=True)
    ]
    note = "Observed of those whose visit has come due. What is not due yet is not missing."
    return Table("What was obtained, and what is missing", ("Visit", *found), tuple(lines), note)


def _figure(
    report: Report,
    study: Study,
    judged: Judged,
    own: pl.DataFrame,
    visits: list[str],
    shown: dict[str, dict[str, Any]],
    sight: Sight,
) -> Course:
    place = {visit: i for i, visit in enumerate(visits)}
    people: tuple[tuple[tuple[int, float], ...], ...] = ()
    if sight.rows:
        known = own.filter(pl.col("value").is_not_null()).sort("course", "visit_order")
        people = tuple(
            tuple((place[visit], float(value)) for visit, value in zip(one["visit"], one["value"], strict=True))
            for (_,), one in known.group_by("course", maintain_order=True)
        )
    # With several arms the mean of everybody would hide what differs between them.
    known_of = {name: [c for c in cells.values() if c["mean"] is not None] for name, cells in shown.items()}
    drawn = [name for name in shown if name != ALL and known_of[name]] or [ALL]
    means = tuple(
        (
            name,
            tuple(
                Mean(place[visit], cell["mean"], cell["mean_low"], cell["mean_high"])
                for visit, cell in shown.get(name, {}).items()
                if cell["mean"] is not None
            ),
        )
        for name in drawn
    )
    thresholds: tuple[tuple[float, str], ...] = ()
    if judged.remission and judged.remission.at_most is not None:
        thresholds = ((judged.remission.at_most, f"remission, {judged.remission.at_most:g} or less"),)
    doses = tuple(i for i, visit in enumerate(visits) if visit in study.doses)
    title = f"{judged.label}: each person and the mean" if people else f"{judged.label}: the mean"
    low, high = judged.low, judged.high
    return Course(title, labels_of(visits, study), doses, people, means, low, high, thresholds, judged.colour)


# ---- between randomised arms --------------------------------------------------------------------------------


def _compare(
    draft: Draft, report: Report, study: Study, judged: Judged, own: pl.DataFrame, visits: list[str], sight: Sight
) -> None:
    """An MMRM where arms were randomised against each other; otherwise the sentence that says why there is none."""
    if study.allocation != "randomised":
        why = {
            "waiting_list": "both arms have had the same treatment after their sessions, one of them later",
            "single": "there is one arm",
        }[study.allocation]
        draft.numbers["mmrm"] = None
        draft.refused.append(
            f"No difference between arms is estimated: {why}. The table describes, it does not compare."
        )
        return
    after = after_baseline(visits, judged)
    table = own.filter(
        pl.col("visit").is_in(after) & pl.col("change").is_not_null() & pl.col("arm").is_not_null()
    ).select("course", "visit", "visit_order", "arm", "baseline", "change")
    table = _shared(table, len(study.arms))
    people = table["course"].n_unique()
    if not sight.rows and people < 2 * sight.least:
        draft.withheld = True
        draft.refused.append(f"The comparison of arms is withheld: it rests on few people ({few(sight)}).")
        return
    formula = "change ~ baseline + arm * visit"
    try:
        fit = fit_mmrm(
            table.sort("course", "visit_order").with_columns(_ordered(table)),
            formula,
            visit="visit",
            subject="course",
            covariance=report.covariance,
            df=report.df,
            confidence=report.confidence,
        )
        differences = contrasts(fit, ls_means(fit, "arm", by="visit"))
    except Refused as refused:
        draft.numbers["mmrm"] = None
        draft.refused += [f"The MMRM was not fitted. {why}" for why in sentences(refused)]
        return
    labels = dict(study.visits)
    said: list[dict[str, Any]] = [
        {"contrast": one.label, "visit": dict(one.by)["visit"], **(one.estimate.as_json() if one.estimate else {})}
        for one in differences
    ]
    draft.numbers["mmrm"] = {
        "formula": formula,
        "covariance": report.covariance,
        "df": report.df,
        "m2loglik": fit.m2loglik,
        "n_obs": fit.n_obs,
        "n_subjects": fit.n_subjects,
        "contrasts": said,
        "notes": list(fit.notes),
    }
    lines = tuple(
        (
            f"{one['contrast']}, {labels.get(one['visit'], one['visit'])}",
            number(one.get("estimate"), 2),
            between(one.get("ci_low"), one.get("ci_high"), 2),
            number(one.get("se"), 2),
            number(one.get("df"), 1),
            p_value(one["p"]) if "p" in one else "not estimable",
        )
        for one in said
    )
    note = (
        f"{formula}, {report.covariance} covariance, REML, {report.df} degrees of freedom; "
        f"{fit.n_subjects} people, {fit.n_obs} values. Differences are not adjusted for their number."
    )
    columns = ("Difference", "Estimate", "95% interval", "SE", "df", "p")
    draft.tables.insert(0, Table("Difference between arms (MMRM)", columns, lines, note))
    draft.estimand = Estimand(
        population=f"{report.population.replace('_', ' ')}, with a baseline and at least one value after it",
        treatment=" against ".join(label for _, label in study.arms),
        variable=f"change of {judged.measure} from baseline at each visit that all arms share",
        intercurrent_events=(IntercurrentEvent(HAPPENED, "treatment policy"),),
        summary="difference of least-squares means; missing values are taken as missing at random",
    ).sentences()


def _shared(table: pl.DataFrame, arms: int) -> pl.DataFrame:
    """The visits at which every arm has a value."""
    everywhere = table.group_by("visit").agg(pl.col("arm").n_unique().alias("arms")).filter(pl.col("arms") == arms)
    return table.filter(pl.col("visit").is_in(everywhere["visit"].implode()))


def _ordered(table: pl.DataFrame) -> pl.Expr:
    """The visits as words that keep the order of the protocol."""
    order = table.select("visit", "visit_order").unique().sort("visit_order")["visit"].to_list()
    return pl.col("visit").cast(pl.Enum(order))
