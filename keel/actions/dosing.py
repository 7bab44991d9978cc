"""The dosing day: the room, the people in it, the dose that two people check, vital signs, release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from keel.actions.door import action, on_course
from keel.actions.safety import raise_in
from keel.actions.visits import hold, protocol_of, today_at
from keel.domain import access
from keel.domain.course import Course, DosingDay, fold
from keel.domain.dose import BY_WEIGHT, POURED, TYPES, Amount, amount, poured
from keel.domain.dose_rules import Given, check_dose
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.events import Actor, Event, new_id
from keel.domain.session import MOMENTS, ROOM_ITEMS, WITHDRAWN, after
from keel.domain.visit import arm_of, check_visit, readiness
from keel.domain.vitals import PLAUSIBLE, check_vitals
from keel.domain.watch import Crossing, Taken, blocks, crossings, supplemental_blocks
from keel.library import shelf
from keel.library.formulary_files import formulary
from keel.queries.dosing import company_missing, release_reasons, taken
from keel.records import journal, vault
from keel.records.journal import Recorded, Writing
from keel.records.models import DayRow, MembershipRow, MomentRow, PresenceRow, SessionRow, VitalsRow

LATEST_ENTRY = timedelta(minutes=5)
"""How far a device's clock may run ahead before its times are refused."""


@action("open_session")
def open_session(
    *, courses: Sequence[str], visit: str, room: str, on: date, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Open the dosing day of one person, or of a cohort that is dosed at the same time.

    The payload's `session` names the new session. Refused for a cohort that is not whole, or a second day of the same visit.
    """
    session = id or new_id()
    streams = [f"course:{course}" for course in courses]
    with journal.writing(f"session:{session}", *streams) as writing:
        if writing.answered(id):
            return writing.recorded()
        states = [_state(writing, course, by) for course in courses]
        _check_company(states)
        for state in states:
            _check_day(state, visit)
        payload = {
            "session": session,
            "site": states[0].site,
            "study": states[0].study,
            "cohort": states[0].cohort,
            "room": room.strip(),
            "on": on.isoformat(),
        }
        if not room.strip():
            raise refuse("The session was not opened", "no room is named", "Name the room")
        writing.append("session_opened", payload, by=by, at=at, id=id)
        for stream in streams:
            planned = {"session": session, "visit": visit, "on": on.isoformat()}
            writing.append("session_planned", planned, by=by, at=at, stream=stream)
        return writing.recorded()


def _state(writing: Writing, course: str, by: Actor) -> Course:
    state: Course | None = writing.state(fold, f"course:{course}")
    if state is None:
        raise access.not_here("open_session")
    access.check_course(by, "open_session", course=course, site=state.site)
    if state.ended:
        raise refuse("The session was not opened", f"{state.code} has ended", "Choose another course")
    return state


def _check_company(states: Sequence[Course]) -> None:
    if not states:
        raise refuse("The session was not opened", "it has nobody in it", "Choose one course, or a cohort")
    first = states[0]
    cohort = protocol_of(first).cohort
    if any((s.site, s.study, s.cohort) != (first.site, first.study, first.cohort) for s in states):
        raise refuse(
            "The session was not opened", "its people do not belong to one cohort", "Open a session for each cohort"
        )
    if len(states) > 1 and not first.cohort:
        raise refuse(
            "The session was not opened",
            "these people are no cohort",
            "Form the cohort first, or open one session each",
        )
    if cohort and cohort.same_time and first.cohort and len(states) < cohort.least:
        raise refuse(
            "The session was not opened",
            f"{len(states)} of a cohort of at least {cohort.least}, which is dosed at the same time",
            "Open the day for the whole cohort",
            code="cohort-size",
        )


def _check_day(state: Course, visit: str) -> None:
    protocol = protocol_of(state)
    found = protocol.visit(visit, arm_of(state, protocol))
    if found.kind != "dosing":
        raise refuse("The session was not opened", f"{found.label} is no dosing visit", "Choose a dosing visit")
    if visit in state.visits or visit in state.days:
        raise refuse(
            "The session was not opened",
            f"{found.label} of {state.code} is opened, held or missed already",
            "Reload",
            code="duplicate-visit",
        )


# ---- who is in the room ---------------------------------------------------------------------------


@action("note_presence")
def come_in(
    *,
    session: str,
    staff: str,
    by: Actor,
    at: datetime,
    watches: Sequence[str] = (),
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """A member of staff is in the room from now on; `watches` names the courses they watch (empty: all)."""
    with journal.writing(f"session:{session}") as writing:
        if writing.answered(id):
            return writing.recorded()
        row = _session(session, by, "note_presence")
        roles = set(
            MembershipRow.objects.filter(staff=staff, site=row.site, revoked_at=None).values_list("role", flat=True)
        )
        if not roles & {"facilitator", "physician"}:
            raise refuse(
                "The presence was not noted", "that person is no facilitator or physician here", "Choose another"
            )
        if PresenceRow.objects.filter(session=session, staff=staff, left_at=None).exists():
            raise refuse("The presence was not noted", "that person is in the room already", "Reload the page")
        role = "facilitator" if "facilitator" in roles else "physician"
        payload = {"staff": staff, "role": role, "watches": list(watches)}
        writing.append("came_in", payload, by=by, at=at, occurred_at=moment(occurred_at, at), id=id)
        return writing.recorded()


@action("note_presence")
def go_out(
    *, session: str, staff: str, by: Actor, at: datetime, occurred_at: datetime | None = None, id: str | None = None
) -> Recorded:
    """A member of staff leaves the room."""
    with journal.writing(f"session:{session}") as writing:
        if writing.answered(id):
            return writing.recorded()
        _session(session, by, "note_presence")
        if not PresenceRow.objects.filter(session=session, staff=staff, left_at=None).exists():
            raise refuse("The presence was not noted", "that person is not in the room", "Reload the page")
        writing.append("went_out", {"staff": staff}, by=by, at=at, occurred_at=moment(occurred_at, at), id=id)
        return writing.recorded()


def _session(session: str, by: Actor, what: str) -> SessionRow:
    row = SessionRow.objects.filter(id=session).first()
    if row is None:
        raise access.not_here(what)
    access.check_site(by, what, site=row.site)
    return row


def moment(occurred_at: datetime | None, at: datetime) -> datetime:
    """The time an entry is for: refused when it lies ahead."""
    if occurred_at is None:
        return at
    if occurred_at > at + LATEST_ENTRY:
        raise refuse(
            "The entry was not written",
            "its time lies ahead",
            "Set the clock of the device, or correct the time",
            code="future",
        )
    return occurred_at


# ---- one person's day ----------------------------------------------------------------------------


@action("arrive")
def arrive(
    *, course: str, visit: str, by: Actor, at: datetime, occurred_at: datetime | None = None, id: str | None = None
) -> Recorded:
    """The participant is here."""
    with on_course(course, by=by, what="arrive", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day = _day(state, visit)
        when = moment(occurred_at, at)
        if day.arrived_at:
            raise refuse("The arrival was not recorded", "the participant is here already", "Reload the page")
        if today_at(state.site, when) != day.on:
            raise refuse(
                "The arrival was not recorded", f"the day is planned for {day.on}", "Plan the session for today"
            )
        writing.append("arrived", {"visit": visit}, by=by, at=at, occurred_at=when, id=id)
        return writing.recorded()


def _day(state: Course, visit: str, when: datetime | None = None) -> DosingDay:
    """The day as it stands. What happened before the release may still be told after it: a tablet may have been away."""
    day = state.days.get(visit)
    if day is None:
        raise refuse("The entry was not written", f"no session is opened for {visit}", "Open the session first")
    if day.released_at and (when is None or when > day.released_at):
        raise refuse(
            "The entry was not written",
            "the participant was released",
            "Amend what stands, or note it at the next contact",
        )
    return day


@action("prepare_dose")
def prepare_dose(
    *,
    course: str,
    visit: str,
    substance: str,
    value: float | None,
    unit: str | None,
    lot: str,
    by: Actor,
    at: datetime,
    mg_per_ml: float | None = None,
    id: str | None = None,
) -> Recorded:
    """The first person prepares the dose: what, how much by the weight of that day, from which lot.

    `mg_per_ml` is what a millilitre of the lot holds, of a substance that is poured, and of no other. The payload shows
    the arithmetic. A second person confirms it before it can be given.
    """
    with on_course(course, by=by, what="prepare_dose", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day = _day(state, visit)
        named = _amount(value, unit)
        if missing := _not_agreed(day, "The supplemental dose was not prepared"):
            raise Refused(missing)
        _allowed(state, day, substance, named, at)
        if not lot.strip():
            raise refuse("The dose was not prepared", "no lot number is given", "Read it off the package")
        payload: dict[str, Any] = {
            "visit": visit,
            "substance": substance,
            "value": value,
            "unit": unit,
            "lot": lot.strip(),
        }
        payload |= _worked(state, day, named, mg_per_ml, at, poured_out=substance in POURED)
        payload["supplemental"] = bool(day.doses)
        writing.append("dose_prepared", payload, by=by, at=at, id=id)
        return writing.recorded()


def _worked(
    state: Course, day: DosingDay, named: Amount | None, mg_per_ml: float | None, at: datetime, *, poured_out: bool
) -> dict[str, Any]:
    """What is measured out, with its sum: milligrams, and of a liquid the millilitres of this lot."""
    if mg_per_ml is not None and not poured_out:
        raise refuse(
            "The dose was not prepared",
            "this substance is not poured, and a strength in mg per mL was named",
            "Leave the strength out",
            code="wrong-unit",
        )
    if named is None:
        return {}
    weight = _weight(state, day, at) if named.unit in BY_WEIGHT else None
    worked = named.worked(weight)
    if not poured_out:
        return {"given_mg": float(worked.mg), "arithmetic": worked.text}
    measured = poured(worked, mg_per_ml, weight)
    return {
        "given_mg": float(worked.mg),
        "arithmetic": measured.text,
        "mg_per_ml": mg_per_ml,
        "given_ml": float(measured.ml),
    }


def _amount(value: float | None, unit: str | None) -> Amount | None:
    if unit is None or value is None:
        return None
    known = next((each for each in TYPES if each == unit), None)
    if known is None:
        raise refuse(
            "The dose was not prepared",
            f"{unit!r} is no unit we dose in",
            "Use mg, mg per kg, mg per 70 kg, or µg",
            code="wrong-unit",
        )
    return amount(value, known)


def _allowed(state: Course, day: DosingDay, substance: str, named: Amount | None, at: datetime) -> None:
    protocol = protocol_of(state)
    before = [
        Given(d["substance"], amount(d["amount"], d["unit"]), _minutes(day.doses[0], d))
        for d in day.doses
        if d.get("unit")
    ]
    minute = int((at - datetime.fromisoformat(day.doses[0]["at"])).total_seconds() // 60) if day.doses else 0
    check_dose(
        protocol, day.visit, arm_of(state, protocol), substance=substance, amount=named, before=before, minute=minute
    )


def _minutes(first: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    return int((datetime.fromisoformat(other["at"]) - datetime.fromisoformat(first["at"])).total_seconds() // 60)


def _weight(state: Course, day: DosingDay, at: datetime) -> float:
    weight = state.facts.get("weight_kg")
    if weight is None or weight["value"] is None or weight["on"] != day.on.isoformat():
        raise refuse(
            "The dose was not prepared",
            "it depends on the body weight of that day, and none was recorded today",
            "Weigh the participant and record the weight",
            code="weight-unknown",
        )
    return float(weight["value"])


@action("confirm_dose")
def confirm_dose(*, course: str, visit: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """A second person has checked substance, amount, arithmetic and lot."""
    with on_course(course, by=by, what="confirm_dose", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day = _day(state, visit)
        if day.prepared is None:
            raise refuse("The dose was not confirmed", "none is prepared", "Prepare it first")
        if day.prepared["by"] == by.id:
            raise refuse(
                "The dose was not confirmed",
                "you prepared it yourself",
                "A second person checks it",
                code="same-person",
            )
        writing.append("dose_confirmed", {"visit": visit}, by=by, at=at, id=id)
        return writing.recorded()


@action("agree_supplement")
def agree_supplement(
    *, course: str, visit: str, agreed: bool, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """What the participant answers, sober, to whether a supplemental dose may be offered. A yes can become a no later."""
    with on_course(course, by=by, what="agree_supplement", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day, protocol, what = _day(state, visit), protocol_of(state), "The answer was not recorded"
        if not protocol.has_supplement(visit):
            raise refuse(what, "the protocol has no supplemental dose at this visit", "Nothing is to be asked")
        if agreed and day.doses:
            raise refuse(
                what,
                "the participant is under the medicine, and a supplemental dose is agreed on sober",
                "Give none; a no can be recorded at any time",
                code="supplement-widened",
            )
        writing.append("supplement_agreed", {"visit": visit, "agreed": agreed}, by=by, at=at, id=id)
        return writing.recorded()


def _not_agreed(day: DosingDay, what: str) -> list[Reason]:
    """Why no supplemental dose may be prepared or given: nobody said yes to it sober."""
    if not day.doses or day.supplement_agreed:
        return []
    asked = "the participant declined it" if day.supplement_agreed is False else "nobody asked the participant sober"
    return [Reason(what, asked, "Give none today", "", "supplement-not-agreed")]


@action("give_dose")
def give_dose(
    *, course: str, visit: str, by: Actor, at: datetime, occurred_at: datetime | None = None, id: str | None = None
) -> Recorded:
    """The prepared and confirmed dose is given. Everything that the readiness gate asks for is asked again."""
    with on_course(course, by=by, what="give_dose", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day = _day(state, visit)
        when = moment(occurred_at, at)
        agreed = _not_agreed(day, "The supplemental dose")
        reasons = [*agreed, *_not_ready(state, day), *_vitals_against(state, day, when)]
        if reasons:
            raise Refused(
                [Reason("The dose was not given", f"{r.what}: {r.why}", r.mend, code=r.code) for r in reasons]
            )
        prepared = dict(day.prepared or {})
        _allowed(state, day, prepared["substance"], _amount(prepared["value"], prepared["unit"]), when)
        payload = {
            "visit": visit,
            "substance": prepared["substance"],
            "amount": prepared["value"] if prepared["value"] is not None else 0,
            "unit": prepared["unit"] or "",
            "given_mg": prepared.get("given_mg"),
            "arithmetic": prepared.get("arithmetic", ""),
            "lot": prepared["lot"],
            "supplemental": prepared["supplemental"],
            "confirmed_by": day.confirmed["by"] if day.confirmed else "",
        }
        payload |= {name: prepared[name] for name in ("mg_per_ml", "given_ml") if name in prepared}
        writing.append("dose_given", payload, by=by, at=at, occurred_at=when, id=id)
        return writing.recorded()


def _not_ready(state: Course, day: DosingDay) -> list[Reason]:
    found: list[Reason] = []
    if not day.arrived_at:
        found.append(Reason("The participant", "has not arrived", "Record the arrival"))
    if day.stopped_at:
        found.append(Reason("The session", "was stopped", "Nothing more is given today"))
    if day.prepared is None:
        found.append(Reason("The dose", "is not prepared", "Prepare it"))
    if day.confirmed is None:
        found.append(Reason("The check by two", "nobody confirmed the dose", "A second person checks it"))
    if not day.doses:
        found += readiness(state, protocol_of(state), day.visit, day.on, shelf=shelf.ids("instruments"))
        found += company_missing(state, day)
    return found


def _vitals_against(state: Course, day: DosingDay, when: datetime) -> tuple[Reason, ...]:
    vitals = protocol_of(state).vitals
    measured = taken(state.id, day.visit)
    if day.doses:
        return supplemental_blocks(vitals, measured, at=when)
    if vitals is None:
        return ()
    what, mend = "The dose", "Wait and measure again; a physician decides"
    return blocks(vitals.thresholds, measured, "hold_dose", what=what, mend=mend, dosed=False)


@action("record_vitals")
def record_vitals(
    *,
    course: str,
    visit: str,
    by: Actor,
    at: datetime,
    systolic_mmhg: int | None = None,
    diastolic_mmhg: int | None = None,
    heart_rate_bpm: int | None = None,
    temperature_c: float | None = None,
    spo2_percent: int | None = None,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Record one set of vital signs; what cannot be a reading is refused.

    A limit whose consequence is the physician or an emergency raises an alert as it begins to stand, once.
    """
    found = check_vitals(
        {
            "systolic_mmhg": systolic_mmhg,
            "diastolic_mmhg": diastolic_mmhg,
            "heart_rate_bpm": heart_rate_bpm,
            "temperature_c": temperature_c,
            "spo2_percent": spo2_percent,
        }
    )
    with on_course(course, by=by, what="record_vitals", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        when = moment(occurred_at, at)
        day, before = _day(state, visit, when), taken(course, visit)
        writing.append("vitals_recorded", {"visit": visit, **found}, by=by, at=at, occurred_at=when, id=id)
        for crossed in _newly_grave(state, day, before, Taken(when, found)):
            source = {"kind": "vitals", "visit": visit, "threshold": crossed.threshold.id}
            why = f"{crossed.says} on the dosing day. {crossed.threshold.because}"
            raise_in(writing, site=state.site, level="urgent", why=why, source=source, by=by, at=at)
        return writing.recorded()


def _newly_grave(state: Course, day: DosingDay, before: Sequence[Taken], new: Taken) -> list[Crossing]:
    """The limits that call for the physician or for help and did not stand before this reading."""
    vitals = protocol_of(state).vitals
    if vitals is None:
        return []
    limits = [t for t in vitals.thresholds if t.does in ("call_physician", "emergency")]
    stood = {c.threshold.id for c in crossings(limits, before, dosed=bool(day.doses)) if c.stands}
    now = crossings(limits, [*before, new], dosed=bool(day.doses))
    return [c for c in now if c.stands and c.threshold.id not in stood]


@action("note_moment")
def note_moment(
    *,
    course: str,
    visit: str,
    kind: str,
    by: Actor,
    at: datetime,
    words: str = "",
    detail: Mapping[str, Any] | None = None,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Note something that happened to one person on the day (a key of MOMENTS), with words where they help."""
    _check_moment(kind)
    with on_course(course, by=by, what="note_moment", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        when = moment(occurred_at, at)
        day = _day(state, visit, when)
        payload: dict[str, Any] = {"visit": visit, "session": day.session, "kind": kind, "detail": dict(detail or {})}
        if words.strip():
            payload["words"] = vault.sealer(state.participant)(words.strip())
        writing.append("moment_noted", payload, by=by, at=at, occurred_at=when, id=id)
        return writing.recorded()


@action("note_moment")
def note_room(
    *,
    session: str,
    kind: str,
    by: Actor,
    at: datetime,
    detail: Mapping[str, Any] | None = None,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Note something of the room that everybody in it shares: light, noise, music. Never words about a person."""
    _check_moment(kind)
    with journal.writing(f"session:{session}") as writing:
        if writing.answered(id):
            return writing.recorded()
        _session(session, by, "note_moment")
        payload = {"session": session, "kind": kind, "detail": dict(detail or {})}
        writing.append("moment_noted", payload, by=by, at=at, occurred_at=moment(occurred_at, at), id=id)
        return writing.recorded()


def _check_moment(kind: str) -> None:
    if kind not in MOMENTS:
        raise refuse("The entry was not written", f"{kind!r} is none we know", f"Choose of: {', '.join(MOMENTS)}")


@action("note_moment")
def reach(
    *,
    course: str,
    visit: str,
    step: str,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """The person comes into the next phase (a step of domain/session.py that gives nothing: reach_onset, go_back, …)."""
    if not step.startswith(("reach_", "begin_release", "go_back")):
        raise refuse("The phase was not noted", f"{step!r} has its own action", "Use that")
    with on_course(course, by=by, what="note_moment", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        _day(state, visit)
        row = DayRow.objects.get(id=f"{course}/{visit}")
        payload = {"visit": visit, "step": step, "state": after(row.state, step)}
        writing.append("phase_reached", payload, by=by, at=at, occurred_at=moment(occurred_at, at), id=id)
        return writing.recorded()


@action("sign_release_item")
def sign_release_item(
    *,
    course: str,
    visit: str,
    item: str,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Sign one line of the release checklist."""
    with on_course(course, by=by, what="sign_release_item", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day = _day(state, visit)
        if item not in {i.id for i in protocol_of(state).release.items}:
            raise refuse("The line was not signed", f"the checklist has no line {item!r}", "Reload the page")
        if item in day.signed:
            raise refuse("The line was not signed", "it is signed already", "Reload the page")
        if not day.doses and not day.stopped_at:
            raise refuse("The line was not signed", "no dose was given yet", "Sign it before the release")
        when = moment(occurred_at, at)
        writing.append("release_item_signed", {"visit": visit, "item": item}, by=by, at=at, occurred_at=when, id=id)
        return writing.recorded()


@action("release")
def release(*, course: str, visit: str, by: Actor, at: datetime, notes: str = "", id: str | None = None) -> Recorded:
    """Release the participant; the visit counts as held. Refused before the rule allows it, with what is missing."""
    with on_course(course, by=by, what="release", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day = _day(state, visit)
        reasons = release_reasons(state, day, at)
        if reasons:
            raise Refused(reasons)
        now = DayRow.objects.get(id=f"{course}/{visit}").state
        if now != "release_check":
            step = {"visit": visit, "step": "begin_release", "state": after(now, "begin_release")}
            writing.append("phase_reached", step, by=by, at=at)
        writing.append("released", {"visit": visit}, by=by, at=at, id=id)
        _hold(writing, state, day, by, at, notes)
        return writing.recorded()


def _hold(writing: Writing, state: Course, day: DosingDay, by: Actor, at: datetime, notes: str = "") -> None:
    """Count the visit as held. Nobody is kept in the room by a formality, such as a consent withdrawn on the day."""
    minutes = min(max(1, int((at - (day.arrived_at or at)).total_seconds() // 60)), 24 * 60)
    try:
        check_visit(state, protocol_of(state), day.visit, day.on, today=today_at(state.site, at))
    except Refused:
        return
    hold(writing, state, visit=day.visit, on=day.on, by=by, at=at, minutes=minutes, notes=notes)


@action("stop_session")
def stop_session(
    *,
    course: str,
    visit: str,
    words: str,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Stop one person's session, with the reason. Release, or transfer, follows."""
    return _end(course, visit, "stop", "session_stopped", words, {}, by, at, occurred_at, id)


@action("transfer")
def transfer(
    *,
    course: str,
    visit: str,
    to: str,
    words: str,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """Hand the person over to another place of care: where to (never a name), and why. The visit counts as held."""
    if not to.strip():
        raise refuse("The transfer was not recorded", "it does not say where to", "Name the place of care")
    return _end(course, visit, "transfer", "transferred", words, {"to": to.strip()}, by, at, occurred_at, id)


_ENDS = {"stop": "The session was not stopped", "transfer": "The transfer was not recorded"}


def _end(
    course: str,
    visit: str,
    step: str,
    kind: str,
    words: str,
    more: Mapping[str, Any],
    by: Actor,
    at: datetime,
    occurred_at: datetime | None,
    id: str | None,
) -> Recorded:
    what = "stop_session" if step == "stop" else "transfer"
    if not words.strip():
        raise refuse(_ENDS[step], "no reason is given", "Write one sentence")
    with on_course(course, by=by, what=what, id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day, when = _day(state, visit), moment(occurred_at, at)
        after(DayRow.objects.get(id=f"{course}/{visit}").state, step)
        payload = {"visit": visit, **more, "words": vault.sealer(state.participant)(words.strip())}
        writing.append(kind, payload, by=by, at=at, occurred_at=when, id=id)
        if step == "transfer":
            _hold(writing, state, day, by, at)
        return writing.recorded()


@action("note_moment")
def sign_note(*, course: str, visit: str, words: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """A facilitator's own note of the day, signed by writing it; also after the release, when the day itself is closed."""
    what = "The note was not signed"
    if not words.strip():
        raise refuse(what, "there are no words yet", "Write them, then sign")
    if len(words) > 20_000:
        raise refuse(what, f"{len(words)} characters are more than one note holds", "Divide it in two")
    with on_course(course, by=by, what="note_moment", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        if visit not in state.days:
            raise refuse(what, f"no session is opened for {visit}", "Open the session first")
        payload = {"visit": visit, "words": vault.sealer(state.participant)(words.strip())}
        writing.append("note_written", payload, by=by, at=at, id=id)
        return writing.recorded()


# ---- rescue medicines ------------------------------------------------------------------------------


@action("order_rescue")
def order_rescue(
    *,
    course: str,
    visit: str,
    medicine: str,
    dose: str,
    words: str,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """The first signature: which medicine of the site's list, how much and why. A second person gives it.

    `dose` is said by whoever orders, with its unit: the list of the house holds none, because none was read in a source.
    """
    listed = formulary()
    if medicine not in listed:
        raise refuse(
            "The medicine was not ordered", f"{medicine!r} is not on the site's list", f"Choose of: {', '.join(listed)}"
        )
    if not dose.strip() or not any(c.isdigit() for c in dose):
        raise refuse("The medicine was not ordered", "its dose is not named", "Write the amount with its unit")
    if not words.strip():
        raise refuse("The medicine was not ordered", "no reason is given", "Write one sentence")
    with on_course(course, by=by, what="order_rescue", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day, when = _day(state, visit), moment(occurred_at, at)
        seal = vault.sealer(state.participant)
        detail = {"medicine": medicine, "name": listed[medicine].name, "dose": dose.strip()}
        payload = {"visit": visit, "session": day.session, "detail": detail, "words": seal(words.strip())}
        writing.append("rescue_ordered", payload, by=by, at=at, occurred_at=when, id=id)
        return writing.recorded()


@action("give_rescue")
def give_rescue(
    *,
    course: str,
    visit: str,
    order: str,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    id: str | None = None,
) -> Recorded:
    """The second signature: another person checked the order and gave it. An alert asks for the adverse event."""
    with on_course(course, by=by, what="give_rescue", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        day, when = _day(state, visit), moment(occurred_at, at)
        ordered = MomentRow.objects.filter(id=order, course=course, visit=visit, kind="rescue_ordered").first()
        if ordered is None:
            raise refuse("The medicine was not recorded", "there is no such order", "Reload the page")
        if MomentRow.objects.filter(course=course, kind="rescue_given", detail__order=order).exists():
            raise refuse("The medicine was not recorded", "this order was carried out already", "Order again")
        if ordered.by == by.id:
            raise refuse(
                "The medicine was not recorded",
                "you ordered it yourself",
                "A second person checks and gives it",
                code="same-person",
            )
        detail = {**ordered.detail, "order": order, "ordered_by": ordered.by}
        payload = {"visit": visit, "session": day.session, "detail": detail}
        writing.append("rescue_given", payload, by=by, at=at, occurred_at=when, id=id)
        why = f"{ordered.detail['name']} was given on the dosing day: report it as an adverse event"
        source = {"kind": "rescue", "visit": visit, "order": order}
        raise_in(writing, site=state.site, level="notify", why=why, source=source, by=by, at=at)
        return writing.recorded()


# ---- correcting and describing ----------------------------------------------------------------------


@action("amend")
def amend_entry(
    *,
    course: str,
    entry: str,
    reason: str,
    by: Actor,
    at: datetime,
    occurred_at: datetime | None = None,
    values: Mapping[str, float] | None = None,
    id: str | None = None,
) -> Recorded:
    """Correct the time of an entry of the day (vital signs or a moment), or the readings of a set of vital signs.

    The first entry stays in the record; the reason is kept with the correction.
    """
    with on_course(course, by=by, what="amend", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        what = "Nothing was amended"
        kind, first = _entry_of_the_day(state, entry, what)
        if not reason.strip():
            raise refuse(what, "no reason is given", "Say why the first entry was wrong")
        if MomentRow.objects.filter(id=entry, kind=WITHDRAWN).exists():
            raise refuse("Nothing was amended", "the entry was taken back", "Enter it anew if it did happen")
        if values and kind != "vitals_recorded":
            raise refuse("Nothing was amended", "this entry has no readings", "Correct its time, or note it anew")
        when = moment(occurred_at, at) if occurred_at else _stands_at(entry, kind)
        payload = {**first.payload, **_readings_now(entry, kind), "amended": True}
        if values:
            payload = {"visit": first.payload["visit"], **check_vitals(values), "amended": True}
        said = {
            "corrects": entry,
            "kind": kind,
            "payload": payload,
            "reason": vault.sealer(state.participant)(reason.strip()),
            "occurred_at": when.isoformat(),
        }
        writing.append("amended", said, by=by, at=at, id=id)
        return writing.recorded()


def _entry_of_the_day(state: Course, entry: str, what: str) -> tuple[str, Event]:
    """The kind and the event of vital signs or a moment of this course; refused, as `what`, where it is neither."""
    kind, first = state.kinds.get(entry, ""), journal.event(entry)
    if first is None or kind not in ("vitals_recorded", "moment_noted"):
        raise refuse(what, "the course has no such entry", "Reload the page", code="not-found")
    return kind, first


@action("amend")
def withdraw_entry(*, course: str, entry: str, reason: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Take back vital signs or a moment of the day that did not happen: a wrong tap, a reading of somebody else.

    The first entry stays in the record with the reason; it counts no more in limits, times and reports.
    """
    with on_course(course, by=by, what="amend", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        what = "Nothing was taken back"
        kind, first = _entry_of_the_day(state, entry, what)
        if not reason.strip():
            raise refuse(what, "no reason is given", "Say why it did not happen")
        if MomentRow.objects.filter(id=entry, kind=WITHDRAWN).exists():
            raise refuse("Nothing was taken back", "the entry was taken back already", "Reload the page")
        said = {
            "corrects": entry,
            "kind": kind,
            "payload": {**first.payload, "amended": True, "withdrawn": True},
            "reason": vault.sealer(state.participant)(reason.strip()),
            "occurred_at": _stands_at(entry, kind).isoformat(),
        }
        writing.append("amended", said, by=by, at=at, id=id)
        return writing.recorded()


@action("amend")
def amend_room_entry(
    *, session: str, entry: str, reason: str, by: Actor, at: datetime, occurred_at: datetime, id: str | None = None
) -> Recorded:
    """Correct the time of what the room shares: light, noise, music, or who came in or left.

    The first entry stays in the record with the reason. Refused where somebody would leave before they came in.
    """
    with journal.writing(f"session:{session}") as writing:
        if writing.answered(id):
            return writing.recorded()
        what, when = "Nothing was amended", moment(occurred_at, at)
        first = _entry_of_the_room(session, entry, reason, by, what)
        if stay := _stay_of(first, what):
            came, left = (when, stay.left_at) if first.kind == "came_in" else (stay.came_at, when)
            _check_stay(stay, came, left, what)
        said = _correction(first, {**first.payload, "amended": True}, reason, when)
        writing.append("amended", said, by=by, at=at, id=id)
        return writing.recorded()


@action("amend")
def withdraw_room_entry(
    *, session: str, entry: str, reason: str, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Take back what the room shares and what did not happen. Whoever did not come in did not leave either;
    whoever did not leave is still there. The first entry stays in the record with the reason.
    """
    with journal.writing(f"session:{session}") as writing:
        if writing.answered(id):
            return writing.recorded()
        what = "Nothing was taken back"
        first = _entry_of_the_room(session, entry, reason, by, what)
        stay, when = _stay_of(first, what), first.occurred_at
        if stay is None:
            when = _stands_at(entry, first.kind)
        elif first.kind == "went_out":
            _check_stay(stay, stay.came_at, None, what)
            when = stay.left_at or when
        else:
            when = stay.came_at
        said = _correction(first, {**first.payload, "amended": True, "withdrawn": True}, reason, when)
        writing.append("amended", said, by=by, at=at, id=id)
        return writing.recorded()


def _entry_of_the_room(session: str, entry: str, reason: str, by: Actor, what: str) -> Event:
    """The first event of an entry that the room shares; refused, as `what`, where there is none or it was taken back."""
    _session(session, by, "amend")
    first = journal.event(entry)
    of_the_room = first is not None and first.stream == f"session:{session}"
    if first is None or not of_the_room or first.kind not in ("moment_noted", "came_in", "went_out"):
        raise refuse(what, "the room has no such entry", "Reload the page", code="not-found")
    if not reason.strip():
        raise refuse(what, "no reason is given", "Say why the first entry was wrong")
    if MomentRow.objects.filter(id=entry, kind=WITHDRAWN).exists():
        raise refuse(what, "the entry was taken back already", "Enter it anew if it did happen")
    return first


def _correction(first: Event, payload: Mapping[str, Any], reason: str, when: datetime) -> dict[str, Any]:
    """The room's entries hold no words about a person, and neither does the reason: it is not sealed."""
    return {
        "corrects": first.id,
        "kind": first.kind,
        "payload": payload,
        "reason": reason.strip()[:200],
        "occurred_at": when.isoformat(),
    }


def _stay_of(first: Event, what: str) -> PresenceRow | None:
    """The stay that a coming in began or a leaving ended; None for what is neither."""
    if first.kind == "moment_noted":
        return None
    sought = {"id": first.id} if first.kind == "came_in" else {"left_entry": first.id}
    stay = PresenceRow.objects.filter(**sought).first()
    if stay is None:
        raise refuse(what, "the stay that it ended was taken back", "Reload the page")
    return stay


def _check_stay(stay: PresenceRow, came_at: datetime, left_at: datetime | None, what: str) -> None:
    if left_at is not None and left_at < came_at:
        raise refuse(what, "the leaving would lie before the coming in", "Correct the other time first")
    for other in PresenceRow.objects.filter(session=stay.session, staff=stay.staff).exclude(id=stay.id):
        if (left_at is None or other.came_at < left_at) and (other.left_at is None or came_at < other.left_at):
            why = "the same person would be in the room twice at the same time"
            raise refuse(what, why, "Correct or take back the other stay first")


def _stands_at(entry: str, kind: str) -> datetime:
    rows = VitalsRow.objects if kind == "vitals_recorded" else MomentRow.objects
    stands: datetime = rows.get(id=entry).at
    return stands


def _readings_now(entry: str, kind: str) -> dict[str, Any]:
    """The readings as an earlier correction left them."""
    if kind != "vitals_recorded":
        return {}
    row = VitalsRow.objects.get(id=entry)
    return {m: v for m in PLAUSIBLE if (v := getattr(row, m)) is not None}


@action("describe_room")
def describe_room(
    *, site: str, room: str, profile: Mapping[str, str], by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Describe a room once for every session in it (keys of ROOM_ITEMS); what changes on a day is noted there."""
    access.check_site(by, "describe_room", site=site)
    unknown = [name for name in profile if name not in ROOM_ITEMS]
    if unknown or not room.strip():
        why = f"{unknown[0]!r} is none we describe" if unknown else "no room is named"
        raise refuse("The room was not described", why, f"Use: {', '.join(ROOM_ITEMS)}")
    with journal.writing(f"site:{site}") as writing:
        if writing.answered(id):
            return writing.recorded()
        said = {name: text.strip()[:2_000] for name, text in profile.items() if text.strip()}
        if not said:
            raise refuse("The room was not described", "nothing is said of it", "Fill in at least one line")
        writing.append("room_described", {"room": room.strip(), "profile": said}, by=by, at=at, id=id)
        return writing.recorded()
