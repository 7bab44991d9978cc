"""How far a long command has come, on standard error: a bar where a person sits, now and then a line in a log.

Ctrl-C stops the work at once; a command writes its result when it is whole, so nothing half is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from keel.outcomes.progress import At, followed

PATIENCE_SECONDS = 0.5  # what is done sooner says nothing
BAR_SECONDS, LINE_SECONDS = 0.1, 10.0
BAR = 24


@contextmanager
def shown(out: TextIO, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Show the steps of the work inside on `out`."""
    bar = out.isatty()
    began = clock()
    due = began + (PATIENCE_SECONDS if bar else LINE_SECONDS)
    drawn = False

    def watch(at: At) -> None:
        nonlocal due, drawn
        if clock() < due:
            return
        due = clock() + (BAR_SECONDS if bar else LINE_SECONDS)
        drawn = True
        out.write(f"\r{in_a_line(at)}\x1b[K" if bar else f"{in_words(at)}, {clock() - began:.0f} s\n")
        out.flush()

    try:
        with followed(watch):
            yield
    finally:
        if bar and drawn:
            out.write("\r\x1b[K")
            out.flush()


def in_a_line(at: At) -> str:
    if at.percent is None:
        return in_words(at)
    full = BAR * at.percent // 100
    return f"{at.doing}  [{'#' * full}{'.' * (BAR - full)}] {at.percent:3d} %   Ctrl-C stops"


def in_words(at: At) -> str:
    return f"{at.doing}: {at.done:,}" + (f" of {at.whole:,}" if at.whole else "")
