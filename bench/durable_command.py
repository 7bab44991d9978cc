"""`durable-command`: commands per second beside a bare one-row insert through the same server and database.

A command is a PHQ-9 taken whole: signed in, the access table asked, the course locked, the answers validated, scored,
looked through for alarms, hung into the chain, projected into the tables, committed with full durability. The bare
insert is the same request to the same server without any of it. Both run in turns, in the same minute, with the same
clients; the figure is the median of the turns.
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from bench import site
from bench.figure import Figure
from keel.domain.events import new_id

CLIENTS = 8
SECONDS = 4.0
TURNS = 3
COURSES = 64
PREPARE = """
from datetime import UTC, datetime
from bench.site import session_cookie
from django.db import connection
from keel.actions import study, team
from keel.domain.access import SYSTEM
from keel.domain.events import Actor, new_id
from keel.records import journal, vault
from datetime import date
at = datetime.now(UTC)
team.open_site(site="north", name="North (simulated)", country="GB", timezone="UTC", by=SYSTEM, at=at)
staff = team.admit(email="c@north.example", name="Simulated coordinator", password="simulated-clinic", by=SYSTEM, at=at)
team.grant(staff=staff, site="north", role="coordinator", by=SYSTEM, at=at)
study.open_study(study="mood", title="Simulated", protocol="davis-2021", sites=["north"], by=SYSTEM, at=at)
by = Actor(staff, "coordinator", "north")
for number in range({courses}):
    course, person = new_id(), new_id()
    vault.admit(person, "north", vault.Identity("Simulated", date(1980, 1, 1)))
    with journal.writing(f"course:{{course}}") as writing:
        about = {{"site": "north", "study": "mood", "protocol": "davis-2021", "protocol_version": 1}}
        opened = {{"participant": person, "code": f"N-{{number}}", **about}}
        writing.append("course_opened", opened, by=by, at=at)
        for kind in ("consent_offered", "consent_signed", "consent_countersigned"):
            said = {{"document": "treatment", "version": 1, "required": True, "name": {{"sealed": ""}}}}
            writing.append(kind, said, by=by, at=at)
    print(course)
with connection.cursor() as cursor:
    cursor.execute("CREATE TABLE bench_bare (id varchar(36) PRIMARY KEY, body text NOT NULL)")
print(session_cookie(staff))
"""


def run() -> Iterator[Figure]:
    for setting in ("sqlite", "postgresql"):
        with site.database(setting) as env:
            *courses, session = site.python(env, PREPARE.format(courses=COURSES)).split()
            with site.serving(env) as address:
                yield from measure(setting, address, courses, session)


def measure(setting: str, address: str, courses: list[str], session: str) -> Iterator[Figure]:
    rng = random.Random(7)

    def bare() -> tuple[str, dict[str, object]]:
        return "/bench/bare/", {"id": new_id(), "items": [rng.randrange(4) for _ in range(9)]}

    def command() -> tuple[str, dict[str, object]]:
        items = [rng.randrange(4) for _ in range(8)] + [0]
        return "/bench/command/", {"id": new_id(), "course": rng.choice(courses), "items": items}

    load(address, session, command, 1.0)  # warm: definitions read, states folded
    load(address, session, bare, 0.5)
    ours, beside = [], []
    ours_ms: list[float] = []
    beside_ms: list[float] = []
    for _ in range(TURNS):
        rate, took = load(address, session, bare, SECONDS)
        beside.append(rate)
        beside_ms += took
        rate, took = load(address, session, command, SECONDS)
        ours.append(rate)
        ours_ms += took
    n = len(ours_ms)
    yield Figure("durable-command", setting, statistics.median(ours), statistics.median(beside), "commands/s", n)
    yield Figure(
        "durable-command", f"{setting}-p50", middle(ours_ms, 0.5), middle(beside_ms, 0.5), "ms", n, better="less"
    )
    yield Figure(
        "durable-command", f"{setting}-p99", middle(ours_ms, 0.99), middle(beside_ms, 0.99), "ms", n, better="less"
    )


def middle(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def load(
    address: str, session: str, make: Callable[[], tuple[str, dict[str, object]]], seconds: float
) -> tuple[float, list[float]]:
    """Send as fast as CLIENTS connections can for some seconds; gives answers per second and the ms of each."""
    place = urlsplit(address)
    assert place.hostname is not None
    end = time.perf_counter() + seconds
    took: list[float] = []
    failed: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        mine = []
        while (now := time.perf_counter()) < end:
            url, said = make()
            connection.request(
                "POST", url, json.dumps(said), {"Content-Type": "application/json", "Cookie": f"sessionid={session}"}
            )
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                failed.append(f"{answer.status}: {body[:200]!r}")
                break
            mine.append((time.perf_counter() - now) * 1000)
        took.extend(mine)
        connection.close()

    began = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"a request failed: {failed[0]}")
    return len(took) / (time.perf_counter() - began), took
