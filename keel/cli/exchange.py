"""`keel export instrument ID --as fhir|redcap|xlsform` and `keel import questionnaire|data FILE`."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keel.domain.answers import by_item
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.instrument import Instrument
from keel.exchange.fhir import questionnaire
from keel.exchange.fhir import response as fhir_response
from keel.exchange.redcap import data as redcap_data
from keel.exchange.redcap import dictionary
from keel.exchange.report import Finding, Report
from keel.exchange.text import decoded
from keel.exchange.xlsform import form as xlsform
from keel.library import shelf
from keel.library.instrument_files import KIND, instrument, instruments
from keel.library.wording import words_for

FORMATS = ("fhir", "redcap", "xlsform")
_READERS = {"fhir": questionnaire.imported, "redcap": dictionary.imported, "xlsform": xlsform.imported}
_ENDINGS = {".json": "fhir", ".csv": "redcap", ".xlsx": "xlsform"}


def run(command: str, argv: Sequence[str]) -> int:
    return {"export": export, "import": take_in}[command](argv)


# ---- out ------------------------------------------------------------------------------------------------------


def export(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("keel export", description="Give an instrument out in a format that others have.")
    parts = parser.add_subparsers(dest="what", required=True)
    one = parts.add_parser("instrument", help="one instrument as a form")
    one.add_argument("id")
    one.add_argument("--as", dest="format", choices=FORMATS, required=True)
    one.add_argument("--out", default="-", help="a file; standard output when none is given")
    one.add_argument("--language", help="with the words of this language, where their licence allows it")
    given = parser.parse_args(argv)
    body, findings = exported(instrument(given.id), given.format, given.language)
    for finding in findings:
        print(f"{finding.where}: {finding.what}", file=sys.stderr)
    _give(body, given.out)
    return 0


def exported(one: Instrument, format: str, language: str | None = None) -> tuple[bytes, tuple[Finding, ...]]:
    """The bytes of a form, and what its format cannot say."""
    words = words_for(one.id, [language], on=dt.date.today()) if language else None
    if language and words is None:
        raise refuse(
            f"There are no words of {one.id} in {language!r} that may be shown",
            "the shelf has none, or their licence has ended",
            "Leave --language out: the form then has numbers and neutral labels",
        )
    items = dict(words.items) if words else {}
    if format == "fhir":
        labels = {item.id: words.labels(item) for item in one.items} if words else {}
        resource, findings = questionnaire.exported(one, items, labels)
        return (json.dumps(resource, ensure_ascii=False, indent=2) + "\n").encode(), findings
    if format == "redcap":
        text, findings = dictionary.exported(one, items)
        return text.encode(), findings
    return xlsform.exported(one, items)


def _give(body: bytes, out: str) -> None:
    if out == "-":
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    try:
        Path(out).write_bytes(body)
    except OSError as error:
        raise refuse(f"{out} was not written", error.strerror or str(error), "Give another place") from None


# ---- in -------------------------------------------------------------------------------------------------------


def take_in(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("keel import", description="Take in a form or its data; nothing is taken in part.")
    parts = parser.add_subparsers(dest="what", required=True)
    form = parts.add_parser("questionnaire", help="a form, as a definition on a site's shelf")
    form.add_argument("file")
    form.add_argument("--from", dest="format", choices=FORMATS, help="else by the file's ending")
    form.add_argument("--dry-run", action="store_true", help="say what would happen, and do nothing")
    form.add_argument("--shelf", help="the site's shelf; else the first of KEEL_SHELF")
    form.add_argument(
        "--replace", action="store_true", help="replace a definition of the same id that says other things"
    )
    rows = parts.add_parser("data", help="REDCap data, or FHIR responses (.json), as lines for `keel score --batch -`")
    rows.add_argument("file")
    rows.add_argument("--instrument", required=True)
    rows.add_argument("--missing", action="append", default=[], metavar="CODE=prefer_not|not_applicable|blank")
    given = parser.parse_args(argv)
    return _form(given) if given.what == "questionnaire" else _data(given)


def _form(given: argparse.Namespace) -> int:
    format = given.format or _ENDINGS.get(Path(given.file).suffix.lower())
    if format is None:
        raise refuse(f"{given.file} was not read", "its ending says no format", "Say it with --from")
    report = _READERS[format](_bytes(given.file), Path(given.file).name, instruments())
    written: dict[str, str] = {}
    if report.ok and not given.dry_run:
        written = write(report, _shelf(given.shelf), replace=given.replace)
    print(json.dumps({**report.as_json(), "dry_run": given.dry_run, "written": written}, ensure_ascii=False, indent=2))
    if not report.ok:
        print("Nothing was imported:", *map(str, report.reasons()), sep="\n", file=sys.stderr)
    return 0 if report.ok else 1


def write(report: Report, folder: Path, *, replace: bool = False) -> dict[str, str]:
    """Lay every definition of a report on a shelf, or none: {path: new, same or replaced}. Refuses to replace a
    definition that says something else, unless told to."""
    place = folder / KIND
    wanted = {place / f"{one.id}.toml": one.toml.encode() for one in report.definitions}
    there = {path: path.read_bytes() for path in wanted if path.exists()}
    other = [path for path, body in there.items() if body != wanted[path]]
    if other and not replace:
        raise Refused(
            Reason(
                f"{path.name} was not written",
                "the shelf has one that says something else",
                "Look at both, then --replace",
            )
            for path in other
        )
    unwritten = {
        path: body for path, body in wanted.items() if there.get(path) != body and not _same_on_own(path, body)
    }
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place) as aside:
            for path, body in unwritten.items():
                (Path(aside) / path.name).write_bytes(body)
            for path in unwritten:
                os.replace(Path(aside) / path.name, path)
    except OSError as error:
        raise refuse(
            f"{folder} was not written", error.strerror or str(error), "Give a shelf that can be written"
        ) from None
    return {str(path): ("replaced" if path in there else "new") if path in unwritten else "same" for path in wanted}


def _same_on_own(path: Path, body: bytes) -> bool:
    """A definition of Keel's own shelf that comes back unchanged needs no copy on the site's."""
    id = path.stem
    if id not in shelf.ids(KIND):
        return False
    table = tomllib.loads(body.decode())
    return Instrument.from_table(table, path.name, id=id) == instrument(id).model_copy(update={"value_sets": {}})


def _shelf(named: str | None) -> Path:
    folders = [named] if named else [part for part in os.environ.get("KEEL_SHELF", "").split(os.pathsep) if part]
    if not folders:
        raise refuse("Nothing was written", "no shelf of the site is named", "Give --shelf DIR, or set KEEL_SHELF")
    return Path(folders[0])


def _bytes(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise refuse(f"{file} was not read", error.strerror or str(error), "Give a file that exists") from None


def _data(given: argparse.Namespace) -> int:
    one = instrument(given.instrument)
    if Path(given.file).suffix.lower() == ".json":
        return _fhir_data(one, _bytes(given.file), Path(given.file).name)
    missing = _missing(given.missing)
    read = redcap_data.imported(one, _bytes(given.file), Path(given.file).name, missing=missing)
    for finding in read.findings:
        print(f"{finding.kind}: {finding.where}: {finding.what}. {finding.mend}".strip(), file=sys.stderr)
    for row in read.rows:
        line: dict[str, Any] = {"instrument": one.id, "items": by_item(one, row.items), "record": row.record}
        extra = {"event": row.event, "instance": row.instance}
        print(json.dumps({**line, **{key: value for key, value in extra.items() if value}}, ensure_ascii=False))
    return 0 if not any(finding.kind == "refused" for finding in read.findings) else 1


def _fhir_data(one: Instrument, body: bytes, file: str) -> int:
    """A QuestionnaireResponse, or a Bundle of them, as lines; all or none."""
    text, _ = decoded(body, file)
    try:
        held = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refuse(f"{file} is not JSON", str(error), "Export it again as JSON", where=file) from None
    entries = held.get("entry") if isinstance(held, dict) and held.get("resourceType") == "Bundle" else [held]
    if not isinstance(entries, list) or not entries:
        raise refuse(f"{file} holds no responses", "its Bundle has no entries", "Export it again", where=file)
    found = [entry.get("resource") if entry is not held and isinstance(entry, dict) else entry for entry in entries]
    lines, reasons = [], []
    for number, resource in enumerate(found, 1):
        try:
            items = fhir_response.imported(one, resource)
        except Refused as refused:
            reasons += [replace(r, where=f"entry {number}, {r.where}".removesuffix(", ")) for r in refused.reasons]
            continue
        whose = resource.get("subject")
        subject = str(whose.get("reference", "")) if isinstance(whose, dict) else ""
        told = {"record": subject.removeprefix("Patient/"), "at": str(resource.get("authored") or "")}
        lines.append({"instrument": one.id, "items": items, **{key: value for key, value in told.items() if value}})
    if reasons:
        raise Refused(reasons)
    for line in lines:
        print(json.dumps(line, ensure_ascii=False))
    return 0


def _missing(given: Sequence[str]) -> dict[str, str]:
    out = {}
    for part in given:
        code, _, means = part.partition("=")
        if means not in ("prefer_not", "not_applicable", "blank"):
            raise refuse(
                f"--missing {part} was refused", "it says no meaning", "Give CODE=prefer_not, not_applicable or blank"
            )
        out[code] = means
    return out
