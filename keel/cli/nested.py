"""`keel nested FILE --formula … --cluster …`: a model for trials in which one arm is treated in groups."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import polars as pl

from keel.cli.evidence import parser, plain, printed, say
from keel.domain.errors import refuse
from keel.outcomes.columns import read_table, texts
from keel.outcomes.formula import parse_formula
from keel.outcomes.partial_nesting import fit_nested
from keel.outcomes.repeated import modelled


def run(command: str, argv: Sequence[str]) -> int:
    given = _parser(command).parse_args(list(argv))
    return printed(nested_answer(given), as_json=given.json)


def _parser(command: str) -> argparse.ArgumentParser:
    made = parser(command, "Mixed model, REML, Satterthwaite: people in cohorts or with facilitators, one row each.")
    made.add_argument("--formula", required=True, help='as in R: "chg ~ base + arm"')
    made.add_argument(
        "--cluster", required=True, nargs="+", metavar="COLUMN", help="cohort, facilitator …; empty where there is none"
    )
    made.add_argument("--clustered", metavar="COLUMN=VALUE", help="only these rows are in clusters (the group arm)")
    made.add_argument("--residual-by", metavar="COLUMN", help="a residual variance for each of its values")
    return made


def nested_answer(given: argparse.Namespace) -> dict[str, Any]:
    table = read_table(given.file)
    clusters = {name: texts(table, name) for name in given.cluster}
    if given.clustered:
        inside = in_clusters(table, given.clustered)
        clusters = {
            name: [one if is_in else None for one, is_in in zip(column, inside, strict=True)]
            for name, column in clusters.items()
        }
    residual = texts(table, given.residual_by) if given.residual_by else None
    if residual is not None and None in residual:
        raise refuse(
            f"Column {given.residual_by!r} was not used",
            f"row {residual.index(None) + 1} is empty",
            "Give everybody a value",
            where=f"{given.residual_by}, row {residual.index(None) + 1}",
        )
    data = modelled(table, parse_formula(given.formula))
    if len(data.rows) < table.height:
        say(f"{table.height - len(data.rows)} of {table.height} rows were left out: a value is missing there.")
    fit = fit_nested(
        data.y,
        data.x,
        data.names,
        {name: [column[row] for row in data.rows] for name, column in clusters.items()},
        residual_by=None if residual is None else [str(residual[row]) for row in data.rows],
        level=given.level,
    )
    for note in fit.notes:
        say(note)
    return {"method": "REML", "df": "satterthwaite", "seed": None} | plain(fit)


def in_clusters(table: pl.DataFrame, told: str) -> list[bool]:
    """Which rows a COLUMN=VALUE means."""
    name, equals, value = told.partition("=")
    if not equals:
        raise refuse(f"{told!r} names no arm", "it has no =", "Give --clustered COLUMN=VALUE", where="--clustered")
    found = [one == value for one in texts(table, name)]
    if not any(found):
        raise refuse(f"No row has {value!r} in {name!r}", "so nobody is in a cluster", where=name)
    return found
