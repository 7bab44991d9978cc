"""A page per visit: its window and what moves with it, what is asked, and the forms that record it."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import visits
from keel.domain import access
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.domain.visit import MISSED_BECAUSE
from keel.queries import course as courses
from keel.web.course.tabs import tabs
from keel.web.layout.forms import day, moment, whole
from keel.web.layout.page import malformed, page, status_of

FORMS = ("hold", "miss", "book", "amend")


@page("see_visit", methods=("GET", "POST"))
def visit(request: HttpRequest, *, by: Actor, at: datetime, course: str, visit: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    address, visit = visit, courses.visit_meant(course=course, told=visit, by=by, at=at)
    if request.method == "POST":
        try:
            _do(request, course, visit, by, at)
            return redirect("visit", course=course, visit=address)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    seen = courses.visit(course=course, visit=visit, by=by, at=at)
    context = {
        "page_title": f"{seen.visit.label}, {seen.strip.code}",
        "seen": seen,
        "course": seen.strip,
        "tabs": tabs(course, by, ""),
        "reasons": reasons,
        "given": request.POST,
        "causes": [{"value": k, "label": v} for k, v in MISSED_BECAUSE.items()],
        "may": {
            what: access.may(by, what)
            for what in ("hold_visit", "miss_visit", "book_visit", "amend", "enter_paper", "report_adverse_event")
        },
        "own_door": visits.OWN_DOOR.get(seen.visit.kind, ""),
        "open": seen.planned.done_on is None and not seen.planned.cause and not seen.strip.ended,
    }
    return render(request, "course/visit.html", context, status=status)


def _do(request: HttpRequest, course: str, visit: str, by: Actor, at: datetime) -> None:
    form, given = request.POST.get("form", ""), request.POST
    if form == "hold":
        minutes, notes = whole(given.get("minutes", "")), given.get("notes", "")
        visits.hold_visit(
            course=course, visit=visit, on=day(given.get("on", "")), minutes=minutes, notes=notes, by=by, at=at
        )
    elif form == "miss":
        visits.miss_visit(
            course=course, visit=visit, cause=given.get("cause", ""), notes=given.get("notes", ""), by=by, at=at
        )
    elif form == "book":
        seen = courses.see(course, by=by, what="see_visit", at=at)
        starts = moment(given.get("day", ""), given.get("time", ""), courses.zone(seen.row.site))
        visits.book_visit(course=course, visit=visit, starts_at=starts, by=by, at=at)
    elif form == "amend":
        minutes, reason = whole(given.get("minutes", "")), given.get("reason", "")
        visits.amend_visit(
            course=course, visit=visit, on=day(given.get("on", "")), minutes=minutes, reason=reason, by=by, at=at
        )
    else:
        raise malformed("Nothing was written", "the page sent no form that it has", f"Send one of {', '.join(FORMS)}")
