"""Did the blinding hold: Bang's and James' index, and the outcome with and without the guess, from what people guessed."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import numpy as np
import polars as pl

from keel.domain.errors import Refused
from keel.domain.report import Report
from keel.outcomes.blinding import DONT_KNOW, Index, bang, james, outcome_by_guess, tally
from keel.outcomes.report_answer import (
    Draft,
    Intervals,
    Sight,
    Study,
    Table,
    between,
    counts_shown,
    few,
    measure_of,
    members,
    number,
    p_value,
    sentences,
)


def blinding(report: Report, study: Study, rows: pl.DataFrame, sight: Sight) -> Draft:
    draft = Draft()
    if len(study.arms) < 2:
        draft.refused.append("There is one arm: nothing was blinded.")
        return draft
    asked = _guesses(report, study, rows)
    if not asked.height:
        draft.numbers = {"asked": 0}
        draft.refused.append(
            "Nobody was asked what they believe they were given, so neither index exists. "
            f"Ask at the visit before the blind is opened, with a questionnaire that gives {report.guess}."
        )
        return draft
    arms, labels = asked["arm"].to_list(), dict(study.arms)
    counted = Counter(zip(arms, asked["guess"].to_list(), strict=True))
    names = [*(arm for arm, _ in study.arms), DONT_KNOW]
    shown = {arm: counts_shown({guess: counted[arm, guess] for guess in names}, sight) for arm, _ in study.arms}
    draft.withheld = any(n is None for cells in shown.values() for n in cells.values())
    if draft.withheld:
        # A row of noughts and one gap says what everybody of an arm guessed, and how many were asked fills the gaps.
        draft.numbers = {"asked": None}
        draft.refused.append(f"What people guessed is not shown: some of it is {few(sight)}.")
        return draft
    draft.numbers = {"asked": asked.height, "guesses": shown}
    lines = tuple((labels[arm], *(str(shown[arm][g]) for g in names)) for arm in shown)
    columns = ("Arm", *(f"Guessed {labels[g]}" for g in names[:-1]), "Did not know")
    draft.tables.append(Table("What people guessed", columns, lines))
    _indices(draft, report, arms, asked["guess"].to_list(), labels)
    _by_guess(draft, report, study, rows, asked)
    return draft


def _guesses(report: Report, study: Study, rows: pl.DataFrame) -> pl.DataFrame:
    """course, arm and the arm that was guessed (or not known), of everybody who was asked; the last answer counts."""
    names = {float(i): arm for i, (arm, _) in enumerate(study.arms, 1)} | {0.0: DONT_KNOW}
    own = members(rows, report).filter((pl.col("measure") == report.guess) & pl.col("arm").is_not_null())
    own = own.filter(pl.col("value").is_in(list(names))).sort("course", "on").unique("course", keep="last")
    guess = pl.col("value").replace_strict(names, return_dtype=pl.String).alias("guess")
    return own.select("course", "arm", guess).sort("course")


def _indices(draft: Draft, report: Report, arms: list[str], guesses: list[str], labels: dict[str, str]) -> None:
    asked = Counter(arms)
    scarce = [f"{asked[arm]} in {label}" for arm, label in labels.items() if asked[arm] < report.least_people]
    if scarce:
        said = f"{' and '.join(scarce)} said what they believe, and {report.least_people} in each arm are the least"
        draft.refused.append(f"The indices were not computed: {said}.")
        return
    found: list[Index] = []
    for one in (bang, james):
        try:
            result = one(tally(arms, guesses), level=report.confidence)
            found += result if isinstance(result, tuple) else (result,)
        except Refused as refused:
            draft.refused += sentences(refused)
    if not found:
        return
    draft.numbers["indices"] = [asdict(one) for one in found]
    draft.refused += [
        f"{one.name}'s index of {labels.get(one.arm, one.arm)} has no interval: all guessed alike, and its formula takes that for certainty."
        for one in found
        if one.se is None
    ]
    lines = tuple(
        (
            f"{one.name}, {labels.get(one.arm, one.arm)}",
            number(one.estimate, 2),
            "–" if one.ci_low is None or one.ci_high is None else between(one.ci_low, one.ci_high, 2),
            "–" if one.p is None else p_value(one.p),
            str(one.n),
        )
        for one in found
    )
    note = "Bang: 0 is guessing at random, 1 all right, −1 all wrong. James: 1 fully blind, ½ at random, 0 unblinded."
    draft.tables.append(Table("Indices", ("Index", "Estimate", "95% interval", "p of chance", "n"), lines, note))
    drawn = tuple(
        (f"Bang, {labels.get(one.arm, one.arm)}", one.estimate, one.ci_low, one.ci_high)
        for one in found
        if one.name == "Bang" and one.ci_low is not None and one.ci_high is not None
    )
    if drawn and report.shows("forest"):
        draft.figures.append(Intervals("Bang's index of each arm", drawn, 0.0, "guessed wrong", "guessed right"))


def _by_guess(draft: Draft, report: Report, study: Study, rows: pl.DataFrame, asked: pl.DataFrame) -> None:
    """The difference of the outcome between two arms, alone and with the guess."""
    judged, measure = study.judged, measure_of(report, study)
    if judged is None or measure is None or len(study.arms) != 2:
        return
    at = members(rows, report).filter(
        (pl.col("measure") == measure) & (pl.col("visit") == judged.visits[0]) & pl.col("change").is_not_null()
    )
    both = at.select("course", "change").join(asked.select("course", "arm", "guess"), on="course")
    both = both.filter(pl.col("guess") != DONT_KNOW).sort("course")
    first = study.arms[0][0]
    columns = [(both[name] == first).to_numpy().astype(np.float64) for name in ("arm", "guess")]
    try:
        found = outcome_by_guess(columns[0], columns[1], both["change"].to_numpy())
    except Refused as refused:
        draft.refused += sentences(refused)
        return
    draft.numbers["outcome_by_guess"] = asdict(found)
    lines = (
        ("Between the arms", number(found.estimate, 2), number(found.se, 2), p_value(found.p)),
        (
            "… with the guess in the model",
            number(found.adjusted, 2),
            number(found.adjusted_se, 2),
            p_value(found.adjusted_p),
        ),
        ("The guess itself", number(found.guess, 2), number(found.guess_se, 2), p_value(found.guess_p)),
    )
    columns_ = ("Change of the outcome", "Difference", "SE", "p")
    draft.tables.append(Table("The outcome by the guess", columns_, lines, f"n {found.n}, least squares."))
