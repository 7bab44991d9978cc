"""Paper and data of the dosing day: the emergency sheet, one person's report, the setting as ReSPCT asks."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.utils import timezone

from keel.actions import dosing
from keel.domain import access
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.domain.session import ROOM_ITEMS, WITHDRAWN
from keel.domain.vitals import PLAUSIBLE
from keel.queries import dosing as days
from keel.queries.dosing import Report
from keel.web.layout import charts
from keel.web.layout.page import page, status_of
from keel.web.layout.paper import as_pdf

PAPER = Path(__file__).with_name("paper.css")

_MEASURES = {
    "systolic_mmhg": "systolic",
    "diastolic_mmhg": "diastolic",
    "heart_rate_bpm": "heart",
    "temperature_c": "temperature",
}


@page("see_session")
def emergency(request: HttpRequest, *, by: Actor, at: datetime, session: str, course: str) -> HttpResponse:
    """One page about one person, printable at any moment; the device keeps it for when there is no network."""
    sheet = days.emergency(session=session, course=course, by=by, at=at)
    context = {"page_title": f"Emergency sheet, {sheet.person.code}", "sheet": sheet, "p": sheet.person, "as_of": at}
    with timezone.override(sheet.board.zone):
        answer = render(request, "dosing/emergency.html", context)
    answer.headers["Keel-Keep"] = "yes"
    return answer


@page("see_session", methods=("GET", "POST"))
def report(request: HttpRequest, *, by: Actor, at: datetime, session: str, course: str) -> HttpResponse:
    """The day of one person as a page, as PDF (`?as=pdf`) or as data (`?as=json`, `?as=csv`); a POST signs a note."""
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        try:
            visit = days.visit_in(session=session, course=course, by=by)
            dosing.sign_note(course=course, visit=visit, words=request.POST.get("words", ""), by=by, at=at)
            return redirect("session_report", session=session, course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    found = days.report(session=session, course=course, by=by, at=at)
    wanted = request.GET.get("as", "")
    name = f"session-{found.person.code}-{found.board.on}"
    if wanted == "json":
        return JsonResponse(_data(found), json_dumps_params={"indent": 1})
    if wanted == "csv":
        return _file(_csv(found), "text/csv", f"{name}.csv")
    chart = charts.session(_drawn(found))
    context = {
        "page_title": f"Session of {found.person.code}",
        "report": found,
        "p": found.person,
        "course": found.strip,
        "chart": chart,
        "as_of": at,
        "simulated": settings.SIMULATED,
        "may_note": access.may(by, "note_moment") and not found.strip.ended,
        "reasons": reasons,
        "given": request.POST,
    }
    with timezone.override(found.board.zone):
        if wanted == "pdf":
            return _file(
                as_pdf(render_to_string("dosing/report_paper.html", context), PAPER.read_text(encoding="utf-8")),
                "application/pdf",
                f"{name}.pdf",
            )
        return render(request, "dosing/report.html", context, status=status)


def _file(content: bytes, kind: str, name: str) -> HttpResponse:
    answer = HttpResponse(content, content_type=kind)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def _drawn(found: Report) -> charts.Session:
    """The report as a drawing: minutes since the first dose; without one, since the first thing that happened."""
    person = found.person
    first = person.dosed_at or person.arrived_at or found.board.at

    def minute(moment: datetime) -> float:
        return round((moment - first).total_seconds() / 60, 2)

    readings = tuple(
        charts.Readings(
            name, tuple((minute(t.at), t.values.get(measure)) for t in found.readings if measure in t.values)
        )
        for measure, name in _MEASURES.items()
        if any(measure in t.values for t in found.readings)
    )
    happenings = [charts.Happening(minute(d.given_at), "Dose", dose=True) for d in person.doses]
    happenings += [
        charts.Happening(minute(line.at), line.what)
        for line in (*person.log, *found.board.log)
        if line.kind not in ("vitals_recorded", "dose_given", "release_item_signed", "came_in", "went_out", WITHDRAWN)
    ]
    limits = tuple(
        charts.Limit(
            _MEASURES[t.measure], t.at_least if t.at_least is not None else t.above or 0, t.id.replace("-", " ")
        )
        for t in (found.protocol.vitals.thresholds if found.protocol.vitals else ())
        if t.does in ("alert", "call_physician") and any(t.measure in r.values for r in found.readings)
    )
    moments = (
        [h.minute for h in happenings]
        + [m for r in readings for m, _ in r.values]
        + [minute(found.ended_at or found.board.at)]
    )
    return charts.Session(
        f"Session of {person.code}",
        readings,
        tuple(charts.Stretch(label, minute(low), minute(high)) for label, low, high in found.stretches),
        tuple(sorted(happenings, key=lambda h: h.minute)),
        limits,
        start=min([-30.0, *moments]),
        end=max([60.0, *moments]) + 5,
    )


def _data(found: Report) -> dict[str, Any]:
    person, watched = found.person, found.watched
    return {
        "course": person.code,
        "session": found.board.id,
        "visit": person.visit,
        "on": found.board.on,
        "room": found.board.room,
        "state": person.state,
        "arrived_at": person.arrived_at,
        "dosed_at": person.dosed_at,
        "ended_at": found.ended_at,
        "doses": [
            {
                "at": d.given_at,
                "substance": d.substance,
                "amount": d.amount,
                "unit": d.unit,
                "given_mg": d.given_mg,
                "arithmetic": d.arithmetic,
                "lot": d.lot,
                "supplemental": d.supplemental,
            }
            for d in person.doses
        ],
        "vital_signs": [{"at": t.at, **t.values} for t in found.readings],
        "phases": [{"phase": label, "from": low, "to": high} for label, low, high in found.stretches],
        "log": [
            {"at": e.at, "kind": e.kind, "what": e.what, "words": e.words, "by": e.by, "corrected": e.amended}
            for e in person.log
        ],
        "room_log": [{"at": e.at, "kind": e.kind, "what": e.what, "corrected": e.amended} for e in found.board.log],
        "presence": [{"who": n, "role": r, "from": low, "to": high} for n, r, low, high in watched.stays],
        "presence_gaps": [{"from": g.start, "to": g.end, "minutes": round(g.minutes, 1)} for g in watched.gaps],
        "presence_proven": watched.start is not None and not watched.gaps,
        "notes": [{"at": n.at, "words": n.words, "signed_by": n.by} for n in found.notes],
        "release": [{"item": i.id, "label": i.label, "by": i.signed_by, "at": i.signed_at} for i in person.items],
    }


def _csv(found: Report) -> bytes:
    """One line per reading or event, in the order of time."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["at", "kind", *PLAUSIBLE, "what", "words", "by"])
    lines: list[tuple[datetime, list[Any]]] = []
    for t in found.readings:
        lines.append((t.at, ["vital_signs", *(t.values.get(m, "") for m in PLAUSIBLE), "", "", ""]))
    for e in (*found.person.log, *found.board.log):
        if e.kind != "vitals_recorded":
            lines.append((e.at, [e.kind, *("" for _ in PLAUSIBLE), _safe(e.what), _safe(e.words), e.by]))
    for n in found.notes:
        lines.append((n.at, ["note_signed", *("" for _ in PLAUSIBLE), "", _safe(n.words), n.by]))
    for at, cells in sorted(lines, key=lambda line: line[0]):
        writer.writerow([at.isoformat(), *cells])
    return out.getvalue().encode()


def _safe(text: str) -> str:
    """No cell may be taken for a formula by a spreadsheet."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


# ---- the setting ----------------------------------------------------------------------------------------


@page("see_session", methods=("GET", "POST"))
def setting(request: HttpRequest, *, by: Actor, at: datetime, session: str) -> HttpResponse:
    """The thirty items of ReSPCT for a session (also `?as=csv`, `?as=json`); the room is described here, once."""
    reasons: tuple[Reason, ...] = ()
    status = 200
    if request.method == "POST":
        try:
            board = days.setting(session=session, by=by, at=at)
            profile = {name: request.POST.get(name, "") for name in ROOM_ITEMS}
            dosing.describe_room(site=by.site, room=board.room, profile=profile, by=by, at=at)
            return redirect("respct", session=session)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    found = days.setting(session=session, by=by, at=at)
    wanted = request.GET.get("as", "")
    rows = [(i.number, i.section, i.name, "; ".join(i.says), "yes" if i.reported else "no") for i in found.items]
    head = ("item", "section", "name", "reported", "is_reported")
    if wanted == "json":
        items = [dict(zip(head, (*row[:4], row[4] == "yes"), strict=True)) for row in rows]
        unreported = [i.number for i in found.unreported]
        return JsonResponse({"session": session, "on": found.on, "items": items, "unreported": unreported})
    if wanted == "csv":
        out = io.StringIO()
        csv.writer(out).writerows([head, *((n, s, name, _safe(says), yes) for n, s, name, says, yes in rows)])
        return _file(out.getvalue().encode(), "text/csv", f"respct-{found.on}.csv")
    context = {
        "page_title": "Setting of the day",
        "found": found,
        "fields": [(name, label, found.profile.get(name, "")) for name, label in ROOM_ITEMS.items()],
        "may_describe": access.may(by, "describe_room"),
        "reasons": reasons,
    }
    return render(request, "dosing/setting.html", context, status=status)
