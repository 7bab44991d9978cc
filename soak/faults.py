"""`faults`: the process is killed at any moment while it writes, fifty times on each database.

A writer takes questionnaires, sends each entry's id through a pipe once the action has answered, and is killed with
SIGKILL after a random while. Afterwards every acknowledged entry is there once, the chains hold, and a rebuild gives
the same tables: no half-written projection.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from bench import site
from bench.durable_command import PREPARE

KILLS = 50
COURSES = 6
# The writer is forked from one that has everything loaded: a start of its own would take most of the time.
WRITER = """
import os, random, signal, sys, time
from datetime import UTC, datetime
from django.db import connection, connections
from keel.actions import assessment
from keel.domain.events import Actor, new_id
from keel.records.models import CourseRow, MembershipRow
staff = MembershipRow.objects.get(role="coordinator")
by = Actor(staff.staff, "coordinator", "north")
courses = list(CourseRow.objects.values_list("id", flat=True))
rng = random.Random({seed})
connections.close_all()
for kill in range({kills}):
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        while True:
            id = new_id()
            items = [rng.randrange(4) for _ in range(9)]
            assessment.enter(course=rng.choice(courses), visit="", instrument="phq-9", items=items, by=by, at=datetime.now(UTC), id=id)
            os.write(tell, (id + "\\n").encode())
    os.close(tell)
    rng.seed({seed} + kill)
    first = os.read(told, 37)
    time.sleep(rng.uniform(0.0, {most_seconds}))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    rest = b""
    while more := os.read(told, 65536):
        rest += more
    os.close(told)
    sys.stdout.write((first + rest).decode())
    sys.stdout.flush()
"""
CHECK = """
import json, sys
from keel.records import journal
from keel.records.models import EventRow, ResponseRow
from keel.records.rebuild import rebuild
acknowledged = {acknowledged}
found = journal.verify()
rebuilt = rebuild(keep=False)
events = set(EventRow.objects.filter(kind="response_entered").values_list("id", flat=True))
rows = set(ResponseRow.objects.values_list("id", flat=True))
print(json.dumps({{
    "events": found.events,
    "written": len(events),
    "lost": sorted(set(acknowledged) - events)[:5],
    "without_projection": sorted(events ^ rows)[:5],
    "broken": found.first_broken.why if found.first_broken else "",
    "different": rebuilt.different,
}}))
"""


def run(seed: int, minutes: float) -> Iterator[dict[str, Any]]:
    for setting in ("sqlite", "postgresql"):
        yield storm(setting, seed, kills=KILLS)


def storm(setting: str, seed: int, *, kills: int, most_seconds: float = 0.25) -> dict[str, Any]:
    """Kill a writer `kills` times on one database; gives what was found and whether the invariants hold."""
    began = time.monotonic()
    with site.database(setting) as env:
        site.python(env, PREPARE.format(courses=COURSES))
        acknowledged = site.python(env, WRITER.format(seed=seed, kills=kills, most_seconds=most_seconds)).split()
        found = json.loads(site.python(env, CHECK.format(acknowledged=acknowledged)).splitlines()[-1])
    return {
        "setting": setting,
        "kills": kills,
        "acknowledged": len(acknowledged),
        "events": found["events"],
        "seconds": round(time.monotonic() - began, 1),
        "invariants": {
            "no acknowledged entry is lost": not found["lost"] and len(acknowledged) > 0,
            "no entry is half written": not found["without_projection"],
            "every chain holds": not found["broken"],
            "a rebuild gives the same tables": not found["different"],
        },
        "found": {k: found[k] for k in ("lost", "without_projection", "broken", "different") if found[k]},
    }
