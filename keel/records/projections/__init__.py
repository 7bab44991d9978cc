"""Read models: one function per event kind, in one module per noun, run in the event's own transaction.

A projection reads nothing but its event and the rows of its own stream, so that any interleaving of streams
gives the same tables, and `keel rebuild` the same again.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.models import Model

from keel.domain.events import Event

Projection = Callable[[Event], None]
_by_kind: dict[str, list[Projection]] = defaultdict(list)
_loaded = False


def on(*kinds: str) -> Callable[[Projection], Projection]:
    """Run the decorated function for events of these kinds."""

    def register(function: Projection) -> Projection:
        for kind in kinds:
            _by_kind[kind].append(function)
        return function

    return register


def insert(model: type[Model], **values: Any) -> None:
    """Insert one row, as `model.objects.create` does, with its statement made once: for what is written often."""
    statement, fields = _insert_statement(model)
    given = [values.get(field.attname, _NOT_GIVEN) for field in fields]
    row = [
        field.get_db_prep_save(field.get_default() if value is _NOT_GIVEN else value, connection)
        for field, value in zip(fields, given, strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, row)


_NOT_GIVEN = object()


@lru_cache(maxsize=64)
def _insert_statement(model: type[Model]) -> tuple[str, tuple[Any, ...]]:
    fields = tuple(model._meta.concrete_fields)
    quote = connection.ops.quote_name
    columns, marks = ", ".join(quote(field.column) for field in fields), ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({marks})", fields


def project(event: Event) -> None:
    """Bring the read models up to this event."""
    load()
    for function in _by_kind.get(event.kind, ()):
        function(event)


def kinds() -> frozenset[str]:
    load()
    return frozenset(_by_kind)


def load() -> None:
    """Import every module of this package: they register themselves."""
    global _loaded
    if not _loaded:
        for module in pkgutil.iter_modules(__path__):
            importlib.import_module(f"{__name__}.{module.name}")
        _loaded = True
