"""`live-board`: 25 sessions of four people, three screens each, an entry every 5 seconds for every person.

Every entry is what the board's outbox sends: signed in, allowed, judged, chained, projected, committed. The time is
taken from the sending of the entry to its arrival on each of the three screens, so that it holds the whole command and
not only what comes after the commit. Beside it, in the same run and at the same pace, a bare one-row insert through the
same server (sent to answered), and the rate at which that server takes bare inserts at full speed. `redraw` does the
same while every screen also draws the person who moved, as board.js does on hearing of them.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from bench import site
from bench.durable_command import load, middle
from bench.figure import Figure
from keel.domain.events import new_id

SESSIONS, PEOPLE, SCREENS, EVERY_SECONDS = 25, 4, 3, 5.0
SECONDS = 15.0
TOKEN = "b" * 32
PREPARE = """
import json
from datetime import UTC, date, datetime, timedelta
from bench.site import session_cookie
from django.db import connection
from keel.actions import study, team
from keel.domain.access import SYSTEM
from keel.domain.events import Actor, new_id
from keel.records import journal, vault
from keel.web.live.stream import ticket
at = datetime.now(UTC) - timedelta(hours=2)
team.open_site(site="north", name="North (simulated)", country="GB", timezone="UTC", by=SYSTEM, at=at)
staff = team.admit(email="f@north.example", name="Simulated", password="simulated-clinic", by=SYSTEM, at=at)
team.grant(staff=staff, site="north", role="facilitator", by=SYSTEM, at=at)
study.open_study(study="mood", title="Simulated", protocol="agrawal-2024", sites=["north"], by=SYSTEM, at=at)
by = Actor(staff, "facilitator", "north")
made = []
for number in range({sessions}):
    session, courses = new_id(), []
    shared = {{"session": session, "site": "north", "study": "mood", "cohort": "", "room": "R", "on": at.date().isoformat()}}
    with journal.writing(f"session:{{session}}") as writing:
        writing.append("session_opened", shared, by=by, at=at)
        writing.append("came_in", {{"staff": staff, "role": "facilitator", "watches": []}}, by=by, at=at)
    for place in range({people}):
        course, person = new_id(), new_id()
        vault.admit(person, "north", vault.Identity("Simulated", date(1980, 1, 1)))
        said = {{"participant": person, "site": "north", "study": "mood", "protocol": "agrawal-2024", "protocol_version": 1}}
        dose = {{"visit": "dosing", "substance": "psilocybin-anhydrous", "amount": 25, "unit": "mg", "given_mg": 25,
                "arithmetic": "", "lot": "S", "supplemental": False, "confirmed_by": staff}}
        with journal.writing(f"course:{{course}}") as writing:
            writing.append("course_opened", {{**said, "code": f"N-{{number}}-{{place}}"}}, by=by, at=at)
            planned = {{"session": session, "visit": "dosing", "on": at.date().isoformat()}}
            writing.append("session_planned", planned, by=by, at=at)
            writing.append("arrived", {{"visit": "dosing"}}, by=by, at=at)
            writing.append("dose_given", dose, by=by, at=at)
        courses.append(course)
    streams = [f"session:{{session}}", *(f"course:{{c}}" for c in courses)]
    made.append({{"session": session, "courses": courses, "ticket": ticket(streams)}})
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE bench_bare (id varchar(36) PRIMARY KEY, body text NOT NULL)")
print(json.dumps({{"rooms": made, "cookie": session_cookie(staff)}}))
"""


@dataclass
class Room:
    session: str
    courses: list[str]
    ticket: str


@dataclass
class Load:
    """What was sent when, and when each screen heard of it."""

    sent: dict[str, float] = field(default_factory=dict)
    heard: list[float] = field(default_factory=list)
    copies: int = 0
    answered_ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    drawn_ms: list[float] = field(default_factory=list)


def run() -> Iterator[Figure]:
    for setting in ("sqlite", "postgresql") if "KEEL_TEST_PG" in os.environ else ("sqlite",):
        with site.database(setting) as env:
            made = json.loads(site.python(env, PREPARE.format(sessions=SESSIONS, people=PEOPLE)).splitlines()[-1])
            rooms = [Room(**room) for room in made["rooms"]]
            with site.serving(env) as address:
                yield from measure(setting, address, rooms, made["cookie"])


def measure(setting: str, address: str, rooms: list[Room], cookie: str) -> Iterator[Figure]:
    paced(address, rooms, cookie, bare=False, seconds=3.0)  # warm: definitions read, states folded
    bare = paced(address, rooms, cookie, bare=True, seconds=SECONDS / 2)
    full, _ = load(address, cookie, lambda: ("/bench/bare/", {"id": new_id(), "items": [1]}), 2.0)
    for kind, redraw in (("", False), ("-redraw", True)):
        before, began = cpu_seconds(), time.perf_counter()
        found = paced(address, rooms, cookie, bare=False, seconds=SECONDS, redraw=redraw)
        share = (cpu_seconds() - before) / (time.perf_counter() - began) / (os.cpu_count() or 1)
        n, expected = len(found.heard), len(found.sent) * SCREENS
        note = f"{n} of {expected} arrivals; {share:.0%} of {os.cpu_count()} cores"
        if redraw:
            note += f"; {len(found.drawn_ms)} boards drawn, p50 {middle(found.drawn_ms, 0.5):.0f} ms"
        for name, part in (("p50", 0.5), ("p99", 0.99)):
            yield Figure(
                "live-board", f"{setting}{kind}-{name}", middle(found.heard, part), middle(bare.answered_ms, part), "ms",
                n, better="less", note=note,
            )  # fmt: skip
        if found.failed:
            raise RuntimeError(f"{len(found.failed)} entries failed, first: {found.failed[0]}")
        rate = len(found.sent) / SECONDS
        yield Figure("live-board", f"{setting}{kind}-rate", rate, full, "entries/s, beside bare at full speed", n)


def paced(address: str, rooms: list[Room], cookie: str, *, bare: bool, seconds: float, redraw: bool = False) -> Load:
    """Entries at the pace of the day, and the screens that listen meanwhile."""
    found, place = Load(), urlsplit(address)
    ready, over = threading.Event(), threading.Event()
    drawers = ThreadPoolExecutor(12) if redraw else None

    def heard(room: Room, course: str) -> None:
        if drawers:
            drawers.submit(draw, address, room, course, cookie, found)

    screens = threading.Thread(
        target=lambda: asyncio.run(listen(place.hostname or "", place.port or 0, rooms, found, heard, ready, over)),
        daemon=True,
    )
    if not bare:
        screens.start()
        ready.wait(30)
    people = [(room, course) for room in rooms for course in room.courses]
    random.Random(7).shuffle(people)
    began, gap = time.perf_counter(), EVERY_SECONDS / len(people)
    with ThreadPoolExecutor(8) as pool:
        for number in range(int(seconds / gap)):
            wait = began + number * gap - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            pool.submit(send, address, *people[number % len(people)], cookie, found, bare)
    time.sleep(1.0)
    over.set()
    if not bare:
        screens.join(10)
    if drawers:
        drawers.shutdown()
    return found


_connections = threading.local()


def connection(address: str) -> http.client.HTTPConnection:
    """A connection of this thread, kept open."""
    place = urlsplit(address)
    known = getattr(_connections, "to", {})
    if address not in known:
        known[address] = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        _connections.to = known
    return known[address]


def send(address: str, room: Room, course: str, cookie: str, found: Load, bare: bool) -> None:
    id = new_id()
    entry = {"id": id, "kind": "moment", "course": course, "payload": {"moment": "water"}}
    body = {"id": id, "items": [1]} if bare else {**entry, "occurred_at": _now()}
    headers = {
        "Content-Type": "application/json",
        "Cookie": f"sessionid={cookie}; csrftoken={TOKEN}",
        "X-CSRFToken": TOKEN,
    }
    url = "/bench/bare/" if bare else f"/session/{room.session}/entries/"
    began = time.perf_counter()
    found.sent[id] = began
    try:
        to = connection(address)
        to.request("POST", url, json.dumps(body), headers)
        answer = to.getresponse()
        said = answer.read()
    except OSError as error:
        found.failed.append(str(error))
        return
    if answer.status != 200:
        found.failed.append(f"{answer.status} {said[:200]!r}")
    found.answered_ms.append((time.perf_counter() - began) * 1000)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())


def draw(address: str, room: Room, course: str, cookie: str, found: Load) -> None:
    """A screen that heard of somebody draws them anew."""
    began = time.perf_counter()
    try:
        to = connection(address)
        to.request("GET", f"/session/{room.session}/?only={course}", headers={"Cookie": f"sessionid={cookie}"})
        answer = to.getresponse()
        answer.read()
    except OSError as error:
        found.failed.append(str(error))
        return
    if answer.status != 200:
        found.failed.append(f"{answer.status} for a board")
    found.drawn_ms.append((time.perf_counter() - began) * 1000)


async def listen(
    host: str,
    port: int,
    rooms: list[Room],
    found: Load,
    heard: Callable[[Room, str], None],
    ready: threading.Event,
    over: threading.Event,
) -> None:
    at = [room for room in rooms for _ in range(SCREENS)]
    opened = [await _open(host, port, room) for room in at]
    ready.set()
    hearing = [
        asyncio.create_task(_hear(reader, room, found, heard)) for room, (reader, _) in zip(at, opened, strict=True)
    ]
    while not over.is_set():
        await asyncio.sleep(0.05)
    for task in hearing:
        task.cancel()
    for _, writer in opened:
        writer.close()


async def _open(host: str, port: int, room: Room) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /live?ticket={quote(room.ticket)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    while b"retry" not in await reader.readline():
        pass
    return reader, writer


async def _hear(reader: asyncio.StreamReader, room: Room, found: Load, heard: Callable[[Room, str], None]) -> None:
    while line := await reader.readline():
        if not line.startswith(b"data: "):
            continue
        said = json.loads(line[6:])
        began = found.sent.get(said["id"])
        if began is not None:
            found.heard.append((time.perf_counter() - began) * 1000)
            heard(room, said["stream"].partition(":")[2])


def cpu_seconds() -> float:
    """The processor time of the server that this benchmark started."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    total = 0.0
    for child in children:
        parts = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        total += (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")
    return total
