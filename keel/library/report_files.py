"""The reports on the shelf, by id (the data lie in `reports/`, one TOML file each)."""

from __future__ import annotations

from pathlib import Path

from keel.domain.errors import refuse
from keel.domain.report import Report
from keel.library import shelf

KIND = "reports"


def report(id: str) -> Report:
    """The report of that id. Refuses an unknown id, and a malformed file with all its errors."""
    return _checked(shelf.read(KIND, id))


def report_entry(id: str) -> tuple[Report, shelf.Entry]:
    """The report and the file that it came from."""
    entry = shelf.read(KIND, id)
    return _checked(entry), entry


def reports() -> tuple[Report, ...]:
    """Every report on the shelf, by id."""
    return tuple(report(id) for id in shelf.ids(KIND))


def report_in_file(path: Path) -> Report:
    """A report from any file, also one that is not on the shelf yet."""
    return _checked(shelf.read_file(path, kind=KIND))


def _checked(entry: shelf.Entry) -> Report:
    found = Report.from_table(entry.table, entry.place)
    if found.id != entry.id:
        raise refuse(
            f"The file says that it is {found.id!r}",
            f"its name says {entry.id!r}",
            "Make the two the same",
            where=f"{entry.place}, id",
            code="id-not-name",
        )
    return found
