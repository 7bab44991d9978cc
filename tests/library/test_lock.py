"""No definition changes quietly: the list of what is on the shelf, and what was released."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keel.cli import shelf as command
from keel.domain.errors import Refused
from keel.library import shelf
from keel.library.lock import (
    LIST,
    MEND,
    as_text,
    changed,
    cut,
    locked,
    on_shelf,
    read_lock,
    unlisted,
    write_lock,
)


def test_every_definition_is_the_one_that_was_locked() -> None:
    lock, files = read_lock(), on_shelf()
    quiet = "\n".join(map(str, changed(lock, files)))
    assert not quiet, f"a released file changed: give it a new version\n{quiet}"
    wrong = "\n".join(map(str, unlisted(lock, files)))
    assert not wrong, f"run ./dev keel shelf lock\n{wrong}"


def test_the_list_holds_every_toml_file_of_the_shelf_and_is_written_in_one_way() -> None:
    on_disk = {path for path in shelf.OWN_SHELF.rglob("*.toml") if path.name != LIST}
    assert len(on_shelf()) == len(on_disk) > 200
    assert as_text(read_lock()) == (shelf.OWN_SHELF / LIST).read_text("utf-8")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A shelf of two files, one of them released."""
    (tmp_path / "safety").mkdir()
    (tmp_path / "safety/age.toml").write_text("version = 1\n")
    first = locked(read_lock(tmp_path), on_shelf(tmp_path))
    write_lock(cut(first, on_shelf(tmp_path), "0.1.0"), tmp_path)
    (tmp_path / "safety/bmi.toml").write_text("version = 1\n")
    write_lock(locked(read_lock(tmp_path), on_shelf(tmp_path)), tmp_path)
    return tmp_path


def _wrong(home: Path) -> list[str]:
    lock, files = read_lock(home), on_shelf(home)
    return [str(reason) for reason in (*changed(lock, files), *unlisted(lock, files))]


def test_what_is_not_released_may_be_locked_anew(home: Path) -> None:
    assert _wrong(home) == []
    (home / "safety/bmi.toml").write_text("version = 1\nbasis = 'house'\n")
    (said,) = _wrong(home)
    assert "safety/bmi@1 is not locked. its content is another one" in said and MEND in said
    write_lock(locked(read_lock(home), on_shelf(home)), home)
    assert _wrong(home) == []


def test_what_is_released_stays_as_it_was_and_a_new_version_is_unreleased(home: Path) -> None:
    file = home / "safety/age.toml"
    file.write_text("version = 1\nbasis = 'house'\n")
    assert "safety/age@1 changed quietly" in _wrong(home)[0]
    before = (home / LIST).read_bytes()
    with pytest.raises(Refused, match="Give the changed file a new version"):
        locked(read_lock(home), on_shelf(home))
    assert (home / LIST).read_bytes() == before
    file.write_text("version = 2\nbasis = 'house'\n")
    after = locked(read_lock(home), on_shelf(home))
    assert "safety/age@2" in after.unreleased and set(after.released["0.1.0"]) == {"safety/age@1"}


@pytest.mark.parametrize("goes", ["away", "back"])
def test_what_is_released_is_not_taken_away(home: Path, goes: str) -> None:
    file = home / "safety/age.toml"
    file.write_text("version = 3\n")
    write_lock(cut(locked(read_lock(home), on_shelf(home)), on_shelf(home), "0.2.0"), home)
    if goes == "away":
        file.unlink()
    else:
        file.write_text("version = 2\n")
    with pytest.raises(Refused, match=r"age@3 changed quietly\. that version was released and is no longer there"):
        locked(read_lock(home), on_shelf(home))


def test_a_release_is_cut_once_and_only_of_what_is_locked(home: Path) -> None:
    lock, files = read_lock(home), on_shelf(home)
    with pytest.raises(Refused, match="one of that number already"):
        cut(lock, files, "0.1.0")
    with pytest.raises(Refused, match="no version such as"):
        cut(lock, files, "next")
    (home / "safety/sex.toml").write_text("version = 1\n")
    with pytest.raises(Refused, match=r"safety/sex@1 is not locked\. it is not on the list"):
        cut(lock, on_shelf(home), "0.2.0")
    assert set(cut(lock, files, "0.2.0").released["0.2.0"]) == {"safety/bmi@1"}
    (home / "safety/sex.toml").unlink()
    (home / "safety/bmi.toml").unlink()
    assert "no file has that version any more" in _wrong(home)[0]


@pytest.mark.parametrize("text", ["released = 3", "[unreleased", '[unreleased]\n"age" = "00"', "unreleased = [1]"])
def test_a_list_that_cannot_be_read_is_refused(home: Path, text: str) -> None:
    (home / LIST).write_text(text)
    with pytest.raises(Refused, match="The list of released files was not read"):
        read_lock(home)


def test_the_command_checks_locks_and_refuses(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "read_lock", lambda: read_lock(home))
    monkeypatch.setattr(command, "on_shelf", lambda: on_shelf(home))
    monkeypatch.setattr(command, "write_lock", lambda lock: write_lock(lock, home))
    assert command.run("shelf", ["check"]) == 0
    assert json.loads(capsys.readouterr().out) == {"files": 2, "released": {"0.1.0": 1}, "unreleased": 1, "wrong": []}
    (home / "safety/bmi.toml").write_text("version = 2\n")
    assert command.run("shelf", ["check"]) == 1
    assert MEND in capsys.readouterr().err
    assert command.run("shelf", ["lock"]) == 0
    assert command.run("shelf", ["release", "0.2.0"]) == 0
    after = read_lock(home)
    assert after.unreleased == {} and set(after.released) == {"0.1.0", "0.2.0"}
    assert after.released["0.2.0"] == {"safety/bmi@2": on_shelf(home)["safety/bmi@2"]}
