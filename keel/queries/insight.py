"""From the journal to the answer: the analysis dataset of a study, and its reports.

    seen = report(study="mood", report="levin-2024", by=by)           as the journal stands
    seen = report(study="mood", report="levin-2024", by=by, place="0.4711")    as it stood then, to the last digit

Everything is read from the journal up to one place (see `keel.queries.journal_table`); the same place gives the same bytes.
Who may not see rows of single people gets no cell of fewer people than the site's smallest cell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl
from django.conf import settings

from keel.domain import access
from keel.domain.errors import Refused, refuse
from keel.domain.events import Actor
from keel.domain.protocol import Endpoint, Protocol
from keel.domain.report import Report
from keel.library import report_files, shelf
from keel.outcomes import dataset
from keel.outcomes.dataset import Plan
from keel.outcomes.report_answer import Answer, Judged, Sight, Study
from keel.queries import definitions, journal_table
from keel.queries.door import query
from keel.queries.journal_table import JournalTable
from keel.records import journal
from keel.records.journal import Place
from keel.records.models import StudyRow

if TYPE_CHECKING:
    from keel.outcomes.published_pools import Group

# What the protocols are judged by belongs to one of these; anything else is drawn in the first colour.
COLOURS = {"caps-5": "trauma", "ham-a": "anxiety", "gad-7": "anxiety", "pcl-5": "trauma"}


@dataclass(frozen=True)
class Provenance:
    """What a result was made from: enough to make it again."""

    place: str
    head: str
    cut_on: date
    plan: str
    definitions: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "cut_on": self.cut_on.isoformat(), "definitions": dict(self.definitions)}


@dataclass(frozen=True)
class Dataset:
    """The analysis dataset of one study: `rows`, one line per participant, visit and measure; `people`, one per course."""

    study: Study
    rows: pl.DataFrame
    people: pl.DataFrame
    plan: Plan
    provenance: Provenance

    @property
    def parquet(self) -> bytes:
        """The rows as Parquet: the same bytes for the same place in the journal."""
        position = Place.parse(self.provenance.place).seq
        return dataset.parquet_bytes(self.rows, self.plan, journal_position=position)

    @property
    def dictionary(self) -> str:
        """What each column means, as JSON."""
        columns = [asdict(m) for m in dataset.dictionary(self.plan)]
        return json.dumps({"made_from": self.provenance.as_json(), "columns": columns}, indent=1, sort_keys=True) + "\n"


@dataclass(frozen=True)
class ReportLine:
    id: str
    title: str
    question: str


@dataclass(frozen=True)
class StudyReports:
    """A study and the reports that can be asked of it; `broken` are files of the shelf that cannot be read, and why."""

    id: str
    title: str
    protocol: str
    reports: tuple[ReportLine, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class ReportPage:
    """A report's answer with all that a page, a PDF or a folder needs. `data` only for who may see rows."""

    report: Report
    sha256: str
    toml: str
    study: Study
    answer: Answer
    provenance: Provenance
    sight: Sight
    data: Dataset | None

    @property
    def population(self) -> str:
        """Its name in words."""
        return self.report.population.replace("_", " ")


@dataclass(frozen=True)
class Published:
    """What published trials printed, beside what comes out of their inputs; the same as files to take away."""

    version: int
    sha256: str
    tally: Mapping[str, int]
    groups: tuple[Group, ...]
    numbers: Mapping[str, Any]
    data_csv: str
    comparisons_csv: str


@query("see_insight")
def published(*, by: Actor) -> Published:
    """The shelf's table of published trials, laid out and recomputed. It is about no participant, and nothing in it is withheld."""
    return _laid_out(shelf.read("tables", "published_trials").sha256)


@lru_cache(maxsize=1)
def _laid_out(sha256: str) -> Published:
    # Only when it is asked for: the statistics take longer to load than the rest of the server.
    from keel.outcomes import published_pools

    table = shelf.read("tables", "published_trials").table
    numbers = {"sha256": sha256} | published_pools.as_json(table)
    return Published(
        version=table["version"],
        sha256=sha256,
        tally=numbers["tally"],
        groups=published_pools.groups(table),
        numbers=numbers,
        data_csv=published_pools.data_csv(table),
        comparisons_csv=published_pools.comparisons_csv(table),
    )


@query("see_insight")
def studies(*, by: Actor) -> tuple[StudyReports, ...]:
    """The studies of this site, each with its reports."""
    known, broken = _on_the_shelf()
    found = []
    for row in StudyRow.objects.order_by("title"):
        if by.site in (*row.sites, "*"):
            lines = tuple(ReportLine(r.id, r.title, r.question) for r in known if r.fits(row.protocol))
            title = definitions.protocol(row.protocol, row.protocol_version).short_title
            found.append(StudyReports(row.id, row.title, title, lines, broken))
    return tuple(found)


def _on_the_shelf() -> tuple[tuple[Report, ...], tuple[str, ...]]:
    """Every report that can be read; one bad file of a site must not hide the others."""
    found, broken = [], []
    for id in shelf.ids(report_files.KIND):
        try:
            found.append(report_files.report(id))
        except Refused as refused:
            broken += [str(reason) for reason in refused.reasons]
    return tuple(found), tuple(broken)


@query("see_insight_rows")
def analysis_dataset(*, study: str, by: Actor, place: str = "", blinded: bool = False) -> Dataset:
    """The whole dataset of a study at the actor's site, as the journal stood at `place` (now when none is given).

    `blinded` withholds the arm, and the visits that tell arms apart. Refuses who may not see rows, and an unknown study.
    """
    return _dataset(study, by, _place(place), blinded=blinded or not access.may(by, "see_arm"))


@query("see_insight")
def place(*, by: Actor) -> str:
    """How far the journal has come: a report asked for at this place stays the same however often it is asked for."""
    return str(journal.stands())


@query("see_insight")
def report(*, study: str, report: str, by: Actor, place: str = "") -> ReportPage:
    """One report of a study. Refuses an unknown report or study, and a malformed file with all its errors."""
    definition, entry = report_files.report_entry(report)
    # A role that may not see arms has no row of see_insight; the dataset is built without them all the same.
    sight = Sight(rows=access.may(by, "see_insight_rows"), least=settings.SMALLEST_CELL)
    if place and not sight.rows:
        _check_of_today(_place(place))
    data = _dataset(study, by, _place(place), blinded=not access.may(by, "see_arm"))
    # Only when a report is asked for: the statistics take longer to load than the rest of the server.
    from keel.outcomes.report import compute

    answer = compute(definition, data.study, data.rows, data.people, sight)
    return ReportPage(
        report=definition,
        sha256=entry.sha256,
        toml=shelf.paths(report_files.KIND)[report].read_text(encoding="utf-8"),
        study=data.study,
        answer=answer,
        provenance=data.provenance,
        sight=sight,
        data=data if sight.rows else None,
    )


def _place(named: str) -> Place:
    return Place.parse(named) if named else journal.stands()


def _check_of_today(asked: Place) -> None:
    """Refuse a place of another day: two reports that lie one entry apart tell what one person entered."""
    then, now = journal.newest(asked), journal.newest(journal.stands())
    if then and now and then.recorded_at.date() != now.recorded_at.date():
        raise refuse(
            "The report was not read at another place of the journal",
            "your role sees no rows of single people, and two places differ by what single people entered",
            "Look at the report as the journal stands now",
        )


def _dataset(study: str, by: Actor, place: Place, *, blinded: bool) -> Dataset:
    newest = journal.newest(place)
    if newest is None:
        raise refuse("The study was not read", f"no event stands at {place}", "Give a place in the journal")
    # The hash belongs to the key: a place alone would be the same in another database.
    return _built(study, by.site, place, newest.hash, blinded)


@lru_cache(maxsize=8)
def _built(study: str, site: str, place: Place, head: str, blinded: bool) -> Dataset:
    with journal.one_view():
        told = journal_table.read(study, site, place)
    plan = _plan(told, blinded=blinded)
    rows = _rows(told, plan, blinded=blinded)
    people = told.people.with_columns(pl.lit(None, pl.String).alias("arm")) if blinded else told.people
    if people.height != told.opened:
        raise refuse("The dataset was not built", f"{told.opened} courses were opened, and {people.height} are in it")
    made_from = Provenance(str(place), head, told.cut_on, plan.fingerprint, told.definitions)
    return Dataset(_study(study, told), rows, people, plan, made_from)


def _plan(told: JournalTable, *, blinded: bool) -> Plan:
    visits = journal_table.planned_visits(told.protocol, shared_only=blinded)
    endpoint = told.protocol.endpoint
    baseline = endpoint.baseline if endpoint else None
    return Plan(
        visits=visits,
        baseline_visit=baseline if baseline in {v.id for v in visits} else None,
        baseline_before="dosed",
        populations=journal_table.populations(told.protocol),
        rows_for="enrolled",
        intercurrent=journal_table.INTERCURRENT,
        cut_on=told.cut_on,
        reveal_arm=not blinded,
        closes=journal_table.ENDS,
    )


def _rows(told: JournalTable, plan: Plan, *, blinded: bool) -> pl.DataFrame:
    """The dataset; without a single event it has its columns and no row."""
    if not told.events.height:
        return pl.DataFrame(schema={m.column: _EMPTY[m.kind] for m in dataset.dictionary(plan)})
    rows = dataset.build(told.events, plan)
    if blinded:
        rows = rows.filter(pl.col("visit").cast(pl.String).is_in(list(plan.visit_ids)))
    return rows


_EMPTY = {"text": pl.String, "number": pl.Float64, "integer": pl.Int32, "day": pl.Date, "yes/no": pl.Boolean}


def _study(id: str, told: JournalTable) -> Study:
    protocol = told.protocol
    return Study(
        id=id,
        title=told.title,
        protocol=protocol.id,
        protocol_version=protocol.version,
        allocation=protocol.allocation.method,
        arms=tuple((a.id, a.label) for a in protocol.arms),
        visits=tuple((v.id, v.label) for v in protocol.visits),
        doses=tuple(v.id for v in protocol.visits if v.kind == "dosing"),
        judged=_judged(protocol, protocol.endpoint) if protocol.endpoint else None,
    )


def _judged(protocol: Protocol, endpoint: Endpoint) -> Judged:
    step = next((s for s in definitions.instrument(endpoint.instrument).steps if s.name == endpoint.score), None)
    return Judged(
        label=definitions.instrument(endpoint.instrument).short,
        measure=f"{endpoint.instrument}.{endpoint.score}",
        baseline=endpoint.baseline,
        visits=endpoint.visits,
        response=endpoint.response,
        remission=endpoint.remission,
        low=float(step.low) if step and step.low is not None else 0.0,
        high=float(step.high) if step and step.high is not None else 100.0,
        colour=COLOURS.get(endpoint.instrument, "depression"),
    )
