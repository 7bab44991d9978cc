"""The server itself: readers who go away in the middle take nothing with them."""

from __future__ import annotations

import socket
import urllib.request
from urllib.parse import urlsplit

import pytest

from tests.journeys.house import House, house

__all__ = ["house"]
pytestmark = pytest.mark.database

GET = b"GET /static/keel/keel.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
HALF = b"POST /account/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf"


def test_readers_who_go_away_leave_the_server_answering(house: House) -> None:
    at = urlsplit(house.url)
    for number in range(40):
        line = socket.create_connection((at.hostname, at.port))
        line.sendall(GET if number % 2 else HALF)
        if number % 4 < 2:
            line.recv(10) if number % 2 else None
        line.close()
    with urllib.request.urlopen(f"{house.url}/account/login/", timeout=20) as answer:
        assert answer.status == 200
        assert b"Sign in" in answer.read()


def test_a_page_says_what_it_says_to_every_kind_of_request(house: House) -> None:
    request = urllib.request.Request(f"{house.url}/account/login/", method="HEAD")
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert (answer.status, answer.read()) == (200, b"")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert answer.headers["Cache-Control"]
