"""The commands that run and look after the record."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from keel.domain.errors import refuse

if TYPE_CHECKING:
    import uvicorn


def run(command: str, argv: list[str]) -> int:
    return {
        "serve": serve,
        "migrate": migrate,
        "demo": demo,
        "verify": verify,
        "rebuild": rebuild,
        "backup": backup,
        "restore": restore,
        "export": export,
        "root": root,
    }[command](argv)


def _django() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "keel.config.settings")
    django.setup()


def _say(found: object, ok: bool = True) -> int:
    print(json.dumps(found, indent=2))
    return 0 if ok else 1


def migrate(argv: list[str]) -> int:
    argparse.ArgumentParser("keel migrate", description="Create or update the database.").parse_args(argv)
    _django()
    _migrate()
    return 0


def _migrate() -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)


def serve(argv: list[str]) -> int:
    """`keel serve [--host H] [--port N]`: pages and live streams on one port."""
    parser = argparse.ArgumentParser("keel serve", description=serve.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args(argv)
    _django()
    _migrate()
    return _serve(given.host, given.port)


def _serve(host: str, port: int) -> int:
    import uvicorn
    from django.urls import get_resolver

    from keel.config.clock import Clock

    _ = get_resolver().url_patterns  # every page is loaded before anybody is told that the server is ready

    config = uvicorn.Config(
        "keel.config.live:application",
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    clock = Clock()
    sockets = [_socket(config, host, port)]
    clock.start()
    try:
        # The socket is bound and listens already: whoever connects from here on is answered.
        print(f"ready http://{host}:{sockets[0].getsockname()[1]}", flush=True)
        server.run(sockets=sockets)
    finally:
        clock.stop()
    return 0


def _socket(config: uvicorn.Config, host: str, port: int) -> socket.socket:

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        raise refuse(
            f"Port {port} was not opened",
            str(error.strerror).lower(),
            "Stop what runs there, or give another with --port",
        ) from None
    bound.listen(config.backlog)
    return bound


def demo(argv: list[str]) -> int:
    """`keel demo [--fresh] [--port N] [--no-open]`: a simulated clinic, filled by the same actions that people use."""
    parser = argparse.ArgumentParser("keel demo", description=demo.__doc__)
    parser.add_argument("--fresh", action="store_true", help="start over")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--no-open", action="store_true", help="do not open a browser")
    given = parser.parse_args(argv)
    home = Path(os.environ.get("KEEL_HOME") or ".keel/demo").resolve()
    os.environ.update({"KEEL_HOME": str(home), "KEEL_SIMULATED": "1"})
    if given.fresh and "KEEL_DATABASE" not in os.environ:
        for file in home.glob("keel.sqlite3*"):
            file.unlink()
    _django()
    _migrate()
    from keel.cli.concerns import open_simulated
    from keel.cli.demo import fill, sign_ins

    fill(say=lambda text: print(text, file=sys.stderr, flush=True))
    open_simulated(home.with_name(f"{home.name}-safeguarding-lead.key"))
    print(sign_ins(f"http://127.0.0.1:{given.port}"), file=sys.stderr, flush=True)
    if not given.no_open and sys.stdout.isatty():
        import threading
        import webbrowser

        threading.Timer(1.0, webbrowser.open, [f"http://127.0.0.1:{given.port}"]).start()
    return _serve("127.0.0.1", given.port)


def verify(argv: list[str]) -> int:
    """`keel verify [EXPORT] [--key HEX]`: check every event, chain and seal, of the database or an exported journal."""
    parser = argparse.ArgumentParser("keel verify", description=verify.__doc__)
    parser.add_argument(
        "export", nargs="?", help="a file that `keel export journal` wrote; the database when none is given"
    )
    parser.add_argument("--key", help="the site's public key (hex) from a printed root, instead of the one in the file")
    given = parser.parse_args(argv)
    if given.export:
        from keel.domain.seal import verify_export

        try:
            with open(given.export, encoding="utf-8") as lines:
                found = verify_export(lines, bytes.fromhex(given.key) if given.key else None)
        except (OSError, UnicodeDecodeError) as error:
            raise refuse(
                f"{given.export} was not checked", f"it cannot be read ({error})", "Give a journal's export"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise refuse(
                f"{given.export} was not checked", f"it is not whole ({error})", "Export the journal again"
            ) from None
    else:
        _django()
        from keel.records import journal

        found = journal.verify()
    return _say(found.as_json(), found.first_broken is None)


def rebuild(argv: list[str]) -> int:
    """`keel rebuild [--check]`: replay the journal into empty tables; with --check only compare, and change nothing."""
    parser = argparse.ArgumentParser("keel rebuild", description=rebuild.__doc__)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(argv)
    _django()
    from keel.records.rebuild import rebuild as replay

    found = replay(keep=not given.check)
    return _say(found.as_json(), not given.check or not found.different)


def export(argv: list[str]) -> int:
    """`keel export journal [--out FILE]`: the whole journal as JSON lines that `keel verify FILE` checks anywhere.
    `keel export instrument ID --as fhir|redcap|xlsform [--out FILE]`: a questionnaire as a form.
    `keel export responses [FILE] --as fhir|redcap|csv|parquet|r|spss|stata`: responses to one instrument."""
    if argv[:1] == ["dataset"]:
        from keel.cli import insight

        return insight.run("export", argv)
    if argv[:1] == ["responses"]:
        from keel.cli import responses

        return responses.export(argv)
    if argv[:1] == ["instrument"]:
        from keel.cli import exchange

        return exchange.export(argv)
    parser = argparse.ArgumentParser("keel export", description=export.__doc__)
    parser.add_argument("what", choices=["journal"])
    parser.add_argument("--out", default="-")
    given = parser.parse_args(argv)
    _django()
    from keel.records import journal

    with nullcontext(sys.stdout) if given.out == "-" else open(given.out, "w", encoding="utf-8") as out:
        out.writelines(journal.export())
    return 0


def root(argv: list[str]) -> int:
    """`keel root DAY`: the Merkle root over the seals of a UTC day, to be printed, mailed or time-stamped."""
    parser = argparse.ArgumentParser("keel root", description=root.__doc__)
    parser.add_argument("day", help="YYYY-MM-DD")
    given = parser.parse_args(argv)
    _django()
    from keel.records import journal

    return _say(journal.daily_root(given.day))


def backup(argv: list[str]) -> int:
    """`keel backup FILE`: all but the keys in one file: the journal, the vault (encrypted as it lies), the accounts."""
    parser = argparse.ArgumentParser("keel backup", description=backup.__doc__)
    parser.add_argument("file")
    given = parser.parse_args(argv)
    _django()
    from keel.records.backup import write

    return _say(write(Path(given.file)))


def restore(argv: list[str]) -> int:
    """`keel restore FILE`: into an empty database; the read models are made anew and the journal is verified."""
    parser = argparse.ArgumentParser("keel restore", description=restore.__doc__)
    parser.add_argument("file")
    given = parser.parse_args(argv)
    _django()
    _migrate()
    from keel.records.backup import read

    found = read(Path(given.file))
    return _say(found, bool(found["ok"]))
