"""What a report found, as drawings."""

from __future__ import annotations

from keel.outcomes.published_pools import Pool
from keel.outcomes.report_answer import Calendar, Course, Dots, Figure, Flows, Intervals, TimeTo
from keel.web.layout import charts
from keel.web.layout.charts import Chart

STATES = {"remission": "done", "response": "action", "neither": "soft", "missing": "unknown"}


def drawn(figure: Figure) -> Chart:
    """The wide and the narrow drawing of one figure."""
    if isinstance(figure, Course):
        return charts.trajectories(_course(figure))
    if isinstance(figure, Flows):
        stages = tuple(charts.Stage(label, counts) for label, counts in zip(figure.visits, figure.counts, strict=True))
        return charts.alluvial(charts.Alluvial(figure.title, STATES, stages, figure.flows))
    if isinstance(figure, TimeTo):
        ticks = _in_words(figure.end)
        tints = _tints(figure.colour)
        arms = tuple(
            charts.Survival(name, tints[i % len(tints)], steps, censored, _at_risk(followed, ticks))
            for i, (name, steps, censored, followed) in enumerate(figure.groups)
        )
        return charts.kaplan_meier(charts.KaplanMeier(figure.title, arms, figure.end, ticks, figure.up))
    if isinstance(figure, Dots):
        return charts.scatter(
            charts.Scatter(figure.title, figure.across, figure.up, figure.points, figure.fitted, figure.says)
        )
    if isinstance(figure, Calendar):
        return charts.year(charts.Year(figure.title, figure.year, dict(figure.days), figure.what))
    return charts.forest(_forest(figure))


def _course(figure: Course) -> charts.Trajectories:
    people = tuple(
        charts.Line("", figure.colour, tuple(charts.Point(visit, value) for visit, value in one))
        for one in figure.people
    )
    tints = _tints(figure.colour)
    means = tuple(
        charts.Line(name, tints[i % len(tints)], tuple(charts.Point(m.visit, m.value, m.low, m.high) for m in points))
        for i, (name, points) in enumerate(figure.means)
    )
    thresholds = tuple(charts.Threshold(value, label) for value, label in figure.thresholds)
    return charts.Trajectories(
        figure.title, figure.visits, people, means, figure.low, figure.high, thresholds, figure.doses
    )


def _tints(colour: str) -> tuple[str, ...]:
    """The measure's colour for the first group; with several, each arm needs its own to be told apart."""
    return (colour, *(other for other in ("alliance", "experience", "wellbeing", "trauma") if other != colour))


def _at_risk(followed: tuple[float, ...], ticks: tuple[tuple[float, str], ...]) -> tuple[tuple[float, int], ...]:
    return tuple((time, sum(t >= time for t in followed)) for time, _ in ticks)


def _forest(figure: Intervals) -> charts.Forest:
    rows = tuple(charts.Study(label, estimate, low, high) for label, estimate, low, high in figure.lines)
    return charts.Forest(figure.title, rows, none=figure.none, less=figure.less, more=figure.more)


def _in_words(end: float) -> tuple[tuple[float, str], ...]:
    """Times as the course says them: weeks, and months where the study is long."""
    if end > 180:
        months = max(1, round(end / 30.4375 / 5))
        return tuple((m * 30.4375, f"month {m}") for m in range(0, int(end / 30.4375) + 1, months))
    weeks = max(1, round(end / 7 / 5))
    return tuple((w * 7.0, f"week {w}") for w in range(0, int(end / 7) + 1, weeks))


# ---- the published trials -------------------------------------------------------------------------------------


def pooled_forest(pool: Pool) -> Chart:
    """Each study of a pool with its interval, the pooled effect and where the next study's would lie."""
    studies = tuple(charts.Study(s.label, s.effect, s.low, s.high, s.weight / 100) for s in pool.studies)
    found = pool.pooled
    limits = None
    if found.prediction_low is not None and found.prediction_high is not None:
        limits = (found.prediction_low, found.prediction_high)
    whole = charts.Study(f"{found.k} studies, {found.method}", found.estimate, found.ci_low, found.ci_high)
    title = f"{pool.title}: each study"
    return charts.forest(charts.Forest(title, studies, whole, limits, less=pool.less, more=pool.more, ratio=pool.ratio))


def pooled_funnel(pool: Pool) -> Chart:
    """The studies of a pool by effect and standard error; of ratios, their logarithms."""
    placed = tuple((s.label, s.effect, s.se) for s in pool.studies)
    reach = (pool.studies[0].high - pool.studies[0].effect) / pool.studies[0].se
    title = f"{pool.title}: effect and exactness"
    return charts.funnel(charts.Funnel(title, pool.definition, placed, pool.pooled.estimate, reach))
