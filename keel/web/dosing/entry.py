"""What the board can write: one line per kind, from the fields of a form or of an outbox's entry to an action.

The forms of the board and the entries of the outbox carry the same kinds and the same fields, so that a page without
scripts, a page in a dead network and a page with both do the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keel.actions import dosing, preparation
from keel.actions.preparation import TOUCH_AREAS
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.domain.vitals import PLAUSIBLE
from keel.queries import dosing as days

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One thing to be written: `course` is empty for what the whole room shares."""

    session: str
    kind: str
    course: str
    fields: Fields
    id: str | None = None
    occurred_at: datetime | None = None


def write(entry: Entry, *, by: Actor, at: datetime) -> None:
    """Write one entry; Refused with reasons where a rule says no. The same id again changes nothing."""
    if entry.kind in _OF_ROOM:
        _OF_ROOM[entry.kind](entry, by, at)
        return
    if entry.kind not in _OF_PERSON:
        known = ", ".join((*_OF_ROOM, *_OF_PERSON))
        raise refuse("The entry was not written", f"{entry.kind!r} is none we know", f"Send one of: {known}")
    visit = days.visit_in(session=entry.session, course=entry.course, by=by)
    _OF_PERSON[entry.kind](entry, visit, by, at)


def _text(entry: Entry, name: str) -> str:
    value = entry.fields.get(name, "")
    return value.strip() if isinstance(value, str) else str(value)


def _number(entry: Entry, name: str, whole: bool = False) -> float | None:
    """A number as it was typed, also with a decimal comma; None when the field was left empty."""
    text = _text(entry, name).replace(",", ".")
    if not text or text == "None":
        return None
    try:
        value = float(text)
        if whole and value != int(value):
            raise ValueError
        return int(value) if whole else value
    except (ValueError, OverflowError):
        kind = "whole number" if whole else "number"
        raise refuse("The entry was not written", f"{text[:40]!r} is no {kind}", "Write it in digits") from None


def _room(entry: Entry, by: Actor, at: datetime) -> None:
    said = {name: _text(entry, name)[:200] for name in ("piece", "said", "step") if _text(entry, name)}
    dosing.note_room(
        session=entry.session,
        kind=_text(entry, "moment") or "room",
        detail=said,
        by=by,
        at=at,
        occurred_at=entry.occurred_at,
        id=entry.id,
    )


def _come_in(entry: Entry, by: Actor, at: datetime) -> None:
    watches = entry.fields.get("watches") or []
    dosing.come_in(
        session=entry.session,
        staff=_text(entry, "staff"),
        watches=[watches] if isinstance(watches, str) else list(map(str, watches)),
        by=by,
        at=at,
        occurred_at=entry.occurred_at,
        id=entry.id,
    )


def _go_out(entry: Entry, by: Actor, at: datetime) -> None:
    dosing.go_out(
        session=entry.session,
        staff=_text(entry, "staff"),
        by=by,
        at=at,
        occurred_at=entry.occurred_at,
        id=entry.id,
    )


def _correct_room(entry: Entry, by: Actor, at: datetime) -> None:
    if entry.occurred_at is None:
        raise refuse("Nothing was amended", "no time is given", "Write the time at which it was")
    dosing.amend_room_entry(**_of_room(entry, by, at), occurred_at=entry.occurred_at)


def _of_room(entry: Entry, by: Actor, at: datetime) -> dict[str, Any]:
    said = {"entry": _text(entry, "entry"), "reason": _text(entry, "reason")}
    return {"session": entry.session, **said, "by": by, "at": at, "id": entry.id}


_OF_ROOM: dict[str, Callable[[Entry, Actor, datetime], None]] = {
    "room": _room,
    "come_in": _come_in,
    "go_out": _go_out,
    "correct_room": _correct_room,
    "withdraw_room": lambda e, by, at: _done(dosing.withdraw_room_entry(**_of_room(e, by, at))),
}


def _vitals(entry: Entry, visit: str, by: Actor, at: datetime) -> None:
    whole: dict[str, Any] = {m: _number(entry, m, whole=m != "temperature_c") for m in PLAUSIBLE}
    dosing.record_vitals(**_on(entry, visit, by, at), **whole)


def _moment(entry: Entry, visit: str, by: Actor, at: datetime) -> None:
    kind = _text(entry, "moment")
    words = _text(entry, "words")
    if kind in ("note", "said") and not words:
        raise refuse("The entry was not written", "there are no words yet", "Write them, then save")
    dosing.note_moment(**_on(entry, visit, by, at), kind=kind, words=words)


def _agree_supplement(entry: Entry, visit: str, by: Actor, at: datetime) -> None:
    answer = _text(entry, "agreed")
    if answer not in ("yes", "no"):
        raise refuse("The answer was not recorded", f"{answer!r} is no answer", "Choose yes or no")
    dosing.agree_supplement(course=entry.course, visit=visit, agreed=answer == "yes", by=by, at=at, id=entry.id)


def _confirm(entry: Entry, visit: str, by: Actor, at: datetime) -> None:
    dosing.confirm_dose(course=entry.course, visit=visit, by=by, at=at, id=entry.id)


def _prepare(entry: Entry, visit: str, by: Actor, at: datetime) -> None:
    dosing.prepare_dose(
        course=entry.course,
        visit=visit,
        substance=_text(entry, "substance"),
        value=_number(entry, "value"),
        unit=_text(entry, "unit") or None,
        lot=_text(entry, "lot"),
        mg_per_ml=_number(entry, "mg_per_ml"),
        by=by,
        at=at,
        id=entry.id,
    )


def _release(entry: Entry, visit: str, by: Actor, at: datetime) -> None:
    dosing.release(course=entry.course, visit=visit, notes=_text(entry, "notes"), by=by, at=at, id=entry.id)


def _touch(entry: Entry, visit: str, by: Actor, at: datetime) -> None:
    """What is welcome from now on. Under the medicine it can only become less."""
    chosen = entry.fields.get("areas") or []
    welcome = {chosen} if isinstance(chosen, str) else set(map(str, chosen))
    areas = {area: area in welcome for area in TOUCH_AREAS}
    preparation.agree_touch(
        course=entry.course, areas=areas, words=_text(entry, "words"), by=by, at=at, id=entry.id
    )  # fmt: skip


def _correct(entry: Entry, visit: str, by: Actor, at: datetime) -> None:
    dosing.amend_entry(
        course=entry.course,
        entry=_text(entry, "entry"),
        reason=_text(entry, "reason"),
        by=by,
        at=at,
        occurred_at=entry.occurred_at,
        id=entry.id,
    )


def _withdraw(entry: Entry, visit: str, by: Actor, at: datetime) -> None:
    dosing.withdraw_entry(
        course=entry.course, entry=_text(entry, "entry"), reason=_text(entry, "reason"), by=by, at=at, id=entry.id
    )


def _on(entry: Entry, visit: str, by: Actor, at: datetime) -> dict[str, Any]:
    return {
        "course": entry.course,
        "visit": visit,
        "by": by,
        "at": at,
        "occurred_at": entry.occurred_at,
        "id": entry.id,
    }


_OF_PERSON: dict[str, Callable[[Entry, str, Actor, datetime], None]] = {
    "arrive": lambda e, v, by, at: _done(dosing.arrive(**_on(e, v, by, at))),
    "vitals": _vitals,
    "moment": _moment,
    "reach": lambda e, v, by, at: _done(dosing.reach(**_on(e, v, by, at), step=_text(e, "step"))),
    "prepare_dose": _prepare,
    "agree_supplement": _agree_supplement,
    "confirm_dose": _confirm,
    "give_dose": lambda e, v, by, at: _done(dosing.give_dose(**_on(e, v, by, at))),
    "order_rescue": lambda e, v, by, at: _done(
        dosing.order_rescue(
            **_on(e, v, by, at), medicine=_text(e, "medicine"), dose=_text(e, "dose"), words=_text(e, "words")
        )
    ),
    "give_rescue": lambda e, v, by, at: _done(dosing.give_rescue(**_on(e, v, by, at), order=_text(e, "order"))),
    "touch": _touch,
    "sign": lambda e, v, by, at: _done(dosing.sign_release_item(**_on(e, v, by, at), item=_text(e, "item"))),
    "release": _release,
    "stop": lambda e, v, by, at: _done(dosing.stop_session(**_on(e, v, by, at), words=_text(e, "words"))),
    "transfer": lambda e, v, by, at: _done(
        dosing.transfer(**_on(e, v, by, at), to=_text(e, "to"), words=_text(e, "words"))
    ),
    "correct": _correct,
    "withdraw": _withdraw,
}


def _done(recorded: object) -> None:
    """The record has it; the board reads it from there."""
