"""The baseline table, the missingness picture and the flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.outcomes.describe import ALL, Count, Numbers, baseline_table, consort, missingness, suppressed

PEOPLE = pl.DataFrame(
    {
        "arm": ["a", "a", "a", "b", "b", "b"],
        "age": [30.0, 40.0, None, 50.0, 60.0, 73.0],
        "sex": ["f", "m", "f", "f", None, "f"],
    }
)


def test_the_baseline_table_by_hand() -> None:
    lines = baseline_table(PEOPLE, ["age", "sex"], arm="arm")
    ages = {line.arm: line for line in lines if isinstance(line, Numbers)}
    assert list(ages) == ["a", "b", ALL]
    assert (ages["a"].n, ages["a"].missing, ages["a"].mean, ages["a"].median) == (2, 1, 35.0, 35.0)
    assert ages["b"].sd == pytest.approx(np.std([50, 60, 73], ddof=1))
    sexes = {(line.arm, line.level): line for line in lines if isinstance(line, Count)}
    women = sexes["b", "f"]
    assert (women.count, women.percent, women.n, women.missing) == (2, 100.0, 2, 1)
    assert sexes["b", "m"].count == 0


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 30), min_size=2), st.integers(2, 10))
def test_a_withheld_count_cannot_be_worked_out(counts: dict[str, int], least: int) -> None:
    shown = suppressed(counts, least=least)
    hidden = [name for name, count in shown.items() if count is None]
    assert all(count == counts[name] and not 0 < count < least for name, count in shown.items() if count is not None)
    alone = sum(count > 0 for count in counts.values()) == 1
    assert len(hidden) != 1 or alone


def test_missingness_by_hand() -> None:
    rows = [
        ("p1", "v1", 1.0),
        ("p1", "v2", 2.0),
        ("p2", "v1", 1.0),
        ("p3", "v2", 1.0),
        ("p3", "v1", None),
        ("p4", "v1", 3.0),
    ]
    table = pl.DataFrame(rows, schema=["id", "visit", "y"], orient="row")
    found = missingness(table, subject="id", visit="visit", outcome="y")
    assert found.share == {ALL: (0.75, 0.5)}
    assert [(p.seen, p.people, p.monotone) for p in found.patterns] == [
        ((1, 0), 2, True),
        ((0, 1), 1, False),
        ((1, 1), 1, True),
    ]
    with pytest.raises(Refused, match="nobody"):
        missingness(table, subject="id", visit="visit", outcome="y", visits=["v9"])


def person(name: str, **facts: Any) -> dict[str, Any]:
    blank = {"screened": True, "enrolled": False, "dosed": False, "completed": False, "left": False}
    return {"participant": name} | blank | {"arm": None, "why_not_enrolled": None, "why_left": None} | facts


FLOW = [
    person("P1", why_not_enrolled="blood pressure"),
    person("P2"),
    person("P3", enrolled=True),
    person("P4", enrolled=True, arm="drug", dosed=True, completed=True),
    person("P5", enrolled=True, arm="drug", left=True, why_left="moved"),
    person("P6", enrolled=True, arm="placebo", dosed=True),
]


def test_the_flow_reconciles() -> None:
    flow = consort(pl.DataFrame(FLOW))
    assert flow.screened == flow.enrolled + sum(flow.not_enrolled.values()) == 6
    assert flow.not_enrolled == {"blood pressure": 1, "not recorded": 1}
    assert flow.enrolled == flow.not_allocated + sum(arm["allocated"] for arm in flow.arms.values())
    assert flow.arms["drug"] == {"allocated": 2, "dosed": 1, "completed": 1, "left": 1, "continuing": 0}
    assert flow.left == {"drug": {"moved": 1}, "placebo": {}}


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"dosed": True, "enrolled": True}, "dosed without an arm"),
        ({"enrolled": True, "screened": False}, "without being screened"),
        ({"arm": "drug"}, "without being enrolled"),
        ({"arm": "drug", "enrolled": True, "completed": True, "left": True}, "both completed and left"),
        ({"participant": "P1"}, "twice"),
    ],
)
def test_a_flow_that_cannot_be_is_refused_with_the_person(facts: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        consort(pl.DataFrame([*FLOW, person("P9") | facts]))
