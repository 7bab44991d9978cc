"""`keel concerns`: the letter box of the safeguarding office, from both sides."""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keel.domain.errors import refuse


def run(command: str, argv: list[str]) -> int:
    """`keel concerns init --key FILE` · `open PUBLIC_KEY --lead WHO` · `read --key FILE [EXPORT]`."""
    parser = argparse.ArgumentParser("keel concerns", description=run.__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    init = parts.add_parser("init", help="on the lead's own computer: make the pair; the private half is the file")
    init.add_argument("--key", required=True, help="where the lead keeps the private half, never on the site's server")
    opening = parts.add_parser("open", help="on the server: letters are sealed for this public key from now on")
    opening.add_argument("public_key")
    opening.add_argument("--lead", required=True, help="who holds the key, and how to reach them: shown on the page")
    read = parts.add_parser("read", help="with the lead's key: the letters, of the database or an exported journal")
    read.add_argument("--key", required=True)
    read.add_argument("export", nargs="?", help="a file that `keel export journal` wrote; can be read anywhere")
    given = parser.parse_args(argv)
    if given.part == "init":
        return _init(Path(given.key))
    if given.part == "open":
        return _open(given.public_key, given.lead)
    return _read(Path(given.key), given.export)


def _init(path: Path) -> int:
    from keel.domain.sealed_box import fingerprint, make_pair

    homes = [os.environ.get("KEEL_KEYS"), os.environ.get("KEEL_HOME", ".keel")]
    if any(home and path.resolve().is_relative_to(Path(home).resolve()) for home in homes):
        raise refuse(
            "The key was not made",
            f"{path} lies in the site's own folder, where its staff could read it",
            "Name a file that only the lead has, best on the lead's own computer",
        )
    private, public = make_pair()
    try:
        _write(path, private)
    except FileExistsError:
        raise refuse(
            "The key was not made", f"{path} is there already", "Keep it: without it no letter can be read"
        ) from None
    except OSError as error:
        raise refuse("The key was not made", f"{path} cannot be written ({error.strerror})", "Name another") from None
    print(json.dumps({"public_key": public.hex(), "fingerprint": fingerprint(public)}))
    print(f"The private half is in {path}. There is no other copy; keep one in a safe.", file=sys.stderr)
    return 0


def _write(path: Path, private: bytes) -> None:
    """A new file that only its owner reads; never over one that is there."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(private.hex() + "\n")


def open_simulated(path: Path) -> None:
    """A letter box for the demo, whose lead is invented; the key lies beside the demo's folder, not in it.

    Where nothing may be written there the box stays closed, and its page says so.
    """
    from keel.actions.concerns import open_letter_box
    from keel.actions.now import now
    from keel.domain.access import SYSTEM
    from keel.domain.sealed_box import make_pair
    from keel.queries.concerns import letter_box

    if letter_box(by=SYSTEM) is None:
        private, public = make_pair()
        try:
            path.unlink(missing_ok=True)
            _write(path, private)
        except OSError:
            return
        open_letter_box(public=public, lead="Dr Outside (simulated), 020 7946 0999", by=SYSTEM, at=now())


def _open(public_key: str, lead: str) -> int:
    from keel.cli.house import _django, _migrate

    try:
        public = bytes.fromhex(public_key)
    except ValueError:
        raise refuse("The letter box was not opened", "that is no public key", "Give what `init` printed") from None
    _django()
    _migrate()
    from keel.actions.concerns import open_letter_box
    from keel.actions.now import now
    from keel.domain.access import SYSTEM

    found = open_letter_box(public=public, lead=lead, by=SYSTEM, at=now())
    print(json.dumps({"fingerprint": found}))
    return 0


def _read(path: Path, export: str | None) -> int:
    """A line of JSON per letter, the oldest first: number, kept_at, words, about?, reach?."""
    from keel.domain.sealed_box import open_box

    try:
        private = bytes.fromhex(path.read_text().strip())
        if len(private) != 32:
            raise ValueError
    except (OSError, ValueError, UnicodeDecodeError):
        raise refuse("Nothing was read", f"{path} holds no private key", "Name the file that `init` wrote") from None
    letters = covers = others = 0
    for number, kept_at, box in _of_file(export) if export else _of_database():
        said = open_box(box, private)
        others, covers, letters = others + (said is None), covers + (said == {}), letters + bool(said)
        if said:
            print(json.dumps({"number": number, "kept_at": kept_at, **said}, ensure_ascii=False))
    print(f"{letters} letters, {covers} covers, {others} items sealed for another key.", file=sys.stderr)
    if others and not letters + covers:
        raise refuse(
            "Nothing was read", "no item was sealed for this key", "Use the key that the page's fingerprint names"
        )
    return 0


Item = tuple[int, str, bytes]


def _of_database() -> Iterator[Item]:
    from keel.cli.house import _django

    _django()
    from keel.domain.events import instant
    from keel.queries.concerns import ITEMS
    from keel.records import journal

    for event in journal.events(ITEMS):
        yield event.position, instant(event.recorded_at), base64.b64decode(event.payload["box"])


def _of_file(path: str) -> Iterator[Item]:
    try:
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                row: dict[str, Any] = json.loads(line).get("event") or {}
                if row.get("kind") == "item_sealed":
                    box = json.loads(row["payload"])["box"]
                    yield row["position"], row["recorded_at"], base64.b64decode(box)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise refuse("Nothing was read", f"{path} is no journal's export ({error})", "Export it again") from None
