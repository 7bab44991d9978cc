"""A report as a folder: the data, the numbers, the figures, the page as PDF, and a script that makes the numbers again."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from django.conf import settings
from django.template.loader import render_to_string

from keel.domain.errors import Refused
from keel.outcomes.report_answer import Table
from keel.queries.insight import Dataset, ReportPage
from keel.web.insight.figures import drawn
from keel.web.layout import paper as layout

SHEET = Path(__file__).with_name("paper.css")
NO_BREAK = "\N{NO-BREAK SPACE}"
SIMULATED = "Everything in this folder is simulated: no person behind it exists."
REPRODUCE = '''"""Compute the numbers of this report again from the data beside it, and compare them with numbers.json.

    python reproduce.py        in an environment where Keel is installed; no database and no server is needed
"""

import json
import tomllib
from pathlib import Path

import polars as pl

from keel.domain.report import Report
from keel.outcomes.report import Sight, Study, compute

HERE = Path(__file__).resolve().parent


def text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


report = Report.from_table(tomllib.loads(text("report.toml")), "report.toml")
study = Study.from_json(json.loads(text("study.json")))
rows = pl.read_parquet(HERE / "data/dataset.parquet")
people = pl.read_parquet(HERE / "data/people.parquet")
published = json.loads(text("numbers.json"))

answer = compute(report, study, rows, people, Sight(rows=True, least=published["smallest_cell"]))
for refusal in answer.refused:
    print("not computed:", refusal)
print(json.dumps(answer.numbers, indent=1))
same = json.loads(json.dumps(answer.numbers)) == published["numbers"]
print("The numbers are the same." if same else "THE NUMBERS DIFFER.")
raise SystemExit(0 if same else 1)
'''


def report_folder(page: ReportPage) -> dict[str, bytes]:
    """Every file of the folder by its name. The data and the script only for who may see rows."""
    files = {
        "README.txt": _readme(page),
        "numbers.json": numbers_json(page),
        "report.toml": page.toml,
        "study.json": _json(page.study.as_json()),
        **{f"tables/{_slug(t.title, i)}.csv": _csv(t) for i, t in enumerate(page.answer.tables, 1)},
        **{f"figures/{_slug(f.title, i)}.svg": str(drawn(f).wide) for i, f in enumerate(page.answer.figures, 1)},
    }
    found = {name: text.encode() for name, text in files.items()}
    if page.data:
        found |= data_files(page.data)
        found["reproduce.py"] = REPRODUCE.encode()
    try:
        found["report.pdf"] = as_pdf(page)
    except Refused as refused:
        # The numbers do not need paper: the folder is whole without it, and says what is lacking.
        found["WITHOUT-PDF.txt"] = f"{refused}\n".encode()
    return found


def data_files(data: Dataset) -> dict[str, bytes]:
    """The dataset and the people as Parquet and CSV, and what the columns mean."""
    people = io.BytesIO()
    data.people.write_parquet(people)
    found = {
        "data/dataset.parquet": data.parquet,
        "data/dataset.csv": _table_csv(data.rows),
        "data/people.parquet": people.getvalue(),
        "data/people.csv": _table_csv(data.people),
        "data/dictionary.json": data.dictionary.encode(),
    }
    return found | ({"data/SIMULATED.txt": (SIMULATED + "\n").encode()} if settings.SIMULATED else {})


def numbers_json(page: ReportPage) -> str:
    """The result with all that it was made from, as JSON."""
    return _json(
        {
            "report": page.report.id,
            "report_version": page.report.version,
            "report_sha256": page.sha256,
            "study": page.study.id,
            "simulated": settings.SIMULATED,
            "made_from": page.provenance.as_json(),
            "seed": page.report.seed,
            "smallest_cell": page.sight.least,
            "withheld": page.answer.withheld,
            "estimand": list(page.answer.estimand),
            "not_computed": list(page.answer.refused),
            "numbers": page.answer.numbers,
        }
    )


def as_zip(files: Mapping[str, bytes], top: str) -> bytes:
    """The files under one folder, with one date for all: the same files give the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{top}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, content)
    return out.getvalue()


def as_pdf(page: ReportPage) -> bytes:
    """The page on paper, in a form that a screen reader can follow (PDF/UA-1)."""
    figures = [(figure.title, drawn(figure).wide) for figure in page.answer.figures]
    tables = [replace(table, rows=tuple(_whole(row) for row in table.rows)) for table in page.answer.tables]
    context = {"seen": page, "figures": figures, "tables": tables, "simulated": settings.SIMULATED}
    text = render_to_string("insight/paper.html", context)
    return layout.as_pdf(text, SHEET.read_text(encoding="utf-8"), pdf_variant="pdf/ua-1")


def _whole(row: tuple[str, ...]) -> tuple[str, ...]:
    """A row whose numbers are not broken at the end of a line, but after a semicolon; long words may break anywhere."""
    return row[0], *(
        cell.replace(" ", NO_BREAK).replace(f";{NO_BREAK}", "; ") if len(cell) < 48 else cell for cell in row[1:]
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(table: Table) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([table.columns, *table.rows])
    return out.getvalue()


def _table_csv(table: pl.DataFrame) -> bytes:
    return table.write_csv().encode()


def _slug(title: str, number: int) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in title.lower()).split()
    return f"{number:02d}-{'-'.join(words)[:60]}"


def _readme(page: ReportPage) -> str:
    made = page.provenance
    lines = [
        f"{page.report.title}",
        f"{page.study.title}",
        "",
        page.report.question,
        "",
        *([SIMULATED, ""] if settings.SIMULATED else []),
        f"Report       {page.report.id}, version {page.report.version} (SHA-256 {page.sha256})",
        f"Journal      read up to {made.place}, whose event has the hash {made.head}",
        f"Cut on       {made.cut_on}",
        f"Seed         {page.report.seed}",
        "Definitions  " + "\n             ".join(f"{n} {sha[:12]}" for n, sha in made.definitions.items()),
        "",
        "numbers.json  the result; tables/ and figures/ the same to read",
    ]
    if page.data:
        lines += [
            "data/         the analysis dataset, one row per participant, visit and measure, and what its columns mean",
            "reproduce.py  computes the numbers again from data/ and compares them",
        ]
    else:
        lines.append(f"Rows of single people are left out, and every cell of fewer than {page.sight.least} people.")
    return "\n".join(lines) + "\n"
