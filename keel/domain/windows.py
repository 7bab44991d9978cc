"""Can all the windows of a protocol be kept together? A simple temporal network without a negative cycle.

Every visit is a point in time, every bound says that one point comes at most so many days after another.
Such bounds can be satisfied together exactly when no round trip of them adds up to less than nothing
(Dechter, Meiri and Pearl 1991, doi:10.1016/0004-3702(91)90006-6); a round trip that does names the clash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keel.domain.protocol import ENROLLED, Protocol, Within
from keel.domain.schedule import predecessors


@dataclass(frozen=True)
class Bound:
    """`then` comes at most `days` after `first`; `words` say it as the protocol does."""

    first: str
    then: str
    days: int
    words: str


@dataclass(frozen=True)
class Clash:
    """Visits of one arm whose windows cannot all be kept: `short_by` days are lacking."""

    arm: str
    visits: tuple[str, ...]
    because: str
    short_by: int


def check_windows(protocol: Protocol) -> tuple[Clash, ...]:
    """Every independent clash, arm by arm; empty when all windows can be kept together."""
    return tuple(clash for arm in protocol.arm_ids for clash in _clashes(arm, bounds(protocol, arm)))


def bounds(protocol: Protocol, arm: str) -> tuple[Bound, ...]:
    """What the protocol asks of the visit dates of one arm."""
    visits = protocol.visits_for(arm)
    found: list[Bound] = []
    for visit in visits:
        for window in visit.windows:
            found += _window_bounds(visit.id, window)
        if visit.kind != "screening":
            found.append(Bound(visit.id, ENROLLED, 0, f"{visit.id} not before enrolment"))
        found += [Bound(visit.id, first, 0, f"{visit.id} not before {first}") for first in predecessors(visit, visits)]
    return tuple(found)


def _window_bounds(id: str, window: Within) -> Iterator[Bound]:
    if window.latest_days is not None:
        yield Bound(window.after, id, window.latest_days, f"{id} at most {_days(window.latest_days, window.after)}")
    if window.earliest_days is not None:
        yield Bound(
            id, window.after, -window.earliest_days, f"{id} at least {_days(window.earliest_days, window.after)}"
        )


def _days(days: int, anchor: str) -> str:
    return f"{days} days after {anchor}"


def _clashes(arm: str, asked: Sequence[Bound]) -> Iterator[Clash]:
    """One clash after another, leaving out the bounds of those already named."""
    left = list(asked)
    while cycle := negative_cycle(left):
        left = [b for b in left if b not in cycle]
        named = dict.fromkeys(p for b in cycle for p in (b.first, b.then) if p != ENROLLED)
        short = -sum(b.days for b in cycle)
        said = "; ".join(dict.fromkeys(b.words for b in cycle))
        yield Clash(arm, tuple(named), f"{said}: together they lack {short} day(s)", short)


def negative_cycle(asked: Sequence[Bound]) -> list[Bound] | None:
    """A round trip of bounds that adds up to less than nothing, or None (Bellman and Ford)."""
    points = list(dict.fromkeys(p for b in asked for p in (b.first, b.then)))
    far = dict.fromkeys(points, 0)
    came_by: dict[str, Bound] = {}
    last = None
    for _ in points:
        last = None
        for bound in asked:
            if far[bound.first] + bound.days < far[bound.then]:
                far[bound.then] = far[bound.first] + bound.days
                came_by[bound.then] = bound
                last = bound.then
        if last is None:
            return None
    return _round_trip(last, came_by, len(points)) if last is not None else None


def _round_trip(start: str, came_by: dict[str, Bound], points: int) -> list[Bound]:
    at = start
    for _ in range(points):  # walk back far enough to stand on the cycle itself
        at = came_by[at].first
    cycle = [came_by[at]]
    while cycle[-1].first != at:
        cycle.append(came_by[cycle[-1].first])
    return cycle[::-1]
