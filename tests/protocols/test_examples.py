"""The examples that lie beside each definition are true."""

from __future__ import annotations

import pytest

from keel.domain.jurisdiction import RoomExample, minimum_minutes, required_facilitators
from keel.domain.schedule import broken_examples
from keel.library import shelf
from keel.library.jurisdiction_files import jurisdiction, jurisdictions
from keel.library.protocol_files import protocol


@pytest.mark.parametrize("id", shelf.ids("protocols"))
def test_the_protocols_examples_hold(id: str) -> None:
    assert protocol(id).examples
    assert broken_examples(protocol(id)) == ()


def test_a_false_example_is_found() -> None:
    davis = protocol("davis-2021")
    example = davis.examples[0]
    false = example.gives["session-1"].model_copy(update={"state": "due"})
    wrong = davis.model_copy(update={"examples": (example.model_copy(update={"gives": {"session-1": false}}),)})
    assert broken_examples(wrong) == ("examples[0] says state due for session-1, and the schedule gives planned",)


@pytest.mark.parametrize(
    ("place", "example"),
    [
        pytest.param(p.id, e, id=f"{p.id}-{e.largest_dose_mg:g}mg-{e.participants}")
        for p in jurisdictions()
        for e in p.examples
    ],
)
def test_the_jurisdictions_examples_hold(place: str, example: RoomExample) -> None:
    found = jurisdiction(place)
    assert minimum_minutes(found, example.largest_dose_mg) == example.minimum_minutes
    assert required_facilitators(found, example.participants, example.largest_dose_mg) == example.facilitators
