"""The published trials laid out to be looked at: what each printed, what comes out of it again, and all of them pooled.

Takes the plain table of the shelf's `tables/published_trials.toml`, as `keel.outcomes.published` does, and adds no number of
its own: `given` are the inputs with their sources, `pools` the studies of each pool with effect, interval and weight,
`groups` the comparisons by trial, `as_json`, `data_csv` and `comparisons_csv` the same to take away.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
from scipy import stats

from keel.domain.errors import Refused
from keel.outcomes import effect_size, meta
from keel.outcomes.published import Compared, Row, compared, study_effects

RATIOS = ("RR", "OR", "ROM")
NO_MODEL = "A difference of model means: it needs each person's values, and only the result was published."


@dataclass(frozen=True)
class Given:
    """What a source printed of one arm at one moment: a mean with its SD, or how many people of how many."""

    study: str
    of: str
    arm: str
    n: int
    mean: float | None
    sd: float | None
    events: int | None
    source: str
    verified: bool
    why: str


@dataclass(frozen=True)
class Difference:
    """A difference of model means with its interval: printed, and nothing published to compute it from."""

    study: str
    of: str
    estimate: float
    low: float
    high: float
    source: str
    verified: bool
    why: str


@dataclass(frozen=True)
class PooledStudy:
    """One study of a pool: its effect with a 95% interval, its share of the weight in percent, and what it was made from."""

    label: str
    scale: str
    treated: str
    control: str
    effect: float
    se: float
    low: float
    high: float
    weight: float
    note: str


@dataclass(frozen=True)
class Pool:
    """One meta-analysis by the method and test of the first number that was printed of it.

    `ratio`: effects are logarithms of ratios. `intervals` and `egger` are None where they cannot be computed.
    """

    id: str
    title: str
    measure: str
    definition: str
    ratio: bool
    source: str
    note: str
    less: str
    more: str
    studies: tuple[PooledStudy, ...]
    pooled: meta.Pooled
    intervals: meta.Heterogeneity | None
    egger: meta.Asymmetry | None

    def written(self, value: float) -> str:
        """An effect of this pool to two places: a ratio as such, not its logarithm."""
        return f"{np.exp(value) if self.ratio else value:.2f}".replace("-", "−")


@dataclass(frozen=True)
class Comparison:
    """All printed numbers of one effect, beside what comes out of the inputs by `definition`."""

    of: str
    definition: str
    source: str
    verified: bool
    why: str
    lines: tuple[Compared, ...]

    @property
    def verdict(self) -> str:
        """`same`, `differs` (at least one number) or `not_computed`."""
        if all(line.agrees for line in self.lines):
            return "same"
        return "not_computed" if all(line.recomputed is None for line in self.lines) else "differs"


@dataclass(frozen=True)
class Group:
    """One trial, or one pool of trials, with all that is known of it here."""

    id: str
    title: str
    pool: Pool | None
    given: tuple[Given, ...]
    comparisons: tuple[Comparison, ...]
    differences: tuple[Difference, ...]


def groups(table: Row) -> tuple[Group, ...]:
    """The pools, then each trial in the order in which the file first names it."""
    lines = compared(table)
    inputs = given(table)
    differences = _differences(table)
    pooled = {pool.id: pool for pool in pools(table)}
    named = [*(one.study for one in inputs), *(line.study for line in lines), *(one.study for one in differences)]
    studies = dict.fromkeys([*pooled, *named])
    titles = table.get("trials", {})
    return tuple(
        Group(
            study,
            pooled[study].title if study in pooled else titles.get(study, study),
            pooled.get(study),
            tuple(one for one in inputs if one.study == study),
            _comparisons(line for line in lines if line.study == study),
            tuple(one for one in differences if one.study == study),
        )
        for study in studies
    )


def _comparisons(lines: Iterator[Compared]) -> tuple[Comparison, ...]:
    def key(line: Compared) -> tuple[str, str, str, bool, str]:
        return line.of, line.definition, line.source, line.verified, line.why

    return tuple(Comparison(*together, tuple(parts)) for together, parts in groupby(lines, key))


def given(table: Row) -> tuple[Given, ...]:
    """Every mean and count that effects, rates and contrasts of single trials are made from."""
    return tuple(dict.fromkeys((*_means(table), *_counts(table))))


def _means(table: Row) -> Iterator[Given]:
    for row in table["means"]:
        of = f"{row['scale'].upper()}, {row['when']}"
        source, verified, why = _whence(table, row)
        for arm in row["arms"]:
            said = why if arm is row["arms"][-1] else ""
            numbers = (arm["n"], arm["mean"], arm.get("sd"), None)
            yield Given(row["study"], of, arm["arm"], *numbers, source, verified, said)


def _counts(table: Row) -> Iterator[Given]:
    for row in table["rates"]:
        of = f"{row['outcome']}, {row['when']}"
        # Why a percentage differs is the comparison's to say.
        source, verified, _ = _whence(table, row)
        yield Given(row["study"], of, row["arm"], row["n"], None, None, row["events"], source, verified, "")
    for row in table["contrasts"]:
        counted = {"source": row["counts_source"]} if "counts_source" in row else row
        source, verified, _ = _whence(table, counted)
        for arm, n, events in zip(row["arms"], row["n"], row["events"], strict=True):
            yield Given(row["study"], row["outcome"], arm, n, None, None, events, source, verified, "")


def _whence(table: Row, row: Row) -> tuple[str, bool, str]:
    return table["sources"].get(row["source"], row["source"]), row.get("verified", True), row.get("why", "")


def _differences(table: Row) -> tuple[Difference, ...]:
    return tuple(
        Difference(row["study"], _between(row), row["estimate"], row["low"], row["high"], *_whence(table, row))
        for row in table["model_differences"]
    )


def _between(row: Row) -> str:
    return f"{row['scale'].upper()}, {row['when']}, {' v '.join(row['arms'])}"


def pools(table: Row) -> tuple[Pool, ...]:
    """Every pool of the file."""
    return tuple(_pool(table, row) for row in table["pools"])


def _pool(table: Row, row: Row) -> Pool:
    effect, variance = study_effects(row)
    how: Mapping[str, str] = next((p for p in row["printed"] if p["method"] in meta.METHODS), {})
    method, test = how.get("method", "REML"), how.get("test", "knha")
    pooled = meta.pool(effect, variance, method=method, test=test)
    weights = 100 / (variance + pooled.tau2) / np.sum(1 / (variance + pooled.tau2))
    reach = float(stats.norm.ppf(0.975))
    studies = tuple(
        PooledStudy(
            study["study"],
            study.get("scale", ""),
            *_arms(study),
            float(y),
            float(se),
            float(y - reach * se),
            float(y + reach * se),
            float(weight),
            "; ".join(filter(None, (_bias(study), study.get("note", "")))),
        )
        for study, y, se, weight in zip(row["studies"], effect, np.sqrt(variance), weights, strict=True)
    )
    return Pool(
        row["id"],
        row["title"],
        row["measure"],
        effect_size.DEFINITIONS[row["measure"]],
        row["measure"] in RATIOS,
        table["sources"].get(row["source"], row["source"]),
        row.get("why_measure", ""),
        row.get("less", ""),
        row.get("more", ""),
        studies,
        pooled,
        meta.heterogeneity_intervals(effect, variance) if method != "FE" else None,
        _egger(effect, variance),
    )


def _egger(effect: Any, variance: Any) -> meta.Asymmetry | None:
    try:
        return meta.egger(effect, variance)
    except Refused:
        return None


def _arms(study: Row) -> tuple[str, str]:
    """What the treated and the control arm were, in words; empty where a pool is not made from two arms."""
    if "m1" in study:
        return _mean(study["m1"], study["sd1"], study["n1"]), _mean(study["m2"], study["sd2"], study["n2"])
    if "a" in study:
        return f"{study['a']} of {study['n1']}", f"{study['c']} of {study['n2']}"
    return "", ""


def _mean(mean: float, sd: float, n: int) -> str:
    return f"{mean:.2f} (SD {sd:.2f}), n {n}".replace("-", "−")


def _bias(study: Row) -> str:
    return f"risk of bias: {study['rob']}" if "rob" in study else ""


# ---- to take away -------------------------------------------------------------------------------------------------


def tally(lines: tuple[Compared, ...]) -> dict[str, int]:
    """How many printed numbers there are, how many come out the same, otherwise, or not at all, and how many are unverified."""
    absent = sum(line.recomputed is None for line in lines)
    same = sum(line.agrees for line in lines)
    unverified = sum(not line.verified for line in lines)
    whole = {"printed": len(lines), "same": same, "differs": len(lines) - same - absent, "not_computed": absent}
    return whole | {"unverified": unverified}


def as_json(table: Row) -> dict[str, Any]:
    """All of it as plain values: counts, pools with their studies, comparisons, differences of model means, inputs."""
    lines = compared(table)
    return {
        "version": table["version"],
        "tally": tally(lines),
        "pools": [_pool_json(pool) for pool in pools(table)],
        "comparisons": [asdict(line) for line in lines],
        "model_differences": [asdict(one) for one in _differences(table)],
        "inputs": [asdict(one) for one in given(table)],
    }


def _pool_json(pool: Pool) -> dict[str, Any]:
    keys = ("k", "estimate", "se", "ci_low", "ci_high", "p", "tau2", "i2", "h2", "q", "q_df", "q_p")
    found = {key: getattr(pool.pooled, key) for key in (*keys, "prediction_low", "prediction_high")}
    about = {key: getattr(pool, key) for key in ("id", "title", "measure", "definition", "source")}
    about |= {"method": pool.pooled.method, "test": pool.pooled.test, "level": pool.pooled.level}
    return about | {
        "pooled": found | (asdict(pool.intervals) if pool.intervals else {}),
        "egger": asdict(pool.egger) if pool.egger else None,
        "studies": [asdict(study) for study in pool.studies],
    }


def data_csv(table: Row) -> str:
    """Every input as one line: means and counts of single trials, and both arms of each study of a pool."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("used_in", "study", "of", "arm", "n", "mean", "sd", "events", "source", "verified", "note"))
    for one in given(table):
        numbers = (one.n, one.mean, one.sd, one.events)
        writer.writerow(("trial", one.study, one.of, one.arm, *numbers, one.source, _yes(one.verified), one.why))
    for pool in table["pools"]:
        source = table["sources"].get(pool["source"], pool["source"])
        for study in pool["studies"]:
            note = "; ".join(filter(None, (_bias(study), study.get("note", ""))))
            for arm, names in (("treated", ("n1", "m1", "sd1", "a")), ("control", ("n2", "m2", "sd2", "c"))):
                numbers = tuple(study.get(name) for name in names)
                if any(number is not None for number in numbers):
                    of = study.get("scale", "")
                    writer.writerow((pool["id"], study["study"], of, arm, *numbers, source, "yes", note))
    return out.getvalue()


def comparisons_csv(table: Row) -> str:
    """Every printed number beside the recomputed one."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = (
        "study",
        "of",
        "part",
        "definition",
        "printed",
        "digits",
        "recomputed",
        "agrees",
        "verified",
        "source",
        "why",
    )
    writer.writerow(columns)
    for line in compared(table):
        row = asdict(line) | {"agrees": _yes(line.agrees), "verified": _yes(line.verified)}
        writer.writerow([row[column] for column in columns])
    return out.getvalue()


def _yes(true: bool) -> str:
    return "yes" if true else "no"
