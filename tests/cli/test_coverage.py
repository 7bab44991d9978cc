"""What experts ask to be recorded: every item is there, and what is said to hold it does."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from keel.cli import coverage as command
from keel.domain.errors import Refused
from keel.library import coverage_files, shelf
from keel.queries import dosing

DATA = Path(__file__).parents[3] / "shared/data"
LISTS = ("stamps", "respct")
TABLE = shelf.OWN_SHELF / "tables/coverage.toml"


@pytest.mark.parametrize("name", LISTS)
def test_every_item_points_at_a_place_that_is_there(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run("coverage", [name]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["points_at_nothing"] == []
    assert sum(told["counts"][status] for status in coverage_files.STATUSES) == told["counts"]["items"]
    assert sum(level["items"] for level in told["levels"].values()) == len(told["items"])
    assert all(bool(item["where"]) == (item["status"] != "not yet") for item in told["items"])


@pytest.mark.parametrize(
    ("name", "levels", "digest"),
    [
        ("stamps", {"core": 127, "groups": 8, "economics": 5}, "9b0e26d9a3366daf"),
        ("respct", {"core": 30}, "5a05293025963155"),
    ],
)
def test_the_items_are_those_of_the_published_list(name: str, levels: dict[str, int], digest: str) -> None:
    found = coverage_files.coverage(name)
    assert {level: sum(i.level == level for i in found.items) for level in levels} == levels
    said = "".join(f"{item.id} {item.level}\n" for item in found.items)
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == digest, "compare with --against the published list"
    published = DATA / f"{name}_items.csv"
    if published.exists():  # the lists themselves may not lie in the repository
        assert list(command.strays(found, published)) == []


def test_an_item_that_is_core_there_and_missing_here_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["id,item,verdict", "S901,Something new,core", "S902,Something else,pending"]
    ours = [f"{i.id},x,core" for i in coverage_files.coverage("stamps").items if i.level == "core" and i.id != "S001"]
    (tmp_path / "list.csv").write_text("\n".join([*rows, *ours]))
    assert command.run("coverage", ["stamps", "--against", str(tmp_path / "list.csv")]) == 1
    told = capsys.readouterr().err
    assert "Item S901 differs from the published list" in told and "Item S001 differs" in told and "S902" not in told
    with pytest.raises(Refused, match="was not read"):
        command.run("coverage", ["respct", "--against", str(tmp_path / "none.csv")])


def _site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/coverage.toml").write_text(text)
    monkeypatch.setenv("KEEL_SHELF", str(tmp_path))


def test_a_row_that_points_at_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _site(tmp_path, monkeypatch, TABLE.read_text().replace('"fact:age_years"', '"fact:shoe_size"'))
    assert command.run("coverage", ["stamps"]) == 1
    said = capsys.readouterr()
    assert "lists.stamps.items.S068: Item S068 points at nothing. fact:shoe_size: no fact of that name" in said.err
    assert json.loads(said.out)["points_at_nothing"] == ["tables/coverage.toml, lists.stamps.items.S068"]


@pytest.mark.parametrize(
    ("pattern", "instead", "says"),
    [
        (r"\[lists\.respct\.items\.7\]\n(.+\n)+", "", "it has 29 items of level 'core'"),
        (r'status = "recorded"', 'status = "surely"', "there is no status 'surely'"),
        (r'status = "recorded"', 'status = "not yet"', "it is 'not yet' and names 2 places"),
        (r'status = "recorded"', 'status = "partly"', "does not say what is missing"),
        (r'label = ".+"', 'label = ""', "it has no label"),
        (r"expects = \{ core = 30 \}\n", "", "'expects' is not there"),
        (r"lists\.", "leests.", "it has no lists"),
    ],
)
def test_a_table_that_is_not_sound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, instead: str, says: str
) -> None:
    before, _, respct = TABLE.read_text().partition("[lists.respct]")
    changed = re.sub(pattern, instead, f"[lists.respct]{respct}")
    _site(tmp_path, monkeypatch, f"{before}{changed}" if "leests" not in instead else f"version = 1\n{changed}")
    with pytest.raises(Refused, match=re.escape(says)):
        coverage_files.coverage("respct")


@pytest.mark.parametrize(
    "place",
    [
        "event:dose_given.lot",
        "event:report_sent.on",
        "model:VitalsRow.systolic_mmhg",
        "model:EventRow.hash",
        "protocol:vitals.thresholds.does",
        "protocol:visits.due_days",
        "term:Seizure",
        "table:coverage",
    ],
)
def test_a_place_that_is_there(place: str) -> None:
    assert command.wrong(place) == ""


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("event:dose_given.colour", "no action writes the key 'colour'"),
        ("event:dose_thrown_away", "neither a projection nor the fold"),
        ("model:PotionRow.lot", "there is no such table"),
        ("model:DoseRow.colour", "the table has no column 'colour'"),
        ("model:importlib.lot", "there is no such table"),
        ("protocol:vitals.colour", "a protocol has no 'colour' there"),
        ("protocol:vitals.minutes.colour", "a protocol has no 'colour' there"),
        ("instrument:phq-99", "no instrument of that name"),
        ("command:abracadabra", "no command of that name"),
        ("outcome:alchemy", "no outcome of that name"),
        ("window:never", "no window of that name"),
        ("wish:gold", "there is no kind of place 'wish'"),
        ("gold", "there is no kind of place 'gold'"),
    ],
)
def test_a_place_that_is_not_there(place: str, why: str) -> None:
    assert why in command.wrong(place)


def test_the_setting_of_a_session_and_this_table_agree() -> None:
    """The page on the setting reads something for exactly the items that this table says are held."""
    items = coverage_files.coverage("respct").items
    read = {
        item.id
        for item in items
        if item.id in dosing.READ_FROM_THE_RECORD or any(w.startswith("room:") for w in item.where)
    }
    assert read == {item.id for item in items if item.where}
