"""Who is asking: the roles of a member of staff, the courses of a participant's link."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from keel.domain.access import ROLES
from keel.records import vault
from keel.records.models import Account, CourseRow, LinkRow, MembershipRow, SiteRow


@dataclass(frozen=True)
class Membership:
    """One role at one site, with the words for both."""

    site: str
    site_name: str
    role: str

    @property
    def key(self) -> str:
        return f"{self.site}/{self.role}"

    @property
    def label(self) -> str:
        return f"{ROLES[self.role]}, {self.site_name}"


def memberships(staff: str) -> tuple[Membership, ...]:
    """The roles that a member of staff holds now."""
    names = dict(SiteRow.objects.values_list("id", "name"))
    rows = MembershipRow.objects.filter(staff=staff, revoked_at=None).order_by("granted_at", "id")
    return tuple(Membership(row.site, names.get(row.site, row.site), row.role) for row in rows)


def signs_in(email: str) -> bool:
    """Whether somebody signs in with that address."""
    return Account.objects.filter(email__iexact=email).exists()


def names(staff: set[str]) -> dict[str, str]:
    """Names of members of staff by id."""
    return dict(Account.objects.filter(id__in=staff).values_list("id", "name"))


@dataclass(frozen=True)
class Link:
    """A personal link that works: whose it is, and until when."""

    id: str
    participant: str
    expires_at: datetime
    failures: int


def link(secret: str, *, at: datetime) -> Link | None:
    """The link behind a secret; None when it is unknown, over or revoked."""
    return _working(vault.link(secret), at)


def link_by_id(id: str, *, at: datetime) -> Link | None:
    """The same by id, for every request after the first."""
    return _working(LinkRow.objects.filter(id=id).first(), at)


def _working(row: LinkRow | None, at: datetime) -> Link | None:
    if row is None or row.revoked_at or row.expires_at <= at:
        return None
    return Link(row.id, row.participant, row.expires_at, row.failures)


@lru_cache(maxsize=256)
def zone(site: str) -> ZoneInfo:
    """The time zone of a site; UTC where there is none."""
    named = SiteRow.objects.filter(id=site).values_list("timezone", flat=True).first()
    return ZoneInfo(named or "UTC")


def courses_of(participant: str) -> tuple[tuple[str, str], ...]:
    """(course, site) of every course of a participant, the newest first."""
    return tuple(CourseRow.objects.filter(participant=participant).order_by("-opened_at").values_list("id", "site"))
