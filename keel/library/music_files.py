"""The programme of the music (`tables/music_programmes.toml`); a site's own shelf stands instead of ours.

phases = programme("psilocybin-anhydrous")
[p.label for p in phases_at(phases, 60)]      ["Ascent"]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keel.domain.errors import refuse
from keel.library import shelf

PHASES = ("pre-onset", "onset", "ascent", "peak", "plateau", "return")


@dataclass(frozen=True)
class Phase:
    """A phase of the music, in minutes from the first dose; phases may overlap. `pieces`: what the site plays in it."""

    id: str
    label: str
    from_minute: int
    to_minute: int
    pieces: tuple[str, ...] = ()


def programme(substance: str) -> tuple[Phase, ...]:
    """The phases for a substance, in their order; none where no programme names it. Refuses phases out of order."""
    rows = shelf.read("tables", "music_programmes").table["programmes"].values()
    row = next((r for r in rows if substance in r["substances"]), None)
    if row is None:
        return ()
    found = tuple(Phase(**{**p, "pieces": tuple(p.get("pieces", ()))}) for p in row["phases"])
    starts = [p.from_minute for p in found]
    if starts != sorted(starts) or any(p.to_minute <= p.from_minute or p.id not in PHASES for p in found):
        raise refuse(
            f"The music programme {row['label']!r} was not read",
            "its phases have to follow one another, each with an end after its beginning",
            f"Mend the table; the phases are {', '.join(PHASES)}",
            where="tables/music_programmes.toml",
        )
    return found


def phases_at(phases: Sequence[Phase], minute: float) -> tuple[Phase, ...]:
    """The phases that are on at a minute; two where they overlap."""
    return tuple(p for p in phases if p.from_minute <= minute < p.to_minute)
