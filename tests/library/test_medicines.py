"""Medicines by any name, the matrix, washouts over dates, and the planner that never advises to stop."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.fact import read_facts
from keel.domain.medication import NEVER_STOP, Plan, default_washout_days, earliest_day, read_medications
from keel.domain.safety import Finding, Level, judge
from keel.library import rule_files

DAY = date(2026, 3, 10)
LIST = rule_files.medicines()


@pytest.mark.parametrize(
    ("written", "ids"),
    [
        ("sertraline", {"sertraline"}),
        ("  SERTRALINE hydrochloride 50 mg tablets, once daily ", {"sertraline"}),
        ("Zoloft 50mg", {"sertraline"}),
        ("Effexor XR 75 mg", {"venlafaxine"}),
        ("Lithium carbonate 300mg BID", {"lithium"}),
        ("lithium (Priadel)", {"lithium"}),
        ("St. John's Wort", {"st_johns_wort"}),
        ("5-HTP", {"five_htp"}),
        ("the pill", {"ethinylestradiol"}),
        ("sodium valproate", {"valproate"}),
        ("valproic acid", {"valproate"}),
        ("Depo-Provera", {"medroxyprogesterone"}),
        ("Contrave", {"bupropion", "naltrexone"}),
        ("Symbyax 6/25", {"olanzapine", "fluoxetine"}),
        ("Quilonorm retard", {"lithium"}),
        ("Teralithe 400", {"lithium"}),
        ("Auvelity", {"bupropion", "dextromethorphan"}),
        ("olanzapine/fluoxetine 6/25", {"olanzapine", "fluoxetine"}),
        ("Nicorette patch", {"nicotine"}),
    ],
)
def test_a_medicine_is_known_by_any_of_its_names(written: str, ids: set[str]) -> None:
    found = LIST.recognise(written)
    assert {m.id for m in found.medicines} == ids
    assert found.is_known, found.unread


@pytest.mark.parametrize(
    "written",
    [
        "Gloriazepan",
        "Abilify Maintena",
        "haloperidol decanoate",
        "none",
        "50 mg",
        "sertralin-like thing",
        "a pill",
        "x" * 500,
    ],
)
def test_a_name_that_nobody_knows_is_unknown(written: str) -> None:
    assert not LIST.recognise(written).is_known


def test_a_known_name_beside_an_unknown_one_stays_unknown() -> None:
    found = LIST.recognise("sertraline and gloriazepan")
    assert {m.id for m in found.medicines} == {"sertraline"}
    assert found.unread == "and gloriazepan"


def test_no_name_means_two_things_by_accident() -> None:
    """A name that stands for several medicines has to be a combined product."""
    several = {" ".join(words): {m.id for m in found} for words, found in LIST.by_words.items() if len(found) > 1}
    assert several == {
        "auvelity": {"bupropion", "dextromethorphan"},
        "contrave": {"bupropion", "naltrexone"},
        "mysimba": {"bupropion", "naltrexone"},
        "symbyax": {"olanzapine", "fluoxetine"},
        "treximet": {"sumatriptan", "naproxen"},
    }


def findings(protocol: str, *medicines: dict[str, Any], guard: str = "admit") -> dict[str, Finding]:
    rules = rule_files.rules_for(protocol)
    facts = read_facts({"medications": list(medicines)}, rules.catalogue, on=DAY, guard=guard)
    return {f.rule: f for f in judge(rules, facts, guard=guard).findings if f.rule.startswith("medication-")}


def off(days: int) -> str:
    return (DAY - timedelta(days=days)).isoformat()


def test_asked_and_none_is_clear_and_not_asked_is_unknown() -> None:
    assert findings("mapp2")["medication-interactions"].level is Level.CLEAR
    rules = rule_files.rules_for("mapp2")
    nothing = judge(rules, read_facts({}, rules.catalogue, on=DAY)).findings
    (found,) = [f for f in nothing if f.rule == "medication-interactions"]
    assert found.level is Level.UNKNOWN
    assert [m.name for m in found.missing] == ["medications"]


def test_an_unknown_medicine_is_unknown_and_says_who_can_help() -> None:
    found = findings("davis-2021", {"name": "Gloriazepan"})["medication-unknown-name"]
    assert found.level is Level.UNKNOWN
    assert found.missing[0].supplied_by == ("pharmacist", "prescriber")


def test_a_known_medicine_without_a_row_is_unknown_and_not_harmless() -> None:
    assert findings("davis-2021", {"name": "warfarin"})["medication-not-in-matrix"].level is Level.UNKNOWN


@pytest.mark.parametrize(
    ("protocol", "medicine", "rule", "level"),
    [
        ("oregon-adult-psilocybin", {"name": "sertraline"}, "medication-ssri", "caution"),
        ("griffiths-2016", {"name": "sertraline"}, "medication-ssri", "stop"),
        ("griffiths-2016", {"name": "sertraline", "stopped_on": off(13)}, "medication-ssri", "stop"),
        ("griffiths-2016", {"name": "sertraline", "stopped_on": off(14)}, "medication-ssri", "clear"),
        ("griffiths-2016", {"name": "fluoxetine", "stopped_on": off(41)}, "medication-fluoxetine", "stop"),
        ("griffiths-2016", {"name": "fluoxetine", "stopped_on": off(42)}, "medication-fluoxetine", "clear"),
        ("comp001", {"name": "fluoxetine", "stopped_on": off(20)}, "medication-fluoxetine", "stop"),
        ("davis-2021", {"name": "fluoxetine", "stopped_on": off(28)}, "medication-fluoxetine", "clear"),
        ("mapp2", {"name": "trazodone", "stopped_on": off(300)}, "medication-sedating-antidepressant", "unknown"),
        ("mapp2", {"name": "amitriptyline", "stopped_on": off(16)}, "medication-tca", "stop"),
        ("mapp2", {"name": "amitriptyline", "stopped_on": off(17)}, "medication-tca", "clear"),
        (
            "mapp2",
            {"name": "trazodone", "stopped_on": off(300), "half_life_hours": 13},
            "medication-sedating-antidepressant",
            "clear",
        ),
        ("mapp2", {"name": "ritonavir"}, "medication-hiv-booster", "stop"),
        ("davis-2021", {"name": "ritonavir"}, "medication-cyp3a4-inhibitor", "caution"),
        ("mapp2", {"name": "tramadol"}, "medication-serotonergic-opioid", "stop"),
        ("davis-2021", {"name": "tramadol"}, "medication-serotonergic-opioid", "caution"),
        ("davis-2021", {"name": "lamotrigine"}, "medication-lamotrigine", "caution"),
        ("davis-2021", {"name": "propranolol"}, "medication-beta-blocker", "clear"),
        ("mapp2", {"name": "propranolol"}, "medication-beta-blocker", "caution"),
        ("davis-2021", {"name": "levothyroxine"}, "medication-thyroid", "clear"),
        ("davis-2021", {"name": "diclofenac"}, "medication-ugt-inhibitor", "stop"),
        ("mm120-phase-2b", {"name": "lithium"}, "medication-lithium", "stop"),
        ("davis-2021", {"name": "Viagra"}, "medication-pde5-inhibitor", "caution"),
    ],
)
def test_the_matrix_says_what_the_facts_say(protocol: str, medicine: dict[str, Any], rule: str, level: str) -> None:
    assert findings(protocol, medicine)[rule].level.value == level


@pytest.mark.parametrize(
    ("last", "level"), [(None, "unknown"), (off(2), "stop"), (off(3), "clear")], ids=["not-told", "2-days", "3-days"]
)
def test_on_the_morning_what_is_left_out_has_to_have_been_left_out(last: str | None, level: str) -> None:
    medicine = {"name": "sildenafil"} | ({"last_dose_on": last} if last else {})
    assert findings("davis-2021", medicine, guard="give_dose")["medication-pde5-inhibitor"].level.value == level


def test_a_qt_row_speaks_only_above_its_limit() -> None:
    rules = rule_files.rules_for("davis-2021")
    for qtcf_ms, level in ((430, Level.CLEAR), (455, Level.CAUTION), (None, Level.UNKNOWN)):
        facts = read_facts({"medications": [{"name": "ondansetron"}], "qtcf_ms": qtcf_ms}, rules.catalogue, on=DAY)
        (found,) = [f for f in judge(rules, facts).findings if f.rule == "medication-qt-prolonging"]
        assert found.level is level


def test_the_house_formula() -> None:
    assert default_washout_days(24) == 12
    assert default_washout_days(26) == 13
    assert default_washout_days(384) == 87


def test_every_cell_of_the_matrix_has_a_source_and_every_substance_its_rows() -> None:
    for substance in ("psilocybin", "mdma", "lsd", "ayahuasca"):
        rows = rule_files.matrix(substance)
        assert len(rows) >= 27
        assert all(row.evidence and row.because for row in rows)
        assert len({row.medicine_class for row in rows}) == len(rows)


# ---- the planner ------------------------------------------------------------------------------


def plan(protocol: str, *medicines: dict[str, Any]) -> Plan:
    rules = rule_files.rules_for(protocol)
    return earliest_day(
        read_medications(list(medicines)),
        rules.substance,
        rules.matrix,
        rules.medicines,
        on=DAY,
        protocol_days=rules.washout_days(),
        risks=rules.risks,
        service=rules.service,
    )


def test_the_earliest_day_is_when_the_last_washout_is_over() -> None:
    found = plan(
        "griffiths-2016", {"name": "sertraline", "stopped_on": off(5)}, {"name": "Prozac", "stopped_on": off(5)}
    )
    assert found.earliest_on == DAY - timedelta(days=5) + timedelta(days=42)
    assert not found.open_questions


def test_nothing_to_wait_for_is_today() -> None:
    assert plan("davis-2021").earliest_on == DAY
    assert plan("davis-2021", {"name": "levothyroxine"}).earliest_on == DAY


def test_a_medicine_still_taken_is_a_question_to_its_prescriber_with_the_risks() -> None:
    found = plan("davis-2021", {"name": "sertraline"})
    assert found.earliest_on is None
    assert any(NEVER_STOP in question for question in found.open_questions)
    assert any("relapse" in risk for line in found.lines for risk in line.risks)


def test_a_planned_last_dose_gives_a_day_and_still_asks() -> None:
    planned = (DAY + timedelta(days=10)).isoformat()
    found = plan("davis-2021", {"name": "sertraline", "stopped_on": planned})
    assert found.earliest_on == DAY + timedelta(days=24)
    assert all(line.ask == NEVER_STOP for line in found.lines)


def test_not_asked_and_not_known_leave_the_plan_open() -> None:
    rules = rule_files.rules_for("davis-2021")
    assert earliest_day(None, "psilocybin", rules.matrix, rules.medicines, on=DAY).open_questions
    assert plan("davis-2021", {"name": "Gloriazepan"}).earliest_on is None
    assert plan("mapp2", {"name": "trazodone", "stopped_on": off(300)}).earliest_on is None


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["sertraline", "fluoxetine", "venlafaxine", "quetiapine"]), st.integers(0, 200)),
        max_size=4,
    ),
    st.sampled_from(["davis-2021", "mapp2", "griffiths-2016", "mm120-phase-2b"]),
)
def test_on_the_planned_day_no_medicine_stops_and_the_day_before_one_does(
    taken: list[tuple[str, int]], protocol: str
) -> None:
    """Planner and matrix are two ways to the same day."""
    medicines = [{"name": name, "stopped_on": off(days)} for name, days in taken]
    earliest = plan(protocol, *medicines).earliest_on
    assert earliest is not None
    rules = replace(rule_files.rules_for(protocol), rules=rule_files.rules_for(protocol).rules)
    only_matrix = replace(rules, rules=tuple(r for r in rules.rules if r.washout_days))

    def level(on: date) -> Level:
        return judge(only_matrix, read_facts({"medications": medicines}, rules.catalogue, on=on)).level

    assert not level(earliest).blocks
    if earliest > DAY:
        assert level(earliest - timedelta(days=1)) is Level.STOP


@pytest.mark.parametrize(
    ("given_value", "why"),
    [
        ("sertraline", "not a list"),
        ([{"dose": "50 mg"}], "no name"),
        ([{"name": "sertraline", "stopped_on": "soon"}], "not a date"),
        ([{"name": "sertraline", "started_on": "2026-02-01", "stopped_on": "2026-01-01"}], "before it was started"),
        ([{"name": "sertraline", "stopped_on": "9999-12-31"}], "cannot be"),
        ([{"name": "sertraline", "half_life_hours": float("nan")}], "half-life"),
    ],
)
def test_a_list_that_cannot_be_read_is_unknown_with_the_reason(given_value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_medications(given_value)
    rules = rule_files.rules_for("davis-2021")
    facts = read_facts({"medications": given_value}, rules.catalogue, on=DAY)
    assert why in facts.absent["medications"]
    assert judge(rules, facts).level is Level.UNKNOWN
