"""The studies of a site, and a study: its grid of activities and where every number of it comes from."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from keel.domain import access
from keel.domain.definition import Fact
from keel.domain.events import Actor
from keel.queries import study as studies
from keel.web.layout.page import page

BASIS = {"read": "read at the source", "memory": "from memory, not verified", "house": "house rule, needs a sign-off"}


def _fact(fact: Fact) -> dict[str, object]:
    sources = ", ".join(fact.sources)
    return {"path": fact.path, "value": fact.value, "sources": sources, "basis": fact.basis, "words": BASIS[fact.basis]}


@page("see_study")
def index(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    return render(request, "study/index.html", {"page_title": "Studies", "studies": studies.studies(by=by)})


@page("see_study")
def study(request: HttpRequest, *, by: Actor, at: datetime, study: str) -> HttpResponse:
    seen = studies.study(study=study, by=by, arm=request.GET.get("arm", ""))
    context = {
        "page_title": seen.title,
        "seen": seen,
        "may_see_safety": access.may(by, "see_safety"),
        "arms": seen.protocol.arms if access.may(by, "see_arm") and len(seen.protocol.arms) > 1 else (),
        "facts": [_fact(f) for f in seen.facts],
        "sources": [{"mark": mark, "at": entry.at} for mark, entry in seen.protocol.sources.items()],
    }
    return render(request, "study/study.html", context)
