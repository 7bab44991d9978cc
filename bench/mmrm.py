"""MMRM (unstructured, REML) beside R's nlme::gls and statsmodels, on simulated trials of n participants x visits.

Every program gets one thread and a table in memory, and returns coefficients with their tests; R measures itself
inside R (system.time). gls answers the same likelihood, so its -2 log L must be ours. It would need more than half
an hour at 10000x8: there, and where R is not installed, the figure beside is statsmodels' MixedLM with a random
intercept, a much simpler model (compound symmetry, normal tests), which the note says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench.figure import Figure

SIZES = {"200x4": (200, 4), "1000x8": (1000, 8), "10000x8": (10_000, 8)}
BY_GLS = ("200x4", "1000x8")
DF = ("satterthwaite", "kenward-roger")
FORMULA = "chg ~ base + sev + arm * visit"
REPEATS = {"200x4": 15, "1000x8": 15, "10000x8": 5}
GLS_SECONDS = 900
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}

GLS = """
suppressMessages(library(nlme))
d <- read.csv(commandArgs(TRUE)[1], stringsAsFactors = TRUE)
d <- d[!is.na(d$chg), ]
d$v <- as.integer(d$visit)
took <- system.time(fit <- gls(chg ~ base + sev + arm * visit, data = d, method = "REML",
  correlation = corSymm(form = ~ v | usubjid), weights = varIdent(form = ~ 1 | visit)))
cat(sprintf('{"seconds": %.6f, "m2loglik": %.10f, "version": "%s"}', took[["elapsed"]],
  -2 * as.numeric(logLik(fit)), as.character(packageVersion("nlme"))))
"""


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"{size}.csv"
            ours = _measured("ours", size, path)
            beside = _measured("statsmodels", size, path)
            gls = _gls(path) if size in BY_GLS else None
            for df in DF:
                mine = ours[df]
                if gls:
                    apart = f"-2 log L {mine['m2loglik']:.6f}, gls {gls['m2loglik']:.6f}"
                    yield _figure(f"{size}-{df}", mine, gls["seconds"], f"beside nlme::gls {gls['version']}; {apart}")
                note = f"beside statsmodels MixedLM, random intercept only; -2 log L {mine['m2loglik']:.6f}"
                setting = f"{size}-{df}-beside-statsmodels" if gls else f"{size}-{df}"
                yield _figure(setting, mine, beside["seconds"], note)


def _figure(setting: str, ours: dict[str, Any], beside: float, note: str) -> Figure:
    return Figure("mmrm", setting, ours["seconds"], beside, "s per fit", ours["n"], better="less", note=note)


def _measured(what: str, size: str, path: Path) -> dict[str, Any]:
    """A fresh interpreter: BLAS reads its number of threads once, when it is loaded."""
    command = [sys.executable, "-m", "bench.mmrm", what, size, str(path)]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _gls(path: Path) -> dict[str, Any] | None:
    if shutil.which("Rscript") is None:
        return None
    command = ["Rscript", "-e", GLS, str(path)]
    environment = {**os.environ, **ONE_THREAD}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=GLS_SECONDS)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as failed:
        print(f"nlme::gls gave no figure: {type(failed).__name__}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def simulate(n: int, visits: int, path: Path) -> None:
    """A two-arm trial with a random slope, serial correlation, drop-out that depends on the last value, and gaps."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(20_000 + n)
    arm, sev = draw.integers(0, 2, n), draw.integers(0, 2, n)
    base = np.round(33 + 5 * draw.standard_normal(n), 2)
    week = np.arange(1, visits + 1)
    lag = np.abs(np.subtract.outer(week, week))
    factor = np.linalg.cholesky(np.outer(3 + 0.4 * week, 3 + 0.4 * week) * (0.35 + 0.65 * 0.6**lag))
    mean = -4 - 0.9 * week - 0.3 * (base[:, None] - 33) - sev[:, None] - 2.2 * arm[:, None] * np.sqrt(week)
    chg = mean + draw.standard_normal((n, visits)) @ factor.T
    leaves = draw.random((n, visits)) < 0.03 + 0.02 * (chg > -4)
    gone = np.cumsum(leaves, axis=1) - leaves > 0
    missing = gone | (draw.random((n, visits)) < 0.02)
    missing[:, 0] = False
    rows = np.repeat(np.arange(n), visits)
    pl.DataFrame(
        {
            "usubjid": [f"S{i:05d}" for i in rows],
            "visit": [f"V{v:02d}" for v in np.tile(week, n)],
            "arm": [f"A{a}" for a in arm[rows]],
            "sev": [f"g{s}" for s in sev[rows]],
            "base": base[rows],
            "chg": np.where(missing, np.nan, np.round(chg, 3)).ravel(),
        }
    ).with_columns(pl.col("chg").fill_nan(None)).write_csv(path, null_value="NA")


def ours(size: str, path: Path) -> dict[str, Any]:
    from keel.outcomes.columns import read_table
    from keel.outcomes.mmrm import fit_mmrm

    simulate(*SIZES[size], path)
    table = read_table(path)
    seconds: dict[str, list[float]] = {df: [] for df in DF}
    for _ in range(REPEATS[size] + 1):  # the first warms up
        for df in DF:  # in turn, so that what else the machine does falls on both
            start = time.perf_counter()
            fit = fit_mmrm(table, FORMULA, visit="visit", subject="usubjid", df=df)
            fit.coefficients()
            seconds[df].append(time.perf_counter() - start)
    return {
        df: {"seconds": median(took[1:]), "m2loglik": fit.m2loglik, "n": REPEATS[size]} for df, took in seconds.items()
    }


def mixedlm(size: str, path: Path) -> dict[str, Any]:
    import pandas as pd
    import statsmodels.formula.api as smf

    table = pd.read_csv(path).dropna()
    start = time.perf_counter()
    smf.mixedlm(FORMULA, table, groups=table["usubjid"]).fit(reml=True).summary()
    return {"seconds": time.perf_counter() - start}


if __name__ == "__main__":
    measure = {"ours": ours, "statsmodels": mixedlm}[sys.argv[1]]
    print(json.dumps(measure(sys.argv[2], Path(sys.argv[3]))))
