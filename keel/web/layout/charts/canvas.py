"""The sheet that every chart is drawn on: SVG as text, with labels that neither overlap nor leave the sheet.

No scripts and no style attributes, so a strict content security policy holds. Each mark carries a class, through which
keel.css gives it the colours of the theme, and beside it the same colour for paper as presentation attributes, so that
the drawing also stands alone, in print and in a PDF.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from math import ceil, floor, log10

WIDE = 720
NARROW = 344
SIZE = 12
LEADING = 15

# The same measure has the same colour everywhere: one hue per construct, instruments of one construct share it.
MEASURES = {
    "depression": "#0c5a63",
    "anxiety": "#7a4d12",
    "trauma": "#5d3f83",
    "wellbeing": "#2d6a35",
    "alliance": "#8a3560",
    "experience": "#2c4f94",
    "systolic": "#8c3a1f",
    "diastolic": "#6a5208",
    "heart": "#8a2f55",
    "temperature": "#35588a",
}
TONES = {
    "done": "#1e6337",
    "action": "#0c5a63",
    "caution": "#7c4a00",
    "unknown": "#5b4f80",
    "stop": "#8c1c20",
    "soft": "#535c60",
}
# What paper shows where no stylesheet reaches: ink by class.
_PAPER = {
    "c-text": 'fill="#1c2327"',
    "c-soft": 'fill="#535c60"',
    "c-strong": 'fill="#1c2327" font-weight="600"',
    "c-axis": 'stroke="#7d7f7c"',
    "c-grid": 'stroke="#ddd7cb"',
    "c-paper": 'fill="#ffffff"',
    "c-threshold": 'stroke="#535c60" stroke-dasharray="5 3"',
    "c-today": 'stroke="#0c5a63"',
    "c-today-text": 'fill="#0c5a63" font-weight="600"',
    "c-phase": 'fill="#f1ede5"',
    "c-window": 'fill="#ddd7cb"',
    "c-limit": 'stroke="#8c1c20" stroke-dasharray="2 3"',
    "c-limit-text": 'fill="#8c1c20"',
    "c-event": 'fill="#1c2327"',
    "c-dose": 'fill="#0c5a63"',
}
_TINTED = {
    "c-line": 'fill="none" stroke="{ink}" stroke-linejoin="round" stroke-linecap="round"',
    "c-dot": 'fill="{ink}" stroke="#ffffff" stroke-width="1.5"',
    "c-ring": 'fill="#ffffff" stroke="{ink}" stroke-width="1.5" stroke-dasharray="2 2"',
    "c-label": 'fill="{ink}" font-weight="600"',
    "c-band": 'fill="{ink}" fill-opacity=".16"',
    "c-person": 'fill="none" stroke="{ink}" stroke-opacity=".38"',
    "c-flow": 'fill="{ink}" fill-opacity=".28"',
    "c-node": 'fill="{ink}"',
    "c-mark": 'fill="{ink}"',
    "c-hollow": 'fill="#ffffff" stroke="{ink}" stroke-width="1.5"',
    "c-state": 'fill="{ink}" font-weight="600"',
}

_NARROW_LETTERS = set("iljtfrI.,:;'|!()[]/ -·")
_WIDE_LETTERS = set("mwMWQOG@%—…→±")


# Outlines about 0, 0 with a radius of 1.
_SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "up": ((0, -1), (1, 0.8), (-1, 0.8)),
    "diamond": ((0, -1), (1, 0), (0, 1), (-1, 0)),
    "stop": ((-0.4, -1), (0.4, -1), (1, -0.4), (1, 0.4), (0.4, 1), (-0.4, 1), (-1, 0.4), (-1, -0.4)),
    "cross": (
        *((-1, -0.65), (-0.65, -1), (0, -0.35), (0.65, -1), (1, -0.65), (0.35, 0)),
        *((1, 0.65), (0.65, 1), (0, 0.35), (-0.65, 1), (-1, 0.65), (-0.35, 0)),
    ),
}


def measure(text: str, size: float = SIZE, bold: bool = True) -> float:
    """The width of a text in px, on the safe side: no common sans-serif is wider than this."""
    ems = 0.0
    for letter in text:
        if letter in _NARROW_LETTERS:
            ems += 0.44
        elif letter in _WIDE_LETTERS or ord(letter) > 0x2E80:
            ems += 1.06
        elif letter.isupper():
            ems += 0.80
        else:
            ems += 0.69 if bold else 0.64
    return ems * size


def fit(text: str, room: float, size: float = SIZE) -> str:
    """The text, or as much of it as there is room for, with an ellipsis; empty when not even that fits."""
    if measure(text, size) <= room:
        return text
    for end in range(len(text) - 1, 0, -1):
        short = text[:end].rstrip() + "…"
        if measure(short, size) <= room:
            return short
    return ""


def wrapped(text: str, room: float) -> list[str]:
    """The text in one row or two, broken between words, each with an ellipsis where even that is too long."""
    rows: list[str] = []
    for word in text.split():
        if rows and measure(f"{rows[0]} {word}") > room and len(rows) == 1:
            rows.append(word)
        elif rows:
            rows[-1] += f" {word}"
        else:
            rows.append(word)
    return [fit(row, room) for row in rows]


def shown(value: float, places: int | None = None) -> str:
    """A number as people write it: a true minus sign, no needless zeros."""
    text = f"{value:.{places}f}" if places is not None else f"{value:.10g}"
    return text.replace("-", "−")


Px = Callable[[float], float]


def scale(low: float, high: float, start: float, end: float) -> Px:
    """A straight line from values to px; a range without extent lands in the middle."""
    if high == low:
        return lambda value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high, about so many."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / max(about, 1)
    power = 10 ** floor(log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first = ceil(low / step - 1e-9)
    last = floor(high / step + 1e-9)
    return [round(n * step, 10) for n in range(first, last + 1)]


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places as little as needed so that neighbours are `gap` apart and all lie within low and high.

    Where there is no room for all, they are spread evenly. The order of the wanted places is kept.
    """
    if not wanted:
        return []
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    # Blocks of touching labels, each centred on the mean of what its members want.
    blocks: list[tuple[float, list[int]]] = []
    for i in order:
        blocks.append((min(max(wanted[i], low), high), [i]))
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < gap * (len(blocks[-1][1]) + len(blocks[-2][1])) / 2:
            (centre_b, b), (centre_a, a) = blocks.pop(), blocks.pop()
            both = a + b
            centre = (centre_a * len(a) + centre_b * len(b)) / len(both)
            half = gap * (len(both) - 1) / 2
            blocks.append((min(max(centre, low + half), high - half), both))
    placed = [0.0] * len(wanted)
    for centre, members in blocks:
        for place, i in enumerate(members):
            placed[i] = centre + gap * (place - (len(members) - 1) / 2)
    return placed


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def text_box(x: float, y: float, text: str, size: float, anchor: str) -> Box:
    """Where a text lies whose baseline begins (or ends, or has its middle) at x, y."""
    width = measure(text, size)
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
    return Box(left, y - 0.82 * size, left + width, y + 0.26 * size)


class Drawing(str):
    """Finished SVG text that a template may print as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


@dataclass(frozen=True)
class Chart:
    """The same data drawn twice: `wide` from 600 px, `narrow` for phones; parts/chart.html shows the one that fits."""

    wide: Drawing
    narrow: Drawing


def _pieces(start: tuple[float, float], end: tuple[float, float]) -> list[Box]:
    """A stretch of a line as small boxes, to ask whether a text would lie on it."""
    (x1, y1), (x2, y2) = start, end
    n = max(int(max(abs(x2 - x1), abs(y2 - y1)) / 8), 1)
    steps = [(x1 + (x2 - x1) * i / n, y1 + (y2 - y1) * i / n) for i in range(n + 1)]
    return [Box(min(a, c) - 1, min(b, d) - 1, max(a, c) + 1, max(b, d) + 1) for (a, b), (c, d) in pairwise(steps)]


def _n(value: float) -> str:
    text = f"{value:.1f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


@dataclass
class Canvas:
    """One sheet of `width` by `height` px, with a title and a description for those who do not see it."""

    width: float
    height: float
    title: str
    says: str = ""
    marks: list[str] = field(default_factory=list)
    texts: list[Box] = field(default_factory=list)
    traces: list[Box] = field(default_factory=list)

    def _paint(self, kind: str, tint: str) -> str:
        if kind.endswith(" c-halo"):
            plain = self._paint(kind.removesuffix(" c-halo"), tint)
            # No attributes for paper: the PDF writer would paint the halo over the letters instead of behind them.
            return plain.replace('class="', 'class="c-halo ', 1)
        if kind in _TINTED:
            ink = MEASURES.get(tint) or TONES.get(tint) or TONES["action"]
            family = "m" if tint in MEASURES else "t"
            return f'class="{kind} {family}-{tint}" {_TINTED[kind].format(ink=ink)}'
        return f'class="{kind}" {_PAPER[kind]}'

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str, tint: str = "", width: float = 1) -> None:
        where = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
        self.marks.append(f'<line {where} stroke-width="{_n(width)}" {self._paint(kind, tint)}/>')

    def path(self, d: str, kind: str, tint: str = "", width: float = 1) -> None:
        stroke = f' stroke-width="{_n(width)}"' if kind in ("c-line", "c-person") else ""
        self.marks.append(f'<path d="{d}"{stroke} {self._paint(kind, tint)}/>')

    def polyline(self, points: Iterable[tuple[float, float]], kind: str, tint: str = "", width: float = 1) -> None:
        through = list(points)
        if through:
            self.path("M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in through), kind, tint, width)
        if kind == "c-line":
            self.traces += [piece for pair in pairwise(through) for piece in _pieces(*pair)]

    def rect(
        self, x: float, y: float, width: float, height: float, kind: str, tint: str = "", round: float = 0
    ) -> None:
        corner = f' rx="{_n(round)}"' if round else ""
        where = f'x="{_n(x)}" y="{_n(y)}" width="{_n(max(width, 0))}" height="{_n(max(height, 0))}"'
        self.marks.append(f"<rect {where}{corner} {self._paint(kind, tint)}/>")

    def circle(self, x: float, y: float, radius: float, kind: str, tint: str = "") -> None:
        if kind == "c-dot":
            self.traces.append(Box(x - radius, y - radius, x + radius, y + radius))
        self.marks.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" {self._paint(kind, tint)}/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        kind: str = "c-text",
        tint: str = "",
        anchor: str = "start",
        size: float = SIZE,
    ) -> None:
        """Write a text whose place was worked out by the caller."""
        if not text:
            return
        self.texts.append(text_box(x, y, text, size, anchor))
        turn = f' text-anchor="{anchor}"' if anchor != "start" else ""
        where = f'x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}"{turn}'
        self.marks.append(f"<text {where} {self._paint(kind, tint)}>{escape(text, quote=False)}</text>")

    def free(self, box: Box, margin: float = 3) -> bool:
        """Whether a text may lie there: on the sheet, and `margin` px from every other text to the sides."""
        inside = box.left >= 0 and box.top >= 0 and box.right <= self.width and box.bottom <= self.height
        wider = Box(box.left - margin, box.top, box.right + margin, box.bottom)
        return inside and not any(wider.touches(other) for other in self.texts)

    def over_text(self, places: Sequence[tuple[float, float, str]], text: str, kind: str, tint: str = "") -> bool:
        """Like try_text, for words that lie among the data: where the fewest lines pass, the earlier place first."""

        def crossed(place: tuple[float, float, str]) -> int:
            box = text_box(place[0], place[1], text, SIZE, place[2])
            return sum(box.touches(trace) for trace in self.traces)

        return self.try_text(sorted(places, key=crossed), text, f"{kind} c-halo", tint)

    def try_text(
        self,
        places: Iterable[tuple[float, float, str]],
        text: str,
        kind: str = "c-text",
        tint: str = "",
        size: float = SIZE,
    ) -> bool:
        """Write a text at the first of the places (x, y, anchor) where it is free; False when there is none."""
        for x, y, anchor in places:
            if text and self.free(text_box(x, y, text, size, anchor)):
                self.text(x, y, text, kind, tint, anchor, size)
                return True
        return False

    def wedge(self, x: float, y: float, radius: float, kind: str, tint: str = "", sides: str = "up") -> None:
        """A small shape about x, y: `up` (triangle), `diamond`, `stop` (octagon) or `cross`."""
        d = (
            "M"
            + "L".join(f"{_n(x + dx)} {_n(y + dy)}" for dx, dy in ((radius * h, radius * v) for h, v in _SHAPES[sides]))
            + "Z"
        )
        self.path(d, kind, tint)

    def svg(self) -> Drawing:
        """The whole drawing. Its name and description are read aloud in its place."""
        key = hashlib.sha256(f"{self.title}{self.says}{self.width}".encode()).hexdigest()[:10]
        size = f'viewBox="0 0 {_n(self.width)} {_n(self.height)}" width="{_n(self.width)}" height="{_n(self.height)}"'
        font = f'font-family="system-ui, sans-serif" font-size="{SIZE}"'
        named = f'role="img" aria-labelledby="t{key}" aria-describedby="d{key}"'
        head = f'<title id="t{key}">{escape(self.title)}</title><desc id="d{key}">{escape(self.says)}</desc>'
        return Drawing(
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} {named}>{head}{"".join(self.marks)}</svg>'
        )
