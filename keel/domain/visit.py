"""A visit of one course: whether it may be held, what is still to come, and what keeps a dosing day from beginning."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import replace
from datetime import date

from keel.domain.alert import WAITING
from keel.domain.course import Alert, Course
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.protocol import Protocol, Visit
from keel.domain.schedule import Deviation, Happened, PlannedVisit, check_happened, deviations, plan


def arm_of(course: Course, protocol: Protocol) -> str:
    """The arm to plan by. Before allocation it is the first: what comes before allocation is the same in all."""
    return course.arm or protocol.arm_ids[0]


def happened(course: Course) -> Happened | None:
    """What the schedule needs to know; None before enrolment."""
    if course.enrolled_on is None:
        return None
    ended = course.ended_on if course.ended in ("withdrawn", "lost", "screening_failed") else None
    return Happened(course.enrolled_on, course.held, course.missed, ended)


def schedule(course: Course, protocol: Protocol, on: date) -> tuple[PlannedVisit, ...]:
    """The visits of the course with dates and states, as of a day. Before enrolment: as if enrolled that day."""
    known = happened(course) or Happened(on, {}, {}, course.ended_on)
    return plan(
        protocol,
        arm_of(course, protocol),
        enrolled_on=known.enrolled_on,
        on=max(on, known.enrolled_on, *known.done.values(), known.withdrawn_on or on),
        done=known.done,
        missed=known.missed,
        withdrawn_on=known.withdrawn_on,
    )


def check_visit(course: Course, protocol: Protocol, visit: str, on: date, *, today: date) -> Visit:
    """The visit, when it may be held on that day; refused with every reason otherwise."""
    found = protocol.visit(visit, arm_of(course, protocol))
    reasons: list[Reason] = []
    already = course.visits.get(visit)
    if already:
        how = f"held on {already.on}" if already.held else f"missed ({already.cause})"
        reasons.append(
            Reason(
                f"{found.label} was not recorded", f"it stands as {how}", "Amend that entry", visit, "duplicate-visit"
            )
        )
    if on > today:
        reasons.append(
            Reason(
                f"{found.label} was not recorded",
                f"{on} is still to come",
                "Give the day on which it took place",
                visit,
                "future",
            )
        )
    reasons += _not_yet(course, protocol, found)
    if reasons:
        raise Refused(reasons)
    known = happened(course)
    if known:
        check_happened(protocol, arm_of(course, protocol), replace(known, done={**known.done, visit: on}), on=today)
    return found


def lacks_consent(course: Course, protocol: Protocol, visit: Visit | None) -> str:
    """Why nothing may be done or asked at a visit yet; empty when it may.

    A trial's screening waits for the participant's signature, everything after it for the countersignature as well. A
    regulated service may ask what its client's form asks before anybody consents to a session: a house rule.
    """
    if visit is not None and visit.kind == "screening":
        is_service = protocol.service_model == "regulated_service"
        return "" if is_service or course.signed else "consent is not signed by the participant"
    return "" if course.consented else "consent is not signed and countersigned"


def _not_yet(course: Course, protocol: Protocol, visit: Visit) -> Iterable[Reason]:
    if why := lacks_consent(course, protocol, visit):
        yield Reason(
            f"{visit.label} was not recorded", why, "Have every consent signed first", visit.id, "before-consent"
        )
    if visit.kind == "screening":
        return
    if course.enrolled_on is None:
        yield Reason(
            f"{visit.label} was not recorded",
            "the course is not enrolled",
            "Enrol it first",
            visit.id,
            "before-enrolment",
        )


def new_deviations(before: Course, protocol: Protocol, visit: str, on: date) -> tuple[Deviation, ...]:
    """The departures from the protocol that holding this visit on this day makes."""
    known = happened(before)
    if known is None:
        return ()
    arm = arm_of(before, protocol)
    old = set(deviations(protocol, arm, known))
    after = deviations(protocol, arm, replace(known, done={**known.done, visit: on}))
    return tuple(d for d in after if d not in old and d.kind != "missed")


def check_cause(cause: str) -> None:
    if cause not in MISSED_BECAUSE:
        raise refuse(
            "The visit was not recorded as missed",
            f"{cause!r} is no cause we count",
            f"Choose one of: {', '.join(MISSED_BECAUSE)}",
        )


MISSED_BECAUSE: dict[str, str] = {
    "ill": "Ill",
    "forgot": "Forgot or mixed up the day",
    "no-time": "Work, family or other duties",
    "travel": "Away or could not get here",
    "declined": "Did not want to come",
    "unreachable": "Could not be reached",
    "site": "The site could not hold it",
    "safety": "Held back for safety",
    "other": "Another cause, in the note",
}
ENDED_BECAUSE: dict[str, str] = {
    "own-wish": "Own wish, no cause given",
    "burden": "Too much time or effort",
    "no-benefit": "Did not feel helped",
    "adverse-event": "An adverse event",
    "new-exclusion": "A new reason for exclusion",
    "other-treatment": "Began another treatment",
    "moved": "Moved away",
    "physician": "The physician's decision",
    "died": "Died",
    "other": "Another cause, in the note",
}
"""Coded causes, ours: coarse enough to count, with a note for the rest."""


# ---- the readiness gate -----------------------------------------------------------------------------


def readiness(course: Course, protocol: Protocol, visit: str, on: date, *, shelf: Container[str]) -> tuple[Reason, ...]:
    """`shelf` holds the instruments that can be filled in here; what the site lacks is filled in elsewhere.

    Gives everything that keeps this dosing visit from taking place on this day, each with who can settle it. Empty: ready."""
    arm = arm_of(course, protocol)
    found = protocol.visit(visit, arm)
    return (
        *_formal(course, protocol),
        *_judged(course, on),
        *_prepared(course, protocol, arm, found),
        *_personal(course),
        *_measured(course, protocol, arm, found, shelf),
        *_window(course, protocol, visit, on),
        *_watched(course),
    )


def _block(what: str, why: str, mend: str, code: str) -> Reason:
    return Reason(what, why, mend, code=code)


def _formal(course: Course, protocol: Protocol) -> Iterable[Reason]:
    if not course.consented:
        yield _block(
            "Consent",
            "it is not signed and countersigned, or was withdrawn",
            "The participant signs, then the team",
            "consent",
        )
    if course.enrolled_on is None:
        yield _block("Enrolment", "the course is not enrolled", "The coordinator enrols it", "enrolment")
    if len(protocol.arms) > 1 and not course.arm:
        yield _block(
            "Allocation",
            "no arm was allocated",
            "The coordinator allocates after expectancy was measured",
            "allocation",
        )


def _judged(course: Course, on: date) -> Iterable[Reason]:
    if course.judged_on != on:
        yield _block(
            "The safety rules",
            f"they were not judged again on {on:%-d %B %Y}",
            "Judge them this morning",
            "judged-today",
        )
    for finding in course.standing_stops:
        because = str(finding["because"]).rstrip(".")
        yield _block(
            f"Rule {finding['rule']}",
            f"{finding['finding']}: {because}",
            "Supply the fact, or a physician overrides it",
            "rule",
        )
    if course.signed_verdict is None:
        yield _block("The verdict", "no physician signed it as it stands", "A physician signs it", "verdict")


def _prepared(course: Course, protocol: Protocol, arm: str, dosing: Visit) -> Iterable[Reason]:
    visits = protocol.visits_for(arm)
    before = visits[: [v.id for v in visits].index(dosing.id)]
    for visit in before:
        if visit.kind == "preparation" and not (visit.id in course.visits and course.visits[visit.id].held):
            yield _block(visit.label, "this preparation was not held", "A facilitator holds it", "preparation")
    hours = protocol.phases["preparation"].hours if "preparation" in protocol.phases else None
    if hours:
        held = sum(
            course.visits[v.id].minutes or 0 for v in before if v.kind == "preparation" and v.id in course.visits
        )
        if held < hours[0] * 60:
            yield _block(
                "Hours of preparation",
                f"{held / 60:g} of at least {hours[0]:g} hours were held",
                "Hold more preparation before the dose",
                "preparation-hours",
            )
    for visit in before:
        if visit.kind == "dosing" and visit.id not in course.visits:
            yield _block(
                visit.label, "the earlier session neither took place nor was missed", "Settle it first", "order"
            )


def _personal(course: Course) -> Iterable[Reason]:
    if not course.intentions:
        yield _block("Intentions", "none is written", "The participant writes one in their own words", "intention")
    if course.touch is None:
        yield _block("The touch agreement", "none was made", "Agree on it together, sober", "touch")
    if not course.support_person:
        yield _block("The support person", "nobody is named", "The participant names one", "support-person")
    if not course.ride_home:
        yield _block("The way home", "it is not confirmed", "Confirm who takes the person home", "ride-home")


def _measured(course: Course, protocol: Protocol, arm: str, dosing: Visit, shelf: Container[str]) -> Iterable[Reason]:
    visits = protocol.visits_for(arm)
    before = visits[: [v.id for v in visits].index(dosing.id)]
    wanted = [(v, a) for v in before if v.kind in ("baseline", "preparation") for a in v.asks]
    wanted += [(dosing, a) for a in dosing.asks if a.when == "before_dose"]
    for visit, ask in wanted:
        if ask.instrument in shelf and course.response_for(visit.id, ask.instrument) is None:
            yield _block(
                f"{ask.instrument} at {visit.label}",
                f"the {ask.of.replace('_', ' ')} has not answered it",
                "Have it filled in",
                "measure",
            )


def _window(course: Course, protocol: Protocol, visit: str, on: date) -> Iterable[Reason]:
    if course.enrolled_on is None:
        return
    planned = next(p for p in schedule(course, protocol, on) if p.visit == visit)
    if planned.earliest_on and on < planned.earliest_on and not planned.projected:
        yield _block("The window", f"the protocol allows it from {planned.earliest_on}", "Wait until then", "window")


def unanswered(course: Course) -> tuple[Alert, ...]:
    """The urgent alerts of a course that nobody has taken yet."""
    return tuple(a for a in course.alerts.values() if a.level == "urgent" and a.state in WAITING)


def check_answered(course: Course, visit: str) -> None:
    """Refuse to close a visit whose own answers raised an urgent alert that nobody has taken: the person stays in sight."""
    for alert in unanswered(course):
        if alert.source.get("visit") == visit:
            why = f"an urgent alert of this visit waits for somebody: {alert.why.rstrip('.')}"
            raise refuse("The visit was not closed", why, "Take it first, and say what was done", code="alert")


def _watched(course: Course) -> Iterable[Reason]:
    for alert in unanswered(course):
        yield _block("An urgent alert", f"nobody answered it: {alert.why.rstrip('.')}", "Answer it first", "alert")
