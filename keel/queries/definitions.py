"""The definitions a course began with, as the journal keeps them."""

from __future__ import annotations

from functools import lru_cache

from keel.domain.protocol import Protocol
from keel.records.models import DefinitionRow


def protocol(id: str, version: int) -> Protocol:
    """The protocol of that version as it was adopted, not as the shelf has it today."""
    return _protocol(f"protocols/{id}/{version}")


@lru_cache(maxsize=64)
def _protocol(name: str) -> Protocol:
    row = DefinitionRow.objects.get(id=name)
    return Protocol.from_table(row.table, f"{name} in the journal")
