"""Enrolment and allocation: what is still in the way, then the two steps."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import assessment
from keel.actions import screening as actions
from keel.domain import access
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.domain.screening import EXPECTANCY
from keel.queries import screening as queries
from keel.web.course.tabs import tabs
from keel.web.layout.page import malformed, page, status_of
from keel.web.screening.typed import day, field

METHODS = {
    "single": "Everybody comes into the one arm of this protocol.",
    "randomised": "The arm is drawn by chance. The list follows from a secret that only this server holds.",
    "waiting_list": "Who begins at once and who waits is drawn by chance, from a secret that only this server holds.",
}


@page("see_screening", methods=("GET", "POST"))
def enrolment(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        try:
            _do(request, course, by, at)
            return redirect("enrolment", course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    seen = queries.enrolment(course=course, by=by, at=at)
    context = {
        "page_title": f"Enrolment, {seen.strip.code}",
        "course": seen.strip,
        "tabs": tabs(course, by, "screening"),
        "seen": seen,
        "method": METHODS[seen.method],
        "reasons": reasons,
        "on": field(
            "on",
            "Enrolled on",
            given=request.POST,
            reasons=reasons,
            kind="date",
            required=True,
            short=True,
            value=seen.today.isoformat(),
            max=seen.today.isoformat(),
        ),
        "may": {what: access.may(by, what) and not seen.ended for what in ("enrol", "allocate", "answer")},
    }
    return render(request, "screening/enrolment.html", context, status=status)


def _do(request: HttpRequest, course: str, by: Actor, at: datetime) -> None:
    form = request.POST.get("form", "")
    if form == "enrol":
        on = day(request.POST.get("on", ""), what="The person was not enrolled", where="on")
        actions.enrol(course=course, on=on, by=by, at=at)
    elif form == "expectancy":
        assessment.begin(course=course, instrument=EXPECTANCY, visit="", respondent="participant", by=by, at=at)
    elif form == "allocate":
        actions.allocate(course=course, by=by, at=at)
    else:
        raise malformed(
            "Nothing was written", "the page sent no form that it has", "Send one of enrol, expectancy, allocate"
        )
