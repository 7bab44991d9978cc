"""Responses as a flat table for statistics programs: CSV and Parquet with their labels beside them, R, SPSS, Stata.

Codes stay codes, as they were entered; a label is a label, never a value. A blank is missing. A refusal to answer and
what does not apply are missing too, and a column `<item>_absent` says which, where somebody gave one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyreadstat

from keel.domain.answers import NOT_APPLICABLE, PREFER_NOT, by_item
from keel.domain.errors import refuse
from keel.domain.instrument import Cases, Frequencies, Instrument, Item, Profile, Truth
from keel.exchange.forms import names_of
from keel.exchange.report import Finding

# What the programs take: names in Stata, labels of variables and of values in both (bytes or characters).
STATA_NAME = 32
STATA_LABEL = 80
SPSS_LABEL = 255
SPSS_VALUE_LABEL = 120


@dataclass(frozen=True)
class Response:
    """One response: who and when by whatever keys the table should have ({"participant": …, "visit": …}), its
    answers by item id or in the instrument's shape, and its scores by name."""

    keys: Mapping[str, str | int]
    items: Any
    scores: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """One variable: its name, its label, the labels of its codes, and what it holds."""

    name: str
    label: str
    kind: Literal["number", "text"]
    values: Mapping[int | str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Variables and rows, in the same order."""

    columns: tuple[Column, ...]
    frame: pl.DataFrame


def table(instrument: Instrument, responses: Sequence[Response]) -> Table:
    """A row a response: keys first, then items (a column a box where many may be given), then scores."""
    names = names_of(instrument)
    answers = [by_item(instrument, one.items) for one in responses]
    made: list[tuple[Column, list[Any]]] = [
        (Column(key, key, "text"), [str(one.keys[key]) if key in one.keys else None for one in responses])
        for key in dict.fromkeys(key for one in responses for key in one.keys)
    ]
    for item in instrument.items:
        given = [one.get(item.id) for one in answers]
        made += _item(item, names[item.id], given)
    for name in instrument.score_names():
        if any(name in one.scores for one in responses):
            made.append(_score(instrument, name, names[name], [one.scores.get(name) for one in responses]))
    taken = [column.name for column, _ in made]
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise refuse("The table was not made", f"two columns are called {twice[0]}", "Name the key otherwise")
    series = [
        pl.Series(column.name, values, dtype=pl.Float64 if column.kind == "number" else pl.String, strict=False)
        for column, values in made
    ]
    return Table(tuple(column for column, _ in made), pl.DataFrame(series))


def _item(item: Item, name: str, given: list[Any]) -> Iterator[tuple[Column, list[Any]]]:
    absent = [
        value if value in (PREFER_NOT, NOT_APPLICABLE) else None for value in given if not isinstance(value, list)
    ]
    plain = [None if isinstance(value, str) and value in (PREFER_NOT, NOT_APPLICABLE) else value for value in given]
    if item.answers.kind == "many":
        for code, label in item.options():
            boxes = [None if value is None else int(code in value) for value in plain]
            yield Column(f"{name}___{code}", f"{item.label}: {label}", "number", {0: "no", 1: "yes"}), boxes
    elif item.answers.kind == "choice":
        yield Column(name, item.label, "text", {str(code): label for code, label in item.options()}), plain
    else:
        yield Column(name, item.label, "number", _labels(item)), [None if v is None else float(v) for v in plain]
    if any(absent):
        told = [value if isinstance(value, str) and value in (PREFER_NOT, NOT_APPLICABLE) else None for value in given]
        yield Column(f"{name}_absent", f"{item.label}: why there is no answer", "text"), told


def _labels(item: Item) -> dict[int | str, str]:
    if item.answers.kind == "yes_no" and not item.answers.labels:
        return {0: "no", 1: "yes"}
    return {int(code): label for code, label in item.options()} if item.answers.labels else {}


def _score(instrument: Instrument, ref: str, name: str, given: list[Any]) -> tuple[Column, list[Any]]:
    step = instrument.step(ref)
    label = f"{instrument.short}: {(step.label if step else '') or ref}"
    if isinstance(step, Truth):
        truth = [None if value is None else float(value) for value in given]
        return Column(name, label, "number", {0: "no", 1: "yes"}), truth
    words = step is None or isinstance(step, (Profile, Frequencies)) or any(isinstance(v, (str, list)) for v in given)
    if words or (isinstance(step, Cases) and any(isinstance(case.gives, str) for case in step.cases)):
        return Column(name, label, "text"), [None if value is None else _word(value) for value in given]
    return Column(name, label, "number"), [None if value is None else float(value) for value in given]


def _word(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


# ---- files ------------------------------------------------------------------------------------------------------


def labels(made: Table) -> dict[str, dict[str, Any]]:
    """The labels as plain data: {column: {label, values}}."""
    return {
        column.name: {"label": column.label, "values": {str(code): text for code, text in column.values.items()}}
        for column in made.columns
    }


def as_csv(made: Table) -> str:
    """Codes with a header of names, blanks empty; whole numbers without a point. The labels go beside it."""
    whole = [
        pl.col(column.name).cast(pl.Int64, strict=True)
        for column in made.columns
        if column.kind == "number" and _is_whole(made.frame[column.name])
    ]
    return made.frame.with_columns(whole).write_csv()


def _is_whole(values: pl.Series) -> bool:
    given = values.drop_nulls()
    return bool((given == given.round(0)).all())


def as_parquet(made: Table) -> bytes:
    """Parquet, with the labels as JSON under the key `keel.labels` of the file's own metadata."""
    out = io.BytesIO()
    made.frame.write_parquet(out, metadata={"keel.labels": json.dumps(labels(made), ensure_ascii=False)})
    return out.getvalue()


def as_r(made: Table, csv_name: str) -> str:
    """An R script that reads the CSV and lays its labels on, as `haven` and `labelled` keep them."""
    lines = ["library(haven)", f'data <- read.csv({_r(csv_name)}, na.strings = "", check.names = FALSE)']
    for column in made.columns:
        place = f"data[[{_r(column.name)}]]"
        if column.values:
            pairs = ", ".join(f"{_r(text)} = {_r_code(code)}" for code, text in column.values.items())
            kind = "as.double" if column.kind == "number" else "as.character"
            lines.append(f"{place} <- labelled({kind}({place}), labels = c({pairs}), label = {_r(column.label)})")
        else:
            lines.append(f'attr({place}, "label") <- {_r(column.label)}')
    return "\n".join(lines) + "\n"


def _r(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _r_code(code: int | str) -> str:
    return _r(code) if isinstance(code, str) else str(code)


def write_spss(made: Table, path: Path) -> tuple[Finding, ...]:
    """An SPSS .sav with labels of variables and values; tells what had to be shortened."""
    fitted, findings = _fitted(made, longest_name=64, label=SPSS_LABEL)
    valued: dict[str, dict[Any, str]] = {
        column.name: {code: _cut(text, SPSS_VALUE_LABEL) for code, text in column.values.items()}
        for column in fitted.columns
        if column.values
    }
    pyreadstat.write_sav(
        fitted.frame, str(path), column_labels=_column_labels(fitted), variable_value_labels=valued, compress=True
    )
    return findings


def write_stata(made: Table, path: Path) -> tuple[Finding, ...]:
    """A Stata .dta (version 118) with labels; Stata labels whole numbers only, so codes that are words keep theirs in
    the codebook alone. Tells what had to be shortened or left."""
    fitted, findings = _fitted(made, longest_name=STATA_NAME, label=STATA_LABEL)
    valued: dict[str, dict[Any, str]] = {
        c.name: dict(c.values) for c in fitted.columns if c.values and c.kind == "number"
    }
    worded = [c.name for c in fitted.columns if c.values and c.kind == "text"]
    pyreadstat.write_dta(
        fitted.frame, str(path), column_labels=_column_labels(fitted), variable_value_labels=valued, version=15
    )
    left = tuple(Finding("kept", name, "Stata labels numbers only: the words of its codes are left") for name in worded)
    return findings + left


def _column_labels(made: Table) -> dict[str, str | None]:
    return {column.name: column.label for column in made.columns}


def _fitted(made: Table, *, longest_name: int, label: int) -> tuple[Table, tuple[Finding, ...]]:
    """Names and labels as a program takes them, each change told; names stay different."""
    taken: set[str] = set()
    columns, renamed, findings = [], {}, []
    for column in made.columns:
        name = _name(column.name, longest_name, taken)
        taken.add(name.lower())
        renamed[column.name] = name
        if name != column.name:
            findings.append(Finding("changed", column.name, f"It is called {name} there: names are that short"))
        if len(column.label) > label:
            findings.append(Finding("changed", column.name, f"Its label is cut at {label} characters"))
        columns.append(replace(column, name=name, label=_cut(column.label, label)))
    return Table(tuple(columns), made.frame.rename(renamed)), tuple(findings)


def _name(name: str, longest: int, taken: Iterable[str]) -> str:
    plain = "".join(sign if sign.isascii() and (sign.isalnum() or sign == "_") else "_" for sign in name)
    plain = plain if plain[:1].isalpha() else f"v{plain}"
    out, n = plain[:longest], 2
    while out.lower() in taken:
        out = f"{plain[: longest - len(str(n)) - 1]}_{n}"
        n += 1
    return out


def _cut(text: str, longest: int) -> str:
    """At most so many bytes, cut between letters."""
    return text.encode()[:longest].decode(errors="ignore")
