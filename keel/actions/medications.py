"""What prescribers decided about medicines. Keel asks; it never advises that one be stopped."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from keel.actions.door import action, on_course
from keel.actions.visits import today_at
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.domain.medication import DECISIONS, read_medications
from keel.records import vault
from keel.records.journal import Recorded

_NOT = "The decision was not recorded"


@action("record_prescriber_decision")
def record_prescriber_decision(
    *,
    course: str,
    medicine: str,
    decision: str,
    prescriber: str,
    on: date,
    by: Actor,
    at: datetime,
    last_dose_on: date | None = None,
    words: str = "",
    id: str | None = None,
) -> Recorded:
    """Record what the prescriber of a medicine decided: who, when, and for a taper the planned last dose if there is one.

    The medicine has to be among the facts as it is written there. Nothing of the facts changes: that a medicine was
    stopped is a fact of its own, recorded when it has happened.
    """
    with on_course(course, by=by, what="record_prescriber_decision", id=id) as (writing, state):
        if writing.answer:
            return writing.recorded()
        today = today_at(state.site, at)
        fact = state.facts.get("medications", {}).get("value")
        known = {one.name for one in read_medications(fact)} if fact else set()
        reasons = []
        if medicine not in known:
            reasons.append(
                Reason(_NOT, f"{medicine[:60]!r} is not among the medicines of this person", "Record it there first")
            )
        if decision not in DECISIONS:
            reasons.append(
                Reason(_NOT, f"there is no decision {decision!r}", f"Use {', '.join(DECISIONS)}", "decision")
            )
        if not prescriber.strip():
            reasons.append(Reason(_NOT, "it does not say who decided", "Name the prescriber", "prescriber"))
        if on > today:
            reasons.append(Reason(_NOT, f"{on} is still to come", "Give the day of the decision", "on"))
        if last_dose_on is not None and decision != "taper":
            reasons.append(
                Reason(_NOT, "a last dose is planned for a medicine that goes on", "Choose taper, or leave it empty")
            )
        if last_dose_on is not None and (last_dose_on - today).days > 400:
            reasons.append(Reason(_NOT, f"{last_dose_on} is more than a year away", "Correct it", "last_dose_on"))
        if reasons:
            raise Refused(reasons)
        seal = vault.sealer(state.participant)
        payload: dict[str, Any] = {
            "medicine": medicine,
            "decision": decision,
            "prescriber": seal(prescriber.strip()),
            "on": on.isoformat(),
            "last_dose_on": last_dose_on.isoformat() if last_dose_on else None,
        }
        if words.strip():
            payload["words"] = seal(words.strip())
        writing.append("prescriber_decided", payload, by=by, at=at, id=id)
        return writing.recorded()
