"""Instruments from the shelf, ready to score."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from pydantic import ValidationError

from keel.domain.errors import refuse
from keel.domain.instrument import Instrument, ValueSet
from keel.library import shelf

KIND = "instruments"
VALUE_SETS = "value_sets"


def instrument(id: str) -> Instrument:
    """The instrument of this id. Refuses an unknown id by naming what there is, and a faulty file by its faults."""
    entry = shelf.read(KIND, id)
    return _built(entry.id, entry.sha256, _value_sets(entry.id))


def instruments() -> Mapping[str, Instrument]:
    """Every instrument on the shelf by id, in order of id."""
    return MappingProxyType({id: instrument(id) for id in shelf.ids(KIND)})


def sources() -> Mapping[str, str]:
    """The list of sources that the files name: {"S1": what and where}."""
    rows: Mapping[str, str] = shelf.read("sources", KIND).table["rows"]
    return rows


@lru_cache(maxsize=512)
def _built(id: str, sha256: str, value_sets: tuple[tuple[str, str], ...]) -> Instrument:
    """Built once per content: a changed file or a new value set is a new instrument."""
    entry = shelf.read(KIND, id)
    made = Instrument.from_table(entry.table, entry.place, id=id)
    if not value_sets:
        return made
    sets = {made_set.name.casefold(): made_set for made_set in (_value_set(name) for name, _ in value_sets)}
    return made.model_copy(update={"value_sets": sets})


def _value_sets(id: str) -> tuple[tuple[str, str], ...]:
    """The value sets that belong to this instrument, with their fingerprints."""
    entries = (shelf.read(VALUE_SETS, name) for name in shelf.ids(VALUE_SETS))
    return tuple((entry.id, entry.sha256) for entry in entries if entry.table.get("instrument") == id)


def _value_set(name: str) -> ValueSet:
    entry = shelf.read(VALUE_SETS, name)
    try:
        return ValueSet.model_validate({**entry.table, "id": name})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise refuse(
            f"`{'.'.join(map(str, fault['loc']))}` was refused", fault["msg"], "Mend that value", where=entry.place
        ) from None
