"""`scoring`: a million random responses, blanks and answers outside the codes included, scored twice.

The engine for one response is the referee of the engine for tables. A run takes instruments in turn until it has
compared a million responses or its time is up, and says how many it compared.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from random import Random
from typing import Any

from keel.domain.errors import Refused
from keel.domain.instrument import Instrument
from keel.domain.scoring import score
from keel.library.instrument_files import instruments
from keel.outcomes.score_table import score_table
from soak.responses import Response, response, table

WANTED = 1_000_000
BATCH = 400
KINDS = ((0.0, 0.0), (0.05, 0.003), (0.4, 0.0))


def run(seed: int, minutes: float) -> Iterator[dict[str, Any]]:
    chance = Random(seed)
    until = time.monotonic() + 60 * minutes
    shelf = list(instruments().values())
    compared, wrong = 0, []
    while compared < WANTED and time.monotonic() < until and len(wrong) < 10:
        one = shelf[compared // BATCH % len(shelf)]
        blank, outside = KINDS[compared // BATCH // len(shelf) % len(KINDS)]
        rows = [response(one, chance, blank=blank, wrong=outside) for _ in range(BATCH)]
        wrong += disagreements(one, rows)
        compared += BATCH
    yield {"responses": compared, "invariants": {"tables and rows agree": not wrong}, "wrong": wrong[:10]}


def disagreements(one: Instrument, rows: list[Response]) -> list[str]:
    """Score the rows as a table and one by one; a sentence for each difference."""
    done = score_table(one, table(one, rows))
    if done.height != len(rows):
        return [f"{one.id}: {len(rows)} rows gave {done.height}"]
    pairs = zip(done.iter_rows(named=True), rows, strict=True)
    return [said for got, given in pairs for said in _compared(one, got, given)]


def _compared(one: Instrument, got: dict[str, Any], given: Response) -> Iterator[str]:
    error = got.pop("error")
    try:
        wanted: dict[str, Any] = score(one, *given).scores
    except Refused as refused:
        if error != str(refused) or set(got.values()) > {None}:
            yield f"{one.id}: refused with {refused}, the table said {error} and {got}"
        return
    if error is not None or not set(wanted) <= set(got):
        yield f"{one.id}: {sorted(wanted)} was scored, the table said {error} and gave {sorted(got)}"
    for name, value in got.items():
        if not same(value, wanted.get(name)):
            yield f"{one.id}: {name} is {wanted.get(name)!r}, the table says {value!r}, for {given}"


def same(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        return isinstance(got, (int, float)) and math.isclose(got, wanted, rel_tol=1e-12, abs_tol=1e-12)
    return bool(got == wanted)
