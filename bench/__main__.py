"""`./dev bench [NAME...] [--json]`: every figure is measured beside something else in the same run.

A benchmark is a module of this package, named as in NAMES, with `run() -> Iterator[Figure]`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys

from bench.figure import Figure

NAMES: dict[str, str] = {
    "durable-command": "bench.durable_command",
    "live-board": "bench.live_board",
    "vitals-page": "bench.vitals_page",
    "rebuild-verify": "bench.rebuild_verify",
    "mediation": "bench.mediation",
    "dataset": "bench.dataset",
    "trials": "bench.trials",
    "mmrm": "bench.mmrm",
    "score": "bench.score",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all when none is given")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    for name in given.names or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        for figure in importlib.import_module(NAMES[name]).run():
            show(figure, as_json=given.json)
    return 0


def show(figure: Figure, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(figure.as_json()), flush=True)
        return
    print(
        f"{figure.name:<18}{figure.setting:<28}{figure.ours:>14.4g} beside {figure.beside:>12.4g} {figure.unit:<22}"
        f" ratio {figure.ratio:>8.3g}  n={figure.n}  {figure.note}",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
