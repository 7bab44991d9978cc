"""The vault: who people are, and the keys of their words.

Erasing a participant destroys the identity and the key. The journal keeps its sealed bytes, its chain still
verifies, and the words are gone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import secrets as chance
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keel.domain.errors import refuse
from keel.domain.events import new_id
from keel.records import keys
from keel.records.models import IdentityRow, KeyRow, LinkRow

GONE = "[erased]"
"""What is shown where sealed words can no longer be opened."""


@dataclass(frozen=True)
class Identity:
    """Who a participant is. `born_on` is what they confirm when they open their link."""

    name: str
    born_on: date
    phone: str = ""
    email: str = ""
    language: str = "en"
    contact_name: str = ""
    contact_phone: str = ""


def admit(participant: str, site: str, identity: Identity) -> None:
    """Keep a new participant's identity and make the key of their words."""
    IdentityRow.objects.create(participant=participant, site=site, sealed=_seal_identity(participant, identity))
    KeyRow.objects.create(participant=participant, wrapped=keys.wrap(AESGCM.generate_key(256), f"key:{participant}"))


def correct(participant: str, identity: Identity) -> None:
    IdentityRow.objects.filter(participant=participant).update(sealed=_seal_identity(participant, identity))


def _seal_identity(participant: str, identity: Identity) -> bytes:
    return keys.wrap(json.dumps(asdict(identity), default=str).encode(), f"identity:{participant}")


def identity(participant: str) -> Identity | None:
    """Who a participant is; None when erased or never known."""
    row = IdentityRow.objects.filter(participant=participant).first()
    return _open_identity(row) if row else None


def identities(participants: list[str]) -> dict[str, Identity]:
    """Many at once, for a board."""
    return {row.participant: _open_identity(row) for row in IdentityRow.objects.filter(participant__in=participants)}


def _open_identity(row: IdentityRow) -> Identity:
    known: dict[str, Any] = json.loads(keys.unwrap(bytes(row.sealed), f"identity:{row.participant}"))
    return Identity(**{**known, "born_on": date.fromisoformat(known["born_on"])})


# ---- free text --------------------------------------------------------------------------------------


def sealer(participant: str) -> Callable[[str], dict[str, str]]:
    """A function that seals this participant's words for an event: `{"sealed": …}`."""
    key = _key(participant)
    if key is None:
        raise refuse(
            "Nothing was written", "this person's record was erased", "No more can be added to it", code="erased"
        )

    def seal(text: str) -> dict[str, str]:
        nonce = os.urandom(12)
        return {"sealed": base64.b64encode(nonce + key.encrypt(nonce, text.encode(), participant.encode())).decode()}

    return seal


def opener(participant: str) -> Callable[[Any], str]:
    """A function that opens what `sealer` sealed; plain text passes, erased words read `GONE`."""
    key = _key(participant)

    def open_(words: Any) -> str:
        if not isinstance(words, Mapping):
            return "" if words is None else str(words)
        if key is None:
            return GONE
        try:
            data = base64.b64decode(words["sealed"])
            return key.decrypt(data[:12], data[12:], participant.encode()).decode()
        except (InvalidTag, KeyError, binascii.Error):
            return GONE

    return open_


def _key(participant: str) -> AESGCM | None:
    row = KeyRow.objects.filter(participant=participant).first()
    return AESGCM(keys.unwrap(bytes(row.wrapped), f"key:{participant}")) if row else None


def erase(participant: str) -> None:
    """Destroy what says who this was, the key of their words, and their links."""
    IdentityRow.objects.filter(participant=participant).delete()
    KeyRow.objects.filter(participant=participant).delete()
    LinkRow.objects.filter(participant=participant).delete()


# ---- personal links -----------------------------------------------------------------------------------


def make_link(participant: str, expires_at: datetime) -> tuple[str, str]:
    """A new personal link: its id (which may stand in an event) and its secret (which is shown once)."""
    secret, id = chance.token_urlsafe(24), new_id()
    LinkRow.objects.create(digest=_digest(secret), id=id, participant=participant, expires_at=expires_at)
    return id, secret


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def link(secret: str) -> LinkRow | None:
    return LinkRow.objects.filter(digest=_digest(secret)).first()


def link_fails(id: str) -> int:
    """Count a wrong detail; gives how many there were."""
    row = LinkRow.objects.get(id=id)
    row.failures += 1
    row.save(update_fields=["failures"])
    return row.failures


def link_opened(id: str) -> None:
    LinkRow.objects.filter(id=id).update(failures=0)


def revoke_link(id: str, at: datetime) -> None:
    LinkRow.objects.filter(id=id, revoked_at=None).update(revoked_at=at)
