"""The safety pages of a person and of a study: rates over exposure, small cells closed, everything listed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from keel.actions import adverse_events as act
from keel.actions import safety as alerts
from keel.actions import screening, team
from keel.actions.periodic import send_periodic
from keel.domain.access import SYSTEM
from keel.domain.errors import Refused
from keel.domain.events import Actor, new_id
from keel.queries import overview as ask
from keel.queries import periodic
from keel.records import journal
from keel.records.models import DeviationRow
from keel.records.rebuild import rebuild
from tests.actions.test_adverse_events import desk, report
from tests.clinic import CLEAR_FACTS, Clinic, begin, state_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime.now(UTC)


@pytest.fixture
def course(clinic: Clinic) -> str:
    clinic.at = NOW - timedelta(hours=30)
    return begin(clinic)


def dosed(clinic: Clinic, course: str, arm: str) -> None:
    """What counts as exposure: an arm, a day, a dose; appended, not acted out."""
    given = {"visit": "session-1", "session": new_id()}
    by = clinic.staff["physician"]
    with journal.writing(f"course:{course}") as writing:
        writing.append("allocated", {"arm": arm}, by=by, at=clinic.at)
        writing.append("session_planned", {**given, "on": clinic.today.isoformat()}, by=by, at=clinic.at)
        dose = {**given, "substance": "psilocybin", "amount": 20, "unit": "mg", "lot": "SIM", "arithmetic": "20 mg"}
        dose["confirmed_by"] = by.id
        writing.append("dose_given", dose, by=by, at=clinic.at)


def people(clinic: Clinic, n: int, arm: str) -> list[str]:
    made = [begin(clinic, name=f"{arm} {'ABCDEFGHIJ'[i]} Simulated") for i in range(n)]
    for course in made:
        dosed(clinic, course, arm)
    return made


def study(clinic: Clinic) -> ask.StudyPage:
    return ask.of_study(study="mood", by=clinic.staff["supervisor"], at=clinic.at)


def test_rates_are_over_who_was_dosed_and_small_cells_are_closed(clinic: Clinic, course: str) -> None:
    report(clinic, course)  # before any dose, by somebody who never had one
    here, there = people(clinic, 6, "immediate"), people(clinic, 6, "delayed")
    began = {"began_at": clinic.at.isoformat()}
    clinic.later(hours=2)
    for who in here:
        report(clinic, who, **began)
    for who in there[:5]:
        report(clinic, who, **began)
    report(clinic, here[0], term="Nausea", **began)
    page = study(clinic)
    assert page.before_dose == 1 and page.exposure["immediate"].people == 6 and page.exposure["delayed"].doses == 6
    headache, nausea = page.tables[0].rows
    assert (headache.label, headache.cells["total"].people, headache.cells["immediate"].percent) == (
        "Headache",
        11,
        100,
    )
    assert headache.cells["delayed"].people == 5 and not headache.cells["delayed"].is_closed
    assert all(cell.is_closed and cell.people is None for cell in nausea.cells.values())
    text = desk(clinic, "supervisor").get("/study/mood/safety/").content.decode()
    assert "11 of 12" in text and "closed" in text and ">1 of 12" not in text


def test_everything_that_departed_is_listed(clinic: Clinic, course: str) -> None:
    given: dict[str, Any] = {"course": course, "at": clinic.at}
    by = clinic.staff["physician"]
    screening.record_facts(**given, facts=CLEAR_FACTS, by=by)
    rule = state_of(course).standing_stops[0]["rule"]
    screening.override_finding(**given, rule=rule, reason="Decided at the bedside", by=by)
    screening.record_facts(**given, facts={"weight_kg": 70}, by=by)  # judged anew: the override stays on the list
    alerts.raise_alert(**given, level="urgent", why="Something", by=by)
    raised = next(iter(state_of(course).alerts))
    with pytest.raises(Refused, match="in no arm yet"):
        act.unblind(**given, whom="participant", reason="Asked", by=by)
    dosed(clinic, course, "immediate")
    for refused in ({"by": clinic.staff["coordinator"]}, {"whom": "press"}, {"reason": " "}):
        with pytest.raises(Refused):
            act.unblind(**{**given, "whom": "participant", "reason": "Asked", "by": by, **refused})
    assert not DeviationRow.objects.exists()
    act.unblind(**given, whom="treating_physician", reason="Emergency surgery", by=by)
    clinic.later(minutes=25)
    with pytest.raises(Refused, match="still to come"):
        later = clinic.at + timedelta(hours=1)
        act.record_emergency_contact(
            course=course, whom="ambulance", words="Fainted", by=by, at=clinic.at, occurred_at=later
        )
    act.record_emergency_contact(course=course, whom="ambulance", words="Fainted, came round", by=by, at=clinic.at)
    alerts.acknowledge_alert(course=course, alert=raised, done="Rang her", by=by, at=clinic.at)
    report(
        clinic,
        course,
        "physician",
        term="Syncope",
        serious=["medically_important"],
        grade=3,
        related="related",
        expected="unexpected",
    )
    for page in (study(clinic), ask.of_course(course=course, by=by, at=clinic.at)):
        assert {d.kind for d in page.deviations} >= {"unblinded", "emergency_contacted"}
        assert [o.because for o in page.overrides] == ["Decided at the bedside"]
    assert study(clinic).medians == (("urgent", 1, "25 minutes"),)
    assert {owed.term for owed in study(clinic).owed} == {"Syncope"}
    assert "Fainted" not in str([e.payload for e in journal.events(f"course:{course}")])
    text = desk(clinic, "physician").get(f"/course/{course}/safety/").content.decode()
    assert "Fainted, came round" in text and "25 minutes" in text and "Syncope" in text
    assert not rebuild(keep=False).different


def test_the_page_records_a_call_and_keeps_what_was_typed(clinic: Clinic, course: str) -> None:
    client, url = desk(clinic, "facilitator"), f"/course/{course}/safety/"
    given = {"form": "called", "whom": "hospital", "on": "2099-01-01", "time": "10:00", "words": "Kept words"}
    wrong = client.post(url, given)
    assert wrong.status_code == 409 and "Kept words" in wrong.content.decode()
    assert client.post(url, {**given, "on": clinic.today.isoformat(), "time": "00:00"}).status_code == 302
    assert "Kept words" in client.get(url).content.decode()
    assert desk(clinic, "rater").get(url).status_code == 403
    assert desk(clinic, "rater").get("/study/mood/safety/").status_code == 403
    with pytest.raises(Refused, match="no such course"):
        ask.of_study(study="elsewhere", by=clinic.staff["supervisor"], at=clinic.at)


def test_a_report_by_the_calendar_is_owed_until_its_proof_is_there(clinic: Clinic, course: str) -> None:
    begun = datetime(2026, 2, 10, 12, tzinfo=UTC)
    where = {"name": "Hood", "country": "US", "timezone": "America/Los_Angeles", "jurisdiction": "oregon"}
    team.open_site(site="hood", **where, by=SYSTEM, at=begun)
    at, by = datetime(2026, 4, 20, 12, tzinfo=UTC), Actor(clinic.staff["coordinator"].id, "coordinator", "hood")
    (owed,) = periodic.of_site("hood", at=at)
    assert (owed.duty, owed.state, owed.says) == ("oregon_sb_303", "stop", "was due on 15 April 2026")
    assert periodic.of_site("north", at=at) == (), "no regime of this site asks for any"
    sent: dict[str, Any] = {"site": "hood", "duty": owed.duty, "until": owed.until, "by": by, "at": at}
    with pytest.raises(Refused, match="no proof"):
        send_periodic(**sent, on=date(2026, 4, 12), proof="")
    with pytest.raises(Refused, match="owes none"):
        send_periodic(**{**sent, "site": "north", "by": clinic.staff["coordinator"]}, on=date(2026, 4, 12), proof="x")
    send_periodic(**sent, on=date(2026, 4, 12), proof="OHA portal, receipt 12")
    (done,) = periodic.of_site("hood", at=at)
    assert (done.state, done.says, done.proof) == ("done", "sent 12 April 2026", "OHA portal, receipt 12")
    assert not rebuild(keep=False).different
