"""`keel meta · effect-size · correlate · mediate · blinding`: the evidence engine on a CSV or Parquet file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from keel.domain.errors import refuse
from keel.outcomes import blinding, correlate, effect_size, mediation, meta, meta_levels
from keel.outcomes.columns import (
    FloatArray,
    alphabetical,
    check_varies,
    complete_rows,
    design,
    is_constant,
    numbers,
    read_table,
    texts,
)

# What a column may be called when a meta-analysis names a measure and no columns.
CALLED: dict[str, tuple[str, ...]] = {
    "m1": ("m1", "m1i", "mean1", "mean_arm1", "mean1i"),
    "sd1": ("sd1", "sd1i", "sd_arm1"),
    "n1": ("n1", "n1i", "n_arm1", "totaln_arm1"),
    "m2": ("m2", "m2i", "mean2", "mean_arm2", "mean2i"),
    "sd2": ("sd2", "sd2i", "sd_arm2"),
    "n2": ("n2", "n2i", "n_arm2", "totaln_arm2"),
    "a": ("a", "ai", "events1", "event_arm1"),
    "c": ("c", "ci", "events2", "event_arm2"),
    "x": ("x", "xi", "events"),
    "n": ("n", "ni"),
    "r": ("r", "ri"),
}

DRAWS = 10_000
# What is taken for the correlation of a study's sampling errors where nobody said: assumed, and told.
ASSUMED_RHO = 0.6

POOLED = (
    *("k", "estimate", "se", "ci_low", "ci_high", "statistic", "p"),
    *("tau2", "i2", "h2", "q", "q_p", "prediction_low", "prediction_high"),
)


def run(command: str, argv: Sequence[str]) -> int:
    given = PARSERS[command]().parse_args(list(argv))
    return printed(ANSWERS[command](given), as_json=given.json)


def printed(answer: dict[str, Any], *, as_json: bool) -> int:
    """Print what a command found, for a program or for a person; the exit status of what went well."""
    if as_json:
        print(json.dumps(plain(answer), allow_nan=False))
    else:
        show(answer)
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr)


def plain(value: Any) -> Any:
    """A value as JSON has it: frozen values become objects, arrays lists, what is not a number null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _held(field.name, plain(getattr(value, field.name))) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _held(str(key), plain(part)) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return [plain(part) for part in value.tolist()]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _held(key: str, value: Any) -> Any:
    """A probability is never 0: what is smaller than a double can hold is printed as the smallest that it holds."""
    is_p = key in ("p", "q_p", "p_adjusted") or key.endswith("_p")
    return sys.float_info.min if is_p and isinstance(value, float) and value == 0.0 else value


def show(answer: dict[str, Any], indent: str = "") -> None:
    """The same answer for a person: a name and its value per line, lists of results as blocks."""
    for key, value in plain(answer).items():
        if isinstance(value, dict):
            print(f"{indent}{key}")
            show(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for part in value:
                print(f"{indent}{key}")
                show(part, indent + "  ")
        else:
            print(f"{indent}{key:<18} {f'{value:.6g}' if isinstance(value, float) else value}")


def parser(command: str, text: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog=f"keel {command}", description=text, allow_abbrev=False)
    made.add_argument("file", type=Path, metavar="FILE", help="CSV or Parquet")
    made.add_argument("--json", action="store_true", help="JSON on standard output")
    made.add_argument("--level", type=share, default=0.95, help="of the intervals (0.95)")
    return made


def share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("a share lies between 0 and 1")
    return value


# ---- meta ----------------------------------------------------------------------------------------------


def meta_parser() -> argparse.ArgumentParser:
    made = parser("meta", "Meta-analysis of studies, one per row.")
    made.add_argument("--effect", "--yi", metavar="COLUMN")
    made.add_argument("--variance", "--vi", metavar="COLUMN")
    made.add_argument("--se", "--sei", metavar="COLUMN", help="in place of --variance")
    measures(made)
    made.add_argument("--method", type=str.upper, default="REML", help=", ".join(meta.METHODS))
    made.add_argument("--test", type=str.lower, default="z", help=", ".join(meta.TESTS))
    made.add_argument("--prediction", default="metafor", choices=["metafor", "classic"])
    made.add_argument("--study", metavar="COLUMN", help="names of the studies")
    made.add_argument("--by", metavar="COLUMN", help="subgroups")
    made.add_argument("--moderators", nargs="+", metavar="COLUMN", default=[])
    made.add_argument(
        "--keep-empty", action="store_true", help="RR, OR: keep studies with no event, or only events, in both arms"
    )
    made.add_argument("--cluster", metavar="COLUMN", help="the study of each row, where studies give several effects")
    made.add_argument(
        "--rho", type=float, help=f"with --cluster: correlation of a study's sampling errors ({ASSUMED_RHO:g})"
    )
    made.add_argument("--robust", type=str.lower, choices=meta_levels.ROBUST, help="with --cluster: sandwich errors")
    made.add_argument("--df", choices=meta_levels.DFS, help="with --cluster and --test t (residual)")
    for name in ("leave-one-out", "cumulative", "egger", "trim-and-fill"):
        made.add_argument(f"--{name}", action="store_true")
    made.add_argument(
        "--estimator", type=str.upper, default="L0", choices=["L0", "R0"], help="for --trim-and-fill (L0)"
    )
    made.add_argument("--figures", type=Path, metavar="DIR", help="draw forest.svg and funnel.svg there")
    return made


def measures(made: argparse.ArgumentParser) -> None:
    made.add_argument("--measure", type=str.upper, choices=list(effect_size.NEEDS), help="compute the effect")
    for name, columns in CALLED.items():
        made.add_argument(f"--{name}", metavar="COLUMN", help=f"for --measure; else one of {', '.join(columns)}")


@dataclasses.dataclass(frozen=True)
class Studies:
    """The complete rows of a table of effects; `moderators` (k × q) with a name per column in `terms`."""

    labels: list[str]
    effect: FloatArray
    variance: FloatArray
    moderators: FloatArray | None
    terms: tuple[str, ...]
    groups: list[str]
    clusters: list[str]


def read_studies(given: argparse.Namespace) -> Studies:
    table = read_table(given.file)
    effect, variance = study_effects(given, table)
    wanted = design(table, given.moderators, intercept=False)
    words = {name: texts(table, name) for name in (given.by, given.cluster) if name}
    keep = complete_rows(effect, variance, *([wanted.matrix] if given.moderators else []))
    for column in words.values():
        keep &= np.array([word is not None for word in column])
    if not keep.all():
        say(f"{int((~keep).sum())} of {len(keep)} rows were left out: a value is missing there.")
    named = texts(table, given.study) if given.study else [f"row {i + 1}" for i in range(table.height)]
    kept = np.flatnonzero(keep)
    groups, clusters = ([str(words[name][i]) for i in kept] if name else [] for name in (given.by, given.cluster))
    moderators = wanted.matrix[keep] if given.moderators else None
    labels = [str(named[i]) for i in kept]
    return Studies(labels, effect[keep], variance[keep], moderators, wanted.labels, groups, clusters)


def meta_answer(given: argparse.Namespace) -> dict[str, Any]:
    _check_clustered(given)
    _tell_one_mean(given)
    studies = read_studies(given)
    answer = clustered(given, studies) if given.cluster else one_each(given, studies)
    if given.measure:
        answer |= {"measure": given.measure, "definition": effect_size.DEFINITIONS[given.measure]}
    return answer


def one_each(given: argparse.Namespace, studies: Studies) -> dict[str, Any]:
    """Every row a study of its own."""
    y, v = studies.effect, studies.variance
    chosen = meta.Chosen(method=given.method, test=given.test, level=given.level, prediction=given.prediction)
    pooled = meta.pool(y, v, moderators=studies.moderators, labels=studies.terms, **chosen)
    answer = pooled_json(pooled) | {"method": pooled.method, "test": pooled.test, "level": pooled.level}
    if given.moderators:
        answer |= {key: getattr(pooled, key) for key in ("coefficients", "moderator_statistic", "moderator_p", "r2")}
    if pooled.method != "FE":
        answer |= plain(meta.heterogeneity_intervals(y, v, level=given.level, moderators=studies.moderators))
    if given.by:
        parts = meta.by_subgroup(y, v, studies.groups, **chosen)
        answer["by"] = [{"group": name} | (pooled_json(part) if part else {"k": 1}) for name, part in parts.groups]
        answer["between"] = {"q": parts.q_between, "df": parts.q_df, "p": parts.q_p}
    labels = studies.labels
    if given.leave_one_out:
        rest = meta.leave_one_out(y, v, **chosen)
        answer["leave_one_out"] = [{"without": n} | pooled_json(p) for n, p in zip(labels, rest, strict=True)]
    if given.cumulative:
        grown = meta.cumulative(y, v, **chosen)
        answer["cumulative"] = [{"up_to": n} | pooled_json(p) for n, p in zip(labels[1:], grown, strict=True)]
    if given.egger:
        answer["egger"] = meta.egger(y, v)
        answer["egger_rma"] = meta.egger(y, v, model="rma", method=given.method, test=given.test)
    if given.trim_and_fill:
        filled = meta.trim_and_fill(y, v, estimator=given.estimator, **chosen)
        about = {"estimator": filled.estimator, "side": filled.side, "filled": filled.filled, "filled_se": filled.se}
        answer["trim_and_fill"] = about | pooled_json(filled.pooled) | {"test": filled.pooled.test}
        if given.test != "z":
            say(f"Trim and fill: tested by {given.test}, as was asked; metafor's trimfill goes back to z.")
    if given.figures:
        added = filled if given.trim_and_fill else None
        answer["figures"] = draw(given, labels, y, v, pooled, added)
    return answer


def clustered(given: argparse.Namespace, studies: Studies) -> dict[str, Any]:
    """Several rows to a study: the model with a variance between and one within studies."""
    if given.rho is None:
        say(
            f"The sampling errors within a study are taken to correlate {ASSUMED_RHO:g} (--rho; 0 where every effect has "
            "people of its own)."
        )
    pooled = meta_levels.pool_levels(
        studies.effect,
        studies.variance,
        studies.clusters,
        rho=ASSUMED_RHO if given.rho is None else given.rho,
        method=given.method,
        test=given.test,
        df=given.df or "residual",
        robust=given.robust,
        level=given.level,
        moderators=studies.moderators,
        labels=studies.terms,
    )
    found = vars(pooled) | vars(pooled.coefficients[0]) | {"tau2": pooled.tau2}
    answer = {key: found[key] for key in POOLED}
    answer |= {key: found[key] for key in ("method", "test", "level", "df", "df_method", "robust")}
    answer |= {"cluster": given.cluster, "studies": pooled.studies, "rho": pooled.rho, "levels": pooled.levels}
    if given.moderators:
        answer |= {key: found[key] for key in ("coefficients", "moderator_statistic", "moderator_df", "moderator_p")}
    return answer


def _check_clustered(given: argparse.Namespace) -> None:
    """Some options are about several effects per study, others about one effect per study."""
    if not given.cluster:
        alone = [f"--{name}" for name in ("rho", "robust", "df") if getattr(given, name) is not None]
        if alone:
            raise refuse(
                f"{alone[0]} was not used",
                "it is about studies that give several effects",
                "Name the column of the studies with --cluster",
                where=alone[0],
            )
        return
    of_one = ("by", "leave_one_out", "cumulative", "egger", "trim_and_fill", "figures")
    asked = [f"--{name.replace('_', '-')}" for name in of_one if getattr(given, name)]
    asked += ["--prediction classic"] if given.prediction != "metafor" else []
    if asked:
        raise refuse(
            f"{asked[0]} was not made",
            "it is about one effect for each study, and --cluster names studies with several",
            "Leave one of the two out",
            where=asked[0],
        )


def draw(
    given: argparse.Namespace,
    labels: Sequence[str],
    y: FloatArray,
    v: FloatArray,
    pooled: meta.Pooled,
    filled: meta.TrimAndFill | None,
) -> list[str]:
    """The forest and the funnel as SVG; the names of the files that were written."""
    # Charts are drawings only; whoever asks for numbers does not wait for them.
    from keel.web.layout import charts

    reach = float(stats.norm.ppf((1 + given.level) / 2))
    across = effect_size.DEFINITIONS[given.measure] if given.measure else str(given.effect)
    weights = 1 / (v + pooled.tau2)
    studies = tuple(
        charts.Study(label, one, one - reach * se, one + reach * se, weight)
        for label, one, se, weight in zip(labels, y, np.sqrt(v), weights / weights.max(), strict=True)
    )
    limits = None
    if pooled.prediction_low is not None and pooled.prediction_high is not None:
        limits = (pooled.prediction_low, pooled.prediction_high)
    whole = charts.Study(f"{pooled.k} studies, {pooled.method}", pooled.estimate, pooled.ci_low, pooled.ci_high)
    forest = charts.forest(charts.Forest(f"Forest plot: {across}", studies, whole, limits, less=across))
    added: tuple[tuple[float, float], ...] = ()
    if filled is not None:
        added = tuple(zip(filled.effect[len(y) :].tolist(), np.sqrt(filled.variance[len(y) :]).tolist(), strict=True))
    placed = tuple(zip(labels, y.tolist(), np.sqrt(v).tolist(), strict=True))
    funnel = charts.funnel(charts.Funnel(f"Funnel plot: {across}", across, placed, pooled.estimate, reach, added))
    try:
        given.figures.mkdir(parents=True, exist_ok=True)
        for name, chart in (("forest.svg", forest), ("funnel.svg", funnel)):
            (given.figures / name).write_text(chart.wide, encoding="utf-8")
    except OSError as error:
        raise refuse(
            "The figures were not written",
            str(error.strerror or error).lower(),
            "Give a folder that can be written",
            where=str(given.figures),
        ) from None
    return ["forest.svg", "funnel.svg"]


def _tell_one_mean(given: argparse.Namespace) -> None:
    """With moderators there is no one pooled effect: what looks at it from another side leaves them out, aloud."""
    if not given.moderators:
        return
    if given.figures:
        raise refuse(
            "The figures were not drawn",
            "with --moderators there is no one pooled effect to draw",
            "Leave out --moderators",
            where="--figures",
        )
    sides = ("by", "leave_one_out", "cumulative", "trim_and_fill", "egger")
    asked = [f"--{name.replace('_', '-')}" for name in sides if getattr(given, name)]
    if asked:
        say(f"{', '.join(asked)}: computed without the moderators.")


def study_effects(given: argparse.Namespace, table: pl.DataFrame) -> tuple[FloatArray, FloatArray]:
    if given.measure:
        columns = {
            name: numbers(table, measure_column(given, table, name)) for name in effect_size.NEEDS[given.measure]
        }
        found = effect_size.effects(given.measure, columns, keep_empty=given.keep_empty)
        _tell_empty(found[0], columns)
        return found
    if not given.effect or not (given.variance or given.se):
        raise refuse(
            "No effects were named",
            "a meta-analysis needs an effect and its variance for every study",
            "Give --effect and --variance (or --se), or a --measure with the columns it is made from",
            where="keel meta",
        )
    if given.variance:
        return numbers(table, given.effect), numbers(table, given.variance)
    errors = numbers(table, given.se)
    if (errors <= 0).any():
        row = int(np.flatnonzero(errors <= 0)[0])
        raise refuse(
            f"A standard error of {errors[row]:g} is not possible",
            "it is greater than zero",
            where=f"{given.se}, row {row + 1}",
        )
    return numbers(table, given.effect), errors**2


def _tell_empty(effect: FloatArray, columns: dict[str, FloatArray]) -> None:
    empty = np.flatnonzero(np.isnan(effect) & complete_rows(*columns.values()))
    if empty.size:
        where = ", ".join(str(row + 1) for row in empty[:5]) + (" …" if empty.size > 5 else "")
        say(f"Row {where}: no event, or only events, in both arms, so there is no ratio (--keep-empty gives one).")


def measure_column(given: argparse.Namespace, table: pl.DataFrame, name: str) -> str:
    named = getattr(given, name)
    if named:
        return str(named)
    for candidate in CALLED[name]:
        if candidate in table.columns:
            return candidate
    raise refuse(
        f"No column was named for {name}",
        f"{given.measure} needs it, and none of {', '.join(CALLED[name])} is there",
        f"Give --{name} COLUMN (the table has {', '.join(table.columns)})",
        where=name,
        code="no-column",
    )


def pooled_json(pooled: meta.Pooled) -> dict[str, Any]:
    return {key: getattr(pooled, key) for key in POOLED}


# ---- effect-size ---------------------------------------------------------------------------------------


def effect_size_parser() -> argparse.ArgumentParser:
    text = "The effect of people's own values, between two arms or before and after; or of each row's counts or means."
    made = parser("effect-size", text)
    made.add_argument("--outcome", metavar="COLUMN", help="with --arm: the value to compare")
    made.add_argument("--arm", metavar="COLUMN")
    made.add_argument("--reference", metavar="ARM", help="the arm that is subtracted (the one that sorts last)")
    made.add_argument("--before", metavar="COLUMN")
    made.add_argument("--after", metavar="COLUMN")
    measures(made)
    between, within = ["g", "d", "delta-reference", "delta-other"], list(effect_size.WITHIN)
    made.add_argument("--kind", choices=[*between, *(w.replace("_", "-") for w in within)], help="g, or d-z within")
    return made


def effect_size_answer(given: argparse.Namespace) -> dict[str, Any]:
    table = read_table(given.file)
    if given.measure:
        return summary_effects(given, table)
    if given.before and given.after:
        return effect_json(within_effect(given, table))
    if given.outcome and given.arm:
        return effect_json(between_effect(given, table))
    raise refuse(
        "No effect was named",
        "an effect compares two arms, or two moments",
        "Give --outcome and --arm, or --before and --after, or --measure with the columns it is made from",
        where="keel effect-size",
    )


def summary_effects(given: argparse.Namespace, table: pl.DataFrame) -> dict[str, Any]:
    """One effect per row of means, counts or correlations; a row with a gap has no result and says so."""
    needs = effect_size.NEEDS[given.measure]
    columns = {name: numbers(table, measure_column(given, table, name)) for name in needs}
    effect_size.effects(given.measure, columns)
    results: list[dict[str, Any]] = []
    for row in range(table.height):
        values = {name: float(column[row]) for name, column in columns.items()}
        if any(math.isnan(value) for value in values.values()):
            results.append({"row": row + 1, "estimate": None, "why": "a value is missing"})
        else:
            found = effect_size.from_summary(given.measure, level=given.level, **values)
            results.append({"row": row + 1} | effect_json(found))
    if len(results) == 1:
        return results[0]
    return {
        "measure": given.measure,
        "method": effect_size.DEFINITIONS[given.measure],
        "seed": None,
        "results": results,
    }


def effect_json(effect: effect_size.EffectSize) -> dict[str, Any]:
    return (
        plain(effect)
        | bounds(effect)
        | {"interval_method": effect.interval, "method": f"{effect.definition}; {effect.interval}", "seed": None}
    )


def within_effect(given: argparse.Namespace, table: pl.DataFrame) -> effect_size.EffectSize:
    before, after = numbers(table, given.before), numbers(table, given.after)
    keep = complete_rows(before, after)
    before, after = before[keep], after[keep]
    for name, values in ((given.before, before), (given.after, after)):
        check_spread(values, name)
    if float(np.ptp(after - before)) <= 1e-14 * float(max(np.abs(before).max(), np.abs(after).max())):
        raise refuse(
            "The effect was not computed", "everybody changed alike, so the change has no spread", where=given.after
        )
    r = float(np.corrcoef(before, after)[0, 1])
    if abs(r) > 1 - 1e-10:
        raise refuse(
            "The effect was not computed",
            f"{given.before} and {given.after} lie on one line (r = {r:.0f}), so there is no error to make an interval from",
            "Look whether one column was made from the other",
            where=f"{given.before}, {given.after}",
        )
    kind = (given.kind or "d-z").replace("-", "_")
    if kind not in effect_size.WITHIN:
        raise refuse(
            f"{given.kind} compares two groups",
            "--before and --after are one group",
            "Choose d-z, d-av, d-rm or d-baseline",
        )
    return effect_size.within_d(
        float(before.mean()), sd(before), float(after.mean()), sd(after), len(before), r, kind=kind, level=given.level
    )


def between_effect(given: argparse.Namespace, table: pl.DataFrame) -> effect_size.EffectSize:
    values, arms = numbers(table, given.outcome), texts(table, given.arm)
    there = {arm for arm, value in zip(arms, values, strict=True) if arm is not None and not np.isnan(value)}
    names = alphabetical(there)
    if len(names) != 2:
        raise refuse(
            "The arms were not compared",
            f"column {given.arm!r} has {len(names)} arms with values ({', '.join(names) or 'none'}), not two",
            "Keep the rows of two arms",
            where=given.arm,
        )
    reference = given.reference or names[1]
    if reference not in names:
        raise refuse(
            f"There is no arm {reference!r}", "no row has it", f"There are: {', '.join(names)}", where=given.arm
        )
    other = names[0] if reference == names[1] else names[1]
    chosen = {
        name: np.array([v for a, v in zip(arms, values, strict=True) if a == name and not np.isnan(v)])
        for name in (other, reference)
    }
    for name, group in chosen.items():
        check_spread(group, f"{given.outcome} in {name}")
    one, two = chosen[other], chosen[reference]
    kind = given.kind or "g"
    if kind in ("g", "d"):
        return effect_size.cohens_d(
            float(one.mean()),
            sd(one),
            len(one),
            float(two.mean()),
            sd(two),
            len(two),
            level=given.level,
            hedges=kind == "g",
        )
    if kind not in ("delta-reference", "delta-other"):
        raise refuse(
            f"{kind} is a change within one group", "--arm compares two", "Choose g, d, delta-reference or delta-other"
        )
    giver, whose = (sd(two), "control") if kind == "delta-reference" else (sd(one), "treated")
    return effect_size.glass_delta(
        float(one.mean()), len(one), float(two.mean()), len(two), sd=giver, sd_of=whose, level=given.level
    )


def sd(values: FloatArray) -> float:
    return float(values.std(ddof=1))


def check_spread(values: FloatArray, name: str) -> None:
    if len(values) < 2 or is_constant(values):
        why = f"it has {len(values)} values" if len(values) < 2 else f"every value is {values[0]:g}"
        raise refuse(
            "The effect was not computed", f"{why}, so there is no spread to divide by", where=name, code="constant"
        )


# ---- correlate -----------------------------------------------------------------------------------------


def correlate_parser() -> argparse.ArgumentParser:
    made = parser("correlate", "Correlations of every --x with every --y.")
    made.add_argument("--x", nargs="+", required=True, metavar="COLUMN")
    made.add_argument("--y", nargs="+", required=True, metavar="COLUMN")
    methods = ["pearson", "spearman", "repeated", "within", "between", "multilevel"]
    made.add_argument("--method", type=str.lower, choices=methods, help="pearson; repeated where --subject is given")
    made.add_argument("--partial", nargs="+", default=[], metavar="COLUMN", help="held constant")
    made.add_argument("--subject", metavar="COLUMN", help="whose row it is, for repeated measures")
    made.add_argument("--adjust", choices=["holm", "bh"])
    resampling(made, default=None)
    return made


def resampling(made: argparse.ArgumentParser, *, default: int | None) -> None:
    drawn = f"draws ({DRAWS})" if default else f"draws (none; {DRAWS} where --interval is given)"
    made.add_argument("--bootstrap", type=int, default=default, metavar="N", help=drawn)
    made.add_argument("--interval", choices=["bca", "percentile", "delta"], help="bca where there are draws")
    made.add_argument("--seed", type=int, default=1)


def correlate_answer(given: argparse.Namespace) -> dict[str, Any]:
    table = read_table(given.file)
    person = texts(table, given.subject) if given.subject else None
    method = given.method or ("repeated" if given.subject else "pearson")
    # `multilevel` gives both: within people and between them. `repeated` is the within-person correlation.
    methods = {"repeated": ["within"], "multilevel": ["within", "between"]}.get(method, [method])
    pairs = [(x, y, m) for x in given.x for y in given.y for m in methods]
    results = [correlation_of(given, table, person, *pair) for pair in pairs]
    if given.adjust:
        stepped = correlate.adjusted([r["p"] for r in results], given.adjust)
        results = [r | {"p_adjusted": p, "adjust": given.adjust} for r, p in zip(results, stepped, strict=True)]
    return results[0] if len(results) == 1 else {"method": method, "seed": results[0]["seed"], "results": results}


def correlation_of(
    given: argparse.Namespace, table: pl.DataFrame, person: list[str | None] | None, x: str, y: str, method: str
) -> dict[str, Any]:
    one, two = numbers(table, x), numbers(table, y)
    partial = design(table, given.partial, intercept=False)
    held = partial.matrix if given.partial else None
    keep = complete_rows(one, two, *([held] if held is not None else []))
    if person is not None:
        keep &= np.array([p is not None for p in person])
    for name, values in ((x, one), (y, two)):
        check_varies(values[keep], name)
    # Whoever names a bootstrap interval gets one, not silently Fisher's.
    draws = DRAWS if given.bootstrap is None and given.interval else given.bootstrap
    found = correlate.correlate(
        one[keep],
        two[keep],
        method=method,
        given=None if held is None else held[keep],
        person=[str(p) for p, kept in zip(person, keep, strict=True) if kept] if person is not None else None,
        level=given.level,
        resample=correlate.Bootstrap(draws, given.interval or "bca", given.seed) if draws else None,
        names=[x, y, *partial.labels],
    )
    return {"x": x, "y": y} | plain(found) | bounds(found) | {"interval_method": found.interval}


def bounds(found: Any) -> dict[str, Any]:
    return {"interval": [found.ci_low, found.ci_high]}


# ---- mediate -------------------------------------------------------------------------------------------


def mediate_parser() -> argparse.ArgumentParser:
    made = parser("mediate", "Does X work on Y through M: indirect, direct and total effect.")
    made.add_argument("--x", required=True, metavar="COLUMN")
    made.add_argument("--m", nargs="+", required=True, metavar="COLUMN", help="in causal order when serial")
    made.add_argument("--y", required=True, metavar="COLUMN")
    made.add_argument("--covariates", nargs="+", default=[], metavar="COLUMN")
    made.add_argument("--mode", choices=["parallel", "serial"], default="parallel")
    made.add_argument("--sensitivity", action="store_true", help="to unmeasured confounding (one mediator)")
    resampling(made, default=DRAWS)
    return made


def mediate_answer(given: argparse.Namespace) -> dict[str, Any]:
    table = read_table(given.file)
    x = design(table, [given.x], intercept=False)
    if x.matrix.shape[1] != 1:
        raise refuse(
            f"Column {given.x!r} cannot be X",
            f"it has {x.matrix.shape[1] + 1} levels",
            "Give a number, or two levels",
            where=given.x,
        )
    columns = [x.matrix[:, 0], *(numbers(table, m) for m in given.m), numbers(table, given.y)]
    covariates = design(table, given.covariates, intercept=False)
    keep = complete_rows(*columns, *([covariates.matrix] if given.covariates else []))
    if not keep.all():
        say(f"{int((~keep).sum())} of {len(keep)} rows were left out: a value is missing there.")
    columns = [column[keep] for column in columns]
    for name, column in zip([given.x, *given.m, given.y], columns, strict=True):
        check_varies(column, name)
    covered = covariates.matrix[keep] if given.covariates else None
    found = mediation.mediate(
        columns[0],
        np.column_stack(columns[1:-1]),
        columns[-1],
        covariates=covered,
        names=given.m,
        called=[given.x, *covariates.labels, given.y],
        serial=given.mode == "serial",
        interval=given.interval or "bca",
        draws=given.bootstrap,
        seed=given.seed,
        level=given.level,
    )
    effects = {name: effect_part(getattr(found, name)) for name in ("indirect", "direct", "total", "proportion")}
    answer = effects["indirect"] | {"method": f"{found.mode}, {found.interval}", "seed": found.seed, "n": found.n}
    answer |= {"x": x.labels[0], "mediators": given.m, "y": given.y, "level": found.level, "draws": found.draws}
    answer |= effects | {
        "specific": [effect_part(e) for e in found.specific],
        "paths": [effect_part(e) for e in found.paths],
    }
    if given.sensitivity:
        if len(given.m) != 1:
            raise refuse(
                "The sensitivity was not computed", f"there are {len(given.m)} mediators", "It is for one", where="--m"
            )
        answer["sensitivity"] = mediation.sensitivity(
            columns[0], columns[1], columns[-1], covariates=covered, seed=given.seed, level=given.level
        )
    return answer


def effect_part(effect: mediation.Effect) -> dict[str, Any]:
    found: dict[str, Any] = plain(effect)
    return found | bounds(effect)


# ---- blinding ------------------------------------------------------------------------------------------


def blinding_parser() -> argparse.ArgumentParser:
    made = parser("blinding", "What people guessed they were given: Bang's and James' index.")
    made.add_argument("--arm", required=True, metavar="COLUMN")
    made.add_argument("--guess", required=True, metavar="COLUMN")
    made.add_argument("--dont-know", nargs="+", default=["don't know", "dk", "unknown"], metavar="WORD")
    made.add_argument("--empty-is-dont-know", action="store_true", help="else an empty guess is one not asked for")
    made.add_argument("--outcome", metavar="COLUMN", help="also compare the arms' outcome with the guess in the model")
    made.add_argument("--subject", metavar="COLUMN", help="for --outcome: whose row it is, where people have several")
    made.add_argument("--treated", metavar="ARM", help="for --outcome: the arm counted as 1 (the one that sorts last)")
    return made


def blinding_answer(given: argparse.Namespace) -> dict[str, Any]:
    table = read_table(given.file)
    arm, guess = texts(table, given.arm), texts(table, given.guess)
    if given.empty_is_dont_know:
        guess = [given.dont_know[0] if g is None else g for g in guess]
    elif None in guess:
        say(f"{guess.count(None)} of {len(guess)} rows have no guess and were left out.")
    counted = blinding.tally(arm, guess, dont_know=given.dont_know)
    whole = blinding.james(counted, level=given.level)
    per_arm = blinding.bang(counted, level=given.level) if len(counted.arms) == 2 else ()
    for index in (whole, *per_arm):
        if index.se is None:
            say(
                f"{index.name}, {index.arm}: all {index.n} answered alike, so its formula gives no error: no interval, no p."
            )
    answer = plain(whole) | bounds(whole) | {"method": "James", "seed": None}
    answer |= {"james": plain(whole) | bounds(whole), "bang": [plain(index) | bounds(index) for index in per_arm]}
    answer["counts"] = [
        {"arm": own, "guesses": dict(zip([*counted.arms, "don't know"], row.astype(int).tolist(), strict=True))}
        for own, row in zip(counted.arms, counted.counts, strict=True)
    ]
    if given.outcome:
        answer["outcome_by_guess"] = guess_model(given, table, arm, guess, counted.arms)
    return answer


def guess_model(
    given: argparse.Namespace,
    table: pl.DataFrame,
    arm: list[str | None],
    guess: list[str | None],
    arms: tuple[str, ...],
) -> blinding.ByGuess:
    treated = given.treated or arms[-1]
    if len(arms) != 2 or treated not in arms:
        raise refuse(
            "The outcome by guess was not computed", f"it needs two arms, one of them {treated!r}", where=given.arm
        )
    values = numbers(table, given.outcome)
    who = texts(table, given.subject) if given.subject else None
    rows = [
        i
        for i, (a, g) in enumerate(zip(arm, guess, strict=True))
        if a in arms and g in arms and not np.isnan(values[i])
    ]
    if who is not None:
        named = [i for i in rows if who[i] is not None]
        if len(named) < len(rows):
            say(f"{len(rows) - len(named)} rows without {given.subject!r} were left out of the outcome by guess.")
        rows = named
    own, guessed = ([float(column[i] == treated) for i in rows] for column in (arm, guess))
    person = [str(who[i]) for i in rows] if who is not None else None
    return blinding.outcome_by_guess(np.array(own), np.array(guessed), values[rows], person=person)


PARSERS = {
    "meta": meta_parser,
    "effect-size": effect_size_parser,
    "correlate": correlate_parser,
    "mediate": mediate_parser,
    "blinding": blinding_parser,
}
ANSWERS = {
    "meta": meta_answer,
    "effect-size": effect_size_answer,
    "correlate": correlate_answer,
    "mediate": mediate_answer,
    "blinding": blinding_answer,
}
