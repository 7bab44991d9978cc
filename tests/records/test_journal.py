"""The journal: chains, refusals of the database, idempotence, the tail."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import rfc8785
from django.db import DatabaseError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.domain.events import COLUMNS, Actor, canonical, new_id
from keel.domain.seal import verify_export
from keel.records import journal, keys

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
BY = Actor("staff-1", "coordinator", "north")


def count(state: int | None, event: object) -> int:
    return (state or 0) + 1


def write(stream: str = "note:one", n: int = 1, **more: object) -> list[journal.Recorded]:
    written = []
    for i in range(n):
        with journal.writing(stream) as writing:
            writing.append("noted", {"n": i, "words": "quiet – 静か"}, by=BY, at=NOW, **more)
        written.append(writing.recorded())
    return written


def test_a_written_journal_verifies() -> None:
    write(n=3)
    write("note:two", n=2)
    found = journal.verify()
    assert (found.events, found.streams, found.first_broken, found.unsealed) == (5, 2, None, 5)
    assert journal.seal(NOW) == 2
    assert journal.seal(NOW) == 0
    write(n=1)
    found = journal.verify()
    assert (found.events, found.seals, found.unsealed, found.first_broken) == (6, 1, 1, None)


@pytest.mark.parametrize(
    "statement", ["UPDATE journal_event SET kind = 'x'", "DELETE FROM journal_event", "DELETE FROM journal_seal"]
)
def test_the_database_refuses_to_change_the_journal(statement: str) -> None:
    write()
    journal.seal(NOW)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert journal.verify().first_broken is None


def test_the_same_event_id_gives_the_first_answer() -> None:
    id = new_id()
    first = write(id=id)[0]
    with journal.writing("note:one") as writing:
        assert writing.answered(id)
        again = writing.recorded()
    assert again == replace(first, already=True)
    assert journal.verify().events == 1


def test_an_id_of_another_stream_is_refused() -> None:
    id = new_id()
    write(id=id)
    with pytest.raises(Refused, match="belongs to another entry"), journal.writing("note:two") as writing:
        writing.answered(id)


def test_an_action_without_an_event_is_undone() -> None:
    with pytest.raises(RuntimeError, match="without an event"), journal.writing("note:one"):
        pass
    assert journal.verify().streams == 0


def test_state_is_folded_and_a_rolled_back_one_is_not_served() -> None:
    write(n=2)
    with pytest.raises(ZeroDivisionError), journal.writing("note:one") as writing:
        writing.append("noted", {}, by=BY, at=NOW)
        assert writing.state(count) == 3
        raise ZeroDivisionError
    assert journal.state_of("note:one", count) == 2
    write(n=2)
    assert journal.state_of("note:one", count) == 4


def test_the_tail_resumes_where_it_stopped() -> None:
    write(n=5)
    first = journal.tail(journal.Place(), limit=2)
    if connection.vendor == "sqlite":  # on PostgreSQL the events of this very transaction are not shown yet
        rest = journal.tail(first[-1][0])
        assert [e.position for _, e in first + rest] == [1, 2, 3, 4, 5]
    else:
        assert first == []
    with pytest.raises(Refused, match="no place in the journal"):
        journal.Place.parse("x")


def altered(row: dict, column: str) -> dict:
    value = row[column]
    if isinstance(value, int):
        return {**row, column: value + 1}
    middle = len(value) // 2
    return {**row, column: value[:middle] + ("0" if value[middle] != "0" else "1") + value[middle + 1 :]}


@pytest.mark.parametrize("column", COLUMNS)
def test_an_altered_export_names_the_event(column: str) -> None:
    write(n=4)
    journal.seal(NOW)
    lines = [json.loads(line) for line in journal.export()]
    assert verify_export(map(json.dumps, lines)).first_broken is None
    lines[2]["event"] = altered(lines[2]["event"], column)
    broken = verify_export(map(json.dumps, lines)).first_broken
    assert broken is not None
    # A stream name that was altered is a stream of its own, found at its own first place.
    assert broken.position in (2, 3)


def test_a_shortened_stream_is_found_by_the_seal() -> None:
    """Whoever cuts a chain and mends the heads cannot mend the signed seals."""
    write(n=3)
    journal.seal(NOW)
    header, *rest, _ = [json.loads(line) for line in journal.export()]
    told = [header, *(x for x in rest if x.get("event", {}).get("position") != 3), {"end": {"events": 2, "seals": 1}}]
    broken = verify_export(map(json.dumps, told), keys.public()).first_broken
    assert broken is not None
    assert (broken.stream, broken.position) == ("note:one", 3)


def test_a_cut_export_is_refused() -> None:
    write(n=2)
    lines = list(journal.export())
    with pytest.raises(Refused, match="lines are missing"):
        verify_export(lines[:-2])


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(plain)
def test_canonical_is_rfc_8785(value: object) -> None:
    try:
        expected = rfc8785.dumps(value).decode()
    except (rfc8785.CanonicalizationError, UnicodeEncodeError):
        return
    assert canonical(value) == expected
