"""A participant's chart: the journey, the scores, what is open, what stands, who looked."""

from __future__ import annotations

from datetime import date, datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from keel.actions.course import look
from keel.domain import access
from keel.domain.events import Actor
from keel.queries import course as courses
from keel.queries import forms
from keel.queries.course import PHASE_WORDS, Chart, Series, VisitLine
from keel.web.course.tabs import tabs
from keel.web.layout import charts
from keel.web.layout.page import page

_PHASES = ("screening", "preparation", "dosing", "integration", "follow_up")
# What an instrument is about: the same construct has the same colour everywhere.
_CONSTRUCT = {
    **dict.fromkeys(("grid-hamd-17", "madrs", "phq-9", "qids-sr16", "bdi-ii", "zung-sds"), "depression"),
    **dict.fromkeys(("gad-7", "ham-a", "stai-s", "stai-t", "hads"), "anxiety"),
    **dict.fromkeys(("caps-5", "pcl-5"), "trauma"),
    **dict.fromkeys(("wai-sr", "wai-s", "star-p", "star-c"), "alliance"),
    **dict.fromkeys(("meq30", "ceq-challenging", "piq", "piq-28", "ebi", "edi", "asc-11"), "experience"),
}


@page("see_chart")
def show(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    seen = courses.chart(course=course, by=by, at=at)
    look(course=course, page="chart", by=by, at=at)
    return render(
        request,
        "course/chart.html",
        {
            "page_title": f"{seen.strip.code} {seen.strip.name}".strip(),
            "seen": seen,
            "course": seen.strip,
            "tabs": tabs(course, by, "chart"),
            "may_end": access.may(by, "withdraw"),
            "phases": _phases(seen) if seen.phase else [],
            "journey": charts.journey(_journey(seen)) if seen.lines else None,
            "scores": [(forms.title(s.instrument), charts.scores(_scores(seen, s))) for s in seen.series],
        },
    )


def _phases(seen: Chart) -> list[dict[str, object]]:
    order = ["enquiry", *_PHASES, "ended"]
    here = order.index(seen.phase)
    return [
        {"label": PHASE_WORDS[p], "says": "", "state": "done" if i < here else "", "current": i == here}
        for i, p in enumerate(order[:-1] if seen.phase != "ended" else order)
    ]


def _journey(seen: Chart) -> charts.Journey:
    """The visits as days since enrolment (since today where nobody is enrolled yet)."""
    start = seen.enrolled_on or seen.today
    visits = [v for line in seen.lines if (v := _drawn(line, start)) is not None]
    return charts.Journey(
        title="The course",
        phases=_stretches(seen, start),
        visits=tuple(visits),
        ticks=_ticks(visits),
        today=float((seen.today - start).days),
    )


def _drawn(line: VisitLine, start: date) -> charts.Visit | None:
    planned = line.planned
    at = planned.done_on or planned.due_on or planned.earliest_on or planned.latest_on
    if at is None:
        return None
    day = float((at - start).days)
    return charts.Visit(
        label=planned.label,
        earliest=float((planned.earliest_on - start).days) if planned.earliest_on else day,
        latest=float((planned.latest_on - start).days) if planned.latest_on else day,
        at=day,
        state=planned.state,
        says=at.strftime("%-d %b"),
        dose=line.kind == "dosing",
    )


def _stretches(seen: Chart, start: date) -> tuple[charts.Phase, ...]:
    """Where each phase begins: at its first visit. The phases follow one another without a gap."""
    firsts: list[tuple[str, float]] = []
    for phase in _PHASES:
        days = [v.at for line in seen.lines if line.phase == phase and (v := _drawn(line, start))]
        if days:
            firsts.append((phase, min(days)))
    firsts.sort(key=lambda found: found[1])
    last = max((v.at for line in seen.lines if (v := _drawn(line, start))), default=0.0)
    edges = [day for _, day in firsts] + [last + 14]
    return tuple(
        charts.Phase(PHASE_WORDS[phase], edges[i], max(edges[i + 1], edges[i] + 1))
        for i, (phase, _) in enumerate(firsts)
    )


def _ticks(visits: list[charts.Visit]) -> tuple[tuple[float, str], ...]:
    """Weeks while the course is dense, months afterwards."""
    end = max((v.at for v in visits), default=0)
    weeks = [(7.0 * w, f"week {w}") for w in (0, 4, 8) if 7 * w <= end]
    months = [(30.4 * m, f"month {m}") for m in (3, 6, 12) if 30.4 * m <= end + 7]
    return tuple(weeks + months)


def _scores(seen: Chart, series: Series) -> charts.Scores:
    points = tuple(charts.Point(i, value) for i, (_, _, value) in enumerate(series.points))
    return charts.Scores(
        title=f"{forms.title(series.instrument)}, {series.score}",
        visits=tuple(label for _, label, _ in series.points),
        lines=(charts.Line(forms.title(series.instrument), _CONSTRUCT.get(series.instrument, "wellbeing"), points),),
        low=series.low,
        high=series.high,
        thresholds=tuple(charts.Threshold(value, label) for value, label in series.thresholds),
        doses=tuple(i for i, (visit, _, _) in enumerate(series.points) if visit in seen.doses),
    )


@page("see_journal")
def journal(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    strip, told = courses.journal_of(course=course, by=by, at=at)
    return render(
        request,
        "course/journal.html",
        {
            "page_title": f"Journal of {strip.code}",
            "course": strip,
            "told": told,
            "tabs": tabs(course, by, "course_journal"),
        },
    )
