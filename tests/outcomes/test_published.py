"""The published trials: rates, effects and pools recomputed, or the file says why not."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from keel.cli import main
from keel.library import shelf
from keel.outcomes import meta, published_pools
from keel.outcomes.published import Compared, compared, study_effects

TABLE = shelf.read("tables", "published_trials").table
LINES = compared(TABLE)
POOLS = {pool["id"]: pool for pool in TABLE["pools"]}

KINDS = (
    "means",
    "rates",
    "effects",
    "contrasts",
    "differences",
    "correlations",
    "figures",
    "model_differences",
    "pools",
)
THREE_LEVEL = "three-level, correlation 0.6 within a study, k"
RATIO = "risk ratio, Paule-Mandel, Knapp-Hartung"


def name(line: Compared) -> str:
    return f"{line.study} {line.what}"


@pytest.mark.parametrize("line", LINES, ids=name)
def test_a_printed_number_is_reproduced_or_explained(line: Compared) -> None:
    assert line.agrees or line.why
    assert line.source


def test_most_of_what_papers_print_can_be_reproduced() -> None:
    told = {name(line) for line in LINES if not line.agrees and line.recomputed is not None}
    assert told == {
        *(f"davis-2021 GRID-HAMD-17, week {week} ({end})" for week in (5, 8) for end in ("low", "high")),
        "gukasyan-2022 GRID-HAMD-17, baseline to 1 month (printed)",
        "mapp2 CAPS-5, week 8 (printed)",
        "carhart-harris-2021 response, psilocybin v escitalopram (high)",
        *(f"carhart-harris-2021 remission, psilocybin v escitalopram ({key})" for key in ("printed", "low", "high")),
        *(f"carhart-harris-2021 QIDS-SR16, change to week 6, psilocybin v escitalopram ({e})" for e in ("low", "high")),
        *(
            f"comp001 {outcome} week 3, 25mg v 1mg ({key})"
            for outcome in ("response", "remission")
            for key in ("printed", "low", "high")
        ),
        *(f"comp001 {outcome} week 3, 25mg v 10mg (printed)" for outcome in ("response", "remission")),
        "psilocybin-depression I2 (percent) (i2)",
        "psilocybin-depression fixed effect (ci_high)",
        *(f"psilocybin-depression {THREE_LEVEL} = 37 ({key})" for key in ("estimate", "ci_low", "ci_high")),
        *(f"psilocybin-depression {THREE_LEVEL} = 39 ({key})" for key in ("estimate", "ci_low", "ci_high", "within")),
        *(f"psilocybin-depression three-level, slope per day, k = 37 ({key})" for key in ("estimate", "ci_low")),
        *(f"psilocybin-remission {RATIO} ({key})" for key in ("estimate", "ci_low", "ci_high")),
    }
    assert sum(line.agrees for line in LINES) >= 130
    assert {line.study for line in LINES if line.recomputed is None} == {
        *("davis-2021", "levin-2024", "comp001", "mapp1", "mdma-ptsd", "psilocybin-depression", "metaxa-clarke-2024"),
    }


def test_a_share_carries_both_intervals_and_a_correlation_its_own() -> None:
    """24 of 30: facts 1.9; r = -.65 of 20: facts 1.3; exact interval as R's binom.test(24, 30)."""
    named = {name(line): line for line in LINES}
    share = named["agrawal-2024 sustained response, week 8, all (percent)"].definition
    assert share == "24 of 30; 95 % interval 62.7 to 90.5 (Wilson), 61.4 to 92.3 (exact)"
    pair = named["levin-2024 alliance at the last preparation and GRID-HAMD at 4 weeks, r = -0.65 (p)"].definition
    assert pair.endswith("95 % interval -0.85 to -0.29 (Fisher)")


@pytest.mark.parametrize(
    ("row", "agrees"),
    [
        ({"r": -0.61, "n": 24, "p": 0.001}, True),  # .0015 at -.61, but .0014 at -.614, which is printed the same
        ({"r": -0.61, "n": 24, "p": 0.005}, False),
        ({"r": -0.61, "n": 10, "p": 0.001}, False),
        ({"r": -0.61, "n": 24, "p": 0.001, "below": True}, False),
        ({"r": -0.75, "n": 16, "p": 0.001, "below": True}, True),
    ],
)
def test_p_agrees_only_where_the_rounding_of_r_allows_it(row: dict[str, Any], agrees: bool) -> None:
    whole = {"study": "s", "pair": "a and b", "r_digits": 2, "digits": 3, "source": "x"} | row
    empty = {kind: [] for kind in ("rates", "effects", "contrasts", "differences", "pools", "figures")}
    (line,) = compared({"sources": {}, "correlations": [whole], **empty})
    assert line.agrees is agrees


def test_the_twelve_psilocybin_trials_by_every_estimator() -> None:
    """Facts 5, metafor 3.8 on the same twelve."""
    effect, variance = study_effects(POOLS["psilocybin-depression"])
    expected = {"FE": (-0.8449, 0), "DL": (-0.9025, 0.1153), "REML": (-0.9031, 0.1174), "ML": (-0.8910, 0.0768)}
    expected |= {"PM": (-0.9220, 0.2130), "HS": (-0.8957, 0.0912), "HE": (-0.9318, 0.2880), "SJ": (-0.9303, 0.2751)}
    for method, (estimate, tau2) in expected.items():
        fit = meta.pool(effect, variance, method=method)
        assert [fit.estimate, fit.tau2] == pytest.approx([estimate, tau2], abs=1e-4)
    fit = meta.pool(effect, variance, test="knha")
    found = [fit.estimate, fit.ci_low, fit.ci_high, fit.p, fit.prediction_low, fit.prediction_high]
    assert found == pytest.approx([-0.90308, -1.25611, -0.55006, 0.000153, -1.7358, -0.0703], abs=6e-5)


def test_an_impossible_mean_is_kept_and_marked() -> None:
    beyond = [row for row in TABLE["means"] if any(a["mean"] > row.get("maximum", 1e9) for a in row["arms"])]
    assert [(row["study"], row["scale"]) for row in beyond] == [("davis-2021", "qids-sr16")]
    assert "maximum" in beyond[0]["why"]


def test_every_row_names_a_source() -> None:
    for kind in KINDS:
        for row in TABLE[kind]:
            assert row["source"] in TABLE["sources"] or not row.get("verified", True), row


def test_every_pool_is_laid_out_with_its_studies_and_what_they_disagree_about() -> None:
    by_id = {pool.id: pool for pool in published_pools.pools(TABLE)}
    assert by_id.keys() == POOLS.keys()
    twelve = by_id["psilocybin-depression"]
    assert [study.label for study in twelve.studies] == [s["study"] for s in POOLS[twelve.id]["studies"]]
    assert sum(study.weight for study in twelve.studies) == pytest.approx(100)
    assert (twelve.pooled.method, twelve.pooled.test, twelve.written(twelve.pooled.estimate)) == (
        "REML",
        "knha",
        "−0.90",
    )
    assert twelve.intervals and twelve.intervals.tau2_high == pytest.approx(1.0125, abs=5e-5)
    assert twelve.egger and twelve.egger.p == pytest.approx(0.2106, abs=5e-5)
    response = by_id["psilocybin-response"]
    assert response.ratio and response.written(response.pooled.estimate) == "2.77"


def test_groups_hold_every_printed_number_once_and_every_input_its_source() -> None:
    laid_out = published_pools.groups(TABLE)
    lines = [line for group in laid_out for one in group.comparisons for line in one.lines]
    assert sorted(map(name, lines)) == sorted(map(name, LINES))
    assert all(one.source for group in laid_out for one in group.given)
    assert all(group.title != group.id for group in laid_out), "the file names every trial in words"
    assert sum(len(group.differences) for group in laid_out) == len(TABLE["model_differences"])


def test_what_is_taken_away_holds_the_same_numbers() -> None:
    whole = published_pools.as_json(TABLE)
    assert (
        whole["tally"]["printed"] == len(LINES) == sum(whole["tally"][k] for k in ("same", "differs", "not_computed"))
    )
    lines = list(csv.DictReader(io.StringIO(published_pools.comparisons_csv(TABLE))))
    assert [line["agrees"] == "yes" for line in lines] == [line.agrees for line in LINES]
    rows = list(csv.DictReader(io.StringIO(published_pools.data_csv(TABLE))))
    assert sum(row["used_in"] == "psilocybin-depression" for row in rows) == 2 * 12
    assert all(row["source"] and (row["mean"] or row["events"]) for row in rows)


def test_the_command_says_what_differs_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["published", "--trial", "comp001", "--differing"]) == 0
    said = capsys.readouterr().out
    assert "here 2.693" in said and "(not verified)" in said and "covariates that are not public" in said
    assert main(["published", "--trial", "nobody"]) == 1
    assert "psilocybin-depression" in capsys.readouterr().err
