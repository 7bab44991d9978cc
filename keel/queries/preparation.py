"""Preparation: the sessions, what the participant brings, and what still keeps the day from beginning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.domain.schedule import PlannedVisit
from keel.domain.visit import readiness, schedule
from keel.library import shelf
from keel.queries.course import Said, Strip, see, words_of
from keel.queries.door import query


@dataclass(frozen=True)
class Gate:
    """A dosing visit that lies ahead, and each thing that keeps it from taking place today."""

    visit: str
    label: str
    planned: PlannedVisit
    blocks: tuple[Reason, ...]


@dataclass(frozen=True)
class Preparation:
    strip: Strip
    sessions: tuple[PlannedVisit, ...]
    next_session: PlannedVisit | None
    minutes_held: int
    minutes_wanted: int | None
    covered: frozenset[str]
    words: tuple[Said, ...]
    touch: Mapping[str, bool]
    gate: Gate | None


_KINDS = frozenset({"Intention", "Fear", "Support person", "Way home", "Touch agreement"})


@query("see_preparation")
def preparation(*, course: str, by: Actor, at: datetime) -> Preparation:
    """The preparation of one course, with the gate of the next dosing visit."""
    seen = see(course, by=by, what="see_preparation", at=at)
    visits = {v.id: v for v in seen.protocol.visits_for(seen.arm)}
    planned = schedule(seen.state, seen.protocol, seen.today)
    sessions = tuple(p for p in planned if visits[p.visit].kind == "preparation")
    held = sum(seen.state.visits[p.visit].minutes or 0 for p in sessions if p.visit in seen.state.visits)
    hours = seen.protocol.phases["preparation"].hours if "preparation" in seen.protocol.phases else None
    open_ = [p for p in sessions if p.done_on is None and not p.cause]
    ahead = next((p for p in planned if visits[p.visit].kind == "dosing" and p.visit not in seen.state.visits), None)
    return Preparation(
        strip=seen.strip,
        sessions=sessions,
        next_session=open_[0] if open_ else None,
        minutes_held=held,
        minutes_wanted=int(hours[0] * 60) if hours else None,
        covered=seen.state.covered,
        words=tuple(said for said in words_of(seen) if said.kind in _KINDS),
        touch=dict((seen.state.touch or {}).get("areas", {})),
        gate=Gate(
            ahead.visit,
            ahead.label,
            ahead,
            readiness(seen.state, seen.protocol, ahead.visit, seen.today, shelf=shelf.ids("instruments")),
        )
        if ahead and not seen.state.ended
        else None,
    )
