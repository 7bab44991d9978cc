"""A server that can be killed and started anew in a moment, for storms of many runs.

    with warm_house(home, database) as house:     # a House of tests/journeys, served
        house.server.kill(); house.server.wait(); house.start(port)

What takes seconds at a start is reading the program. Here one process reads it once, opens nothing (no database, no
thread, no port) and forks a server for each start: what is killed with SIGKILL is a whole server with its connections,
and what comes after it begins from the same program with nothing of the one before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.journeys.house import READY_WITHIN_SECONDS, ROOT, House


@dataclass
class Forked:
    """A server by its process id, with what House and the storm ask of a process."""

    pid: int

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 0
        return None

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    terminate = kill

    def wait(self, seconds: float = 30.0) -> None:
        until = time.monotonic() + seconds
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("the server", seconds)
            time.sleep(0.01)


@dataclass
class WarmHouse(House):
    """A house whose servers are forked from one process that has read the program already."""

    reader: subprocess.Popen[str] | None = None

    def start(self, port: int = 0) -> None:
        if self.reader is None:
            with (self.home / "server.log").open("a") as log:
                self.reader = subprocess.Popen(
                    [sys.executable, "-m", "soak.warm"], cwd=ROOT, env=self.env, text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                )  # fmt: skip
        assert self.reader.stdin and self.reader.stdout
        self.reader.stdin.write(f"{port}\n")
        self.reader.stdin.flush()
        said: dict[str, str] = {}
        until = time.monotonic() + READY_WITHIN_SECONDS
        while "ready" not in said:
            line = self.reader.stdout.readline()
            if not line or time.monotonic() > until:
                raise RuntimeError(f"The house did not open: {(self.home / 'server.log').read_text()[-2000:]}")
            name, _, value = line.strip().partition(" ")
            said[name] = value
        self.url, self.server = said["ready"], Forked(int(said["forked"]))

    def close(self) -> None:
        self.stop()
        if self.reader:
            self.reader.kill()
            self.reader.wait()


@contextmanager
def warm_house(home: Path, database: str = "") -> Iterator[Any]:
    """A house that is open; its servers and the process that forks them end with the block."""
    house = WarmHouse(home, database)
    try:
        house.start()
        yield house
    finally:
        house.close()


def _fork_servers() -> None:
    """Read the program, then fork a server for each port that is asked for on standard input."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "keel.config.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connections
    from django.urls import get_resolver

    import keel.config.live
    from keel.cli import house

    call_command("migrate", verbosity=0, interactive=False)
    _ = get_resolver().url_patterns, keel.config.live.application
    connections.close_all()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed: they leave at once
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(0)
            house._serve("127.0.0.1", int(line))
            os._exit(0)
        print(f"forked {child}", flush=True)


if __name__ == "__main__":
    _fork_servers()
