"""`keel site open` and `keel study open`: how a house begins, before anybody can sign in.

Both ask the actions that pages ask too, as the system; what they write is in the journal like everything else.
"""

from __future__ import annotations

import argparse
import getpass
import json
import secrets
import sys

from keel.domain.errors import refuse

EASY = "abcdefghjkmnpqrstuvwxyz23456789"
"""What cannot be misread from a slip of paper."""


def run(command: str, argv: list[str]) -> int:
    return {"site": _site, "study": _study}[command](argv)


def _site(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "keel site",
        description="A site, and the first person who signs in there. What stands already stays; the words must agree.",
    )
    opening = parser.add_subparsers(dest="door", required=True).add_parser("open", help="open a site")
    opening.add_argument("site", metavar="ID", help="lower-case letters, digits and hyphens, such as north")
    opening.add_argument("--name", required=True, help="what people call the site")
    opening.add_argument("--country", required=True, help="two letters, such as DE")
    opening.add_argument("--timezone", required=True, help="such as Europe/Berlin: the site's days begin there")
    opening.add_argument("--jurisdiction", default="", help="such as oregon, where the shelf has its rules")
    opening.add_argument("--lead", required=True, help="the name of the first person")
    opening.add_argument("--email", required=True, help="how the first person signs in")
    opening.add_argument("--role", default="investigator", help="investigator (usual) or supervisor")
    opening.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the first password from standard input; otherwise a terminal asks, and without one it is made",
    )
    given = parser.parse_args(argv)
    _django()
    from keel.actions.now import now
    from keel.actions.team import open_site_with_lead
    from keel.domain.access import SYSTEM
    from keel.queries.account import signs_in

    new = not signs_in(given.email)
    made, password = _password(given.password_stdin) if new else (False, "")
    found = open_site_with_lead(
        site=given.site,
        name=given.name,
        country=given.country,
        timezone=given.timezone,
        jurisdiction=given.jurisdiction,
        email=given.email,
        lead=given.lead,
        password=password,
        role=given.role,
        by=SYSTEM,
        at=now(),
    )
    told = {"site": given.site, "email": given.email, "role": given.role}
    parts = {"site": found.site_is_new, "account": found.account_is_new, "role": found.role_is_new}
    print(json.dumps({**told, "new": [part for part, is_new in parts.items() if is_new]}, indent=2))
    if made:
        _say(f"The first password of {given.email}, shown this once: {password}")
    elif not new:
        _say(f"{given.email} signs in already; the password stays as it was.")
    _say(
        f"Next: `keel study open ID --title TITLE --protocol PROTOCOL --site {given.site}`, then `keel serve`.",
        f"{given.lead} signs in, changes the password at /account/password/change/ and admits everybody else under Team.",
    )
    return 0


def _study(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "keel study", description="A study: a protocol of the shelf, run at one or more sites."
    )
    opening = parser.add_subparsers(dest="door", required=True).add_parser("open", help="open a study")
    opening.add_argument("study", metavar="ID", help="lower-case letters, digits and hyphens, such as mood")
    opening.add_argument("--title", required=True, help="what its team calls it")
    opening.add_argument("--protocol", required=True, help="its id; `keel protocols list` has them")
    opening.add_argument("--site", required=True, action="append", help="where it runs; may be given again")
    opening.add_argument(
        "--document", default=[], action="append", help="a consent that it asks for, such as treatment-psilocybin"
    )
    given = parser.parse_args(argv)
    _django()
    from keel.actions.now import now
    from keel.actions.study import open_study
    from keel.domain.access import SYSTEM

    found = open_study(
        study=given.study,
        title=given.title,
        protocol=given.protocol,
        sites=given.site,
        documents=given.document,
        by=SYSTEM,
        at=now(),
    )
    print(json.dumps({"study": given.study, **found.payload, "new": not found.already}, indent=2))
    if not given.document:
        _say("It asks for no consent: nobody can be enrolled until it names one. `--document` may be given again.")
    _say(
        f"Next: the page /study/{given.study}/ shows every number with its source; have the house rules signed off.",
        "Put the consent that your ethics committee approved on your own shelf (KEEL_SHELF) before the first participant.",
    )
    return 0


def _password(from_stdin: bool) -> tuple[bool, str]:
    """(whether it was made here, the first password)."""
    if from_stdin:
        return False, sys.stdin.readline().rstrip("\r\n")
    if sys.stdin.isatty():
        asked = getpass.getpass("First password (empty: one is made): ")
        if asked and asked != getpass.getpass("Once more: "):
            raise refuse("Nothing was opened", "the two passwords differ", "Start again")
        if asked:
            return False, asked
    return True, "-".join("".join(secrets.choice(EASY) for _ in range(5)) for _ in range(4))


def _say(*lines: str) -> None:
    print(*lines, sep="\n", file=sys.stderr)


def _django() -> None:
    """The database, made or brought up to date: this is the first command of a house."""
    from keel.cli.house import migrate

    migrate([])
