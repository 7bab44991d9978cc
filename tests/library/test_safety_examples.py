"""Every example of every rule and of every protocol it names runs, and every rule has a source."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from keel.domain.fact import read_facts
from keel.domain.safety import Finding, judge
from keel.library import rule_files

DAY = date(2026, 3, 10)


def found(rule: str, example: dict[str, Any]) -> Finding:
    rules = rule_files.rules_for(example["protocol"])
    on = date.fromisoformat(example["on"]) if "on" in example else DAY
    guard = example.get("guard", "admit")
    verdict = judge(rules, read_facts(example["facts"], rules.catalogue, on=on, guard=guard), guard=guard)
    (finding,) = [f for f in verdict.findings if f.rule == rule]
    return finding


EXAMPLES = [
    pytest.param(entry.id, example, id=f"{entry.id}-{number}")
    for entry in rule_files.rule_entries()
    for number, example in enumerate(entry.table.get("examples", ()))
]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_an_example_gives_what_it_says(rule: str, example: dict[str, Any]) -> None:
    finding = found(rule, example)
    assert finding.level.value == example["gives"], finding.because
    if finding.level.value == "unknown":
        assert finding.missing, "an unknown finding says what is missing"
