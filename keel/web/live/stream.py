"""Tickets for live streams: a page that may see a course signs what its stream may follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core import signing
from django.db import close_old_connections

from keel.domain.errors import refuse
from keel.queries import live
from keel.queries.live import Place

MAX_AGE_SECONDS = 12 * 3600


@dataclass(eq=False)
class Listener:
    """One open stream, and the journal streams whose movements it is told of."""

    streams: frozenset[str]

    def hears(self, said: dict[str, Any]) -> bool:
        """Whether an event of the tail is for this listener: by its stream, or by a feed such as `alerts:north`."""
        return said["stream"] in self.streams or said["feed"] in self.streams


def ticket(streams: Sequence[str]) -> str:
    """A signed ticket for a page whose door has been passed already."""
    return signing.dumps(list(streams), salt="live", compress=True)


def ticket_streams(text: str) -> Listener:
    """The listener of a ticket; refuses one that is forged or too old."""
    try:
        return Listener(frozenset(signing.loads(text, salt="live", max_age=MAX_AGE_SECONDS)))
    except signing.BadSignature:
        raise refuse("The stream was not opened", "its ticket is not valid any more", "Reload the page") from None


def read_tail(place: Place) -> list[tuple[Place, dict[str, Any]]]:
    """The tail, in the hub's own thread: a connection that the database closed is opened anew."""
    close_old_connections()
    return live.read_tail(place)


def end() -> Place:
    close_old_connections()
    return live.end()
