"""The journal: the only way into the record.

    with journal.writing(f"course:{course}") as writing:
        if writing.answered(id):                       # the same request again: the first answer
            return writing.answer
        state = writing.state(course_domain.fold)      # folded from the stream, cached by its head
        course_domain.check_…(state, …)                # the pure rules decide
        writing.append("visit_held", {…}, by=by, at=at, id=id)

The block holds the stream's head locked; events, read models and head are one transaction. A block that
ends without an event, or by an exception, leaves nothing.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from keel.domain.errors import refuse
from keel.domain.events import (
    COLUMNS,
    START,
    Actor,
    Event,
    body,
    canonical,
    check_id,
    digest,
    instant,
    new_id,
    parse_instant,
)
from keel.domain.events import merkle_root as root_of
from keel.domain.seal import SEAL_COLUMNS, Verified, seal_text
from keel.domain.seal import verify as verify_rows
from keel.records import keys
from keel.records.models import OffsetRow
from keel.records.projections import project

_OFFSET = "COALESCE((SELECT xid FROM journal_offset), 0)"
_COLUMNS = ", ".join(f'"{name}"' for name in COLUMNS)
# On SQLite one thread writes at a time: its busy handler is unfair, a lock of our own is not.
_turn = threading.RLock()
_CACHE_SIZE = 2_000

Fold = Callable[[Any, Event], Any]


@dataclass(frozen=True)
class Recorded:
    """What an action answers: the event that stands for the request, and whether it stood there before."""

    id: str
    stream: str
    position: int
    kind: str
    already: bool
    payload: Mapping[str, Any]


class _Folded:
    """Folded states by (fold, stream), each with the head it was folded to. Wrong heads are never served."""

    def __init__(self) -> None:
        self._states: OrderedDict[tuple[Any, str], tuple[int, str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[Any, str]) -> tuple[int, str, Any] | None:
        with self._lock:
            found = self._states.get(key)
            if found:
                self._states.move_to_end(key)
            return found

    def put(self, key: tuple[Any, str], position: int, hash: str, state: Any) -> None:
        with self._lock:
            self._states[key] = (position, hash, state)
            self._states.move_to_end(key)
            while len(self._states) > _CACHE_SIZE:
                self._states.popitem(last=False)


_folded = _Folded()


@dataclass
class Writing:
    """An open decision over one or more locked streams. The first stream named is the one meant by default."""

    streams: tuple[str, ...]
    heads: dict[str, tuple[int, str]]
    appended: list[Event] = field(default_factory=list)
    answer: Recorded | None = None

    def answered(self, id: str | None) -> bool:
        """True when an event of this id stands already; `answer` is then the first answer."""
        if id is None:
            return False
        found = _one_by_id(check_id(id))
        if found is None:
            return False
        if found.stream not in self.streams:
            raise refuse(
                "The entry was not written",
                "its id belongs to another entry",
                "Send it with an id of its own",
                code="id-taken",
            )
        self.answer = Recorded(found.id, found.stream, found.position, found.kind, True, found.payload)
        return True

    def state(self, fold: Fold, stream: str | None = None) -> Any:
        """The state of a stream as `fold(None, first) … fold(state, last)` gives it; None for an empty stream."""
        stream = stream or self.streams[0]
        return _state(fold, stream, *self.heads[stream])

    def append(
        self,
        kind: str,
        payload: Mapping[str, Any],
        *,
        by: Actor,
        at: datetime,
        occurred_at: datetime | None = None,
        id: str | None = None,
        stream: str | None = None,
        version: int = 1,
    ) -> Event:
        """Append one event and bring the read models up to it. `at` is when we were told."""
        stream = stream or self.streams[0]
        position, previous = self.heads[stream]
        row = {
            "id": id or new_id(),
            "stream": stream,
            "position": position + 1,
            "kind": kind,
            "version": version,
            "occurred_at": instant(occurred_at or at),
            "recorded_at": instant(at),
            "by": canonical(by.as_json()),
            "payload": canonical(payload),
            "previous": previous,
        }
        row["hash"] = digest(body(**row))
        _insert(row)
        self.heads[stream] = (position + 1, row["hash"])
        event = _event(row)
        self.appended.append(event)
        project(event)
        return event

    def recorded(self) -> Recorded:
        """The answer to a request that appended something: its first event."""
        if self.answer:
            return self.answer
        first = self.appended[0]
        return Recorded(first.id, first.stream, first.position, first.kind, False, first.payload)


def one_writer() -> AbstractContextManager[Any]:
    """The turn to write, where the database has only one."""
    return _turn if connection.vendor == "sqlite" else nullcontext()


@contextmanager
def writing(*streams: str) -> Iterator[Writing]:
    """Lock the heads of `streams` and decide; see the module."""
    with one_writer(), transaction.atomic():
        work = Writing(streams, _lock(streams))
        yield work
        if work.answer is not None:
            return
        if not work.appended:
            raise RuntimeError(f"An action on {', '.join(streams)} ended without an event; it was undone.")
        _write_heads(work)


def state_of(stream: str, fold: Fold) -> Any:
    """The state of a stream without locking it: for reading only."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT position, hash FROM journal_head WHERE stream = %s", [stream])
        head = cursor.fetchone()
    return _state(fold, stream, *head) if head else None


def _lock(streams: tuple[str, ...]) -> dict[str, tuple[int, str]]:
    heads: dict[str, tuple[int, str]] = {}
    locking = "" if connection.vendor == "sqlite" else " FOR UPDATE"
    with connection.cursor() as cursor:
        for stream in sorted(set(streams)):  # always in the same order: no two decisions wait for each other
            if not locking:
                cursor.execute("SELECT position, hash FROM journal_head WHERE stream = %s", [stream])
                heads[stream] = cursor.fetchone() or (0, START)
                continue
            cursor.execute(f"SELECT position, hash FROM journal_head WHERE stream = %s{locking}", [stream])
            found = cursor.fetchone()
            if found is None:
                cursor.execute(
                    "INSERT INTO journal_head (stream, position, hash, sealed) VALUES (%s, 0, %s, 0) "
                    "ON CONFLICT DO NOTHING",
                    [stream, START],
                )
                cursor.execute(f"SELECT position, hash FROM journal_head WHERE stream = %s{locking}", [stream])
                found = cursor.fetchone()
            heads[stream] = found
    return heads


def _write_heads(work: Writing) -> None:
    moved = {event.stream for event in work.appended}
    with connection.cursor() as cursor:
        for stream in moved:
            position, hash = work.heads[stream]
            cursor.execute(
                "INSERT INTO journal_head (stream, position, hash, sealed) VALUES (%s, %s, %s, 0) "
                "ON CONFLICT (stream) DO UPDATE SET position = excluded.position, hash = excluded.hash",
                [stream, position, hash],
            )
        if len(moved) < len(work.heads) and connection.vendor != "sqlite":
            cursor.execute("DELETE FROM journal_head WHERE position = 0 AND stream = ANY(%s)", [list(work.heads)])


def _insert(row: Mapping[str, Any]) -> None:
    xid = _OFFSET if connection.vendor == "sqlite" else f"pg_current_xact_id()::text::bigint + {_OFFSET}"
    marks = ", ".join(["%s"] * len(COLUMNS))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO journal_event (xid, {_COLUMNS}) VALUES ({xid}, {marks})", [row[name] for name in COLUMNS]
        )


def _event(row: Mapping[str, Any]) -> Event:
    return Event(
        id=row["id"],
        stream=row["stream"],
        position=row["position"],
        kind=row["kind"],
        version=row["version"],
        occurred_at=parse_instant(row["occurred_at"]),
        recorded_at=parse_instant(row["recorded_at"]),
        by=json.loads(row["by"]),
        payload=json.loads(row["payload"]),
        previous=row["previous"],
        hash=row["hash"],
    )


def _read(where: str, values: list[Any]) -> Iterator[Event]:
    for row in _rows(where, values):
        yield _event(row)


def _rows(where: str, values: list[Any]) -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_COLUMNS} FROM journal_event {where}", values)
        while batch := cursor.fetchmany(1_000):
            for values_of in batch:
                yield dict(zip(COLUMNS, values_of, strict=True))


def _one_by_id(id: str) -> Event | None:
    return next(_read("WHERE id = %s", [id]), None)


def _state(fold: Fold, stream: str, position: int, hash: str) -> Any:
    key = (fold, stream)
    known = _folded.get(key)
    if known and known[:2] == (position, hash):
        return known[2]
    start, state = (known[0], known[2]) if known and known[0] < position else (0, None)
    previous = known[1] if known and start else START
    for event in _read("WHERE stream = %s AND position > %s ORDER BY position", [stream, start]):
        if event.previous != previous and start:  # the cache came from a transaction that was undone
            return _refold(fold, stream, position, hash)
        previous = event.hash
        state = fold(state, event)
    _folded.put(key, position, hash, state)
    return state


def _refold(fold: Fold, stream: str, position: int, hash: str) -> Any:
    state = None
    for event in _read("WHERE stream = %s ORDER BY position", [stream]):
        state = fold(state, event)
    _folded.put((fold, stream), position, hash, state)
    return state


# ---- reading ----------------------------------------------------------------------------------------


def events(stream: str) -> list[Event]:
    """A stream from its beginning."""
    return list(_read("WHERE stream = %s ORDER BY position", [stream]))


def event(id: str) -> Event | None:
    """One event by its id."""
    return _one_by_id(id)


@dataclass(frozen=True, order=True)
class Place:
    """Where a tail stands: after transaction `xid`, event `seq`. Its text is what `Last-Event-ID` carries."""

    xid: int = 0
    seq: int = 0

    def __str__(self) -> str:
        return f"{self.xid}.{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Place:
        xid, dot, seq = text.partition(".")
        if not (dot and xid.isdigit() and seq.isdigit()):
            raise refuse("The tail was not followed", f"{text[:40]!r} is no place in the journal", "Start without one")
        return cls(int(xid), int(seq))


def tail(after: Place, limit: int = 500) -> list[tuple[Place, Event]]:
    """The events after a place, in an order in which none is ever skipped.

    PostgreSQL commits out of order: an event with a smaller number may appear later. Its transaction's id is
    stored with it, and only transactions older than every running one are shown, ordered by (xid, seq).
    """
    settled, values = _settled()
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT xid, seq, {_COLUMNS} FROM journal_event WHERE (xid, seq) > (%s, %s) AND {settled} "
            "ORDER BY xid, seq LIMIT %s",
            [after.xid, after.seq, *values, limit],
        )
        found = cursor.fetchall()
    return [(Place(row[0], row[1]), _event(dict(zip(COLUMNS, row[2:], strict=True)))) for row in found]


def _settled() -> tuple[str, list[int]]:
    """A condition that holds for events which no transaction under way can come before, and its values."""
    if connection.vendor == "sqlite":  # it has one writer
        return "1 = 1", []
    return f"xid < %s + {_OFFSET}", [_first_running()]


def _first_running() -> int:
    """The smallest transaction id of this database (PostgreSQL) that may still commit an event.

    A snapshot's own `xmin` would do, but it also waits for the transactions of every other database of the server,
    and somebody's long report there would hold up the screens here. So: the ids given out so far (the snapshot is
    taken first), less those that sessions of this database still hold (read second); what is then read with a third,
    newer snapshot is complete below it. Where sessions of a role that we may not look at are connected, and in a
    transaction that keeps one snapshot throughout, `xmin` it is.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # inside a transaction the list below would be remembered
        cursor.execute(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,"
            " pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
            " array_agg(backend_xid::text::bigint) FILTER (WHERE backend_xid IS NOT NULL),"
            " bool_or(query = '<insufficient privilege>') OR current_setting('transaction_isolation') <> 'read committed' "
            "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        oldest, next_one, running, only_oldest = cursor.fetchone()
    if only_oldest:
        return int(oldest)
    # A session shows the low 32 bits of its id; one that lies ahead of the snapshot is no concern of ours.
    behind = [(next_one - low) % 2**32 for low in running or ()]
    return int(next_one - max((distance for distance in behind if distance < 2**31), default=0))


def end() -> Place:
    """The place of the newest event that a tail would show."""
    return _last(*_settled())


def stands() -> Place:
    """The place up to which the journal can be read and read again: `end()`, and what this transaction wrote itself."""
    settled, values = _settled()
    if connection.vendor != "sqlite":
        settled += f" OR xid = pg_current_xact_id_if_assigned()::text::bigint + {_OFFSET}"
    return _last(settled, values)


def _last(where: str, values: list[int]) -> Place:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT xid, seq FROM journal_event WHERE {where} ORDER BY xid DESC, seq DESC LIMIT 1", values)
        found = cursor.fetchone()
    return Place(*found) if found else Place()


def go_on_after_restored() -> None:
    """Let what is written from now on stand behind the events that were brought in with their places.

    Their transaction ids are those of the server that they come from, and may lie ahead of this one's."""
    with one_writer(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT max(xid) FROM journal_event")
        (newest,) = cursor.fetchone()
        here = 0
        if connection.vendor != "sqlite":
            cursor.execute("SELECT pg_current_xact_id()::text::bigint")
            (here,) = cursor.fetchone()
        OffsetRow.objects.update_or_create(id=1, defaults={"xid": max(0, (newest or 0) - here)})


def upto(place: Place, kinds: Sequence[str]) -> Iterator[Event]:
    """The events of some kinds that stood at a place, stream by stream in order: always the same ones.

    Refuses a place that the journal has not reached.
    """
    if place > stands():
        raise refuse("The journal was not read", f"it has not reached {place}", "Give a place that it has reached")
    marks = ", ".join(["%s"] * len(kinds))
    where = f"WHERE (xid, seq) <= (%s, %s) AND kind IN ({marks}) ORDER BY stream, position"
    return _read(where, [place.xid, place.seq, *kinds])


def newest(place: Place) -> Event | None:
    """The event that stands at a place."""
    return next(_read("WHERE (xid, seq) = (%s, %s)", [place.xid, place.seq]), None)


def all_events() -> Iterator[Event]:
    """Every event in the order in which it was written: what a rebuild replays."""
    return _read("ORDER BY seq", [])


# ---- sealing and checking ---------------------------------------------------------------------------


def seal(at: datetime) -> int:
    """Seal the heads that moved since the last seal; gives how many streams it took in (0: nothing to seal)."""
    with one_writer(), transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor != "sqlite":
            cursor.execute("SELECT pg_advisory_xact_lock(7305901)")  # one sealer at a time
        cursor.execute("SELECT stream, position, hash FROM journal_head WHERE position > sealed ORDER BY stream")
        moved = [list(row) for row in cursor.fetchall()]
        if not moved:
            return 0
        cursor.execute("SELECT number, digest FROM journal_seal ORDER BY number DESC LIMIT 1")
        number, previous = cursor.fetchone() or (0, START)
        heads, sealed_at = canonical(moved), instant(at)
        text = seal_text(number=number + 1, sealed_at=sealed_at, heads=heads, previous=previous)
        cursor.execute(
            f"INSERT INTO journal_seal ({', '.join(SEAL_COLUMNS)}) VALUES (%s, %s, %s, %s, %s, %s)",
            [number + 1, sealed_at, heads, previous, digest(text), keys.sign(text.encode()).hex()],
        )
        cursor.executemany("UPDATE journal_head SET sealed = %s WHERE stream = %s", [(p, s) for s, p, _ in moved])
        return len(moved)


def seals() -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(SEAL_COLUMNS)} FROM journal_seal ORDER BY number")
        for row in cursor.fetchall():
            yield dict(zip(SEAL_COLUMNS, row, strict=True))


def verify() -> Verified:
    """Check every event, chain, seal and head of the database, in one consistent view of it."""
    with one_view():
        with connection.cursor() as cursor:
            cursor.execute("SELECT stream, position, hash FROM journal_head WHERE position > 0")
            heads = {stream: (position, hash) for stream, position, hash in cursor.fetchall()}
        return verify_rows(_rows("ORDER BY stream, position", []), list(seals()), keys.public(), heads)


@contextmanager
def one_view() -> Iterator[None]:
    """One consistent view of the database while others write."""
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if connection.vendor != "sqlite" and outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        yield


def export() -> Iterator[str]:
    """The whole journal as JSON lines: a header, events stream by stream, seals, an end that counts them."""
    yield json.dumps({"keel": "journal", "version": 1, "public_key": keys.public().hex()}) + "\n"
    counted = {"events": 0, "seals": 0}
    with one_view():
        for row in _rows("ORDER BY stream, position", []):
            counted["events"] += 1
            yield json.dumps({"event": row}, ensure_ascii=False) + "\n"
        for sealed in seals():
            counted["seals"] += 1
            yield json.dumps({"seal": sealed}, ensure_ascii=False) + "\n"
    yield json.dumps({"end": counted}) + "\n"


def daily_root(day: str) -> dict[str, Any]:
    """The Merkle root over the seals of one UTC day (`YYYY-MM-DD`), to be printed, mailed or time-stamped."""
    digests = [s["digest"] for s in seals() if s["sealed_at"].startswith(day)]
    return {"day": day, "seals": len(digests), "root": root_of(digests), "public_key": keys.public().hex()}
