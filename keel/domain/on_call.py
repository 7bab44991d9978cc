"""Who is on call at a site: shifts with a beginning and an end, and the hours that nobody covers.

    on_call(shifts, at)                  the members of staff whose shift covers a moment, in the order they were planned
    uncovered(shifts, start=…, end=…)    the hours in between without anybody

A shift holds from its beginning up to, and not including, its end. Instants are aware.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from keel.domain.errors import Reason, Refused
from keel.domain.watch import Gap, Stay, gaps

LONGEST: Final = timedelta(days=31)
FURTHEST: Final = timedelta(days=366)
"""House bounds that catch a slip in a date: nobody is on call for longer than a month on end, or planned years ahead."""


@dataclass(frozen=True)
class Shift:
    """`staff` is called between `starts_at` and `ends_at`."""

    id: str
    staff: str
    starts_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Shift:
        """A shift as it stands in an event or a row."""
        starts_at, ends_at = (datetime.fromisoformat(said[name]) for name in ("starts_at", "ends_at"))
        return cls(said["shift"], said["staff"], starts_at, ends_at)

    def as_json(self) -> dict[str, str]:
        return {
            "shift": self.id,
            "staff": self.staff,
            "starts_at": self.starts_at.isoformat(),
            "ends_at": self.ends_at.isoformat(),
        }

    def covers(self, at: datetime) -> bool:
        return self.starts_at <= at < self.ends_at


def on_call(shifts: Iterable[Shift], at: datetime) -> tuple[str, ...]:
    """The ids of those who are on call at a moment, each once."""
    return tuple(dict.fromkeys(shift.staff for shift in shifts if shift.covers(at)))


def uncovered(shifts: Iterable[Shift], *, start: datetime, end: datetime) -> tuple[Gap, ...]:
    """The times between `start` and `end` in which nobody is on call."""
    return gaps([Stay(shift.starts_at, shift.ends_at) for shift in shifts], start=start, end=end)


def check_shift(shift: Shift, planned: Iterable[Shift], *, at: datetime) -> None:
    """Refuse a shift that is over already, ends before it begins, is far too long, or doubles one of the same person."""
    what, reasons = "The shift was not planned", []
    if shift.ends_at <= shift.starts_at:
        reasons.append(Reason(what, "it ends before it begins", "Correct one of the two times", where="ends_at"))
    elif shift.ends_at - shift.starts_at > LONGEST:
        reasons.append(Reason(what, f"it is longer than {LONGEST.days} days", "Plan it in parts", where="ends_at"))
    if shift.ends_at <= at:
        reasons.append(Reason(what, "it is over already", "Plan shifts to come", where="ends_at"))
    if shift.starts_at > at + FURTHEST:
        reasons.append(Reason(what, "it begins more than a year from now", "Correct the day", where="starts_at"))
    for other in planned:
        if other.staff == shift.staff and other.starts_at < shift.ends_at and shift.starts_at < other.ends_at:
            why = "the same person has a shift that overlaps it"
            reasons.append(Reason(what, why, "Take that one off first", where="starts_at", code="duplicate"))
            break
    if reasons:
        raise Refused(reasons)
