"""What is missing, filled in many times under several assumptions: does the answer between arms depend on them?

    model        change from baseline at the visits after it that all arms share, baseline and arm at each (keel.outcomes.imputation)
    assumptions  missing at random; and as the reference arm would have fared (J2R, CIR, CR) where the report names them
    analysis     at the protocol's last endpoint visit, analysis of covariance with the baseline, Rubin's rules
    tipping      under missing at random, each of the report's deltas added to what was imputed outside the reference arm
A visit that has not come due is not missing: whoever has not reached the endpoint visit is not in the analysis.
The reference is the arm that the report names, else the last that the protocol lists (a house rule: ours list it last).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

import polars as pl

from keel.domain.errors import Refused
from keel.domain.report import Report
from keel.outcomes.estimand import Estimand, IntercurrentEvent
from keel.outcomes.imputation import (
    Parameters,
    Repeated,
    Result,
    draw_parameters,
    lay_out,
    tipping,
)
from keel.outcomes.progress import step
from keel.outcomes.report_answer import (
    HAPPENED,
    Draft,
    Intervals,
    Judged,
    Sight,
    Study,
    Table,
    after_baseline,
    between,
    few,
    measure_of,
    members,
    number,
    p_value,
    sentences,
)

ASSUMED = {
    "MAR": "Missing at random",
    "J2R": "Jump to reference",
    "CIR": "Copy increments in reference",
    "CR": "Copy reference",
    "LMCF": "Last mean carried forward",
}
SIGNIFICANT = 0.05


def missing_data(report: Report, study: Study, rows: pl.DataFrame, sight: Sight) -> Draft:
    draft = Draft()
    judged, measure = study.judged, measure_of(report, study)
    if study.allocation != "randomised" or judged is None or measure is None:
        why = "its arms were not randomised against each other" if judged else "it names nothing that it is judged by"
        draft.refused.append(f"There is no difference between arms to question: {why}.")
        return draft
    reference = report.reference or study.arms[-1][0]
    if reference not in dict(study.arms):
        draft.refused.append(f"The report's reference {reference!r} is no arm of {study.protocol}.")
        return draft
    table, visits, early = _table_of(report, study, judged, measure, rows)
    people = table["course"].n_unique()
    if not sight.rows and people < 2 * sight.least:
        draft.withheld = True
        draft.refused.append(f"The comparison of arms is withheld: it rests on few people ({few(sight)}).")
        return draft
    if people < report.least_people * len(study.arms):
        said = f"{people} people have" if sight.rows else "few people have"
        least = report.least_people * len(study.arms)
        draft.refused.append(
            f"Nothing was imputed: {said} come to “{dict(study.visits)[judged.visits[-1]]}” or should have, and {least} are the least."
        )
        return draft
    try:
        trial = lay_out(
            table, subject="course", visit="visit", arm="arm", outcome="change", covariates=["baseline"], visits=visits
        )
        draws = draw_parameters(trial, report.imputations, seed=report.seed)
        found, tipped = _answers(report, study, trial, draws, reference)
    except Refused as refused:
        draft.refused += [f"Nothing was imputed. {why}" for why in sentences(refused)]
        return draft
    draft.numbers = {
        "measure": measure,
        "population": report.population,
        "visit": visits[-1],
        "reference": reference,
        "imputations": report.imputations,
        "seed": report.seed,
        "people": people,
        "results": [asdict(one) for one in found],
        "tipping": [asdict(one) for _, one in tipped],
    }
    _show(draft, report, study, visits[-1], reference, found, tipped, people)
    if early and sight.rows:
        draft.refused.append(
            f"{early} people have not reached {dict(study.visits)[visits[-1]]} yet and are not in the analysis."
        )
    draft.estimand = _estimand(report, study, judged, dict(study.visits)[visits[-1]])
    return draft


def _table_of(
    report: Report, study: Study, judged: Judged, measure: str, rows: pl.DataFrame
) -> tuple[pl.DataFrame, list[str], int]:
    """One row per person and visit up to the endpoint, an empty change where it is missing; and how many are not there yet."""
    end = judged.visits[-1]
    own = members(rows, report).filter(
        (pl.col("measure") == measure)
        & pl.col("arm").is_not_null()
        & pl.col("baseline").is_not_null()
        & pl.col("state").is_in(["observed", "missing", "not due"])
    )
    order = [visit for visit, _ in study.visits if visit in set(own["visit"].unique().to_list())]
    after = after_baseline(order, judged)
    after = after[: after.index(end) + 1] if end in after else after
    early = own.filter((pl.col("visit") == end) & (pl.col("state") == "not due"))["course"].unique()
    table = own.filter(pl.col("visit").is_in(after) & ~pl.col("course").is_in(early.implode()))
    seen = table.filter(pl.col("change").is_not_null()).group_by("visit").agg(pl.col("arm").n_unique().alias("arms"))
    shared = set(seen.filter(pl.col("arms") == len(study.arms))["visit"].to_list())
    visits = [visit for visit in after if visit in shared]
    return table.filter(pl.col("visit").is_in(visits)).sort("course", "visit_order"), visits, len(early)


def _answers(
    report: Report, study: Study, trial: Repeated, draws: Parameters, reference: str
) -> tuple[list[Result], list[tuple[float, Result]]]:
    others = [arm for arm, _ in study.arms if arm != reference and arm in trial.arms]
    found: list[Result] = []
    tipped: list[tuple[float, Result]] = []
    asked = [(arm, name) for arm in others for name in report.strategies]
    for place, (arm, name) in enumerate(asked):
        step("Imputing and analysing", place, len(asked))
        one = partial(tipping, trial, draws, arm=arm, reference=reference, strategy=name, seed=report.seed)
        found += one([0.0], level=report.confidence)
        if name == "MAR" and report.deltas:
            tipped += zip(report.deltas, one(report.deltas, level=report.confidence), strict=True)
    return found, tipped


def _show(
    draft: Draft,
    report: Report,
    study: Study,
    visit: str,
    reference: str,
    found: Sequence[Result],
    tipped: Sequence[tuple[float, Result]],
    people: int,
) -> None:
    arms, label = dict(study.arms), dict(study.visits)[visit]
    several = len({one.arm for one in found}) > 1
    said = {id(one): (f"{arms[one.arm]}: " if several else "") + ASSUMED[one.strategy] for one in found}
    columns = ("Assumption", "Difference", "95% interval", "SE", "df", "p")
    lines = tuple((said[id(one)], *_cells(one)) for one in found)
    note = (
        f"Each arm minus {arms[reference]}, change at {label}, adjusted for the baseline. {report.imputations} imputations, "
        f"seed {report.seed}, Rubin's rules; {people} people."
    )
    draft.tables.append(Table("The difference, by what is assumed of what is missing", columns, lines, note))
    drawn = tuple((said[id(one)], one.estimate, one.ci_low, one.ci_high) for one in found)
    if report.shows("forest"):
        draft.figures.append(
            Intervals("The difference under each assumption", drawn, 0.0, "lower than reference", "higher")
        )
    if tipped:
        rows = tuple(((f"{arms[one.arm]}, " if several else "") + f"{delta:+g}", *_cells(one)) for delta, one in tipped)
        draft.tables.append(Table("Tipping point", ("Added to what was imputed", *columns[1:]), rows, _tip(tipped)))


def _cells(one: Result) -> tuple[str, ...]:
    return (
        number(one.estimate, 2),
        between(one.ci_low, one.ci_high, 2),
        number(one.se, 2),
        number(one.df, 1),
        p_value(one.p),
    )


def _tip(tipped: Sequence[tuple[float, Result]]) -> str:
    at = next((delta for delta, one in tipped if one.p >= SIGNIFICANT), None)
    if at is None:
        return f"p stays below {SIGNIFICANT:g} for all of these."
    return (
        f"p is {SIGNIFICANT:g} or more from {at:+g} on: judge whether people who left could have fared so much worse."
    )


def _estimand(report: Report, study: Study, judged: Judged, visit: str) -> tuple[str, ...]:
    return Estimand(
        population=f"{report.population.replace('_', ' ')}, with a baseline",
        treatment=" against ".join(label for _, label in study.arms),
        variable=f"change of {judged.measure} from baseline at {visit}",
        intercurrent_events=(IntercurrentEvent(HAPPENED, "treatment policy"),),
        summary="difference of adjusted means; values that were not obtained are imputed as each line of the table says",
    ).sentences()
