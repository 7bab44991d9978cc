"""Two ways must agree: the engine for one response is the referee of the engine for tables."""

from __future__ import annotations

from random import Random

import polars as pl
import pytest

from keel.domain.errors import Refused
from keel.domain.scoring import score
from keel.library import shelf
from keel.library.instrument_files import instrument
from keel.outcomes.score_table import score_table
from soak.responses import response, table
from soak.scoring import disagreements, same

ROWS = 60


@pytest.mark.parametrize("blank, wrong", [(0.0, 0.0), (0.08, 0.004), (0.4, 0.0)], ids=["full", "gaps", "sparse"])
@pytest.mark.parametrize("id", shelf.ids("instruments"))
def test_tables_and_rows_agree(id: str, blank: float, wrong: float) -> None:
    one = instrument(id)
    chance = Random(f"{id} {blank}")
    assert disagreements(one, [response(one, chance, blank=blank, wrong=wrong) for _ in range(ROWS)]) == []


def test_the_referee_sees_a_difference() -> None:
    """The comparison itself is no rubber stamp: a table scored by another definition is found out."""
    one = instrument("phq-9")
    other = one.model_copy(update={"steps": (one.steps[0].model_copy(update={"of": ("1", "2")}), *one.steps[1:])})
    rows = [({str(n): 1 for n in range(1, 10)}, {})]
    assert disagreements(one, rows) == []
    (got,) = score_table(other, table(one, rows)).rows(named=True)
    assert got["total"] == 2
    assert not same(got["total"], score(one, *rows[0]).scores["total"])


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
