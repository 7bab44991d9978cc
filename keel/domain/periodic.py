"""Reports that are owed by the calendar: a quarter or a half year ends, and so many days later its report is due.

    owed(duty, opened_on=…, on=…, sent=…)    the periods of a duty that still wait, and the last one that was sent

Periods are those of the calendar year (January to March, and so on): a house rule where the regime does not say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from keel.domain.errors import refuse


@dataclass(frozen=True)
class Duty:
    """A report about every so many months, due so many days after their end; None where no source gave the days."""

    id: str
    regime: str
    label: str
    every_months: int
    due_days: int | None
    owner: str
    evidence: tuple[str, ...]
    verified: bool


@dataclass(frozen=True)
class Owed:
    """One period of a duty: from `first` to `last`. `state` is running, overdue, open (no number of days) or sent."""

    duty: Duty
    first: date
    last: date
    due_on: date | None
    state: str


def ends_of(duty: Duty, *, since: date, until: date) -> tuple[date, ...]:
    """The last days of the periods that ended from `since` up to and including `until`."""
    found: list[date] = []
    year, month = since.year, duty.every_months
    while True:
        last = _first_of(year, month + 1) - timedelta(days=1)
        if last > until:
            return tuple(found)
        if last >= since:
            found.append(last)
        year, month = (year + 1, duty.every_months) if month >= 12 else (year, month + duty.every_months)


def _first_of(year: int, month: int) -> date:
    return date(year + 1, 1, 1) if month > 12 else date(year, month, 1)


def owed(duty: Duty, *, opened_on: date, on: date, sent: Mapping[date, date]) -> tuple[Owed, ...]:
    """Every period since the site opened that has no report, and the latest one that has; the latest first.

    `sent` holds the day on which the report of the period that ends on a day went out.
    """
    found = [_period(duty, last, on, last in sent) for last in ends_of(duty, since=opened_on, until=on)]
    latest = next((one for one in reversed(found) if one.state == "sent"), None)
    return tuple(one for one in reversed(found) if one.state != "sent" or one is latest)


def _period(duty: Duty, last: date, on: date, is_sent: bool) -> Owed:
    month = last.month - duty.every_months + 1
    due_on = None if duty.due_days is None else last + timedelta(days=duty.due_days)
    late = due_on is not None and on > due_on
    state = "sent" if is_sent else "open" if due_on is None else "overdue" if late else "running"
    return Owed(duty, date(last.year, month, 1), last, due_on, state)


def check_sent(duty: Duty, last: date, *, opened_on: date, on: date, today: date, proof: str) -> None:
    """Refuse a period that has not ended or is none, a day to come or before its end, and a report without proof."""
    what = "The report was not recorded as sent"
    if last not in ends_of(duty, since=opened_on, until=today):
        raise refuse(what, f"no period of it ended on {last}", "Choose one of the list", where="until")
    if not last < on <= today:
        raise refuse(what, f"{on} is no day on which it can have gone out", "Correct the day", where="on")
    if not proof.strip():
        raise refuse(what, "no proof is given", "Name the reference, the receipt or who took it", where="proof")
