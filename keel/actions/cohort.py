"""Cohorts: people who go through a group course together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from keel.actions.door import action
from keel.actions.visits import protocol_of
from keel.domain import access
from keel.domain.course import fold
from keel.domain.errors import refuse
from keel.domain.events import Actor, new_id
from keel.records import journal
from keel.records.journal import Recorded


@action("form_cohort")
def form_cohort(*, name: str, courses: Sequence[str], by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Put courses of one study at one site together. Refused outside the size that the protocol was tested with."""
    cohort = new_id() if id is None else id
    streams = [f"course:{course}" for course in courses]
    with journal.writing(f"cohort:{cohort}", *streams) as writing:
        if writing.answered(id):
            return writing.recorded()
        states = [writing.state(fold, stream) for stream in streams]
        for course, state in zip(courses, states, strict=True):
            if state is None:
                raise access.not_here("form_cohort")
            access.check_course(by, "form_cohort", course=course, site=state.site)
            if state.cohort:
                raise refuse(
                    "The cohort was not formed", f"{state.code} belongs to one already", "Choose another course"
                )
            if not state.open or not state.consented:
                raise refuse(
                    "The cohort was not formed", f"{state.code} is not open and consented", "Choose another course"
                )
        if len({(s.site, s.study, s.protocol_version) for s in states}) != 1:
            raise refuse(
                "The cohort was not formed", "its courses are not of one study at one site", "Choose of one study"
            )
        size = protocol_of(states[0]).cohort
        if size is None:
            raise refuse("The cohort was not formed", "the protocol is individual", "Run each course by itself")
        if not size.least <= len(courses) <= size.most:
            raise refuse(
                "The cohort was not formed",
                f"{len(courses)} people are outside the {size.least} to {size.most} that the protocol was tested with",
                "Add or take away courses",
                code="cohort-size",
            )
        payload = {
            "site": states[0].site,
            "study": states[0].study,
            "name": name.strip() or "Cohort",
            "courses": list(courses),
        }
        writing.append("cohort_formed", payload, by=by, at=at, id=id)
        for stream in streams:
            writing.append("cohort_joined", {"cohort": cohort}, by=by, at=at, stream=stream)
        return writing.recorded()
