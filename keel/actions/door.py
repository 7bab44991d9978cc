"""The door of every action: the access table first, then the locked course."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from keel.domain import access
from keel.domain.course import Course, fold
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.records import journal
from keel.records.journal import Writing

action = access.door


@contextmanager
def on_course(
    course: str, *, by: Actor, what: str, id: str | None = None, also: tuple[str, ...] = (), ended: bool = False
) -> Iterator[tuple[Writing, Course]]:
    """Lock a course for a decision: `with on_course(…) as (writing, course)`.

    Gives the state as it stands. Refuses a course of another site or another person, and an ended one unless `ended`
    is allowed. When the event `id` stands already, `writing.answer` is set: leave with `return writing.answer`.
    """
    with journal.writing(f"course:{course}", *also) as writing:
        state: Course | None = writing.state(fold)
        if state is None:
            raise access.not_here(what)
        access.check_course(by, what, course=course, site=state.site)
        if not writing.answered(id):
            if state.erased:
                raise refuse(
                    "Nothing was written", "this person's record was erased", "It can only be read", code="erased"
                )
            if state.ended and not ended:
                raise refuse(
                    "Nothing was written",
                    f"the course ended on {state.ended_on} ({state.ended.replace('_', ' ')})",
                    "Amend what stands, or open a new course",
                    code="ended",
                )
        yield writing, state
