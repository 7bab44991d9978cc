"""One port: live streams as plain ASGI, everything else to Django's pages as WSGI.

A stream is held open for hours; a page is answered and done. Django's own ASGI path costs each page a thread
switch or two (docs/decisions/0004), so the two part here. A stream follows the journal's tail: each process polls
for its listeners together, and each listener resumes at its own `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "keel.config.settings")

from keel.config.wsgi import application as pages
from keel.domain.errors import Refused
from keel.web.live.stream import Listener, Place, end, read_tail, ticket_streams

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)

POLL_SECONDS = 0.03
RETRY_SECONDS = 1
BEAT_SECONDS = 15
QUEUE = 1_000


class Hub:
    """Reads the tail once for all listeners of this process and hands each what it may see."""

    def __init__(self) -> None:
        self.listeners: dict[Listener, asyncio.Queue[tuple[Place, dict[str, Any]]]] = {}
        self.reader: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()  # the reader knows where it began: nothing written from now on passes it by
        self.thread = ThreadPoolExecutor(1, "keel-tail")

    async def follow(self) -> None:
        """Poll while anybody listens. A database that is away for a while is asked again: screens must not fall silent."""
        loop = asyncio.get_running_loop()
        place: Place | None = None
        while self.listeners:
            try:
                if place is None:
                    place = await loop.run_in_executor(self.thread, end)
                    self.ready.set()
                found = await loop.run_in_executor(self.thread, read_tail, place)
            except Exception:
                log.exception("The journal's tail could not be read; it is tried again.")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            for where, said in found:
                place = where
                self._hand(where, said)
            await asyncio.sleep(0 if len(found) > 100 else POLL_SECONDS)
        self.reader = None
        self.ready.clear()

    def _hand(self, where: Place, said: dict[str, Any]) -> None:
        for listener, queue in list(self.listeners.items()):
            if listener.hears(said):
                if queue.full():  # too slow: it comes back with its Last-Event-ID and reads what it missed
                    self.listeners.pop(listener, None)
                else:
                    queue.put_nowait((where, said))

    async def listen(self, listener: Listener) -> asyncio.Queue[tuple[Place, dict[str, Any]]]:
        queue: asyncio.Queue[tuple[Place, dict[str, Any]]] = asyncio.Queue(QUEUE)
        self.listeners[listener] = queue
        if self.reader is None:
            self.reader = asyncio.create_task(self.follow())
        return queue


hub = Hub()


async def live(scope: Scope, receive: Receive, send: Send) -> None:
    """Server-sent events for the streams that the page's ticket names."""
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    asked = parse_qs(scope["query_string"].decode())
    loop = asyncio.get_running_loop()
    try:
        listener = ticket_streams(asked.get("ticket", [""])[0])
        after = headers.get("last-event-id") or asked.get("after", [""])[0]
        place = Place.parse(after) if after else None
    except Refused as refused:
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": str(refused).encode()})
        return
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"text/event-stream"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
            ],
        }
    )
    gone = asyncio.create_task(_gone(receive))
    queue = await hub.listen(listener)
    try:
        await _say(send, b"retry: 1000\n\n")
        # What was written between the page's place and the moment the hub began to read, then the live tail.
        await hub.ready.wait()
        shown = place
        while shown is not None and not gone.done():
            missed = await loop.run_in_executor(hub.thread, read_tail, shown)
            for where, said in missed:
                shown = where
                if listener.hears(said):
                    await _say(send, _message(where, said))
            if len(missed) < 500:
                break
        while not gone.done() and listener in hub.listeners:
            try:
                where, said = await asyncio.wait_for(queue.get(), BEAT_SECONDS)
            except TimeoutError:
                await _say(send, b": still here\n\n")
                continue
            if shown is None or where > shown:
                shown = where
                await _say(send, _message(where, said))
    finally:
        hub.listeners.pop(listener, None)
        gone.cancel()
    await send({"type": "http.response.body", "body": b""})


def _message(where: Place, said: dict[str, Any]) -> bytes:
    # Unnamed messages: the page's script hears every kind, also one that it did not know when it was written.
    return f"id: {where}\ndata: {json.dumps(said, separators=(',', ':'))}\n\n".encode()


async def _say(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


# ---- pages ------------------------------------------------------------------------------------------

LARGEST_BODY_BYTES = 20_000_000
_workers = ThreadPoolExecutor(int(os.environ.get("KEEL_THREADS", "4")), "keel-page")


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """One request to Django and its answer, both held whole.

    A thread works only between them: it never waits for a slow line, and a reader who goes away in the middle
    of either leaves nothing behind. (A bridge that streams had every thread hang after a few such readers.)
    """
    body = await _whole_body(receive)
    if body is None:
        return
    if len(body) > LARGEST_BODY_BYTES:
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"The request is larger than any form of Keel."})
        return
    loop = asyncio.get_running_loop()
    status, headers, content = await loop.run_in_executor(_workers, _ask, _environ(scope, body))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _whole_body(receive: Receive) -> bytes | None:
    """The body of a request; None when the sender went away before its end. Stops reading past the limit."""
    parts, size = [], 0
    while size <= LARGEST_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body"):
            break
    return b"".join(parts)


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """A request as WSGI has it (PEP 3333)."""
    host, port = scope.get("server") or ("localhost", 80)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin1"),
        "QUERY_STRING": scope["query_string"].decode("latin1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin1").upper().replace("-", "_"), raw_value.decode("latin1")
        if name == "CONTENT_LENGTH" or b"_" in raw_name:  # the first is known; the second could pass for another header
            continue
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _ask(environ: dict[str, Any]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Django's answer: status, headers, content."""
    told: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], object]:
        told["status"] = int(status.split(" ", 1)[0])
        told["headers"] = [(name.lower().encode("latin1"), value.strip().encode("latin1")) for name, value in headers]
        return lambda data: None

    parts = pages(environ, start)
    try:
        content = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return told["status"], told["headers"], content


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"] == "/live":
        await live(scope, receive, send)
    elif scope["type"] == "http":
        await page(scope, receive, send)
    elif scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
