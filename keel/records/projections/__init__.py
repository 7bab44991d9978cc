"""Read models: one function per event kind, in one module per noun, run in the event's own transaction.

A projection reads nothing but its event and the rows of its own stream, so that any interleaving of streams
gives the same tables, and `keel rebuild` the same again.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Callable

from keel.domain.events import Event

Projection = Callable[[Event], None]
_by_kind: dict[str, list[Projection]] = defaultdict(list)
_loaded = False


def on(*kinds: str) -> Callable[[Projection], Projection]:
    """Run the decorated function for events of these kinds."""

    def register(function: Projection) -> Projection:
        for kind in kinds:
            _by_kind[kind].append(function)
        return function

    return register


def project(event: Event) -> None:
    """Bring the read models up to this event."""
    load()
    for function in _by_kind.get(event.kind, ()):
        function(event)


def kinds() -> frozenset[str]:
    load()
    return frozenset(_by_kind)


def load() -> None:
    """Import every module of this package: they register themselves."""
    global _loaded
    if not _loaded:
        for module in pkgutil.iter_modules(__path__):
            importlib.import_module(f"{__name__}.{module.name}")
        _loaded = True
