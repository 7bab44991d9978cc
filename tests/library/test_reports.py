"""The reports on the shelf, and what a malformed one hears."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from keel.domain.errors import Refused
from keel.domain.report import Report
from keel.library import shelf
from keel.library.protocol_files import protocol
from keel.library.report_files import report, report_in_file, reports

GOOD = """
id = "mine"
version = 1
title = "Mine"
question = "What happened?"
method = "over_time"
population = "dosed"
display = ["trajectories"]
source = "house"
"""


def test_every_report_of_the_shelf_can_be_read_and_names_visits_that_exist() -> None:
    found = {one.id: one for one in reports()}
    assert set(found) >= {"outcome-over-time", "response-and-remission", "levin-2024", "consort", "blinding"}
    levin = found["levin-2024"]
    visits = {visit.id: visit for visit in protocol("davis-2021").visits}
    for pair in levin.pairs:
        for side in (pair.x, pair.y):
            for visit in side.visits:
                asked = {ask.instrument for ask in visits[visit].asks}
                assert side.measure == "endpoint" or side.measure.split(".")[0] in asked, (visit, side.measure)
    # What the paper prints is read at its source; everything else is a choice of ours.
    assert {f.basis for f in levin.facts if ".printed." in f.path} == {"read"}
    assert {f.basis for f in levin.facts if ".printed." not in f.path} == {"house"}


@pytest.mark.parametrize(
    ("line", "becomes", "says"),
    [
        ('method = "over_time"', 'method = "magic"', "method"),
        ('population = "dosed"', 'population = "everyone"', "population"),
        ('display = ["trajectories"]', 'display = ["forest"]', "over_time has no forest"),
        ('display = ["trajectories"]', "display = []", "display"),
        ('source = "house"', "", "stands on nobody's word"),
        ('question = "What happened?"', "", "question"),
        ('title = "Mine"', 'title = "Mine"\ncolour = "red"', "colour"),
        ('title = "Mine"', 'title = "Mine"\nmeasure = "madrs"', "is no measure"),
        ('title = "Mine"', 'title = "Mine"\ndraws = 7', "draws"),
        ('title = "Mine"', 'title = "Mine"\nguess = "treatment-guess.arm"', "guess"),
        ('method = "over_time"', 'method = "correlations"', "No pair is named"),
    ],
)
def test_a_malformed_report_is_refused_with_file_place_and_mend(
    tmp_path: Path, line: str, becomes: str, says: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert report_in_file(path).title == "Mine"
    path.write_text(GOOD.replace(line, becomes))
    with pytest.raises(Refused) as refused:
        report_in_file(path)
    told = str(refused.value)
    assert "reports/mine.toml" in told
    assert says in told
    assert all(reason.what and reason.why for reason in refused.value.reasons)


def test_bad_toml_and_another_name_are_sentences_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("version = 1\nid = ")
    with pytest.raises(Refused, match="not valid TOML"):
        report_in_file(path)
    path = tmp_path / "yours.toml"
    path.write_text(GOOD)
    with pytest.raises(Refused, match="its name says 'yours'"):
        report_in_file(path)
    with pytest.raises(Refused, match=r"Known: .*levin-2024"):
        report("no-such")


def test_of_several_visits_a_pair_must_say_which_value_counts() -> None:
    table = tomllib.loads(shelf.paths("reports")["levin-2024"].read_text("utf-8"))
    table["pairs"][4]["y"].pop("take")
    with pytest.raises(Refused, match="does not go with 2 visits"):
        Report.from_table(table, "reports/levin-2024.toml")


def test_a_site_adds_a_report_without_a_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/mine.toml").write_text(GOOD)
    monkeypatch.setenv("KEEL_SHELF", str(tmp_path))
    assert report("mine").method == "over_time"
