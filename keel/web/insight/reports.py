"""The reports of each study, one report with its charts and numbers, and the same as PDF and as a folder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.domain import access
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.outcomes.progress import Stopped
from keel.outcomes.report_answer import Dots
from keel.queries import insight
from keel.web.insight import work
from keel.web.insight.figures import drawn
from keel.web.insight.folder import as_pdf, as_zip, data_files, report_folder
from keel.web.insight.work import Work
from keel.web.layout.page import page


@page("see_insight")
def index(request: HttpRequest, *, by: Actor, at: datetime) -> HttpResponse:
    found = insight.studies(by=by)
    context = {
        "page_title": "Insight",
        "studies": found,
        "broken": found[0].broken if found else (),
        "rows": access.may(by, "see_insight_rows"),
    }
    return render(request, "insight/index.html", context)


@page("see_insight")
def report(request: HttpRequest, *, by: Actor, at: datetime, study: str, asked: str) -> HttpResponse:
    place = request.GET.get("at") or insight.place(by=by)
    try:
        seen = work.asked(_key(by, study, asked, place), _make(by, study, asked, place))
    except Stopped:
        raise refuse("The report was stopped", "somebody of your role stopped it", "Ask for it again") from None
    if isinstance(seen, Work):
        context = {"page_title": "The report is being worked out", "at": seen.at, "study": study, "asked": asked}
        return render(request, "insight/working.html", {**context, "place": place})
    context = {
        "page_title": seen.report.title,
        "seen": seen,
        "figures": [(f, drawn(f)) for f in seen.answer.figures if not isinstance(f, Dots)],
        "dots": [(f, drawn(f)) for f in seen.answer.figures if isinstance(f, Dots)],
        "then": request.GET.get("at", ""),
        "files": f"?at={seen.provenance.place}",
    }
    return render(request, "insight/report.html", context)


@page("see_insight", methods=("POST",))
def stop(request: HttpRequest, *, by: Actor, at: datetime, study: str, asked: str) -> HttpResponse:
    """End a report that is being worked out."""
    if not work.stop(_key(by, study, asked, request.POST.get("at", ""))):
        raise refuse(
            "Nothing was stopped", "this report is not being worked out now", "Look at it, or ask for it again"
        )
    return redirect("insight")


@page("see_insight")
def paper(request: HttpRequest, *, by: Actor, at: datetime, study: str, asked: str) -> HttpResponse:
    """The report as PDF."""
    seen = _seen(request, by, study, asked)
    return _file(as_pdf(seen), "application/pdf", f"{study}-{asked}.pdf")


@page("see_insight")
def folder(request: HttpRequest, *, by: Actor, at: datetime, study: str, asked: str) -> HttpResponse:
    """The report as a folder: data, numbers, figures, PDF and the script that makes the numbers again."""
    name = f"{study}-{asked}"
    return _file(as_zip(report_folder(_seen(request, by, study, asked)), name), "application/zip", f"{name}.zip")


@page("see_insight_rows")
def data(request: HttpRequest, *, by: Actor, at: datetime, study: str) -> HttpResponse:
    """The analysis dataset of a study, without a report."""
    found = insight.analysis_dataset(study=study, by=by, place=request.GET.get("at", ""))
    name = f"{study}-dataset"
    return _file(as_zip(data_files(found), name), "application/zip", f"{name}.zip")


def _seen(request: HttpRequest, by: Actor, study: str, asked: str) -> insight.ReportPage:
    place = request.GET.get("at") or insight.place(by=by)
    return cast(
        insight.ReportPage, work.asked(_key(by, study, asked, place), _make(by, study, asked, place), whole=True)
    )


def _key(by: Actor, study: str, asked: str, place: str) -> tuple[str, ...]:
    """All that decides what the answer is and who may see it."""
    return by.site, by.role, study, asked, place


def _make(by: Actor, study: str, asked: str, place: str) -> Callable[[], insight.ReportPage]:
    return lambda: insight.report(study=study, report=asked, by=by, place=place)


def _file(content: bytes, kind: str, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
