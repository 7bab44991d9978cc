"""A real house for browser tests: the server of `keel serve` in a process of its own, with a home and a database of its own.

    def test_something(house, browser):
        scene = house.make("tests.journeys.scenes:phone")     # data through the same actions as people use
        page = house.page(browser, width=390)                 # a fresh browser context; page.goto("/…")
        house.sign_in(page, scene["emails"]["north/physician"])

`house.make("module:function", **given)` runs `function(**given)` in a process of the house (Django set up, the house's
database) and gives back what it returns, through JSON. `house.restart()` stops the server and starts it on the same
port. On the PostgreSQL leg (`KEEL_TEST_DATABASE=postgresql`) the house makes a database beside the one that
`KEEL_TEST_PG` names, and drops it afterwards.

What takes seconds at a start is reading the program. One process beside the tests reads it once, opens nothing (no
database, no thread, no port) and forks a process for each start of a server and for each `make`, with the settings of
the house that asks: what is stopped or killed is a whole server with its connections, and what comes after it has
nothing of the one before. The command `keel serve` itself is started in tests/journeys/test_server.py.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
    has_tables: bool = False

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
        said = self._ask("serve", port)
        self.server, self.url = Server(said["serves"]), said["at"]

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

    def at(self, shown: datetime) -> None:
        """Set the clock of the house: the next request is answered as of then."""
        (self.home / "clock.new").write_text(f"{shown.isoformat()} {datetime.now(UTC).isoformat()}")
        (self.home / "clock.new").replace(self.home / "clock")

    def make(self, function: str, **given: Any) -> Any:
        """Run `module:function(**given)` in the house and give back what it returns (plain JSON)."""
        return self._ask("make", [function, given])["made"]

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

    def _ask(self, what: str, given: Any) -> dict[str, Any]:
        if not self.has_tables:
            self.has_tables = True
            self._ask("migrate", None)
        said = reader().ask([self.env, what, given])
        if "failed" in said:
            raise RuntimeError(f"The house could not {what} {given}:\n{said['failed'][-4000:]}")
        return said


class Reader:
    """The process that has read the program, and forks."""

    def __init__(self) -> None:
        # In a session of its own: when the tests end its input does, and it takes what it forked with it.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.journeys.house"], cwd=ROOT, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, asked: list[Any]) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(f"{json.dumps(asked)}\n")
        self.process.stdin.flush()
        try:
            said: dict[str, Any] = json.loads(self.said.get(timeout=WITHIN_SECONDS))
        except queue.Empty:
            said = {"failed": f"no answer in {WITHIN_SECONDS} seconds"}
        return said

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.put(line)
        self.said.put(json.dumps({"failed": "the process that forks has ended"}))  # nobody waits in vain


@functools.cache
def reader() -> Reader:
    """One for all houses of a test process."""
    return Reader()


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
        house.kill()


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


def _read_and_fork(home: str) -> None:
    """Read the program, then fork a process for each line on standard input: `[env, what, given]`."""
    import django

    os.environ.update({"DJANGO_SETTINGS_MODULE": "keel.config.settings", "KEEL_HOME": home, "KEEL_SIMULATED": "1"})
    django.setup()
    from django.urls import get_resolver

    import keel.config.live
    from keel.library import instrument_files, shelf
    from keel.library.rule_files import catalogue

    _ = get_resolver().url_patterns, keel.config.live.application, importlib.import_module("tests.journeys.scenes")
    _ = catalogue(), [instrument_files.instrument(id) for id in shelf.ids("instruments")]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed: they leave at once
    open_ends = []  # a server may go on saying things
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            _live(write, *json.loads(line))
        os.close(write)
        said = os.fdopen(read)
        word = said.readline().strip()
        if word.startswith("ready "):
            open_ends.append(said)
            word = json.dumps({"serves": child, "at": word.split()[1]})
        else:
            said.close()
        print(word or json.dumps({"failed": "it ended without a word"}), flush=True)


def _live(write: int, env: dict[str, str], what: str, given: Any) -> None:
    """The life of a process that was just forked: it says one line, and ends here."""
    from keel.cli import house

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told = os.fdopen(write, "w", buffering=1)
    try:
        _be(env)
        if what == "serve":
            os.dup2(write, 1)  # its first word is where it is to be found
            house._serve("127.0.0.1", given)
        elif what == "make":
            module, _, name = given[0].partition(":")
            print(json.dumps({"made": getattr(importlib.import_module(module), name)(**given[1])}), file=told)
        else:
            house._migrate()
            print(json.dumps({}), file=told)
    except BaseException:
        traceback.print_exc()
        print(json.dumps({"failed": traceback.format_exc()}), file=told)
    finally:
        os._exit(0)


def _be(env: dict[str, str]) -> None:
    """Take on the settings of a house: its environment, its log as the output, its database."""
    from django.conf import settings
    from django.db import connections

    import keel.config.settings as named

    os.environ.clear()
    os.environ.update({**env, "DJANGO_SETTINGS_MODULE": "keel.config.settings"})
    os.close(0)
    log = os.open(Path(env["KEEL_HOME"]) / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    importlib.reload(named)
    for name in filter(str.isupper, dir(named)):
        setattr(settings, name, getattr(named, name))
    # A person's password is not what is tried here, and a slow hash of it for each of a clinic's staff is.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with suppress(AttributeError):  # where nothing asked for a connection yet
        del connections["default"]
    connections.settings = connections.configure_settings(settings.DATABASES)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="keel-reader-") as nowhere:
        _read_and_fork(nowhere)
    os.killpg(0, signal.SIGKILL)  # nothing that it forked outlives the tests
