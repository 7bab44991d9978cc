"""Every chart is well-formed, says in words what it shows, and keeps its labels apart and on the sheet."""

from __future__ import annotations

import re
from datetime import date, timedelta
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.web.layout import charts as c
from keel.web.layout.charts.canvas import Box, apart, fit, measure, text_box
from tests.web import sample_charts

SVG = "{http://www.w3.org/2000/svg}"
words = st.text("abcdefghijklmnopqrstuvwxyz WMÄÖ0123456789-<&\"'", min_size=1, max_size=28).map(str.strip).filter(bool)
numbers = st.floats(-50, 250).map(lambda x: round(x, 2))
tints = st.sampled_from(sorted(c.MEASURES))


def labels(drawing: str) -> list[tuple[str, Box]]:
    root = ElementTree.fromstring(drawing)
    found = []
    for text in root.iter(f"{SVG}text"):
        x, y, size = (float(text.attrib[name]) for name in ("x", "y", "font-size"))
        said = text.text or ""
        found.append((said, text_box(x, y, said, size, text.attrib.get("text-anchor", "start"))))
    return found


def check(drawing: str) -> None:
    root = ElementTree.fromstring(drawing)
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    assert root.attrib["role"] == "img"
    assert (root.findtext(f"{SVG}title") or "").strip()
    assert "style" not in {name for one in root.iter() for name in one.attrib}
    assert not list(root.iter(f"{SVG}script"))
    assert not re.search("nan|inf", re.sub(r"<(desc|title|text)[^>]*>[^<]*", "", drawing))
    found = labels(drawing)
    for said, box in found:
        assert box.left >= -0.2 and box.right <= width + 0.2, (said, box, width)
        assert box.top >= -0.2 and box.bottom <= height + 0.2, (said, box, height)
    for (a, one), (b, other) in combinations(found, 2):
        smaller = Box(one.left + 0.3, one.top + 0.3, one.right - 0.3, one.bottom - 0.3)
        assert not smaller.touches(other), (a, b, one, other)


def check_both(chart: c.Chart) -> None:
    check(chart.wide)
    check(chart.narrow)


def lines(visits: int, intervals: bool = False) -> st.SearchStrategy[c.Line]:
    def point(visit: int) -> st.SearchStrategy[c.Point]:
        value = st.none() | numbers
        if not intervals:
            return value.map(lambda v: c.Point(visit, v))
        return value.map(lambda v: c.Point(visit, v, None if v is None else v - 3, None if v is None else v + 3))

    return st.builds(c.Line, words, tints, st.tuples(*(point(i) for i in range(visits))))


@st.composite
def some_scores(draw: st.DrawFn) -> c.Scores:
    visits = tuple(draw(st.lists(words, min_size=1, max_size=14)))
    return c.Scores(
        title=draw(words),
        visits=visits,
        lines=tuple(draw(st.lists(lines(len(visits), intervals=draw(st.booleans())), max_size=5))),
        low=-50,
        high=250,
        thresholds=tuple(draw(st.lists(st.builds(c.Threshold, numbers, words), max_size=4))),
        doses=tuple(draw(st.sets(st.integers(0, len(visits) - 1), max_size=3))),
        unit=draw(st.sampled_from(["", "mmHg"])),
    )


@given(some_scores())
@settings(max_examples=60, deadline=None)
def test_scores(data: c.Scores) -> None:
    check_both(c.scores(data))
    people = data.lines * 2
    check_both(c.trajectories(c.Trajectories(data.title, data.visits, people, data.lines, -50, 250, data.thresholds)))


days = st.floats(0, 400).map(round)


@st.composite
def some_journey(draw: st.DrawFn) -> c.Journey:
    edges = sorted(draw(st.sets(st.integers(0, 500), min_size=2, max_size=7)))
    phases = tuple(c.Phase(draw(words), a, b) for a, b in pairwise(edges))
    visits = []
    for _ in range(draw(st.integers(0, 12))):
        early, at, late = sorted(draw(st.tuples(days, days, days)))
        state = draw(st.sampled_from(sorted(c.STATES)))
        visits.append(c.Visit(draw(words), early, late, at, state, draw(st.just("") | words), draw(st.booleans())))
    marks = tuple(draw(st.lists(st.tuples(days, words), max_size=6)))
    return c.Journey(
        draw(words), phases[: draw(st.integers(0, 6))], tuple(visits), marks, draw(st.none() | days), draw(words)
    )


@given(some_journey())
@settings(max_examples=60, deadline=None)
def test_journeys(data: c.Journey) -> None:
    chart = c.journey(data)
    check_both(chart)
    for visit in data.visits:
        said = visit.says or c.STATES[visit.state][2]
        assert f"{visit.label} {said}" in (ElementTree.fromstring(chart.wide).findtext(f"{SVG}desc") or "")


minutes = st.floats(-30, 480).map(round)


@st.composite
def some_session(draw: st.DrawFn) -> c.Session:
    signs = draw(st.sets(st.sampled_from(["systolic", "diastolic", "heart", "temperature"])))
    values = st.lists(st.tuples(minutes, st.none() | st.floats(30, 230).map(round)), max_size=20)
    limited = st.sampled_from(sorted(signs) or ["heart"])
    return c.Session(
        title=draw(words),
        readings=tuple(c.Readings(sign, tuple(sorted(draw(values), key=lambda v: v[0]))) for sign in sorted(signs)),
        stretches=tuple(draw(st.lists(st.builds(c.Stretch, words, minutes, minutes), max_size=6))),
        happenings=tuple(draw(st.lists(st.builds(c.Happening, minutes, words, st.booleans()), max_size=20))),
        limits=tuple(draw(st.lists(st.builds(c.Limit, limited, st.floats(80, 220).map(round), words), max_size=3))),
        start=-30,
        end=draw(st.sampled_from([30, 120, 480, 600])),
    )


@given(some_session())
@settings(max_examples=60, deadline=None)
def test_sessions(data: c.Session) -> None:
    check_both(
        c.session(c.Session(**{**vars(data), "happenings": tuple(h for h in data.happenings if h.minute <= data.end)}))
    )


@given(
    st.lists(st.tuples(words, numbers, st.floats(0, 40), st.floats(0, 1)), min_size=1, max_size=12),
    words,
    words,
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_forests(rows: list[tuple[str, float, float, float]], less: str, more: str, pooled: bool) -> None:
    studies = tuple(c.Study(label, x, x - half, x + half, weight) for label, x, half, weight in rows)
    whole = c.Study("Pooled", 1, -1, 3) if pooled else None
    check_both(c.forest(c.Forest("Forest", studies, whole, (-9.0, 9.0) if pooled else None, 0, less, more)))


@given(
    st.lists(st.tuples(words, numbers, st.floats(0.01, 40)), min_size=1, max_size=12),
    st.lists(st.tuples(numbers, st.floats(0.01, 40)), max_size=4),
    words,
)
@settings(max_examples=30, deadline=None)
def test_funnels(rows: list[tuple[str, float, float]], filled: list[tuple[float, float]], across: str) -> None:
    check_both(c.funnel(c.Funnel("Funnel", across, tuple(rows), rows[0][1], 1.96, tuple(filled))))


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_alluvials(data: st.DataObject) -> None:
    tones = ["done", "action", "caution", "unknown", "stop", "soft"]
    names = data.draw(st.lists(words, min_size=1, max_size=6, unique=True))
    states = dict(zip(names, tones, strict=False))
    size = data.draw(st.integers(1, 60))
    where = [[data.draw(st.sampled_from(names)) for _ in range(size)] for _ in range(data.draw(st.integers(1, 5)))]
    stages = tuple(c.Stage(data.draw(words), {s: place.count(s) for s in names}) for place in where)
    flows = tuple(
        {(a, b): sum(pair == (a, b) for pair in zip(one, two, strict=True)) for a in names for b in names}
        for one, two in pairwise(where)
    )
    check_both(c.alluvial(c.Alluvial("Flow", states, stages, flows)))


@given(st.lists(st.tuples(numbers, numbers), max_size=40), words, words, words)
@settings(max_examples=30, deadline=None)
def test_scatters(points: list[tuple[float, float]], across: str, up: str, says: str) -> None:
    check_both(c.scatter(c.Scatter("Scatter", across, up, tuple(points), (), says)))


@given(st.lists(st.tuples(words, tints, st.lists(st.floats(0, 1), min_size=1, max_size=8)), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_survivals(arms: list[tuple[str, str, list[float]]]) -> None:
    drawn = []
    for label, tint, drops in arms:
        level, steps = 1.0, []
        for i, drop in enumerate(drops):
            level *= drop
            steps.append((i * 40.0, level, level * 0.8, min(1.0, level + 0.1)))
        drawn.append(c.Survival(label, tint, tuple(steps), (5.0, 90.0), ((0, 20), (180, 10), (190, 9), (360, 3))))
    check_both(
        c.kaplan_meier(c.KaplanMeier("Survival", tuple(drawn), 365, ((0, "dose 1"), (28, "week 4"), (360, "month 12"))))
    )


@given(st.dictionaries(st.integers(0, 364), st.integers(0, 9), max_size=60), st.booleans())
@settings(max_examples=20, deadline=None)
def test_years(counts: dict[int, int], leap: bool) -> None:
    start = date(2028 if leap else 2027, 1, 1)
    by_day = {start + timedelta(days=n): count for n, count in counts.items()}
    check_both(c.year(c.Year("Year", start.year, by_day, "sessions", start)))


@given(st.lists(st.none() | numbers, max_size=30), st.none() | numbers)
@settings(max_examples=40, deadline=None)
def test_sparklines(values: list[float | None], limit: float | None) -> None:
    check(c.sparkline(c.Spark("Trend", tuple(values), "heart", limit)))


@given(st.lists(st.floats(0, 300), max_size=12), st.floats(1, 20))
def test_places_are_kept_apart_in_order_and_within(wanted: list[float], gap: float) -> None:
    placed = apart(wanted, gap, 0, 300)
    assert all(-1e-6 <= place <= 300 + 1e-6 for place in placed)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    in_order = [placed[i] for i in order]
    assert all(b - a >= gap - 1e-6 for a, b in pairwise(in_order))


@given(words, st.floats(0, 200))
def test_a_fitted_text_fits(text: str, room: float) -> None:
    short = fit(text, room)
    assert measure(short) <= room or short == ""
    assert short == text or short.endswith("…") or short == ""


def test_what_is_unknown_is_drawn_and_said_as_unknown_and_no_line_crosses_it() -> None:
    line = c.Line("PHQ-9", "depression", (c.Point(0, 17), c.Point(1, None), c.Point(2, 8)))
    drawing = c.scores(c.Scores("Scores", ("Baseline", "Week 1", "Week 5"), (line,), 0, 27)).wide
    assert "Week 1 unknown" in drawing
    assert "c-ring" in drawing
    assert not [d for d in re.findall(r'<path d="([^"]+)"[^>]*c-line', drawing) if "L" in d]


def test_thresholds_are_named_on_the_chart_and_in_its_description() -> None:
    drawing = c.scores(sample_charts.SCORES).wide
    for threshold in sample_charts.SCORES.thresholds:
        assert drawing.count(threshold.label) == 2


def test_names_are_escaped() -> None:
    drawing = c.sparkline(c.Spark('<script>"&', (1, 2), "heart"))
    assert "<script" not in drawing
    check(drawing)


def test_every_kind_has_a_place_in_the_gallery_and_stays_small() -> None:
    drawn = sample_charts.drawn()
    kinds = {name for name in c.__all__ if name.islower()}
    assert len(drawn) == len(kinds)
    for name, chart in drawn.items():
        both = [chart] if isinstance(chart, c.Drawing) else [chart.wide, chart.narrow]
        for drawing in both:
            check(drawing)
        assert sum(len(d.encode()) for d in both) < 130_000, name


@pytest.mark.parametrize("hours", [8])
def test_eight_hours_of_readings_each_minute_are_one_path_per_sign(hours: int) -> None:
    signs = ("systolic", "diastolic", "heart", "temperature")
    readings = tuple(
        c.Readings(s, tuple((m, 37.0 if s == "temperature" else 90.0 + m % 7) for m in range(hours * 60)))
        for s in signs
    )
    drawing = c.session(c.Session("Long", readings, end=hours * 60)).wide
    assert drawing.count("<circle") == 0
    assert drawing.count('class="c-line') == 4
    assert len(drawing) < 40_000


def test_a_curve_of_survival_begins_with_everybody() -> None:
    arm = c.Survival("Drug", "depression", ((14.0, 0.5, 0.2, 0.8),))
    chart = c.kaplan_meier(c.KaplanMeier("Time to response", (arm,), 28.0, ((0.0, "week 0"), (28.0, "week 4"))))
    (line,) = re.findall(r'<path d="M([^"]+)"[^>]*class="c-line', chart.wide)
    (begin, at_first, *_) = [tuple(map(float, point.split())) for point in re.split("[LHV]", line)[:2]]
    assert begin == (50.0, 34.0) and at_first[1] == 34.0, "at 100 % until the first event"


def test_ratios_are_placed_by_their_logarithm_and_written_as_ratios() -> None:
    study = c.Study("One", 0.0, -0.6931, 0.6931)
    drawing = c.forest(c.Forest("Risk ratio", (study,), ratio=True)).wide
    said = [text for text, _ in labels(drawing)]
    assert "1.00 [0.50, 2.00]" in said and {"1"} <= set(said) and "−0.5" not in said


def test_on_a_phone_the_name_of_a_line_breaks_between_words_and_is_whole() -> None:
    points = (c.Point(0, 30.0), c.Point(1, 12.0))
    means = tuple(c.Line(name, "depression", points) for name in ("Immediate treatment", "Delayed treatment"))
    chart = c.trajectories(c.Trajectories("Means", ("Baseline", "Week 4"), (), means, 0, 52))
    said = [text for text, _ in labels(chart.narrow)]
    assert said.count("treatment") == 2 and "Immediate" in said and not any("…" in text for text in said)


def test_an_event_without_room_for_its_words_lies_clear_of_the_name_of_a_limit() -> None:
    crowd = tuple(c.Happening(5 * i, f"Something long happened {i}") for i in range(12))
    readings = (c.Readings("systolic", ((0, 120.0), (60, 130.0))),)
    limits = (c.Limit("systolic", 200.0, "physician systolic"),)
    chart = c.session(c.Session("Session", readings, (), crowd, limits, start=0, end=60))
    (name,) = [box for text, box in labels(chart.narrow) if text == "physician systolic"]
    dots = [float(y) for y in re.findall(r'<circle cx="[^"]+" cy="([^"]+)" r="2" class="c-event"', chart.narrow)]
    assert dots and max(dots) + 2 <= name.top


def test_a_year_is_light_enough_that_a_page_may_hold_two() -> None:
    chart = c.year(c.Year("2026", 2026, {date(2026, 3, day): 1 + day % 4 for day in range(1, 32)}, what="visits"))
    assert len(chart.wide) + len(chart.narrow) < 40_000
