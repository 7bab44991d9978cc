"""The letter box of the safeguarding office: what is put in, nobody here can read, list or take out.

Every letter and every cover is one event of the stream `sealed:items`, written by the clock's own name, of one size,
sealed for a key whose private half the site does not have. See docs/decisions/0050-the-letter-box.md.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keel.actions.door import action
from keel.domain.access import SYSTEM
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.events import Actor
from keel.domain.sealed_box import fingerprint, seal
from keel.queries.concerns import ITEMS, LETTER_BOX, letter_box
from keel.records import journal

COVERS_A_DAY = 12
"""How many covers the clock puts in on an average day, at moments of chance."""


@action("open_letter_box")
def open_letter_box(*, public: bytes, lead: str, by: Actor, at: datetime) -> str:
    """Open the letter box for the holder of a key; gives its fingerprint. A new key is a new event and stays visible.

    `lead` says who holds it and how to reach them outside this system: it is shown on the page.
    """
    if len(public) != 32:
        raise refuse(
            "The letter box was not opened", "that is no public key", "Give the 64 letters that `init` printed"
        )
    if not lead.strip():
        raise refuse(
            "The letter box was not opened", "nobody is named who holds the key", "Say who, and how to reach them"
        )
    with journal.writing(LETTER_BOX) as writing:
        payload = {"public_key": public.hex(), "fingerprint": fingerprint(public), "lead": lead.strip()}
        writing.append("letter_box_opened", payload, by=by, at=at)
    _put({}, public, at)
    return fingerprint(public)


@action("file_concern")
def file_concern(*, words: str, by: Actor, at: datetime, about: str = "", reach: str = "") -> None:
    """Put a letter in. Who files it is asked of the access table and then forgotten; answers nothing to follow it by."""
    reasons = []
    box = letter_box(by=by)
    if box is None:
        reasons.append(
            Reason(
                "The letter was not kept", "nobody outside the team holds a key yet", "Speak with somebody you trust"
            )
        )
    if not words.strip():
        reasons.append(Reason("The letter was not kept", "there are no words yet", "Write what happened", "words"))
    if reasons or box is None:
        raise Refused(reasons)
    said = {"words": words.strip(), "about": about.strip(), "reach": reach.strip()}
    _put({name: text for name, text in said.items() if text}, box.public_key, at)


@action("post_cover")
def post_cover(*, by: Actor, at: datetime) -> bool:
    """Put in a cover, made like a letter; False while there is no letter box."""
    box = letter_box(by=by)
    if box is None:
        return False
    _put({}, box.public_key, at)
    return True


def _put(said: Mapping[str, Any], public: bytes, at: datetime) -> None:
    box = base64.b64encode(seal(said, public)).decode()
    with journal.writing(ITEMS) as writing:
        # By the clock, whoever wrote: an actor, a site or a device here would say who.
        writing.append("item_sealed", {"box": box}, by=SYSTEM, at=at)
