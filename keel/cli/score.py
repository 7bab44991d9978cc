"""`keel score --batch FILE.jsonl|-` and `keel instruments list | show ID | open | rights [--on DATE] | analyse ID`."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import IO, Any

from keel.domain.errors import Refused, refuse
from keel.domain.instrument import Instrument
from keel.domain.scoring import safety_flags, score
from keel.library.instrument_files import instrument, instruments, sources
from keel.library.wording import rights


def run(command: str, argv: Sequence[str]) -> int:
    return {"score": score_command, "instruments": instruments_command}[command](argv)


# ---- keel score -----------------------------------------------------------------------------------------


def score_command(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="keel score", description="Score responses, one JSON object a line.")
    parser.add_argument("--batch", required=True, metavar="FILE.jsonl", help="the file, or - for standard input")
    given = parser.parse_args(argv)
    with opened(given.batch) as lines:
        for answer in batch(lines):
            # Escaped to ASCII: half a character in somebody's file must not end the batch.
            sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def batch(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """One answer per line, in order; a line that cannot be scored says why and never stops the rest.

    An empty line between others is a line and is answered, so that nothing shifts; at the end it is only the end.
    """
    read_once = lru_cache(maxsize=None)(instrument)
    answered = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield from (one_line("", empty, read_once) for empty in range(answered + 1, number))
            yield one_line(line.removeprefix("\ufeff"), number, read_once)
            answered = number


def one_line(line: str, number: int, find: Callable[[str], Instrument]) -> dict[str, Any]:
    asked: Any = None
    try:
        asked = parsed(line, number)
        found = find(_named(asked, number))
        said = score(found, asked.get("items"), asked.get("context")).as_json()
        _check_finite(found, said["scores"], asked.get("context") or {})
        unused = _unused(found, asked.get("context") or {})
        return {**said, "warnings": [*said.get("warnings", ()), *unused]} if unused else said
    except Refused as refused:
        return {"error": str(refused), **_alerts(asked, find)}


def _check_finite(one: Instrument, scores: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """A score that is no number any more is not printed as one."""
    wild = [name for name, value in scores.items() if isinstance(value, float) and not math.isfinite(value)]
    if wild:
        by = ", ".join(f"context.{name} is {value!r}" for name, value in context.items()) or "an answer is too large"
        raise refuse("The answers were not scored", f"{wild[0]} is beyond any number: {by}", "Mend it", where=one.id)


def _unused(one: Instrument, context: Mapping[str, Any]) -> list[str]:
    """A context under a name that the instrument does not know changes nothing: a slip of the pen must not pass for it."""
    known = ", ".join(one.contexts) or "no context"
    return [
        f"context.{name} is not used by {one.id}, which knows {known}." for name in context if name not in one.contexts
    ]


def _alerts(asked: Any, find: Callable[[str], Instrument]) -> dict[str, Any]:
    """A safety item speaks even on a line that cannot be scored."""
    try:
        flags = safety_flags(find(asked["instrument"]), asked["items"])
    except (Refused, TypeError, KeyError):
        return {}
    return {"alerts": [flag.as_json() for flag in flags]} if flags else {}


def parsed(line: str, number: int) -> Any:
    place = f"line {number}"
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise refuse("The line is not JSON", str(error), "Write one JSON object a line", where=place) from None
    if not isinstance(asked, Mapping):
        raise refuse("The line is not a table", "it has no keys", 'Write {"instrument", "items"}', where=place)
    return asked


def _named(asked: Mapping[str, Any], number: int) -> str:
    id = asked.get("instrument")
    if not isinstance(id, str):
        why = '"instrument" is the id of one, as a text'
        raise refuse("No instrument was named", why, "See `keel instruments list`", where=f"line {number}")
    if "items" not in asked:
        raise refuse("No answers were given", '"items" is missing', "Add them", where=f"line {number}, {id}")
    return id


@contextlib.contextmanager
def opened(name: str) -> Iterator[IO[str]]:
    if name == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")
        yield sys.stdin
        return
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(open(name, encoding="utf-8", errors="replace"))
        except (OSError, ValueError) as error:  # ValueError: a name that no system takes
            why = getattr(error, "strerror", None) or str(error)
            raise refuse(f"{name} was not read", why, "Give a file that exists") from None
        yield file


# ---- keel instruments -----------------------------------------------------------------------------------


def instruments_command(argv: Sequence[str]) -> int:
    if argv[:1] == ["analyse"]:
        from keel.cli.own_data import analyse

        return analyse(argv[1:])
    parser = argparse.ArgumentParser(prog="keel instruments", description="The instruments on the shelf, as JSON.")
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("list", help="every instrument in a line")
    parts.add_parser("show", help="one instrument whole").add_argument("id")
    parts.add_parser("analyse", help="how one behaves in one's own data: reliability, ends, blanks, times")
    parts.add_parser("open", help="what is not verified, and what stays null")
    on = parts.add_parser("rights", help="which words may be shown on a day, and whom to ask for the others")
    on.add_argument("--on", type=dt.date.fromisoformat, default=dt.date.today(), metavar="YYYY-MM-DD")
    given = parser.parse_args(argv)
    if given.part == "show":
        _print(shown(instrument(given.id)))
    elif given.part == "rights":
        _print([{**asdict(right), "until": right.until and right.until.isoformat()} for right in rights(on=given.on)])
    else:
        _print([{"list": in_short, "open": still_open}[given.part](one) for one in instruments().values()])
    return 0


def in_short(one: Instrument) -> dict[str, Any]:
    return {
        "id": one.id,
        "version": one.version,
        "title": one.title,
        "edition": one.edition,
        "answered_by": one.answered_by,
        "items": sum(not item.optional for item in one.items),
        "scores": list(one.score_names()),
        "licence": one.licence.kind,
        "verified": one.verified,
    }


def shown(one: Instrument) -> dict[str, Any]:
    named = {row: text for row, text in sources().items() if row in one.sources}
    return {**one.model_dump(mode="json", by_alias=True, exclude_defaults=True), "sources": named}


def still_open(one: Instrument) -> dict[str, Any]:
    """What the file leaves open, and each number in it that was not read at a source."""
    parts = [
        *((f"score {step.name}", step) for step in one.steps),
        *((f"bands of {band.of}", band) for band in one.bands),
        *((f"safety {' '.join(safety.items())}", safety) for safety in one.safety),
        *((f"{change.kind} of {change.of}", change) for change in one.change),
    ]
    memory = [name for name, part in parts if not part.verified]
    house = [name for name, part in parts if part.basis == "house"]
    return {
        "id": one.id,
        "verified": one.verified,
        "open": list(one.open),
        "from_memory": list(dict.fromkeys(memory)),
        "house_rules": list(dict.fromkeys(house)),
        "paper_opened": bool(one.paper and one.paper.verified),
        "licence_verified": one.licence.verified,
    }


def _print(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))
