"""Preparation: what is covered together, and what a participant brings to the day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from keel.actions.door import action, on_course
from keel.actions.visits import hold, protocol_of, today_at
from keel.domain import access
from keel.domain.course import fold
from keel.domain.errors import Reason, refuse
from keel.domain.events import Actor
from keel.domain.visit import arm_of, check_answered, readiness
from keel.library import shelf
from keel.records import journal, vault
from keel.records.journal import Recorded

TOPICS: dict[str, str] = {
    "history": "Life story and what brings the person here",
    "expectations": "Hopes, fears and expectations",
    "effects": "What the medicine may do: body, senses, feelings, time",
    "difficult": "How to meet difficult moments",
    "consent-day": "What can be stopped on the day, and what cannot",
    "touch": "Touch: what is welcome, where, and what is not",
    "boundaries": "Boundaries, and how to raise a concern",
    "setting": "The room, the people, the music, the course of the day",
    "intentions": "Intentions",
    "practical": "Food, medicines, way home, the night and the day after",
    "support": "People who support, and how they are prepared",
    "integration": "What integration will be",
}
"""Topics of ours to tick off; none is taken from a manual."""

TOUCH_AREAS: dict[str, str] = {
    "hand": "Hand",
    "arm": "Arm",
    "shoulder": "Shoulder",
    "back": "Upper back",
    "head": "Head",
    "feet": "Feet",
}


@action("hold_preparation")
def hold_preparation(
    *,
    course: str,
    visit: str,
    on: date,
    minutes: int,
    covered: Sequence[str],
    by: Actor,
    at: datetime,
    mode: str = "individual",
    notes: str = "",
    present: Sequence[str] = (),
    id: str | None = None,
) -> Recorded:
    """Record a preparation session: its length and the topics that were covered (keys of TOPICS)."""
    unknown = [topic for topic in covered if topic not in TOPICS]
    if unknown:
        raise refuse("The session was not recorded", f"{unknown[0]!r} is no topic", f"Choose of: {', '.join(TOPICS)}")
    with on_course(course, by=by, what="hold_preparation", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        kind = protocol_of(state).visit(visit, arm_of(state, protocol_of(state))).kind
        if kind != "preparation":
            raise refuse("The session was not recorded", f"{visit} is no preparation", "Record it on its own page")
        check_answered(state, visit)
        hold(
            writing, state, visit=visit, on=on, by=by, at=at, id=id,
            minutes=minutes, mode=mode, notes=notes, covered=covered, present=present,
        )  # fmt: skip
        return writing.recorded()


def say(
    course: str,
    kind: str,
    words: str,
    *,
    what: str,
    by: Actor,
    at: datetime,
    id: str | None,
    more: Mapping[str, Any] | None = None,
    needs_words: bool = True,
) -> Recorded:
    """Record a participant's words under a kind, sealed with their own key."""
    if needs_words and not words.strip():
        raise refuse("Nothing was written", "there are no words yet", "Write them, then save")
    if len(words) > 20_000:
        raise refuse(
            "Nothing was written", f"{len(words)} characters are more than one entry holds", "Divide it in two"
        )
    with on_course(course, by=by, what=what, id=id, ended=what in _AFTER_THE_END) as (writing, state):
        if writing.answer:
            return writing.recorded()
        payload = dict(more or {})
        if words.strip():
            payload["words"] = vault.sealer(state.participant)(words.strip())
        writing.append(kind, payload, by=by, at=at, id=id)
        return writing.recorded()


_AFTER_THE_END = frozenset({"write_journal", "note_insight"})


@action("set_intention")
def set_intention(*, course: str, words: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """An intention, in the participant's own words."""
    return say(course, "intention_set", words, what="set_intention", by=by, at=at, id=id)


@action("note_fears")
def note_fears(*, course: str, words: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """What the participant is afraid of."""
    return say(course, "fear_noted", words, what="note_fears", by=by, at=at, id=id)


@action("agree_touch")
def agree_touch(
    *, course: str, areas: Mapping[str, bool], words: str, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """The touch agreement, made sober: each area welcome or not (keys of TOUCH_AREAS), and the word that stops it.

    During dosing it may be tightened, never widened: a new agreement on a dosing day is refused.
    """
    unknown = [area for area in areas if area not in TOUCH_AREAS]
    if unknown:
        raise refuse("The agreement was not made", f"{unknown[0]!r} is no area", f"Choose of: {', '.join(TOUCH_AREAS)}")
    state = journal.state_of(f"course:{course}", fold)
    if state is not None:
        access.check_course(by, "agree_touch", course=course, site=state.site)
        dosed = [day for day in state.days.values() if day.doses and not day.released_at and not day.stopped_at]
        widened = [
            area for area, welcome in areas.items() if welcome and not (state.touch or {}).get("areas", {}).get(area)
        ]
        if dosed and widened:
            raise refuse(
                "The agreement was not widened",
                "the participant is under the medicine, and touch is agreed on sober",
                "It can be tightened now, and widened after the day",
                code="touch-widened",
            )
    return say(
        course,
        "touch_agreed",
        words,
        what="agree_touch",
        by=by,
        at=at,
        id=id,
        more={"areas": dict(areas)},
        needs_words=False,
    )


@action("name_support_person")
def name_support_person(*, course: str, words: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Who supports the participant afterwards: name and how to reach them, sealed."""
    return say(course, "support_person_named", words, what="name_support_person", by=by, at=at, id=id)


@action("confirm_ride_home")
def confirm_ride_home(
    *, course: str, confirmed: bool, words: str, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Who takes the participant home; or that nobody does any more."""
    return say(
        course, "ride_home_confirmed", words, what="confirm_ride_home", by=by, at=at, id=id,
        more={"confirmed": confirmed}, needs_words=confirmed,
    )  # fmt: skip


@action("check_readiness")
def check_readiness(*, course: str, visit: str, by: Actor, at: datetime) -> tuple[Reason, ...]:
    """What keeps the dosing visit from taking place today. Reads only: the gate is asked again when the dose is given."""
    state = journal.state_of(f"course:{course}", fold)
    if state is None:
        raise access.not_here("check_readiness")
    access.check_course(by, "check_readiness", course=course, site=state.site)
    return readiness(state, protocol_of(state), visit, today_at(state.site, at), shelf=shelf.ids("instruments"))
