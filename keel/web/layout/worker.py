"""The service worker lies at the root, so that it may see every page."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from django.contrib.staticfiles import finders
from django.http import HttpRequest, HttpResponse

from keel.domain.events import Actor
from keel.web.layout.page import page


@page("see_help", open_to_all=True)
def worker(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """A static file with another address: as open as help is."""
    answer = HttpResponse(Path(finders.find("keel/sw.js")).read_bytes(), content_type="text/javascript")
    answer.headers["Cache-Control"] = "no-cache"
    return answer
