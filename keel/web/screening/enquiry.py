"""Somebody asks: the form that opens a course, and the first conversation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import screening as actions
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor, new_id
from keel.domain.screening import FAILED_BECAUSE, OUTCOMES, PRE_SCREEN, SOURCES
from keel.queries import screening as queries
from keel.web.course.tabs import tabs
from keel.web.layout.page import page, status_of
from keel.web.screening.typed import day, field, options, wrong

_TEXT = ("name", "phone", "email", "language", "contact_name", "contact_phone", "source", "referred_by")
ANSWERS = {"yes": True, "no": False, "unknown": None}


@page("open_course", methods=("GET", "POST"))
def new(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """A new enquiry. The page carries the id of the course to be, so that sending it twice opens one."""
    form = queries.enquiry_form(by=by)
    reasons: tuple[Reason, ...] = ()
    status, given = 200, request.POST
    if request.method == "POST":
        try:
            opened = actions.open_course(
                site=by.site,
                study=given.get("study", ""),
                born_on=day(given.get("born_on", ""), what="The course was not opened", where="born_on"),
                **{name: given.get(name, "") for name in _TEXT},
                id=given.get("id") or None,
                by=by,
                at=at,
            )
            return redirect("pre_screen", course=opened.stream.partition(":")[2])
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    context = {
        "page_title": "New enquiry",
        "form": form,
        "id": given.get("id") or new_id(),
        "reasons": reasons,
        "groups": _groups(form, given, reasons),
    }
    return render(request, "screening/enquiry.html", context, status=status)


def _groups(form: queries.EnquiryForm, given: Any, reasons: tuple[Reason, ...]) -> list[tuple[str, str, list[Any]]]:
    def f(name: str, label: str, **more: Any) -> dict[str, Any]:
        return field(name, label, given=given, reasons=reasons, **more)

    studies = options(dict(form.studies), "" if len(form.studies) == 1 else "Choose")
    return [
        (
            "Who they are",
            "Kept in the vault, encrypted, apart from the record. The birth date is what they confirm on the phone.",
            [
                f("name", "First and last name", required=True, autocomplete="off"),
                f("born_on", "Date of birth", kind="date", required=True, short=True),
            ],
        ),
        (
            "How to reach them",
            "A telephone or an email is needed.",
            [
                f("phone", "Telephone", kind="tel", autocomplete="off"),
                f("email", "E-mail", kind="email", autocomplete="off"),
                f("language", "Language", value="en", short=True, required=True, hint="A code such as en or de."),
            ],
        ),
        (
            "Somebody close to them",
            "Whom we may call in need.",
            [f("contact_name", "Name", autocomplete="off"), f("contact_phone", "Telephone", kind="tel")],
        ),
        (
            "How they came",
            "",
            [
                f("study", "Study", kind="select", required=True, options=studies),
                f("source", "How they found us", kind="select", required=True, options=options(SOURCES), value="self"),
                f("referred_by", "Who referred them", hint="Sealed with their own key."),
            ],
        ),
    ]


@page("pre_screen", methods=("GET", "POST"))
def pre_screen(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    """The first conversation: a few questions, and whether to go on."""
    reasons: tuple[Reason, ...] = ()
    status, given = 200, request.POST
    if request.method == "POST":
        try:
            actions.pre_screen(
                course=course,
                answers={name: ANSWERS.get(given.get(name, "unknown")) for name in PRE_SCREEN},
                outcome=given.get("outcome", ""),
                reason=given.get("reason", ""),
                words=given.get("words", ""),
                by=by,
                at=at,
            )
            return redirect("screening", course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    seen = queries.sheet(course=course, by=by, at=at)
    context = {
        "page_title": f"First conversation, {seen.strip.code}",
        "course": seen.strip,
        "tabs": tabs(course, by, "screening"),
        "seen": seen,
        "reasons": reasons,
        "questions": [(name, ask, given.get(name, "unknown")) for name, ask in PRE_SCREEN.items()],
        "outcomes": OUTCOMES.items(),
        "outcome": given.get("outcome", ""),
        "outcome_wrong": wrong("outcome", reasons),
        "why": field(
            "reason",
            "Reason",
            given=given,
            reasons=reasons,
            kind="select",
            options=options(FAILED_BECAUSE, "Only where it ends here"),
        ),
        "words": field("words", "Note", given=given, kind="textarea", rows=3, hint="Sealed with their own key."),
    }
    return render(request, "screening/pre_screen.html", context, status=status)
