"""The chapter of the manual on safety rules, printed from the rules themselves (`keel safety manual`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from keel.domain.medication import Interaction
from keel.domain.safety import Limit, Rule
from keel.library import rule_files

HEAD = """# Safety rules

Printed by `keel safety manual` from the files of `keel/library/safety` and `keel/library/substances`; do not edit it here.

A finding is clear, caution, unknown or stop. The verdict is the worst of them; what is not known is unknown, and unknown
stops. A limit that is *open* was named by no source that was read: the rule says unknown and asks the medical lead.
*Not verified* means that it is from memory, from a sister trial or the house's own, and needs a signature.
Keel is not a medical device, and none of this is advice: a physician decides, and an override is recorded.
"""


def manual() -> str:
    """The whole chapter as Markdown."""
    entries = {entry.id: entry for entry in rule_files.rule_entries()}
    rules = sorted(rule_files.all_rules(), key=lambda rule: rule.id)
    parts = [HEAD]
    for id, same in groupby(rules, key=lambda rule: rule.id):
        parts.append("\n".join(_rule(tuple(same), entries[id].table)))
    parts.append("## What medicines mean for each substance\n")
    parts += ["\n".join(_matrix(substance)) for substance in rule_files.substances() if rule_files.matrix(substance)]
    return "\n".join(parts)


def _rule(rules: tuple[Rule, ...], table: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {rules[0].title} (`{rules[0].id}`)\n"
    yield f"Version {rules[0].version}; guards {' and '.join(g.replace('_', ' ') for g in rules[0].guards)}.\n"
    for (sentence, when), same in groupby(rules, key=lambda rule: (rule.sentence(), rule.when.text)):
        applied = tuple(same)
        yield f"{sentence} When `{when}`:\n"
        yield from (_applied(rule) for rule in applied)
        yield ""
    yield from (_example(example) for example in table.get("examples", ()))
    yield ""


def _applied(rule: Rule) -> str:
    limits = ", ".join(f"{name} {_limit(value)}" for name, value in rule.limits.items())
    read = "read" if rule.verified else "not verified"
    parts = [f"**{rule.finding.value}** in {rule.protocol}", limits, rule.basis.replace("_", " "), read]
    return "- " + "; ".join(part for part in parts if part) + f". {' · '.join(rule.evidence)}" + _note(rule.note)


def _limit(value: Limit) -> str:
    if value is None:
        return "open"
    return "without limit" if value == float("inf") else str(value)


def _note(note: str) -> str:
    return f" ({note})" if note else ""


def _example(example: Mapping[str, Any]) -> str:
    told = json.dumps(example["facts"], ensure_ascii=False, default=str) if example["facts"] else "nothing known"
    on = f" on {example['on']}" if "on" in example else ""
    return f"- Example, {example['protocol']}{on}: {told} gives **{example['gives']}**."


def _matrix(substance: str) -> Iterator[str]:
    yield f"### {substance}\n"
    yield "| medicine | action | how long | because | basis | source |"
    yield "|---|---|---|---|---|---|"
    yield from (_cells(row) for row in rule_files.matrix(substance))
    yield ""


def _cells(row: Interaction) -> str:
    action = row.action + (f", in a service {row.in_service}" if row.in_service else "")
    span = f"{row.washout_days} days" if row.washout_days else f"{row.hold_hours} hours" if row.hold_hours else ""
    read = "" if row.verified else ", not verified"
    basis = row.basis.replace("_", " ") + read
    name = row.medicine_class.replace("_", " ")
    return f"| {name} | {action} | {span} | {row.because} | {basis} | {' · '.join(row.evidence)} |"
