"""The server's side of a live stream: an error of the database, or an unlucky moment, costs no screen an event."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from keel.config import live
from keel.web.live.stream import Listener, Place


class Record:
    """A journal that a test writes to, in the place of the real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[tuple[Place, dict[str, Any]]] = []
        self.fails = 0  # how many of the next reads fail
        self.before_end: list[str] = []  # what is written just before the hub asks where the journal ends
        monkeypatch.setattr(live, "hub", live.Hub())
        monkeypatch.setattr(live, "RETRY_SECONDS", 0)
        monkeypatch.setattr(live, "ticket_streams", lambda text: Listener(frozenset({"course:ada"})))
        monkeypatch.setattr(live, "end", self.end)
        monkeypatch.setattr(live, "read_tail", self.read_tail)

    def write(self, kind: str) -> None:
        said = {"stream": "course:ada", "feed": "", "kind": kind}
        self.events.append((Place(0, len(self.events) + 1), said))

    def _perhaps_fail(self) -> None:
        if self.fails:
            self.fails -= 1
            raise OSError("the database is away")

    def end(self) -> Place:
        self._perhaps_fail()
        while self.before_end:
            self.write(self.before_end.pop(0))
        return self.events[-1][0] if self.events else Place()

    def read_tail(self, after: Place) -> list[tuple[Place, dict[str, Any]]]:
        self._perhaps_fail()
        return [found for found in self.events if found[0] > after]


async def heard(number: int, after: str, meanwhile: Any = lambda: None) -> list[str]:
    """The kinds of the first `number` events that a page hears which was drawn at `after`."""
    kinds: list[str] = []
    enough = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        for line in message.get("body", b"").decode().splitlines():
            if line.startswith("data: "):
                kinds.append(json.loads(line[6:])["kind"])
        if len(kinds) >= number:
            enough.set()

    async def receive() -> dict[str, Any]:
        await enough.wait()
        return {"type": "http.disconnect"}

    scope = {"headers": [], "query_string": f"ticket=t&after={after}".encode()}
    stream = asyncio.create_task(live.live(scope, receive, send))
    await live.hub.ready.wait()
    meanwhile()
    await asyncio.wait_for(enough.wait(), 30)
    stream.cancel()
    return kinds


def test_what_is_written_while_the_first_screen_connects_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(monkeypatch)
    record.write("drawn")
    record.before_end = ["between"]
    assert asyncio.run(heard(2, "0.1", lambda: record.write("later"))) == ["between", "later"]


def test_a_database_that_was_away_does_not_end_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(monkeypatch)
    record.write("drawn")
    record.fails = 2

    def away_again() -> None:
        record.fails = 3
        record.write("later")

    assert asyncio.run(heard(1, "", away_again)) == ["later"]
