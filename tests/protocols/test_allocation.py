"""Allocation follows from the seed alone, keeps its blocks, and notices a hand in the list."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.domain.allocation import arms_in_order, next_arm, stratum_name
from keel.domain.errors import Refused
from keel.domain.protocol import Allocation, Protocol

from .small import table

SEED = b"0123456789abcdef"
PINNED = "low high low high high high high high low high high high"


def trial(**changes: object) -> Protocol:
    arms = [{"id": a, "label": a} for a in ("high", "low")]
    allocation = {"method": "randomised", "ratio": {"high": 2, "low": 1}, "block_sizes": [3, 6], "source": "S 1"}
    return Protocol.from_table(table(arms=arms, allocation={**allocation, **changes}), "small.toml")


def run(protocol: Protocol, people: list[dict[str, str]], seed: bytes = SEED) -> list[tuple[dict[str, str], str]]:
    history: list[tuple[dict[str, str], str]] = []
    for stratum in people:
        history.append((stratum, next_arm(protocol, history, stratum, seed=seed)))
    return history


def test_the_list_never_changes() -> None:
    """Pinned: a list that came out otherwise after an upgrade would unblind a running trial."""
    assert [arm for _, arm in run(trial(), [{}] * 12)] == PINNED.split()


@given(st.binary(min_size=16, max_size=32), st.sampled_from([(3,), (6,), (3, 6)]))
def test_every_block_keeps_the_ratio(seed: bytes, sizes: tuple[int, ...]) -> None:
    allocation = Allocation(method="randomised", ratio={"high": 2, "low": 1}, block_sizes=sizes)
    arms = list(islice(arms_in_order(allocation, "", seed), 60))
    worst = max(abs(arms[:n].count("high") - 2 * arms[:n].count("low")) for n in range(61))
    assert worst <= 2 * max(sizes) / 3
    if sizes == (3,):
        assert all(Counter(arms[at : at + 3]) == {"high": 2, "low": 1} for at in range(0, 60, 3))


def test_without_blocks_the_ratio_holds_in_the_long_run() -> None:
    allocation = Allocation(method="randomised", ratio={"high": 2, "low": 1})
    arms = list(islice(arms_in_order(allocation, "", SEED), 3000))
    assert 1900 < arms.count("high") < 2100
    assert any(arms[at : at + 3] == ["high"] * 3 for at in range(0, 3000, 3)), "no block holds it together"


def test_each_stratum_has_its_own_list() -> None:
    protocol = trial(strata=["site", "sex"])
    people = [{"site": site, "sex": sex} for _ in range(6) for site in "ab" for sex in ("female", "male")]
    history = run(protocol, people)
    for stratum in people[:4]:
        alone = [arm for s, arm in history if s == stratum]
        assert alone == [arm for _, arm in run(protocol, [stratum] * 6)]
        assert Counter(alone)["high"] == 4
    assert len({tuple(arm for s, arm in history if s == stratum) for stratum in people[:4]}) > 1


def test_another_seed_gives_another_list() -> None:
    lists = {tuple(arm for _, arm in run(trial(), [{}] * 12, seed=bytes([n]) * 16)) for n in range(8)}
    assert len(lists) == 8


def test_the_order_of_factors_does_not_matter() -> None:
    assert stratum_name({"a": "1", "b": "2"}) == stratum_name({"b": "2", "a": "1"})
    assert stratum_name({"a": "1; 'b' = '2'"}) != stratum_name({"a": "1", "b": "2"})


def test_a_single_arm_needs_no_seed() -> None:
    assert next_arm(Protocol.from_table(table(), "small.toml"), [], {}, seed=b"") == "only"


@pytest.mark.parametrize(
    ("stratum", "seed", "said"),
    [
        ({}, SEED, "stratifies by site"),
        ({"site": "a", "sex": "male"}, SEED, "and of no other"),
        ({"site": ""}, SEED, "stratifies by site"),
        ({"site": "a"}, b"short", "could be guessed"),
    ],
)
def test_what_is_refused(stratum: dict[str, str], seed: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said):
        next_arm(trial(strata=["site"]), [], stratum, seed=seed)


def test_a_hand_in_the_list_is_noticed() -> None:
    history = run(trial(), [{}] * 5)
    other = {"high": "low", "low": "high"}
    history[3] = ({}, other[history[3][1]])
    with pytest.raises(Refused, match=r"allocation 4 of the stratum .* is not what this seed gives"):
        next_arm(trial(), history, {}, seed=SEED)
