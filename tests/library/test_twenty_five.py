"""The 25 facts that are the most dangerous to get wrong: each has its test here, by its number."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from keel.domain.adverse_event import check_adverse_event, due_reports
from keel.domain.dose import Mg, MgPer70Kg, amount
from keel.domain.errors import Refused
from keel.domain.fact import read_facts
from keel.domain.jurisdiction import check_preparation, minimum_minutes, required_facilitators
from keel.domain.medication import earliest_day, read_medications
from keel.domain.protocol import DosePlan, Visit
from keel.domain.safety import Finding, Level, Verdict, judge
from keel.domain.suicidality import triage
from keel.library import alert_files, protocol_files, rule_files, shelf
from keel.library.jurisdiction_files import jurisdiction

DAY = date(2026, 3, 10)
TRIALS = [p for p in rule_files.protocol_ids() if p != "oregon-adult-psilocybin"]


def verdict(protocol: str, facts: dict[str, Any], on: date = DAY) -> Verdict:
    rules = rule_files.rules_for(protocol)
    return judge(rules, read_facts(facts, rules.catalogue, on=on))


def finding(protocol: str, rule: str, facts: dict[str, Any]) -> Finding:
    (found,) = [f for f in verdict(protocol, facts).findings if f.rule == rule]
    return found


def medicines(name: str, **more: Any) -> dict[str, Any]:
    return {"medications": [{"name": name, **more}]}


def matrix_level(substance: str, name: str, **more: Any) -> Level:
    """The level of a medicine under a substance's matrix alone, in a protocol that names no washout."""
    base = rule_files.rules_for("griffiths-2016")
    rules = replace(base, substance=substance, matrix=rule_files.matrix(substance), rules=())
    return judge(rules, read_facts(medicines(name, **more), rules.catalogue, on=DAY)).level


@pytest.mark.parametrize("protocol", rule_files.protocol_ids())
@pytest.mark.parametrize(("days", "level"), [(29, "stop"), (30, "stop"), (31, "clear")])
def test_01_lithium_excludes_and_for_thirty_days(protocol: str, days: int, level: str) -> None:
    assert finding(protocol, "lithium", medicines("Lithium carbonate 300 mg")).level is Level.STOP
    stopped = medicines("lithium", stopped_on=(DAY - timedelta(days=days)).isoformat())
    assert finding(protocol, "lithium", stopped).level.value == level


@pytest.mark.parametrize("protocol", ["mapp1", "mapp2"])
@pytest.mark.parametrize("name", ["phenelzine", "Parnate", "moclobemide", "linezolid", "methylene blue", "ayahuasca"])
def test_02_an_maoi_with_mdma_is_an_absolute_stop(protocol: str, name: str) -> None:
    assert finding(protocol, "maoi-mdma", medicines(name)).level is Level.STOP
    recent = medicines(name, stopped_on=(DAY - timedelta(days=13)).isoformat())
    assert finding(protocol, "maoi-mdma", recent).level is Level.STOP


@pytest.mark.parametrize("name", ["sertraline", "venlafaxine", "amitriptyline", "phenelzine", "tramadol"])
def test_03_ayahuasca_excludes_what_an_maoi_excludes(name: str) -> None:
    assert matrix_level("ayahuasca", name) is Level.STOP


def test_03_two_weeks_off_are_enough_for_the_trial_and_not_for_fluoxetine() -> None:
    """The trial's washout is from memory, and the matrix of ayahuasca holds where a medicine stays longer."""
    weeks = {weeks: (DAY - timedelta(weeks=weeks)).isoformat() for weeks in (2, 5, 6)}
    off = medicines("Prozac", stopped_on=weeks[2])
    assert finding("palhano-fontes-2019", "antidepressant-washout", off).level is Level.CLEAR
    assert verdict("palhano-fontes-2019", off).level is Level.STOP
    assert matrix_level("ayahuasca", "Prozac", stopped_on=weeks[5]) is Level.STOP
    assert matrix_level("ayahuasca", "Prozac", stopped_on=weeks[6]) is Level.CAUTION  # CYP2D6 is slow for longer
    assert matrix_level("ayahuasca", "sertraline", stopped_on=weeks[2]) is Level.CLEAR
    assert matrix_level("ayahuasca", "diazepam") is Level.CAUTION


def test_04_mg_per_70_kg_and_mg_never_turn_into_each_other() -> None:
    assert round(float(MgPer70Kg(30).worked(50).mg), 1) == 21.4
    assert round(float(MgPer70Kg(30).worked(100).mg), 1) == 42.9
    assert float(Mg(25).worked(100).mg) == 25
    assert MgPer70Kg(25) != Mg(25)


def test_05_mdma_is_the_hydrochloride_and_lsd_is_in_micrograms() -> None:
    doses = {id: _substances(id) for id in ("mapp1", "mapp2", "mm120-phase-2b")}
    assert doses["mapp1"] - {"placebo"} == doses["mapp2"] - {"placebo"} == {"mdma-hcl"}
    assert doses["mm120-phase-2b"] - {"placebo"} == {"lsd-freebase-equivalent"}
    assert amount(100, "ug") != amount(100, "mg")
    assert shelf.read("substances", "lsd").table["units"] == ["ug"]


def _substances(protocol: str) -> set[str]:
    return {dose.substance for visit in protocol_files.protocol(protocol).visits for dose in visit.doses}


def doses(id: str, substance: str) -> list[tuple[Visit, DosePlan]]:
    visits = protocol_files.protocol(id).visits
    return [(visit, dose) for visit in visits for dose in visit.doses if dose.substance == substance]


@pytest.mark.parametrize("id", ["mapp1", "mapp2"])
def test_06_supplemental_mdma_is_half_within_its_window_and_total(id: str) -> None:
    plans = [dose for _, dose in doses(id, "mdma-hcl")]
    assert len(plans) == 3
    for plan in plans:
        assert plan.supplemental is not None
        assert plan.supplemental.half_of_first
        assert plan.supplemental.window_minutes == (90, 120)
        assert plan.most_total == 180
        assert [2 * half for half in plan.supplemental.amounts] == list(plan.amounts)


@pytest.mark.parametrize("id", ["mapp1", "mapp2"])
def test_07_starting_at_120_mg_is_warned_of_and_not_forbidden(id: str) -> None:
    _, first = doses(id, "mdma-hcl")[0]
    assert first.amounts == (80, 120), "both are on record for every session"
    assert any("80 mg" in caution and "120 mg" in caution for caution in protocol_files.protocol(id).cautions)


def test_08_psychosis_personal_and_in_the_family_excludes() -> None:
    for protocol in rule_files.protocol_ids():
        found = finding(protocol, "psychosis-personal", {"history": {"psychotic_disorder": True}})
        assert found.level is Level.STOP
    for protocol in TRIALS:
        for disorder in ("psychotic_disorder", "bipolar_disorder"):
            found = finding(protocol, "family-first-degree", {"family_first_degree": {disorder: True}})
            assert found.level is Level.STOP
        assert finding(protocol, "bipolar-personal", {"history": {"bipolar_disorder": True}}).level is Level.STOP


def test_09_the_blood_pressure_limit_is_each_protocols_own_and_never_global() -> None:
    rules = [rule for rule in rule_files.all_rules() if rule.id == "blood-pressure"]
    assert {rule.protocol for rule in rules} == set(TRIALS)
    assert not any(rule.verified for rule in rules), "the numbers of these trials are from memory or the house's"
    at_limit = {"blood_pressure": [{"systolic_mmhg": 140, "diastolic_mmhg": 90}]}
    assert finding("mapp2", "blood-pressure", at_limit).level is Level.CLEAR
    assert finding("raison-2023", "blood-pressure", at_limit).level is Level.STOP
    for protocol in TRIALS:
        found = finding(protocol, "uncontrolled-hypertension", {"history": {"uncontrolled_hypertension": True}})
        assert found.level is Level.STOP


def test_10_qtc_borderline_at_baseline_excludes_and_psilocybin_adds_two_ms() -> None:
    assert finding("davis-2021", "qtc", {"qtcf_ms": 451}).level is Level.STOP
    assert finding("davis-2021", "qtc", {"qtcf_ms": 450}).level is Level.CLEAR
    assert finding("davis-2021", "qtc", {}).level is Level.UNKNOWN
    assert shelf.read("substances", "psilocybin").table["facts"]["qtcf_change_ms"]["value"] == 2.1


def test_11_the_mdma_alarms_expect_what_healthy_people_show() -> None:
    facts = shelf.read("substances", "mdma").table["facts"]
    assert facts["systolic_above_160_percent"]["value"] == 33
    assert facts["temperature_above_38c_percent"]["value"] == 19
    (rule,) = [r for r in rule_files.rules_for("mapp2").rules if r.id == "vital-signs-today"]
    temperature = rule.limits["temperature_c"]
    assert isinstance(temperature, float) and temperature > 38, "one in five healthy people passes 38 °C"


def test_12_intent_or_recent_behaviour_is_high_whatever_else_is_blank() -> None:
    for answers, when in (({"q4": True}, None), ({"q5": True}, None), ({"q6": True}, "past_3_months")):
        assert triage(answers, when).level == "high"
    for protocol in TRIALS:
        assert finding(protocol, "suicidality-high", {"suicidality": {"q5": True}}).level is Level.STOP


@pytest.mark.parametrize("valence", ["pleasant", "unpleasant", "mixed", "neutral"])
def test_13_events_are_collected_whatever_their_valence(valence: str) -> None:
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    event = check_adverse_event(
        {"term": "Euphoric mood", "began_at": "2026-03-10T10:00:00+00:00", "valence": valence, "grade": 1}, now=now
    )
    assert event.valence == valence
    assert {"Euphoric mood", "Crying", "Impairment at discharge"} <= set(alert_files.terms())


def test_14_nobody_leaves_early_or_alone() -> None:
    oregon = jurisdiction("oregon")
    assert minimum_minutes(oregon, 25) == 300
    for protocol in rule_files.protocol_ids():
        assert finding(protocol, "ride-home", {"ride_home": False}).level is Level.STOP
        assert finding(protocol, "ride-home", {}).level is Level.UNKNOWN


def test_15_a_group_is_one_to_one_on_the_dosing_day() -> None:
    ((visit, _),) = doses("agrawal-2024", "psilocybin-anhydrous")
    beside = [p for p in visit.present if p.role == "facilitator" and p.where == "in_room"]
    assert any(p.at_least == 1 and p.per_participants == 1 for p in beside)


def test_16_oregons_ratio_follows_the_largest_dose_in_the_room() -> None:
    oregon = jurisdiction("oregon")
    assert required_facilitators(oregon, 4, 25) == 1
    assert required_facilitators(oregon, 4, 50) == 2
    assert required_facilitators(oregon, 25, 2) == 1
    with pytest.raises(Refused):
        required_facilitators(oregon, 26, 2)


def test_17_oregon_gives_no_more_than_50_mg_and_prepares_a_day_to_90_days_before() -> None:
    oregon = jurisdiction("oregon")
    with pytest.raises(Refused):
        minimum_minutes(oregon, 51)
    session = datetime(2026, 3, 10, 9, tzinfo=UTC)
    check_preparation(oregon, prepared_at=session - timedelta(hours=24), session_at=session)
    for before in (timedelta(hours=23), timedelta(days=91)):
        with pytest.raises(Refused):
            check_preparation(oregon, prepared_at=session - before, session_at=session)


def test_18_nobody_is_ever_told_to_stop_a_medicine() -> None:
    rules = rule_files.rules_for("davis-2021")
    plan = earliest_day(
        read_medications([{"name": "sertraline"}]),
        "psilocybin",
        rules.matrix,
        rules.medicines,
        on=DAY,
        protocol_days=rules.washout_days(),
        risks=rules.risks,
    )
    assert plan.earliest_on is None
    assert all("prescriber" in line.ask and line.risks for line in plan.lines)
    (found,) = [f for f in verdict("davis-2021", medicines("sertraline")).findings if f.rule == "medication-ssri"]
    assert "Keel never advises it" in found.because


@pytest.mark.parametrize(("days", "level"), [(27, "stop"), (28, "clear")])
def test_19_fluoxetine_needs_longer_than_the_others(days: int, level: str) -> None:
    off = (DAY - timedelta(days=days)).isoformat()
    assert finding("davis-2021", "antidepressant-washout", medicines("Prozac", stopped_on=off)).level.value == level
    two_weeks = (DAY - timedelta(days=14)).isoformat()
    sertraline = finding("davis-2021", "antidepressant-washout", medicines("sertraline", stopped_on=two_weeks))
    assert sertraline.level is Level.CLEAR
    four_weeks = (DAY - timedelta(days=28)).isoformat()
    assert matrix_level("psilocybin", "fluoxetine", stopped_on=four_weeks) is Level.STOP, "six weeks without Davis"


def test_20_paroxetine_raises_mdma_while_blunting_it() -> None:
    found = [f for f in verdict("mapp2", medicines("paroxetine")).findings if f.rule == "medication-cyp2d6-inhibitor"]
    assert [f.level for f in found] == [Level.CAUTION]
    assert "30 percent" in found[0].because and "more MDMA" in found[0].because


def test_21_comp006_doses_twice_three_weeks_apart_and_comp005_once() -> None:
    twice = {visit.id: visit for visit, _ in doses("comp006", "psilocybin-anhydrous")}
    first, second = twice.values()
    assert second.after == first.id
    assert second.due_days == 21 or second.due_weeks == 3
    assert len({visit.id for visit, _ in doses("comp005", "psilocybin-anhydrous")}) == 1


def test_22_the_two_clocks_start_on_two_days() -> None:
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    event = check_adverse_event(
        {
            "term": "Seizure",
            "began_at": "2026-03-01T10:00:00+00:00",
            "grade": 4,
            "serious": ["life_threatening"],
            "related": "possibly_related",
            "expected": "unexpected",
        },
        now=now,
    )
    started = {"sponsor_receipt": date(2026, 3, 2), "sponsor_determination": date(2026, 3, 4)}
    dues = due_reports(
        event, alert_files.clocks(), regimes=frozenset({"fda_ind"}), started_on=started, sent={}, on=date(2026, 3, 10)
    )
    by_id = {due.clock.id: due for due in dues}
    assert by_id["fda_7_day"].due_on == date(2026, 3, 9) and by_id["fda_7_day"].state == "overdue"
    assert by_id["fda_7_day_written"].due_on == date(2026, 3, 19) and by_id["fda_7_day_written"].state == "running"
    assert "fda_15_day" not in by_id


def test_23_an_aneurysm_forbids_esketamine(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols" / "esketamine-clinic.toml").write_text(
        'id = "esketamine-clinic"\nversion = 1\n[[visits]]\nid = "session"\ndose = { substance = "esketamine" }\n'
    )
    monkeypatch.setenv("KEEL_SHELF", str(tmp_path))
    told = {"history": {"aneurysm_or_intracerebral_bleed": True}}
    assert finding("esketamine-clinic", "intracranial-vessels", told).level is Level.STOP
    assert finding("esketamine-clinic", "intracranial-vessels", {}).level is Level.UNKNOWN


def test_24_lsd_lasts_longer_than_a_psilocybin_slot() -> None:
    lsd, psilocybin = (shelf.read("substances", s).table["facts"] for s in ("lsd", "psilocybin"))
    assert lsd["duration_hours"]["value"] > psilocybin["duration_hours"]["value"]
    assert min(lsd["session_hours"]["value"]) >= 8


def test_25_psilocin_is_not_psilocybin() -> None:
    psilocin, psilocybin = (shelf.read("substances", s).table for s in ("psilocin", "psilocybin"))
    ratio = psilocin["facts"]["molar_mass_g_per_mol"]["value"] / psilocybin["facts"]["molar_mass_g_per_mol"]["value"]
    assert round(ratio, 2) == 0.72
    assert psilocin["name"] != psilocybin["name"]
