"""The analysis dataset: from what happened to one row per participant, visit and measure.

Input is one long table of events, one row each:
    participant, course, study, site, arm   text (arm may be empty before allocation)
    kind      "measured", or what happened: "screened", "enrolled", "randomised", "dosed", "antidepressant_started", …
    visit, measure, value                   for kind "measured" (value a number, empty where it was not obtained)
    on                                      the day
and a Plan of plain values: visits with windows, the baseline, populations as rules, intercurrent events. Nothing else enters,
so the same events give the same bytes whatever order they come in.

Rules
    value      of several on different days of one visit the one nearest its planned day, the later of two as near;
               two different values on one day are refused: which of them holds is not for arithmetic to say
    baseline   the value at the plan's baseline visit, or else the last one on or before the first `baseline_before`
    change     value − baseline;  percent_change  100·change/baseline where the baseline is above 0
    day        days from the visit's anchor;  study_day  days from `baseline_before`, its day being 1 and the day before it −1
    state      observed, missing, not due (its window is open at the cut), unscheduled (a visit that the plan does not have)
Work is vectorised (Polars) and grows linearly with the events.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl

from keel.domain.errors import refuse

EVENT_COLUMNS: dict[str, str] = {
    "participant": "text",
    "course": "text",
    "study": "text",
    "site": "text",
    "arm": "text",
    "kind": "text",
    "visit": "text",
    "measure": "text",
    "value": "number",
    "on": "day",
}
STATES = ("observed", "missing", "not due", "unscheduled")
ROW_GROUP = 1 << 18


@dataclass(frozen=True)
class PlannedVisit:
    """A visit `day` days after the first event of kind `anchor`, within earliest … latest days of that anchor.

    None is not known. `arms` that have it, none for all; a visit that arms have at different times stands once for each.
    """

    id: str
    anchor: str
    day: int | None
    earliest: int | None
    latest: int | None
    measures: tuple[str, ...]
    arms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Population:
    """Courses in which every kind of `needs` happened, none of `never`, and each of `at_least` so many times."""

    name: str
    needs: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    at_least: Mapping[str, int] = field(default_factory=dict)


# The usual six, to be given as they stand or changed by the protocol.
POPULATIONS = (
    Population("screened", ("screened",)),
    Population("enrolled", ("enrolled",)),
    Population("dosed", ("dosed",)),
    Population("intention_to_treat", ("randomised",)),
    Population("per_protocol", ("randomised", "dosed"), ("major_deviation", "withdrawn")),
    Population("safety", ("dosed",)),
)


@dataclass(frozen=True)
class Plan:
    """What the protocol says that an analysis needs. `rows_for` names the population that gets a row per planned visit.

    After an event of the kinds in `closes` nothing more is awaited: what was not obtained is missing.
    """

    visits: tuple[PlannedVisit, ...]
    baseline_visit: str | None = None
    baseline_before: str = "dosed"
    populations: tuple[Population, ...] = POPULATIONS
    rows_for: str = "enrolled"
    intercurrent: tuple[str, ...] = ()
    cut_on: date | None = None
    reveal_arm: bool = False
    units: Mapping[str, str] = field(default_factory=dict)
    closes: tuple[str, ...] = ()

    @property
    def visit_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(v.id for v in self.visits))

    @property
    def marks(self) -> tuple[str, ...]:
        """Every kind of event that the plan asks about."""
        asked = {v.anchor for v in self.visits} | {self.baseline_before, *self.intercurrent, *self.closes}
        for population in self.populations:
            asked |= {*population.needs, *population.never, *population.at_least}
        return tuple(sorted(asked))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Meaning:
    """One line of the data dictionary."""

    column: str
    kind: str
    unit: str
    meaning: str


def build(events: pl.DataFrame | pl.LazyFrame, plan: Plan) -> pl.DataFrame:
    """The dataset, sorted by participant, course, measure and visit. Refuses events and plans that contradict themselves."""
    lazy = events.lazy()
    _check_plan(plan)
    _check_columns(lazy)
    # A column without a single value has no type yet: it is text, and the numbers and days are cast from there.
    lazy = lazy.with_columns(pl.selectors.by_dtype(pl.Null).cast(pl.String))
    lazy = lazy.with_columns(pl.col("value").cast(pl.Float64), pl.col("on").cast(pl.Date))
    about = courses(lazy, plan)
    keys = _keys(lazy, about, plan)
    observed = _observed(lazy, about, keys)
    return _finished(_rows(observed, about, keys, plan), about, keys, observed, plan)


def _check_plan(plan: Plan) -> None:
    ids = [v.id for v in plan.visits]
    names = [p.name for p in plan.populations]
    if not ids or any(_meet(one, other) for one, other in combinations(plan.visits, 2)):
        raise refuse(
            "The dataset was not built", "its plan has no visit, or one twice", "Name each visit once", where="visits"
        )
    if plan.rows_for not in names:
        raise refuse(
            "The dataset was not built", f"there is no population {plan.rows_for!r}", f"There are: {', '.join(names)}"
        )
    if plan.baseline_visit is not None and plan.baseline_visit not in ids:
        raise refuse(
            "The dataset was not built",
            f"the baseline visit {plan.baseline_visit!r} is not in the plan",
            where="visits",
        )
    backwards = next((v for v in plan.visits if not _in_order(v.earliest, v.day, v.latest)), None)
    if backwards:
        raise refuse(
            "The dataset was not built", f"the window of {backwards.id} does not hold its own day", where=backwards.id
        )


def _meet(one: PlannedVisit, other: PlannedVisit) -> bool:
    """Whether both are the same visit of the same arm."""
    return one.id == other.id and (not one.arms or not other.arms or bool(set(one.arms) & set(other.arms)))


def _in_order(*days: int | None) -> bool:
    known = [day for day in days if day is not None]
    return known == sorted(known)


def _check_columns(events: pl.LazyFrame) -> None:
    schema = events.collect_schema()
    for name, kind in EVENT_COLUMNS.items():
        if name not in schema:
            raise refuse(
                "The dataset was not built",
                f"the events have no column {name!r}",
                f"They need {', '.join(EVENT_COLUMNS)}",
            )
        if not _fits(kind, schema[name]):
            raise refuse(
                "The dataset was not built", f"column {name!r} holds {schema[name]}", f"It must be a {kind}", where=name
            )
    found = events.select(
        pl.len().alias("rows"),
        pl.col("course").null_count().alias("course"),
        pl.col("participant").null_count().alias("participant"),
        pl.col("value").cast(pl.Float64).is_infinite().sum().alias("infinite"),
        (pl.col("on").is_null()).sum().alias("on"),
    ).collect()
    if found["rows"][0] == 0:
        raise refuse("The dataset was not built", "there are no events", "Give the events of at least one course")
    for name, why in (
        ("course", "no course"),
        ("participant", "no participant"),
        ("on", "no day"),
        ("infinite", "an infinite value"),
    ):
        if found[name][0]:
            raise refuse("The dataset was not built", f"{found[name][0]} events have {why}", "Mend them", where=name)


def _fits(kind: str, found: pl.DataType) -> bool:
    if found == pl.Null:
        return kind != "day"
    if kind == "text":
        return found == pl.String or isinstance(found, (pl.Categorical, pl.Enum))
    return found.is_numeric() if kind == "number" else found in (pl.Date, pl.Datetime)


def courses(events: pl.LazyFrame, plan: Plan) -> pl.DataFrame:
    """One row per course: who, where, arm, the first day and the number of each kind of event, and the populations."""
    kinds = plan.marks
    # One pass for the people, one small pivot for what happened: far cheaper than a filter per kind on every event.
    people = events.group_by("course").agg(
        pl.col("participant").min(),
        pl.col("participant").max().alias("_other"),
        pl.col("study", "site").min(),
        pl.col("arm").min(),
        pl.col("arm").max().alias("_arm"),
    )
    marks = (
        events.filter(pl.col("kind").is_in(kinds))
        .group_by("course", "kind")
        .agg(pl.col("on").min(), pl.len().alias("times"))
        .collect()
    )
    table = people.collect()
    _check_same(table, "participant", "_other")
    _check_same(table, "arm", "_arm")
    table = table.drop("_other", "_arm")
    for kind in kinds:
        of_kind = marks.filter(pl.col("kind") == kind).select(
            "course", pl.col("on").alias(f"{kind}_on"), pl.col("times").cast(pl.Int32).alias(f"{kind}_times")
        )
        table = table.join(of_kind, on="course", how="left")
    table = table.with_columns(pl.col(f"{kind}_times").fill_null(0) for kind in kinds)
    return table.with_columns(_member(p).alias(p.name) for p in plan.populations).sort("participant", "course")


def _check_same(table: pl.DataFrame, column: str, other: str) -> None:
    torn = table.filter(pl.col(column) != pl.col(other)).sort("course")
    if torn.height:
        first = torn.row(0, named=True)
        raise refuse(
            "The dataset was not built",
            f"course {first['course']} has {column} {first[column]!r} and {first[other]!r}",
            f"A course has one {column}",
            where=first["course"],
            code="contradiction",
        )


def _member(population: Population) -> pl.Expr:
    rule = pl.lit(True)
    for kind in population.needs:
        rule = rule & (pl.col(f"{kind}_times") > 0)
    for kind in population.never:
        rule = rule & (pl.col(f"{kind}_times") == 0)
    for kind, times in population.at_least.items():
        rule = rule & (pl.col(f"{kind}_times") >= times)
    return rule


@dataclass(frozen=True)
class _Keys:
    """Every row has one whole number: course row × measures × visits. Sorting by it is the order of the dataset, and joining
    on it is several times faster, and smaller, than on three columns of text."""

    visits: tuple[str, ...]
    measures: tuple[str, ...]

    def of(self, row: pl.Expr, measure: pl.Expr, visit: pl.Expr) -> pl.Expr:
        within = row.cast(pl.Int64) * len(self.measures) + measure.cast(pl.Int64)
        return within * len(self.visits) + visit.cast(pl.Int64)

    @property
    def measure_codes(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.measures)}

    @property
    def visit_codes(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.visits)}


def _keys(events: pl.LazyFrame, about: pl.DataFrame, plan: Plan) -> _Keys:
    measured = events.filter(_is_value())
    lost = measured.filter(pl.col("visit").is_null() | pl.col("measure").is_null()).select(pl.len()).collect().item()
    if lost:
        raise refuse("The dataset was not built", f"{lost} measured events name no visit or no measure", where="visit")
    visits, measures = (
        {str(name) for name in measured.select(pl.col(column).unique()).collect().to_series()}
        for column in ("visit", "measure")
    )
    planned = plan.visit_ids
    measures |= {m for v in plan.visits for m in v.measures}
    return _Keys((*planned, *sorted(visits - set(planned))), tuple(sorted(measures)))


def _is_value() -> pl.Expr:
    return (pl.col("kind") == "measured") & pl.col("value").is_not_null() & pl.col("value").is_not_nan()


def _observed(events: pl.LazyFrame, about: pl.DataFrame, keys: _Keys) -> pl.DataFrame:
    """key, value, on of every measurement, sorted. Refuses two different values on one day."""
    codes = about.lazy().select("course", pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    measure = pl.col("measure").replace_strict(keys.measure_codes, return_dtype=pl.Int64)
    visit = pl.col("visit").replace_strict(keys.visit_codes, return_dtype=pl.Int64)
    found = (
        events.filter(_is_value())
        .select("course", measure, visit, "value", "on")
        .join(codes, on="course")
        .select(keys.of(pl.col("row"), pl.col("measure"), pl.col("visit")).alias("key"), "on", "value")
        .sort("key", "on", "value")
        .collect()
    )
    again = (pl.col("key") == pl.col("key").shift()) & (pl.col("on") == pl.col("on").shift())
    found = found.filter(~(again & (pl.col("value") == pl.col("value").shift())).fill_null(False))
    torn = found.filter(again.fill_null(False))
    if torn.height:
        row, measure_code, visit_code = _parts(int(torn["key"][0]), keys)
        course = about["course"][row]
        raise refuse(
            "The dataset was not built",
            f"{keys.measures[measure_code]} of course {course} at {keys.visits[visit_code]} has two values on {torn['on'][0]}",
            "Amend one of them",
            where=f"{course} {keys.visits[visit_code]}",
            code="two-values",
        )
    return found


def _parts(key: int, keys: _Keys) -> tuple[int, int, int]:
    within, visit = divmod(key, len(keys.visits))
    row, measure = divmod(within, len(keys.measures))
    return row, measure, visit


def _rows(observed: pl.DataFrame, about: pl.DataFrame, keys: _Keys, plan: Plan) -> pl.DataFrame:
    """key, planned days, anchor_on, on, value: a row per planned visit of every member, and their unscheduled values."""
    members = (
        about.lazy().with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("row")).filter(pl.col(plan.rows_for))
    )
    grid = pl.concat(
        members.filter(pl.col("arm").is_in(v.arms) if v.arms else pl.lit(True)).select(
            keys.of(pl.col("row"), pl.lit(keys.measures.index(m)), pl.lit(keys.visits.index(v.id))).alias("key"),
            pl.lit(True).alias("planned"),
            pl.lit(v.day, pl.Int32).alias("planned_day"),
            pl.lit(v.earliest, pl.Int32).alias("earliest"),
            pl.lit(v.latest, pl.Int32).alias("latest"),
            pl.col(f"{v.anchor}_on").alias("anchor_on"),
        )
        for v in plan.visits
        for m in v.measures
    )
    chosen = grid.join(observed.lazy(), on="key", how="left")
    extra = observed.lazy().join(grid.select("key"), on="key", how="anti")
    extra = extra.filter(
        (pl.col("key") // (len(keys.measures) * len(keys.visits))).is_in(
            members.select("row").collect()["row"].implode()
        )
    )
    distance = ((pl.col("on") - pl.col("anchor_on")).dt.total_days() - pl.col("planned_day")).abs().fill_null(0)
    rows = pl.concat([chosen, extra], how="diagonal").with_columns(distance.alias("distance"))
    # Nearest to the planned day first, then the later day; of the unscheduled, the later.
    rows = rows.sort("key", "distance", "on", descending=[False, False, True], nulls_last=True)
    return rows.filter((pl.col("key") != pl.col("key").shift()).fill_null(True)).drop("distance").collect()


def _baseline(rows: pl.DataFrame, observed: pl.DataFrame, about: pl.DataFrame, keys: _Keys, plan: Plan) -> pl.DataFrame:
    """within (course row × measures), baseline, baseline_on."""
    within = (pl.col("key") // len(keys.visits)).alias("within")
    if plan.baseline_visit is not None:
        place = keys.visits.index(plan.baseline_visit)
        chosen = rows.lazy().filter((pl.col("key") % len(keys.visits) == place) & pl.col("value").is_not_null())
        return chosen.select(within, pl.col("value").alias("baseline"), pl.col("on").alias("baseline_on")).collect()
    start = about[f"{plan.baseline_before}_on"].gather(
        observed.select(pl.col("key") // (len(keys.measures) * len(keys.visits))).to_series()
    )
    return (
        observed.lazy()
        .with_columns(start.alias("start"), within)
        .filter(pl.col("on") <= pl.col("start"))
        .sort("within", "on", "key")
        .unique("within", keep="last", maintain_order=True)
        .select("within", pl.col("value").alias("baseline"), pl.col("on").alias("baseline_on"))
        .collect()
    )


def _first_intercurrent(plan: Plan) -> list[pl.Expr]:
    """The first intercurrent event and its day; the order of the plan decides between two on one day."""
    if not plan.intercurrent:
        none = (("intercurrent_event", pl.String), ("intercurrent_on", pl.Date))
        return [pl.lit(None, dtype=kind).alias(name) for name, kind in none]
    day = pl.min_horizontal(f"{e}_on" for e in plan.intercurrent)
    name = pl.coalesce(pl.when(pl.col(f"{e}_on") == day).then(pl.lit(e)) for e in plan.intercurrent)
    return [name.alias("intercurrent_event"), day.alias("intercurrent_on")]


def _held(about: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """What every row of a course repeats; words that repeat are kept once (Enum), not per row."""
    arm = pl.col("arm") if plan.reveal_arm else pl.lit(None, dtype=pl.String)
    held = about.select(
        "participant",
        "course",
        "study",
        "site",
        arm.alias("arm"),
        pl.col(f"{plan.baseline_before}_on").alias("day_one"),
        pl.any_horizontal(pl.lit(False), *(pl.col(f"{kind}_times") > 0 for kind in plan.closes)).alias("closed"),
        *_first_intercurrent(plan),
        *(p.name for p in plan.populations),
    )
    repeated = ("study", "site", "arm", "intercurrent_event")
    return held.with_columns(
        pl.col(name).cast(pl.String).cast(pl.Enum(sorted(held[name].drop_nulls().unique().to_list())))
        for name in repeated
    )


def _finished(rows: pl.DataFrame, about: pl.DataFrame, keys: _Keys, observed: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    within = pl.col("key") // len(keys.visits)
    baseline = _baseline(rows, observed, about, keys, plan)
    joined = (
        rows.lazy()
        .with_columns(within.alias("within"))
        .join(baseline.lazy(), on="within", how="left", maintain_order="left")
    )
    placed = joined.with_columns(
        (pl.col("within") // len(keys.measures)).alias("row"),
        (pl.col("within") % len(keys.measures)).alias("measure"),
        (pl.col("key") % len(keys.visits)).cast(pl.Int32).alias("place"),
    ).collect()
    held = _held(about, plan)[placed["row"]]
    planned = len(plan.visit_ids)
    days = (pl.col("on") - pl.col("anchor_on")).dt.total_days().cast(pl.Int32)
    from_start = (pl.col("on") - pl.col("day_one")).dt.total_days().cast(pl.Int32)
    change = pl.col("value") - pl.col("baseline")
    return (
        pl.concat([placed, held], how="horizontal")
        .lazy()
        .select(
            *held.columns,
            _named(pl.col("measure"), keys.measures).alias("measure"),
            _named(pl.col("place"), keys.visits).alias("visit"),
            pl.min_horizontal(pl.col("place"), pl.lit(planned, pl.Int32)).alias("visit_order"),
            *("planned_day", "on", "value", "baseline", "baseline_on"),
            days.alias("day"),
            (from_start + (from_start >= 0).cast(pl.Int32)).alias("study_day"),
            change.alias("change"),
            pl.when(pl.col("baseline") > 0).then(100 * change / pl.col("baseline")).alias("percent_change"),
            days.is_between(pl.col("earliest"), pl.col("latest")).alias("in_window"),
            _state(plan).cast(pl.Enum(STATES)).alias("state"),
            (pl.col("on") > pl.col("intercurrent_on")).fill_null(False).alias("after_intercurrent"),
        )
        .select(*(m.column for m in dictionary(plan)))
        .collect()
    )


def _named(code: pl.Expr, names: tuple[str, ...]) -> pl.Expr:
    """A code as its word."""
    return code.replace_strict(dict(enumerate(names)), return_dtype=pl.Enum(names))


def _state(plan: Plan) -> pl.Expr:
    open_still = pl.lit(False)
    if plan.cut_on is not None:
        closes_on = pl.col("anchor_on") + pl.duration(days=pl.coalesce("latest", "planned_day"))
        open_still = (closes_on > plan.cut_on).fill_null(True) & ~pl.col("closed")
    return (
        pl.when(pl.col("planned").is_null())
        .then(pl.lit("unscheduled"))
        .when(pl.col("value").is_not_null())
        .then(pl.lit("observed"))
        .when(open_still)
        .then(pl.lit("not due"))
        .otherwise(pl.lit("missing"))
    )


def dictionary(plan: Plan) -> tuple[Meaning, ...]:
    """What each column of the dataset means, in the order of the columns."""
    fixed = [
        ("participant", "text", "", "who: a code, never a name"),
        ("course", "text", "", "one passage of a participant through a protocol"),
        ("study", "text", "", "the study, or the service"),
        ("site", "text", "", "where"),
        ("arm", "text", "", "allocated arm" if plan.reveal_arm else "withheld: this dataset was built blinded"),
        ("measure", "text", "", "instrument or measure"),
        ("visit", "text", "", "visit of the protocol, or an unscheduled one"),
        ("visit_order", "integer", "", "place of the visit in the protocol; unscheduled visits come last"),
        ("planned_day", "integer", "days", "planned days after the visit's anchor"),
        ("on", "day", "", "day the value was obtained; empty where missing"),
        ("day", "integer", "days", "days after the visit's anchor"),
        (
            "study_day",
            "integer",
            "days",
            f"days counted from the first {plan.baseline_before}: its day is 1, the day before it -1",
        ),
        ("in_window", "yes/no", "", "within the visit's window; empty where missing or unscheduled"),
        ("state", "text", "", f"one of {', '.join(STATES)}"),
        ("value", "number", "of the measure", "value nearest the planned day"),
        ("baseline", "number", "of the measure", _baseline_meaning(plan)),
        ("baseline_on", "day", "", "day of the baseline"),
        ("change", "number", "of the measure", "value minus baseline"),
        ("percent_change", "number", "percent", "100 x change / baseline, where the baseline is above 0"),
        ("intercurrent_event", "text", "", f"first of: {', '.join(plan.intercurrent) or 'none planned'}"),
        ("intercurrent_on", "day", "", "its day"),
        ("after_intercurrent", "yes/no", "", "the value was obtained after that day"),
    ]
    rules = [(p.name, "yes/no", "", f"population: {_rule_in_words(p)}") for p in plan.populations]
    return tuple(Meaning(*line) for line in [*fixed, *rules])


def _baseline_meaning(plan: Plan) -> str:
    return (
        f"value at {plan.baseline_visit}"
        if plan.baseline_visit
        else f"last value on or before the first {plan.baseline_before}"
    )


def _rule_in_words(population: Population) -> str:
    parts = [*population.needs, *(f"never {k}" for k in population.never)]
    parts += [f"{k} at least {n} times" for k, n in population.at_least.items()]
    return " and ".join(parts) or "everybody"


@dataclass(frozen=True)
class Written:
    """What was written: `sha256` of the Parquet bytes, and what they were made from."""

    sha256: str
    rows: int
    participants: int
    journal_position: int | None
    plan: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def parquet_bytes(table: pl.DataFrame, plan: Plan, *, journal_position: int | None = None) -> bytes:
    """The dataset as Parquet, the same bytes for the same rows, plan and journal position (and version of Polars)."""
    buffer = io.BytesIO()
    _write(table, buffer, plan, journal_position)
    return buffer.getvalue()


def write(table: pl.DataFrame, path: Path, plan: Plan, *, journal_position: int | None = None) -> Written:
    """Write the dataset and its dictionary (`<name>.dictionary.json`) side by side."""
    _write(table, path, plan, journal_position)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    written = Written(digest, table.height, table["participant"].n_unique(), journal_position, plan.fingerprint)
    beside = {"dataset": written.as_json(), "columns": [asdict(m) for m in dictionary(plan)], "units": dict(plan.units)}
    path.with_suffix(".dictionary.json").write_text(
        json.dumps(beside, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    return written


def _write(table: pl.DataFrame, target: Path | io.BytesIO, plan: Plan, journal_position: int | None) -> None:
    about = {"keel.journal_position": str(journal_position or ""), "keel.plan": plan.fingerprint}
    table.write_parquet(
        target, compression="zstd", compression_level=3, statistics=True, row_group_size=ROW_GROUP, metadata=about
    )
