"""Published numbers recomputed from published counts and means, side by side with what was printed.

Takes the plain table of the shelf's `tables/published_trials.toml` and gives one line per printed number. A line agrees when the
recomputed number rounds to the printed one at the printed number of decimals. Where the inputs themselves were printed rounded
(a difference of two printed means, p from a printed r) it agrees when some values that round to those inputs give the printed one.
Where it does not, the file says why, and a disagreement without a reason is an error of the file.

A number that needs rows which this shelf may not hold carries what Keel gave on those rows (`recorded`), and says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from keel.outcomes import effect_size, meta, proportions
from keel.outcomes.correlate import p_of

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


# What the file's short names of definitions mean.
DEFINITIONS = {
    "glass-treated": "Glass' delta: difference of means over the SD of the treated group",
    "difference-wald-percent": "difference of two shares in percentage points, Wald interval",
    "risk-ratio": "risk ratio, Wald interval of its logarithm",
    "odds-ratio": "odds ratio, Wald interval of its logarithm",
}


@dataclass(frozen=True)
class Line:
    """A printed number, what it was recomputed to, and how far rounded inputs let the two stand apart."""

    study: str
    of: str
    part: str
    definition: str
    printed: float
    value: float | None
    row: Row
    slack: float = 0.0

    def agrees(self) -> bool:
        if self.value is None:
            return False
        if self.row.get("below"):
            return self.value < self.printed
        return bool(abs(self.value - self.printed) <= 0.5 * 10.0 ** -self.row["digits"] + self.slack + 1e-9)


def compared(table: Row) -> tuple[Compared, ...]:
    """Every printed rate, effect, contrast, difference, correlation and pooled number of the shelf's table."""
    kinds = (_rates, _effects, _contrasts, _differences, _correlations, _pools, _figures)
    return tuple(_told(line, table["sources"]) for kind in kinds for line in kind(table))


def _told(line: Line, sources: Mapping[str, str]) -> Compared:
    return Compared(
        line.study,
        line.of,
        line.part,
        line.definition,
        line.printed,
        line.row["digits"],
        line.value,
        line.agrees(),
        line.row.get("verified", True),
        sources.get(line.row["source"], line.row["source"]),
        line.row.get("why", ""),
    )


def _rates(table: Row) -> Iterator[Line]:
    for row in table["rates"]:
        if "printed_percent" in row:
            of = f"{row['outcome']}, {row['when']}, {row['arm']}"
            made, percent = _share(row["events"], row["n"]), 100 * row["events"] / row["n"]
            yield Line(row["study"], of, "percent", made, row["printed_percent"], percent, row)


def _share(events: int, n: int) -> str:
    wilson, exact = (proportions.share(events, n, interval=name) for name in ("wilson", "exact"))
    ends = [f"{100 * part.ci_low:.1f} to {100 * part.ci_high:.1f}" for part in (wilson, exact)]
    return f"{events} of {n}; 95 % interval {ends[0]} (Wilson), {ends[1]} (exact)"


def _effects(table: Row) -> Iterator[Line]:
    for row in table["effects"]:
        means = next(m for m in table["means"] if all(m[k] == row[k] for k in ("study", "scale", "when")))
        found = _effect(row, means["arms"])
        of = f"{row['scale'].upper()}, {row['when']}" + (f", {row['arm']}" if "arm" in row else "")
        definition = DEFINITIONS.get(row["definition"], found.definition)
        values = {"printed": found.estimate, "low": found.ci_low, "high": found.ci_high, "se": found.se}
        for part, value in values.items():
            if part in row:
                yield Line(row["study"], of, part, definition, row[part], value, row)


def _effect(row: Row, arms: Sequence[Row]) -> effect_size.EffectSize:
    if row["definition"] in ("d_av", "d_baseline"):
        return _within(row, arms[0], arms[1])
    if row["definition"] == "d_z":
        return _of_changes(next(arm for arm in arms if arm["arm"] == row["arm"]))
    return _between(row["definition"], arms[0], arms[1])


def _within(row: Row, before: Row, after: Row) -> effect_size.EffectSize:
    """Before minus after. r is not printed: these two definitions do not need it for the effect, and no interval is compared."""
    return effect_size.within_d(
        before["mean"], before["sd"], after["mean"], after["sd"], before["n"], 0.0, kind=row["definition"]
    )


def _of_changes(arm: Row) -> effect_size.EffectSize:
    """An arm whose printed mean and SD are those of the change: minus the mean change over that SD."""
    sd = arm["sd"]
    return effect_size.within_d(0.0, sd, arm["mean"], sd, arm["n"], 0.5, kind="d_z")


def _between(definition: str, treated: Row, control: Row) -> effect_size.EffectSize:
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
    one, two = ((a["mean"], _sd(a), a["n"]) for a in (control, treated))
    return effect_size.cohens_d(*one, *two, hedges=definition == "g")


def _sd(arm: Row) -> float:
    """Printed, or read back from the printed 95 % interval of the mean."""
    if "sd" in arm:
        return float(arm["sd"])
    return float((arm["high"] - arm["low"]) / (2 * stats.norm.ppf(0.975)) * np.sqrt(arm["n"]))


def _contrasts(table: Row) -> Iterator[Line]:
    for row in table["contrasts"]:
        (a, c), (n1, n2) = row["events"], row["n"]
        values = _contrast(row["definition"], a, n1, c, n2)
        of = f"{row['outcome']}, {' v '.join(row['arms'])}"
        for part, value in zip(("printed", "low", "high"), values, strict=True):
            if part in row:
                yield Line(row["study"], of, part, DEFINITIONS[row["definition"]], row[part], value, row)


def _contrast(definition: str, a: int, n1: int, c: int, n2: int) -> tuple[float, float, float]:
    if definition == "difference-wald-percent":
        found = proportions.difference(a, n1, c, n2, interval="wald")
        return 100 * found.estimate, 100 * found.ci_low, 100 * found.ci_high
    ratio = effect_size.from_summary({"risk-ratio": "RR", "odds-ratio": "OR"}[definition], a=a, n1=n1, c=c, n2=n2)
    estimate, low, high = (float(np.exp(v)) for v in (ratio.estimate, ratio.ci_low, ratio.ci_high))
    return estimate, low, high


def _differences(table: Row) -> Iterator[Line]:
    """First printed mean minus the second; with SDs its Student interval, with standard errors its normal one."""
    for row in table["differences"]:
        one, two = row["means"]
        of = f"{row['scale'].upper()}, {row['when']}, {' v '.join(row['arms'])}"
        definition, half = _half_width(row)
        slack = 10.0 ** -row["digits"]
        yield Line(row["study"], of, "printed", definition, row["printed"], one - two, row, slack)
        for part, value in (("low", one - two - half), ("high", one - two + half)):
            if part in row:
                yield Line(row["study"], of, part, definition, row[part], value, row)


def _half_width(row: Row) -> tuple[str, float]:
    if "sds" in row:
        (s1, s2), (n1, n2) = row["sds"], row["n"]
        pooled = ((n1 - 1) * s1**2 + (n2 - 1) * s2**2) / (n1 + n2 - 2)
        reach = float(stats.t.ppf(0.975, n1 + n2 - 2))
        return "difference of the printed means, Student, pooled SD", reach * float(np.sqrt(pooled * (1 / n1 + 1 / n2)))
    if "ses" in row:
        reach = float(stats.norm.ppf(0.975))
        return "difference of the printed means, normal, printed standard errors", reach * float(np.hypot(*row["ses"]))
    return "difference of the two printed means", 0.0


def _correlations(table: Row) -> Iterator[Line]:
    """p of a printed r with the number of people that gives it; n was not printed for each pair."""
    for row in table["correlations"]:
        r, n = row["r"], row["n"]
        edge = 0.5 * 10.0 ** -row["r_digits"]
        p, nearest = (float(p_of(value, n)) for value in (r, np.sign(r) * min(abs(r) + edge, 1 - 1e-12)))
        farthest = float(p_of(np.sign(r) * max(abs(r) - edge, 0.0), n))
        slack = max(p - nearest, 0.0) if p > row["p"] else max(farthest - p, 0.0)
        definition = f"two-sided t test of r with n = {n}; {_fisher(r, n)}"
        yield Line(row["study"], f"{row['pair']}, r = {r:g}", "p", definition, row["p"], p, row, slack)


def _fisher(r: float, n: int) -> str:
    low, high = (float(np.tanh(np.arctanh(r) + side * stats.norm.ppf(0.975) / np.sqrt(n - 3))) for side in (-1, 1))
    return f"95 % interval {low:.2f} to {high:.2f} (Fisher)"


def _figures(table: Row) -> Iterator[Line]:
    """What was printed without the counts or means that it comes from."""
    for row in table["figures"]:
        for part, printed in row["values"].items():
            yield Line(row["study"], row["what"], part, row["definition"], printed, None, row)


def study_effects(pool: Row) -> tuple[np.ndarray, np.ndarray]:
    """Effects and variances of a pool's studies, in the order of the file."""
    needs = effect_size.NEEDS[pool["measure"]]
    return effect_size.effects(
        pool["measure"], {name: np.array([float(s[name]) for s in pool["studies"]]) for name in needs}
    )


def _pools(table: Row) -> Iterator[Line]:
    for pool in table["pools"]:
        effect, variance = study_effects(pool)
        measured = effect_size.DEFINITIONS[pool["measure"]]
        for study, y, v in zip(pool["studies"], effect, variance, strict=True):
            row = {"digits": 3, "source": pool["source"]}
            for part, value in (("g", y), ("se", np.sqrt(v))):
                if part in study:
                    yield Line(pool["id"], study["study"], part, measured, study[part], float(value), row)
        for row in pool["printed"]:
            found = _pooled(effect, variance, row)
            for part, printed in row["values"].items():
                value = found.get(part)
                if value is not None and row.get("exponentiate"):
                    value = float(np.exp(value))
                yield Line(pool["id"], row["what"], part, row.get("definition", measured), printed, value, row)


def _pooled(effect: np.ndarray, variance: np.ndarray, row: Row) -> Mapping[str, float | None]:
    if "recorded" in row:
        return dict(row["recorded"])
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
