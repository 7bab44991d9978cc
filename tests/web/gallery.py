"""Every component and chart of Keel on a few pages of plainly simulated data, drawn without the application.

python -m tests.web.gallery FOLDER        writes the pages
python -m tests.web.gallery FOLDER shoot  and photographs them (needs Chromium)
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import django
from django.conf import settings
from django.template import Context, Engine

from keel.domain.errors import Reason
from tests.web import sample_charts

WEB = Path(__file__).parents[2] / "keel" / "web"
PAGES = Path(__file__).parent / "gallery"
NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
SURFACES = ("desk", "room", "pocket")
WIDTHS = (360, 820, 1440)


@dataclass(frozen=True)
class Me:
    name: str = "R. Simulated"
    roles: list[str] = field(default_factory=lambda: ["coordinator"])
    site: str = "Simulated clinic"


NAV = [
    {"url": "#", "label": "Today", "count": 3, "state": "stop"},
    {"url": "#", "label": "Caseload", "current": True},
    {"url": "#", "label": "Calendar"},
    {"url": "#", "label": "Alerts", "count": 2},
    {"url": "#", "label": "Study"},
    {"url": "#", "label": "Team"},
]
POCKET_NAV = [
    {"url": "#", "label": "Today", "current": True},
    {"url": "#", "label": "My course"},
    {"url": "#", "label": "Journal"},
]
COURSE = {
    "code": "S-014",
    "name": "Ada Simulated",
    "protocol": "davis-2021",
    "arm": "immediate",
    "phase": "Integration",
    "day": "43",
    "standing": "caution",
    "standing_label": "One visit overdue",
}
PHASES = [
    {"label": "Screening", "says": "done 12 Oct", "state": "done"},
    {"label": "Preparation", "says": "4 of 4 sessions", "state": "done"},
    {"label": "Dosing", "says": "2 of 2 sessions", "state": "done"},
    {"label": "Integration", "says": "1 of 3 sessions", "current": True},
    {"label": "Follow-up", "says": "to November 2027"},
]
CASELOAD = [
    {
        "phase": "Screening",
        "cases": [
            ("S-021", "day 2", "Medical history due today", "due", "Due today"),
            ("S-022", "day 5", "ECG not read", "unknown", "Two facts unknown"),
            ("S-019", "day 9", "Takes lithium", "stop", "Stopped by a rule"),
        ],
    },
    {
        "phase": "Preparation",
        "cases": [
            ("S-017", "day 20", "Session 3 on Monday", "planned", "Planned"),
            ("S-018", "day 16", "Session 2 was due Thursday", "overdue", "2 days overdue"),
        ],
    },
    {"phase": "Dosing", "cases": [("S-016", "day 31", "Dose 1 tomorrow, 9:00", "clear", "Ready")]},
    {
        "phase": "Integration",
        "cases": [
            ("S-014", "day 43", "Session 2 was due Friday", "overdue", "1 day overdue"),
            ("S-013", "day 50", "Session 3 on Tuesday", "in_window", "In window"),
        ],
    },
    {
        "phase": "Follow-up",
        "cases": [
            ("S-009", "month 3", "Questionnaires in 12 days", "planned", "Planned"),
            ("S-004", "month 6", "No answer since June", "missed", "Missed"),
            ("S-001", "month 12", "Last visit done", "done", "Done"),
        ],
    },
]
MOMENTS = [
    {
        "at": NOW,
        "day": "Today, 21 November",
        "what": "GRID-HAMD-17 total 9",
        "was": "19",
        "by": "R. Simulated, rater",
        "because": "amended, item 4 was typed twice",
    },
    {
        "at": NOW - timedelta(hours=3),
        "state": "overdue",
        "what": "Integration session 2 became overdue",
        "by": "the schedule",
        "because": "latest day was 20 November",
    },
    {
        "at": NOW - timedelta(days=1),
        "day": "Friday, 20 November",
        "state": "done",
        "what": "Alliance questionnaire answered",
        "by": "the participant, on a phone",
    },
    {
        "at": NOW - timedelta(days=1, hours=2),
        "state": "stop",
        "what": "Blood pressure 162/98 at 40 minutes, repeated",
        "by": "P. Simulated, facilitator",
    },
    {"at": NOW - timedelta(days=1, hours=5), "state": "unknown", "what": "Ride home not yet named"},
]
FIELDS = [
    {
        "name": "weight_kg",
        "label": "Weight",
        "kind": "number",
        "unit": "kg",
        "value": "71.5",
        "required": True,
        "short": True,
    },
    {
        "name": "visit_on",
        "label": "Day of the visit",
        "kind": "date",
        "value": "2026-11-27",
        "required": True,
        "wrong": "27 November lies in the future. A visit is recorded on or after its day.",
    },
    {
        "name": "who",
        "label": "Asked by",
        "kind": "select",
        "value": "b",
        "options": [{"value": "a", "label": "P. Simulated"}, {"value": "b", "label": "R. Simulated"}],
        "required": True,
    },
    {
        "name": "words",
        "label": "In the participant’s own words",
        "kind": "textarea",
        "hint": "Sealed with the participant’s own key. Only the team of this course can read it.",
    },
    {"name": "ride", "label": "A ride home is arranged", "kind": "checkbox", "value": True},
]
REASONS = [
    Reason(
        "The dose was not recorded",
        "the readiness gate is not clear: blood pressure has not been measured today",
        "Record blood pressure, then give the dose",
        where="dose 1",
    ),
    Reason("The second signature is missing", "this dose is checked by two people", "Ask a second person to sign"),
]
MONTH = [
    {"on": 1 + i, "long": f"{('Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday')[i % 7]}"}
    for i in range(30)
]
MONTH_VISITS = {
    3: [("S-014 dose 2", "done")],
    9: [("S-013 integration 1", "done"), ("S-017 preparation 1", "done")],
    19: [("S-018 preparation 2", "overdue")],
    21: [("S-021 screening", "due")],
    22: [("S-016 dose 1", "planned")],
    24: [("S-013 integration 3", "in_window")],
}
ITEM_OPTIONS = [
    {"value": 0, "label": "Not at all"},
    {"value": 1, "label": "On several days"},
    {"value": 2, "label": "On more than half the days"},
    {"value": 3, "label": "Nearly every day"},
]
QUESTIONNAIRE = {
    "action": "/answers",
    "outbox_url": "/answers",
    "course": "S-014",
    "owner": "participant-014",
    "response": "0193f0a0-0000-7000-8000-000000000001",
    "instrument": "sample",
    "version": 1,
    "title": "Sample questionnaire",
    "lead_in": "Over the last two weeks, how often have you been bothered by this?",
    "finish_label": "Finish and send",
    "matrix": True,
    "items": [
        {
            "id": "1",
            "name": "item_1",
            "text": "Simulated question one: a short line of plain words",
            "options": ITEM_OPTIONS,
            "current": True,
        },
        {"id": "2", "name": "item_2", "text": "Simulated question two", "options": ITEM_OPTIONS},
        {
            "id": "3",
            "name": "item_3",
            "text": "Asked only after some difficulty",
            "options": ITEM_OPTIONS,
            "ask_when": "2:1|2|3",
        },
        {
            "id": "4",
            "name": "item_4",
            "kind": "range",
            "text": "How are you today?",
            "min": 0,
            "max": 100,
            "low": "The worst I can imagine",
            "high": "The best I can imagine",
        },
        {"id": "5", "name": "item_5", "kind": "text", "text": "Is there anything you would like us to know?"},
    ],
}
BOARD = [
    {
        "code": "Ada S.",
        "phase": "Onset",
        "since": "0:47",
        "state": "clear",
        "label": "In range",
        "next": "Vital signs in 13 minutes",
        "vitals": [
            ("Blood pressure", "128/82", "mmHg", ""),
            ("Heart rate", "84", "/min", ""),
            ("Temperature", "36.9", "°C", ""),
        ],
    },
    {
        "code": "Ben S.",
        "phase": "Onset",
        "since": "0:45",
        "state": "caution",
        "label": "Repeat in 4 minutes",
        "next": "Blood pressure again 10:09",
        "vitals": [
            ("Blood pressure", "158/96", "mmHg", "caution"),
            ("Heart rate", "98", "/min", ""),
            ("Temperature", "37.1", "°C", ""),
        ],
    },
    {
        "code": "Cleo S.",
        "phase": "Dosed",
        "since": "0:41",
        "state": "unknown",
        "label": "No reading for 31 minutes",
        "next": "Vital signs 1 minute late",
        "vitals": [
            ("Blood pressure", "–", "mmHg", "unknown"),
            ("Heart rate", "–", "/min", "unknown"),
            ("Temperature", "36.8", "°C", ""),
        ],
    },
]


def sample() -> dict[str, Any]:
    """Everything the gallery's pages show; nobody in it is real."""
    for day in MONTH:
        day["visits"] = MONTH_VISITS.get(day["on"], [])
        day["current"] = day["on"] == 21
    return {
        **sample_charts.drawn(),
        "simulated": True,
        "me": Me(),
        "nav": NAV,
        "pocket_nav": POCKET_NAV,
        "csrf_token": "sample-token",
        "sign_out": "#",
        "now": NOW,
        "as_of": NOW,
        "course": COURSE,
        "phases": PHASES,
        "caseload": CASELOAD,
        "moments": MOMENTS,
        "fields": FIELDS,
        "reasons": REASONS,
        "month": MONTH,
        "questionnaire": QUESTIONNAIRE,
        "board": BOARD,
        "sign_in_name": {"name": "login", "label": "Name or email", "required": True, "autocomplete": "username"},
        "sign_in_word": {
            "name": "password",
            "kind": "password",
            "label": "Password",
            "required": True,
            "autocomplete": "current-password",
        },
        "states": [
            ("clear", "Clear"),
            ("caution", "Caution"),
            ("unknown", "Unknown"),
            ("stop", "Stop"),
            ("planned", "Planned"),
            ("in_window", "In window"),
            ("due", "Due"),
            ("overdue", "Overdue"),
            ("done", "Done"),
            ("done_out_of_window", "Done, out of window"),
            ("missed", "Missed"),
            ("withdrawn", "Withdrawn"),
        ],
    }


def engine() -> Engine:
    if not settings.configured:
        settings.configure(USE_TZ=True, TIME_ZONE="UTC", USE_I18N=False)
        django.setup()
    return Engine(
        dirs=[WEB, PAGES],
        libraries={"static": "tests.web.gallery_tags", "django_htmx": "tests.web.gallery_tags"},
        builtins=["django.template.defaulttags", "django.template.defaultfilters"],
    )


def page_names() -> list[str]:
    return sorted(path.stem for path in PAGES.glob("*.html"))


def write(folder: Path, **more: object) -> list[Path]:
    """Draw every gallery page into `folder`, with `more` in the context; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawer, context = engine(), sample()
    written = []
    for name in page_names():
        page = folder / f"{name}.html"
        values = {**context, "page_title": name.replace("_", " "), **more}
        page.write_text(drawer.get_template(f"{name}.html").render(Context(values)))
        written.append(page)
    return written


class Handler(SimpleHTTPRequestHandler):
    """The gallery folder and the static files, under the content security policy that Keel serves with."""

    POLICY = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", self.POLICY)
        super().end_headers()

    def translate_path(self, path: str) -> str:
        path = path.split("?")[0]
        if path.startswith("/static/keel/"):
            return str(WEB / path.lstrip("/"))
        if path.startswith("/static/django_htmx/"):
            import django_htmx

            return str(Path(django_htmx.__file__).parent / path.lstrip("/"))
        return super().translate_path(path)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the tests' own output is enough."""


@contextmanager
def serving(folder: Path, handler: type[Handler] = Handler) -> Iterator[str]:
    """Serve `folder` on a free port of this machine; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def playwright() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        yield play


def launch(start: Callable[..., Any], **more: object) -> Any:
    """Start a browser, KEEL_CHROMIUM or the one on PATH, in the way of `start`."""
    path = os.environ.get("KEEL_CHROMIUM") or shutil.which("chromium-headless-shell") or shutil.which("chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    return start(executable_path=path, args=[*quiet, "--no-first-run"], **more)


@contextmanager
def chromium() -> Iterator[Any]:
    """A real browser."""
    with playwright() as play:
        browser = launch(play.chromium.launch)
        try:
            yield browser
        finally:
            browser.close()


def shoot(folder: Path, only: str = "") -> None:
    """Photograph every page at every width, light and dim, into `folder/shots`."""
    write(folder)
    shots = folder / "shots"
    shots.mkdir(exist_ok=True)
    with serving(folder) as address, chromium() as browser:
        for theme in ("light", "dim"):
            for width in WIDTHS:
                page = browser.new_page(viewport={"width": width, "height": 900})
                page.context.add_cookies([{"name": "keel_theme", "value": theme, "url": address}])
                for name in page_names():
                    if name.startswith(only):
                        page.goto(f"{address}/{name}.html")
                        page.screenshot(path=shots / f"{name}-{width}-{theme}.png", full_page=True)
                page.close()


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if "shoot" in sys.argv[2:]:
        shoot(place, *sys.argv[3:4])
    else:
        write(place)
