"""Cohorts: the groups of the site, and forming one."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import cohort as actions
from keel.domain import access
from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.queries import cohort as queries
from keel.web.layout.forms import send
from keel.web.layout.page import page


@page("see_cohorts", methods=("GET", "POST"))
def show(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        forms = {
            "form_cohort": lambda given: actions.form_cohort(
                name=given.get("name", ""), courses=given.getlist("course"), by=by, at=at
            )
        }
        reasons, status = send(request, forms)
        if not reasons:
            return redirect("cohorts")
    context = {
        "page_title": "Cohorts",
        "seen": queries.cohorts(by=by),
        "reasons": reasons,
        "given": request.POST,
        "picked": request.POST.getlist("course"),
        "may_form": access.may(by, "form_cohort"),
    }
    return render(request, "cohort/cohorts.html", context, status=status)
