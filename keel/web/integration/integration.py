"""Integration: sessions, insights, commitments with their days, practices."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from keel.actions import integration as actions
from keel.domain import access
from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.queries import dosing
from keel.queries import integration as queries
from keel.web.course.tabs import tabs
from keel.web.layout.forms import Forms, day, day_or_none, needed, send
from keel.web.layout.page import page


@page("see_integration", methods=("GET", "POST"))
def show(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        reasons, status = send(request, _forms(course, by, at))
        if not reasons:
            return redirect("integration", course=course)
    seen = queries.integration(course=course, by=by, at=at)
    context = {
        "page_title": f"Integration of {seen.strip.code}",
        "seen": seen,
        "course": seen.strip,
        "tabs": tabs(course, by, "integration"),
        "reasons": reasons,
        "given": request.POST,
        "days": dosing.days_before(course=course, by=by, at=at),
        "outcomes": [{"id": id, "label": label} for id, label in actions.OUTCOMES.items()],
        "may": {
            what: access.may(by, what) and not seen.strip.ended
            for what in ("hold_integration", "note_insight", "make_commitment", "keep_commitment", "note_practice")
        },
    }
    return render(request, "integration/integration.html", context, status=status)


def _forms(course: str, by: Actor, at: datetime) -> Forms:
    told = {"course": course, "by": by, "at": at}

    def hold(given: QueryDict) -> object:
        return actions.hold_integration(
            **told,
            visit=given.get("visit", ""),
            on=day(given.get("on", "")),
            minutes=needed(given.get("minutes", ""), "the length in minutes"),
            notes=given.get("notes", ""),
        )

    return {
        "hold": hold,
        "insight": lambda given: actions.note_insight(**told, words=given.get("words", "")),
        "practice": lambda given: actions.note_practice(**told, words=given.get("words", "")),
        "commitment": lambda given: actions.make_commitment(
            **told, words=given.get("words", ""), due_on=day_or_none(given.get("due_on", ""))
        ),
        "settle": lambda given: actions.keep_commitment(
            **told, commitment=given.get("commitment", ""), outcome=given.get("outcome", "")
        ),
    }
