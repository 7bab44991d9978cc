"""What the law of a place asks of a session: least time, facilitators for a group, presence, reports.

    oregon = Jurisdiction.from_table(table, "jurisdictions/oregon.toml")
    minimum_minutes(oregon, 25)                          300
    required_facilitators(oregon, participants=4, largest_dose_mg=35)    2
    check_group(oregon, [10, 25, 25], facilitators=1, substance="psilocybin-analyte")

Doses are milligrams of the jurisdiction's own substance (Oregon counts psilocybin analyte, Colorado psilocin), with
any secondary dose. Where the text of a rule names a boundary twice, the stricter step begins at the boundary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, TypeVar

from pydantic import Field, PrivateAttr

from keel.domain.definition import Definition, Fact, read_definition
from keel.domain.dose import SUBSTANCE_NAMES, Substance, exact
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.protocol import Protocol, SourceEntry


class DoseStep(Definition):
    """Doses from `from_mg` to below `below_mg`, or up to and with `up_to_mg`."""

    from_mg: float = Field(ge=0)
    below_mg: float | None = None
    up_to_mg: float | None = None
    note: str | None = None

    def holds(self, dose_mg: float) -> bool:
        below = self.below_mg is None or dose_mg < self.below_mg
        return self.from_mg <= dose_mg and below and (self.up_to_mg is None or dose_mg <= self.up_to_mg)


class SessionStep(DoseStep):
    """The least session time of a dose; shorter for a repeat within so many months, where the rule says so."""

    minimum_minutes: int = Field(gt=0)
    repeat_minimum_minutes: int | None = None
    repeat_within_months: int | None = None


class GroupStep(DoseStep):
    """How many participants one facilitator may hold when this is the largest dose in the room."""

    participants_per_facilitator: int = Field(ge=1)


class Limits(Definition):
    most_dose_mg: float | None = None
    most_participants: int | None = None
    serving_mg: float | None = None
    least_age_years: int | None = None


class PreparationRule(Definition):
    required: bool
    at_least_hours_before: int | None = None
    at_most_days_before: int | None = None
    individual: bool | None = None
    note: str | None = None


class PresenceRule(Definition):
    continuous: bool
    sight_and_hearing: bool
    video_counts: bool
    break_minutes: int | None = None
    representative_on_premises: bool | None = None
    note: str | None = None


class Report(Definition):
    """A report that is owed: every so many months and due so many days after, or within hours of an event."""

    id: str
    label: str
    clock_starts: str
    every_months: int | None = None
    due_days: int | None = None
    within_hours: int | None = None


class RoomExample(Definition):
    """A worked example: run as a test, printed in the manual."""

    largest_dose_mg: float
    participants: int
    minimum_minutes: int
    facilitators: int


class Jurisdiction(Definition):
    id: str
    version: int = Field(ge=1)
    title: str
    effective_on: str
    substance: Substance
    summary: str
    cautions: tuple[str, ...] = ()
    sources: dict[str, SourceEntry] = {}
    session_steps: tuple[SessionStep, ...] = ()
    group_steps: tuple[GroupStep, ...] = ()
    limits: Limits = Limits()
    preparation: PreparationRule | None = None
    presence: PresenceRule | None = None
    reports: tuple[Report, ...] = ()
    examples: tuple[RoomExample, ...] = ()

    _facts: tuple[Fact, ...] = PrivateAttr(default=())

    @classmethod
    def from_table(cls, table: Mapping[str, Any], place: str) -> Jurisdiction:
        """Read a parsed TOML file; Refused with every error, each with `place`, key path and mend."""
        found, facts = read_definition(cls, table, place)
        gaps = [*_gaps(found.session_steps, "session_steps"), *_gaps(found.group_steps, "group_steps")]
        if gaps:
            raise Refused([Reason(r.what, r.why, r.mend, f"{place}, {r.where}", r.code) for r in gaps])
        found._facts = facts
        return found

    @property
    def facts(self) -> tuple[Fact, ...]:
        return self._facts


def minimum_minutes(
    place: Jurisdiction, dose_mg: float, *, months_since_last: float | None = None, whole_fungi: bool = False
) -> int:
    """The least session time for a total dose. `months_since_last` is None for a first session at the centre.

    Refuses a dose that no step holds: over the maximum, or not a number above or at zero.
    """
    step = _step(place, place.session_steps, dose_mg)
    within, shorter = step.repeat_within_months, step.repeat_minimum_minutes
    is_repeat = months_since_last is not None and within is not None and 0 <= months_since_last <= within
    return shorter if is_repeat and shorter is not None and not whole_fungi else step.minimum_minutes


def least_minutes(protocol: Protocol, place: Jurisdiction | None, doses_mg: Sequence[float]) -> int | None:
    """The least minutes between dose and release: the longer of the protocol's own and the law's.

    `doses_mg` is everything given that day. None where neither names a time. A dose that the law's table does not hold
    asks for the longest time of the table: it should not have been given, and nobody leaves earlier for it.
    """
    found = [protocol.release.minimum_minutes] if protocol.release.minimum_minutes is not None else []
    if place is not None and place.session_steps and doses_mg:
        total_mg = float(sum(map(exact, doses_mg)))
        step = next((s for s in place.session_steps if s.holds(total_mg)), place.session_steps[-1])
        found.append(step.minimum_minutes)
    return max(found, default=None)


def required_facilitators(place: Jurisdiction, participants: int, largest_dose_mg: float) -> int:
    """How many facilitators a room needs; the largest total dose in it decides. Refuses too large a group."""
    if participants < 1:
        raise refuse("The room was not judged", "nobody is in it", "Name at least one participant", where=place.id)
    most = place.limits.most_participants
    if most is not None and participants > most:
        raise refuse(
            "The group is too large",
            f"{participants} participants are planned and {place.title} allows {most}",
            "Divide the group",
            where=place.id,
            code="group-too-large",
        )
    return -(-participants // _step(place, place.group_steps, largest_dose_mg).participants_per_facilitator)


def check_group(
    place: Jurisdiction, doses_mg: Sequence[float], *, facilitators: int, substance: str, occupancy: int | None = None
) -> None:
    """Whether a room may be run so. Refuses a wrong substance, too many people, and too few facilitators."""
    if substance != place.substance:
        raise refuse(
            "The room was not judged",
            f"{place.title} counts {SUBSTANCE_NAMES[place.substance]}, not {substance}",
            "Give the doses in that substance; the masses differ by a third",
            where=place.id,
            code="wrong-substance",
        )
    if occupancy is not None and len(doses_mg) > occupancy:
        raise refuse(
            "The group is too large",
            f"{len(doses_mg)} participants are planned and the room holds {occupancy}",
            "Take a larger room or divide the group",
            where=place.id,
            code="group-too-large",
        )
    needed = required_facilitators(place, len(doses_mg), max(doses_mg, default=0))
    if facilitators < needed:
        raise refuse(
            "The room is short of facilitators",
            f"the largest dose is {max(doses_mg):g} mg, so {len(doses_mg)} participants need {needed}, "
            f"and there are {facilitators}",
            f"Bring {needed - facilitators} more, or make the group smaller",
            where=place.id,
            code="too-few-facilitators",
        )


def check_preparation(place: Jurisdiction, *, prepared_at: datetime | None, session_at: datetime) -> None:
    """Whether preparation lies far enough before the first session, and not too far."""
    rule = place.preparation
    if rule is None or not rule.required:
        return
    if prepared_at is None:
        raise refuse(
            "The session may not begin",
            f"{place.title} requires a preparation session and none is recorded",
            "Hold and record it first",
            where=place.id,
            code="no-preparation",
        )
    reasons = list(_preparation_reasons(rule, session_at - prepared_at))
    if reasons:
        raise Refused([Reason("The session may not begin", r.why, r.mend, place.id, r.code) for r in reasons])


def _preparation_reasons(rule: PreparationRule, before: timedelta) -> Iterator[Reason]:
    hours, days = rule.at_least_hours_before, rule.at_most_days_before
    if hours is not None and before < timedelta(hours=hours):
        yield Reason(
            "", f"preparation was less than {hours} hours before it", "Begin later", "", "preparation-too-late"
        )
    if days is not None and before > timedelta(days=days):
        yield Reason(
            "", f"preparation was more than {days} days before it", "Prepare again", "", "preparation-too-early"
        )


Step = TypeVar("Step", bound=DoseStep)


def _step(place: Jurisdiction, steps: Sequence[Step], dose_mg: float) -> Step:
    if not steps:
        raise refuse(
            f"A dose of {dose_mg:g} mg was not judged",
            f"the table of {place.title} was not found, so its rule is not known",
            "Ask the authority, and put the table on the site's own shelf",
            where=place.id,
            code="rule-unknown",
        )
    most = place.limits.most_dose_mg
    found = next((s for s in steps if s.holds(dose_mg)), None)
    if found is None or (most is not None and dose_mg > most):
        raise refuse(
            f"A dose of {dose_mg:g} mg was not judged",
            f"{place.title} allows up to {most:g} mg" if most is not None else f"{place.title} has no step for it",
            "Lower the dose",
            where=place.id,
            code="over-maximum",
        )
    return found


def _gaps(steps: Sequence[DoseStep], where: Literal["session_steps", "group_steps"]) -> Iterator[Reason]:
    """Steps must follow one another without a hole or an overlap, or a dose would have no rule or two."""
    for at, (low, high) in enumerate(pairwise(steps)):
        if low.below_mg != high.from_mg:
            yield Reason(
                "The dose steps do not meet",
                f"one ends below {low.below_mg} mg and the next begins at {high.from_mg} mg",
                "Let each begin where the one before ends",
                f"{where}[{at + 1}].from_mg",
                "steps-do-not-meet",
            )
