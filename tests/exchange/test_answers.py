"""Answers go out as QuestionnaireResponse and REDCap data, and come back the same."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.answers import by_item
from keel.domain.errors import Refused
from keel.domain.instrument import Instrument
from keel.domain.scoring import score
from keel.exchange.fhir import response
from keel.exchange.redcap import data
from tests.exchange.people import OWN, answers_to


@st.composite
def responses(draw: st.DrawFn) -> tuple[Instrument, dict[str, Any]]:
    one = draw(st.sampled_from(list(OWN.values())))
    items = answers_to(one, random.Random(draw(st.integers(0, 2**32))), draw(st.sampled_from((0.0, 0.2, 0.8))))
    for item in draw(st.lists(st.sampled_from(one.items), max_size=3)):
        items[item.id] = draw(st.sampled_from(("prefer_not", "not_applicable")))
    return one, {id: value for id, value in items.items() if value != []}


@settings(max_examples=150, deadline=None)
@given(responses())
def test_a_questionnaire_response_comes_back(made: tuple[Instrument, dict[str, Any]]) -> None:
    one, items = made
    scores = score(one, items).scores
    out = json.loads(json.dumps(response.exported(one, items, subject="Patient/1", scores=scores)))
    assert response.imported(one, out) == items


@settings(max_examples=150, deadline=None)
@given(responses(), st.lists(st.sampled_from(("baseline", "week_1")), min_size=1, max_size=2, unique=True))
def test_redcap_data_comes_back(made: tuple[Instrument, dict[str, Any]], events: list[str]) -> None:
    one, items = made
    rows = [data.Row("S-1", items, event, 2, score(one, items).scores) for event in events]
    read = data.imported(one, data.exported(one, rows).encode(), "data.csv")
    assert not [finding for finding in read.findings if finding.kind == "refused"]
    wanted = {item.id: items.get(item.id) for item in one.items}
    if any(value is not None for value in wanted.values()):
        assert [dict(row.items) for row in read.rows] == [wanted] * len(events)
        assert [(row.event, row.instance) for row in read.rows] == [(event, 2) for event in events]


def test_a_response_to_another_form_or_version_is_refused() -> None:
    out = response.exported(OWN["phq-9"], [1] * 9)
    with pytest.raises(Refused, match="not to gad-7"):
        response.imported(OWN["gad-7"], out)
    with pytest.raises(Refused, match="version"):
        response.imported(OWN["phq-9"], {**out, "questionnaire": "urn:keel:instrument:phq-9|99"})
    assert response.imported(OWN["phq-9"], out) == {str(n): 1 for n in range(1, 10)}


def test_a_response_that_cannot_be_read_names_its_items() -> None:
    out = response.exported(OWN["gad-7"], [1] * 7)
    out["item"][2]["answer"] = [{}]
    out["item"][3]["linkId"] = "99"
    with pytest.raises(Refused) as refused:
        response.imported(OWN["gad-7"], out)
    assert [reason.where for reason in refused.value.reasons] == ["item[2]", "item[3]"]


def test_an_answer_outside_its_codes_does_not_go_out() -> None:
    with pytest.raises(Refused, match="The answer 4 to item 1"):
        response.exported(OWN["gad-7"], [4, 0, 0, 0, 0, 0, 0])


def test_the_moment_and_the_person_are_given_by_the_caller() -> None:
    at = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    out = response.exported(OWN["phq-2"], [1, 2], subject="Patient/7", authored_at=at, finished=False)
    assert (out["subject"], out["authored"], out["status"]) == (
        {"reference": "Patient/7"},
        "2026-03-01T12:00:00+00:00",
        "in-progress",
    )


def pcl_5_rows(low: int) -> bytes:
    header = ["record_id", *(f"pcl_5_{n}" for n in range(1, 21))]
    rows = [[f"S-{n}", *[str(low + (n + k) % 4) for k in range(20)]] for n in range(12)]
    return "\r\n".join(",".join(row) for row in [header, *rows]).encode()


def test_pcl_5_data_counted_from_one() -> None:
    good = data.imported(OWN["pcl-5"], pcl_5_rows(0), "pcl.csv")
    assert len(good.rows) == 12 and not good.findings
    odd = data.imported(OWN["pcl-5"], pcl_5_rows(1), "pcl.csv")
    assert [finding.kind for finding in odd.findings] == ["suspicious"] and "from 1" in odd.findings[0].mend
    bad = data.imported(OWN["pcl-5"], pcl_5_rows(2), "pcl.csv")
    assert bad.rows == () and bad.findings[0].where == "row 2, pcl_5_4"
    assert "subtract 1" in bad.findings[0].mend


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("record_id,gad_7_1,gad_7_1\n1,0,0\n", "x.csv, row 1", "stands twice"),
        ("record_id,other\n1,0\n", "x.csv, row 1", "holds no answers"),
        ("record_id,gad_7_1\n1,0\n1,2\n", "row 3, record_id", "here already, in row 2"),
        ("record_id,gad_7_1\n1,often\n", "row 2, gad_7_1", "is no answer"),
    ],
)
def test_bad_data_is_refused_whole(text: str, where: str, what: str) -> None:
    read = data.imported(OWN["gad-7"], text.encode(), "x.csv")
    assert read.rows == ()
    assert any(f.kind == "refused" and f.where == where and what in f.what for f in read.findings), read.findings


def test_a_project_says_what_its_missing_data_codes_mean() -> None:
    text = b"record_id;gad_7_1;gad_7_2;note\n1;-99;1;x\n"
    read = data.imported(OWN["gad-7"], text, "x.csv", missing={"-99": "prefer_not"})
    assert read.rows[0].items["1"] == "prefer_not" and read.rows[0].items["2"] == 1
    assert by_item(OWN["gad-7"], read.rows[0].items)["3"] is None
    assert any(finding.kind == "kept" and "note" in finding.where for finding in read.findings)
