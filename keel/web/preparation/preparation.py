"""Preparation: sessions with what was covered, what the participant brings, and the gate before the day."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from keel.actions import preparation as actions
from keel.domain import access
from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.queries import preparation as queries
from keel.web.course.tabs import tabs
from keel.web.layout.forms import Forms, day, needed, send
from keel.web.layout.page import page


@page("see_preparation", methods=("GET", "POST"))
def show(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        reasons, status = send(request, _forms(course, by, at))
        if not reasons:
            return redirect("preparation", course=course)
    seen = queries.preparation(course=course, by=by, at=at)
    context = {
        "page_title": f"Preparation of {seen.strip.code}",
        "seen": seen,
        "course": seen.strip,
        "tabs": tabs(course, by, "preparation"),
        "reasons": reasons,
        "given": request.POST,
        "today": at,
        "topics": [
            {"id": id, "label": label, "covered": id in seen.covered, "picked": id in request.POST.getlist("covered")}
            for id, label in actions.TOPICS.items()
        ],
        "areas": [
            {"id": id, "label": label, "welcome": seen.touch.get(id)} for id, label in actions.TOUCH_AREAS.items()
        ],
        "may": {
            what: access.may(by, what) and not seen.strip.ended
            for what in (
                "hold_preparation",
                "set_intention",
                "agree_touch",
                "name_support_person",
                "confirm_ride_home",
                "note_fears",
            )
        },
    }
    return render(request, "preparation/preparation.html", context, status=status)


def _forms(course: str, by: Actor, at: datetime) -> Forms:
    told = {"course": course, "by": by, "at": at}

    def hold(given: QueryDict) -> object:
        return actions.hold_preparation(
            **told,
            visit=given.get("visit", ""),
            on=day(given.get("on", "")),
            minutes=needed(given.get("minutes", ""), "the length in minutes"),
            covered=given.getlist("covered"),
            notes=given.get("notes", ""),
        )

    def touch(given: QueryDict) -> object:
        areas = {area: given.get(f"touch-{area}") == "yes" for area in actions.TOUCH_AREAS}
        return actions.agree_touch(**told, areas=areas, words=given.get("words", ""))

    return {
        "hold": hold,
        "touch": touch,
        "intention": lambda given: actions.set_intention(**told, words=given.get("words", "")),
        "fear": lambda given: actions.note_fears(**told, words=given.get("words", "")),
        "support": lambda given: actions.name_support_person(**told, words=given.get("words", "")),
        "ride": lambda given: actions.confirm_ride_home(
            **told, confirmed=given.get("confirmed") == "yes", words=given.get("words", "")
        ),
    }
