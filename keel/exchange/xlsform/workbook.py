"""Opening a spreadsheet that somebody sent: what it declares is checked before anything is unpacked."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence

import openpyxl

from keel.domain.errors import refuse
from keel.exchange.text import check_header

# A form of 5,000 questions unpacks to a few megabytes.
LARGEST_FILE = 32 * 1024 * 1024
LARGEST_UNPACKED = 64 * 1024 * 1024
STEEPEST = 200
MOST_PARTS = 500
MOST_ROWS = 60_000
MOST_COLUMNS = 400
LONGEST_GAP = 5_000

# Sheets and columns that are known in any case of letters, by the name that is used here.
_KNOWN = {name: name for name in (
    "survey", "choices", "settings", "type", "name", "label", "hint", "relevant", "constraint", "constraint_message",
    "calculation", "required", "appearance", "parameters", "default", "list_name", "choice_filter", "form_title",
    "form_id", "version",
)} | {"list name": "list_name", "relevance": "relevant"}  # fmt: skip

Row = tuple[int, dict[str, str]]


def read(data: bytes, file: str) -> dict[str, list[Row]]:
    """Each sheet as rows with their numbers, cells as text by the header of row one. Refuses what is no workbook, and
    what would unpack to more than a form can hold."""
    _check(data, file)
    try:
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        return {
            _KNOWN.get(sheet.title.strip().lower(), sheet.title): list(_rows(sheet, file)) for sheet in book.worksheets
        }
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, OSError, SyntaxError) as error:
        why = str(error).split("\n")[0][:200] or "a part of it is broken"
        raise refuse(f"{file} was not read", why, "Save it as .xlsx again", where=file) from None


def _check(data: bytes, file: str) -> None:
    if len(data) > LARGEST_FILE:
        raise _too_much(file, f"it is larger than {LARGEST_FILE // 2**20} MB")
    try:
        parts = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError):
        raise refuse(
            f"{file} was not read", "it is no .xlsx workbook", "Save it as .xlsx (not .xls, not .csv)", where=file
        ) from None
    unpacked = sum(part.file_size for part in parts)
    if len(parts) > MOST_PARTS:
        raise _too_much(file, f"it has {len(parts)} parts, at most {MOST_PARTS} are read")
    if unpacked > LARGEST_UNPACKED:
        raise _too_much(
            file, f"it would unpack to {unpacked // 2**20} MB, at most {LARGEST_UNPACKED // 2**20} are read"
        )
    for part in parts:
        if part.file_size > 2**20 and part.file_size > STEEPEST * max(1, part.compress_size):
            raise _too_much(
                file, f"its part {part.filename} is packed {part.file_size // max(1, part.compress_size)} to 1"
            )
    _check_unpacked(data, parts, file)


def _check_unpacked(data: bytes, parts: Sequence[zipfile.ZipInfo], file: str) -> None:
    """A part may declare less than it holds: each is unpacked once in pieces, and dropped, up to what it declared."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for part in parts:
            try:
                with archive.open(part) as stream:
                    held = 0
                    while piece := stream.read(2**20):
                        held += len(piece)
                        if held > part.file_size:
                            raise _too_much(file, f"its part {part.filename} holds more than it declares")
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError) as error:
                raise refuse(f"{file} was not read", str(error), "Save it as .xlsx again", where=file) from None


def _too_much(file: str, why: str) -> Exception:
    return refuse(f"{file} was not opened", why, "Send the form alone, saved by a spreadsheet program", where=file)


def _rows(sheet: openpyxl.worksheet.worksheet.Worksheet, file: str) -> Iterator[Row]:
    header: list[str] = []
    full = empty = 0
    for number, cells in enumerate(sheet.iter_rows(values_only=True, max_col=MOST_COLUMNS), 1):
        # Spreadsheet programs leave a million empty rows behind: a long run of them is the end.
        if not any(cell not in (None, "") for cell in cells):
            empty += 1
            if empty > LONGEST_GAP:
                return
            continue
        full, empty = full + 1, 0
        if full > MOST_ROWS:
            raise _too_much(file, f"sheet {sheet.title} has more than {MOST_ROWS} rows")
        row = [_text(cell) for cell in cells]
        if not header:
            header = _header(row, sheet.title, number, file)
            continue
        named = {name: cell for name, cell in zip(header, row, strict=False) if name and cell}
        if named:
            yield number, named


def _header(row: Sequence[str], sheet: str, number: int, file: str) -> list[str]:
    """The names of the columns. In the sheets of the form each stands once; elsewhere a further column keeps its place."""
    names = [_KNOWN.get(cell.strip().lower(), cell.strip()) for cell in row]
    if sheet.strip().lower() in ("survey", "choices", "settings"):
        check_header(names, file, f"{sheet}, row {number}")
    return [f"{name} ({n})" if name and name in names[: n - 1] else name for n, name in enumerate(names, 1)]


def _text(cell: object) -> str:
    """A cell as its author typed it: 2.0 is 2, true is TRUE."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).replace("\r\n", "\n").replace("_x000D_", "").strip()


def written(sheets: Mapping[str, tuple[Sequence[str], Sequence[Mapping[str, str]]]]) -> bytes:
    """A workbook from its sheets: (columns, rows). Every cell is text, so that nothing is read as a formula or date."""
    book = openpyxl.Workbook(write_only=True)
    for title, (columns, lines) in sheets.items():
        sheet = book.create_sheet(title)
        sheet.append(list(columns))
        for line in lines:
            cells = []
            for column in columns:
                cell = openpyxl.cell.WriteOnlyCell(sheet, value=line.get(column) or None)
                if cell.value is not None:
                    cell.data_type = "s"
                cells.append(cell)
            sheet.append(cells)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
