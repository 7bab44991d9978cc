"""Who is called when an alert waits: the shifts of a site, planned and taken off."""

from __future__ import annotations

from datetime import datetime

from keel.actions.door import action
from keel.domain import access
from keel.domain.errors import refuse
from keel.domain.events import Actor, new_id
from keel.domain.on_call import Shift, check_shift
from keel.queries.on_call import TAKES, shifts_of
from keel.records import journal
from keel.records.journal import Recorded
from keel.records.models import MembershipRow


@action("plan_on_call")
def plan_shift(
    *, site: str, staff: str, starts_at: datetime, ends_at: datetime, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Put a member of staff on call from one instant to another. Only who may take an alert can be on call."""
    access.check_site(by, "plan_on_call", site=site)
    with journal.writing(f"site:{site}") as writing:
        if writing.answered(id):
            return writing.recorded()
        what = "The shift was not planned"
        held = set(MembershipRow.objects.filter(staff=staff, site=site, revoked_at=None).values_list("role", flat=True))
        if not held:
            raise refuse(what, "that person does not work here", "Choose one of the team", where="staff")
        if not held & TAKES:
            raise refuse(what, "none of their roles may take an alert", "Choose one who may", where="staff")
        shift = Shift(new_id(), staff, starts_at, ends_at)
        check_shift(shift, shifts_of(site), at=at)
        writing.append("shift_planned", shift.as_json(), by=by, at=at, id=id)
        return writing.recorded()


@action("plan_on_call")
def take_off(*, site: str, shift: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Take a shift off the roster; one that has begun ends now. What it was stays on the record."""
    access.check_site(by, "plan_on_call", site=site)
    with journal.writing(f"site:{site}") as writing:
        if writing.answered(id):
            return writing.recorded()
        known = next((one for one in shifts_of(site) if one.id == shift), None)
        if known is None or known.ends_at <= at:
            why = "it is over already" if known else "there is none of that id"
            raise refuse("The shift was not taken off", why, "Reload the page", code="not-found")
        writing.append("shift_taken_off", {"shift": shift}, by=by, at=at, id=id)
        return writing.recorded()
