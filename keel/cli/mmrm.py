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
from keel.outcomes.df import DF_METHODS, Estimate
from keel.outcomes.lsmeans import CONTRASTS, WEIGHTS, Contrast, Mean, contrasts, joint_tests, ls_means
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
    for note in fit.notes:
        print(note, file=sys.stderr)
    if given.json:
        print(json.dumps(as_json(fit, means, differences), allow_nan=False))
    else:
        print(as_text(fit, means, differences))
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


def as_json(fit: MMRM, means: Sequence[Mean], differences: Sequence[Contrast]) -> dict[str, Any]:
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
            for term, test in joint_tests(fit)
        ],
        "search": [{key: _finite(value) for key, value in vars(attempt).items()} for attempt in fit.attempts],
        "smallest_hessian_eigenvalue": fit.smallest_eigenvalue,
        "notes": list(fit.notes),
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


def as_text(fit: MMRM, means: Sequence[Mean], differences: Sequence[Contrast]) -> str:
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
        _tests(fit),
    ]
    if means:
        parts.append(_table("least-squares mean", [(_spelled(mean.levels), mean.estimate) for mean in means]))
    if differences:
        parts.append(_table("difference", [(_spelled([("", o.label), *o.by]), o.estimate) for o in differences]))
    return "\n\n".join(parts)


def _spelled(levels: Sequence[tuple[str, str]]) -> str:
    return ", ".join(level for _, level in levels)


def _table(head: str, rows: Sequence[tuple[str, Estimate | None]]) -> str:
    width = max(len(head), *(len(name) for name, _ in rows))
    lines = [f"{head:<{width}}  {'estimate':>10} {'se':>9} {'df':>8} {'t':>8} {'p':>8} {'ci_low':>10} {'ci_high':>10}"]
    for name, one in rows:
        if one is None:
            lines.append(f"{name:<{width}}  {'not estimable':>10}")
            continue
        p = "<.0001" if one.p < 0.0001 else f"{one.p:.4f}"
        lines.append(
            f"{name:<{width}}  {one.estimate:>10.4f} {one.se:>9.4f} {one.df:>8.2f} {one.t:>8.3f} {p:>8} "
            f"{one.ci_low:>10.4f} {one.ci_high:>10.4f}"
        )
    return "\n".join(lines)


def _matrix(group: str, visits: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    width = max(10, *(len(visit) + 1 for visit in visits))
    head = f"covariance{f' of {group}' if group else ''}"
    lines = [head, " " * width + "".join(f"{visit:>{width}}" for visit in visits)]
    lines += [f"{v:<{width}}" + "".join(f"{x:>{width}.4f}" for x in row) for v, row in zip(visits, rows, strict=True)]
    return "\n".join(lines)


def _tests(fit: MMRM) -> str:
    tests = joint_tests(fit)
    width = max([len("term"), *(len(term) for term, _ in tests)])
    lines = [f"{'term':<{width}}  {'num df':>7} {'den df':>8} {'F':>9} {'p':>8}"]
    for term, test in tests:
        if test is None:
            lines.append(f"{term:<{width}}  not estimable")
        else:
            p = "<.0001" if test.p < 0.0001 else f"{test.p:.4f}"
            lines.append(f"{term:<{width}}  {test.num_df:>7} {test.den_df:>8.2f} {test.f:>9.3f} {p:>8}")
    return "\n".join(lines)
