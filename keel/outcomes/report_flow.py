"""The flow of people (CONSORT): every course is in exactly one place of it, or the flow is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from keel.domain.errors import refuse
from keel.domain.report import Report
from keel.outcomes.describe import Flow, consort
from keel.outcomes.report_answer import WITHHELD, Draft, Sight, Study, Table, counts_shown

STAGES = ("allocated", "dosed", "completed", "left", "continuing")


def flow(report: Report, study: Study, people: pl.DataFrame, sight: Sight) -> Draft:
    draft = Draft()
    if not people.height:
        draft.refused.append("Nobody has come to this study yet.")
        return draft
    # One line per course: somebody who comes twice is two courses, and counted as such.
    found = consort(people.with_columns(pl.col("course").alias("participant")))
    enquiries = people.height - found.screened
    check_reconciles(found, people.height, enquiries)
    labels = dict(study.arms)
    whole = counts_shown({"opened": people.height}, sight)
    arms = _stages_shown(found, sight)
    draft.numbers = {
        **whole,
        "enquiries": enquiries,
        "screened": found.screened,
        "enrolled": found.enrolled,
        "not_enrolled": counts_shown(found.not_enrolled, sight),
        "not_allocated": found.not_allocated,
        "arms": arms,
        "left": {arm: counts_shown(why, sight) for arm, why in found.left.items()},
    }
    top = counts_shown(
        {
            "not screened yet": enquiries,
            "screened, not enrolled": found.screened - found.enrolled,
            "enrolled": found.enrolled,
        },
        sight,
    )
    if not sight.rows:
        draft.numbers |= _withheld_steps(top, found)
        draft.withheld = any(n is None for cells in (top, *arms.values()) for n in cells.values())

    def said(count: int | None) -> str:
        return WITHHELD if count is None else str(count)

    steps = [("Courses opened", said(whole["opened"])), *((name.capitalize(), said(n)) for name, n in top.items())]
    if len(labels) > 1:
        steps.append(("Enrolled, not allocated", said(counts_shown({"none": found.not_allocated}, sight)["none"])))
    draft.tables.append(Table("From the enquiry to enrolment", ("Step", "People"), tuple(steps)))
    if found.not_enrolled:
        reasons = tuple((_plain(r), said(n)) for r, n in counts_shown(found.not_enrolled, sight).items())
        draft.tables.append(Table("Why people were not enrolled", ("Reason", "People"), reasons))
    if found.arms:
        draft.tables.append(_arms(arms, labels, sight))
        left = tuple(
            (f"{labels.get(arm, arm)}: {_plain(reason)}", said(count))
            for arm, why in found.left.items()
            for reason, count in counts_shown(why, sight).items()
        )
        if left:
            draft.tables.append(Table("Why people left", ("Reason", "People"), left))
    return draft


def check_reconciles(found: Flow, opened: int, enquiries: int) -> None:
    """Refuse a flow whose parts do not add up to the whole, to the last person."""
    sums = {
        "opened": (opened, enquiries + found.screened),
        "screened": (found.screened, sum(found.not_enrolled.values()) + found.enrolled),
        "enrolled": (found.enrolled, found.not_allocated + sum(s["allocated"] for s in found.arms.values())),
        **{
            f"allocated to {arm}": (s["allocated"], s["completed"] + s["left"] + s["continuing"])
            for arm, s in found.arms.items()
        },
    }
    torn = next(((name, pair) for name, pair in sums.items() if pair[0] != pair[1]), None)
    if torn:
        name, (whole, parts) = torn
        raise refuse("The flow does not reconcile", f"{whole} were {name}, and its parts are {parts}", where=name)


def _stages(counts: Mapping[str, int], sight: Sight) -> dict[str, int | None]:
    """Completed, left and continuing are the parts of allocated; dosed stands apart."""
    if sight.rows:
        return dict(counts)
    parts = counts_shown({name: counts[name] for name in ("completed", "left", "continuing")}, sight)
    whole = counts_shown({"allocated": counts["allocated"]}, sight)
    dosed = counts_shown({"dosed": counts["dosed"], "not": counts["allocated"] - counts["dosed"]}, sight)
    return {**whole, "dosed": dosed["dosed"], **parts}


def _withheld_steps(top: dict[str, int | None], found: Flow) -> dict[str, Any]:
    enrolled, enquiries = top["enrolled"], top["not screened yet"]
    out = top["screened, not enrolled"]
    return {
        "enquiries": enquiries,
        "enrolled": enrolled,
        "screened": None if enquiries is None else found.screened,
        "not_allocated": None if enrolled is None else found.not_allocated,
        **({"not_enrolled": {}} if out is None else {}),
    }


def _stages_shown(found: Flow, sight: Sight) -> dict[str, dict[str, int | None]]:
    """The stages of each arm; what is withheld of one can be worked out neither from its other stages nor from other arms."""
    shown = {arm: _stages(stages, sight) for arm, stages in found.arms.items()}
    if sight.rows:
        return shown
    # What all arms together come to at a stage stands in other reports; the parts of an arm come to what was allocated to it.
    rows = [[(arm, stage) for arm in shown] for stage in STAGES] if len(shown) > 1 else []
    columns = [[(arm, stage) for stage in STAGES if stage != "dosed"] for arm in shown]
    torn = True
    while torn:
        torn = False
        for line in (*rows, *columns):
            counts = {(arm, stage): found.arms[arm][stage] for arm, stage in line}
            gaps = [cell for cell in line if shown[cell[0]][cell[1]] is None and counts[cell]]
            open_ = sorted((c for c in line if c not in gaps and counts[c]), key=lambda c: (counts[c], c))
            alone = len(gaps) == 1 or (line in rows and sum(counts[c] for c in gaps) < sight.least)
            if gaps and open_ and alone:
                arm, stage = open_[0]
                shown[arm][stage] = None
                torn = True
    return shown


def _arms(arms: Mapping[str, Mapping[str, int | None]], labels: dict[str, str], sight: Sight) -> Table:
    rows = []
    for stage in STAGES:
        counts = (stages[stage] for stages in arms.values())
        rows.append((stage.capitalize(), *(WITHHELD if count is None else str(count) for count in counts)))
    columns = ("Step", *(labels.get(arm, arm) for arm in arms))
    note = "Completed, left and continuing add up to allocated."
    return Table("After enrolment", columns, tuple(rows), note)


def _plain(reason: str) -> str:
    return reason.replace("-", " ").replace("_", " ")
