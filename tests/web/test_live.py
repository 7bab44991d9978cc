"""A live page hears every event once, also across dropped connections and a server that was away."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from tests.web import gallery

pytestmark = pytest.mark.browser


@dataclass
class Tail:
    """The server's tail: its events, how many times a page came, and whether it lets pages in and keeps them."""

    events: list[dict[str, str]] = field(default_factory=list)
    came: list[str] = field(default_factory=list)
    away: bool = False
    generation: int = 0
    closed: bool = False

    def happens(self, kind: str) -> None:
        self.events.append({"id": f"e{len(self.events) + 1}", "kind": kind})

    def after(self, last: str) -> int:
        return next((i + 1 for i, event in enumerate(self.events) if event["id"] == last), 0)


def handler_for(tail: Tail) -> type[gallery.Handler]:
    class Handler(gallery.Handler):
        def do_GET(self) -> None:
            if not self.path.startswith("/live"):
                super().do_GET()
                return
            query = parse_qs(urlparse(self.path).query)
            last = self.headers.get("Last-Event-ID") or query.get("after", [""])[0]
            tail.came.append(last)
            if tail.away:
                self.send_error(503)
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(b"retry: 100\n\n")
            place, generation = tail.after(last), tail.generation
            while generation == tail.generation and not tail.closed:
                for event in tail.events[place:]:
                    self.wfile.write(f"id: {event['id']}\ndata: {json.dumps(event)}\n\n".encode())
                place = len(tail.events)
                self.wfile.flush()
                time.sleep(0.02)

    return Handler


@pytest.fixture
def tail() -> Iterator[Tail]:
    made = Tail()
    yield made
    made.closed = True


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with gallery.chromium() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Any, tail: Tail, tmp_path: Path) -> Iterator[Any]:
    body = '<body data-live="/live" data-live-after="e1"><p data-live-says></p>'
    scripts = '<script src="/static/keel/live.js" type="module"></script>'
    (tmp_path / "listen.html").write_text(f"<!doctype html><title>Live</title>{body}<ol></ol>{scripts}</body>")
    tail.happens("before_the_page")
    with gallery.serving(tmp_path, handler_for(tail)) as address:
        page = browser.new_page()
        page.set_default_timeout(8_000)
        page.add_init_script("""
          window.heard = [];
          addEventListener("DOMContentLoaded", () => {
            for (const kind of ["dose_given", "vitals_recorded"])
              document.body.addEventListener(`keel:${kind}`, (event) => heard.push(event.detail.id));
          });""")
        page.goto(f"{address}/listen.html")
        yield page
        page.close()


def hears(page: Any, ids: list[str]) -> None:
    page.wait_for_function("(n) => heard.length >= n", arg=len(ids))
    page.wait_for_timeout(150)
    assert page.evaluate("heard") == ids


def test_each_kind_becomes_an_event_of_the_page(page: Any, tail: Tail) -> None:
    tail.happens("dose_given")
    tail.happens("vitals_recorded")
    hears(page, ["e2", "e3"])
    page.get_by_text("Up to date").wait_for()


def test_a_dropped_connection_is_taken_up_where_it_broke(page: Any, tail: Tail) -> None:
    tail.happens("dose_given")
    hears(page, ["e2"])
    tail.generation += 1
    tail.happens("dose_given")
    tail.happens("vitals_recorded")
    hears(page, ["e2", "e3", "e4"])
    assert tail.came[-1] == "e2"


def test_a_server_that_was_away_is_found_again_and_nothing_is_missed(page: Any, tail: Tail) -> None:
    tail.happens("dose_given")
    hears(page, ["e2"])
    tail.away = True
    tail.generation += 1
    page.get_by_text("Out of touch since").wait_for()
    tail.happens("vitals_recorded")
    tail.away = False
    hears(page, ["e2", "e3"])
    page.get_by_text("Up to date").wait_for()
