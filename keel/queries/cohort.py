"""Cohorts: who goes through a group course together, and who could."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from keel.domain import access
from keel.domain.course import fold
from keel.domain.events import Actor
from keel.queries import definitions
from keel.queries.door import query
from keel.records import journal, vault
from keel.records.models import CohortRow, CourseRow, StudyRow


@dataclass(frozen=True)
class Member:
    course: str
    code: str
    name: str
    phase: str


@dataclass(frozen=True)
class CohortLine:
    id: str
    name: str
    study: str
    formed_at: datetime
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Cohorts:
    """The cohorts of the site; `candidates` by study: open, consented, and in none yet, with the size that is allowed."""

    cohorts: tuple[CohortLine, ...]
    candidates: tuple[tuple[str, str, int, int, tuple[Member, ...]], ...]


@query("see_cohorts")
def cohorts(*, by: Actor) -> Cohorts:
    """Cohorts and candidates of the site."""
    rows = {r.id: r for r in CourseRow.objects.filter(site=by.site).order_by("code")}
    known = vault.identities([r.participant for r in rows.values()]) if access.may(by, "see_identity") else {}

    def member(row: CourseRow) -> Member:
        name = known[row.participant].name if row.participant in known else ""
        return Member(row.id, row.code, name, row.phase)

    titles = dict(StudyRow.objects.values_list("id", "title"))
    formed = tuple(
        CohortLine(
            c.id,
            c.name,
            titles.get(c.study, c.study),
            c.formed_at,
            tuple(member(rows[id]) for id in c.courses if id in rows),
        )
        for c in CohortRow.objects.filter(site=by.site).order_by("-formed_at")
    )
    candidates = []
    for study in StudyRow.objects.order_by("title"):
        size = definitions.protocol(study.protocol, study.protocol_version).cohort
        if size is None or by.site not in study.sites:
            continue
        free = [r for r in rows.values() if r.study == study.id and not r.cohort and not r.ended]
        ready = tuple(member(r) for r in free if journal.state_of(f"course:{r.id}", fold).consented)
        candidates.append((study.id, study.title, size.least, size.most, ready))
    return Cohorts(formed, tuple(candidates))
