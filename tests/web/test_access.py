"""Every page × every role × the other site, walked from the URL table: a new page cannot be forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from keel.actions import participant as participants
from keel.actions import team
from keel.cli import demo
from keel.domain import access
from keel.domain.access import SYSTEM
from keel.domain.events import Actor
from keel.records import vault
from keel.records.models import Account, AlertRow, CourseRow, DayRow, MembershipRow, ResponseRow, WordsRow
from keel.web.urls import urlpatterns

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime.now(UTC)

# Pages without a row in the access table, each with its reason.
OPEN = {
    "account_login": "signing in",
    "account_logout": "signing out",
    "account_reauthenticate": "signing in again",
    "account_change_password": "one's own password",
}


@dataclass
class World:
    """One course at one site with something of everything, staff in every role at two sites, and another participant."""

    course: CourseRow
    values: dict[str, str]
    here: dict[str, Account]
    elsewhere: dict[str, Account]
    mine: Client
    someone_else: Client
    private: tuple[str, ...]


def world() -> World:
    demo.fill(people=2, groups=False, now=NOW)
    course = CourseRow.objects.filter(study="mood").exclude(enrolled_on=None).order_by("opened_at").first()
    assert course is not None
    other = CourseRow.objects.filter(study="mood").exclude(id=course.id).order_by("opened_at").first()
    assert other is not None
    here = {row.role: Account.objects.get(id=row.staff) for row in MembershipRow.objects.filter(site=demo.SITE)}
    elsewhere = {}
    for role in sorted(access.STAFF):
        email = f"{role}@elsewhere.example"
        staff = team.admit(email=email, name=f"Elsewhere {role}", password=demo.PASSWORD, by=SYSTEM, at=NOW)
        team.grant(staff=staff, site=demo.OTHER, role=role, by=SYSTEM, at=NOW)
        elsewhere[role] = Account.objects.get(id=staff)
    identity = vault.identity(course.participant)
    assert identity is not None
    response = ResponseRow.objects.filter(course=course.id, respondent="participant").exclude(completed_at=None).first()
    day = DayRow.objects.filter(course=course.id).order_by("on").first()
    assert response is not None and day is not None
    alert = AlertRow.objects.first()
    words = WordsRow.objects.filter(course=course.id).first()
    values = {
        "course": course.id,
        "visit": "baseline",
        "response": response.id,
        "instrument": "phq-9",
        "study": course.study,
        "session": day.session,
        "document": "treatment-psilocybin",
        "alert": alert.id if alert else "-",
        "entry": words.id if words else "-",
        "rule": "lithium",
        "report": "-",
        "asked": "consort",
    }
    return World(course, values, here, elsewhere, linked(course), linked(other), (identity.name, course.code))


def linked(course: CourseRow) -> Client:
    """A browser in which this participant's link was opened and confirmed."""
    staff = MembershipRow.objects.filter(site=course.site, role="coordinator").first()
    assert staff is not None
    sent = participants.send_link(course=course.id, by=Actor(staff.staff, "coordinator", course.site), at=NOW)
    identity = vault.identity(course.participant)
    assert identity is not None
    client = Client()
    born = {"year": identity.born_on.year, "month": identity.born_on.month, "day": identity.born_on.day}
    answer = client.post(reverse("open_link", kwargs={"secret": sent.secret}), born)
    assert answer.status_code == 302, answer.content[:300]
    return client


def pages() -> Iterator[URLPattern]:
    for pattern in urlpatterns:
        if isinstance(pattern, URLResolver):
            assert str(pattern.pattern) == "account/2fa/", "a new include needs a reason here"
        else:
            yield pattern


def doors() -> Iterator[URLPattern]:
    """The pages that not everybody may open."""
    return (p for p in pages() if p.name not in OPEN and not p.callback.open_to_all)


def address(pattern: URLPattern, values: dict[str, str]) -> str:
    wanted = pattern.pattern.converters
    missing = set(wanted) - set(values)
    assert not missing, f"the access test has no value for {missing} of {pattern.name}: add one to its world"
    return reverse(pattern.name, kwargs={name: values[name] for name in wanted})


def signed_in(account: Account) -> Client:
    client = Client()
    client.force_login(account, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def ask(client: Client, view: Any, url: str) -> tuple[int, str]:
    answer = client.get(url) if "GET" in view.methods else client.post(url, {})
    return answer.status_code, b"".join(answer).decode(errors="replace") if answer.streaming else answer.content.decode(
        errors="replace"
    )


def test_every_page_names_its_row_or_its_reason() -> None:
    for pattern in pages():
        door = getattr(pattern.callback, "door", None)
        assert (door in access.TABLE) != (pattern.name in OPEN), f"{pattern.name} has neither a row nor a reason"
    assert {p.name for p in pages() if getattr(p.callback, "open_to_all", False)} == {
        "open_link",
        "link_over",
        "help_now",
        "concern",
        "worker",
    }


def test_every_page_lets_in_whom_the_table_lets_in_and_nobody_else() -> None:
    at = world()
    walked = 0
    for pattern in doors():
        view = pattern.callback
        url = address(pattern, at.values)
        allowed = access.TABLE[view.door].roles
        about_course = bool(set(pattern.pattern.converters) - {"study"})
        for role in sorted(access.STAFF):
            walked += 2
            status, text = ask(signed_in(at.here[role]), view, url)
            if view.open_to_links:  # the participant's own pages are nobody else's, whatever one may do elsewhere
                assert status in (302, 403, 404, 409), f"{role} at {url}: {status}"
            elif role in allowed:
                assert status in (200, 302, 400, 409) or (status == 404 and role == "rater"), (
                    f"{role} at {url}: {status} {text[:400]}"
                )
            else:
                assert status == 403, f"{role} at {url}: {status}"
            status, text = ask(signed_in(at.elsewhere[role]), view, url)
            if view.open_to_links:
                assert status in (302, 403, 404, 409), f"{role} of the other site at {url}: {status}"
            elif role not in allowed:
                assert status == 403, f"{role} of the other site at {url}: {status}"
            elif about_course:
                assert status == 404, f"{role} of the other site at {url}: {status}"
            for private in at.private:
                assert private not in text, f"{role} of the other site reads {private} at {url}"
        status, _ = ask(Client(), view, url)
        assert status == 302, f"nobody at {url}: {status}"
    assert walked > 200


def test_a_participant_sees_their_own_and_nothing_else() -> None:
    at = world()
    for pattern in doors():
        view = pattern.callback
        url = address(pattern, at.values)
        status, _ = ask(at.mine, view, url)
        if view.open_to_links and "participant" in access.TABLE[view.door].roles:
            assert status in (200, 302, 400, 404, 409), f"the participant at {url}: {status}"
            status, text = ask(at.someone_else, view, url)
            if set(pattern.pattern.converters) & {"response", "course", "entry"}:
                assert status in (404, 409), f"another participant at {url}: {status}"
            for private in at.private:
                assert private not in text, f"another participant reads {private} at {url}"
        else:
            assert status in (302, 403), f"the participant at {url}: {status}"


def test_a_rater_reads_neither_arm_nor_session() -> None:
    at = world()
    client = signed_in(at.here["rater"])
    told = 0
    for pattern in doors():
        view = pattern.callback
        if "rater" not in access.TABLE[view.door].roles or "GET" not in view.methods:
            continue
        if pattern.name == "study":
            continue  # the protocol as it was published: the same for every course
        status, text = ask(client, view, address(pattern, at.values))
        if status == 200:
            told += 1
            for word in (
                "Immediate treatment",
                "Delayed treatment",
                "Session 1",
                "session-1",
                "Dosing day",
                "Waiting: week",
            ):
                assert word not in text, f"the rater reads {word!r} at {pattern.name}"
    assert told >= 5
