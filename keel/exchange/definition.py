"""An instrument as its TOML text again: the way back from `Instrument.from_table`."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from keel.domain.errors import refuse
from keel.domain.instrument import Instrument, Item, Part

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEAD = "# keel instrument "
# The parts that are written as tables of their own, in the order of a file that people read.
_LISTS = ("items", "scores", "bands", "safety", "warnings", "change", "examples")


def table_of(instrument: Instrument) -> dict[str, Any]:
    """The definition as a table that `Instrument.from_table` reads to an equal instrument. Value sets stay behind:
    they are files of their own."""
    plain = _plain(instrument)
    for key in ("id", "items", "steps", "contexts", "recodes", "value_sets"):
        plain.pop(key, None)
    plain["answers"] = _ways(instrument.items)
    plain["items"] = [_group(list(items)) for _, items in groupby(instrument.items, key=_alike)]
    plain["scores"] = [_plain(step) for step in instrument.steps]
    if instrument.contexts:
        plain["context"] = {name: _plain(wanted) for name, wanted in instrument.contexts.items()}
    if instrument.recodes:
        plain["recode"] = {name: dict(table) for name, table in instrument.recodes.items()}
    plain["examples"] = [_gaps(example) for example in plain.get("examples", [])]
    return {key: value for key, value in plain.items() if value not in ([], {}) or key == "sources"}


def text_of(instrument: Instrument) -> str:
    """The definition as TOML text."""
    return written(table_of(instrument))


def packed(instrument: Instrument) -> str:
    """The definition with its id, as it travels inside a form."""
    return f"{_HEAD}{instrument.id}\n{text_of(instrument)}"


def unpacked(text: str, where: str) -> Instrument:
    """The instrument that travelled inside a form. Refuses what is not one, by its fault."""
    head, _, body = text.replace("\r\n", "\n").partition("\n")
    if not head.startswith(_HEAD):
        raise refuse(
            "The definition inside the form was not read",
            "its first line is gone",
            "Export the form again",
            where=where,
        )
    try:
        table = tomllib.loads(body)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise refuse(
            "The definition inside the form was not read", str(error), "Export it again", where=where
        ) from None
    return Instrument.from_table(table, where, id=head.removeprefix(_HEAD).strip())


def _plain(part: Part) -> dict[str, Any]:
    out: dict[str, Any] = part.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    return out


def _ways(items: Iterable[Item]) -> dict[str, dict[str, Any]]:
    return {item.way: _plain(item.answers) for item in items}


def _alike(item: Item) -> str:
    """Neighbours that differ in nothing but id, label and code are written down together."""
    return repr((item.way, item.optional, item.asked_if, item.skipped, item.overrides, item.not_applicable_if)) + str(
        item.loinc is not None
    )


def _group(items: list[Item]) -> dict[str, Any]:
    first = items[0]
    plain = _plain(first)
    out: dict[str, Any] = {
        "ids": [item.id for item in items],
        "labels": [item.label for item in items],
        "answers": first.way,
    }
    if first.loinc is not None:
        out["loinc"] = [item.loinc or "" for item in items]
    kept = ("optional", "asked_if", "skipped", "overrides", "not_applicable_if")
    return {**out, **{key: plain[key] for key in kept if key in plain}}


def _gaps(value: Any) -> Any:
    """TOML has no null: in an example "" is a blank."""
    if isinstance(value, dict):
        return {key: _gaps(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_gaps(part) for part in value]
    return "" if value is None else value


# ---- TOML ---------------------------------------------------------------------------------------------------


def written(table: Mapping[str, Any]) -> str:
    """A table as TOML: plain values first, then tables, then lists of tables."""
    plain = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if not _is_section(key, value)]
    lines = list(plain)
    for key, value in table.items():
        if _is_section(key, value) and isinstance(value, Mapping):
            lines += _table(_key(key), value)
    for key in _LISTS:
        for part in table.get(key, []):
            lines += ["", f"[[{key}]]", *(f"{_key(name)} = {_value(inner)}" for name, inner in part.items())]
    return "\n".join(lines) + "\n"


def _is_section(key: str, value: Any) -> bool:
    return isinstance(value, Mapping) or (key in _LISTS and isinstance(value, list))


def _table(path: str, table: Mapping[str, Any]) -> list[str]:
    own = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = ["", f"[{path}]", *(f"{_key(key)} = {_value(value)}" for key, value in own.items())] if own else []
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _table(f"{path}.{_key(key)}", value)
    return lines


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(part)}" for key, part in value.items()) + " }"
    return "[" + ", ".join(_value(part) for part in value) + "]"
