"""The dosing day through its pages, as forms: what a browser without scripts can do."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from keel.actions import dosing, study, team
from keel.domain.access import SYSTEM
from keel.domain.events import Actor, new_id
from keel.queries import definitions
from keel.queries import dosing as days
from keel.records import journal
from keel.records.models import Account, MomentRow, VitalsRow
from keel.records.rebuild import rebuild
from tests.clinic import Clinic
from tests.dosing_days import Day, dose, lately, opened, ready, state_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def client_of(actor: Actor) -> Client:
    client = Client()
    client.force_login(Account.objects.get(id=actor.id), backend="allauth.account.auth_backends.AuthenticationBackend")
    session = client.session
    session["acting"] = f"{actor.site}/{actor.role}"
    session.save()
    return client


@pytest.fixture
def day(clinic: Clinic) -> Day:
    """Pages read the clock themselves: a day under way began lately."""
    protocol = definitions.protocol("davis-2021", 1)
    at, pace = lately(120)
    return opened(clinic, protocol=protocol, study="mood", visit="session-1", arm="immediate", at=at, pace=pace)


def post(client: Client, day: Day, kind: str, course: str = "", status: int = 302, **fields: object) -> str:
    answer = client.post(f"/session/{day.session}/", {"kind": kind, "course": course, "id": new_id(), **fields})
    assert answer.status_code == status, answer.content.decode()[-3000:]
    return str(answer.content.decode())


def test_a_day_from_the_gate_to_the_dose(clinic: Clinic) -> None:
    at = datetime.now(UTC)
    course = ready(clinic, 1, at, study="mood", arm="immediate", visit="session-1")
    first, second = client_of(clinic.staff["facilitator"]), client_of(clinic.staff["physician"])
    page = first.get(f"/course/{course}/dosing/").content.decode()
    assert "Ready today" in page
    went = first.post(f"/course/{course}/dosing/", {"visit": "session-1", "courses": course, "room": "Garden room"})
    assert went.status_code == 302
    session = went.headers["Location"].split("/")[2]
    day = Day(session, [course], "session-1", clinic.staff["facilitator"], clinic.staff["physician"], at)
    board = first.get(f"/session/{session}/").content.decode()
    assert "Ada S." in board and "nobody" in board
    for who in (clinic.staff["facilitator"], clinic.staff["physician"]):
        post(first, day, "come_in", staff=who.id)
    post(first, day, "arrive", course)
    post(first, day, "vitals", course, systolic_mmhg="118", diastolic_mmhg="76", heart_rate_bpm="64")
    post(first, day, "prepare_dose", course, substance="psilocybin-anhydrous", value="20", unit="mg_per_70kg", lot="S1")
    page = first.get(f"/session/{session}/").content.decode()
    assert "20 mg × 71.5 kg ÷ 70 kg = 20.4 mg" in page and "A second person checks it" in page
    assert "you prepared it yourself" in post(first, day, "confirm_dose", course, status=409)
    post(second, day, "confirm_dose", course)
    refused = post(first, day, "give_dose", course, status=409)
    assert "facilitators in it" in refused  # the protocol wants two facilitators; one is a physician


def test_what_is_poured_is_asked_for_its_strength_and_the_sum_is_shown(clinic: Clinic) -> None:
    study.open_study(
        study="tea", title="Simulated study", protocol="palhano-fontes-2019", sites=["north"],
        documents=["treatment-ayahuasca"], by=SYSTEM, at=clinic.at,
    )  # fmt: skip
    at, pace = lately(120)
    protocol = definitions.protocol("palhano-fontes-2019", 1)
    day = opened(clinic, protocol=protocol, study="tea", visit="dosing", arm="ayahuasca", at=at, pace=pace)
    (course,), client = day.courses, client_of(day.first)
    page = client.get(f"/session/{day.session}/").content.decode()
    assert "Weight today 71.5 kg." in page and "DMT in this lot" in page and "mg per mL" in page
    said = {"substance": "ayahuasca-dmt", "value": "0.36", "unit": "mg_per_kg", "lot": "S1"}
    assert "analysis of the lot" in post(client, day, "prepare_dose", course, status=409, **said)
    post(client, day, "prepare_dose", course, mg_per_ml="0,45", **said)
    page = client.get(f"/session/{day.session}/").content.decode()
    assert "0.36 mg per kg, lot S1" in page and "25.74 mg ÷ 0.45 mg per mL = 57.2 mL, 0.80 mL per kg" in page
    assert "the trial poured about 1 mL per kg" in page
    assert "lot and its strength" in client_of(day.second).get(f"/session/{day.session}/").content.decode()


def test_one_tap_vitals_note_phase_and_correction(day: Day) -> None:
    course, client = day.courses[0], client_of(day.first)
    give(day, course)
    post(client, day, "moment", course, moment="water")
    post(client, day, "moment", course, moment="said", words="It is very bright.")
    post(client, day, "reach", course, step="reach_onset")
    post(client, day, "vitals", course, systolic_mmhg="128", diastolic_mmhg="82", heart_rate_bpm="71")
    page = client.get(f"/session/{day.session}/").content.decode()
    assert "It is very bright." in page and "Onset" in page and "<b>128</b>" in page
    entry = VitalsRow.objects.get(course=course, systolic_mmhg=128)
    at = (entry.at - timedelta(minutes=2)).astimezone(days.ZoneInfo("Europe/London"))
    post(client, day, "correct", course, entry=entry.id, time=at.strftime("%H:%M:%S"), reason="Typed late.")
    entry.refresh_from_db()
    assert entry.at.replace(microsecond=0) == at.replace(microsecond=0) and entry.systolic_mmhg == 128
    assert entry.amended


def test_what_did_not_happen_is_taken_back_and_stays_in_sight(day: Day) -> None:
    course, client = day.courses[0], client_of(day.first)
    give(day, course)
    post(client, day, "vitals", course, systolic_mmhg="182", diastolic_mmhg="82", heart_rate_bpm="71")
    post(client, day, "moment", course, moment="touch_given")
    reading = VitalsRow.objects.get(course=course).id
    touch = MomentRow.objects.get(course=course, kind="touch_given").id
    for entry in (reading, touch):
        post(client, day, "withdraw", course, entry=entry, reason="Of somebody else.")
    page = client.get(f"/session/{day.session}/").content.decode()
    assert "Taken back: Vital signs" in page and "Taken back: Touch given" in page
    assert "Nothing measured since the dose" in page and "Call the physician" not in page
    for kind in ("withdraw", "correct"):
        said = post(client, day, kind, course, status=409, entry=reading, reason="Again.", time="00:00:01")
        assert "taken back" in said


def test_notes_are_signed_by_each_also_after_the_release_and_go_on_to_integration(day: Day) -> None:
    (course,), client = day.courses, client_of(day.first)
    give(day, course)
    post(client, day, "moment", course, moment="said", words="The sea was inside.")
    post(client, day, "stop", course, words="Asked to end it.")
    with journal.writing(f"course:{course}") as writing:
        writing.append("released", {"visit": day.visit}, by=SYSTEM, at=day.later())
    page = f"/session/{day.session}/report/{course}/"
    assert "when they left is not recorded" in client.get(page).content.decode()  # the day is over: not "to now"
    assert client.post(page, {"words": "Calm at the end."}).status_code == 302
    assert client_of(day.second).post(page, {"words": "Slept a little."}).status_code == 302
    assert "no words yet" in client.post(page, {"words": " "}).content.decode()
    told = client.get(page + "?as=json").json()["notes"]
    names = {each.id: each.name for each in Account.objects.filter(id__in=(day.first.id, day.second.id))}
    assert [(n["words"], n["signed_by"]) for n in told] == [
        ("Calm at the end.", names[day.first.id]), ("Slept a little.", names[day.second.id])
    ]  # fmt: skip
    assert "Slept a little." in client.get(page + "?as=csv").content.decode()
    handed = client.get(f"/course/{course}/integration/").content.decode()
    assert page in handed and "The sea was inside." in handed and "Calm at the end." in handed
    board = client.get(f"/session/{day.session}/").content.decode()
    assert "data-since" not in board  # the clock of somebody who left stands
    assert not rebuild(keep=False).different


def test_the_room_is_corrected_from_its_own_log(day: Day) -> None:
    client, board = client_of(day.first), f"/session/{day.session}/"
    post(client, day, "room", moment="music", step="Ascent")
    entry = MomentRow.objects.get(session=day.session, kind="music")
    assert 'name="kind" value="correct_room"' in client.get(board).content.decode()
    at = (entry.at - timedelta(minutes=3)).astimezone(days.ZoneInfo("Europe/London"))
    post(client, day, "correct_room", entry=entry.id, time=at.strftime("%H:%M:%S"), reason="Typed late.")
    entry.refresh_from_db()
    assert entry.amended and entry.at.replace(microsecond=0) == at.replace(microsecond=0)
    assert "no time is given" in post(client, day, "correct_room", status=409, entry=entry.id, reason="Late.")
    sent = {"id": new_id(), "kind": "withdraw_room", "course": "", "occurred_at": datetime.now(UTC).isoformat(),
            "payload": {"entry": entry.id, "reason": "Taken back at once"}}  # fmt: skip
    for _ in range(2):  # a tablet may send it twice
        assert client.post(f"{board}entries/", sent, content_type="application/json").status_code == 200
    assert "Taken back: Music changed: Ascent" in client.get(board).content.decode()
    assert not rebuild(keep=False).different


def test_a_long_log_is_shown_from_its_end_and_whole_when_asked(day: Day) -> None:
    course, client = day.courses[0], client_of(day.first)
    for minute in range(35):
        dosing.note_moment(course=course, visit=day.visit, kind="water", by=day.first, at=day.later(0.1 * minute))
    board = f"/session/{day.session}/"
    short, whole = (client.get(board + query).content.decode() for query in ("", f"?log={course}"))
    short, whole = (page.split(f'id="log-{course}"')[1] for page in (short, whole))
    assert short.count("data-entry-id") == 20 and "All 36 entries" in short
    assert whole.count("data-entry-id") == 36 and "entries</a>" not in whole


def give(day: Day, course: str) -> None:
    """Given by events: whom the protocol wants in the room is tested elsewhere."""
    with journal.writing(f"course:{course}") as writing:
        said = {"visit": day.visit, "substance": "psilocybin-anhydrous", "amount": 20, "unit": "mg_per_70kg",
                "given_mg": 20.4, "arithmetic": "", "lot": "S1", "supplemental": False, "confirmed_by": day.second.id}  # fmt: skip
        writing.append("dose_given", said, by=SYSTEM, at=day.later())


def test_what_the_outbox_sends_is_taken_once_and_refusals_say_why(day: Day) -> None:
    course, client = day.courses[0], client_of(day.first)
    url = f"/session/{day.session}/entries/"

    def send(**more: object) -> tuple[int, dict[str, object]]:
        said = {"id": new_id(), "kind": "moment", "course": course, "occurred_at": datetime.now(UTC).isoformat(),
                "payload": {"moment": "water"}, **more}  # fmt: skip
        answer = client.post(url, json.dumps(said), content_type="application/json")
        return answer.status_code, answer.json()

    one = new_id()
    for _ in range(3):
        status, said = send(id=one)
        assert (status, said["id"]) == (200, one)
    assert MomentRow.objects.filter(course=course, kind="water").count() == 1
    assert send(payload={"moment": "dancing"})[0] == 409
    assert send(kind="dance")[0] == 409
    assert send(occurred_at="yesterday")[0] == 409
    assert send(payload=[])[0] == 409
    assert send(course=new_id())[0] == 404
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    status, said = send(occurred_at=ahead)
    assert status == 409 and "lies ahead" in json.dumps(said)
    assert client.post(url, "{", content_type="application/json").status_code == 409


def test_a_wrong_clock_is_set_right_and_told(day: Day) -> None:
    """Also one that was moved between entry and sending: the entry stands, and no repeat of it is refused."""
    course, client = day.courses[0], client_of(day.first)
    now = datetime.now(UTC)
    slow, fast = now - timedelta(minutes=7), now + timedelta(minutes=7)
    for entered, sent_at, told in ((slow, slow, "clock +4"), (now, slow, "clock moved"), (fast, now, "clock moved")):
        said = {"id": new_id(), "kind": "moment", "course": course, "occurred_at": entered.isoformat(),
                "payload": {"moment": "silence"}}  # fmt: skip
        for header in (sent_at, fast, slow):
            answer = client.post(
                f"/session/{day.session}/entries/",
                json.dumps(said),
                content_type="application/json",
                headers={"X-Keel-Sent-At": header.isoformat()},
            )
            assert answer.status_code == 200
        row = MomentRow.objects.get(id=said["id"])
        assert abs((row.at - datetime.now(UTC)).total_seconds()) < 30
        event = journal.event(row.id)
        assert event is not None and told in event.by["device"]


def test_paper_and_data(day: Day) -> None:
    course, client = day.courses[0], client_of(day.first)
    give(day, course)
    post(client, day, "vitals", course, systolic_mmhg="131", diastolic_mmhg="82", heart_rate_bpm="71")
    post(client, day, "room", moment="music", piece="ascent, piece 4")
    sheet = client.get(f"/session/{day.session}/emergency/{course}/").content.decode()
    assert "Ada Simulated" in sheet and "71.5 kg" in sheet and "131 mmHg" in sheet and "not known: ask" in sheet
    report = f"/session/{day.session}/report/{course}/"
    on_paper = client.get(report).content.decode()
    assert "The session on one axis" in on_paper and "to now" in on_paper
    found = client.get(f"{report}?as=json").json()
    assert found["doses"][0]["lot"] == "S1" and found["vital_signs"][0]["systolic_mmhg"] == 131
    assert found["presence_proven"] is True
    assert b"131" in client.get(f"{report}?as=csv").content
    assert client.get(f"{report}?as=pdf").content.startswith(b"%PDF")
    setting = f"/session/{day.session}/setting/"
    assert client.post(setting, {"lighting": "Lamps that can be dimmed"}).status_code == 302
    items = client.get(f"{setting}?as=json").json()
    assert len(items["items"]) == 30 and items["items"][4]["reported"] == "Lamps that can be dimmed"
    assert 6 in items["unreported"] and 5 not in items["unreported"]
    assert b"ascent, piece 4" in client.get(f"{setting}?as=csv").content


def test_nobody_else_sees_it(day: Day, clinic: Clinic) -> None:
    course = day.courses[0]
    pages = [f"/session/{day.session}/", f"/session/{day.session}/report/{course}/", f"/course/{course}/dosing/",
             f"/session/{day.session}/emergency/{course}/", f"/session/{day.session}/setting/"]  # fmt: skip
    for url in pages:
        assert client_of(day.first).get(url).status_code == 200, url
        assert client_of(clinic.staff["rater"]).get(url).status_code == 403, url
        assert client_of(clinic.elsewhere["facilitator"]).get(url).status_code == 404, url
    write = client_of(clinic.staff["coordinator"])
    assert "may not" in post(write, day, "moment", course, status=403, moment="water")


def test_a_page_of_one_person_never_shows_another(clinic: Clinic) -> None:
    cohort = cohort_day(clinic)
    client = client_of(cohort.first)
    page = client.get(f"/session/{cohort.session}/").content.decode()
    assert all(name in page for name in ("Ada S.", "Ben S.", "Cleo S."))
    for kind in ("report", "emergency"):
        alone = client.get(f"/session/{cohort.session}/{kind}/{cohort.courses[1]}/").content.decode()
        assert "Ben" in alone and "Ada" not in alone and "Cleo" not in alone, kind
    assert "N-001" not in client.get(f"/session/{cohort.session}/setting/").content.decode()


def cohort_day(clinic: Clinic) -> Day:
    study.open_study(
        study="together", title="Simulated cohort", protocol="agrawal-2024", sites=["north"],
        documents=["treatment-psilocybin"], by=SYSTEM, at=clinic.at,
    )  # fmt: skip
    protocol = definitions.protocol("agrawal-2024", 1)
    at, pace = lately(30)
    return opened(
        clinic, protocol=protocol, study="together", visit="dosing", arm=protocol.arm_ids[0], people=3,
        at=at, pace=pace,
    )  # fmt: skip


def test_dose_helper_gives_a_dose_of_davis(clinic: Clinic) -> None:
    """Two facilitators in the room: everything the gate asks for is there."""
    protocol = definitions.protocol("davis-2021", 1)
    day = opened(clinic, protocol=protocol, study="mood", visit="session-1", arm="immediate")
    other = team.admit(email="second@north.example", name="Second", password="simulated-clinic", by=SYSTEM, at=day.at)
    team.grant(staff=other, site="north", role="facilitator", by=SYSTEM, at=day.at)
    dosing.come_in(session=day.session, staff=other, by=day.first, at=day.later())
    given_at = dose(day, day.courses[0])
    assert state_of(day.courses[0]).days["session-1"].doses[0]["at"] == given_at.isoformat()


def test_the_programme_of_the_music_is_shown_by_the_first_dose_and_logged_by_one_tap(day: Day) -> None:
    course, client = day.courses[0], client_of(day.first)
    give(day, course)
    post(client, day, "room", moment="music", step="Onset")
    post(client, day, "room", moment="music", piece="Piece 4")
    page = client.get(f"/session/{day.session}/").content.decode()
    assert "Music: Onset" in page or "Music: Piece 4" in page
    assert page.count('name="step" value="Ascent"') == 1
    setting = client.get(f"/session/{day.session}/setting/?as=json").json()
    assert "Played: Onset; Piece 4" in next(i["reported"] for i in setting["items"] if i["item"] == 11)
