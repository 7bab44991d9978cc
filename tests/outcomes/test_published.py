"""The published trials: rates, effects and pools recomputed, or the file says why not."""

from __future__ import annotations

import csv
import io

import pytest

from keel.cli import main
from keel.library import shelf
from keel.outcomes import meta, published_pools
from keel.outcomes.published import Compared, compared, study_effects

TABLE = shelf.read("tables", "published_trials").table
LINES = compared(TABLE)
POOLS = {pool["id"]: pool for pool in TABLE["pools"]}

THREE_LEVEL = "three-level, correlation 0.6 within a study, k = 39"
RATIO = "risk ratio, Paule-Mandel, Knapp-Hartung"


def name(line: Compared) -> str:
    return f"{line.study} {line.what}"


@pytest.mark.parametrize("line", LINES, ids=name)
def test_a_printed_number_is_reproduced_or_explained(line: Compared) -> None:
    assert line.agrees or line.why
    assert line.source


def test_most_of_what_papers_print_can_be_reproduced() -> None:
    told = {name(line) for line in LINES if not line.agrees}
    assert told == {
        "carhart-harris-2021 response (high)",
        "carhart-harris-2021 remission (printed)",
        "carhart-harris-2021 remission (low)",
        "carhart-harris-2021 remission (high)",
        "comp001 response week 3 (printed)",
        "comp001 remission week 3 (printed)",
        "psilocybin-depression I2 (percent) (i2)",
        "psilocybin-depression fixed effect (ci_high)",
        *(f"psilocybin-depression {THREE_LEVEL} ({key})" for key in ("estimate", "ci_low", "ci_high")),
        *(f"psilocybin-remission {RATIO} ({key})" for key in ("estimate", "ci_low", "ci_high")),
    }


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
    for kind in ("means", "rates", "effects", "contrasts", "model_differences", "pools"):
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
