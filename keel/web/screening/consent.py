"""Consent as the team sees it: what was offered, passed, signed, countersigned, withdrawn; and the paper of it."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import screening as actions
from keel.domain import access
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.queries import screening as queries
from keel.web.course.tabs import tabs
from keel.web.layout.page import malformed, page, status_of
from keel.web.screening.paper import as_pdf


@page("see_consent", methods=("GET", "POST"))
def consent(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        try:
            _do(request, course, by, at)
            return redirect("consent", course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    seen = queries.papers(course=course, by=by, at=at)
    context = {
        "page_title": f"Consent, {seen.strip.code}",
        "course": seen.strip,
        "tabs": tabs(course, by, "consent"),
        "seen": seen,
        "reasons": reasons,
        "given": request.POST,
        "may": {
            what: access.may(by, what) and not seen.ended
            for what in ("offer_consent", "countersign_consent", "withdraw_consent", "send_link")
        },
    }
    return render(request, "screening/consent.html", context, status=status)


def _do(request: HttpRequest, course: str, by: Actor, at: datetime) -> None:
    form, document = request.POST.get("form", ""), request.POST.get("document", "")
    if form == "offer":
        actions.offer_consent(course=course, document=document, by=by, at=at)
    elif form == "countersign":
        actions.countersign_consent(course=course, document=document, by=by, at=at)
    elif form == "withdraw":
        words = request.POST.get("words", "")
        actions.withdraw_consent(course=course, document=document, words=words, by=by, at=at)
    else:
        raise malformed(
            "Nothing was written", "the page sent no form that it has", "Send one of offer, countersign, withdraw"
        )


@page("see_consent")
def paper(request: HttpRequest, *, by: Actor, at: datetime, course: str, document: str) -> HttpResponse:
    """The consent on paper, for the file."""
    return as_pdf(queries.signed_paper(course=course, document=document, by=by, at=at), at)
