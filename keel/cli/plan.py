"""`keel plan` and `keel protocols`: the schedule of a course and the protocols on the shelf, as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from keel.domain.definition import Fact
from keel.domain.errors import Refused, refuse
from keel.domain.protocol import Protocol
from keel.domain.schedule import broken_examples, plan
from keel.domain.windows import check_windows
from keel.library import shelf
from keel.library.protocol_files import protocol, protocol_in_file


def run(command: str, argv: Sequence[str]) -> int:
    return _plan(argv) if command == "plan" else _protocols(argv)


# ---- keel plan -----------------------------------------------------------------------------------


def _plan(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="keel plan", description="Due dates, windows and states of every visit.")
    parser.add_argument("protocol", help="a protocol id, as `keel protocols list` shows them")
    parser.add_argument("--arm", help="the arm; may be left out where the protocol has one")
    parser.add_argument(
        "--happened", required=True, help='JSON file: {"enrolled_on": DATE, "visits": {ID: DATE}}; - is stdin'
    )
    parser.add_argument("--on", help="the day to judge by (default today)")
    asked = parser.parse_args(argv)
    chosen = protocol(asked.protocol)
    arm = asked.arm or _only_arm(chosen)
    chosen.check_arm(arm)
    on = _day(asked.on, "--on") if asked.on else date.today()
    happened = _happened(asked.happened)
    visits = plan(chosen, arm, on=on, **happened)
    _print([v.as_json() for v in visits])
    return 0


def _only_arm(chosen: Protocol) -> str:
    if len(chosen.arms) > 1:
        raise refuse(
            "No plan was made",
            f"{chosen.id} has several arms",
            f"Name one with --arm: {', '.join(chosen.arm_ids)}",
            where="--arm",
        )
    return chosen.arms[0].id


def _happened(file: str) -> dict[str, Any]:
    """The arguments of `plan` from a file of what happened; `missed` and `withdrawn_on` may be there too."""
    told = _json(file)
    keys = {"enrolled_on", "visits", "missed", "withdrawn_on"}
    if not isinstance(told, dict) or "enrolled_on" not in told or not set(told) <= keys:
        raise refuse(
            "What happened was not read",
            "it must be an object with enrolled_on and visits, and may have missed and withdrawn_on",
            'Write {"enrolled_on": "2026-01-31", "visits": {"baseline": "2026-01-31"}}',
            where=file,
        )
    done, missed = _table(told.get("visits"), "visits"), _table(told.get("missed"), "missed")
    return {
        "enrolled_on": _day(told["enrolled_on"], "enrolled_on"),
        "done": {id: _day(day, f"visits.{id}") for id, day in done.items() if day is not None},
        "missed": {id: str(cause) for id, cause in missed.items()},
        "withdrawn_on": _day(told["withdrawn_on"], "withdrawn_on") if told.get("withdrawn_on") else None,
    }


def _json(file: str) -> Any:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        return json.loads(text, object_pairs_hook=_once)
    except OSError as error:
        raise refuse("What happened was not read", str(error.strerror), "Give a file that exists", where=file) from None
    except UnicodeDecodeError:
        raise refuse("What happened was not read", "it is not UTF-8 text", "Save it as UTF-8", where=file) from None
    except json.JSONDecodeError as error:
        raise refuse("What happened was not read", f"it is not JSON: {error}", "Mend that place", where=file) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refusing a key that comes twice: JSON would silently keep the last."""
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise refuse(
                "What happened was not read", f"{key!r} comes twice", "Keep the one that is true", where=key,
                code="duplicate",
            )  # fmt: skip
        seen[key] = value
    return seen


def _table(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refuse(f"{where} was not read", "it must be an object by visit id", 'Write {"ID": …}', where=where)
    return value


def _day(value: Any, where: str) -> date:
    try:
        day = datetime.strptime(value, "%Y-%m-%d").date()
        if not 1900 <= day.year < 2200:  # a slip of the keys; and far years run out of calendar
            raise ValueError
        return day
    except (TypeError, ValueError):
        raise refuse(
            f"{value!r} is not a day", "days are written year-month-day", "Write it as 2026-01-31", where=where
        ) from None


# ---- keel protocols ------------------------------------------------------------------------------


def _protocols(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="keel protocols", description="The protocols on the shelf.")
    commands = parser.add_subparsers(dest="what", required=True)
    commands.add_parser("list", help="every protocol in a line")
    commands.add_parser("show", help="one protocol whole, with every fact and its source").add_argument("id")
    commands.add_parser("check", help="are the files sound and can their windows be kept?").add_argument(
        "files", nargs="*"
    )
    asked = parser.parse_args(argv)
    if asked.what == "list":
        _print([_line(protocol(id)) for id in shelf.ids("protocols")])
        return 0
    if asked.what == "show":
        _print(_whole(protocol(asked.id)))
        return 0
    return _check([Path(f) for f in asked.files] or list(shelf.paths("protocols").values()))


def _line(chosen: Protocol) -> dict[str, Any]:
    return {
        "id": chosen.id,
        "version": chosen.version,
        "title": chosen.title,
        "indication": chosen.indication,
        "arms": list(chosen.arm_ids),
        "visits": len(chosen.visits),
        "facts": len(chosen.facts),
        "verified": sum(f.verified for f in chosen.facts),
    }


def _whole(chosen: Protocol) -> dict[str, Any]:
    facts = [_cited(chosen, fact) for fact in chosen.facts]
    return {**chosen.model_dump(mode="json", exclude_defaults=True), "id": chosen.id, "facts": facts}


def _cited(chosen: Protocol, fact: Fact) -> dict[str, Any]:
    return {**fact.as_json(), "at": list(chosen.cites(fact))}


def _check(files: Sequence[Path]) -> int:
    """Check files one by one; the refusals and clashes of all of them are told before the status says no."""
    results = [_checked(file) for file in files]
    _print(results)
    for result in results:
        clashes = (f"{c['arm']}: {c['because']}." for c in result["clashes"])
        for said in (*result["errors"], *clashes, *result["examples"]):
            print(f"{result['file']}: {said}", file=sys.stderr)
    return 0 if all(r["ok"] for r in results) else 1


def _checked(file: Path) -> dict[str, Any]:
    result: dict[str, Any] = {
        "file": file.name,
        "protocol": file.stem,
        "ok": False,
        "errors": [],
        "clashes": [],
        "examples": [],
    }
    try:
        found = protocol_in_file(file)
    except Refused as refused:
        return {**result, "errors": [str(reason) for reason in refused.reasons]}
    clashes = [
        {"arm": c.arm, "visits": list(c.visits), "because": c.because, "short_by_days": c.short_by}
        for c in check_windows(found)
    ]
    broken = list(broken_examples(found))
    ok = not clashes and not broken
    return {**result, "protocol": found.id, "ok": ok, "clashes": clashes, "examples": broken}


def _print(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
