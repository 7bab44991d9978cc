"""A backup restored elsewhere is the same record, and the record goes on from there: also on the other database."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps

from bench import site
from keel.records import backup, rebuild
from keel.records.models import OffsetRow

pytestmark = pytest.mark.database

LEG = os.environ.get("KEEL_TEST_DATABASE", "sqlite")
AHEAD = 1_000_000
WRITE = """
import json
from datetime import UTC, datetime
from keel.domain.events import Actor
from keel.records import journal
by, at = Actor("s", "coordinator", "north"), datetime.now(UTC)
def note(stream, n):
    with journal.writing(stream) as writing:
        writing.append("noted", {"n": n}, by=by, at=at)
"""
FIRST = """
from django.db import connection
for _ in range(40 if connection.vendor == "postgresql" else 0):   # transactions that the other server never had
    note("note:z", 0)
from keel.actions import team
from keel.domain.access import SYSTEM
team.open_site(site="north", name="North (simulated)", country="GB", timezone="UTC", by=SYSTEM, at=at)
team.admit(email="c@north.example", name="Simulated", password="simulated-clinic", by=SYSTEM, at=at)
for n in range(3): note("note:a", n)
journal.seal(at)
place = journal.stands()
note("note:b", 9)
told = [e.id for _, e in journal.tail(journal.Place())]
print(json.dumps({"place": str(place), "then": [e.id for e in journal.upto(place, ["noted"])], "told": told}))
"""
THEN = """
import sys
place = journal.Place.parse(sys.argv[1])
before = journal.tail(journal.Place())
end = journal.end()
note("note:a", 3); note("note:c", 0)
after = journal.tail(end)
print(json.dumps({
    "then": [e.id for e in journal.upto(place, ["noted"])],
    "told": [e.id for _, e in before],
    "later": [e.stream for _, e in after],
    "rising": all(one < two for (one, _), (two, _) in zip(before + after, (before + after)[1:])),
    "stands": journal.stands() == after[-1][0] == journal.end(),
    "ok": journal.verify().first_broken is None,
}))
"""


def keel(env: dict[str, str], *command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "keel", *command], cwd=site.ROOT, env=env, check=True, capture_output=True, text=True
    ).stdout


def as_if_of_an_old_server(kept: Path) -> None:
    """The same backup with transaction ids far ahead of those that the next server gives out."""
    with gzip.open(kept, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        if row.get("model") == "records.eventrow":
            row["fields"]["xid"] += AHEAD
    with gzip.open(kept, "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


def test_every_table_is_in_a_backup_or_made_anew() -> None:
    ours = set(apps.get_app_config("records").get_models())
    assert ours - {*backup.KEPT, *rebuild.read_models()} == {OffsetRow}, (
        "the offset is of the server, not of the record"
    )


@pytest.mark.parametrize("ways", sorted({(LEG, LEG), (LEG, "sqlite"), ("sqlite", LEG)}), ids="-to-".join)
def test_a_restored_record_goes_on_where_it_stood(tmp_path: Path, ways: tuple[str, str]) -> None:
    here, there = ways
    kept = tmp_path / "kept.gz"
    with site.database(here) as env:
        env["KEEL_KEYS"] = str(tmp_path / "keys")
        first = json.loads(site.python(env, WRITE + FIRST).splitlines()[-1])
        wrote = json.loads(keel(env, "backup", str(kept)))
    if here == "postgresql":
        as_if_of_an_old_server(kept)
        xid, _, seq = first["place"].partition(".")
        first["place"] = f"{int(xid) + AHEAD}.{seq}"
    with site.database(there) as env:
        env["KEEL_KEYS"] = str(tmp_path / "keys")
        restored = json.loads(keel(env, "restore", str(kept)))
        then = json.loads(site.python(env, WRITE + THEN, first["place"]).splitlines()[-1])
        assert restored["ok"] and restored["events"] == wrote["rows"]["records.eventrow"] == len(first["told"])
        assert then["told"] == first["told"], "the tail begins with what was restored, in its order"
        assert then["then"] == first["then"], "a place names the same events as before"
        assert then["later"] == ["note:a", "note:c"]
        assert then["rising"] and then["stands"] and then["ok"]
        assert json.loads(keel(env, "rebuild", "--check"))["identical"]
