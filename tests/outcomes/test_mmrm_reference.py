"""MMRM against reference programs: nlme, lme4 with lmerTest and pbkrtest, emmeans, clubSandwich, SAS listings.

The numbers, the programs and their versions lie in tests/reference/mmrm/, the scripts that made them beside them.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from keel.outcomes.columns import read_table
from keel.outcomes.mmrm import MMRM, fit_mmrm

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "tests" / "reference" / "mmrm"
SHARED = ROOT.parent / "shared" / "data"


def reference(name: str) -> dict[str, Any]:
    return json.loads((REFERENCE / f"{name}.json").read_text())


@cache
def simulated(name: str, weeks: tuple[float, ...] = (1, 2, 4, 8, 12, 26)) -> pl.DataFrame:
    table = read_table(ROOT / "tests" / "reference" / "data" / name)
    visits = sorted(set(table["visit"]))
    week = pl.col("visit").replace_strict(visits, weeks[: len(visits)], return_dtype=pl.Float64)
    return table.with_columns(week.alias("week"))


def label(one: dict[str, Any]) -> str:
    return "-".join(str(one[key]) for key in ("data", "covariance", "method") if key in one)


@pytest.mark.parametrize("told", reference("gls")["fits"], ids=label)
def test_gls_finds_the_same_model(told: dict[str, Any]) -> None:
    spatial = told["covariance"] == "sp_exp"
    fit = fit_mmrm(
        simulated(told["data"]),
        told["formula"],
        visit="week" if spatial else "visit",
        subject="usubjid",
        covariance=told["covariance"],
        method=told["method"],
    )
    assert (fit.n_obs, fit.n_subjects) == (told["n_obs"], told["n_subjects"])
    assert fit.m2loglik == pytest.approx(told["m2loglik"], abs=1e-6)
    # gls multiplies the ML standard errors by sqrt(N / (N - p)); SAS and mmrm do not
    widened = (fit.n_obs / (fit.n_obs - len(fit.beta))) ** 0.5 if told["method"] == "ml" else 1.0
    ours = dict(fit.coefficients())
    for one in told["coefficients"]:
        mine = ours[one["term"]]
        assert mine is not None
        assert mine.estimate == pytest.approx(one["estimate"], rel=1e-4, abs=1e-4 * mine.se)
        assert mine.se * widened == pytest.approx(one["se"], rel=1e-4)


SAS_NAMES = {
    "Unstructured": "us",
    "Ante-dependence": "adh",
    "Autoregressive": "ar1",
    "Compound Symmetry": "cs",
    "Heterogeneous Toeplitz": "toeph",
    "Heterogeneous Compound": "csh",
    "Spatial Exponential": "sp_exp",
}
# sp(gau), and distances over two coordinates, are not among Keel's structures
NOT_OURS = ("sp_gau", "sp_exp2")


def listings() -> list[dict[str, Any]]:
    path = SHARED / "reference_fev_sas_listings.json"
    return json.loads(path.read_text()) if path.exists() else []


def sas_fit(listing: dict[str, Any]) -> MMRM:
    name = listing["source"]
    effects = {one["effect"] for one in listing["fixed"]}
    if "AVISIT" in effects:
        formula = "FEV1 ~ RACE + SEX + ARMCD * AVISIT"
    else:
        formula = "FEV1 ~ ARMCD + SEX" if "SEX" in effects else "FEV1 ~ 1"
    covariance = "ar1h" if "ar1h" in name else SAS_NAMES[listing["structure"]]
    return fit_mmrm(
        read_table(SHARED / "fev_data.csv"),
        formula,
        visit="VISITN" if covariance == "sp_exp" else "AVISIT",
        subject="USUBJID",
        covariance=covariance,
        method=listing["method"].lower(),
        group="ARMCD" if "group" in name else None,
        weights="WEIGHT" if "weighted" in name else None,
    )


def test_sas_listings_are_reproduced() -> None:
    """Each listing in turn. SAS stops when the criterion is below 1e-8, up to 2e-5 above the minimum of -2 log L."""
    told = [one for one in listings() if not any(name in one["source"] for name in NOT_OURS)]
    assert told or not SHARED.exists(), "the shared data are here, the SAS listings are not"
    for listing in told:
        fit = sas_fit(listing)
        assert -2e-5 < fit.m2loglik - listing["m2ll"] < 1e-6, listing["source"]
        assert fit.n_obs == listing["n_used"]
        if len(listing["fixed"]) == 1:
            (_, mine), sas = fit.coefficients()[0], listing["fixed"][0]
            assert mine is not None
            assert mine.estimate == pytest.approx(sas["estimate"], rel=1e-4)
            assert mine.se == pytest.approx(sas["se"], rel=1e-3)
            assert mine.df == pytest.approx(sas["df"], abs=0.51)  # printed without decimals
