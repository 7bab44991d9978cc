"""Tables keep every code, label and gap, read back by the programs' own formats."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pyreadstat
import pytest

from keel.domain.scoring import score
from keel.exchange import tables
from tests.exchange.people import OWN


def phq_9() -> tables.Table:
    one = OWN["phq-9"]
    first = [1, 2, 1, 2, 1, 1, 1, 0, 0]
    second = [2, None, "prefer_not", 1, 0, 0, 0, 0, 3]
    rows = [
        tables.Response({"participant": "P-1", "visit": "baseline"}, first, score(one, first).scores),
        tables.Response({"participant": "P-2", "visit": "baseline"}, second, score(one, second).scores),
    ]
    return tables.table(one, rows)


def test_csv_and_parquet_hold_codes_and_labels() -> None:
    made = phq_9()
    first, second = csv.DictReader(io.StringIO(tables.as_csv(made)))
    assert first["phq_9_1"] == "1" and first["phq_9_total"] == "9" and first["phq_9_band"] == "mild"
    assert second["phq_9_2"] == "" and second["phq_9_3"] == "" and second["phq_9_3_absent"] == "prefer_not"
    assert second["phq_9_total"] == "" and "phq_9_1_absent" not in second
    body = io.BytesIO(tables.as_parquet(made))
    assert pl.read_parquet(body).equals(made.frame)
    held = json.loads(pl.read_parquet_metadata(body)["keel.labels"])
    assert held["phq_9_1"] == {
        "label": "Interest and pleasure",
        "values": {"0": "Not at all", "1": "Several days", "2": "More than half the days", "3": "Nearly every day"},
    }


def test_spss_reads_it(tmp_path: Path) -> None:
    assert tables.write_spss(phq_9(), tmp_path / "a.sav") == ()
    frame, meta = pyreadstat.read_sav(tmp_path / "a.sav")
    assert meta.column_names_to_labels["phq_9_9"] == "Thoughts of death or self-harm"
    assert meta.variable_value_labels["phq_9_1"] == {
        0: "Not at all",
        1: "Several days",
        2: "More than half the days",
        3: "Nearly every day",
    }
    assert list(frame["phq_9_9"]) == [0, 3] and frame["phq_9_2"].isna().tolist() == [False, True]


def test_stata_reads_it_and_is_told_what_is_shortened(tmp_path: Path) -> None:
    one = OWN["c-ssrs-screener"]
    asked = {"q1": True, "q2": False, "q6": True, "q6_when": "lifetime"}
    made = tables.table(one, [tables.Response({"a_key_with_a_name_beyond_what_fits": "P-1"}, asked)])
    findings = tables.write_stata(made, tmp_path / "a.dta")
    assert {finding.where for finding in findings} == {"a_key_with_a_name_beyond_what_fits", "c_ssrs_screener_q6_when"}
    frame, meta = pyreadstat.read_dta(tmp_path / "a.dta")
    assert "a_key_with_a_name_beyond_what_fi" in frame
    assert meta.variable_value_labels["c_ssrs_screener_q1"] == {0: "no", 1: "yes"}
    assert frame["c_ssrs_screener_q6_when"][0] == "lifetime"


def test_r_lays_the_labels_on() -> None:
    text = tables.as_r(phq_9(), 'my "data".csv')
    assert 'read.csv("my \\"data\\".csv"' in text
    assert 'data[["phq_9_1"]] <- labelled(as.double(data[["phq_9_1"]]), labels = c("Not at all" = 0,' in text


def test_boxes_have_a_column_each() -> None:
    made = tables.table(OWN["lec-5"], [tables.Response({}, {"1": ["happened", "job"]})])
    assert made.frame["lec_5_1___happened"].to_list() == [1] and made.frame["lec_5_1___witnessed"].to_list() == [0]
    assert made.frame["lec_5_2___happened"].to_list() == [None]


def test_a_key_that_is_called_like_an_item_is_refused() -> None:
    with pytest.raises(Exception, match="two columns are called phq_9_1"):
        tables.table(OWN["phq-9"], [tables.Response({"phq_9_1": "x"}, [0] * 9)])
