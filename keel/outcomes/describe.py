"""Description: the baseline table, the picture of missingness, and a flow that reconciles to the last person.

Numbers: n, mean, SD (n − 1), median, quartiles (linear interpolation, R's type 7), least, largest, missing.
Words:   n and percent of those with a value, missing apart. No p values: differences at baseline of a randomised trial are chance.
Small cells: a count from 1 to `least − 1` is withheld, and so is the next smallest where the total would give it away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from keel.domain.errors import refuse
from keel.outcomes.columns import check_column, is_text, numbers, texts

ALL = "all"


@dataclass(frozen=True)
class Numbers:
    """One number variable in one arm."""

    variable: str
    arm: str
    n: int
    missing: int
    mean: float | None
    sd: float | None
    median: float | None
    q1: float | None
    q3: float | None
    least: float | None
    largest: float | None


@dataclass(frozen=True)
class Count:
    """One level of a word variable in one arm; `count` and `percent` are None where they are withheld."""

    variable: str
    level: str
    arm: str
    count: int | None
    percent: float | None
    n: int
    missing: int


def baseline_table(
    table: pl.DataFrame, variables: Sequence[str], *, arm: str | None = None, least: int = 0
) -> tuple[Numbers | Count, ...]:
    """One row per participant in; variables in their order out, every arm and all together. `least` > 1 withholds small counts."""
    groups = {ALL: np.ones(table.height, dtype=bool)}
    if arm is not None:
        named = texts(table, arm)
        groups = {
            name: np.array([a == name for a in named]) for name in sorted({a for a in named if a is not None})
        } | groups
    lines: list[Numbers | Count] = []
    for variable in variables:
        check_column(table, variable)
        for name, rows in groups.items():
            lines += (
                _counts(table, variable, name, rows, least)
                if is_text(table, variable)
                else [_numbers(table, variable, name, rows)]
            )
    return tuple(lines)


def _numbers(table: pl.DataFrame, variable: str, arm: str, rows: np.ndarray) -> Numbers:
    column = numbers(table, variable)[rows]
    known = column[~np.isnan(column)]
    missing = len(column) - len(known)
    if not len(known):
        return Numbers(variable, arm, 0, missing, *[None] * 7)
    q1, median, q3 = (float(v) for v in np.quantile(known, [0.25, 0.5, 0.75]))
    sd = float(known.std(ddof=1)) if len(known) > 1 else None
    return Numbers(
        variable,
        arm,
        len(known),
        missing,
        float(known.mean()),
        sd,
        median,
        q1,
        q3,
        float(known.min()),
        float(known.max()),
    )


def _counts(table: pl.DataFrame, variable: str, arm: str, rows: np.ndarray, least: int) -> list[Numbers | Count]:
    everybody = texts(table, variable)
    levels = sorted({v for v in everybody if v is not None})
    own = [v for v, inside in zip(everybody, rows, strict=True) if inside]
    known = [v for v in own if v is not None]
    shown = suppressed({level: known.count(level) for level in levels}, least=least)
    return [
        Count(
            variable,
            level,
            arm,
            count,
            100 * count / len(known) if count is not None and known else None,
            len(known),
            len(own) - len(known),
        )
        for level, count in shown.items()
    ]


def suppressed(counts: Mapping[str, int], *, least: int) -> dict[str, int | None]:
    """Counts of one whole with the small ones withheld, and more where a gap could be worked out: one alone is what is lacking,
    and of several that are few together each is known when there are as many gaps as people."""
    hidden = {name for name, count in counts.items() if 0 < count < least}
    others = sorted((n for n in counts if n not in hidden and counts[n] > 0), key=lambda name: (counts[name], name))
    while hidden and others and (len(hidden) == 1 or sum(counts[name] for name in hidden) < least):
        hidden.add(others.pop(0))
    return {name: None if name in hidden else count for name, count in counts.items()}


# ---- missingness ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """People of one arm who miss the same visits: `seen` has a 1 or a 0 per visit."""

    arm: str
    seen: tuple[int, ...]
    people: int
    monotone: bool


@dataclass(frozen=True)
class Missingness:
    """`share` observed of each arm at each visit, and the patterns, most frequent first."""

    visits: tuple[str, ...]
    share: Mapping[str, tuple[float, ...]]
    patterns: tuple[Pattern, ...]


def missingness(
    table: pl.DataFrame, *, subject: str, visit: str, outcome: str, arm: str | None = None, visits: Sequence[str] = ()
) -> Missingness:
    """From one row per person and visit; an absent row is a missing visit. A monotone pattern never comes back after a gap."""
    who, when = texts(table, subject), texts(table, visit)
    seen = ~np.isnan(numbers(table, outcome))
    arms = texts(table, arm) if arm is not None else [ALL] * table.height
    order = tuple(visits) or tuple(sorted({w for w in when if w is not None}))
    people: dict[str, tuple[str, list[int]]] = {}
    for person, moment, group, there in zip(who, when, arms, seen, strict=True):
        if person is None or group is None or moment not in order:
            continue
        _, line = people.setdefault(person, (group, [0] * len(order)))
        line[order.index(moment)] |= int(there)
    if not people:
        raise refuse("The missingness was not described", "nobody has a visit of the plan", where=visit, code="too-few")
    kinds: dict[tuple[str, tuple[int, ...]], int] = {}
    for group, line in people.values():
        kinds[group, tuple(line)] = kinds.get((group, tuple(line)), 0) + 1
    patterns = tuple(
        Pattern(group, line, count, _monotone(line))
        for (group, line), count in sorted(kinds.items(), key=lambda k: (k[0][0], -k[1], k[0][1]))
    )
    names = sorted({group for group, _ in people.values()})
    shares = {name: np.array([line for group, line in people.values() if group == name]).mean(axis=0) for name in names}
    return Missingness(order, {name: tuple(float(v) for v in share) for name, share in shares.items()}, patterns)


def _monotone(seen: Sequence[int]) -> bool:
    return all(earlier >= later for earlier, later in pairwise(seen))


# ---- flow ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flow:
    """CONSORT: how many came to each stage, and why others did not. `arms` has the stages after allocation by arm."""

    screened: int
    not_enrolled: Mapping[str, int]
    enrolled: int
    not_allocated: int
    arms: Mapping[str, Mapping[str, int]]
    left: Mapping[str, Mapping[str, int]]


STAGES = ("allocated", "dosed", "completed", "left", "continuing")


def consort(people: pl.DataFrame) -> Flow:
    """The flow from one row per participant with the yes/no columns screened, enrolled, dosed, completed, left, and the text
    columns arm (empty before allocation), why_not_enrolled, why_left.

    Refuses a person who is at a stage without the one before, or who both completed and left: the flow must reconcile.
    """
    for name in (
        "participant",
        "screened",
        "enrolled",
        "dosed",
        "completed",
        "left",
        "arm",
        "why_not_enrolled",
        "why_left",
    ):
        check_column(people, name)
    wrong = {
        "is twice in the table": pl.col("participant").is_duplicated(),
        "enrolled without being screened": pl.col("enrolled") & ~pl.col("screened"),
        "has an arm without being enrolled": pl.col("arm").is_not_null() & ~pl.col("enrolled"),
        "was dosed without an arm": pl.col("dosed") & pl.col("arm").is_null(),
        "completed without an arm": pl.col("completed") & pl.col("arm").is_null(),
        "both completed and left": pl.col("completed") & pl.col("left"),
    }
    for why, rule in wrong.items():
        torn = people.filter(rule).sort("participant")
        if torn.height:
            raise refuse(
                "The flow does not reconcile",
                f"{torn['participant'][0]} {why}",
                "Correct the record of that person",
                where=str(torn["participant"][0]),
                code="contradiction",
            )
    screened = people.filter(pl.col("screened"))
    out = screened.filter(~pl.col("enrolled"))
    enrolled = screened.filter(pl.col("enrolled"))
    allocated = enrolled.filter(pl.col("arm").is_not_null())
    names = sorted(allocated["arm"].unique().to_list())
    arms = {name: _stages(allocated.filter(pl.col("arm") == name)) for name in names}
    left = {name: _reasons(allocated.filter((pl.col("arm") == name) & pl.col("left")), "why_left") for name in names}
    unallocated = enrolled.height - allocated.height
    return Flow(screened.height, _reasons(out, "why_not_enrolled"), enrolled.height, unallocated, arms, left)


def _stages(arm: pl.DataFrame) -> dict[str, int]:
    dosed, completed, left = (int(arm[name].sum()) for name in ("dosed", "completed", "left"))
    return dict(zip(STAGES, (arm.height, dosed, completed, left, arm.height - completed - left), strict=True))


def _reasons(people: pl.DataFrame, column: str) -> dict[str, int]:
    counted = (
        people.with_columns(pl.col(column).fill_null("not recorded"))
        .group_by(column)
        .len()
        .sort("len", column, descending=[True, False])
    )
    return {str(reason): int(count) for reason, count in counted.rows()}
