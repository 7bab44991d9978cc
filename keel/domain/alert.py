"""Alerts: from raised to closed, and up the ladder until a person says what was done.

Both are tables: `MOVES` says where an alert may go, a `Ladder` (data on the shelf) says who is called after
how many minutes. No alert is ever deleted, and seeing one does not stop its ladder: only taking it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from keel.domain.errors import refuse

MOVES: Final[Mapping[str, tuple[str, ...]]] = {
    "raised": ("seen", "acknowledged"),
    "seen": ("acknowledged",),
    "acknowledged": ("acted_on", "closed"),
    "acted_on": ("closed",),
    "closed": (),
}
"""The states of an alert and where each may go: none goes back."""

WAITING: Final = frozenset({"raised", "seen"})
"""The states in which nobody has taken the alert yet, so that its ladder runs."""

NEEDS_WORDS: Final = frozenset({"acknowledged", "acted_on", "closed"})


@dataclass(frozen=True)
class Rung:
    """`after_minutes` from the raising, the people of `role` are called, and again at every rung above."""

    role: str
    after_minutes: int


@dataclass(frozen=True)
class Ladder:
    """The rungs for one level of alert, lowest first; the last one keeps being called every `then_every_minutes`."""

    level: str
    rungs: tuple[Rung, ...]
    then_every_minutes: int
    verified: bool = False


@dataclass(frozen=True)
class Alert:
    """What the ladder needs to know of an alert: `calls` is how many of its calls have gone out."""

    id: str
    level: str
    state: str
    raised_at: datetime
    calls: int = 0


@dataclass(frozen=True)
class Call:
    """One call of a ladder: which number it is, whom it goes to, when it was due."""

    alert: str
    number: int
    role: str
    due_at: datetime


def climb(alert: Alert, ladder: Ladder, now: datetime) -> tuple[Call, ...]:
    """Every call that is due by `now` and has not gone out; empty once somebody has taken the alert.

    Asked late (a restart in the middle), it gives every rung that was missed, in order, and of missed repeats only
    the latest. After sending, the alert's `calls` is the last number plus one.
    """
    if alert.state not in WAITING:
        return ()
    minutes = (now - alert.raised_at) / timedelta(minutes=1)
    last = len(ladder.rungs) - 1
    due = sum(rung.after_minutes <= minutes for rung in ladder.rungs)
    if due > last:
        due += int((minutes - ladder.rungs[last].after_minutes) // ladder.then_every_minutes)
    return tuple(_call(alert, ladder, n) for n in range(alert.calls, due) if n <= last or n == due - 1)


def next_call_at(alert: Alert, ladder: Ladder) -> datetime | None:
    """When the next call is due; None once somebody has taken the alert."""
    return _call(alert, ladder, alert.calls).due_at if alert.state in WAITING else None


def _call(alert: Alert, ladder: Ladder, number: int) -> Call:
    last = len(ladder.rungs) - 1
    rung = ladder.rungs[min(number, last)]
    minutes = rung.after_minutes + max(0, number - last) * ladder.then_every_minutes
    return Call(alert.id, number, rung.role, alert.raised_at + timedelta(minutes=minutes))


def check_move(alert: Alert, to: str, *, done: str = "") -> None:
    """Refuses a move that the table does not have, and one that does not say what was done."""
    what = "The alert was not moved"
    if to not in MOVES.get(alert.state, ()):
        ways = " or ".join(MOVES.get(alert.state, ())) or "nothing else"
        why = f"it is {alert.state.replace('_', ' ')} and cannot become {to.replace('_', ' ')}"
        raise refuse(what, why, f"From here it may become {ways.replace('_', ' ')}", code="no-such-move")
    if to in NEEDS_WORDS and not done.strip():
        raise refuse(what, "it does not say what was done", "Write one sentence", code="no-words")


# ---- what a triage level asks for ---------------------------------------------------------------


@dataclass(frozen=True)
class Escalation:
    """What a suicidality level asks for: the alert to raise ("" for none), how soon, what it blocks, who may clear it."""

    level: str
    alert: str
    contact: str
    blocks_dosing: bool
    keeps_visit_open: bool
    cleared_by: tuple[str, ...]
    says: str


def escalation_for(level: str, table: Mapping[str, Escalation]) -> Escalation:
    """The row of a triage level; an incomplete screen is treated like a moderate one."""
    return table["moderate" if level == "unknown" else level]
