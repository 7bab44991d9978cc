"""The first page: for staff, their caseload; for a blinded rater, the ratings that wait."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from keel.domain import access
from keel.domain.events import Actor
from keel.web.layout.page import page


@page("see_home")
def home(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    return redirect("ratings" if not access.may(by, "see_arm") else "caseload")
