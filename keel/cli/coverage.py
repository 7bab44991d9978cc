"""`keel coverage stamps|respct`: what experts ask to be recorded, and the place in Keel that holds it.

The table on the shelf (`tables/coverage.toml`) names a place for each item; here every place is looked up in the
real schema, and one that is not there is an error. A place is `kind:name`, for example

    event:dose_given.lot        an event that an action writes and the record reads, and a key of its payload
    model:VitalsRow.at          a column of a read model that a projection fills
    protocol:vitals.minutes     a field of a protocol's definition
    fact:weight_kg              a fact of the catalogue
    instrument:wai-sr           a file of the shelf; so document, report, rule, substance, jurisdiction, table
    room:lighting               a line of the room's description; so moment, topic, missed, ended, failed
    term:Seizure                a term of the list of adverse events; window: one of its phases; serious: a criterion
    medicine_class:ssri         a class of medicines
    command:mmrm                a command; outcome:imputation, a module of keel.outcomes
"""

from __future__ import annotations

import argparse
import ast
import csv
import importlib
import inspect
import json
import os
import pkgutil
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from keel.domain import course
from keel.domain.errors import Reason, refuse
from keel.domain.protocol import Protocol
from keel.library import coverage_files, shelf
from keel.library.coverage_files import Coverage, Item
from keel.library.rule_files import catalogue

# How the published list of StaMPS names what is core; ReSPCT has one level only.
VERDICTS = {"core": "core", "core (group interventions)": "groups", "core (economic purposes)": "economics"}


def run(command: str, argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(f"keel {command}", description="What is to be recorded, and where Keel holds it.")
    parser.add_argument("list", choices=coverage_files.lists())
    parser.add_argument("--against", metavar="FILE.csv", help="compare the ids with the published list, too")
    given = parser.parse_args(argv)
    found = coverage_files.coverage(given.list)
    reasons = [*broken(found), *(strays(found, Path(given.against)) if given.against else ())]
    json.dump(report(found, reasons), sys.stdout, ensure_ascii=False, indent=2)
    print()
    for reason in reasons:
        print(reason, file=sys.stderr)
    return 1 if reasons else 0


def report(found: Coverage, reasons: Sequence[Reason]) -> dict[str, Any]:
    """Items with status and places, and counts over all and by level."""
    levels = sorted({item.level for item in found.items})
    return {
        "list": found.list,
        "source": found.source,
        "counts": _counts(found.items),
        "levels": {level: _counts([i for i in found.items if i.level == level]) for level in levels},
        "points_at_nothing": sorted({reason.where for reason in reasons}),
        "items": [
            {
                "id": item.id,
                "label": item.label,
                "level": item.level,
                "status": item.status,
                "where": list(item.where),
                **({"note": item.note} if item.note else {}),
            }
            for item in found.items
        ],
    }


def _counts(items: Collection[Item]) -> dict[str, int]:
    counted = Counter(item.status for item in items)
    return {**{status: counted[status] for status in coverage_files.STATUSES}, "items": len(items)}


def strays(found: Coverage, path: Path) -> Iterator[Reason]:
    """What the published list calls core and the table does not hold, or the other way round."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            published = _published(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, KeyError) as error:
        raise refuse(
            "The list was not read", str(error), "Give the published list as CSV, with its columns", where=str(path)
        ) from None
    ours = {item.id: item.level for item in found.items}
    for id in sorted(published.keys() | ours.keys()):
        if published.get(id) != ours.get(id):
            yield Reason(
                f"Item {id} differs from the published list",
                f"there it is {published.get(id, 'not core')}, here {ours.get(id, 'missing')}",
                "Correct the row",
                f"tables/coverage.toml, lists.{found.list}",
            )


def _published(rows: csv.DictReader[str]) -> dict[str, str]:
    if "verdict" in (rows.fieldnames or ()):
        return {row["id"]: VERDICTS[row["verdict"]] for row in rows if row["verdict"] in VERDICTS}
    return {row["item"]: "core" for row in rows}


def broken(found: Coverage) -> Iterator[Reason]:
    """Every place of a list that is not there."""
    _django()
    for item in found.items:
        for place in item.where:
            why = wrong(place)
            if why:
                yield Reason(
                    f"Item {item.id} points at nothing",
                    f"{place}: {why}",
                    "Point it at a place that is there, or say not yet",
                    f"tables/coverage.toml, lists.{found.list}.items.{item.id}",
                )


def wrong(place: str) -> str:
    """Why a place is not there; empty where it is."""
    kind, _, name = place.partition(":")
    if kind in KINDS:
        return KINDS[kind](name)
    if kind in CHOICES:
        return "" if name in CHOICES[kind]() else f"no {kind} of that name"
    return f"there is no kind of place {kind!r}"


def _django() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "keel.config.settings")
    django.setup()


# ---- names that a module or the shelf lists ---------------------------------------------------------------


def _names(module: str, name: str) -> Callable[[], Collection[str]]:
    return lambda: getattr(importlib.import_module(module), name)


def _files(kind: str) -> Callable[[], Collection[str]]:
    return lambda: shelf.ids(kind)


def _events_table() -> Any:
    return shelf.read("tables", "adverse_events").table


def _outcomes() -> Collection[str]:
    package = importlib.import_module("keel.outcomes")
    return [module.name for module in pkgutil.iter_modules(package.__path__)]


CHOICES: dict[str, Callable[[], Collection[str]]] = {
    "fact": catalogue,
    "instrument": _files("instruments"),
    "document": _files("documents"),
    "report": _files("reports"),
    "rule": _files("safety"),
    "substance": _files("substances"),
    "jurisdiction": _files("jurisdictions"),
    "room": _names("keel.domain.session", "ROOM_ITEMS"),
    "moment": _names("keel.domain.session", "MOMENTS"),
    "topic": _names("keel.actions.preparation", "TOPICS"),
    "missed": _names("keel.domain.visit", "MISSED_BECAUSE"),
    "ended": _names("keel.domain.visit", "ENDED_BECAUSE"),
    "failed": _names("keel.domain.screening", "FAILED_BECAUSE"),
    "serious": _names("keel.domain.adverse_event", "SERIOUSNESS"),
    "table": _files("tables"),
    "term": lambda: _events_table()["terms"],
    "window": lambda: [window["id"] for window in _events_table()["windows"]],
    "medicine_class": lambda: shelf.read("tables", "medication_classes").table["classes"],
    "command": _names("keel.cli", "COMMANDS"),
    "outcome": _outcomes,
}


# ---- events, columns and fields ---------------------------------------------------------------------------


def _event(name: str) -> str:
    """A kind that an action writes and the record reads; the key stands in a function that names the kind."""
    from keel.records import projections

    kind, _, key = name.partition(".")
    writers = [said for said in _functions("keel.actions") if kind in said]
    if kind not in projections.kinds() and kind not in _said(ast.parse(inspect.getsource(course))):
        return "neither a projection nor the fold of a course reads an event of that kind"
    if not writers:
        return "no action writes an event of that kind"
    return "" if not key or any(key in said for said in writers) else f"no action writes the key {key!r}"


def _column(name: str) -> str:
    """A column of a table; of a read model, one that a projection fills."""
    from keel.records import models

    model, _, field = name.partition(".")
    found = getattr(models, model, None) if model in models.__all__ else None
    if found is None:
        return "there is no such table"
    if field not in {one.name for one in found._meta.fields}:
        return f"the table has no column {field!r}"
    is_view = issubclass(found, models.ReadModel)
    filled = any({model, field} <= said for said in _modules("keel.records.projections"))
    return "" if filled or not is_view else "no projection fills that column"


def _field(path: str) -> str:
    """A field of a protocol, through the definitions inside it."""
    models: set[type[BaseModel]] = {Protocol}
    for part in path.split("."):
        fields = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        if not fields:
            return f"a protocol has no {part!r} there"
        models = {inner for field in fields for inner in _definitions(field)}
    return ""


def _definitions(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _definitions(inner)


KINDS: dict[str, Callable[[str], str]] = {"event": _event, "model": _column, "protocol": _field}


@cache
def _functions(package: str) -> tuple[frozenset[str], ...]:
    """What each function of a package says: its string constants and the names of its keyword arguments."""
    trees = [node for tree in _trees(package) for node in tree.body if isinstance(node, ast.FunctionDef)]
    return tuple(_said(node) for node in trees)


@cache
def _modules(package: str) -> tuple[frozenset[str], ...]:
    return tuple(_said(tree) for tree in _trees(package))


def _trees(package: str) -> Iterator[ast.Module]:
    home = importlib.import_module(package)
    for folder in home.__path__:
        for path in sorted(Path(folder).glob("*.py")):
            yield ast.parse(path.read_text("utf-8"))


def _said(tree: ast.AST) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
        elif isinstance(node, ast.keyword) and node.arg:
            found.add(node.arg)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return frozenset(found)
