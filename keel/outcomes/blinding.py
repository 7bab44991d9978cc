"""Did the blinding hold: the Bang and the James index of what people guessed.

n_ij people of arm i guessed j; the last column is "don't know".
    Bang, per arm      BI = (correct − wrong)/n over everybody in the arm, don't know included
                       var = (p_c(1−p_c) + p_w(1−p_w) + 2 p_c p_w)/n;   −1 … 1, 0 is guessing at random
    James, whole trial JBI = ½(1 + P_DK + (1−P_DK) K),  K = (P_o − P_e)/P_e
                       P_o, P_e observed and expected share of wrong guesses among those who guessed;
                       1 is fully blind, ½ guessing at random, 0 fully unblinded.
                       Its standard error is the delta method's on the multinomial counts.
With more than two arms the share of correct guesses expected by chance is no longer one half: Bang's index is refused
there, and only James' is given.

Sources: James 1996 (doi:10.1002/(SICI)1097-0258(19960715)15:13<1421::AID-SIM266>3.0.CO;2-#);
Bang 2004 (doi:10.1016/j.cct.2003.10.016). Check case: CRISP, tests/outcomes/test_blinding.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from keel.domain.errors import refuse
from keel.outcomes.columns import FloatArray, alphabetical
from keel.outcomes.partial_nesting import fit_nested

DONT_KNOW = "don't know"


@dataclass(frozen=True)
class Index:
    """A blinding index with its interval; `p` is of the value that means guessing at random (Bang 0, James ½).

    Where everybody answered alike the formula of the standard error gives 0, which is no precision: `se`, interval and `p` are None.
    """

    name: str
    arm: str
    estimate: float
    se: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    n: int


@dataclass(frozen=True)
class Guesses:
    """How many of each arm (rows) guessed each arm (columns in the same order) or did not know (last column)."""

    arms: tuple[str, ...]
    counts: FloatArray


def tally(
    arm: Sequence[str | None], guess: Sequence[str | None], *, dont_know: Sequence[str] = (DONT_KNOW,)
) -> Guesses:
    """Count guesses by arm. Rows without arm or guess are left out; any other guess is refused."""
    arms = tuple(alphabetical({a for a in arm if a is not None}))
    if len(arms) < 2:
        raise refuse(
            "The blinding was not judged",
            f"there is {len(arms)} arm",
            "Give the rows of at least two arms",
            where="arm",
        )
    unknown = {word.casefold() for word in dont_know}
    counts = np.zeros((len(arms), len(arms) + 1))
    for row, (own, guessed) in enumerate(zip(arm, guess, strict=True), start=1):
        if own is None or guessed is None:
            continue
        if guessed.casefold() in unknown:
            counts[arms.index(own), -1] += 1
        elif guessed in arms:
            counts[arms.index(own), arms.index(guessed)] += 1
        else:
            raise refuse(
                f"{guessed!r} is not a guess",
                f"the arms are {', '.join(arms)}, and not knowing is {', '.join(dont_know)}",
                "Mend it, or name it with --dont-know",
                where=f"guess, row {row}",
            )
    empty = [arms[i] for i in np.flatnonzero(counts.sum(axis=1) == 0)]
    if empty:
        raise refuse("The blinding was not judged", f"nobody in {empty[0]} was asked", where="guess", code="too-few")
    return Guesses(arms, counts)


def bang(guesses: Guesses, *, level: float = 0.95) -> tuple[Index, ...]:
    """Bang's index of each arm of a two-armed trial."""
    if len(guesses.arms) != 2:
        raise refuse(
            "Bang's index was not computed",
            f"it is for two arms, and there are {len(guesses.arms)}",
            "Use James' index",
        )
    found = []
    for i, arm in enumerate(guesses.arms):
        n = guesses.counts[i].sum()
        correct, wrong = guesses.counts[i, i] / n, guesses.counts[i, 1 - i] / n
        spread = correct * (1 - correct) + wrong * (1 - wrong) + 2 * correct * wrong
        found.append(_index("Bang", arm, correct - wrong, float(spread), 0.0, int(n), level))
    return tuple(found)


def james(guesses: Guesses, *, level: float = 0.95) -> Index:
    """James' index of the whole trial. Where nobody guessed it is 1 and its error is unknown: that is refused."""
    counts = guesses.counts
    n = counts.sum()
    if counts[:, :-1].sum() == 0:
        raise refuse("James' index was not computed", "nobody made a guess", where="guess", code="too-few")
    share = counts / n
    if _expected_wrong(share) == 0:
        raise refuse(
            "James' index was not computed",
            "all who guessed were of one arm and guessed it",
            where="guess",
            code="constant",
        )
    value = _james(share)
    gradient = _gradient(share)
    spread = float(np.sum(share * gradient**2) - np.sum(share * gradient) ** 2)
    return _index("James", "all", value, spread, 0.5, int(n), level)


def _expected_wrong(share: FloatArray) -> float:
    guessed = share[:, :-1] / share[:, :-1].sum()
    own, named = guessed.sum(axis=1), guessed.sum(axis=0)
    return float(1 - own @ named)


def _james(share: FloatArray) -> float:
    unknown = share[:, -1].sum()
    guessed = share[:, :-1] / (1 - unknown)
    observed, expected = 1 - np.trace(guessed), _expected_wrong(share)
    return float(0.5 * (1 + unknown + (1 - unknown) * (observed - expected) / expected))


def _gradient(share: FloatArray) -> FloatArray:
    """∂JBI/∂p_ij on unconstrained shares (their sum enters nowhere else: the delta method above projects it out).

    With G = Σ guesses, W wrong guesses among all, r_i and c_j the arm and guess totals of guesses, S = Σ r_i c_i:
        JBI = ½(1 + P_DK + W G²/(G² − S) − G)
    """
    guesses = share[:, :-1]
    total, wrong = guesses.sum(), guesses.sum() - np.trace(guesses)
    own, named = guesses.sum(axis=1), guesses.sum(axis=0)
    rest = total**2 - own @ named
    # JBI in p: P_DK + (1−P_DK)(P_o/P_e − 1) with P_o = W/G, P_e = rest/G²; 1 − P_DK = G.
    product = wrong * total**2 / rest
    gradient = np.zeros_like(share)
    gradient[:, -1] = 0.5
    for i in range(guesses.shape[0]):
        for j in range(guesses.shape[1]):
            d_wrong = float(i != j)
            d_rest = 2 * total - named[i] - own[j]
            d_product = (d_wrong * total**2 + wrong * 2 * total) / rest - product / rest * d_rest
            gradient[i, j] = 0.5 * (d_product - 1)
    return gradient


def _index(name: str, arm: str, value: float, spread: float, at_random: float, n: int, level: float) -> Index:
    """`spread` is the variance times n."""
    if spread <= 1e-12:
        return Index(name, arm, float(value), None, None, None, None, n)
    se = float(np.sqrt(spread / n))
    half = float(stats.norm.ppf((1 + level) / 2)) * se
    p = float(2 * stats.norm.sf(abs(value - at_random) / se))
    return Index(name, arm, float(value), se, float(value - half), float(value + half), p, n)


@dataclass(frozen=True)
class ByGuess:
    """Difference of an outcome between arms, alone and with the guess in the model (least squares, or an intercept per person).

    The guess comes after treatment: what it takes away may be unblinding, or the treatment's own effect noticed.
    """

    estimate: float
    se: float
    p: float
    adjusted: float
    adjusted_se: float
    adjusted_p: float
    guess: float
    guess_se: float
    guess_p: float
    n: int


def outcome_by_guess(
    treated: FloatArray, guessed: FloatArray, outcome: FloatArray, *, person: Sequence[str] | None = None
) -> ByGuess:
    """`treated` and `guessed` are 0/1 (n each), `outcome` n numbers, complete rows. Where people have several rows, `person`
    says whose each is: a random intercept per person by REML, Satterthwaite's degrees of freedom.

    Refuses when everybody guessed alike, or exactly their own arm: the two cannot be told apart then.
    """
    n = len(outcome)
    if n < 5 or np.ptp(treated) == 0 or np.ptp(guessed) == 0 or abs(np.corrcoef(treated, guessed)[0, 1]) > 1 - 1e-12:
        raise refuse(
            "The outcome by guess was not computed",
            f"in {n} rows the guess does not vary apart from the arm",
            "More people, or guesses that differ, are needed",
            where="guess",
            code="collinear",
        )
    designs = (np.column_stack([np.ones(n), treated]), np.column_stack([np.ones(n), treated, guessed]))
    plain, both = (_least_squares(x, outcome) if person is None else _with_person(x, outcome, person) for x in designs)
    return ByGuess(*plain[1], *both[1], *both[2], n)


def _with_person(x: FloatArray, y: FloatArray, person: Sequence[str]) -> list[tuple[float, float, float]]:
    labels = ["intercept", "treated", "guess"][: x.shape[1]]
    return [(t.estimate, t.se, t.p) for t in fit_nested(y, x, labels, {"person": person}).coefficients]


def _least_squares(x: FloatArray, y: FloatArray) -> list[tuple[float, float, float]]:
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ (x.T @ y)
    df = len(y) - x.shape[1]
    residual = y - x @ beta
    se = np.sqrt(np.diag(inverse) * float(residual @ residual) / df)
    if (se == 0).any():
        raise refuse(
            "The outcome by guess was not computed", "the outcome does not vary", where="outcome", code="constant"
        )
    p = 2 * stats.t.sf(np.abs(beta / se), df)
    return [(float(b), float(s), float(q)) for b, s, q in zip(beta, se, p, strict=True)]
