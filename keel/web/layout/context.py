"""What every template is given: who is signed in, the menu, whether all this is simulated."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from keel.domain import access

# (what of domain/access.py, name of the page, words in the menu): one line here puts a page into the menu.
MENU: tuple[tuple[str, str, str], ...] = (
    ("see_caseload", "caseload", "Caseload"),
    ("see_calendar", "calendar", "Calendar"),
    ("see_study", "study_index", "Studies"),
    ("see_team", "team", "Team"),
)


def page(request: HttpRequest) -> dict[str, Any]:
    """`me`, `nav`, `simulated`, `home`, `sign_out` of layout/page.html."""
    by = getattr(request, "actor", None)
    known: dict[str, Any] = {"simulated": settings.SIMULATED, "worker": "", "theme": request.COOKIES.get("theme", "")}
    if by is None or by.role in ("participant", "none"):
        return known
    acting = getattr(request, "acting", None)
    known["me"] = {
        "name": request.user.name,
        "roles": [access.ROLES[by.role]],
        "site": acting.site_name if acting else by.site,
    }
    known["memberships"] = [] if acting is None else [m for m in request.memberships if m != acting]  # type: ignore[attr-defined]
    known["sign_out"] = "/account/logout/"
    known["nav"] = [
        {"url": (url := reverse(name)), "label": label, "current": request.path == url}
        for what, name, label in MENU
        if access.may(by, what)
    ]
    return known
