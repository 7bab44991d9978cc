"""Making every read model anew from the journal, and comparing: they must be identical."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection, transaction

from keel.records import journal
from keel.records.models import ReadModel
from keel.records.projections import project


@dataclass(frozen=True)
class Rebuilt:
    """`different` names the tables whose rows were not the same, with the first key that differs."""

    tables: int
    rows: int
    events: int
    different: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        return {
            "tables": self.tables,
            "rows": self.rows,
            "events": self.events,
            "identical": not self.different,
            "different": self.different,
        }


def read_models() -> list[type[ReadModel]]:
    return [model for model in apps.get_app_config("records").get_models() if issubclass(model, ReadModel)]


def rows(model: type[ReadModel]) -> Iterator[dict[str, Any]]:
    """All rows of a table by key."""
    yield from model.objects.order_by("pk").values().iterator(chunk_size=2_000)


def rebuild(*, keep: bool) -> Rebuilt:
    """Replay the whole journal into empty tables; keep the result, or undo it and only compare."""
    models = read_models()
    with journal.one_writer(), transaction.atomic():
        before = {model: {row[model._meta.pk.attname]: row for row in rows(model)} for model in models}
        with connection.cursor() as cursor:
            for model in models:
                cursor.execute(f'DELETE FROM "{model._meta.db_table}"')
        replayed = 0
        for event in journal.all_events():
            project(event)
            replayed += 1
        different, total = {}, 0
        for model in models:
            old = before[model]
            for row in rows(model):
                total += 1
                pk = row[model._meta.pk.attname]
                if old.pop(pk, None) != row:
                    different.setdefault(model._meta.db_table, str(pk))
            if old:
                different.setdefault(model._meta.db_table, str(next(iter(old))))
        if not keep:
            transaction.set_rollback(True)
    return Rebuilt(len(models), total, replayed, different)
