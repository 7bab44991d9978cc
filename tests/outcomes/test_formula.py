"""Formulas against R's model.matrix: the same columns, in the same order, under the same names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.outcomes.columns import alphabetical, read_table
from keel.outcomes.formula import Factor, code, evaluate, parse_formula
from keel.outcomes.repeated import repeated_measures

TESTS = Path(__file__).parents[1]
DESIGNS = json.loads((TESTS / "reference" / "mmrm" / "design.json").read_text())
TRIAL = read_table(TESTS / "reference" / "data" / DESIGNS["data"])


@pytest.mark.parametrize("told", DESIGNS["designs"], ids=lambda told: told["formula"])
def test_columns_are_those_of_r(told: dict[str, Any]) -> None:
    data = repeated_measures(TRIAL, parse_formula(told["formula"]), visit="visit", subject="usubjid")
    names = told["names"] if isinstance(told["names"], list) else [told["names"]]
    assert list(data.coding.names) == names
    assert data.x.sum(0) == pytest.approx(np.atleast_1d(told["sums"]), rel=1e-12)


NONSENSE = ["", "chg", "~ arm", "chg ~", "chg ~ arm +", "chg ~ (arm", "chg ~ arm)", "chg ~ 2", "chg ~ f(arm)"]
NONSENSE += ["a ~ b ~ c", "chg ~ arm ^ 2.5", "chg ~ x[1]", "chg ~ 0", "chg ~ (1 | id)", "chg ~ " + "(" * 500]


@pytest.mark.parametrize("text", NONSENSE)
def test_nonsense_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(Refused, match="formula: The formula was not understood"):
        parse_formula(text)


@given(st.text("chg~+*:/^-() 01.`abI", max_size=40))
def test_any_text_is_a_formula_or_a_refusal(text: str) -> None:
    try:
        formula = parse_formula(text)
    except Refused as refused:
        assert refused.reasons[0].where == "formula"
    else:
        assert formula.terms


@given(st.permutations(["a", "b", "c"]))
def test_a_crossing_does_not_depend_on_the_order_of_its_factors(names: list[str]) -> None:
    factors = {n: Factor(np.arange(12) % (k + 2), tuple("uvwx"[: k + 2])) for k, n in enumerate("abc")}

    def columns(text: str) -> set[tuple[float, ...]]:
        formula = parse_formula(text)
        variables = {label: evaluate(piece, factors) for label, piece in formula.variables.items()}
        matrix = code(formula, variables).matrix(variables, 12)
        return {tuple(column) for column in matrix.T}

    assert columns("y ~ " + " * ".join(names)) == columns("y ~ a * b * c")


def test_words_are_sorted_as_r_sorts_them() -> None:
    """sort() of R 4.2.2 in C.UTF-8 (ICU's root collation)."""
    signs = ["-1", "(none)", "<5", "1:5", "10 mg", "10mg", "1mg", "25 mg", "25-mg", "25mg"]
    near = ["a", "A", "Ä", "a b", "a_b", "a-b", "a+b", "aab", "active", "b", "B placebo", "Beta"]
    doses = ["drug A", "drug1", "Drug10", "drug2", "drugA", "e", "é", "elan", "élan", "elbow"]
    told = [*signs, *near, *doses, "II", "iv", "IV", "placebo", "Placebo", "week 1", "Z", "Zeta", "α"]
    assert alphabetical(set(told)) == told
