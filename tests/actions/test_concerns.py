"""The letter box: what is put in leaves no trace that anybody of the site could read, in whatever role they come."""

from __future__ import annotations

import base64
import gzip
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import DatabaseError, connection, transaction
from django.test import Client

from keel.actions import concerns as act
from keel.cli import concerns as command
from keel.domain.access import NOBODY, SYSTEM
from keel.domain.errors import Refused
from keel.domain.events import Actor
from keel.domain.sealed_box import BOX_BYTES, make_pair, open_box, seal
from keel.queries import concerns as ask
from keel.queries import live
from keel.records import backup, journal, keys
from keel.records.journal import Place
from keel.records.models import EventRow
from keel.records.rebuild import rebuild
from keel.web.live.stream import Listener
from keel.web.safety import concern as web
from tests.clinic import Clinic
from tests.web.test_access import linked, signed_in
from tests.world import NOW, address, pages, small_world

pytestmark = [pytest.mark.database, pytest.mark.django_db]

WORDS = "Zirkonzange: the administrator of this clinic did it, and Ada knows"
ABOUT = "Harbour clinic, its administrator Quastenflosser"
TRACES = ("Zirkonzange", "Quastenflosser", "tel 4711")
LEAD = "Dr Outside, +44 20 7946 0999"


@pytest.fixture
def lead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The lead's key, made by the command; the letter box of this site is open for it."""
    path = tmp_path / "lead.key"
    assert command.run("concerns", ["init", "--key", str(path)]) == 0
    public = json.loads(capsys.readouterr().out)["public_key"]
    act.open_letter_box(public=bytes.fromhex(public), lead=LEAD, by=SYSTEM, at=NOW)
    web._last.clear()
    return path


def private(path: Path) -> bytes:
    return bytes.fromhex(path.read_text())


def letters(path: Path, *more: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    assert command.run("concerns", ["read", "--key", str(path), *more]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def put_in(by: Actor) -> None:
    act.file_concern(words=WORDS, about=ABOUT, reach="tel 4711", by=by, at=NOW)


def test_everybody_may_put_in_and_only_the_lead_reads(
    clinic: Clinic, lead: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for by in (*clinic.staff.values(), NOBODY, Actor("gone", "none", "-")):
        put_in(by)
    found = letters(lead, capsys=capsys)
    assert len(found) == len(clinic.staff) + 2
    assert {one["words"] for one in found} == {WORDS} and found[0]["reach"] == "tel 4711"
    export = tmp_path / "journal.jsonl"
    export.write_text("".join(journal.export()))
    assert letters(lead, str(export), capsys=capsys) == found
    other = tmp_path / "other.key"
    other.write_text(make_pair()[0].hex())
    with pytest.raises(Refused, match="no item was sealed for this key"):
        command.run("concerns", ["read", "--key", str(other)])
    other.write_text("a word")
    with pytest.raises(Refused, match="holds no private key"):
        command.run("concerns", ["read", "--key", str(other)])


def test_a_letter_and_a_cover_are_the_same_to_look_at(clinic: Clinic, lead: Path) -> None:
    act.post_cover(by=SYSTEM, at=NOW)
    put_in(clinic.staff["facilitator"])
    act.post_cover(by=SYSTEM, at=NOW)
    events = journal.events(ask.ITEMS)
    assert len(events) == 4  # the box was opened with a cover
    shapes = {
        (e.kind, e.version, json.dumps(e.by, sort_keys=True), tuple(e.payload), len(base64.b64decode(e.payload["box"])))
        for e in events
    }
    assert shapes == {("item_sealed", 1, json.dumps(SYSTEM.as_json(), sort_keys=True), ("box",), BOX_BYTES)}
    opened = [open_box(base64.b64decode(e.payload["box"]), private(lead)) for e in events]
    assert [bool(said) for said in opened] == [False, False, True, False]
    assert journal.verify().first_broken is None and not rebuild(keep=False).different


@pytest.mark.parametrize(
    ("given", "why"), [({"words": " "}, "no words yet"), ({"words": "ü" * 2100}, "bytes too long for one letter")]
)
def test_what_is_refused_leaves_nothing(clinic: Clinic, lead: Path, given: dict[str, str], why: str) -> None:
    before = EventRow.objects.count()
    with pytest.raises(Refused, match=why):
        act.file_concern(**given, by=clinic.staff["rater"], at=NOW)
    assert EventRow.objects.count() == before


def test_without_a_key_nothing_is_taken(clinic: Clinic) -> None:
    assert act.post_cover(by=SYSTEM, at=NOW) is False
    with pytest.raises(Refused, match="nobody outside the team holds a key"):
        put_in(NOBODY)
    assert "not open yet" in Client().get("/concern/").content.decode()
    with pytest.raises(Refused, match="may not"):
        act.open_letter_box(public=make_pair()[1], lead=LEAD, by=clinic.staff["investigator"], at=NOW)
    with pytest.raises(Refused, match="no public key"):
        act.open_letter_box(public=b"short", lead=LEAD, by=SYSTEM, at=NOW)


def test_the_lead_s_key_is_never_made_in_the_site_s_own_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lead: Path
) -> None:
    monkeypatch.setenv("KEEL_HOME", str(tmp_path / "site"))
    with pytest.raises(Refused, match="site's own folder"):
        command.run("concerns", ["init", "--key", str(tmp_path / "site" / "keys" / "lead.key")])
    with pytest.raises(Refused, match="is there already"):
        command.run("concerns", ["init", "--key", str(lead)])


def test_no_role_of_the_site_finds_a_trace(
    lead: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    at = small_world()
    mine, someone_else = linked(at.link, at.born), linked(at.others_link, at.others_born)
    writer = signed_in(at.here["facilitator"])
    sessions = set(Session.objects.values_list("session_key", "session_data"))
    body = {"words": WORDS, "about": ABOUT, "reach": "tel 4711"}
    for client in (writer, mine, Client()):
        web._last.clear()
        answer = client.post("/concern/", body)
        assert (answer.status_code, answer.url) == (302, "/concern/?kept")
    assert set(Session.objects.values_list("session_key", "session_data")) == sessions
    wrong = writer.post("/concern/", {**body, "words": ""})  # too soon: refused, and the log does not hear of it
    assert wrong.status_code == 200 and "Quastenflosser" in wrong.content.decode()

    # Pages, by every role of the site and of the other, the participants, and nobody.
    everyone = [signed_in(who) for who in (*at.here.values(), *at.elsewhere.values())]
    walked = 0
    for client in (*everyone, mine, someone_else, Client()):
        for text in _pages(client, at.values):
            walked += 1
            assert not any(trace in text for trace in TRACES)
            assert "item_sealed" not in text and "sealed:items" not in text
    assert walked > 500

    # The export, the database as a whole, the backup opened with the site's own key, the live tail, the logs.
    assert len(letters(lead, capsys=capsys)) == 3
    _silent("".join(journal.export()))
    for table in connection.introspection.table_names():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{table}"')
            for row in cursor.fetchall():
                _silent(
                    " ".join(bytes(v).decode("latin-1") if isinstance(v, bytes | memoryview) else str(v) for v in row)
                )
    kept = tmp_path / "backup.gz"
    backup.write(kept)
    _silent(gzip.decompress(kept.read_bytes()).decode())
    for event in journal.events(ask.ITEMS):
        box = base64.b64decode(event.payload["box"])
        with pytest.raises(InvalidTag):
            keys.unwrap(box, ask.ITEMS)
        for key in Path(settings.KEYS).iterdir():
            secret = key.read_bytes()
            assert len(secret) != 32 or open_box(box, secret) is None
    assert private(lead) not in {key.read_bytes() for key in Path(settings.KEYS).iterdir()}
    told = [said for _, said in live.read_tail(Place()) if said["kind"] == "item_sealed"]
    streams = frozenset({f"course:{at.course.id}", f"alerts:{at.course.site}", f"site:{at.course.site}"})
    assert not any(Listener(streams).hears(said) for said in told)
    for record in caplog.records:
        _silent(record.getMessage())
    handler = settings.LOGGING["filters"]["discreet"]["callback"]
    assert not handler(logging.makeLogRecord({"msg": "Not Found: /concern/x"}))
    assert handler(logging.makeLogRecord({"msg": "Not Found: /course/x"}))


def _silent(text: str) -> None:
    for trace in TRACES:
        assert trace not in text
        assert base64.b64encode(trace.encode()).decode().rstrip("=")[:-2] not in text


def _pages(client: Client, values: dict[str, str]) -> Iterator[str]:
    for pattern in pages():
        if "GET" in getattr(pattern.callback, "methods", ()) and set(pattern.pattern.converters) <= set(values):
            answer = client.get(address(pattern, values))
            if not answer.streaming:
                yield answer.content.decode(errors="replace")


@pytest.mark.parametrize("statement", ["DELETE FROM journal_event", "UPDATE journal_event SET payload = '{}'"])
def test_nobody_takes_a_letter_out(clinic: Clinic, lead: Path, statement: str) -> None:
    put_in(clinic.staff["physician"])
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{statement} WHERE stream = '{ask.ITEMS}'")
    assert open_box(base64.b64decode(journal.events(ask.ITEMS)[-1].payload["box"]), private(lead))


def test_a_box_that_was_changed_is_no_letter() -> None:
    key, public = make_pair()
    box = seal({"words": "x"}, public)
    assert open_box(box, key) == {"words": "x"} and open_box(seal({}, public), key) == {}
    assert open_box(box[:-1] + bytes([box[-1] ^ 1]), key) is None and open_box(box[:-1], key) is None
    assert seal({"words": "x"}, public) != box
