"""Questionnaires and ratings: begun, answered item by item, completed; or entered whole from a sheet of paper.

A safety item fires the moment it is answered, in the same transaction as the answer, before any score and also when
the rest is never filled in. Items are kept under their ids as raw codes; scores are derived and can be derived again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

from keel.actions import safety
from keel.actions.door import action, on_course
from keel.actions.screening import judge_with
from keel.actions.study import adopt
from keel.actions.visits import protocol_of, today_at, zone_of
from keel.domain import answers as reading
from keel.domain.access import SYSTEM
from keel.domain.course import Course, Response
from keel.domain.errors import refuse
from keel.domain.events import Actor, new_id
from keel.domain.instrument import Instrument
from keel.domain.protocol import Protocol
from keel.domain.questionnaire import (
    alerts_due,
    check_agrees,
    check_consent,
    check_not_there,
    check_other_hand,
    check_rates_again,
    check_respondent,
    check_same,
    context_for,
    differences_between,
    find_asked,
    judged_by,
    keyed_once,
    standing,
)
from keel.domain.scoring import ScoreResult, score
from keel.domain.screening import check_expectancy
from keel.library import shelf
from keel.queries import definitions
from keel.records import vault
from keel.records.journal import Recorded, Writing

ANSWERED_BY = {"participant": "participant", "clinician": "clinician", "facilitator": "facilitator"}


@action("answer")
def begin(
    *,
    course: str,
    instrument: str,
    visit: str,
    by: Actor,
    at: datetime,
    respondent: str = "",
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Begin a questionnaire of a visit; its response has the id of this event (`payload["response"]`).

    `respondent` is participant, facilitator, rater or clinician; empty: who the instrument is made for. One that is
    begun already is gone on with. Staff may add one without a visit (`visit=""`): whom it asks then fills it in.
    """
    definition = definitions.instrument(instrument)
    respondent = respondent or ANSWERED_BY[definition.answered_by]
    with on_course(course, by=by, what="answer", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        protocol = protocol_of(state)
        check_consent(state, protocol, visit)
        _check_asked(state, protocol, visit, instrument, respondent, by)
        check_not_there(state, visit, instrument, respondent)
        check_expectancy(state, instrument)
        begun = standing(state, visit, instrument, respondent)
        if begun:
            stream = writing.streams[0]
            writing.answer = Recorded(begun.id, stream, 0, "response_begun", True, {"response": begun.id})
            return writing.recorded()
        id = id or new_id()
        payload = {
            "response": id,
            "instrument": instrument,
            "instrument_version": definition.version,
            "visit": visit,
            "respondent": respondent,
        }
        _take_into_use(definition, at)
        writing.append("response_begun", payload, by=by, at=at, id=id, occurred_at=_not_later(occurred_at, at))
        return writing.recorded()


@action("answer")
def answer(
    *,
    course: str,
    response: str,
    item: str,
    value: Any,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Take one answer: a raw code, `prefer_not`, `not_applicable`, or None for an item that was left blank.

    A changed answer is a further event: both stay. Refuses a value outside the item's codes and a response that is
    complete. Whatever the answer sets off is raised with it.
    """
    # An answer that was given while the course was open is not turned away because it ended meanwhile.
    with on_course(course, by=by, what="answer", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        begun = _open(state, response, by)
        definition = definitions.instrument(begun.instrument, begun.version)
        reading.check_answer(definition, item, value)
        payload = {"response": response, "item": item, "value": value}
        when = _not_later(occurred_at, at)
        writing.append("item_answered", payload, by=by, at=at, id=id, occurred_at=when)
        _raise_due(writing, state, begun, definition, {**begun.items, item: value}, by, at, finished=False)
        return writing.recorded()


@action("answer")
def complete(
    *,
    course: str,
    response: str,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Finish a response: it is scored with the version it was begun with, and from now on only amended."""
    with on_course(course, by=by, what="answer", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        begun = _open(state, response, by)
        if not any(value is not None for value in begun.items.values()):
            raise refuse("The questionnaire was not finished", "no question is answered", "Answer at least one")
        definition = definitions.instrument(begun.instrument, begun.version)
        context = context_for(state, protocol_of(state), definition, begun.visit)
        result = score(definition, dict(begun.items), context)
        payload = {"response": response, "instrument_version": definition.version, **_scored(result, context)}
        when = _not_later(occurred_at, at)
        writing.append("response_completed", payload, by=by, at=at, id=id, occurred_at=when)
        _raise_due(writing, state, begun, definition, begun.items, by, at, finished=True)
        judge_with(writing, state, begun.instrument, at=at)
        return writing.recorded()


@action("enter_paper")
def enter(
    *,
    course: str,
    visit: str,
    instrument: str,
    items: Any,
    by: Actor,
    at: datetime,
    context: Mapping[str, Any] | None = None,
    respondent: str = "",
    paper: bool = True,
    on: date | None = None,
    again: Any = None,
    keep_first: bool = False,
    settled: bool = False,
    id: str | None = None,
) -> Recorded:
    """Take a whole response at once: a sheet of paper keyed by staff, or a rating entered in one piece.

    `items` as `keel score` takes them (a list in printed order, or by item id); `again` is a second entry of the same
    sheet and must agree with the first; `on` is the day on the sheet (today when it is not given). With `paper` false
    only who is asked may enter. A questionnaire that was begun on the phone stays apart until it is finished.

    With `keep_first` the entry waits: another person keys the same sheet, and it counts once both agree. That second
    entry is compared item by item; with `settled` it stands where they differ, and what differed is kept.
    """
    definition = definitions.instrument(instrument)
    respondent = respondent or ANSWERED_BY[definition.answered_by]
    with on_course(course, by=by, what="enter_paper", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        protocol = protocol_of(state)
        check_consent(state, protocol, visit)
        if visit:
            find_asked(state, protocol, visit, instrument, respondent)
        _check_hand(by, respondent, paper=paper)
        check_not_there(state, visit, instrument, respondent)
        check_expectancy(state, instrument)
        if again is not None:
            check_same(definition, items, again)
        first = keyed_once(state, visit, instrument, respondent)
        if first:
            check_other_hand(first, by.id)
            definition = definitions.instrument(instrument, first.version)
        own = context_for(state, protocol, definition, visit)
        told = {name: value for name, value in (context or {}).items() if name not in own}
        known = {**told, **own}
        given = {key: value for key, value in reading.by_item(definition, items).items() if value is not None}
        result = score(definition, given, known)
        if not given:
            raise refuse("The questionnaire was not entered", "every item is blank", "Key at least one answer")
        when = _day(state.site, on, at)
        day = when.astimezone(zone_of(state.site)).date().isoformat()
        _take_into_use(definition, at)
        if keep_first and not first:
            return _keep_first(writing, state, definition, visit, respondent, given, told, day, by, at, id)
        differing = differences_between(first, definition, given, told, day) if first else ()
        if not settled:
            check_agrees(differing, definition)
        entered = Response(
            first.id if first else id or new_id(), instrument, definition.version, visit, respondent, given
        )
        payload = _whole(entered, result, known, paper=paper)
        if again is not None:
            payload["twice"] = True
        if first:
            payload |= {"first_by": first.by, "differed": [list(one) for one in differing]}
        event = (id or new_id()) if first else entered.id
        writing.append("response_entered", payload, by=by, at=at, id=event, occurred_at=when)
        _raise_due(writing, state, entered, definition, given, by, at, finished=True)
        judge_with(writing, state, instrument, at=at)
        return writing.recorded()


@action("enter_paper")
def rate_again(*, course: str, response: str, items: Any, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Take a second rater's rating of a visit that was rated: for agreement. The first rating stays the one that
    counts; a safety item that only the second rater gives raises its alert all the same."""
    with on_course(course, by=by, what="enter_paper", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        known = state.responses.get(response)
        if known is None:
            raise refuse("The rating was not taken", "this course has no such rating", "Reload", code="not-found")
        check_rates_again(known, by.id, by.role)
        if response in state.second_ratings:
            raise refuse("The rating was not taken", "it was rated a second time already", "Nothing is left to do")
        definition = definitions.instrument(known.instrument, known.version)
        given = {key: value for key, value in reading.by_item(definition, items).items() if value is not None}
        if not given:
            raise refuse("The rating was not taken", "every item is blank", "Rate at least one")
        result = score(definition, given, dict(known.context))
        payload = {"response": response, "instrument": known.instrument, "instrument_version": known.version,
                   "items": given, "scores": result.scores}  # fmt: skip
        writing.append("rated_again", payload, by=by, at=at, id=id)
        _raise_due(writing, state, replace(known, items=given), definition, given, by, at, finished=True)
        return writing.recorded()


@action("amend")
def amend_response(
    *, course: str, event: str, items: Any, reason: str, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Correct a finished response: the answers as they should stand, scored anew; the first entry stays beside it.

    `event` is the event that finished it, or the response's own id. What was judged against it as a baseline is
    scored anew too.
    """
    with on_course(course, by=by, what="amend", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        known = next((r for r in state.responses.values() if event in (r.id, r.event)), None)
        if known is None or known.completed_at is None:
            raise refuse(
                "Nothing was amended", "no finished questionnaire of this course has that entry", "Reload the page"
            )
        if by.role == "rater" and known.respondent != "rater":
            raise refuse("Nothing was amended", "a blinded rater amends ratings only", "Ask who entered it")
        if not reason.strip():
            raise refuse("Nothing was amended", "no reason is given", "Say why the first entry was wrong")
        check_expectancy(state, known.instrument)
        definition = definitions.instrument(known.instrument, known.version)
        given = {key: value for key, value in reading.by_item(definition, items).items() if value is not None}
        if given == dict(known.items):
            raise refuse("Nothing was amended", "the answers are the same", "Change what was wrong")
        seal = vault.sealer(state.participant)
        corrected = replace(known, items=given)
        scores = _amend(writing, corrected, definition, known.context, seal(reason.strip()), by, at, id)
        corrected = replace(corrected, scores=scores)
        _raise_due(writing, state, corrected, definition, given, by, at, finished=True)
        _judge_again(writing, state, corrected, by, at)
        judge_with(writing, state, known.instrument, at=at)
        return writing.recorded()


# ---- pieces ---------------------------------------------------------------------------------------------


def _keep_first(
    writing: Writing,
    state: Course,
    definition: Instrument,
    visit: str,
    respondent: str,
    given: Mapping[str, Any],
    told: Mapping[str, Any],
    day: str,
    by: Actor,
    at: datetime,
    id: str | None,
) -> Recorded:
    """The first of two entries: no score yet, but what it sets off is raised now."""
    sheet = Response(id or new_id(), definition.id, definition.version, visit, respondent, dict(given))
    payload = {
        "response": sheet.id,
        "instrument": sheet.instrument,
        "instrument_version": sheet.version,
        "visit": visit,
        "respondent": respondent,
        "items": dict(given),
        "context": dict(told),
        "on": day,
    }
    writing.append("sheet_keyed", payload, by=by, at=at, id=sheet.id)
    _raise_due(writing, state, sheet, definition, given, by, at, finished=True)
    return writing.recorded()


def _amend(
    writing: Writing,
    response: Response,
    definition: Instrument,
    context: Mapping[str, Any],
    reason: Any,
    by: Actor,
    at: datetime,
    id: str | None = None,
) -> Mapping[str, Any]:
    """Append the correction; gives the scores as they stand now."""
    result = score(definition, dict(response.items), context)
    assert response.completed_at is not None
    said = {
        "corrects": response.event,
        "kind": "response_entered",
        "occurred_at": response.completed_at.isoformat(),
        "payload": _whole(response, result, context, paper=response.paper),
        "reason": reason,
    }
    writing.append("amended", said, by=by, at=at, id=id)
    return result.scores


def _judge_again(writing: Writing, state: Course, baseline: Response, by: Actor, at: datetime) -> None:
    """Score anew what stands on an amended baseline."""
    after = replace(state, responses={**state.responses, baseline.id: baseline})
    protocol = protocol_of(state)
    for response in judged_by(after, protocol, baseline):
        definition = definitions.instrument(response.instrument, response.version)
        context = {k: v for k, v in response.context.items() if k != "baseline_total"}
        context |= context_for(after, protocol, definition, response.visit)
        if context != dict(response.context):
            _amend(writing, response, definition, context, "The baseline was amended", by, at)


def _whole(response: Response, result: ScoreResult, context: Mapping[str, Any], *, paper: bool) -> dict[str, Any]:
    return {
        "response": response.id,
        "instrument": response.instrument,
        "instrument_version": response.version,
        "visit": response.visit,
        "respondent": response.respondent,
        "items": dict(response.items),
        "paper": paper,
        **_scored(result, context),
    }


def _scored(result: ScoreResult, context: Mapping[str, Any]) -> dict[str, Any]:
    return {"scores": result.scores, "missing": list(result.missing), "context": dict(context)}


def _raise_due(
    writing: Writing,
    state: Course,
    response: Response,
    definition: Instrument,
    items: Mapping[str, Any],
    by: Actor,
    at: datetime,
    *,
    finished: bool,
) -> None:
    if not definition.safety:
        return
    for level, flag in alerts_due(state, response.id, definition, items, finished=finished):
        source = {
            "response": response.id,
            "instrument": response.instrument,
            "items": list(flag.items),
            "visit": response.visit,
        }
        safety.raise_in(writing, site=state.site, level=level, why=flag.says, source=source, by=by, at=at)


def _open(state: Course, response: str, by: Actor) -> Response:
    """The response that is being filled in, when this actor may."""
    begun = state.responses.get(response)
    if begun is None:
        raise refuse(
            "The answer was not taken", "this course has no such questionnaire", "Open it again", code="not-found"
        )
    check_respondent(by.role, begun.respondent)
    if begun.completed_at:
        raise refuse(
            "The answer was not taken",
            "the questionnaire is finished",
            "A member of staff can amend it, with the reason",
            code="completed",
        )
    return begun


def _check_asked(state: Course, protocol: Protocol, visit: str, instrument: str, respondent: str, by: Actor) -> None:
    if visit:
        find_asked(state, protocol, visit, instrument, respondent)
        check_respondent(by.role, respondent)
    elif by.role == "participant":
        raise refuse(
            f"{instrument} was not begun", "only what the protocol or your team asks can be answered", "Ask your team"
        )
    elif respondent != "participant":  # staff may lay a questionnaire before the participant; a rating is one's own
        check_respondent(by.role, respondent)


def _check_hand(by: Actor, respondent: str, *, paper: bool) -> None:
    """Who may key: a sheet of paper anybody at the desk, but a blinded rater nothing except ratings."""
    if by.role == "rater" and respondent != "rater":
        raise refuse("The entry was not taken", "a blinded rater enters ratings only", "Leave it to the coordinator")
    if not paper:
        check_respondent(by.role, respondent)


def _take_into_use(definition: Instrument, at: datetime) -> None:
    """Keep a copy of the definition in the journal from its first use on; it stands or falls with that use."""
    if not definitions.adopted("instruments", definition.id, definition.version):
        adopt(shelf.read("instruments", definition.id), by=SYSTEM, at=at)


def _not_later(occurred_at: datetime | None, at: datetime) -> datetime:
    if occurred_at is not None and occurred_at > at:
        raise refuse(
            "The answer was not taken", "its time is still to come", "Set the clock of the device right", code="future"
        )
    return occurred_at or at


def _day(site: str, on: date | None, at: datetime) -> datetime:
    """The instant that a sheet of that day stands for: now when it is today's, noon at the site otherwise."""
    today = today_at(site, at)
    if on is None or on == today:
        return at
    if on > today:
        raise refuse(
            "The questionnaire was not entered", f"{on} is still to come", "Give the day on the sheet", code="future"
        )
    return datetime.combine(on, time(12), zone_of(site)).astimezone(UTC)
