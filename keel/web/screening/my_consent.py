"""The participant's own documents on the phone: one thought a screen, one question at a time, then the signature."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from keel.actions import screening as actions
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.queries import screening as queries
from keel.queries.screening import MyReading
from keel.web.layout.page import malformed, page, status_of
from keel.web.screening.paper import as_pdf


@page("see_own_course", open_to_links=True)
def index(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """The documents that were given to me."""
    context = {"page_title": "What you agree to", "papers": queries.my_papers(by=by, at=at), "home": "/me/"}
    return render(request, "screening/my_consents.html", context)


@page("see_own_course", methods=("GET", "POST"), open_to_links=True)
def document(request: HttpRequest, *, by: Actor, at: datetime, document: str) -> HttpResponse:
    """One screen of a document: a section, a question, the signature, or where it stands."""
    reading = queries.my_reading(document=document, by=by, at=at)
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        try:
            return redirect(_do(request, reading, by, at))
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    step = request.POST.get("step") or request.GET.get("step", "") or _first(reading)
    context: dict[str, Any] = {
        "page_title": reading.document.title,
        "reading": reading,
        "reasons": reasons,
        "language": reading.document.language,
        "home": "/me/",
        "typed": request.POST,
        **_screen(reading, step, request.GET.get("again", "")),
    }
    return render(request, "screening/my_consent.html", context, status=status)


def _first(reading: MyReading) -> str:
    """Where somebody who comes back goes on."""
    if reading.paper.signed_at or reading.paper.withdrawn_at:
        return "done"
    if reading.paper.passed:
        return "sign"
    return "questions" if reading.answers else "1"


def _screen(reading: MyReading, step: str, again: str) -> dict[str, Any]:
    """What the screen `step` shows, and where it leads."""
    sections = reading.document.sections
    if step.isdigit() and 1 <= int(step) <= len(sections):
        number = int(step)
        return {
            "kind": "section",
            "section": sections[number - 1],
            "number": number,
            "of": len(sections),
            "back": number - 1,
            "onward": str(number + 1) if number < len(sections) else _after(reading),
        }
    if step == "questions" and not reading.paper.signed_at:
        question = reading.document.question(again) or reading.next_question
        if question is None:
            return {"kind": "sign"}
        right = sum(reading.answers.get(q.id) == q.right for q in reading.document.questions)
        return {
            "kind": "question",
            "question": question,
            "again": bool(again),
            "number": right + 1,
            "right": right,
            "of": len(reading.document.questions),
        }
    if step == "sign" and reading.paper.passed and not (reading.paper.signed_at or reading.paper.withdrawn_at):
        return {"kind": "sign"}
    return {"kind": "stop" if step == "stop" and not reading.paper.withdrawn_at else "done"}


def _after(reading: MyReading) -> str:
    if reading.paper.signed_at or reading.paper.withdrawn_at:
        return "done"
    return "sign" if reading.paper.passed else "questions"


def _do(request: HttpRequest, reading: MyReading, by: Actor, at: datetime) -> str:
    """Do what was sent; gives the address to go on at."""
    given = request.POST
    here = reverse("my_consent", kwargs={"document": reading.document.id})
    said: dict[str, Any] = {"course": reading.course, "document": reading.document.id, "by": by, "at": at}
    form = given.get("form", "")
    if form == "answer":
        question = reading.document.question(given.get("question", ""))
        choice = given.get("choice", "")
        if question is None or not choice:
            raise malformed("No answer was taken", "none was chosen", "Choose one of the answers")
        actions.answer_comprehension(answers={question.id: choice}, **said)
        if choice != question.right:
            return f"{here}?step=questions&again={question.id}"
        return f"{here}?step=questions"
    if form == "sign":
        if not given.get("free"):
            raise malformed(
                "The document was not signed", "the box above the name is not ticked", "Tick it if you agree"
            )
        actions.sign_consent(name=given.get("name", ""), **said)
        return here
    if form == "stop":
        actions.withdraw_consent(words=given.get("words", ""), **said)
        return here
    raise malformed("Nothing was sent", "the page sent no form that it has", "Go back and try again")


@page("see_own_course", open_to_links=True)
def paper(request: HttpRequest, *, by: Actor, at: datetime, document: str) -> HttpResponse:
    """My copy."""
    return as_pdf(queries.my_signed_paper(document=document, by=by, at=at), at)
