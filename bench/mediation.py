"""10,000 bootstrap mediations on n = 120 beside statsmodels' Mediation, in resamples per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import statsmodels.api as sm
from statsmodels.stats.mediation import Mediation

from bench.figure import Figure
from keel.outcomes.mediation import mediate

DRAWS = 10_000
# statsmodels refits both models for every draw: a few hundred are enough to know its rate.
BESIDE_DRAWS = 300


def run() -> Iterator[Figure]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=120)
    m = 0.5 * x + rng.normal(size=120)
    y = 0.4 * m + 0.2 * x + rng.normal(size=120)
    mediate(x, m, y, draws=200)
    seconds = min(_timed(lambda: mediate(x, m, y, interval="bca", draws=DRAWS)) for _ in range(3))
    one = np.ones(120)
    outcome = sm.OLS(y, np.column_stack([one, x, m]))
    mediator = sm.OLS(m, np.column_stack([one, x]))
    peer = Mediation(outcome, mediator, [1, 1], 2)
    beside = _timed(lambda: peer.fit(method="bootstrap", n_rep=BESIDE_DRAWS))
    yield Figure(
        "mediation",
        "n=120-10000-bca",
        DRAWS / seconds,
        BESIDE_DRAWS / beside,
        "bootstraps/s",
        DRAWS,
        note=f"{seconds * 1000:.0f} ms in all; beside: statsmodels Mediation, {BESIDE_DRAWS} draws",
    )


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
