"""The eligibility sheet: every rule, its finding, what is missing; the override and the signature. And the end of it."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import screening as actions
from keel.domain import access
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.domain.screening import FAILED_BECAUSE
from keel.queries import screening as queries
from keel.web.course.tabs import tabs
from keel.web.layout.page import malformed, page, status_of
from keel.web.screening.typed import day, field, options


@page("see_screening", methods=("GET", "POST"))
def sheet(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        try:
            _do(request, course, by, at)
            return redirect("screening", course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    seen = queries.sheet(course=course, by=by, at=at)
    context = {
        "page_title": f"Eligibility, {seen.strip.code}",
        "course": seen.strip,
        "tabs": tabs(course, by, "screening"),
        "seen": seen,
        "reasons": reasons,
        "typed_rule": request.POST.get("rule", ""),
        "typed_reason": request.POST.get("reason", ""),
        "may": {
            what: access.may(by, what) and not seen.ended
            for what in (
                "judge",
                "record_facts",
                "override_finding",
                "sign_verdict",
                "fail_screening",
                "pre_screen",
            )
        },
    }
    return render(request, "screening/sheet.html", context, status=status)


def _do(request: HttpRequest, course: str, by: Actor, at: datetime) -> None:
    form, given = request.POST.get("form", ""), request.POST
    if form == "judge":
        actions.judge(course=course, by=by, at=at)
    elif form == "override":
        actions.override_finding(
            course=course, rule=given.get("rule", ""), reason=given.get("reason", ""), by=by, at=at
        )
    elif form == "sign":
        actions.sign_verdict(course=course, by=by, at=at)
    else:
        raise malformed("Nothing was written", "the page sent no form that it has", "Send one of judge, override, sign")


@page("fail_screening", methods=("GET", "POST"))
def end(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    """End the screening of somebody who will not be enrolled."""
    reasons: tuple[Reason, ...] = ()
    status, given = 200, request.POST
    if request.method == "POST":
        try:
            actions.fail_screening(
                course=course,
                reason=given.get("reason", ""),
                words=given.get("words", ""),
                on=day(given.get("on", ""), what="The screening was not ended", where="on"),
                by=by,
                at=at,
            )
            return redirect("screening", course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    seen = queries.sheet(course=course, by=by, at=at)
    fields = [
        field(
            "reason",
            "Reason",
            given=given,
            reasons=reasons,
            kind="select",
            required=True,
            options=options(FAILED_BECAUSE, "Choose"),
        ),
        field(
            "on",
            "Day",
            given=given,
            reasons=reasons,
            kind="date",
            required=True,
            short=True,
            value=seen.today.isoformat(),
            max=seen.today.isoformat(),
        ),
        field("words", "Note", given=given, kind="textarea", rows=3, hint="Sealed with their own key."),
    ]
    context = {
        "page_title": f"End the screening, {seen.strip.code}",
        "course": seen.strip,
        "tabs": tabs(course, by, "screening"),
        "seen": seen,
        "reasons": reasons,
        "fields": fields,
    }
    return render(request, "screening/end.html", context, status=status)
