"""One table of states: nothing leads nowhere, and the manual's diagram is that table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keel.domain.errors import Refused
from keel.domain.session import LABELS, STATES, after

MANUAL = Path(__file__).parents[2] / "docs/manual/dosing_day.md"
STEPS = [(state, step, to) for state, steps in STATES.items() for step, to in steps.items()]


def test_every_state_has_a_label_and_can_be_reached() -> None:
    assert set(LABELS) == set(STATES)
    assert {to for _, _, to in STEPS} | {"prepared"} == set(STATES)
    assert [state for state, steps in STATES.items() if not steps] == ["released", "transferred"]


def test_a_step_leads_where_the_table_says_and_no_other_is_taken() -> None:
    every = {step for _, step, _ in STEPS}
    for state, steps in STATES.items():
        for step in every:
            if step in steps:
                assert after(state, step) == steps[step]
            else:
                with pytest.raises(Refused, match="From here"):
                    after(state, step)


def test_the_diagram_of_the_manual_is_the_table() -> None:
    drawn = re.findall(r"^    (\w+) --> (\w+): (\w+)$", MANUAL.read_text(encoding="utf-8"), re.M)
    assert sorted(drawn) == sorted((state, to, step) for state, step, to in STEPS)
