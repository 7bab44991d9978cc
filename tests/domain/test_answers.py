"""Reading answers: codes, shapes, branching."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from keel.domain.answers import check_answer, is_asked, next_item, read_answers
from keel.domain.errors import Refused
from keel.domain.scoring import score
from keel.library.instrument_files import instrument

PHQ9 = [1, 2, 1, 2, 1, 1, 1, 0, 0]


@pytest.mark.parametrize(
    "answer", [4, -1, 1.5, True, False, "2", "", [1], {}, float("nan"), float("inf"), 10**400, 1e400]
)
def test_an_answer_outside_its_codes_is_refused_by_item_and_codes(answer: Any) -> None:
    with pytest.raises(Refused) as caught:
        score(instrument("phq-9"), [*PHQ9[:4], answer, *PHQ9[5:]])
    (reason,) = caught.value.reasons
    assert "item 5" in reason.where
    assert "0, 1, 2, 3" in reason.why
    assert reason.code == "answer-outside-codes"


def test_every_wrong_answer_is_named_at_once() -> None:
    with pytest.raises(Refused) as caught:
        score(instrument("phq-9"), [9, 2, 1, 2, 1, 1, 1, 0, "x"])
    assert [reason.where for reason in caught.value.reasons] == ["phq-9, item 1", "phq-9, item 9"]


def test_answers_counted_from_one_are_recognised_not_mended() -> None:
    with pytest.raises(Refused, match="subtract 1"):
        score(instrument("pcl-5"), [5] * 20)


def test_a_whole_float_is_its_number() -> None:
    assert score(instrument("phq-9"), [float(code) for code in PHQ9]).scores["total"] == 9
    assert check_answer(instrument("phq-9"), "1", 2.0) == 2


@pytest.mark.parametrize("id, answer, read", [("dast-10", True, 1), ("dast-10", 0, 0), ("edi", 12.5, 12.5)])
def test_what_an_answer_is_read_as(id: str, answer: Any, read: Any) -> None:
    assert check_answer(instrument(id), "1", answer) == read


@pytest.mark.parametrize(
    "id, answer", [("dast-10", 2), ("dast-10", "yes"), ("edi", 100.5), ("edi", -0.5), ("edi", True)]
)
def test_what_an_answer_is_not(id: str, answer: Any) -> None:
    with pytest.raises(Refused):
        check_answer(instrument(id), "1", answer)


@pytest.mark.parametrize(
    "id, items, why",
    [
        ("phq-9", PHQ9[:8], "9 to 10 items"),
        ("gad-7", [0] * 8, "there are 7 items"),
        ("phq-9", "1212", "a text"),
        ("phq-9", None, "null"),
        ("phq-9", 7, "a number"),
        ("phq-9", {"11": 1}, "9, 10"),
        ("asc-11", [50] * 42, "named"),
        ("c-ssrs-screener", [True] * 6, "named"),
        ("c-ssrs-screener", {"q7": True}, "q1, q2"),
        ("caps-5", {"severity": [1] * 19}, "20 items"),
        ("caps-5", {"severity": 3}, "it is a list"),
    ],
)
def test_a_wrong_shape_is_refused_with_the_right_one(id: str, items: Any, why: str) -> None:
    with pytest.raises(Refused, match=why):
        read_answers(instrument(id), items)


@pytest.mark.parametrize("value", ["28", True, -1, 61, float("nan")])
def test_a_context_outside_its_range_is_refused(value: Any) -> None:
    with pytest.raises(Refused, match="baseline_total"):
        score(instrument("madrs"), [1] * 10, {"baseline_total": value})


def test_context_that_an_instrument_does_not_ask_for_is_left_alone() -> None:
    assert score(instrument("phq-9"), PHQ9, {"baseline_total": "x", "site": 3}).scores["total"] == 9
    with pytest.raises(Refused, match="it is a table"):
        score(instrument("phq-9"), PHQ9, [1])


def test_printed_order_holds_where_optional_items_lie_between() -> None:
    assert score(instrument("asc-5d"), [0] * 17 + [100] + [0] * 76).scores["oceanic_boundlessness"] == 100 / 27


# ---- one item at a time ------------------------------------------------------------------------------------


def walked(id: str, said: dict[str, Any]) -> list[str]:
    """The items a form shows to somebody who answers so."""
    shown: list[str] = []
    answers: dict[str, Any] = {}
    while (item := next_item(instrument(id), answers)) is not None:
        shown.append(item.id)
        answers[item.id] = said.get(item.id, 0)
    return shown


def test_the_suicide_screener_asks_what_its_gate_opens() -> None:
    assert walked("c-ssrs-screener", {}) == ["q1", "q2", "q6"]
    assert walked("c-ssrs-screener", {"q2": 1}) == ["q1", "q2", "q3", "q4", "q5", "q6"]
    assert walked("c-ssrs-screener", {"q6": 1, "q6_when": "lifetime"}) == ["q1", "q2", "q6", "q6_when"]


def test_an_unanswered_gate_does_not_skip_the_rest_of_a_safety_form() -> None:
    assert walked("c-ssrs-screener", {"q2": None}) == ["q1", "q2", "q3", "q4", "q5", "q6"]
    assert is_asked(instrument("c-ssrs-screener"), "q3", {}) is None
    assert is_asked(instrument("c-ssrs-screener"), "q3", {"q2": True}) is True
    assert is_asked(instrument("c-ssrs-screener"), "q3", {"q2": False}) is False


def test_the_alcohol_form_skips_for_those_who_never_drink() -> None:
    assert walked("audit", {"1": 0}) == ["1", "9", "10"]
    assert walked("audit", {"1": 2}) == ["1", "2", "3", "9", "10"]
    assert walked("audit", {"1": 2, "3": 1}) == [str(n) for n in range(1, 11)]


def test_what_does_not_apply_is_not_asked() -> None:
    assert is_asked(instrument("wsas"), "1", {}, {"work_not_applicable": True}) is False
    item = next_item(instrument("wsas"), {}, {"work_not_applicable": True})
    assert item is not None and item.id == "2"


# ---- unknown never becomes clear ------------------------------------------------------------------------------


def test_the_suicide_risk_of_a_partial_form_is_that_of_every_completion() -> None:
    """All 2187 ways to leave the screener half answered, against all ways to finish each."""
    one = instrument("c-ssrs-screener")
    keys = ("q1", "q2", "q3", "q4", "q5", "q6", "q6_when")
    whole = {
        answers: score(one, dict(zip(keys, answers, strict=True))).scores["risk"]
        for answers in product(*[(False, True)] * 6, ("lifetime", "past_3_months"))
    }
    for partial in product(*[(False, True, None)] * 6, ("lifetime", "past_3_months", None)):
        risk = score(one, dict(zip(keys, partial, strict=True))).scores["risk"]
        filled = _skips(partial)
        verdicts = {risk for answers, risk in whole.items() if _completes(answers, filled)}
        assert risk is None or verdicts == {risk}, partial
        if len(verdicts) > 1:
            assert risk is None, partial


def _skips(partial: tuple[Any, ...]) -> tuple[Any, ...]:
    """After a no to question 2, a blank 3, 4 or 5 was not asked."""
    return tuple(False if partial[1] is False and n in (2, 3, 4) and a is None else a for n, a in enumerate(partial))


def _completes(answers: tuple[Any, ...], partial: tuple[Any, ...]) -> bool:
    return all(given is None or given == answer for answer, given in zip(answers, partial, strict=True))
