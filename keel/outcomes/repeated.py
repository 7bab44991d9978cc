"""Repeated measures as a model sees them: the rows that can be used, and a sentence for every way they cannot.

Rows that miss the response, a covariate, the visit, the participant, the group or the weight are left out (so
the analysis is valid where data are missing at random given what is in the model). What was left out is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from keel.domain.errors import Refused, refuse
from keel.outcomes.columns import LARGEST, alphabetical, check_column, check_flat, is_text, numbers
from keel.outcomes.covariance import Array
from keel.outcomes.formula import (
    Codes,
    Coding,
    Column,
    Factor,
    Formula,
    code,
    evaluate,
    is_factor_call,
    names_in,
)

MOST_SHOWN = 5


@dataclass(frozen=True)
class RepeatedMeasures:
    """N usable rows of n participants.

    `x` (N, p) and `y` (N,) are the model's; `columns` the data columns behind the formula; `subject` (N,) codes the
    participant; `visit` is a Factor, or the time itself (N,) for a spatial covariance; `group` (n,) codes the
    covariance group of each participant; `weight` (N,).
    """

    formula: Formula
    coding: Coding
    columns: Mapping[str, Column]
    y: Array
    x: Array
    subject: Codes
    n_subjects: int
    visit: Column
    group: Codes
    groups: tuple[str, ...]
    weight: Array
    notes: tuple[str, ...]


def repeated_measures(
    table: pl.DataFrame,
    formula: Formula,
    *,
    visit: str,
    subject: str,
    group: str | None = None,
    weights: str | None = None,
    spatial: bool = False,
) -> RepeatedMeasures:
    """Take the usable rows out of a table. Raises Refused for data no such model can be fitted to."""
    wanted = dict.fromkeys([formula.response, *formula.columns_used(), visit, subject])
    wanted |= dict.fromkeys(name for name in (group, weights) if name)
    for name in wanted:
        check_column(table, name)
    response = numbers(table, formula.response)
    columns = {name: _column(table, name, formula, visit, spatial) for name in formula.columns_used()}
    at_visit: Column = _time(table, visit) if spatial else _factor(table[visit])
    who = _factor(table[subject], sort=sorted)  # no level of it is ever compared with another
    in_group = _factor(table[group]) if group else Factor(np.zeros(table.height, dtype=np.int64), ("",))
    weight = numbers(table, weights) if weights else np.ones(table.height)
    usable = np.isfinite(response) & np.isfinite(weight) & _known(at_visit) & _known(who) & _known(in_group)
    for column in columns.values():
        usable &= _known(column)
    rows = np.flatnonzero(usable)
    if rows.size == 0:
        raise _nothing_left(table, {formula.response: response, **columns, visit: at_visit, subject: who})
    columns = {name: _only(column, rows) for name, column in columns.items()}
    kept = Factor(*_compact(who.codes[rows], who.levels))
    at_visit = _only(at_visit, rows)
    _check_weight(weight, rows, weights)
    _check_duplicates(kept, at_visit, rows, subject, visit)
    _check_visits(at_visit, visit)
    of_participant = _group_of_participant(kept, in_group.codes[rows], in_group.levels, group, subject)
    groups, of_participant = _present_groups(of_participant, in_group.levels)
    coding, x, y = _coded(formula, columns, response, rows)
    return RepeatedMeasures(
        formula=formula,
        coding=coding,
        columns=columns,
        y=y,
        x=x,
        subject=kept.codes,
        n_subjects=len(kept.levels),
        visit=at_visit,
        group=of_participant,
        groups=groups,
        weight=weight[rows],
        notes=_told(table.height, rows.size, who, kept, visit, at_visit),
    )


@dataclass(frozen=True)
class Modelled:
    """A formula on the rows that have all its columns: `rows` (n,) of the table, `y` (n,), `x` (n, p), a name per column."""

    rows: Codes
    y: Array
    x: Array
    names: tuple[str, ...]


def modelled(table: pl.DataFrame, formula: Formula) -> Modelled:
    """The response and the design of a formula where rows stand for people, not for visits. Refuses as `repeated_measures`."""
    for name in (formula.response, *formula.columns_used()):
        check_column(table, name)
    response = numbers(table, formula.response)
    columns = {name: _column(table, name, formula, "", False) for name in formula.columns_used()}
    usable = np.isfinite(response)
    for column in columns.values():
        usable &= _known(column)
    rows = np.flatnonzero(usable)
    if rows.size == 0:
        raise _nothing_left(table, {formula.response: response, **columns})
    columns = {name: _only(column, rows) for name, column in columns.items()}
    coding, x, y = _coded(formula, columns, response, rows)
    return Modelled(rows, y, x, coding.names)


def _coded(
    formula: Formula, columns: Mapping[str, Column], response: Array, rows: Codes
) -> tuple[Coding, Array, Array]:
    """The coding, the design (n, p) and the response (n,) of the rows used."""
    variables = {label: evaluate(piece, columns) for label, piece in formula.variables.items()}
    _check_variables(variables, rows)
    coding = code(formula, variables)
    y = response[rows]
    _check_finite(y, formula.response, rows)
    _check_response(y, formula.response)
    return coding, coding.matrix(variables, len(rows)), y


def with_response(data: RepeatedMeasures, y: Array) -> RepeatedMeasures:
    """The same trial with another response y (N,), NaN where it is missing: what a simulation or a bootstrap changes.

    The design is not built anew, so this takes microseconds. Raises Refused as `repeated_measures` does.
    """
    rows = np.flatnonzero(~np.isnan(y))
    if rows.size == 0:
        raise refuse(
            "No row can be used", "The response has no value at all", where=data.formula.response, code="no_rows"
        )
    _check_finite(y[rows], data.formula.response, rows)
    _check_response(y[rows], data.formula.response)
    people, subject = np.unique(data.subject[rows], return_inverse=True)
    groups, group = _present_groups(data.group[people], data.groups)
    seen = {name: _rows_of(column, rows) for name, column in data.columns.items()}
    return replace(
        data,
        columns=seen,
        y=y[rows],
        x=data.x[rows],
        subject=subject.reshape(-1).astype(np.int64),
        n_subjects=len(people),
        visit=_rows_of(data.visit, rows),
        group=group,
        groups=groups,
        weight=data.weight[rows],
        notes=(),
    )


def _rows_of(column: Column, rows: Codes) -> Column:
    """Some rows of a column; a factor keeps the levels that the design was coded with."""
    return Factor(column.codes[rows], column.levels) if isinstance(column, Factor) else column[rows]


def _column(table: pl.DataFrame, name: str, formula: Formula, visit: str, spatial: bool) -> Column:
    """A factor for words, for the visit of a non-spatial model and for what only stands in factor(name); numbers otherwise."""
    if (name == visit and not spatial) or _only_as_factor(formula, name):
        return _factor(table[name])
    try:
        return _factor(table[name]) if _is_words(table, name) else numbers(table, name)
    except Refused as refused:
        told = refused.reasons[0]
        mend = f"{told.mend}. Where the column names groups, write factor({name}) in the formula"
        raise Refused(replace(told, mend=mend)) from None


def _only_as_factor(formula: Formula, name: str) -> bool:
    pieces = [piece for piece in formula.variables.values() if name in names_in(piece)]
    return bool(pieces) and all(is_factor_call(piece) for piece in pieces)


def _is_words(table: pl.DataFrame, name: str) -> bool:
    return table[name].dtype == pl.Boolean or is_text(table, name)


def _factor(column: pl.Series, *, sort: Callable[[list[str]], list[str]] = alphabetical) -> Factor:
    """Levels in the order R gives them: an Enum's own, numbers by size, words by the alphabet. Missing is -1."""
    check_flat(column, column.name)
    if column.dtype == pl.Boolean:
        column = column.cast(pl.String).str.to_uppercase()
    if isinstance(column.dtype, pl.Enum):
        seen = set(column.drop_nulls().unique().to_list())
        levels = [str(level) for level in column.dtype.categories if level in seen]
        text = column.cast(pl.String)
    elif column.dtype in (pl.String, pl.Categorical):
        text = column.cast(pl.String)
        levels = sort(text.drop_nulls().unique().to_list())
        as_numbers = pl.Series(levels, dtype=pl.String).cast(pl.Float64, strict=False)
        if levels and as_numbers.null_count() == 0:
            levels = [levels[i] for i in as_numbers.arg_sort()]
    else:
        column = column.fill_nan(None) if column.dtype.is_float() else column
        whole = column.dtype.is_float() and bool((column.drop_nulls() % 1 == 0).all())
        column = column.cast(pl.Int64) if whole else column
        text = column.cast(pl.String)
        levels = column.drop_nulls().unique().sort().cast(pl.String).to_list()
    codes = text.cast(pl.Enum(levels)).to_physical().cast(pl.Int64).fill_null(-1)
    return Factor(codes.to_numpy(), tuple(levels))


def _time(table: pl.DataFrame, visit: str) -> Array:
    if _is_words(table, visit):
        raise refuse(
            "The spatial exponential covariance was not fitted",
            f"{visit!r} holds words, and this covariance needs the time of each visit as a number",
            "Name a column of times (days or weeks) with --visit",
            where=visit,
            code="time_needed",
        )
    return numbers(table, visit)


def _known(column: Column) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return column.codes >= 0 if isinstance(column, Factor) else np.isfinite(column)


def _only(column: Column, rows: Codes) -> Column:
    return Factor(*_compact(column.codes[rows], column.levels)) if isinstance(column, Factor) else column[rows]


def _compact(codes: Codes, levels: tuple[str, ...]) -> tuple[Codes, tuple[str, ...]]:
    seen, packed = np.unique(codes, return_inverse=True)
    return packed.reshape(-1).astype(np.int64), tuple(levels[i] for i in seen)


def _nothing_left(table: pl.DataFrame, parts: dict[str, Column]) -> Refused:
    empty = [name for name, column in parts.items() if not _known(column).any()]
    why = f"{', '.join(empty)} has no value at all" if empty else "each row misses one of the columns of the model"
    return refuse(
        "No row can be used",
        f"Of {table.height} rows {why}",
        f"The model needs {', '.join(parts)}",
        where="data",
        code="no_rows",
    )


def _check_weight(weight: Array, rows: Codes, name: str | None) -> None:
    wrong = np.flatnonzero(weight[rows] <= 0)
    if wrong.size:
        row = rows[wrong[0]]
        raise refuse(
            "The weights were not used",
            f"row {row + 1} has the weight {weight[row]:g}",
            "Weights are above zero",
            where=f"{name}, row {row + 1}",
            code="weight",
        )


def _check_duplicates(who: Factor, visit: Column, rows: Codes, subject: str, visit_name: str) -> None:
    at = visit.codes if isinstance(visit, Factor) else np.unique(visit, return_inverse=True)[1].reshape(-1)
    key = who.codes * (int(at.max()) + 1) + at
    order = np.argsort(key, kind="stable")
    again = np.flatnonzero(np.diff(key[order]) == 0)
    if again.size == 0:
        return
    first, second = np.sort(order[again[0] : again[0] + 2])
    level = visit.levels[visit.codes[first]] if isinstance(visit, Factor) else f"{visit[first]:g}"
    more = f", and {again.size - 1} more such rows" if again.size > 1 else ""
    raise refuse(
        "The model was not fitted",
        f"participant {who.levels[who.codes[first]]} has two values at visit {level} "
        f"(rows {rows[first] + 1} and {rows[second] + 1}{more})",
        "Keep one row for each participant and visit",
        where=f"{subject}, {visit_name}",
        code="duplicate_visit",
    )


def _check_visits(visit: Column, name: str) -> None:
    only = visit.levels if isinstance(visit, Factor) else tuple(f"{v:g}" for v in np.unique(visit)[:2])
    if len(only) < 2:
        raise refuse(
            "The model was not fitted",
            f"all usable rows are of one visit ({only[0]}), and a model for repeated measures needs two or more",
            "With one visit, use an analysis of covariance",
            where=name,
            code="one_visit",
        )


def _group_of_participant(who: Factor, group: Codes, levels: tuple[str, ...], name: str | None, subject: str) -> Codes:
    out = np.full(len(who.levels), -1, dtype=np.int64)
    out[who.codes] = group
    mixed = np.flatnonzero(out[who.codes] != group)
    if mixed.size:
        row = mixed[0]
        raise refuse(
            "The covariance was not grouped",
            f"participant {who.levels[who.codes[row]]} is in group {levels[group[row]]} and in another one",
            "A participant belongs to one group",
            where=f"{name}, {subject}",
            code="group_changes",
        )
    return out


def _present_groups(group: Codes, levels: tuple[str, ...]) -> tuple[tuple[str, ...], Codes]:
    packed, kept = _compact(group, levels)
    return kept, packed


def _check_variables(variables: Mapping[str, Column], rows: Codes) -> None:
    for label, column in variables.items():
        if isinstance(column, Factor) and len(column.levels) < 2:
            raise refuse(
                "The model was not fitted",
                f"{label!r} has one level only ({column.levels[0]}) in the rows that can be used, so there is "
                "nothing to compare",
                f"Take {label} out of the formula, or give data of two or more levels",
                where=label,
                code="one_level",
            )
        if not isinstance(column, Factor):
            _check_finite(np.broadcast_to(column, rows.shape), label, rows)


def _check_finite(values: Array, label: str, rows: Codes) -> None:
    wrong = np.flatnonzero(~(np.abs(values) < LARGEST))
    if wrong.size:
        row = rows[wrong[0]] + 1
        what = f"beyond {LARGEST:g}" if np.isfinite(values[wrong[0]]) else "not a finite number"
        raise refuse(
            "The model was not fitted",
            f"{label!r} is {what} in row {row}",
            "Mend that value, the formula or the unit",
            where=f"{label}, row {row}",
            code="infinite",
        )


def _check_response(y: Array, name: str) -> None:
    if float(np.ptp(y)) == 0.0:
        raise refuse(
            "The model was not fitted",
            f"the response {name!r} is {y[0]:g} in all {len(y)} rows, so there is no variation to explain",
            "Give a response that varies",
            where=name,
            code="constant",
        )

    if float(np.abs(y).max()) < 1 / LARGEST:
        raise refuse(
            "The model was not fitted",
            f"the response {name!r} is smaller than {1 / LARGEST:g} throughout",
            "Use another unit",
            where=name,
            code="too_small",
        )


def _told(n_rows: int, n_used: int, who: Factor, kept: Factor, name: str, visit: Column) -> tuple[str, ...]:
    notes = []
    if n_used < n_rows:
        notes.append(f"{n_rows - n_used} of {n_rows} rows miss a value of the model and are left out.")
    gone = sorted(set(who.levels) - set(kept.levels))
    if gone:
        shown = ", ".join(gone[:MOST_SHOWN]) + (" …" if len(gone) > MOST_SHOWN else "")
        noun = "participant has" if len(gone) == 1 else "participants have"
        notes.append(f"{len(gone)} {noun} no usable row and cannot be in the analysis: {shown}.")
    if isinstance(visit, Factor) and _numbered_out_of_order(visit.levels):
        notes.append(f"The visits of {name} are ordered by the alphabet: {', '.join(visit.levels)}.")
    return tuple(notes)


def _numbered_out_of_order(levels: tuple[str, ...]) -> bool:
    ends = ["".join(mark for mark in level if mark.isdigit()) for level in levels]
    return all(ends) and [int(end) for end in ends] != sorted(int(end) for end in ends)
