"""The journal's tail as a page may see it: which stream moved and how, never the words."""

from __future__ import annotations

from typing import Any

from keel.domain.events import Event
from keel.records import journal
from keel.records.journal import Place

__all__ = ["Place", "end", "read_tail"]


def read_tail(after: Place) -> list[tuple[Place, dict[str, Any]]]:
    """Up to 500 events after a place: stream, kind, id and times. The page asks for the rest through its own door."""
    return [
        (
            place,
            {
                "stream": event.stream,
                "feed": _feed(event),
                "kind": event.kind,
                "id": event.id,
                "position": event.position,
                "occurred_at": event.occurred_at.isoformat(),
            },
        )
        for place, event in journal.tail(after)
    ]


def _feed(event: Event) -> str:
    """What a page follows that is about many courses at once: the alerts of a site, also of courses to come."""
    site = event.payload.get("site", "")
    return f"alerts:{site}" if site and event.kind.startswith("alert_") else ""


def end() -> Place:
    return journal.end()
