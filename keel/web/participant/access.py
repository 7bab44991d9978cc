"""What staff do for a participant's own door: send a link, take it back; and forget a person."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from keel.actions import participant as act
from keel.domain.errors import Refused
from keel.domain.events import Actor
from keel.queries import course as courses
from keel.queries import participant as ask
from keel.web.course.tabs import tabs
from keel.web.layout.page import malformed, page, status_of


@page("send_link", methods=("GET", "POST"))
def links(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    """Send a personal link: its address is shown once, here, and kept nowhere."""
    reasons, status, address, until = (), 200, "", None
    if request.method == "POST":
        try:
            if "revoke" in request.POST:
                act.revoke_link(course=course, link=request.POST["revoke"], by=by, at=at)
                return redirect("links", course=course)
            sent = act.send_link(course=course, expires_in_days=_days(request), by=by, at=at)
            address = request.build_absolute_uri(reverse("open_link", args=[sent.secret]))
            until = sent.expires_at
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    strip = courses.see(course, by=by, what="send_link", at=at).strip
    known = {
        "page_title": f"Personal link of {strip.code}",
        "course": strip,
        "tabs": tabs(course, by, "links"),
        "links": ask.links(course=course, by=by, at=at),
        "address": address,
        "until": until,
        "reasons": reasons,
        "given": request.POST,
    }
    return render(request, "participant/links.html", known, status=status)


def _days(request: HttpRequest) -> int:
    try:
        return int(request.POST.get("days", ""))
    except ValueError:
        raise malformed("The link was not made", "the days are no whole number", "Write a number of days") from None


@page("erase_person", methods=("GET", "POST"))
def erase(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    """Forget a person: asked twice, because nothing brings the words back."""
    strip = courses.see(course, by=by, what="erase_person", at=at).strip
    reasons, status = (), 200
    if request.method == "POST":
        try:
            if request.POST.get("code", "").strip() != strip.code:
                raise malformed("Nobody was erased", "the code is not that of this course", f"Type {strip.code}")
            act.erase_person(course=course, because=request.POST.get("because", ""), by=by, at=at)
            return redirect("erase", course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    known = {
        "page_title": f"Erase {strip.code}",
        "course": strip,
        "tabs": tabs(course, by, "erase"),
        "because": act.ERASED_BECAUSE.items(),
        "reasons": reasons,
        "given": request.POST,
        "erased": courses.see(course, by=by, what="erase_person", at=at).state.erased,
    }
    return render(request, "participant/erase.html", known, status=status)
