"""Published numbers recomputed from published counts and means, side by side with what was printed.

Takes the plain table of the shelf's `tables/published_trials.toml` and gives one line per printed number. A line agrees when the
recomputed number rounds to the printed one at the printed number of decimals; where it does not, the file says why, and a
disagreement without a reason is an error of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keel.outcomes import effect_size, meta, proportions

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Compared:
    """One printed number: `part` (an estimate, an end of its interval …) of a comparison `of` something in a study.

    `recomputed` is None where nothing on the shelf gives it, and then `why` says so.
    """

    study: str
    of: str
    part: str
    definition: str
    printed: float
    digits: int
    recomputed: float | None
    agrees: bool
    verified: bool
    source: str
    why: str

    @property
    def what(self) -> str:
        return f"{self.of} ({self.part})"


def compared(table: Row) -> tuple[Compared, ...]:
    """Every printed rate, effect, contrast and pooled number of the shelf's table."""
    sources = table["sources"]
    lines = [*_rates(table), *_effects(table), *_contrasts(table), *_pools(table)]
    return tuple(
        Compared(
            study,
            of,
            part,
            definition,
            printed,
            row["digits"],
            value,
            value is not None and abs(value - printed) <= 0.5 * 10.0 ** -row["digits"] + 1e-9,
            row.get("verified", True),
            sources.get(row["source"], row["source"]),
            row.get("why", ""),
        )
        for study, of, part, definition, printed, value, row in lines
    )


# What the file's short names of definitions mean.
DEFINITIONS = {
    "glass-treated": "Glass' delta: difference of means over the SD of the treated group",
    "difference-wald-percent": "difference of two shares in percentage points, Wald interval",
    "risk-ratio": "risk ratio, Wald interval of its logarithm",
    "odds-ratio": "odds ratio, Wald interval of its logarithm",
}
Line = tuple[str, str, str, str, float, float | None, Row]


def _rates(table: Row) -> Iterator[Line]:
    for row in table["rates"]:
        found = proportions.share(row["events"], row["n"])
        if "printed_percent" in row:
            of = f"{row['outcome']}, {row['when']}, {row['arm']}"
            yield (
                row["study"],
                of,
                "percent",
                "share of people in percent",
                row["printed_percent"],
                100 * found.estimate,
                row,
            )


def _effects(table: Row) -> Iterator[Line]:
    for row in table["effects"]:
        means = next(m for m in table["means"] if all(m[k] == row[k] for k in ("study", "scale", "when")))
        found = _effect(row["definition"], *means["arms"])
        for key, value in (("printed", found.estimate), ("low", found.ci_low), ("high", found.ci_high)):
            if key in row:
                definition = DEFINITIONS.get(row["definition"], found.definition)
                yield row["study"], f"{row['scale'].upper()}, {row['when']}", key, definition, row[key], value, row


def _effect(definition: str, treated: Row, control: Row) -> effect_size.EffectSize:
    """Control minus treated, so that a benefit is positive as the papers print it."""
    if definition == "glass-treated":
        sd = treated["sd"]
        return effect_size.glass_delta(
            control["mean"], control["n"], treated["mean"], treated["n"], sd=sd, sd_of="control"
        )
    if definition == "g-database":
        named = {
            f"{k}{i}": a[w]
            for i, a in ((1, control), (2, treated))
            for k, w in (("m", "mean"), ("sd", "sd"), ("n", "n"))
        }
        return effect_size.from_summary("SMD-D", **named)
    one, two = ((a["mean"], a["sd"], a["n"]) for a in (control, treated))
    return effect_size.cohens_d(*one, *two, hedges=definition == "g")


def _contrasts(table: Row) -> Iterator[Line]:
    for row in table["contrasts"]:
        (a, c), (n1, n2) = row["events"], row["n"]
        values = _contrast(row["definition"], a, n1, c, n2)
        for key, value in zip(("printed", "low", "high"), values, strict=True):
            if key in row:
                yield row["study"], row["outcome"], key, DEFINITIONS[row["definition"]], row[key], value, row


def _contrast(definition: str, a: int, n1: int, c: int, n2: int) -> tuple[float, float, float]:
    if definition == "difference-wald-percent":
        found = proportions.difference(a, n1, c, n2, interval="wald")
        return 100 * found.estimate, 100 * found.ci_low, 100 * found.ci_high
    ratio = effect_size.from_summary({"risk-ratio": "RR", "odds-ratio": "OR"}[definition], a=a, n1=n1, c=c, n2=n2)
    estimate, low, high = (float(np.exp(v)) for v in (ratio.estimate, ratio.ci_low, ratio.ci_high))
    return estimate, low, high


def study_effects(pool: Row) -> tuple[np.ndarray, np.ndarray]:
    """Effects and variances of a pool's studies, in the order of the file."""
    needs = effect_size.NEEDS[pool["measure"]]
    return effect_size.effects(
        pool["measure"], {name: np.array([float(s[name]) for s in pool["studies"]]) for name in needs}
    )


def _pools(table: Row) -> Iterator[Line]:
    for pool in table["pools"]:
        effect, variance = study_effects(pool)
        for row in pool["printed"]:
            found = _pooled(effect, variance, row)
            for key, printed in row["values"].items():
                value = found.get(key)
                if value is not None and row.get("exponentiate"):
                    value = float(np.exp(value))
                yield pool["id"], row["what"], key, effect_size.DEFINITIONS[pool["measure"]], printed, value, row


def _pooled(effect: np.ndarray, variance: np.ndarray, row: Row) -> dict[str, float | None]:
    if row["method"] == "egger":
        return vars(meta.egger(effect, variance, model=row["test"]))
    if row["method"] == "bayes":
        return vars(meta.bayesian(effect, variance))
    if row["method"] not in meta.METHODS:
        return {}
    found = meta.pool(
        effect, variance, method=row["method"], test=row["test"], prediction=row.get("prediction", "metafor")
    )
    low, high = meta.tau2_interval(effect, variance)
    keys = ("estimate", "ci_low", "ci_high", "tau2", "i2", "q", "prediction_low", "prediction_high")
    return {key: getattr(found, key) for key in keys} | {"tau2_low": low, "tau2_high": high}
