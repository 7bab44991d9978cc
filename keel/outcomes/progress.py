"""How far long work has come, and the word to stop: said by whoever works, heard by whoever asked for the work.

    with followed(watch):                      watch(At("bootstrap", 2000, 10000)) is called as the work goes on
        mediate(…)
    step("bootstrap", 2000, 10000)             what the work says; without a listener it costs nothing

A listener stops the work by raising `Stopped`: it ends there and leaves no result, never half of one. Listeners belong to
the thread (contextvars): two reports at once do not hear each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class At:
    """What is being done, and `done` of `whole` steps of it; `whole` is 0 where nobody can know it."""

    doing: str
    done: int
    whole: int

    @property
    def percent(self) -> int | None:
        return min(100, 100 * self.done // self.whole) if self.whole else None


Watch = Callable[[At], None]


class Stopped(Exception):
    """Somebody did not want the result any more."""


_watching: ContextVar[Watch | None] = ContextVar("watching", default=None)


@contextmanager
def followed(watch: Watch) -> Iterator[None]:
    """Tell `watch` of every step inside; it may raise Stopped."""
    before = _watching.set(watch)
    try:
        yield
    finally:
        _watching.reset(before)


def step(doing: str, done: int, whole: int = 0) -> None:
    watch = _watching.get()
    if watch is not None:
        watch(At(doing, done, whole))
