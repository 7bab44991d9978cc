"""The caseload board, the calendar, and the people of the site."""

from __future__ import annotations

from datetime import date, datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import team as actions
from keel.domain import access
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.queries import team
from keel.web.layout.page import malformed, page, status_of

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@page("see_caseload")
def caseload(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    study, find = request.GET.get("study", ""), request.GET.get("find", "")
    seen = team.caseload(by=by, at=at, study=study, find=find)
    context = {
        "page_title": "Caseload",
        "seen": seen,
        "study": study,
        "find": find,
        "may_open": access.may(by, "open_course"),
    }
    return render(request, "team/caseload.html", context)


@page("see_calendar")
def calendar(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    month = request.GET.get("month", "")
    try:
        first = date.fromisoformat(f"{month}-01") if month else None
    except ValueError:
        raise malformed("There is no such month", f"{month!r} is none", "Write it as 2026-03") from None
    seen = team.calendar(by=by, at=at, month=first)
    return render(request, "team/calendar.html", {"page_title": "Calendar", "seen": seen, "weekdays": WEEKDAYS})


@page("see_team", methods=("GET", "POST"))
def people(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        try:
            _do(request, by, at)
            return redirect("team")
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    context = {
        "page_title": "Team",
        "people": team.people(by=by),
        "reasons": reasons,
        "given": request.POST,
        "may": {what: access.may(by, what) for what in ("grant_role", "admit_staff", "revoke_role")},
        "roles": [{"value": r, "label": access.ROLES[r]} for r in access.ROLES if r in access.STAFF],
        "me_id": by.id,
    }
    return render(request, "team/people.html", context, status=status)


def _do(request: HttpRequest, by: Actor, at: datetime) -> None:
    form, given = request.POST.get("form", ""), request.POST
    if form == "admit":
        for name in ("name", "email", "password", "role"):
            if not given.get(name, "").strip():
                raise malformed("Nobody was admitted", f"the {name} is missing", "Fill it in")
        if len(given["password"]) < 12:
            raise malformed("Nobody was admitted", "the password is shorter than 12 characters", "Choose a longer one")
        actions.admit_with_role(
            email=given["email"].strip(),
            name=given["name"].strip(),
            password=given["password"],
            site=by.site,
            role=given["role"],
            by=by,
            at=at,
        )
    elif form == "grant":
        actions.grant(staff=given.get("staff", ""), site=by.site, role=given.get("role", ""), by=by, at=at)
    elif form == "revoke":
        actions.revoke(staff=given.get("staff", ""), site=by.site, role=given.get("role", ""), by=by, at=at)
    else:
        raise malformed("Nothing was written", "the page sent no form that it has", "Reload the page")
