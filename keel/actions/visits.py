"""What every held visit has in common, whichever door it is recorded through."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from keel.actions.door import action, on_course
from keel.domain.course import Course
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.domain.protocol import Protocol
from keel.domain.visit import arm_of, check_answered, check_cause, check_visit, new_deviations
from keel.queries import definitions
from keel.records import journal, vault
from keel.records.journal import Recorded, Writing
from keel.records.models import SiteRow


def protocol_of(course: Course) -> Protocol:
    """The protocol in the version that the course began with."""
    return definitions.protocol(course.protocol, course.protocol_version)


@lru_cache(maxsize=256)
def zone_of(site: str) -> ZoneInfo:
    """The time zone in which a site's days begin."""
    return ZoneInfo(SiteRow.objects.get(id=site).timezone)


def today_at(site: str, at: datetime) -> date:
    """The day it is at a site."""
    return at.astimezone(zone_of(site)).date()


def hold(
    writing: Writing,
    state: Course,
    *,
    visit: str,
    on: date,
    by: Actor,
    at: datetime,
    id: str | None = None,
    minutes: int | None = None,
    mode: str = "individual",
    notes: str = "",
    covered: Sequence[str] = (),
    present: Sequence[str] = (),
) -> None:
    """Record within an open decision that a visit was held, with the deviations that follow from its day."""
    protocol = protocol_of(state)
    found = check_visit(state, protocol, visit, on, today=today_at(state.site, at))
    if minutes is not None and not 0 < minutes <= 24 * 60:
        raise refuse("The visit was not recorded", f"{minutes} minutes is no length of a visit", "Give its minutes")
    payload: dict[str, Any] = {"visit": visit, "on": on.isoformat(), "phase": found.phase, "mode": mode}
    if minutes is not None:
        payload["minutes"] = minutes
    if notes.strip():
        payload["notes"] = vault.sealer(state.participant)(notes.strip())
    if covered:
        payload["covered"] = list(covered)
    if present:
        payload["present"] = list(present)
    departures = new_deviations(state, protocol, visit, on)
    writing.append("visit_held", payload, by=by, at=at, id=id)
    for departure in departures:
        said = {"visit": departure.visit, "kind": departure.kind, "days": departure.days, "said": departure.because}
        writing.append("deviation_noted", said, by=by, at=at)


@action("hold_visit")
def hold_visit(
    *,
    course: str,
    visit: str,
    on: date,
    by: Actor,
    at: datetime,
    minutes: int | None = None,
    mode: str = "individual",
    notes: str = "",
    id: str | None = None,
) -> Recorded:
    """Record a visit that needs no door of its own: screening, baseline, waiting, a call, follow-up.

    Preparation, dosing and integration have theirs. Out of window is recorded, and noted as a deviation.
    """
    with on_course(course, by=by, what="hold_visit", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        kind = protocol_of(state).visit(visit, arm_of(state, protocol_of(state))).kind
        if kind in OWN_DOOR:
            raise refuse(
                "The visit was not recorded here",
                f"it is a {kind} visit",
                f"Record it on its own page ({OWN_DOOR[kind]})",
            )
        check_answered(state, visit)
        hold(writing, state, visit=visit, on=on, by=by, at=at, id=id, minutes=minutes, mode=mode, notes=notes)
        return writing.recorded()


OWN_DOOR = {"preparation": "preparation", "dosing": "the dosing day", "integration": "integration"}


@action("miss_visit")
def miss_visit(
    *, course: str, visit: str, cause: str, by: Actor, at: datetime, notes: str = "", id: str | None = None
) -> Recorded:
    """Record that a visit will not take place any more, and why."""
    check_cause(cause)
    with on_course(course, by=by, what="miss_visit", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        protocol = protocol_of(state)
        found = protocol.visit(visit, arm_of(state, protocol))
        if visit in state.visits:
            raise refuse(
                f"{found.label} was not recorded as missed", "it stands as held or missed already", "Amend that entry"
            )
        payload: dict[str, Any] = {"visit": visit, "cause": cause}
        if notes.strip():
            payload["notes"] = vault.sealer(state.participant)(notes.strip())
        writing.append("visit_missed", payload, by=by, at=at, id=id)
        said = f"{found.label} was missed ({cause})"
        writing.append("deviation_noted", {"visit": visit, "kind": "missed", "said": said}, by=by, at=at)
        return writing.recorded()


@action("book_visit")
def book_visit(
    *, course: str, visit: str, starts_at: datetime, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Put a visit into the calendar. A visit may be booked again; the last booking stands."""
    with on_course(course, by=by, what="book_visit", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        protocol = protocol_of(state)
        found = protocol.visit(visit, arm_of(state, protocol))
        if visit in state.visits:
            raise refuse(f"{found.label} was not booked", "it is held or missed already", "Choose another visit")
        if starts_at < at:
            raise refuse(f"{found.label} was not booked", "that time is past", "Give a time to come")
        writing.append("visit_booked", {"visit": visit, "starts_at": starts_at.isoformat()}, by=by, at=at, id=id)
        return writing.recorded()


@action("amend")
def amend_visit(
    *,
    course: str,
    visit: str,
    on: date,
    reason: str,
    by: Actor,
    at: datetime,
    minutes: int | None = None,
    id: str | None = None,
) -> Recorded:
    """Correct the day (and length) of a held visit. The first entry stays; the reason is kept with the correction."""
    with on_course(course, by=by, what="amend", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        held = state.visits.get(visit)
        if held is None or not held.held:
            raise refuse("Nothing was amended", f"{visit} was not held", "Record it first")
        if not reason.strip():
            raise refuse("Nothing was amended", "no reason is given", "Say why the first entry was wrong")
        if on > today_at(state.site, at):
            raise refuse("Nothing was amended", f"{on} is still to come", "Give the day on which it took place")
        protocol = protocol_of(state)
        found = protocol.visit(visit, arm_of(state, protocol))
        first = journal.event(held.event)
        payload = {**(first.payload if first else {}), "visit": visit, "on": on.isoformat(), "phase": found.phase}
        payload["minutes"] = held.minutes if minutes is None else minutes
        seal = vault.sealer(state.participant)
        said = {"corrects": held.event, "kind": "visit_held", "payload": payload, "reason": seal(reason.strip())}
        writing.append("amended", said, by=by, at=at, id=id)
        return writing.recorded()
