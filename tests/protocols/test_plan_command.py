"""`keel plan` and `keel protocols` as the contract fixes them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from keel.cli import main
from keel.library import shelf

CLASHING = """
[[visits]]
id = "late-score"
label = "A score that cannot be"
kind = "assessment"
after = "session-2"
earliest_days = 20
also = [{ after = "session-1", latest_days = 15 }]
source = "house"
"""


@pytest.fixture
def told(tmp_path: Path):
    def write(value: Any) -> str:
        path = tmp_path / "happened.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return str(path)

    return write


def plan(file: str, *more: str) -> int:
    return main(["plan", "davis-2021", "--arm", "immediate", "--happened", file, *more])


def test_a_plan_is_rows_of_five_keys(told, capsys) -> None:
    file = told({"enrolled_on": "2026-01-05", "visits": {"baseline": "2026-01-05", "session-1": "2026-01-29"}})
    assert plan(file, "--on", "2026-02-06") == 0
    rows = {r["visit"]: r for r in json.loads(capsys.readouterr().out)}
    assert rows["session-2"] == {
        "visit": "session-2",
        "due_on": "2026-02-05",
        "earliest_on": "2026-02-05",
        "latest_on": "2026-02-12",
        "state": "due",
    }
    assert rows["baseline"]["state"] == "done"
    assert list(rows) == [v["id"] for v in shelf.read("protocols", "davis-2021").table["visits"] if "arms" not in v]


def test_missed_and_withdrawn_may_be_told(told, capsys) -> None:
    file = told({"enrolled_on": "2026-01-05", "missed": {"baseline": "ill"}, "withdrawn_on": "2026-01-07"})
    assert plan(file, "--on", "2026-01-08") == 0
    states = {r["visit"]: r["state"] for r in json.loads(capsys.readouterr().out)}
    assert (states["baseline"], states["session-1"]) == ("missed", "withdrawn")


def test_what_happened_may_come_on_standard_input(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"enrolled_on": "2026-01-05", "visits": {}}'))
    assert plan("-", "--on", "2026-01-05") == 0
    assert len(json.loads(capsys.readouterr().out)) == 17


def test_one_arm_need_not_be_named(told, capsys) -> None:
    file = told({"enrolled_on": "2026-01-05", "visits": {}})
    assert main(["plan", "agrawal-2024", "--happened", file, "--on", "2026-01-05"]) == 0
    assert main(["plan", "mapp2", "--happened", file]) == 1
    assert "Name one with --arm: mdma, placebo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"enrolled_on": "2026-01-05", "visits": {"nowhere": "2026-01-06"}}, "no such visit. Use one of: screening"),
        ({"enrolled_on": "2026-01-05", "visits": {"session-1": "2026-03-01"}}, "is after 2026-02-01"),
        ({"enrolled_on": "2026-03-01", "visits": {}}, "Enrolment was not accepted"),
        ({"enrolled_on": "2026-01-05", "visits": {"baseline": "2026-01-04"}}, "only screening may come before it"),
        ({"enrolled_on": "2026-01-05", "visits": {"waiting-week-5": "2026-01-06"}}, "immediate arm of davis-2021"),
        ({"enrolled_on": "5 January 2026", "visits": {}}, "'5 January 2026' is not a day"),
        ({"enrolled_on": "2026-02-30", "visits": {}}, "is not a day"),
        ({"enrolled_on": 20260105, "visits": {}}, "is not a day"),
        ({"visits": {}}, "enrolled_on and visits"),
        ({"enrolled_on": "2026-01-05", "visists": {}}, "may have missed and withdrawn_on"),
        ([], "must be an object"),
        ({"enrolled_on": "2026-01-05", "visits": ["baseline"]}, "by visit id"),
        ("{", "it is not JSON"),
        (
            '{"enrolled_on": "2026-01-05", "visits": {"baseline": "2026-01-05", "baseline": "2026-01-06"}}',
            "comes twice",
        ),
    ],
)
def test_bad_input_is_refused_in_words(told, capsys, value: Any, said: str) -> None:
    assert plan(told(value), "--on", "2026-02-01") == 1
    out = capsys.readouterr()
    assert said in out.err and "Traceback" not in out.err
    assert out.out == ""


def test_unknown_arm_protocol_and_file(told, capsys) -> None:
    file = told({"enrolled_on": "2026-01-05", "visits": {}})
    assert main(["plan", "davis-2021", "--arm", "late", "--happened", file]) == 1
    assert main(["plan", "davis-1921", "--arm", "immediate", "--happened", file]) == 1
    assert plan("/nowhere.json") == 1
    said = capsys.readouterr().err
    assert "Use one of: immediate, delayed" in said
    assert "Known: agrawal-2024" in said
    assert "Give a file that exists" in said


def test_wrong_usage_is_status_2(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan"])
    assert ended.value.code == 2
    assert "usage: keel plan" in capsys.readouterr().err


def test_show_gives_the_whole_protocol_with_its_facts(capsys) -> None:
    assert main(["protocols", "show", "davis-2021"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["endpoint"]["remission"] == {"drop_percent_at_least": 50, "at_most": 7}
    facts = {f["path"]: f for f in shown["facts"]}
    dose = facts["visits[session-1].doses[0].amounts"]
    assert (dose["value"], dose["sources"], dose["verified"]) == ([20], ["S 2"], True)
    assert dose["at"][0].startswith("https://")
    assert facts["visits[session-1].hours"]["verified"] is False
    assert facts["allocation.ratio.delayed"]["basis"] == "house"


def test_the_shelf_passes_its_own_check(capsys) -> None:
    assert main(["protocols", "check"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert len(results) == 13 and all(r["ok"] for r in results)


def test_check_names_the_visits_that_clash(tmp_path: Path, capsys) -> None:
    path = tmp_path / "davis-2021.toml"
    text = shelf.paths("protocols")["davis-2021"].read_text("utf-8")
    path.write_text(text.replace("\n[sources]", f"{CLASHING}\n[sources]"), "utf-8")
    assert main(["protocols", "check", str(path)]) == 1
    out = capsys.readouterr()
    (result,) = json.loads(out.out)
    assert [c["arm"] for c in result["clashes"]] == ["immediate", "delayed"]
    assert set(result["clashes"][0]["visits"]) == {"session-1", "session-2", "late-score"}
    assert "late-score at most 15 days after session-1" in out.err


def test_check_tells_every_error_of_every_file(tmp_path: Path, capsys) -> None:
    good = shelf.paths("protocols")["comp001"]
    bad = tmp_path / "comp001.toml"
    bad.write_text(good.read_text("utf-8").replace('kind = "dosing"', 'kind = "dose"').replace("title =", "tilte ="))
    assert main(["protocols", "check", str(good), str(bad), str(tmp_path / "none.toml")]) == 1
    out = capsys.readouterr()
    assert [r["ok"] for r in json.loads(out.out)] == [True, False, False]
    assert "Did you mean `title`?" in out.err
    assert "'dose' is not one of the known words" in out.err
    assert "Give a file that exists" in out.err


def test_a_sites_own_shelf_adds_a_protocol(tmp_path: Path, monkeypatch, capsys) -> None:
    folder = tmp_path / "protocols"
    folder.mkdir()
    text = shelf.paths("protocols")["comp001"].read_text("utf-8")
    (folder / "ours.toml").write_text(text.replace('id = "comp001"', 'id = "ours"'), "utf-8")
    monkeypatch.setenv("KEEL_SHELF", str(tmp_path))
    assert main(["protocols", "list"]) == 0
    assert "ours" in [p["id"] for p in json.loads(capsys.readouterr().out)]
