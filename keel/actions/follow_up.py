"""Follow-up, and how a course ends."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from keel.actions.door import action, on_course
from keel.actions.visits import protocol_of, today_at
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.domain.visit import ENDED_BECAUSE, schedule
from keel.records import vault
from keel.records.journal import Recorded


def _end(
    kind: str, what: str, course: str, reason: str, notes: str, on: date, by: Actor, at: datetime, id: str | None
) -> Recorded:
    if reason not in ENDED_BECAUSE:
        raise refuse(
            "The course was not ended", f"{reason!r} is no cause we count", f"Choose one of: {', '.join(ENDED_BECAUSE)}"
        )
    with on_course(course, by=by, what=what, id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        if on > today_at(state.site, at):
            raise refuse("The course was not ended", f"{on} is still to come", "Give the day on which it ended")
        payload: dict[str, Any] = {"on": on.isoformat(), "reason": reason}
        if notes.strip():
            payload["notes"] = vault.sealer(state.participant)(notes.strip())
        writing.append(kind, payload, by=by, at=at, id=id)
        return writing.recorded()


@action("withdraw")
def withdraw(
    *, course: str, reason: str, on: date, by: Actor, at: datetime, notes: str = "", id: str | None = None
) -> Recorded:
    """The participant leaves the course, or is taken out of it. What was recorded stays."""
    return _end("withdrawn", "withdraw", course, reason, notes, on, by, at, id)


@action("lose")
def lose(*, course: str, on: date, by: Actor, at: datetime, notes: str = "", id: str | None = None) -> Recorded:
    """Nobody could reach the participant any more."""
    return _end("lost_to_follow_up", "lose", course, "other", notes, on, by, at, id)


@action("complete_course")
def complete_course(*, course: str, on: date, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """The course is complete: every visit was held, or was missed with a cause."""
    with on_course(course, by=by, what="complete_course", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        if on > today_at(state.site, at):
            raise refuse("The course was not completed", f"{on} is still to come", "Give a day that has been")
        unsettled = [p.label for p in schedule(state, protocol_of(state), on) if p.done_on is None and not p.cause]
        if unsettled:
            raise refuse(
                "The course was not completed",
                f"{len(unsettled)} visits are neither held nor missed: {', '.join(unsettled[:4])}",
                "Record each, with the cause where it was missed",
            )
        writing.append("course_completed", {"on": on.isoformat(), "reason": ""}, by=by, at=at, id=id)
        return writing.recorded()
