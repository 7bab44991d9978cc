"""Two ways must agree: the engine for one response is the referee of the engine for tables."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import polars as pl
import pytest

from keel.domain.errors import Refused
from keel.domain.instrument import Instrument
from keel.domain.scoring import score
from keel.library import shelf
from keel.library.instrument_files import instrument
from keel.outcomes.score_table import score_table
from tests.outcomes.random_responses import response, table

ROWS = 60


@pytest.mark.parametrize("blank, wrong", [(0.0, 0.0), (0.08, 0.004), (0.4, 0.0)], ids=["full", "gaps", "sparse"])
@pytest.mark.parametrize("id", shelf.ids("instruments"))
def test_tables_and_rows_agree(id: str, blank: float, wrong: float) -> None:
    one = instrument(id)
    chance = Random(f"{id} {blank}")
    rows = [response(one, chance, blank=blank, wrong=wrong) for _ in range(ROWS)]
    done = score_table(one, table(one, rows))
    assert done.height == ROWS
    for got, (items, context) in zip(done.iter_rows(named=True), rows, strict=True):
        compare(one, got, items, context)


def compare(one: Instrument, got: dict[str, Any], items: dict[str, Any], context: dict[str, Any]) -> None:
    try:
        wanted: dict[str, Any] = score(one, items, context).scores
    except Refused as refused:
        assert got.pop("error") == str(refused)
        assert set(got.values()) <= {None}
        return
    assert got.pop("error") is None
    for name, value in got.items():
        assert same(value, wanted.get(name)), (one.id, name, value, wanted.get(name), items, context)
    assert set(wanted) <= set(got)


def same(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        return isinstance(got, (int, float)) and math.isclose(got, wanted, rel_tol=1e-12, abs_tol=1e-12)
    return bool(got == wanted)


def test_columns_may_have_other_names() -> None:
    frame = pl.DataFrame({f"phq_{n}": [n % 4, None] for n in range(1, 10)})
    done = score_table(instrument("phq-9"), frame, columns={str(n): f"phq_{n}" for n in range(1, 10)})
    assert done["total"].to_list() == [sum(n % 4 for n in range(1, 10)), None]


def test_words_in_a_column_are_answers_or_faults() -> None:
    frame = pl.DataFrame({"1": ["not_applicable", "prefer_not", "3"], "2": [3, 3, 3], "3": [5, 5, 5]})
    done = score_table(instrument("sheehan-sds"), frame)
    assert done["n_missing"].to_list() == [0, 1, None]
    assert done["total"].to_list() == [None, None, None]
    assert "item 1" in done["error"][2]


def test_a_table_without_any_item_is_refused() -> None:
    with pytest.raises(Refused, match="no column for any item"):
        score_table(instrument("phq-9"), pl.DataFrame({"age": [40]}))
