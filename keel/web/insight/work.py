"""Reports that take long are worked out beside the request that asked: the page says how far they are, and can stop them.

    seen = work.asked(key, make)        the result, where it is there within WAIT_SECONDS; else the Work that goes on
    work.stop(key)                      ends it at its next step; whoever waits for it gets Stopped

A result is kept for the next who asks with the same key (its PDF, its folder), the last few only. The key must hold all
that decides what may be seen: site and role are part of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import connection, connections

from keel.outcomes.progress import At, Stopped, followed

T = TypeVar("T")
AT_ONCE = 2
WAIT_SECONDS = 2.0
KEPT = 6


@dataclass(eq=False)
class Work:
    """One report being worked out. `at` is its last step, None while it waits for those before it."""

    future: Future[Any] = field(default_factory=Future)
    at: At | None = None
    unwanted: bool = False

    def heard(self, at: At) -> None:
        if self.unwanted:
            raise Stopped
        self.at = at


_workers = ThreadPoolExecutor(AT_ONCE, "keel-report")
_works: dict[Hashable, Work] = {}
_lock = threading.Lock()


def asked(key: Hashable, make: Callable[[], T], *, whole: bool = False) -> T | Work:
    """What `make` gives, or the work on it if that takes longer than WAIT_SECONDS (`whole`: however long it takes).

    What `make` refuses is refused here; Stopped if somebody stopped it.
    """
    if not beside():
        return make()
    with _lock:
        work = _works.get(key) or _begun(key, make)
    try:
        return work.future.result(timeout=None if whole else WAIT_SECONDS)
    except BaseException:
        if not work.future.done():
            return work
        with _lock:
            _works.pop(key, None)
        raise


def beside() -> bool:
    """Whether another thread sees what this one sees: not what an open transaction wrote."""
    return not connection.in_atomic_block


def stop(key: Hashable) -> bool:
    """Stop the work on `key`; False if nothing is going on there."""
    with _lock:
        work = _works.get(key)
        if work is None or work.future.done():
            return False
        work.unwanted = True
        return True


def _begun(key: Hashable, make: Callable[[], Any]) -> Work:
    done = [old for old, work in _works.items() if work.future.done()]
    for old in done[: max(0, len(_works) - KEPT + 1)]:
        del _works[old]
    work = _works[key] = Work()
    _workers.submit(_run, work, make)
    return work


def _run(work: Work, make: Callable[[], Any]) -> None:
    try:
        with followed(work.heard):
            if work.unwanted:
                raise Stopped
            found = make()
    except BaseException as error:
        work.future.set_exception(error)
    else:
        work.future.set_result(found)
    finally:
        connections.close_all()
