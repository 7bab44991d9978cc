"""A backup is the journal, the vault and the accounts in one compressed file; the keys stay where they are.

Read models are not in it: they are made anew, which also proves that they can be.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from allauth.mfa.models import Authenticator
from django.core import serializers
from django.core.management.color import no_style
from django.db import connection, transaction

from keel.domain.errors import refuse
from keel.records import journal
from keel.records.models import Account, EventRow, HeadRow, IdentityRow, KeyRow, LinkRow, SealRow
from keel.records.rebuild import rebuild

KEPT = (EventRow, HeadRow, SealRow, IdentityRow, KeyRow, LinkRow, Account, Authenticator)


def write(path: Path) -> dict[str, Any]:
    """Write a backup; gives how many rows of each table it holds. The file appears only when it is whole."""
    counted: dict[str, int] = {}
    partial = path.with_name(path.name + ".partial")
    with journal.one_view(), gzip.open(partial, "wt", encoding="utf-8") as out:
        out.write(json.dumps({"keel": "backup", "version": 1}) + "\n")
        for model in KEPT:
            name = model._meta.label_lower
            counted[name] = 0
            for row in model._default_manager.order_by("pk").iterator(chunk_size=2_000):
                out.write(serializers.serialize("jsonl", [row]))
                counted[name] += 1
        out.write(json.dumps({"end": counted}) + "\n")
    partial.replace(path)
    return {"file": path.name, "rows": counted}


def read(path: Path) -> dict[str, Any]:
    """Restore into an empty database, rebuild the read models, verify. Leaves nothing when anything is wrong."""
    if EventRow.objects.exists() or Account.objects.exists():
        raise refuse("Nothing was restored", "this database holds a record already", "Restore into an empty one")
    with transaction.atomic():
        lines = _lines(path)
        while some := "".join(islice(lines, 1_000)):
            for row in serializers.deserialize("jsonl", some):
                row.save()
        _go_on_counting()
        journal.go_on_after_restored()
        found = journal.verify()
        if found.first_broken:
            raise refuse(
                "Nothing was restored",
                f"the journal in {path.name} is broken: {found.first_broken.why}",
                "Use another backup",
            )
        rebuilt = rebuild(keep=True)
    return {"ok": True, "events": found.events, "streams": found.streams, "rows": rebuilt.rows}


def _go_on_counting() -> None:
    """Rows came with their numbers; the database's own counters have to stand behind them."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [EventRow, Authenticator]):
            cursor.execute(statement)


def _lines(path: Path) -> Iterator[str]:
    """The rows of a backup that is whole; it is read twice, so that it never lies in memory."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            header, end, number = next(lines, ""), "", -1
            for line in lines:
                end, number = line, number + 1
        whole = json.loads(header).get("keel") == "backup" and sum(json.loads(end)["end"].values()) == number
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise refuse(
            "Nothing was restored", f"{path.name} is not a whole backup ({error})", "Use another backup"
        ) from None
    if not whole:
        raise refuse("Nothing was restored", f"{path.name} is not a whole backup", "Use another backup")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from islice(lines, 1, number + 1)
