"""May this dose be given? The protocol's own word on substance, unit, amount, total and time, with reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keel.domain.dose import SUBSTANCE_NAMES, Amount, Substance, Unit, amount, exact
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.protocol import DosePlan, Protocol, Supplemental


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
            f"{next((name for known, name in SUBSTANCE_NAMES.items() if known == substance), substance)}",
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
    words: dict[Unit, str] = {
        "mg": "milligrams",
        "mg_per_kg": "milligrams per kg",
        "mg_per_70kg": "milligrams per 70 kg",
        "ug": "micrograms",
    }
    return words[unit]
