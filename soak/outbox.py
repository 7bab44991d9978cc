"""Storms over the board's outbox, with a real browser, a real server and its database.

Each run takes two tablets through random steps: taps, readings that a rule refuses, a dead network, the server killed and
started anew, a page that dies, a request sent again later (so also out of order), a clock that is minutes off. What the
device acknowledged must be in the record exactly once, or still be in the device's outbox and shown there; what a device
entered stands in the order of entering; nothing stands that no device entered. One JSON line per run, with its seed, and
one at the end of each database: its chains verify, and its tables are what the journal says.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.journeys.house import House, databases, opened
from tests.web import gallery

SCENES = "tests.journeys.day_scenes"
STEPS = ("tap", "tap", "tap", "tap", "tap", "wrong", "cut", "join", "kill_page", "kill_server", "again",
         "skew", "reload")  # fmt: skip
TAPS = ("Water", "Bathroom", "Reassurance", "Nausea", "Distress", "Silence", "Insight")
CALM_WITHIN_SECONDS = 90
LISTEN = "addEventListener('keel:kept', event => window.acknowledged(event.detail.id))"
SKEW = """([offset]) => { const real = Date; const shift = offset * 60000;
  globalThis.Date = class extends real { constructor(...given) { given.length ? super(...given) : super(real.now() + shift); }
    static now() { return real.now() + shift; } }; }"""
HELD = """() => new Promise((done, fail) => { const open = indexedDB.open('keel', 1); open.onerror = () => fail(open.error);
  open.onsuccess = () => { const all = open.result.transaction('entries').objectStore('entries').getAll();
    all.onsuccess = () => done(all.result.map(row => [row.id, row.state])); }; })"""


@dataclass
class Tablet:
    """A device: its browser context, the page that is open, what it acknowledged, in order, and what it sent."""

    house: House
    context: Any
    path: str
    page: Any = None
    kept: list[str] = field(default_factory=list)
    sent: list[tuple[str, str]] = field(default_factory=list)
    cut: bool = False

    def open(self) -> None:
        self.page = self.context.new_page()
        self.page.on("request", self._saw)
        self.page.goto(self.path)
        self.page.locator("main[data-ready]").wait_for()

    def _saw(self, request: Any) -> None:
        if request.method == "POST" and request.url.endswith("/entries/") and request.post_data:
            self.sent.append((request.post_data, request.headers.get("x-keel-sent-at", "")))

    def tap(self, course: str, what: str) -> None:
        self.page.locator(f"#p-{course}").get_by_role("button", name=what, exact=True).first.click()

    def wrong(self, course: str) -> None:
        """A set of vital signs that the record refuses: the pressure is upside down."""
        person = self.page.locator(f"#p-{course}")
        person.locator("details.vitals-entry > summary").click()
        for measure, value in (("systolic_mmhg", "82"), ("diastolic_mmhg", "128")):
            person.locator(f"input[name={measure}]").fill(value)
        person.get_by_role("button", name="Record", exact=True).click()

    def again(self, body: str, sent_at: str) -> None:
        """Send a request of before once more, with the time it carried, as a network that repeats itself would."""
        token = next((c["value"] for c in self.context.cookies() if c["name"] == "csrftoken"), "")
        headers = {
            "Content-Type": "application/json",
            "X-CSRFToken": token,
            "Referer": self.house.url,
            "X-Keel-Sent-At": sent_at,
        }
        with suppress(Exception):  # the server may be down: then nothing was sent again
            self.context.request.post(f"{self.path}entries/", data=body, headers=headers, timeout=5_000)

    def held(self) -> list[tuple[str, str]]:
        """(id, state) of everything in the device's outbox."""
        return [(id, state) for id, state in self.page.evaluate(HELD)]

    def settle(self) -> None:
        """Take off what was refused, one after the other, and forget what was acknowledged and sent."""
        while left := self.shown():
            self.page.get_by_role("button", name="Remove it from this device").first.click()
            _until(lambda left=left: self.shown() < left)
        self.kept, self.sent = [], []

    def shown(self) -> int:
        """How many refused entries the page shows."""
        return int(self.page.locator("[data-outbox-refusals] > li").count())


class Storm:
    """One house with a cohort in it, and a browser; a run is one stretch of random steps."""

    def __init__(self, house: House, browser: Any) -> None:
        self.house = house
        self.browser = browser
        self.scene = house.make(f"{SCENES}:cohort_under_way")
        self.emails = [self.scene["emails"][f"north/{role}"] for role in ("facilitator", "physician")]
        # Each signs in once: a run then begins with the cookies.
        self.cookies = [self._cookies(email) for email in self.emails]
        self.tablets: list[Tablet] = []

    def _cookies(self, email: str) -> Any:
        page = self.house.page(self.browser, width=1180, height=820)
        page.context.set_default_timeout(90_000)  # the first page of a fresh server on a busy machine
        self.house.sign_in(page, email)
        found = page.context.storage_state()
        page.context.close()
        return found

    def run(self, seed: int, steps: int = 14) -> dict[str, Any]:
        chance = random.Random(seed)
        before = set(self._record())
        tablets = self._tablets()
        counted: dict[str, int] = {}
        held = False
        try:
            for _ in range(steps):
                step = chance.choice(STEPS)
                counted[step] = counted.get(step, 0) + 1
                self._step(step, chance.choice(tablets), chance)
            calm = self._calm(tablets)
            found = self._judge(seed, tablets, before, counted, calm)
            held = all(found["invariants"].values())
            return found
        finally:
            self._put_down(tablets, held)

    def _tablets(self) -> list[Tablet]:
        """The two tablets of this room; they stay the same from run to run, as those of a clinic do."""
        if not self.tablets:
            self.tablets = [self._tablet(cookies) for cookies in self.cookies]
        return self.tablets

    def _put_down(self, tablets: Sequence[Tablet], held: bool) -> None:
        """After a run that held, what was refused is settled by hand; after another the tablets are exchanged."""
        for tablet in tablets:
            if held:
                tablet.settle()
            else:
                tablet.context.close()
        if not held:
            self.tablets = []

    def _tablet(self, cookies: Any) -> Tablet:
        context = self.browser.new_context(
            base_url=self.house.url, viewport={"width": 1180, "height": 820}, storage_state=cookies
        )
        tablet = self._arm(context)
        self._open(tablet)
        return tablet

    def _arm(self, context: Any) -> Tablet:
        """A tablet whose pages tell what they acknowledge."""
        context.set_default_timeout(30_000)
        tablet = Tablet(self.house, context, f"/session/{self.scene['session']}/")
        self._listen(tablet)
        return tablet

    def _listen(self, tablet: Tablet) -> None:
        tablet.context.expose_function("acknowledged", lambda id: tablet.kept.append(id))  # the list of this run
        tablet.context.add_init_script(LISTEN)

    def _open(self, tablet: Tablet) -> None:
        """Open the board, and wait until the device holds it for when there is no network."""
        tablet.open()
        tablet.page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
        url = tablet.page.url
        _until(lambda: tablet.page.evaluate("url => caches.match(url).then(Boolean)", url))

    def _step(self, step: str, tablet: Tablet, chance: random.Random) -> None:
        if step == "tap":
            tablet.tap(chance.choice(self.scene["courses"]), chance.choice(TAPS))
        elif step == "wrong":
            tablet.wrong(chance.choice(self.scene["courses"]))
        elif step in ("cut", "join"):
            tablet.cut = step == "cut"
            tablet.context.set_offline(tablet.cut)
        elif step == "kill_page":
            tablet.page.close(run_before_unload=False)
            tablet.open()
        elif step == "reload":
            tablet.page.reload()
            tablet.page.locator("main[data-ready]").wait_for()
        elif step == "kill_server":
            self._kill_server()
        elif step == "again" and tablet.sent:
            tablet.again(*chance.choice(tablet.sent))
        elif step == "skew":
            tablet.page.evaluate(SKEW, [chance.choice((-7, -3, 3, 7))])
        tablet.page.wait_for_timeout(chance.choice((0, 20, 150)))

    def _kill_server(self) -> None:
        port = urlsplit(self.house.url).port or 0
        self.house.kill()
        self.house.start(port)

    def _calm(self, tablets: Sequence[Tablet]) -> bool:
        """The network is back and the clocks are right: wait until no outbox has anything that waits."""
        for tablet in tablets:
            tablet.context.set_offline(False)
            tablet.page.reload()  # a page begins with the device's true clock
            tablet.page.locator("main[data-ready]").wait_for()
        return all(_until(lambda t=tablet: all(s != "waiting" for _, s in t.held()), fails=False) for tablet in tablets)

    def _judge(
        self, seed: int, tablets: Sequence[Tablet], before: set[str], counted: dict[str, int], calm: bool
    ) -> dict[str, Any]:
        record = self._record()
        kept = [id for tablet in tablets for id in tablet.kept]
        held = {id for tablet in tablets for id, _ in tablet.held()}
        new = [id for id in record if id not in before]
        in_order = all(
            [id for id in new if id in set(tablet.kept)] == [id for id in tablet.kept if id in set(new)]
            for tablet in tablets
        )
        return {
            "run_seed": seed,
            "acknowledged": len(kept),
            "recorded": len(new),
            "held": len(held),
            "steps": counted,
            "invariants": {
                "calm_in_the_end": calm,
                "in_the_record_once_or_in_the_outbox": all((id in new) != (id in held) for id in kept),
                "no_entry_twice": len(new) == len(set(new)),
                "what_is_refused_is_shown": all(t.shown() == len(t.held()) for t in tablets),
                "only_what_a_rule_refuses_is_held": len(held) <= counted.get("wrong", 0),
                "in_the_order_of_entering": in_order,
                # A page may die between keeping an entry and saying so: more than was said, never more than was tapped.
                "no_more_than_was_tapped": len(set(new) | held) <= counted.get("tap", 0) + counted.get("wrong", 0),
            },
        }

    def aftermath(self) -> dict[str, bool]:
        """Whether the record is whole after all runs."""
        found = self.house.make(f"{SCENES}:standing", session=self.scene["session"])
        return {"chains_verify": found["verified"], "tables_are_the_journal": found["identical"],
                "no_id_twice": not found["twice"]}  # fmt: skip

    def _record(self) -> list[str]:
        """The ids of the moments of the day, in the order in which they were written."""
        asked = "SELECT id FROM journal_event WHERE kind = 'moment_noted' ORDER BY seq"
        if self.house.database:
            import psycopg

            with psycopg.connect(self.house.database) as record:
                return [row[0] for row in record.execute(asked).fetchall()]
        import sqlite3

        with closing(sqlite3.connect(self.house.home / "keel.sqlite3", timeout=30)) as record:
            return [row[0] for row in record.execute(asked).fetchall()]


def _until(what: Any, *, fails: bool = True) -> bool:
    began = time.monotonic()
    while not what():
        if time.monotonic() - began > CALM_WITHIN_SECONDS:
            if fails:
                raise TimeoutError("it did not come about in time")
            return False
        time.sleep(0.1)
    return True


def run(seed: int, minutes: float) -> Iterator[dict[str, Any]]:
    """Storms one after the other until the time is over; each has a seed of its own that repeats its steps.

    Half the time on SQLite and half on PostgreSQL where there is one (`KEEL_TEST_PG`, as `./dev soak` sets it).
    """
    both = ("sqlite", "postgresql") if "KEEL_TEST_PG" in os.environ else ("sqlite",)
    number = 0
    for setting in both:
        until = time.monotonic() + minutes * 60 / len(both)
        with tempfile.TemporaryDirectory(prefix="keel-storm-") as home, databases(setting) as database, \
             gallery.chromium() as browser, opened(Path(home), database) as house:  # fmt: skip
            storm, first = Storm(house, browser), number
            while time.monotonic() < until:
                yield {"database": setting, **storm.run(seed + number)}
                number += 1
            yield {"database": setting, "runs": number - first, "invariants": storm.aftermath()}
