"""Who comes into which arm: permuted blocks within strata, or simple randomisation by the protocol's ratio.

The list of arms of a stratum follows from a secret seed alone, by HMAC-SHA-256, so that it is the same on every
machine and in every version of Python, and can be recomputed by an auditor. It is concealed as long as the seed is:
keep it out of the database that the clinic reads, and call `next_arm` only once the person is enrolled. Block sizes
vary at random among those that the protocol names, so that the end of a block cannot be counted out.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from keel.domain.errors import Reason, Refused, refuse
from keel.domain.protocol import Allocation, Protocol


def next_arm(
    protocol: Protocol, history: Sequence[tuple[Mapping[str, str], str]], stratum: Mapping[str, str], *, seed: bytes
) -> str:
    """The arm of the next person of a stratum.

    `history` is every (stratum, arm) so far in order; `stratum` gives the level of each of the protocol's strata, {}
    where it has none. Refuses a stratum that is incomplete, a short seed, and a history that this seed did not give:
    somebody was allocated by another way, and the list must not be used as if nothing had happened.
    """
    if protocol.allocation.method == "single":
        return protocol.arms[0].id
    _check_seed(seed)
    for known in (*(s for s, _ in history), stratum):
        _check_stratum(protocol.allocation, known)
    name = stratum_name(stratum)
    so_far = [arm for known, arm in history if stratum_name(known) == name]
    listed = list(islice(arms_in_order(protocol.allocation, name, seed), len(so_far) + 1))
    _check_history(protocol.id, so_far, listed, name)
    return listed[-1]


def arms_in_order(allocation: Allocation, stratum: str, seed: bytes) -> Iterator[str]:
    """The endless list of arms of one stratum, by name as `stratum_name` gives it."""
    block = 0
    while True:
        yield from _block(allocation, f"{stratum}|block {block}", seed)
        block += 1


def stratum_name(stratum: Mapping[str, str]) -> str:
    """One spelling of a stratum, whatever the order of its factors."""
    return "; ".join(f"{factor!r} = {stratum[factor]!r}" for factor in sorted(stratum))


def _block(allocation: Allocation, name: str, seed: bytes) -> list[str]:
    """One block; without block sizes a block of one drawn by the ratio, which is simple randomisation."""
    shares = [arm for arm in sorted(allocation.ratio) for _ in range(allocation.ratio[arm])]
    if not allocation.block_sizes:
        return [shares[_number(seed, f"{name}|simple") % len(shares)]]
    sizes = sorted(allocation.block_sizes)
    size = sizes[_number(seed, f"{name}|size") % len(sizes)]
    places = enumerate(shares * (size // len(shares)))
    return [arm for _, arm in sorted((_number(seed, f"{name}|place {at}"), arm) for at, arm in places)]


def _number(seed: bytes, text: str) -> int:
    """A number of 256 bits that nobody without the seed can foretell; so wide that the rest of a division is even."""
    return int.from_bytes(hmac.new(seed, text.encode(), hashlib.sha256).digest(), "big")


def _check_seed(seed: bytes) -> None:
    if len(seed) < 16:
        raise refuse(
            "Nobody was allocated",
            f"the seed has {len(seed)} bytes and could be guessed",
            "Use at least 16 random bytes",
            where="seed",
            code="weak-seed",
        )


def _check_stratum(allocation: Allocation, stratum: Mapping[str, str]) -> None:
    if set(stratum) == set(allocation.strata) and all(stratum.values()):
        return
    wanted = ", ".join(allocation.strata) or "none"
    raise refuse(
        "Nobody was allocated",
        f"the stratum {dict(stratum)} does not fit: the protocol stratifies by {wanted}",
        "Give the level of each factor, and of no other",
        where="stratum",
        code="wrong-stratum",
    )


def _check_history(protocol_id: str, so_far: Sequence[str], listed: Sequence[str], stratum: str) -> None:
    wrong = [at for at, arm in enumerate(so_far) if arm != listed[at]]
    if wrong:
        raise Refused(
            Reason(
                f"Nobody was allocated in {protocol_id}",
                f"allocation {wrong[0] + 1} of the stratum ({stratum or 'all'}) is not what this seed gives",
                "Check the seed; if somebody was allocated by hand, the trial's statistician must decide how to go on",
                "history",
                "history-not-from-seed",
            )
        )
