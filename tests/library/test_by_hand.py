"""`keel score --batch` against scores reckoned by hand, on whole, gappy and adversarial answers: nothing is scored
silently wrong, and what is outside the codes is an error in words."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from keel.cli.score import batch
from keel.domain.instrument import Instrument
from keel.library.instrument_files import instrument
from soak.responses import answer
from tests.library.by_hand import BY_HAND

Line = tuple[Any, dict[str, Any]]

BASELINES = {"madrs": 60, "grid-hamd-17": 52, "caps-5": 80, "pcl-5": 80}
CONTEXTS = {
    "hads": {"coding": ("scored", "endorsement", None), "missing_rule": ("half", None)},
    "whodas-36": {"working": (True, False, None)},
    "wsas": {"work_not_applicable": (True, False, None)},
    "sheehan-sds": {"work_not_applicable": (True, False, None)},
    "audit-c": {"sex": ("female", "male", "intersex", None)},
}
PARTS = {
    "caps-5": {"severity": 20, "criterion_A": 0, "criterion_F": 0, "G_items_23_25": 3, "dissoc_29_30": 2},
    "mdq": {"symptoms": 13, "concurrent": 0, "problem_level": 0},
    "pq-16": {"endorsed": 16, "distress": 16},
}
LISTED = [id for id in BY_HAND if not instrument(id).shape]


def scored(id: str, lines: list[Line]) -> list[dict[str, Any]]:
    """Through the command's own reader: each line as JSON, each answer parsed from JSON."""
    asked = [json.dumps({"instrument": id, "items": items, "context": context}) for items, context in lines]
    return [json.loads(json.dumps(found)) for found in batch(asked)]


def check(id: str, lines: list[Line]) -> None:
    for (items, context), found in zip(lines, scored(id, lines), strict=True):
        assert "error" not in found, (items, found)
        for name, wanted in BY_HAND[id](items, context).items():
            got = found["scores"][name]
            assert same(got, wanted), f"{id}: {name} is {wanted!r} by hand, {got!r} here, for {items} {context}"


def same(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, bool) or wanted is None or isinstance(wanted, str):
        return type(got) is type(wanted) and got == wanted
    return not isinstance(got, bool) and got == pytest.approx(wanted, rel=1e-12)


def random_line(one: Instrument, chance: Random, blank: float) -> Line:
    items: Any = {item.id: answer(item, chance, blank, 0) for item in one.items}
    if one.id in PARTS:
        values = iter(items.values())
        items = {part: [next(values) for _ in range(n)] if n else next(values) for part, n in PARTS[one.id].items()}
    elif not one.shape:
        items = [items[item.id] for item in one.items]
    # Yes and no as the contract has them for named answers: true and false.
    for name in ("criterion_A", "criterion_F", "concurrent", *(f"q{n}" for n in range(1, 7))):
        if one.id in ("caps-5", "mdq", "c-ssrs-screener") and items.get(name) is not None:
            items[name] = bool(items[name])
    context: dict[str, Any] = {name: chance.choice(values) for name, values in CONTEXTS.get(one.id, {}).items()}
    if one.id in BASELINES and chance.random() < 0.7:
        context["baseline_total"] = chance.randint(0, BASELINES[one.id])
    return items, {name: value for name, value in context.items() if value is not None}


@pytest.mark.parametrize("id", BY_HAND)
def test_scores_are_what_they_are_by_hand(id: str) -> None:
    one, chance = instrument(id), Random(f"{id} by hand")
    check(id, [random_line(one, chance, blank) for blank in (0, 0.03, 0.1, 0.5, 0.95) for _ in range(30)])


@pytest.mark.parametrize("id", LISTED)
def test_each_number_of_blanks_and_each_end(id: str) -> None:
    """Blanks from none to all, from either end of the form; every answer at its lowest, at its highest."""
    one, chance = instrument(id), Random(f"{id} edges")
    allowed = [item.answers.allowed() or (item.answers.low, item.answers.high) for item in one.items]
    lines: list[Line] = []
    for pick in (min, max, chance.choice):
        whole = [pick(codes) for codes in allowed]
        for n in range(len(whole) + 1):
            lines += [([None] * n + whole[n:], {}), (whole[: len(whole) - n] + [None] * n, {})]
    check(id, lines)


# Each cut of each instrument from both sides: (instrument, answers, context, score, what it must be).
CUTS: list[tuple[str, Any, dict[str, Any], str, Any]] = [
    ("phq-9", [3, 3, 3, 0, 0, 0, 0, 0, 0], {}, "band", "mild"),
    ("phq-9", [3, 3, 3, 1, 0, 0, 0, 0, 0], {}, "band", "moderate"),
    ("phq-9", [2, 0, 0, 0, 0, 0, 0, 0, 1], {}, "algorithm", "other"),
    ("phq-9", [2, 0, 2, 2, 2, 0, 0, 0, 1], {}, "algorithm", "major"),
    ("phq-9", [1, 1, 2, 2, 2, 2, 2, 2, 1], {}, "algorithm", "none"),
    ("phq-9", [2, 0, 2, 2, 2, 0, 0, 0, None], {}, "algorithm", None),
    ("phq-9", [2, 2, 2, 2, 2, None, None, None, None], {}, "algorithm", "major"),
    ("phq-9", [1, 1, 1, 1, 1, 1, None, None, None], {}, "prorated_total", None),
    ("phq-9", [1, 1, 1, 1, 1, 1, 1, None, None], {}, "prorated_total", 9),
    ("gad-7", [1, 1, 1, 1, 1, None, None], {}, "prorated_total", 7),
    ("gad-7", [1, 1, 1, 1, None, None, None], {}, "prorated_total", None),
    ("gad-7", [3, 3, 3, 0, 0, 0, 0], {}, "positive", False),
    ("madrs", [1] * 10, {"baseline_total": 20}, "response", True),
    ("madrs", [1] * 10, {"baseline_total": 19}, "response", False),
    ("madrs", [1] * 10, {}, "remission_le10", True),
    ("grid-hamd-17", [1] * 7 + [0] * 10, {"baseline_total": 13}, "remission_griffiths2016", False),
    ("grid-hamd-17", [1] * 7 + [0] * 10, {"baseline_total": 14}, "remission_griffiths2016", True),
    ("stai-t", [2] * 19 + [None], {}, "prorated_total", 20 * 47 / 19),
    ("stai-t", [2] * 18 + [None, 2], {}, "prorated_total", 20 * 46 / 19),
    ("stai-s", [2] * 17 + [None] * 3, {}, "prorated_total", None),
    ("who-5", [3, 3, 3, 2, 1], {}, "low_le50", True),
    ("who-5", [3, 3, 3, 2, 2], {}, "low_le50", False),
    ("swls", [4, 4, 4, 4, 4], {}, "band", "neutral"),
    ("swls", [4, 4, 4, 4, 3], {}, "band", "slightly dissatisfied"),
    ("swls", [4, 4, 4, 4, 5], {}, "band", "slightly satisfied"),
    ("dast-10", [0] * 10, {}, "band", "low"),
    ("dast-10", [0, 0, 1, 0, 0, 0, 0, 0, 0, 0], {}, "band", "none"),
    ("meq30", [3] * 30, {}, "complete_mystical", True),
    ("meq30", [3, 2] + [3] * 28, {}, "complete_mystical", False),
    ("meq30", [4, 4, 4, None] + [4] * 26, {}, "complete_mystical", None),
    ("meq30", [4, 0, 4, None, 4, 4, 4, 0] + [4] * 22, {}, "positive_mood_pct", 100 * 16 / 30),
    ("meq30", [4, 0, 4, None, 4, 4, 4, 0] + [4] * 22, {}, "complete_mystical", False),
    ("audit", [0] + [None] * 7 + [0, 0], {}, "total", 0),
    ("audit", [1, 0, 0] + [None] * 5 + [4, 4], {}, "total", 9),
    ("audit", [1, 0, None] + [None] * 5 + [4, 4], {}, "total", None),
    ("audit", [None] + [0] * 9, {}, "total", None),
    ("audit-c", [1, 1, 1], {"sex": "male"}, "positive", False),
    ("audit-c", [1, 1, 1], {"sex": "female"}, "positive", True),
    ("audit-c", [1, 1, 1], {}, "positive", None),
    ("audit-c", [1, 1, 2], {}, "positive", True),
    ("ace-10", [1, 1, 1, None, 0, 0, 0, 0, 0, 0], {}, "ge4", None),
    ("ace-10", [1, 1, 1, 1, None, None, None, None, None, None], {}, "ge4", True),
    ("wsas", ["not_applicable", 3, 5, 4, 2], {}, "total", 14),
    ("wsas", [None, 3, 5, 4, 2], {}, "total", None),
    ("wsas", [4, 3, 5, 4, "not_applicable"], {}, "max", 40),
    ("wsas", [4, 3, 5, 4, "not_applicable"], {}, "total", None),
    ("pcl-5", ["not_applicable"] * 20, {}, "provisional_dx", None),
    ("pcl-5", [None] * 20, {}, "provisional_dx", None),
    ("phq-9", ["not_applicable"] * 9, {}, "algorithm", None),
    ("whodas-36", ["not_applicable"] + [1] * 35, {"working": True}, "total_complex", None),
    ("whodas-36", [1] * 24 + ["not_applicable"] + [5] * 3 + [1] * 8, {}, "D5", None),
    ("whodas-36", [1] * 24 + ["not_applicable"] + [5] * 3 + [1] * 8, {"working": True}, "total_complex", None),
    ("whodas-36", [1] * 24 + ["not_applicable"] * 4 + [5] * 8, {}, "denominator", 92),
    ("sheehan-sds", ["not_applicable", 6, 8], {}, "total", None),
    ("sheehan-sds", [None, 1, 2], {}, "any_ge5", None),
    ("bdi-ii", [0] * 15 + [6, 0, 6, 0, 0, 0], {}, "total", 6),
    ("zung-sds", [2] * 20, {}, "index", 62.5),
]  # fmt: skip


@pytest.mark.parametrize("id, items, context, name, wanted", CUTS)
def test_cuts_from_both_sides(id: str, items: Any, context: dict[str, Any], name: str, wanted: Any) -> None:
    (found,) = scored(id, [(items, context)])
    assert same(found["scores"][name], wanted), found


@pytest.mark.parametrize("id", BY_HAND)
def test_an_answer_outside_its_codes_is_an_error_that_names_the_item(id: str) -> None:
    one, chance = instrument(id), Random(f"{id} outside")
    whole, _ = random_line(one, chance, 0)
    lines: list[Line] = []
    named: list[str] = []
    for item in chance.sample(one.items, min(len(one.items), 16)):
        good = {other.id: answer(other, chance, 0, 0) for other in one.items}
        for bad in outside(item.answers):
            lines.append(({**good, item.id: bad}, {}))
            named.append(item.id)
    for (items, _), id_of_item, found in zip(lines, named, scored(id, lines), strict=True):
        assert set(found) <= {"error", "alerts"}, (id_of_item, items[id_of_item], found)
        assert f"item {id_of_item}" in found["error"] or id_of_item in found["error"]
    assert "error" not in scored(id, [(whole, {})])[0]


def outside(answers: Any) -> list[Any]:
    """What no reader may take for an answer."""
    never: list[Any] = ["2.", "yes", "", " ", [], [1], {}, {"value": 1}, float("nan"), float("inf"), -10000, 1e300]
    if answers.kind == "choice":
        return [*never, True, 1]
    if answers.kind == "yes_no":
        return [*never, "true", "1", 2, 0.5]
    beyond = [answers.low - 1, answers.high + 1, str(answers.high), True, False]
    return [*never, *beyond, *([answers.low + 0.5] if answers.kind == "codes" else [])]


@pytest.mark.parametrize("id", LISTED)
def test_a_list_of_another_length_is_an_error(id: str) -> None:
    one, chance = instrument(id), Random(f"{id} length")
    whole, _ = random_line(one, chance, 0)
    needed = [x for x, item in zip(whole, one.items, strict=True) if not item.optional]
    for items in ([], needed[:-1], [*whole, whole[-1]], [*whole, None], "11111", 7, None, True):
        (found,) = scored(id, [(items, {})])
        assert "error" in found and "scores" not in found, (items, found)


@pytest.mark.parametrize("id", BY_HAND)
def test_whole_numbers_with_a_point_are_whole_numbers(id: str) -> None:
    def pointed(value: Any) -> Any:
        if isinstance(value, list):
            return [pointed(x) for x in value]
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    items, context = random_line(instrument(id), Random(f"{id} pointed"), 0.05)
    other = {k: pointed(v) for k, v in items.items()} if isinstance(items, dict) else pointed(items)
    first, second = scored(id, [(items, context), (other, context)])
    assert json.dumps(first) == json.dumps(second)


MAY_NOT_APPLY = {"wsas": {"1"}, "sheehan-sds": {"1"}, "whodas-36": {"25", "26", "27", "28"}}


@pytest.mark.parametrize("id", BY_HAND)
@pytest.mark.parametrize("word", ["prefer_not", "not_applicable"])
def test_a_word_in_place_of_a_code_is_scored_as_a_blank(id: str, word: str) -> None:
    """Only the work items may not apply; anywhere else "not applicable" must not make a form of nothing read as "no"."""
    one, chance = instrument(id), Random(f"{id} {word}")
    apart = MAY_NOT_APPLY.get(id, set()) if word == "not_applicable" else set()
    spoken, silent = [], []
    for share in (1, 0.5, 0.1, 0.1):
        away = {item.id for item in one.items if chance.random() < share} - apart
        items = {item.id: answer(item, chance, 0, 0) for item in one.items}
        spoken.append((items | dict.fromkeys(away, word), {}))
        silent.append((items | dict.fromkeys(away), {}))
    for said, blank in zip(scored(id, spoken), scored(id, silent), strict=True):
        assert said["scores"] == blank["scores"]
        assert said["missing"] == blank["missing"]


def test_every_instrument_of_the_contract_is_reckoned_by_hand() -> None:
    from tests.library.test_instruments import CONTRACT_SCORES

    assert set(BY_HAND) == set(CONTRACT_SCORES)
    for id, wanted in CONTRACT_SCORES.items():
        items, _ = random_line(instrument(id), Random(id), 0)
        context = {"baseline_total": 40} if id in BASELINES else {}
        assert set(BY_HAND[id](items, context)) == set(wanted.split()) - {"index" if id == "eq-5d-5l" else ""}, id
