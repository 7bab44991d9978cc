"""The service worker lies at the root, so that it may see every page."""

from __future__ import annotations

from django.contrib.staticfiles import finders
from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe


@require_safe
def worker(request: HttpRequest) -> HttpResponseBase:
    """Open to all: it is a static file with another address."""
    answer = FileResponse(open(finders.find("keel/sw.js"), "rb"), content_type="text/javascript")  # noqa: SIM115
    answer.headers["Cache-Control"] = "no-cache"
    return answer
