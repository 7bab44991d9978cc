"""Triage of the C-SSRS screener: published levels, three-valued, against a slow referee."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.suicidality import ITEMS, LEVELS, WHEN, triage


def named(**answers: bool | None) -> dict[str, bool | None]:
    return answers


@pytest.mark.parametrize(
    ("answers", "when", "level"),
    [
        (named(q1=True, q2=True, q3=False, q4=False, q5=False, q6=False), None, "low"),
        (named(q1=True, q2=True, q3=True, q4=True), None, "high"),
        (named(q1=False, q2=False), None, "unknown"),
        (named(q1=True, q2=True, q3=False, q5=False, q6=False), None, "unknown"),
        (named(q1=False, q2=False, q6=False), None, "none"),
        (named(q1=False, q2=False, q6=True), "past_3_months", "high"),
        (named(q1=False, q2=False, q6=True), "lifetime", "moderate"),
        (named(q1=False, q2=False, q6=True), None, "unknown"),
        (named(q1=True, q2=True, q3=True, q4=False, q5=False, q6=False), None, "moderate"),
        (named(q5=True), None, "high"),
        (named(), None, "unknown"),
    ],
)
def test_the_published_examples(answers: dict[str, bool | None], when: str | None, level: str) -> None:
    assert triage(answers, when).level == level


answer = st.sampled_from([True, False, None])


@settings(deadline=None)
@given(st.tuples(*(answer for _ in ITEMS)), st.sampled_from([None, *WHEN]))
def test_what_is_possible_is_what_some_answer_would_give(row: tuple[bool | None, ...], when: str | None) -> None:
    """The referee fills every blank in every way and asks for the level of each complete screen."""
    answers = dict(zip(ITEMS, row, strict=True))
    if answers["q2"] is False:
        answers |= {item: False for item in ("q3", "q4", "q5") if answers[item] is None}
    blanks = [item for item in ITEMS if answers[item] is None]
    levels = set()
    for filled in product((True, False), repeat=len(blanks)):
        full = {**answers, **dict(zip(blanks, filled, strict=True))}
        for one in [when] if when else WHEN:
            levels.add(triage(full, one).level)
    found = triage(answers, when)
    assert set(found.possible) == levels - {"unknown"}
    assert (found.level == "unknown") == (len(found.possible) > 1)


@settings(deadline=None)
@given(st.tuples(*(answer for _ in ITEMS)), st.sampled_from(LEVELS))
def test_at_least_is_decided_as_soon_as_it_can_be(row: tuple[bool | None, ...], level: str) -> None:
    found = triage(dict(zip(ITEMS, row, strict=True)))
    ranks = {LEVELS.index(one) >= LEVELS.index(level) for one in found.possible}
    assert found.at_least(level) == (next(iter(ranks)) if len(ranks) == 1 else None)
