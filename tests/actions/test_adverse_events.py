"""Adverse events: collected whatever they were, judged by whom it is due, reported in time; pages and actions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from keel.actions import adverse_events as act
from keel.actions import dosing, participant, team
from keel.domain.access import SYSTEM
from keel.domain.errors import Refused
from keel.queries import adverse_events as ask
from keel.queries import definitions
from keel.records import journal
from keel.records.models import Account, AdverseEventRow, AlertRow
from keel.records.rebuild import rebuild
from tests.clinic import BORN_ON, PASSWORD, Clinic, begin, participant_of
from tests.dosing_days import dose, opened, state_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime.now(UTC)


@pytest.fixture
def course(clinic: Clinic) -> str:
    clinic.at = NOW - timedelta(days=2)
    return begin(clinic)


def entry(clinic: Clinic, **more: Any) -> dict[str, Any]:
    return {"term": "Headache", "began_at": (clinic.at - timedelta(hours=3)).isoformat(), **more}


def report(clinic: Clinic, course: str, role: str = "facilitator", **more: Any) -> str:
    done = act.report_adverse_event(course=course, event=entry(clinic, **more), by=clinic.staff[role], at=clinic.at)
    return done.id


def lines(clinic: Clinic, course: str) -> tuple[ask.Line, ...]:
    return ask.adverse_events(course=course, by=clinic.staff["physician"], at=clinic.at).lines


def desk(clinic: Clinic, role: str) -> Client:
    client = Client()
    account = Account.objects.get(id=clinic.staff[role].id)
    client.force_login(account, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def test_what_was_not_judged_is_open_and_never_no(clinic: Clinic, course: str) -> None:
    report(clinic, course, term="Euphoric mood", valence="pleasant", words="Laughing on the way home")
    (line,) = lines(clinic, course)
    assert line.serious is None and line.to_judge == ("grade", "seriousness", "relatedness", "expectedness")
    assert (line.words, line.valence, line.window) == ("Laughing on the way home", "pleasant", "Before any dose")
    assert "Laughing" not in str([e.payload for e in journal.events(f"course:{course}")])
    assert AdverseEventRow.objects.get().serious is None
    assert not AlertRow.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"term": "Something of mine"}, "not on the list of terms"),
        ({"term": ""}, "it has no term"),
        ({"term": "Other"}, "nothing says what it was"),
        ({"term": "Boundary violation"}, "outside the treating team"),
        ({"began_at": (NOW + timedelta(days=3)).isoformat()}, "in the future"),
        ({"began_at": "yesterday"}, "does not say when it began"),
        ({"ended_at": (NOW - timedelta(days=90)).isoformat()}, "end before it began"),
        ({"ended_at": (NOW + timedelta(days=90)).isoformat()}, "end in the future"),
        ({"grade": 6}, "no CTCAE grade"),
        ({"grade": 5, "serious": []}, "grade 5 is death"),
        ({"serious": ["grave"]}, "criterion of seriousness that there is not"),
        ({"related": "related"}, "judged by a physician"),
        ({"action": "prayed"}, "no action of the list"),
    ],
)
def test_an_entry_that_is_refused_leaves_nothing(
    clinic: Clinic, course: str, wrong: Mapping[str, Any], why: str
) -> None:
    with pytest.raises(Refused, match=why):
        report(clinic, course, **wrong)
    assert not AdverseEventRow.objects.exists()
    report(clinic, course, grade=2, serious=[])
    assert AdverseEventRow.objects.get().serious == []


def test_who_may_report_and_who_may_not(clinic: Clinic, course: str) -> None:
    for role in ("rater", "data_manager", "supervisor"):
        with pytest.raises(Refused, match="may not"):
            report(clinic, course, role)
    with pytest.raises(Refused, match="no such course"):
        act.report_adverse_event(course=course, event=entry(clinic), by=clinic.elsewhere["physician"], at=clinic.at)
    assert report(clinic, course, "physician", related="related")


def test_a_serious_event_calls_at_once_and_its_clocks_wait_for_the_judgement(clinic: Clinic, course: str) -> None:
    first = report(clinic, course, term="Seizure", grade=4, serious=["life_threatening"])
    assert AlertRow.objects.get().level == "urgent"
    inbox = desk(clinic, "physician").get("/alerts/").content.decode()
    assert f"/course/{course}/adverse-events/" in inbox and "Seizure" in inbox
    (line,) = lines(clinic, course)
    owed = {r.clock: r for r in line.reports}
    assert set(owed) == {"uk_investigator", "uk_fatal", "uk_fatal_follow_up", "ethics_committee"}  # Great Britain
    assert "expectedness" in owed["uk_fatal"].says and "relatedness" in owed["ethics_committee"].says
    by = clinic.staff["physician"]
    whole = entry(
        clinic, term="Seizure", grade=4, serious=["life_threatening"], related="related", expected="unexpected"
    )
    with pytest.raises(Refused, match="no reason"):
        act.amend_adverse_event(course=course, entry=first, event=whole, reason=" ", by=by, at=clinic.at)
    act.amend_adverse_event(
        course=course, entry=first, event=whole, reason="Judged today", by=by, at=clinic.later(hours=1)
    )
    (line,) = lines(clinic, course)
    assert line.amended and line.by == "Simulated facilitator north" and line.to_judge == ()
    owed = {r.clock: r for r in line.reports}
    assert owed["ethics_committee"].says.startswith("owed; no source names")
    assert (owed["uk_fatal"].state, owed["uk_fatal"].starts) == ("unknown", "sponsor_receipt")
    assert owed["uk_fatal_follow_up"].says == "starts when: the report before it went out"
    assert owed["uk_fatal_follow_up"].starts == "", "nobody starts it by hand"
    with pytest.raises(Refused, match="no proof"):
        act.send_report(
            course=course, entry=first, clock="ethics_committee", on=clinic.today, proof=" ", by=by, at=clinic.at
        )
    with pytest.raises(Refused, match="still to come"):
        act.send_report(
            course=course,
            entry=first,
            clock="ethics_committee",
            on=clinic.today + timedelta(days=9),
            proof="REC 12/3",
            by=by,
            at=clinic.at,
        )
    act.send_report(
        course=course, entry=first, clock="ethics_committee", on=clinic.today, proof="REC 12/3", by=by, at=clinic.at
    )
    (line,) = lines(clinic, course)
    (ethics,) = [r for r in line.reports if r.clock == "ethics_committee"]
    assert (ethics.state, ethics.proof) == ("done", "REC 12/3")
    assert len(AlertRow.objects.all()) == 1 and not rebuild(keep=False).different


def test_the_sponsors_clock_counts_from_the_sponsors_own_day(
    clinic: Clinic, course: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "regimes_at", lambda site: frozenset({"fda_ind"}))
    judged = {"grade": 4, "serious": ["life_threatening"], "related": "related", "expected": "unexpected"}
    first = report(clinic, course, "physician", term="Seizure", **judged)
    stands = {r.clock: r for r in lines(clinic, course)[0].reports}
    assert stands["fda_7_day"].starts == "sponsor_receipt" and "fda_15_day" not in stands
    by = clinic.staff["investigator"]
    act.start_clock(course=course, entry=first, starts="sponsor_receipt", on=clinic.today, by=by, at=clinic.at)
    stands = {r.clock: r for r in lines(clinic, course)[0].reports}
    assert stands["fda_7_day"].due_on == clinic.today + timedelta(days=7)
    clinic.later(days=9)
    assert {r.clock: r for r in lines(clinic, course)[0].reports}["fda_7_day"].state == "stop"
    with pytest.raises(Refused, match="starts no clock"):
        act.start_clock(course=course, entry=first, starts="new_year", on=clinic.today, by=by, at=clinic.at)


def test_amending_keeps_what_the_physician_judged_and_the_participants_words(clinic: Clinic, course: str) -> None:
    ada = participant_of(course)
    told = act.tell_event(
        course=course, words="Colours at night", valence="neutral", began_on=clinic.today, by=ada, at=clinic.at
    )
    (line,) = lines(clinic, course)
    assert line.told_by_participant and line.words == "Colours at night" and "a term" in line.to_judge
    assert AlertRow.objects.get().level == "notify"
    judged = entry(clinic, term="Illusion", related="related")
    act.amend_adverse_event(
        course=course, entry=told.id, event=judged, reason="Sorted", by=clinic.staff["physician"], at=clinic.at
    )
    again = entry(clinic, term="Illusion", grade=1, words="They saw colours")
    act.amend_adverse_event(
        course=course, entry=told.id, event=again, reason="Grade", by=clinic.staff["facilitator"], at=clinic.at
    )
    (line,) = lines(clinic, course)
    assert (line.related, line.grade, line.words, line.by) == ("related", 1, "Colours at night", "Participant")
    with pytest.raises(Refused, match="no words yet"):
        act.tell_event(course=course, words=" ", valence="neutral", began_on=clinic.today, by=ada, at=clinic.at)
    with pytest.raises(Refused, match="no such course"):
        other = participant_of(begin(clinic, name="Eve Simulated"))
        act.tell_event(course=course, words="x", valence="neutral", began_on=clinic.today, by=other, at=clinic.at)


def test_an_event_of_the_dosing_day_carries_the_sessions_minute(clinic: Clinic) -> None:
    protocol = definitions.protocol("davis-2021", 1)
    protocol = definitions.protocol("davis-2021", 1)
    day = opened(clinic, protocol=protocol, study="mood", visit="session-1", arm="immediate")
    other = team.admit(email="second@north.example", name="Second", password=PASSWORD, by=SYSTEM, at=day.at)
    team.grant(staff=other, site="north", role="facilitator", by=SYSTEM, at=day.at)
    dosing.come_in(session=day.session, staff=other, by=day.first, at=day.later())
    course = day.courses[0]
    given_at = dose(day, course)
    began = {"began_at": (given_at + timedelta(minutes=42, seconds=30)).isoformat()}
    clinic.at = given_at + timedelta(hours=2)
    report(clinic, course, **began)
    (line,) = lines(clinic, course)
    assert (line.minute, line.session, line.window) == (42, day.session, "During the dosing day")
    clinic.later(days=8)
    report(clinic, course, term="Insomnia")
    assert lines(clinic, course)[0].window == "Within several weeks of the dose"
    assert lines(clinic, course)[0].minute is None


def test_nothing_new_is_an_answer_too(clinic: Clinic, course: str) -> None:
    act.ask_for_events(course=course, anything=False, by=clinic.staff["coordinator"], at=clinic.at)
    assert state_of(course).contacts[-1]["anything"] is False
    assert "nothing new" in ask.adverse_events(course=course, by=clinic.staff["physician"], at=clinic.at).last_contact


def test_the_form_keeps_what_was_typed_and_records_in_one_go(clinic: Clinic, course: str) -> None:
    client, url = desk(clinic, "facilitator"), f"/course/{course}/adverse-events/"
    assert "Anything new since the last contact?" in client.get(url).content.decode()
    given = {"form": "report", "term": "Nausea", "on": "2020-01-02", "time": "10:00", "words": "Green in the face"}
    wrong = client.post(url, {**given, "on": (NOW + timedelta(days=4)).date().isoformat(), "serious": ["no", "death"]})
    assert wrong.status_code == 409 and "Green in the face" in wrong.content.decode()
    assert client.post(url, {**given, "serious": ["no"], "grade": "2"}).status_code == 302
    text = client.get(url).content.decode()
    assert "Nausea" in text and "grade 2" in text and "relatedness" in text
    row = AdverseEventRow.objects.get()
    assert "What has changed" in client.get(f"{url}?amend={row.id}").content.decode()
    amended = client.post(url, {**given, "form": "amend", "entry": row.id, "term": "Vomiting", "reason": "It was more"})
    assert amended.status_code == 302 and AdverseEventRow.objects.get().term == "Vomiting"
    assert desk(clinic, "rater").get(url).status_code == 403


def test_the_participant_tells_on_the_phone(clinic: Clinic, course: str) -> None:
    sent = participant.send_link(course=course, by=clinic.staff["coordinator"], at=clinic.at)
    client = Client()
    born = {"day": str(BORN_ON.day), "month": str(BORN_ON.month), "year": str(BORN_ON.year)}
    assert client.post(f"/p/{sent.secret}/", born).status_code == 302
    assert "/me/tell/" in client.get("/me/").content.decode()
    empty = client.post("/me/tell/", {"form": "tell", "words": "", "valence": "pleasant"})
    assert empty.status_code == 409 and "no words yet" in empty.content.decode()
    assert client.post("/me/tell/", {"form": "tell", "words": "I sang", "valence": "pleasant"}).status_code == 302
    text = client.get("/me/tell/?sent").content.decode()
    assert "I sang" in text and "Your team has it" in text
    assert "I sang" in desk(clinic, "physician").get(f"/course/{course}/adverse-events/").content.decode()
