"""The jurisdictions on the shelf, by id (the data lie in `jurisdictions/`, one TOML file each)."""

from __future__ import annotations

from keel.domain.jurisdiction import Jurisdiction
from keel.library import shelf

KIND = "jurisdictions"


def jurisdiction(id: str) -> Jurisdiction:
    """The jurisdiction of that id. Refuses an unknown id, and a malformed file with all its errors."""
    entry = shelf.read(KIND, id)
    return Jurisdiction.from_table(entry.table, entry.place)


def jurisdictions() -> tuple[Jurisdiction, ...]:
    """Every jurisdiction on the shelf, by id."""
    return tuple(jurisdiction(id) for id in shelf.ids(KIND))
