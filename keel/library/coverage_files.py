"""Which part of Keel holds what experts ask to be recorded: the rows of `tables/coverage.toml`, read and checked.

A list (`stamps`, `respct`) has items by id, each with a label of ours, a status, and the places that hold it.
Whether a place is really there says `keel.cli.coverage`: the shelf knows nothing of the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keel.domain.errors import Reason, Refused, refuse
from keel.library import shelf

STATUSES = ("recorded", "partly", "not yet")


@dataclass(frozen=True)
class Item:
    """One item: `level` is core, groups or economics; `where` names places such as `event:dose_given.lot`."""

    id: str
    label: str
    level: str
    status: str
    where: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Coverage:
    """One list whole: where it comes from, and its items in the order of the table."""

    list: str
    source: str
    items: tuple[Item, ...]


def lists() -> tuple[str, ...]:
    return tuple(_table())


def coverage(name: str) -> Coverage:
    """The rows of one list. Refuses an unknown list, and malformed or missing rows with every reason at once."""
    known = _table()
    if name not in known:
        raise refuse(f"There is no list {name!r}", "the table holds no such list", f"Known: {', '.join(known)}")
    try:
        source, expects = str(known[name]["source"]), dict(known[name]["expects"])
        items = tuple(_item(id, row) for id, row in known[name]["items"].items())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        place = f"tables/coverage.toml, lists.{name}"
        raise refuse(f"The list {name} was not read", f"{error} is not there", "Give it", where=place) from None
    reasons = [reason for item in items for reason in _wrong(name, item)]
    reasons += _miscounted(name, items, expects)
    if reasons:
        raise Refused(reasons)
    return Coverage(name, source, items)


def _table() -> Mapping[str, Any]:
    lists = shelf.read("tables", "coverage").table.get("lists")
    if not isinstance(lists, Mapping):
        raise refuse("The table was not read", "it has no lists", "Add `[lists.NAME]`", where="tables/coverage.toml")
    return lists


def _item(id: str, row: Mapping[str, Any]) -> Item:
    return Item(
        id,
        str(row.get("label", "")),
        str(row.get("level", "core")),
        str(row.get("status", "")),
        tuple(row.get("where", ())),
        str(row.get("note", "")),
    )


def _wrong(name: str, item: Item) -> Iterator[Reason]:
    what, place = f"Item {item.id} is not sound", f"tables/coverage.toml, lists.{name}.items.{item.id}"
    if not item.label:
        yield Reason(what, "it has no label", "Give it a short one of our own", place)
    if item.status not in STATUSES:
        yield Reason(what, f"there is no status {item.status!r}", f"Choose one of: {', '.join(STATUSES)}", place)
    elif (item.status == "not yet") == bool(item.where):
        yield Reason(
            what, f"it is {item.status!r} and names {len(item.where)} places", "Name places, or say not yet", place
        )
    elif item.status == "partly" and not item.note:
        yield Reason(what, "it is held in part and does not say what is missing", "Say it in `note`", place)


def _miscounted(name: str, items: tuple[Item, ...], expects: Mapping[str, int]) -> Iterator[Reason]:
    """A row that was taken away is noticed without the published list at hand."""
    for level in sorted({*expects, *(item.level for item in items)}):
        found, wanted = sum(item.level == level for item in items), expects.get(level, 0)
        if found != wanted:
            yield Reason(
                f"The list {name} is not whole",
                f"it has {found} items of level {level!r} where the published list has {wanted}",
                "Add what is missing, or take away what does not belong there",
                f"tables/coverage.toml, lists.{name}",
            )
