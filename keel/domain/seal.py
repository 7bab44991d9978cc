"""Seals over the heads of all streams, and the whole check of a journal, stored or exported.

A seal takes in the heads that moved since the one before it, names the digest of that one, and is signed
(Ed25519) with a key that the database does not hold. Whoever owns only the database can rewrite a chain,
but not the seals that remember how it stood.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keel.domain.errors import refuse
from keel.domain.events import START, Broken, ChainCheck, canonical, digest, seal_text

SEAL_COLUMNS = ("number", "sealed_at", "heads", "previous", "digest", "signature")


@dataclass(frozen=True)
class Verified:
    """What `keel verify` answers. `unsealed` counts events that no seal has taken in yet."""

    events: int
    streams: int
    seals: int
    unsealed: int
    first_broken: Broken | None
    broken: tuple[Broken, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "events": self.events,
            "streams": self.streams,
            "ok": self.first_broken is None,
            "first_broken": self.first_broken.as_json() if self.first_broken else None,
            "broken_streams": len(self.broken),
            "seals": self.seals,
            "unsealed": self.unsealed,
        }


def check_seals(
    seals: Iterable[Mapping[str, Any]], public_key: bytes
) -> tuple[dict[tuple[str, int], str], list[Broken], int]:
    """Check the chain of seals and their signatures. Gives what they remember: (stream, position) -> hash."""
    key = Ed25519PublicKey.from_public_bytes(public_key)
    remembered: dict[tuple[str, int], str] = {}
    broken: list[Broken] = []
    previous, number = START, 0
    for seal in seals:
        number += 1
        why = _why_seal_is_wrong(seal, number, previous, key)
        if why:
            broken.append(Broken("seals", number, str(seal["number"]), why))
            break
        previous = seal["digest"]
        for stream, position, hash in json.loads(seal["heads"]):
            remembered[(stream, position)] = hash
    return remembered, broken, number


def _why_seal_is_wrong(seal: Mapping[str, Any], number: int, previous: str, key: Ed25519PublicKey) -> str:
    if seal["number"] != number:
        return f"seal {number} is missing"
    if seal["previous"] != previous:
        return "the seal does not name the one before it"
    try:
        if canonical(json.loads(seal["heads"])) != seal["heads"]:
            return "the heads of the seal are not canonical JSON"
    except ValueError:
        return "the heads of the seal are not JSON"
    text = seal_text(number=number, sealed_at=seal["sealed_at"], heads=seal["heads"], previous=seal["previous"])
    if digest(text) != seal["digest"]:
        return "the content of the seal does not give its digest"
    try:
        key.verify(bytes.fromhex(seal["signature"]), text.encode())
    except (InvalidSignature, ValueError):
        return "the signature of the seal is not by this site's key"
    return ""


def verify(
    rows: Iterable[Mapping[str, Any]],
    seals: Iterable[Mapping[str, Any]],
    public_key: bytes,
    heads: Mapping[str, tuple[int, str]] | None = None,
) -> Verified:
    """Check every event, every chain, every seal, and that each holds what the others remember.

    `rows` come stream by stream in order (streams may be mixed); `heads` are the stored heads, where there
    are any: a head without its event means that the end of a stream was cut off.
    """
    remembered, broken, n_seals = check_seals(seals, public_key)
    chain = ChainCheck()
    sealed_to: dict[str, int] = {}
    for stream, position in remembered:
        sealed_to[stream] = max(position, sealed_to.get(stream, 0))
    unsealed = 0
    missing = dict(remembered)
    for row in rows:
        chain.take(row)
        place = (row["stream"], row["position"])
        if place in missing and missing.pop(place) != row["hash"]:
            broken.append(
                Broken(row["stream"], row["position"], row["id"], "a seal remembers another event at this place")
            )
        unsealed += row["position"] > sealed_to.get(row["stream"], 0)
    for stream, position in sorted(missing):
        broken.append(Broken(stream, position, "", "a seal remembers an event here, and it is gone"))
    for stream, (position, hash) in (heads or {}).items():
        last = chain.heads.get(stream, (0, START))
        if last != (position, hash):
            broken.append(
                Broken(
                    stream,
                    last[0] + 1,
                    "",
                    f"the stream's head stands at position {position}, its last event at {last[0]}",
                )
            )
    found = (*chain.broken, *broken)
    return Verified(chain.events, len(chain.heads), n_seals, unsealed, found[0] if found else None, found)


# ---- the exported file ----------------------------------------------------------------------------


def verify_export(lines: Iterable[str], public_key: bytes | None = None) -> Verified:
    """Check an export (JSON lines: a header, then events and seals) without the application.

    The header carries the public key; give `public_key` (from a printed daily root, say) to trust nothing in the file.
    """
    numbered = iter(enumerate(lines, start=1))
    header = _line(*next(numbered, (1, "")))
    if header.get("keel") != "journal":
        raise refuse(
            "The file was not checked",
            "its first line is not the header of a Keel journal",
            "Give a file that `keel export journal` wrote",
        )
    rows: list[Mapping[str, Any]] = []
    seals: list[Mapping[str, Any]] = []
    ended = False
    for number, text in numbered:
        line = _line(number, text)
        if "event" in line:
            rows.append(line["event"])
        elif "seal" in line:
            seals.append(line["seal"])
        elif "end" in line:
            ended = line["end"] == {"events": len(rows), "seals": len(seals)}
        else:
            raise refuse(
                "The file was not checked", f"line {number} is neither an event nor a seal", "Export the journal again"
            )
    if not ended:
        raise refuse(
            "The file was not checked",
            "it does not end as an export ends: lines are missing",
            "Export the journal again",
        )
    return verify(rows, seals, public_key or bytes.fromhex(str(header["public_key"])))


def _line(number: int, text: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    if not isinstance(line, dict):
        raise refuse(
            "The file was not checked", f"line {number} is not JSON", "Export the journal again", where=f"line {number}"
        )
    return line
