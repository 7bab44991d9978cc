"""Responses go out to other programs and come back: all of a file, or nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyreadstat
import pytest

from keel.actions import assessment
from keel.cli import main
from keel.cli.score import batch
from tests.clinic import Clinic, begin, consent

ROWS = [
    {"record": "P-1", "visit": "baseline", "at": "2026-03-02T09:00:00Z", "items": [1, 2, 1, 2, 1, 1, 1, 0, 0]},
    {"record": "P-2", "visit": "baseline", "items": [2, None, "prefer_not", 1, 0, 0, 0, 0, 3]},
    {"record": "P-3", "visit": "week_1", "items": [None] * 9},
]


def lines(folder: Path, rows: list[dict[str, Any]], instrument: str = "phq-9") -> Path:
    file = folder / "lines.jsonl"
    file.write_text("".join(json.dumps({"instrument": instrument, **row}) + "\n" for row in rows))
    return file


def out(folder: Path, format: str, ending: str) -> Path:
    file = folder / f"phq{ending}"
    command = ["export", "responses", str(lines(folder, ROWS)), "--as", format, "--out", str(file)]
    assert main(command) == 0
    return file


@pytest.mark.parametrize("format, ending", [("fhir", ".json"), ("redcap", ".csv")])
def test_out_and_in_again_score_the_same(
    format: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = out(tmp_path, format, ending)
    capsys.readouterr()
    assert main(["import", "data", str(file), "--instrument", "phq-9"]) == 0
    back = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    by_record = {line["record"]: line for line in back}
    assert set(by_record) >= {"P-1", "P-2"}
    for row in ROWS[:2]:
        (sent,) = batch([json.dumps({"instrument": "phq-9", "items": row["items"]})])
        (came,) = batch([json.dumps(by_record[row["record"]])])
        assert came == sent


def test_fhir_holds_whose_when_answers_and_scores(tmp_path: Path) -> None:
    bundle = json.loads(out(tmp_path, "fhir", ".json").read_text())
    first = bundle["entry"][0]["resource"]
    assert (bundle["type"], first["subject"]) == ("collection", {"reference": "Patient/P-1"})
    assert first["authored"] == "2026-03-02T09:00:00+00:00"
    scores = {part["linkId"]: part["answer"] for part in first["item"][-1]["item"]}
    assert scores["score.total"] == [{"valueDecimal": 9}]


def test_statistics_programs_read_them(tmp_path: Path) -> None:
    frame, meta = pyreadstat.read_sav(out(tmp_path, "spss", ".sav"))
    assert list(frame["record"]) == ["P-1", "P-2", "P-3"] and list(frame["phq_9_9"])[:2] == [0, 3]
    assert meta.variable_value_labels["phq_9_1"][3] == "Nearly every day"
    frame, meta = pyreadstat.read_dta(out(tmp_path, "stata", ".dta"))
    assert meta.column_names_to_labels["phq_9_9"] == "Thoughts of death or self-harm"
    table = pl.read_parquet(out(tmp_path, "parquet", ".parquet"))
    assert table["phq_9_total"].to_list() == [9, None, None] and table["visit"].to_list()[2] == "week_1"
    script = out(tmp_path, "r", ".R").read_text()
    assert 'read.csv("phq.csv"' in script and (tmp_path / "phq.csv").exists()
    assert pl.read_csv(out(tmp_path, "csv", ".csv"))["phq_9_3_absent"].to_list() == [None, "prefer_not", None]
    assert json.loads((tmp_path / "phq.labels.json").read_text())["phq_9_1"]["label"] == "Interest and pleasure"


@pytest.mark.parametrize(
    "row, said",
    [
        ({"items": [9, 0, 0, 0, 0, 0, 0, 0, 0], "record": "P-9"}, "line 4, phq-9, item 1"),
        ({"items": [0] * 8, "record": "P-9"}, "line 4"),
        ({"items": [0] * 9, "record": "Jane Doe"}, "line 4"),
        ({"items": [0] * 9, "at": "yesterday"}, "line 4"),
        ({"items": [0] * 9, "at": "2026-03-02T09:00:00"}, "no time zone"),
    ],
)
def test_one_wrong_line_and_nothing_is_written(
    row: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.json"
    assert main(["export", "responses", str(lines(tmp_path, [*ROWS, row])), "--as", "fhir", "--out", str(file)]) == 1
    assert said in capsys.readouterr().err and not file.exists()


def test_two_instruments_are_not_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = lines(tmp_path, [*ROWS, {"instrument": "gad-7", "items": [0] * 7}])
    assert main(["export", "responses", str(file), "--as", "csv"]) == 1
    assert "gad-7, phq-9" in capsys.readouterr().err
    assert main(["export", "responses", str(file), "--as", "csv", "--instrument", "gad-7"]) == 0
    assert "gad_7_total" in capsys.readouterr().out


@pytest.mark.parametrize(
    "held, said",
    [
        ("{", "not JSON"),
        ('{"resourceType": "Bundle", "entry": []}', "no entries"),
        ('{"resourceType": "Bundle", "entry": [1, {"resource": {"resourceType": "Patient"}}]}', "entry 2"),
        ('{"resourceType": "QuestionnaireResponse", "questionnaire": "urn:keel:instrument:gad-7|1"}', "gad-7"),
        (
            '{"resourceType": "QuestionnaireResponse", "questionnaire": "urn:keel:instrument:phq-9|1", "item": 3}',
            "item",
        ),
    ],
)
def test_other_fhir_is_refused_by_entry(
    held: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.json").write_text(held)
    assert main(["import", "data", str(tmp_path / "in.json"), "--instrument", "phq-9"]) == 1
    told = capsys.readouterr()
    assert said in told.err and told.out == ""


@pytest.mark.database
@pytest.mark.django_db
def test_the_record_gives_its_responses_under_codes(clinic: Clinic, capsysbinary: Any) -> None:
    course = begin(clinic)
    consent(clinic, course)
    by = clinic.staff["coordinator"]
    assessment.enter(course=course, visit="baseline", instrument="phq-9", items=[1] * 8 + [0], by=by, at=clinic.at)
    assert main(["export", "responses", "--instrument", "phq-9", "--as", "csv"]) == 0
    (row,) = pl.read_csv(capsysbinary.readouterr().out).to_dicts()
    assert (row["phq_9_total"], row["visit"]) == (8, "baseline") and course not in row.values()


def test_a_questionnaire_in_ones_own_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"items": [(k + n) % 4 if n % 3 else k % 4 for n in range(9)]} for k in range(20)]
    rows += [{"items": [0] * 9}, {"items": [None, "prefer_not", *[3] * 7]}]
    assert main(["instruments", "analyse", "phq-9", str(lines(tmp_path, rows))]) == 0
    found = json.loads(capsys.readouterr().out)
    (total,) = found["scales"]
    assert (found["n"], total["n"], total["n_left_out"], total["ends"]["floor"]) == (22, 21, 1, pytest.approx(1 / 21))
    assert -1 < total["alpha"] < 1 and found["straight_lines"] == 1 and found["declined"] == {"2": 1}
    assert found["missing"][0] == {"item": "1", "n_missing": 1, "share": pytest.approx(1 / 22)}
