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
from django.db import OperationalError

from keel.cli import main
from keel.outcomes import imputation

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


@pytest.mark.parametrize("method", ["REML", "ML", "PM", "DL", "HE", "SJ", "HS", "FE"])
@pytest.mark.parametrize("size", [1e-15, 1e-6, 1e6, 1e15])
def test_the_unit_of_measurement_changes_no_test(method: str, size: float, told: Told) -> None:
    """A search that stops at a fixed distance gives other numbers for effects in mol/l than in pmol/l."""
    asked = (*ASKED["meta"][1], "--method", method)
    plain = told(asked, studies())[1]
    scaled = [{**row, "yi": row["yi"] * size, "vi": row["vi"] * size**2} for row in studies()]
    answer = told(asked, scaled)[1]
    assert [answer[key] for key in ("statistic", "p", "i2", "q_p")] == pytest.approx(
        [plain[key] for key in ("statistic", "p", "i2", "q_p")], rel=1e-8
    )
    assert [answer["estimate"], answer["se"]] == pytest.approx([plain["estimate"] * size, plain["se"] * size], rel=1e-8)
    assert answer["tau2"] == pytest.approx(plain["tau2"] * size**2, rel=1e-7, abs=1e-10 * size**2)


@pytest.mark.parametrize("method", ["REML", "DL", "HE", "SJ"])
def test_effects_far_from_zero_keep_their_heterogeneity(method: str, told: Told) -> None:
    asked = ("meta", "--effect", "yi", "--variance", "vi", "--method", method)
    plain = told(asked, studies())[1]
    answer = told(asked, [{**row, "yi": row["yi"] + 1e9} for row in studies()])[1]
    assert [answer["tau2"], answer["se"], answer["q"]] == pytest.approx(
        [plain["tau2"], plain["se"], plain["q"]], rel=1e-4, abs=1e-6
    )


@pytest.mark.parametrize(
    ("name", "column", "terms"),
    [
        ("meta-regression", "dose", lambda told: [told["coefficients"][1][key] for key in ("estimate", "se", "p")]),
        ("partial", "z", lambda told: [told[key] for key in ("estimate", "p", "ci_low")]),
    ],
    ids=["meta-regression", "partial"],
)
def test_a_covariate_far_from_zero_costs_no_digits(name: str, column: str, terms: Any, told: Told) -> None:
    make, argv, _ = ASKED[name]
    plain = terms(told(argv, make())[1])
    far = [{**row, column: row[column] + 2_000_000} for row in make()]
    assert terms(told(argv, far)[1]) == pytest.approx(plain, rel=1e-6)


def test_an_imputed_trial_is_analysed_the_same_far_from_zero() -> None:
    rows = pl.DataFrame(trial(), infer_schema_length=None)
    columns = {"subject": "id", "visit": "visit", "arm": "arm", "outcome": "y"}
    near, far = (
        imputation.lay_out(rows.with_columns(pl.col("base") + apart), covariates=["base"], **columns)
        for apart in (0, 10_000_000)
    )
    filled = np.nan_to_num(near.y[None, :, 2])
    plain = imputation.ancova(near, filled, "drug", "placebo")
    assert np.concatenate(imputation.ancova(far, filled, "drug", "placebo")[:2]) == pytest.approx(
        np.concatenate(plain[:2]), rel=1e-6
    )


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("meta", {"vi": "1e30"}, "vi, row 6"),
        ("meta", {"vi": "1e-310"}, "variance, study 6"),
        ("meta-regression", {"vi": "1e-40"}, "variance, study 6"),
    ],
)
def test_a_variance_of_another_world_is_refused(name: str, changed: dict[str, str], said: str, told: Told) -> None:
    rows = [{**row, "vi": str(row["vi"])} for row in studies()]
    status, _, error = told(ASKED[name][1], [row | (changed if at == 5 else {}) for at, row in enumerate(rows)])
    assert status == 1
    assert said in error


def test_effects_on_a_line_have_no_egger_test(told: Told) -> None:
    for effect in (0.0, 7.0):
        status, _, error = told(ASKED["meta"][1], [{**row, "yi": effect} for row in studies()])
        assert status == 1
        assert "exactly on a line" in error


@pytest.mark.parametrize("method", [None, "spearman"])
@pytest.mark.parametrize("made", [lambda y: y, lambda y: 2 * y + 1, lambda y: -y, lambda y: y * (1 + 1e-14)])
@pytest.mark.parametrize("subject", [False, True])
def test_a_correlation_of_one_is_no_finding(method: str | None, made: Any, subject: bool, told: Told) -> None:
    """p = 0 with an interval from 1 to 1 looks like a result: one column was made from the other."""
    if method and subject:
        return
    asked = (*ASKED["repeated" if subject else "correlate"][1], *(("--method", method) if method else ()))
    status, _, error = told(asked, [{**row, "x": made(row["y"])} for row in people()])
    assert status == 1
    assert error.startswith("x, y: ")
    assert "so there is no error to make an interval or a test from" in error


def test_what_rounding_leaves_of_a_mean_does_not_vary(told: Told) -> None:
    """0.1 three times has the mean 0.10000000000000002: within each person x is constant, whatever the arithmetic says."""
    rows = [{**row, "who": f"w{at // 3}", "x": 0.1 * (1 + at // 3)} for at, row in enumerate(people())]
    status, _, error = told(ASKED["repeated"][1], rows)
    assert status == 1
    assert "x or y does not vary within any person" in error


def test_names_of_columns_are_in_the_sentence(told: Told) -> None:
    status, _, error = told(ASKED["partial"][1], [{**row, "z": 4} for row in people()])
    assert (status, error.split(":")[0]) == (1, "z")


@pytest.mark.parametrize(("guess", "index"), [("own", 1.0), ("other", -1.0), ("don't know", 0.0)])
def test_guesses_that_are_all_alike_have_no_interval(guess: str, index: float, told: Told) -> None:
    """The formula of the standard error is 0 there: an interval from 1 to 1 and p = 0 from three people."""
    rows = [
        *({"arm": "drug", "guess": {"own": "drug", "other": "placebo"}.get(guess, guess)} for _ in range(3)),
        *({"arm": "placebo", "guess": "drug" if at % 2 else "placebo"} for at in range(4)),
    ]
    status, answer, said = told(("blinding", "--arm", "arm", "--guess", "guess"), rows)
    of_drug = answer["bang"][0]
    assert (status, of_drug["estimate"]) == (0, index)
    assert [of_drug[key] for key in ("se", "ci_low", "ci_high", "p")] == [None] * 4
    assert "Bang, drug: all 3 answered alike" in said
    assert answer["bang"][1]["se"] > 0


@pytest.mark.parametrize("kind", ["d-z", "d-rm", "d-av", "d-baseline"])
@pytest.mark.parametrize("made", [lambda x: x + 5.3, lambda x: 2 * x, lambda x: -x])
def test_a_change_without_error_has_no_effect_size(kind: str, made: Any, told: Told) -> None:
    status, _, error = told((*ASKED["change"][1], "--kind", kind), [{**row, "y": made(row["x"])} for row in people()])
    assert status == 1
    assert "everybody changed alike" in error or "lie on one line" in error


@pytest.mark.parametrize(("measure", "column"), [("OR", "a"), ("SMD1", "sd2"), ("SMCR", "sd1")])
def test_an_effect_that_no_number_holds_names_its_row(measure: str, column: str, told: Told) -> None:
    whole = {
        "m1": "5",
        "sd1": "2",
        "n1": "20",
        "m2": "4",
        "sd2": "2",
        "n2": "21",
        "n": "20",
        "r": "0.4",
        "a": "3",
        "c": "5",
    }
    rows = [dict(whole) for _ in range(4)]
    status, _, error = told(("effect-size", "--measure", measure), put(rows, column, "1e-310", row=3))
    assert status == 1
    assert error.startswith("row 3: ")


def test_one_person_alone_in_a_residual_group_has_no_test(told: Told) -> None:
    rows = put([{**row, "arm": "drug"} for row in people()], "arm", "placebo", row=4)
    asked = ("nested", "--formula", "y ~ x + arm", "--cluster", "cohort", "--residual-by", "arm")
    status, _, error = told(asked, rows)
    assert status == 1
    assert "Nobody may be alone in a residual group" in error


@pytest.mark.parametrize("interval", ["delta", "percentile"])
@pytest.mark.parametrize("column", ["x", "m", "z", "y"])
@pytest.mark.parametrize(("size", "apart"), [(1e-30, 0), (1e30, 0), (1, 3e5)])
def test_a_mediation_does_not_depend_on_units(
    interval: str, column: str, size: float, apart: float, told: Told
) -> None:
    """p of a path was .0003 in one unit and .05 in another whose numbers were 1e40 times as large."""
    asked = ("mediate", "--x", "x", "--m", "m", "--y", "y", "--covariates", "z", "--sensitivity")
    asked = (*asked, "--interval", interval, "--bootstrap", "100")
    plain = told(asked, people())[1]
    other = told(asked, [{**row, column: row[column] * size + apart} for row in people()])[1]
    for part in ("indirect", "direct", "total", "proportion"):
        assert other[part]["p"] == pytest.approx(plain[part]["p"], rel=1e-6)
    assert [path["p"] for path in other["paths"]] == pytest.approx([path["p"] for path in plain["paths"]], rel=1e-6)
    told_of = [answer["sensitivity"][key] for answer in (plain, other) for key in ("rho_at_zero", "r2_total")]
    assert told_of[2:] == pytest.approx(told_of[:2], rel=1e-6)


def test_a_mediator_near_x_is_computed_to_the_digit(told: Told) -> None:
    """Cross products square how near two columns are: 1e-5 apart they left five digits. The referee solves by SVD in extra digits."""
    rows = [{**row, "m": row["x"] + 1e-6 * row["m"]} for row in people()]
    answer = told(("mediate", "--x", "x", "--m", "m", "--y", "y", "--interval", "delta"), rows)[1]
    x, m, y = (np.array([row[name] for row in rows], dtype=np.longdouble) for name in ("x", "m", "y"))
    one = np.ones_like(x)
    a = _solved([one, x], m)[1]
    b = _solved([one, x, m], y)[2]
    assert answer["indirect"]["estimate"] == pytest.approx(float(a * b), rel=1e-8)


def _solved(columns: list[Any], response: Any) -> list[Any]:
    """Least squares by Gram and Schmidt in extended precision."""
    basis: list[Any] = []
    upper = np.zeros((len(columns), len(columns)), dtype=np.longdouble)
    for at, column in enumerate(columns):
        rest = column.copy()
        for _ in range(2):
            for row, one in enumerate(basis):
                part = one @ rest
                upper[row, at] += part
                rest = rest - part * one
        upper[at, at] = np.sqrt(rest @ rest)
        basis.append(rest / upper[at, at])
    found = [one @ response for one in basis]
    for at in reversed(range(len(columns))):
        found[at] = (found[at] - sum(upper[at, k] * found[k] for k in range(at + 1, len(columns)))) / upper[at, at]
    return found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"x,y\n1,2\n\0,3\n", "line 3 holds a zero byte"),
        ("x,y\n1,2\n".encode("utf-16-le"), "line 1 holds a zero byte"),
        (b"\nx,y\n1,2\n", "its first line is empty"),
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"x,y\n,\n,\n", "it has no rows"),
        (b"x|y\n1|2\n", "the table does not have it"),
        (b'x,y\n1,2\n"3,4\n', "could not parse"),
    ],
    ids=["zero byte", "utf-16", "blank line first", "empty", "mark only", "separators only", "bars", "open quote"],
)
def test_a_file_that_is_no_table_is_refused(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rough.csv"
    path.write_bytes(content)
    assert main(["correlate", str(path), "--x", "x", "--y", "y"]) == 1
    assert said in capsys.readouterr().err


def test_what_is_no_file_is_said_to_be_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path, said in ((tmp_path, "it is a folder"), (tmp_path / ("x" * 400), "too long"), (tmp_path / "a\0b", "")):
        assert main(["correlate", str(path), "--x", "x", "--y", "y"]) == 1
        error = capsys.readouterr().err
        assert "was not read" in error
        assert said in error


def test_rows_of_bare_separators_below_the_last_are_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sheet.csv"
    frame = pl.DataFrame(trial(), infer_schema_length=None)
    path.write_text(frame.write_csv() + "," * (frame.width - 1) + "\n" + "," * (frame.width - 1) + "\n")
    assert main(["impute", str(path), *ASKED["impute"][1][1:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 24


def test_a_score_that_is_no_number_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-Infinity is no JSON: the line would stop whoever reads it."""
    path = tmp_path / "lines.jsonl"
    line = {"instrument": "madrs", "items": [1] * 10, "context": {"baseline_total": 1e-320}}
    path.write_text(json.dumps(line) + "\n")
    assert main(["score", "--batch", str(path)]) == 0
    assert (
        "pct_reduction is beyond any number: context.baseline_total is" in json.loads(capsys.readouterr().out)["error"]
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"instrument": "phq-9"}, 'line 1: The answers were not analysed. "items" is missing'),
        ({"instrument": "gad-7", "items": [1] * 7}, "there are none"),
        ({"instrument": "phq-9", "items": ["1"] * 9}, "its codes are one of"),
    ],
)
def test_responses_that_cannot_be_analysed_are_refused(
    line: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text(json.dumps(line) + "\n")
    assert main(["instruments", "analyse", "phq-9", str(path)]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "formula", ["y ~ log(base) + arm * visit", "y ~ sqrt(base) + arm * visit", "y ~ base + arm * visit"]
)
@pytest.mark.parametrize("size", [1e-3, 1e20])
def test_a_covariate_is_tested_in_every_unit(formula: str, size: float, told: Told) -> None:
    """Half a unit below a share is no logarithm, and half a unit is nothing beside 1e20: the test was null without a word."""
    asked = ("mmrm", "--formula", formula, "--visit", "visit", "--subject", "id")
    answers = [told(asked, [{**row, "base": row["base"] * by} for row in trial()])[1] for by in (1.0, size)]
    of_base = [next(one["p"] for one in answer["tests"] if "base" in one["term"]) for answer in answers]
    assert of_base[1] == pytest.approx(of_base[0], rel=1e-5)


@pytest.mark.parametrize(
    "made", [lambda base: 5 + base * 1e-17, lambda base: base + 1e-13 * np.sin(base), lambda base: 2 * base]
)
def test_an_outcome_that_is_only_its_covariate_is_not_imputed(made: Any, told: Told) -> None:
    rows = [{**row, "y": None if row["y"] is None else float(made(row["base"]))} for row in trial()]
    status, _, error = told(ASKED["impute"][1], rows)
    assert status == 1
    assert error.startswith("V1: ")


def test_no_probability_is_printed_as_zero(told: Told) -> None:
    answer = told(
        ("meta", "--effect", "yi", "--variance", "vi"), [{**row, "yi": row["yi"] + 100} for row in studies()]
    )[1]
    assert 0 < answer["p"] < 1e-300


def test_nobody_has_so_many_people(told: Told) -> None:
    rows = [{"a": 3, "n1": 1e15, "c": 5, "n2": 20}, {"a": 4, "n1": 1e15, "c": 5, "n2": 20}]
    status, _, error = told(("effect-size", "--measure", "OR"), rows)
    assert status == 1
    assert error.startswith("n1, row 1: ")


@pytest.mark.parametrize(("command", "part"), [("report", "report"), ("export", "dataset")])
def test_a_machine_without_a_record_is_told(
    command: str, part: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unread(argv: list[str]) -> int:
        raise OperationalError("no such table: journal_event")

    monkeypatch.setattr(f"keel.cli.insight.{part}", unread)
    assert main([command, "dataset" if command == "export" else "levin-2024", "--study", "x", "--out", "x"]) == 1
    assert "The record was not read. no such table" in capsys.readouterr().err
