"""A faulty definition is refused with its file, the place in it and the mend."""

from __future__ import annotations

import copy
import tomllib
from typing import Any

import pytest

from keel.domain.errors import Refused
from keel.domain.instrument import Instrument
from keel.library import shelf

PLACE = "instruments/phq-2.toml"
GOOD = tomllib.loads((shelf.OWN_SHELF / PLACE).read_text(encoding="utf-8"))


def broken(path: str, value: Any) -> dict[str, Any]:
    """The PHQ-2 file with one thing changed: "scores.0.of" names the place."""
    table = copy.deepcopy(GOOD)
    *way, last = path.split(".")
    part: Any = table
    for step in way:
        part = part[int(step)] if isinstance(part, list) else part.setdefault(step, {})
    if value is KeyError:
        del part[last]
    else:
        part[int(last) if isinstance(part, list) else last] = value
    return table


@pytest.mark.parametrize(
    "path, value, said",
    [
        ("titel", "x", "`titel`.*Take it out"),
        ("licence", KeyError, "`licence`.*Add `licence`"),
        ("licence.class", "X", "licence.class"),
        ("answered_by", "dog", "answered_by"),
        ("answers.frequency.labels", ["one"], "1 labels for 4 codes"),
        ("answers.frequency", {"kind": "scale"}, "needs `min` and `max`"),
        ("items.0.answers", "never", "Add \\[answers.never\\]"),
        ("items.0.labels", ["one"], "1 labels for 2 items"),
        ("items.0.numbers", "1, 1", "Item 1 occurs twice"),
        ("scores.0.op", "summ", "summ"),
        ("scores.0.of", ["1", "7"], "score total: '7' is unknown here"),
        ("scores.0.reversed", ["9"], "reversed or recoded but not in `of`"),
        ("scores.0.recode", {"r": ["1"]}, "Add \\[recode.r\\]"),
        ("scores.0.name", "1", "The name 1 is taken"),
        ("scores.1.rule", {"of": "total"}, "needs one of at_least, at_most, equals"),
        ("scores.1.rule", {"of": "total", "count": ["1"], "at_least": 1}, "exactly one form"),
        ("scores.1.rule", {"context": "sex"}, "Add \\[context.sex\\]"),
        ("bands", [{"of": "total", "author": "t", "lower": 0, "upper": [4, 3], "labels": ["a", "b"]}], "must rise"),
        ("bands", [{"of": "sum", "author": "t", "lower": 0, "upper": [4], "labels": ["a"]}], "'sum' is unknown"),
        ("safety", [{"item": "9", "at_least": 1, "level": "notify", "says": "x"}], "safety: '9' is unknown"),
        ("safety", [{"level": "notify", "says": "x"}], "a safety item has"),
        ("items.0.asked_if", {"of": "1", "at_least": 1}, "Add `skipped = 0`"),
    ],
)
def test_what_is_wrong_is_named_with_its_mend(path: str, value: Any, said: str) -> None:
    with pytest.raises(Refused, match=said) as caught:
        Instrument.from_table(broken(path, value), PLACE)
    assert all(reason.where.startswith(PLACE) for reason in caught.value.reasons)


def test_the_good_file_is_read() -> None:
    one = Instrument.from_table(GOOD, PLACE)
    assert (one.id, [item.id for item in one.items]) == ("phq-2", ["1", "2"])
