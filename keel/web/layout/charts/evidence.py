"""What many courses say together: forest plot, flows of response, an association, time to an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, log

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
    wrapped,
)


@dataclass(frozen=True)
class Study:
    """One row of a forest plot: an estimate with its interval and its weight (0 to 1)."""

    label: str
    estimate: float
    low: float
    high: float
    weight: float = 0.0


@dataclass(frozen=True)
class Forest:
    """Studies and, where they were pooled, the pooled estimate with its interval and prediction interval.

    `none` is the value of no effect; `less` and `more` say what lies on either side. With `ratio` all values are logarithms
    of ratios: they are placed as such and written as ratios.
    """

    title: str
    studies: tuple[Study, ...]
    pooled: Study | None = None
    prediction: tuple[float, float] | None = None
    none: float = 0.0
    less: str = ""
    more: str = ""
    places: int = 2
    ratio: bool = False

    def written(self, value: float) -> str:
        return shown(exp(value) if self.ratio else value, self.places)


@dataclass(frozen=True)
class Funnel:
    """Studies by effect and standard error, each (label, effect, se); those that trim and fill adds are `filled`.

    The funnel's sides are `centre` ± `reach` standard errors: where 95 % of studies lie if they differ by chance alone and
    `reach` is 1.96.
    """

    title: str
    across: str
    studies: tuple[tuple[str, float, float], ...]
    centre: float
    reach: float
    filled: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Stage:
    """One moment of an alluvial: how many people are in each state then."""

    label: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Alluvial:
    """Response states over the course. `states` in order from the top, each with a tone of TONES;
    `flows[i]` counts the people that go from one state at stage i to one at stage i + 1."""

    title: str
    states: Mapping[str, str]
    stages: tuple[Stage, ...]
    flows: tuple[Mapping[tuple[str, str], int], ...]


@dataclass(frozen=True)
class Scatter:
    """An association: the people, the fitted line with its interval (x, fit, low, high), and what it says in words."""

    title: str
    across: str
    up: str
    points: tuple[tuple[float, float], ...]
    fitted: tuple[tuple[float, float, float, float], ...]
    says: str
    measure: str = "alliance"


@dataclass(frozen=True)
class Survival:
    """One arm: (time, share still without the event, low, high) at each step, times of censoring, people at risk."""

    label: str
    measure: str
    steps: tuple[tuple[float, float, float, float], ...]
    censored: tuple[float, ...] = ()
    at_risk: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class KaplanMeier:
    """Time to an event; `ticks` name times in the words of the course ("week 4", "month 6")."""

    title: str
    arms: tuple[Survival, ...]
    end: float
    ticks: tuple[tuple[float, str], ...]
    up: str = "Share without relapse"


def forest(data: Forest) -> Chart:
    """Squares with intervals, the pooled diamond and its prediction interval, the numbers beside them."""
    return Chart(_forest(data, WIDE), _forest(data, NARROW))


def funnel(data: Funnel) -> Chart:
    """Studies as points, the most exact on top, within the funnel that chance alone would make."""
    return Chart(_funnel(data, WIDE), _funnel(data, NARROW))


def alluvial(data: Alluvial) -> Chart:
    """People flowing between states; every state is named at its first and last place and counted at each."""
    return Chart(_alluvial(data, WIDE), _alluvial(data, NARROW))


def scatter(data: Scatter) -> Chart:
    """People as points, the fitted line within its interval, and the estimate in words."""
    return Chart(_scatter(data, WIDE), _scatter(data, NARROW))


def kaplan_meier(data: KaplanMeier) -> Chart:
    """Steps with intervals, censoring as small strokes, each arm named at its end, people at risk below."""
    return Chart(_kaplan_meier(data, WIDE), _kaplan_meier(data, NARROW))


# ---- forest -----------------------------------------------------------------------------------


PREDICTION = "Prediction interval"


def _numbers(study: Study, data: Forest) -> str:
    return f"{data.written(study.estimate)} [{data.written(study.low)}, {data.written(study.high)}]"


def _forest(data: Forest, width: float) -> Drawing:
    rows = [*data.studies, *([data.pooled] if data.pooled else [])]
    says = ". ".join(f"{row.label} {_numbers(row, data)}" for row in rows)
    if data.prediction:
        says += ". {} [{}, {}]".format(PREDICTION, *(data.written(end) for end in data.prediction))
    stacked = width < WIDE
    row = 40 if stacked else 26
    numbers = max((measure(_numbers(r, data)) for r in rows), default=0)
    labels = [r.label for r in rows] + ([PREDICTION] if data.prediction else [])
    left = 0.0 if stacked else min(max((measure(label) for label in labels), default=0) + 16, width * 0.36)
    right = width - 12 if stacked else width - min(numbers, width * 0.3) - 16
    extra = row if data.prediction else 0
    canvas = Canvas(width, 26 + len(rows) * row + extra + 46, data.title, says)
    bounds = [data.none, *(v for r in rows for v in (r.low, r.high)), *(data.prediction or ())]
    x = scale(min(bounds), max(bounds), left + 12, right - 8)
    bottom = canvas.height - 44
    canvas.line(x(data.none), 18, x(data.none), bottom, "c-axis")
    for i, study in enumerate(rows):
        y = 26 + i * row + row / 2
        pooled = data.pooled is not None and i == len(rows) - 1
        if pooled:
            canvas.line(0, y - row / 2, width, y - row / 2, "c-grid")
        _forest_words(canvas, study, data, y, left, stacked, pooled)
        _forest_mark(canvas, study, x, y + (9 if stacked else 0), pooled)
    if data.prediction:
        _prediction(canvas, data, x, 26 + len(rows) * row + row / 2, left, stacked)
    _forest_axis(canvas, data, x, (min(bounds), max(bounds)), bottom)
    return canvas.svg()


def _forest_words(canvas: Canvas, study: Study, data: Forest, y: float, left: float, stacked: bool, bold: bool) -> None:
    kind = "c-strong" if bold else "c-text"
    numbers = _numbers(study, data)
    if stacked:
        numbers_width = measure(numbers)
        canvas.text(canvas.width, y - 7, fit(numbers, canvas.width), f"{kind} c-halo", anchor="end")
        canvas.text(0, y - 7, fit(study.label, canvas.width - numbers_width - 8), kind)
    else:
        canvas.text(0, y + 4, fit(study.label, left - 12), kind)
        canvas.text(canvas.width, y + 4, fit(numbers, canvas.width * 0.3), kind, anchor="end")


def _forest_mark(canvas: Canvas, study: Study, x: Px, y: float, pooled: bool) -> None:
    if pooled:
        corners = ((study.low, 0), (study.estimate, -7), (study.high, 0), (study.estimate, 7))
        canvas.polyline([(x(value), y + dy) for value, dy in corners], "c-node", "action")
        return
    canvas.line(x(study.low), y, x(study.high), y, "c-line", "action", 1.5)
    half = 3 + 5 * min(max(study.weight, 0), 1) ** 0.5
    canvas.rect(x(study.estimate) - half, y - half, 2 * half, 2 * half, "c-node", "action")


def _prediction(canvas: Canvas, data: Forest, x: Px, y: float, left: float, stacked: bool) -> None:
    low, high = data.prediction or (0.0, 0.0)
    numbers = f"[{data.written(low)}, {data.written(high)}]"
    words_at = y - 7 if stacked else y + 4
    canvas.text(canvas.width, words_at, numbers, "c-soft c-halo", anchor="end")
    canvas.text(0, words_at, fit(PREDICTION, (canvas.width - measure(numbers) - 8) if stacked else left - 12), "c-soft")
    canvas.line(x(low), y + (9 if stacked else 0), x(high), y + (9 if stacked else 0), "c-axis", width=3)


def _forest_axis(canvas: Canvas, data: Forest, x: Px, bounds: tuple[float, float], bottom: float) -> None:
    low, high = bounds
    canvas.line(x(low), bottom, x(high), bottom, "c-axis")
    for at, label in _marks(data, low, high):
        canvas.line(x(at), bottom, x(at), bottom + 4, "c-axis")
        canvas.try_text([(x(at), bottom + 18, "middle")], label, "c-soft")
    y, none = bottom + 36, x(data.none)
    less, more = data.less, data.more
    if measure(less) + measure(more) > canvas.width - 16:
        less, more = fit(less, canvas.width / 2 - 8), fit(more, canvas.width / 2 - 8)
    beside = measure(less) <= none - 8 and measure(more) <= canvas.width - none - 8
    canvas.try_text([(none - 8, y, "end") if beside else (0, y, "start")], less, "c-soft")
    canvas.try_text([(none + 8, y, "start") if beside else (canvas.width, y, "end")], more, "c-soft")


def _marks(data: Forest, low: float, high: float) -> list[tuple[float, str]]:
    """Places along the axis and what is written there; of ratios the ones, twos and fives of each power of ten."""
    if not data.ratio:
        return [(tick, shown(tick)) for tick in ticks(low, high, 5)]
    powers = range(floor(low / log(10)), ceil(high / log(10)) + 1)
    ratios = [10.0**power * digit for power in powers for digit in (1, 2, 5)]
    return [(log(ratio), shown(ratio)) for ratio in ratios if low <= log(ratio) <= high]


# ---- funnel -----------------------------------------------------------------------------------


def _funnel(data: Funnel, width: float) -> Drawing:
    height = 360.0 if width >= WIDE else 320.0
    says = f"{len(data.studies)} studies" + (f", {len(data.filled)} added by trim and fill" if data.filled else "")
    canvas = Canvas(width, height, data.title, f"{says}, about {shown(data.centre, 2)}.")
    marks = [*((effect, se) for _, effect, se in data.studies), *data.filled]
    most = max((se for _, se in marks), default=1.0) * 1.05
    ends = (data.centre - data.reach * most, data.centre + data.reach * most)
    errors, top, bottom = ticks(0, most, 4), 44.0, height - 60
    left = max(measure(shown(tick)) for tick in errors) + 14
    effects = [effect for effect, _ in marks]
    x = scale(min(*ends, *effects), max(*ends, *effects), left + 8, width - 20)
    y = scale(0, most, top, bottom)
    canvas.text(0, 14, "Standard error", "c-soft")
    sides = [(x(data.centre), y(0)), (x(ends[0]), y(most)), (x(ends[1]), y(most))]
    canvas.polyline(sides, "c-phase")
    for tick in errors:
        canvas.line(left, y(tick), width - 12, y(tick), "c-grid")
        canvas.text(left - 6, y(tick) + 4, shown(tick), "c-soft", anchor="end")
    canvas.line(x(data.centre), top, x(data.centre), bottom, "c-threshold")
    canvas.line(left, bottom, width - 12, bottom, "c-axis")
    for tick in ticks(min(*ends, *effects), max(*ends, *effects), 6):
        canvas.line(x(tick), bottom, x(tick), bottom + 4, "c-axis")
        canvas.try_text([(x(tick), bottom + 18, "middle")], shown(tick), "c-soft")
    for effect, se in data.filled:
        canvas.circle(x(effect), y(se), 4.5, "c-ring", "action")
    for _, effect, se in data.studies:
        canvas.circle(x(effect), y(se), 4.5, "c-dot", "action")
    canvas.text(width - 12, height - 22, fit(data.across, width - left - 12), "c-soft", anchor="end")
    if data.filled:
        canvas.text(width - 12, height - 6, fit("Dashed: added by trim and fill", width - 12), "c-soft", anchor="end")
    return canvas.svg()


# ---- alluvial ---------------------------------------------------------------------------------


def _alluvial(data: Alluvial, width: float) -> Drawing:
    says = " ".join(
        f"{stage.label}: " + ", ".join(f"{state} {stage.counts.get(state, 0)}" for state in data.states) + "."
        for stage in data.stages
    )
    names = max((measure(f"{state} 888") for state in data.states), default=0)
    room = min(names + 12, width * 0.32)
    height = max(260.0, len(data.states) * (LEADING + 6) + 70)
    canvas = Canvas(width, height, data.title, says)
    top, bottom = 42.0, height - 10
    total = max((sum(stage.counts.values()) for stage in data.stages), default=1) or 1
    gap = 8.0
    per = (bottom - top - gap * (len(data.states) - 1)) / total
    x = [30 + (width - room - 60) * i / max(len(data.stages) - 1, 1) for i in range(len(data.stages))]
    span = (x[1] - x[0] - 8) if len(x) > 1 else width / 2
    nodes = [_nodes(data, stage, top, per, gap) for stage in data.stages]
    for i, flows in enumerate(data.flows):
        _flows(canvas, data, flows, x[i] + 10, x[i + 1], nodes[i], nodes[i + 1], per)
    for i, stage in enumerate(data.stages):
        _stage(canvas, data, stage, x[i], nodes[i], i == len(data.stages) - 1, span)
    return canvas.svg()


def _nodes(data: Alluvial, stage: Stage, top: float, per: float, gap: float) -> dict[str, tuple[float, float]]:
    """Where each state's bar begins and ends at a stage, from the top in the order of the states."""
    nodes, y = {}, top
    for state in data.states:
        height = stage.counts.get(state, 0) * per
        nodes[state] = (y, y + height)
        y += height + gap
    return nodes


Nodes = Mapping[str, tuple[float, float]]


def _flows(
    canvas: Canvas,
    data: Alluvial,
    flows: Mapping[tuple[str, str], int],
    start: float,
    end: float,
    before: Nodes,
    after: Nodes,
    per: float,
) -> None:
    leaving = {state: top for state, (top, _) in before.items()}
    arriving = {state: top for state, (top, _) in after.items()}
    middle = (start + end) / 2
    for a in data.states:
        for b in data.states:
            thick = flows.get((a, b), 0) * per
            if not thick:
                continue
            y, z = leaving[a], arriving[b]
            curve = f"M{start:.1f} {y:.1f}C{middle:.1f} {y:.1f} {middle:.1f} {z:.1f} {end:.1f} {z:.1f}V{z + thick:.1f}"
            curve += f"C{middle:.1f} {z + thick:.1f} {middle:.1f} {y + thick:.1f} {start:.1f} {y + thick:.1f}Z"
            canvas.path(curve, "c-flow", data.states[a])
            leaving[a] += thick
            arriving[b] += thick


def _stage(canvas: Canvas, data: Alluvial, stage: Stage, x: float, nodes: Nodes, last: bool, span: float) -> None:
    there = [state for state in data.states if stage.counts.get(state, 0)]
    # Where the columns are close, a name may use the second row and lie over its neighbour's column.
    name = fit(stage.label, 2 * span)
    half = measure(name) / 2
    middle = min(max(x + 5, half), canvas.width - half)
    canvas.try_text([(middle, row, "middle") for row in (16, 16 + LEADING)], name, "c-soft")
    for state in there:
        top, bottom = nodes[state]
        canvas.rect(x, top, 10, max(bottom - top, 1), "c-node", data.states[state])
    wanted = [sum(nodes[state]) / 2 + 4 for state in there]
    if last:
        for state, y in zip(there, apart(wanted, LEADING + 1, 52, canvas.height - 8), strict=True):
            label = f"{state} {stage.counts[state]}"
            canvas.text(x + 16, y, fit(label, canvas.width - x - 16), "c-state", data.states[state])
        return
    for state, y in zip(there, wanted, strict=True):
        canvas.try_text([(x - 4, y, "end")], str(stage.counts[state]), "c-text")


# ---- scatter and survival -----------------------------------------------------------------------


def _axes(
    canvas: Canvas, x: Px, y: Px, xs: Sequence[float], ys: Sequence[float], left: float, right: float, bottom: float
) -> None:
    for tick in ys:
        canvas.line(left, y(tick), right, y(tick), "c-grid")
        canvas.text(left - 6, y(tick) + 4, shown(tick), "c-soft", anchor="end")
    canvas.line(left, bottom, right, bottom, "c-axis")
    for tick in xs:
        canvas.line(x(tick), bottom, x(tick), bottom + 4, "c-axis")
        canvas.try_text([(x(tick), bottom + 18, "middle")], shown(tick), "c-soft")


def _scatter(data: Scatter, width: float) -> Drawing:
    height = 300.0 if width >= WIDE else 260.0
    canvas = Canvas(width, height, data.title, f"{len(data.points)} people. {data.says}")
    xs = [p[0] for p in data.points] + [f[0] for f in data.fitted] or [0.0]
    ys = [p[1] for p in data.points] + [v for f in data.fitted for v in f[2:]] or [0.0]
    ups = ticks(min(ys), max(ys), 5)
    left = max(measure(shown(tick)) for tick in ups or [0.0]) + 14
    top, bottom, right = 44.0, height - 42, width - 12
    x, y = scale(min(xs), max(xs), left + 8, right - 8), scale(min(ys), max(ys), bottom - 8, top + 8)
    _axes(canvas, x, y, ticks(min(xs), max(xs), 5), ups, left, right, bottom)
    canvas.text(0, 14, fit(data.up, width), "c-soft")
    canvas.text(0, 32, fit(data.says, width), "c-strong")
    canvas.text(right, height - 6, fit(data.across, right - left), "c-soft", anchor="end")
    around = [(x(f[0]), y(f[3])) for f in data.fitted] + [(x(f[0]), y(f[2])) for f in reversed(data.fitted)]
    canvas.polyline(around, "c-band", data.measure)
    canvas.polyline([(x(f[0]), y(f[1])) for f in data.fitted], "c-line", data.measure, 2)
    for across, up in data.points:
        canvas.circle(x(across), y(up), 4, "c-dot", data.measure)
    return canvas.svg()


def _steps(points: Sequence[tuple[float, float]], x: Px, y: Px, end: float) -> list[tuple[float, float]]:
    """A staircase: each level holds until the next time."""
    stairs: list[tuple[float, float]] = []
    for i, (time, level) in enumerate(points):
        stairs.append((x(time), y(level)))
        until = points[i + 1][0] if i + 1 < len(points) else end
        stairs.append((x(until), y(level)))
    return stairs


def _kaplan_meier(data: KaplanMeier, width: float) -> Drawing:
    says = " ".join(f"{arm.label}: {round(arm.steps[-1][1] * 100)} % at the end." for arm in data.arms if arm.steps)
    room = min(max((measure(arm.label) for arm in data.arms), default=0) + 12, width * 0.3)
    risk = len(data.arms) * LEADING + 22
    height = 250.0 + risk
    canvas = Canvas(width, height, data.title, says)
    left, right, top, bottom = 50.0, width - room, 34.0, height - risk - 30
    x, y = scale(0, data.end, left, right), scale(0, 1, bottom, top)
    canvas.text(0, 14, fit(data.up, width), "c-soft")
    for tick in (0, 0.25, 0.5, 0.75, 1):
        canvas.line(left, y(tick), right, y(tick), "c-grid")
        canvas.text(left - 6, y(tick) + 4, f"{round(tick * 100)} %", "c-soft", anchor="end")
    canvas.line(left, bottom, right, bottom, "c-axis")
    for time, label in data.ticks:
        canvas.line(x(time), bottom, x(time), bottom + 4, "c-axis")
        canvas.try_text([(x(time), bottom + 18, "middle")], label, "c-soft")
    for arm in data.arms:
        _arm(canvas, arm, x, y, data.end)
    ends = [y(arm.steps[-1][1]) + 4 if arm.steps else y(1) for arm in data.arms]
    names = [wrapped(arm.label, room - 8) for arm in data.arms]
    tall = max(map(len, names), default=1)
    places = apart(ends, tall * LEADING + 1, top, bottom - (tall - 1) * LEADING)
    for arm, name, at in zip(data.arms, names, places, strict=True):
        for row, words in enumerate(name):
            canvas.text(right + 8, at + row * LEADING, words, "c-label", arm.measure)
    _at_risk(canvas, data, x, bottom + 40)
    return canvas.svg()


def _arm(canvas: Canvas, arm: Survival, x: Px, y: Px, end: float) -> None:
    # Before the first event everybody is without it: the curve begins there, not where it first falls.
    begins = () if arm.steps and arm.steps[0][0] <= 0 else ((0.0, 1.0, 1.0, 1.0),)
    steps = (*begins, *arm.steps)
    upper = _steps([(s[0], s[3]) for s in steps], x, y, end)
    lower = _steps([(s[0], s[2]) for s in steps], x, y, end)
    canvas.polyline([*upper, *reversed(lower)], "c-band", arm.measure)
    canvas.polyline(_steps([(s[0], s[1]) for s in steps], x, y, end), "c-line", arm.measure, 2)
    for time in arm.censored:
        level = next((s[1] for s in reversed(arm.steps) if s[0] <= time), 1.0)
        canvas.line(x(time), y(level) - 5, x(time), y(level) + 5, "c-line", arm.measure, 1.5)


def _at_risk(canvas: Canvas, data: KaplanMeier, x: Px, y: float) -> None:
    canvas.text(0, y, "People at risk", "c-soft")
    for row, arm in enumerate(data.arms, 1):
        for time, n in arm.at_risk:
            places = [(max(x(time), measure(str(n)) / 2), y + row * LEADING, "middle")]
            canvas.try_text(places, str(n), "c-label", arm.measure)
