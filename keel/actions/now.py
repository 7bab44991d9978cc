"""The clock at the door. On a simulated site it can be set: a year of follow-up is then walked in an afternoon.

`KEEL_CLOCK` names a file that holds the instant the site's clock was set to, and the real one at that moment, as two
ISO instants; from there it runs on as clocks do. A real site has no such file: it is not even looked for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings


def now() -> datetime:
    """The instant that it is for this site, UTC."""
    real = datetime.now(UTC)
    if not settings.SIMULATED or settings.CLOCK is None:
        return real
    try:
        shown, then = Path(settings.CLOCK).read_text().split()
    except (OSError, ValueError):
        return real
    return datetime.fromisoformat(shown) + (real - datetime.fromisoformat(then))


def set_clock(path: Path, shown: datetime) -> None:
    """Set the clock of a simulated site; in one step, so that no request reads half of it."""
    partial = path.with_suffix(".new")
    partial.write_text(f"{shown.isoformat()} {datetime.now(UTC).isoformat()}")
    partial.replace(path)
