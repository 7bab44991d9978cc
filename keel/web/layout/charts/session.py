"""A session minute by minute: vital signs, doses, events and phases on one axis."""

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
    Px,
    apart,
    fit,
    measure,
    scale,
    shown,
    ticks,
)

# Panels: what is drawn together because it shares a range.
_PRESSURE = ("systolic", "diastolic", "heart")
_NAMES = {
    "systolic": ("Systolic", "mmHg"),
    "diastolic": ("Diastolic", "mmHg"),
    "heart": ("Heart rate", "/min"),
    "temperature": ("Temperature", "°C"),
}
LANES = 4


@dataclass(frozen=True)
class Readings:
    """One vital sign: `measure` is systolic, diastolic, heart or temperature; (minute since the first dose, value)."""

    measure: str
    values: tuple[tuple[float, float | None], ...]


@dataclass(frozen=True)
class Limit:
    """A limit of one vital sign, named as the protocol names it."""

    measure: str
    value: float
    label: str


@dataclass(frozen=True)
class Happening:
    """Something at a minute; `dose` marks a dose."""

    minute: float
    label: str
    dose: bool = False


@dataclass(frozen=True)
class Stretch:
    """A phase of the session, from minute to minute."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Session:
    """Minutes count from the first dose and may be negative before it."""

    title: str
    readings: tuple[Readings, ...]
    stretches: tuple[Stretch, ...] = ()
    happenings: tuple[Happening, ...] = ()
    limits: tuple[Limit, ...] = ()
    start: float = -30
    end: float = 480


def session(data: Session) -> Chart:
    """Phases on top, what happened below them, then pressure and heart rate, then temperature; one time axis."""
    return Chart(_session(data, WIDE), _session(data, NARROW))


def clock(minute: float) -> str:
    """Minutes since dosing as people say them: −0:30, 1:15."""
    whole = round(abs(minute))
    return f"{'−' if minute < 0 and whole else ''}{whole // 60}:{whole % 60:02d}"


def _says(data: Session) -> str:
    parts = []
    for reading in data.readings:
        known = [value for _, value in reading.values if value is not None]
        name, unit = _NAMES[reading.measure]
        if known:
            parts.append(f"{name} {shown(min(known))} to {shown(max(known))} {unit}, last {shown(known[-1])}.")
        else:
            parts.append(f"{name} unknown.")
    parts += [f"{clock(h.minute)} {h.label}." for h in data.happenings]
    return " ".join(parts)


def _session(data: Session, width: float) -> Drawing:
    labels = [_NAMES[r.measure][0] for r in data.readings]
    left = 38.0
    right = width - min(max((measure(label) for label in labels), default=40) + 14, width * 0.3)
    x = scale(data.start, data.end, left, right)
    lanes = _lanes(data.happenings, x, right, left)
    depth = min(max((lane for lane in lanes if lane is not None), default=-1) + 1, LANES)
    stage_top = 22.0
    # Dots without words have a row of their own, clear of the name of a limit at the top of the panel.
    top = stage_top + depth * (LEADING + 2) + (22 if None in lanes else 16)
    pressure = [r for r in data.readings if r.measure in _PRESSURE]
    warmth = [r for r in data.readings if r.measure == "temperature"]
    tall = 190.0 if width >= WIDE else 160.0
    height = top + (tall if pressure else 0) + (84 if warmth else 0) + 30
    canvas = Canvas(width, height, data.title, _says(data))
    bottom = height - 26
    _stretches(canvas, data, x, bottom)
    _happened(canvas, data, lanes, x, left, right, stage_top, bottom)
    if pressure:
        _panel(canvas, _Panel(pressure, (40, 180), top, top + tall - 16), data.limits, x, left, right)
    if warmth:
        _panel(canvas, _Panel(warmth, (35.5, 39.5), bottom - 62, bottom - 8), data.limits, x, left, right)
    _minutes(canvas, data, x, left, right, bottom)
    return canvas.svg()


def _stretches(canvas: Canvas, data: Session, x: Px, bottom: float) -> None:
    for i, stretch in enumerate(data.stretches):
        start, end = x(max(stretch.start, data.start)), x(min(stretch.end, data.end))
        if end <= start:
            continue
        if i % 2 == 0:
            canvas.rect(start, 0, end - start, bottom, "c-phase")
        canvas.try_text([(start + 4, 14, "start")], fit(stretch.label, end - start - 6), "c-soft")


def _lanes(happenings: Sequence[Happening], x: Px, right: float, left: float) -> list[int | None]:
    """The lane of each label: the first where it touches no other, doses first; None where all lanes are full."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(LANES)]
    lanes: list[int | None] = [None] * len(happenings)
    order = sorted(range(len(happenings)), key=lambda i: (not happenings[i].dose, happenings[i].minute))
    for i in order:
        start, end = _span(happenings[i], x, right, left)
        for lane in range(LANES):
            if all(end + 6 <= a or b + 6 <= start for a, b in taken[lane]):
                taken[lane].append((start, end))
                lanes[i] = lane
                break
    return lanes


def _span(happening: Happening, x: Px, right: float, left: float) -> tuple[float, float]:
    """From where to where the label of a happening lies: to the right of its mark, to the left near the end."""
    at, wide = x(happening.minute), measure(fit(happening.label, right - left - 12)) + 8
    return (at - wide, at + 5) if at + wide > right else (at - 5, at + wide)


def _happened(
    canvas: Canvas, data: Session, lanes: list[int | None], x: Px, left: float, right: float, top: float, bottom: float
) -> None:
    """Doses as lines with their names, events as dots with theirs. Where every lane is full the dot stays alone and its
    words are in the description."""
    for happening, lane in zip(data.happenings, lanes, strict=True):
        at = x(happening.minute)
        if happening.dose:
            canvas.line(at, top, at, bottom, "c-today")
        if lane is None:
            canvas.circle(at, top + LANES * (LEADING + 2) + 4, 2, "c-event")
            continue
        y = top + (lane + 0.5) * (LEADING + 2)
        if happening.dose:
            canvas.wedge(at, y, 5, "c-dose", sides="diamond")
        else:
            canvas.circle(at, y, 3, "c-event")
        turned = _span(happening, x, right, left)[0] < at - 5
        name = fit(happening.label, min(right - left - 12, at - 8 if turned else right - at - 8))
        kind = "c-strong" if happening.dose else "c-text"
        canvas.text(at - 8 if turned else at + 8, y + 4, name, kind, anchor="end" if turned else "start")


@dataclass(frozen=True)
class _Panel:
    """Vital signs that share a range (`usual`, always shown), between `top` and `bottom`."""

    readings: Sequence[Readings]
    usual: tuple[float, float]
    top: float
    bottom: float


def _panel(canvas: Canvas, panel: _Panel, limits: Sequence[Limit], x: Px, left: float, right: float) -> None:
    readings, top, bottom = panel.readings, panel.top, panel.bottom
    known = [value for r in readings for _, value in r.values if value is not None]
    mine = [limit for limit in limits if limit.measure in {r.measure for r in readings}]
    low = min([*known, panel.usual[0]])
    high = max([*known, *(limit.value for limit in mine), panel.usual[1]])
    y = scale(low, high, bottom, top)
    for tick in ticks(low, high, 5 if bottom - top > 100 else 2):
        canvas.line(left, y(tick), right, y(tick), "c-grid")
        canvas.text(left - 6, y(tick) + 4, shown(tick), "c-soft", anchor="end")
    for limit in mine:
        canvas.line(left, y(limit.value), right, y(limit.value), "c-limit")
        name = fit(limit.label, right - left - 8)
        ends = ((right - 4, "end"), (left + 4, "start"))
        places = [(across, y(limit.value) + dy, anchor) for dy in (-4, 13) for across, anchor in ends]
        canvas.try_text(places, name, "c-limit-text")
    for reading in readings:
        _trace(canvas, reading, x, y)
    _names(canvas, panel, y, right)


def _trace(canvas: Canvas, reading: Readings, x: Px, y: Px) -> None:
    """The line of one vital sign, broken where it is unknown; dots only while they can be told apart."""
    run: list[tuple[float, float]] = []
    for minute, value in (*reading.values, (0.0, None)):
        if value is not None:
            run.append((x(minute), y(value)))
            continue
        canvas.polyline(run, "c-line", reading.measure, 1.75)
        if len(reading.values) <= 40:
            for at, level in run:
                canvas.circle(at, level, 3, "c-dot", reading.measure)
        run = []


def _names(canvas: Canvas, panel: _Panel, y: Px, right: float) -> None:
    last = [next((v for _, v in reversed(r.values) if v is not None), None) for r in panel.readings]
    wanted = [y(value) if value is not None else panel.bottom for value in last]
    places = apart(wanted, 2 * LEADING + 2, panel.top + 4, panel.bottom - LEADING + 4)
    for reading, value, place in zip(panel.readings, last, places, strict=True):
        name, unit = _NAMES[reading.measure]
        room = canvas.width - right - 8
        canvas.text(right + 8, place, fit(name, room), "c-label", reading.measure)
        words = "unknown" if value is None else f"{shown(value)} {unit}"
        canvas.text(right + 8, place + LEADING, fit(words, room), "c-text")


def _minutes(canvas: Canvas, data: Session, x: Px, left: float, right: float, bottom: float) -> None:
    canvas.line(left, bottom, right, bottom, "c-axis")
    step = next(
        s for s in (5, 10, 15, 30, 60, 120, 240, 480, 10**6) if (data.end - data.start) / s * 52 <= right - left
    )
    minute = -(-data.start // step) * step
    while minute <= data.end:
        canvas.line(x(minute), bottom, x(minute), bottom + 4, "c-axis")
        canvas.try_text([(x(minute), bottom + 18, "middle")], "dose" if minute == 0 else clock(minute), "c-soft")
        minute += step
