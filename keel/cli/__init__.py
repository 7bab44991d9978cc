"""How Keel starts: `keel COMMAND …`.

Each command lives in a module of this package with `run(command, argv) -> int`; only the module that
is asked for is imported, so that `keel score` never waits for the web.
Exit status: 0 done, 1 refused or not true (the reason on standard error), 2 wrong usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from keel.cli.progress import shown
from keel.domain.errors import Refused

# command -> (module, one line of help). One line here is all that a new command needs.
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("keel.cli.house", "serve pages and live streams"),
    "migrate": ("keel.cli.house", "create or update the database"),
    "demo": ("keel.cli.house", "fill and serve the simulated clinic"),
    "site": ("keel.cli.site", "open a site with the first person who signs in there"),
    "study": ("keel.cli.site", "open a study: a protocol of the shelf at one or more sites"),
    "verify": ("keel.cli.house", "check the journal, stored or exported"),
    "rebuild": ("keel.cli.house", "make the read models anew, or --check them"),
    "backup": ("keel.cli.house", "write everything but the keys into one file"),
    "restore": ("keel.cli.house", "restore a backup into an empty database"),
    "export": ("keel.cli.house", "write the journal, an instrument as a form, or responses as data"),
    "import": ("keel.cli.exchange", "take in a questionnaire or its data: FHIR, REDCap, XLSForm"),
    "root": ("keel.cli.house", "the Merkle root over the seals of a day"),
    "report": ("keel.cli.insight", "a report of a study as a folder: data, numbers, figures, PDF, script"),
    "mmrm": ("keel.cli.mmrm", "fit a mixed model for repeated measures"),
    "plan": ("keel.cli.plan", "due dates, windows and states of every visit of a course"),
    "protocols": ("keel.cli.plan", "list, show or check protocols"),
    "meta": ("keel.cli.evidence", "pool studies: fixed and random effects, heterogeneity, prediction"),
    "published": ("keel.cli.published", "published trials: printed numbers beside recomputed ones, pools"),
    "correlate": ("keel.cli.evidence", "correlations: partial, repeated measures, multilevel, bootstrap, adjusted"),
    "mediate": ("keel.cli.evidence", "indirect, direct and total effects with bootstrap and sensitivity"),
    "blinding": ("keel.cli.evidence", "Bang's and James' index of what people guessed"),
    "nested": ("keel.cli.nested", "cohorts, facilitators: a model for trials with one arm treated in groups"),
    "impute": ("keel.cli.impute", "missing outcomes: imputed at random or by the reference arm, tipping point"),
    "effect-size": ("keel.cli.evidence", "an effect between two arms or within one, with its definition"),
    "instruments": ("keel.cli.score", "the instruments on the shelf: list, show ID, open, rights, analyse ID"),
    "score": ("keel.cli.score", "score responses: --batch FILE.jsonl or -"),
    "concerns": ("keel.cli.concerns", "the safeguarding office's letter box: init, open, read"),
    "screen": ("keel.cli.screen", "judge a person's facts for a protocol"),
    "safety": ("keel.cli.screen", "explain, list and check the safety rules"),
    "coverage": ("keel.cli.coverage", "what experts ask to be recorded, and the place that holds it: stamps, respct"),
    "shelf": ("keel.cli.shelf", "check or renew the lock that keeps released definitions from changing quietly"),
}


def main(argv: Sequence[str] | None = None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if args else 2
    if args[0] not in COMMANDS:
        print(f"keel: there is no command {args[0]!r}.\n\n{usage()}", file=sys.stderr)
        return 2
    module, _ = COMMANDS[args[0]]
    try:
        with shown(sys.stderr):
            return int(importlib.import_module(module).run(args[0], args[1:]))
    except Refused as refused:
        print(refused, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"keel {args[0]}: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0


def usage() -> str:
    width = max((len(name) for name in COMMANDS), default=0)
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: keel COMMAND [...]", "", *lines])


def console() -> None:
    raise SystemExit(main())
