"""What the benchmarks add to a real server: two addresses, and a server of its own on either database.

The addresses are not part of Keel: they live here, in a settings module that only a benchmark starts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

ROOT = Path(__file__).parents[1]


@contextmanager
def database(setting: str) -> Iterator[dict[str, str]]:
    """The environment of an empty record on `sqlite` or `postgresql`, migrated, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="keel-bench-") as folder:
        env = {**os.environ, "KEEL_HOME": folder, "KEEL_SIMULATED": "1", "DJANGO_SETTINGS_MODULE": "bench.settings"}
        env.pop("KEEL_DATABASE", None)
        name = f"keel_bench_{os.getpid()}"
        if setting == "postgresql":
            server = os.environ["KEEL_TEST_PG"]
            with psycopg.connect(server, autocommit=True) as admin:
                admin.execute(f"DROP DATABASE IF EXISTS {name}")
                admin.execute(f"CREATE DATABASE {name}")
            env["KEEL_DATABASE"] = urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        try:
            subprocess.run([sys.executable, "-m", "keel", "migrate"], cwd=ROOT, env=env, check=True)
            yield env
        finally:
            if setting == "postgresql":
                with psycopg.connect(server, autocommit=True) as admin:
                    admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def serving(env: dict[str, str]) -> Iterator[str]:
    """The server as `keel serve` starts it; gives its address."""
    command = [sys.executable, "-m", "keel", "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("ready "):
                yield line.split()[1]
                break
        else:
            raise RuntimeError("the server did not start")
    finally:
        process.terminate()
        process.wait(timeout=20)


def python(env: dict[str, str], code: str, *argv: str) -> str:
    """Run code inside the record's own environment; gives what it prints."""
    start = "import django; django.setup()\n"
    done = subprocess.run(
        [sys.executable, "-c", start + code, *argv], cwd=ROOT, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout


def session_cookie(staff: str) -> str:
    """The cookie of a signed-in account; to be called in code that `python` runs."""
    from django.conf import settings
    from django.test import Client

    from keel.records.models import Account

    browser = Client()
    browser.force_login(Account.objects.get(id=staff), backend=settings.AUTHENTICATION_BACKENDS[-1])
    return browser.cookies[settings.SESSION_COOKIE_NAME].value
