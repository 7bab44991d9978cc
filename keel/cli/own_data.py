"""`keel instruments analyse ID [LINES.jsonl|-]`: how a questionnaire behaves in one's own data, as JSON.

Reliability of each scale, floor and ceiling, blanks by item, straight lines, and, from this site's record, how long
people took over each item. The lines are those of `keel score --batch`; without a file this site's record is read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import polars as pl

from keel.cli.responses import chosen, given_responses
from keel.domain.answers import read_answers
from keel.domain.errors import refuse
from keel.domain.instrument import Instrument, Mean, Percent, Sum
from keel.domain.scoring import score
from keel.outcomes.psychometrics import (
    answer_times,
    floor_and_ceiling,
    missing_by_item,
    reliability,
    straight_lines,
)


def analyse(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="keel instruments analyse", description=__doc__)
    parser.add_argument("id")
    parser.add_argument("lines", nargs="?", help="JSON lines, or - for standard input; this site's record when absent")
    parser.add_argument("--version", type=int, help="which version of its definition; needed when there are several")
    given = parser.parse_args(argv)
    one, found = chosen(given_responses(given.lines, given.id), given.id, given.version)
    bare = next((place for place, line in found if "items" not in line), None)
    if bare is not None:
        raise refuse("The answers were not analysed", '"items" is missing', "Add them", where=bare)
    rows = [read_answers(one, line["items"]) for _, line in found]
    numbers = [item.id for item in one.items if item.answers.kind not in ("choice", "many") and not item.optional]
    frame = pl.DataFrame(
        {id: [row.values[id] for row in rows] for id in numbers},
        schema=dict.fromkeys(numbers, pl.Float64),
        strict=False,
    )
    scores = [score(one, line["items"], line.get("context")).scores for _, line in found]
    straight = straight_lines(frame, numbers)
    told: dict[str, Any] = {
        "instrument": one.id,
        "version": one.version,
        "n": len(rows),
        "scales": list(_scales(one, frame, scores)),
        "missing": missing_by_item(frame, numbers).to_dicts(),
        "declined": {id: n for id in numbers if (n := sum(id in row.declined for row in rows))},
        "straight_lines": int(straight["straight"].sum()),
        "longest_run_median": straight["longest_run"].median(),
    }
    if given.lines is None:
        told["answer_times"] = answer_times(_seconds(one.id)).to_dicts()
    print(json.dumps(told, ensure_ascii=False, indent=2))
    return 0


def _scales(one: Instrument, frame: pl.DataFrame, scores: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each shown sum, mean or share over items of one kind: with its reliability, and how many stand at its ends."""
    ids = {item.id for item in one.items}
    for step in one.steps:
        if not isinstance(step, (Sum, Mean, Percent)) or not step.show or not ids.issuperset(step.of) or step.recode:
            continue
        answers = [one.item(ref).answers for ref in step.of]
        turned = step.reversed if step.reversed_if is None else ()
        found = reliability(frame, list(step.of), reversed=turned, ends=answers[0].low + answers[0].high)
        values = pl.Series([given.get(step.name) for given in scores], dtype=pl.Float64, strict=False)
        ends = {} if step.low is None or step.high is None else asdict(
            floor_and_ceiling(values, low=step.low, high=step.high)
        )  # fmt: skip
        yield {"score": step.name, **asdict(found), "ends": ends}


def _seconds(id: str) -> pl.DataFrame:
    """How long each answer came after the one before it, of everybody who answered on a device."""
    from keel.records import journal
    from keel.records.models import CourseRow, ResponseRow

    mine = dict(ResponseRow.objects.filter(instrument=id).values_list("id", "course"))
    found: list[tuple[str, float]] = []
    for course in CourseRow.objects.filter(id__in=set(mine.values())).values_list("id", flat=True):
        last: dict[str, datetime] = {}
        for event in journal.events(f"course:{course}"):
            about = event.payload.get("response", "")
            if about not in mine or event.kind not in ("response_begun", "item_answered"):
                continue
            if event.kind == "item_answered" and about in last:
                found.append((event.payload["item"], (event.occurred_at - last[about]).total_seconds()))
            last[about] = event.occurred_at
    return pl.DataFrame(found, schema={"item": pl.String, "seconds": pl.Float64}, orient="row")
