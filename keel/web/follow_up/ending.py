"""How a course ends: completed, withdrawn, lost."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import follow_up as actions
from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.domain.visit import ENDED_BECAUSE
from keel.queries import course as courses
from keel.web.course.tabs import tabs
from keel.web.layout.forms import day, send
from keel.web.layout.page import page


@page("withdraw", methods=("GET", "POST"))
def show(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        told = {"course": course, "by": by, "at": at}
        forms = {
            "withdraw": lambda given: actions.withdraw(
                **told, reason=given.get("reason", ""), on=day(given.get("on", "")), notes=given.get("notes", "")
            ),
            "lose": lambda given: actions.lose(**told, on=day(given.get("on", "")), notes=given.get("notes", "")),
            "complete": lambda given: actions.complete_course(**told, on=day(given.get("on", ""))),
        }
        reasons, status = send(request, forms)
        if not reasons:
            return redirect("chart", course=course)
    seen = courses.see(course, by=by, what="withdraw", at=at)
    context = {
        "page_title": f"End the course of {seen.strip.code}",
        "course": seen.strip,
        "tabs": tabs(course, by, ""),
        "reasons": reasons,
        "given": request.POST,
        "today": seen.today,
        "causes": [{"value": k, "label": v} for k, v in ENDED_BECAUSE.items()],
    }
    return render(request, "follow_up/ending.html", context, status=status)
