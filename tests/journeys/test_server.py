"""The server itself: readers who go away in the middle take nothing with them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.journeys.house import ROOT, House, databases

pytestmark = pytest.mark.database

GET = b"GET /static/keel/keel.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF = b"POST /account/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `keel serve`, started as a person starts it; stopped as a person stops it."""
    home = tmp_path_factory.mktemp("served")
    with databases(os.environ.get("KEEL_TEST_DATABASE", "")) as database:
        command = [sys.executable, "-m", "keel", "serve", "--port", "0"]
        env = House(home, database).env
        with subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE) as server:
            assert server.stdout
            said, _, url = server.stdout.readline().strip().partition(" ")
            assert said == "ready"
            yield url
            server.terminate()
            server.wait(20)


def test_readers_who_go_away_leave_the_server_answering(served: str) -> None:
    at = urlsplit(served)
    for number in range(40):
        line = socket.create_connection((at.hostname, at.port))
        line.sendall(GET if number % 2 else HALF)
        if number % 4 < 2:
            line.recv(10) if number % 2 else None
        line.close()
    with urllib.request.urlopen(f"{served}/account/login/", timeout=20) as answer:
        assert answer.status == 200
        assert b"Sign in" in answer.read()


def test_a_page_says_what_it_says_to_every_kind_of_request(served: str) -> None:
    request = urllib.request.Request(f"{served}/account/login/", method="HEAD")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert (answer.status, answer.read()) == (200, b"")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert answer.headers["Cache-Control"]
