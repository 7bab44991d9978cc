"""Questionnaires at the desk: what is asked, what stands, paper keyed fast, ratings that wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import assessment as act
from keel.domain.errors import Refused
from keel.domain.events import Actor
from keel.domain.instrument import Instrument
from keel.domain.questionnaire import typed
from keel.queries import assessment as ask
from keel.queries.course import visit_meant
from keel.web.course.tabs import tabs
from keel.web.layout.page import malformed, page, status_of

NO_VISIT = "-"


@page("see_responses", methods=("GET", "POST"))
def listing(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    """Every questionnaire of a course, visit by visit; a POST lays one more before the participant."""
    reasons, status = (), 200
    if request.method == "POST":
        try:
            instrument = request.POST.get("instrument", "")
            act.begin(course=course, instrument=instrument, visit="", respondent="participant", by=by, at=at)
            return redirect("responses", course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    found = ask.questionnaires(course=course, by=by, at=at)
    known = {
        "page_title": f"Questionnaires of {found.strip.code}",
        "course": found.strip,
        "tabs": tabs(course, by, "responses"),
        "found": found,
        "reasons": reasons,
        "given": request.POST,
    }
    return render(request, "assessment/listing.html", known, status=status)


@page("see_responses", methods=("GET", "POST"))
def one(request: HttpRequest, *, by: Actor, at: datetime, course: str, response: str) -> HttpResponse:
    """One response: items, scores, history. A POST amends it."""
    reasons, status = (), 200
    if request.method == "POST":
        try:
            definition = ask.definition_for(course=course, response=response, by=by, at=at)
            items = _items(definition, request.POST, "item")
            act.amend_response(
                course=course, event=response, items=items, reason=request.POST.get("reason", ""), by=by, at=at
            )
            return redirect("response", course=course, response=response)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    found = ask.response(course=course, response=response, by=by, at=at)
    known = {
        "page_title": f"{found.title} of {found.strip.code}",
        "course": found.strip,
        "tabs": tabs(course, by, "responses"),
        "found": found,
        "rows": _rows(found.form.items, request.POST, reasons),
        "reasons": reasons,
        "given": request.POST,
    }
    return render(request, "assessment/response.html", known, status=status)


@page("enter_paper", methods=("GET", "POST"))
def enter(request: HttpRequest, *, by: Actor, at: datetime, course: str, visit: str, instrument: str) -> HttpResponse:
    """Key a sheet of paper, or rate at the desk. `?twice` asks for a second entry and compares."""
    visit = "" if visit == NO_VISIT else visit_meant(course=course, told=visit, by=by, at=at)
    asked = {"respondent": request.GET.get("of", "")}
    reasons, status = (), 200
    given = request.POST
    twice = "twice" in request.GET
    if request.method == "POST":
        try:
            done = _enter(request, by, at, course, visit, instrument, asked["respondent"], twice)
            if "scores" not in done:  # kept as the first of two entries
                return redirect("responses", course=course)
            return redirect("response", course=course, response=done["response"])
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    found = ask.sheet(course=course, visit=visit, instrument=instrument, by=by, at=at, **asked)
    known = {
        "page_title": f"Enter {found.form.title}",
        "course": found.strip,
        "tabs": tabs(course, by, "responses"),
        "sheet": found,
        "rows": _rows(found.form.items, given, reasons),
        "contexts": [
            {"name": name, "says": says, "kind": kind, "choices": choices, "value": given.get(f"context-{name}", value)}
            for name, says, kind, choices, value in found.contexts
        ],
        "twice": twice,
        "differ": any(reason.code == "entries-differ" for reason in reasons) and found.first_by,
        "reasons": reasons,
        "given": given,
    }
    return render(request, "assessment/enter.html", known, status=status)


@page("enter_paper", methods=("GET", "POST"))
def again(request: HttpRequest, *, by: Actor, at: datetime, course: str, response: str) -> HttpResponse:
    """A second rater's rating of a visit that was rated: an empty sheet, and nothing of the first rating."""
    reasons, status = (), 200
    found = ask.sheet_again(course=course, response=response, by=by, at=at)
    if request.method == "POST":
        try:
            definition = ask.definition_for(course=course, response=response, by=by, at=at)
            items = _items(definition, request.POST, "item")
            act.rate_again(course=course, response=response, items=items, by=by, at=at)
            return redirect("responses", course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    known = {
        "page_title": f"Second rating: {found.form.title}",
        "course": found.strip,
        "tabs": tabs(course, by, "responses"),
        "sheet": found,
        "rows": _rows(found.form.items, request.POST, reasons),
        "reasons": reasons,
        "given": request.POST,
    }
    return render(request, "assessment/again.html", known, status=status)


@page("see_agreement")
def agreement(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """How far two raters agree who rated the same visits without seeing each other's ratings."""
    found = ask.agreement(by=by, at=at)
    return render(request, "assessment/agreement.html", {"page_title": "Agreement of raters", "found": found})


@page("see_shelf")
def shelf(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """Which questionnaires may be shown with their words, and whom to ask for the others."""
    found = ask.shelf_rights(by=by, at=at)
    known = {
        "page_title": "Questionnaires and their licences",
        "free": [right for right in found if right.licence == "W"],
        "licensed": [right for right in found if right.licence != "W" and right.languages],
        "asking": [right for right in found if right.must_ask],
    }
    return render(request, "assessment/shelf.html", known)


def _enter(
    request: HttpRequest,
    by: Actor,
    at: datetime,
    course: str,
    visit: str,
    instrument: str,
    respondent: str,
    twice: bool,
) -> Mapping[str, Any]:
    given = request.POST
    definition = ask.definition_of(instrument=instrument, by=by)
    done = act.enter(
        course=course,
        visit=visit,
        instrument=instrument,
        items=_items(definition, given, "item"),
        again=_items(definition, given, "again") if twice else None,
        context=_context(definition, given),
        respondent=respondent,
        paper=given.get("paper") != "no",
        on=_day(given.get("on", "")),
        keep_first=given.get("do") == "first",
        settled="settled" in given,
        by=by,
        at=at,
    )
    return done.payload


def _items(definition: Instrument, given: Any, prefix: str) -> dict[str, Any]:
    """The fields of a sheet as answers by item."""
    return {
        item.id: value
        for item in definition.items
        if (value := typed(item, ",".join(given.getlist(f"{prefix}-{item.id}")))) is not None
    }


def _context(definition: Instrument, given: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, context in definition.contexts.items():
        text = given.get(f"context-{name}", "").strip()
        if text and context.kind == "number":
            try:
                found[name] = float(text) if "." in text else int(text)
            except ValueError:
                found[name] = text
        elif text:
            found[name] = text == "yes" if context.kind == "yes_no" else text
    return found


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise malformed("The questionnaire was not entered", f"{text!r} is no date", "Give the day") from None


def _rows(items: Any, given: Any, reasons: Any) -> list[dict[str, Any]]:
    """Each item with its field: what was typed is kept, and what is wrong with it stands beside it."""
    wrong = {reason.where.rpartition(", ")[2].removeprefix("item "): reason for reason in reasons if reason.where}
    rows = []
    for item in items:
        choices = [option for option in item.options if option.value not in ("prefer_not", "not_applicable")]
        short = all(len(option.value) <= 3 for option in choices)
        rows.append(
            {
                "item": item,
                "value": ",".join(given.getlist(f"item-{item.id}")) if given else item.value,
                "again": ",".join(given.getlist(f"again-{item.id}")) if given else "",
                "kind": "pick" if item.kind == "choice" and not short else "words" if item.kind == "many" else "code",
                "choices": choices,
                "codes": " ".join(option.value for option in choices),
                "hint": " · ".join(
                    option.value if option.label == option.value else f"{option.value} {option.label}"
                    for option in choices
                )
                or f"{item.min} to {item.max}",
                "wrong": wrong.get(item.id),
            }
        )
    return rows


@page("enter_paper")
def ratings(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """The ratings that wait for the reader. Codes only: a blinded rater learns neither name nor arm nor date."""
    known = {"page_title": "Ratings that wait", "due": ask.ratings_due(by=by, at=at)}
    return render(request, "assessment/ratings.html", known)
