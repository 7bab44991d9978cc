"""A study: its protocol as a grid of activities, every fact with its source, its people by state."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from keel.domain import access
from keel.domain.definition import Fact
from keel.domain.events import Actor
from keel.domain.protocol import Protocol, Visit
from keel.queries import definitions
from keel.queries.course import ENDS, PHASE_WORDS
from keel.queries.door import query
from keel.records.models import CourseRow, DefinitionRow, DeviationRow, StudyRow


@dataclass(frozen=True)
class StudyLine:
    id: str
    title: str
    protocol: str
    open: int
    total: int


@dataclass(frozen=True)
class Cell:
    """What is asked at a visit in the words of the grid; empty: nothing."""

    mark: str
    title: str


@dataclass(frozen=True)
class GridRow:
    label: str
    part: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class StudyPage:
    id: str
    title: str
    protocol: Protocol
    arm: str
    visits: tuple[Visit, ...]
    grid: tuple[GridRow, ...]
    facts: tuple[Fact, ...]
    unverified: int
    house: int
    counts: tuple[tuple[str, int], ...]
    deviations: int
    sha256: str
    version: int


@query("see_study")
def studies(*, by: Actor) -> tuple[StudyLine, ...]:
    """The studies that run at this site."""
    found = []
    for row in StudyRow.objects.order_by("title"):
        if by.site in row.sites:
            courses = CourseRow.objects.filter(study=row.id, site=by.site)
            title = definitions.protocol(row.protocol, row.protocol_version).short_title
            found.append(StudyLine(row.id, row.title, title, courses.filter(ended="").count(), courses.count()))
    return tuple(found)


@query("see_study")
def study(*, study: str, by: Actor, arm: str = "") -> StudyPage:
    """One study at this site, its schedule of activities for one arm, and which of its facts were read at a source."""
    row = StudyRow.objects.filter(id=study).first()
    if row is None or by.site not in row.sites:
        raise access.not_here("see_study")
    protocol = definitions.protocol(row.protocol, row.protocol_version)
    # A blinded reader sees what is common to all arms: the grid of the first.
    chosen = arm if arm and access.may(by, "see_arm") else protocol.arm_ids[0]
    visits = protocol.visits_for(chosen)
    courses = CourseRow.objects.filter(study=study, site=by.site)
    definition = DefinitionRow.objects.get(id=f"protocols/{row.protocol}/{row.protocol_version}")
    facts = protocol.facts
    return StudyPage(
        id=row.id,
        title=row.title,
        protocol=protocol,
        arm=chosen,
        visits=visits,
        grid=_grid(visits),
        facts=facts,
        unverified=sum(f.basis == "memory" for f in facts),
        house=sum(f.basis == "house" for f in facts),
        counts=_counts([(c.phase, c.ended) for c in courses]),
        deviations=DeviationRow.objects.filter(course__in=list(courses.values_list("id", flat=True))).count()
        if access.may(by, "see_arm")
        else 0,
        sha256=definition.sha256,
        version=row.protocol_version,
    )


def _counts(courses: list[tuple[str, str]]) -> tuple[tuple[str, int], ...]:
    counted = Counter(ENDS[ended] if ended else PHASE_WORDS[phase] for phase, ended in courses)
    order = [*PHASE_WORDS.values(), *ENDS.values()]
    return tuple((label, counted[label]) for label in order if counted[label])


def _grid(visits: tuple[Visit, ...]) -> tuple[GridRow, ...]:
    """The schedule of activities: who is there, what is given, what is asked of whom, visit by visit."""
    rows = [GridRow("On the day", True, ())]
    rows.append(GridRow("Contact hours", False, tuple(Cell(_hours(v), "") for v in visits)))
    rows.append(
        GridRow("Dose", False, tuple(Cell("●" if v.doses else "", "; ".join(map(str, v.doses))) for v in visits))
    )
    if any("group" in v.modes for v in visits):
        rows.append(GridRow("In a group", False, tuple(Cell("●" if "group" in v.modes else "", "") for v in visits)))
    for of in ("participant", "blinded_rater", "clinician", "facilitator"):
        instruments = list(dict.fromkeys(a.instrument for v in visits for a in v.asks if a.of == of))
        if instruments:
            rows.append(GridRow(f"Asked of the {of.replace('_', ' ')}", True, ()))
        for instrument in instruments:
            cells = tuple(
                Cell("●" if any(a.instrument == instrument and a.of == of for a in v.asks) else "", v.label)
                for v in visits
            )
            rows.append(GridRow(definitions.title(instrument), False, cells))
    return tuple(rows)


def _hours(visit: Visit) -> str:
    if visit.hours is None:
        return ""
    low, high = visit.hours
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"
