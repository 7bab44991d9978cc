"""A real house for browser tests: `keel serve` in a process of its own, with a home and a database of its own.

    def test_something(house, browser):
        scene = house.make("tests.journeys.scenes:phone")     # data through the same actions as people use
        page = house.page(browser, width=390)                 # a fresh browser context; page.goto("/…")
        house.sign_in(page, scene["emails"]["north/physician"])

`house.make("module:function", **given)` runs `function(**given)` in a process of the house (Django set up, the house's
database) and gives back what it returns, through JSON. `house.restart()` stops the server and starts it on the same
port. On the PostgreSQL leg (`KEEL_TEST_DATABASE=postgresql`) the house makes a database beside the one that
`KEEL_TEST_PG` names, and drops it afterwards.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.web import gallery

ROOT = Path(__file__).parents[2]
READY_WITHIN_SECONDS = 120


@dataclass
class House:
    """A running house. `url` has no slash at its end."""

    home: Path
    database: str
    url: str = ""
    server: subprocess.Popen[str] | None = None
    said: list[str] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("KEEL_") and k != "DJANGO_SETTINGS_MODULE"}
        given = {
            "KEEL_HOME": str(self.home),
            "KEEL_SIMULATED": "1",
            "KEEL_CLOCK": str(self.home / "clock"),
            "PYTHONUNBUFFERED": "1",
        }
        return {**kept, **given, **({"KEEL_DATABASE": self.database} if self.database else {})}

    def start(self, port: int = 0) -> None:
        """Start the server and wait until it says that it is ready."""
        with (self.home / "server.log").open("a") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "keel", "serve", "--port", str(port)],
                cwd=ROOT,
                env=self.env,
                text=True,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(self.server, ready), daemon=True).start()
        if not ready.wait(READY_WITHIN_SECONDS) or not self.url:
            self.stop()
            raise RuntimeError(f"The house did not open: {(self.home / 'server.log').read_text()[-2000:]}")

    def _listen(self, server: subprocess.Popen[str], ready: threading.Event) -> None:
        assert server.stdout
        for line in server.stdout:
            self.said.append(line)
            if line.startswith("ready "):
                self.url = line.split()[1]
                ready.set()
        ready.set()  # it ended: nobody waits in vain

    def stop(self) -> None:
        """Stop the server as a stop of the machine would; does nothing when it is stopped."""
        if self.server and self.server.poll() is None:
            self.server.terminate()
            try:
                self.server.wait(10)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        self.server = None

    def restart(self) -> None:
        port = urlsplit(self.url).port or 0
        self.stop()
        self.start(port)

    def at(self, shown: datetime) -> None:
        """Set the clock of the house: the next request is answered as of then."""
        (self.home / "clock.new").write_text(f"{shown.isoformat()} {datetime.now(UTC).isoformat()}")
        (self.home / "clock.new").replace(self.home / "clock")

    def make(self, function: str, **given: Any) -> Any:
        """Run `module:function(**given)` in the house and give back what it returns (plain JSON)."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.journeys.house", function, json.dumps(given)],
            cwd=ROOT,
            env={**self.env, "DJANGO_SETTINGS_MODULE": "keel.config.settings"},
            text=True,
            capture_output=True,
            timeout=180,
        )
        if done.returncode:
            raise RuntimeError(f"{function} failed in the house:\n{done.stderr[-4000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def page(self, browser: Any, *, width: int = 1280, height: int = 900, **more: Any) -> Any:
        """A page of a fresh browser context (its own cookies) at the house's address."""
        context = browser.new_context(
            base_url=self.url, viewport={"width": width, "height": height}, has_touch=width < 600, **more
        )
        context.set_default_timeout(30_000)
        return context.new_page()

    def sign_in(self, page: Any, email: str, password: str = "simulated-clinic") -> None:
        """Sign a member of staff in by the sign-in page."""
        page.goto("/account/login/")
        page.get_by_label("E-mail address").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(lambda url: "/account/login" not in url)


@contextmanager
def databases(setting: str) -> Iterator[str]:
    """The address of a database of one's own on `postgresql`, dropped afterwards; nothing (SQLite in the home) else."""
    if setting != "postgresql":
        yield ""
        return
    import psycopg

    server = os.environ["KEEL_TEST_PG"]
    name = f"keel_house_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty house that is open; stopped and removed after the test."""
    with databases(os.environ.get("KEEL_TEST_DATABASE", "")) as database:
        opened = House(tmp_path, database)
        try:
            opened.start()
            yield opened
        finally:
            opened.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium for the tests of a module."""
    with gallery.chromium() as chromium:
        yield chromium


def _run(function: str, given: str) -> None:
    import importlib

    import django

    django.setup()
    module, _, name = function.partition(":")
    print(json.dumps(getattr(importlib.import_module(module), name)(**json.loads(given))))


if __name__ == "__main__":
    _run(*sys.argv[1:])
