"""The design language keeps its promises: contrast, size, dimness, reach, and nothing that a strict policy would block."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from keel.web.layout import charts
from keel.web.layout.charts.canvas import MEASURES
from tests.web import gallery

CSS = (gallery.WEB / "static/keel/keel.css").read_text()
SCRIPTS = sorted((gallery.WEB / "static/keel").glob("*.js"))
STATES = ("done", "caution", "unknown", "stop")


def tokens(selector: str) -> dict[str, tuple[str, str]]:
    """The colours of one block: name to (light, dim)."""
    start = CSS.index(f"{selector} {{")
    block = CSS[start : CSS.index("}", start)]
    return {name: (light, dim) for name, light, dim in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", block)}


def surface(name: str) -> dict[str, tuple[str, str]]:
    own = {} if name == "desk" else tokens(f':root[data-surface="{name}"]')
    return {**tokens(":root"), **own}


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dim"])
@pytest.mark.parametrize(("name", "least"), [("desk", 4.5), ("room", 7.0), ("pocket", 7.0)])
def test_text_stands_out_from_its_ground(name: str, least: float, theme: int) -> None:
    colour = {token: pair[theme] for token, pair in surface(name).items()}
    grounds = [colour[ground] for ground in ("paper", "sheet", "sunk")]
    faint = []
    for ink in ("ink", "soft", "action", *STATES):
        faint += [(ink, ground) for ground in grounds if contrast(colour[ink], ground) < least]
    for state in ("action", *STATES):
        wash = colour[f"{state}-wash"]
        faint += [(ink, f"{state}-wash") for ink in (state, "ink") if contrast(colour[ink], wash) < least]
    if contrast(colour["on-action"], colour["action"]) < least:
        faint.append(("on-action", "action"))
    assert not faint


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dim"])
@pytest.mark.parametrize("name", gallery.SURFACES)
def test_borders_rings_and_measures_can_be_seen(name: str, theme: int) -> None:
    colour = {token: pair[theme] for token, pair in surface(name).items()}
    for ground in ("paper", "sheet"):
        for mark in ("edge", "focus"):
            assert contrast(colour[mark], colour[ground]) >= 3, (mark, ground)
        for measure in MEASURES:
            assert contrast(colour[f"m-{measure}"], colour[ground]) >= 4.5, (measure, ground)


def test_the_drawings_on_paper_have_the_colours_of_the_light_theme() -> None:
    light = {name: pair[0] for name, pair in tokens(":root").items()}
    assert {f"m-{name}": ink for name, ink in MEASURES.items()}.items() <= light.items()


def test_the_room_is_dimmest_and_no_white_is_in_it() -> None:
    room = {name: pair[1] for name, pair in surface("room").items() if not name.startswith("m-")}
    assert luminance(room["paper"]) < 0.003
    assert max(map(luminance, room.values())) < 0.6


def test_five_sizes_of_type_and_no_other() -> None:
    sizes = set(re.findall(r"font(?:-size)?:\s*([^;}]+)", CSS))
    steps = {f"var(--text-{name})" for name in ("small", "body", "lead", "title", "figure")}
    ours = {size.replace("!important", "").strip() for size in sizes}
    # What is left is relative to its own line (marks and units), inherited, or the phone's least size of 1rem.
    others = {
        s for s in ours - steps if not re.fullmatch(r"[\d.]+em|inherit|1rem|1\.75rem", s) and "var(--text" not in s
    }
    assert not others


def test_the_stylesheet_is_small_and_names_nothing_elsewhere() -> None:
    assert len(CSS.encode()) < 40_000
    assert not re.search(r"url\(|@import|https?:", CSS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_need_nothing_that_a_strict_policy_forbids(script: Path) -> None:
    text = script.read_text()
    assert not re.search(r"\beval\(|new Function|innerHTML|outerHTML|document\.write|\.style\b|javascript:", text)
    assert not re.search(r"https?://", text)
    assert len(text.encode()) < 25_000


# ---- in a real browser ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("gallery")
    gallery.write(folder)
    with gallery.serving(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with gallery.chromium() as chromium:
        yield chromium


@pytest.fixture(params=["light", "dim"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(browser: Any, site: str, theme: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 360, "height": 800}, reduced_motion="reduce")
    context.add_cookies([{"name": "keel_theme", "value": theme, "url": site}])
    yield context.new_page()
    context.close()


# Overlaps of texts as the browser really set them, and texts that leave their drawing.
BAD_LABELS = """() => [...document.querySelectorAll(".chart svg, .spark svg")].flatMap((svg) => {
  const frame = svg.getBoundingClientRect();
  if (!frame.width) return [];
  const all = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  const out = all.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1 || b.bottom > frame.bottom + 1);
  const over = all.flatMap(([a, p], i) => all.slice(i + 1).filter(([, q]) =>
    p.left + 1 < q.right && q.left + 1 < p.right && p.top + 4 < q.bottom && q.top + 4 < p.bottom).map(([b]) => `${a} / ${b}`));
  return [...out.map(([a]) => a), ...over];
})"""

# How far things moved by themselves after they were first shown (the sum of layout shifts).
SHIFT = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((entry) => (sum += entry.value)))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 150);
})"""

TOO_SMALL = """() => [...document.querySelectorAll("a, button, input, select, textarea, summary, label.choice, label.pick")].filter((one) => {
  if (one.closest("p, li, dd") && one.tagName === "A") return false;
  if (one.matches(".skip, [type=hidden]")) return false;
  const box = (one.closest("label.choice, label.pick") ?? one).getBoundingClientRect();
  return box.width && (box.height < 47.5 || box.width < 47.5);
}).map((one) => one.outerHTML.slice(0, 90))"""


@pytest.mark.browser
@pytest.mark.parametrize("name", gallery.page_names())
def test_every_page_is_sound_in_both_themes_and_at_every_width(page: Any, site: str, name: str, theme: str) -> None:
    """No violation that axe knows, nothing wider than the screen from 320 px on, no label over another, no blocked source."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    # Where things lie does not depend on the theme; what can be read does.
    for width in (320, 360, 820, 1440) if theme == "light" else (820,):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"{site}/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
        assert page.evaluate(BAD_LABELS) == [], width
        if (width, theme) in ((360, "light"), (820, "dim")):
            found = Axe().run(
                page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
            )
            assert found.violations_count == 0, found.generate_report()
        if name.startswith(("room", "pocket")):
            assert page.evaluate(TOO_SMALL) == [], width
    assert page.evaluate(SHIFT) < 0.02
    assert said == []
    weight = page.evaluate("performance.getEntriesByType('resource').reduce((sum, e) => sum + e.transferSize, 0)")
    assert weight < 200_000


@pytest.mark.browser
@pytest.mark.parametrize("size", [(1280, 800), (1440, 900), (390, 844), (820, 1180)], ids=str)
@pytest.mark.parametrize("name", [n for n in gallery.page_names() if n.startswith("room")])
def test_the_dim_room_gives_little_light(browser: Any, site: str, name: str, size: tuple[int, int]) -> None:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    page.goto(f"{site}/{name}.html")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    context.close()
    table = [luminance(f"#{v:02x}0000") / 0.2126 for v in range(256)]
    counts = [channel.histogram() for channel in picture.split()]
    pixels = picture.width * picture.height
    mean = sum(
        part * sum(table[v] * n for v, n in enumerate(histogram)) / pixels
        for part, histogram in zip((0.2126, 0.7152, 0.0722), counts, strict=True)
    )
    assert mean < 0.08
    assert mean > 0.001, "the picture is black: nothing was drawn"


@pytest.mark.browser
def test_the_device_chooses_the_theme_until_a_person_does(browser: Any, site: str) -> None:
    def ground(page: Any) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(f"{site}/desk_caseload.html")
    dim = ground(page)
    page.get_by_role("button", name="Light screen").click()
    light = ground(page)
    assert light != dim
    page.goto(f"{site}/desk_parts.html")
    assert ground(page) == light
    context.close()


@pytest.mark.browser
def test_everything_is_reached_by_keyboard_and_shows_where_it_is(browser: Any, site: str) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{site}/desk_parts.html")
    wanted = page.evaluate("""() => [...document.querySelectorAll("a[href], button, input, select, textarea, [tabindex='0']")]
      .filter((one) => !one.disabled && one.type !== "hidden" && one.getClientRects().length).length""")
    seen = set()
    for _ in range(wanted + 15):
        page.keyboard.press("Tab")
        place = page.evaluate("""() => { const one = document.activeElement; const style = getComputedStyle(one);
          return [[...document.querySelectorAll("*")].indexOf(one), one.tagName, style.outlineStyle, style.outlineWidth]; }""")
        if place[1] != "BODY":
            seen.add(place[0])
            assert place[2] == "solid" and place[3] == "3px", place
    page.close()
    assert len(seen) == wanted


@pytest.mark.browser
def test_eight_hours_of_readings_each_minute_are_drawn_at_once(browser: Any, site: str) -> None:
    signs = ("systolic", "diastolic", "heart", "temperature")
    readings = tuple(
        charts.Readings(s, tuple((m, 37.0 if s == "temperature" else 90.0 + m % 7) for m in range(480))) for s in signs
    )
    drawing = charts.session(charts.Session("Eight hours", readings)).wide
    page = browser.new_page()
    page.goto(f"{site}/room_entry.html")
    took = page.evaluate(
        """async (drawing) => {
          const start = performance.now();
          const place = document.createElement("div");
          place.innerHTML = drawing;
          document.querySelector("main").append(place);
          await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
          return performance.now() - start;
        }""",
        drawing,
    )
    page.close()
    assert took < 100


@pytest.mark.browser
def test_a_page_prints_without_its_furniture(browser: Any, site: str) -> None:
    page = browser.new_page()
    page.goto(f"{site}/desk_course.html")
    page.emulate_media(media="print")
    assert not page.get_by_role("navigation", name="Main").is_visible()
    assert page.get_by_text("Simulated data.").is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
