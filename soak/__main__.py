"""`./dev soak [NAME...] [--seed N] [--minutes N]`: the long storms, one JSON line per run.

A storm is a module of this package, named as in NAMES, with `run(seed, minutes) -> Iterator[dict]`: each dict is one
finished run with its invariants as `{"name": True or False}` under "invariants". One that does not hold ends in status 1.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys

NAMES: dict[str, str] = {
    "outbox": "soak.outbox",
    "cut": "soak.cut",
    "scoring": "soak.scoring",
    "faults": "soak.faults",
    "access": "soak.access",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all when none is given")
    parser.add_argument("--seed", type=int, help="the same seed gives the same storm")
    parser.add_argument("--minutes", type=float, default=2.0, help="how long each may take")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"there is no storm {', '.join(unknown)}; there are {', '.join(NAMES)}")
    seed = random.randrange(2**31) if given.seed is None else given.seed
    held = True
    for name in given.names or NAMES:
        print(f"{name}, seed {seed} ...", file=sys.stderr, flush=True)
        for found in importlib.import_module(NAMES[name]).run(seed, given.minutes):
            print(json.dumps({"name": name, "seed": seed, **found}), flush=True)
            held = held and all(found["invariants"].values())
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
