"""Random lives: any interleaving of the streams gives the same tables, and a replayed request changes nothing."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keel.actions import screening
from keel.cli import demo
from keel.domain.events import Event
from keel.records import journal
from keel.records.models import CourseRow, EventRow
from keel.records.projections import project
from keel.records.rebuild import read_models, rows

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


def tables() -> dict[str, list[dict[str, Any]]]:
    return {model._meta.db_table: list(rows(model)) for model in read_models()}


def replay(events: list[Event]) -> dict[str, list[dict[str, Any]]]:
    with connection.cursor() as cursor:
        for model in read_models():
            cursor.execute(f'DELETE FROM "{model._meta.db_table}"')
    for event in events:
        project(event)
    return tables()


def interleaved(streams: dict[str, list[Event]], chance: random.Random) -> list[Event]:
    """Every stream in its own order, the streams shuffled into each other."""
    waiting = {name: iter(events) for name, events in streams.items()}
    order = [name for name, events in streams.items() for _ in events]
    chance.shuffle(order)
    return [next(waiting[name]) for name in order]


def test_any_interleaving_of_the_streams_gives_the_same_tables() -> None:
    demo.fill(people=4, groups=False, now=NOW)
    streams: dict[str, list[Event]] = defaultdict(list)
    for event in journal.all_events():
        streams[event.stream].append(event)
    assert len(streams) > 10
    expected = tables()

    @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32))
    def the_same(seed: int) -> None:
        assert replay(interleaved(streams, random.Random(seed))) == expected

    the_same()


def test_a_replayed_request_changes_nothing() -> None:
    demo.fill(people=1, groups=False, now=NOW)
    course = CourseRow.objects.get()
    before, events = tables(), EventRow.objects.count()
    firsts = {}
    for event in journal.events(f"course:{course.id}"):
        firsts.setdefault(event.kind, event)
    by = next(iter(demo.actors(course.site, "coordinator")))
    opened = firsts["course_opened"]
    again = screening.pre_screen(
        course=course.id, answers={}, outcome="suitable", by=by, at=NOW, id=firsts["pre_screened"].id
    )
    assert again.already and again.payload == firsts["pre_screened"].payload
    again = screening.enrol(course=course.id, by=by, at=NOW, id=firsts["enrolled"].id)
    assert again.already and again.position == firsts["enrolled"].position
    assert opened.position == 1
    assert (tables(), EventRow.objects.count()) == (before, events)
