"""Published evidence: what trials printed, what comes out of their own numbers, and the trials pooled."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import escape
from django.utils.safestring import SafeString

from keel.domain.events import Actor
from keel.outcomes.published import Compared
from keel.outcomes.published_pools import NO_MODEL, Comparison, Given, Group, Pool, PooledStudy, tally
from keel.queries import insight
from keel.web.insight.figures import pooled_forest, pooled_funnel
from keel.web.layout.charts import Chart
from keel.web.layout.charts.canvas import shown
from keel.web.layout.page import page

# What may be asked for, in the words of the page.
WHICH = {
    "": "Every number",
    "differs": "What does not come out the same",
    "not_computed": "What cannot be computed here",
    "unverified": "What was not checked at its source",
}
STATES = {
    "same": ("clear", "the same"),
    "differs": ("caution", "differs"),
    "not_computed": ("unknown", "not computed"),
}
PARTS = {
    "printed": "estimate",
    "low": "lower end",
    "high": "upper end",
    "ci_low": "lower end",
    "ci_high": "upper end",
    "tau2": "τ²",
    "tau2_low": "τ², lower end",
    "tau2_high": "τ², upper end",
    "tau_median": "τ, median",
    "i2": "I², percent",
    "q": "Q",
    "statistic": "t",
    "sd": "SD",
    "se": "standard error",
    "between": "variance between studies",
    "within": "variance within studies",
    "rr": "risk ratio",
    "prediction_low": "lower end",
    "prediction_high": "upper end",
}


@dataclass(frozen=True)
class Line:
    """One printed number as the page shows it, beside ours."""

    part: str
    printed: str
    ours: str
    state: str
    label: str


@dataclass(frozen=True)
class Shown:
    """A comparison with its lines in words."""

    comparison: Comparison
    source: SafeString
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Section:
    """One trial or pool as the page shows it."""

    group: Group
    said: str
    shown: tuple[Shown, ...]
    given: tuple[tuple[SafeString, tuple[Given, ...]], ...]
    pooled: Pooled | None


@dataclass(frozen=True)
class Pooled:
    """A pool as the page shows it: drawings, facts in words, and each study with its effect in words."""

    forest: Chart
    funnel: Chart
    facts: tuple[tuple[str, str], ...]
    studies: tuple[tuple[PooledStudy, str], ...]
    source: SafeString


@page("see_insight")
def show(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    seen = insight.published(by=by)
    trial, which = request.GET.get("trial", ""), request.GET.get("which", "")
    sections = [_section(group) for group in (_only(g, which) for g in seen.groups if trial in ("", g.id)) if group]
    context = {
        "page_title": "Published evidence",
        "seen": seen,
        "sections": sections,
        "trial": trial,
        "opened": bool(trial or which),
        "which": which,
        "choices": WHICH,
        "no_model": NO_MODEL,
    }
    return render(request, "insight/published.html", context)


@page("see_insight")
def numbers(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """Everything on the page as JSON."""
    text = json.dumps(insight.published(by=by).numbers, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return _file(text, "application/json", "published-evidence.json")


@page("see_insight")
def data(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """The inputs as CSV, one line per arm."""
    return _file(insight.published(by=by).data_csv, "text/csv", "published-data.csv")


@page("see_insight")
def comparisons(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    """Printed and recomputed numbers side by side as CSV."""
    return _file(insight.published(by=by).comparisons_csv, "text/csv", "published-comparisons.csv")


def _file(text: str, kind: str, name: str) -> HttpResponse:
    response = HttpResponse(text, content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _only(group: Group, which: str) -> Group | None:
    """The group with what was asked for; None where nothing of it was."""
    if which not in WHICH or not which:
        return group
    found = tuple(c for c in group.comparisons if (not c.verified if which == "unverified" else c.verdict == which))
    differences = group.differences if which == "not_computed" else ()
    return replace(group, comparisons=found, differences=differences) if found or differences else None


def _section(group: Group) -> Section:
    shown = tuple(
        Shown(one, _breakable(one.source), tuple(_line(line) for line in one.lines)) for one in group.comparisons
    )
    sources = dict.fromkeys((one.source, one.verified) for one in group.given)
    given = tuple(
        (_breakable(source), tuple(one for one in group.given if (one.source, one.verified) == (source, verified)))
        for source, verified in sources
    )
    return Section(group, _said(group), shown, given, _pooled(group.pool) if group.pool else None)


def _said(group: Group) -> str:
    """What came of the group's numbers, in one line."""
    lines = tuple(line for one in group.comparisons for line in one.lines)
    found = tally(lines)
    parts = [
        f"{found[key]} {words}"
        for key, words in (("differs", "differ"), ("not_computed", "not computed"))
        if found[key]
    ]
    if group.differences:
        many = len(group.differences)
        parts.append(f"{many} difference{'s' if many > 1 else ''} of model means")
    if found["same"]:
        parts.insert(0, "all the same" if found["same"] == len(lines) else f"{found['same']} the same")
    whole = f"{len(lines)} printed number{'s' if len(lines) != 1 else ''}" if lines else ""
    return ": ".join(filter(None, (whole, ", ".join(parts)))) or "nothing printed to compare"


def _breakable(text: str) -> SafeString:
    """A source whose long addresses may go on in the next line after a stroke."""
    return SafeString("/<wbr>".join(escape(text).split("/")))


def _pooled(pool: Pool) -> Pooled:
    studies = tuple((study, f"{shown(study.effect, 3)} ({shown(study.se, 3)})") for study in pool.studies)
    return Pooled(pooled_forest(pool), pooled_funnel(pool), _facts(pool), studies, _breakable(pool.source))


def _line(line: Compared) -> Line:
    verdict = "same" if line.agrees else "not_computed" if line.recomputed is None else "differs"
    ours = "–" if line.recomputed is None else shown(line.recomputed, line.digits + 1)
    part = PARTS.get(line.part, line.part.replace("_", " "))
    return Line(part, shown(line.printed, line.digits), ours, *STATES[verdict])


def _facts(pool: Pool) -> tuple[tuple[str, str], ...]:
    """The pooled effect and what the studies disagree about, in words."""
    found, forest = pool.pooled, pool.written
    tests = {"z": "normal test", "t": "Student's test", "knha": "Knapp–Hartung test"}
    facts = [
        (
            "Model",
            f"{'fixed effect' if found.method == 'FE' else 'random effects'}, {found.method}, {tests[found.test]}",
        ),
        (
            "Effect",
            f"{'ratio of ' if pool.ratio else ''}{forest(found.estimate)} [{forest(found.ci_low)}, {forest(found.ci_high)}], {_p(found.p)}",
        ),
    ]
    if found.prediction_low is not None and found.prediction_high is not None:
        facts.append(
            (
                "Prediction interval",
                f"[{forest(found.prediction_low)}, {forest(found.prediction_high)}]: where the effect of the next study would lie",
            )
        )
    facts.append(("Heterogeneity", f"Q {shown(found.q, 2)} on {found.q_df}, {_p(found.q_p)}"))
    if pool.intervals:
        between = pool.intervals
        facts.append(("τ²", f"{shown(found.tau2, 4)} [{shown(between.tau2_low, 4)}, {shown(between.tau2_high, 4)}]"))
        facts.append(("I²", f"{shown(found.i2, 1)} % [{shown(between.i2_low, 1)}, {shown(between.i2_high, 1)}]"))
    if pool.egger:
        e = pool.egger
        facts.append(
            (
                "Egger's test",
                f"slope {shown(e.slope, 2)} on the standard error, t {shown(e.statistic, 2)} on {shown(e.df)}, {_p(e.p)}",
            )
        )
    return tuple(facts)


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p {shown(p, 3)}"
