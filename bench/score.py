"""`score`: responses scored per second, one by one and as tables, beside a bare Polars sum of the same columns.

The bare sum adds the items and nothing else: no codes are checked, no blanks are judged, no band, rule or safety
item is read. It is what scoring could cost at least.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl

from bench.figure import Figure
from keel.domain.instrument import Instrument
from keel.domain.scoring import score
from keel.library.instrument_files import instrument
from keel.outcomes.score_table import score_table

IDS = ("who-5", "phq-9", "qids-sr16", "pcl-5", "meq30")
ROWS = 400_000
ONE_BY_ONE = 6_000
REPEATS = 5
UNIT = "responses/s"


def run() -> Iterator[Figure]:
    for id in IDS:
        yield from one_instrument(instrument(id))


def one_instrument(one: Instrument) -> Iterator[Figure]:
    frame = responses(one, ROWS)
    columns = frame.columns
    few = [list(row) for row in frame.head(ONE_BY_ONE).iter_rows()]
    score(one, few[0])
    bare = ROWS / best(lambda: frame.select(pl.sum_horizontal(columns, ignore_nulls=False)))
    table = ROWS / best(lambda: score_table(one, frame))
    single = ONE_BY_ONE / best(lambda: [score(one, row) for row in few], repeats=2)
    scores = len(one.score_names())
    yield Figure("score", f"{one.id} table", table, bare, UNIT, ROWS, note=f"{scores} scores, 2% blank")
    yield Figure("score", f"{one.id} one by one", single, bare, UNIT, ONE_BY_ONE, note=f"{scores} scores, 2% blank")


def responses(one: Instrument, rows: int) -> pl.DataFrame:
    """Random answers within the codes, one in fifty blank."""
    chance = np.random.default_rng(20)
    data = {}
    for item in one.items:
        if not item.optional:
            codes = chance.choice(np.array(item.answers.allowed(), dtype=np.int8), rows)
            data[item.id] = pl.Series(codes).set(pl.Series(chance.random(rows) < 0.02), None)
    return pl.DataFrame(data)


def best(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """The shortest of some runs, in seconds: the others were held up by something else."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
