"""`keel safety unverified`: every number that somebody has to sign, because no source was read for it, or none gave it.

Each row names what it is about (`rule`), where a protocol or substance has its own, the numbers (`limits`), those that
are open, and on what they stand. Shown by kind: rules, the medication matrix, half-lives, what is said of substances, how long
facts hold, the ladders of alerts, reporting clocks, and the numbers of protocols.
"""

from __future__ import annotations

from typing import Any

from keel.library import alert_files, protocol_files, rule_files, shelf


def unverified(kind: str | None = None) -> list[dict[str, Any]]:
    """The rows of one kind, or of all of them."""
    return [{"kind": name, **row} for name, rows in UNVERIFIED.items() if kind in (None, name) for row in rows()]


def limit(value: Any) -> Any:
    """A number as JSON can say it: no limit at all is the word "none", an open one is null."""
    return "none" if isinstance(value, float) and value == float("inf") else value


def _rules() -> list[dict[str, Any]]:
    return [
        {
            "rule": rule.id,
            "protocol": rule.protocol,
            "limits": {name: limit(value) for name, value in rule.limits.items()},
            "open": [name for name, value in rule.limits.items() if value is None],
            "basis": rule.basis,
            "evidence": list(rule.evidence),
            "note": rule.note,
        }
        for rule in rule_files.all_rules()
        if not rule.verified or None in rule.limits.values()
    ]


def _matrix() -> list[dict[str, Any]]:
    return [
        {
            "rule": row.rule_id,
            "substance": row.substance,
            "action": row.action,
            "limits": {k: v for k, v in (("washout_days", row.washout_days), ("hold_hours", row.hold_hours)) if v},
            "open": [],
            "basis": row.basis,
            "evidence": list(row.evidence),
            "note": row.because,
        }
        for substance in rule_files.substances()
        for row in rule_files.matrix(substance)
        if not row.verified
    ]


def _half_lives() -> list[dict[str, Any]]:
    """Read in reviews and handbooks, not in each label: a pharmacist signs them."""
    return [
        {
            "rule": f"half-life-{medicine.id.replace('_', '-')}",
            "limits": {"half_life_hours": medicine.half_life_hours},
            "open": [],
            "basis": "house",
            "evidence": [medicine.half_life_source],
            "note": "upper end of the range, active metabolites included",
        }
        for medicine in rule_files.medicines().by_id.values()
        if medicine.half_life_hours is not None
    ]


def _row(rule: str, limits: dict[str, Any], evidence: tuple[str, ...] = (), note: str = "") -> dict[str, Any]:
    open_ = [name for name, value in limits.items() if value is None]
    return {"rule": rule, "limits": limits, "open": open_, "basis": "house", "evidence": list(evidence), "note": note}


def _substances() -> list[dict[str, Any]]:
    return [
        {**_row(name, {name: fact["value"]}, note=fact.get("note", "")), "substance": id}
        for id in rule_files.substances()
        for name, fact in shelf.read("substances", id).table.get("facts", {}).items()
        if not fact["verified"]
    ]


def _ages() -> list[dict[str, Any]]:
    return [
        _row(kind.name, {f"max_age_days_{guard}": days for guard, days in kind.max_age_days.items()})
        for kind in rule_files.catalogue().values()
        if kind.max_age_days
    ]


def _ladders() -> list[dict[str, Any]]:
    ladders = [alert_files.ladder(level) for level in ("urgent", "notify")]
    return [
        _row(
            ladder.level,
            {**{rung.role: rung.after_minutes for rung in ladder.rungs}, "then_every": ladder.then_every_minutes},
        )
        for ladder in ladders
        if not ladder.verified
    ]


def _clocks() -> list[dict[str, Any]]:
    return [
        _row(clock.id, {"days": clock.days}, clock.evidence, clock.label)
        for clock in alert_files.clocks()
        if not clock.verified or clock.days is None
    ] + [
        _row(duty.id, {"every_months": duty.every_months, "due_days": duty.due_days}, duty.evidence, duty.label)
        for duty in alert_files.duties()
        if not duty.verified or duty.due_days is None
    ]


def _protocols() -> list[dict[str, Any]]:
    return [
        {**_row(fact.path, {fact.path: fact.value}, fact.sources), "protocol": protocol.id, "basis": fact.basis}
        for protocol in protocol_files.protocols()
        for fact in protocol.facts
        if not fact.verified
    ]


UNVERIFIED = {
    "rule": _rules,
    "matrix": _matrix,
    "half-life": _half_lives,
    "substance": _substances,
    "age": _ages,
    "ladder": _ladders,
    "clock": _clocks,
    "protocol": _protocols,
}
