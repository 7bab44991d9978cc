"""The door of every page: who is asking, may they, and how a refusal looks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from keel.actions.now import now
from keel.domain import access
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.queries import account

View = Callable[..., HttpResponse]
STATUS = {"forbidden": 403, "not-found": 404, "unknown-id": 404}


def page(
    what: str, *, methods: tuple[str, ...] = ("GET",), open_to_links: bool = False, open_to_all: bool = False
) -> Callable[[View], View]:
    """Make a view of a page: `what` is its row in domain/access.py; the view gets `by` (the actor) and `at` (now).

    A Refused that the view lets through becomes a page with its reasons. `open_to_links` pages are the participant's;
    `open_to_all` pages are shown to whoever comes, as nobody in particular.
    """
    if what not in access.TABLE:
        raise KeyError(f"domain/access.py has no row for {what!r}")

    def dress(view: View) -> View:
        @wraps(view)
        def answer(request: HttpRequest, **given: Any) -> HttpResponse:
            if request.method not in methods:
                return _not_so(request, methods)
            at = now()
            by = participant(request, at) if open_to_links or open_to_all else None
            by = by or staff(request) or (access.NOBODY if open_to_all else None)
            request.actor = by
            if by is None:
                return redirect("link_over" if open_to_links else f"/account/login/?next={request.path}")
            try:
                access.check_role(by, what)
                with timezone.override(account.zone(by.site)):  # people read the clock on their wall
                    return view(request, by=by, at=at, **given)
            except Refused as refused:
                return refusal(request, refused)

        answer.door = what
        answer.methods = methods
        answer.open_to_links = open_to_links
        answer.open_to_all = open_to_all
        return answer

    return dress


def _not_so(request: HttpRequest, methods: tuple[str, ...]) -> HttpResponse:
    """What takes only forms was opened as a page (a bookmark, a reload), or the other way round."""
    reason = Reason("There is nothing to see here", "this address only takes what a page sends", "Go back to that page")
    answer = render(request, "layout/refused.html", {"page_title": reason.what, "reasons": [reason]}, status=405)
    answer.headers["Allow"] = ", ".join(methods)
    return answer


def actor(request: HttpRequest) -> Actor | None:
    """Who is asking, also on pages outside the table: those of signing in, and those that say what went wrong."""
    if not hasattr(request, "actor"):
        known = hasattr(request, "user") and hasattr(request, "session")
        link = participant(request, now()) if known else None
        # Who is both (in the demo) is the participant on the participant's own pages only.
        own = link is not None and request.path.startswith("/me")
        request.actor = link if own else (staff(request) or link) if known else None
    return request.actor


def staff(request: HttpRequest) -> Actor | None:
    """The signed-in member of staff in the role they chose (the first they hold until they choose)."""
    if not request.user.is_authenticated:
        return None
    held = account.memberships(str(request.user.pk))
    request.memberships = held
    if not held:
        return Actor(id=str(request.user.pk), role="none", site="-")
    chosen = next((m for m in held if m.key == request.session.get("acting")), held[0])
    request.acting = chosen
    return Actor(id=str(request.user.pk), role=chosen.role, site=chosen.site, device=_device(request))


def participant(request: HttpRequest, at: datetime) -> Actor | None:
    """The participant whose link was opened and confirmed in this browser, while the link works."""
    opened = request.session.get("link")
    link = account.link_by_id(opened, at=at) if opened else None
    if link is None:
        return None
    courses = account.courses_of(link.participant)
    if not courses:
        return None
    return Actor(
        id=link.participant,
        role="participant",
        site=courses[0][1],
        device=_device(request),
        courses=tuple(c for c, _ in courses),
    )


def _device(request: HttpRequest) -> str:
    return str(request.headers.get("X-Keel-Device", ""))[:40]


def status_of(refused: Refused) -> int:
    """403 forbidden, 404 not there, 409 refused by a rule."""
    return STATUS.get(refused.reasons[0].code, 409)


def refusal(request: HttpRequest, refused: Refused) -> HttpResponse:
    """A refusal as an answer: JSON for programs, a page with the reasons for people."""
    status = status_of(refused)
    if wants_json(request):
        return JsonResponse({"status": "refused", "reasons": [r.as_json() for r in refused.reasons]}, status=status)
    return render(request, "layout/refused.html", {"page_title": "Refused", "reasons": refused.reasons}, status=status)


def wants_json(request: HttpRequest) -> bool:
    return request.content_type == "application/json" or "application/json" in request.headers.get("Accept", "")


def malformed(what: str, why: str, mend: str) -> Refused:
    """A form or message that could not be read."""
    return Refused(Reason(what, why, mend, code="malformed"))
