"""Looking after the record itself."""

from __future__ import annotations

from datetime import datetime

from keel.actions.door import action
from keel.domain.events import Actor
from keel.records import journal


@action("seal")
def seal(*, by: Actor, at: datetime) -> int:
    """Seal the heads that moved; gives how many streams the seal took in."""
    return journal.seal(at)
