"""The keys the record works with: the master key of the vault, the signing key of the seals.

Both lie in files of the site (KEEL_KEYS), never in the database.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from keel.records.secrets import secret


@lru_cache
def _signer(folder: Path) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(secret(folder / "seal.key"))


@lru_cache
def _master(folder: Path) -> AESGCM:
    return AESGCM(secret(folder / "vault.key"))


def sign(data: bytes) -> bytes:
    """The Ed25519 signature of the site under `data`."""
    return _signer(settings.KEYS).sign(data)


def public() -> bytes:
    """The 32 raw bytes with which anyone can check the seals."""
    return _signer(settings.KEYS).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def wrap(data: bytes, about: str) -> bytes:
    """Seal bytes with the master key, bound to what they are `about`."""
    nonce = os.urandom(12)
    return nonce + _master(settings.KEYS).encrypt(nonce, data, about.encode())


def unwrap(data: bytes, about: str) -> bytes:
    return _master(settings.KEYS).decrypt(data[:12], data[12:], about.encode())


def allocation_seed(study: str) -> bytes:
    """The secret from which a study's list of arms follows: the same on this server every time, and in no event."""
    return hmac.new(secret(settings.KEYS / "allocation.key"), f"allocation:{study}".encode(), hashlib.sha256).digest()
