"""Integration: the sessions, what was seen, and what is to be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from keel.domain.events import Actor
from keel.domain.schedule import PlannedVisit
from keel.domain.visit import schedule
from keel.queries.course import Said, Strip, see, words_of
from keel.queries.door import query


@dataclass(frozen=True)
class Integration:
    strip: Strip
    sessions: tuple[PlannedVisit, ...]
    open_sessions: tuple[PlannedVisit, ...]
    insights: tuple[Said, ...]
    intentions: tuple[Said, ...]
    practices: tuple[Said, ...]
    commitments: tuple[Said, ...]
    today: date


@query("see_integration")
def integration(*, course: str, by: Actor, at: datetime) -> Integration:
    """The integration of one course."""
    seen = see(course, by=by, what="see_integration", at=at)
    visits = {v.id: v for v in seen.protocol.visits_for(seen.arm)}
    sessions = tuple(
        p for p in schedule(seen.state, seen.protocol, seen.today) if visits[p.visit].kind == "integration"
    )
    words = words_of(seen)
    return Integration(
        strip=seen.strip,
        sessions=sessions,
        open_sessions=tuple(p for p in sessions if p.done_on is None and not p.cause),
        insights=tuple(said for said in words if said.kind == "Insight"),
        intentions=tuple(said for said in words if said.kind == "Intention"),
        practices=tuple(said for said in words if said.kind == "Practice"),
        commitments=tuple(said for said in words if said.kind == "Commitment"),
        today=seen.today,
    )
