"""`scoring`: a million random responses, blanks and answers outside the codes included, scored twice.

The engine for one response is the referee of the engine for tables. Each instrument in turn gives a batch of whole
responses, of responses with gaps and wrong codes, and of sparse ones, until a million have been compared or the time
is up; the line says how many, and what is not a million does not hold. Every batch has a seed of its own, so that one
batch can be looked at alone: `Random("SEED INSTRUMENT ROUND")`.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from random import Random
from typing import Any

from keel.domain.errors import Refused
from keel.domain.instrument import Instrument
from keel.domain.scoring import score
from keel.library import shelf
from keel.library.instrument_files import instrument
from keel.outcomes.score_table import score_table
from soak.responses import Response, responses, table

WANTED = 1_000_000
BATCH = 1_000
KINDS = ((0.0, 0.0), (0.05, 0.003), (0.4, 0.0))
Task = tuple[int, str, int]


def run(seed: int, minutes: float) -> Iterator[dict[str, Any]]:
    until, compared, wrong = time.monotonic() + 60 * minutes, 0, []
    waiting = islice(_tasks(seed), math.ceil(WANTED / BATCH))
    # Fresh processes: a forked one would inherit the threads of the table engine without the threads.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        while (some := list(islice(waiting, 40))) and time.monotonic() < until and len(wrong) < 10:
            wrong += [said for found in pool.map(compare, some) for said in found]
            compared += BATCH * len(some)
    held = {"tables and rows agree": not wrong, "a million were compared": compared >= WANTED}
    seeds = f"{seed} INSTRUMENT 0 … {seed} INSTRUMENT {compared // BATCH // len(shelf.ids('instruments'))}"
    yield {"responses": compared, "seeds": seeds, "invariants": held, "wrong": wrong[:10]}


def _tasks(seed: int) -> Iterator[Task]:
    turn = 0
    while True:
        yield from ((seed, id, turn) for id in shelf.ids("instruments"))
        turn += 1


def compare(task: Task) -> list[str]:
    """One batch of one instrument, from its own seed."""
    seed, id, turn = task
    blank, outside = KINDS[turn % len(KINDS)]
    one = instrument(id)
    return disagreements(one, responses(one, Random(f"{seed} {id} {turn}"), BATCH, blank=blank, wrong=outside))


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
