"""The participant's pages and the desk's pages about questionnaires and alerts, as each role meets them."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from keel.actions import assessment, participant, visits
from keel.domain.events import new_id
from keel.queries.safety import help_in
from keel.records.models import AlertRow, LinkRow, ResponseRow, WordsRow
from tests.clinic import BORN_ON, PASSWORD, Clinic, begin, consent, participant_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime.now(UTC)
BORN = {"day": str(BORN_ON.day), "month": str(BORN_ON.month), "year": str(BORN_ON.year)}


@pytest.fixture
def course(clinic: Clinic) -> str:
    clinic.at = NOW - timedelta(hours=1)
    course = begin(clinic)
    consent(clinic, course)
    return course


def lay(clinic: Clinic, course: str, instrument: str = "phq-9") -> str:
    by = clinic.staff["coordinator"]
    done = assessment.begin(
        course=course, instrument=instrument, visit="", respondent="participant", by=by, at=clinic.at
    )
    return str(done.payload["response"])


def phone(clinic: Clinic, course: str) -> Client:
    sent = participant.send_link(course=course, by=clinic.staff["coordinator"], at=clinic.at)
    client = Client()
    assert client.post(f"/p/{sent.secret}/", BORN).url == "/me/"
    return client


def desk(clinic: Clinic, role: str, site: str = "north") -> Client:
    client = Client()
    assert (
        client.post("/account/login/", {"login": clinic.emails[f"{site}/{role}"], "password": PASSWORD}).status_code
        == 302
    )
    return client


def outbox(
    client: Client, course: str, kind: str, id: str | None = None, **payload: object
) -> tuple[int, dict[str, object]]:
    entry = {"id": id or new_id(), "kind": kind, "course": course, "occurred_at": NOW.isoformat(), "payload": payload}
    answer = client.post("/me/outbox/", json.dumps(entry), content_type="application/json")
    return answer.status_code, answer.json()


def test_a_link_asks_for_the_birth_date_and_closes(clinic: Clinic, course: str) -> None:
    sent = participant.send_link(course=course, by=clinic.staff["coordinator"], at=clinic.at)
    client = Client()
    assert "when were you born" in client.get(f"/p/{sent.secret}/").content.decode()
    assert client.get("/me/").url == "/link-over"
    wrong = client.post(f"/p/{sent.secret}/", {**BORN, "year": "1990"})
    assert (
        wrong.status_code == 409
        and "4 more times" in wrong.content.decode()
        and 'value="1990"' in wrong.content.decode()
    )
    assert client.post(f"/p/{sent.secret}/", {**BORN, "day": "x"}).status_code == 409
    assert client.post(f"/p/{sent.secret}/", BORN).url == "/me/" and client.get("/me/").status_code == 200
    participant.revoke_link(course=course, link=sent.link, by=clinic.staff["coordinator"], at=clinic.at)
    assert client.get("/me/").url == "/link-over" and client.get(f"/p/{sent.secret}/").url == "/link-over"
    assert client.get("/p/made-up/").url == "/link-over"
    assert "This page is closed" in client.get("/link-over").content.decode()


def test_an_expired_link_leads_nowhere(clinic: Clinic, course: str) -> None:
    client = phone(clinic, course)
    LinkRow.objects.update(expires_at=NOW - timedelta(seconds=1))
    assert client.get("/me/journal/").url == "/link-over"


def test_help_is_shown_to_everybody_and_numbers_are_never_guessed(clinic: Clinic, course: str) -> None:
    stranger = Client().get("/help-now").content.decode()
    assert "emergency number of the country" in stranger and "Call my team" not in stranger
    mine = phone(clinic, course).get("/help-now").content.decode()
    assert 'href="tel:116123"' in mine and 'href="tel:999"' in mine and "Call my team" in mine
    assert help_in("ZZ").lines == () and help_in("us").lines[0].call == "988"


def test_the_plain_form_goes_item_by_item_and_shows_help_at_once(clinic: Clinic, course: str) -> None:
    response, client = lay(clinic, course), phone(clinic, course)
    home = client.get("/me/").content.decode()
    assert "How you have been in the last two weeks" in home
    place = f"/me/q/{response}/"
    first = client.get(place).content.decode()
    assert "Little interest or pleasure" in first and "Question 1 of 10" in first
    for item in range(1, 9):
        moved = client.post(f"{place}?at={item}", {f"item-{item}": "1", "step": "next"})
        assert moved.url == f"{place}?at={item + 1}"
    back = client.post(f"{place}?at=9", {"step": "back"})
    assert back.url == f"{place}?at=8"
    refused = client.post(f"{place}?at=9", {"item-9": "7", "step": "next"})
    assert refused.status_code == 409 and "its codes are one of 0, 1, 2, 3" in refused.content.decode()
    fired = client.post(f"{place}?at=9", {"item-9": "2", "step": "next"})
    assert fired.url == f"{place}?at=10&help"
    assert re.search(r"data-help role=\"alert\" tabindex=\"-1\">", client.get(fired.url).content.decode())
    assert AlertRow.objects.get().level == "notify"
    assert client.post(f"{place}?at=10", {"step": "next"}).url == "/me/?sent"
    row = ResponseRow.objects.get(id=response)
    assert row.scores["total"] == 10 and row.items["10"] is None
    after = client.get("/me/?sent").content.decode()
    assert "have reached your team" in after
    for word in ("PHQ", "moderate", "total", "davis", "N-0"):
        assert word not in after


def test_the_outbox_records_once_and_refuses_in_words(clinic: Clinic, course: str) -> None:
    response, client, id = lay(clinic, course), phone(clinic, course), new_id()
    given = {"response": response, "instrument": "phq-9", "version": 1, "item": "9", "value": "1"}
    assert outbox(client, course, "answer_given", id, **given) == (200, {"status": "recorded", "id": id})
    assert outbox(client, course, "answer_given", id, **given) == (200, {"status": "already", "id": id})
    assert AlertRow.objects.count() == 1
    status, said = outbox(client, course, "answer_given", **{**given, "value": "9"})
    assert status == 409 and "codes are one of" in str(said)
    assert outbox(client, course, "wish", **given)[0] == 409
    assert outbox(client, course, "response_finished", response=response, answered=1)[0] == 200
    assert outbox(client, course, "answer_given", **given)[0] == 409
    assert client.post("/me/outbox/", "{", content_type="application/json").status_code == 409
    other = begin(clinic, name="Eve Simulated")
    consent(clinic, other, name="Eve Simulated")
    stranger = phone(clinic, other)
    assert outbox(stranger, course, "answer_given", **given)[0] == 404
    assert stranger.get(f"/me/q/{response}/").status_code == 404
    assert Client().post("/me/outbox/", "{}", content_type="application/json").status_code == 302


def test_a_phone_whose_clock_is_wrong_is_set_right(clinic: Clinic, course: str) -> None:
    response, client = lay(clinic, course), phone(clinic, course)
    ahead = datetime.now(UTC) + timedelta(hours=3)
    entry = {
        "id": new_id(),
        "kind": "answer_given",
        "course": course,
        "occurred_at": (ahead - timedelta(minutes=5)).isoformat(),
        "payload": {"response": response, "item": "1", "value": "2"},
    }
    headers = {"X-Keel-Sent-At": ahead.isoformat()}
    assert (
        client.post("/me/outbox/", json.dumps(entry), content_type="application/json", headers=headers).status_code
        == 200
    )
    off = datetime.now(UTC) - timedelta(minutes=5) - ResponseRow.objects.get(id=response).last_at
    assert abs(off) < timedelta(minutes=1)


def test_my_course_and_my_journal(clinic: Clinic, course: str) -> None:
    client = phone(clinic, course)
    for what, words in (("intention", "To be kinder"), ("fear", "That it never ends"), ("support", "Sim, 020 7946")):
        assert client.post("/me/course/", {"course": course, "what": what, "words": words}).status_code == 302
    client.post("/me/course/", {"course": course, "what": "ride", "words": "Sim", "confirmed": "yes"})
    shown = client.get("/me/course/").content.decode()
    assert all(words in shown for words in ("To be kinder", "That it never ends", "Sim, 020 7946", "Arranged"))
    kept = client.post("/me/course/", {"course": course, "what": "intention", "words": " "})
    assert kept.status_code == 409
    client.post("/me/journal/", {"course": course, "words": "A night of colours"})
    entry = WordsRow.objects.get(kind="journal_written").id
    assert "Only you" in client.get("/me/journal/").content.decode()
    client.post("/me/journal/", {"course": course, "entry": entry, "shared": "yes"})
    assert "Your team can read this page" in client.get("/me/journal/").content.decode()


def test_what_waits_follows_the_protocols_schedule(clinic: Clinic) -> None:
    from tests.clinic import enrolled

    clinic.at = NOW - timedelta(hours=1)
    course = enrolled(clinic)
    client = phone(clinic, course)
    home = client.get("/me/").content.decode()
    assert "What you tell now is what later changes are held against." in home
    assert "What the session was like" not in home and "A talk to prepare" in home
    begun = client.post("/me/q/", {"course": course, "visit": "baseline", "instrument": "phq-9"})
    assert begun.status_code == 302 and begun.url.startswith("/me/q/")
    assert client.post("/me/q/", {"course": course, "visit": "session-1", "instrument": "phq-9"}).status_code == 409


# ---- the desk -------------------------------------------------------------------------------------------


def test_paper_is_keyed_compared_shown_and_amended(clinic: Clinic, course: str) -> None:
    client = desk(clinic, "coordinator")
    place = f"/course/{course}/visit/baseline/enter/phq-9/"
    assert "Second entry" in client.get(f"{place}?twice").content.decode()
    sheet = {f"item-{n}": "1" for n in range(1, 10)} | {"on": NOW.date().isoformat()}
    again = {f"again-{n}": "1" for n in range(1, 10)} | {"again-4": "2"}
    differs = client.post(f"{place}?twice", {**sheet, **again})
    assert differs.status_code == 409 and "the first entry says 1, the second 2" in differs.content.decode()
    assert client.post(place, {**sheet, "item-3": "8"}).status_code == 409 and not ResponseRow.objects.exists()
    done = client.post(f"{place}?twice", {**sheet, **again, "again-4": "1"})
    shown = client.get(done.url).content.decode()
    assert "moderate" not in shown and "mild" in shown and "must be seen" in shown
    amended = client.post(done.url, {**sheet, "item-9": "0", "reason": "Misread"})
    assert amended.status_code == 302
    after = client.get(done.url).content.decode()
    assert "Misread" in after and ">8<" in after
    listed = client.get(f"/course/{course}/questionnaires/").content.decode()
    assert "total 8, mild" in listed and "amended" in listed
    assert client.post(f"/course/{course}/questionnaires/", {"instrument": "who-5"}).status_code == 302


def test_a_rater_sees_ratings_only_and_another_site_nothing(clinic: Clinic, course: str) -> None:
    visits.hold_visit(course=course, visit="screening", on=NOW.date(), by=clinic.staff["physician"], at=NOW)
    rater = desk(clinic, "rater")
    work = rater.get("/ratings/").content.decode()
    assert "Rating" in work and "screening" not in work and "Ada" not in work and "Screening" not in work
    listed = rater.get(f"/course/{course}/questionnaires/").content.decode()
    assert "GRID-HAMD" in listed and "PHQ-9" not in listed and "WAI" not in listed
    assert rater.get(f"/course/{course}/visit/baseline/enter/phq-9/").status_code == 404
    assert rater.get("/alerts/").status_code == 403
    assert rater.get(f"/course/{course}/visit/screening/enter/grid-hamd-17/?of=rater").status_code == 404
    place = re.findall(r'href="([^"]+/enter/grid-hamd-17/[^"]*)"', work)[0]
    sheet = {f"item-{n}": "1" for n in range(1, 18)} | {"paper": "no"}
    assert rater.post(place, sheet).status_code == 302
    stranger = desk(clinic, "coordinator", "south")
    for path in ("questionnaires/", "link/", "visit/baseline/enter/phq-9/"):
        assert stranger.get(f"/course/{course}/{path}").status_code == 404
    assert desk(clinic, "data_manager", "south").get(f"/course/{course}/erase/").status_code == 404


def test_the_inbox_moves_alerts_and_shows_no_other_site(clinic: Clinic, course: str) -> None:
    ada = participant_of(course)
    participant.ask_for_help(course=course, by=ada, at=NOW)
    alert = AlertRow.objects.get()
    physician = desk(clinic, "physician")
    shown = physician.get("/alerts/").content.decode()
    assert "The participant asks for help now" in shown and 'data-state="stop">1<' in shown and "Next: on call" in shown
    assert "asks for help" not in desk(clinic, "physician", "south").get("/alerts/").content.decode()
    move = {"course": course, "alert": alert.id}
    physician.post("/alerts/", {**move, "to": "seen"})
    refused = physician.post("/alerts/", {**move, "to": "acknowledged", "done": ""})
    assert refused.status_code == 409 and "what was done" in refused.content.decode()
    physician.post("/alerts/", {**move, "to": "acknowledged", "done": "Rang, safe tonight"})
    coordinator = desk(clinic, "coordinator")
    assert coordinator.post("/alerts/", {**move, "to": "closed", "done": "x"}).status_code == 403
    physician.post("/alerts/", {**move, "to": "closed", "done": "Seen at the clinic"})
    assert "Rang, safe tonight" in coordinator.get("/alerts/").content.decode()
    assert AlertRow.objects.get().state == "closed"
    assert physician.get("/alerts/", headers={"Accept": "application/json"}).json()["live"].startswith("/live?ticket=")


def test_a_link_is_shown_once_and_taken_back(clinic: Clinic, course: str) -> None:
    client = desk(clinic, "coordinator")
    place = f"/course/{course}/link/"
    made = client.post(place, {"days": "30"}).content.decode()
    found = re.search(r"/p/([\w-]+)/", made)
    assert found and found[1] not in client.get(place).content.decode()
    assert client.post(place, {"days": "soon"}).status_code == 409
    client.post(place, {"revoke": LinkRow.objects.get().id})
    assert "revoked" in client.get(place).content.decode()


def test_erasing_asks_for_the_code(clinic: Clinic, course: str) -> None:
    client = desk(clinic, "data_manager")
    place = f"/course/{course}/erase/"
    assert client.post(place, {"code": "wrong", "because": "asked"}).status_code == 409
    code = re.search(r"Type ([\w-]+) to be sure", client.get(place).content.decode())
    assert code and client.post(place, {"code": code[1], "because": "asked"}).status_code == 302
    assert "This person was erased" in client.get(place).content.decode()
