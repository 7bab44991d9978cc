"""Least-squares means, their contrasts, and tests of whole terms, from a fitted MMRM.

A least-squares mean is the model's prediction on a reference grid: every level of every factor, covariates at
their mean over the rows used (a covariate of two values keeps both, as in R's emmeans), averaged over what is
not asked for with
    equal           the same weight for each point of the grid (emmeans and SAS by default)
    proportional    the frequency of each combination of the factors averaged over, among the rows used
    counterfactual  the mean prediction over the rows used, had they all been in that arm at that visit
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from keel.domain.errors import refuse
from keel.outcomes.covariance import Array
from keel.outcomes.df import Estimate, JointTest
from keel.outcomes.formula import Column, Factor, evaluate, is_factor_call, names_in
from keel.outcomes.mmrm import MMRM

WEIGHTS = ("equal", "proportional", "counterfactual")
CONTRASTS = ("revpairwise", "pairwise", "trt.vs.ctrl", "none")

Levels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Mean:
    """A least-squares mean at `levels` ((column, level), ...); `row` (columns of the design,) makes it."""

    levels: Levels
    row: Array
    estimate: Estimate | None


@dataclass(frozen=True)
class Contrast:
    """The difference of two least-squares means, `of` minus `against`, at the `by` levels."""

    label: str
    by: Levels
    row: Array
    estimate: Estimate | None


def ls_means(fit: MMRM, of: str, *, by: str | None = None, weights: str = "equal") -> list[Mean]:
    """Least-squares means of the factor `of`, at each level of the factor `by`; None where not estimable."""
    asked = [of, *([by] if by else [])]
    levels = [_factor(fit, name).levels for name in reversed(asked)]
    if of == by:
        raise refuse("No least-squares means were computed", f"{of!r} is asked for by itself", where="lsmeans")
    if weights not in WEIGHTS:
        raise refuse(f"There is no weighting {weights!r}", f"Known are {', '.join(WEIGHTS)}", where="weights")
    grid = None if weights == "counterfactual" else _grid(fit, weights == "proportional", asked)
    points = [dict(zip(reversed(asked), point, strict=True)) for point in product(*levels)]
    rows = np.array([_counterfactual(fit, point) if grid is None else grid.mean(point) for point in points])
    return [
        Mean(tuple((name, point[name]) for name in asked), row, estimate)
        for point, row, estimate in zip(points, rows, fit.estimates(rows), strict=True)
    ]


def contrasts(fit: MMRM, means: Sequence[Mean], *, kind: str = "revpairwise") -> list[Contrast]:
    """Differences between means that share their `by` level.

    `revpairwise` later minus earlier level (treatment minus control when control sorts first), `pairwise` the
    other way round, `trt.vs.ctrl` each level minus the first. Not adjusted for multiplicity.
    """
    if kind not in CONTRASTS:
        raise refuse(f"There is no contrast {kind!r}", f"Known are {', '.join(CONTRASTS)}", where="contrasts")
    found: list[tuple[str, Levels, Array]] = []
    for by in dict.fromkeys(mean.levels[1:] for mean in means):
        here = [mean for mean in means if mean.levels[1:] == by]
        for first, second in _pairs(here, kind):
            found.append((f"{first.levels[0][1]} - {second.levels[0][1]}", by, first.row - second.row))
    if not found:
        return []
    done = fit.estimates(np.array([row for _, _, row in found]))
    return [Contrast(label, by, row, one) for (label, by, row), one in zip(found, done, strict=True)]


def _pairs(means: Sequence[Mean], kind: str) -> list[tuple[Mean, Mean]]:
    if kind == "none":
        return []
    if kind == "trt.vs.ctrl":
        return [(mean, means[0]) for mean in means[1:]]
    pairs = list(combinations(means, 2))
    return pairs if kind == "pairwise" else [(second, first) for first, second in pairs]


def joint_tests(fit: MMRM) -> list[tuple[str, JointTest | None]]:
    """F test of each term: contrasts between the least-squares means of its factors, with the slope of its covariates.

    With equal weights, so the same hypotheses as SAS's type III where every combination of levels was seen.
    """
    grid = _grid(fit, proportional=False, asked=())
    out = []
    for term in fit.data.formula.terms:
        if term:
            out.append((":".join(term), fit.joint_test(grid.hypotheses(term))))
    return out


def reduced_tests(fit: MMRM, tests: Sequence[tuple[str, JointTest | None]]) -> list[str]:
    """A sentence for each test that compares less than its term has, because a combination of levels has no data."""
    if fit.kept.all():
        return []
    grid = _grid(fit, proportional=False, asked=())
    told = []
    for (name, test), term in zip(tests, (term for term in fit.data.formula.terms if term), strict=True):
        whole = int(np.linalg.matrix_rank(grid.hypotheses(term)))
        if test is not None and test.num_df < whole:
            told.append(
                f"The test of {name} has {test.num_df} of {whole} degrees of freedom: what the cells without data leave."
            )
    return told


def _factor(fit: MMRM, name: str) -> Factor:
    column = fit.data.columns.get(name)
    if isinstance(column, Factor):
        return column
    factors = [label for label, one in fit.data.columns.items() if isinstance(one, Factor)]
    why = "it is a covariate" if column is not None else "it is not in the formula"
    raise refuse(
        f"No least-squares means of {name!r} were computed",
        f"{why}; the factors of this model are {', '.join(factors) or 'none'}",
        "Name one of the factors, or write factor(...) in the formula",
        where="lsmeans",
        code="not_a_factor",
    )


@dataclass(frozen=True)
class Grid:
    """All points of the reference grid. `index` (points, columns) of the level of each column; `x` their design."""

    fit: MMRM
    names: tuple[str, ...]
    values: tuple[tuple[float, ...] | tuple[str, ...], ...]
    index: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    x: Array
    weight: Array

    def mean(self, point: Mapping[str, str]) -> Array:
        chosen = np.ones(len(self.index), dtype=bool)
        for name, level in point.items():
            at = self.names.index(name)
            chosen &= self.index[:, at] == self.values[at].index(level)
        weight = self.weight * chosen
        return np.asarray(weight @ self.x / weight.sum())

    def hypotheses(self, term: tuple[str, ...]) -> Array:
        """Rows whose nullity is the hypothesis of a term: differences of the levels of its factors, multiplied.

        Where the model lacks a margin of the term (`visit + arm:visit` has no `arm`), all that the cells of its factors
        can differ by beyond the margins that are there: the arms at each visit.
        """
        names = {name for label in term for name in _names(self.fit, label)}
        varied = [at for at, name in enumerate(self.names) if name in names and len(self.values[at]) > 1]
        columns = self.fit.data.columns
        factors = [at for at in varied if isinstance(columns[self.names[at]], Factor)]
        if self._has_all_margins(term):
            parts = [self._differences(at) for at in varied]
        else:
            parts = [
                self._beyond_margins(term, factors),
                *(self._differences(at) for at in varied if at not in factors),
            ]
        rows = np.array(
            [np.prod(combination, axis=0) for combination in product(np.ones((1, len(self.index))), *parts)]
        )
        slope = self._slope(names)
        return np.asarray(rows @ slope / len(self.index))

    def _differences(self, at: int) -> Array:
        level = self._cells([at])
        return np.asarray(level[1:] - level[0])

    def _cells(self, at: Sequence[int]) -> Array:
        """For each combination of the levels of some columns, 1 at its points of the grid (combinations, points)."""
        levels = [np.eye(len(self.values[k]))[self.index[:, k]].T for k in at]
        return np.array([np.prod(one, axis=0) for one in product(np.ones((1, len(self.index))), *levels)])

    def _has_all_margins(self, term: tuple[str, ...]) -> bool:
        others = [set(one) for one in self.fit.data.formula.terms if not set(term) <= set(one)]
        factors = [label for label in term if label in self.fit.data.coding.levels]
        return len(term) == 1 or all(any(set(term) - {label} <= one for one in others) for label in factors)

    def _beyond_margins(self, term: tuple[str, ...], factors: Sequence[int]) -> Array:
        levels = self.fit.data.coding.levels
        slopes = {label for label in term if label not in levels}
        terms = {() if not slopes else term, *self.fit.data.formula.terms}
        below = [set(one) for one in terms if set(one) < set(term) and {x for x in one if x not in levels} == slopes]
        cells = self._cells(factors)
        margins = [np.zeros((1, len(cells)))]
        for one in below:
            inside = {name for label in one for name in _names(self.fit, label)}
            margin = self._cells([at for at in factors if self.names[at] in inside])
            margins.append(np.asarray((margin @ cells.T) > 0, dtype=np.float64))
        span = np.vstack(margins)
        return np.asarray((np.eye(len(cells)) - np.linalg.pinv(span) @ span) @ cells)

    def _slope(self, names: set[str]) -> Array:
        """The design, differenced over a unit of each covariate of the term. Where a unit leaves the domain of a function (the
        logarithm of a share), or is lost beside the values, over a thousandth of the spread: it is zero in the same place."""
        covariates = {n: one for n, one in self.fit.data.columns.items() if n in names and not isinstance(one, Factor)}
        numeric = [n for n in covariates if self._is_mean(n)]
        out = self._differenced(dict.fromkeys(numeric, 0.5))
        if numeric and not (np.isfinite(out).all() and out.any()):
            out = self._differenced({n: 1e-3 * float(np.std(covariates[n])) for n in numeric})
        return out

    def _differenced(self, half: Mapping[str, float]) -> Array:
        out = np.zeros_like(self.x)
        for signs in product((1.0, -1.0), repeat=len(half)):
            shift = {name: sign * step for sign, (name, step) in zip(signs, half.items(), strict=True)}
            out += float(np.prod(signs)) * _design(self.fit, self.names, self.values, self.index, shift)
        return out

    def _is_mean(self, name: str) -> bool:
        return len(self.values[self.names.index(name)]) == 1


def _names(fit: MMRM, label: str) -> tuple[str, ...]:
    return names_in(fit.data.formula.variables[label])


def _grid(fit: MMRM, proportional: bool, asked: Sequence[str]) -> Grid:
    names = tuple(fit.data.columns)
    called = {n for piece in fit.data.formula.variables.values() if is_factor_call(piece) for n in names_in(piece)}
    values = tuple(_reference(column, name in called) for name, column in fit.data.columns.items())
    index = np.array(list(product(*(range(len(value)) for value in values))), dtype=np.int64)
    index = index.reshape(len(index), len(names))
    x = _design(fit, names, values, index, {})
    weight = np.ones(len(index))
    if proportional:
        averaged = [at for at, name in enumerate(names) if name not in asked and len(values[at]) > 1]
        weight = _frequency(fit, names, values, index, averaged)
    return Grid(fit, names, values, index, x, weight)


def _reference(column: Column, is_factor_too: bool) -> tuple[float, ...] | tuple[str, ...]:
    """The levels of a factor, the mean of a covariate; all values of one that has two, or stands in factor() as well."""
    if isinstance(column, Factor):
        return column.levels
    distinct = np.unique(column)
    return tuple(float(v) for v in distinct) if len(distinct) == 2 or is_factor_too else (float(column.mean()),)


def _design(
    fit: MMRM,
    names: tuple[str, ...],
    values: tuple[tuple[float, ...] | tuple[str, ...], ...],
    index: np.ndarray[tuple[int, int], np.dtype[np.int64]],
    shift: Mapping[str, float],
) -> Array:
    columns: dict[str, Column] = {}
    for at, name in enumerate(names):
        original = fit.data.columns[name]
        if isinstance(original, Factor):
            columns[name] = Factor(index[:, at], original.levels)
        else:
            columns[name] = np.array(values[at], dtype=np.float64)[index[:, at]] + shift.get(name, 0.0)
    return _evaluated(fit, columns, len(index))


def _evaluated(fit: MMRM, columns: Mapping[str, Column], rows: int) -> Array:
    variables = {label: evaluate(piece, columns) for label, piece in fit.data.formula.variables.items()}
    return fit.data.coding.matrix(variables, rows)


def _frequency(
    fit: MMRM,
    names: tuple[str, ...],
    values: tuple[tuple[float, ...] | tuple[str, ...], ...],
    index: np.ndarray[tuple[int, int], np.dtype[np.int64]],
    averaged: Sequence[int],
) -> Array:
    shape = [len(values[at]) for at in averaged]
    if not shape:
        return np.ones(len(index))
    seen = []
    for at in averaged:
        column = fit.data.columns[names[at]]
        seen.append(column.codes if isinstance(column, Factor) else np.searchsorted(np.array(values[at]), column))
    counts = np.zeros(shape)
    np.add.at(counts, tuple(seen), 1.0)
    return np.asarray(counts[tuple(index[:, at] for at in averaged)])


def _counterfactual(fit: MMRM, point: Mapping[str, str]) -> Array:
    columns = dict(fit.data.columns)
    rows = len(fit.data.y)
    for name, level in point.items():
        factor = columns[name]
        assert isinstance(factor, Factor)
        columns[name] = Factor(np.full(rows, factor.levels.index(level), dtype=np.int64), factor.levels)
    return np.asarray(_evaluated(fit, columns, rows).mean(0))
