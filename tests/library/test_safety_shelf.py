"""The shelf of rules: sources, what a site may add, what is refused on load, and overrides that stay listed."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from keel.domain.errors import Refused
from keel.domain.fact import Facts, read_facts
from keel.domain.safety import Finding, Level, Override, Verdict, apply_overrides, judge, worst
from keel.domain.screening import DIAGNOSES
from keel.library import alert_files, protocol_files, rule_files, shelf

DAY = date(2026, 3, 10)
RULE = """
version = 1
title = "Something"
finding = "stop"
guards = ["admit"]
when = "history.stroke"
because = "It excludes."
evidence = ["S 39"]
basis = "house"
verified = false

[protocols.davis-2021]
"""


def facts(raw: dict[str, Any], guard: str = "admit") -> Facts:
    return read_facts(raw, rule_files.catalogue(), on=DAY, guard=guard)


def verdict(protocol: str, raw: dict[str, Any]) -> Verdict:
    return judge(rule_files.rules_for(protocol), facts(raw))


def finding(protocol: str, rule: str, raw: dict[str, Any]) -> Finding:
    return next(f for f in verdict(protocol, raw).findings if f.rule == rule)


# ---- what every file keeps --------------------------------------------------------------------


def test_every_rule_has_a_source_a_basis_and_an_example_of_knowing_nothing() -> None:
    for entry in rule_files.rule_entries():
        examples = entry.table.get("examples", [])
        if entry.id == "intracranial-vessels":
            continue  # no protocol of the shelf gives esketamine: its example is a test of its own
        assert any(not example["facts"] for example in examples), entry.id
        for example in examples:
            told = {"guard", "on", "protocol", "facts", "gives", "not_asked"}
            assert set(example) <= told, entry.id
            if not example["facts"]:
                assert (example["gives"] == "clear") == example.get("not_asked", False), entry.id
    for rule in rule_files.all_rules():
        assert rule.evidence and rule.sentence().endswith("."), rule.id


def test_every_protocol_of_the_shelf_is_screened_with_its_own_substance() -> None:
    table = shelf.read("tables", "screening_protocols").table["protocols"]
    assert set(table) == set(shelf.ids("protocols"))
    for id, row in table.items():
        protocol = protocol_files.protocol(id)
        assert (protocol.service_model == "regulated_service") == (row["kind"] == "service")
        given = {dose.substance for visit in protocol.visits for dose in visit.doses}
        assert any(substance.startswith(row["substance"]) for substance in given), id


def test_every_source_of_the_safety_shelf_is_used() -> None:
    files = [shelf.read(kind, id) for kind in ("safety", "substances", "medications") for id in shelf.ids(kind)]
    files += [shelf.read("tables", id) for id in shelf.ids("tables")]
    shown = " ".join(str(entry.table) for entry in files)
    unused = [name for name in shelf.read("sources", "safety").table["rows"] if f"'{name}'" not in shown]
    assert unused == []
    assert all(alert_files.clocks())


def test_the_catalogue_says_who_supplies_every_fact() -> None:
    for kind in rule_files.catalogue().values():
        assert kind.supplied_by and kind.label and kind.group, kind.name
        assert kind.kind != "number" or (kind.least is not None and kind.most is not None), kind.name


# ---- staleness --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, kind in rule_files.catalogue().items() if kind.max_age_days])
def test_a_fact_goes_stale_on_the_day_after_its_age(name: str) -> None:
    kind = rule_files.catalogue()[name]
    oldest = kind.max_age_days["admit"]
    value: Any = {"number": kind.most, "flag": True, "medications": []}.get(kind.kind, (kind.choices or [None])[0])
    for age, is_known in ((oldest, True), (oldest + 1, False)):
        on = date.fromordinal(DAY.toordinal() - age).isoformat()
        given: Any = {"value": value, "on": on}
        if kind.kind == "readings":
            given = [{"systolic_mmhg": 120, "diastolic_mmhg": 80, "on": on}]
        raw: Any = {name: given}
        if "." in name:
            group, _, leaf = name.partition(".")
            raw = {group: {leaf: given}}
        found = facts(raw)
        assert (name in found.known) is is_known
        assert is_known or "holds for" in found.absent[name]
        assert not found.notes, "old is not wrong"


def test_a_group_hands_its_day_down() -> None:
    found = facts({"suicidality": {"value": {"q1": False, "q2": False, "q6": False}, "on": "2026-01-01"}})
    assert "suicidality.q1" in found.absent and not found.known


# ---- a site's shelf ---------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "safety").mkdir()
    monkeypatch.setenv("KEEL_SHELF", str(tmp_path))

    def write(id: str, text: str) -> None:
        (tmp_path / "safety" / f"{id}.toml").write_text(text, encoding="utf-8")

    return write


def test_a_site_lays_its_matrix_medicines_and_ages_upon_ours(site: Any, tmp_path: Path) -> None:
    for kind in ("substances", "medications", "tables"):
        (tmp_path / kind).mkdir()
    (tmp_path / "substances" / "psilocybin.toml").write_text(
        'version = 1\n[[interactions]]\nclass = "thyroid"\naction = "caution"\nbecause = "ours looks first"\n'
        'basis = "house"\nevidence = ["S 115"]\nverified = false\n'
        '[[interactions]]\nclass = "lithium"\naction = "ok"\nbecause = "harmless"\nbasis = "house"\n'
        'evidence = ["S 115"]\nverified = false\n'
    )
    (tmp_path / "medications" / "thyroid.toml").write_text(
        'version = 1\nclass = "thyroid"\nsource = "ours"\n[[medicines]]\nid = "lithium"\nnames = ["Hausname"]\n'
    )
    (tmp_path / "tables" / "facts.toml").write_text(
        "version = 1\n"
        + "".join(
            f'[[facts]]\nname = "{name}"\nlabel = "x"\nkind = "number"\nsupplied_by = ["us"]\n'
            f"max_age_days = {{ admit = {days} }}\n"
            for name, days in (("qtcf_ms", 10), ("weight_kg", 9999), ("our_own", 5))
        )
    )
    ages = {name: kind.max_age_days.get("admit") for name, kind in rule_files.catalogue().items()}
    assert (ages["qtcf_ms"], ages["weight_kg"], ages["our_own"]) == (10, 90, 5)
    assert finding("davis-2021", "medication-thyroid", {"medications": [{"name": "levothyroxine"}]}).level is (
        Level.CAUTION
    )
    for name in ("lithium", "Hausname"):
        found = verdict("davis-2021", {"medications": [{"name": name}]})
        assert found.level is Level.STOP
        assert {f.level for f in found.findings if f.rule == "medication-lithium"} == {Level.STOP, Level.CLEAR}


def limited(protocol: str, limits: str) -> str:
    whole = RULE.replace("history.stroke", "qtcf_ms > limit.qtcf_ms").replace("davis-2021", protocol)
    return whole + f"limits = {{ {limits} }}\n"


def test_a_site_may_tighten(site: Any) -> None:
    site("qtc", limited("davis-2021", "qtcf_ms = 440"))
    assert finding("davis-2021", "qtc", {"qtcf_ms": 445}).level is Level.STOP
    assert finding("davis-2021", "qtc", {"qtcf_ms": 439}).level is Level.CLEAR


def test_a_site_cannot_loosen_by_writing_the_same_rule_softer(site: Any) -> None:
    site("qtc", limited("davis-2021", "qtcf_ms = 500"))
    assert finding("davis-2021", "qtc", {"qtcf_ms": 460}).level is Level.STOP
    site("lithium", RULE.replace('finding = "stop"', 'finding = "caution"').replace("history.stroke", "takes(lithium)"))
    assert verdict("davis-2021", {"medications": [{"name": "lithium"}]}).level is Level.STOP


def test_a_site_answers_a_number_that_is_open(site: Any) -> None:
    assert finding("raison-2023", "qtc", {"qtcf_ms": 400}).level is Level.UNKNOWN
    site("qtc", limited("raison-2023", "qtcf_ms = 450"))
    assert finding("raison-2023", "qtc", {"qtcf_ms": 400}).level is Level.CLEAR
    assert finding("raison-2023", "qtc", {"qtcf_ms": 451}).level is Level.STOP


def test_a_site_adds_a_rule_of_its_own(site: Any) -> None:
    site("our-own", RULE)
    assert finding("davis-2021", "our-own", {"history": {"stroke": True}}).level is Level.STOP
    assert finding("davis-2021", "our-own", {}).level is Level.UNKNOWN


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('when = "history.stroke"', 'when = "history.strike"', "does not know"),
        ('when = "history.stroke"', 'when = "reported(history.strike)"', "nothing is called"),
        ('when = "history.stroke"', 'when = "takes(lithum)"', "nothing is called"),
        ('when = "history.stroke"', 'when = "mean(blood_pressure.middle) > 1"', "nothing is called"),
        ('when = "history.stroke"', 'when = "age_years > limit.most"', "not among its limits"),
        ('when = "history.stroke"', 'when = "open(age_years)"', "no question"),
        ('when = "history.stroke"', 'when = "import os"', "cannot be read"),
        ('finding = "stop"', 'finding = "clear"', "not caution, unknown or stop"),
        ('basis = "house"', 'basis = "hearsay"', "not one of"),
        ('guards = ["admit"]', 'guards = ["lunch"]', "guards"),
        ('evidence = ["S 39"]', "evidence = []", "no evidence"),
        ('evidence = ["S 39"]', 'evidence = ["a friend"]', "no source"),
        ('title = "Something"', "", "no `title`"),
        ('title = "Something"', 'titel = "Something"', "no rule has"),
        ("verified = false", 'verified = "no"', "verified"),
    ],
)
def test_a_rule_that_cannot_be_relied_on_is_refused_with_its_place(site: Any, old: str, new: str, why: str) -> None:
    site("broken", RULE.replace(old, new))
    with pytest.raises(Refused, match=why) as refused:
        rule_files.rules_for("davis-2021")
    assert "safety/broken.toml" in refused.value.reasons[0].where


# ---- overrides and levels ---------------------------------------------------------------------


def override(**changes: Any) -> Override:
    said = {
        "rule": "psychiatric-hospitalisation",
        "level": Level.STOP,
        "reason": "One night of observation in 1998, nothing since.",
        "by": "p-1",
        "role": "physician",
        "at": datetime(2026, 3, 10, 9, tzinfo=UTC),
    }
    return Override(**{**said, **changes})


STAYED = {"history": {"psychiatric_hospitalisation": True}}


def test_a_physician_overrides_with_a_reason_and_it_stays_listed() -> None:
    before = verdict("davis-2021", STAYED)
    after = apply_overrides(before, [override()])
    (changed,) = [f for f in after.findings if f.rule == "psychiatric-hospitalisation"]
    assert changed.level is Level.CAUTION, "never clear"
    assert changed.overridden_level is Level.STOP
    assert after.overrides == (override(),)
    assert changed.as_json()["override"]["reason"] == override().reason
    assert before.level is Level.STOP and after.level is Level.UNKNOWN, "the others still count"


def test_an_override_of_unknown_does_not_hold_once_it_is_a_stop() -> None:
    of_unknown = override(level=Level.UNKNOWN)
    assert apply_overrides(verdict("davis-2021", {}), [of_unknown]).overrides == (of_unknown,)
    assert apply_overrides(verdict("davis-2021", STAYED), [of_unknown]).overrides == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [({"role": "facilitator"}, "physician"), ({"reason": " ok "}, "reason"), ({"rule": "weather"}, "no finding")],
)
def test_any_other_override_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        apply_overrides(verdict("davis-2021", STAYED), [override(**changes)])


def test_no_finding_is_ever_a_bool() -> None:
    found = verdict("davis-2021", {})
    for asked in (found, found.findings[0], found.level):
        with pytest.raises(TypeError, match="never a bool"):
            bool(asked)
    assert worst([]) is Level.UNKNOWN
    assert worst([Level.CLEAR, Level.UNKNOWN, Level.CAUTION]) is Level.UNKNOWN
    with pytest.raises(Refused, match="no rule guards it"):
        judge(rule_files.rules_for("davis-2021"), facts({}), guard="lunch")


# ---- diagnoses, and answers that age does not undo ----------------------------------------------


def test_every_diagnosis_that_a_rule_asks_for_is_in_the_catalogue() -> None:
    known = set(rule_files.catalogue()["diagnoses"].choices)
    asked = {
        word
        for rule in rule_files.all_rules()
        for word in re.findall(r'"([a-z0-9_]+)" (?:not )?in diagnoses', rule.when.text)
    }
    assert asked <= known
    assert set(DIAGNOSES) <= known, "what the form offers"


def test_a_diagnosis_that_no_rule_knows_is_unknown_and_never_harmless() -> None:
    found = finding("davis-2021", "diagnosis-not-known", {"diagnoses": ["mdd", "Kluver-Bucy syndrome"]})
    assert found.level is Level.UNKNOWN and found.missing[0].name == "diagnoses.kluver_bucy_syndrome"
    assert all(f.rule != "diagnosis-not-known" for f in verdict("davis-2021", {"diagnoses": ["MDD", "ptsd"]}).findings)


def test_a_positive_pregnancy_test_does_not_wear_off() -> None:
    told = {"pregnancy_test": {"value": "positive", "on": "2025-11-01"}}
    assert finding("oregon-adult-psilocybin", "pregnancy-reported", told).level is Level.STOP
    assert finding("davis-2021", "pregnancy", told).level is Level.STOP
    old = {"sex": "female", "pregnancy_test": {"value": "negative", "on": "2025-11-01"}}
    assert finding("davis-2021", "pregnancy", old).level is Level.UNKNOWN


@pytest.mark.parametrize("dose", [-5, 0, "0 mg", "-20 mg", "25 kg", {"mg": 5}, True, float("nan")])
def test_a_dose_of_a_medicine_that_can_be_none_is_no_fact(dose: Any) -> None:
    told = {"medications": [{"name": "levothyroxine", "dose": dose}]}
    assert finding("davis-2021", "medication-interactions", told).level is Level.UNKNOWN
    for fine in ("75 mcg", "0.5 mg", 75, "", None, "one tablet", "0,25 mg", "10 ml", "40 IU"):
        told = {"medications": [{"name": "levothyroxine", "dose": fine}]}
        assert all(f.rule != "medication-interactions" for f in verdict("davis-2021", told).findings)
