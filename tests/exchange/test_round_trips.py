"""import → export → import is identical, for every instrument on the shelf and for forms of other people."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections.abc import Callable

import openpyxl
import pytest

from keel.domain.instrument import Instrument
from keel.exchange.definition import packed, unpacked
from keel.exchange.fhir import questionnaire
from keel.exchange.redcap import dictionary
from keel.exchange.report import Report
from keel.exchange.xlsform import form as xlsform
from tests.exchange.people import OWN


def as_fhir(one: Instrument) -> bytes:
    return json.dumps(questionnaire.exported(one)[0]).encode()


def as_redcap(one: Instrument) -> bytes:
    return dictionary.exported(one)[0].encode()


def as_xlsform(one: Instrument) -> bytes:
    return xlsform.exported(one)[0]


WAYS = [
    pytest.param(as_fhir, questionnaire.imported, id="fhir"),
    pytest.param(as_redcap, dictionary.imported, id="redcap"),
    pytest.param(as_xlsform, xlsform.imported, id="xlsform"),
]
Out = Callable[[Instrument], bytes]
In = Callable[..., Report]


def read(report: Report) -> list[Instrument]:
    assert report.ok, report.reasons()
    return [Instrument.from_table(tomllib.loads(one.toml), one.id, id=one.id) for one in report.definitions]


@pytest.mark.parametrize("one", OWN.values(), ids=OWN)
def test_a_definition_comes_back_from_its_text(one: Instrument) -> None:
    assert unpacked(packed(one), one.id) == one


@pytest.mark.parametrize(("out", "back"), WAYS)
def test_every_instrument_comes_back_whole(out: Out, back: In) -> None:
    for one in OWN.values():
        report = back(out(one), one.id, OWN)
        assert [finding.kind for finding in report.findings] == ["same"], (one.id, report.findings)
        assert read(report) == [one]


def without_definition(name: str, body: bytes) -> bytes:
    """The form alone, as somebody who knows nothing of Keel would have made it."""
    if name == "fhir":
        resource = json.loads(body)
        del resource["extension"]
        return json.dumps(resource).encode()
    if name == "redcap":
        rows = [row for row in csv.reader(io.StringIO(body.decode())) if not row[0].endswith("_keel")]
        out = io.StringIO()
        csv.writer(out, lineterminator="\r\n").writerows(rows)
        return out.getvalue().encode("utf-8-sig")
    book = openpyxl.load_workbook(io.BytesIO(body))
    del book["keel"]
    out_bytes = io.BytesIO()
    book.save(out_bytes)
    return out_bytes.getvalue()


@pytest.mark.parametrize("name", ["fhir", "redcap", "xlsform"])
def test_items_codes_and_conditions_stand_in_the_form_itself(name: str) -> None:
    """The definition that travels is not what the round trip stands on: without it items, codes and flat conditions
    are the same, and sums, means and percentages too."""
    out, back = {
        "fhir": (as_fhir, questionnaire.imported),
        "redcap": (as_redcap, dictionary.imported),
        "xlsform": (as_xlsform, xlsform.imported),
    }[name]
    for id in ("phq-9", "audit", "c-ssrs-screener", "caps-5", "lec-5", "sheehan-sds", "meq30", "peq", "zung-sds"):
        one = OWN[id]
        (made,) = read(back(without_definition(name, out(one)), id, {}))
        asked = list(made.items)
        assert [item.id for item in asked] == [item.id if name == "fhir" else item.id.lower() for item in one.items]
        for mine, theirs in zip(one.items, asked, strict=True):
            assert mine.answers.kind == theirs.answers.kind and mine.answers.allowed() == theirs.answers.allowed()
            assert mine.label == theirs.label
            if name != "fhir":
                assert mine.asked_if == theirs.asked_if
        if name != "fhir":
            for step in made.steps:
                if step.op in ("sum", "mean", "percent") and step.name in {s.name for s in one.steps}:
                    other = one.step(step.name)
                    assert other is not None and (step.of, step.op) == (other.of, other.op)


@pytest.mark.parametrize(("out", "back"), WAYS)
def test_a_form_without_its_definition_goes_out_and_in_again(out: Out, back: In) -> None:
    """What was foreign once stays the same from then on."""
    name = {as_fhir: "fhir", as_redcap: "redcap", as_xlsform: "xlsform"}[out]
    for id in ("phq-9", "audit", "promis-global-10", "lec-5"):
        (made,) = read(back(without_definition(name, out(OWN[id])), "theirs", {}))
        report = back(out(made), "ours", {made.id: made})
        assert [finding.kind for finding in report.findings] == ["same"], (id, report.findings)
        assert read(report) == [made]


def test_a_change_in_the_form_is_told_and_taken() -> None:
    text = as_redcap(OWN["phq-9"]).decode()
    report = dictionary.imported(text.replace(",Energy,", ",Tired,").encode(), "phq-9.csv", OWN)
    changed = [finding for finding in report.findings if finding.kind == "changed"]
    assert changed[0].where == "row 6, Field Label"
    (made,) = read(report)
    assert made.item("4").label == "Tired"
    assert made.steps == OWN["phq-9"].steps and made.bands == OWN["phq-9"].bands


def test_a_changed_calculation_that_is_not_understood_stops_the_import() -> None:
    text = as_redcap(OWN["gad-7"]).decode().replace("[gad_7_1] + [gad_7_2]", "roundup([gad_7_1]) + [gad_7_2]", 1)
    report = dictionary.imported(text.encode(), "gad-7.csv", OWN)
    assert not report.ok and report.definitions == ()
    assert any("Choices, Calculations" in reason.where for reason in report.reasons())


def test_an_item_that_a_score_needs_cannot_go_quietly() -> None:
    rows = list(csv.reader(io.StringIO(as_redcap(OWN["gad-7"]).decode())))
    out = io.StringIO()
    csv.writer(out).writerows(row for row in rows if row[0] != "gad_7_3")
    report = dictionary.imported(out.getvalue().encode(), "gad-7.csv", OWN)
    assert not report.ok and "'3' is unknown here" in str(report.reasons()[0])
