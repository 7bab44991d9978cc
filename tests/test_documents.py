"""The documents are held against the code: what they name exists, and what exists is named."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import NAMES as BENCHMARKS
from keel.cli import COMMANDS, demo
from keel.config import settings
from keel.library import shelf
from keel.records import journal
from soak.__main__ import NAMES as STORMS
from tests.clinic import Clinic

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
ALL = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The headings of a page as the addresses that links use."""
    heads = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


def between(text: str, mark: str) -> str:
    return text.partition(f"<!-- {mark} -->")[2].partition(f"<!-- /{mark} -->")[0].strip()


# ---- every page -------------------------------------------------------------------------------


@ALL
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text()), target


@ALL
def test_commands_that_are_shown_exist(page: Path) -> None:
    text = page.read_text()
    shown = "\n".join(re.findall(r"^    .+$", text, flags=re.MULTILINE) + re.findall(r"`[^`\n]+`", text))
    for command in re.findall(r"(?:\./dev |(?<![\w./-]))keel ([a-z][a-z-]*)(?![\w./])", shown):
        assert command in COMMANDS, f"keel {command}"
    for command in re.findall(r"\./dev ([a-z]+)", shown):
        assert f"./dev {command}" in (ROOT / "dev").read_text(), f"./dev {command}"


@ALL
def test_no_page_names_a_machine_or_a_registry(page: Path) -> None:
    found = re.findall(
        r"/(?:home|root|Users|work|tmp)/\S*|\S*pypi\S*|\S*npmjs\S*|files\.pythonhosted\S*", page.read_text()
    )
    assert not found


# ---- the README -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_names_every_command(command: str) -> None:
    assert f"| `keel {command}` |" in between(README, "commands")


def test_the_readme_names_no_command_that_is_not_there() -> None:
    assert set(re.findall(r"^\| `keel ([\w-]+)` \|", between(README, "commands"), flags=re.MULTILINE)) == set(COMMANDS)


def test_the_readme_names_every_setting() -> None:
    explained = re.findall(r"^KEEL_\w+", settings.__doc__ or "", flags=re.MULTILINE)
    assert explained
    assert set(explained) <= set(re.findall(r"^KEEL_\w+", between(README, "settings"), flags=re.MULTILINE))


def test_every_setting_that_is_read_is_explained() -> None:
    read = {
        name
        for path in (ROOT / "keel").rglob("*.py")
        for name in re.findall(r"""environ(?:\.get\(|\[)["'](KEEL_\w+)""", path.read_text())
    }
    assert read <= set(re.findall(r"^KEEL_\w+", settings.__doc__ or "", flags=re.MULTILINE))


@pytest.mark.parametrize("name", [*BENCHMARKS, *STORMS])
def test_the_readme_names_every_benchmark_and_storm(name: str) -> None:
    assert f"`{name}`" in README


def test_the_readme_leads_to_the_manual() -> None:
    assert "(docs/manual/index.md)" in README  # tests/test_manual.py holds the index to its pages


def test_the_readme_knows_the_birthday_that_opens_a_link_of_the_demo() -> None:
    assert f"{demo.BORN_ON:%-d %B %Y}" in README


def test_the_readme_names_the_wording_and_the_protocols_that_there_are() -> None:
    wording = {path.name.partition(".")[0] for path in (shelf.OWN_SHELF / "instruments").glob("*.en.toml")}
    said = re.search(r"\(now (.+?), in English\)", README)
    assert said and {name.lower() for name in re.split(r", | and ", said[1])} == wording
    assert len(shelf.ids("protocols")) == 13 and "Thirteen protocols" in README
    assert {name.capitalize() for name in shelf.ids("jurisdictions")} <= set(re.findall(r"\w+", README))


def test_the_readme_says_what_keel_is_not() -> None:
    for said in (
        "not a medical device",
        "decides nothing",
        "simulated",
        "Apache-2.0",
        "vault.key",
        "seal.key",
        "allocation.key",
    ):
        assert said in README


# ---- the architecture -------------------------------------------------------------------------


def rooms() -> set[str]:
    """The rooms of the house, and the folders of the shelf and of the pages."""
    keel = ROOT / "keel"
    return {f"keel/{path.name}/" for path in keel.iterdir() if any(path.glob("*.py"))}


def test_every_room_is_named_and_every_named_place_exists() -> None:
    for room in rooms():
        assert f"`{room}`" in ARCHITECTURE, room
    for path in re.findall(r"`((?:keel|tests|bench|soak|docs|requirements)/[\w./-]*)`", ARCHITECTURE):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("room", ["queries", "actions", "web"])
def test_every_door_is_named(room: str) -> None:
    folder = ROOT / "keel" / room
    doors = {path.name for path in folder.iterdir() if (path / "__init__.py").exists()}
    assert {door for door in doors if f"`{door}`" not in ARCHITECTURE} == set()


def test_every_kind_of_definition_and_every_module_of_tables_is_named() -> None:
    kinds = {path.name for path in shelf.OWN_SHELF.iterdir() if path.is_dir() and any(path.glob("*.toml"))}
    tables = {path.stem for path in (ROOT / "keel/records/models").glob("*.py")} - {"__init__", "read_model"}
    assert {name for name in kinds | tables if f"`{name}`" not in ARCHITECTURE} == set()


# ---- decisions and dependencies ---------------------------------------------------------------


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_number_says_whether_it_holds_and_is_short(decision: Path) -> None:
    text = decision.read_text()
    assert text.startswith(f"# {int(decision.name[:4])}. "), "its first line is `# NUMBER. Title`"
    status = r"^Status: (in use|replaced by \[\d{4}\]\(.+\))\.$"
    assert re.search(status, text, flags=re.MULTILINE), "it has a line `Status: in use.`"
    assert len(text.splitlines()) <= 75


def test_no_two_decisions_have_one_number() -> None:
    numbers = [decision.name[:4] for decision in DECISIONS]
    assert len(numbers) == len(set(numbers))


def required() -> list[str]:
    lines = "\n".join((ROOT / f"requirements/{name}.in").read_text() for name in ("run", "test"))
    return re.findall(r"^([A-Za-z][\w-]*)", lines, flags=re.MULTILINE)


def test_every_dependency_is_accounted_for_and_no_other() -> None:
    text = (ROOT / "docs/decisions/0007-what-keel-depends-on.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z][\w-]*) \|.*\| ([^|]+) \|$", text, flags=re.MULTILINE))
    rows.pop("package", None)
    assert sorted(rows) == sorted(required())
    stated = {name: importlib.metadata.metadata(name).get("License-Expression") for name in rows}
    assert {name: licence for name, licence in stated.items() if licence and licence != rows[name]} == {}


# ---- what the manual of operations shows ------------------------------------------------------


def run(script: str, *args: str, home: Path) -> str:
    env = {**os.environ, "KEEL_HOME": str(home), "PYTHONPATH": str(ROOT)}
    for name in ("KEEL_DATABASE", "KEEL_KEYS", "DJANGO_SETTINGS_MODULE"):
        env.pop(name, None)
    command = [sys.executable, "-c", script, *args]
    return subprocess.run(
        command, env=env, cwd=home, capture_output=True, stdin=subprocess.DEVNULL, text=True, check=True
    ).stdout


def test_the_first_site_is_opened_as_it_says(tmp_path: Path) -> None:
    commands = re.findall(r"^    keel ((?:site|study) open .+)$", OPERATIONS, flags=re.MULTILINE)
    assert len(commands) == 2
    said = run(
        "import shlex, sys; from keel.cli import main; sys.exit(any(main(shlex.split(c)) for c in sys.argv[1:]))",
        *commands,
        "verify",
        home=tmp_path,
    )
    assert '"ok": true' in said


@pytest.mark.database
@pytest.mark.django_db
def test_an_export_is_checked_without_keel_as_it_says(clinic: Clinic, tmp_path: Path) -> None:
    (checking,) = blocks(OPERATIONS, "python")
    assert "keel" not in checking
    whole = tmp_path / "journal.jsonl"
    lines = list(journal.export())
    whole.write_text("".join(lines))
    assert "hold together" in run(checking, str(whole), home=tmp_path)

    touched: Any = [line.replace("Simulated", "Simulatex", 1) for line in lines]
    assert touched != lines
    whole.write_text("".join(touched))
    with pytest.raises(subprocess.CalledProcessError):
        run(checking, str(whole), home=tmp_path)
