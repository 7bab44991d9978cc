"""A treatment protocol as a value: who comes when, what is given, who is present, what is asked.

    davis = Protocol.from_table(table, "protocols/davis-2021.toml")
    davis.visits_for("delayed")                 visits of one arm in order, timing and doses settled for that arm
    davis.visit("session-1", "delayed")         one visit: .asks .doses .present .hours .due_weeks …
    davis.anchors                               `enrolled` and the visit ids that timing may hang on
    davis.endpoint.response, .remission         definitions as data: {drop_percent_at_least, at_most}
    davis.release, davis.vitals, davis.cohort   the dosing day: checklist, vital-sign times and limits, group size
    davis.facts                                 every number with its path, value, sources and whether it was read
    check_dose(davis, "session-1", "immediate", substance="psilocybin-anhydrous", amount=MgPer70Kg(20))

Time is counted in whole days from an anchor: `enrolled`, or the actual date of another visit. A visit has a due day
(`due_days`, `due_weeks` or calendar `due_months` after its anchor) and a window (`earliest_days`, `latest_days` after
the same anchor). A bound that no source gives is left out: it is not known, and nothing is invented for it.
`also` holds further windows to other anchors, all of which must hold together.

Everything is frozen; a file that does not fit is refused with all its errors at once (see `keel.domain.definition`).
Who may take part is not said here: the safety rules hold the entry criteria.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from keel.domain.definition import Definition, Fact, read_definition
from keel.domain.dose import SUBSTANCE_NAMES, UNITS_OF, Amount, Substance, Unit, amount, exact
from keel.domain.errors import Reason, Refused, refuse

Phase = Literal["screening", "preparation", "dosing", "integration", "follow_up"]
Kind = Literal[
    "screening", "baseline", "preparation", "dosing", "integration", "follow_up", "assessment", "call", "waiting"
]
Role = Literal["facilitator", "physician", "monitor", "representative"]
Respondent = Literal["participant", "facilitator", "blinded_rater", "clinician"]
Measure = Literal["systolic_mmhg", "diastolic_mmhg", "heart_rate_bpm", "temperature_c"]
Consequence = Literal[
    "hold_dose", "alert", "call_physician", "withhold_supplemental", "cool_actively", "emergency", "no_release"
]

ENROLLED = "enrolled"
PHASES: tuple[Phase, ...] = ("screening", "preparation", "dosing", "integration", "follow_up")
PHASE_OF: dict[Kind, Phase] = {
    "screening": "screening",
    "baseline": "preparation",
    "preparation": "preparation",
    "waiting": "preparation",
    "dosing": "dosing",
    "integration": "integration",
    "assessment": "integration",
    "call": "integration",
    "follow_up": "follow_up",
}


# Offsets in days, weeks and months from an anchor. A lifetime is enough; beyond it the calendar itself would end.
Days = Annotated[int, Field(ge=-36_500, le=36_500)]
Weeks = Annotated[int, Field(ge=-5_200, le=5_200)]
Months = Annotated[int, Field(ge=-1_200, le=1_200)]


class SourceEntry(Definition):
    """Where a source can be looked up; `tag` P primary, A abstract or copy, R regulator, N news, W weak."""

    tag: str
    at: str


class Arm(Definition):
    id: str
    label: str
    waits_weeks: int | None = None
    note: str | None = None


class Allocation(Definition):
    """How people come into arms. `ratio` by arm id; no `block_sizes` means simple randomisation by that ratio."""

    method: Literal["single", "randomised", "waiting_list"]
    ratio: dict[str, int] = {}
    block_sizes: tuple[int, ...] = ()
    strata: tuple[str, ...] = ()
    note: str | None = None


class Within(Definition):
    """A window to one anchor, in days after it (negative is before); an absent bound is not known."""

    after: str
    earliest_days: Days | None = None
    latest_days: Days | None = None


class Timing(Definition):
    """When a visit is due and allowed, counted from the day of `after`."""

    after: str = ENROLLED
    due_days: Days | None = None
    due_weeks: Weeks | None = None
    due_months: Months | None = None
    earliest_days: Days | None = None
    latest_days: Days | None = None
    also: tuple[Within, ...] = ()

    def due_on(self, anchor_on: date) -> date | None:
        """The due day for an anchor's day; None where the protocol names none. Months are calendar months."""
        if self.due_months is not None:
            return add_months(anchor_on, self.due_months)
        days = self.due_offset_days
        return None if days is None else anchor_on + timedelta(days=days)

    @property
    def due_offset_days(self) -> int | None:
        """Days from anchor to due day; None for calendar months and where no due day is named."""
        if self.due_weeks is not None:
            return 7 * self.due_weeks
        return self.due_days

    @property
    def windows(self) -> tuple[Within, ...]:
        """Every window that must hold, the one to the visit's own anchor first."""
        own = Within(after=self.after, earliest_days=self.earliest_days, latest_days=self.latest_days)
        return (own, *self.also)

    @property
    def comes_before_anchor(self) -> bool:
        """Whether the visit leads up to its anchor (a last preparation two days before dosing) instead of following."""
        days = self.due_offset_days if self.due_months is None else self.due_months
        if days is None:
            days = self.latest_days if self.latest_days is not None else self.earliest_days
        return days is not None and days < 0


class Presence(Definition):
    """Who must be there. `at_least` people, for each `per_participants` people treated (None: for the whole room).

    `where` is in_room, on_site, reachable (by phone) or by_video; `continuous` is None where no source says.
    """

    role: Role
    at_least: int = Field(ge=1)
    per_participants: int | None = Field(default=None, ge=1)
    where: Literal["in_room", "on_site", "reachable", "by_video"] = "in_room"
    continuous: bool | None = None
    note: str | None = None

    def needed(self, participants: int) -> int:
        """How many of this role a room of so many participants needs."""
        if self.per_participants is None:
            return self.at_least
        return self.at_least * -(-participants // self.per_participants)


class Ask(Definition):
    """An instrument that is filled in at a visit, and by whom. No `arms` means every arm."""

    instrument: str
    of: Respondent = "participant"
    when: Literal["before_dose", "after_effects"] | None = None
    arms: tuple[str, ...] = ()


class Supplemental(Definition):
    """A second dose that may be offered within `window_minutes` (from, to) after the first.

    No `amounts`: any that keeps the day's total within `most_total`. No window: none is laid down.
    """

    amounts: tuple[float, ...] = ()
    window_minutes: tuple[int, int] | None = None
    half_of_first: bool = False
    withhold_if: tuple[str, ...] = ()


class DosePlan(Definition):
    """What is given at a visit.

    `amounts` are the allowed first doses in `unit` (empty with `most_total`: any amount up to it). `most_total` bounds
    everything given that day, in the same unit. Placebo has neither unit nor amount.
    """

    substance: Substance
    unit: Unit | None = None
    amounts: tuple[float, ...] = ()
    most_total: float | None = None
    route: Literal["oral", "intranasal", "intravenous"] = "oral"
    form: str | None = None
    arms: tuple[str, ...] = ()
    supplemental: Supplemental | None = None

    @property
    def options(self) -> tuple[Amount, ...]:
        """The allowed first doses as typed amounts."""
        return () if self.unit is None else tuple(amount(a, self.unit) for a in self.amounts)

    @property
    def supplemental_options(self) -> tuple[Amount, ...]:
        if self.unit is None or self.supplemental is None:
            return ()
        return tuple(amount(a, self.unit) for a in self.supplemental.amounts)

    def __str__(self) -> str:
        said = " or ".join(str(o) for o in self.options)
        if not said and self.most_total is not None and self.unit is not None:
            said = f"up to {amount(self.most_total, self.unit)}"
        return f"{said} {SUBSTANCE_NAMES[self.substance]}".strip()


class Visit(Timing):
    """One appointment of the protocol. `hours` is (least, most) contact time; None is not known."""

    id: str
    label: str
    kind: Kind
    arms: tuple[str, ...] = ()
    by_arm: dict[str, Timing] = {}
    modes: tuple[Literal["individual", "group"], ...] = ("individual",)
    hours: tuple[float, float] | None = None
    overnight: bool | None = None
    asks: tuple[Ask, ...] = ()
    doses: tuple[DosePlan, ...] = ()
    present: tuple[Presence, ...] = ()
    note: str | None = None

    @property
    def phase(self) -> Phase:
        return PHASE_OF[self.kind]

    def is_in(self, arm: str) -> bool:
        return not self.arms or arm in self.arms

    def for_arm(self, arm: str) -> Visit:
        """The visit as one arm has it: its own timing, and only its own asks and doses.

        A timing under `by_arm` replaces the whole timing but the anchor, which it may leave out.
        """
        changes: dict[str, Any] = {"by_arm": {}}
        if arm in self.by_arm:
            own = self.by_arm[arm]
            changes |= {name: getattr(own, name) for name in Timing.model_fields if name not in ("after", "also")}
            changes["after"] = own.after if "after" in own.model_fields_set else self.after
            changes["also"] = own.also or self.also
        changes["asks"] = tuple(a for a in self.asks if not a.arms or arm in a.arms)
        changes["doses"] = tuple(d for d in self.doses if not d.arms or arm in d.arms)
        return self.model_copy(update=changes)


class Support(Definition):
    """Sessions and contact hours of a phase as a whole: (least, most) where the source gives totals only."""

    sessions: tuple[int, int] | None = None
    hours: tuple[float, float] | None = None
    individual_hours: float | None = None
    group_hours: float | None = None
    note: str | None = None


class Cohort(Definition):
    """How many are treated together, and whether at the same time."""

    least: int = Field(ge=1)
    most: int = Field(ge=1)
    same_time: bool
    note: str | None = None


class ReleaseItem(Definition):
    """One line of the release checklist; each is signed with a time. Its source is that of `required`."""

    id: str
    label: str
    required: bool


class Release(Definition):
    """When a person may leave after dosing. `minimum_minutes` counts from the first dose; None is not known here."""

    minimum_minutes: int | None = None
    items: tuple[ReleaseItem, ...] = ()
    note: str | None = None


class Threshold(Definition):
    """A limit on a vital sign and what follows from it.

    Crossed when the value is `at_least` (or `above`) in `readings` consecutive readings, `minutes_apart` (from, to).
    """

    id: str
    measure: Measure
    at_least: float | None = None
    above: float | None = None
    readings: int | None = Field(default=None, ge=1)
    minutes_apart: tuple[int, int] | None = None
    does: Consequence
    because: str

    def is_crossed_by(self, value: float) -> bool:
        return (self.at_least is not None and value >= self.at_least) or (self.above is not None and value > self.above)


class Vitals(Definition):
    """When vital signs are taken on a dosing day: minutes from the first dose, negative before it."""

    minutes: tuple[int, ...] = ()
    measures: tuple[Literal["blood_pressure", "heart_rate", "temperature"], ...] = ()
    around_supplemental_minutes: int | None = None
    thresholds: tuple[Threshold, ...] = ()
    note: str | None = None


class Change(Definition):
    """A definition of response or remission: every condition that is given must hold."""

    drop_percent_at_least: float | None = None
    drop_at_least: float | None = None
    at_most: float | None = None

    def holds(self, baseline: float, score: float) -> bool | None:
        """Whether it holds; None where a fall is asked for and the baseline is not above zero."""
        if self.drop_percent_at_least is not None:
            if baseline <= 0:
                return None
            if 100 * (baseline - score) < self.drop_percent_at_least * baseline:
                return False
        if self.drop_at_least is not None and baseline - score < self.drop_at_least:
            return False
        return self.at_most is None or score <= self.at_most


class Endpoint(Definition):
    """What a trial is judged by: an instrument's score at a visit against `baseline`, or over several visits."""

    instrument: str
    score: str = "total"
    baseline: str | None = None
    visits: tuple[str, ...] = Field(min_length=1)
    of: Respondent = "participant"
    response: Change | None = None
    remission: Change | None = None
    label: str
    note: str | None = None


class ExampleVisit(Definition):
    """What an example says of one visit; what it leaves out is not checked."""

    due_on: date | None = None
    earliest_on: date | None = None
    latest_on: date | None = None
    state: str | None = None


class Example(Definition):
    """A worked example of the schedule: run as a test, printed in the manual."""

    because: str
    arm: str
    enrolled_on: date
    on: date
    visits: dict[str, date] = {}
    missed: dict[str, str] = {}
    gives: dict[str, ExampleVisit]


class Protocol(Definition):
    """A whole protocol. Build it with `Protocol.from_table`; see the head of this module."""

    id: str
    version: int = Field(ge=1)
    title: str
    short_title: str
    service_model: Literal["clinical_trial", "regulated_service"]
    indication: str
    summary: str
    jurisdiction: str | None = None
    registry: str | None = None
    references: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    sources: dict[str, SourceEntry] = {}
    arms: tuple[Arm, ...] = Field(min_length=1)
    allocation: Allocation
    support: Support | None = None
    phases: dict[Phase, Support] = {}
    cohort: Cohort | None = None
    visits: tuple[Visit, ...] = Field(min_length=1)
    vitals: Vitals | None = None
    release: Release = Release()
    endpoint: Endpoint | None = None
    secondary: tuple[Endpoint, ...] = ()
    examples: tuple[Example, ...] = ()

    _facts: tuple[Fact, ...] = PrivateAttr(default=())

    @classmethod
    def from_table(cls, table: Mapping[str, Any], place: str) -> Protocol:
        """Read a parsed TOML file. Refused with every error: each names `place`, the key path and the mend."""
        protocol, facts = read_definition(cls, table, place)
        reasons = [
            Reason(r.what, r.why, r.mend, f"{place}, {r.where}" if r.where else place, r.code)
            for r in _inner_errors(protocol)
        ]
        if reasons:
            raise Refused(reasons)
        protocol._facts = facts
        return protocol

    @property
    def facts(self) -> tuple[Fact, ...]:
        """Every sourced value in file order."""
        return self._facts

    @property
    def arm_ids(self) -> tuple[str, ...]:
        return tuple(a.id for a in self.arms)

    @property
    def anchors(self) -> tuple[str, ...]:
        return (ENROLLED, *(v.id for v in self.visits))

    def check_arm(self, arm: str) -> None:
        """Refuses an arm that the protocol does not have."""
        if arm not in self.arm_ids:
            raise refuse(
                f"{self.id} has no arm {arm!r}",
                "a plan can only be made for an arm of the protocol",
                f"Use one of: {', '.join(self.arm_ids)}",
                where="arm",
                code="unknown-arm",
            )

    def visits_for(self, arm: str) -> tuple[Visit, ...]:
        """The visits of one arm in the order of the file, settled for that arm. Refuses an unknown arm."""
        held = self._held_by_arm.get(arm)
        if held is None or held[0] is not self.visits:
            self.check_arm(arm)
            held = (self.visits, tuple(v.for_arm(arm) for v in self.visits if v.is_in(arm)))
            self._held_by_arm[arm] = held
        return held[1]

    @cached_property
    def _held_by_arm(self) -> dict[str, tuple[tuple[Visit, ...], tuple[Visit, ...]]]:
        """What `visits_for` settled, beside the visits that it was settled from: a changed copy settles anew."""
        return {}

    def visit(self, id: str, arm: str) -> Visit:
        """One visit as one arm has it. Refuses a visit that the arm does not have."""
        found = next((v for v in self.visits_for(arm) if v.id == id), None)
        if found is None:
            raise refuse(
                f"The {arm} arm of {self.id} has no visit {id!r}",
                "only visits of the protocol can be planned or recorded",
                f"Use one of: {', '.join(v.id for v in self.visits_for(arm))}",
                where=f"visits.{id}",
                code="unknown-visit",
            )
        return found

    def fact(self, path: str) -> Fact | None:
        """The fact at a path such as `release.items[escort].required`; None where the file is silent."""
        return next((f for f in self._facts if f.path == path), None)

    def cites(self, fact: Fact) -> tuple[str, ...]:
        """Where the sources of a fact can be looked up."""
        return tuple(self.sources[s].at for s in fact.sources if s in self.sources)


def add_months(day: date, months: int) -> date:
    """The same day so many calendar months on; the last of the month where that day does not exist."""
    years, month = divmod(day.month - 1 + months, 12)
    year, month = day.year + years, month + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


# ---- what only the whole file can show -----------------------------------------------------------


def _inner_errors(protocol: Protocol) -> Iterator[Reason]:
    yield from _doubled([a.id for a in protocol.arms], "arms", "arm")
    yield from _doubled([v.id for v in protocol.visits], "visits", "visit")
    yield from _allocation_errors(protocol)
    for at, visit in enumerate(protocol.visits):
        yield from _visit_errors(protocol, visit, f"visits[{at}]")
    yield from _anchor_loops(protocol)
    yield from _phase_errors(protocol)
    yield from _vitals_errors(protocol)
    for place, endpoint in _endpoints(protocol):
        yield from _endpoint_errors(protocol, endpoint, place)
    if protocol.cohort and protocol.cohort.least > protocol.cohort.most:
        yield Reason("The cohort is impossible", "least is above most", "Swap the two", "cohort.least", "empty-range")


def _doubled(ids: Sequence[str], where: str, noun: str) -> Iterator[Reason]:
    for at, id in enumerate(ids):
        if id in ids[:at]:
            yield Reason(f"There are two of {noun} {id!r}", "an id names one thing", "Rename one", f"{where}[{at}].id")
        if id == ENROLLED:
            yield Reason(f"{id!r} is the day of enrolment", "a visit may not take its name", "Rename it", where)


def _unknown_arms(protocol: Protocol, arms: Sequence[str], where: str) -> Iterator[Reason]:
    for arm in arms:
        if arm not in protocol.arm_ids:
            yield Reason(
                f"There is no arm {arm!r}", "the file does not list it", f"Use {', '.join(protocol.arm_ids)}", where
            )


def _allocation_errors(protocol: Protocol) -> Iterator[Reason]:
    allocation, many = protocol.allocation, len(protocol.arms) > 1
    yield from _unknown_arms(protocol, tuple(allocation.ratio), "allocation.ratio")
    if (allocation.method == "single") == many:
        yield Reason(
            f"Allocation {allocation.method!r} does not fit {len(protocol.arms)} arm(s)",
            "one arm is `single`, several are `randomised` or `waiting_list`",
            "Correct the method or the arms",
            "allocation.method",
        )
    if many and set(allocation.ratio) != set(protocol.arm_ids):
        yield Reason("The ratio is incomplete", "each arm needs its share", "Give every arm", "allocation.ratio")
    if any(share < 1 for share in allocation.ratio.values()):
        yield Reason("A share is below 1", "nobody could come into that arm", "Write 1 or more", "allocation.ratio")
    total = sum(allocation.ratio.values())
    for size in allocation.block_sizes:
        if total == 0 or size < 1 or size % total:
            yield Reason(
                f"A block of {size} cannot hold the ratio",
                f"the shares add up to {total}",
                f"Use a multiple of {total}",
                "allocation.block_sizes",
            )


def _phase_errors(protocol: Protocol) -> Iterator[Reason]:
    """What a phase says of its sessions and hours as a whole must agree with its visits, arm by arm."""
    for phase, support in protocol.phases.items():
        for arm in protocol.arm_ids:
            visits = [v for v in protocol.visits if v.kind == phase and v.is_in(arm)]
            if support.sessions and visits and not support.sessions[0] <= len(visits) <= support.sessions[1]:
                yield Reason(
                    f"The {phase} of the {arm} arm has {len(visits)} visits",
                    f"the phase says {support.sessions[0]} to {support.sessions[1]}",
                    "Correct the phase or the visits",
                    f"phases.{phase}.sessions",
                    "phase-disagrees",
                )
            hours = [v.hours for v in visits if v.hours]
            if support.hours and visits and len(hours) == len(visits) and _apart(support.hours, hours):
                yield Reason(
                    f"The hours of {phase} in the {arm} arm do not add up",
                    f"its visits take {sum(h[0] for h in hours):g} to {sum(h[1] for h in hours):g} hours, "
                    f"the phase {support.hours[0]:g} to {support.hours[1]:g}",
                    "Correct the phase or the visits",
                    f"phases.{phase}.hours",
                    "phase-disagrees",
                )


def _apart(whole: tuple[float, float], parts: Sequence[tuple[float, float]]) -> bool:
    """Whether the parts, least and most, cannot add up to anything within the whole."""
    return sum(p[0] for p in parts) > whole[1] or sum(p[1] for p in parts) < whole[0]


def _visit_errors(protocol: Protocol, visit: Visit, where: str) -> Iterator[Reason]:
    yield from _unknown_arms(protocol, visit.arms, f"{where}.arms")
    yield from _unknown_arms(protocol, tuple(visit.by_arm), f"{where}.by_arm")
    yield from _timing_errors(protocol, visit, visit.id, where)
    for arm, timing in visit.by_arm.items():
        yield from _timing_errors(protocol, timing, visit.id, f"{where}.by_arm.{arm}")
    if visit.hours and not 0 < visit.hours[0] <= visit.hours[1]:
        yield Reason("The hours run backwards", "they are least and most", "Write [least, most]", f"{where}.hours")
    for at, ask in enumerate(visit.asks):
        yield from _unknown_arms(protocol, ask.arms, f"{where}.asks[{at}].arms")
    if visit.doses and visit.kind != "dosing":
        yield Reason(f"{visit.id} gives a dose", "only a dosing visit may", 'Set kind = "dosing"', f"{where}.kind")
    for at, dose in enumerate(visit.doses):
        yield from _unknown_arms(protocol, dose.arms, f"{where}.doses[{at}].arms")
        yield from _dose_plan_errors(dose, f"{where}.doses[{at}]")
    yield from _arm_anchor_errors(protocol, visit, where)


def _timing_errors(protocol: Protocol, timing: Timing, visit_id: str, where: str) -> Iterator[Reason]:
    given = [n for n in ("due_days", "due_weeks", "due_months") if getattr(timing, n) is not None]
    if len(given) > 1:
        yield Reason(f"{visit_id} is due twice", f"{' and '.join(given)} are given", "Keep one", f"{where}.{given[1]}")
    for at, window in enumerate(timing.windows):
        place = where if at == 0 else f"{where}.also[{at - 1}]"
        if window.after not in protocol.anchors or window.after == visit_id:
            yield Reason(
                f"{visit_id} hangs on {window.after!r}",
                "that is no other visit of this file" if window.after != visit_id else "a visit cannot hang on itself",
                f"Use one of: {', '.join(a for a in protocol.anchors if a != visit_id)}",
                f"{place}.after",
                "unknown-anchor",
            )
        early, late = window.earliest_days, window.latest_days
        if early is not None and late is not None and early > late:
            yield Reason(
                f"The window of {visit_id} is empty",
                f"its earliest day ({early}) is after its latest ({late})",
                "Swap them, or correct one",
                f"{place}.earliest_days",
                "empty-window",
            )
    yield from _due_outside(timing, visit_id, where)


def _due_outside(timing: Timing, visit_id: str, where: str) -> Iterator[Reason]:
    due, early, late = timing.due_offset_days, timing.earliest_days, timing.latest_days
    if due is None:
        return
    if (early is not None and due < early) or (late is not None and due > late):
        yield Reason(
            f"{visit_id} is due outside its own window",
            f"day {due} does not lie from {early} to {late}",
            "Correct the due day or the window",
            f"{where}.due_weeks" if timing.due_weeks is not None else f"{where}.due_days",
            "due-outside-window",
        )


def _arm_anchor_errors(protocol: Protocol, visit: Visit, where: str) -> Iterator[Reason]:
    """An anchor must exist in every arm that the visit is in."""
    by_id = {v.id: v for v in protocol.visits}
    for arm in protocol.arm_ids:
        if not visit.is_in(arm):
            continue
        for window in visit.for_arm(arm).windows:
            anchor = by_id.get(window.after)
            if anchor is not None and not anchor.is_in(arm):
                yield Reason(
                    f"{visit.id} hangs on {anchor.id} in the {arm} arm",
                    f"the {arm} arm does not have {anchor.id}",
                    f"Give {arm} an anchor of its own under by_arm, or take it out of arms",
                    f"{where}.after",
                    "anchor-not-in-arm",
                )


def _anchor_loops(protocol: Protocol) -> Iterator[Reason]:
    """A visit whose windows lead back to itself could never be dated."""
    seen: set[frozenset[str]] = set()
    index = {v.id: at for at, v in enumerate(protocol.visits)}
    for arm in protocol.arm_ids:
        after = {v.id: [w.after for w in v.for_arm(arm).windows] for v in protocol.visits if v.is_in(arm)}
        for start in after:
            loop = _way_back(start, after)
            if loop and frozenset(loop) not in seen:
                seen.add(frozenset(loop))
                yield Reason(
                    f"{' → '.join([*loop, start])} hang on one another",
                    "none of them could ever be dated",
                    "Anchor one of them to `enrolled` or to an earlier visit",
                    f"visits[{index[start]}].after",
                    "anchor-loop",
                )


def _way_back(start: str, after: Mapping[str, Sequence[str]]) -> list[str] | None:
    """A chain of anchors from a visit back to itself, if there is one."""
    waiting, seen = [[start]], set()
    while waiting:
        path = waiting.pop()
        for anchor in after.get(path[-1], ()):
            if anchor == start:
                return path
            if anchor not in seen:
                seen.add(anchor)
                waiting.append([*path, anchor])
    return None


def _dose_plan_errors(dose: DosePlan, where: str) -> Iterator[Reason]:
    allowed = UNITS_OF[dose.substance]
    if dose.substance == "placebo":
        if dose.unit or dose.amounts or dose.most_total is not None:
            yield Reason("Placebo has an amount", "it holds none", "Remove unit and amounts", f"{where}.amounts")
        return
    if dose.unit not in allowed:
        yield Reason(
            f"{SUBSTANCE_NAMES[dose.substance]} is not dosed in {dose.unit or 'no unit'}",
            "the unit decides how much a person swallows",
            f"Use {' or '.join(allowed)}",
            f"{where}.unit",
            "wrong-unit",
        )
    if not dose.amounts and dose.most_total is None:
        yield Reason("No amount is given", "a dose needs one", "Add amounts or most_total", f"{where}.amounts")
    for value in (*dose.amounts, *((dose.most_total,) if dose.most_total is not None else ())):
        if not value > 0:
            yield Reason(f"{value:g} is no dose", "it is not above zero", "Correct it", f"{where}.amounts")
    if dose.most_total is not None and any(a > dose.most_total for a in dose.amounts):
        yield Reason("A dose exceeds the total", f"most is {dose.most_total:g}", "Correct one", f"{where}.most_total")
    if dose.supplemental and not dose.supplemental.amounts and dose.most_total is None:
        yield Reason(
            "The supplemental dose has no limit",
            "neither amounts nor a total is given",
            "Add one",
            f"{where}.most_total",
        )
    window = dose.supplemental.window_minutes if dose.supplemental else None
    if window and not 0 < window[0] <= window[1]:
        yield Reason(
            "The supplemental window runs backwards",
            "it is first and last minute",
            "Write [first, last]",
            f"{where}.supplemental.window_minutes",
        )


def _vitals_errors(protocol: Protocol) -> Iterator[Reason]:
    vitals = protocol.vitals
    if vitals is None:
        return
    if list(vitals.minutes) != sorted(set(vitals.minutes)):
        yield Reason(
            "The vital-sign times are out of order", "each comes once, in order", "Sort them", "vitals.minutes"
        )
    for at, limit in enumerate(vitals.thresholds):
        if (limit.at_least is None) == (limit.above is None):
            yield Reason(
                f"Limit {limit.id} is unclear",
                "it needs exactly one of at_least and above",
                "Keep one",
                f"vitals.thresholds[{at}].at_least",
            )


def _endpoints(protocol: Protocol) -> Iterator[tuple[str, Endpoint]]:
    if protocol.endpoint:
        yield "endpoint", protocol.endpoint
    for at, endpoint in enumerate(protocol.secondary):
        yield f"secondary[{at}]", endpoint


def _endpoint_errors(protocol: Protocol, endpoint: Endpoint, where: str) -> Iterator[Reason]:
    by_id = {v.id: v for v in protocol.visits}
    for id in (*endpoint.visits, *((endpoint.baseline,) if endpoint.baseline else ())):
        visit = by_id.get(id)
        if visit is None:
            yield Reason(f"There is no visit {id!r}", "an endpoint is read at visits", "Correct it", f"{where}.visits")
        elif endpoint.instrument not in {a.instrument for a in visit.asks}:
            yield Reason(
                f"{id} does not ask {endpoint.instrument}",
                "the endpoint could never be read there",
                f"Add it to the asks of {id}, or name another visit",
                f"{where}.visits",
                "endpoint-not-asked",
            )


# ---- may this dose be given? ---------------------------------------------------------------------


@dataclass(frozen=True)
class Given:
    """A dose already given that day: what, and how many minutes after the first dose (0 is the first)."""

    substance: Substance
    amount: Amount
    minute: int = 0


def check_dose(
    protocol: Protocol,
    visit_id: str,
    arm: str,
    *,
    substance: str,
    amount: Amount | None,
    before: Sequence[Given] = (),
    minute: int = 0,
) -> DosePlan:
    """Whether the protocol allows this dose now; the plan it falls under.

    `before` holds what was already given at this visit; with any of it, this is the supplemental dose, `minute`
    minutes after the first. Raises Refused with every reason: wrong substance, wrong unit (a number in the wrong
    unit is never converted), an amount the protocol does not have, over the total, outside the window.
    """
    visit = protocol.visit(visit_id, arm)
    where = f"{protocol.id}, {visit_id}"
    if not visit.doses:
        raise refuse(
            "The dose was not allowed", f"{visit_id} gives none", "Record it at a dosing visit", where=where,
            code="no-dose-here",
        )  # fmt: skip
    plan = next((d for d in visit.doses if d.substance == substance), None)
    if plan is None:
        raise refuse(
            "The dose was not allowed",
            f"{visit.label} in the {arm} arm gives {' or '.join(map(str, visit.doses))}, not "
            f"{SUBSTANCE_NAMES.get(substance, substance)}",  # type: ignore[call-overload]
            "Check the substance and the form its mass is counted in",
            where=where,
            code="wrong-substance",
        )
    reasons = list(_dose_reasons(plan, amount, before, minute))
    if reasons:
        raise Refused([Reason("The dose was not allowed", r.why, r.mend, where, r.code) for r in reasons])
    return plan


def _dose_reasons(plan: DosePlan, given: Amount | None, before: Sequence[Given], minute: int) -> Iterator[Reason]:
    if plan.unit is None:
        if given is not None:
            yield Reason("", f"placebo has no amount and {given} was named", "Leave the amount out", "", "wrong-unit")
        return
    if given is None or given.unit != plan.unit:
        yield Reason(
            "",
            f"the protocol counts this dose in {_unit_words(plan.unit)}, and "
            + ("no amount was named" if given is None else f"{given} is in {_unit_words(given.unit)}"),
            f"Name it in {_unit_words(plan.unit)}; a number is never moved from one unit to another",
            "",
            "wrong-unit",
        )
        return
    if not given.value > 0:
        yield Reason("", f"{given} is no dose", "Name an amount above zero", "", "no-amount")
        return
    yield from _supplemental_reasons(plan, given, before, minute) if before else _first_reasons(plan, given)
    yield from _total_reasons(plan, given, before)


def _first_reasons(plan: DosePlan, given: Amount) -> Iterator[Reason]:
    if plan.amounts and given.value not in plan.amounts:
        over = given.value > max(plan.amounts)
        yield Reason(
            "",
            f"{given} is {'over the maximum' if over else 'not a dose'} of the protocol, which gives {plan}",
            f"Give {' or '.join(map(str, plan.options))}",
            "",
            "over-maximum" if over else "not-in-protocol",
        )


def _supplemental_reasons(plan: DosePlan, given: Amount, before: Sequence[Given], minute: int) -> Iterator[Reason]:
    extra = plan.supplemental
    if extra is None:
        yield Reason("", "a dose was already given and the protocol has no second one", "Give none", "", "no-second")
        return
    if extra.amounts and len(before) > 1:
        yield Reason("", "the supplemental dose was already given", "Give no third", "", "no-third")
    yield from _window_reasons(extra, minute - before[0].minute)
    allowed = tuple(a for a in extra.amounts if not extra.half_of_first or a * 2 == before[0].amount.value)
    if extra.amounts and given.value not in allowed:
        said = " or ".join(str(type(given)(a)) for a in allowed) or "none"
        half = ", half of the first" if extra.half_of_first else ""
        yield Reason("", f"{given} is not the supplemental dose{half}", f"Give {said}", "", "not-in-protocol")


def _window_reasons(extra: Supplemental, since: int) -> Iterator[Reason]:
    if extra.window_minutes is None or extra.window_minutes[0] <= since <= extra.window_minutes[1]:
        return
    first, last = extra.window_minutes
    yield Reason(
        "",
        f"it is {since} minutes after the first dose and the window is {first} to {last} minutes",
        "Wait until it opens" if since < first else "The window has closed: give none",
        "",
        "outside-window",
    )


def _total_reasons(plan: DosePlan, given: Amount, before: Sequence[Given]) -> Iterator[Reason]:
    if plan.most_total is None or plan.unit is None:
        return
    strange = [g for g in before if g.substance != plan.substance or g.amount.unit != plan.unit]
    if strange:
        yield Reason(
            "",
            f"{strange[0].amount} was given before and cannot be added to {given}",
            "Correct the earlier entry first",
            "",
            "cannot-add",
        )
        return
    total = float(sum((exact(g.amount.value) for g in before), exact(given.value)))
    if total > plan.most_total:
        most = amount(plan.most_total, plan.unit)
        yield Reason(
            "",
            f"with it the day's total would be {type(given)(total)}, over the protocol's {most}",
            f"Give at most {type(given)(max(plan.most_total - total + given.value, 0))}",
            "",
            "over-maximum",
        )


def _unit_words(unit: Unit) -> str:
    return {"mg": "milligrams", "mg_per_70kg": "milligrams per 70 kg", "ug": "micrograms"}[unit]
