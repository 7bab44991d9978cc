"""Choosing the role one acts in: somebody who is a facilitator here and a supervisor there does one at a time."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from keel.domain.events import Actor
from keel.web.layout.page import malformed, page


@page("see_home", methods=("POST",))
def choose(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    wanted = request.POST.get("acting", "")
    if wanted not in {m.key for m in request.memberships}:
        raise malformed("The role was not changed", "you do not hold it", "Choose one of the list")
    request.session["acting"] = wanted
    return redirect("home")
