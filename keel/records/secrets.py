"""The site's keys: made on first use, each in a file of its own that only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def secret(path: Path, size: int = 32) -> bytes:
    """The secret in `path`; made there on first use. Two processes that start together get the same one."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.write_bytes(secrets.token_bytes(size))
        fresh.chmod(0o600)
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        return path.read_bytes()
