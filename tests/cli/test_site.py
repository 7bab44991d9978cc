"""A house from nothing: its site, its first person and a study, by command."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.test import Client

from keel.cli import main
from keel.records import journal
from keel.records.rebuild import rebuild

pytestmark = [pytest.mark.database, pytest.mark.django_db]

SITE = ["--name", "North clinic", "--country", "DE", "--timezone", "Europe/Berlin"]
LEAD = ["--lead", "A. Lead", "--email", "lead@north.example"]
STUDY = ["--title", "Our study", "--protocol", "davis-2021", "--site", "north", "--document", "treatment-psilocybin"]


def _open(monkeypatch: pytest.MonkeyPatch, *changes: str, password: str = "a-long-first-password") -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return main(["site", "open", "north", *SITE, *LEAD, "--password-stdin", *changes])


def test_a_house_begins_by_command_and_its_lead_admits_the_next(monkeypatch: Any, capsys: Any, client: Client) -> None:
    assert _open(monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["new"] == ["site", "account", "role"]
    assert main(["study", "open", "mood", *STUDY]) == 0
    before = journal.verify().events

    assert _open(monkeypatch, password="another-password") == 0  # what stands already stays, the password too
    assert json.loads(capsys.readouterr().out.partition("}\n")[2])["new"] == []
    assert main(["study", "open", "mood", *STUDY]) == 0
    assert json.loads(capsys.readouterr().out)["new"] is False
    assert journal.verify().events == before
    assert rebuild(keep=False).different == {}

    signed = client.post("/account/login/", {"login": "lead@north.example", "password": "a-long-first-password"})
    assert signed.status_code == 302
    asked = {"form": "admit", "name": "B. Next", "email": "next@north.example", "role": "coordinator"}
    assert client.post("/team/", {**asked, "password": "first-of-the-next"}).status_code == 302
    assert "B. Next" in client.get("/team/").text
    assert client.get("/study/mood/").status_code == 200


def test_without_a_terminal_the_password_is_made_and_said_once(monkeypatch: Any, capsys: Any, client: Client) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(["site", "open", "north", *SITE, *LEAD]) == 0
    told = capsys.readouterr()
    password = told.err.partition("shown this once: ")[2].split()[0]
    assert password not in told.out
    assert client.login(email="lead@north.example", password=password)


@pytest.mark.parametrize(
    ("changes", "password", "why"),
    [
        (["--timezone", "Europe/Pari"], "", "'Europe/Pari' is no time zone"),
        (["--country", "Germany"], "", "'Germany' is no code of a country"),
        (["--jurisdiction", "atlantis"], "", "no shelf has rules for 'atlantis'"),
        (["--role", "rater"], "", "nobody could be admitted by its first person"),
        (["--email", "lead"], "", "that is no e-mail address"),
        ([], "short", "the password is shorter than 12 characters"),
        ([], "password1234", "the password is one that many people use"),
    ],
)
def test_a_site_that_is_refused_leaves_nothing(
    monkeypatch: Any, capsys: Any, changes: list[str], password: str, why: str
) -> None:
    assert _open(monkeypatch, *changes, password=password or "a-long-first-password") == 1
    assert why in capsys.readouterr().err
    assert journal.verify().events == 0


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["site", "open", "north", *SITE, *LEAD, "--timezone", "Europe/Paris"], "is open with timezone Europe/Berlin"),
        (["study", "open", "mood", *STUDY, "--title", "Another"], "there is another of that name"),
        (["study", "open", "next", *STUDY, "--protocol", "davis-2020"], "no protocol called 'davis-2020'"),
        (["study", "open", "next", *STUDY, "--site", "south"], "there is no site south"),
    ],
)
def test_other_words_than_those_that_stand_are_refused(monkeypatch: Any, capsys: Any, command: Any, why: str) -> None:
    assert _open(monkeypatch) == 0
    assert main(["study", "open", "mood", *STUDY]) == 0
    before = journal.verify().events
    assert main(command) == 1
    assert why in capsys.readouterr().err
    assert journal.verify().events == before
