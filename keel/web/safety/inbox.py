"""The alert inbox: what waits for somebody, live."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from keel.actions import safety as act
from keel.domain.errors import Refused
from keel.domain.events import Actor
from keel.queries import safety as ask
from keel.web.layout.page import malformed, page, status_of, wants_json
from keel.web.live.stream import ticket

MOVES = {
    "seen": act.see_alert,
    "acknowledged": act.acknowledge_alert,
    "acted_on": act.act_on_alert,
    "closed": act.close_alert,
}


@page("see_alerts", methods=("GET", "POST"))
def inbox(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """The alerts of the site. A POST moves one; asked for JSON, it gives a fresh address of the live stream."""
    reasons, status = (), 200
    if request.method == "POST":
        try:
            _move(request, by, at)
            return redirect(f"{reverse('alerts')}#{request.POST['alert']}")
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    found = ask.inbox(by=by, at=at)
    live = "/live?" + urlencode({"ticket": ticket(found.streams)})
    if request.method == "GET" and wants_json(request):
        return JsonResponse({"live": live})
    known = {
        "page_title": f"Alerts ({len(found.open)})" if found.open else "Alerts",
        "found": found,
        "live": live,
        "reasons": reasons,
        "given": request.POST,
        "as_of": at,
    }
    with timezone.override(found.zone):  # the times of the clinic, not of the server
        return render(request, "safety/inbox.html", known, status=status)


def _move(request: HttpRequest, by: Actor, at: datetime) -> None:
    given = request.POST
    to = given.get("to", "")
    if to not in MOVES or not given.get("alert"):
        raise malformed("The alert was not moved", "the form was not whole", "Reload the inbox")
    about = {
        "course": given.get("course", ""),
        "alert": given["alert"],
        "by": by,
        "at": at,
        "id": given.get("id") or None,
    }
    if to == "seen":
        act.see_alert(**about)
    else:
        MOVES[to](**about, done=given.get("done", ""))
