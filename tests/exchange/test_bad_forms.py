"""A form that cannot be taken in is refused with its row and column, quickly, and nothing of it is taken."""

from __future__ import annotations

import csv
import io
import json
import struct
import time
import zipfile
from collections.abc import Callable

import pytest

from keel.exchange.fhir import questionnaire
from keel.exchange.redcap import dictionary
from keel.exchange.report import Report
from keel.exchange.xlsform import form as xlsform
from keel.exchange.xlsform import workbook
from tests.exchange.people import OWN

Row = dict[str, str]
CHOICES = "0, no | 1, some | 2, much"


def a_dictionary(*rows: Row, encoding: str = "utf-8", line_end: str = "\n") -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, dictionary.COLUMNS, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


def radio(name: str, branching: str = "", **more: str) -> Row:
    return {
        dictionary.NAME: name,
        dictionary.FORM: "mine",
        dictionary.TYPE: "radio",
        dictionary.LABEL: name,
        dictionary.CHOICES: CHOICES,
        dictionary.BRANCHING: branching,
        **more,
    }


def calc(name: str, text: str) -> Row:
    return {**radio(name), dictionary.TYPE: "calc", dictionary.CHOICES: text}


def take(*rows: Row) -> Report:
    return dictionary.imported(a_dictionary(*rows), "mine.csv", OWN)


def refused(report: Report) -> list[str]:
    assert not report.ok and report.definitions == ()
    return [f"{reason.where}: {reason.what}" for reason in report.reasons()]


def test_a_loop_in_the_branching() -> None:
    (reason,) = refused(take(radio("a", "[c] = 1"), radio("b", "[a] > 0"), radio("c", "[b] <> ''")))
    assert reason.startswith("row ") and dictionary.BRANCHING in reason
    assert "a waits for c waits for b waits for a" in reason or "waits for" in reason


def test_a_field_that_waits_for_itself() -> None:
    (reason,) = refused(take(radio("a", "[a] = 1")))
    assert reason == f"row 2, {dictionary.BRANCHING}: a waits for itself"


def test_two_loops_through_a_calculation() -> None:
    reasons = refused(take(radio("a", "[t] > 1"), calc("t", "[a] + [b]"), radio("b")))
    assert len(reasons) == 1 and "waits for" in reasons[0]


def test_the_same_without_the_loop_is_taken() -> None:
    assert take(radio("a"), radio("b", "[a] > 0"), radio("c", "[b] <> ''")).ok


def test_duplicate_names() -> None:
    assert refused(take(radio("a"), radio("b"), radio("a"))) == ["row 4, name: The name a is taken by row 2"]


def test_an_unknown_type_and_codes_that_are_none() -> None:
    reasons = refused(
        take(
            {**radio("a"), dictionary.TYPE: "radioo"},
            {**radio("b"), dictionary.CHOICES: "0, no | 0, yes"},
            {**radio("c"), dictionary.CHOICES: ""},
            {**radio("d"), dictionary.TYPE: "slider", dictionary.MIN: "low"},
        )
    )
    assert [reason.split(":")[0] for reason in reasons] == [
        f"row 2, {dictionary.TYPE}",
        f"row 3, {dictionary.CHOICES}",
        f"row 4, {dictionary.CHOICES}",
        f"row 5, {dictionary.MIN}",
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "there is no field"),
        (a_dictionary(), "there is no field"),
        (a_dictionary(radio("a")) + b'b,mine,,radio,"never closed\nc,mine,,yesno,c\n', "not closed"),
        (a_dictionary(radio("a")).replace(b"Field Note", b"Form Name"), "the column Form Name stands twice"),
        (b"a,b,c\n1,2,3\n", "is not a data dictionary"),
        (b"\xff\xfe\x00\xd8", "encoding"),
        (a_dictionary(radio("")), "A row has no name"),
        (a_dictionary(radio("a")).rstrip() + b",x,y\n", "longer than the header"),
    ],
)
def test_what_is_no_dictionary(data: bytes, says: str) -> None:
    report = dictionary.imported(data, "x.csv", OWN)
    assert says in " ".join(f"{finding.where}: {finding.what}" for finding in report.findings)
    assert refused(report)


def test_slips_of_the_pen_are_told() -> None:
    told = suspicious(take(radio("Has space"), {**radio("b"), dictionary.CHOICES: "0 no | 1, yes"}))
    assert "takes no field called 'Has space'" in told[0] and "'0 no' has no comma" in told[1]


def test_windows_line_ends_and_latin_1_are_read_and_told() -> None:
    plain = dictionary.imported(a_dictionary(radio("a", **{dictionary.LABEL: "Größe"})), "m.csv", {})
    ends = dictionary.imported(a_dictionary(radio("a", **{dictionary.LABEL: "Größe"}), line_end="\r\n"), "m.csv", {})
    latin = dictionary.imported(
        a_dictionary(radio("a", **{dictionary.LABEL: "Größe"}), encoding="latin-1"), "m.csv", {}
    )
    assert "Größe" in plain.definitions[0].toml
    for other in (ends, latin):
        assert other.ok
        assert other.definitions[0].toml.replace(other.sha256, "") == plain.definitions[0].toml.replace(
            plain.sha256, ""
        )
    assert any("UTF-8" in finding.what for finding in latin.findings)
    assert not any("UTF-8" in finding.what for finding in ends.findings)


def test_five_thousand_fields_in_bounded_time() -> None:
    rows = [radio("f0")] + [radio(f"f{n}", f"[f{n - 1}] > 0") for n in range(1, 5000)]
    began = time.process_time()
    report = take(*rows)
    assert report.ok and report.fields == 5000
    assert time.process_time() - began < 20


def test_a_ring_of_five_thousand() -> None:
    rows = [radio("f0", "[f4999] = 1")] + [radio(f"f{n}", f"[f{n - 1}] > 0") for n in range(1, 5000)]
    (reason,) = refused(take(*rows))
    assert len(reason) < 400 and reason.endswith("…")


@pytest.mark.parametrize("text", ["(" * 5000 + "[a]" + ")" * 5000, "[a] = 1 or " * 3000 + "[a] = 1", "-" * 9000 + "1"])
def test_an_expression_made_to_hurt_is_kept_as_text(text: str) -> None:
    report = take(radio("a"), radio("b", text))
    assert report.ok and any(finding.kind == "not_understood" for finding in report.findings)


# ---- known traps ------------------------------------------------------------------------------------------------


def pcl_5(low: int, items: int = 20) -> Report:
    choices = " | ".join(f"{n}, {word}" for n, word in enumerate(("none", "some", "half", "most", "all"), low))
    rows = [radio(f"pcl5_{n}", **{dictionary.FORM: "pcl5", dictionary.CHOICES: choices}) for n in range(1, items + 1)]
    return take(*rows)


def suspicious(report: Report) -> list[str]:
    assert report.ok
    return [finding.what for finding in report.findings if finding.kind == "suspicious"]


def test_pcl_5_counted_from_one() -> None:
    assert suspicious(pcl_5(0)) == []
    (what,) = suspicious(pcl_5(1))
    assert "counted from 1" in what and "pcl-5" in what


def test_pcl_5_with_an_item_missing() -> None:
    (what,) = suspicious(pcl_5(0, 19))
    assert "19 items" in what and "has 20" in what


def test_codes_that_stand_for_nothing_and_answers_filled_in() -> None:
    odd = radio("a", **{dictionary.CHOICES: "0, no | 1, yes | 99, not applicable"})
    filled = radio("b", **{dictionary.ANNOTATION: "@DEFAULT='1'"})
    first, second = suspicious(take(odd, filled))
    assert "Code 99" in first and "filled in beforehand" in second


def test_a_sum_that_counts_blanks_as_nothing() -> None:
    (what,) = suspicious(take(radio("a"), radio("b"), calc("t", "sum([a], [b])")))
    assert "blank as nothing" in what
    assert suspicious(take(radio("a"), radio("b"), calc("t", "[a] + [b]"))) == []


# ---- spreadsheets -------------------------------------------------------------------------------------------------


def a_sheet(*survey: Row, choices: list[Row] | None = None) -> bytes:
    listed = choices or [{"list_name": "l", "name": str(n), "label": str(n)} for n in range(3)]
    columns = ("type", "name", "label", "relevant", "parameters")
    return workbook.written({"survey": (columns, survey), "choices": (("list_name", "name", "label"), listed)})


def question(name: str, kind: str = "select_one l", **more: str) -> Row:
    return {"type": kind, "name": name, "label": name, **more}


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        (a_sheet(question("a"), question("a")), "survey, row 3, name", "taken by survey, row 2"),
        (a_sheet(question("a", "selct l")), "survey, row 2, type", "no type 'selct'"),
        (a_sheet(question("a", "select_one m")), "survey, row 2, type", "no list 'm'"),
        (a_sheet(question("", "integer")), "survey, row 2, name", "no name"),
        (a_sheet(question("a", "range", parameters="start=a end=b")), "survey, row 2, parameters", "no numbers"),
        (a_sheet(question("a", relevant="${a} = 1")), "survey, row 2, relevant", "waits for itself"),
        (
            a_sheet(question("a", relevant="${b} = 1"), question("b", relevant="${a} = 1")),
            "survey, row",
            "waits for",
        ),
        (
            a_sheet(question("a"), choices=[{"list_name": "l", "name": "0"}, {"list_name": "l", "name": "0"}]),
            "choices, row 2, name",
            "stands twice",
        ),
        (a_sheet(question("g", "begin group"), question("a")), "survey, row 2, type", "never ended"),
        (a_sheet(question("a"), question("", "end repeat")), "survey, row 3, type", "ends nothing"),
        (a_sheet(question("g", "begin group"), question("", "end repeat")), "survey, row 3, type", "ends nothing"),
        (a_sheet(question("a", "select one from l")), "survey, row 2, type", "before 2012"),
        (a_sheet(question("a", "select all that apply from l")), "survey, row 2, type", "before 2012"),
        (a_sheet(), "survey, row 2", "holds no form"),
        (
            workbook.written({"survey": (("type", "name", "name"), [question("a")])}),
            "survey, row 1, column 3",
            "not read",
        ),
        (workbook.written({"other": (("a",), [{"a": "1"}])}), "x.xlsx", "no XLSForm"),
        (b"PK\x03\x04 nothing", "x.xlsx", "was not read"),
        (b"type,name\n", "x.xlsx", "was not read"),
    ],
)
def test_a_bad_spreadsheet(data: bytes, where: str, what: str) -> None:
    report = xlsform.imported(data, "x.xlsx", OWN)
    assert any(reason.startswith(where) and what in reason for reason in refused(report)), refused(report)


def test_capitals_and_empty_rows_are_no_fault() -> None:
    choices = ("List Name", "Name", "Label"), [{"List Name": "l", "Name": "0", "Label": "zero"}]
    empty: list[Row] = [{}] * 3000
    survey = ("Type", "Name", "Label"), [*empty, {"Type": "select_one l", "Name": "a", "Label": "A"}, *empty]
    report = xlsform.imported(workbook.written({"SURVEY": survey, "Choices": choices}), "x.xlsx", {})
    assert report.ok and report.fields == 1


def test_choices_that_depend_on_an_answer_may_stand_twice() -> None:
    twice = [{"list_name": "l", "name": "king", "label": "King"}] * 2
    columns = ("type", "name", "label", "choice_filter")
    rows = [question("a", choice_filter="state=${b}")]
    sheets = {"survey": (columns, rows), "choices": (("list_name", "name", "label"), twice)}
    report = xlsform.imported(workbook.written(sheets), "x.xlsx", {})
    assert report.ok and any(finding.kind == "kept" for finding in report.findings)


def bomb(size_mb: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(a_sheet(question("a")))) as good, zipfile.ZipFile(out, "w", 8) as bad:
        for part in good.infolist():
            body = good.read(part.filename)
            if part.filename.endswith("sheet1.xml"):
                body = body.replace(b"<sheetData>", b"<sheetData>" + b" " * (size_mb * 2**20))
            bad.writestr(part.filename, body)
    return out.getvalue()


def lying(data: bytes) -> bytes:
    """The same archive with small sizes declared for what is large."""
    out = bytearray(data)
    for mark, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = out.find(mark)
        while place >= 0:
            if struct.unpack_from("<I", out, place + at)[0] > 2**20:
                struct.pack_into("<I", out, place + at, 5000)
            place = out.find(mark, place + 4)
    return bytes(out)


@pytest.mark.parametrize("change", [lambda data: data, lying])
@pytest.mark.parametrize("size_mb", [8, 120])
def test_a_bomb_is_not_opened(size_mb: int, change: Callable[[bytes], bytes]) -> None:
    data = change(bomb(size_mb))
    began = time.process_time()
    (reason,) = refused(xlsform.imported(data, "x.xlsx", OWN))
    assert "x.xlsx" in reason and time.process_time() - began < 2


# ---- FHIR -----------------------------------------------------------------------------------------------------------


def a_questionnaire(*items: object) -> bytes:
    return json.dumps({"resourceType": "Questionnaire", "status": "draft", "name": "Q", "item": items}).encode()


def when(question: str) -> dict[str, object]:
    return {"enableWhen": [{"question": question, "operator": "=", "answerInteger": 1}]}


def nested(depth: int) -> dict[str, object]:
    item: dict[str, object] = {"linkId": "end", "type": "integer"}
    for n in range(depth):
        item = {"linkId": f"g{n}", "type": "group", "item": [item]}
    return item


@pytest.mark.parametrize(
    ("data", "where", "what"),
    [
        (b"{", "x.json", "is not JSON"),
        (b"[" * 100_000, "x.json", "is not JSON"),
        (b'{"resourceType": "Patient"}', "x.json", "no Questionnaire"),
        (a_questionnaire({"type": "integer"}), "item[0]", "no linkId"),
        (a_questionnaire({"linkId": "a", "type": "slider"}), "item[0], type", "no item type 'slider'"),
        (a_questionnaire({"linkId": "a", "type": "choice", "answerOption": [3]}), "item[0], answerOption", "not read"),
        (
            a_questionnaire({"linkId": "a", "type": "integer"}, {"linkId": "a", "type": "integer"}),
            "item[1], name",
            "taken by item[0]",
        ),
        (
            a_questionnaire(
                {"linkId": "a", "type": "integer", **when("b")}, {"linkId": "b", "type": "integer", **when("a")}
            ),
            "item[",
            "waits for",
        ),
        (a_questionnaire(nested(40)), "item[0]", "not read"),
        (b'{"resourceType": "Questionnaire", "item": {"linkId": "a"}}', "item", "not read"),
    ],
)
def test_a_bad_questionnaire(data: bytes, where: str, what: str) -> None:
    reasons = refused(questionnaire.imported(data, "x.json", OWN))
    assert any(reason.startswith(where) and what in reason for reason in reasons), reasons
