"""An entry as a device's outbox sends it (web/static/keel/outbox.js)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest

from keel.web.layout.page import malformed


@dataclass(frozen=True)
class Entry:
    """What was entered: `occurred_at` is set right by how far the device's clock is off."""

    id: str
    kind: str
    course: str
    occurred_at: datetime
    payload: Mapping[str, Any]


def entry_of(request: HttpRequest, at: datetime) -> Entry:
    """Read one entry. The device says when it sent it; what its clock is ahead or behind is taken off."""
    try:
        said = json.loads(request.body)
        occurred_at = _instant(said["occurred_at"])
        sent_at = _instant(request.headers["X-Keel-Sent-At"]) if "X-Keel-Sent-At" in request.headers else at
        entry = Entry(
            str(said["id"]),
            str(said["kind"]),
            str(said["course"]),
            min(occurred_at + (at - sent_at), at),
            said["payload"],
        )
        if not isinstance(entry.payload, Mapping):
            raise TypeError
        return entry
    except (ValueError, KeyError, TypeError, OverflowError):
        raise malformed(
            "The entry was not taken", "it is not whole", "Reload the page; what waits on the device is sent again"
        ) from None


def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return found
