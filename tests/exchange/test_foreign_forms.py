"""Forms with the features of public dictionaries and spreadsheets, written for these tests: nothing of them is lost."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from pathlib import Path

import pytest

from keel.domain.instrument import Instrument
from keel.exchange.fhir import questionnaire
from keel.exchange.redcap import dictionary
from keel.exchange.report import Report
from keel.exchange.xlsform import form as xlsform
from keel.exchange.xlsform import workbook
from tests.exchange.people import OWN

FILES = Path(__file__).parent / "files"
DICTIONARIES = sorted(FILES.glob("*.csv"))
SPREADSHEETS = sorted(FILES.glob("*.json"))


def made(report: Report) -> list[Instrument]:
    assert report.ok, report.reasons()
    return [Instrument.from_table(tomllib.loads(one.toml), one.id, id=one.id) for one in report.definitions]


def sheet(path: Path) -> bytes:
    """The spreadsheets lie here as JSON, so that a change in one can be read."""
    sheets = json.loads(path.read_text("utf-8"))
    return workbook.written(
        {name: (list(dict.fromkeys(key for row in rows for key in row)), rows) for name, rows in sheets.items()}
    )


def cells(text: str) -> dict[str, dict[str, str]]:
    rows = csv.DictReader(io.StringIO(text))
    return {row[dictionary.NAME]: {k: v.strip() for k, v in row.items() if k and v and v.strip()} for row in rows}


@pytest.mark.parametrize("path", DICTIONARIES, ids=lambda path: path.stem)
def test_a_dictionary_comes_back_cell_by_cell(path: Path) -> None:
    data = path.read_bytes()
    report = dictionary.imported(data, path.name, OWN)
    there = {name: row for name, row in cells(data.decode("utf-8-sig")).items() if name}
    back: dict[str, dict[str, str]] = {}
    for one in made(report):
        text, _ = dictionary.exported(one)
        again = dictionary.imported(text.encode(), path.name, {one.id: one})
        others = {finding.kind for finding in again.findings if "no field of this file" not in finding.what}
        assert others == {"same"} and made(again) == [one]
        back |= cells(text)
    assert {name: back[name] for name in there} == there


@pytest.mark.parametrize("path", SPREADSHEETS, ids=lambda path: path.stem)
def test_a_spreadsheet_comes_back_cell_by_cell(path: Path) -> None:
    data = sheet(path)
    (one,) = made(xlsform.imported(data, path.stem + ".xlsx", OWN))
    body, _ = xlsform.exported(one)
    again = xlsform.imported(body, path.stem + ".xlsx", {one.id: one})
    assert [finding.kind for finding in again.findings] == ["same"] and made(again) == [one]
    before, after = workbook.read(data, "a"), workbook.read(body, "b")
    assert [row for _, row in after["survey"]] == [row for _, row in before["survey"]]
    for name in set(before) - {"survey"}:
        key = sorted if name == "choices" else list
        assert key(map(str, (dict(sorted(r.items())) for _, r in after[name]))) == key(
            map(str, (dict(sorted(r.items())) for _, r in before[name]))
        )


def test_a_dictionary_in_parts() -> None:
    report = dictionary.imported((FILES / "trial.csv").read_bytes(), "trial.csv", OWN)
    one = {each.id: each for each in made(report)}
    assert set(one) == {"demographics", "mood-scale", "end-of-visit"}
    mood = one["mood-scale"]
    assert [item.id for item in mood.items] == ["1", "2", "3", "4", "pain", "hours", "helped", "sources", "site"]
    assert mood.item("2").answers.labels[1] == "Some, but not all"
    assert mood.item("4").asked_if is not None and mood.item("4").asked_if.at_least == 2
    assert mood.item("pain").answers.kind == "scale" and mood.item("hours").answers.max == 24
    assert mood.item("sources").answers.kind == "many" and mood.item("site").answers.choices == ("AP", "EU")
    total, mean = mood.steps
    assert (total.op, total.of, total.reversed) == ("sum", ("1", "2", "3"), ("3",))
    assert mean.op == "mean"
    told = {(finding.kind, finding.where.split(",")[0]) for finding in report.findings}
    assert ("kept", "row 3 (last_name)") in told and ("suspicious", "row 16") in told
    assert any("vault" in finding.what for finding in report.findings)
    assert any(finding.kind == "not_understood" and "datediff" in finding.what for finding in report.findings)
    tags = json.loads({kept.place: kept.text for kept in mood.imported.kept}["mood_scale_1"])["cells"]
    assert tags[dictionary.ANNOTATION] == "@NONEOFTHEABOVE @HIDEBUTTON"


def test_a_spreadsheet_in_parts() -> None:
    report = xlsform.imported(sheet(FILES / "visit.json"), "visit.xlsx", OWN)
    (one,) = made(report)
    assert one.id == "visit-form" and one.title == "Evening after the session"
    ids = {item.id: item for item in one.items}
    assert ids["calm"].answers.codes == (0, 1, 2, 3) and ids["calm"].label == "How calm are you?"
    assert ids["why"].answers.kind == "many" and ids["slept"].answers.kind == "yes_no"
    assert ids["hours"].answers.max == 14 and ids["intensity"].answers.allowed() == tuple(range(11))
    assert ids["nightmare"].asked_if == ids["nightmare"].asked_if.model_copy(update={"of": "slept", "equals": 1})
    assert "drink" not in ids, "a question inside a repeat is asked any number of times"
    assert [step.name for step in one.steps] == ["total"]
    kinds = {finding.kind for finding in report.findings}
    assert {"kept", "not_understood", "new"} <= kinds


def test_a_questionnaire_of_somebody_else() -> None:
    resource = {
        "resourceType": "Questionnaire",
        "id": "sleep-check",
        "status": "draft",
        "title": "Sleep",
        "code": [{"system": "http://loinc.org", "code": "44249-1"}],
        "contained": [{"resourceType": "ValueSet", "id": "v", "status": "active"}],
        "item": [
            {"linkId": "intro", "type": "display", "text": "Think of last night."},
            {
                "linkId": "g",
                "type": "group",
                "text": "Night",
                "item": [
                    {
                        "linkId": "/1.a",
                        "type": "choice",
                        "text": "How was it?",
                        "answerOption": [
                            {
                                "valueCoding": {
                                    "code": f"LA{n}",
                                    "display": text,
                                    "extension": [{"url": questionnaire.ORDINAL, "valueDecimal": n}],
                                }
                            }
                            for n, text in enumerate(("good", "fair", "poor"))
                        ],
                    },
                    {
                        "linkId": "/1.b",
                        "type": "integer",
                        "text": "Times awake",
                        "enableWhen": [{"question": "/1.a", "operator": "exists", "answerBoolean": True}],
                    },
                    {"linkId": "t", "type": "text", "text": "Dreams", "maxLength": 500},
                ],
            },
        ],
    }
    data = json.dumps(resource).encode()
    report = questionnaire.imported(data, "sleep.json", OWN)
    (one,) = made(report)
    assert [item.id for item in one.items] == ["_1_a", "_1_b"]
    assert one.items[0].answers.codes == (0, 1, 2) and one.items[1].asked_if.answered == ("_1_a",)
    assert any(finding.kind == "suspicious" and "phq-9" in finding.what for finding in report.findings)
    out, _ = questionnaire.exported(one)
    assert {key: value for key, value in out.items() if key != "extension"} == resource
    again = questionnaire.imported(json.dumps(out).encode(), "sleep.json", {one.id: one})
    assert [finding.kind for finding in again.findings] == ["same"] and made(again) == [one]
