"""Every instrument on the shelf: its worked examples, its sources, its licence."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import pytest

from keel.domain.instrument import Example, Instrument, Mean, Percent, Sum
from keel.domain.scoring import ScoreResult, score
from keel.library import shelf
from keel.library.instrument_files import instrument, instruments, sources
from soak.responses import response

EXAMPLES = [
    pytest.param(one, example, id=f"{one.id}-{n}")
    for one in instruments().values()
    for n, example in enumerate(one.examples, 1)
]


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


@pytest.mark.parametrize(
    "id, main",
    [
        ("qids-sr16", "total"),
        ("hads", "total"),
        ("wai-sr", "total"),
        ("meq30", "total_pct"),
        ("piq", "total_mean"),
        ("who-5", "percent"),
        ("promis-global-10", "gph_t"),
        ("whodas-36", "total_complex"),
        ("c-ssrs-screener", "risk"),
        ("hppd-checklist", "distress"),
        ("lec-5", None),
    ],
)
def test_a_list_shows_the_total_and_not_a_part_of_it(id: str, main: str | None) -> None:
    assert instrument(id).main_score() == main


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


# The names of scores that other programs read (../shared/contract.md); with every context given.
CONTRACT_SCORES = {
    "phq-9": "total band algorithm item9_flag n_missing prorated_total",
    "phq-8": "total band",
    "phq-2": "total positive",
    "gad-7": "total band positive n_missing prorated_total",
    "qids-sr16": "total sleep appetite_weight psychomotor band remission item12_flag",
    "madrs": "total band pct_reduction response remission_le10 remission_le12",
    "grid-hamd-17": "total pct_reduction response remission_le7 remission_griffiths2016",
    "ham-a": "total psychic somatic",
    "bdi-ii": "total band",
    "stai-s": "total prorated_total",
    "stai-t": "total prorated_total",
    "hads": "anxiety depression total anxiety_band depression_prorated",
    "zung-sds": "raw index",
    "caps-5": "total n_symptoms B C D E criterion_G dx dissociative_subtype drop clin_sig_le8 mapp_responder_ge10"
    " mapp_remission reliable_change_13",
    "pcl-5": "total B C D E n_missing cut31 cut33 provisional_dx clin_sig_le28 reliable_change_15",
    "c-ssrs-screener": "risk complete",
    "sheehan-sds": "total any_ge5 n_missing",
    "wsas": "total max",
    "who-5": "raw percent low_le50",
    "swls": "total band",
    "whodas-12": "simple_0_48 simple_12_60 complex_0_100 n_missing",
    "whodas-36": "D1 D2 D3 D4 D5 D6 total_complex denominator",
    "eq-5d-5l": "profile lss lfs index",
    "promis-global-10": "gph_raw gph_t gmh_raw gmh_t pain_recoded",
    "wai-sr": "task bond goal total",
    "wai-s": "task bond goal total",
    "star-p": "total",
    "star-c": "total",
    "ceq-credibility": "credibility_sum credibility_mean expectancy_sum",
    "meq30": "mystical_pct positive_mood_pct time_space_pct ineffability_pct total_pct complete_mystical",
    "ceq-challenging": "total_pct grief_pct fear_pct death_pct insanity_pct isolation_pct physical_pct paranoia_pct",
    "piq": "total_mean avoidance_maladaptive_mean goals_adaptive_mean",
    "piq-28": "total_mean avoidance_maladaptive_mean goals_adaptive_mean",
    "ebi": "sum mean",
    "edi": "mean",
    "pps": "total",
    "asc-11": "unity spiritual bliss insight disembodiment impaired_control anxiety complex_imagery elementary_imagery"
    " synesthesia changed_meaning",
    "ace-10": "total ge4 min_possible max_possible",
    "ctq-sf": "emotional_abuse physical_abuse sexual_abuse emotional_neglect physical_neglect validity_raw_sum"
    " minimisation_count",
    "bfi-2-s-openness": "open_mindedness_mean",
    "asrm": "total positive",
    "msm": "total band",
    "mdq": "symptom_count positive",
    "pq-16": "symptoms distress ge6",
    "audit": "total audit_c dependence problems ge8",
    "audit-c": "total positive",
    "dast-10": "total band",
}


@pytest.mark.parametrize("id", CONTRACT_SCORES)
def test_the_names_that_others_read_are_there(id: str) -> None:
    assert set(CONTRACT_SCORES[id].split()) <= set(instrument(id).score_names())


@pytest.mark.parametrize("id", shelf.ids("instruments"))
def test_every_score_stays_in_its_range(id: str) -> None:
    one = instrument(id)
    chance = Random(id)
    ends = {step.name: (step.low, step.high) for step in one.steps if step.low is not None and step.high is not None}
    for blank in (0.0, 0.1):
        for _ in range(40):
            scores = score(one, *response(one, chance, blank=blank, wrong=0)).scores
            for name, (low, high) in ends.items():
                value = scores.get(name)
                assert value is None or low <= value <= high, (name, value)


@pytest.mark.parametrize("id", shelf.ids("instruments"))
def test_the_ends_of_each_scale_are_reached(id: str) -> None:
    """Answering every item of a sum, mean or percentage at its lowest (reversed: highest) gives exactly `low`."""
    one = instrument(id)
    for step in one.steps:
        if (
            isinstance(step, Sum | Mean | Percent)
            and {i.id for i in one.items} >= set(step.of)
            and step.low is not None
        ):
            for end, wanted in (("low", step.low), ("high", step.high)):
                items = {ref: extreme(one, step, ref, end) for ref in step.of}
                gates = {item.id: item.answers.high for item in one.items if item.id.startswith("e")}
                assert score(one, {**gates, **items}).scores.get(step.name, wanted) == wanted, (step.name, end)


def extreme(one: Instrument, step: Sum | Mean | Percent, ref: str, end: str) -> Any:
    """The answer that counts least (or most) in a step, whatever is reversed or recoded on the way."""
    answers = one.item(ref).answers
    tables = {r: one.recodes[name] for name, refs in step.recode.items() for r in refs}
    if ref in tables:
        worth = {int(code): value for code, value in tables[ref].items()}
        return (min if end == "low" else max)(worth, key=lambda code: worth[code])
    turned = ref in step.reversed and step.reversed_if is None
    return answers.high if (end == "high") != turned else answers.low
