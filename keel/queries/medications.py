"""The medicines of one person on a time line: what each means for the dose, and what its prescriber decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from keel.domain.course import Course
from keel.domain.events import Actor
from keel.domain.medication import DECISIONS, Medication, PlanLine, earliest_day, read_medications
from keel.library.rule_files import rules_for
from keel.queries import account
from keel.queries.course import Seen, Strip, see
from keel.queries.door import query
from keel.records import vault

STATE_WORDS = {
    "taking": "being taken",
    "washing_out": "washing out",
    "over": "washout over",
    "open": "washout not known",
    "goes_on": "no washout asked for",
    "unknown": "not known here",
}


@dataclass(frozen=True)
class Decided:
    """What a prescriber decided, when, and who wrote it down."""

    decision: str
    prescriber: str
    on: date
    last_dose_on: date | None
    words: str
    by: str


@dataclass(frozen=True)
class Row:
    """One medicine as it was entered. `look` is the state as a page shows it; `planned` when its last dose is to come."""

    name: str
    dose: str
    started_on: date | None
    stopped_on: date | None
    planned: bool
    state: str
    state_words: str
    look: str
    washout_days: int | None
    why: str
    over_on: date | None
    ask: str
    risks: tuple[str, ...]
    decisions: tuple[Decided, ...]


@dataclass(frozen=True)
class Page:
    strip: Strip
    substance: str
    asked_on: date | None
    earliest_on: date | None
    questions: tuple[str, ...]
    rows: tuple[Row, ...]
    today: date
    next_dose: tuple[str, date] | None


_LOOK = {"taking": "stop", "washing_out": "caution", "over": "done", "open": "unknown", "goes_on": "clear"}
_WORST = ("over", "washing_out", "open", "taking")


@query("see_screening")
def medications(*, course: str, by: Actor, at: datetime) -> Page:
    """Every medicine with its washout, and the earliest day on which all of them are over."""
    seen = see(course, by=by, what="see_screening", at=at)
    rules = rules_for(seen.row.protocol)
    fact = seen.state.facts.get("medications", {})
    entered = None if fact.get("value") is None else read_medications(fact["value"])
    decided = _decisions(seen.state)
    planned = entered if entered is None else tuple(_planned(one, decided, seen.today) for one in entered)
    plan = earliest_day(
        planned,
        rules.substance,
        rules.matrix,
        rules.medicines,
        on=seen.today,
        protocol_days=rules.washout_days(),
        risks=rules.risks,
        service=rules.service,
    )
    open_ = vault.opener(seen.row.participant)
    names = account.names({d["by"] for ds in decided.values() for d in ds})
    unread = {one.name for one in planned or () if not rules.medicines.recognise(one.name).is_known}
    return Page(
        strip=seen.strip,
        substance=plan.substance,
        asked_on=date.fromisoformat(fact["on"]) if fact.get("on") else None,
        earliest_on=plan.earliest_on,
        questions=plan.open_questions,
        rows=tuple(
            _row(was, one, [line for line in plan.lines if line.medication == one], unread, decided, open_, names)
            for was, one in zip(entered or (), planned or (), strict=True)
        ),
        today=seen.today,
        next_dose=_next_dose(seen),
    )


def _decisions(state: Course) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for said in state.decisions:
        found.setdefault(said["medicine"], []).append(said)
    return found


def _planned(one: Medication, decided: Mapping[str, list[Mapping[str, Any]]], today: date) -> Medication:
    """A medicine still taken, with the last dose that its prescriber planned; the latest decision holds."""
    latest = decided.get(one.name, [{}])[-1]
    if one.stopped_on is not None or latest.get("decision") != "taper" or not latest.get("last_dose_on"):
        return one
    day = date.fromisoformat(latest["last_dose_on"])
    # A planned day that has passed is no last dose: somebody has to say that it was.
    return replace(one, stopped_on=day) if day > today else one


def _row(
    was: Medication,
    one: Medication,
    lines: list[PlanLine],
    unread: set[str],
    decided: Mapping[str, list[Mapping[str, Any]]],
    open_: Any,
    names: Mapping[str, str],
) -> Row:
    worst = max(lines, key=lambda line: (_WORST.index(line.state), line.over_on or date.max), default=None)
    state = "unknown" if one.name in unread else worst.state if worst else "goes_on"
    return Row(
        name=one.name,
        dose=one.dose,
        started_on=one.started_on,
        stopped_on=one.stopped_on,
        planned=one.stopped_on != was.stopped_on,
        state=state,
        state_words=STATE_WORDS[state],
        look="caution" if state == "taking" and one.stopped_on else _LOOK.get(state, "unknown"),
        washout_days=worst.washout_days if worst else None,
        why=worst.why if worst else "",
        over_on=worst.over_on if worst else None,
        ask=worst.ask if worst else "",
        risks=tuple(dict.fromkeys(risk for line in lines for risk in line.risks)),
        decisions=tuple(
            Decided(
                decision=DECISIONS[said["decision"]],
                prescriber=open_(said["prescriber"]),
                on=date.fromisoformat(said["on"]),
                last_dose_on=date.fromisoformat(said["last_dose_on"]) if said.get("last_dose_on") else None,
                words=open_(said["words"]) if said.get("words") else "",
                by=names.get(said["by"], ""),
            )
            for said in reversed(decided.get(one.name, []))
        ),
    )


def _next_dose(seen: Seen) -> tuple[str, date] | None:
    """The next dosing visit and the day for which it is booked."""
    booked = [
        (visit.label, seen.state.booked[visit.id].date())
        for visit in seen.protocol.visits_for(seen.arm)
        if visit.kind == "dosing" and visit.id in seen.state.booked and visit.id not in seen.state.visits
    ]
    return min(booked, key=lambda found: found[1], default=None)
