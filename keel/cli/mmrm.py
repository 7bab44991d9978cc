"""`keel mmrm FILE --formula … --visit … --subject …`: fit a mixed model for repeated measures, print it."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keel.domain.errors import refuse
from keel.outcomes.columns import read_table
from keel.outcomes.covariance import COVARIANCES
from keel.outcomes.df import DF_METHODS, Estimate, JointTest
from keel.outcomes.lsmeans import CONTRASTS, WEIGHTS, Contrast, Mean, contrasts, joint_tests, ls_means, reduced_tests
from keel.outcomes.mmrm import METHODS, MMRM, VCOVS, fit_mmrm, in_words

NUMBERS = ("estimate", "se", "df", "t", "p", "ci_low", "ci_high")


def run(command: str, argv: Sequence[str]) -> int:
    given = _parser(command).parse_args(argv)
    if given.by and not given.lsmeans:
        raise refuse("--by was not used", "It belongs to --lsmeans, which is not given", "Add --lsmeans ARM")
    if not 0 < given.confidence < 1:
        raise refuse("The intervals were not computed", f"A confidence of {given.confidence:g} is not between 0 and 1")
    fit = fit_mmrm(
        read_table(Path(given.file)),
        given.formula,
        visit=given.visit,
        subject=given.subject,
        covariance=given.covariance.lower(),
        method=given.method.lower(),
        df=given.df.lower(),
        vcov=given.vcov and given.vcov.lower(),
        group=given.group,
        weights=given.weights,
        confidence=given.confidence,
    )
    means = ls_means(fit, given.lsmeans, by=given.by, weights=given.lsmeans_weights) if given.lsmeans else []
    differences = contrasts(fit, means, kind=given.contrasts)
    tests = joint_tests(fit)
    notes = [*fit.notes, *reduced_tests(fit, tests)]
    for note in notes:
        print(note, file=sys.stderr)
    if given.json:
        print(json.dumps(as_json(fit, means, differences, tests, notes), allow_nan=False))
    else:
        print(as_text(fit, means, differences, tests))
    return 0


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"keel {command}", description="Fit a mixed model for repeated measures.")
    parser.add_argument("file", metavar="FILE", help="CSV or Parquet, one row per participant and visit")
    parser.add_argument("--formula", required=True, help='as in R: "chg ~ base + arm * visit"')
    parser.add_argument("--visit", required=True, help="column of the visit (for sp_exp: of its time)")
    parser.add_argument("--subject", required=True, help="column of the participant")
    parser.add_argument("--covariance", default="us", metavar="NAME", help=", ".join(COVARIANCES))
    parser.add_argument("--method", default="reml", metavar="NAME", help=", ".join(METHODS))
    parser.add_argument("--df", default="satterthwaite", metavar="NAME", help=", ".join(DF_METHODS))
    parser.add_argument("--vcov", metavar="NAME", help=f"{', '.join(VCOVS)}; by default what belongs to --df")
    parser.add_argument("--group", help="column of groups with a covariance of their own")
    parser.add_argument("--weights", help="column of weights (a row's variance is divided by its weight)")
    parser.add_argument("--lsmeans", metavar="FACTOR", help="least-squares means of this factor")
    parser.add_argument("--by", metavar="FACTOR", help="… at each level of this one")
    parser.add_argument("--lsmeans-weights", default="equal", metavar="NAME", help=", ".join(WEIGHTS))
    parser.add_argument("--contrasts", default="revpairwise", metavar="NAME", help=", ".join(CONTRASTS))
    parser.add_argument("--confidence", type=float, default=0.95, metavar="LEVEL", help="of the intervals (0.95)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser


Tests = Sequence[tuple[str, JointTest | None]]


def as_json(
    fit: MMRM, means: Sequence[Mean], differences: Sequence[Contrast], tests: Tests, notes: Sequence[str]
) -> dict[str, Any]:
    """The result as the contract has it. A number that does not exist is null, never NaN."""
    last = fit.attempts[-1]
    return {
        "m2loglik": fit.m2loglik,
        "converged": last.arrived,
        "n_obs": fit.n_obs,
        "n_subjects": fit.n_subjects,
        "n_covariance_parameters": fit.n_parameters,
        "covariance_structure": fit.choices.covariance,
        "method": fit.choices.method,
        "df": fit.choices.df,
        "vcov": fit.choices.vcov,
        "confidence": fit.confidence,
        "coefficients": [{"term": term, **_numbers(one)} for term, one in fit.coefficients()],
        "covariance": _covariance(fit),
        "visits": list(fit.covariances[0].visits),
        "lsmeans": [{**dict(mean.levels), **_numbers(mean.estimate)} for mean in means],
        "contrasts": [{"contrast": one.label, **dict(one.by), **_numbers(one.estimate)} for one in differences],
        "tests": [
            {"term": term, **({k: _finite(v) for k, v in test.as_json().items()} if test else {"f": None, "p": None})}
            for term, test in tests
        ],
        "search": [{key: _finite(value) for key, value in vars(attempt).items()} for attempt in fit.attempts],
        "smallest_hessian_eigenvalue": fit.smallest_eigenvalue,
        "notes": list(notes),
    }


def _covariance(fit: MMRM) -> list[Any]:
    """The matrix, as a list of rows; with --group a list of {group, visits, matrix}."""
    if len(fit.covariances) == 1 and not fit.covariances[0].group:
        return fit.covariances[0].matrix.tolist()
    return [{"group": one.group, "visits": list(one.visits), "matrix": one.matrix.tolist()} for one in fit.covariances]


def _numbers(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return dict.fromkeys(NUMBERS)
    return {name: _finite(value) for name, value in estimate.as_json().items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_text(fit: MMRM, means: Sequence[Mean], differences: Sequence[Contrast], tests: Tests) -> str:
    """The result as tables to read."""
    head = (
        f"{fit.data.formula.text}\n{in_words(fit.choices)}, {fit.choices.vcov} covariance of the coefficients\n"
        f"{fit.n_subjects} participants, {fit.n_obs} observations, -2 log likelihood {fit.m2loglik:.4f}, "
        f"converged in {fit.attempts[-1].steps} steps"
    )
    parts = [
        head,
        _table("coefficient", [(term, one) for term, one in fit.coefficients()]),
        *(_matrix(one.group, one.visits, one.matrix.tolist()) for one in fit.covariances),
        _tests(tests),
    ]
    if means:
        parts.append(_table("least-squares mean", [(_spelled(mean.levels), mean.estimate) for mean in means]))
    if differences:
        parts.append(_table("difference", [(_spelled([("", o.label), *o.by]), o.estimate) for o in differences]))
    return "\n\n".join(parts)


def _spelled(levels: Sequence[tuple[str, str]]) -> str:
    return ", ".join(level for _, level in levels)


def _decimals(smallest: float) -> int:
    """Four, and more where the smallest standard error has no figure in four; -1 (power of ten) where that is not enough."""
    if not math.isfinite(smallest) or smallest <= 0 or smallest >= 0.01:
        return 4
    needed = 2 - math.floor(math.log10(smallest))
    return needed if needed <= 9 else -1


def _figure(value: float, decimals: int) -> str:
    return f"{value:.5g}" if decimals < 0 or abs(value) >= 1e12 else f"{value:.{decimals}f}"


def _table(head: str, rows: Sequence[tuple[str, Estimate | None]]) -> str:
    decimals = _decimals(min((one.se for _, one in rows if one is not None), default=1.0))
    lines = [[head, "estimate", "se", "df", "t", "p", "ci_low", "ci_high"]]
    for name, one in rows:
        if one is None:
            lines.append([name, "not estimable", *[""] * 6])
            continue
        value, se, low, high = (_figure(x, decimals) for x in (one.estimate, one.se, one.ci_low, one.ci_high))
        lines.append([name, value, se, f"{one.df:.2f}", f"{one.t:.3f}", _p(one.p), low, high])
    return _aligned(lines, least=8)


def _p(p: float) -> str:
    return "<.0001" if p < 0.0001 else f"{p:.4f}"


def _aligned(lines: Sequence[Sequence[str]], *, least: int) -> str:
    """Rows of words under one another: the first column to the left, the others to the right."""
    widths = [max(least if at else 0, *(len(line[at]) for line in lines)) for at in range(len(lines[0]))]
    rows = (
        f"{line[0]:<{widths[0]}}  " + " ".join(f"{x:>{w}}" for x, w in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )
    return "\n".join(row.rstrip() for row in rows)


def _matrix(group: str, visits: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    decimals = _decimals(min(row[at] for at, row in enumerate(rows)))
    lines = [
        ["", *visits],
        *([visit, *(_figure(x, decimals) for x in row)] for visit, row in zip(visits, rows, strict=True)),
    ]
    return f"covariance{f' of {group}' if group else ''}\n{_aligned(lines, least=9)}"


def _tests(tests: Tests) -> str:
    lines = [["term", "num df", "den df", "F", "p"]]
    for term, test in tests:
        told = (
            [str(test.num_df), f"{test.den_df:.2f}", f"{test.f:.3f}", _p(test.p)]
            if test
            else ["not estimable", "", "", ""]
        )
        lines.append([term, *told])
    return _aligned(lines, least=7)
