"""What every template is given: who is signed in, the menu, whether all this is simulated."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from keel.domain import access
from keel.domain.events import Actor
from keel.queries import safety
from keel.web.layout.page import actor

# (what of domain/access.py, name of the page, words in the menu): one line here puts a page into the menu.
Menu = tuple[tuple[str, str, str], ...]
MENU: Menu = (
    ("see_caseload", "caseload", "Caseload"),
    ("see_alerts", "alerts", "Alerts"),
    ("see_calendar", "calendar", "Calendar"),
    ("enter_paper", "ratings", "Ratings"),
    ("see_cohorts", "cohorts", "Cohorts"),
    ("see_study", "study_index", "Studies"),
    ("see_insight", "insight", "Insight"),
    ("see_team", "team", "Team"),
    ("open_course", "enquiry", "New enquiry"),
)
POCKET: Menu = (
    ("see_own_course", "me", "Today"),
    ("see_own_course", "my_course", "My course"),
    ("write_journal", "my_journal", "Journal"),
)
"""The participant's menu, at the bottom of the phone."""


def page(request: HttpRequest) -> dict[str, Any]:
    """`me`, `nav`, `simulated`, `home`, `sign_out` of layout/page.html."""
    by = actor(request)
    chosen = request.COOKIES.get("keel_theme", "")
    known: dict[str, Any] = {"simulated": settings.SIMULATED, "theme": chosen if chosen in ("light", "dim") else ""}
    known["large"] = request.COOKIES.get("keel_large") == "yes"
    if by is not None and by.role == "participant":
        return {
            **known,
            "base": "layout/pocket.html",
            "home": reverse("me"),
            "help_now": reverse("help_now"),
            "nav": _nav(request, by, POCKET),
        }
    if by is None or by.role in ("none", "nobody"):
        return known
    acting = getattr(request, "acting", None)
    known["me"] = {
        "name": request.user.name,
        "roles": [access.ROLES[by.role]],
        "site": acting.site_name if acting else by.site,
    }
    known["memberships"] = [] if acting is None else [m for m in request.memberships if m != acting]
    known["sign_out"] = "/account/logout/"
    known["nav"] = _nav(request, by, MENU)
    return known


def _nav(request: HttpRequest, by: Actor, menu: Menu) -> list[dict[str, Any]]:
    return [
        {"url": (url := reverse(name)), "label": label, "current": request.path == url, **_count(name, by)}
        for what, name, label in menu
        if access.may(by, what)
    ]


def _count(name: str, by: Actor) -> dict[str, Any]:
    """The number beside a menu entry: how many alerts wait for somebody."""
    if name != "alerts":
        return {}
    waiting, urgent = safety.count(by=by)
    return {"count": waiting, "state": "stop" if urgent else ""}
