"""Integration: turning what was seen into what is done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from keel.actions.door import action, on_course
from keel.actions.preparation import say
from keel.actions.visits import hold, protocol_of
from keel.domain.errors import refuse
from keel.domain.events import Actor, new_id
from keel.domain.visit import arm_of, check_answered
from keel.records.journal import Recorded

OUTCOMES: dict[str, str] = {"kept": "Done", "partly": "Partly done", "let_go": "Let go"}


@action("hold_integration")
def hold_integration(
    *,
    course: str,
    visit: str,
    on: date,
    minutes: int,
    by: Actor,
    at: datetime,
    mode: str = "individual",
    notes: str = "",
    present: Sequence[str] = (),
    id: str | None = None,
) -> Recorded:
    """Record an integration session."""
    with on_course(course, by=by, what="hold_integration", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        kind = protocol_of(state).visit(visit, arm_of(state, protocol_of(state))).kind
        if kind != "integration":
            raise refuse("The session was not recorded", f"{visit} is no integration", "Record it on its own page")
        check_answered(state, visit)
        hold(
            writing,
            state,
            visit=visit,
            on=on,
            by=by,
            at=at,
            id=id,
            minutes=minutes,
            mode=mode,
            notes=notes,
            present=present,
        )
        return writing.recorded()


@action("note_insight")
def note_insight(
    *, course: str, words: str, by: Actor, at: datetime, visit: str = "", id: str | None = None
) -> Recorded:
    """An insight, or what an experience meant, in words."""
    return say(course, "insight_noted", words, what="note_insight", by=by, at=at, id=id, more={"visit": visit})


@action("note_practice")
def note_practice(*, course: str, words: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """A practice that was taken up: walking, writing, meditation, a group."""
    return say(course, "practice_noted", words, what="note_practice", by=by, at=at, id=id)


@action("make_commitment")
def make_commitment(
    *, course: str, words: str, due_on: date | None, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Something the participant means to do, and by when."""
    if due_on is not None and due_on < at.date():
        raise refuse("The commitment was not made", f"{due_on} is past", "Give a day to come, or none")
    more = {"commitment": new_id(), **({"due_on": due_on.isoformat()} if due_on else {})}
    return say(course, "commitment_made", words, what="make_commitment", by=by, at=at, id=id, more=more)


@action("keep_commitment")
def keep_commitment(
    *, course: str, commitment: str, outcome: str, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """What became of a commitment: kept, partly, let_go. Letting go is an answer too."""
    if outcome not in OUTCOMES:
        raise refuse(
            "The commitment was not settled", f"there is no outcome {outcome!r}", f"Choose of: {', '.join(OUTCOMES)}"
        )
    with on_course(course, by=by, what="keep_commitment", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        if commitment not in state.commitments:
            raise refuse("The commitment was not settled", "this course has no such commitment", "Reload the page")
        writing.append("commitment_kept", {"commitment": commitment, "outcome": outcome}, by=by, at=at, id=id)
        return writing.recorded()
