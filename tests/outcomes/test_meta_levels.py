"""Several effects per study: against metafor and clubSandwich, against the slow obvious likelihood, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from keel.domain.errors import Refused
from keel.library import shelf
from keel.outcomes import meta
from keel.outcomes.columns import design, numbers, read_table
from keel.outcomes.meta_levels import PooledLevels, pool_levels

ROOT = Path(__file__).parents[2]
REFERENCE = json.loads((ROOT / "tests/reference/meta/levels.json").read_text())
SETS = {name: pl.DataFrame(columns, strict=False) for name, columns in REFERENCE["sets"].items()}
SYPRES = ROOT.parent / "shared/data/depression-psiloctr.csv"


def fitted(fit: dict[str, Any], **options: Any) -> PooledLevels:
    table = SETS[fit["set"]]
    names = [fit["moderators"]] if isinstance(fit["moderators"], str) else fit["moderators"]
    wanted = design(table, names, intercept=False)
    return pool_levels(
        table["yi"].to_numpy(),
        table["vi"].to_numpy(),
        table["study"].to_list(),
        rho=fit["rho"],
        method=fit["method"],
        moderators=wanted.matrix if names else None,
        labels=wanted.labels,
        **options,
    )


def column(found: PooledLevels, key: str) -> list[float]:
    return [getattr(c, key) for c in found.coefficients]


def close(ours: Any, theirs: Any, relative: float, absolute: float = 0.0) -> None:
    np.testing.assert_allclose(np.asarray(ours, dtype=float), theirs, rtol=relative, atol=absolute)


@pytest.mark.parametrize(
    "fit", REFERENCE["fits"], ids=lambda f: f"{f['set']}-{f['method']}-{f['rho']}-{f['moderators']}"
)
def test_every_model_agrees_with_rma_mv_and_clubsandwich(fit: dict[str, Any]) -> None:
    z, unit = fitted(fit, intervals=False), float(np.median(SETS[fit["set"]]["vi"].to_numpy()))
    # Never a lower likelihood than metafor's; where its optimiser stopped early ours is higher, and the variances differ.
    assert z.loglik >= fit["loglik"] - 1e-8
    bar = 5e-6 + 10 * float(np.sqrt(max(0.0, z.loglik - fit["loglik"])))
    close([part.variance for part in z.levels], fit["sigma2"], bar, bar * unit)
    for key in ("estimate", "se"):
        close(column(z, key), fit[key], bar, bar * np.sqrt(unit))
    close(column(z, "p"), fit["p"], 10 * bar, 1e-12)
    close([part.i2 for part in z.levels], fit["i2"], bar, 100 * bar)
    close([z.q, z.q_p], [fit["q"], fit["q_p"]], 1e-9)
    for df in ("residual", "contain") if fit["set"] in ("twelve", "few") else ():
        t, theirs = fitted(fit, test="t", df=df, intervals=False), fit[df]
        close(column(t, "df"), theirs["df"], 1e-12)
        for key in ("ci_low", "ci_high"):
            close(column(t, key), theirs[key], bar, bar * np.sqrt(unit))
        if "joint" in theirs:
            close([t.moderator_statistic, t.moderator_p], theirs["joint"], 10 * bar)
        else:
            close([t.prediction_low, t.prediction_high], theirs["prediction"], bar, bar * np.sqrt(unit))
    if "cr2" not in fit:
        assert fit["set"] == "tiny"  # levels.R says why
        return
    robust, theirs = fitted(fit, robust="cr2", intervals=False), fit["cr2"]
    for key in ("se", "df", "ci_low", "ci_high", "p"):
        close(column(robust, key), theirs[key], 10 * bar, 1e-12 if key == "p" else 0)
    if "hotelling" in fit:
        found = [robust.moderator_statistic, robust.moderator_df, robust.moderator_p]
        close(found, [fit["hotelling"][key] for key in ("f", "df", "p")], 10 * bar)
        close([z.moderator_statistic, z.moderator_p], fit["joint"], 10 * bar)


@pytest.mark.parametrize("fit", [f for f in REFERENCE["fits"] if "profile" in f], ids=lambda f: f["set"])
def test_profile_intervals_agree_with_metafor(fit: dict[str, Any]) -> None:
    for part, theirs in zip(fitted(fit).levels, fit["profile"], strict=True):
        found = [(ours, end) for ours, end in zip((part.low, part.high), theirs, strict=True) if end is not None]
        assert found or fit["set"] == "flat"  # where metafor finds no end of an interval
        for ours, end in found:
            close(ours, end, 1e-6, 1e-8)


def sypres_rows(first_day: float) -> pl.DataFrame:
    """Every measurement from `first_day` after the last dose and before crossover, on the trial's primary scale."""
    table = read_table(SYPRES)
    number = {name: numbers(table, column) for name, column in (("g", ".g"), ("se", ".g_se"), ("day", "time_days"))}
    kept = pl.col("outcome_type").is_in(["msd", "imsd"]) & (pl.col("primary_instrument") == "1")
    kept &= (pl.col("post_crossover").fill_null("0") != "1") & (pl.col("day") >= first_day)
    kept &= ~pl.col("study").is_in(["Carhart-Harris 2021", "Krempien 2023", "Grob 2011"])
    for arm in ("multi_arm1", "multi_arm2"):
        kept &= pl.col(arm).fill_null("") != "10 mg"
    return table.with_columns(**{name: pl.Series(values) for name, values in number.items()}).filter(kept)


def recorded() -> list[tuple[str, dict[str, float], dict[str, Any]]]:
    """What the shelf records of the published database, whose rows it does not hold, and the fit of the same shape here."""
    pools = shelf.read("tables", "published_trials").table["pools"]
    rows = [row for row in pools[0]["printed"] if row["method"] == "three-level"]
    shaped = [f for f in REFERENCE["fits"] if (f["set"], f["rho"], f["method"]) == ("twelve", 0.6, "REML")]
    return [(row["what"], row["recorded"], shaped[int("per day" in row["what"])]) for row in rows]


@pytest.mark.parametrize(("what", "record", "shaped"), recorded(), ids=[what for what, _, _ in recorded()])
def test_the_recorded_three_level_figures_of_the_published_database(
    what: str, record: dict[str, float], shaped: dict[str, Any]
) -> None:
    """On the database where it is at hand; always on a set of the same shape (12 studies, 37 rows), against metafor."""
    assert SETS["twelve"].height == 37
    place = int("per day" in what)
    mine = fitted(shaped, test="t", intervals=False).coefficients[place]
    theirs = [shaped["estimate"], shaped["residual"]["ci_low"], shaped["residual"]["ci_high"]]
    close([mine.estimate, mine.ci_low, mine.ci_high], [np.atleast_1d(part)[place] for part in theirs], 1e-6)
    if not SYPRES.exists():
        return
    rows = sypres_rows(0.0 if "k = 39" in what else 0.001)
    assert f"k = {rows.height}" in what
    days = rows["day"].to_numpy()[:, None] if place else None
    g, variance = rows["g"].to_numpy(), rows["se"].to_numpy() ** 2
    found = pool_levels(g, variance, rows["study"].to_list(), test="t", moderators=days, intervals=False)
    parts = dict(zip(("between", "within"), (part.variance for part in found.levels), strict=True))
    for key, value in record.items():
        one = parts[key] if key in parts else getattr(found.coefficients[place], key)
        assert one == pytest.approx(value, abs=6e-6)


def dense(table: pl.DataFrame, theta: tuple[float, float], rho: float, x: np.ndarray, *, restricted: bool) -> float:
    """The log-likelihood as it is written on paper: one matrix for all rows."""
    y, v, study = (table[name].to_numpy() for name in ("yi", "vi", "study"))
    same = study[:, None] == study[None, :]
    total = same * (rho + (1 - rho) * np.eye(len(y))) * np.sqrt(np.outer(v, v))
    total = total + theta[0] * same + theta[1] * np.eye(len(y))
    w = np.linalg.inv(total)
    xwx = x.T @ w @ x
    residual = y - x @ np.linalg.solve(xwx, x.T @ w @ y)
    value = np.linalg.slogdet(total)[1] + residual @ w @ residual
    if restricted:
        value += np.linalg.slogdet(xwx)[1] - np.linalg.slogdet(x.T @ x)[1]
    return float(-0.5 * (value + (len(y) - (x.shape[1] if restricted else 0)) * np.log(2 * np.pi)))


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("name", ["twelve", "flat", "alike", "few"])
def test_nothing_around_the_maximum_is_higher(name: str, method: str) -> None:
    table, day = SETS[name], SETS[name]["day"].to_numpy().astype(float)[:, None]
    found = pool_levels(
        *(table[c].to_numpy() for c in ("yi", "vi")),
        table["study"].to_list(),
        method=method,
        moderators=day,
        intervals=False,
    )
    x = np.column_stack([np.ones(table.height), day])
    between, within = (part.variance for part in found.levels)
    assert dense(table, (between, within), 0.6, x, restricted=method == "REML") == pytest.approx(found.loglik, abs=1e-9)
    near = [(between + a, within + b) for a in (-1e-4, 0, 1e-4) for b in (-1e-4, 0, 1e-4)]
    far = [(a, b) for a in (0, 0.05, 0.3, 2) for b in (0, 0.05, 0.3, 2)]
    for theta in near + far:
        if min(theta) >= 0:
            assert dense(table, theta, 0.6, x, restricted=method == "REML") <= found.loglik + 1e-9


def test_one_effect_and_no_correlation_is_the_plain_model() -> None:
    """Two rows to every study, the second with a variance so large that it says nothing: what is left is `meta.pool`."""
    y, v = SETS["twelve"]["yi"].to_numpy()[:12], SETS["twelve"]["vi"].to_numpy()[:12]
    effects, variances = np.concatenate([y, y]), np.concatenate([v, np.full(12, 1e9)])
    found = pool_levels(effects, variances, [str(i) for i in range(12)] * 2, rho=0, intervals=False)
    plain = meta.pool(y, v)
    assert [found.coefficients[0].estimate, found.tau2] == pytest.approx([plain.estimate, plain.tau2], rel=1e-4)


@pytest.mark.parametrize(("unit", "shift"), [(1e-5, 0.0), (1e-40, 0.0), (1e9, 0.0), (1.0, 1e7)])
def test_rows_may_stand_in_any_order_in_any_unit_and_far_from_zero(unit: float, shift: float) -> None:
    table = SETS["few"]
    y, v, study = (table[name].to_numpy() for name in ("yi", "vi", "study"))
    found = pool_levels(y, v, study.tolist(), robust="cr2")
    order = np.random.default_rng(1).permutation(len(y))
    moved = pool_levels(unit * y[order] + shift, unit**2 * v[order], study[order].tolist(), robust="cr2")
    one, two = found.coefficients[0], moved.coefficients[0]
    assert [(two.estimate - shift) / unit, two.se / unit] == pytest.approx([one.estimate, one.se], rel=1e-6)
    assert [two.df, moved.i2, moved.q] == pytest.approx([one.df, found.i2, found.q], rel=1e-6)
    for mine, theirs in zip(moved.levels, found.levels, strict=True):
        assert mine.low is not None and mine.high is not None
        scaled = [part / unit**2 for part in (mine.variance, mine.low, mine.high)]
        assert scaled == pytest.approx([theirs.variance, theirs.low, theirs.high], rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "study", "options", "says"),
    [
        (4, "abcd", {}, "cannot tell the one from the other"),
        (4, "aaaa", {}, "there is one study with 4 effects"),
        (4, "aabb", {"moderators": np.array([[0.0], [0.0], [1.0], [1.0]])}, "2 studies with 4 effects and moderators"),
        (4, "aabb", {"rho": 1.0}, "but not at, 1"),
        (4, "aabb", {"rho": -0.1}, "from 0"),
        (4, "aabb", {"rho": float("nan")}, "nan"),
        (4, "aabb", {"method": "DL"}, "'DL'"),
        (4, "aabb", {"test": "knha"}, "'knha'"),
        (1, "a", {}, "there is 1"),
        (6, "aabbcc", {"robust": "cr2", "moderators": np.arange(6)[:, None]}, "agree exactly with the model"),
        (5, "aabbc", {"moderators": np.array([[0.0], [0], [0], [0], [1]]), "robust": "cr2"}, "one study alone"),
    ],
)
def test_what_cannot_be_pooled_in_levels_is_refused_in_words(
    rows: int, study: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(Refused, match=says):
        pool_levels(np.arange(rows) / 7, np.full(rows, 0.1), list(study), intervals=False, **options)
