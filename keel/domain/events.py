"""Events, their canonical form and the chains they hang in.

An event says what happened, when, who told us and when we were told. Each stream (a course, a session,
a site, a person) is a chain: the hash of an event is SHA-256 over the RFC 8785 form of everything else
in it, the hash of the event before it included. Nothing here needs a database: an exported journal is
checked with `check_chain` alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import rfc8785

from keel.domain.errors import refuse

START = "0" * 64
"""What the first event of every stream names as its previous hash."""

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_SAFE_INTEGER = 2**53 - 1


@dataclass(frozen=True)
class Actor:
    """Who acts: `id` of a member of staff or participant (`system` for the clock), the `role` they act in,
    the `site` they act at, the `device` the words came from. `courses` names what a participant may touch."""

    id: str
    role: str
    site: str
    device: str = ""
    courses: tuple[str, ...] = ()

    def as_json(self) -> dict[str, str]:
        said = {"actor": self.id, "role": self.role, "site": self.site}
        return {**said, "device": self.device} if self.device else said


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `payload` is plain JSON; `by` is `Actor.as_json()`; instants are UTC."""

    id: str
    stream: str
    position: int
    kind: str
    version: int
    occurred_at: datetime
    recorded_at: datetime
    by: Mapping[str, Any]
    payload: Mapping[str, Any]
    previous: str
    hash: str

    @property
    def subject(self) -> str:
        """The id behind the stream's kind: `course:0190…` is about `0190…`."""
        return self.stream.partition(":")[2]


def canonical(value: Any) -> str:
    """The RFC 8785 text of plain JSON.

    Values without floats, with ASCII keys and safe integers are the same in Python's own encoder, at a
    fifth of the time; a property test holds the two together. Everything else goes to the library.
    """
    if _plain(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return rfc8785.dumps(value).decode()
    except rfc8785.CanonicalizationError as error:
        raise refuse("The entry was not written", f"it holds what JSON cannot carry ({error})") from None


def _plain(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return bool(value.isascii()) or _encodable(value)
    if kind is int:
        return bool(-_SAFE_INTEGER <= value <= _SAFE_INTEGER)
    if kind is bool or value is None:
        return True
    if kind is dict:
        return all(type(k) is str and k.isascii() and _plain(v) for k, v in value.items())
    if kind is list or kind is tuple:
        return all(map(_plain, value))
    return False


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: let the library say what is wrong
        return False
    return True


def instant(at: datetime) -> str:
    """An instant as it stands in the journal: UTC, microseconds, `Z`."""
    if at.tzinfo is None:
        raise refuse("The time was not taken", "it names no time zone", "Give an instant with its zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_instant(text: str) -> datetime:
    return datetime.fromisoformat(text)  # several times as fast as strptime, and read with every event


def body(
    *,
    id: str,
    stream: str,
    position: int,
    kind: str,
    version: int,
    occurred_at: str,
    recorded_at: str,
    by: str,
    payload: str,
    previous: str,
) -> str:
    """The canonical text that is hashed. `by` and `payload` come in their canonical form already;
    the other strings are ours and hold nothing that JSON would escape."""
    return (
        f'{{"by":{by},"id":"{id}","kind":"{kind}","occurred_at":"{occurred_at}","payload":{payload},'
        f'"position":{position},"previous":"{previous}","recorded_at":"{recorded_at}","stream":"{stream}","version":{version}}}'
    )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def new_id(at_ms: int | None = None) -> str:
    """A UUIDv7: 48 bits of milliseconds, then chance."""
    value = ((time.time_ns() // 1_000_000 if at_ms is None else at_ms) & (2**48 - 1)) << 80
    value |= 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def check_id(id: str) -> str:
    """An id given by a device: a lower-case UUID, or refused."""
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise refuse(
            "The entry was not written", f"its id {str(id)[:60]!r} is not a UUID", "Send a UUIDv7 in lower case"
        )
    return id


# ---- checking a chain ---------------------------------------------------------------------------

COLUMNS = (
    "id",
    "stream",
    "position",
    "kind",
    "version",
    "occurred_at",
    "recorded_at",
    "by",
    "payload",
    "previous",
    "hash",
)
"""An event as a row of the database: `by` and `payload` are canonical text, instants are text."""


@dataclass(frozen=True)
class Broken:
    """The first event found wrong in a stream, and the sentence that says how."""

    stream: str
    position: int
    id: str
    why: str

    def as_json(self) -> dict[str, Any]:
        return {"stream": self.stream, "position": self.position, "id": self.id, "why": self.why}


_WELL_FORMED = {
    "id": _ID,
    "stream": re.compile(r"[a-z_]+:[A-Za-z0-9._/-]{1,120}"),
    "kind": re.compile(r"[a-z][a-z_]{1,59}"),
    "occurred_at": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
    "recorded_at": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"),
    "previous": re.compile(r"[0-9a-f]{64}"),
    "hash": re.compile(r"[0-9a-f]{64}"),
}


def check_row(row: Mapping[str, Any], position: int, previous: str) -> str:
    """Why this row cannot stand at `position` after the hash `previous`; empty when it can."""
    # Held to their form so that no character can wander from one field into the next and leave the text the same.
    for field, form in _WELL_FORMED.items():
        if not isinstance(row[field], str) or not form.fullmatch(row[field]):
            return f"its {field} is not well formed"
    if type(row["version"]) is not int:
        return "its version is not a whole number"
    if row["position"] != position:
        return f"the stream goes on with position {row['position']} where {position} should be"
    if row["previous"] != previous:
        return "it does not name the hash of the event before it"
    for field in ("by", "payload"):
        try:
            same = canonical(json.loads(row[field])) == row[field]
        except ValueError:
            same = False
        if not same:
            return f"its {field} is not canonical JSON"
    text = body(**{name: row[name] for name in COLUMNS if name != "hash"})
    if digest(text) != row["hash"]:
        return "its content does not give its hash"
    return ""


class ChainCheck:
    """Checks rows as they come, each stream in its order; streams may be mixed.

    `broken` holds the first wrong event of every stream, in the order found.
    """

    def __init__(self) -> None:
        self.events = 0
        self.heads: dict[str, tuple[int, str]] = {}
        self.broken: list[Broken] = []
        self._spoiled: set[str] = set()
        self._ids: set[str] = set()

    def take(self, row: Mapping[str, Any]) -> None:
        self.events += 1
        stream = row["stream"]
        position, previous = self.heads.get(stream, (0, START))
        self.heads[stream] = (row["position"], row["hash"])
        why = check_row(row, position + 1, previous)
        if not why and row["id"] in self._ids:
            why = "its id stands elsewhere in the journal"
        self._ids.add(row["id"])
        if why and stream not in self._spoiled:
            self._spoiled.add(stream)
            self.broken.append(Broken(stream, row["position"], row["id"], why))


def check_chain(rows: Iterable[Mapping[str, Any]]) -> ChainCheck:
    """Check every row; see `ChainCheck`."""
    check = ChainCheck()
    for row in rows:
        check.take(row)
    return check


# ---- seals ----------------------------------------------------------------------------------------


def merkle_root(leaves: Iterable[str]) -> str:
    """The root over hex digests, in order; an odd one is carried up as it is. No leaves: `START`."""
    level = list(leaves)
    if not level:
        return START
    while len(level) > 1:
        level = list(_level_above(level))
    return level[0]


def _level_above(level: list[str]) -> Iterator[str]:
    for i in range(0, len(level) - 1, 2):
        yield hashlib.sha256(bytes.fromhex(level[i]) + bytes.fromhex(level[i + 1])).hexdigest()
    if len(level) % 2:
        yield level[-1]


def seal_text(*, number: int, sealed_at: str, heads: str, previous: str) -> str:
    """What a seal signs: the canonical text of its number, time, the heads it took in (canonical list of
    `[stream, position, hash]`) and the digest of the seal before it."""
    return f'{{"heads":{heads},"number":{number},"previous":"{previous}","sealed_at":"{sealed_at}"}}'
