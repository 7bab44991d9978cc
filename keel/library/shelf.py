"""The shelf: finds, reads and fingerprints the TOML files that say what we know.

A kind is a folder (`instruments`, `protocols`, `safety`, …), an id is a file name without `.toml`.
Keel's own shelf lies beside this module. A site's shelves (`KEEL_SHELF`, several separated as in
PATH) have the same folders and may add files; a site file of the same id comes first.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from keel.domain.errors import refuse

OWN_SHELF = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One file of the shelf: its parsed `table`, and `sha256` of the bytes that were read."""

    kind: str
    id: str
    version: int
    sha256: str
    place: str
    table: Mapping[str, Any]


def shelves() -> tuple[Path, ...]:
    """The folders to look in, the site's first."""
    named = os.environ.get("KEEL_SHELF", "")
    return (*(Path(p) for p in named.split(os.pathsep) if p), OWN_SHELF)


def paths(kind: str) -> dict[str, Path]:
    """Every file of a kind by id, sorted by id; wording files (`<id>.<lang>.toml`) are not definitions."""
    found: dict[str, Path] = {}
    for shelf in reversed(shelves()):
        for path in (shelf / kind).glob("*.toml"):
            if "." not in path.stem:
                found[path.stem] = path
    return dict(sorted(found.items()))


def ids(kind: str) -> tuple[str, ...]:
    return tuple(paths(kind))


def read(kind: str, id: str) -> Entry:
    """Read one file. Refuses an unknown id by naming what there is, and bad TOML by its line."""
    known = paths(kind)
    if id not in known:
        raise refuse(
            f"There is no {kind.rstrip('s')} called {id!r}",
            "no file of that name lies on the shelf",
            f"Known: {', '.join(known) or 'none'}",
            where=f"{kind}/{id}.toml",
            code="unknown-id",
        )
    return read_file(known[id], kind=kind)


def read_file(path: Path, *, kind: str) -> Entry:
    """Read any TOML file as an entry of a kind; also used to check a file that is not on the shelf yet."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise refuse(
            f"{path.name} was not read", str(error.strerror or error), "Give a file that exists", where=str(path)
        ) from None
    return _parse(data, kind, path.stem, f"{kind}/{path.name}")


@lru_cache(maxsize=1024)
def _parse(data: bytes, kind: str, id: str, place: str) -> Entry:
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise refuse(
            "The file is not UTF-8 text", f"byte {error.start} cannot be read", "Save it as UTF-8", where=place
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise refuse("The file is not valid TOML", str(error), "Mend that line", where=place, code="bad-toml") from None
    version = table.get("version")
    if not isinstance(version, int) or version < 1:
        raise refuse("The file has no version", "every definition carries one", "Add `version = 1`", where=place)
    return Entry(kind, id, version, hashlib.sha256(data).hexdigest(), place, table)
