"""Reading a table and taking columns out of it: every way it can be unfit is a sentence.

CSV is read as text and turned into numbers column by column, so that a word in a number column is
refused with its row and its text instead of silently making the whole column text. Parquet brings
its own types. Rows are counted from 1, the header not counted.
"""

from __future__ import annotations

import csv
import difflib
import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from keel.domain.errors import Refused, refuse

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# No measurement is larger, or smaller throughout; its fourth power must still be a number.
LARGEST = 1e50
# Beside one value that is so many times larger than the others, nothing of them is left in the arithmetic.
DROWNED = 1e12
# Of a column's length: what must be left after the columns before it (R's tolerance).
ALIASED = 1e-7
MISSING = ("", "NA", "N/A", "NaN", "nan", ".", "null")
# What stands before digits and letters when words are sorted, in the order of Unicode's root collation.
BEFORE_LETTERS = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"


def read_table(path: Path) -> pl.DataFrame:
    """Read a CSV (comma, semicolon or tab; a semicolon file may use decimal commas) or Parquet file."""
    _check_there(path)
    try:
        table = _read_parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _read_csv(path)
    except Refused:
        raise
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise refuse(
            f"{path.name} was not read", _why_unread(path, error), "Save it as CSV in UTF-8", where=str(path)
        ) from None
    if table.height == 0:
        raise refuse(f"{path.name} was not used", "it has no rows", "Give a file with data", where=str(path))
    return table


def _check_there(path: Path) -> None:
    try:
        why = "" if path.is_file() else "it is a folder" if path.is_dir() else "there is no such file"
    except (OSError, ValueError) as error:  # a name that no system takes
        why = str(getattr(error, "strerror", None) or error).lower()
    if why:
        raise refuse(f"{path.name[:80]} was not read", why, "Give a CSV or Parquet file", where=str(path)[:200])


def _read_parquet(path: Path) -> pl.DataFrame:
    """Columns of text are read as those of a CSV: without the blanks around, and with the same words for what is missing."""
    text = pl.selectors.string()
    table = pl.read_parquet(path).with_columns(text.str.strip_chars())
    return table.with_columns(pl.when(~text.is_in(MISSING)).then(text).name.keep())


def _read_csv(path: Path) -> pl.DataFrame:
    with path.open("rb") as file:
        header = file.readline().decode("utf-8-sig")
    if not header.strip():
        why = "the file is empty" if path.stat().st_size <= len(header) + 3 else "its first line is empty"
        raise refuse(f"{path.name} was not read", why, "Give a file with a header and rows", where=str(path))
    _check_text(path)
    # Lines may end with a bare carriage return, as some spreadsheets still save them.
    end = "\r" if "\r" in header.rstrip("\r\n") else "\n"
    header = header.split("\r")[0]
    separator = max(",;\t", key=header.count) if any(mark in header for mark in ",;\t") else ","
    _check_header(path, next(csv.reader([header], delimiter=separator)))
    table = pl.read_csv(
        path, separator=separator, infer_schema=False, null_values=list(MISSING), encoding="utf8", eol_char=end
    )
    table = table.rename({name: name.strip() for name in table.columns}).with_columns(pl.all().str.strip_chars())
    if separator == ";":
        table = table.with_columns(pl.all().str.replace(r"^([+-]?\d+),(\d+)$", "${1}.${2}"))
    # Spreadsheets leave rows of bare separators below the last one that holds something.
    held = table.select(pl.any_horizontal(pl.all().is_not_null())).to_series().arg_true()
    return table.head(int(held[-1]) + 1 if len(held) else 0)


def _check_text(path: Path) -> None:
    """Refuse a file with zero bytes: UTF-16 without a mark, or a damaged one. They are invisible inside a name."""
    content = path.read_bytes()
    at = content.find(b"\0")
    if at >= 0:
        line = content.count(b"\n", 0, at) + 1
        raise refuse(
            f"{path.name} was not read",
            f"line {line} holds a zero byte, as a file in UTF-16 or a damaged one does",
            "Save it as CSV in UTF-8",
            where=str(path),
            code="not-text",
        )


def _why_unread(path: Path, error: Exception) -> str:
    """What is wrong with a file that could not be read, and in which line; the reader's own words where that is not found."""
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, OSError):
        return words
    content = path.read_bytes()
    if content[:4] == b"PAR1" or path.suffix.lower() in (".parquet", ".pq"):
        return f"it is not a whole Parquet file ({words})"
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as wrong:
        before = content[: wrong.start].count(b"\n")
        return f"line {before + 1} is not text in UTF-8"
    separator = max(",;\t", key=lines[0].count)
    rows = csv.reader(lines, delimiter=separator)
    wide = len(next(rows))
    long = next((number for number, row in enumerate(rows, 1) if len(row) > wide), None)
    if long is not None:
        return f"row {long} has more fields than the {wide} columns of the header"
    return f"it is neither CSV nor Parquet ({words})"


def _check_header(path: Path, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in (name.strip() for name in names):
        if name and name in seen:
            raise refuse(
                f"{path.name} was not used",
                f"two of its columns are called {name!r}",
                "Give every column a name of its own",
                where=f"{path.name}, header",
                code="two-columns",
            )
        seen.add(name)


def alphabetical(words: Iterable[str]) -> list[str]:
    """Words as a dictionary and R sort them: signs, digits, letters; capitals and accents only decide between equals.

    So `active` comes before `Placebo`, and the first level of a factor is the one that R takes, whose sort is Unicode's root
    collation wherever its locale is not the bare C.
    """
    return sorted(words, key=_in_the_alphabet)


def _in_the_alphabet(word: str) -> tuple[list[tuple[int, str]], list[str], list[bool], str]:
    apart = unicodedata.normalize("NFD", word)
    bare = [mark for mark in apart if not unicodedata.combining(mark)]
    signs = [(BEFORE_LETTERS.find(m), "") if m in BEFORE_LETTERS else (99, m.casefold()) for m in bare]
    accents = [mark for mark in apart if unicodedata.combining(mark)]
    return signs, accents, [mark.isupper() for mark in bare], word


def _meant(name: str, columns: Sequence[str]) -> str:
    """A question about the column whose name is nearest, capitals aside; empty where none is near."""
    by_small = {column.casefold(): column for column in reversed(columns)}
    near = difflib.get_close_matches(name.casefold(), by_small, n=1, cutoff=0.7)
    return f"Did you mean {by_small[near[0]]!r}? " if near else ""


def check_column(table: pl.DataFrame, name: str) -> None:
    if name not in table.columns:
        raise refuse(
            f"There is no column {name!r}",
            "the table does not have it",
            f"{_meant(name, table.columns)}It has: {', '.join(table.columns)}",
            where=name,
            code="no-column",
        )


def check_flat(column: pl.Series, name: str) -> None:
    """Refuse a column whose cells are no single values: lists, structures, bytes, objects, spans of time."""
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object, pl.Duration):
        raise refuse(
            f"Column {name!r} was not used",
            f"it holds {column.dtype}, and every row must hold one word or number",
            "Write one into each row",
            where=name,
            code="not-flat",
        )


def numbers(table: pl.DataFrame, name: str) -> FloatArray:
    """Column `name` as numbers, missing as NaN. Refuses text (row and text named) and infinite values."""
    check_column(table, name)
    column = table[name]
    check_flat(column, name)
    if column.dtype == pl.String:
        cast = column.cast(pl.Float64, strict=False)
        unread = (
            (column.is_not_null() & cast.is_null()).arg_max() if (cast.null_count() > column.null_count()) else None
        )
        if unread is not None:
            raise refuse(
                f"Column {name!r} is not a column of numbers",
                f"row {unread + 1} holds {str(column[unread])[:40]!r}",
                "Mend that value, or leave it empty if it is missing",
                where=f"{name}, row {unread + 1}",
                code="not-a-number",
            )
        column = cast
    elif not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        if column.dtype == pl.Null:
            return np.full(table.height, np.nan)
        raise refuse(f"Column {name!r} is not a column of numbers", f"it holds {column.dtype}", where=name)
    values = np.array(column.cast(pl.Float64).fill_null(float("nan")).to_numpy(), dtype=np.float64)
    check_size(values, name)
    return values


def check_size(values: FloatArray, name: str) -> None:
    """Refuse values that double arithmetic cannot hold together: infinite, of an impossible unit, or one that drowns the rest."""
    infinite = np.flatnonzero(np.abs(values) > LARGEST)
    if infinite.size:
        value = values[infinite[0]]
        raise refuse(
            f"Column {name!r} was not used",
            f"row {infinite[0] + 1} is infinite" if np.isinf(value) else f"row {infinite[0] + 1} holds {value:g}",
            "Mend that value, or leave it empty if it is missing",
            where=f"{name}, row {infinite[0] + 1}",
            code="infinite",
        )
    sizes = np.sort(np.abs(values[np.nan_to_num(values) != 0]))
    if sizes.size and sizes[-1] < 1 / LARGEST:
        raise refuse(
            f"Column {name!r} was not used",
            f"its values are smaller than {1 / LARGEST:g} throughout",
            "Use another unit",
            where=name,
            code="too-small",
        )
    if sizes.size > 1 and sizes[-1] > DROWNED * (most := sizes[-1 - max(1, sizes.size // 4)]):
        row = int(np.nanargmax(np.abs(values)))
        raise refuse(
            f"Column {name!r} was not used",
            f"row {row + 1} holds {values[row]:g} where most values are {most:g} or smaller: beside it they are lost",
            "Mend that value, or leave it empty if it is missing",
            where=f"{name}, row {row + 1}",
            code="drowned",
        )


def texts(table: pl.DataFrame, name: str) -> list[str | None]:
    """Column `name` as text, missing as None; whole numbers lose their `.0`. Every digit stays: it may tell people apart."""
    check_column(table, name)
    column = table[name]
    check_flat(column, name)
    if column.dtype.is_float():
        return [None if v is None or math.isnan(v) else repr(v).removesuffix(".0") for v in column.to_list()]
    return [None if v is None else str(v) for v in column.to_list()]


def is_text(table: pl.DataFrame, name: str) -> bool:
    """Whether a column is of words. A column of numbers with a few words among them is refused, not guessed at."""
    check_column(table, name)
    column = table[name]
    if column.dtype in (pl.Categorical, pl.Enum):
        return True
    if column.dtype != pl.String:
        return False
    present = column.drop_nulls()
    readable = present.cast(pl.Float64, strict=False).drop_nulls().len()
    if readable and readable < present.len():
        numbers(table, name)
    return readable == 0 and present.len() > 0


@dataclass(frozen=True)
class Design:
    """A design matrix: `matrix` (rows × columns, NaN where a value is missing) and a name per column."""

    matrix: FloatArray
    labels: tuple[str, ...]


def design(table: pl.DataFrame, names: Sequence[str], *, intercept: bool = True) -> Design:
    """Number columns as they are, text columns as 0/1 columns against the level that sorts first."""
    parts: list[FloatArray] = [np.ones(table.height)] if intercept else []
    labels: list[str] = ["intercept"] if intercept else []
    for name in names:
        if not is_text(table, name):
            parts.append(numbers(table, name))
            labels.append(name)
            continue
        values = texts(table, name)
        missing = np.array([v is None for v in values])
        for level in alphabetical({v for v in values if v is not None})[1:]:
            column = np.array([float(v == level) for v in values])
            column[missing] = np.nan
            parts.append(column)
            labels.append(f"{name}={level}")
    matrix = np.column_stack(parts) if parts else np.empty((table.height, 0))
    return Design(matrix, tuple(labels))


def check_full_rank(matrix: FloatArray, labels: Sequence[str]) -> None:
    """Refuse a design whose columns repeat each other, naming the first column that adds nothing."""
    if matrix.shape[1] == 0:
        return
    scale = np.linalg.norm(matrix, axis=0)
    kept = np.empty((matrix.shape[0], 0))
    for index, label in enumerate(labels):
        column = matrix[:, index]
        rest = column - kept @ (kept.T @ column)
        rest = rest - kept @ (kept.T @ rest)
        length = float(np.linalg.norm(rest))
        if scale[index] == 0 or length <= ALIASED * scale[index]:
            why = (
                "it is zero everywhere"
                if scale[index] == 0
                else "it is as good as constant, or follows from the columns before it"
            )
            raise refuse(
                f"Column {label!r} cannot be used here",
                f"in the {matrix.shape[0]} rows used {why}",
                "Leave it out",
                where=label,
                code="collinear",
            )
        kept = np.column_stack([kept, rest / length])


def complete_rows(*arrays: FloatArray) -> BoolArray:
    """Rows without a missing value in any of the arrays (vectors, or matrices of rows × columns)."""
    keep = np.ones(len(arrays[0]), dtype=bool)
    for array in arrays:
        keep &= ~np.isnan(array if array.ndim == 1 else array.reshape(len(array), -1).sum(axis=1))
    return keep


def is_constant(values: FloatArray) -> bool:
    """Whether values differ by no more than rounding (or than 1e-100, whose square is nothing)."""
    return float(np.ptp(values)) <= max(1e-14 * float(np.abs(values).max()), 1e-100)


def check_varies(values: FloatArray, name: str, *, least: int = 3) -> None:
    """Refuse a column with fewer than `least` values, or with one value throughout."""
    if len(values) < least:
        raise refuse(
            f"Column {name!r} was not used",
            f"{len(values)} complete rows are left, and {least} are the least that can be used",
            "Give more data",
            where=name,
            code="too-few",
        )
    if is_constant(values):
        raise refuse(
            f"Column {name!r} was not used",
            f"every value is {values[0]:g}, so it explains nothing and nothing explains it",
            "Give a column that varies",
            where=name,
            code="constant",
        )
