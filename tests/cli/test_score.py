"""`keel score --batch` and `keel instruments`: one answer a line, and a bad line never stops the rest."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.cli import main
from keel.cli.score import batch
from keel.library.instrument_files import instrument
from keel.library.shelf import ids

GOOD = {"instrument": "phq-9", "items": [1, 2, 1, 2, 1, 1, 1, 0, 0]}


def scored(lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    file = tmp_path / "batch.jsonl"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["score", "--batch", str(file)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_gives_a_line_in_the_same_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = scored(
        [json.dumps(GOOD), json.dumps({"instrument": "who-5", "items": [2, 2, None, 1, 2]})], tmp_path, capsys
    )
    assert first == {
        "instrument": "phq-9",
        "version": 1,
        "scores": {
            "total": 9, "algorithm": "other", "item9_flag": False, "n_missing": 0, "prorated_total": 9, "band": "mild",
        },
        "missing": [],
    }  # fmt: skip
    assert second["scores"] == {"raw": None, "percent": None, "low_le50": None}
    assert second["missing"] == ["3"]


@pytest.mark.parametrize(
    "line, said",
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "not a table"),
        ("{}", "No instrument was named"),
        ('{"instrument": 9, "items": []}', "No instrument was named"),
        ('{"instrument": "phq-9"}', "No answers were given"),
        ('{"instrument": "phq-99", "items": []}', "phq-99"),
        ('{"instrument": "../phq-9", "items": []}', "../phq-9"),
        ('{"instrument": "phq-9", "items": [1, 2]}', "2 answers"),
        ('{"instrument": "phq-9", "items": [1,2,1,2,7,1,1,0,0]}', "item 5"),
        ('{"instrument": "phq-9", "items": [1,2,1,2,NaN,1,1,0,0]}', "item 5"),
        ('{"instrument": "grid-hamd-17", "items": [0,0,0,0,0,0,0,0,0,0,0,0,0,3,0,0,0]}', "item 14"),
        (
            '{"instrument": "madrs", "items": [1,1,1,1,1,1,1,1,1,1], "context": {"baseline_total": "x"}}',
            "baseline_total",
        ),
        ('{"instrument": "phq-9", "items": [1,2,1,2,1,1,1,0,0], "context": 3}', "context"),
    ],
)
def test_a_bad_line_is_a_sentence_and_stops_nothing(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = scored([line, json.dumps(GOOD)], tmp_path, capsys)
    assert said in bad["error"]
    assert good["scores"]["total"] == 9


def test_an_empty_line_is_answered_and_nothing_shifts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, empty, last = scored(["\ufeff" + json.dumps(GOOD), "", json.dumps(GOOD), "", ""], tmp_path, capsys)
    assert "line 2" in empty["error"]
    assert first == last and "error" not in first


def test_a_context_that_the_instrument_does_not_know_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"instrument": "madrs", "items": [1] * 10, "context": {"baseline": 28}}
    (said,) = scored([json.dumps(asked)], tmp_path, capsys)
    assert said["warnings"] == ["context.baseline is not used by madrs, which knows baseline_total."]
    assert "response" not in said["scores"]


def test_a_safety_item_speaks_beside_a_wrong_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bad,) = scored(['{"instrument": "phq-9", "items": [8,2,1,2,1,1,1,0,3]}'], tmp_path, capsys)
    assert "item 1" in bad["error"]
    assert [(flag["items"], flag["level"]) for flag in bad["alerts"]] == [(["9"], "notify")]


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(GOOD) + "\n\n"))
    assert main(["score", "--batch", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"]["total"] == 9


def test_a_file_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "--batch", "/nowhere/batch.jsonl"]) == 1
    assert "was not read" in capsys.readouterr().err


def test_the_list_and_one_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instruments", "list"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"id": "madrs", "licence": "P"}.items() <= next(one for one in listed if one["id"] == "madrs").items()
    assert main(["instruments", "show", "madrs"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["licence"]["class"] == "P"
    assert shown["sources"]["S27"] == "progress.im, MADRS"
    assert main(["instruments", "show", "madrass"]) == 1
    assert "madrass" in capsys.readouterr().err


def test_what_is_open_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instruments", "open"]) == 0
    still = {one["id"]: one for one in json.loads(capsys.readouterr().out)}
    assert "Item map of the four factors" in still["pps"]["open"]
    assert "score criterion_G" in still["caps-5"]["from_memory"]
    assert "safety 10" in still["madrs"]["house_rules"]
    assert still["wai-s"]["verified"] is False


def test_the_rights_of_a_day(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instruments", "rights", "--on", "2026-03-01"]) == 0
    known = {one["id"]: one for one in json.loads(capsys.readouterr().out)}
    assert (known["madrs"]["must_ask"], known["madrs"]["holder"]) == (True, "Royal College of Psychiatrists")
    assert (known["gad-7"]["must_ask"], known["gad-7"]["languages"]) == (False, ["en"])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=6), inner, max_size=6),
    max_leaves=24,
)
names = st.sampled_from(sorted(ids("instruments"))) | st.text(max_size=8)


@settings(deadline=None, max_examples=300)
@given(id=names, items=anything, context=anything)
def test_no_line_ends_in_a_traceback(id: str, items: Any, context: Any) -> None:
    line = json.dumps({"instrument": id, "items": items, "context": context})
    (answer,) = batch([line])
    assert ("error" in answer) != ("scores" in answer)
    json.dumps(answer)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_no_answer_in_a_known_shape_ends_in_a_traceback(data: st.DataObject) -> None:
    one = instrument(data.draw(st.sampled_from(sorted(ids("instruments")))))
    items = {item.id: data.draw(anything | st.integers(-1, 6)) for item in one.items[:20]}
    context = {name: data.draw(anything) for name in one.contexts}
    (answer,) = batch([json.dumps({"instrument": one.id, "items": items, "context": context})])
    assert ("error" in answer) != ("scores" in answer)
