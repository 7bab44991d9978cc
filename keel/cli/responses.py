"""`keel export responses [LINES.jsonl|-] --as FORMAT --out FILE`: responses to one instrument for other programs.

The lines are those of `keel score --batch` and `keel import data`; further keys of a line (`record`, `visit`, `at`, …)
say whose and when, and become columns. Without a file the finished responses of this site's record are given, under
the codes of their courses and without a name. Every response is scored anew. Nothing is written where a line is wrong.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from keel.cli.score import opened, parsed
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.instrument import Instrument
from keel.domain.scoring import score
from keel.exchange import tables
from keel.exchange.fhir import response
from keel.exchange.redcap import data as redcap
from keel.exchange.report import Finding
from keel.library.instrument_files import instrument

FORMATS = ("fhir", "redcap", "csv", "parquet", "r", "spss", "stata")
TO_A_FILE = ("parquet", "r", "spss", "stata")
_NOT_KEYS = frozenset({"instrument", "items", "context", "version", "scores", "missing"})
_FHIR_ID = re.compile(r"[A-Za-z0-9.\-]{1,64}")

# A file's ending put to the name that was asked for, and its bytes.
Files = dict[str, bytes]
Given = tuple[str, dict[str, Any]]
Made = tuple[Files, tuple[Finding, ...]]


def export(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("keel export", description=__doc__)
    parser.add_argument("what", choices=["responses"])
    parser.add_argument("lines", nargs="?", help="JSON lines, or - for standard input; this site's record when absent")
    parser.add_argument("--as", dest="format", choices=FORMATS, required=True)
    parser.add_argument("--instrument", help="which of them; needed when there are several")
    parser.add_argument("--version", type=int, help="which version of its definition; needed when there are several")
    parser.add_argument("--out", default="-", help="a file; standard output when none is given")
    given = parser.parse_args(argv)
    if given.format in TO_A_FILE and given.out == "-":
        raise refuse("Nothing was written", f"{given.format} is a file of its own", "Name it with --out")
    one, kept = chosen(given_responses(given.lines, given.instrument), given.instrument, given.version)
    files, findings = _FORMATTED[given.format](one, _scored(one, kept), Path(given.out).stem)
    for finding in findings:
        print(f"{finding.kind}: {finding.where}: {finding.what}", file=sys.stderr)
    _write(files, given.out)
    print(f"{len(kept)} responses to {one.id}, version {one.version}", file=sys.stderr)
    return 0


# ---- whence -----------------------------------------------------------------------------------------------------


def given_responses(lines: str | None, id: str | None) -> list[Given]:
    """The responses of a file of lines, or of this site's record where none is named."""
    return list(_from_lines(lines) if lines else _from_record(id))


def _from_lines(name: str) -> Iterator[Given]:
    with opened(name) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"line {number}", dict(parsed(line, number))


def _from_record(id: str | None) -> Iterator[Given]:
    """The finished responses of this site's record. Codes of courses only; who was erased is not among them."""
    from keel.cli.house import _django

    _django()
    from keel.records.models import CourseRow, ResponseRow

    codes = dict(CourseRow.objects.filter(erased=False).values_list("id", "code"))
    rows = ResponseRow.objects.filter(completed_at__isnull=False, course__in=codes).order_by("course", "completed_at")
    for row in rows.filter(instrument=id) if id else rows:
        yield f"response {row.id}", {
            "instrument": row.instrument, "version": row.instrument_version, "items": row.items, "context": row.context,
            "record": codes[row.course], "visit": row.visit, "respondent": row.respondent,
            "at": row.completed_at.isoformat(),
        }  # fmt: skip


def chosen(lines: list[Given], id: str | None, version: int | None) -> tuple[Instrument, list[Given]]:
    """The lines of one instrument in one version: two versions are never laid into one table silently."""
    kept = [one for one in lines if id in (None, one[1].get("instrument"))]
    named = sorted({str(line.get("instrument")) for _, line in kept})
    if len(named) != 1:
        why = f"they are of {', '.join(named)}" if named else "there are none"
        raise refuse("No responses were taken", why, "Name one instrument with --instrument")
    held = sorted({int(line["version"]) for _, line in kept if str(line.get("version") or "").isdigit()})
    if version is None and len(held) > 1:
        why = f"they were given to versions {', '.join(map(str, held))} of {named[0]}, which are not one table"
        raise refuse("No responses were taken", why, "Name one with --version")
    kept = [one for one in kept if version in (None, one[1].get("version"))]
    found = instrument(named[0])
    wanted = version or (held[0] if held else found.version)
    if found.version != wanted:
        found = _in_use(named[0], wanted)
    return found, kept


def _in_use(id: str, version: int) -> Instrument:
    from keel.cli.house import _django

    _django()
    from django.db import DatabaseError

    from keel.queries import definitions

    try:
        return definitions.instrument(id, version)
    except DatabaseError:
        raise refuse(
            "No responses were taken",
            f"version {version} of {id} is not on the shelf, and this machine has no record that holds it",
            "Name a version of the shelf with --version",
        ) from None


def _scored(one: Instrument, lines: list[Given]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each line with its scores; refuses all of them with a reason per line that cannot be scored."""
    out: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
    reasons: list[Reason] = []
    for place, line in lines:
        try:
            out.append((place, line, score(one, line.get("items"), line.get("context")).scores))
        except Refused as refused:
            reasons += [Reason(r.what, r.why, r.mend, where=f"{place}, {r.where}") for r in refused.reasons]
    if reasons:
        raise Refused(reasons)
    return out


# ---- into what --------------------------------------------------------------------------------------------------


def _keys(line: Mapping[str, Any]) -> dict[str, str | int]:
    return {k: v for k, v in line.items() if k not in _NOT_KEYS and isinstance(v, (str, int)) and v != ""}


def _fhir(one: Instrument, lines: Any, name: str) -> Made:
    resources = [_response(one, place, line, scores) for place, line, scores in lines]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": found} for found in resources]}
    return {".json": (json.dumps(bundle, ensure_ascii=False, indent=1) + "\n").encode()}, ()


def _response(one: Instrument, place: str, line: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    record = str(line.get("record", ""))
    if record and not _FHIR_ID.fullmatch(record):
        why = "FHIR takes letters, digits, - and . in the id of a person, 64 at most"
        raise refuse(f"The record {record!r} was refused", why, "Give it another code", where=place)
    when = line.get("at")
    try:
        authored = dt.datetime.fromisoformat(when) if when else None
    except (TypeError, ValueError):
        raise refuse(f"{when!r} is no instant", "it is not ISO 8601", "Mend `at`", where=place) from None
    if authored is not None and authored.tzinfo is None:
        raise refuse(f"{when!r} has no time zone", "FHIR needs one", "Add it, or Z", where=place)
    subject = f"Patient/{record}" if record else ""
    return response.exported(one, line["items"], subject=subject, authored_at=authored, scores=scores)


def _redcap(one: Instrument, lines: Any, name: str) -> Made:
    rows = []
    for place, line, scores in lines:
        record = line.get("record")
        if record in (None, ""):
            raise refuse("A record has no name", "REDCap needs one in every row", "Add `record`", where=place)
        event = str(line.get("event") or line.get("visit") or "")
        rows.append(redcap.Row(str(record), line["items"], event, line.get("instance"), scores))
    return {".csv": redcap.exported(one, rows).encode()}, ()


def _table(one: Instrument, lines: Any) -> tables.Table:
    return tables.table(one, [tables.Response(_keys(line), line["items"], scores) for _, line, scores in lines])


def _csv(one: Instrument, lines: Any, name: str) -> Made:
    made = _table(one, lines)
    labels = json.dumps(tables.labels(made), ensure_ascii=False, indent=1) + "\n"
    return {".csv": tables.as_csv(made).encode(), ".labels.json": labels.encode()}, ()


def _parquet(one: Instrument, lines: Any, name: str) -> Made:
    return {".parquet": tables.as_parquet(_table(one, lines))}, ()


def _r(one: Instrument, lines: Any, name: str) -> Made:
    made = _table(one, lines)
    return {".R": tables.as_r(made, f"{name}.csv").encode(), ".csv": tables.as_csv(made).encode()}, ()


def _by_file(write: Callable[[tables.Table, Path], tuple[Finding, ...]], ending: str) -> Callable[..., Made]:
    def formatted(one: Instrument, lines: Any, name: str) -> Made:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"out{ending}"
            findings = write(_table(one, lines), file)
            return {ending: file.read_bytes()}, findings

    return formatted


_FORMATTED: dict[str, Callable[..., Made]] = {
    "fhir": _fhir,
    "redcap": _redcap,
    "csv": _csv,
    "parquet": _parquet,
    "r": _r,
    "spss": _by_file(tables.write_spss, ".sav"),
    "stata": _by_file(tables.write_stata, ".dta"),
}


def _write(files: Files, out: str) -> None:
    """The first file under the name that was given, the others beside it."""
    if out == "-":
        sys.stdout.buffer.write(next(iter(files.values())))
        sys.stdout.buffer.flush()
        return
    try:
        for place, (ending, body) in enumerate(files.items()):
            path = Path(out) if place == 0 else Path(out).with_name(Path(out).stem + ending)
            path.write_bytes(body)
    except OSError as error:
        raise refuse(f"{out} was not written", error.strerror or str(error), "Give another place") from None
