"""Boxes that only the holder of a private key can open, all of one size.

A box is an ephemeral X25519 public key and what AES-256-GCM makes of a padded text, under a key that HKDF-SHA-256
draws from the exchange. Whoever seals keeps nothing with which to open it again. A box of nothing is made in the same
way and cannot be told from one with words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keel.domain.errors import refuse

TEXT_BYTES: Final = 4096
"""What a box holds, length and padding included."""
BOX_BYTES: Final = 32 + TEXT_BYTES + 16
_LENGTH_BYTES: Final = 2
_NONCE: Final = bytes(12)  # the key of a box is used once


def make_pair() -> tuple[bytes, bytes]:
    """A new pair: the private half (32 bytes), which the lead keeps, and the public half."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def public_of(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def fingerprint(public: bytes) -> str:
    """Five groups of four: what the lead prints on paper, so that anybody can compare."""
    text = hashlib.sha256(b"keel letter box" + public).hexdigest()[:20]
    return " ".join(text[i : i + 4] for i in range(0, 20, 4))


def seal(said: Mapping[str, Any], public: bytes) -> bytes:
    """Seal a small JSON object; an empty one is cover. Refuses what does not fit."""
    text = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > TEXT_BYTES - _LENGTH_BYTES:
        raise refuse(
            "The letter was not kept",
            f"it is {len(text) - TEXT_BYTES + _LENGTH_BYTES} bytes too long for one letter",
            "Shorten it, or send it as two",
            code="too-long",
        )
    ephemeral = X25519PrivateKey.generate()
    own = ephemeral.public_key().public_bytes_raw()
    padded = (len(text).to_bytes(_LENGTH_BYTES) + text).ljust(TEXT_BYTES, b"\0")
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    return own + AESGCM(_key(shared, own, public)).encrypt(_NONCE, padded, None)


def open_box(box: bytes, private: bytes) -> dict[str, Any] | None:
    """What a box says; empty for cover; None when it was sealed for another key, or is no box."""
    if len(box) != BOX_BYTES:
        return None
    holder = X25519PrivateKey.from_private_bytes(private)
    try:
        shared = holder.exchange(X25519PublicKey.from_public_bytes(box[:32]))
        padded = AESGCM(_key(shared, box[:32], public_of(private))).decrypt(_NONCE, box[32:], None)
    except (InvalidTag, ValueError):
        return None
    length = int.from_bytes(padded[:_LENGTH_BYTES])
    said: dict[str, Any] = json.loads(padded[_LENGTH_BYTES : _LENGTH_BYTES + length])
    return said


def _key(shared: bytes, ephemeral: bytes, public: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=b"keel letter box 1" + ephemeral + public).derive(shared)
