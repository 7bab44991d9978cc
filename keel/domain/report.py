"""A report as a value: whom it is about, what is measured, how it is judged and what is shown.

    report = Report.from_table(table, "reports/levin-2024.toml")
    report.method       over_time, states, correlations, flow, blinding, missing_data or year (keel.outcomes computes them)
    report.measure      `endpoint` for what the study's protocol is judged by, or `instrument.score`
    report.guess        the measure in which people say what they believe they were given: 0 does not know, 1 the first arm …
    report.protocols    the protocols it can be asked of; none: every one

Numbers carry their source as in every definition (see `keel.domain.definition`); choices of ours are `house`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from keel.domain.definition import Definition, Fact, read_definition
from keel.domain.errors import Reason, Refused
from keel.domain.protocol import SourceEntry

Method = Literal["over_time", "states", "correlations", "flow", "blinding", "missing_data", "year"]
Strategy = Literal["MAR", "J2R", "CIR", "CR", "LMCF"]
PopulationName = Literal["screened", "enrolled", "dosed", "intention_to_treat", "per_protocol", "safety"]
Display = Literal["trajectories", "alluvial", "kaplan_meier", "scatter", "forest", "calendar", "numbers"]

SHOWN_BY: dict[Method, frozenset[str]] = {
    "over_time": frozenset({"trajectories", "numbers"}),
    "states": frozenset({"alluvial", "kaplan_meier", "numbers"}),
    "correlations": frozenset({"scatter", "forest", "numbers"}),
    "flow": frozenset({"numbers"}),
    "blinding": frozenset({"forest", "numbers"}),
    "missing_data": frozenset({"forest", "numbers"}),
    "year": frozenset({"calendar", "numbers"}),
}
ENDPOINT = "endpoint"


class Taken(Definition):
    """One value per person: a measure at a visit; of several visits the highest, the lowest or the last."""

    label: str
    measure: str
    visits: tuple[str, ...] = Field(min_length=1)
    take: Literal["only", "highest", "lowest", "last"] = "only"


class Printed(Definition):
    """What a paper prints for a pair; `p_below` where it prints no more than a bound."""

    r: float = Field(ge=-1, le=1)
    p: float | None = Field(default=None, ge=0, le=1)
    p_below: float | None = Field(default=None, ge=0, le=1)


class Pair(Definition):
    x: Taken
    y: Taken
    short: str | None = None
    printed: Printed | None = None


class Report(Definition):
    """A whole report. Build it with `Report.from_table`."""

    id: str
    version: int = Field(ge=1)
    title: str
    question: str
    method: Method
    population: PopulationName
    measure: str = ENDPOINT
    protocols: tuple[str, ...] = ()
    display: tuple[Display, ...] = Field(min_length=1)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    covariance: str = "us"
    df: str = "satterthwaite"
    pairs: tuple[Pair, ...] = ()
    draws: int = Field(default=10_000, ge=100, le=1_000_000)
    seed: int = Field(default=1, ge=0)
    least_people: int = Field(default=5, ge=4)
    adjust: Literal["holm", "bh"] = "holm"
    guess: str | None = None
    strategies: tuple[Strategy, ...] = ("MAR",)
    deltas: tuple[float, ...] = ()
    reference: str | None = None
    imputations: int = Field(default=200, ge=20, le=10_000)
    notes: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    sources: dict[str, SourceEntry] = {}

    _facts: tuple[Fact, ...] = PrivateAttr(default=())

    @classmethod
    def from_table(cls, table: Mapping[str, Any], place: str) -> Report:
        """Read a parsed TOML file. Refused with every error: each names `place`, the key path and the mend."""
        report, facts = read_definition(cls, table, place)
        reasons = [Reason(r.what, r.why, r.mend, f"{place}, {r.where}") for r in _inner_errors(report)]
        if reasons:
            raise Refused(reasons)
        report._facts = facts
        return report

    @property
    def facts(self) -> tuple[Fact, ...]:
        return self._facts

    def fits(self, protocol: str) -> bool:
        """Whether it can be asked of a study of that protocol."""
        return not self.protocols or protocol in self.protocols

    def shows(self, display: Display) -> bool:
        return display in self.display


def _inner_errors(report: Report) -> Iterator[Reason]:
    for display in report.display:
        if display not in SHOWN_BY[report.method]:
            known = ", ".join(sorted(SHOWN_BY[report.method]))
            yield Reason(f"{report.method} has no {display}", "it cannot be drawn", f"Choose of: {known}", "display")
    if report.method == "correlations" and not report.pairs:
        yield Reason("No pair is named", "there is nothing to correlate", "Add [[pairs]] with x and y", "pairs")
    if report.method != "correlations" and report.pairs:
        yield Reason(f"{report.method} uses no pairs", "they would be ignored", "Take them out", "pairs")
    if (report.method == "blinding") != (report.guess is not None):
        yield Reason(
            "The guess does not fit the method",
            "blinding asks what people guessed, the other methods do not",
            'Write guess = "instrument.score" for blinding, and nowhere else',
            "guess",
        )
    if report.measure != ENDPOINT and "." not in report.measure:
        yield Reason(
            f"{report.measure!r} is no measure", "it names no score", 'Write "endpoint" or "madrs.total"', "measure"
        )
    for number, pair in enumerate(report.pairs):
        for side in (pair.x, pair.y):
            if side.measure != ENDPOINT and "." not in side.measure:
                yield Reason(
                    f"{side.measure!r} is no measure",
                    "it names no score",
                    'Write "endpoint" or "madrs.total"',
                    f"pairs[{number}]",
                )
            if (len(side.visits) == 1) != (side.take == "only"):
                yield Reason(
                    f"{side.label}: {side.take!r} does not go with {len(side.visits)} visits",
                    "which value counts is not said",
                    "One visit is taken `only`; of several say highest, lowest or last",
                    f"pairs[{number}]",
                )
