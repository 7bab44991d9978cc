"""Who is on call at a site, now and in the days to come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from keel.domain import access
from keel.domain.events import Actor
from keel.domain.on_call import Shift, on_call, uncovered
from keel.queries import account
from keel.queries.door import query
from keel.records.models import Account, MembershipRow, SiteRow

TAKES = access.TABLE["acknowledge_alert"].roles
AHEAD = timedelta(days=7)
"""How far ahead hours without anybody are shown."""


def shifts_of(site: str) -> tuple[Shift, ...]:
    """Every shift of a site that stands, also those that are over, in the order they begin."""
    detail = SiteRow.objects.filter(id=site).values_list("detail", flat=True).first() or {}
    return tuple(sorted(map(Shift.of, detail.get("shifts", ())), key=lambda one: (one.starts_at, one.id)))


def called(site: str, role: str, *, at: datetime) -> tuple[str, ...]:
    """The ids of those who are called at a moment when a ladder calls a role of the site.

    On call are those of the roster; where nobody is on it, those whom the site named when it was opened, and where it
    named nobody, its physicians: a call always goes to somebody.
    """
    if role != "on_call":
        return _working(
            site, MembershipRow.objects.filter(site=site, role=role, revoked_at=None).values_list("staff", flat=True)
        )
    detail = SiteRow.objects.filter(id=site).values_list("detail", flat=True).first() or {}
    planned = _working(site, on_call(shifts_of(site), at))
    return planned or _working(site, detail.get("on_call", ())) or called(site, "physician", at=at)


def _working(site: str, staff: Iterable[str]) -> tuple[str, ...]:
    """Those of them who still hold a role here in which they may take an alert, and can sign in."""
    asked = tuple(dict.fromkeys(staff))
    held = MembershipRow.objects.filter(site=site, staff__in=asked, role__in=TAKES, revoked_at=None)
    here = set(held.values_list("staff", flat=True))
    active = set(Account.objects.filter(id__in=here, is_active=True).values_list("id", flat=True))
    return tuple(one for one in asked if one in active)


@dataclass(frozen=True)
class Planned:
    """One line of the roster."""

    shift: str
    name: str
    starts_at: datetime
    ends_at: datetime
    now: bool


@dataclass(frozen=True)
class Roster:
    """The shifts that are not over; who is called now (`planned` tells whether by the roster); and the hours of the next
    days without anybody. `people` are those who can be put on call, by id."""

    shifts: tuple[Planned, ...]
    now: tuple[str, ...]
    planned: bool
    gaps: tuple[tuple[datetime, datetime], ...]
    people: tuple[tuple[str, str], ...]
    zone: ZoneInfo


@query("see_on_call")
def roster(*, by: Actor, at: datetime) -> Roster:
    """The roster of the reader's site."""
    shifts = [one for one in shifts_of(by.site) if one.ends_at > at]
    held = MembershipRow.objects.filter(site=by.site, revoked_at=None).values_list("staff", flat=True)
    able, called_now = _working(by.site, held), called(by.site, "on_call", at=at)
    names = account.names({*able, *called_now, *(one.staff for one in shifts)})
    zone = SiteRow.objects.filter(id=by.site).values_list("timezone", flat=True).first()
    standing = [one for one in shifts if one.staff in able]
    return Roster(
        tuple(Planned(s.id, names.get(s.staff, ""), s.starts_at, s.ends_at, s.covers(at)) for s in shifts),
        tuple(names[one] for one in called_now),
        bool(on_call(standing, at)),
        tuple((gap.start, gap.end) for gap in uncovered(standing, start=at, end=at + AHEAD)),
        tuple(sorted(((one, names[one]) for one in able), key=lambda row: row[1])),
        ZoneInfo(zone or "UTC"),
    )
