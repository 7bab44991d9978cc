"""What a form calculates is what Keel scores, blanks included."""

from __future__ import annotations

import random

import pytest

from keel.domain.scoring import score
from keel.exchange.calculations import calculations
from keel.exchange.forms import names_of
from keel.exchange.logic import parse
from tests.exchange.people import OWN, answers_to, evaluate


@pytest.mark.parametrize("dialect", ["redcap", "xlsform"])
def test_every_calculation_gives_the_score(dialect: str) -> None:
    rng = random.Random(8)
    said = 0
    for one in OWN.values():
        names = names_of(one)
        made = [(each, parse(each.text, dialect)) for each in calculations(one, dialect, names) if each.text]
        for blanks in (0, 0, 0.1, 0.3, 0.7):
            items = answers_to(one, rng, blanks)
            cells = {names[id]: value for id, value in items.items()}
            scores = score(one, items).scores
            for each, node in made:
                cells[each.field] = got = evaluate(node, cells)
                if each.score not in scores:
                    continue
                wanted = scores[each.score]
                wanted = "" if wanted is None else int(wanted) if isinstance(wanted, bool) else wanted
                assert got == (pytest.approx(wanted) if isinstance(wanted, float) else wanted), (one.id, each, items)
                said += 1
    assert said > 900


def test_what_cannot_be_said_says_why() -> None:
    for one in OWN.values():
        for each in calculations(one, "redcap", names_of(one)):
            assert bool(each.text) != bool(each.why)
