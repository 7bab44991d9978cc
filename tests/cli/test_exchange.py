"""The commands that give forms out and take them in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from keel.cli import main
from keel.cli.exchange import FORMATS

FILES = Path(__file__).parents[1] / "exchange" / "files"
ENDINGS = {"fhir": "json", "redcap": "csv", "xlsform": "xlsx"}


def said(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("format", FORMATS)
def test_out_and_in_again(format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"gad-7.{ENDINGS[format]}"
    assert main(["export", "instrument", "gad-7", "--as", format, "--out", str(file)]) == 0
    assert main(["import", "questionnaire", str(file), "--shelf", str(tmp_path / "shelf")]) == 0
    found = said(capsys)
    assert found["counts"] == {"same": 1} and list(found["written"].values()) == ["same"]
    assert not list((tmp_path / "shelf").rglob("*.toml")), "Keel's own shelf says the same already"


def test_a_dry_run_writes_nothing_and_the_real_one_writes_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["import", "questionnaire", str(FILES / "trial.csv"), "--shelf", str(tmp_path)]
    assert main([*command, "--dry-run"]) == 0
    assert said(capsys)["written"] == {} and not list(tmp_path.rglob("*"))
    assert main(command) == 0
    assert set(said(capsys)["written"].values()) == {"new"}
    written = {path.name: path.read_bytes() for path in (tmp_path / "instruments").iterdir()}
    assert set(written) == {"demographics.toml", "mood-scale.toml", "end-of-visit.toml"}
    assert main(command) == 0
    assert set(said(capsys)["written"].values()) == {"same"}
    assert {path.name: path.read_bytes() for path in (tmp_path / "instruments").iterdir()} == written


def test_what_was_taken_in_is_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["import", "questionnaire", str(FILES / "trial.csv"), "--shelf", str(tmp_path)]) == 0
    monkeypatch.setenv("KEEL_SHELF", str(tmp_path))
    batch = tmp_path / "batch.jsonl"
    batch.write_text('{"instrument": "mood-scale", "items": {"1": 3, "2": 2, "3": 1}}\n')
    capsys.readouterr()
    assert main(["score", "--batch", str(batch)]) == 0
    assert said(capsys)["scores"] == {"total": 7, "mean": 2.5}


def test_a_definition_that_says_other_things_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    text = (FILES / "trial.csv").read_text("utf-8")
    first.write_text(text, "utf-8")
    second.write_text(text.replace("Hours slept", "Hours of sleep"), "utf-8")
    shelf = ["--shelf", str(tmp_path / "shelf")]
    assert main(["import", "questionnaire", str(first), *shelf]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / "shelf").rglob("*.toml")}
    assert main(["import", "questionnaire", str(second), *shelf]) == 1
    assert "says something else" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "shelf").rglob("*.toml")} == before
    assert main(["import", "questionnaire", str(second), *shelf, "--replace"]) == 0


def test_a_bad_form_leaves_the_shelf_as_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.csv"
    text = (FILES / "trial.csv").read_text("utf-8")
    file.write_text(text.replace("photo,end_of_visit,,file", "photo,end_of_visit,,phile"), "utf-8")
    assert main(["import", "questionnaire", str(file), "--shelf", str(tmp_path / "shelf")]) == 1
    out = capsys.readouterr()
    assert json.loads(out.out)["ok"] is False and "Field Type" in out.err
    assert not (tmp_path / "shelf").exists()


def test_data_comes_in_as_lines_to_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "data.csv"
    file.write_text("record_id,redcap_event_name,phq_2_1,phq_2_2\nS-1,week_1,2,3\n")
    assert main(["import", "data", str(file), "--instrument", "phq-2"]) == 0
    line = said(capsys)
    assert line == {"instrument": "phq-2", "items": {"1": 2, "2": 3}, "record": "S-1", "event": "week_1"}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["export", "instrument", "no-such", "--as", "fhir"], "no instrument called"),
        (["export", "instrument", "madrs", "--as", "fhir", "--language", "en"], "no words of madrs"),
        (["import", "questionnaire", "nothing.csv"], "was not read"),
        (["import", "questionnaire", "form.pdf"], "says no format"),
        (["import", "data", "x.csv", "--instrument", "phq-2", "--missing=-9=what"], "says no meaning"),
    ],
)
def test_refusals_are_sentences(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 1
    assert says in capsys.readouterr().err


def test_the_words_go_out_where_their_licence_allows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "instrument", "phq-9", "--as", "fhir", "--language", "en"]) == 0
    items = said(capsys)["item"]
    assert items[0]["text"] != "Interest and pleasure" and items[0]["answerOption"][0]["valueCoding"]["code"] == "0"
