"""Adverse events: what happened, good, bad or strange; what was judged of it; what was reported to whom."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from keel.actions.door import action, on_course
from keel.actions.safety import raise_in
from keel.actions.visits import protocol_of, today_at, zone_of
from keel.domain import access
from keel.domain.adverse_event import (
    ACTIONS,
    CALLED,
    DISCLOSED_TO,
    STARTS,
    UNCODED,
    AdverseEvent,
    check_adverse_event,
    window_of,
)
from keel.domain.course import Course
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.events import Actor
from keel.domain.visit import arm_of
from keel.library import alert_files
from keel.records import journal, vault
from keel.records.journal import Recorded, Writing

_NOT = "The event was not recorded"


@action("report_adverse_event")
def report_adverse_event(
    *, course: str, event: Mapping[str, Any], by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Record one event. `event` holds what `check_adverse_event` reads: `term` and `began_at` at least.

    The phase (days since the dose before it) and, on a dosing day, the session's minute are worked out here. What a
    regulator calls serious, and what the shelf watches, raises an alert in the same transaction.
    """
    with on_course(course, by=by, what="report_adverse_event", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        found = _checked(event, by, at)
        payload = _payload(found, state)
        writing.append("adverse_event_reported", payload, by=by, at=at, id=id)
        _call(writing, state, found, writing.appended[-1].id, by, at)
        return writing.recorded()


@action("report_adverse_event")
def amend_adverse_event(
    *,
    course: str,
    entry: str,
    event: Mapping[str, Any],
    reason: str,
    by: Actor,
    at: datetime,
    id: str | None = None,
) -> Recorded:
    """Put a whole new entry in the place of `entry`, with the reason; the first one stays on the record.

    A judgement of relatedness or expectedness that stands is kept when the new entry does not name one.
    """
    with on_course(course, by=by, what="report_adverse_event", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        stands = state.adverse_events.get(entry)
        if stands is None:
            raise refuse("Nothing was amended", "this course has no such event", "Reload the page", code="not-found")
        if not reason.strip():
            raise refuse("Nothing was amended", "no reason is given", "Say what has changed, or what was wrong")
        given = dict(event)
        kept = {key: stands.get(key) for key in ("related", "expected") if given.get(key) is None}
        found = _checked(given, by, at)
        payload = {**_payload(found, state), **{key: value for key, value in kept.items() if value}}
        if stands.get("detail", {}).get("told_by"):
            payload["detail"]["told_by"] = stands["detail"]["told_by"]
        if stands.get("words") and ("words" not in payload or stands.get("detail", {}).get("told_by")):
            payload["words"] = stands["words"]  # a participant's own words stay theirs
        first = journal.event(entry)
        said = {
            "corrects": entry,
            "kind": "adverse_event_reported",
            "payload": payload,
            "reason": vault.sealer(state.participant)(reason.strip()),
            "occurred_at": first.occurred_at.isoformat() if first else stands["reported_at"],
        }
        writing.append("amended", said, by=by, at=at, id=id)
        if found.is_serious and not stands.get("serious"):
            _call(writing, state, found, entry, by, at)
        return writing.recorded()


@action("tell_event")
def tell_event(
    *, course: str, words: str, valence: str, began_on: date, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """The participant tells of something, in their own words; the team is asked to read it and to sort it."""
    with on_course(course, by=by, what="tell_event", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        if not words.strip():
            raise refuse(
                "Nothing was sent", "there are no words yet", "Write what happened, in a few words", where="words"
            )
        if began_on > today_at(state.site, at):
            raise refuse("Nothing was sent", "that day is still to come", "Give the day on which it began", where="on")
        zone = zone_of(state.site)
        noon = datetime.combine(began_on, datetime.min.time().replace(hour=12), zone)
        given = {"term": UNCODED, "words": words, "valence": valence, "began_at": min(noon, at).isoformat()}
        found = check_adverse_event(given, now=at.astimezone(zone))
        payload = _payload(found, state)
        payload["detail"] |= {"told_by": "participant", "minute": None}
        writing.append("adverse_event_reported", payload, by=by, at=at, id=id)
        source = {"kind": "adverse_event", "adverse_event": writing.appended[-1].id}
        why = "The participant told of something new: read it, and sort it among the adverse events"
        raise_in(writing, site=state.site, level="notify", why=why, source=source, by=by, at=at)
        return writing.recorded()


@action("report_adverse_event")
def ask_for_events(
    *, course: str, anything: bool, by: Actor, at: datetime, visit: str = "", id: str | None = None
) -> Recorded:
    """Record that "Anything new since the last contact?" was asked, and whether there was anything."""
    with on_course(course, by=by, what="report_adverse_event", id=id, ended=True) as (writing, state):
        if not writing.answer:
            if visit:
                protocol_of(state).visit(visit, arm_of(state, protocol_of(state)))
            writing.append("events_asked_for", {"visit": visit, "anything": anything}, by=by, at=at, id=id)
        return writing.recorded()


# ---- reports to others --------------------------------------------------------------------------


@action("send_report")
def start_clock(
    *, course: str, entry: str, starts: str, on: date, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Say on which day a starting event happened: the sponsor received the report, or determined that it qualifies."""
    with on_course(course, by=by, what="send_report", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        _known(state, entry)
        if starts not in STARTS or starts == "site_awareness":
            raise refuse("The clock was not started", f"{starts!r} starts no clock", "Choose one of the list")
        _past(on, state, at, "The clock was not started")
        writing.append("report_started", {"event": entry, "name": starts, "on": on.isoformat()}, by=by, at=at, id=id)
        return writing.recorded()


@action("send_report")
def send_report(
    *, course: str, entry: str, clock: str, on: date, proof: str, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Record that a report went out, on which day, and its proof: a reference, a receipt, who took the call."""
    with on_course(course, by=by, what="send_report", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        _known(state, entry)
        what = "The report was not recorded as sent"
        if clock not in {one.id for one in alert_files.clocks()}:
            raise refuse(what, f"there is no clock {clock!r}", "Choose one of the list")
        if not proof.strip():
            raise refuse(
                what, "it has no proof", "Give the reference, the receipt, or who took the call", where="proof"
            )
        _past(on, state, at, what)
        payload = {"event": entry, "name": clock, "on": on.isoformat()}
        sealed = vault.sealer(state.participant)(proof.strip())
        writing.append("report_sent", {**payload, "words": sealed}, by=by, at=at, id=id)
        return writing.recorded()


def _known(state: Course, entry: str) -> None:
    if entry not in state.adverse_events:
        raise refuse("Nothing was recorded", "this course has no such event", "Reload the page", code="not-found")


def _past(on: date, state: Course, at: datetime, what: str) -> None:
    if on > today_at(state.site, at):
        raise refuse(what, f"{on} is still to come", "Give a day that has been", where="on")


# ---- what else is listed -------------------------------------------------------------------------


@action("unblind")
def unblind(*, course: str, whom: str, reason: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Record that the arm of this person was disclosed before the end: to whom and why. It is listed for the study."""
    what = "Nothing was disclosed"
    with on_course(course, by=by, what="unblind", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        if not state.arm:
            raise refuse(what, "this person is in no arm yet", "There is nothing to disclose")
        _one_of(whom, DISCLOSED_TO, what)
        return _incident(writing, state, "unblinded", {"whom": whom}, reason, what, by, at, id)


@action("record_emergency_contact")
def record_emergency_contact(
    *,
    course: str,
    whom: str,
    words: str,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Record that an ambulance, a hospital, a crisis team or the police was called, when, and what came of it."""
    what = "The call was not recorded"
    with on_course(course, by=by, what="record_emergency_contact", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        _one_of(whom, CALLED, what)
        when = occurred_at or at
        if when > at:
            raise refuse(what, "that time is still to come", "Give the time of the call", where="time")
        session = {key: value for key, value in _session(when, state).items() if key != "session"}
        return _incident(
            writing, state, "emergency_contacted", {"whom": whom, **session}, words, what, by, at, id, when
        )


def _one_of(whom: str, known: Mapping[str, str], what: str) -> None:
    if whom not in known:
        raise refuse(what, f"{whom!r} is none of the answers", "Choose one of the list", where="whom")


def _incident(
    writing: Writing,
    state: Course,
    kind: str,
    payload: dict[str, Any],
    words: str,
    what: str,
    by: Actor,
    at: datetime,
    id: str | None,
    occurred_at: datetime | None = None,
) -> Recorded:
    if not words.strip():
        raise refuse(what, "there are no words about it", "Say why, in a sentence", where="words")
    sealed = vault.sealer(state.participant)(words.strip())
    writing.append(kind, {**payload, "words": sealed}, by=by, at=at, id=id, occurred_at=occurred_at)
    return writing.recorded()


# ---- reading an entry ---------------------------------------------------------------------------


def _checked(given: Mapping[str, Any], by: Actor, at: datetime) -> AdverseEvent:
    """The entry, refused with every reason at once: its form, its term, and who may judge what."""
    reasons: list[Reason] = []
    term = given.get("term")
    if term in alert_files.terms_apart():
        reasons.append(
            Reason(
                _NOT,
                f"{str(term).lower()} is reported to people outside the treating team",
                "Use the concern channel; your own team cannot read it",
                "term",
                "report-apart",
            )
        )
    elif term and term != UNCODED and term not in alert_files.terms():
        reasons.append(Reason(_NOT, f"{str(term)[:60]!r} is not on the list of terms", f"Choose {UNCODED}", "term"))
    if term == UNCODED and not str(given.get("words") or "").strip():
        reasons.append(Reason(_NOT, "nothing says what it was", "Write it in a few words", "words"))
    if given.get("action") and given["action"] not in ACTIONS:
        reasons.append(Reason(_NOT, f"{given['action']!r} is no action of the list", "Choose one", "action"))
    if (given.get("related") or given.get("expected")) and not access.may(by, "judge_adverse_event"):
        reasons.append(
            Reason(
                _NOT,
                "relatedness and expectedness are judged by a physician or the investigator",
                "Leave both open; they judge them on this page",
                "related",
                "forbidden-judgement",
            )
        )
    try:
        found = check_adverse_event(given, now=at)
    except Refused as refused:
        raise Refused([*reasons, *refused.reasons]) from None
    if reasons:
        raise Refused(reasons)
    if found.ended_at is not None and found.ended_at > at:
        raise refuse(_NOT, "it would end in the future", "Leave the end empty while it lasts", where="ended_at")
    return found


def _payload(found: AdverseEvent, state: Course) -> dict[str, Any]:
    zone = zone_of(state.site)
    session = _session(found.began_at, state)
    before = [at for at in _doses(state) if at <= found.began_at]
    last = max(before).astimezone(zone).date() if before else None
    window = window_of(found.began_at.astimezone(zone).date(), last, alert_files.windows())
    payload: dict[str, Any] = {
        "term": found.term,
        "began_at": found.began_at.isoformat(),
        "ended_at": found.ended_at.isoformat() if found.ended_at else None,
        "grade": found.grade,
        "valence": found.valence,
        "serious": None if found.serious is None else sorted(found.serious),
        "related": found.related,
        "expected": found.expected,
        "outcome": found.outcome,
        "action": found.action,
        "visit": found.visit or session.get("visit", ""),
        "detail": {"window": window.id if window else None, **session},
    }
    if found.words.strip():
        payload["words"] = vault.sealer(state.participant)(found.words.strip())
    return payload


def _doses(state: Course) -> list[datetime]:
    return [datetime.fromisoformat(dose["at"]) for day in state.days.values() for dose in day.doses]


def _session(began_at: datetime, state: Course) -> dict[str, Any]:
    """The dosing day in which it began, with the whole minute since its first dose; empty on any other day."""
    for day in state.days.values():
        given = sorted(datetime.fromisoformat(dose["at"]) for dose in day.doses)
        over = day.released_at or day.stopped_at
        if given and given[0] <= began_at and (over is None or began_at <= over):
            zone = zone_of(state.site)
            if over is not None or began_at.astimezone(zone).date() == given[0].astimezone(zone).date():
                minute = int((began_at - given[0]).total_seconds() // 60)
                return {"visit": day.visit, "session": day.session, "minute": minute}
    return {}


def _call(writing: Writing, state: Course, found: AdverseEvent, entry: str, by: Actor, at: datetime) -> None:
    """Raise an alert for what somebody must look at today."""
    source = {"kind": "adverse_event", "adverse_event": entry}
    if found.is_serious:
        why = f"A serious adverse event was recorded: {found.term}"
        raise_in(writing, site=state.site, level="urgent", why=why, source=source, by=by, at=at)
    elif found.term in alert_files.watched_terms() or (found.grade or 0) >= 3:
        why = f"An adverse event that is watched was recorded: {found.term}"
        raise_in(writing, site=state.site, level="notify", why=why, source=source, by=by, at=at)
