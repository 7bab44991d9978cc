"""Effect sizes: both printed versions of Davis 2021 are recomputed, each under its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from keel.domain.errors import Refused
from keel.outcomes.effect_size import (
    cohens_d,
    effects,
    from_summary,
    glass_delta,
    noncentral_t_interval,
    small_sample_j,
    within_d,
)


def test_davis_2021_week_5_and_8_pooled_version() -> None:
    """Facts 1.1 version B: d 2.475 (1.38-3.54) and 2.569 (1.45-3.66); control minus immediate."""
    five = cohens_d(23.8, 5.4, 11, 8.0, 7.1, 13)
    eight = cohens_d(23.5, 6.0, 11, 8.5, 5.7, 13)
    assert [round(x, 2) for x in (five.estimate, five.ci_low, five.ci_high)] == [2.48, 1.38, 3.54]
    assert [round(x, 2) for x in (eight.estimate, eight.ci_low, eight.ci_high)] == [2.57, 1.45, 3.66]


def test_davis_2021_week_5_and_8_glass_version() -> None:
    """Facts 1.1 version A: 2.2 and 2.6, the difference over the treated arm's SD."""
    assert glass_delta(8.0, 13, 23.8, 11, sd=7.1, sd_of="treated").estimate == pytest.approx(-2.225, abs=5e-4)
    assert glass_delta(8.5, 13, 23.5, 11, sd=5.7, sd_of="treated").estimate == pytest.approx(-2.632, abs=5e-4)


def test_davis_2021_within_group_versions() -> None:
    """QIDS baseline to day 1: 10.4/3.5 = 2.97 and 10.4/√((3.5²+4.4²)/2) = 2.62."""
    given = {"m1": 16.7, "sd1": 3.5, "m2": 6.3, "sd2": 4.4, "n": 24, "r": 0.3}
    assert within_d(**given, kind="d_baseline").estimate == pytest.approx(2.97, abs=5e-3)
    assert within_d(**given, kind="d_av").estimate == pytest.approx(2.62, abs=5e-3)
    assert within_d(**given, kind="d_rm").estimate < within_d(**given, kind="d_av").estimate + 1e-9


def test_hedges_g_of_davis_is_the_databases() -> None:
    """Facts: week 5 -2.390 (SE .544), week 8 -2.481 (SE .553); that SE is of the uncorrected d."""
    for m1, sd1, m2, sd2, g, se in ((8.0, 7.1, 23.8, 5.4, -2.390, 0.544), (8.5, 5.7, 23.5, 6.0, -2.481, 0.553)):
        effect = from_summary("SMD-D", m1=m1, sd1=sd1, n1=13, m2=m2, sd2=sd2, n2=11)
        assert (effect.estimate, effect.se) == (pytest.approx(g, abs=6e-4), pytest.approx(se, abs=6e-4))


def test_j_is_the_ratio_that_makes_d_unbiased() -> None:
    """E[1/s] of a normal sample, by integration, is what J undoes."""
    for df in (3.0, 9.0, 22.0):
        mean, _ = integrate.quad(lambda x, m=df: math.sqrt(m / x) * stats.chi2.pdf(x, m), 0, np.inf)
        assert float(small_sample_j(df)) == pytest.approx(1 / mean, rel=1e-7)


@pytest.mark.parametrize(("t", "df"), [(0.0, 10), (2.3, 22), (-6.1, 22), (12.0, 40), (-0.4, 5)])
def test_the_noncentral_interval_puts_t_at_its_tails(t: float, df: int) -> None:
    low, high = noncentral_t_interval(t, df, 0.95)
    assert stats.nct.cdf(t, df, low) == pytest.approx(0.975, abs=1e-7)
    assert stats.nct.cdf(t, df, high) == pytest.approx(0.025, abs=1e-7)


@pytest.mark.parametrize(
    ("measure", "values", "says"),
    [
        ("SMD", {"m1": 1, "sd1": 0, "n1": 5, "m2": 1, "sd2": 1, "n2": 5}, "greater than zero"),
        ("RR", {"a": 9, "n1": 5, "c": 1, "n2": 5}, "more events than people"),
        ("ZCOR", {"r": 1, "n": 20}, "between -1 and 1"),
        ("ZCOR", {"r": 0.2, "n": 3}, "at least 4"),
        ("LORE", {}, "LORE"),
    ],
)
def test_the_impossible_is_refused(measure: str, values: dict[str, float], says: str) -> None:
    with pytest.raises(Refused, match=says):
        from_summary(measure, **values)


def test_a_study_without_events_in_either_arm_says_nothing_of_a_ratio() -> None:
    counts = {"a": np.array([0.0]), "n1": np.array([10.0]), "c": np.array([0.0]), "n2": np.array([10.0])}
    assert np.isnan(effects("RR", counts)[0][0])
    assert effects("RD", counts)[0][0] == 0
