"""`rebuild-verify`: events per second of a rebuild and of a verification, beside a bare read of the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator

from bench import site
from bench.figure import Figure

CODE = """
import json, time
from datetime import UTC, datetime
from django.db import connection
from keel.cli.demo import fill
from keel.records import journal
from keel.records.rebuild import rebuild
fill(people=12, groups=False)
journal.seal(datetime.now(UTC))
def timed(what):
    began = time.perf_counter(); found = what(); return time.perf_counter() - began, found
def bare():
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM journal_event ORDER BY seq")
        return len(cursor.fetchall())
reads = [timed(bare) for _ in range(5)]
verified = timed(journal.verify)
rebuilt = timed(lambda: rebuild(keep=False))
assert verified[1].first_broken is None and not rebuilt[1].different
print(json.dumps({"events": verified[1].events, "read": min(r[0] for r in reads), "verify": verified[0], "rebuild": rebuilt[0]}))
"""


def run() -> Iterator[Figure]:
    for setting in ("sqlite", "postgresql"):
        with site.database(setting) as env:
            found = json.loads(site.python(env, CODE).splitlines()[-1])
        events, bare = found["events"], found["events"] / found["read"]
        for what in ("verify", "rebuild"):
            yield Figure(
                "rebuild-verify",
                f"{setting}-{what}",
                events / found[what],
                bare,
                "events/s",
                events,
                note="beside a bare read",
            )
