"""The participant's door: links, the private journal, a call for help, and being forgotten."""

from __future__ import annotations

from datetime import date

import pytest

from keel.actions import participant, preparation
from keel.domain.access import NOBODY
from keel.domain.errors import Refused
from keel.domain.events import Actor
from keel.queries import account
from keel.records import journal, vault
from keel.records.models import AlertRow, LinkRow, WordsRow
from keel.records.rebuild import rebuild
from tests.clinic import BORN_ON, Clinic, begin, participant_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def ada(clinic: Clinic) -> Actor:
    return participant_of(begin(clinic))


def send(clinic: Clinic, ada: Actor, **more: object) -> participant.Sent:
    return participant.send_link(course=ada.courses[0], by=clinic.staff["coordinator"], at=clinic.at, **more)


def confirm(clinic: Clinic, secret: str, born_on: date = BORN_ON) -> Actor:
    return participant.confirm_link(secret=secret, born_on=born_on, by=NOBODY, at=clinic.at)


def test_a_link_opens_with_the_birth_date(clinic: Clinic, ada: Actor) -> None:
    sent = send(clinic, ada)
    assert confirm(clinic, sent.secret) == ada
    assert sent.secret not in str(journal.events(f"course:{ada.courses[0]}"))
    assert account.link_by_id(sent.link, at=clinic.at) is not None


def test_a_link_that_is_over_or_revoked_or_unknown(clinic: Clinic, ada: Actor) -> None:
    first, second = send(clinic, ada, expires_in_days=1), send(clinic, ada, expires_in_days=3)
    participant.revoke_link(course=ada.courses[0], link=second.link, by=clinic.staff["physician"], at=clinic.at)
    clinic.later(days=1)
    for secret in (first.secret, second.secret, "made-up"):
        with pytest.raises(Refused, match="does not work any more"):
            confirm(clinic, secret)
    assert account.link_by_id(first.link, at=clinic.at) is None
    with pytest.raises(Refused, match="no such link in use"):
        participant.revoke_link(course=ada.courses[0], link=second.link, by=clinic.staff["physician"], at=clinic.at)
    with pytest.raises(Refused, match="not between 1 and 400"):
        send(clinic, ada, expires_in_days=0)
    with pytest.raises(Refused, match="no such course"):
        participant.send_link(course=ada.courses[0], by=clinic.elsewhere["coordinator"], at=clinic.at)


def test_the_fifth_wrong_birth_date_revokes_the_link(clinic: Clinic, ada: Actor) -> None:
    sent = send(clinic, ada)
    for left in (4, 3, 2, 1):
        with pytest.raises(Refused, match=f"try {left} more time"):
            confirm(clinic, sent.secret, date(1990, 1, 1))
    with pytest.raises(Refused, match="does not work any more"):
        confirm(clinic, sent.secret, date(1990, 1, 1))
    with pytest.raises(Refused, match="does not work any more"):
        confirm(clinic, sent.secret)
    assert LinkRow.objects.get().revoked_at == clinic.at
    last = journal.events(f"course:{ada.courses[0]}")[-1]
    assert (last.kind, last.payload["because"]) == ("link_revoked", "wrong_detail")


def test_the_journal_is_private_until_a_page_is_shared(clinic: Clinic, ada: Actor) -> None:
    course = ada.courses[0]
    pages = [participant.write_journal(course=course, words=words, by=ada, at=clinic.at).id for words in ("One", "Two")]
    participant.share_journal(course=course, entry=pages[1], shared=True, by=ada, at=clinic.at)
    assert dict(WordsRow.objects.values_list("id", "shared")) == {pages[0]: False, pages[1]: True}
    participant.share_journal(course=course, entry=pages[1], shared=False, by=ada, at=clinic.at)
    assert not WordsRow.objects.filter(shared=True).exists()
    eve = participant_of(begin(clinic, name="Eve Simulated"))
    with pytest.raises(Refused, match="no such course"):
        participant.share_journal(course=course, entry=pages[0], shared=True, by=eve, at=clinic.at)
    with pytest.raises(Refused, match="no such page"):
        participant.share_journal(course=eve.courses[0], entry=pages[0], shared=True, by=eve, at=clinic.at)
    with pytest.raises(Refused, match="may not"):
        participant.share_journal(
            course=course, entry=pages[0], shared=True, by=clinic.staff["physician"], at=clinic.at
        )
    with pytest.raises(Refused, match="no words yet"):
        participant.write_journal(course=course, words="  ", by=ada, at=clinic.at)


def test_what_the_participant_brings_to_preparation(clinic: Clinic, ada: Actor) -> None:
    course = ada.courses[0]
    given = {"course": course, "by": ada, "at": clinic.at}
    preparation.set_intention(**given, words="To be kinder to myself")
    preparation.note_fears(**given, words="That it never ends")
    preparation.name_support_person(**given, words="Sim Ulated, +44 20 7946 0001")
    preparation.confirm_ride_home(**given, confirmed=True, words="Sim Ulated")
    kinds = list(WordsRow.objects.order_by("at", "id").values_list("kind", flat=True))
    assert kinds == ["intention_set", "fear_noted", "support_person_named", "ride_home_confirmed"]
    assert "kinder" not in str([e.payload for e in journal.events(f"course:{course}")])
    with pytest.raises(Refused, match="no words"):
        preparation.set_intention(**given, words=" ")


def test_a_call_for_help_rings_once_and_again_when_nobody_comes(clinic: Clinic, ada: Actor) -> None:
    course = ada.courses[0]
    first = participant.ask_for_help(course=course, by=ada, at=clinic.at)
    again = participant.ask_for_help(course=course, by=ada, at=clinic.later(minutes=2))
    assert (again.already, again.payload["alert"]) == (True, first.payload["alert"])
    participant.ask_for_help(course=course, by=ada, at=clinic.later(minutes=20))
    assert list(AlertRow.objects.values_list("level", flat=True)) == ["urgent", "urgent"]


def test_an_erased_person_leaves_a_chain_without_words(clinic: Clinic, ada: Actor) -> None:
    course = ada.courses[0]
    sent = send(clinic, ada)
    preparation.set_intention(course=course, words="To be kinder", by=ada, at=clinic.at)
    with pytest.raises(Refused, match="may not"):
        participant.erase_person(course=course, because="asked", by=clinic.staff["coordinator"], at=clinic.at)
    with pytest.raises(Refused, match="no such course"):
        participant.erase_person(course=course, because="asked", by=clinic.elsewhere["data_manager"], at=clinic.at)
    with pytest.raises(Refused, match="no reason we know"):
        participant.erase_person(course=course, because="whim", by=clinic.staff["data_manager"], at=clinic.at)
    participant.erase_person(course=course, because="asked", by=clinic.staff["data_manager"], at=clinic.at)
    assert vault.identity(ada.id) is None
    assert vault.opener(ada.id)(WordsRow.objects.get().words) == "[erased]"
    assert journal.verify().first_broken is None and not rebuild(keep=False).different
    with pytest.raises(Refused, match="does not work any more"):
        confirm(clinic, sent.secret)
    with pytest.raises(Refused, match="was erased"):
        participant.write_journal(course=course, words="More", by=ada, at=clinic.at)
