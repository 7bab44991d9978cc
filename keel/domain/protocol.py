"""A treatment protocol as a value: who comes when, what is given, who is present, what is asked.

    davis = Protocol.from_table(table, "protocols/davis-2021.toml")
    davis.visits_for("delayed")                 visits of one arm in order, timing and doses settled for that arm
    davis.visit("session-1", "delayed")         one visit: .asks .doses .present .hours .due_weeks …
    davis.anchors                               `enrolled` and the visit ids that timing may hang on
    davis.endpoint.response, .remission         definitions as data: {drop_percent_at_least, at_most}
    davis.release, davis.vitals, davis.cohort   the dosing day: checklist, vital-sign times and limits, group size
    davis.facts                                 every number with its path, value, sources and whether it was read

Whether a dose may be given says `keel.domain.dose_rules`, when a visit is due `keel.domain.schedule`.

Time is counted in whole days from an anchor: `enrolled`, or the actual date of another visit. A visit has a due day
(`due_days`, `due_weeks` or calendar `due_months` after its anchor) and a window (`earliest_days`, `latest_days` after
the same anchor). A bound that no source gives is left out: it is not known, and nothing is invented for it.
`also` holds further windows to other anchors, all of which must hold together.

Everything is frozen; a file that does not fit is refused with all its errors at once (see `keel.domain.definition`).
Who may take part is not said here: the safety rules hold the entry criteria.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from keel.domain.definition import Definition, Fact, read_definition
from keel.domain.dose import BY_WEIGHT, POURED, SUBSTANCE_NAMES, Amount, Substance, Unit, amount
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.soundness import inner_errors

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

    @property
    def by_weight(self) -> bool:
        """Whether it is worked out by the body weight of the day."""
        return self.unit in BY_WEIGHT

    @property
    def is_poured(self) -> bool:
        """Whether it is a liquid, measured out by what a millilitre of the lot holds."""
        return self.substance in POURED

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
            for r in inner_errors(protocol)
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

    def has_supplement(self, visit: str) -> bool:
        """Whether any arm may get a supplemental dose at a visit: then everybody is asked, so that no arm shows."""
        return any(dose.supplemental for v in self.visits if v.id == visit for dose in v.doses)

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
