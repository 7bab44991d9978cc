"""The network is gone for ten minutes in the middle of a session of three, while two tablets go on writing.

Real minutes by a real clock: `./dev soak cut --minutes 20` takes ten on each database. In the cut one tablet is reloaded and then
its whole browser is killed (SIGKILL) and opened anew on the same profile, the page of the other crashes, and the
server is killed and started. Afterwards every entry is in the record once, in the order of entering.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from soak.outbox import TAPS, Storm, Tablet
from tests.journeys.house import databases, opened
from tests.web import gallery

BETWEEN_SECONDS = 12


def run(seed: int, minutes: float) -> Iterator[dict[str, Any]]:
    """One cut for each database; `minutes` is what all of them take together."""
    both = ("sqlite", "postgresql") if "KEEL_TEST_PG" in os.environ else ("sqlite",)
    for setting in both:
        with tempfile.TemporaryDirectory(prefix="keel-cut-") as home, databases(setting) as database, \
             gallery.chromium() as browser, opened(Path(home), database) as house:  # fmt: skip
            storm = Cut(house, browser)
            yield {"database": setting, **storm.cut(seed, minutes / len(both), Path(home) / "profile")}
            yield {"database": setting, "runs": 1, "invariants": storm.aftermath()}


class Cut(Storm):
    """The room of a storm, in which the first tablet has a browser of its own with a profile on the disk."""

    def cut(self, seed: int, minutes: float, profile: Path) -> dict[str, Any]:
        chance, before = random.Random(seed), set(self._record())
        first, second = self._with_profile(profile), self._tablet(self.cookies[1])
        tablets, done = (first, second), []
        for tablet in tablets:
            tablet.context.set_offline(True)
        began, whole = time.monotonic(), minutes * 60
        happens = [
            (0.2, "reload", lambda: self._step("reload", first, chance)),
            (0.4, "kill_server", self._kill_server),
            (0.5, "kill_browser", lambda: self._kill_browser(first, profile)),
            (0.7, "crash_page", lambda: self._crash(second)),
        ]
        tapped = 0
        while (gone := time.monotonic() - began) < whole:
            while happens and gone > happens[0][0] * whole:
                _, name, what = happens.pop(0)
                what()
                done.append(name)
            for tablet in tablets:
                tablet.tap(chance.choice(self.scene["courses"]), chance.choice(TAPS))
                tapped += 1
            first.page.wait_for_timeout(min(BETWEEN_SECONDS, whole / 20) * 1000)
        waited = {tablet.path for tablet in tablets if len(tablet.held()) < tapped / 2 - 1}
        reached = len(set(self._record()) - before)
        calm = self._calm(tablets)
        found = self._judge(seed, tablets, before, {"tap": tapped}, calm)
        found["invariants"] |= {"nothing_left_in_the_cut": not reached, "all_waited_on_the_device": not waited}
        found |= {"cut_minutes": round((time.monotonic() - began) / 60, 1), "happened": done}
        for tablet in tablets:
            tablet.context.close()
        return found

    def _with_profile(self, profile: Path) -> Tablet:
        """A tablet whose browser is a process of its own and keeps what it has on the disk."""
        tablet = self._arm(self._browser_on(profile))
        tablet.context.add_cookies(self.cookies[0]["cookies"])
        self._open(tablet)
        return tablet

    def _browser_on(self, profile: Path) -> Any:
        size = {"width": 1180, "height": 820}
        launch = self.browser.browser_type.launch_persistent_context
        return gallery.launch(lambda **how: launch(str(profile), base_url=self.house.url, viewport=size, **how))

    def _kill_browser(self, tablet: Tablet, profile: Path) -> None:
        """Kill the browser's processes as a flat battery would, and open it anew, still without a network."""
        for pid in _processes_of(profile):
            os.kill(pid, signal.SIGKILL)
        while _processes_of(profile):
            time.sleep(0.05)
        (profile / "SingletonLock").unlink(missing_ok=True)
        tablet.context = self._browser_on(profile)
        tablet.context.set_default_timeout(30_000)
        tablet.context.add_cookies(self.cookies[0]["cookies"])
        tablet.context.set_offline(True)
        self._listen(tablet)
        tablet.open()

    def _crash(self, tablet: Tablet) -> None:
        """The page's process crashes; a new one is opened."""
        from playwright.sync_api import Error

        try:
            tablet.page.goto("chrome://crash", timeout=5_000)
        except Error:
            tablet.page.close(run_before_unload=False)
        tablet.open()


def _processes_of(profile: Path) -> list[int]:
    """The processes that were started with this profile, and no others."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                asked = (entry / "cmdline").read_bytes()
            except OSError:  # it has ended meanwhile
                continue
            if str(profile).encode() in asked:
                found.append(int(entry.name))
    return found
