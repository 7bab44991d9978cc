"""What a blinded rater reads of a course: ratings that are open or done, each by the same name, at an address that tells nothing.

How many visits a course has, what they are called, when they fall due and what phase it is in tell the arm, and whether
a session was held. So none of it is shown, and an address carries a sign of the visit instead of its id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.utils.crypto import salted_hmac

from keel.domain import access
from keel.domain.events import Actor
from keel.domain.protocol import Visit
from keel.domain.schedule import PlannedVisit

RATING = "Rating"
OPEN = ("in_window", "due", "overdue", "done", "done_out_of_window")
"""States of a visit whose rating can be given: it is time, or the visit was held."""


def blind(by: Actor) -> bool:
    """Whether the reader must not learn the arm."""
    return not access.may(by, "see_arm")


def rated(visit: Visit) -> bool:
    """Whether a blinded rater has anything to do at a visit: the others are not shown to one."""
    return any(ask.of == "blinded_rater" for ask in visit.asks)


def open_ratings(plan: Iterable[PlannedVisit]) -> set[str]:
    """The visits of a plan whose ratings can be given."""
    return {planned.visit for planned in plan if planned.state in OPEN}


def given_or_next(plan: Sequence[PlannedVisit], visits: Iterable[Visit]) -> set[str]:
    """The same with the one that comes next: it may be given a day early. What follows it is not told."""
    ratings = {visit.id for visit in visits if rated(visit)}
    coming = next((planned.visit for planned in plan if planned.visit in ratings and planned.state == "planned"), None)
    return open_ratings(plan) | ({coming} if coming else set())


def sign(course: str, visit: str, by: Actor) -> str:
    """A visit as the reader's addresses carry it."""
    return _sign(course, visit) if blind(by) and visit else visit


def meant(course: str, told: str, visits: Iterable[Visit], by: Actor) -> str:
    """The visit that an address means; a blinded reader has only signs, an id leads nowhere."""
    if not blind(by) or not told:
        return told
    found = next((visit.id for visit in visits if rated(visit) and _sign(course, visit.id) == told), None)
    if found is None:
        raise access.not_here("see_visit")
    return found


def _sign(course: str, visit: str) -> str:
    return "rating-" + salted_hmac("keel.blinding", f"{course}/{visit}").hexdigest()[:16]
