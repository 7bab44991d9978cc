"""Sites, and the people who work at them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import available_timezones

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from keel.actions.door import action
from keel.domain import access
from keel.domain.errors import refuse
from keel.domain.events import Actor, new_id
from keel.library import shelf
from keel.records import journal
from keel.records.journal import Recorded
from keel.records.models import Account, MembershipRow, SiteRow

_SITE_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,58}")
LEADS = tuple(sorted(access.TABLE["admit_staff"].roles & access.STAFF))
"""Roles that may admit others: the first person of a site has one of them."""


@action("grant_role")
def open_site(
    *,
    site: str,
    name: str,
    country: str,
    timezone: str,
    by: Actor,
    at: datetime,
    jurisdiction: str = "",
    detail: Mapping[str, Any] | None = None,
) -> Recorded:
    """Open a site. `country` is ISO 3166 alpha-2; `timezone` an IANA name: the site's days begin there."""
    if not _SITE_ID.fullmatch(site):
        raise refuse(
            f"The site {site!r} was not opened", "an id is lower-case letters, digits and hyphens", "Choose another"
        )
    if not name.strip():
        raise refuse("The site was not opened", "it has no name", "Give the name that people know it by")
    if not re.fullmatch("[A-Z]{2}", country):
        raise refuse("The site was not opened", f"{country!r} is no code of a country", "Write two letters, such as DE")
    if timezone not in available_timezones():
        raise refuse("The site was not opened", f"{timezone!r} is no time zone", "Use a name such as Europe/Berlin")
    if jurisdiction and jurisdiction not in shelf.ids("jurisdictions"):
        known = ", ".join(shelf.ids("jurisdictions"))
        raise refuse("The site was not opened", f"no shelf has rules for {jurisdiction!r}", f"Choose one of {known}")
    with journal.writing(f"site:{site}") as writing:
        if writing.heads[writing.streams[0]][0]:
            raise refuse(f"The site {site!r} was not opened", "there is one of that name already", "Choose another id")
        payload = {"name": name, "country": country, "timezone": timezone, "jurisdiction": jurisdiction}
        writing.append("site_opened", {**payload, "detail": dict(detail or {})}, by=by, at=at)
        return writing.recorded()


@action("admit_staff")
def admit(*, email: str, name: str, password: str, by: Actor, at: datetime) -> str:
    """Give a member of staff a sign-in; gives their id. What they may do comes with `grant`."""
    _check_sign_in(email, name, password)
    if Account.objects.filter(email__iexact=email).exists():
        raise refuse(
            f"{email} was not admitted", "that address signs in already", "Grant the role to the person who has it"
        )
    staff = new_id()
    with journal.writing(f"staff:{staff}") as writing:
        Account.objects.create_user(email=email, password=password, id=staff, name=name)
        writing.append("staff_admitted", {}, by=by, at=at)
    return staff


@action("grant_role")
def grant(*, staff: str, site: str, role: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Give a member of staff a role at a site."""
    access.check_site(by, "grant_role", site=site)
    _check_role(staff, site, role)
    with journal.writing(f"staff:{staff}") as writing:
        if not writing.answered(id):
            writing.append("role_granted", {"site": site, "role": role}, by=by, at=at, id=id)
        return writing.recorded()


@action("revoke_role")
def revoke(*, staff: str, site: str, role: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Take a role back; what was done in it stays on the record."""
    access.check_site(by, "revoke_role", site=site)
    with journal.writing(f"staff:{staff}") as writing:
        if not writing.answered(id):
            if not MembershipRow.objects.filter(staff=staff, site=site, role=role, revoked_at=None).exists():
                raise refuse("The role was not revoked", "that person does not hold it here", "Reload the page")
            if staff == by.id and role == by.role:
                raise refuse("The role was not revoked", "it is the one you act in", "Ask another supervisor")
            writing.append("role_revoked", {"site": site, "role": role}, by=by, at=at, id=id)
        return writing.recorded()


def _check_sign_in(email: str, name: str, password: str) -> None:
    if not name.strip():
        raise refuse(f"{email} was not admitted", "the name is missing", "Give the name that colleagues know")
    try:
        validate_email(email)
    except ValidationError:
        raise refuse(
            f"{email or 'Nobody'} was not admitted", "that is no e-mail address", "Write it as name@place"
        ) from None
    try:
        validate_password(password)
    except ValidationError as weak:
        why = " and ".join(_WEAK.get(error.code or "", "is too weak") for error in weak.error_list)
        raise refuse(f"{email} was not admitted", f"the password {why}", "Choose another password") from None


_WEAK = {"password_too_short": "is shorter than 12 characters", "password_too_common": "is one that many people use"}


def _check_role(staff: str, site: str, role: str) -> None:
    if role not in access.STAFF:
        raise refuse(
            "The role was not granted", f"there is no role {role!r}", f"Choose one of {', '.join(sorted(access.STAFF))}"
        )
    if not Account.objects.filter(id=staff).exists():
        raise refuse("The role was not granted", "nobody signs in with that id", "Admit the person first")
    if not SiteRow.objects.filter(id=site).exists():
        raise refuse("The role was not granted", f"there is no site {site!r}", "Open the site first")
    held = set(MembershipRow.objects.filter(staff=staff, site=site, revoked_at=None).values_list("role", flat=True))
    # Whoever sees arms or sessions in another role is not blinded, whatever the name of the role says.
    if held and (role == "rater") != (held == {"rater"}):
        raise refuse(
            "The role was not granted",
            "a blinded rater holds no other role at the same site",
            "Revoke the other role first, or let somebody else rate",
        )


@action("admit_staff")
def admit_with_role(*, email: str, name: str, password: str, site: str, role: str, by: Actor, at: datetime) -> str:
    """Admit a member of staff with a first role: both stand, or neither."""
    with transaction.atomic():
        staff = admit(email=email, name=name, password=password, by=by, at=at)
        grant(staff=staff, site=site, role=role, by=by, at=at)
    return staff


@dataclass(frozen=True)
class Opened:
    """What opening a site with its lead wrote: nothing of it when all stood already."""

    staff: str
    site_is_new: bool
    account_is_new: bool
    role_is_new: bool


@action("grant_role")
def open_site_with_lead(
    *,
    site: str,
    name: str,
    country: str,
    timezone: str,
    jurisdiction: str,
    email: str,
    lead: str,
    password: str,
    role: str,
    by: Actor,
    at: datetime,
) -> Opened:
    """Open a site with the person who admits everybody else: both stand, or neither.

    What stands already in the same words stays as it is, the password too; a site that stands in other words is refused.
    """
    if role not in LEADS:
        raise refuse(
            "The site was not opened",
            f"nobody could be admitted by its first person, a {access.ROLES.get(role, role).lower()}",
            f"Choose one of {', '.join(LEADS)}",
        )
    with transaction.atomic():
        asked = {"name": name, "country": country, "timezone": timezone, "jurisdiction": jurisdiction}
        stands = SiteRow.objects.filter(id=site).values(*asked).first()
        if stands is None:
            open_site(site=site, name=name, country=country, timezone=timezone, jurisdiction=jurisdiction, by=by, at=at)
        elif stands != asked:
            other = ", ".join(f"{word} {stands[word] or 'none'}" for word in asked if stands[word] != asked[word])
            raise refuse(
                f"The site {site!r} was not opened", f"one of that id is open with {other}", "Choose another id"
            )
        account = Account.objects.filter(email__iexact=email).first()
        staff = account.id if account else admit(email=email, name=lead, password=password, by=by, at=at)
        held = MembershipRow.objects.filter(staff=staff, site=site, role=role, revoked_at=None).exists()
        if not held:
            grant(staff=staff, site=site, role=role, by=by, at=at)
    return Opened(staff, stands is None, account is None, not held)
