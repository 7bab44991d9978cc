"""`keel mmrm` from the outside: the contract's JSON, and a sentence for data that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from keel.cli import main

DATA = Path(__file__).parents[1] / "reference" / "data" / "sim_pat_mmrm_24x4.csv"
USUAL = ["--formula", "chg ~ base + arm * visit", "--visit", "visit", "--subject", "usubjid"]


def ask(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    assert main(["mmrm", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    told = ask(capsys, str(DATA), *USUAL, "--lsmeans", "arm", "--by", "visit")
    assert told["converged"] is True
    assert (told["n_obs"], told["n_subjects"]) == (90, 24)
    assert told["m2loglik"] == pytest.approx(520.590486504, abs=1e-6)  # nlme::gls, tests/reference/mmrm/gls.json
    keys = {"term", "estimate", "se", "df", "t", "p", "ci_low", "ci_high"}
    assert all(set(one) == keys for one in told["coefficients"])
    assert [one["term"] for one in told["coefficients"]][:4] == ["(Intercept)", "base", "armA1", "visitV02"]
    assert len(told["covariance"]) == 4
    assert len(told["lsmeans"]) == 8
    assert [one["visit"] for one in told["contrasts"]] == ["V01", "V02", "V03", "V04"]
    assert {one["contrast"] for one in told["contrasts"]} == {"A1 - A0"}


def test_names_are_understood_in_capitals(capsys: pytest.CaptureFixture[str]) -> None:
    shouted = ["--method", "REML", "--covariance", "US", "--df", "Kenward-Roger"]
    assert ask(capsys, str(DATA), *USUAL, *shouted) == ask(capsys, str(DATA), *USUAL, "--df", "kenward-roger")


def test_parquet_reads_as_csv_does(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pl.read_csv(DATA).write_parquet(tmp_path / "trial.parquet")
    assert ask(capsys, str(tmp_path / "trial.parquet"), *USUAL) == ask(capsys, str(DATA), *USUAL)


def test_an_enum_brings_its_own_order(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = pl.read_csv(DATA).with_columns(pl.col("arm").cast(pl.Enum(["never", "A1", "A0"])))
    table.write_parquet(tmp_path / "trial.parquet")
    told = ask(capsys, str(tmp_path / "trial.parquet"), *USUAL, "--lsmeans", "arm")
    assert told["coefficients"][2]["term"] == "armA0"
    assert [one["contrast"] for one in told["contrasts"]] == ["A0 - A1"]


def test_numbered_visits_are_in_the_order_of_their_numbers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Ten comes after nine, and a visit is a factor although it is a number."""
    renumbered = pl.col("visit").replace_strict({"V01": "2", "V02": "9", "V03": "10", "V04": "26"})
    told = ask(capsys, changed(tmp_path, renumbered.alias("visit")), *USUAL)
    assert told["visits"] == ["2", "9", "10", "26"]
    assert told["m2loglik"] == pytest.approx(520.590486504, abs=1e-6)


def test_grouped_covariance_names_its_groups(capsys: pytest.CaptureFixture[str]) -> None:
    told = ask(capsys, str(DATA), *USUAL, "--group", "arm", "--covariance", "ar1h")
    assert [one["group"] for one in told["covariance"]] == ["A0", "A1"]


def test_tables_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mmrm", str(DATA), *USUAL, "--lsmeans", "arm", "--by", "visit"]) == 0
    text = capsys.readouterr().out
    for words in ("24 participants, 90 observations", "armA1:visitV04", "A1 - A0, V04", "den df"):
        assert words in text


def test_tables_show_figures_of_small_numbers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = changed(tmp_path, pl.col("chg").cast(pl.Float64, strict=False) / 1e6)
    assert main(["mmrm", path, *USUAL]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("armA1:visitV04"))
    estimate, se = row.split()[1:3]
    assert len(se.strip("0.")) >= 3 and float(estimate) != 0
    path = changed(tmp_path, pl.col("chg").cast(pl.Float64, strict=False) * 1e6)
    assert main(["mmrm", path, *USUAL]) == 0
    head, *rows = (line for line in capsys.readouterr().out.split("\n\n")[1].splitlines())
    assert {len(row) for row in rows} == {len(head)}


def changed(tmp_path: Path, *expressions: pl.Expr, where: pl.Expr | None = None) -> str:
    table = pl.read_csv(DATA, infer_schema=False)
    table = table.filter(where) if where is not None else table.with_columns(*expressions)
    table.write_csv(tmp_path / "changed.csv")
    return str(tmp_path / "changed.csv")


def first_row(column: str, value: str) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


UNUSABLE = {
    "one arm": ({"where": pl.col("arm") == "A0"}, "'arm' has one level only (A0)"),
    "one visit": ({"where": pl.col("visit") == "V01"}, "one visit (V01)"),
    "a constant response": ({"set": pl.lit("4.5").alias("chg")}, "'chg' is 4.5 in all"),
    "no response": ({"set": pl.lit(None, pl.String).alias("chg")}, "chg has no value at all"),
    "text among numbers": ({"set": first_row("chg", "better")}, "row 1 holds 'better'"),
    "text in a covariate": ({"set": first_row("base", "n.a. yet")}, "row 1 holds 'n.a. yet'"),
    "an infinite value": ({"set": first_row("chg", "inf")}, "row 1 is infinite"),
    "an infinite covariate": ({"set": first_row("base", "-Infinity")}, "row 1 is infinite"),
    "a visit twice": ({"set": first_row("visit", "V02")}, "S00001 has two values at visit V02 (rows 1 and 2)"),
    "two participants": ({"where": pl.col("usubjid").is_in(["S00001", "S00002"])}, "The model was not fitted"),
    "no rows": ({"where": pl.lit(False)}, "it has no rows"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_unusable_data_are_refused_in_words(kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    change, sentence = UNUSABLE[kind]
    path = changed(tmp_path, where=change["where"]) if "where" in change else changed(tmp_path, change["set"])
    assert main(["mmrm", path, *USUAL, "--json"]) == 1
    told = capsys.readouterr()
    assert sentence in told.err
    assert told.out == ""


def test_a_copied_visit_is_a_singular_covariance(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = pl.read_csv(DATA)
    first = table.filter(pl.col("visit") == "V01").select("usubjid", first="chg")
    copied = table.join(first, on="usubjid").with_columns(
        chg=pl.when(pl.col("visit") == "V02").then("first").otherwise("chg")
    )
    copied.drop("first").write_csv(tmp_path / "copied.csv")
    assert main(["mmrm", str(tmp_path / "copied.csv"), *USUAL, "--json"]) == 1
    told = capsys.readouterr()
    assert "singular" in told.err
    assert "V01 and V02" in told.err
    assert told.out == ""


def test_visits_never_seen_together_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    odd = pl.col("usubjid").str.slice(-1).is_in(["1", "3", "5", "7", "9"])
    kept = ~((odd & (pl.col("visit") == "V01")) | (~odd & (pl.col("visit") == "V04")))
    assert main(["mmrm", changed(tmp_path, where=kept), *USUAL, "--json"]) == 1
    assert "nobody was seen at both V01 and V04" in capsys.readouterr().err


def test_a_participant_without_data_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    emptied = pl.when(pl.col("usubjid") == "S00003").then(None).otherwise(pl.col("chg")).alias("chg")
    told = ask(capsys, changed(tmp_path, emptied), *USUAL)
    assert told["n_subjects"] == 23
    assert any("S00003" in note for note in told["notes"])


def test_an_aliased_column_is_null_and_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = changed(tmp_path, pl.col("base").alias("base_again"))
    told = ask(capsys, path, "--formula", "chg ~ base + base_again + arm * visit", *USUAL[2:])
    plain = ask(capsys, str(DATA), *USUAL)
    aliased = next(one for one in told["coefficients"] if one["term"] == "base_again")
    assert aliased["estimate"] is None and aliased["se"] is None
    assert told["m2loglik"] == pytest.approx(plain["m2loglik"], abs=1e-6)
    assert any("base_again" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--covariance", "banded"], "no covariance 'banded'"),
        (["--df", "kenward-roger", "--vcov", "asymptotic"], "together"),
        (["--df", "kenward-roger", "--method", "ml"], "defined for REML"),
        (["--df", "kenward-roger-linear", "--vcov", "kenward-roger"], "Leave out --vcov"),
        (["--weights", "wt"], "no column 'wt'"),
        (["--lsmeans", "base"], "it is a covariate"),
        (["--by", "visit"], "--lsmeans"),
        (["--lsmeans", "arm", "--by", "arm"], "by itself"),
        (["--group", "visit"], "in another one"),
        (["--formula", "chg ~ log(base - 100) + arm"], "not a finite number in row 1"),
        (["--formula", "chg ~ chg + arm"], "without any remainder"),
        (["--formula", "chg ~ usubjid * visit"], "coefficients for 90 rows"),
        (["--confidence", "95"], "not between 0 and 1"),
        (["--formula", "chg ~ base + (arm"], "a bracket is not closed"),
        (["--formula", "chg ~ poly(base, 2) + arm"], "',' is out of place in the bracket of poly"),
        (["--formula", "chg ~ bsae + arm"], "Did you mean 'base'?"),
        (["--subject", "USUBJID"], "Did you mean 'usubjid'?"),
        (["--formula", "chg"], "before the sign ~"),
        (["--covariance", "sp_exp"], "needs the time of each visit"),
    ],
)
def test_wrong_questions_are_refused_in_words(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mmrm", str(DATA), *USUAL, *argv]) == 1
    assert sentence in capsys.readouterr().err


def test_a_missing_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mmrm", "no-such-trial.csv", *USUAL]) == 1
    assert "no such file" in capsys.readouterr().err
