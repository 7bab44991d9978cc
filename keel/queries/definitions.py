"""The definitions a course began with, as the journal keeps them."""

from __future__ import annotations

import os
from functools import lru_cache

from django.db import connection

from keel.domain.consent import Document
from keel.domain.errors import Refused
from keel.domain.instrument import Instrument
from keel.domain.protocol import Protocol
from keel.library import instrument_files, shelf
from keel.library.document_files import document_entry
from keel.records.models import DefinitionRow


def protocol(id: str, version: int) -> Protocol:
    """The protocol of that version as it was adopted, not as the shelf has it today."""
    return _protocol(f"protocols/{id}/{version}")


@lru_cache(maxsize=64)
def _protocol(name: str) -> Protocol:
    row = DefinitionRow.objects.get(id=name)
    return Protocol.from_table(row.table, f"{name} in the journal")


def instrument(id: str, version: int | None = None) -> Instrument:
    """An instrument in the version that a response was begun with; without one, as the shelf has it.

    The shelf's own is preferred where its version is the same: it carries the site's value sets.
    """
    shelved = _shelved(id, os.environ.get("KEEL_SHELF", "")) if id in _on_shelf() else None
    if shelved and version in (None, shelved.version):
        return shelved
    if version is None:
        return instrument_files.instrument(id)  # refuses, naming what there is
    return _kept_instrument(id, version)


@lru_cache(maxsize=512)
def _shelved(id: str, shelves: str) -> Instrument:
    """Read once per process: a file that changes on the shelf comes into use at the next start."""
    return instrument_files.instrument(id)


def _on_shelf() -> frozenset[str]:
    return _ids(os.environ.get("KEEL_SHELF", ""))


@lru_cache(maxsize=8)
def _ids(shelves: str) -> frozenset[str]:
    return frozenset(shelf.ids(instrument_files.KIND))


@lru_cache(maxsize=256)
def _kept_instrument(id: str, version: int) -> Instrument:
    row = DefinitionRow.objects.get(id=f"instruments/{id}/{version}")
    return Instrument.from_table(row.table, f"{row.id} in the journal", id=id)


def adopted(kind: str, id: str, version: int) -> bool:
    """Whether the journal holds a copy of that version."""
    with connection.cursor() as cursor:  # asked with every entry: the mapper would take ten times as long
        cursor.execute("SELECT 1 FROM definition WHERE id = %s", [f"{kind}/{id}/{version}"])
        return cursor.fetchone() is not None


def document(id: str, version: int) -> Document:
    """The consent document of that version as it was adopted."""
    return _document(id, f"documents/{id}/{version}")


@lru_cache(maxsize=64)
def _document(id: str, name: str) -> Document:
    row = DefinitionRow.objects.get(id=name)
    return Document.from_table(id, row.table, f"{name} in the journal")


def sha256(kind: str, id: str, version: int) -> str:
    """The fingerprint of the file that a definition was adopted from."""
    return str(DefinitionRow.objects.get(id=f"{kind}/{id}/{version}").sha256)


def title(instrument_id: str) -> str:
    """The title of an instrument; its id where the shelf does not hold it."""
    try:
        return instrument(instrument_id).title
    except Refused:
        return instrument_id


def document_title(id: str) -> str:
    """The title of a consent; its id where the shelf does not hold it."""
    try:
        return document_entry(id)[0].title
    except Refused:
        return id
