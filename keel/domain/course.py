"""One course of therapy as a fold over its events: what stands, so that the next step can be decided.

`fold(state, event)` is pure and total: a kind it does not know changes nothing. Events that can be amended are
folded by handlers that put under a key, so that an amendment is the same handler run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from keel.domain.events import Event

PHASES = ("enquiry", "screening", "preparation", "dosing", "integration", "follow_up", "ended")

Plain = Mapping[str, Any]


@dataclass(frozen=True)
class Visit:
    """A visit that was held (`on`), or missed (`cause`)."""

    id: str
    on: date | None = None
    cause: str = ""
    minutes: int | None = None
    event: str = ""

    @property
    def held(self) -> bool:
        return self.on is not None


@dataclass(frozen=True)
class Consent:
    """Where the consent to one document stands."""

    document: str
    version: int
    required: bool = True
    answers: Plain = field(default_factory=dict)
    passed: bool = False
    signed_at: datetime | None = None
    countersigned_at: datetime | None = None
    withdrawn_at: datetime | None = None

    @property
    def stands(self) -> bool:
        return bool(self.signed_at and self.countersigned_at and not self.withdrawn_at)


@dataclass(frozen=True)
class Response:
    """A questionnaire as it is being filled in. `respondent` is participant, facilitator, rater or clinician."""

    id: str
    instrument: str
    version: int
    visit: str
    respondent: str
    items: Plain = field(default_factory=dict)
    scores: Plain = field(default_factory=dict)
    completed_at: datetime | None = None
    event: str = ""
    context: Plain = field(default_factory=dict)
    paper: bool = False
    by: str = ""


@dataclass(frozen=True)
class Sheet:
    """The first of two entries of a sheet of paper: it waits for somebody else to key the same sheet."""

    id: str
    instrument: str
    version: int
    visit: str
    respondent: str
    items: Plain
    context: Plain
    on: str
    by: str
    keyed_at: datetime


@dataclass(frozen=True)
class DosingDay:
    """One dosing visit of one person: from the plan to the release."""

    visit: str
    session: str
    on: date
    arrived_at: datetime | None = None
    prepared: Plain | None = None
    confirmed: Plain | None = None
    doses: tuple[Plain, ...] = ()
    supplement_agreed: bool | None = None
    signed: Mapping[str, Plain] = field(default_factory=dict)
    released_at: datetime | None = None
    stopped_at: datetime | None = None


@dataclass(frozen=True)
class Alert:
    id: str
    level: str
    state: str
    raised_at: datetime
    why: str = ""
    source: Plain = field(default_factory=dict)
    calls: int = 0


@dataclass(frozen=True)
class Course:
    """What stands in one course. Dates are the course's own days; instants are UTC."""

    id: str = ""
    participant: str = ""
    site: str = ""
    study: str = ""
    protocol: str = ""
    protocol_version: int = 0
    code: str = ""
    phase: str = "enquiry"
    opened_at: datetime | None = None
    pre_screened: bool = False
    enrolled_on: date | None = None
    arm: str = ""
    cohort: str = ""
    facts: Mapping[str, Plain] = field(default_factory=dict)
    findings: tuple[Plain, ...] = ()
    judged_on: date | None = None
    verdict: str = ""
    signed_verdict: Plain | None = None
    overridden: Mapping[str, Plain] = field(default_factory=dict)
    consents: Mapping[str, Consent] = field(default_factory=dict)
    visits: Mapping[str, Visit] = field(default_factory=dict)
    booked: Mapping[str, datetime] = field(default_factory=dict)
    responses: Mapping[str, Response] = field(default_factory=dict)
    sheets: Mapping[str, Sheet] = field(default_factory=dict)
    second_ratings: Mapping[str, Plain] = field(default_factory=dict)
    intentions: tuple[str, ...] = ()
    covered: frozenset[str] = frozenset()
    touch: Plain | None = None
    support_person: bool = False
    ride_home: bool = False
    days: Mapping[str, DosingDay] = field(default_factory=dict)
    commitments: Mapping[str, str] = field(default_factory=dict)
    alerts: Mapping[str, Alert] = field(default_factory=dict)
    adverse_events: Mapping[str, Plain] = field(default_factory=dict)
    reports: tuple[Plain, ...] = ()
    contacts: tuple[Plain, ...] = ()
    decisions: tuple[Plain, ...] = ()
    incidents: tuple[Plain, ...] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    ended: str = ""
    ended_on: date | None = None
    erased: bool = False

    @property
    def open(self) -> bool:
        return not self.ended

    @property
    def held(self) -> dict[str, date]:
        """The visits that were held, with their days: what the schedule is planned from."""
        return {v.id: v.on for v in self.visits.values() if v.on is not None}

    @property
    def missed(self) -> dict[str, str]:
        return {v.id: v.cause for v in self.visits.values() if v.cause}

    @property
    def signed(self) -> bool:
        """The participant has signed every required document that was offered, and withdrawn none of them."""
        needed = [c for c in self.consents.values() if c.required]
        return bool(needed) and all(c.signed_at and not c.withdrawn_at for c in needed)

    @property
    def consented(self) -> bool:
        """Every required document that was offered is signed and countersigned, and none of them is withdrawn."""
        needed = [c for c in self.consents.values() if c.required]
        return bool(needed) and all(c.stands for c in needed)

    @property
    def standing_stops(self) -> tuple[Plain, ...]:
        """Findings of stop or unknown that no physician has overridden.

        An override of unknown is none of stop, and none holds once what the finding stands on has changed: who decided
        about a pressure of 142 said nothing about one of 190.
        """
        return tuple(f for f in self.findings if f["finding"] in ("stop", "unknown") and not self._overrides(f))

    def _overrides(self, finding: Plain) -> bool:
        made = self.overridden.get(finding["rule"])
        if made is None or (finding["finding"] == "stop" and made["finding"] != "stop"):
            return False
        return bool(made["stood_on"] == _stood_on(finding))

    def response_for(self, visit: str, instrument: str) -> Response | None:
        """The finished response to an instrument at a visit."""
        found = [
            r for r in self.responses.values() if (r.visit, r.instrument) == (visit, instrument) and r.completed_at
        ]
        return found[-1] if found else None


def _stood_on(finding: Plain) -> Plain:
    """What a finding rests on, whatever the day: the values it used and what it lacks."""
    used = {name: fact["value"] for name, fact in finding.get("used", {}).items()}
    return {"used": used, "missing": sorted(finding.get("missing", ()))}


def fold(state: Course | None, event: Event) -> Course:
    """The course after one more event of its stream."""
    course = state or Course()
    handler = _HANDLERS.get(event.kind)
    if handler is None:
        return course
    after = handler(course, event)
    if event.kind in AMENDABLE:
        after = replace(after, kinds={**after.kinds, event.id: event.kind})
    return after


AMENDABLE = frozenset(
    {
        "facts_recorded",
        "visit_held",
        "visit_missed",
        "vitals_recorded",
        "moment_noted",
        "response_entered",
        "dose_given",
        "adverse_event_reported",
    }
)
"""Kinds that an `amended` event may correct."""

_HANDLERS: dict[str, Callable[[Course, Event], Course]] = {}


def _on(kind: str) -> Callable[[Callable[[Course, Event], Course]], Callable[[Course, Event], Course]]:
    def register(handler: Callable[[Course, Event], Course]) -> Callable[[Course, Event], Course]:
        _HANDLERS[kind] = handler
        return handler

    return register


def amended(event: Event) -> Event:
    """The event that an amendment puts in the place of the one it corrects: same id and kind, new content."""
    said = event.payload
    occurred = said.get("occurred_at")
    return replace(
        event,
        id=said["corrects"],
        kind=said["kind"],
        payload=said["payload"],
        occurred_at=datetime.fromisoformat(occurred) if occurred else event.occurred_at,
    )


@_on("amended")
def _amended(c: Course, e: Event) -> Course:
    return fold(c, amended(e))


@_on("course_opened")
def _opened(c: Course, e: Event) -> Course:
    p = e.payload
    return replace(
        c,
        id=e.subject,
        participant=p["participant"],
        site=p["site"],
        study=p["study"],
        protocol=p["protocol"],
        protocol_version=p["protocol_version"],
        code=p["code"],
        opened_at=e.occurred_at,
    )


@_on("pre_screened")
def _pre_screened(c: Course, e: Event) -> Course:
    return replace(c, pre_screened=True, phase="screening" if c.phase == "enquiry" else c.phase)


@_on("facts_recorded")
def _facts(c: Course, e: Event) -> Course:
    return replace(c, facts={**c.facts, **{name: {**fact, "event": e.id} for name, fact in e.payload["facts"].items()}})


@_on("judged")
def _judged(c: Course, e: Event) -> Course:
    p = e.payload
    return replace(
        c,
        findings=tuple(p["findings"]),
        verdict=p["verdict"],
        judged_on=date.fromisoformat(p["on"]),
        signed_verdict=None,
    )


@_on("finding_overridden")
def _overridden(c: Course, e: Event) -> Course:
    finding = next((f for f in c.findings if f["rule"] == e.payload["rule"]), {})
    return replace(
        c,
        overridden={
            **c.overridden,
            e.payload["rule"]: {
                "by": e.by["actor"],
                "reason": e.payload["reason"],
                "finding": e.payload["finding"],
                "stood_on": _stood_on(finding),
                "at": e.occurred_at.isoformat(),
                "event": e.id,
            },
        },
    )


@_on("verdict_signed")
def _verdict(c: Course, e: Event) -> Course:
    return replace(
        c, signed_verdict={"by": e.by["actor"], "at": e.occurred_at.isoformat(), "verdict": e.payload["verdict"]}
    )


@_on("consent_offered")
def _offered(c: Course, e: Event) -> Course:
    document = e.payload["document"]
    consent = Consent(document, e.payload["version"], e.payload.get("required", True))
    return replace(c, consents={**c.consents, document: consent})


def _consent(c: Course, e: Event, **change: Any) -> Course:
    document = e.payload["document"]
    return replace(c, consents={**c.consents, document: replace(c.consents[document], **change)})


@_on("comprehension_answered")
def _understood(c: Course, e: Event) -> Course:
    return _consent(c, e, answers=e.payload["answers"], passed=e.payload["passed"])


@_on("consent_signed")
def _consented(c: Course, e: Event) -> Course:
    return _consent(c, e, signed_at=e.occurred_at)


@_on("consent_countersigned")
def _countersigned(c: Course, e: Event) -> Course:
    return _consent(c, e, countersigned_at=e.occurred_at)


@_on("consent_withdrawn")
def _unconsented(c: Course, e: Event) -> Course:
    return _consent(c, e, withdrawn_at=e.occurred_at)


@_on("enrolled")
def _enrolled(c: Course, e: Event) -> Course:
    return replace(c, enrolled_on=date.fromisoformat(e.payload["on"]), phase="preparation")


@_on("allocated")
def _allocated(c: Course, e: Event) -> Course:
    return replace(c, arm=e.payload["arm"])


@_on("cohort_joined")
def _joined(c: Course, e: Event) -> Course:
    return replace(c, cohort=e.payload["cohort"])


@_on("visit_booked")
def _booked(c: Course, e: Event) -> Course:
    return replace(c, booked={**c.booked, e.payload["visit"]: datetime.fromisoformat(e.payload["starts_at"])})


@_on("visit_held")
def _held(c: Course, e: Event) -> Course:
    p = e.payload
    visit = Visit(p["visit"], on=date.fromisoformat(p["on"]), minutes=p.get("minutes"), event=e.id)
    phase = p.get("phase") or c.phase
    covered = c.covered | frozenset(p.get("covered", ()))
    return replace(c, visits={**c.visits, visit.id: visit}, phase=_later(c.phase, phase), covered=covered)


@_on("visit_missed")
def _missed(c: Course, e: Event) -> Course:
    visit = Visit(e.payload["visit"], cause=e.payload["cause"], event=e.id)
    return replace(c, visits={**c.visits, visit.id: visit})


def _later(one: str, other: str) -> str:
    return max(one, other, key=PHASES.index)


@_on("response_begun")
def _begun(c: Course, e: Event) -> Course:
    p = e.payload
    response = Response(p["response"], p["instrument"], p["instrument_version"], p["visit"], p["respondent"])
    return replace(c, responses={**c.responses, response.id: response})


@_on("item_answered")
def _answered(c: Course, e: Event) -> Course:
    p = e.payload
    response = c.responses[p["response"]]
    return replace(
        c, responses={**c.responses, response.id: replace(response, items={**response.items, p["item"]: p["value"]})}
    )


@_on("response_completed")
def _completed(c: Course, e: Event) -> Course:
    p = e.payload
    response = replace(
        c.responses[p["response"]],
        scores=p["scores"],
        completed_at=e.occurred_at,
        event=e.id,
        context=p["context"],
        by=e.by["actor"],
    )
    return replace(c, responses={**c.responses, response.id: response})


@_on("response_entered")
def _entered(c: Course, e: Event) -> Course:
    p = e.payload
    response = Response(
        p["response"],
        p["instrument"],
        p["instrument_version"],
        p["visit"],
        p["respondent"],
        p["items"],
        p["scores"],
        e.occurred_at,
        e.id,
        p["context"],
        p["paper"],
        known.by if (known := c.responses.get(p["response"])) else e.by["actor"],  # an amendment changes no rater
    )
    waiting = {id: sheet for id, sheet in c.sheets.items() if id != response.id}
    return replace(c, responses={**c.responses, response.id: response}, sheets=waiting)


@_on("sheet_keyed")
def _keyed(c: Course, e: Event) -> Course:
    p = e.payload
    sheet = Sheet(
        p["response"],
        p["instrument"],
        p["instrument_version"],
        p["visit"],
        p["respondent"],
        p["items"],
        p["context"],
        p["on"],
        e.by["actor"],
        e.recorded_at,
    )
    return replace(c, sheets={**c.sheets, sheet.id: sheet})


@_on("rated_again")
def _rated_again(c: Course, e: Event) -> Course:
    return replace(c, second_ratings={**c.second_ratings, e.payload["response"]: {**e.payload, "by": e.by["actor"]}})


@_on("intention_set")
def _intended(c: Course, e: Event) -> Course:
    return replace(c, intentions=(*c.intentions, e.id))


@_on("touch_agreed")
def _touch(c: Course, e: Event) -> Course:
    return replace(c, touch=e.payload)


@_on("support_person_named")
def _supported(c: Course, e: Event) -> Course:
    return replace(c, support_person=True)


@_on("ride_home_confirmed")
def _ride(c: Course, e: Event) -> Course:
    return replace(c, ride_home=bool(e.payload["confirmed"]))


@_on("session_planned")
def _planned(c: Course, e: Event) -> Course:
    p = e.payload
    day = DosingDay(p["visit"], p["session"], date.fromisoformat(p["on"]))
    return replace(c, days={**c.days, day.visit: day}, phase=_later(c.phase, "dosing"))


def _day(c: Course, e: Event, **change: Any) -> Course:
    day = c.days[e.payload["visit"]]
    return replace(c, days={**c.days, day.visit: replace(day, **change)})


@_on("arrived")
def _arrived(c: Course, e: Event) -> Course:
    return _day(c, e, arrived_at=e.occurred_at)


@_on("dose_prepared")
def _prepared(c: Course, e: Event) -> Course:
    return _day(c, e, prepared={**e.payload, "by": e.by["actor"], "event": e.id}, confirmed=None)


@_on("dose_confirmed")
def _confirmed(c: Course, e: Event) -> Course:
    return _day(c, e, confirmed={"by": e.by["actor"], "at": e.occurred_at.isoformat()})


@_on("dose_given")
def _given(c: Course, e: Event) -> Course:
    day = c.days[e.payload["visit"]]
    given = {**e.payload, "at": e.occurred_at.isoformat(), "event": e.id}
    others = tuple(d for d in day.doses if d["event"] != e.id)
    return _day(c, e, doses=(*others, given), prepared=None, confirmed=None)


@_on("supplement_agreed")
def _supplement_agreed(c: Course, e: Event) -> Course:
    return _day(c, e, supplement_agreed=e.payload["agreed"])


@_on("release_item_signed")
def _signed(c: Course, e: Event) -> Course:
    day = c.days[e.payload["visit"]]
    return _day(c, e, signed={**day.signed, e.payload["item"]: {"by": e.by["actor"], "at": e.occurred_at.isoformat()}})


@_on("released")
def _released(c: Course, e: Event) -> Course:
    return _day(c, e, released_at=e.occurred_at)


@_on("session_stopped")
def _stopped(c: Course, e: Event) -> Course:
    return _day(c, e, stopped_at=e.occurred_at)


@_on("transferred")
def _transferred(c: Course, e: Event) -> Course:
    return _day(c, e, stopped_at=e.occurred_at, released_at=e.occurred_at)


@_on("commitment_made")
def _promised(c: Course, e: Event) -> Course:
    return replace(c, commitments={**c.commitments, e.payload["commitment"]: "open"})


@_on("commitment_kept")
def _kept(c: Course, e: Event) -> Course:
    return replace(c, commitments={**c.commitments, e.payload["commitment"]: e.payload["outcome"]})


@_on("alert_raised")
def _alert(c: Course, e: Event) -> Course:
    p = e.payload
    alert = Alert(p["alert"], p["level"], "raised", e.occurred_at, p["why"], p.get("source") or {})
    return replace(c, alerts={**c.alerts, alert.id: alert})


@_on("alert_moved")
def _alert_moved(c: Course, e: Event) -> Course:
    p = e.payload
    return replace(c, alerts={**c.alerts, p["alert"]: replace(c.alerts[p["alert"]], state=p["state"])})


@_on("alert_climbed")
def _alert_climbed(c: Course, e: Event) -> Course:
    p = e.payload
    return replace(c, alerts={**c.alerts, p["alert"]: replace(c.alerts[p["alert"]], calls=p["step"])})


@_on("screening_failed")
def _failed(c: Course, e: Event) -> Course:
    return _end(c, e, "screening_failed")


@_on("withdrawn")
def _withdrawn(c: Course, e: Event) -> Course:
    return _end(c, e, "withdrawn")


@_on("lost_to_follow_up")
def _lost(c: Course, e: Event) -> Course:
    return _end(c, e, "lost")


@_on("course_completed")
def _done(c: Course, e: Event) -> Course:
    return _end(c, e, "completed")


def _end(c: Course, e: Event, how: str) -> Course:
    return replace(c, ended=how, ended_on=date.fromisoformat(e.payload["on"]), phase="ended")


@_on("person_erased")
def _erased(c: Course, e: Event) -> Course:
    return replace(c, erased=True)


@_on("adverse_event_reported")
def _adverse(c: Course, e: Event) -> Course:
    first = c.adverse_events.get(e.id, {"reported_at": e.occurred_at.isoformat()})
    return replace(c, adverse_events={**c.adverse_events, e.id: {**e.payload, "reported_at": first["reported_at"]}})


@_on("report_started")
@_on("report_sent")
def _reported(c: Course, e: Event) -> Course:
    return replace(c, reports=(*c.reports, {**e.payload, "kind": e.kind, "by": e.by["actor"], "id": e.id}))


@_on("prescriber_decided")
def _decided(c: Course, e: Event) -> Course:
    return replace(c, decisions=(*c.decisions, {**e.payload, "by": e.by["actor"]}))


@_on("unblinded")
@_on("emergency_contacted")
def _incident(c: Course, e: Event) -> Course:
    said = {**e.payload, "kind": e.kind, "at": e.occurred_at.isoformat(), "by": e.by["actor"]}
    return replace(c, incidents=(*c.incidents, said))


@_on("events_asked_for")
def _asked(c: Course, e: Event) -> Course:
    said = {**e.payload, "at": e.occurred_at.isoformat(), "by": e.by["actor"]}
    return replace(c, contacts=(*c.contacts, said))


for _name in ("vitals_recorded", "moment_noted"):
    _on(_name)(lambda c, e: c)
