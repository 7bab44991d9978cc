"""What a report is asked of, and what it answers: plain values that a page, a PDF and a folder can show alike.

An answer holds `numbers` (plain JSON: the result), `tables` and `figures` (the same in words and as what to draw), and
`refused` (sentences: what could not be computed, and why). Nothing is computed for fewer people than can carry it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import polars as pl

from keel.domain.errors import Refused
from keel.domain.protocol import Change
from keel.domain.report import ENDPOINT, Report
from keel.outcomes.describe import suppressed

ALL = "everybody"
# Whatever the dataset marks as an intercurrent event (keel.queries.journal_table.INTERCURRENT), in words.
HAPPENED = (
    "a dosing visit missed, a session stopped or transferred, rescue medication, consent withdrawn, withdrawal, or loss"
)


@dataclass(frozen=True)
class Judged:
    """What a protocol is judged by: the measure, its baseline and endpoint visits, and what response and remission are."""

    label: str
    measure: str
    baseline: str | None
    visits: tuple[str, ...]
    response: Change | None
    remission: Change | None
    low: float
    high: float
    colour: str


@dataclass(frozen=True)
class Study:
    """What of a study a report needs. `allocation` is single, randomised or waiting_list; arms and visits are (id, label)."""

    id: str
    title: str
    protocol: str
    protocol_version: int
    allocation: str
    arms: tuple[tuple[str, str], ...]
    visits: tuple[tuple[str, str], ...]
    doses: tuple[str, ...]
    judged: Judged | None

    def as_json(self) -> dict[str, Any]:
        plain = asdict(self)
        if self.judged:
            for name in ("response", "remission"):
                change: Change | None = getattr(self.judged, name)
                plain["judged"][name] = change.model_dump() if change else None
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Study:
        """The study that `as_json` wrote."""
        judged = plain["judged"]
        if judged:
            changes = {n: Change(**judged[n]) if judged[n] else None for n in ("response", "remission")}
            judged = Judged(**{**judged, **changes, "visits": tuple(judged["visits"])})
        lists = {name: tuple(map(tuple, plain[name])) for name in ("arms", "visits")}
        return cls(**{**plain, **lists, "doses": tuple(plain["doses"]), "judged": judged})


@dataclass(frozen=True)
class Sight:
    """What whoever asks may see: `rows` of single people or not; and if not, no cell of fewer than `least` people."""

    rows: bool
    least: int


@dataclass(frozen=True)
class Table:
    """`columns[0]` names the rows. A cell is text; `note` stands below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Mean:
    """A mean with its interval at a visit (its place in the figure's visits)."""

    visit: int
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Course:
    """Lines over the visits: single `people` as (visit, value), and each group's means."""

    title: str
    visits: tuple[str, ...]
    doses: tuple[int, ...]
    people: tuple[tuple[tuple[int, float], ...], ...]
    means: tuple[tuple[str, tuple[Mean, ...]], ...]
    low: float
    high: float
    thresholds: tuple[tuple[float, str], ...]
    colour: str


@dataclass(frozen=True)
class Flows:
    """States at each visit with their counts, and how many people went from one to another between two visits."""

    title: str
    visits: tuple[str, ...]
    counts: tuple[Mapping[str, int], ...]
    flows: tuple[Mapping[tuple[str, str], int], ...]


@dataclass(frozen=True)
class TimeTo:
    """Kaplan–Meier per group: its name, steps (days, share, low, high), those censored and all that were followed (days)."""

    title: str
    up: str
    groups: tuple[tuple[str, tuple[tuple[float, float, float, float], ...], tuple[float, ...], tuple[float, ...]], ...]
    end: float
    colour: str


@dataclass(frozen=True)
class Dots:
    """Two measures of each person, the fitted line (x, fit, low, high), and what it says."""

    title: str
    across: str
    up: str
    points: tuple[tuple[float, float], ...]
    fitted: tuple[tuple[float, float, float, float], ...]
    says: str


@dataclass(frozen=True)
class Intervals:
    """Estimates with intervals, one a line; `none` is the value of no effect."""

    title: str
    lines: tuple[tuple[str, float, float, float], ...]
    none: float
    less: str
    more: str


@dataclass(frozen=True)
class Calendar:
    """How many of `what` were on each day of a year; days without are left out."""

    title: str
    year: int
    days: tuple[tuple[date, int], ...]
    what: str


Figure = Course | Flows | TimeTo | Dots | Intervals | Calendar


@dataclass(frozen=True)
class Answer:
    """What a report found."""

    numbers: Mapping[str, Any]
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    refused: tuple[str, ...] = ()
    estimand: tuple[str, ...] = ()
    withheld: bool = False


@dataclass
class Draft:
    """An answer as it is being put together."""

    numbers: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    estimand: tuple[str, ...] = ()
    withheld: bool = False

    def done(self) -> Answer:
        found = (tuple(self.tables), tuple(self.figures), tuple(self.refused))
        return Answer(self.numbers, *found, self.estimand, self.withheld)


# ---- rows of the dataset -----------------------------------------------------------------------------------


def measure_of(report: Report, study: Study, name: str = "") -> str | None:
    """The measure that is meant: by name, or what the protocol is judged by (None where it says nothing)."""
    name = name or report.measure
    if name != ENDPOINT:
        return name
    return study.judged.measure if study.judged else None


def members(rows: pl.DataFrame, report: Report) -> pl.DataFrame:
    """The rows of the report's population, words as plain text."""
    kept = rows.filter(pl.col(report.population))
    words = [n for n in ("measure", "visit", "arm", "state", "site", "study") if n in kept.columns]
    return kept.with_columns(pl.col(words).cast(pl.String))


def groups(rows: pl.DataFrame, study: Study) -> dict[str, pl.DataFrame]:
    """The rows by arm where there are several (in the protocol's order), and of everybody."""
    labels = dict(study.arms)
    found = {}
    if len(labels) > 1 and "arm" in rows.columns:
        there = set(rows["arm"].drop_nulls().unique().to_list())
        found = {labels[arm]: rows.filter(pl.col("arm") == arm) for arm in labels if arm in there}
    return {**found, ALL: rows} if len(found) != 1 else {ALL: rows}


def visits_of(rows: pl.DataFrame, study: Study) -> list[str]:
    """The planned visits at which these rows have a value, in the order of the protocol."""
    asked = set(rows.filter(pl.col("state") == "observed")["visit"].unique().to_list())
    return [visit for visit, _ in study.visits if visit in asked]


def after_baseline(visits: list[str], judged: Judged) -> list[str]:
    """The visits that come after the baseline in the order of the protocol."""
    return visits[visits.index(judged.baseline) + 1 :] if judged.baseline in visits else visits


# ---- small cells -------------------------------------------------------------------------------------------


def small(cells: Mapping[str, tuple[int, int]], sight: Sight) -> frozenset[str]:
    """Of cells (those with, all) by name, which are withheld: any with 1 to `least − 1` people on either side, and more
    where what is withheld could be worked out from the whole and the rest: one cell alone, or cells that are few together."""
    if sight.rows:
        return frozenset()

    def few_of(with_: int, all_: int) -> bool:
        return any(0 < k < sight.least for k in (with_, all_ - with_, all_))

    hidden = {n for n, cell in cells.items() if few_of(*cell)}
    others = sorted((n for n in cells if n not in hidden and cells[n][1] > 0), key=lambda n: (cells[n][1], n))
    while hidden and others:
        together = [sum(cells[n][side] for n in hidden) for side in (0, 1)]
        if len(hidden) > 1 and not few_of(*together):
            break
        hidden.add(others.pop(0))
    return frozenset(hidden)


def counts_shown(counts: Mapping[str, int], sight: Sight) -> dict[str, int | None]:
    """Counts of one whole; the small ones None for whoever may not see rows."""
    return dict(counts) if sight.rows else suppressed(counts, least=sight.least)


WITHHELD = "withheld"
"""What stands in a cell that whoever asks may not see; the page says above its tables what that means."""


def few(sight: Sight) -> str:
    return f"fewer than {sight.least}, or withheld with them"


# ---- words ---------------------------------------------------------------------------------------------------


def sentences(refused: Refused) -> list[str]:
    """Why something was refused, each reason in whole sentences."""
    return [" ".join(_sentence(part) for part in (r.what, r.why, r.mend) if part.strip()) for r in refused.reasons]


def _sentence(part: str) -> str:
    text = part.strip().rstrip(".")
    return f"{text[0].upper()}{text[1:]}."


def number(value: float | None, places: int = 1) -> str:
    return "–" if value is None else f"{value:.{places}f}".replace("-", "−")


def between(low: float | None, high: float | None, places: int = 1) -> str:
    return "–" if low is None or high is None else f"{number(low, places)} to {number(high, places)}"


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def labels_of(visits: Sequence[str], study: Study) -> tuple[str, ...]:
    known = dict(study.visits)
    return tuple(known.get(visit, visit) for visit in visits)
