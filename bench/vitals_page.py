"""`vitals-page`: how long a browser takes to draw eight hours of vital signs, taken each minute.

The pages are those that people open: the report of the session (one axis with every reading, and the log) and the
board. The figure is the processor time of the page's thread for reading, styling, laying out, scripts and painting
(Chromium's own count, so that a busy machine does not pass for a slow page); `-paint` is by the clock, from the last byte
of the page to the first paint with content; `-answer` is the server's part, from the request to the last byte. Beside
each, in the same run: the same page of a day with one reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median
from typing import Any

from bench import site
from bench.figure import Figure
from bench.live_board import PREPARE
from tests.web import gallery

MINUTES = 480
TIMES = 7
READINGS = """
for room, minutes in zip(made, ({minutes}, 1)):
    with journal.writing(f"course:{{room['courses'][0]}}") as writing:
        for minute in range(minutes):
            said = {{"visit": "dosing", "systolic_mmhg": 118 + minute % 40, "diastolic_mmhg": 74 + minute % 22,
                    "heart_rate_bpm": 62 + minute % 30}}
            writing.append("vitals_recorded", said, by=by, at=at + timedelta(minutes=minute))
"""
DRAWN = """() => new Promise(done => {
  const [page] = performance.getEntriesByType("navigation");
  const read = () => { const paint = performance.getEntriesByName("first-contentful-paint")[0];
    if (!paint) return setTimeout(read, 20);
    document.documentElement.getBoundingClientRect();
    done([paint.startTime - page.responseEnd, page.responseEnd - page.requestStart]); };
  read(); })"""


def run() -> Iterator[Figure]:
    with site.database("sqlite") as env:
        code = PREPARE.format(sessions=2, people=1).replace("hours=2", "hours=9")
        made = json.loads(site.python(env, _with_readings(code)).splitlines()[-1])
        long, short = made["rooms"]
        with site.serving(env) as address, gallery.chromium() as chromium:
            context = chromium.new_context(base_url=address, viewport={"width": 1180, "height": 820})
            context.add_cookies([{"name": "sessionid", "value": made["cookie"], "url": address}])
            for page in ("report", "board"):
                ours, beside = (drawn(context, _path(page, room)) for room in (long, short))
                for name, place in (("", 0), ("-paint", 1), ("-answer", 2)):
                    yield Figure(
                        "vitals-page", f"{page}{name}", median(t[place] for t in ours),
                        median(t[place] for t in beside), "ms", MINUTES, better="less",
                        note=f"median of {TIMES}, most {max(t[place] for t in ours):.0f} ms",
                    )  # fmt: skip


def _with_readings(code: str) -> str:
    """The first room has a reading for each minute of eight hours, the second has one."""
    prepared, _, said = code.rstrip().rpartition("\n")
    return prepared + READINGS.format(minutes=MINUTES) + said


def _path(page: str, room: dict[str, Any]) -> str:
    return f"/session/{room['session']}/" + (f"report/{room['courses'][0]}/" if page == "report" else "")


def drawn(context: Any, path: str) -> list[tuple[float, float, float]]:
    """(processor, paint, answer) in milliseconds, for each time the page was opened; the first opening is left out."""
    found = []
    for _ in range(TIMES + 1):
        page = context.new_page()
        devtools = context.new_cdp_session(page)
        devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
        before = _worked_ms(devtools)
        answer = page.goto(path)
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}")
        clock = page.evaluate(DRAWN)
        found.append((_worked_ms(devtools) - before, *clock))
        page.close()
    return found[1:]


def _worked_ms(devtools: Any) -> float:
    """What the thread of a page has worked so far."""
    told = {row["name"]: row["value"] for row in devtools.send("Performance.getMetrics")["metrics"]}
    return float(told["TaskDuration"]) * 1000
