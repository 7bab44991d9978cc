"""Scores over a course: one person's lines against the protocol's thresholds, and many people's behind their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keel.web.layout.charts.canvas import (
    LEADING,
    NARROW,
    WIDE,
    Canvas,
    Chart,
    Drawing,
    apart,
    fit,
    measure,
    scale,
    shown,
    ticks,
    wrapped,
)


@dataclass(frozen=True)
class Point:
    """One value at a visit (`visit` counts from 0). None is unknown: it is drawn as unknown, and no line crosses it.
    Where the measure is not asked at a visit there is simply no point."""

    visit: int
    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """One measure, or one arm: `measure` is a key of MEASURES and gives the colour."""

    label: str
    measure: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Threshold:
    """A value the protocol names, for instance 7, "remission, 7 or less"."""

    value: float
    label: str


@dataclass(frozen=True)
class Scores:
    """One person's scores. `visits` are the words of the course in order ("Baseline", "Dose 1", "Week 5");
    `doses` the places of the dosing sessions among them; low and high the range of the score."""

    title: str
    visits: tuple[str, ...]
    lines: tuple[Line, ...]
    low: float
    high: float
    thresholds: tuple[Threshold, ...] = ()
    doses: tuple[int, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Trajectories:
    """Many people: `people` are their lines (fine), `means` the mean of each arm with its interval (heavy)."""

    title: str
    visits: tuple[str, ...]
    people: tuple[Line, ...]
    means: tuple[Line, ...]
    low: float
    high: float
    thresholds: tuple[Threshold, ...] = ()
    doses: tuple[int, ...] = ()
    unit: str = ""


def scores(data: Scores) -> Chart:
    """Scores against visits, thresholds as thin named lines, each line named at its end."""
    return Chart(_scores(data, WIDE), _scores(data, NARROW))


def trajectories(data: Trajectories) -> Chart:
    """Individual lines behind each arm's mean and its interval."""
    return Chart(_trajectories(data, WIDE), _trajectories(data, NARROW))


@dataclass
class _Frame:
    """A sheet with its axes: `x` of every visit, and `y` of a score."""

    canvas: Canvas
    x: list[float]
    left: float
    right: float
    top: float
    bottom: float
    low: float
    high: float

    def y(self, value: float) -> float:
        return scale(self.low, self.high, self.bottom, self.top)(min(max(value, self.low), self.high))


def _in_words(visits: Sequence[str], lines: Sequence[Line], thresholds: Sequence[Threshold]) -> str:
    def value(point: Point) -> str:
        if point.value is None:
            return f"{visits[point.visit]} unknown"
        between = "" if point.low is None or point.high is None else f" ({shown(point.low)} to {shown(point.high)})"
        return f"{visits[point.visit]} {shown(point.value)}{between}"

    said = [f"{line.label}: {', '.join(map(value, line.points))}." for line in lines]
    return " ".join([*said, *(f"{threshold.label}: {shown(threshold.value)}." for threshold in thresholds)])


def _end_words(line: Line, unit: str, room: float) -> list[str]:
    """The name of a line, in two rows where one is too short, and its last value."""
    last = next((p.value for p in reversed(line.points) if p.value is not None), None)
    value = "unknown" if last is None else shown(last) + (f" {unit}" if unit else "")
    return [*wrapped(line.label, room), fit(value, room)]


def _frame(data: Scores | Trajectories, lines: Sequence[Line], width: float, says: str) -> _Frame:
    """Sheet, axes, thresholds and visits; on the right as much room as the names of the lines need."""
    # On a phone the names break between words: the room is the data's.
    labels = [part for line in lines for part in (line.label.split() if width < WIDE else [line.label])]
    room = min(max(map(measure, [*labels, f"888.8 {data.unit}", "unknown"]) if lines else [0]) + 14, width * 0.34)
    rows = max((len(_end_words(line, data.unit, room - 12)) for line in lines), default=0)
    numbers = ticks(data.low, data.high, 5)
    left = max(measure(shown(tick)) for tick in (*numbers, data.low, data.high)) + 8
    height = max(210.0 if width < WIDE else 260.0, len(lines) * rows * LEADING + 80)
    canvas = Canvas(width, height, data.title, says)
    top, bottom, right = 24.0, height - 2 * LEADING - 12, width - room
    inner = (right - left - 16) / max(len(data.visits) - 1, 1)
    x = [left + 8 + (inner * i if len(data.visits) > 1 else (right - left) / 2) for i in range(len(data.visits))]
    frame = _Frame(canvas, x, left, right, top, bottom, data.low, data.high)
    for tick in numbers:
        canvas.line(left, frame.y(tick), right, frame.y(tick), "c-grid")
        canvas.text(left - 6, frame.y(tick) + 4, shown(tick), "c-soft", anchor="end")
    _doses(frame, data)
    _thresholds(frame, data.thresholds)
    _visit_names(frame, data)
    return frame


def _doses(frame: _Frame, data: Scores | Trajectories) -> None:
    for place in data.doses:
        frame.canvas.line(frame.x[place], frame.top - 8, frame.x[place], frame.bottom, "c-axis")
        frame.canvas.wedge(frame.x[place], frame.top - 12, 5, "c-dose", sides="diamond")


def _thresholds(frame: _Frame, thresholds: Sequence[Threshold]) -> None:
    for threshold in thresholds:
        if frame.low <= threshold.value <= frame.high:
            y = frame.y(threshold.value)
            frame.canvas.line(frame.left, y, frame.right, y, "c-threshold")


def _threshold_names(frame: _Frame, thresholds: Sequence[Threshold]) -> None:
    """Each on its line: above it or below, wherever along it no score is in the way."""
    for threshold in sorted(thresholds, key=lambda t: -t.value):
        if not frame.low <= threshold.value <= frame.high:
            continue
        name = fit(threshold.label, frame.right - frame.left - 12)
        y, end = frame.y(threshold.value), frame.right - 4 - measure(name)
        along = [frame.left + 6 + (end - frame.left - 6) * i / 8 for i in range(9)]
        places = [(x, y + dy, "start") for dy in (-4, 13) for x in along]
        frame.canvas.over_text(places, name, "c-soft")


def _visit_names(frame: _Frame, data: Scores | Trajectories) -> None:
    """In one row or, where they would touch, in two; ends and doses come first, the rest where there is room."""
    canvas, last = frame.canvas, len(data.visits) - 1
    canvas.line(frame.left, frame.bottom, frame.right, frame.bottom, "c-axis")
    rows = (frame.bottom + 18, frame.bottom + 18 + LEADING)
    order = sorted(range(last + 1), key=lambda i: (i not in (0, last), i not in data.doses, i))
    for i in order:
        canvas.line(frame.x[i], frame.bottom, frame.x[i], frame.bottom + 4, "c-axis")
        name = fit(data.visits[i], canvas.width / 3)
        half = measure(name) / 2
        middle = min(max(frame.x[i], half), canvas.width - half)
        canvas.try_text([(middle, row, "middle") for row in rows], name, "c-text" if i in data.doses else "c-soft")


def _ends(frame: _Frame, lines: Sequence[Line], unit: str) -> None:
    """The name of each line and its last value, beside its end and clear of the others."""
    wanted = [
        frame.y(next((p.value for p in reversed(line.points) if p.value is not None), (frame.low + frame.high) / 2))
        for line in lines
    ]
    room = frame.canvas.width - frame.right - 12
    words = [_end_words(line, unit, room) for line in lines]
    rows = max(map(len, words), default=2)
    places = apart(wanted, rows * LEADING, LEADING, frame.bottom - (rows - 1) * LEADING)
    for line, (*name, value), y in zip(lines, words, places, strict=True):
        for row, part in enumerate(name):
            frame.canvas.text(frame.right + 10, y - 2 + row * LEADING, part, "c-label", line.measure)
        frame.canvas.text(frame.right + 10, y - 3 + len(name) * LEADING, value, "c-text")


def _runs(line: Line) -> list[list[Point]]:
    """The stretches without an unknown value: a line is not drawn across what is not known."""
    runs: list[list[Point]] = [[]]
    for point in line.points:
        if point.value is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if run]


def _path(frame: _Frame, line: Line, kind: str, width: float) -> None:
    for run in _runs(line):
        frame.canvas.polyline(
            [(frame.x[p.visit], frame.y(p.value)) for p in run if p.value is not None], kind, line.measure, width
        )


def _unknowns(frame: _Frame, line: Line) -> None:
    for point in line.points:
        if point.value is None:
            frame.canvas.circle(frame.x[point.visit], frame.bottom - 9, 6, "c-ring", line.measure)
            frame.canvas.try_text(
                [(frame.x[point.visit], frame.bottom - 5, "middle")], "?", "c-label", line.measure, 11
            )


def _scores(data: Scores, width: float) -> Drawing:
    frame = _frame(data, data.lines, width, _in_words(data.visits, data.lines, data.thresholds))
    for line in data.lines:
        _path(frame, line, "c-line", 2)
        for point in line.points:
            if point.value is None:
                continue
            x, y = frame.x[point.visit], frame.y(point.value)
            if point.low is not None and point.high is not None:
                frame.canvas.line(x, frame.y(point.low), x, frame.y(point.high), "c-line", line.measure, 1)
            frame.canvas.circle(x, y, 4, "c-dot", line.measure)
        _unknowns(frame, line)
    _ends(frame, data.lines, data.unit)
    _threshold_names(frame, data.thresholds)
    for line in data.lines:
        for point in line.points[:-1]:
            if point.value is not None:
                x, y = frame.x[point.visit], frame.y(point.value)
                places = [(x, y - 9, "middle"), (x, y + 18, "middle")]
                frame.canvas.over_text(places, shown(point.value), "c-label", line.measure)
    return frame.canvas.svg()


def _trajectories(data: Trajectories, width: float) -> Drawing:
    says = f"{len(data.people)} people as fine lines. Means: " + _in_words(data.visits, data.means, data.thresholds)
    frame = _frame(data, data.means, width, says)
    for person in data.people:
        _path(frame, person, "c-person", 1)
    for mean in data.means:
        for run in _runs(mean):
            known = [p for p in run if p.low is not None and p.high is not None]
            around = [(frame.x[p.visit], frame.y(p.high or 0)) for p in known]
            around += [(frame.x[p.visit], frame.y(p.low or 0)) for p in reversed(known)]
            frame.canvas.polyline(around, "c-band", mean.measure)
        _path(frame, mean, "c-line", 3)
        for point in mean.points:
            if point.value is not None:
                frame.canvas.circle(frame.x[point.visit], frame.y(point.value), 4, "c-dot", mean.measure)
    _ends(frame, data.means, data.unit)
    _threshold_names(frame, data.thresholds)
    return frame.canvas.svg()


@dataclass(frozen=True)
class Spark:
    """A trend small enough for a table row; None is a gap. `limit` is drawn where one is given."""

    title: str
    values: tuple[float | None, ...]
    measure: str
    limit: float | None = None


def sparkline(data: Spark) -> Drawing:
    """A line of 76 by 20 px with a dot at the last known value."""
    known = [value for value in data.values if value is not None]
    says = ", ".join("unknown" if value is None else shown(value) for value in data.values)
    canvas = Canvas(76, 20, data.title, says)
    if not known:
        canvas.line(2, 10, 74, 10, "c-threshold")
        return canvas.svg()
    bounds = [*known, *([data.limit] if data.limit is not None else [])]
    y = scale(min(bounds), max(bounds), 16, 4)
    x = scale(0, max(len(data.values) - 1, 1), 3, 71)
    if data.limit is not None:
        canvas.line(0, y(data.limit), 76, y(data.limit), "c-limit")
    run: list[tuple[float, float]] = []
    for i, value in enumerate((*data.values, None)):
        if value is not None:
            run.append((x(i), y(value)))
            continue
        canvas.polyline(run, "c-line", data.measure, 1.5)
        run = []
    last = max(i for i, value in enumerate(data.values) if value is not None)
    canvas.circle(x(last), y(data.values[last] or 0), 2.5, "c-dot", data.measure)
    return canvas.svg()
