"""Questionnaires as staff see them: what is asked at each visit, what stands, and how it came to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from keel.domain import access
from keel.domain.course import Course, Response, fold
from keel.domain.errors import Refused, refuse
from keel.domain.events import Actor
from keel.domain.instrument import Instrument
from keel.domain.protocol import Protocol
from keel.domain.questionnaire import (
    MAY_ANSWER,
    Asked,
    asked,
    check_rates_again,
    context_for,
    find_asked,
    keyed_once,
    standing,
)
from keel.domain.visit import arm_of, schedule
from keel.library import shelf
from keel.library.wording import Right, rights
from keel.queries import account, blinding, definitions, forms
from keel.queries.course import Seen, Strip, see
from keel.queries.door import query
from keel.queries.safety import Alert, of_course
from keel.records import journal, vault
from keel.records.models import CourseRow, ResponseRow

if TYPE_CHECKING:
    from keel.outcomes.psychometrics import Agreement

RESPONDENTS = {
    "participant": "Participant",
    "facilitator": "Facilitator",
    "rater": "Blinded rater",
    "clinician": "Clinician",
}


@dataclass(frozen=True)
class Line:
    """One questionnaire of a visit. `state`: waiting, keyed (once, a second entry is awaited), begun, done or not shelved
    (its definition is on no shelf). `may_rate_again`: this reader may give the second rating of it."""

    visit: str
    instrument: str
    title: str
    respondent: str
    respondent_words: str
    state: str
    response: str
    answered: int
    of: int
    completed_at: datetime | None
    paper: bool
    amended: bool
    score: str
    may_enter: bool
    may_rate_again: bool


@dataclass(frozen=True)
class VisitLines:
    visit: str
    label: str
    state: str
    due_on: date | None
    done_on: date | None
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Questionnaires:
    """All that is asked in a course, visit by visit; `extra` came without a visit. A blinded rater gets ratings only."""

    strip: Strip
    visits: tuple[VisitLines, ...]
    extra: tuple[Line, ...]
    shelf: tuple[tuple[str, str], ...]
    may_lay: bool


@query("see_responses")
def questionnaires(*, course: str, by: Actor, at: datetime) -> Questionnaires:
    """The questionnaires of a course."""
    seen = _course(course, by, at)
    state, protocol = seen.state, seen.protocol
    rows = {r.id: r for r in ResponseRow.objects.filter(course=course)}
    shelved = set(shelf.ids("instruments"))
    asks = [one for one in asked(protocol, arm_of(state, protocol)) if _sees(by, one.respondent)]
    planned = schedule(state, protocol, seen.today)
    plan = {visit.visit: visit for visit in planned}
    if blinding.blind(by):
        ratings = blinding.given_or_next(planned, protocol.visits)
        asks = [
            one for one in asks if one.visit in ratings or standing(state, one.visit, one.instrument, one.respondent)
        ]
        plan = {}  # the dates of the visits tell the arm
    labels = _labels(protocol, seen.arm, by)
    by_visit: dict[str, list[Line]] = {}
    for ask in asks:
        there = standing(state, ask.visit, ask.instrument, ask.respondent)
        by_visit.setdefault(ask.visit, []).append(
            _line(course, state, ask, rows.get(there.id) if there else None, shelved, by)
        )
    extra = [r for r in rows.values() if not r.visit and _sees(by, r.respondent)]
    return Questionnaires(
        strip=seen.strip,
        visits=tuple(
            VisitLines(
                visit,
                labels[visit],
                plan[visit].state if visit in plan else "",
                plan[visit].due_on if visit in plan else None,
                plan[visit].done_on if visit in plan else None,
                tuple(lines),
            )
            for visit, lines in by_visit.items()
        ),
        extra=tuple(_line(course, state, Asked("", "", r.instrument, r.respondent, ""), r, shelved, by) for r in extra),
        shelf=tuple((id, forms.title(id)) for id in sorted(shelved)) if by.role != "rater" else (),
        may_lay=access.may(by, "answer") and by.role != "rater",
    )


def _line(course: str, state: Course, ask: Asked, row: ResponseRow | None, shelved: set[str], by: Actor) -> Line:
    there = ask.instrument in shelved
    definition = definitions.instrument(ask.instrument) if there else None
    done = row is not None and row.completed_at is not None
    sheet = keyed_once(state, ask.visit, ask.instrument, ask.respondent)
    again = bool(row and done and _may_rate_again(state, row.id, by))
    unseen = again and by.role == "rater"
    return Line(
        visit=blinding.sign(course, ask.visit, by),
        instrument=ask.instrument,
        title=definition.short if definition else ask.instrument,
        respondent=ask.respondent,
        respondent_words=RESPONDENTS[ask.respondent],
        state="done" if done else "keyed" if sheet else "begun" if row else "waiting" if there else "not shelved",
        response=row.id if row else "",
        answered=sum(value is not None for value in row.items.values()) if row else 0,
        of=sum(not item.optional for item in definition.items) if definition else 0,
        completed_at=row.completed_at if row else None,
        paper=bool(row and row.paper),
        amended=bool(row and row.amended),
        score=_main_score(definition, row.scores) if definition and row and done and not unseen else "",
        may_enter=there and not done and access.may(by, "enter_paper"),
        may_rate_again=again,
    )


def _may_rate_again(state: Course, response: str, by: Actor) -> bool:
    """Is a second rating of this response still to be given, and by this reader?"""
    known = state.responses.get(response)
    if known is None or response in state.second_ratings or not access.may(by, "enter_paper"):
        return False
    try:
        check_rates_again(known, by.id, by.role)
    except Refused:
        return False
    return True


def _main_score(definition: Instrument, scores: Mapping[str, Any]) -> str:
    """The instrument's main score with its band: what a list shows."""
    name = definition.main_score()
    value = scores.get(name) if name else None
    if value is None:
        return "no score"
    band = next((scores.get(b.gives) for b in definition.bands if b.gives and b.of == name), None)
    return f"{str(name).replace('_', ' ')} {in_words(value)}" + (f", {band}" if band else "")


# ---- one response ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ItemLine:
    """One item: its answer in words, what was answered before, whether it is one that somebody must see, and how long
    its first answer took on the device, in words ("" from paper)."""

    id: str
    text: str
    answer: str
    before: tuple[str, ...]
    flagged: bool
    took: str


@dataclass(frozen=True)
class ScoreLine:
    name: str
    value: str
    known: bool


@dataclass(frozen=True)
class Change:
    """A correction: what the answers were before it, who made it and why."""

    at: datetime
    by: str
    reason: str
    changed: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class OneResponse:
    """A response with its items, scores and history."""

    id: str
    strip: Strip
    visit: str
    visit_label: str
    instrument: str
    title: str
    edition: str
    version: int
    verified: bool
    respondent: str
    by: str
    paper: bool
    begun_at: datetime
    completed_at: datetime | None
    event: str
    items: tuple[ItemLine, ...]
    scores: tuple[ScoreLine, ...]
    missing: tuple[str, ...]
    context: tuple[tuple[str, str], ...]
    changes: tuple[Change, ...]
    alerts: tuple[Alert, ...]
    form: forms.Form
    may_amend: bool

    @property
    def timed(self) -> bool:
        return any(item.took for item in self.items)

    @property
    def reconsidered(self) -> bool:
        return any(item.before for item in self.items)


@query("see_responses")
def response(*, course: str, response: str, by: Actor, at: datetime) -> OneResponse:
    """One response of a course, with the history of its answers."""
    seen = _course(course, by, at)
    found = ResponseRow.objects.filter(id=response, course=course).first()
    if found is None or not _sees(by, found.respondent):
        raise refuse("Nothing is shown", "this course has no such questionnaire", "Reload the list", code="not-found")
    if by.role == "rater" and found.completed_at and _may_rate_again(seen.state, response, by):
        raise refuse(
            "The rating is not shown",
            "you may still give the second rating of it, which must not know the first",
            "Rate it again from the list, then look",
            code="not-yet-rated",
        )
    definition = definitions.instrument(found.instrument, found.instrument_version)
    events = journal.events(f"course:{course}")
    open_ = vault.opener(seen.row.participant)
    names = account.names({found.by} | {e.by["actor"] for e in events})
    before, took = _answers_before(events, response), _took(events, response)
    changes = tuple(_changes(events, response, definition, open_, names))
    alerts = of_course(course, by=by, at=at) if access.may(by, "see_alerts") else ()
    label = _labels(seen.protocol, seen.arm, by)[found.visit] if found.visit else "Without a visit"
    form = forms.form(definition, found.items, on=at.date(), plain=False)
    flagged = {item.id for item in form.items if item.value in item.help_when.split("|") and item.value}
    return OneResponse(
        id=response,
        strip=seen.strip,
        visit=found.visit,
        visit_label=label,
        instrument=found.instrument,
        title=definition.title,
        edition=definition.edition,
        version=definition.version,
        verified=definition.verified,
        respondent=RESPONDENTS[found.respondent],
        by="" if found.respondent == "participant" and not found.paper else names.get(found.by, ""),
        paper=found.paper,
        begun_at=found.begun_at,
        completed_at=found.completed_at,
        event=found.event,
        items=tuple(
            ItemLine(
                item.id,
                item.text,
                answer_words(item, found.items.get(item.id), reached=item.id in found.items),
                tuple(answer_words(item, value, reached=True) for value in before.get(item.id, ())),
                item.id in flagged,
                took.get(item.id, ""),
            )
            for item in form.items
        ),
        scores=tuple(
            ScoreLine(name.replace("_", " "), in_words(found.scores[name]), found.scores[name] is not None)
            for name in definition.score_names()
            if name in found.scores
        ),
        missing=tuple(found.missing),
        context=tuple((name.replace("_", " "), in_words(value)) for name, value in found.context.items()),
        changes=changes,
        alerts=tuple(alert for alert in alerts if alert.response == response),
        form=form,
        may_amend=found.completed_at is not None and access.may(by, "amend"),
    )


def _answers_before(events: list[Any], response: str) -> dict[str, list[Any]]:
    """What each item said before its last answer, while the form was being filled in."""
    said: dict[str, list[Any]] = {}
    for event in events:
        if event.kind == "item_answered" and event.payload["response"] == response:
            said.setdefault(event.payload["item"], []).append(event.payload["value"])
    return {item: values[:-1] for item, values in said.items()}


def _took(events: list[Any], response: str) -> dict[str, str]:
    """How long each item's first answer came after whatever was done before it; an answer changed later adds nothing."""
    took: dict[str, str] = {}
    last: datetime | None = None
    for event in events:
        if event.kind not in ("response_begun", "item_answered") or event.payload.get("response") != response:
            continue
        if event.kind == "item_answered" and last is not None:
            took.setdefault(event.payload["item"], _span((event.occurred_at - last).total_seconds()))
        last = event.occurred_at
    return took


def _span(seconds: float) -> str:
    """A span of time in its largest whole unit."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, round(seconds))} s"


def _changes(
    events: list[Any], response: str, definition: Instrument, open_: Any, names: Mapping[str, str]
) -> list[Change]:
    """Each amendment with what it changed, oldest first."""
    found: list[Change] = []
    items: dict[str, Any] = {}
    for event in events:
        payload = event.payload
        if event.kind == "item_answered" and payload["response"] == response:
            items[payload["item"]] = payload["value"]
        elif event.kind == "response_entered" and payload["response"] == response:
            items = dict(payload["items"])
        elif event.kind == "amended" and payload["payload"].get("response") == response:
            now = dict(payload["payload"]["items"])
            changed = tuple(
                (item.id, in_words(items.get(item.id)), in_words(now.get(item.id)))
                for item in definition.items
                if items.get(item.id) != now.get(item.id)
            )
            who = names.get(event.by["actor"], event.by["role"])
            found.append(Change(event.recorded_at, who, open_(payload["reason"]), changed))
            items = now
    return found


def answer_words(item: forms.ShownItem, value: Any, *, reached: bool) -> str:
    """An answer as staff read it: the code with its label."""
    if value is None:
        return "left out" if reached else "not reached"
    text = forms.as_text(value) or ""
    labels = {option.value: option.label for option in item.options}
    if text in ("prefer_not", "not_applicable"):
        return "would rather not answer" if text == "prefer_not" else "does not apply"
    return f"{text} · {labels[text]}" if labels.get(text, text) != text else text


def in_words(value: Any) -> str:
    """A score as it is read: three-valued truths in words, decimals to two places."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value).replace("_", " ")


# ---- paper entry ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sheet:
    """An empty sheet to key: the form, who answers it, what the course itself knows for its score. `first_by`: who keyed
    it once already, when its second entry is awaited; nothing of what they keyed is here."""

    strip: Strip
    visit: str
    visit_label: str
    respondent: str
    respondent_words: str
    form: forms.Form
    contexts: tuple[tuple[str, str, str, tuple[str, ...], str], ...]
    mine: bool
    today: date
    first_by: str
    mine_first: bool


@query("enter_paper")
def definition_of(*, instrument: str, by: Actor) -> Instrument:
    """The definition in use: what the fields of a sheet are read by."""
    return definitions.instrument(instrument)


@query("see_responses")
def definition_for(*, course: str, response: str, by: Actor, at: datetime) -> Instrument:
    """The definition that a response was begun with."""
    known = _course(course, by, at).state.responses.get(response)
    if known is None:
        raise refuse("Nothing is shown", "this course has no such questionnaire", "Reload the list", code="not-found")
    return definitions.instrument(known.instrument, known.version)


@query("enter_paper")
def sheet(*, course: str, visit: str, instrument: str, by: Actor, at: datetime, respondent: str = "") -> Sheet:
    """What is needed to key a questionnaire of a visit (`visit` empty: an additional one)."""
    seen = _course(course, by, at)
    state, protocol = seen.state, seen.protocol
    definition = definitions.instrument(instrument)
    respondent = respondent or _respondent(state, protocol, visit, definition)
    if not _sees(by, respondent):
        raise access.not_here("enter_paper")
    label = "Without a visit"
    if visit:
        find_asked(state, protocol, visit, instrument, respondent)
        label = _labels(protocol, seen.arm, by)[visit]
    known = context_for(state, protocol, definition, visit)
    first = keyed_once(state, visit, instrument, respondent)
    return Sheet(
        strip=seen.strip,
        visit=visit,
        visit_label=label,
        respondent=respondent,
        respondent_words=RESPONDENTS[respondent],
        form=forms.form(definition, {}, on=at.date(), plain=False),
        contexts=tuple(
            (name, context.says or name.replace("_", " "), context.kind, context.choices, str(known.get(name, "")))
            for name, context in definition.contexts.items()
        ),
        mine=by.role in MAY_ANSWER[respondent],
        today=seen.today,
        first_by=account.names({first.by}).get(first.by, "somebody else") if first else "",
        mine_first=bool(first and first.by == by.id),
    )


@query("enter_paper")
def sheet_again(*, course: str, response: str, by: Actor, at: datetime) -> Sheet:
    """An empty sheet for the second rating of a response: nothing of the first rating is on it."""
    seen = _course(course, by, at)
    known = seen.state.responses.get(response)
    if known is None or not _sees(by, known.respondent):
        raise refuse("Nothing is shown", "this course has no such rating", "Reload the list", code="not-found")
    check_rates_again(known, by.id, by.role)
    if response in seen.state.second_ratings:
        raise refuse("Nothing is shown", "it was rated a second time already", "Nothing is left to do")
    definition = definitions.instrument(known.instrument, known.version)
    label = _labels(seen.protocol, seen.arm, by)[known.visit] if known.visit else "Without a visit"
    return Sheet(
        strip=seen.strip,
        visit=known.visit,
        visit_label=label,
        respondent=known.respondent,
        respondent_words=RESPONDENTS[known.respondent],
        form=forms.form(definition, {}, on=at.date(), plain=False),
        contexts=(),
        mine=True,
        today=seen.today,
        first_by="",
        mine_first=False,
    )


def _respondent(state: Course, protocol: Protocol, visit: str, definition: Instrument) -> str:
    here = [one for one in asked(protocol, arm_of(state, protocol)) if one.visit == visit]
    found = next((one.respondent for one in here if one.instrument == definition.id), None)
    return (
        found
        or {"participant": "participant", "clinician": "clinician", "facilitator": "facilitator"}[
            definition.answered_by
        ]
    )


# ---- a rater's work -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rating:
    """A rating that waits: a code, a visit, an instrument. A blinded rater gets neither name, nor arm, nor date."""

    course: str
    code: str
    visit: str
    label: str
    instrument: str
    title: str
    respondent: str
    begun: bool


@query("enter_paper")
def ratings_due(*, by: Actor, at: datetime) -> tuple[Rating, ...]:
    """The ratings that wait for this reader at their site: those of the visits that are due now or were held."""
    mine = [respondent for respondent, roles in MAY_ANSWER.items() if by.role in roles and respondent != "participant"]
    found: list[Rating] = []
    shelved = set(shelf.ids("instruments"))
    for row in CourseRow.objects.filter(site=by.site, ended="", erased=False).order_by("code"):
        state: Course = journal.state_of(f"course:{row.id}", fold)
        protocol = definitions.protocol(row.protocol, row.protocol_version)
        open_ = blinding.open_ratings(schedule(state, protocol, at.date()))
        labels = _labels(protocol, arm_of(state, protocol), by)
        for ask in asked(protocol, arm_of(state, protocol)):
            there = standing(state, ask.visit, ask.instrument, ask.respondent)
            if ask.respondent not in mine or ask.visit not in open_ or (there and there.completed_at):
                continue
            if ask.instrument in shelved:
                found.append(
                    Rating(
                        row.id,
                        row.code,
                        blinding.sign(row.id, ask.visit, by),
                        labels[ask.visit],
                        ask.instrument,
                        forms.title(ask.instrument),
                        ask.respondent,
                        bool(there),
                    )
                )
    return tuple(found)


# ---- two raters -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ItemAgreement:
    item: str
    text: str
    same: float
    kappa: Agreement


@dataclass(frozen=True)
class RaterAgreement:
    """How two raters agree on one instrument: the score by ICC, each item by weighted kappa; `pairs` were rated twice."""

    instrument: str
    title: str
    score: str
    pairs: int
    icc: Agreement
    items: tuple[ItemAgreement, ...]


@query("see_agreement")
def agreement(*, by: Actor, at: datetime) -> tuple[RaterAgreement, ...]:
    """Ratings of this site that were given twice, by two people who did not see each other's."""
    pairs: dict[tuple[str, int], list[tuple[Response, Mapping[str, Any]]]] = {}
    for row in CourseRow.objects.filter(site=by.site, erased=False).order_by("code"):
        state: Course = journal.state_of(f"course:{row.id}", fold)
        for id, second in state.second_ratings.items():
            first = state.responses[id]
            pairs.setdefault((first.instrument, first.version), []).append((first, second))
    return tuple(_agreed(definitions.instrument(*key), found, at) for key, found in sorted(pairs.items()))


def _agreed(definition: Instrument, pairs: list[tuple[Response, Mapping[str, Any]]], at: datetime) -> RaterAgreement:
    # Here and not above: the statistics take longer to load than all the rest of the server, and one page needs them.
    import polars as pl

    from keel.outcomes.psychometrics import icc, weighted_kappa

    name = definition.main_score() or next(step.name for step in definition.steps if step.show)
    totals = [(first.scores.get(name), second["scores"].get(name)) for first, second in pairs]
    frame = pl.DataFrame(totals, schema={"first": pl.Float64, "second": pl.Float64}, orient="row", strict=False)
    shown = {item.id: item.text for item in forms.form(definition, {}, on=at.date(), plain=False).items}
    items = []
    for item in definition.items:
        both = [
            (a, b) for first, second in pairs for a, b in [(first.items.get(item.id), second["items"].get(item.id))]
        ]
        codes = [float(code) for code in item.answers.allowed() if isinstance(code, (int, float))]
        known = [(a, b) for a, b in both if _coded(a) and _coded(b)]
        if not codes or not known:
            continue
        kappa = weighted_kappa(
            pl.Series([a for a, _ in known], dtype=pl.Float64),
            pl.Series([b for _, b in known], dtype=pl.Float64),
            codes=codes,
        )
        same = sum(a == b for a, b in known) / len(known)
        items.append(ItemAgreement(item.id, shown[item.id], same, kappa))
    return RaterAgreement(
        definition.id, definition.short, name, len(pairs), icc(frame, ["first", "second"]), tuple(items)
    )


def _coded(value: Any) -> bool:
    return isinstance(value, (int, float))


# ---- the shelf ------------------------------------------------------------------------------------------


@query("see_shelf")
def shelf_rights(*, by: Actor, at: datetime) -> tuple[Right, ...]:
    """Which instruments may be shown with their words today, and whom to ask for the others."""
    return rights(on=at.date())


# ---- pieces ---------------------------------------------------------------------------------------------


def _labels(protocol: Protocol, arm: str, by: Actor) -> dict[str, str]:
    """What each visit is called. A blinded rater reads "Rating": a visit's name tells what came before it."""
    return {visit.id: blinding.RATING if blinding.blind(by) else visit.label for visit in protocol.visits_for(arm)}


def _sees(by: Actor, respondent: str) -> bool:
    """A blinded rater sees ratings; what the participant writes about a session would unblind."""
    return by.role != "rater" or respondent == "rater"


def _course(course: str, by: Actor, at: datetime) -> Seen:
    return see(course, by=by, what="see_responses", at=at)
