"""A questionnaire of one course: may it be filled in here, by whom, and what its answers set off.

Pure. The protocol says what is asked of whom at each visit; the instrument says which codes there are and which
answers somebody must see at once; the course says what stands already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keel.domain import answers as reading
from keel.domain.course import Course, Response, Sheet
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.instrument import Code, Instrument, Item
from keel.domain.protocol import Endpoint, Protocol
from keel.domain.scoring import SafetyFlag, safety_flags
from keel.domain.visit import arm_of, lacks_consent

RESPONDENT_OF = {
    "participant": "participant",
    "facilitator": "facilitator",
    "blinded_rater": "rater",
    "clinician": "clinician",
}
"""The protocol's words for who answers, as the record has them."""

MAY_ANSWER: dict[str, frozenset[str]] = {
    "participant": frozenset({"participant"}),
    "facilitator": frozenset({"facilitator"}),
    "rater": frozenset({"rater"}),
    "clinician": frozenset({"physician", "facilitator"}),
}
"""Which roles may give the answers of each respondent themselves (keying a sheet of paper is another thing)."""

IN_WORDS = {
    "participant": "the participant",
    "facilitator": "a facilitator",
    "rater": "the blinded rater",
    "clinician": "a clinician",
}
RANK = {"notify": 1, "urgent": 2}


@dataclass(frozen=True)
class Asked:
    """One questionnaire that the protocol asks at a visit. `respondent` as the record has it."""

    visit: str
    label: str
    instrument: str
    respondent: str
    when: str


def asked(protocol: Protocol, arm: str) -> tuple[Asked, ...]:
    """Every questionnaire of an arm in the order of its visits."""
    return tuple(
        Asked(visit.id, visit.label, ask.instrument, RESPONDENT_OF[ask.of], ask.when or "")
        for visit in protocol.visits_for(arm)
        for ask in visit.asks
    )


def find_asked(course: Course, protocol: Protocol, visit: str, instrument: str, respondent: str) -> Asked:
    """The questionnaire as the protocol asks it at that visit of that respondent; refused otherwise."""
    found = protocol.visit(visit, arm_of(course, protocol))
    here = [one for one in asked(protocol, arm_of(course, protocol)) if one.visit == visit]
    for one in here:
        if (one.instrument, one.respondent) == (instrument, respondent):
            return one
    others = [one.respondent for one in here if one.instrument == instrument]
    if others:
        raise refuse(
            f"{instrument} was not taken",
            f"at {found.label} the protocol asks {IN_WORDS[others[0]]}, not {IN_WORDS.get(respondent, respondent)}",
            f"Let {IN_WORDS[others[0]]} answer it",
            code="other-respondent",
        )
    listed = ", ".join(dict.fromkeys(one.instrument for one in here)) or "nothing"
    raise refuse(
        f"{instrument} was not taken",
        f"the protocol does not ask it at {found.label}",
        f"There it asks {listed}; a member of staff may add one without a visit",
        code="not-asked",
    )


def check_respondent(role: str, respondent: str) -> None:
    """Refuse an answer by somebody else than who is asked."""
    if respondent not in MAY_ANSWER:
        raise refuse(
            "The answer was not taken", f"there is no respondent {respondent!r}", f"Use one of {', '.join(MAY_ANSWER)}"
        )
    if role not in MAY_ANSWER[respondent]:
        raise refuse(
            "The answer was not taken",
            f"it is {IN_WORDS[respondent]} who answers this",
            "Key it from the signed sheet as a paper entry, or leave it to them",
            code="forbidden",
        )


def check_consent(course: Course, protocol: Protocol, visit: str) -> None:
    """Nothing is asked before there is consent for it."""
    asked = protocol.visit(visit, arm_of(course, protocol)) if visit else None
    if why := lacks_consent(course, protocol, asked):
        what, mend = "The questionnaire was not taken", "Have every consent signed first"
        raise refuse(what, why, mend, code="before-consent")


def standing(course: Course, visit: str, instrument: str, respondent: str) -> Response | None:
    """The response that stands at a visit: finished or begun. Additional ones (no visit) never stand in the way."""
    if not visit:
        return None
    found = [
        r for r in course.responses.values() if (r.visit, r.instrument, r.respondent) == (visit, instrument, respondent)
    ]
    return next((r for r in found if r.completed_at), found[-1] if found else None)


def keyed_once(course: Course, visit: str, instrument: str, respondent: str) -> Sheet | None:
    """The first entry of this sheet, where somebody keyed it and its second entry is awaited."""
    wanted = (visit, instrument, respondent)
    return next((s for s in course.sheets.values() if (s.visit, s.instrument, s.respondent) == wanted), None)


def check_other_hand(sheet: Sheet, by: str) -> None:
    """Two entries by one person repeat one person's slips."""
    if sheet.by == by:
        raise refuse(
            "The second entry was not taken",
            "you keyed the first one yourself",
            "Let somebody else key the sheet",
            code="same-hand",
        )


def check_not_there(course: Course, visit: str, instrument: str, respondent: str) -> None:
    """Refuse a second finished response to the same instrument at the same visit."""
    there = standing(course, visit, instrument, respondent)
    if there and there.completed_at:
        raise refuse(
            f"{instrument} was not taken a second time",
            f"it stands for this visit since {there.completed_at:%-d %B %Y}",
            "Amend what stands, with the reason",
            code="duplicate-response",
        )


# ---- answers --------------------------------------------------------------------------------------------


def typed(item: Item, text: Any) -> Any:
    """An answer as a form or a device sends it ("2"), as the code it means (2). What fits no code stays as it is, so
    that it is refused in words. Empty is a blank."""
    if not isinstance(text, str):
        return text
    text = text.strip()
    if not text:
        return None
    if item.answers.kind == "many":
        return [part.strip() for part in text.split(",") if part.strip()]
    if text in (reading.PREFER_NOT, reading.NOT_APPLICABLE) or item.answers.kind == "choice":
        return text
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return {"yes": 1, "no": 0, "true": 1, "false": 0}.get(text.lower(), text)


def differences(instrument: Instrument, first: Any, second: Any) -> tuple[tuple[str, Any, Any], ...]:
    """Where two entries of the same sheet differ: (item, first, second) in printed order."""
    one, two = reading.by_item(instrument, first), reading.by_item(instrument, second)
    return tuple(
        (item.id, one.get(item.id), two.get(item.id))
        for item in instrument.items
        if one.get(item.id) != two.get(item.id)
    )


def check_same(instrument: Instrument, first: Any, second: Any) -> None:
    """Refuse until two entries of the same sheet agree: one reason per item."""
    check_agrees(differences(instrument, first, second), instrument)


def differences_between(
    sheet: Sheet, instrument: Instrument, items: Any, context: Mapping[str, Any], on: str
) -> tuple[tuple[str, Any, Any], ...]:
    """Where a second entry differs from the first: items, what was told beside them, and the day on the sheet."""
    told = [(name, sheet.context.get(name), context.get(name)) for name in {**sheet.context, **context}]
    beside = [one for one in (*told, ("day", sheet.on, on)) if one[1] != one[2]]
    return (*differences(instrument, dict(sheet.items), items), *beside)


def check_agrees(found: tuple[tuple[str, Any, Any], ...], instrument: Instrument) -> None:
    """Refuse until two entries of the same sheet agree: one reason per difference."""
    ids = {item.id for item in instrument.items}
    if found:
        raise Refused(
            Reason(
                f"Item {name} differs" if name in ids else f"The {name.replace('_', ' ')} differs",
                f"the first entry says {_said(one)}, the second {_said(two)}",
                "Look at the sheet and correct the wrong one",
                where=name,
                code="entries-differ",
            )
            for name, one, two in found
        )


def check_rates_again(response: Response, by: str, role: str) -> None:
    """A second rating is a rating of the same visit by another person who may rate, made without seeing the first."""
    if response.respondent == "participant" or not response.completed_at:
        raise refuse(
            "The second rating was not taken",
            "only a finished rating is rated again",
            "Choose a rating that stands",
            code="no-rating",
        )
    check_respondent(role, response.respondent)
    if response.by == by:
        raise refuse(
            "The second rating was not taken",
            "you gave the first one yourself",
            "Let another rater give it",
            code="same-hand",
        )


def _said(value: Any) -> str:
    return "nothing" if value is None else str(value).replace("_", " ")


# ---- what the answers set off ---------------------------------------------------------------------------


def alerts_due(
    course: Course, response: str, instrument: Instrument, items: Mapping[str, Any], *, finished: bool
) -> Iterator[tuple[str, SafetyFlag]]:
    """(level, flag) of each safety item that somebody must be told of now: once per response, item and level.

    A blank safety item of a finished form is unknown, never no: somebody is told of that too.
    """
    for flag in safety_flags(instrument, items, finished=finished):
        level = "notify" if flag.level == "unknown" else flag.level
        if RANK[level] > _told(course, response, flag.items):
            yield level, flag


def fires_at(instrument: Instrument, item: Item) -> tuple[Code, ...]:
    """The answers to this item at which somebody is told by this answer alone: what a device shows help at."""
    if not any(item.id in safety.items() for safety in instrument.safety):
        return ()
    return tuple(
        code
        for code in item.answers.allowed()
        if any(item.id in flag.items and flag.level in RANK for flag in safety_flags(instrument, {item.id: code}))
    )


def _told(course: Course, response: str, items: tuple[str, ...]) -> int:
    """The highest level at which these items of this response have raised an alert."""
    return max(
        (
            RANK.get(alert.level, 0)
            for alert in course.alerts.values()
            if alert.source.get("response") == response and alert.source.get("items") == list(items)
        ),
        default=0,
    )


# ---- what a score is judged against ---------------------------------------------------------------------


def endpoint_of(protocol: Protocol, instrument: str, visit: str) -> Endpoint | None:
    """The endpoint that reads this instrument at this visit (else the first that reads it at all)."""
    reading_it = [
        e
        for e in (protocol.endpoint, *protocol.secondary)
        if e is not None and e.instrument == instrument and e.baseline
    ]
    return next((e for e in reading_it if visit in e.visits), reading_it[0] if reading_it else None)


def context_for(course: Course, protocol: Protocol, instrument: Instrument, visit: str) -> dict[str, Any]:
    """What the course itself knows that a score needs: the total at the protocol's baseline."""
    if "baseline_total" not in instrument.contexts:
        return {}
    endpoint = endpoint_of(protocol, instrument.id, visit)
    if endpoint is None or endpoint.baseline is None or endpoint.baseline == visit:
        return {}
    baseline = course.response_for(endpoint.baseline, instrument.id)
    total = baseline.scores.get(endpoint.score) if baseline else None
    return {} if total is None else {"baseline_total": total}


def judged_by(course: Course, protocol: Protocol, changed: Response) -> tuple[Response, ...]:
    """The finished responses whose scores stand on `changed` as their baseline."""
    return tuple(
        r
        for r in course.responses.values()
        if r.completed_at
        and r.id != changed.id
        and r.instrument == changed.instrument
        and (endpoint := endpoint_of(protocol, r.instrument, r.visit)) is not None
        and endpoint.baseline == changed.visit != r.visit
    )
