"""The language of rules: Kleene's tables, their laws, and a closed door to everything else."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.domain.expression import UNKNOWN, Answer, evaluate, kleene_and, kleene_not, kleene_or, parse

TRUTHS = (True, False, UNKNOWN)


class Told:
    """A world of plain values; what is not told is unknown."""

    def __init__(self, **told: object):
        self.told = told

    def look(self, path: str) -> Answer:
        value = self.told.get(path.replace(".", "_"))
        if value is None or value is UNKNOWN:
            return Answer(UNKNOWN, missing=frozenset({path}))
        return Answer(value, frozenset({path}))

    def ask(self, question: str, args: tuple[Answer | str, ...], named: Mapping[str, Answer]) -> Answer:
        return Answer(question == "takes" and args == ("lithium",))


def value(text: str, **told: object) -> object:
    return evaluate(parse(text), Told(**told)).value


def answer(truth: object, name: str = "x") -> Answer:
    return Answer(UNKNOWN, missing=frozenset({name})) if truth is UNKNOWN else Answer(truth, frozenset({name}))


@pytest.mark.parametrize(("a", "b"), list(product(TRUTHS, TRUTHS)))
def test_the_tables_are_kleenes(a: object, b: object) -> None:
    """The referee: order false < unknown < true; and is the least, or the greatest, not turns it round."""
    rank = {False: 0, UNKNOWN: 1, True: 2}
    back = {n: truth for truth, n in rank.items()}
    pair = (answer(a, "a"), answer(b, "b"))
    assert kleene_and(pair).value is back[min(rank[a], rank[b])]
    assert kleene_or(pair).value is back[max(rank[a], rank[b])]
    assert kleene_not(answer(a)).value is back[2 - rank[a]]


truth = st.sampled_from(TRUTHS)


@settings(deadline=None)
@given(truth, truth, truth)
def test_the_laws_hold(a: object, b: object, c: object) -> None:
    told = {"a": a, "b": b, "c": c}
    for left, right in (
        ("not (a and b)", "not a or not b"),
        ("not (a or b)", "not a and not b"),
        ("a and (b or c)", "(a and b) or (a and c)"),
        ("a or (b and c)", "(a or b) and (a or c)"),
        ("a and b", "b and a"),
        ("(a or b) or c", "a or (b or c)"),
        ("not not a", "a"),
        ("a and a", "a"),
    ):
        assert value(left, **told) is value(right, **told)


sentences = st.recursive(
    st.sampled_from(["a", "b", "c", "x > 3", "x <= 5", 'w == "m"', "1 < x < 9"]),
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
    ),
    max_leaves=12,
)
worlds = st.fixed_dictionaries(
    {"a": truth, "b": truth, "c": truth, "x": st.integers(0, 10), "w": st.sampled_from(["m", "f"])}
)


@settings(deadline=None)
@given(sentences, worlds, st.sets(st.sampled_from("abcxw")))
def test_learning_more_never_changes_a_settled_answer(text: str, told: dict[str, object], hidden: set[str]) -> None:
    less = {name: UNKNOWN if name in hidden else known for name, known in told.items()}
    before = evaluate(parse(text), Told(**less))
    if not before.is_unknown:
        assert before.value == value(text, **told)


@settings(deadline=None)
@given(sentences, worlds)
def test_an_unknown_answer_names_what_is_missing_and_only_that(text: str, told: dict[str, object]) -> None:
    found = evaluate(parse(text), Told(**told))
    unknown = {name for name, known in told.items() if known is UNKNOWN}
    assert found.is_unknown == bool(found.missing)
    assert found.missing <= unknown


def test_only_what_would_matter_is_missing() -> None:
    found = evaluate(parse("(a and b) or (c and x > 3)"), Told(c=False, a=True))
    assert found.missing == {"b"}
    assert evaluate(parse("a and b"), Told(a=False)).used == {"a"}


def test_sums_lists_and_names() -> None:
    assert value("x / 2 + 1 >= 3.5", x=5) is True
    assert value("-x < 0", x=5) is True
    assert value('"mdd" in diagnoses and "gad" not in diagnoses', diagnoses=("mdd", "trd")) is True
    assert value('w in ("m", "f")', w="m") is True
    assert value('scales["caps-5"] > 3') is UNKNOWN
    assert value("takes(lithium)") is True
    assert parse("takes(lithium) or history.stroke").named == {("takes", "lithium")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "__import__('os').system('x')",
        "a.b()",
        "[x for x in a]",
        "lambda: a",
        "a if b else c",
        "a := 1",
        "f'{a}'",
        "1j",
        "None",
        "b'x'",
        "a @ b",
        "a ** b",
        "~a",
        "takes()",
        "takes(1)",
        "x(**a)",
        "a is b",
        "(" * 500 + "a" + ")" * 500,
        "not " * 5000 + "a",
    ],
)
def test_what_is_not_in_the_language_is_refused_in_words(text: str) -> None:
    with pytest.raises(Refused, match="was not accepted"):
        parse(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        evaluate(parse(text), Told())
    except Refused as refused:
        assert str(refused)


@pytest.mark.parametrize("text", ["a and x", "x + w > 1", "w < 3", '"m" in x', "x / 0 > 1", "not x"])
def test_what_makes_no_sense_is_refused_and_not_guessed(text: str) -> None:
    with pytest.raises(Refused):
        value(text, a=True, x=3, w="m")


def test_unknown_is_neither_true_nor_false() -> None:
    with pytest.raises(TypeError):
        bool(UNKNOWN)
