"""Before the board: what still blocks the dosing day, and opening its session."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import dosing
from keel.domain import access
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.queries import dosing as days
from keel.web.course.tabs import tabs
from keel.web.layout.page import page, status_of


@page("see_session", methods=("GET", "POST"))
def day(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    """The readiness gate, named block by block; a session of one person or of the whole cohort is opened here."""
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        try:
            return redirect("board", session=_open(request, course, by, at))
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    gate = days.gate(course=course, by=by, at=at)
    context = {
        "page_title": f"Dosing day, {gate.strip.code}",
        "gate": gate,
        "course": gate.strip,
        "tabs": tabs(course, by, "dosing"),
        "reasons": reasons,
        "given": request.POST,
        "may_open": access.may(by, "open_session"),
    }
    return render(request, "dosing/day.html", context, status=status)


def _open(request: HttpRequest, course: str, by: Actor, at: datetime) -> str:
    given = request.POST
    gate = days.gate(course=course, by=by, at=at)
    opened = dosing.open_session(
        courses=list(dict.fromkeys(given.getlist("courses") or [course])),
        visit=given.get("visit", ""),
        room=given.get("room", ""),
        on=gate.today,
        by=by,
        at=at,
    )
    return str(opened.payload["session"])
