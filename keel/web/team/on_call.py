"""The page of who is on call: the roster of the site, its gaps, and the forms that plan it."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone

from keel.actions import on_call as actions
from keel.domain import access
from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.queries import on_call as ask
from keel.web.layout.forms import Forms, moment, send
from keel.web.layout.page import page


@page("see_on_call", methods=("GET", "POST"))
def show(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """The shifts to come and who is called now. A POST plans a shift or takes one off."""
    found = ask.roster(by=by, at=at)
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        forms: Forms = {
            "plan": lambda given: _plan(given, found.zone.key, by, at),
            "take_off": lambda given: actions.take_off(site=by.site, shift=given.get("shift", ""), by=by, at=at),
        }
        reasons, status = send(request, forms)
        if not reasons:
            return redirect("on_call")
    context = {
        "page_title": "On call",
        "found": found,
        "reasons": reasons,
        "given": request.POST,
        "may_plan": access.may(by, "plan_on_call"),
    }
    with timezone.override(found.zone):  # shifts are times of the clinic
        return render(request, "team/on_call.html", context, status=status)


def _plan(given: QueryDict, zone: str, by: Actor, at: datetime) -> object:
    return actions.plan_shift(
        site=by.site,
        staff=given.get("staff", ""),
        starts_at=moment(given.get("from_on", ""), given.get("from_time", ""), zone),
        ends_at=moment(given.get("until_on", ""), given.get("until_time", ""), zone),
        by=by,
        at=at,
    )
