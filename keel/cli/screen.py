"""`keel screen`: judge a person's facts for a protocol. `keel safety`: what the rules are and where they come from."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from keel.cli.safety_manual import manual
from keel.cli.unverified import UNVERIFIED, limit, unverified
from keel.domain.errors import refuse
from keel.domain.fact import read_facts
from keel.domain.medication import Interaction, rows_for
from keel.domain.safety import FINDINGS_OF_NO_RULE, GUARDS, Rule, judge
from keel.library import rule_files


def run(command: str, argv: Sequence[str]) -> int:
    return _screen(argv) if command == "screen" else _safety(argv)


def _screen(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("keel screen", description="Judge facts for a protocol; JSON on standard output.")
    parser.add_argument("protocol", metavar="PROTOCOL", help="a protocol id")
    parser.add_argument("facts", metavar="FACTS.json", help="facts by name; - reads standard input")
    parser.add_argument("--on", metavar="DATE", help="the day of judgement (default: today)")
    parser.add_argument("--guard", choices=GUARDS, default="admit", help="the step to judge (default: admit)")
    args = parser.parse_args(argv)
    rules = rule_files.rules_for(args.protocol)
    facts = read_facts(_json(args.facts), rules.catalogue, on=_day(args.on), guard=args.guard)
    for note in facts.notes:
        print(f"keel screen: {note}", file=sys.stderr)
    _print(judge(rules, facts, guard=args.guard).as_json())
    return 0


def _safety(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("keel safety", description="The safety rules and where they come from.")
    doors = parser.add_subparsers(dest="door", required=True)
    explain = doors.add_parser("explain", help="a rule: its condition, limits, evidence and examples")
    explain.add_argument("rule", metavar="RULE")
    explain.add_argument("--protocol", metavar="ID", help="only as it applies to this protocol")
    listing = doors.add_parser("list", help="every rule and the protocols it applies to")
    listing.add_argument("--protocol", metavar="ID")
    doors.add_parser("manual", help="the chapter of the manual, as Markdown")
    unread = doors.add_parser(
        "unverified", help="every number that was not read at a source, is the house's own, or is open"
    )
    unread.add_argument("--kind", choices=UNVERIFIED, help="only these")
    args = parser.parse_args(argv)
    if args.door == "explain":
        _print(_explanation(args.rule, args.protocol))
    elif args.door == "list":
        _print([*_list(args.protocol), *_matrix_list(args.protocol)])
    elif args.door == "manual":
        print(manual(), end="")
    else:
        _print(unverified(args.kind))
    return 0


def _json(name: str) -> Any:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise refuse("The facts were not read", str(error.strerror or error), "Give a file", where=name) from None
    except UnicodeDecodeError:
        raise refuse("The facts were not read", "the file is not UTF-8 text", "Save it as UTF-8", where=name) from None
    try:
        value = json.loads(text, object_pairs_hook=_once)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        why = "a name or a word in it holds half a character"
        raise refuse("The facts were not read", why, "Write that word anew", where=name) from None
    except json.JSONDecodeError as error:
        raise refuse("The facts were not read", f"it is not JSON: {error}", "Mend that line", where=name) from None
    except (ValueError, RecursionError):
        why = "a number in it is thousands of digits long, or it is nested too deeply"
        raise refuse("The facts were not read", why, "Give facts by name", where=name) from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object as it was written: of two facts under one name nobody can say which is meant."""
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
        raise refuse("The facts were not read", f"{twice!r} stands twice in one object", "Leave one", where=twice)
    return found


def _day(text: str | None) -> date:
    if text is None:
        return date.today()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise refuse(
            "The day was not understood", f"{text!r} is no date", "Give it as 2026-03-01", where="--on"
        ) from None


def _print(value: Any) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
    print()


def _rules(protocol: str | None) -> tuple[Rule, ...]:
    return rule_files.rules_for(protocol).rules if protocol else rule_files.all_rules()


def _explanation(rule_id: str, protocol: str | None) -> dict[str, Any]:
    found = [rule for rule in _rules(protocol) if rule.id == rule_id]
    if not found:
        return _medicine_explanation(rule_id, protocol)
    return {
        "rule": rule_id,
        "title": found[0].title,
        "version": found[0].version,
        "guards": list(found[0].guards),
        "protocols": {rule.protocol: _applied(rule) for rule in found},
        "examples": [example for entry in rule_files.rule_entries() if entry.id == rule_id
                     for example in entry.table.get("examples", ())],
    }  # fmt: skip


def _medicine_explanation(rule_id: str, protocol: str | None) -> dict[str, Any]:
    """A finding about a medicine comes from a row of the matrix, or says that there is none."""
    if rule_id in FINDINGS_OF_NO_RULE:
        return {"rule": rule_id, "title": FINDINGS_OF_NO_RULE[rule_id], "substances": {}}
    substances = [rule_files.rules_for(protocol).substance] if protocol else rule_files.substances()
    rows = [row for substance in substances for row in rule_files.matrix(substance) if row.rule_id == rule_id]
    if not rows:
        known = {r.id for r in _rules(protocol)} | {r.rule_id for s in substances for r in rule_files.matrix(s)}
        raise refuse(
            f"There is no rule called {rule_id!r}",
            "no file and no row of the medication matrix has that name",
            f"Known: {', '.join(sorted(known | set(FINDINGS_OF_NO_RULE)))}",
            code="unknown-rule",
        )
    return {
        "rule": rule_id,
        "title": f"{rows[0].medicine_class.replace('_', ' ')}: what it means for each substance",
        "medicines": sorted(
            medicine.id for medicine in rule_files.medicines().by_id.values() if rows_for(medicine, rows[:1])
        ),
        "substances": {row.substance: _cell(row) for row in rows},
    }


def _cell(row: Interaction) -> dict[str, Any]:
    return {
        "action": row.action,
        "in_service": row.in_service or row.action,
        "only_if": row.only_if.text if row.only_if else "",
        "washout_days": row.washout_days,
        "hold_hours": row.hold_hours,
        "because": row.because,
        "mechanism": row.mechanism,
        "confidence": row.confidence,
        "basis": row.basis,
        "evidence": list(row.evidence),
        "verified": row.verified,
    }


def _applied(rule: Rule) -> dict[str, Any]:
    return {
        "finding": rule.finding.value,
        "when": rule.when.text,
        "because": rule.sentence(),
        "limits": {name: limit(value) for name, value in rule.limits.items()},
        "basis": rule.basis,
        "evidence": list(rule.evidence),
        "verified": rule.verified,
        "note": rule.note,
    }


def _list(protocol: str | None) -> list[dict[str, Any]]:
    by_id: dict[str, list[Rule]] = {}
    for rule in _rules(protocol):
        by_id.setdefault(rule.id, []).append(rule)
    return [
        {
            "rule": id,
            "title": rules[0].title,
            "version": rules[0].version,
            "findings": sorted({rule.finding.value for rule in rules}),
            "protocols": [rule.protocol for rule in rules],
        }
        for id, rules in sorted(by_id.items())
    ]


def _matrix_list(protocol: str | None) -> list[dict[str, Any]]:
    substances = [rule_files.rules_for(protocol).substance] if protocol else rule_files.substances()
    by_id: dict[str, list[Interaction]] = {}
    for substance in substances:
        for row in rule_files.matrix(substance):
            by_id.setdefault(row.rule_id, []).append(row)
    return [
        {
            "rule": id,
            "title": rows[0].medicine_class.replace("_", " "),
            "actions": {r.substance: r.action for r in rows},
        }
        for id, rows in sorted(by_id.items())
    ]
