"""Compute a report: from the dataset, the people and the report's own definition to numbers, tables and figures.

    answer = compute(report, study, rows, people, Sight(rows=True, least=5))

`rows` is the analysis dataset (keel.outcomes.dataset), `people` one row per course (arm, screened, enrolled, dosed,
completed, left, why_not_enrolled, why_left). The same input gives the same answer: all chance
comes from the report's seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from keel.domain.report import Report
from keel.outcomes.report_answer import Answer, Draft, Sight, Study
from keel.outcomes.report_blinding import blinding
from keel.outcomes.report_flow import flow
from keel.outcomes.report_missing import missing_data
from keel.outcomes.report_over_time import over_time
from keel.outcomes.report_pairs import correlations
from keel.outcomes.report_states import states
from keel.outcomes.report_year import year

__all__ = ["Answer", "Sight", "Study", "compute", "plain"]


def compute(report: Report, study: Study, rows: pl.DataFrame, people: pl.DataFrame, sight: Sight) -> Answer:
    """Answer a report. What cannot be computed is a sentence in `refused`, never a number that looks right."""
    draft = Draft()
    if not report.fits(study.protocol):
        draft.refused.append(f"{report.id} is about {', '.join(report.protocols)}; this study runs {study.protocol}.")
    elif report.method == "flow":
        draft = flow(report, study, people, sight)
    elif not rows.height:
        draft.refused.append("Nobody is enrolled yet: there is no analysis dataset.")
    elif report.method == "over_time":
        draft = over_time(report, study, rows, sight)
    elif report.method == "states":
        draft = states(report, study, rows, sight)
    elif report.method == "correlations":
        draft = correlations(report, study, rows, sight)
    elif report.method == "missing_data":
        draft = missing_data(report, study, rows, sight)
    elif report.method == "year":
        draft = year(report, study, rows, sight)
    else:
        draft = blinding(report, study, rows, sight)
    draft.numbers = plain(draft.numbers)
    return draft.done()


def plain(value: Any) -> Any:
    """As JSON has it; what is not a number is null."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
