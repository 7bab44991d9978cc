"""Whoever gets past the triggers is found: any byte of any event, of any seal, of any head."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from keel.cli import demo
from keel.domain.events import COLUMNS
from keel.records import journal
from keel.records.models import EventRow, HeadRow, SealRow

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


@pytest.fixture
def unguarded(db: None) -> Iterator[None]:
    """A lived record, sealed, with its triggers taken off: what an attacker who owns the database has."""
    demo.fill(people=1, groups=False, now=NOW)
    journal.seal(NOW)
    assert journal.verify().first_broken is None
    with connection.cursor() as cursor:
        for table in ("journal_event", "journal_seal"):
            if connection.vendor == "sqlite":
                for verb in ("update", "delete"):
                    cursor.execute(f"DROP TRIGGER {table}_no_{verb}")
            else:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    yield


def undone(change: object) -> object:
    """Run a change, verify, and take it back."""
    with transaction.atomic():
        change()
        found = journal.verify().first_broken
        transaction.set_rollback(True)
    return found


def test_any_byte_of_any_event_is_found_and_the_event_named(unguarded: None) -> None:
    chance = random.Random(20261121)
    events = list(EventRow.objects.order_by("seq"))
    for column in COLUMNS:
        for event in chance.sample(events, 5):
            value = getattr(event, column)
            if isinstance(value, int):
                other: object = value + chance.choice((1000, 777))  # a place that is taken the database itself refuses
            else:
                at = chance.randrange(len(value))
                letter = chance.choice([c for c in "0a{}:\"' é" if c != value[at]])
                other = value[:at] + letter + value[at + 1 :]
            found = undone(lambda e=event, c=column, o=other: EventRow.objects.filter(seq=e.seq).update(**{c: o}))
            assert found is not None, f"{column} of {event.stream} {event.position} was altered and not found"
            if column not in ("stream", "position"):  # these two move the event to another place
                assert (found.stream, found.position) == (event.stream, event.position), (column, found)


def test_an_event_that_is_gone_or_moved_is_found(unguarded: None) -> None:
    chance = random.Random(7)
    for event in chance.sample(list(EventRow.objects.order_by("seq")), 8):
        assert undone(lambda e=event: EventRow.objects.filter(seq=e.seq).delete()) is not None
    longest = EventRow.objects.filter(stream__startswith="course:").order_by("-position").first()
    assert longest is not None
    stream = EventRow.objects.filter(stream=longest.stream)

    def cut_and_mend() -> None:
        """Cut the end of a stream off and mend its head, as somebody who knows the format would."""
        last = stream.get(position=longest.position - 1)
        stream.filter(position=longest.position).delete()
        HeadRow.objects.filter(stream=longest.stream).update(position=last.position, hash=last.hash)

    found = undone(cut_and_mend)
    assert found is not None and "seal" in found.why


def test_a_seal_or_a_head_that_was_altered_is_found(unguarded: None) -> None:
    seal = SealRow.objects.get(number=1)
    for column, other in (
        ("heads", seal.heads[:-2] + "0]"),
        ("sealed_at", "2020-01-01T00:00:00.000000Z"),
        ("signature", "0" * 128),
    ):
        assert undone(lambda c=column, o=other: SealRow.objects.filter(number=1).update(**{c: o})) is not None
    head = HeadRow.objects.order_by("stream").first()
    assert head is not None
    assert undone(lambda: HeadRow.objects.filter(stream=head.stream).update(position=head.position + 1)) is not None
    assert undone(lambda: HeadRow.objects.filter(stream=head.stream).update(hash="0" * 64)) is not None
