"""Reading files that people made: their bytes as text, whatever saved them, and tables of rows with their numbers."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence

from keel.domain.errors import refuse

# Larger than any dictionary or data file that people send; what is larger comes in parts.
LARGEST = 64 * 1024 * 1024
WIDEST = 500_000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def decoded(data: bytes, file: str) -> tuple[str, str]:
    """The text of a file, line ends made alike, and the encoding it was in. UTF-8 with or without its mark, UTF-16
    with one, else Windows' Latin-1: every byte is a letter there, so nothing is lost, and the report says so."""
    if len(data) > LARGEST:
        raise refuse(f"{file} was not read", f"it is larger than {LARGEST // 2**20} MB", "Send it in parts", where=file)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings: tuple[str, ...] = ("utf-16",)
    else:
        encodings = ("utf-8-sig", "cp1252", "latin-1")
    for encoding in encodings:
        try:
            return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n"), encoding
        except UnicodeDecodeError:
            continue
    raise refuse(f"{file} was not read", "its text is in no encoding known here", "Save it as UTF-8", where=file)


def rows(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV with their numbers as a spreadsheet shows them, empty ones left out. The separator is the comma,
    or the semicolon or tab where the first line has more of those."""
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    csv.field_size_limit(WIDEST)
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    # Strict: a quotation mark that is never closed would swallow the rows after it without a word.
    number = 0
    while True:
        number += 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = "a quotation mark in it is not closed" if "end of data" in str(error) else str(error)
            raise refuse(f"{file} was not read", why, "Mend that row", where=f"row {number}") from None
        if any(cell.strip() for cell in row):
            yield number, row


def check_header(header: Sequence[str], file: str, where: str) -> None:
    """Two columns of one name: one of them would be lost."""
    twice = next((name for n, name in enumerate(header) if name and name in header[:n]), "")
    if twice:
        column = len(header) - list(reversed(header)).index(twice)
        raise refuse(
            f"{file} was not read",
            f"the column {twice} stands twice",
            "Name each once",
            where=f"{where}, column {column}",
        )


def as_csv(header: Sequence[str], lines: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return out.getvalue()
