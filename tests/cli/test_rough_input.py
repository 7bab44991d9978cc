"""Input as it comes: every command of the evidence engine says in a sentence what is wrong and where, or gives the right number."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from keel.cli import main

Rows = list[dict[str, Any]]


def trial() -> Rows:
    """24 people, three visits, two arms; a few outcomes of the last visit missing."""
    rng = np.random.default_rng(11)
    rows: Rows = []
    for person in range(24):
        base, own = round(float(rng.normal(20, 4)), 2), float(rng.normal(0, 3))
        for visit in range(3):
            y = round(base / 2 - visit * (1 + person % 2) + own + float(rng.normal(0, 2)), 3)
            rows.append(
                {
                    "id": f"p{person:02d}",
                    "visit": f"V{visit + 1}",
                    "arm": "placebo" if person % 2 else "drug",
                    "base": base,
                    "y": None if visit == 2 and person % 7 == 3 else y,
                }
            )
    return rows


def people() -> Rows:
    """40 people with a mediator, an outcome, a guess, and cohorts in one arm."""
    rng = np.random.default_rng(12)
    rows: Rows = []
    for person in range(40):
        x = float(rng.normal(5, 1))
        m = x / 2 + float(rng.normal())
        rows.append(
            {
                "who": f"w{person // 4}",
                "arm": "drug" if person % 2 else "placebo",
                "guess": ["drug", "placebo", "don't know"][int(rng.integers(3))],
                "cohort": f"k{person // 2 % 6}" if person % 2 else None,
                "x": round(x, 4),
                "m": round(m, 4),
                "z": round(float(rng.normal(50, 9)), 3),
                "y": round(0.4 * m + 0.1 * x + float(rng.normal()), 4),
            }
        )
    return rows


def studies() -> Rows:
    rng = np.random.default_rng(13)
    return [
        {
            "study": f"s{at}",
            "yi": round(float(rng.normal(0.4, 0.5)), 4),
            "vi": round(float(rng.uniform(0.02, 0.3)), 4),
            "dose": round(float(rng.uniform(5, 30)), 2),
        }
        for at in range(9)
    ]


# What is asked of each table; the outcome column first, then a covariate.
ASKED: dict[str, tuple[Callable[[], Rows], tuple[str, ...], tuple[str, ...]]] = {
    "mmrm": (
        trial,
        ("mmrm", "--formula", "y ~ base + arm * visit", "--visit", "visit", "--subject", "id"),
        ("y", "base"),
    ),
    "impute": (
        trial,
        *(
            (
                *("impute", "--subject", "id", "--visit", "visit", "--arm", "arm", "--outcome", "y"),
                *("--covariates", "base", "--reference", "placebo", "--imputations", "10"),
            ),
            ("y", "base"),
        ),
    ),
    "nested": (people, ("nested", "--formula", "y ~ x + arm", "--cluster", "cohort"), ("y", "x")),
    "meta": (studies, ("meta", "--effect", "yi", "--variance", "vi", "--egger"), ("yi",)),
    "meta-regression": (
        studies,
        ("meta", "--effect", "yi", "--variance", "vi", "--moderators", "dose"),
        ("yi", "dose"),
    ),
    "effect-size": (people, ("effect-size", "--outcome", "y", "--arm", "arm"), ("y",)),
    "change": (people, ("effect-size", "--before", "x", "--after", "y"), ("y", "x")),
    "correlate": (people, ("correlate", "--x", "x", "--y", "y"), ("y", "x")),
    "ranks": (people, ("correlate", "--x", "x", "--y", "y", "--method", "spearman"), ("y", "x")),
    "partial": (people, ("correlate", "--x", "x", "--y", "y", "--partial", "z"), ("y", "x", "z")),
    "repeated": (people, ("correlate", "--x", "x", "--y", "y", "--subject", "who"), ("y", "x")),
    "mediate": (people, ("mediate", "--x", "x", "--m", "m", "--y", "y", "--interval", "delta"), ("y", "m", "x")),
    "blinding": (people, ("blinding", "--arm", "arm", "--guess", "guess", "--outcome", "y"), ("y",)),
    "blinding by person": (
        people,
        ("blinding", "--arm", "arm", "--guess", "guess", "--outcome", "y", "--subject", "who"),
        ("y",),
    ),
}
NUMBERS = [(name, column) for name, (_, _, columns) in ASKED.items() for column in columns]


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any, str]]:
    """Asks a command about a table, and gives its exit status, its answer and what it said."""

    def ask(argv: tuple[str, ...], table: Rows | pl.DataFrame, ending: str = "csv") -> tuple[int, Any, str]:
        path = tmp_path / f"rough.{ending}"
        frame = table if isinstance(table, pl.DataFrame) else pl.DataFrame(table, infer_schema_length=None)
        frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
        status = main([argv[0], str(path), *argv[1:], "--json"])
        said = capsys.readouterr()
        assert "Warning" not in said.err
        return status, json.loads(said.out) if said.out else None, said.err

    return ask


Told = Callable[..., tuple[int, Any, str]]


def put(rows: Rows, column: str, value: Any, *, row: int = 6) -> Rows:
    rows[row - 1][column] = value
    return rows


@pytest.mark.parametrize(("name", "column"), NUMBERS)
@pytest.mark.parametrize("value", ["1e90", "-1e40", "3e20"])
def test_one_absurd_value_is_refused_with_its_row(name: str, column: str, value: str, told: Told) -> None:
    """Beside it the others have no digit left: every number that comes out looks right and is of one typing error."""
    make, argv, _ = ASKED[name]
    rows = [{**row, column: None if row[column] is None else str(row[column])} for row in make()]
    status, answer, said = told(argv, put(rows, column, value))
    assert (status, answer) == (1, None)
    assert f"{column}, row 6" in said
    assert f"{float(value):g}" in said


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (pl.Series([[1.0]] * 72), "it holds List(Float64), and every row must hold one word or number"),
        (pl.Series([{"a": 1}] * 72), "it holds Struct"),
        (pl.Series([b"1"] * 72), "it holds Binary"),
        (pl.Series([dt.timedelta(days=1)] * 72), "it holds Duration"),
    ],
    ids=["list", "struct", "bytes", "duration"],
)
@pytest.mark.parametrize("column", ["id", "visit", "arm"])
@pytest.mark.parametrize("name", ["mmrm", "impute"])
def test_cells_that_are_no_single_values_are_refused(
    name: str, column: str, kind: pl.Series, said: str, told: Told
) -> None:
    table = pl.DataFrame(trial()).with_columns(kind.alias(column))
    status, _, error = told(ASKED[name][1], table, "parquet")
    assert status == 1
    assert error.startswith(f"{column}: ")
    assert said in error


def test_people_are_told_apart_by_every_digit_of_their_number(told: Told) -> None:
    """A Parquet column of numbers: 1234567 and 1234568 are two people, not both 1.23457e+06."""
    rows = [{**row, "id": 1234567.0 + int(row["id"][1:])} for row in trial()]
    status, answer, _ = told(ASKED["impute"][1], rows, "parquet")
    assert (status, answer["n"]) == (0, 24)


def test_text_in_parquet_is_read_as_text_in_csv(told: Told) -> None:
    """Blanks around a word or number, and the words for what is missing, mean the same in both."""
    asked = ASKED["mmrm"][1]
    plain = told(asked, trial())[1]
    spelt = [
        {**row, "arm": f" {row['arm']} ", "base": f"{row['base']} ", "y": "NA" if row["y"] is None else str(row["y"])}
        for row in trial()
    ]
    assert told(asked, spelt, "parquet")[1]["coefficients"] == plain["coefficients"]


def test_decimals_of_parquet_are_numbers(told: Told) -> None:
    rows = [{**row, "y": Decimal(str(row["y"]))} for row in people()]
    assert told(ASKED["effect-size"][1], rows, "parquet")[1] == told(ASKED["effect-size"][1], people())[1]
