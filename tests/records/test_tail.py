"""The tail on PostgreSQL: a transaction that commits late is waited for, never skipped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest

from bench import site

pytestmark = pytest.mark.database

# Two writers: the first takes its number, waits, and commits last.
CODE = """
import json, threading, time
from datetime import UTC, datetime
from django.db import connection
from keel.domain.events import Actor
from keel.records import journal
by, at = Actor("s", "coordinator", "north"), datetime.now(UTC)
begun, go = threading.Event(), threading.Event()
def slow():
    with journal.writing("note:slow") as writing:
        writing.append("noted", {"n": "slow"}, by=by, at=at)
        begun.set(); go.wait(10)
    connection.close()
def quick(n):
    with journal.writing(f"note:quick{n}") as writing:
        writing.append("noted", {"n": n}, by=by, at=at)
thread = threading.Thread(target=slow); thread.start(); begun.wait(10)
sqlite = connection.vendor == "sqlite"
if not sqlite:
    for n in range(3): quick(n)          # they commit while the first, with the smaller number, has not
during = journal.tail(journal.Place())
place = during[-1][0] if during else journal.Place()
go.set(); thread.join()
if sqlite:
    for n in range(3): quick(n)
seen, late = [e.stream for _, e in during], []
while more := journal.tail(place, limit=2):   # resumed, in small bites
    late += [e.stream for _, e in more]; place = more[-1][0]
print(json.dumps({"seen": seen, "late": late, "end": str(journal.end()) == str(place)}))
"""


@contextmanager
def somebody_elses_long_transaction() -> Iterator[None]:
    """Open in another database of the same server; nothing of ours may wait for it."""
    with psycopg.connect(os.environ["KEEL_TEST_PG"]) as other:
        other.execute("SELECT pg_current_xact_id()")
        yield


def test_a_late_commit_is_never_skipped() -> None:
    setting = os.environ.get("KEEL_TEST_DATABASE", "sqlite")
    with ExitStack() as stack:
        env = stack.enter_context(site.database(setting))
        if setting == "postgresql":
            stack.enter_context(somebody_elses_long_transaction())
        found = json.loads(site.python(env, CODE).splitlines()[-1])
    told = found["seen"] + found["late"]
    assert sorted(told) == ["note:quick0", "note:quick1", "note:quick2", "note:slow"], "each once, none skipped"
    assert found["seen"] == [], "nothing behind a running transaction is shown yet"
    assert found["end"]
