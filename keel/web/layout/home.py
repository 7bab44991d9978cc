"""The first page: for staff, their caseload."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from keel.domain import access
from keel.domain.events import Actor
from keel.web.layout.page import page


@page("see_home")
def home(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    return redirect("caseload" if access.may(by, "see_caseload") else "study_index")
