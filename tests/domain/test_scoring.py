"""The scoring engine: what holds for every operator, whatever the instrument."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.domain.instrument import Instrument
from keel.domain.scoring import safety_flags, score

N, LOW, HIGH = 5, 1, 4
codes = st.integers(LOW, HIGH)
# The machine that tests may be busy: no deadline, and few enough examples to stay quick.
calm = settings(deadline=None, max_examples=40)
full = st.lists(codes, min_size=N, max_size=N)
gappy = st.lists(st.none() | codes, min_size=N, max_size=N)


def made(*scores: dict[str, Any], **more: Any) -> Instrument:
    """A five-item questionnaire, codes 1–4, with these scores."""
    table = {
        "version": 1, "title": "T", "short": "T", "edition": "t", "measures": "t", "answered_by": "participant",
        "recall": "t", "direction": "none", "sources": [], "verified": True, "missing_rule": "none",
        "answers": {"a": {"kind": "codes", "min": LOW, "max": HIGH}},
        "items": [{"numbers": f"1-{N}", "answers": "a"}],
        "scores": list(scores),
        "licence": {"class": "W", "holder": "-", "terms": "-"},
    }  # fmt: skip
    return Instrument.from_table({**table, **more}, "instruments/t.toml")


ALL = [f"1-{N}"]
SUM = {"name": "x", "op": "sum", "of": ALL}
FOLDED = {
    "sum": made(SUM),
    "mean": made({"name": "x", "op": "mean", "of": ALL}),
    "percent": made({"name": "x", "op": "percent", "of": ALL, "maximum": N * HIGH}),
    "max": made({"name": "x", "op": "max", "of": ALL}),
    "prorated": made({"name": "x", "op": "prorated", "of": ALL, "allow": 2}),
    "count": made({"name": "x", "op": "count", "of": ALL, "where": {"at_least": 3}}),
    "lowest_possible": made({"name": "x", "op": "lowest_possible", "of": ALL}),
    "highest_possible": made({"name": "x", "op": "highest_possible", "of": ALL}),
}
BOUNDS = {
    "sum": (N * LOW, N * HIGH), "mean": (LOW, HIGH), "percent": (25, 100), "max": (LOW, HIGH),
    "prorated": (N * LOW, N * HIGH), "count": (0, N), "lowest_possible": (N * LOW, N * HIGH),
    "highest_possible": (N * LOW, N * HIGH),
}  # fmt: skip
operators = pytest.mark.parametrize("op", FOLDED)


def x(one: Instrument, items: list[Any], **context: Any) -> Any:
    return score(one, items, context).scores["x"]


@operators
@calm
@given(items=gappy)
def test_a_score_stays_in_its_range_or_is_none(op: str, items: list[int | None]) -> None:
    value = x(FOLDED[op], items)
    assert value is None or BOUNDS[op][0] <= value <= BOUNDS[op][1]


@operators
@calm
@given(items=full, place=st.integers(0, N - 1))
def test_more_never_gives_less(op: str, items: list[int], place: int) -> None:
    raised = [*items]
    raised[place] = min(HIGH, raised[place] + 1)
    assert x(FOLDED[op], raised) >= x(FOLDED[op], items)


@operators
@calm
@given(items=gappy, order=st.permutations(range(N)))
def test_the_order_within_a_scale_does_not_matter(op: str, items: list[int | None], order: list[int]) -> None:
    assert x(FOLDED[op], [items[n] for n in order]) == pytest.approx(x(FOLDED[op], items))


@calm
@given(items=full)
def test_reversal_twice_is_identity(items: list[int]) -> None:
    reversed_sum = made({**SUM, "reversed": ["2", "4"]})
    turned = [LOW + HIGH - code if place in (1, 3) else code for place, code in enumerate(items)]
    assert x(reversed_sum, turned) == sum(items)


@calm
@given(items=full, turn=st.booleans())
def test_reversal_may_depend_on_how_it_was_coded(items: list[int], turn: bool) -> None:
    one = made(
        {**SUM, "reversed": ALL, "reversed_if": {"context": "coding", "equals": "agreement"}},
        context={"coding": {"kind": "choice", "choices": ["scored", "agreement"]}},
    )
    assert x(one, items, coding="agreement" if turn else "scored") == (N * 5 - sum(items) if turn else sum(items))
    assert x(one, items) is None, "a coding that nobody named is not guessed"


@calm
@given(items=full)
def test_a_recode_counts_what_the_table_says(items: list[int]) -> None:
    one = made({**SUM, "recode": {"r": ALL}}, recode={"r": {"1": 0, "2": 0, "3": 1, "4": 5}})
    assert x(one, items) == sum({1: 0, 2: 0, 3: 1, 4: 5}[code] for code in items)


@calm
@given(items=gappy)
def test_one_blank_takes_the_total_and_prorating_never_replaces_it(items: list[int | None]) -> None:
    one = made({**SUM, "name": "x"}, {"name": "p", "op": "prorated", "of": ALL, "allow": 2})
    scores = score(one, items).scores
    answered = [code for code in items if code is not None]
    assert (scores["x"] is None) == (len(answered) < N)
    if len(answered) < N - 2:
        assert scores["p"] is None
    else:
        assert scores["p"] == pytest.approx(sum(answered) * N / len(answered))


@calm
@given(items=gappy, least=st.integers(0, N), at=st.integers(LOW + 1, HIGH))
def test_a_count_rule_knows_exactly_when_every_completion_agrees(items: list[int | None], least: int, at: int) -> None:
    rule = {"count": ALL, "where": {"at_least": at}, "at_least": least}
    verdicts = {sum(code >= at for code in whole) >= least for whole in completions(items)}
    assert x(made({"name": "x", "op": "rule", "rule": rule}), items) is (verdicts.pop() if len(verdicts) == 1 else None)


@calm
@given(items=gappy, exactly=st.integers(0, N))
def test_an_exact_count_is_unknown_while_it_could_be(items: list[int | None], exactly: int) -> None:
    rule = {"count": ALL, "where": {"equals": 2}, "equals": exactly}
    verdicts = {sum(code == 2 for code in whole) == exactly for whole in completions(items)}
    assert x(made({"name": "x", "op": "rule", "rule": rule}), items) is (verdicts.pop() if len(verdicts) == 1 else None)


def completions(items: list[int | None]) -> list[tuple[int, ...]]:
    return list(product(*([code] if code is not None else range(LOW, HIGH + 1) for code in items)))


@calm
@given(items=gappy)
def test_the_possible_ends_are_those_of_the_completions(items: list[int | None]) -> None:
    totals = [sum(whole) for whole in completions(items)]
    assert x(FOLDED["lowest_possible"], items) == min(totals)
    assert x(FOLDED["highest_possible"], items) == max(totals)


@calm
@given(items=gappy)
def test_cases_are_unknown_while_an_earlier_one_is(items: list[int | None]) -> None:
    one = made(
        {
            "name": "x",
            "op": "cases",
            "otherwise": "calm",
            "cases": [
                {"gives": "high", "rule": {"of": "1", "at_least": 4}},
                {"gives": "some", "rule": {"any": [{"of": "2", "at_least": 3}, {"of": "3", "at_least": 3}]}},
            ],
        }
    )
    verdicts = {
        "high" if whole[0] >= 4 else "some" if whole[1] >= 3 or whole[2] >= 3 else "calm"
        for whole in completions(items)
    }
    found = x(one, items)
    assert found is None or verdicts == {found}
    if found is None:
        assert None in items[:3]


@calm
@given(items=full, base=st.integers(N * LOW, N * HIGH))
def test_a_response_is_judged_in_whole_numbers(items: list[int], base: int) -> None:
    one = made(
        SUM,
        {"name": "r", "op": "response", "of": "x", "percent": 50},
        {"name": "d", "op": "drop", "of": "x"},
        context={"baseline_total": {"kind": "number", "low": 0, "high": N * HIGH}},
    )
    scores = score(one, items, {"baseline_total": base}).scores
    assert scores["r"] is (2 * (base - sum(items)) >= base)
    assert scores["d"] == base - sum(items)
    assert set(score(one, items).scores) == {"x"}, "without a baseline, change does not apply"


def test_nothing_falls_from_a_baseline_of_zero() -> None:
    one = made(
        SUM,
        {"name": "r", "op": "response", "of": "x"},
        {"name": "p", "op": "percent_drop", "of": "x"},
        context={"baseline_total": {"kind": "number", "low": 0, "high": 20}},
    )
    assert score(one, [1] * N, {"baseline_total": 0}).scores == {"x": 5, "r": None, "p": None}


def test_percent_thresholds_do_not_round() -> None:
    """29 of 48 is 60.4%, 28 of 47 is 59.6%: neither is helped over the line by a rounded figure."""
    one = made({"name": "x", "op": "rule", "rule": {"sum": ALL, "percent_at_least": 60, "maximum": 20}})
    assert x(one, [2, 2, 3, 3, 2]) is True
    assert x(one, [2, 2, 3, 2, 2]) is False
    assert x(one, [4, 4, 4, 4, None]) is None


def test_bands_of_width_one_and_values_below_the_first() -> None:
    one = made(
        SUM,
        bands=[{"of": "x", "gives": "b", "author": "t", "lower": 6, "upper": [7, 8, 20], "labels": ["a", "b", "c"]}],
    )
    named = {total: score(one, [1, 1, 1, 1, total - 4]).scores["b"] for total in (5, 6, 7, 8)}
    assert named == {5: None, 6: "a", 7: "a", 8: "b"}


@calm
@given(items=gappy)
def test_a_skipped_item_is_no_blank_and_a_real_blank_is(items: list[int | None]) -> None:
    gated = [
        {"numbers": "1", "answers": "a"},
        {"numbers": "2-5", "answers": "a", "asked_if": {"of": "1", "at_least": 2}, "skipped": 0},
    ]
    result = score(made(SUM, items=gated), items)
    if items[0] == 1:
        assert result.missing == ()
        assert result.scores["x"] == 1 + sum(code or 0 for code in items[1:])
    else:
        assert (result.scores["x"] is None) == (None in items)
        assert set(result.missing) == {str(n) for n, code in enumerate(items, 1) if code is None}


def test_refusing_to_answer_and_not_applying_are_answers() -> None:
    result = score(made(SUM, {"name": "n", "op": "blank", "of": ALL}), [1, "prefer_not", "not_applicable", None, 2])
    assert result.scores == {"x": None, "n": 3}, "nothing here may not apply: a score sees a blank"
    assert (result.missing, result.declined, result.not_applicable) == (("2", "3", "4"), ("2",), ("3",))


# ---- safety ---------------------------------------------------------------------------------------------

SAFE = made(
    SUM,
    safety=[
        {"item": "3", "at_least": 2, "level": "notify", "says": "look"},
        {"item": "3", "at_least": 4, "level": "urgent", "says": "now"},
    ],
)


@calm
@given(items=gappy)
def test_a_safety_item_fires_alone_and_at_its_own_level(items: list[int | None]) -> None:
    code = items[2]
    level = None if code is None or code < 2 else "urgent" if code == 4 else "notify"
    assert [flag.level for flag in safety_flags(SAFE, items)] == ([level] if level else [])
    assert [flag.level for flag in score(SAFE, items).alerts] == (
        ["unknown"] if code is None else [level] if level else []
    )


def test_a_safety_item_fires_on_a_half_finished_form_and_beside_unreadable_answers() -> None:
    assert [flag.level for flag in safety_flags(SAFE, [1, 1, 4])] == ["urgent"]
    assert [flag.level for flag in safety_flags(SAFE, {"3": 4})] == ["urgent"]
    assert [flag.level for flag in safety_flags(SAFE, [99, "x", 4, None, True])] == ["urgent"]
    with pytest.raises(Refused):
        score(SAFE, [99, "x", 4, None, True])


def test_a_blank_safety_item_is_unknown_never_no() -> None:
    assert safety_flags(SAFE, [1, 1, None, 1, 1]) == ()
    (flag,) = safety_flags(SAFE, [1, 1, None, 1, 1], finished=True)
    assert (flag.level, flag.items) == ("unknown", ("3",))
    assert "not no" in flag.says
