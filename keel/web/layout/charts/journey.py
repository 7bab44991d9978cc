"""Where a course stands: its visits with their windows across the phases, and a year of a clinic at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt

from keel.web.layout.charts.canvas import NARROW, WIDE, Canvas, Chart, Drawing, fit, measure, scale

ROW = 22
# State of a visit: its tone, its shape, its word.
STATES = {
    "planned": ("soft", "hollow", "planned"),
    "in_window": ("action", "hollow", "in window"),
    "due": ("action", "diamond", "due"),
    "overdue": ("caution", "up", "overdue"),
    "done": ("done", "disc", "done"),
    "done_out_of_window": ("done", "square", "done, out of window"),
    "missed": ("soft", "cross", "missed"),
    "withdrawn": ("soft", "dash", "withdrawn"),
    "unknown": ("unknown", "ring", "unknown"),
    "stop": ("stop", "stop", "stop"),
}


@dataclass(frozen=True)
class Phase:
    """A stretch of the course in days since it began; `end` is the first day of the next phase."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Visit:
    """A visit: its window and the day it is due or was held, in days since the course began; a key of STATES."""

    label: str
    earliest: float
    latest: float
    at: float
    state: str
    says: str = ""
    dose: bool = False


@dataclass(frozen=True)
class Journey:
    """The course of one person. `ticks` are days with the words of the course ("week 4", "month 6")."""

    title: str
    phases: tuple[Phase, ...]
    visits: tuple[Visit, ...]
    ticks: tuple[tuple[float, str], ...] = ()
    today: float | None = None
    today_label: str = "Today"


@dataclass(frozen=True)
class Year:
    """Days of a year with a count (0 is a day without); `what` is the thing counted, for instance "dosing sessions"."""

    title: str
    year: int
    counts: Mapping[date, int]
    what: str
    today: date | None = None


def journey(data: Journey) -> Chart:
    """A row for each visit, its window as a bar, its state as a shape and a word; phases behind, today as a line."""
    return Chart(_journey(data, WIDE), _journey(data, NARROW))


def year(data: Year) -> Chart:
    """A row for each month, a field for each day: the fuller, the more happened; the sum of the month at its end."""
    return Chart(_year(data, WIDE), _year(data, NARROW))


class _Days:
    """From days to px. Each phase is as wide as the root of its length, so that the dense weeks are not crushed by the
    long follow-up; within a phase time runs evenly."""

    def __init__(self, phases: Sequence[Phase], left: float, right: float):
        self.phases = phases
        widths = [sqrt(max(phase.end - phase.start, 1)) for phase in self.phases]
        self.edges = [left]
        for width in widths:
            self.edges.append(self.edges[-1] + width / sum(widths) * (right - left))

    def __call__(self, day: float) -> float:
        day = min(max(day, self.phases[0].start), self.phases[-1].end)
        i = next((n for n, phase in enumerate(self.phases) if day <= phase.end), len(self.phases) - 1)
        phase = self.phases[i]
        return scale(phase.start, phase.end, self.edges[i], self.edges[i + 1])(max(day, phase.start))


def draw_state(canvas: Canvas, x: float, y: float, state: str, radius: float = 5) -> None:
    """The shape of a state, in its tone."""
    tone, shape, _ = STATES[state]
    if shape == "disc":
        canvas.circle(x, y, radius, "c-mark", tone)
    elif shape == "square":
        canvas.rect(x - radius, y - radius, 2 * radius, 2 * radius, "c-mark", tone, 1.5)
    elif shape == "hollow":
        canvas.circle(x, y, radius - 0.5, "c-hollow", tone)
    elif shape == "ring":
        canvas.circle(x, y, radius, "c-ring", tone)
    elif shape == "dash":
        canvas.rect(x - radius, y - 1.5, 2 * radius, 3, "c-mark", tone)
    else:
        canvas.wedge(x, y, radius + 0.5, "c-mark", tone, shape)


def _word(visit: Visit) -> str:
    return visit.says or STATES[visit.state][2]


def _phases(data: Journey) -> list[Phase]:
    """The phases in order; a course without phases is one."""
    whole = Phase(
        "The course", min((v.earliest for v in data.visits), default=0), max((v.latest for v in data.visits), default=1)
    )
    return sorted(data.phases, key=lambda phase: phase.start) or [whole]


def _rows(data: Journey) -> list[tuple[Phase, list[Visit]]]:
    """The visits under their phases, by the day they are due; what lies after the last phase belongs to it."""
    phases = _phases(data)
    rows: list[tuple[Phase, list[Visit]]] = [(phase, []) for phase in phases]
    for visit in sorted(data.visits, key=lambda visit: visit.at):
        home = next((i for i, phase in enumerate(phases) if visit.at < phase.end), len(phases) - 1)
        rows[home][1].append(visit)
    return rows


def _journey(data: Journey, width: float) -> Drawing:
    rows = _rows(data)
    wide = width >= WIDE
    names = max((measure(v.label) for v in data.visits), default=0)
    left = min(max(names, 60) + 16, width * (0.3 if wide else 0.36))
    words = max((measure(_word(v)) for v in data.visits), default=0)
    right = width - min(words + 16, width * (0.26 if wide else 0.31))
    lines = sum(1 + len(visits) for _, visits in rows)
    top = 44.0  # two lines: today, and under it the words of the ticks
    says = "; ".join(f"{visit.label} {_word(visit)}" for _, visits in rows for visit in visits)
    canvas = Canvas(width, top + lines * ROW + 12, data.title, says)
    x = _Days(_phases(data), left, right)
    bottom = canvas.height - 8
    for i, (phase, _) in enumerate(rows):
        if i % 2 == 0:
            canvas.rect(x(phase.start), top, x(phase.end) - x(phase.start), bottom - top, "c-phase")
    _today(canvas, x, data, top, bottom)
    for day, label in data.ticks:
        canvas.line(x(day), top - 4, x(day), top, "c-axis")
        canvas.try_text([(x(day), top - 8, "middle")], label, "c-soft")
    y = top + 15
    for phase, visits in rows:
        canvas.line(0, y - 15, width, y - 15, "c-grid")
        canvas.text(0, y, fit(phase.label, left - 8), "c-strong")
        for visit in visits:
            y += ROW
            _visit(canvas, x, visit, y, left, right)
        y += ROW
    return canvas.svg()


def _visit(canvas: Canvas, x: _Days, visit: Visit, y: float, left: float, right: float) -> None:
    start, end = x(visit.earliest), x(visit.latest)
    canvas.text(0, y, fit(visit.label, left - 12), "c-strong" if visit.dose else "c-text")
    canvas.rect(start, y - 7, max(end - start, 4), 6, "c-window", round=2)
    draw_state(canvas, x(visit.at), y - 4, visit.state)
    canvas.text(right + 12, y, fit(_word(visit), canvas.width - right - 12), "c-state", STATES[visit.state][0])


def _today(canvas: Canvas, x: _Days, data: Journey, top: float, bottom: float) -> None:
    if data.today is None:
        return
    at = x(data.today)
    canvas.line(at, top - 4, at, bottom, "c-today", width=1.5)
    half = measure(data.today_label) / 2
    canvas.text(min(max(at, half), canvas.width - half), 16, data.today_label, "c-today-text", anchor="middle")


def _year(data: Year, width: float) -> Drawing:
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    total = sum(data.counts.values())
    says = f"{total} {data.what} in {data.year}. " + ", ".join(
        f"{name} {sum(n for day, n in data.counts.items() if day.month == i)}" for i, name in enumerate(months, 1)
    )
    left, right = 36.0, width - 36
    cell = (right - left) / 31
    row = max(min(cell, 20.0), 14.0) + 3
    canvas = Canvas(width, 24 + 12 * row + 6, data.title, says)
    most = max(data.counts.values(), default=0)
    for day in (1, 10, 20, 31):
        canvas.text(left + (day - 0.5) * cell, 14, str(day), "c-soft", anchor="middle")
    for i, name in enumerate(months):
        y = 24 + i * row
        canvas.text(0, y + row / 2 + 3, name, "c-soft")
        sum_of_month = sum(n for day, n in data.counts.items() if day.month == i + 1)
        canvas.text(width, y + row / 2 + 3, str(sum_of_month), "c-text", anchor="end")
        first = date(data.year, i + 1, 1)
        # The days of a month are one mark: one each would be most of the weight of a page with two years.
        days = ((date(data.year + (i == 11), (i + 1) % 12 + 1, 1)) - first).days
        place = f"{y:.1f}h{cell - 1.5:.1f}v{row - 3:.1f}h{1.5 - cell:.1f}z"
        canvas.path("".join(f"M{left + day * cell:.1f} {place}" for day in range(days)), "c-phase")
        while first.month == i + 1:
            _day(
                canvas,
                left + (first.day - 1) * cell,
                y,
                cell,
                row,
                data.counts.get(first, 0),
                most,
                first == data.today,
            )
            first += timedelta(days=1)
            if first.year != data.year:
                break
    return canvas.svg()


def _day(canvas: Canvas, x: float, y: float, cell: float, row: float, n: int, most: int, today: bool) -> None:
    width, height = cell - 1.5, row - 3
    if n:
        # The count is the height of the filling: it stands without colour and prints in grey.
        filled = height * n / most
        canvas.rect(x, y + height - filled, width, filled, "c-node", "action")
    if today:
        canvas.rect(x, y + height + 0.5, width, 2, "c-dose")
