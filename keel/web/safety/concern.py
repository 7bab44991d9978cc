"""A letter to the safeguarding office: for everybody, signed in or not, and without a trace of who."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from keel.actions import concerns as actions
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.queries import concerns as queries
from keel.web.layout.page import malformed, page

SECONDS_BETWEEN = 5
"""One letter in so many seconds, from whomever: anybody may write, so nobody may fill the disk."""
_slot = threading.Lock()
_last: list[datetime] = []


@page("file_concern", methods=("GET", "POST"), open_to_all=True)
def concern(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """A refusal answers 200: a status of 400 and more is written to the server's log, and a log must not know."""
    reasons: tuple[Reason, ...] = ()
    given = request.POST
    if request.method == "POST":
        try:
            _take_turn(at)
            words, about, reach = (given.get(name, "") for name in ("words", "about", "reach"))
            actions.file_concern(words=words, about=about, reach=reach, by=by, at=at)
            return redirect(reverse("concern") + "?kept")
        except Refused as refused:
            reasons = refused.reasons
    context = {
        "page_title": "A letter outside the team",
        "box": queries.letter_box(by=by),
        "kept": "kept" in request.GET,
        "reasons": reasons,
        "typed": given,
    }
    return render(request, "safety/concern.html", context)


def _take_turn(at: datetime) -> None:
    with _slot:
        if _last and abs(at - _last[0]) < timedelta(seconds=SECONDS_BETWEEN):
            raise malformed(
                "The letter was not kept yet",
                "another one came in at this very moment",
                "Send it again in a few seconds",
            )
        _last[:] = [at]
