"""The protocols on the shelf, by id (the data lie in `protocols/`, one TOML file each)."""

from __future__ import annotations

from pathlib import Path

from keel.domain.errors import refuse
from keel.domain.protocol import Protocol
from keel.library import shelf

KIND = "protocols"


def protocol(id: str) -> Protocol:
    """The protocol of that id. Refuses an unknown id, and a malformed file with all its errors."""
    return _checked(shelf.read(KIND, id))


def protocols() -> tuple[Protocol, ...]:
    """Every protocol on the shelf, by id."""
    return tuple(protocol(id) for id in shelf.ids(KIND))


def protocol_in_file(path: Path) -> Protocol:
    """A protocol from any file, also one that is not on the shelf yet."""
    return _checked(shelf.read_file(path, kind=KIND))


def protocol_entry(id: str) -> tuple[Protocol, shelf.Entry]:
    """The protocol and the file it came from: its table and hash, to be kept with a course that begins."""
    entry = shelf.read(KIND, id)
    return _checked(entry), entry


def _checked(entry: shelf.Entry) -> Protocol:
    key = (entry.sha256, entry.place)
    if key not in _read:
        found = Protocol.from_table(entry.table, entry.place)
        if found.id != entry.id:
            raise refuse(
                f"The file says that it is {found.id!r}",
                f"its name says {entry.id!r}",
                "Make the two the same",
                where=f"{entry.place}, id",
                code="id-not-name",
            )
        _read[key] = found
    return _read[key]


# By content hash and place: a protocol is frozen, so the same bytes need to be checked only once.
_read: dict[tuple[str, str], Protocol] = {}
