"""The participant's own pages: what is next, my course, my journal, help now."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from keel.actions import integration, preparation
from keel.actions import participant as act
from keel.domain.errors import Refused
from keel.domain.events import Actor
from keel.queries import participant as ask
from keel.queries import screening
from keel.web.layout.page import malformed, page, status_of


@page("see_own_course", open_to_links=True)
def today(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    found = ask.today(by=by, at=at)
    papers = [paper for paper in screening.my_papers(by=by, at=at) if paper.state == "due"]
    known = {"page_title": "Today", "today": found, "papers": papers, "sent": "sent" in request.GET}
    return render(request, "participant/today.html", known)


@page("see_own_course", methods=("GET", "POST"), open_to_links=True)
def course(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """My course: reading, intentions, fears, the people beside me, commitments."""
    reasons, typed, status = (), {}, 200
    if request.method == "POST":
        try:
            _say(request, by, at)
            return redirect(reverse("my_course") + "#" + request.POST.get("what", ""))
        except Refused as refused:
            reasons, typed, status = refused.reasons, request.POST, status_of(refused)
    known = {"page_title": "My course", "mine": ask.my_course(by=by, at=at), "reasons": reasons, "typed": typed}
    return render(request, "participant/course.html", known, status=status)


def _say(request: HttpRequest, by: Actor, at: datetime) -> None:
    given = request.POST
    about = {"course": given.get("course", ""), "by": by, "at": at, "id": given.get("id") or None}
    words = given.get("words", "")
    match given.get("what"):
        case "intention":
            preparation.set_intention(**about, words=words)
        case "fear":
            preparation.note_fears(**about, words=words)
        case "support":
            preparation.name_support_person(**about, words=words)
        case "ride":
            preparation.confirm_ride_home(**about, confirmed=given.get("confirmed") == "yes", words=words)
        case "commitment":
            integration.keep_commitment(
                **about, commitment=given.get("commitment", ""), outcome=given.get("outcome", "")
            )
        case _:
            raise malformed("Nothing was kept", "the form was not whole", "Reload the page and try again")


@page("write_journal", methods=("GET", "POST"), open_to_links=True)
def journal(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """My journal: private, shared page by page."""
    reasons, typed, status = (), {}, 200
    if request.method == "POST":
        given = request.POST
        about = {"course": given.get("course", ""), "by": by, "at": at}
        try:
            if "entry" in given:
                act.share_journal(**about, entry=given["entry"], shared=given.get("shared") == "yes")
            else:
                act.write_journal(**about, words=given.get("words", ""))
            return redirect("my_journal")
        except Refused as refused:
            reasons, typed, status = refused.reasons, given, status_of(refused)
    mine, pages = ask.my_journal(by=by, at=at)
    known = {"page_title": "Journal", "course": mine, "pages": pages, "reasons": reasons, "typed": typed}
    return render(request, "participant/journal.html", known, status=status)


@page("see_help", open_to_all=True)
def help_now(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """Where help is: shown to everybody, link or not."""
    known = {
        "page_title": "Help now",
        "help": ask.help_now(by=by),
        "course": by.courses[0] if by.courses else "",
        "called": "called" in request.GET,
    }
    return render(request, "participant/help.html", known)


@page("ask_for_help", methods=("POST",), open_to_links=True)
def call(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """Call my team."""
    act.ask_for_help(course=by.courses[0], by=by, at=at)
    return redirect(reverse("help_now") + "?called")
