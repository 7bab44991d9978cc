"""`keel published`: what trials printed beside what comes out of their own numbers, and the trials pooled."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from keel.cli.evidence import plain, printed
from keel.cli.insight import write
from keel.domain.errors import refuse
from keel.library import shelf
from keel.outcomes import published_pools


def run(command: str, argv: Sequence[str]) -> int:
    made = argparse.ArgumentParser(prog="keel published", description=__doc__, allow_abbrev=False)
    made.add_argument("--trial", metavar="ID", help="one trial or pool")
    made.add_argument("--differing", action="store_true", help="only numbers that do not come out the same")
    made.add_argument("--out", type=Path, metavar="DIR", help="write numbers, data and figures there")
    made.add_argument("--json", action="store_true", help="JSON on standard output")
    given = made.parse_args(list(argv))
    table = shelf.read("tables", "published_trials").table
    answer = published_pools.as_json(table)
    if given.out:
        write(_files(table), given.out)
    _narrow(answer, given)
    if given.json:
        return printed(plain(answer), as_json=True)
    _show(answer)
    return 0


def _files(table: published_pools.Row) -> dict[str, bytes]:
    """The numbers, the data and the figures, by the name of their file."""
    # Charts are drawings only; whoever asks for numbers does not wait for them.
    from keel.web.insight.figures import pooled_forest, pooled_funnel

    files = {
        "numbers.json": json.dumps(plain(published_pools.as_json(table)), indent=1, ensure_ascii=False) + "\n",
        "data.csv": published_pools.data_csv(table),
        "comparisons.csv": published_pools.comparisons_csv(table),
    }
    for pool in published_pools.pools(table):
        files[f"figures/{pool.id}-forest.svg"] = str(pooled_forest(pool).wide)
        files[f"figures/{pool.id}-funnel.svg"] = str(pooled_funnel(pool).wide)
    return {name: text.encode() for name, text in files.items()}


def _narrow(answer: dict[str, Any], given: argparse.Namespace) -> None:
    """Leave only what was asked for; the tally stays that of all."""
    if given.trial:
        named = {one["id"] for one in answer["pools"]}
        named |= {one["study"] for kind in ("comparisons", "model_differences", "inputs") for one in answer[kind]}
        if given.trial not in named:
            raise refuse(
                f"Nothing is known of {given.trial!r}",
                "no trial or pool on the shelf has this id",
                f"Give one of {', '.join(sorted(named))}",
                where="--trial",
            )
        answer["pools"] = [one for one in answer["pools"] if one["id"] == given.trial]
        for kind in ("comparisons", "model_differences", "inputs"):
            answer[kind] = [one for one in answer[kind] if one["study"] == given.trial]
    if given.differing:
        answer["comparisons"] = [one for one in answer["comparisons"] if not one["agrees"]]


def _show(answer: dict[str, Any]) -> None:
    tally = answer["tally"]
    print(
        f"{tally['printed']} printed numbers: {tally['same']} come out the same, {tally['differs']} do not, "
        f"{tally['not_computed']} cannot be computed here; {tally['unverified']} were not checked at their source."
    )
    for pool in answer["pools"]:
        found = pool["pooled"]
        print(f"\n{pool['title']} ({pool['definition']}; {pool['method']}, {pool['test']})")
        for study in pool["studies"]:
            print(
                f"  {study['label']:<18} {_interval(study['effect'], study['low'], study['high'])} {study['weight']:5.1f} %"
            )
        print(
            f"  {'pooled, k ' + str(found['k']):<18} {_interval(found['estimate'], found['ci_low'], found['ci_high'])}"
        )
        if found["prediction_low"] is not None:
            print(f"  {'prediction':<18} {'':8} [{found['prediction_low']:7.3f}, {found['prediction_high']:7.3f}]")
        print(
            f"  tau2 {found['tau2']:.4f}, I2 {found['i2']:.1f} %, Q {found['q']:.2f} on {found['q_df']}, p {found['q_p']:.3g}"
        )
    together = groupby(sorted(answer["comparisons"], key=_about(answer["comparisons"])), lambda line: line["study"])
    for study, lines in together:
        print(f"\n{study}")
        for (of, definition, why), parts in groupby(lines, lambda line: (line["of"], line["definition"], line["why"])):
            print(f"  {of} ({definition})")
            for line in parts:
                print(_line(line))
            if why:
                print(f"    {why}")
    for one in answer["model_differences"]:
        print(f"\n{one['study']}\n  {one['of']}: printed {one['estimate']} ({one['low']} to {one['high']})")
    if answer["model_differences"]:
        print(f"      {published_pools.NO_MODEL}")


def _about(lines: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], int]:
    """Trials in the order in which they are first named."""
    order = {study: place for place, study in enumerate(dict.fromkeys(line["study"] for line in lines))}
    return lambda line: order[line["study"]]


def _line(line: Mapping[str, Any]) -> str:
    ours = "not computed" if line["recomputed"] is None else f"here {line['recomputed']:.{line['digits'] + 2}f}"
    verdict = "the same" if line["agrees"] else "NOT THE SAME" if line["recomputed"] is not None else ""
    marked = "" if line["verified"] else "(not verified)"
    printed = f"printed {line['printed']:.{line['digits']}f}"
    return f"    {line['part']:<16} {printed:<18} {ours:<16} {verdict:<12} {marked}".rstrip()


def _interval(estimate: float, low: float, high: float) -> str:
    return f"{estimate:8.3f} [{low:7.3f}, {high:7.3f}]"
