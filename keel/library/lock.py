"""The lock of the shelf: which content each version of a definition has, so that none changes quietly.

`released.toml` lists every file of Keel's own shelf as `"kind/id@version" = "sha256"`: under `[unreleased]` while it
may still change, and under `[released."0.1.0"]` from the release on that first held it. A site's own shelf is the
site's, and is not listed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from keel.domain.errors import Reason, Refused, refuse
from keel.library import shelf

LIST = "released.toml"
MEND = "run ./dev keel shelf lock"
_HEAD = """\
# The content of every definition of the shelf, by version. Written by `./dev keel shelf lock`; not to be edited by hand.
# What stands under a release never changes: a changed file takes a new version. See docs/decisions/0060.
version = 1
"""
_RELEASE = re.compile(r"\d+\.\d+\.\d+")
_NAME = re.compile(r"[^@/]+/[^@/]+@\d+")


@dataclass(frozen=True)
class Lock:
    """The list: hashes by `kind/id@version`, of what may still change and of each release."""

    unreleased: Mapping[str, str]
    released: Mapping[str, Mapping[str, str]]

    @property
    def fixed(self) -> dict[str, str]:
        """Everything that any release holds."""
        return {name: sha256 for names in self.released.values() for name, sha256 in names.items()}


def read_lock(home: Path = shelf.OWN_SHELF) -> Lock:
    """The list as it stands; empty where there is none yet."""
    path = home / LIST
    if not path.exists():
        return Lock({}, {})
    try:
        table = tomllib.loads(path.read_text("utf-8"))
        lock = Lock(
            dict(table.get("unreleased", {})),
            {str(number): dict(names) for number, names in table.get("released", {}).items()},
        )
        strange = [name for name in (*lock.fixed, *lock.unreleased) if not _NAME.fullmatch(name)]
        if strange:
            raise ValueError(f"{strange[0]!r} is no kind/id@version")
        return lock
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError, TypeError, ValueError) as error:
        raise refuse(
            "The list of released files was not read", str(error), "Take it from the repository again", where=LIST
        ) from None


def on_shelf(home: Path = shelf.OWN_SHELF) -> dict[str, str]:
    """Every definition of a shelf, words too: its sha256 by `kind/id@version`."""
    files = (shelf.read_file(path, kind=path.parent.name) for path in sorted(home.glob("*/*.toml")))
    return {f"{file.kind}/{file.id}@{file.version}": file.sha256 for file in files}


def changed(lock: Lock, files: Mapping[str, str]) -> Iterator[Reason]:
    """What a released version no longer is: changed, taken away, or gone back behind."""
    fixed = lock.fixed
    for name, sha256 in files.items():
        if fixed.get(name, sha256) != sha256:
            yield _quietly(name, "its content is another one than was released", "Give the changed file a new version")
    newest = {name.split("@")[0]: int(name.split("@")[1]) for name in sorted(files)}
    for name in fixed:
        file, _, version = name.partition("@")
        if newest.get(file, 0) < int(version):
            yield _quietly(name, "that version was released and is no longer there", "Put it back, or a later one")


def unlisted(lock: Lock, files: Mapping[str, str]) -> Iterator[Reason]:
    """What the list does not say, or no longer says rightly, of files that are not released."""
    open_now = {name: sha256 for name, sha256 in files.items() if name not in lock.fixed}
    for name in sorted(open_now.keys() | lock.unreleased.keys()):
        if open_now.get(name) == lock.unreleased.get(name):
            continue
        if name not in open_now:
            why = "no file has that version any more"
        elif name not in lock.unreleased:
            why = "it is not on the list"
        else:
            why = "its content is another one than the list says"
        yield Reason(f"{name} is not locked", why, MEND, f"keel/library/{LIST}", "not-locked")


def _quietly(name: str, why: str, mend: str) -> Reason:
    return Reason(f"{name} changed quietly", why, mend, f"keel/library/{LIST}", "changed-quietly")


def locked(lock: Lock, files: Mapping[str, str]) -> Lock:
    """The list brought up to the files. Refuses, with every reason, where a released version is no longer what it was."""
    reasons = list(changed(lock, files))
    if reasons:
        raise Refused(reasons)
    return Lock({name: sha256 for name, sha256 in files.items() if name not in lock.fixed}, lock.released)


def cut(lock: Lock, files: Mapping[str, str], release: str) -> Lock:
    """The list with everything that is not released yet put under a new release; refused unless all is locked."""
    what = f"The release {release} was not cut"
    if not _RELEASE.fullmatch(release) or release in lock.released:
        why = "there is one of that number already" if release in lock.released else "it is no version such as 0.1.0"
        raise refuse(what, why, "Choose the next number")
    reasons = [*changed(lock, files), *unlisted(lock, files)]
    if reasons:
        raise Refused(reasons)
    return Lock({}, {**lock.released, release: lock.unreleased})


def as_text(lock: Lock) -> str:
    """The list as TOML, one line a file, sorted: the same files give the same bytes."""
    tables = [(f'released."{number}"', names) for number, names in lock.released.items()]
    lines = [_HEAD.rstrip()]
    for head, names in [*tables, ("unreleased", lock.unreleased)]:
        lines += ["", f"[{head}]", *(f'"{name}" = "{sha256}"' for name, sha256 in sorted(names.items()))]
    return "\n".join(lines) + "\n"


def write_lock(lock: Lock, home: Path = shelf.OWN_SHELF) -> None:
    (home / LIST).write_text(as_text(lock), encoding="utf-8")
