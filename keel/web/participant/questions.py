"""Questionnaires on the phone: one item at a time, by the page's script or as a plain form."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from keel.actions import assessment
from keel.domain.answers import PREFER_NOT
from keel.domain.errors import Refused
from keel.domain.events import Actor
from keel.domain.questionnaire import typed
from keel.queries import participant as ask
from keel.web.layout.page import malformed, page, status_of
from keel.web.participant.outbox import entry_of


@page("answer", methods=("POST",), open_to_links=True)
def begin(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """Begin a questionnaire of a visit, or go on with it."""
    given = request.POST
    done = assessment.begin(
        course=given.get("course", ""),
        instrument=given.get("instrument", ""),
        visit=given.get("visit", ""),
        respondent="participant",
        by=by,
        at=at,
    )
    return redirect("my_questions", response=done.payload["response"])


@page("answer", methods=("GET", "POST"), open_to_links=True)
def questions(request: HttpRequest, *, by: Actor, at: datetime, response: str) -> HttpResponse:
    """A questionnaire at one of its items. A POST is the plain form: it keeps the answer and shows the next item."""
    item = request.GET.get("at", "")
    reasons, status = (), 200
    if request.method == "POST":
        try:
            return redirect(_step(request, by, at, response, item))
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    found = ask.filling(response=response, by=by, at=at, item=item, help_now="help" in request.GET)
    if found.finished:
        return redirect(reverse("me") + "?sent")
    known = _page(found, reasons)
    if found.after_dose and request.COOKIES.get("keel_large") != "no":
        known["large"] = True
    answer = render(request, "participant/questions.html", known, status=status)
    answer.headers["Keel-Keep"] = "yes"  # the phone keeps it, to go on without a network
    return answer


def _step(request: HttpRequest, by: Actor, at: datetime, response: str, item: str) -> str:
    """Keep the answer of the plain form; gives where to go on."""
    course, definition = ask.definition_of(response=response, by=by)
    name = f"item-{item}"
    here = definition.item(item)
    given = request.POST.getlist(name)
    value = PREFER_NOT if PREFER_NOT in given else typed(here, ",".join(given))
    back = request.POST.get("step") == "back"
    place = reverse("my_questions", args=[response])
    if not back or value is not None:
        assessment.answer(course=course, response=response, item=item, value=value, by=by, at=at)
    help_now = "&help" if value is not None and value in ask.help_values(response=response, item=item, by=by) else ""
    following = ask.item_after(response=response, item=item, back=back, by=by)
    if not following:
        assessment.complete(course=course, response=response, by=by, at=at)
        return reverse("help_now") if help_now else reverse("me") + "?sent"
    return f"{place}?at={following}{help_now}"


def _page(found: ask.Filling, reasons: Any) -> dict[str, Any]:
    place = reverse("my_questions", args=[found.response])
    items = [{**vars(item), "current": item.id == found.at} for item in found.form.items]
    questionnaire = {
        "action": f"{place}?at={found.at}",
        "outbox_url": reverse("my_outbox"),
        "course": found.course,
        "owner": found.owner,
        "response": found.response,
        "instrument": found.form.id,
        "version": found.form.version,
        "title": found.form.plain_title,
        "lead_in": found.form.stem,
        "items": items,
        "matrix": found.form.is_matrix(),
        "done_url": reverse("me") + "?sent",
        "right_to_left": found.form.right_to_left,
        "language": found.form.language,
    }
    return {
        "page_title": found.form.plain_title,
        "questionnaire": questionnaire,
        "filling": found,
        "help": found.help,
        "reasons": reasons,
        "worker": "/sw.js",
    }


@page("answer", methods=("POST",), open_to_links=True)
def outbox(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """Entries from the phone's outbox, one by one: an answer, or the end of a questionnaire."""
    entry = entry_of(request, at)
    payload = entry.payload
    about: dict[str, Any] = {
        "course": entry.course,
        "response": str(payload.get("response", "")),
        "by": by,
        "at": at,
        "occurred_at": entry.occurred_at,
        "id": entry.id,
    }
    match entry.kind:
        case "answer_given":
            _, definition = ask.definition_of(response=about["response"], by=by)
            item = definition.item(str(payload.get("item", "")))
            done = assessment.answer(**about, item=item.id, value=typed(item, payload.get("value")))
        case "response_finished":
            done = assessment.complete(**about)
        case _:
            raise malformed("The entry was not taken", f"nobody knows {entry.kind!r} here", "Reload the page")
    return JsonResponse({"status": "already" if done.already else "recorded", "id": entry.id})
