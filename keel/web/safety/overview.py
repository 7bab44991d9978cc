"""The safety pages: of one participant, and of a study."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from keel.actions import adverse_events as actions
from keel.actions.periodic import send_periodic
from keel.domain import access
from keel.domain.adverse_event import CALLED, DISCLOSED_TO
from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.outcomes.safety_report import TOTAL, Cell, Row
from keel.queries import overview as queries
from keel.web.course.tabs import tabs
from keel.web.layout.forms import Forms, day, moment, send
from keel.web.layout.page import page


@page("see_safety", methods=("GET", "POST"))
def of_course(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    """The safety of one participant."""
    reasons: tuple[Reason, ...] = ()
    status = 200
    seen = queries.of_course(course=course, by=by, at=at)
    if request.method == "POST":
        reasons, status = send(request, _forms(course, seen.zone, by, at))
        if not reasons:
            return redirect("course_safety", course=course)
    context = {
        "page_title": f"Safety of {seen.strip.code}",
        "seen": seen,
        "course": seen.strip,
        "tabs": tabs(course, by, "course_safety"),
        "reasons": reasons,
        "given": request.POST,
        "disclosed_to": list(DISCLOSED_TO.items()),
        "called": list(CALLED.items()),
        "may": {what: access.may(by, what) for what in ("unblind", "record_emergency_contact")},
    }
    with timezone.override(seen.zone):
        return render(request, "safety/course.html", context, status=status)


def _forms(course: str, zone: ZoneInfo, by: Actor, at: datetime) -> Forms:
    def called(given: QueryDict) -> object:
        return actions.record_emergency_contact(
            course=course,
            whom=given.get("whom", ""),
            words=given.get("words", ""),
            occurred_at=moment(given.get("on", ""), given.get("time", ""), str(zone)),
            by=by,
            at=at,
        )

    return {
        "called": called,
        "unblind": lambda given: actions.unblind(
            course=course, whom=given.get("whom", ""), reason=given.get("words", ""), by=by, at=at
        ),
    }


@page("see_safety", methods=("GET", "POST"))
def of_study(request: HttpRequest, *, by: Actor, at: datetime, study: str) -> HttpResponse:
    """The safety report of a study. A POST records a report of the calendar as sent."""
    seen = queries.of_study(study=study, by=by, at=at)
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        reasons, status = send(request, {"periodic": lambda given: _sent(given, by, at)})
        if not reasons:
            return redirect(f"{reverse('study_safety', kwargs={'study': study})}#periodic")
    columns = [*seen.arms, (TOTAL, "All")] if len(seen.arms) > 1 else [(TOTAL, "All")]
    context = {
        "page_title": f"Safety of {seen.title}",
        "seen": seen,
        "columns": [label for _, label in columns],
        "exposure": [(label, seen.exposure[id]) for id, label in seen.arms],
        "watched": [_row(row, columns) for row in seen.watched],
        "tables": [{"title": t.title, "rows": [_row(row, columns) for row in t.rows]} for t in seen.tables],
        "reasons": reasons,
        "may_send": access.may(by, "send_periodic"),
        "today": at,
    }
    with timezone.override(seen.zone):
        return render(request, "safety/study.html", context, status=status)


def _sent(given: QueryDict, by: Actor, at: datetime) -> object:
    return send_periodic(
        site=by.site,
        duty=given.get("duty", ""),
        until=day(given.get("until", "")),
        on=day(given.get("on", "")),
        proof=given.get("proof", ""),
        by=by,
        at=at,
    )


def _row(row: Row, columns: list[tuple[str, str]]) -> dict[str, Any]:
    return {"label": row.label.replace("_", " "), "cells": [_cell(row.cells[id]) for id, _ in columns]}


def _cell(cell: Cell) -> dict[str, str]:
    """A cell in words: people of those exposed, the rate with its interval, events per 100 doses."""
    if cell.is_closed:
        return {"closed": "yes"}
    if cell.percent is None:
        return {"people": f"{cell.people or 0} of {cell.exposure.people}"}
    return {
        "people": f"{cell.people} of {cell.exposure.people}",
        "rate": f"{cell.percent:.0f} % ({cell.low:.0f} to {cell.high:.0f})",
        "doses": f"{cell.per_100_doses:.0f} per 100 doses" if cell.per_100_doses is not None else "",
    }
