"""A personal link: it opens with a date of birth, and says plainly when it is over."""

from __future__ import annotations

from datetime import date, datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import participant as act
from keel.domain.access import NOBODY
from keel.domain.errors import Refused
from keel.domain.events import Actor
from keel.queries import account
from keel.queries import participant as ask
from keel.web.layout.page import malformed, page, status_of


@page("open_link", methods=("GET", "POST"), open_to_all=True)
def open_(request: HttpRequest, *, by: Actor, at: datetime, secret: str) -> HttpResponse:
    """Ask for the date of birth; the right one lets this browser in."""
    if not ask.link_works(secret=secret, by=by, at=at):
        return redirect("link_over")
    reasons, typed = (), request.POST
    if request.method == "POST":
        try:
            act.confirm_link(secret=secret, born_on=_day(typed), by=NOBODY, at=at)
            found = account.link(secret, at=at)
            if found is None:
                return redirect("link_over")
            request.session.flush()  # whoever used this browser before is out
            request.session["link"] = found.id
            return redirect("me")
        except Refused as refused:
            if refused.reasons[0].code == "link-over":
                return redirect("link_over")
            reasons, status = refused.reasons, status_of(refused)
            return render(request, "participant/link.html", _page(reasons, typed), status=status)
    return render(request, "participant/link.html", _page(reasons, typed))


def _page(reasons: object, typed: object) -> dict[str, object]:
    return {"page_title": "Open your page", "reasons": reasons, "typed": typed}


def _day(typed: object) -> date:
    try:
        return date(*(int(typed.get(part, "")) for part in ("year", "month", "day")))
    except ValueError:
        raise malformed(
            "Your page was not opened", "that is no date", "Write day, month and year as numbers, such as 4, 5 and 1986"
        ) from None


@page("open_link", open_to_all=True)
def over(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """A link that is over, was taken back, or has not been confirmed in this browser."""
    return render(request, "participant/over.html", {"page_title": "This page is closed"})
