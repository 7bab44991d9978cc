"""Medicines on a time line: how long each was taken, its washout, and the first day on which all are over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from keel.web.layout.charts.canvas import NARROW, WIDE, Canvas, Chart, Drawing, fit, scale

_ROW = 44


@dataclass(frozen=True)
class Medicine:
    """One medicine: `stopped_on` None while it is taken without an end; `over_on` None where no washout is known."""

    label: str
    started_on: date | None
    stopped_on: date | None
    over_on: date | None
    says: str


@dataclass(frozen=True)
class Medicines:
    title: str
    rows: tuple[Medicine, ...]
    today: date
    earliest_on: date | None = None


def medicines(data: Medicines) -> Chart:
    """A row for each medicine: a full bar while it is taken, a pale one for its washout; today and the earliest day."""
    return Chart(_drawn(data, WIDE), _drawn(data, NARROW))


def _span(data: Medicines) -> tuple[date, date]:
    """From a month before what matters to a fortnight after it; a medicine taken for years begins at the edge."""
    days = [data.today, *(d for row in data.rows for d in (row.stopped_on, row.over_on) if d)]
    days += [data.earliest_on] if data.earliest_on else []
    start = max(min(days) - timedelta(days=28), data.today - timedelta(days=365))
    return start, max(days) + timedelta(days=14)


def _drawn(data: Medicines, width: float) -> Drawing:
    start, end = _span(data)
    x = scale(start.toordinal(), end.toordinal(), 8, width - 8)
    says = "; ".join(f"{row.label}: {row.says}" for row in data.rows)
    top = 48.0
    canvas = Canvas(width, top + _ROW * len(data.rows) + 28, data.title, says)
    bottom = canvas.height - 24
    for first in _months(start, end):
        canvas.line(x(first.toordinal()), top, x(first.toordinal()), bottom, "c-grid")
        canvas.try_text([(x(first.toordinal()), bottom + 16, "middle")], f"{first:%b %Y}", "c-soft")
    _mark(canvas, x(data.today.toordinal()), "Today", top, bottom, "c-today", "c-today-text", width)
    if data.earliest_on and data.earliest_on > data.today:
        label = f"All over: {data.earliest_on:%-d %b %Y}"
        _mark(canvas, x(data.earliest_on.toordinal()), label, top, bottom, "c-threshold", "c-strong", width, 18)
    for number, row in enumerate(data.rows):
        y = top + _ROW * number + 16
        canvas.text(8, y, fit(f"{row.label}: {row.says}", width - 16), "c-text")
        begins = max(row.started_on or start, start).toordinal()
        taken_until = min(row.stopped_on or end, end).toordinal()
        canvas.rect(x(begins), y + 6, x(taken_until) - x(begins), 12, "c-node", "soft", 2)
        if row.stopped_on and row.over_on:
            washed = max(row.stopped_on, start).toordinal()
            canvas.rect(x(washed), y + 6, x(row.over_on.toordinal()) - x(washed), 12, "c-flow", "caution", 2)
    return canvas.svg()


def _mark(
    canvas: Canvas, at: float, label: str, top: float, bottom: float, line: str, kind: str, width: float, up: float = 0
) -> None:
    canvas.line(at, top - 8 - up, at, bottom, line, width=1.5)
    anchor = "start" if at < width / 2 else "end"
    canvas.text(at + (5 if anchor == "start" else -5), top - 10 - up, label, kind, anchor=anchor)


def _months(start: date, end: date) -> list[date]:
    found, day = [], date(start.year + start.month // 12, start.month % 12 + 1, 1)
    while day <= end:
        found.append(day)
        day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return found
