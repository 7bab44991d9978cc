"""The site's rescue medicines (`tables/rescue_medicines.toml`); a site's own shelf stands instead of ours."""

from __future__ import annotations

from dataclasses import dataclass

from keel.library import shelf


@dataclass(frozen=True)
class Medicine:
    """One medicine of the list. `dose` is empty where no source gave one: it is then named by whoever orders."""

    id: str
    name: str
    purpose: str
    source: str
    dose: str = ""


def formulary() -> dict[str, Medicine]:
    """The rescue medicines by id, in the list's order."""
    rows = shelf.read("tables", "rescue_medicines").table["medicines"]
    return {
        id: Medicine(id, row["name"], row["for"], row.get("source", "house"), row.get("dose", ""))
        for id, row in rows.items()
    }
