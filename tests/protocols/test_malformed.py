"""A malformed protocol is refused with every error, each naming file, place and mend."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.domain.protocol import Protocol
from keel.domain.schedule import plan
from keel.domain.windows import check_windows
from keel.library import shelf
from keel.library.protocol_files import protocol_in_file

from .small import table

Table = dict[str, Any]
Case = tuple[str, Callable[[Table], Any], str, str, str]


def put(path: str, value: Any) -> Callable[[Table], None]:
    """A change of one place: `visits.1.due_days`."""

    def change(whole: Table) -> None:
        *way, last = path.split(".")
        node: Any = whole
        for step in way:
            node = node[int(step) if step.isdigit() else step]
        node[last] = value

    return change


def drop(path: str) -> Callable[[Table], None]:
    def change(whole: Table) -> None:
        *way, last = path.split(".")
        node: Any = whole
        for step in way:
            node = node[int(step) if step.isdigit() else step]
        del node[last]

    return change


TWO_ARMS = [{"id": "a", "label": "A"}, {"id": "b", "label": "B"}]

CASES: list[Case] = [
    ("a missing key", drop("title"), "title", "`title` is missing", "Add `title`"),
    ("a misspelt key", put("visits.1.lastest_days", 9), "visits[1].lastest_days", "nothing reads it", "`latest_days`"),
    ("a word for a number", put("visits.1.due_days", "seven"), "visits[1].due_days", "does not fit", "whole number"),
    ("half a day", put("visits.1.due_days", 7.5), "visits[1].due_days", "7.5 does not fit", "whole number"),
    ("an unknown kind", put("visits.0.kind", "party"), "visits[0].kind", "not one of the known words", "'baseline'"),
    ("an unknown anchor", put("visits.2.after", "dosage"), "visits[2].after", "no other visit", "baseline, dosing"),
    ("a visit after itself", put("visits.2.after", "after"), "visits[2].after", "hang on itself", "Use one of"),
    ("two of one id", put("visits.2.id", "dosing"), "visits[2].id", "two of visit 'dosing'", "Rename one"),
    ("an empty window", put("visits.1.earliest_days", 12), "visits[1].earliest_days", "after its latest", "Swap"),
    ("due out of window", put("visits.1.due_days", 10), "visits[1].due_days", "outside its own window", "Correct"),
    ("due twice", put("visits.1.due_weeks", 1), "visits[1].due_weeks", "due twice", "Keep one"),
    ("no source", drop("visits.1.source"), "visits[dosing].due_days", "nobody's word", "`S n`"),
    ("an unlisted source", put("visits.1.source", "S 99"), "visits[dosing]", "S 99 is not listed", '"S 99" ='),
    ("an unreadable source", put("visits.1.source", "Smith"), "visits[dosing]", "'Smith' is no mark", "Write `S n`"),
    ("a source of nothing", put("visits.1.source", {"hours": "S 1", "all": "S 1"}), "visits[dosing].source",
     "has no `hours`", "Correct the key"),
    ("LSD in milligrams", put("visits.1.doses.0.substance", "lsd-freebase-equivalent"), "visits[1].doses[0].unit",
     "not dosed in mg", "Use ug"),
    ("a dose over the total", put("visits.1.doses.0.most_total", 20), "visits[1].doses[0].most_total",
     "exceeds the total", "Correct one"),
    ("a dose of nothing", put("visits.1.doses.0.amounts", [0]), "visits[1].doses[0].amounts", "not above zero", ""),
    ("a dose at another visit", put("visits.1.kind", "integration"), "visits[1].kind", "gives a dose", "dosing"),
    ("an arm too many", put("arms", TWO_ARMS), "allocation.method", "several are", "Correct the method"),
    ("hours backwards", put("visits.1.hours", [8, 6]), "visits[1].hours", "run backwards", "[least, most]"),
    ("an endpoint at no visit", put("endpoint", {"instrument": "madrs", "visits": ["never"], "label": "x",
     "source": "S 1"}), "endpoint.visits", "no visit 'never'", "Correct it"),
    ("an endpoint not asked", put("endpoint", {"instrument": "qids-sr16", "visits": ["after"], "label": "x",
     "source": "S 1"}), "endpoint.visits", "does not ask qids-sr16", "Add it to the asks of after"),
    ("vital signs out of order", put("vitals", {"minutes": [60, 30], "source": "S 1"}), "vitals.minutes",
     "out of order", "Sort"),
    ("nobody present", put("visits.1.present", [{"role": "facilitator", "at_least": 0}]),
     "visits[1].present[0].at_least", "0 does not fit", "at least 1"),
    ("too few visits for a phase", put("phases", {"dosing": {"sessions": [2, 3], "source": "S 1"}}),
     "phases.dosing.sessions", "the phase says 2 to 3", "Correct the phase"),
    ("a version of text", put("version", "1"), "version", "does not fit", "whole number"),
    ("a day beyond any life", put("visits.1.due_days", 10**9), "visits[1].due_days", "does not fit", "at most 36500"),
    ("a dose without end", put("visits.1.doses.0.amounts", [float("inf")]), "visits[1].doses[0].amounts[0]",
     "does not fit", "counted to"),
    ("a list as source", put("visits.1.source", ["S 1"]), "visits[dosing].source", "neither text nor", "source ="),
    ("no arms", put("arms", []), "arms", "does not fit", "Add what is missing"),
    ("a table for a list", put("visits", {"baseline": {}}), "visits", "does not fit", "square brackets"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "where", "why", "mend"), [pytest.param(*c[1:], id=c[0]) for c in CASES])
def test_each_error_names_file_place_and_mend(change: Callable[[Table], Any], where: str, why: str, mend: str) -> None:
    whole = table()
    change(whole)
    with pytest.raises(Refused) as refused:
        Protocol.from_table(whole, "protocols/small.toml")
    assert all(r.where.startswith("protocols/small.toml") and r.what and r.mend for r in refused.value.reasons)
    found = [r for r in refused.value.reasons if where in r.where]
    assert found, str(refused.value)
    assert any(why in f"{r.what}. {r.why}" and mend in r.mend for r in found), str(refused.value)


def test_the_small_protocol_itself_is_sound() -> None:
    assert Protocol.from_table(table(), "small.toml").arm_ids == ("only",)


def test_all_errors_come_at_once() -> None:
    whole = table()
    for change in (put("visits.0.kind", "party"), drop("title"), put("visits.1.source", "S 99")):
        change(whole)
    with pytest.raises(Refused) as refused:
        Protocol.from_table(whole, "small.toml")
    codes = {r.code for r in refused.value.reasons}
    assert {"literal_error", "missing", "unlisted-source"} <= codes


def test_visits_that_hang_on_one_another_are_named() -> None:
    whole = table()
    put("visits.1.after", "after")(whole)
    with pytest.raises(Refused, match="dosing → after → dosing hang on one another"):
        Protocol.from_table(whole, "small.toml")


def test_an_anchor_must_be_in_the_arm() -> None:
    whole = table(arms=TWO_ARMS)
    whole["allocation"] = {"method": "randomised", "ratio": {"a": 1, "b": 1}, "source": "S 1"}
    whole["visits"][1]["arms"] = ["a"]
    with pytest.raises(Refused, match="the b arm does not have dosing"):
        Protocol.from_table(whole, "small.toml")


@pytest.mark.parametrize(
    ("allocation", "said"),
    [
        ({"method": "randomised", "ratio": {"a": 1}}, "each arm needs its share"),
        ({"method": "randomised", "ratio": {"a": 1, "b": 0}}, "nobody could come into that arm"),
        ({"method": "randomised", "ratio": {"a": 1, "c": 1}}, "There is no arm 'c'"),
        ({"method": "randomised", "ratio": {"a": 2, "b": 1}, "block_sizes": [4]}, "Use a multiple of 3"),
    ],
)
def test_allocation_must_fit_the_arms(allocation: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        Protocol.from_table(table(arms=TWO_ARMS, allocation={**allocation, "source": "S 1"}), "small.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version = ", "not valid TOML"),
        ('id = "x"\n', "no version"),
        ("version = 1\n", "`visits` is missing"),
        ("version = 1\nvisits = 3\n", "square brackets"),
    ],
)
def test_a_bad_file_is_told_in_words(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(Refused, match=said):
        protocol_in_file(path)


def test_a_file_must_have_the_name_it_says(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_bytes(shelf.paths("protocols")["comp001"].read_bytes())
    with pytest.raises(Refused, match="its name says 'other'"):
        protocol_in_file(path)


# ---- nothing but a refusal -----------------------------------------------------------------------

STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(node: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a table, from the top down."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [way, *(place for key, value in inner for place in places(value, (*way, key)))]


REAL = {id: shelf.read("protocols", id).table for id in ("davis-2021", "mapp2", "oregon-adult-psilocybin")}
PLACES = [(id, place) for id, whole in REAL.items() for place in places(whole) if place]


@given(st.sampled_from(PLACES), STRANGE)
@settings(max_examples=300, deadline=None)
def test_anything_anywhere_is_read_or_refused_in_words(where: tuple[str, tuple[Any, ...]], value: Any) -> None:
    id, (*way, last) = where
    whole = copy.deepcopy(dict(REAL[id]))
    node: Any = whole
    for step in way:
        node = node[step]
    node[last] = value
    try:
        found = Protocol.from_table(whole, "strange.toml")
    except Refused as refused:
        assert refused.reasons and all(r.where.startswith("strange.toml") and r.what for r in refused.reasons)
        return
    for arm in found.arm_ids:
        plan(found, arm, enrolled_on=date(2026, 1, 5), on=date(2026, 1, 5))
    check_windows(found)


def test_hours_must_add_up() -> None:
    whole = table(phases={"dosing": {"hours": [10, 12], "source": "S 1"}})
    whole["visits"][1]["hours"] = [6, 8]
    with pytest.raises(Refused, match="its visits take 6 to 8 hours, the phase 10 to 12"):
        Protocol.from_table(whole, "small.toml")
    whole["visits"][1]["hours"] = [6, 11]
    assert Protocol.from_table(whole, "small.toml").phases["dosing"].hours == (10, 12)
