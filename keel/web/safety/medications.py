"""The medication planner of a course, on a time line."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from keel.actions import medications as actions
from keel.domain import access
from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.domain.medication import DECISIONS, NEVER_STOP
from keel.queries import medications as queries
from keel.web.course.tabs import tabs
from keel.web.layout.charts.medicines import Medicine, Medicines, medicines
from keel.web.layout.forms import day, day_or_none, send
from keel.web.layout.page import page


@page("see_screening", methods=("GET", "POST"))
def show(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":

        def decide(given: QueryDict) -> object:
            return actions.record_prescriber_decision(
                course=course,
                medicine=given.get("medicine", ""),
                decision=given.get("decision", ""),
                prescriber=given.get("prescriber", ""),
                on=day(given.get("on", "")),
                last_dose_on=day_or_none(given.get("last_dose_on", "")),
                words=given.get("words", ""),
                by=by,
                at=at,
            )

        reasons, status = send(request, {"decided": decide})
        if not reasons:
            return redirect("medications", course=course)
    seen = queries.medications(course=course, by=by, at=at)
    shown = tuple(Medicine(row.name, row.started_on, row.stopped_on, row.over_on, row.state_words) for row in seen.rows)
    context = {
        "page_title": f"Medicines of {seen.strip.code}",
        "seen": seen,
        "course": seen.strip,
        "tabs": tabs(course, by, "medications"),
        "reasons": reasons,
        "given": request.POST,
        "chart": medicines(Medicines("Medicines and washouts", shown, seen.today, seen.earliest_on)) if shown else None,
        "decisions": list(DECISIONS.items()),
        "never": NEVER_STOP,
        "may_decide": access.may(by, "record_prescriber_decision") and not seen.strip.ended,
        "may_record": access.may(by, "record_facts") and not seen.strip.ended,
    }
    return render(request, "safety/medications.html", context, status=status)
