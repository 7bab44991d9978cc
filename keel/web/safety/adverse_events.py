"""Adverse events of a course, and the participant's own page to tell of something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from keel.actions import adverse_events as actions
from keel.domain import access
from keel.domain.adverse_event import ACTIONS, EXPECTEDNESS, GRADES, OUTCOMES, RELATEDNESS, SERIOUSNESS, VALENCES
from keel.domain.errors import Reason
from keel.domain.events import Actor
from keel.queries import adverse_events as queries
from keel.web.course.tabs import tabs
from keel.web.layout.forms import Forms, day, moment, send, whole
from keel.web.layout.page import malformed, page

NOT_SERIOUS = "no"


@page("see_safety", methods=("GET", "POST"))
def show(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    seen = queries.adverse_events(course=course, by=by, at=at)
    if request.method == "POST":
        reasons, status = send(request, _forms(course, seen.zone, by, at))
        if not reasons:
            return redirect("adverse_events", course=course)
    given = request.POST
    entry = given.get("entry") or request.GET.get("amend", "")
    amending = next((line for line in seen.lines if line.id == entry), None)
    form = given.get("form", "")
    typed = _typed(given) if form in ("report", "amend") else _begins(amending, seen)
    context = {
        "page_title": f"Adverse events of {seen.strip.code}",
        "seen": seen,
        "course": seen.strip,
        "tabs": tabs(course, by, "adverse_events"),
        "reasons": reasons,
        "form": form,
        "given": given,
        "typed": typed,
        "amending": amending if form in ("", "amend") else None,
        "asks": _asks(seen),
        "visit": request.GET.get("visit") or given.get("visit", ""),
        "may": {what: access.may(by, what) for what in ("report_adverse_event", "judge_adverse_event", "send_report")},
    }
    with timezone.override(seen.zone):
        return render(request, "safety/adverse_events.html", context, status=status)


def _said(codes: Iterable[str]) -> list[tuple[str, str]]:
    return [(code, code.replace("_", " ").capitalize()) for code in codes]


def _asks(seen: queries.Page) -> dict[str, Any]:
    """The choices of the form, each as (value, label)."""
    return {
        "terms": [(term, term) for term in seen.terms],
        "valences": _said(VALENCES),
        "grades": [(str(grade), f"{grade}: {words}") for grade, words in GRADES.items()],
        "serious": [(NOT_SERIOUS, "Not serious"), *SERIOUSNESS.items()],
        "related": _said(RELATEDNESS),
        "expected": _said(EXPECTEDNESS),
        "outcomes": _said(OUTCOMES),
        "actions": list(ACTIONS.items()),
    }


def _typed(given: QueryDict) -> dict[str, Any]:
    return {**given.dict(), "serious": given.getlist("serious")}


def _begins(line: queries.Line | None, seen: queries.Page) -> dict[str, Any]:
    """What the form begins with: this moment for a new event, what stands for an amendment."""
    if line is None:
        return {"on": seen.today.isoformat(), "time": f"{seen.now:%H:%M}", "serious": []}
    serious = line.given["serious"]
    return {
        **line.given,
        "serious": [] if serious is None else serious or [NOT_SERIOUS],
        "words": line.words,
        "on": line.began_at.date().isoformat(),
        "time": f"{line.began_at:%H:%M}",
        "end_on": line.ended_at.date().isoformat() if line.ended_at else "",
        "end_time": f"{line.ended_at:%H:%M}" if line.ended_at else "",
    }


def _forms(course: str, zone: ZoneInfo, by: Actor, at: datetime) -> Forms:
    told = {"course": course, "by": by, "at": at}
    return {
        "report": lambda given: actions.report_adverse_event(**told, event=_event(given, zone)),
        "amend": lambda given: actions.amend_adverse_event(
            **told, entry=given.get("entry", ""), event=_event(given, zone), reason=given.get("reason", "")
        ),
        "asked": lambda given: actions.ask_for_events(**told, anything=False, visit=given.get("visit", "")),
        "start": lambda given: actions.start_clock(
            **told, entry=given.get("entry", ""), starts=given.get("starts", ""), on=day(given.get("on", ""))
        ),
        "sent": lambda given: actions.send_report(
            **told,
            entry=given.get("entry", ""),
            clock=given.get("clock", ""),
            on=day(given.get("on", "")),
            proof=given.get("proof", ""),
        ),
    }


def _event(given: QueryDict, zone: ZoneInfo) -> Mapping[str, Any]:
    serious = given.getlist("serious")
    if NOT_SERIOUS in serious and len(serious) > 1:
        raise malformed("The event was not recorded", "it is said to be serious and not serious", "Untick one of them")
    ended = given.get("end_on", "")
    return {
        "term": given.get("term", ""),
        "words": given.get("words", ""),
        "valence": given.get("valence") or None,
        "grade": whole(given.get("grade", "")),
        "serious": None if not serious else [one for one in serious if one != NOT_SERIOUS],
        "related": given.get("related") or None,
        "expected": given.get("expected") or None,
        "began_at": moment(given.get("on", ""), given.get("time", ""), str(zone)).isoformat(),
        "ended_at": moment(ended, given.get("end_time") or "12:00", str(zone)).isoformat() if ended else None,
        "outcome": given.get("outcome") or None,
        "action": given.get("action", ""),
        "visit": given.get("visit", ""),
    }


# ---- the participant ----------------------------------------------------------------------------

HOW_IT_WAS = (("pleasant", "Good"), ("unpleasant", "Bad"), ("mixed", "Some of both"), ("neutral", "Just strange"))


@page("tell_event", methods=("GET", "POST"), open_to_links=True)
def tell(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """Tell my team what I noticed."""
    reasons: tuple[Reason, ...] = ()
    status = 200
    page_ = queries.telling(by=by, at=at)

    def told(given: QueryDict) -> object:
        return actions.tell_event(
            course=page_.course,
            words=given.get("words", ""),
            valence=given.get("valence") or "neutral",
            began_on=_day(given.get("on", ""), page_.today),
            by=by,
            at=at,
        )

    if request.method == "POST":
        reasons, status = send(request, {"tell": told})
        if not reasons:
            return redirect(reverse("my_events") + "?sent")
    context = {
        "page_title": "Tell us something",
        "telling": page_,
        "reasons": reasons,
        "typed": request.POST,
        "hows": HOW_IT_WAS,
        "sent": "sent" in request.GET,
    }
    return render(request, "safety/tell.html", context, status=status)


def _day(text: str, today: date) -> date:
    return day(text) if text else today
