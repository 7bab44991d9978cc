"""What holds for any rule, any answers and any damaged file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.domain.instrument import Answers, Rule
from keel.domain.rules import Scope, judge
from keel.exchange.fhir import questionnaire, response
from keel.exchange.logic import Writer, parse, rule_of
from keel.exchange.redcap import data, dictionary
from keel.exchange.report import Report
from tests.exchange.people import OWN, evaluate
from tests.exchange.test_foreign_forms import FILES

IDS = ("a", "b", "c")
FOUR = Answers(kind="codes", codes=(0, 1, 2, 3))
ITEMS = {id: (id, FOUR) for id in IDS}

codes = st.integers(0, 3)
compared = st.one_of(*(st.fixed_dictionaries({name: codes}) for name in ("at_least", "at_most", "equals")))
leaves = st.builds(lambda id, by: {"of": id, **by}, st.sampled_from(IDS), compared)
counts = st.builds(
    lambda ids, where, by: {"count": ids, "where": where, **by},
    st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True),
    compared,
    compared,
)
asked = st.builds(lambda ids: {"answered": ids}, st.lists(st.sampled_from(IDS), min_size=1, max_size=2, unique=True))


def trees(leaf: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Rule]:
    grown = st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda part: {"not": part}, inner),
        ),
        max_leaves=6,
    )
    return grown.map(Rule.model_validate)


answers = st.fixed_dictionaries({id: st.none() | codes for id in IDS})


@settings(max_examples=250, deadline=None)
@given(trees(st.one_of(leaves, counts, asked)), answers, st.sampled_from(["redcap", "xlsform"]))
def test_a_written_rule_is_true_where_it_is_surely_so(rule: Rule, values: dict[str, Any], dialect: str) -> None:
    writer = Writer(dialect, {id: id for id in IDS}, frozenset())
    cells = {id: value for id, value in values.items() if value is not None}
    truth = judge(rule)(Scope(dict(values), {}, frozenset()))
    assert bool(evaluate(parse(writer.rule(rule), dialect), cells)) == (truth is True)
    assert bool(evaluate(parse(writer.rule(rule, negated=True), dialect), cells)) == (truth is False)


@settings(max_examples=150, deadline=None)
@given(trees(leaves), answers, st.sampled_from(["redcap", "xlsform"]))
def test_a_condition_that_was_written_is_read_to_the_same(rule: Rule, values: dict[str, Any], dialect: str) -> None:
    """The rule that is read shows an item exactly where the text does."""
    text = Writer(dialect, {id: id for id in IDS}, frozenset()).rule(rule)
    again = rule_of(parse(text, dialect), ITEMS)
    scope = Scope(dict(values), {}, frozenset())
    assert (judge(again)(scope) is True) == (judge(rule)(scope) is True)


# ---- damage ---------------------------------------------------------------------------------------------------------

TEXTS = [(FILES / name).read_text("utf-8") for name in ("trial.csv", "numbers.csv")]
TEXTS.append(dictionary.exported(OWN["phq-2"])[0])
FORM = questionnaire.exported(OWN["audit-c"])[0]
ODD = st.sampled_from([None, 3, -1.5, True, "", [], {}, [None], "x", 1e400, 10**30, {"a": [1]}])
cuts = st.lists(
    st.tuples(st.integers(0, 6000), st.integers(0, 9), st.text(",\"\n|[]()'0a<>=\x00", max_size=3)), max_size=12
)


def whole_or_nothing(report: Report) -> None:
    assert report.ok or report.definitions == ()
    assert all(finding.where and finding.what for finding in report.findings)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(TEXTS), cuts)
def test_a_damaged_dictionary_is_a_report(text: str, damage: list[tuple[int, int, str]]) -> None:
    for at, length, put in damage:
        text = text[: at % len(text)] + put + text[at % len(text) + length :]
    whole_or_nothing(dictionary.imported(text.encode(), "x.csv", OWN))
    read = data.imported(OWN["phq-2"], text.encode(), "x.csv")
    assert read.rows == () or not any(finding.kind == "refused" for finding in read.findings)


def damaged(value: Any, draw: Any, odds: int) -> Any:
    if draw(st.integers(0, odds)) == 0:
        return draw(ODD)
    if isinstance(value, dict):
        return {key: damaged(part, draw, odds) for key, part in value.items()}
    return [damaged(part, draw, odds) for part in value] if isinstance(value, list) else value


@settings(max_examples=60, deadline=None)
@given(st.data(), st.booleans())
def test_a_damaged_questionnaire_is_a_report(drawn: Any, foreign: bool) -> None:
    whole = {key: value for key, value in FORM.items() if key != "extension"} if foreign else FORM
    broken = damaged({**whole, "item": whole["item"][:2]}, drawn.draw, 40)
    if isinstance(broken, dict):
        broken["resourceType"] = "Questionnaire"
    whole_or_nothing(questionnaire.imported(json.dumps(broken).encode(), "x.json", OWN))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_response_is_read_or_refused(drawn: Any) -> None:
    one = OWN["lec-5"]
    whole = response.exported(one, {"1": ["happened"], "2": "prefer_not"})
    broken = damaged(whole, drawn.draw, 8)
    if isinstance(broken, dict):
        broken |= {"resourceType": whole["resourceType"], "questionnaire": whole["questionnaire"]}
    try:
        assert isinstance(response.imported(one, broken), dict)
    except Refused as refused:
        assert all(reason.where for reason in refused.reasons)


def test_the_damage_is_damage() -> None:
    with pytest.raises(Refused):
        response.imported(OWN["lec-5"], {"resourceType": "QuestionnaireResponse"})
