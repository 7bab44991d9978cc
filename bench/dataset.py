"""The analysis dataset of 100,000 and 1,000,000 simulated participants, beside a bare Parquet scan of the same events by DuckDB.

Each size is built in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from bench.figure import Figure
from keel.outcomes.dataset import Plan, PlannedVisit, build, write

SIZES = (100_000, 1_000_000)
DAYS = {"screening": -14, "baseline": -1, "week-1": 7, "week-3": 21, "week-12": 84}
ANCHOR = {"screening": "enrolled", "baseline": "enrolled"}


def plan() -> Plan:
    visits = tuple(
        PlannedVisit(id, ANCHOR.get(id, "dosed"), max(day, 0), max(day, 0) - 21, max(day, 0) + 21, ("madrs",))
        for id, day in DAYS.items()
    )
    return Plan(visits, baseline_visit="baseline", intercurrent=("antidepressant_started",), reveal_arm=True)


def simulated_events(participants: int, path: Path) -> int:
    """Everybody is screened, enrolled, randomised and dosed; values go missing and one in ten starts an antidepressant."""
    rng = np.random.default_rng(1)
    codes = pl.Series("participant", np.arange(participants)).cast(pl.String).str.zfill(8)
    start = np.datetime64("2026-01-01") + rng.integers(0, 700, participants)
    about = pl.DataFrame({"participant": codes}).with_columns(
        ("C" + pl.col("participant")).alias("course"),
        pl.lit("sim").alias("study"),
        pl.Series("site", rng.integers(0, 40, participants)).cast(pl.String).alias("site"),
        pl.Series("arm", np.where(rng.random(participants) < 0.5, "drug", "placebo")),
    )
    parts = []
    for kind, after in (("screened", -20), ("enrolled", 0), ("randomised", 0), ("dosed", 3)):
        parts.append(about.with_columns(pl.lit(kind).alias("kind"), pl.Series("on", start + after)))
    some = rng.random(participants) < 0.1
    begun = about.with_columns(pl.lit("antidepressant_started").alias("kind"), pl.Series("on", start + 40))
    parts.append(begun.filter(pl.Series(some)))
    for visit, day in DAYS.items():
        seen = rng.random(participants) < 0.93
        values = about.with_columns(
            pl.lit("measured").alias("kind"),
            pl.lit(visit).alias("visit"),
            pl.lit("madrs").alias("measure"),
            pl.Series("value", rng.integers(0, 60, participants).astype(float)),
            pl.Series("on", start + 3 + day),
        )
        parts.append(values.filter(pl.Series(seen)))
    events = pl.concat(parts, how="diagonal").with_columns(pl.col("on").cast(pl.Date))
    events.sample(fraction=1, shuffle=True, seed=1).write_parquet(path)
    return events.height


def build_one(events: Path, target: Path) -> None:
    """In the process of its own: build, write, and tell seconds and peak memory."""
    start = time.perf_counter()
    written = write(build(pl.scan_parquet(events), plan()), target, plan())
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {"seconds": seconds, "peak_mb": peak_mb, "rows": written.rows, "file_mb": target.stat().st_size / 1e6}
        )
    )


def scanned(events: Path) -> float:
    """A bare scan that touches every column: the floor that any build stands on."""
    duckdb.sql("set enable_progress_bar = false")
    start = time.perf_counter()
    duckdb.sql(
        f"select max(participant), max(course), max(study), max(site), max(arm), max(kind), max(visit), max(measure),"
        f" sum(value), max(\"on\") from read_parquet('{events}')"
    ).fetchall()
    return time.perf_counter() - start


def run() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            events, target = Path(folder) / f"events-{size}.parquet", Path(folder) / f"dataset-{size}.parquet"
            count = simulated_events(size, events)
            done = subprocess.run(
                [sys.executable, "-m", "bench.dataset", str(events), str(target)],
                capture_output=True,
                text=True,
                check=True,
            )
            ours = json.loads(done.stdout)
            beside = min(scanned(events) for _ in range(3))
            note = f"{count:,} events, {ours['rows']:,} rows, peak {ours['peak_mb']:,.0f} MB, file {ours['file_mb']:,.0f} MB"
            yield Figure("dataset", str(size), ours["seconds"], beside, "s", size, better="less", note=note)
            events.unlink()


if __name__ == "__main__":
    build_one(Path(sys.argv[1]), Path(sys.argv[2]))
