"""The letter box as everybody may see it: whose it is. What lies in it nobody here can ask for."""

from __future__ import annotations

from dataclasses import dataclass

from keel.domain.events import Actor, Event
from keel.queries.door import query
from keel.records import journal

LETTER_BOX = "safeguarding:letter-box"
ITEMS = "sealed:items"


@dataclass(frozen=True)
class LetterBox:
    public_key: bytes
    fingerprint: str
    lead: str


def _fold(state: LetterBox | None, event: Event) -> LetterBox | None:
    if event.kind != "letter_box_opened":
        return state
    p = event.payload
    return LetterBox(bytes.fromhex(p["public_key"]), p["fingerprint"], p["lead"])


@query("file_concern")
def letter_box(*, by: Actor) -> LetterBox | None:
    """Whose letter box it is now; None while there is none."""
    found: LetterBox | None = journal.state_of(LETTER_BOX, _fold)
    return found
