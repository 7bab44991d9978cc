"""Every page × every role × the other site, walked from the URL table: a new page cannot be forgotten."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from keel.cli import demo
from keel.domain import access
from keel.domain.events import Actor
from keel.queries import blinding
from keel.records.models import Account
from tests.world import OPEN, address, doors, pages, small_world

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def linked(link: str, born: dict[str, int]) -> Client:
    """A browser in which a participant's link was opened and confirmed."""
    client = Client()
    answer = client.post(link, born)
    assert answer.status_code == 302, answer.content[:300]
    return client


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
    at = small_world()
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
                # An empty message may be refused for its form before anything is looked up: that tells nothing either.
                expected = {404} if "GET" in view.methods else {404, 409}
                assert status in expected, f"{role} of the other site at {url}: {status}"
            for private in at.private:
                assert private not in text, f"{role} of the other site reads {private} at {url}"
        status, _ = ask(Client(), view, url)
        assert status == 302, f"nobody at {url}: {status}"
    assert walked > 200


def test_a_participant_sees_their_own_and_nothing_else() -> None:
    at = small_world()
    mine, someone_else = linked(at.link, at.born), linked(at.others_link, at.others_born)
    for pattern in doors():
        view = pattern.callback
        url = address(pattern, at.values)
        status, _ = ask(mine, view, url)
        if view.open_to_links and "participant" in access.TABLE[view.door].roles:
            assert status in (200, 302, 400, 404, 409), f"the participant at {url}: {status}"
            status, text = ask(someone_else, view, url)
            if set(pattern.pattern.converters) & {"response", "course", "entry"}:
                assert status in (404, 409), f"another participant at {url}: {status}"
            for private in at.private:
                assert private not in text, f"another participant reads {private} at {url}"
        else:
            assert status in (302, 403), f"the participant at {url}: {status}"


def test_a_rater_reads_neither_arm_nor_session() -> None:
    at = small_world()
    client = signed_in(at.here["rater"])
    rater = Actor(at.here["rater"].id, "rater", demo.SITE)
    signs = {**at.values, "visit": blinding.sign(at.course.id, "baseline", rater)}
    told = 0
    for pattern in doors():
        view = pattern.callback
        if "rater" not in access.TABLE[view.door].roles or "GET" not in view.methods:
            continue
        if pattern.name in ("study", "shelf"):
            continue  # the protocol as it was published, the instruments: the same for every course
        if "visit" in pattern.pattern.converters:
            assert ask(client, view, address(pattern, at.values))[0] == 404, f"the rater opens {pattern.name} by its id"
        status, text = ask(client, view, address(pattern, signs))
        if status == 200:
            told += 1
            assert not re.findall(r"/visit/(?!rating-[0-9a-f]{16}/)", text), (
                f"an address tells the visit: {pattern.name}"
            )
            for word in (
                "Follow-up",
                "Integration",
                "Rating 1",
                "Immediate treatment",
                "Delayed treatment",
                "Session 1",
                "session-1",
                "Dosing day",
                "Waiting: week",
            ):
                assert word not in text, f"the rater reads {word!r} at {pattern.name}"
    assert told >= 5
