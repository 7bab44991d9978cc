"""Reports by the calendar: which periods wait, from when they are late, and what counts as sent."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.domain.errors import Refused
from keel.domain.periodic import check_sent, ends_of, owed
from keel.library import alert_files

OREGON, TGA = (next(d for d in alert_files.duties() if d.regime == regime) for regime in ("oregon", "tga"))
OPENED = date(2026, 2, 10)


def states(on: date, **sent: date) -> list[tuple[date, str]]:
    done = {date.fromisoformat(last.replace("_", "-").removeprefix("q")): day for last, day in sent.items()}
    return [(one.last, one.state) for one in owed(OREGON, opened_on=OPENED, on=on, sent=done)]


def test_a_quarter_is_due_fifteen_days_after_it_ended() -> None:
    assert states(date(2026, 3, 30)) == []
    assert states(date(2026, 3, 31)) == [(date(2026, 3, 31), "running")]
    assert states(date(2026, 4, 15)) == [(date(2026, 3, 31), "running")]
    assert states(date(2026, 4, 16)) == [(date(2026, 3, 31), "overdue")]
    assert states(date(2026, 7, 2), q2026_03_31=date(2026, 4, 9)) == [
        (date(2026, 6, 30), "running"),
        (date(2026, 3, 31), "sent"),
    ]


def test_a_duty_without_a_number_is_owed_without_a_day() -> None:
    (found,) = owed(TGA, opened_on=OPENED, on=date(2026, 9, 1), sent={})
    assert (found.first, found.last, found.due_on, found.state) == (date(2026, 1, 1), date(2026, 6, 30), None, "open")


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 2000), st.sampled_from([OREGON, TGA]))
def test_periods_follow_each_other_without_a_gap(since: date, days: int, duty: object) -> None:
    ends = ends_of(duty, since=since, until=since + timedelta(days=days))
    assert all((end + timedelta(days=1)).day == 1 for end in ends) and list(ends) == sorted(set(ends))
    assert all(after - before <= timedelta(days=184) for before, after in pairwise(ends))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"last": date(2026, 2, 28)}, "no period of it ended"),
        ({"last": date(2026, 6, 30)}, "no period of it ended"),
        ({"on": date(2026, 3, 31)}, "no day on which"),
        ({"on": date(2026, 5, 1)}, "no day on which"),
        ({"proof": " "}, "no proof"),
    ],
)
def test_what_does_not_count_as_sent(change: dict[str, object], why: str) -> None:
    given_: dict[str, object] = {"last": date(2026, 3, 31), "on": date(2026, 4, 9), "proof": "OHA 12"}
    fixed = {"opened_on": OPENED, "today": date(2026, 4, 20)}
    check_sent(OREGON, **given_, **fixed)
    with pytest.raises(Refused, match=why):
        check_sent(OREGON, **{**given_, **change}, **fixed)
