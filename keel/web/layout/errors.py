"""Pages for what went wrong outside a view."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from keel.domain.errors import Reason
from keel.web.layout.page import wants_json


def csrf(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _say(
        request,
        Reason(
            "Nothing was written",
            "this page was open for too long or came from elsewhere",
            "Reload it and send it again",
        ),
        403,
    )


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _say(
        request,
        Reason("There is no such page", "the address leads nowhere", "Go back, or start from your first page"),
        404,
    )


def failed(request: HttpRequest) -> HttpResponse:
    reason = Reason(
        "Something went wrong on our side", "nothing was written", "Try again; if it stays so, tell your site"
    )
    if wants_json(request):
        return _say(request, reason, 500)
    # Without the context of other pages: what failed may be the database that it would ask.
    page = render_to_string("layout/refused.html", {"page_title": reason.what, "reasons": [reason]})
    return HttpResponse(page, status=500)


def _say(request: HttpRequest, reason: Reason, status: int) -> HttpResponse:
    if wants_json(request):
        return JsonResponse({"status": "refused", "reasons": [reason.as_json()]}, status=status)
    return render(request, "layout/refused.html", {"page_title": reason.what, "reasons": [reason]}, status=status)
