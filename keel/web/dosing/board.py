"""The board of a session: one to four people, plain forms that the outbox takes over where there are scripts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from keel.actions.preparation import TOUCH_AREAS
from keel.domain import access
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor, new_id
from keel.domain.session import MOMENTS
from keel.queries import dosing as days
from keel.queries.dosing import Board
from keel.web.dosing import entry as entries
from keel.web.dosing.entry import Entry
from keel.web.layout.charts import Spark, sparkline
from keel.web.layout.page import malformed, page, status_of
from keel.web.live.stream import ticket

TAPS = ("water", "bathroom", "reassurance", "touch_offered", "touch_given", "nausea", "distress", "silence", "insight")
MORE_TAPS = ("tears", "laughter", "food", "vomiting", "headache")
LINES = 20
"""How many of the newest lines of a log the board shows: a day of readings each minute has six hundred."""
_SPARKS = {
    "systolic_mmhg": "systolic",
    "diastolic_mmhg": "diastolic",
    "heart_rate_bpm": "heart",
    "temperature_c": "temperature",
    "spo2_percent": "heart",
}
# Kinds of MOMENTS and the vital signs: their times can be corrected.
_CORRECTABLE = frozenset({"vitals_recorded", "came_in", "went_out", *MOMENTS})
_CLOCK_OFF = timedelta(seconds=60)


@page("see_session", methods=("GET", "POST"))
def board(request: HttpRequest, *, by: Actor, at: datetime, session: str) -> HttpResponse:
    """The board; a POST is one entry from a form of it."""
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        try:
            _write_form(request, session, by, at)
            course = request.POST.get("course", "")
            return redirect(f"{request.path}#p-{course}" if course else request.path)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    only = request.GET.get("only", "") if request.method == "GET" else ""
    shown = days.board(session=session, by=by, at=at, only=only)
    context = {**_context(shown, by, log=request.GET.get("log", "")), "reasons": reasons, "given": request.POST}
    with timezone.override(shown.zone):
        if only:  # a screen that is open already asks for the person who moved
            return render(request, "dosing/one.html", {**context, "person": context["people"][0]})
        answer = render(request, "dosing/board.html", context, status=status)
    if status == 200 and request.method == "GET":
        answer.headers["Keel-Keep"] = "yes"
    return answer


def _context(shown: Board, by: Actor, log: str = "") -> dict[str, Any]:
    return {
        "page_title": f"Board, {shown.room}",
        "board": shown,
        "people": [_dressed(person, whole=log == person.course) for person in shown.people],
        "now": shown.at,
        "next": shown.nexts[0] if shown.nexts else None,
        "then": shown.nexts[1] if len(shown.nexts) > 1 else None,
        "taps": [(kind, MOMENTS[kind]) for kind in TAPS],
        "more_taps": [(kind, MOMENTS[kind]) for kind in MORE_TAPS],
        "areas": TOUCH_AREAS,
        "live": f"/live?ticket={ticket(shown.streams)}",
        "owner": by.id,
        "worker": "/sw.js",
        "may": {what: access.may(by, what) for what in ("note_moment", "arrive", "release", "amend", "describe_room")},
        "alone": len(shown.people) == 1,
        "fresh": new_id,
        "correctable": _CORRECTABLE,
        "room_log": shown.log[::-1][: len(shown.log) if log == "room" else LINES],
        "room_whole": log == "room",
        "room_more": len(shown.log) > LINES and log != "room",
    }


def _dressed(person: days.Person, whole: bool = False) -> dict[str, Any]:
    """A person with what only a page needs: a small drawing for each vital sign, how much of the log is shown."""
    signs = [
        (sign, sparkline(Spark(f"{sign.label} so far", tuple(sign.values), _SPARKS[sign.measure])))
        for sign in person.signs
    ]
    shown = len(person.log) if whole else LINES
    return {"p": person, "signs": signs, "called": days.given_name(person), "steps": _steps(person),
            "log": person.log[::-1][:shown], "more": len(person.log) > shown, "whole": whole}  # fmt: skip


_WORDS_OF = {
    "reach_onset": "Onset",
    "reach_peak": "Peak",
    "reach_plateau": "Plateau",
    "reach_return": "Return",
    "begin_release": "Begin the release check",
    "go_back": "Not yet: back to the room",
}


def _steps(person: days.Person) -> list[tuple[str, str]]:
    """The buttons of this state, read from the table of states."""
    return [(step, _WORDS_OF[step]) for step in person.steps if step in _WORDS_OF]


def _write_form(request: HttpRequest, session: str, by: Actor, at: datetime) -> None:
    given = request.POST
    fields: dict[str, Any] = {name: given.get(name, "") for name in given}
    fields["areas"], fields["watches"] = given.getlist("areas"), given.getlist("watches")
    shown = days.board(session=session, by=by, at=at) if given.get("time") else None
    entry = Entry(
        session,
        given.get("kind", ""),
        given.get("course", ""),
        fields,
        id=given.get("id") or new_id(),
        occurred_at=_time_on(given["time"], shown) if shown else None,
    )
    entries.write(entry, by=by, at=at)


def _time_on(text: str, shown: Board) -> datetime:
    """A time of the clock on the wall, on the day of the session."""
    try:
        return datetime.fromisoformat(f"{shown.on}T{text}").replace(tzinfo=shown.zone)
    except ValueError:
        raise malformed("The entry was not written", f"{text[:20]!r} is no time", "Write hours and minutes") from None


# ---- the outbox and the tail ----------------------------------------------------------------------------


@page("see_session", methods=("POST",))
def write(request: HttpRequest, *, by: Actor, at: datetime, session: str) -> HttpResponse:
    """One entry of a device's outbox: 200 `{status, id}` once it stands, however often it is sent; 409 with reasons."""
    days.check_session(session=session, by=by)  # whose it is comes before what it says
    sent = _read(request)
    occurred_at, clock = _set_right(_instant(sent["occurred_at"]), request.headers.get("X-Keel-Sent-At", ""), at)
    if clock:
        by = replace(by, device=f"{by.device or 'board'}, {clock}"[:60])
    entry = Entry(session, sent["kind"], sent["course"], sent["payload"], id=sent["id"], occurred_at=occurred_at)
    entries.write(entry, by=by, at=at)
    return JsonResponse({"status": "recorded", "id": sent["id"]})


def _set_right(entered: datetime, sent_at: str, at: datetime) -> tuple[datetime, str]:
    """The time of an entry by our clock, and what the record says of the device's where that was wrong.

    It is taken to have been wrong by as much at the entry as it was at sending. Where that puts the entry ahead of
    now, the clock was moved in between (a tablet that finds the network sets its clock, too): the entry is no later
    than now, and is never refused for it. Otherwise one that is sent twice could be taken once and refused once.
    """
    if not sent_at:
        return entered, ""
    off = at - _instant(sent_at)
    moment = entered + off if abs(off) > _CLOCK_OFF else entered
    if moment > at + _CLOCK_OFF:
        return at, "clock moved"
    return moment, f"clock {off.total_seconds():+.0f} s" if abs(off) > _CLOCK_OFF else ""


def _read(request: HttpRequest) -> dict[str, Any]:
    try:
        sent = json.loads(request.body)
        shape = {"id": str, "kind": str, "course": str, "occurred_at": str, "payload": dict}
        if not all(isinstance(sent[name], kind) for name, kind in shape.items()):
            raise ValueError
        return {name: sent[name] for name in shape}
    except (ValueError, KeyError, TypeError):
        raise malformed(
            "The entry was not written",
            "it is not of the form that the board sends",
            "Reload the board, enter it again",
        ) from None


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
        return found
    except ValueError:
        raise malformed("The entry was not written", "its time cannot be read", "Enter it again") from None


@page("see_session")
def tail(request: HttpRequest, *, by: Actor, at: datetime, session: str) -> HttpResponse:
    """A fresh ticket for the live stream of a session, for a board that was open for long."""
    return JsonResponse({"live": f"/live?ticket={ticket(days.board(session=session, by=by, at=at).streams)}"})
