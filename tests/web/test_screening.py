"""The screening pages as people use them: by hand, with mistakes, on both databases."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from keel.actions import screening
from keel.domain.events import new_id
from keel.queries import screening as queries
from keel.records import vault
from keel.records.models import Account, CourseRow, EventRow, FactRow, FindingRow
from tests.clinic import CLEAR_FACTS, NAME, Clinic, begin, consent, participant_of, right_answers, state_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]
TREATMENT = "treatment-psilocybin"
Enter = Callable[..., Client]


@pytest.fixture
def enter(clinic: Clinic) -> Enter:
    """A browser of a member of staff."""

    def signed_in(role: str, site: str = "north") -> Client:
        staff = clinic.staff if site == "north" else clinic.elsewhere
        client = Client()
        client.force_login(Account.objects.get(id=staff[role].id), backend=settings.AUTHENTICATION_BACKENDS[-1])
        return client

    return signed_in


def phone(course: str, clinic: Clinic) -> Client:
    """The participant's own browser, with the link opened and confirmed."""
    far = clinic.at.replace(year=clinic.at.year + 50)
    id, _ = vault.make_link(participant_of(course).id, far)
    client = Client()
    session = client.session
    session["link"] = id
    session.save()
    return client


def text(response: Any) -> str:
    """The words of a page, without its tags."""
    bare = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", bare).replace("&#x27;", "'")


# ---- the enquiry --------------------------------------------------------------------------------------------


def enquiry(**change: str) -> dict[str, str]:
    given = {
        "id": new_id(),
        "name": NAME,
        "born_on": "1986-05-04",
        "phone": "+44 20 7946 0000",
        "language": "en",
        "study": "mood",
        "source": "self",
    }
    return {**given, **change}


def test_an_enquiry_leads_to_the_first_conversation(enter: Enter) -> None:
    client, given = enter("coordinator"), enquiry()
    assert "Simulated study" in text(client.get("/courses/new/"))
    course = CourseRow.objects
    answer = client.post("/courses/new/", given)
    assert answer.status_code == 302 and answer.url.endswith("/pre-screen/")
    assert client.post("/courses/new/", given).status_code == 302  # the button pressed twice
    assert course.count() == 1
    page = client.post(answer.url, {"no_lithium": "no", "outcome": "suitable"})
    assert page.status_code == 302 and page.url.endswith("/screening/")
    assert state_of(course.get().id).pre_screened


def test_a_refused_enquiry_keeps_what_was_typed(enter: Enter) -> None:
    page = enter("coordinator").post("/courses/new/", enquiry(phone="", name="Ada Simulated-Longname"))
    assert page.status_code == 409
    assert "no way to reach them" in text(page)
    assert 'value="Ada Simulated-Longname"' in page.content.decode()
    assert CourseRow.objects.count() == 0
    malformed = enter("coordinator").post("/courses/new/", enquiry(born_on="yesterday"))
    assert malformed.status_code == 409 and "is no day" in text(malformed)


def test_who_may_open_a_course(enter: Enter) -> None:
    assert enter("facilitator").get("/courses/new/").status_code == 403
    assert enter("rater").post("/courses/new/", enquiry()).status_code == 403
    assert CourseRow.objects.count() == 0


# ---- the sheet ----------------------------------------------------------------------------------------------


def test_the_sheet_says_what_is_in_the_way_and_leads_to_the_field(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    empty = enter("coordinator").get(f"/course/{course}/screening/")
    assert "Every rule of the protocol will be here" in text(empty)
    facts = {"history": {"stroke": True}, "medications": [{"name": "Gloriazepan"}]}
    screening.record_facts(course=course, facts=facts, by=clinic.staff["physician"], at=clinic.at)
    page = enter("physician").get(f"/course/{course}/screening/")
    words = text(page)
    assert "A stroke or a transient attack in the history excludes" in words
    assert "Stroke or transient ischaemic attack: yes, 2 March 2026" in words
    assert f'href="/course/{course}/facts/#fact-history.seizure_disorder"' in page.content.decode()
    assert f'href="/course/{course}/facts/#fact-medications"' in page.content.decode()
    assert "Let them go on in spite of it" in words
    assert "Let them go on in spite of it" not in text(enter("coordinator").get(f"/course/{course}/screening/"))


def test_an_override_and_its_refusals(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    screening.record_facts(course=course, facts={"history.stroke": True}, by=clinic.staff["physician"], at=clinic.at)
    address, form = f"/course/{course}/screening/", {"form": "override", "rule": "stroke", "reason": "ok"}
    page = enter("physician").post(address, form)
    assert page.status_code == 409 and "it gives no reason" in text(page)
    assert enter("coordinator").post(address, form).status_code == 403
    assert enter("physician").post(address, {**form, "reason": "Ten years ago, mild."}).status_code == 302
    assert "Overridden by Simulated physician north" in text(enter("coordinator").get(address))
    assert "Ten years ago, mild." in text(enter("coordinator").get(address))
    unsigned = enter("physician").post(address, {"form": "sign"})
    assert unsigned.status_code == 409
    assert enter("physician").post(address, {"form": "dance"}).status_code == 409


def test_nobody_from_another_site_or_blinded_sees_the_sheet(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    for page in ("screening", "facts", "consent", "enrolment", "screening/end", "pre-screen"):
        assert enter("investigator", "south").get(f"/course/{course}/{page}/").status_code == 404, page
        assert enter("rater").get(f"/course/{course}/{page}/").status_code == 403, page
        assert Client().get(f"/course/{course}/{page}/").status_code == 302, page


def test_the_screening_is_ended_with_a_coded_reason(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    address, client = f"/course/{course}/screening/end/", enter("coordinator")
    today = CourseRow.objects.get(id=course).opened_at.date().isoformat()
    page = client.post(address, {"reason": "", "on": today, "words": "They moved."})
    assert page.status_code == 409 and "They moved." in page.content.decode()
    assert client.post(address, {"reason": "practical", "on": today, "words": "They moved."}).status_code == 302
    assert "Time, travel, language or support" in text(client.get(f"/course/{course}/screening/"))
    assert "Record facts" not in text(client.get(f"/course/{course}/screening/"))


# ---- the facts ----------------------------------------------------------------------------------------------


def today_of(course: str) -> str:
    return CourseRow.objects.get(id=course).opened_at.date().isoformat()


def test_only_what_was_changed_is_recorded(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    address, client = f"/course/{course}/facts/", enter("physician")
    assert "Epilepsy or a seizure disorder" in text(client.get(address))
    given = {
        "on": today_of(course),
        "source": "asked",
        "history.stroke": "no",
        "history.mania": "unknown",
        "weight_kg": "71,5",
        "diagnoses": ["mdd", "cancer"],
        "diagnoses.text": "insomnia",
        "blood_pressure.systolic_mmhg": ["122", ""],
        "blood_pressure.diastolic_mmhg": ["78", ""],
        "blood_pressure.on": ["", ""],
        "medications.name": ["Sertraline", ""],
        "medications.dose": ["50 mg", ""],
        "medications.started_on": ["", ""],
        "medications.stopped_on": ["2026-01-05", ""],
    }
    assert client.post(address, given).status_code == 302
    known = dict(FactRow.objects.filter(course=course).values_list("name", "value"))
    assert known == {
        "history.stroke": False,
        "weight_kg": 71.5,
        "diagnoses": ["mdd", "cancer", "insomnia"],
        "blood_pressure": [{"systolic_mmhg": 122, "diastolic_mmhg": 78, "on": today_of(course)}],
        "medications": [{"name": "Sertraline", "dose": "50 mg", "stopped_on": "2026-01-05"}],
    }


def test_what_cannot_be_read_is_said_beside_its_field_and_nothing_is_written(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    address, client = f"/course/{course}/facts/", enter("physician")
    before = EventRow.objects.count()
    page = client.post(
        address,
        {
            "on": today_of(course),
            "weight_kg": "heavy",
            "history.stroke": "yes",
            "blood_pressure.systolic_mmhg": ["1200"],
            "blood_pressure.diastolic_mmhg": [""],
            "blood_pressure.on": [""],
        },
    )
    words = text(page)
    assert page.status_code == 409 and "'heavy' is not a number" in words
    assert "one figure of a reading is missing" in words.casefold()
    assert 'value="heavy"' in page.content.decode() and 'value="1200"' in page.content.decode()
    assert 'name="history.stroke" value="yes" checked' in page.content.decode()
    impossible = client.post(address, {"on": today_of(course), "qtcf_ms": "4000"})
    assert impossible.status_code == 409 and "4000 ms cannot be" in text(impossible)
    assert client.post(address, {"on": today_of(course)}).status_code == 409
    assert client.post(address, {"on": "2999-01-01", "qtcf_ms": "400"}).status_code == 409
    assert EventRow.objects.count() == before


# ---- consent ------------------------------------------------------------------------------------------------


def test_consent_from_the_offer_to_the_paper(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    staff, mine = f"/course/{course}/consent/", f"/me/consent/{TREATMENT}/"
    me, team = phone(course, clinic), enter("coordinator")
    assert me.get(mine).status_code == 404
    assert team.post(staff, {"form": "offer", "document": TREATMENT}).status_code == 302
    assert "Read it" in text(me.get("/me/consent/"))
    assert "to say yes or no" in text(me.get("/me/"))
    assert "1 of 8" in text(me.get(mine)) and "On to the questions" in text(me.get(f"{mine}?step=8"))

    answer = {"form": "answer", "step": "questions"}
    wrong = me.post(mine, {**answer, "question": "home", "choice": "I drive"})
    again = me.get(wrong.url)
    assert "Not quite" in text(again) and "You do not drive that day" in text(again)
    assert me.post(mine, {**answer, "question": "home", "choice": ""}).status_code == 409
    for question, right in right_answers(TREATMENT).items():
        assert me.post(mine, {**answer, "question": question, "choice": right}).status_code == 302
    assert "Your signature" in text(me.get(mine))

    sign = {"form": "sign", "step": "sign", "name": NAME}
    unticked = me.post(mine, sign)
    assert unticked.status_code == 409 and f'value="{NAME}"' in unticked.content.decode()
    assert "not the name we know you by" in text(me.post(mine, {**sign, "free": "yes", "name": "Eve"}))
    assert me.post(mine, {**sign, "free": "yes"}).status_code == 302
    assert "You signed this on" in text(me.get(mine))
    assert "to say yes or no" not in text(me.get("/me/"))
    assert f"as {NAME}" in text(team.get(staff))
    assert team.post(staff, {"form": "countersign", "document": TREATMENT}).status_code == 302
    assert state_of(course).consented

    for paper in (team.get(f"{staff}{TREATMENT}/paper.pdf"), me.get(f"{mine}paper.pdf")):
        assert paper["Content-Type"] == "application/pdf" and paper.content.startswith(b"%PDF-")
        assert b"/StructTreeRoot" in inflated(paper.content)
    assert enter("coordinator", "south").get(f"{staff}{TREATMENT}/paper.pdf").status_code == 404
    assert team.get(f"{staff}recording/paper.pdf").status_code == 404


def inflated(pdf: bytes) -> bytes:
    """A PDF with its compressed objects opened."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S)
    opened = []
    for stream in streams:
        try:
            opened.append(zlib.decompress(stream))
        except zlib.error:
            continue
    return pdf + b"".join(opened)


def test_a_participant_takes_consent_back(clinic: Clinic) -> None:
    course = begin(clinic)
    consent(clinic, course)
    me, mine = phone(course, clinic), f"/me/consent/{TREATMENT}/"
    assert "Your other care goes on as before" in text(me.get(f"{mine}?step=stop")).replace("your", "Your")
    assert me.post(mine, {"form": "stop", "step": "stop", "words": "Not for me."}).status_code == 302
    assert "You took your consent back" in text(me.get(mine))
    assert not state_of(course).consented
    again = me.post(mine, {"form": "stop", "step": "stop"})
    assert again.status_code == 409


def test_who_may_not_know_the_name_does_not_read_it_in_the_consent(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    consent(clinic, course)
    for page in (f"/course/{course}/consent/", f"/course/{course}/screening/", f"/course/{course}/enrolment/"):
        assert NAME in text(enter("supervisor").get(page)), page
        assert NAME not in text(enter("data_manager").get(page)), page
    asked: dict[str, Any] = {"course": course, "document": TREATMENT, "at": clinic.at}
    assert queries.signed_paper(by=clinic.staff["supervisor"], **asked).person == NAME
    paper = queries.signed_paper(by=clinic.staff["data_manager"], **asked)
    assert (paper.person, paper.paper.signed_name) == ("NORTH-001", "NORTH-001")


def test_a_document_is_the_participants_own(clinic: Clinic) -> None:
    course, other = begin(clinic), begin(clinic, name="Eve Simulated")
    consent(clinic, course)
    assert phone(other, clinic).get(f"/me/consent/{TREATMENT}/").status_code == 404


# ---- enrolment ----------------------------------------------------------------------------------------------


def test_enrolment_shows_what_it_waits_for(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    address, client = f"/course/{course}/enrolment/", enter("coordinator")
    assert "Not offered" in text(client.get(address)) and "Nothing was judged yet" in text(client.get(address))
    page = client.post(address, {"form": "enrol", "on": today_of(course)})
    assert page.status_code == 409 and "was not offered" in text(page)
    consent(clinic, course)
    physician = clinic.staff["physician"]
    screening.record_facts(course=course, facts=CLEAR_FACTS, by=physician, at=clinic.at)
    screening.sign_verdict(course=course, by=physician, at=clinic.at)
    assert client.post(address, {"form": "enrol", "on": today_of(course)}).status_code == 302
    page = client.post(address, {"form": "allocate"})
    assert page.status_code == 409 and "expectancy was not measured" in text(page)
    assert "Enrolled on 2 March 2026" in text(client.get(address))
    assert client.post(address, {"form": "expectancy"}).status_code == 302
    assert "lies before the participant" in text(client.get(address))


def test_the_sheet_and_the_judgement_agree(clinic: Clinic, enter: Enter) -> None:
    course = begin(clinic)
    screening.record_facts(course=course, facts=CLEAR_FACTS, by=clinic.staff["physician"], at=clinic.at)
    words = text(enter("physician").get(f"/course/{course}/screening/"))
    assert "Nothing keeps the door shut" in words
    clear = FindingRow.objects.filter(course=course, finding="clear").count()
    assert f"{clear} rules found nothing" in words
