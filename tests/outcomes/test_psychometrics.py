"""Reliability and agreement against published figures and other programs."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from statsmodels.multivariate.factor import Factor
from statsmodels.stats.inter_rater import cohens_kappa

from keel.domain.errors import Refused
from keel.outcomes.psychometrics import (
    answer_times,
    floor_and_ceiling,
    icc,
    missing_by_item,
    reliability,
    straight_lines,
    weighted_kappa,
)

# Shrout & Fleiss 1979 (Psychol Bull 86:420), table 2: six persons rated by four judges.
SHROUT_FLEISS = pl.DataFrame(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    schema=["j1", "j2", "j3", "j4"],
    orient="row",
)
# Estimates: their table 4. Intervals: R psych::ICC on the same table, as printed in its manual (two decimals).
PUBLISHED = {
    "1,1": (0.17, -0.13, 0.72),
    "2,1": (0.29, 0.02, 0.76),
    "3,1": (0.71, 0.34, 0.95),
    "1,k": (0.44, -0.88, 0.91),
    "2,k": (0.62, 0.07, 0.93),
    "3,k": (0.91, 0.68, 0.99),
}


@pytest.mark.parametrize("form", PUBLISHED)
def test_the_intraclass_correlations_are_those_published(form: str) -> None:
    found = icc(SHROUT_FLEISS, SHROUT_FLEISS.columns, form=form)
    assert (found.estimate, found.ci_low, found.ci_high) == pytest.approx(PUBLISHED[form], abs=0.0051)
    assert found.n == 6


def test_perfect_agreement_and_no_variation() -> None:
    same = pl.DataFrame({"a": [1, 2, 3, 5], "b": [1, 2, 3, 5]})
    assert icc(same, ["a", "b"]).estimate == 1
    assert icc(same.with_columns(a=1, b=1), ["a", "b"]).estimate is None
    assert icc(same.with_columns(b=pl.col("a") + 2), ["a", "b"], form="3,1").estimate == 1, (
        "consistency ignores a shift"
    )
    shifted = icc(same.with_columns(b=pl.col("a") + 2), ["a", "b"]).estimate
    assert shifted is not None and shifted < 0.8, "agreement does not"


@pytest.mark.parametrize("weights, theirs", [("none", None), ("linear", "linear"), ("quadratic", "fc")])
def test_kappa_is_that_of_statsmodels(weights: str, theirs: str | None) -> None:
    chance = np.random.default_rng(3)
    truth = chance.integers(0, 5, 120)
    first = pl.Series(truth)
    second = pl.Series(np.clip(truth + chance.integers(-1, 2, 120), 0, 4))
    table = np.zeros((5, 5))
    for a, b in zip(first, second, strict=True):
        table[a, b] += 1
    wanted = cohens_kappa(table, wt=theirs)
    found = weighted_kappa(first, second, codes=range(5), weights=weights)
    assert found.estimate == pytest.approx(wanted.kappa)
    assert found.ci_low == pytest.approx(wanted.kappa_low)
    assert found.ci_high == pytest.approx(min(wanted.kappa_upp, 1))


def test_kappa_leaves_out_what_only_one_rated_and_refuses_strange_codes() -> None:
    found = weighted_kappa(pl.Series([0, 1, None, 2]), pl.Series([0, 1, 2, None]), codes=[0, 1, 2])
    assert (found.n, found.estimate) == (2, 1)
    with pytest.raises(Refused, match="7 is not among the codes"):
        weighted_kappa(pl.Series([0, 7]), pl.Series([0, 1]), codes=[0, 1, 2])


def items(rows: int, loads: tuple[float, ...]) -> pl.DataFrame:
    chance = np.random.default_rng(11)
    factor = chance.normal(size=rows)
    return pl.DataFrame({f"i{n}": load * factor + chance.normal(size=rows) for n, load in enumerate(loads, 1)})


def test_omega_is_that_of_one_factor_by_maximum_likelihood() -> None:
    frame = items(400, (1.2, 0.8, 1.0, 0.5, 1.5))
    found = reliability(frame, frame.columns)
    fit = Factor(frame.to_numpy(), n_factor=1, method="ml").fit()
    loads = np.abs(fit.loadings[:, 0]) * frame.to_numpy().std(axis=0, ddof=1)
    rest = frame.to_numpy().var(axis=0, ddof=1) - loads**2
    assert found.loadings == pytest.approx(tuple(loads), abs=1e-3)
    assert found.omega == pytest.approx(loads.sum() ** 2 / (loads.sum() ** 2 + rest.sum()), abs=1e-4)


def test_alpha_and_omega_agree_where_all_items_load_alike() -> None:
    frame = items(4000, (1.0, 1.0, 1.0, 1.0))
    found = reliability(frame, frame.columns)
    assert found.alpha == pytest.approx(0.8, abs=0.02)
    assert found.omega == pytest.approx(found.alpha, abs=0.005)


def test_alpha_by_hand() -> None:
    """Variances 1, 1 and covariance 0.5 give 2 x (1 - 2 / 3)."""
    frame = pl.DataFrame({"a": [1.0, 2.0, 3.0, None], "b": [2.0, 1.0, 3.0, 3.0]})
    found = reliability(frame, ["a", "b"])
    assert found.alpha == pytest.approx(2 / 3)
    assert (found.omega, found.n, found.n_left_out) == (None, 3, 1)


def test_a_reversed_item_is_turned_first() -> None:
    frame = items(300, (1.0, 1.0, 1.0))
    turned = frame.with_columns(i2=4 - pl.col("i2"))
    plain, mended = reliability(frame, frame.columns), reliability(turned, frame.columns, reversed=["i2"], ends=4)
    assert mended.alpha == pytest.approx(plain.alpha)
    raw = reliability(turned, frame.columns).alpha
    assert raw is not None and plain.alpha is not None and raw < plain.alpha


def test_answers_that_do_not_vary_give_no_reliability() -> None:
    frame = pl.DataFrame({"a": [2, 2, 2, 2], "b": [1, 2, 3, 4], "c": [1, 1, 2, 2]})
    assert reliability(frame, ["a", "b"]).alpha is None
    assert reliability(frame.head(1), ["b", "c"]).alpha is None


def test_floor_ceiling_gaps_and_times() -> None:
    ends = floor_and_ceiling(pl.Series([0, 0, 5, 27, None]), low=0, high=27)
    assert (ends.floor, ends.ceiling, ends.n) == (0.5, 0.25, 4)
    assert floor_and_ceiling(pl.Series([None], dtype=pl.Int64), low=0, high=27).floor is None
    gaps = missing_by_item(pl.DataFrame({"1": [1, None], "2": [None, None]}), ["1", "2"])
    assert gaps.rows() == [("1", 1, 0.5), ("2", 2, 1.0)]
    times = answer_times(pl.DataFrame({"item": ["1", "1", "2"], "seconds": [2.0, 4.0, 9.0]}))
    assert times.select("item", "n", "median_s").rows() == [("1", 2, 3.0), ("2", 1, 9.0)]


def test_straight_lines_are_seen_and_a_blank_breaks_them() -> None:
    frame = pl.DataFrame(
        [[3, 3, 3, 3], [3, 3, 1, 1], [3, None, 3, 3], [None] * 4], schema=["1", "2", "3", "4"], orient="row"
    )
    found = straight_lines(frame, frame.columns)
    assert found.rows() == [(4, 4, True), (4, 2, False), (3, 2, False), (0, 0, False)]


def test_an_absent_column_is_refused() -> None:
    with pytest.raises(Refused, match="no column 9"):
        reliability(SHROUT_FLEISS, ["j1", "9"])


def test_omega_is_that_of_the_highest_likelihood_where_one_item_is_the_factor() -> None:
    """Eight people, six items: from its usual start the search ends on a lower top, where omega is .905.

    R 4.2.2 factanal(x, 1, control = list(nstart = 5)): omega .870354.
    """
    answers = [
        *([1, 1, 3, 3, 0, 2], [-2, -2, -3, -1, -1, -1], [-2, -1, 0, 0, -1, 1], [1, 1, 0, 1, 0, 0]),
        *([-1, -3, -1, -2, -1, 0], [-2, -1, -1, -1, 1, 0], [-1, 1, -2, 0, -1, -1], [0, 1, -1, 1, 0, 0]),
    ]
    items = [f"q{i}" for i in range(6)]
    found = reliability(pl.DataFrame(answers, schema=items, orient="row"), items)
    assert found.omega == pytest.approx(0.870353672, rel=1e-4)
    assert found.alpha == pytest.approx(0.870065359, rel=1e-8)
