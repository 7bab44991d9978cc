"""A real house for browser tests: the server of `keel serve` in a process of its own, with a home and a database of its own.

    def test_something(house, browser):
        scene = house.make("tests.journeys.scenes:phone")     # data through the same actions as people use
        page = house.page(browser, width=390)                 # a fresh browser context; page.goto("/…")
        house.sign_in(page, scene["emails"]["north/physician"])

`house.make("module:function", **given)` runs `function(**given)` in a process of the house (Django set up, the house's
database) and gives back what it returns, through JSON. `house.restart()` stops the server and starts it on the same
port. On the PostgreSQL leg (`KEEL_TEST_DATABASE=postgresql`) the house makes a database beside the one that
`KEEL_TEST_PG` names, and drops it afterwards.

What takes seconds at a start is reading the program. One process of each house reads it once, opens nothing (no database,
no thread, no port) and forks a process for each start of the server and for each `make`: what is stopped or killed is a
whole server with its connections, and what comes after it has nothing of the one before. The command `keel serve` itself
is started in tests/journeys/test_server.py.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import threading
import time
import traceback
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
WITHIN_SECONDS = 180


@dataclass
class Server:
    """A running server by its process id."""

    pid: int

    def running(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def end(self, by: signal.Signals) -> None:
        """Send the signal and wait until the process is gone; one that does not heed it is killed."""
        for sent, seconds in ((by, 10.0), (signal.SIGKILL, 30.0)):
            if self.running():
                os.kill(self.pid, sent)
            until = time.monotonic() + seconds
            while self.running() and time.monotonic() < until:
                time.sleep(0.01)


@dataclass
class House:
    """A running house. `url` has no slash at its end."""

    home: Path
    database: str
    url: str = ""
    server: Server | None = None
    reader: subprocess.Popen[str] | None = None
    said: queue.Queue[str] = field(default_factory=queue.Queue)

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
        """Start a server and wait until it says that it is ready."""
        self.server = Server(int(self._ask("serve", port)))
        self.url = self._told("ready")

    def stop(self) -> None:
        """Stop the server as a stop of the machine would; does nothing when it is stopped."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server where it stands."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        port = urlsplit(self.url).port or 0
        self.stop()
        self.start(port)

    def close(self) -> None:
        """End the server and the process that forks; nobody comes back."""
        self.kill()
        if self.reader:
            self.reader.kill()
            self.reader.wait()

    def at(self, shown: datetime) -> None:
        """Set the clock of the house: the next request is answered as of then."""
        (self.home / "clock.new").write_text(f"{shown.isoformat()} {datetime.now(UTC).isoformat()}")
        (self.home / "clock.new").replace(self.home / "clock")

    def make(self, function: str, **given: Any) -> Any:
        """Run `module:function(**given)` in the house and give back what it returns (plain JSON)."""
        found = json.loads(self._ask("made", [function, given]))
        if "failed" in found:
            raise RuntimeError(f"{function} failed in the house:\n{found['failed'][-4000:]}")
        return found["made"]

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

    def _end(self, by: signal.Signals) -> None:
        if self.server:
            self.server.end(by)
        self.server = None

    def _ask(self, what: str, given: Any) -> str:
        if self.reader is None:
            with (self.home / "server.log").open("a") as log:
                self.reader = subprocess.Popen(
                    [sys.executable, "-m", "tests.journeys.house"], cwd=ROOT, env=self.env, text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                )  # fmt: skip
            threading.Thread(target=self._listen, args=(self.reader,), daemon=True).start()
        assert self.reader.stdin
        self.reader.stdin.write(f"{json.dumps([what, given])}\n")
        self.reader.stdin.flush()
        return self._told(what)

    def _listen(self, reader: subprocess.Popen[str]) -> None:
        assert reader.stdout
        for line in reader.stdout:
            self.said.put(line)
        self.said.put("")  # it ended: nobody waits in vain

    def _told(self, what: str) -> str:
        """What the process says under that name."""
        try:
            name, _, value = self.said.get(timeout=WITHIN_SECONDS).strip().partition(" ")
        except queue.Empty:
            name = value = ""
        if name != what:
            raise RuntimeError(f"The house did not answer: {(self.home / 'server.log').read_text()[-2000:]}")
        return value


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


@contextmanager
def opened(home: Path, database: str = "") -> Iterator[House]:
    """A house that is open; its processes end with the block."""
    house = House(home, database)
    try:
        house.start()
        yield house
    finally:
        house.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty house that is open; stopped and removed after the test."""
    with databases(os.environ.get("KEEL_TEST_DATABASE", "")) as database, opened(tmp_path, database) as house:
        yield house


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium for the tests of a module."""
    with gallery.chromium() as chromium:
        yield chromium


# ---- the process that forks ---------------------------------------------------------------------------


def _fork() -> None:
    """Read the program, then fork a process for each line on standard input: `["serve", port]` or `["made", […]]`."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "keel.config.settings"
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections
    from django.urls import get_resolver

    import keel.config.live
    import tests.journeys.scenes  # noqa: F401

    # A person's word is not what is tried here, and a slow hash of it for each of a clinic's staff is.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    call_command("migrate", verbosity=0, interactive=False)
    _ = get_resolver().url_patterns, keel.config.live.application
    connections.close_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed: they leave at once
    for line in sys.stdin:
        what, given = json.loads(line)
        {"serve": _serve, "made": _make}[what](given)


def _serve(port: int) -> None:
    from keel.cli import house

    child = os.fork()
    if child:
        print(f"serve {child}", flush=True)
        return
    with _alone():
        house._serve("127.0.0.1", port)


def _make(given: list[Any]) -> None:
    """Run the function in a process of its own and print what it gave, or how it failed."""
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        with open(read) as made:
            print(f"made {made.read() or json.dumps({'failed': 'it ended without a word'})}", flush=True)
        return
    with _alone(), open(write, "w") as told:
        os.dup2(2, 1)  # what it prints is no answer
        told.write(json.dumps(_made(*given)))


@contextmanager
def _alone() -> Iterator[None]:
    """The life of a process that was just forked: its signals are its own, its input is nobody's, and it ends with the block."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.close(0)
    try:
        yield
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _made(function: str, given: dict[str, Any]) -> dict[str, Any]:
    import importlib

    module, _, name = function.partition(":")
    try:
        return {"made": getattr(importlib.import_module(module), name)(**given)}
    except Exception:
        return {"failed": traceback.format_exc()}


if __name__ == "__main__":
    _fork()
