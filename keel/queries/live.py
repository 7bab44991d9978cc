"""The journal's tail as a page may see it: which stream moved and how, never the words."""

from __future__ import annotations

from typing import Any

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
                "kind": event.kind,
                "id": event.id,
                "position": event.position,
                "occurred_at": event.occurred_at.isoformat(),
            },
        )
        for place, event in journal.tail(after)
    ]


def end() -> Place:
    return journal.end()
