"""Questionnaires: what is asked of whom, what an answer sets off, and what stands afterwards."""

from __future__ import annotations

from datetime import timedelta

import pytest

from keel.actions import assessment
from keel.actions.safety import acknowledge_alert
from keel.actions.visits import hold_visit
from keel.domain.course import Course, fold
from keel.domain.errors import Refused
from keel.domain.events import Actor, new_id
from keel.domain.visit import lacks_consent
from keel.library.protocol_files import protocol
from keel.queries import assessment as ask
from keel.records import journal
from keel.records.models import AlertRow, DefinitionRow, ResponseRow
from keel.records.rebuild import rebuild
from tests.clinic import Clinic, consent, participant_of
from tests.clinic import begin as begin_course

pytestmark = [pytest.mark.database, pytest.mark.django_db]

NO_TROUBLE = [1, 2, 1, 2, 1, 1, 1, 0, 0]
GRID = [2, 1, 0, 1, 1, 1, 2, 0, 1, 2, 1, 0, 1, 0, 0, 0, 0]


@pytest.fixture
def course(clinic: Clinic) -> str:
    course = begin_course(clinic)
    consent(clinic, course)
    return course


@pytest.fixture
def ada(clinic: Clinic, course: str) -> Actor:
    return participant_of(course)


def count(course: str) -> int:
    return len(journal.events(f"course:{course}"))


def begin(clinic: Clinic, course: str, ada: Actor, instrument: str = "phq-9") -> str:
    done = assessment.begin(course=course, instrument=instrument, visit="baseline", by=ada, at=clinic.at)
    return str(done.payload["response"])


def test_a_questionnaire_answered_item_by_item(clinic: Clinic, course: str, ada: Actor) -> None:
    response = begin(clinic, course, ada)
    for number, value in enumerate(NO_TROUBLE, 1):
        clinic.later(seconds=20 * number)
        assessment.answer(course=course, response=response, item=str(number), value=value, by=ada, at=clinic.at)
    assessment.answer(course=course, response=response, item="1", value=3, by=ada, at=clinic.later(minutes=3))
    done = assessment.complete(course=course, response=response, by=ada, at=clinic.at)
    assert done.payload["scores"]["total"] == 11
    row = ResponseRow.objects.get(id=response)
    assert row.items["1"] == 3 and row.scores["band"] == "moderate" and row.completed_at == clinic.at
    values = [
        e.payload["value"]
        for e in journal.events(f"course:{course}")
        if e.kind == "item_answered" and e.payload["item"] == "1"
    ]
    assert values == [1, 3]  # a changed answer keeps the first
    assert DefinitionRow.objects.filter(id="instruments/phq-9/1").exists()
    assert not AlertRow.objects.exists()
    assert not rebuild(keep=False).different
    seen = ask.response(course=course, response=response, by=clinic.staff["physician"], at=clinic.at)
    assert [item.took for item in seen.items][4:] == ["100 s", "2 min", "2 min", "3 min", "3 min", ""]
    assert seen.items[0].took == "20 s" and seen.items[0].before  # changed later: the first answer's time stays


def test_item_9_fires_at_once_on_a_half_finished_form_and_once_per_level(
    clinic: Clinic, course: str, ada: Actor
) -> None:
    response = begin(clinic, course, ada)
    assessment.answer(course=course, response=response, item="9", value=1, by=ada, at=clinic.at)
    alert = AlertRow.objects.get()
    assert (alert.level, alert.state, alert.site) == ("notify", "raised", "north")
    assert alert.source == {"response": response, "instrument": "phq-9", "items": ["9"], "visit": "baseline"}
    assert "PHQ-9 item 9" in alert.why
    assessment.answer(course=course, response=response, item="9", value=3, by=ada, at=clinic.at)
    assessment.answer(course=course, response=response, item="1", value=0, by=ada, at=clinic.at)
    assessment.complete(course=course, response=response, by=ada, at=clinic.at)
    assert AlertRow.objects.count() == 1


def test_a_worse_answer_raises_the_next_level_and_a_better_one_none(clinic: Clinic, course: str, ada: Actor) -> None:
    response = begin(clinic, course, ada, "qids-sr16")
    for value in (1, 2, 1):
        assessment.answer(course=course, response=response, item="12", value=value, by=ada, at=clinic.at)
    assert list(AlertRow.objects.order_by("raised_at", "id").values_list("level", flat=True)) == ["notify", "urgent"]


def test_a_blank_safety_item_is_unknown_and_somebody_is_told(clinic: Clinic, course: str, ada: Actor) -> None:
    response = begin(clinic, course, ada)
    assessment.answer(course=course, response=response, item="1", value=0, by=ada, at=clinic.at)
    assessment.answer(course=course, response=response, item="9", value=None, by=ada, at=clinic.at)
    assert not AlertRow.objects.exists()
    assessment.complete(course=course, response=response, by=ada, at=clinic.at)
    assert "unknown, not no" in AlertRow.objects.get().why


def test_prefer_not_is_an_answer_and_gives_no_total(clinic: Clinic, course: str, ada: Actor) -> None:
    response = begin(clinic, course, ada)
    for number, value in enumerate([*NO_TROUBLE[:8], "prefer_not"], 1):
        assessment.answer(course=course, response=response, item=str(number), value=value, by=ada, at=clinic.at)
    done = assessment.complete(course=course, response=response, by=ada, at=clinic.at)
    assert done.payload["scores"]["total"] is None and ResponseRow.objects.get().items["9"] == "prefer_not"


def test_a_replayed_request_changes_nothing(clinic: Clinic, course: str, ada: Actor) -> None:
    response = begin(clinic, course, ada)
    id = new_id()
    given = {"course": course, "response": response, "item": "9", "value": 2, "by": ada, "at": clinic.at, "id": id}
    first = assessment.answer(**given)
    before = count(course)
    again = assessment.answer(**{**given, "value": 0})
    assert (first.already, again.already, again.id, again.payload["value"]) == (False, True, id, 2)
    assert count(course) == before and begin(clinic, course, ada) == response


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"value": 4}, "its codes are one of 0, 1, 2, 3"),
        ({"value": "2"}, "its codes are one of 0, 1, 2, 3"),
        ({"item": "11"}, "has no item '11'"),
        ({"response": "nothing"}, "no such questionnaire"),
        ({"occurred_at": "tomorrow"}, "still to come"),
        ({"by": "physician"}, "it is the participant who answers"),
        ({"by": "elsewhere"}, "no such course at your site"),
        ({"by": "somebody"}, "no such course at your site"),
    ],
)
def test_an_answer_that_is_refused(
    clinic: Clinic, course: str, ada: Actor, change: dict[str, object], why: str
) -> None:
    response = begin(clinic, course, ada)
    actors = {
        "physician": clinic.staff["physician"],
        "elsewhere": clinic.elsewhere["physician"],
        "somebody": participant_of(begin_course(clinic, name="Eve Simulated")),
    }
    given = {"course": course, "response": response, "item": "9", "value": 2, "by": ada, "at": clinic.at, **change}
    given["by"] = actors.get(str(given["by"]), given["by"])
    if given.get("occurred_at") == "tomorrow":
        given["occurred_at"] = clinic.at + timedelta(days=1)
    before = count(course)
    with pytest.raises(Refused, match=why):
        assessment.answer(**given)
    assert count(course) == before and not AlertRow.objects.exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"instrument": "piq"}, "the protocol does not ask it at Baseline"),
        ({"instrument": "nothing"}, "There is no instrument called 'nothing'"),
        ({"visit": "week-99"}, "has no visit 'week-99'"),
        ({"visit": ""}, "only what the protocol or your team asks"),
        ({"instrument": "grid-hamd-17"}, "asks the blinded rater"),
        ({"instrument": "grid-hamd-17", "respondent": "rater"}, "it is the blinded rater who answers"),
    ],
)
def test_a_questionnaire_that_is_not_asked(
    clinic: Clinic, course: str, ada: Actor, change: dict[str, str], why: str
) -> None:
    given = {"course": course, "instrument": "phq-9", "visit": "baseline", **change}
    with pytest.raises(Refused, match=why):
        assessment.begin(**given, by=ada, at=clinic.at)


def test_nothing_is_asked_before_consent(clinic: Clinic) -> None:
    course = begin_course(clinic)
    eve = participant_of(course)
    with pytest.raises(Refused, match="consent is not signed"):
        assessment.begin(course=course, instrument="phq-9", visit="baseline", by=eve, at=clinic.at)
    rating = {"instrument": "grid-hamd-17", "items": GRID, "respondent": "rater", "paper": False}
    given = {"course": course, "visit": "screening", "at": clinic.at}
    with pytest.raises(Refused, match="not signed by the participant"):
        assessment.enter(**rating, **given, by=clinic.staff["rater"])
    with pytest.raises(Refused, match="not signed by the participant"):
        hold_visit(**given, on=clinic.at.date(), by=clinic.staff["coordinator"])
    assert (
        lacks_consent(Course(), protocol("oregon-adult-psilocybin"), protocol("oregon-adult-psilocybin").visits[0])
        == ""
    )


def test_a_visit_stays_open_while_its_own_urgent_alert_waits(clinic: Clinic, course: str) -> None:
    screen = {"instrument": "c-ssrs-screener", "visit": "screening", "by": clinic.staff["physician"], "at": clinic.at}
    told = {"q1": 1, "q2": 1, "q3": 1, "q4": 1, "q5": 0, "q6": 0}
    assessment.enter(course=course, items=told, **screen)
    visit = {"course": course, "visit": "screening", "on": clinic.at.date(), "by": clinic.staff["coordinator"]}
    with pytest.raises(Refused, match="waits for somebody"):
        hold_visit(**visit, at=clinic.at)
    by = clinic.staff["physician"]
    for alert in AlertRow.objects.filter(level="urgent"):
        acknowledge_alert(course=course, alert=alert.id, done="With her now.", by=by, at=clinic.at)
    hold_visit(**visit, at=clinic.at)


def test_staff_lay_an_additional_questionnaire_before_the_participant(clinic: Clinic, course: str, ada: Actor) -> None:
    laid = assessment.begin(course=course, instrument="who-5", visit="", by=clinic.staff["coordinator"], at=clinic.at)
    response = laid.payload["response"]
    assessment.answer(course=course, response=response, item="1", value=4, by=ada, at=clinic.at)
    assert ResponseRow.objects.get(id=response).items == {"1": 4}


def test_a_completed_response_is_only_amended(clinic: Clinic, course: str, ada: Actor) -> None:
    response = begin(clinic, course, ada)
    assessment.answer(course=course, response=response, item="1", value=1, by=ada, at=clinic.at)
    assessment.complete(course=course, response=response, by=ada, at=clinic.at)
    for act in (
        lambda: assessment.answer(course=course, response=response, item="1", value=2, by=ada, at=clinic.at),
        lambda: assessment.complete(course=course, response=response, by=ada, at=clinic.at),
        lambda: begin(clinic, course, ada),
    ):
        with pytest.raises(Refused, match=r"finished|stands for this visit"):
            act()


def enter(clinic: Clinic, course: str, **change: object) -> object:
    given = {"course": course, "visit": "baseline", "instrument": "phq-9", "items": NO_TROUBLE, **change}
    given.setdefault("by", clinic.staff["coordinator"])
    return assessment.enter(at=clinic.at, **given)


def test_paper_is_entered_whole(clinic: Clinic, course: str) -> None:
    enter(clinic, course, on=clinic.today - timedelta(days=1), again=NO_TROUBLE)
    row = ResponseRow.objects.get()
    assert row.paper and row.scores["total"] == 9 and row.items["4"] == 2
    assert row.completed_at.date() == clinic.today - timedelta(days=1)
    assert not rebuild(keep=False).different


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"items": [4, *NO_TROUBLE[1:]]}, "its codes are one of 0, 1, 2, 3"),
        ({"items": NO_TROUBLE[:5]}, "5 answers were given"),
        ({"items": [None] * 9}, "every item is blank"),
        ({"again": [0, *NO_TROUBLE[1:]]}, "the first entry says 1, the second 0"),
        ({"on": "tomorrow"}, "still to come"),
        ({"paper": False}, "it is the participant who answers"),
        ({"by": "rater"}, "a blinded rater enters ratings only"),
        ({"by": "supervisor"}, "the role supervisor may not"),
        ({"by": "elsewhere"}, "no such course at your site"),
    ],
)
def test_paper_that_is_refused(clinic: Clinic, course: str, change: dict[str, object], why: str) -> None:
    actors = {**clinic.staff, "elsewhere": clinic.elsewhere["coordinator"]}
    if "by" in change:
        change = {**change, "by": actors[str(change["by"])]}
    if change.get("on") == "tomorrow":
        change = {**change, "on": clinic.today + timedelta(days=1)}
    before = count(course)
    with pytest.raises(Refused, match=why):
        enter(clinic, course, **change)
    assert count(course) == before
    enter(clinic, course)
    with pytest.raises(Refused, match="a second time"):
        enter(clinic, course)


def test_a_rating_is_judged_against_the_protocols_baseline_and_again_when_that_is_amended(
    clinic: Clinic, course: str
) -> None:
    rating = {"instrument": "grid-hamd-17", "respondent": "rater", "by": clinic.staff["rater"], "paper": False}
    enter(clinic, course, **rating, items=GRID)
    later = [1, *([0] * 16)]
    enter(clinic, course, **rating, items=later, visit="after-2-week-1")
    state = journal.state_of(f"course:{course}", fold)
    first = state.response_for("baseline", "grid-hamd-17")
    second = state.response_for("after-2-week-1", "grid-hamd-17")
    assert second.context == {"baseline_total": sum(GRID)} and second.scores["response"] is True
    done = assessment.amend_response(
        course=course,
        event=first.id,
        items=later,
        reason="Wrong sheet",
        by=clinic.staff["rater"],
        at=clinic.later(days=1),
    )
    assert done.kind == "amended"
    rows = {row.visit: row for row in ResponseRow.objects.all()}
    assert rows["baseline"].amended and rows["baseline"].scores["total"] == 1
    assert rows["after-2-week-1"].context == {"baseline_total": 1}
    assert rows["after-2-week-1"].scores["response"] is False
    assert rows["baseline"].begun_at == first.completed_at and rows["baseline"].by == clinic.staff["rater"].id
    assert not rebuild(keep=False).different


def test_an_amendment_fires_what_the_first_entry_hid(clinic: Clinic, course: str) -> None:
    enter(clinic, course)
    event = ResponseRow.objects.get().event
    by = clinic.staff["data_manager"]
    given = {"course": course, "event": event, "by": by, "at": clinic.at}
    for change, why in (
        ({"reason": ""}, "no reason"),
        ({"items": NO_TROUBLE}, "the same"),
        ({"event": "x"}, "no finished"),
    ):
        with pytest.raises(Refused, match=why):
            assessment.amend_response(**{"items": [*NO_TROUBLE[:8], 1], "reason": "Misread", **given, **change})
    assessment.amend_response(**given, items=[*NO_TROUBLE[:8], 1], reason="Misread")
    assert AlertRow.objects.get().level == "notify"
    with pytest.raises(Refused, match="amends ratings only"):
        assessment.amend_response(**{**given, "by": clinic.staff["rater"]}, items=NO_TROUBLE, reason="No")


# ---- two entries, two raters ----------------------------------------------------------------------------


def key(clinic: Clinic, course: str, role: str, items: list[int], **more: object) -> dict:
    by = clinic.staff[role]
    done = assessment.enter(
        course=course, visit="baseline", instrument="phq-9", items=items, by=by, at=clinic.at, **more
    )
    return dict(done.payload)


def test_a_sheet_is_keyed_by_two_people_at_two_times_and_counts_when_both_agree(clinic: Clinic, course: str) -> None:
    first = key(clinic, course, "coordinator", NO_TROUBLE, keep_first=True)
    assert "scores" not in first and not ResponseRow.objects.exists()
    with pytest.raises(Refused, match="you keyed the first one yourself"):
        key(clinic, course, "coordinator", NO_TROUBLE)
    clinic.later(days=1)
    on = (clinic.at - timedelta(days=1)).date()
    with pytest.raises(Refused) as refused:
        key(clinic, course, "data_manager", [1, 2, 1, 2, 1, 1, 1, 0, 1], on=on)
    assert [(r.where, r.why) for r in refused.value.reasons] == [("9", "the first entry says 0, the second 1")]
    with pytest.raises(Refused, match="The day differs"):
        key(clinic, course, "data_manager", NO_TROUBLE)
    done = key(clinic, course, "data_manager", NO_TROUBLE, on=on)
    assert done["response"] == first["response"] and done["scores"]["total"] == 9 and done["differed"] == []
    state: Course = journal.state_of(f"course:{course}", fold)
    assert not state.sheets and state.responses[first["response"]].completed_at
    assert not rebuild(keep=False).different


def test_a_difference_is_settled_at_the_sheet_and_kept(clinic: Clinic, course: str) -> None:
    key(clinic, course, "coordinator", NO_TROUBLE, keep_first=True)
    done = key(clinic, course, "data_manager", [0, *NO_TROUBLE[1:]], settled=True)
    assert done["items"]["1"] == 0 and done["differed"] == [["1", 1, 0]]
    assert done["first_by"] == clinic.staff["coordinator"].id


def test_the_first_of_two_entries_raises_what_it_sets_off_at_once_and_the_second_not_again(
    clinic: Clinic, course: str
) -> None:
    key(clinic, course, "coordinator", [0, 0, 0, 0, 0, 0, 0, 0, 2], keep_first=True)
    assert AlertRow.objects.get().source["items"] == ["9"]
    key(clinic, course, "data_manager", [0, 0, 0, 0, 0, 0, 0, 0, 2])
    assert AlertRow.objects.count() == 1


def test_a_second_rater_rates_without_seeing_the_first_and_agreement_is_computed(clinic: Clinic, course: str) -> None:
    rating = {"instrument": "grid-hamd-17", "respondent": "rater", "by": clinic.staff["rater"], "paper": False}
    first = str(enter(clinic, course, **rating, items=GRID).payload["response"])
    other = Actor(new_id(), "rater", "north")
    again = {"course": course, "response": first, "at": clinic.at}
    with pytest.raises(Refused, match="you gave the first one yourself"):
        assessment.rate_again(**again, items=GRID, by=clinic.staff["rater"])
    with pytest.raises(Refused, match="it is the blinded rater who answers"):
        assessment.rate_again(**again, items=GRID, by=clinic.staff["coordinator"])
    with pytest.raises(Refused, match="must not know the first"):
        ask.response(course=course, response=first, by=other, at=clinic.at)
    sheet = ask.sheet_again(course=course, response=first, by=other, at=clinic.at)
    assert all(item.value is None for item in sheet.form.items)
    assessment.rate_again(**again, items=[2, 1, 3, *GRID[3:]], by=other)
    alert = AlertRow.objects.get()
    assert (alert.level, alert.source["items"]) == ("urgent", ["3"])  # only the second rater gave it
    with pytest.raises(Refused, match="a second time already"):
        assessment.rate_again(**again, items=GRID, by=other)
    assert ask.response(course=course, response=first, by=other, at=clinic.at).scores
    assert ResponseRow.objects.get(id=first).items["3"] == 0, "the first rating is the one that counts"
    (found,) = ask.agreement(by=clinic.staff["supervisor"], at=clinic.at)
    assert (found.instrument, found.pairs, found.icc.estimate) == ("grid-hamd-17", 1, None)
    assert {item.item: item.same for item in found.items} | {"3": 0.0} == {str(n): 1.0 for n in range(1, 18)} | {"3": 0}
    assert ask.agreement(by=clinic.elsewhere["supervisor"], at=clinic.at) == ()
    assert not rebuild(keep=False).different
