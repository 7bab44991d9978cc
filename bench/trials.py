"""1,000 simulated trials with drop-out, an unstructured REML MMRM with a Satterthwaite test, and the decision.

Beside: R's nlme::gls on the first of the same trials where R is installed (the same likelihood, without Satterthwaite's degrees
of freedom), else statsmodels' MixedLM with a random intercept (a simpler model). Both in trials per second, fit only for them,
simulation and fit for us.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import statsmodels.formula.api as smf

from bench.figure import Figure
from keel.outcomes.trials import Scenario, Trials, analyse, simulate, verdict

TRIALS = 1000
# people per arm, visits, how many trials R gets to show its rate
SETTINGS = {"24x4": ((12, 12), 4, 10), "104x5": ((52, 52), 5, 5), "233x6": ((78, 78, 77), 6, 2)}
GLS = """
suppressMessages(library(nlme))
d <- read.csv(commandArgs(TRUE)[1], stringsAsFactors = TRUE); d$v <- as.integer(d$visit)
took <- system.time(for (k in unique(d$trial)) try(gls(y ~ base + arm * visit, data = d[d$trial == k, ], method = "REML",
  correlation = corSymm(form = ~ v | id), weights = varIdent(form = ~ 1 | visit)), silent = TRUE))
cat(sprintf('{"seconds": %.6f, "version": "%s"}', took[["elapsed"]], as.character(packageVersion("nlme"))))
"""


def run() -> Iterator[Figure]:
    for setting, (people, visits, few) in SETTINGS.items():
        scenario = under_no_effect(people, visits)
        start = time.perf_counter()
        trials = simulate(scenario, TRIALS, seed=1)
        found = verdict(analyse(trials), np.zeros(len(people) - 1))
        seconds = time.perf_counter() - start
        rate, who = beside(trials, few)
        wrong = f"{found.significant[0]:.3f} +- {found.monte_carlo_se[0]:.3f}"
        note = f"{found.converged} of {TRIALS} converged, significant under no effect {wrong}; beside {who}"
        yield Figure("trials", setting, TRIALS / seconds, rate, "trials/s", TRIALS, note=note)


def under_no_effect(people: tuple[int, ...], visits: int) -> Scenario:
    sigma = tuple(tuple(60 * 0.75 ** abs(i - j) for j in range(visits)) for i in range(visits))
    means = tuple(tuple(-8.0 - t for t in range(visits)) for _ in people)
    return Scenario(people, means, sigma, leave_logit=-2.6, leave_slope=0.02)


def long(trials: Trials, count: int) -> pl.DataFrame:
    """The first `count` trials, a row per observed visit."""
    rows = [
        (b, f"{b}-{i}", f"v{t}", f"a{trials.arm[i]}", trials.base[b, i], trials.y[b, i, t])
        for b in range(count)
        for i in range(trials.y.shape[1])
        for t in range(trials.stayed[b, i])
    ]
    return pl.DataFrame(rows, schema=["trial", "id", "visit", "arm", "base", "y"], orient="row")


def beside(trials: Trials, few: int) -> tuple[float, str]:
    table = long(trials, few)
    if shutil.which("Rscript"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trials.csv"
            table.write_csv(path)
            done = subprocess.run(["Rscript", "-e", GLS, str(path)], capture_output=True, text=True, timeout=900)
        if done.returncode == 0:
            told = json.loads(done.stdout)
            return few / told["seconds"], f"nlme::gls {told['version']}, {few} trials"
    start = time.perf_counter()
    for (_,), one in table.group_by("trial"):
        smf.mixedlm("y ~ base + arm * visit", one.to_pandas(), groups="id").fit(reml=True)
    return few / (time.perf_counter() - start), f"statsmodels MixedLM, random intercept, {few} trials"
