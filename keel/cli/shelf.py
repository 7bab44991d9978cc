"""`keel shelf check | lock | release VERSION`: the lock that keeps released definitions from changing quietly."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from keel.library.lock import Lock, changed, cut, locked, on_shelf, read_lock, unlisted, write_lock


def run(command: str, argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(f"keel {command}", description="The lock of the shelf's definitions.")
    doors = parser.add_subparsers(dest="door", required=True)
    doors.add_parser("check", help="whether every file is the one that was locked")
    doors.add_parser("lock", help="list new and changed files; refuses to change what was released")
    release = doors.add_parser("release", help="put everything that is locked under a release")
    release.add_argument("version", metavar="VERSION", help="such as 0.1.0")
    given = parser.parse_args(argv)
    lock, files = read_lock(), on_shelf()
    if given.door == "check":
        return _check(lock, files)
    after = locked(lock, files) if given.door == "lock" else cut(lock, files, given.version)
    write_lock(after)
    return _check(after, files)


def _check(lock: Lock, files: dict[str, str]) -> int:
    reasons = [*changed(lock, files), *unlisted(lock, files)]
    told = {
        "files": len(files),
        "released": {number: len(names) for number, names in lock.released.items()},
        "unreleased": len(lock.unreleased),
        "wrong": [reason.as_json() for reason in reasons],
    }
    print(json.dumps(told, indent=2))
    for reason in reasons:
        print(reason, file=sys.stderr)
    return 1 if reasons else 0
