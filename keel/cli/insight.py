"""`keel report` and `keel export dataset`: from the journal to a folder, without the web server.

Whoever can open the database on this machine may see rows; the command acts as the data manager of every site.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from keel.domain.errors import refuse
from keel.domain.events import Actor

HERE = Actor(id="command-line", role="data_manager", site="*")


def run(command: str, argv: Sequence[str]) -> int:
    from django.db import DatabaseError

    try:
        return {"report": report, "export": dataset}[command](list(argv))
    except DatabaseError as error:
        raise refuse(
            "The record was not read",
            str(error),
            "Say with KEEL_HOME where it lies, or make it with `keel migrate`",
            where=f"keel {command}",
        ) from None


def report(argv: list[str]) -> int:
    """`keel report REPORT --study ID --out DIR [--at PLACE]`: data, numbers, figures, PDF and script in a folder."""
    parser = argparse.ArgumentParser("keel report", description=report.__doc__)
    parser.add_argument("report", help="the report's id on the shelf")
    parser.add_argument("--study", required=True)
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument(
        "--at", default="", metavar="PLACE", help="read the journal up to this place (as a report names it)"
    )
    given = parser.parse_args(argv)
    _django()
    from keel.queries import insight
    from keel.web.insight.folder import numbers_json, report_folder

    page = insight.report(study=given.study, report=given.report, by=HERE, place=given.at)
    write(report_folder(page), Path(given.out))
    for line in page.answer.refused:
        print(f"Not computed: {line}", file=sys.stderr)
    print(numbers_json(page), end="")
    return 0


def dataset(argv: list[str]) -> int:
    """`keel export dataset --study ID --out DIR [--at PLACE] [--blinded]`: one row per participant, visit and measure."""
    parser = argparse.ArgumentParser("keel export dataset", description=dataset.__doc__)
    parser.add_argument("what", choices=["dataset"])
    parser.add_argument("--study", required=True)
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--at", default="", metavar="PLACE", help="read the journal up to this place")
    parser.add_argument("--blinded", action="store_true", help="withhold the arm, and the visits that tell arms apart")
    given = parser.parse_args(argv)
    _django()
    from keel.queries import insight
    from keel.web.insight.folder import data_files

    found = insight.analysis_dataset(study=given.study, by=HERE, place=given.at, blinded=given.blinded)
    write({name.removeprefix("data/"): content for name, content in data_files(found).items()}, Path(given.out))
    said = {"rows": found.rows.height, "courses": found.people.height, "made_from": found.provenance.as_json()}
    print(json.dumps(said, indent=2))
    return 0


def _django() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "keel.config.settings")
    django.setup()


def write(files: Mapping[str, bytes], out: Path) -> None:
    """Write the files under `out`; files that are there already are written anew."""
    try:
        for name, content in files.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise refuse(
            f"{out} was not written", str(error.strerror or error).lower(), "Give a folder that can be written"
        ) from None
