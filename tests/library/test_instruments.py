"""Every instrument on the shelf: its worked examples, its sources, its licence."""

from __future__ import annotations

import re
from typing import Any

import pytest

from keel.domain.instrument import Example, Instrument
from keel.domain.scoring import ScoreResult, score
from keel.library import shelf
from keel.library.instrument_files import instrument, instruments, sources

EXAMPLES = [
    pytest.param(one, example, id=f"{one.id}-{n}")
    for one in instruments().values()
    for n, example in enumerate(one.examples, 1)
]

# What ../shared/contract.md fixes: other programs ask for these by name.
CONTRACT = (
    "phq-9",
    "phq-8",
    "phq-2",
    "gad-7",
    "qids-sr16",
    "madrs",
    "grid-hamd-17",
    "ham-a",
    "bdi-ii",
    "stai-s",
    "stai-t",
    "hads",
    "zung-sds",
    "caps-5",
    "pcl-5",
    "lec-5",
    "c-ssrs-screener",
    "c-ssrs-since-last-visit",
    "sheehan-sds",
    "wsas",
    "who-5",
    "swls",
    "whodas-12",
    "whodas-36",
    "eq-5d-5l",
    "promis-global-10",
    "wai-sr",
    "wai-s",
    "star-p",
    "star-c",
    "ceq-credibility",
    "meq30",
    "ceq-challenging",
    "piq",
    "piq-28",
    "ebi",
    "edi",
    "pps",
    "asc-11",
    "ace-10",
    "ctq-sf",
    "bfi-2-s-openness",
    "asrm",
    "msm",
    "mdq",
    "pq-16",
    "audit",
    "audit-c",
    "dast-10",
)


def flagged(result: ScoreResult) -> set[str]:
    return {f"{'+'.join(flag.items)}:{flag.level}" for flag in result.alerts}


@pytest.mark.parametrize("one, example", EXAMPLES)
def test_the_worked_example_gives_what_it_says(one: Instrument, example: Example) -> None:
    result = score(one, example.items, dict(example.context))
    for name, wanted in example.gives.items():
        assert same(result.scores[name], wanted), (name, result.scores[name], wanted)
    assert {name: result.scores[name] for name in example.null} == dict.fromkeys(example.null)
    assert flagged(result) == set(example.flags)


def same(got: Any, wanted: Any) -> bool:
    if isinstance(wanted, float) or (isinstance(got, float) and isinstance(wanted, int)):
        return bool(got == pytest.approx(wanted, abs=1e-4))
    return type(got) is type(wanted) and got == wanted


@pytest.mark.parametrize("id", shelf.ids("instruments"))
def test_the_file_is_whole(id: str) -> None:
    one = instrument(id)
    assert one.examples, "every instrument carries a worked example"
    cited = re.findall(r"S\d+b?", " ".join([*one.sources, one.licence.source, *(s.source for s in every_claim(one))]))
    assert set(cited) <= set(sources())
    assert set(cited) <= set(one.sources)
    for claim in every_claim(one):
        assert claim.source or claim.basis == "house" or not claim.verified or not carries_a_number(claim), claim


def every_claim(one: Instrument) -> list[Any]:
    return [*one.steps, *one.bands, *one.safety, *one.warnings, *one.change]


def carries_a_number(claim: Any) -> bool:
    """Plain arithmetic on a score that has its source (a fall, a count of blanks, a value between) needs none."""
    return getattr(claim, "op", "") not in (
        "blank",
        "drop",
        "percent_drop",
        "value_set",
        "linear",
        "ratio",
    ) and getattr(claim, "show", True)


def test_wording_is_never_inside_a_definition_by_permission_only() -> None:
    for one in instruments().values():
        if one.licence.kind == "P":
            assert all(len(item.label) <= 60 for item in one.items), one.id
