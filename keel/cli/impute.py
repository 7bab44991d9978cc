"""`keel impute FILE …`: missing outcomes imputed at random or as the reference arm fared, and the tipping point."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from typing import Any

from keel.cli.evidence import parser, plain, printed
from keel.domain.errors import refuse
from keel.outcomes import imputation
from keel.outcomes.columns import alphabetical, read_table, texts

# A sign belongs to a number only at the start of a word: the dashes of a date are none.
NUMBER = re.compile(r"((?:(?<!\S)-)?\d+(?:\.\d+)?)")
THEORIES = ("rubin", "conditional-mean")


def run(command: str, argv: Sequence[str]) -> int:
    given = _parser(command).parse_args(list(argv))
    return printed(impute_answer(given), as_json=given.json)


def _parser(command: str) -> argparse.ArgumentParser:
    made = parser(command, "The difference between arms at one visit where outcomes are missing: imputed many times.")
    for name, text in (
        ("subject", "whose row it is"),
        ("visit", "the visits; a row that is absent is a missing outcome"),
        ("arm", "the arms"),
        ("outcome", "a number, empty where it is missing"),
    ):
        made.add_argument(f"--{name}", required=True, metavar="COLUMN", help=text)
    made.add_argument("--covariates", nargs="+", default=[], metavar="COLUMN", help="known of everybody at the start")
    made.add_argument("--reference", required=True, metavar="ARM", help="the arm that is subtracted and jumped to")
    made.add_argument("--compare", metavar="ARM", help="the other arm; needed where there are several")
    made.add_argument("--visits", nargs="+", default=[], metavar="VISIT", help="which, in their order")
    made.add_argument("--at", metavar="VISIT", help="the visit that is analysed (the last)")
    made.add_argument(
        "--strategy",
        nargs="+",
        type=str.upper,
        default=["MAR"],
        metavar="NAME",
        help=", ".join(imputation.STRATEGIES),
    )
    made.add_argument("--delta", nargs="+", type=float, default=[0.0], metavar="D", help="added to what was imputed")
    made.add_argument("--method", choices=THEORIES, default="rubin")
    made.add_argument("--imputations", type=int, default=1000, metavar="N", help="for rubin (1000)")
    made.add_argument("--seed", type=int, default=1)
    return made


def impute_answer(given: argparse.Namespace) -> dict[str, Any]:
    table = read_table(given.file)
    trial = imputation.lay_out(
        table,
        subject=given.subject,
        visit=given.visit,
        arm=given.arm,
        outcome=given.outcome,
        covariates=given.covariates,
        visits=given.visits or in_order({one for one in texts(table, given.visit) if one is not None}),
    )
    _check_asked(given)
    if given.reference not in trial.arms:
        raise refuse(
            f"There is no arm {given.reference!r}", "nobody is in it", f"Arms: {', '.join(trial.arms)}", where=given.arm
        )
    others = [arm for arm in trial.arms if arm != given.reference]
    if given.compare is None and len(others) != 1:
        raise refuse(
            "The arms were not compared",
            f"beside {given.reference!r} there are {', '.join(others)}",
            "Name one with --compare",
            where=given.arm,
        )
    about: dict[str, Any] = {"arm": given.compare or others[0], "reference": given.reference}
    chosen: dict[str, Any] = about | {"visit": given.at, "level": given.level}
    results: list[dict[str, Any]] = []
    if given.method == "rubin":
        draws = imputation.draw_parameters(trial, given.imputations, seed=given.seed)
        for strategy in given.strategy:
            found = imputation.tipping(trial, draws, given.delta, strategy=strategy, seed=given.seed, **chosen)
            results += [_result(strategy, *one) for one in zip(given.delta, found, strict=True)]
    else:
        left = imputation.left_out_parameters(trial)
        for strategy in given.strategy:
            for delta in given.delta:
                one = imputation.conditional_mean(trial, strategy=strategy, delta=delta, jackknife=left, **chosen)
                results.append(_result(strategy, delta, one))
    return about | {
        "method": given.method,
        "seed": given.seed if given.method == "rubin" else None,
        "n": len(trial.y),
        "visits": trial.visits,
        "missing": {name: int(count) for name, count in zip(trial.visits, trial.missing.sum(axis=0), strict=True)},
        "results": results,
    }


def _check_asked(given: argparse.Namespace) -> None:
    if given.compare == given.reference:
        raise refuse("The arms were not compared", "an arm is not compared with itself", where="--compare")
    wrong = [delta for delta in given.delta if not math.isfinite(delta)]
    if wrong:
        raise refuse(
            "The outcomes were not shifted", f"a delta of {wrong[0]:g} is not a number to add", where="--delta"
        )
    unknown = [name for name in given.strategy if name not in imputation.STRATEGIES]
    if unknown:
        known = ", ".join(imputation.STRATEGIES)
        raise refuse(f"There is no strategy {unknown[0]!r}", "it is not known", f"Known: {known}", where="--strategy")


def _result(strategy: str, delta: float, found: imputation.Result) -> dict[str, Any]:
    return plain(found) | {"strategy": strategy, "delta": delta, "interval": [found.ci_low, found.ci_high]}


def in_order(visits: set[str]) -> list[str]:
    """Visits by the alphabet, their numbers by size: `week 2` before `week 10`, for the last is the one analysed."""

    def parts(visit: str) -> list[tuple[float, str]]:
        split = NUMBER.split(visit)
        return [(float(part), "") if place % 2 else (0.0, part.casefold()) for place, part in enumerate(split)]

    return sorted(alphabetical(visits), key=parts)
