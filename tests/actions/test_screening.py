"""From the enquiry to allocation: what each step does, and what it refuses with the same set-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keel.actions import assessment, screening, study
from keel.domain.access import SYSTEM
from keel.domain.errors import Refused
from keel.domain.events import Actor, new_id
from keel.domain.screening import PRE_SCREEN
from keel.library.rule_files import screen
from keel.records import journal, vault
from keel.records.models import AlertRow, ConsentRow, CourseRow, EventRow, FactRow, FindingRow
from keel.records.rebuild import rebuild
from tests.clinic import (
    BORN_ON,
    CLEAR_FACTS,
    NAME,
    START,
    Clinic,
    begin,
    consent,
    enrolled,
    judge_clear,
    participant_of,
    right_answers,
    state_of,
)

pytestmark = [pytest.mark.database, pytest.mark.django_db]
TREATMENT = "treatment-psilocybin"


def events() -> int:
    return EventRow.objects.count()


def refused(action: Any, why: str, **given: Any) -> None:
    """The action is refused for this reason, and nothing was written."""
    before = events()
    with pytest.raises(Refused, match=why):
        action(**given)
    assert events() == before


# ---- the enquiry --------------------------------------------------------------------------------------------


def enquiry(clinic: Clinic, **change: Any) -> dict[str, Any]:
    given = {"site": "north", "study": "mood", "name": NAME, "born_on": BORN_ON, "email": "ada@example.org"}
    return {**given, "by": clinic.staff["coordinator"], "at": clinic.at, **change}


def test_an_enquiry_opens_a_course_and_keeps_the_name_in_the_vault(clinic: Clinic) -> None:
    opened = screening.open_course(**enquiry(clinic, referred_by="Dr Simulated, by letter"))
    row = CourseRow.objects.get(id=opened.stream.partition(":")[2])
    assert (row.code, row.phase, row.protocol, row.study) == ("NORTH-001", "enquiry", "davis-2021", "mood")
    known = vault.identity(row.participant)
    assert known and (known.name, known.born_on) == (NAME, BORN_ON)
    text = EventRow.objects.get(kind="course_opened").payload
    assert NAME not in text and "Dr Simulated" not in text and BORN_ON.isoformat() not in text
    assert vault.opener(row.participant)(opened.payload["referred_by"]) == "Dr Simulated, by letter"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"site": "south"}, "no such course at your site"),
        ({"study": "other"}, "does not run at this site"),
        ({"name": " "}, "there is no name"),
        ({"born_on": date(2027, 1, 1)}, "nobody living was born"),
        ({"born_on": date(1801, 1, 1)}, "nobody living was born"),
        ({"email": ""}, "no way to reach them"),
        ({"email": "ada"}, "is no email address"),
        ({"source": "dream"}, "there is no source 'dream'"),
        ({"id": "not-an-id"}, "is not a UUID"),
    ],
)
def test_an_enquiry_that_is_refused(clinic: Clinic, change: dict[str, Any], why: str) -> None:
    refused(screening.open_course, why, **enquiry(clinic, **change))


def test_a_person_has_one_open_course_at_a_site(clinic: Clinic) -> None:
    first = begin(clinic)
    refused(screening.open_course, "an open course already \\(NORTH-001\\)", **enquiry(clinic, name="ADA  simulated"))
    screening.open_course(**enquiry(clinic, name="Eve Simulated"))
    screening.fail_screening(course=first, reason="practical", by=clinic.staff["coordinator"], at=clinic.at)
    again = screening.open_course(**enquiry(clinic)).stream.partition(":")[2]
    assert state_of(again).participant == state_of(first).participant
    assert state_of(again).code == "NORTH-003"


def test_the_same_enquiry_sent_twice_is_one_course(clinic: Clinic) -> None:
    id = new_id()
    first = screening.open_course(**enquiry(clinic, id=id))
    again = screening.open_course(**enquiry(clinic, id=id))
    assert again.already and again.stream == first.stream
    assert CourseRow.objects.count() == 1


def test_a_pre_screen_goes_on_or_ends(clinic: Clinic) -> None:
    by = clinic.staff["coordinator"]
    course = screening.open_course(**enquiry(clinic)).stream.partition(":")[2]
    said: dict[str, Any] = {"course": course, "by": by, "at": clinic.at}
    refused(screening.pre_screen, "is not asked", answers={"shoe_size": True}, outcome="suitable", **said)
    refused(screening.pre_screen, "neither yes, no", answers={"no_lithium": "maybe"}, outcome="suitable", **said)
    refused(screening.pre_screen, "no outcome 'perhaps'", answers={}, outcome="perhaps", **said)
    refused(screening.pre_screen, "no reason was chosen", answers={}, outcome="unsuitable", **said)
    answers = dict.fromkeys(PRE_SCREEN, True) | {"no_lithium": False}
    screening.pre_screen(answers=answers, outcome="unsuitable", reason="medication", words="Lithium.", **said)
    row = CourseRow.objects.get(id=course)
    assert (row.ended, row.ended_reason, row.phase) == ("screening_failed", "medication", "ended")
    refused(screening.pre_screen, "the course ended", answers=answers, outcome="suitable", **said)


# ---- facts and their verdict --------------------------------------------------------------------------------


def facts_of(clinic: Clinic, course: str, facts: Mapping[str, Any], **change: Any) -> dict[str, Any]:
    return {"course": course, "facts": facts, "by": clinic.staff["physician"], "at": clinic.at, **change}


def finding(course: str, rule: str) -> FindingRow:
    return FindingRow.objects.get(course=course, rule=rule)


def test_facts_are_judged_in_the_same_breath(clinic: Clinic) -> None:
    course = begin(clinic)
    screening.record_facts(**facts_of(clinic, course, {"history": {"stroke": True}, "qtcf_ms": 408}))
    assert finding(course, "stroke").finding == "stop"
    assert finding(course, "stroke").used["history.stroke"]["on"] == "2026-03-02"
    assert finding(course, "age").finding == "clear"  # the vault knows the date of birth
    assert finding(course, "seizure").missing == ["history.seizure_disorder"]
    assert CourseRow.objects.get(id=course).verdict == "stop"
    assert FactRow.objects.get(course=course, name="qtcf_ms").value == 408
    screening.record_facts(**facts_of(clinic, course, {"history.stroke": None}))
    assert finding(course, "stroke").finding == "unknown"


@pytest.mark.parametrize(
    ("facts", "change", "why"),
    [
        ({"shoe_size": 43}, {}, "there is no fact 'shoe_size'"),
        ({"history": {"plague": True}}, {}, "there is no fact 'history.plague'"),
        ({"blood_pressure": [{"systolic_mmhg": 1200, "diastolic_mmhg": 80}]}, {}, "1200 mmHg cannot be"),
        ({"qtcf_ms": "long"}, {}, "'long' is not a number"),
        ({"history": {"stroke": "perhaps"}}, {}, "neither true nor false"),
        ({"qtcf_ms": {"value": 410, "on": "2026-03-03"}}, {}, "lies after 2026-03-02"),
        ({"qtcf_ms": {"value": 410, "on": "soon"}}, {}, "not a date"),
        ({"medications": [{"dose": "20 mg"}]}, {}, "no name of a medicine"),
        ({"qtcf_ms": 410}, {"on": date(2026, 3, 3)}, "is still to come"),
        ({"qtcf_ms": 410}, {"visit": "screening"}, "consent is not signed"),
        ({}, {}, "there is none among them"),
    ],
)
def test_facts_that_are_refused(clinic: Clinic, facts: dict[str, Any], change: dict[str, Any], why: str) -> None:
    course = begin(clinic)
    refused(screening.record_facts, why, **facts_of(clinic, course, facts, **change))


def test_facts_from_a_visit_need_consent_first(clinic: Clinic) -> None:
    course = begin(clinic)
    consent(clinic, course)
    screening.record_facts(**facts_of(clinic, course, {"qtcf_ms": 410}, visit="screening"))
    assert FactRow.objects.get(course=course, name="qtcf_ms").source == "screening"


def test_every_wrong_fact_is_named_at_once(clinic: Clinic) -> None:
    with pytest.raises(Refused) as refusal:
        screening.record_facts(**facts_of(clinic, begin(clinic), {"shoe_size": 1, "qtcf_ms": 9, "weight_kg": 900}))
    assert {r.where for r in refusal.value.reasons} == {"shoe_size", "qtcf_ms", "weight_kg"}


def test_facts_age_between_two_judgements(clinic: Clinic) -> None:
    course = begin(clinic)
    screening.record_facts(**facts_of(clinic, course, {"pregnancy_test": "negative", "sex": "female"}))
    assert finding(course, "pregnancy").finding == "clear"
    clinic.later(days=60)
    screening.judge(course=course, by=clinic.staff["coordinator"], at=clinic.at)
    assert finding(course, "pregnancy").finding == "unknown"


def test_a_rating_of_the_screening_is_judged_when_it_is_finished(clinic: Clinic) -> None:
    course = begin(clinic)
    consent(clinic, course)
    screening.record_facts(**facts_of(clinic, course, {"qtcf_ms": 408}))
    assert finding(course, "severity").finding == "unknown"
    given: dict[str, Any] = {"course": course, "visit": "screening", "by": clinic.staff["rater"], "at": clinic.at}
    assessment.enter(instrument="grid-hamd-17", items=[0] * 17, respondent="rater", paper=False, **given)
    assert finding(course, "severity").finding == "stop"
    used = finding(course, "severity").used["scales.grid-hamd-17"]
    assert (used["value"], used["source"]) == (0, "grid-hamd-17, answered here")
    screening.record_facts(**facts_of(clinic, course, {"scales.grid-hamd-17": {"value": 20, "on": "2026-02-20"}}))
    assert finding(course, "severity").finding == "stop"  # the older total does not displace the newer rating


def test_another_site_and_another_role_find_no_door(clinic: Clinic) -> None:
    course = begin(clinic)
    facts = facts_of(clinic, course, {"qtcf_ms": 410})
    refused(screening.record_facts, "no such course at your site", **{**facts, "by": clinic.elsewhere["physician"]})
    refused(screening.record_facts, "the role blinded rater may not", **{**facts, "by": clinic.staff["rater"]})


def test_acute_suicidality_calls_somebody(clinic: Clinic) -> None:
    course = begin(clinic)
    facts = {"suicidality": {"q1": True, "q2": True, "q3": False, "q4": True, "q5": False, "q6": False}}
    screening.record_facts(**facts_of(clinic, course, facts))
    assert {row.level for row in AlertRow.objects.filter(course=course)} == {"urgent"}
    many = AlertRow.objects.count()
    screening.judge(course=course, by=clinic.staff["physician"], at=clinic.at)
    assert AlertRow.objects.count() == many


def asked_for() -> set[str]:
    """The facts that some rule of the protocol lacks of a man of whom nothing else is known, and that he is one."""
    found = screen("davis-2021", {"sex": "male"}, on=START.date()).findings
    return {"sex", *(name for one in found for name in one.as_json()["missing"])}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left_out=st.sets(st.sampled_from(sorted(CLEAR_FACTS)), min_size=1))
def test_unknown_never_becomes_clear(clinic: Clinic, left_out: set[str]) -> None:
    """Whatever is left out of what the rules ask for: the verdict is not clear and cannot be signed."""
    course = begin(clinic, name=f"Simulated {new_id()}")
    facts = {name: value for name, value in CLEAR_FACTS.items() if name not in left_out} | {"heart_rate_bpm": 70}
    screening.record_facts(**facts_of(clinic, course, facts))
    lost = {name for name in asked_for() if name.partition(".")[0] in left_out}
    state = state_of(course)
    found = screen("davis-2021", {"age_years": 39, **facts}, on=clinic.today)
    assert {f["rule"]: f["finding"] for f in state.findings} == {f.rule: f.level.value for f in found.findings}
    assert state.verdict == ("unknown" if lost else "clear")
    if lost:
        with pytest.raises(Refused):
            screening.sign_verdict(course=course, by=clinic.staff["physician"], at=clinic.at)


def test_making_one_fact_unknown_again_reaches_the_verdict(clinic: Clinic) -> None:
    course = begin(clinic)
    screening.record_facts(**facts_of(clinic, course, CLEAR_FACTS))
    assert state_of(course).verdict == "clear"
    # A review is asked for only where the suicidality screen found something.
    for name in sorted(asked_for() & set(state_of(course).facts) - {"suicidality.reviewed_by_clinician"}):
        value = state_of(course).facts[name]["value"]
        screening.record_facts(**facts_of(clinic, course, {name: None}))
        assert state_of(course).verdict == "unknown", name
        screening.record_facts(**facts_of(clinic, course, {name: value}))
    assert state_of(course).verdict == "clear"


# ---- overrides and the signature ----------------------------------------------------------------------------


def test_a_physician_overrides_with_a_reason_and_the_finding_stays_listed(clinic: Clinic) -> None:
    course = begin(clinic)
    screening.record_facts(**facts_of(clinic, course, {**CLEAR_FACTS, "history": {"stroke": True}}))
    said: dict[str, Any] = {"course": course, "rule": "stroke", "at": clinic.at}
    physician = clinic.staff["physician"]
    refused(screening.override_finding, "may not", reason="Long ago, mild.", by=clinic.staff["coordinator"], **said)
    refused(screening.override_finding, "it gives no reason", reason="ok", by=physician, **said)
    other = {**said, "rule": "weather"}
    refused(screening.override_finding, "no rule of that name", reason="It rains.", by=physician, **other)
    clear = {**said, "rule": "qtc"}
    refused(screening.override_finding, "it is clear", reason="Because I can.", by=physician, **clear)
    screening.override_finding(reason="A small one, ten years ago.", by=physician, **said)
    row = finding(course, "stroke")
    assert (row.finding, row.overridden_by) == ("stop", physician.id)
    opened = vault.opener(state_of(course).participant)(row.overridden_because)
    assert opened == "A small one, ten years ago."
    assert "ten years" not in EventRow.objects.get(kind="finding_overridden").payload


def test_a_rule_with_a_new_version_is_judged_again_before_anybody_signs(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    course = begin(clinic)
    screening.record_facts(**facts_of(clinic, course, CLEAR_FACTS))
    rules = screening.rules_for("davis-2021")
    newer = replace(rules, rules=tuple(replace(r, version=r.version + 1) if r.id == "qtc" else r for r in rules.rules))
    monkeypatch.setattr(screening, "rules_for", lambda protocol: newer)
    said: dict[str, Any] = {"course": course, "by": clinic.staff["physician"], "at": clinic.at}
    refused(screening.sign_verdict, "the rules have changed since it was judged: qtc", **said)
    screening.judge(**said)
    screening.sign_verdict(**said)
    assert state_of(course).signed_verdict


def test_an_override_of_unknown_is_none_of_stop(clinic: Clinic) -> None:
    course = begin(clinic)
    physician = clinic.staff["physician"]
    screening.record_facts(**facts_of(clinic, course, {"qtcf_ms": 408}))
    screening.override_finding(course=course, rule="stroke", reason="Nobody can tell us.", by=physician, at=clinic.at)
    assert "stroke" not in {f["rule"] for f in state_of(course).standing_stops}
    screening.record_facts(**facts_of(clinic, course, {"history.stroke": True}))
    assert "stroke" in {f["rule"] for f in state_of(course).standing_stops}


def test_an_override_ends_when_what_it_stood_on_has_changed(clinic: Clinic) -> None:
    course = begin(clinic)
    physician = clinic.staff["physician"]
    readings = [{"systolic_mmhg": 142, "diastolic_mmhg": 88, "on": "2026-03-01"}] * 2
    readings += [{"systolic_mmhg": 142, "diastolic_mmhg": 88, "on": "2026-03-02"}] * 2
    screening.record_facts(**facts_of(clinic, course, {"blood_pressure": readings}))
    reason = "White coat, 128 at home."
    screening.override_finding(course=course, rule="blood-pressure", reason=reason, by=physician, at=clinic.at)
    screening.judge(course=course, by=physician, at=clinic.at)
    assert "blood-pressure" not in {f["rule"] for f in state_of(course).standing_stops}
    higher = [{**one, "systolic_mmhg": 190} for one in readings]
    screening.record_facts(**facts_of(clinic, course, {"blood_pressure": higher}))
    assert "blood-pressure" in {f["rule"] for f in state_of(course).standing_stops}


def test_overriding_one_diagnosis_does_not_let_the_next_pass(clinic: Clinic) -> None:
    course = begin(clinic)
    physician = clinic.staff["physician"]
    screening.record_facts(**facts_of(clinic, course, {"diagnoses": ["mdd", "panic disorder"]}))
    rule = "diagnosis-not-known:panic-disorder"
    screening.override_finding(course=course, rule=rule, reason="No exclusion here.", by=physician, at=clinic.at)
    screening.record_facts(**facts_of(clinic, course, {"diagnoses": ["mdd", "panic disorder", "narcolepsy"]}))
    standing = {f["rule"] for f in state_of(course).standing_stops}
    assert rule not in standing and "diagnosis-not-known:narcolepsy" in standing


def test_a_corrected_answer_reaches_the_verdict(clinic: Clinic) -> None:
    """Before enrolment every questionnaire that supplies a fact; on the morning of a dose what is told of suicide."""
    course = begin(clinic)
    consent(clinic, course)
    rater = clinic.staff["rater"]
    rating: dict[str, Any] = {"instrument": "grid-hamd-17", "respondent": "rater", "paper": False, "visit": "baseline"}
    screening.record_facts(**facts_of(clinic, course, {k: v for k, v in CLEAR_FACTS.items() if k != "scales"}))
    given: dict[str, Any] = {"course": course, "by": rater, "at": clinic.at}
    assessment.enter(**rating, **given, items=[2] * 9 + [0] * 8)
    assert finding(course, "severity").finding == "clear"
    event = next(iter(state_of(course).responses.values())).id
    assessment.amend_response(**given, event=event, items=[1] * 9 + [0] * 8, reason="The wrong sheet")
    assert finding(course, "severity").finding == "stop"


def test_what_is_told_of_suicide_after_the_mornings_signature_takes_it_away(clinic: Clinic) -> None:
    course = enrolled(clinic)
    clinic.later(days=20)
    judge_clear(clinic, course)
    assert state_of(course).signed_verdict
    screen: dict[str, Any] = {"course": course, "visit": "", "by": clinic.staff["physician"], "at": clinic.at}
    screen |= {"instrument": "c-ssrs-since-last-visit"}
    assessment.enter(**screen, items={f"q{n}": 0 for n in range(1, 7)})
    assert state_of(course).signed_verdict, "nothing new was told"
    event = next(r for r in state_of(course).responses.values() if r.instrument == screen["instrument"]).id
    told = {"q1": 1, "q2": 1, "q3": 0, "q4": 1, "q5": 0, "q6": 0}
    given: dict[str, Any] = {"course": course, "by": screen["by"], "at": clinic.at}
    assessment.amend_response(**given, event=event, items=told, reason="Misread the sheet")
    state = state_of(course)
    assert state.signed_verdict is None and state.verdict == "stop"
    assert "suicidality-high" in {f["rule"] for f in state.standing_stops}
    refused(screening.sign_verdict, "suicidality-high says stop", **given)


def test_overriding_one_medicine_does_not_let_the_next_pass(clinic: Clinic) -> None:
    course = begin(clinic)
    physician = clinic.staff["physician"]
    medicines = [{"name": "Gloriazepan"}]
    screening.record_facts(**facts_of(clinic, course, {"medications": medicines}))
    rule = "medication-unknown-name:gloriazepan"
    screening.override_finding(course=course, rule=rule, reason="A herbal tea.", by=physician, at=clinic.at)
    screening.record_facts(**facts_of(clinic, course, {"medications": [*medicines, {"name": "Blurpine"}]}))
    standing = {f["rule"] for f in state_of(course).standing_stops}
    assert rule not in standing
    assert "medication-unknown-name:blurpine" in standing


def test_a_verdict_is_signed_when_nothing_stands(clinic: Clinic) -> None:
    course = begin(clinic)
    physician = clinic.staff["physician"]
    said: dict[str, Any] = {"course": course, "by": physician, "at": clinic.at}
    refused(screening.sign_verdict, "nothing was judged", **said)
    screening.record_facts(**facts_of(clinic, course, {"history.stroke": True}))
    refused(screening.sign_verdict, "stroke says stop", **said)
    refused(screening.sign_verdict, "may not", **{**said, "by": clinic.staff["coordinator"]})
    screening.record_facts(**facts_of(clinic, course, {"history.stroke": False}))
    judge_clear(clinic, course)
    assert CourseRow.objects.get(id=course).verdict_signed
    screening.record_facts(**facts_of(clinic, course, {"weight_kg": 72}))
    assert not CourseRow.objects.get(id=course).verdict_signed
    clinic.later(days=1)
    refused(screening.sign_verdict, "facts age", **{**said, "at": clinic.at})


# ---- consent ------------------------------------------------------------------------------------------------


def test_consent_is_offered_understood_signed_and_countersigned(clinic: Clinic) -> None:
    course = begin(clinic)
    staff, person = clinic.staff, participant_of(course)
    said: dict[str, Any] = {"course": course, "document": TREATMENT, "at": clinic.at}
    refused(screening.sign_consent, "was not offered", name=NAME, by=person, **said)
    screening.offer_consent(by=staff["coordinator"], **said)
    refused(screening.offer_consent, "was offered already", by=staff["coordinator"], **said)
    refused(screening.sign_consent, "not all answered rightly", name=NAME, by=person, **said)
    right = right_answers(TREATMENT)
    refused(screening.answer_comprehension, "no question", answers={"weather": "rain"}, by=person, **said)
    refused(screening.answer_comprehension, "no answer to it", answers={"home": "by boat"}, by=person, **said)
    screening.answer_comprehension(answers={**right, "home": "I drive"}, by=person, **said)
    assert not state_of(course).consents[TREATMENT].passed
    refused(screening.sign_consent, "not all answered rightly", name=NAME, by=person, **said)
    screening.answer_comprehension(answers={"home": right["home"]}, by=person, **said)
    refused(screening.sign_consent, "not the name we know you by", name="Eve Other", by=person, **said)
    refused(screening.sign_consent, "may not", name=NAME, by=staff["coordinator"], **said)
    refused(screening.countersign_consent, "has not signed", by=staff["physician"], **said)
    screening.sign_consent(name="ada simulated", by=person, **said)
    refused(screening.sign_consent, "signed already", name=NAME, by=person, **said)
    assert not state_of(course).consented
    screening.countersign_consent(by=staff["physician"], **said)
    assert state_of(course).consented
    row = ConsentRow.objects.get(course=course, document=TREATMENT)
    assert row.passed and row.countersigned_by == staff["physician"].id
    assert "ada simulated" not in EventRow.objects.get(kind="consent_signed").payload.lower()


def test_another_participant_cannot_sign(clinic: Clinic) -> None:
    course, other = begin(clinic), begin(clinic, name="Eve Simulated")
    consent(clinic, course)
    given = {"course": course, "document": TREATMENT, "by": participant_of(other), "at": clinic.at}
    refused(screening.withdraw_consent, "no such course", **given)


def test_consent_is_withdrawn_at_any_time_and_the_team_hears_of_it(clinic: Clinic) -> None:
    course = enrolled(clinic)
    said: dict[str, Any] = {"course": course, "document": TREATMENT, "by": participant_of(course), "at": clinic.at}
    screening.withdraw_consent(words="I changed my mind.", **said)
    assert not state_of(course).consented
    assert "Consent was withdrawn" in AlertRow.objects.get(course=course).why
    refused(screening.withdraw_consent, "withdrawn already", **said)
    consent(clinic, course)  # it can be given again
    assert state_of(course).consented


def test_declining_a_recording_keeps_nobody_out(clinic: Clinic) -> None:
    course = begin(clinic)
    consent(clinic, course)
    said: dict[str, Any] = {"course": course, "document": "recording", "at": clinic.at}
    screening.offer_consent(by=clinic.staff["coordinator"], **said)
    screening.withdraw_consent(by=participant_of(course), **said)
    assert state_of(course).consented
    assert not AlertRow.objects.filter(course=course).exists()


def test_only_the_documents_of_the_study_are_offered(clinic: Clinic) -> None:
    course = begin(clinic)
    given = {"course": course, "document": "treatment-mdma", "by": clinic.staff["coordinator"], "at": clinic.at}
    refused(screening.offer_consent, "the study does not ask for it", **given)


# ---- enrolment and allocation -------------------------------------------------------------------------------


def test_enrolment_names_everything_in_the_way(clinic: Clinic) -> None:
    course = screening.open_course(**enquiry(clinic)).stream.partition(":")[2]
    given: dict[str, Any] = {"course": course, "by": clinic.staff["coordinator"], "at": clinic.at}
    with pytest.raises(Refused) as refusal:
        screening.enrol(**given)
    assert {r.code for r in refusal.value.reasons} == {"no-pre-screen", "no-consent", "verdict-unsigned"}


def test_enrolment(clinic: Clinic) -> None:
    course = begin(clinic)
    given: dict[str, Any] = {"course": course, "by": clinic.staff["coordinator"], "at": clinic.at}
    consent(clinic, course)
    screening.record_facts(**facts_of(clinic, course, CLEAR_FACTS))
    refused(screening.enrol, "no physician signed the verdict", **given)
    judge_clear(clinic, course)
    refused(screening.enrol, "is still to come", **given, on=clinic.today + timedelta(days=1))
    refused(screening.enrol, "lies before", **given, on=clinic.today - timedelta(days=1))
    screening.enrol(**given)
    assert CourseRow.objects.get(id=course).phase == "preparation"
    refused(screening.enrol, "they were enrolled on 2026-03-02", **given)
    refused(screening.fail_screening, "Record a withdrawal instead", reason="age", **given)


def measure_expectancy(clinic: Clinic, course: str, response: str | None = None) -> str:
    """The events that answering the expectancy questionnaire leaves."""
    response = response or new_id()
    payload = {
        "response": response,
        "instrument": "ceq-credibility",
        "instrument_version": 1,
        "visit": "baseline",
        "respondent": "participant",
        "paper": False,
        "items": {},
        "context": {},
        "scores": {"credibility_sum": 21},
        "missing": [],
    }
    with journal.writing(f"course:{course}") as writing:
        writing.append("response_entered", payload, by=participant_of(course), at=clinic.at)
    return response


def test_allocation_waits_for_expectancy_and_is_never_repeated(clinic: Clinic) -> None:
    course = enrolled(clinic)
    given: dict[str, Any] = {"course": course, "by": clinic.staff["coordinator"], "at": clinic.at}
    refused(screening.allocate, "expectancy was not measured", **given)
    response = measure_expectancy(clinic, course)
    clinic.later(minutes=5)
    measure_expectancy(clinic, course)  # a later one does not count
    screening.allocate(**given)
    state = state_of(course)
    assert state.arm in ("immediate", "delayed")
    drawn = EventRow.objects.get(kind="allocated").payload
    assert response in drawn and "seed" not in drawn
    refused(screening.allocate, "allocated already", **given)


def test_expectancy_is_measured_once_and_frozen(clinic: Clinic) -> None:
    course = enrolled(clinic)
    given: dict[str, Any] = {"course": course, "instrument": "ceq-credibility", "visit": "", "at": clinic.at}
    items = [8, 7, 8, 70, 6, 60]
    by = clinic.staff["coordinator"]
    first = assessment.enter(items=items, by=by, **given)
    refused(assessment.enter, "measured once and frozen", items=[1, 1, 1, 0, 1, 0], by=by, **given)
    refused(assessment.begin, "measured once and frozen", by=by, **given)
    changed = {"course": course, "event": first.id, "items": [9, 9, 9, 90, 9, 90], "reason": "In hindsight."}
    refused(assessment.amend_response, "measured once and frozen", by=by, at=clinic.at, **changed)
    screening.allocate(course=course, by=by, at=clinic.at)
    assert first.id in EventRow.objects.get(kind="allocated").payload


def test_the_list_of_arms_is_the_same_every_time_and_both_arms_come(clinic: Clinic) -> None:
    by = clinic.staff["coordinator"]
    arms = []
    for number in range(6):
        course = enrolled(clinic, name=f"Simulated {number}")
        measure_expectancy(clinic, course)
        screening.allocate(course=course, by=by, at=clinic.at)
        arms.append(state_of(course).arm)
    assert screening._allocated("mood") == [({}, arm) for arm in arms]
    assert set(arms) <= {"immediate", "delayed"}


def test_a_protocol_with_one_arm_needs_no_lot(clinic: Clinic) -> None:
    study.open_study(
        study="group",
        title="Simulated group",
        protocol="agrawal-2024",
        sites=["north"],
        documents=[TREATMENT],
        by=SYSTEM,
        at=clinic.at,
    )
    course = begin(clinic, study_id="group")
    given: dict[str, Any] = {"course": course, "by": clinic.staff["coordinator"], "at": clinic.at}
    refused(screening.allocate, "the person is not enrolled", **given)
    consent(clinic, course)
    facts = {**CLEAR_FACTS, "diagnoses": ["mdd", "cancer"]}
    screening.record_facts(**facts_of(clinic, course, facts))
    for found in state_of(course).standing_stops:
        screening.override_finding(
            course=course, rule=found["rule"], reason="Decided together.", by=clinic.staff["physician"], at=clinic.at
        )
    screening.sign_verdict(course=course, by=clinic.staff["physician"], at=clinic.at)
    screening.enrol(**given)
    screening.allocate(**given)
    assert state_of(course).arm


def test_a_study_names_documents_that_exist(clinic: Clinic) -> None:
    with pytest.raises(Refused, match="There is no document called 'nothing'"):
        study.open_study(
            study="book",
            title="B",
            protocol="davis-2021",
            sites=["north"],
            documents=["nothing"],
            by=SYSTEM,
            at=clinic.at,
        )


def test_a_life_of_screening_is_rebuilt_the_same(clinic: Clinic) -> None:
    course = enrolled(clinic)
    measure_expectancy(clinic, course)
    screening.allocate(course=course, by=clinic.staff["coordinator"], at=clinic.at)
    other = begin(clinic, name="Eve Simulated")
    screening.fail_screening(
        course=other, reason="other", words="Moved away.", by=clinic.staff["physician"], at=clinic.at
    )
    assert rebuild(keep=False).different == {}


def test_the_actor_of_the_clock_judges_and_does_nothing_else(clinic: Clinic) -> None:
    course = begin(clinic)
    clock = Actor("system", "system", "*")
    screening.judge(course=course, by=clock, at=clinic.at)
    refused(screening.enrol, "may not", course=course, by=clock, at=clinic.at)
