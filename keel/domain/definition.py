"""How a definition file becomes a value: sources taken out, shape checked, every error told with its mend.

Protocols and jurisdictions are TOML in which every number says where it comes from. The convention:

- Any table may carry `source`. A string covers everything in that table and below it, down to the next `source`:
  `source = "S 163"`, or several: `source = "S 163, S 192"`.
- Where one table mixes sources, `source` is a table by key, with `all` for the rest:
  `source = { due_weeks = "S 192", hours = "house", all = "S 2" }`.
- A mark is `S n` or `I n` (read at source n of the list on protocols or on instruments, which `[sources]` must
  repeat), `M` (from memory: not verified), or `house`
  (our own rule, which needs a named sign-off). One unverified mark makes the fact unverified.

A number, a yes/no, or a word that acts as one (which instrument, which substance, which unit, which role)
without any source is refused: nothing in a definition stands on nobody's word. `[[examples]]` need none: they are
worked from the rest and run as tests.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from keel.domain.errors import Reason, Refused

Basis = Literal["read", "memory", "house"]

# Words that decide what is done to a person, and so need a source as much as a number does.
DECIDING_WORDS = frozenset({"instrument", "substance", "unit", "route", "role", "method", "does", "clock_starts"})
WITHOUT_SOURCE = frozenset({"version"})
MARK = re.compile(r"[SI] \d+[a-z]?|M|house")


class Definition(BaseModel):
    """A part of a definition file: immutable, strict, and closed (an unknown key is an error)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Fact:
    """One sourced value of a definition.

    `path` is its place (`visits[session-1].due_weeks`), `sources` its marks in order, `basis` the weakest of them:
    `read` at a source, from `memory`, or a `house` rule of our own.
    """

    path: str
    value: Any
    sources: tuple[str, ...]
    basis: Basis

    @property
    def verified(self) -> bool:
        return self.basis == "read"

    @property
    def needs_sign_off(self) -> bool:
        return self.basis == "house"

    def as_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "value": self.value,
            "sources": list(self.sources),
            "basis": self.basis,
            "verified": self.verified,
        }


M = TypeVar("M", bound=Definition)


def read_definition(model: type[M], table: Mapping[str, Any], place: str) -> tuple[M, tuple[Fact, ...]]:
    """Check a parsed TOML table against `model` and collect its facts.

    Raises Refused with every error at once, each naming `place`, the key path and what would mend it.
    """
    known = frozenset(table.get("sources", {})) if isinstance(table.get("sources"), Mapping) else frozenset()
    bare: dict[str, Any] = {}
    facts: list[Fact] = []
    reasons: list[Reason] = []
    for found in _taken(table, "", None, bare):
        if isinstance(found, Fact):
            facts.append(found)
            reasons += _unlisted(found, known, place)
        else:
            reasons.append(_placed(found, place))
    try:
        value = model.model_validate_json(json.dumps(bare, default=str))
    except ValidationError as error:
        shape = [_shape_reason(e, place) for e in error.errors(include_url=False, include_context=True)]
        raise Refused([*shape, *reasons]) from None
    if reasons:
        raise Refused(reasons)
    return value, tuple(facts)


def _placed(reason: Reason, place: str) -> Reason:
    return Reason(reason.what, reason.why, reason.mend, f"{place}, {reason.where}", reason.code)


# ---- sources -------------------------------------------------------------------------------------


def _taken(table: Mapping[str, Any], path: str, inherited: str | None, bare: dict[str, Any]) -> Iterator[Fact | Reason]:
    """Walk one table: fill `bare` with it less its sources, and yield a fact or a reason per value."""
    own = table.get("source")
    by_key: Mapping[str, Any] = own if isinstance(own, Mapping) else {}
    default = own if isinstance(own, str) else by_key.get("all", inherited)
    if own is not None and not isinstance(own, str | Mapping):
        yield Reason(
            "A source is not readable",
            f"{own!r} is neither text nor a table by key",
            'Write source = "S n", or source = { key = "S n", all = "M" }',
            f"{path}.source" if path else "source",
            "bad-source",
        )
    for key in by_key:
        if key != "all" and key not in table:
            yield Reason(
                "A source names a key that is not there",
                f"the table has no `{key}`",
                "Correct the key or remove it from `source`",
                f"{path}.source" if path else "source",
                "stray-source",
            )
    for key, value in table.items():
        if key == "source":
            continue
        if key in ("sources", "examples") and not path:
            bare[key] = value
            continue
        yield from _taken_value(key, value, f"{path}.{key}" if path else key, by_key.get(key, default), bare)


def _taken_value(key: str, value: Any, path: str, mark: Any, bare: dict[str, Any]) -> Iterator[Fact | Reason]:
    if isinstance(value, Mapping):
        bare[key] = {}
        yield from _taken(value, path, mark, bare[key])
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        bare[key] = [{} for _ in value]
        for at, item in enumerate(value):
            yield from _taken(item, f"{path}[{item.get('id', at)}]", mark, bare[key][at])
    else:
        bare[key] = value
        if key not in WITHOUT_SOURCE and _decides(key, value):
            yield _fact(path, value, mark)


def _decides(key: str, value: Any) -> bool:
    if isinstance(value, bool | int | float):
        return True
    if isinstance(value, list):
        return bool(value) and all(_decides("", item) for item in value)
    return key in DECIDING_WORDS


def _fact(path: str, value: Any, mark: Any) -> Fact | Reason:
    if mark is None:
        return Reason(
            "A value has no source",
            f"{value!r} stands on nobody's word",
            "Give the table `source`: `S n` (listed in [sources]), `M` from memory, or `house`",
            path,
            "no-source",
        )
    marks = tuple(part.strip() for part in str(mark).split(","))
    if not isinstance(mark, str) or not all(MARK.fullmatch(part) for part in marks):
        return Reason(
            "A source is not readable",
            f"{mark!r} is no mark",
            "Write `S n`, `M` or `house`; several with a comma between",
            path,
            "bad-source",
        )
    basis: Basis = "house" if "house" in marks else "memory" if "M" in marks else "read"
    return Fact(path, value, marks, basis)


def _unlisted(fact: Fact, known: frozenset[str], place: str) -> list[Reason]:
    return [
        Reason(
            f"Source {mark} is not listed",
            "a reader could not look it up",
            f'Add `"{mark}" = …` under [sources]',
            f"{place}, {fact.path}",
            "unlisted-source",
        )
        for mark in fact.sources
        if mark[:2] in ("S ", "I ") and mark not in known
    ]


# ---- shape ---------------------------------------------------------------------------------------


def key_path(loc: tuple[int | str, ...]) -> str:
    """('visits', 3, 'due_days') as `visits[3].due_days`."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shape_reason(error: Any, place: str) -> Reason:
    loc = error["loc"]
    what, why, mend = _shape_words(error, str(loc[-1]) if loc else "the file")
    return Reason(what, why, mend, f"{place}, {key_path(loc)}" if loc else place, error["type"])


def _shape_words(error: Any, key: str) -> tuple[str, str, str]:
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "missing":
        return f"`{key}` is missing", "a definition without it cannot be used", f"Add `{key}`"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key, sorted(_known_keys()), n=1)
        return (
            f"`{key}` is not a key here",
            "nothing reads it",
            (f"Did you mean `{near[0]}`? Otherwise remove it" if near else "Remove it or correct its name"),
        )
    if kind == "literal_error":
        return (
            f"{error['input']!r} is not one of the known words",
            f"`{key}` is a choice",
            (f"Use {context.get('expected', 'a known word')}"),
        )
    return f"{_short(error['input'])} does not fit `{key}`", error["msg"], _shape_mend(kind, context)


def _shape_mend(kind: str, context: Mapping[str, Any]) -> str:
    expected = {
        "int_type": "Write a whole number without quotes",
        "float_type": "Write a number without quotes",
        "bool_type": "Write true or false without quotes",
        "string_type": "Write text in quotes",
        "tuple_type": "Write a list in square brackets",
        "dict_type": "Write a table",
        "model_type": "Write a table",
        "model_attributes_type": "Write a table",
        "too_short": "Add what is missing to the list",
        "finite_number": "Write a number that can be counted to",
        "too_long": "Take out what is too much in the list",
    }
    limits = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
    for name, words in limits.items():
        if name in context:
            return f"Write a number {words} {context[name]}"
    return expected.get(kind, "Write a value of the kind that the key asks for")


def _short(value: Any) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def _known_keys() -> set[str]:
    waiting, keys = [*Definition.__subclasses__()], set()
    while waiting:
        model = waiting.pop()
        keys |= set(model.model_fields)
        waiting += model.__subclasses__()
    return keys
