"""What a participant sees of their own course: what is next and why, in plain words.

No score, no arm, no code leaves this module. A visit is named by what it is for, never by its label in the protocol.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from keel.domain.answers import is_asked
from keel.domain.course import Course, Response, fold
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.domain.instrument import Instrument
from keel.domain.protocol import Protocol
from keel.domain.questionnaire import Asked, asked, fires_at, standing
from keel.domain.schedule import PlannedVisit
from keel.domain.visit import arm_of, schedule
from keel.library import shelf
from keel.queries import account, definitions, forms
from keel.queries.door import course_row, query
from keel.queries.safety import Help, help_for
from keel.records import journal, vault
from keel.records.models import CourseRow, LinkRow, ResponseRow, VisitRow, WordsRow

OPEN_DAYS = 14
"""House rule: a questionnaire of a visit can be answered for so many days after the visit's last day."""

SECONDS_PER_ITEM = 10
"""A guess, to say "about three minutes": it promises nothing."""


@dataclass(frozen=True)
class ToAnswer:
    """A questionnaire that waits: `begun` says that there are answers already."""

    course: str
    visit: str
    instrument: str
    response: str
    title: str
    why: str
    minutes: int
    begun: bool


@dataclass(frozen=True)
class Coming:
    """A visit to come. `at` when it is booked; else `on`, a day that may still move."""

    title: str
    why: str
    at: datetime | None
    on: date | None
    in_words: str


@dataclass(frozen=True)
class Sent:
    title: str
    at: datetime


@dataclass(frozen=True)
class Today:
    """The first page: one thing to do, what comes after, what has reached the team."""

    name: str
    course: str
    greeting: str
    next: ToAnswer | None
    others: tuple[ToAnswer, ...]
    coming: tuple[Coming, ...]
    sent: tuple[Sent, ...]
    phase_title: str
    ended: bool


@dataclass(frozen=True)
class Words:
    """Something the participant wrote, or wrote together with the team."""

    id: str
    words: str
    at: datetime
    mine: bool
    shared: bool
    due_on: date | None = None
    state: str = ""
    commitment: str = ""


@dataclass(frozen=True)
class Mine:
    """My course: what to read, what I bring, whom I have beside me."""

    course: str
    phase_title: str
    read: tuple[str, ...]
    coming: tuple[Coming, ...]
    intentions: tuple[Words, ...]
    fears: tuple[Words, ...]
    support: Words | None
    ride: Words | None
    ride_confirmed: bool | None
    commitments: tuple[Words, ...]
    ended: bool


@dataclass(frozen=True)
class Filling:
    """A questionnaire of mine that is being filled in."""

    course: str
    response: str
    form: forms.Form
    at: str
    number: int
    finished: bool
    help: Help
    help_now: bool
    owner: str
    after_dose: bool


@query("see_own_course")
def today(*, by: Actor, at: datetime) -> Today:
    """What is next, and why."""
    row, state, protocol, zone = _mine(by)
    on = at.astimezone(zone).date()
    known = vault.identity(by.id)
    waiting = tuple(_to_answer(state, protocol, on)) if not state.erased else ()
    return Today(
        name=known.name.split()[0] if known else "",
        course=row.id,
        greeting=_greeting(at.astimezone(zone).hour),
        next=waiting[0] if waiting else None,
        others=waiting[1:],
        coming=_coming(row, state, protocol, on, at)[:3],
        sent=tuple(
            Sent(forms.plain_title(r.instrument), r.completed_at)
            for r in ResponseRow.objects.filter(
                course__in=by.courses, respondent="participant", completed_at__isnull=False
            ).order_by("-completed_at")[:3]
            if r.completed_at
        ),
        phase_title=_companion()["phases"][row.phase]["title"],
        ended=bool(state.ended),
    )


@query("see_own_course")
def my_course(*, by: Actor, at: datetime) -> Mine:
    """My course: reading for the phase I am in, and what I have written for it."""
    row, state, protocol, zone = _mine(by)
    words = _words(row, by)
    about = _companion()["phases"][row.phase]
    rides = list(WordsRow.objects.filter(course=row.id, kind="ride_home_confirmed").order_by("-at", "-id")[:1])
    return Mine(
        course=row.id,
        phase_title=about["title"],
        read=tuple(about["read"]),
        coming=_coming(row, state, protocol, at.astimezone(zone).date(), at),
        intentions=tuple(words["intention_set"]),
        fears=tuple(words["fear_noted"]),
        support=next(iter(words["support_person_named"]), None),
        ride=next(iter(words["ride_home_confirmed"]), None),
        ride_confirmed=bool(rides[0].detail.get("confirmed")) if rides else None,
        commitments=tuple(words["commitment_made"]),
        ended=bool(state.ended),
    )


@query("see_own_course")
def my_journal(*, by: Actor, at: datetime) -> tuple[str, tuple[Words, ...]]:
    """(course, the pages of my journal, the newest first)."""
    row, *_ = _mine(by)
    return row.id, tuple(_words(row, by)["journal_written"])


@query("see_own_course")
def filling(*, response: str, by: Actor, at: datetime, item: str = "", help_now: bool = False) -> Filling:
    """A questionnaire as it stands, at `item` or at the first that nobody has reached."""
    state, known = _my_response(response, by)
    definition = definitions.instrument(known.instrument, known.version)
    identity = vault.identity(by.id)
    languages = (identity.language if identity else "en", "en")
    form = forms.form(definition, known.items, on=at.date(), languages=languages, plain=True)
    here = _item_at(definition, known.items, item)
    path = [i.id for i in definition.items if is_asked(definition, i.id, known.items) is not False]
    return Filling(
        course=state.id,
        response=response,
        form=form,
        at=here,
        number=path.index(here) + 1 if here in path else 1,
        finished=known.completed_at is not None,
        help=help_for(by.courses),
        help_now=help_now,
        owner=hashlib.sha256(f"owner:{by.id}".encode()).hexdigest()[:16],
        after_dose=_after_dose(state, at.astimezone(_mine(by)[3]).date()),
    )


def _after_dose(state: Course, on: date) -> bool:
    """Was a dose given on this day or the day before? Then letters swim, and are shown larger (a house rule)."""
    return any(day.doses and timedelta(0) <= on - day.on <= timedelta(days=1) for day in state.days.values())


@query("see_own_course")
def item_after(*, response: str, item: str, back: bool, by: Actor) -> str:
    """The item that follows (or precedes) another for the plain form; empty at the end."""
    _, known = _my_response(response, by)
    definition = definitions.instrument(known.instrument, known.version)
    path = [i.id for i in definition.items if is_asked(definition, i.id, known.items) is not False]
    if item not in path:
        return path[0]
    place = path.index(item) + (-1 if back else 1)
    return path[max(place, 0)] if place < len(path) else ""


@query("see_own_course")
def definition_of(*, response: str, by: Actor) -> tuple[str, Instrument]:
    """(course, definition) of a questionnaire of mine: what an answer is read by."""
    state, known = _my_response(response, by)
    return state.id, definitions.instrument(known.instrument, known.version)


@query("see_own_course")
def help_values(*, response: str, item: str, by: Actor) -> tuple[Any, ...]:
    """The answers to an item at which help is shown at once."""
    _, known = _my_response(response, by)
    definition = definitions.instrument(known.instrument, known.version)
    return fires_at(definition, definition.item(item))


@query("see_help")
def help_now(*, by: Actor) -> Help:
    """Where help is, in the country of the participant's own site."""
    return help_for(by.courses)


@dataclass(frozen=True)
class LinkLine:
    """A personal link as staff see it: never its secret."""

    id: str
    expires_at: datetime
    state: str
    failures: int


@query("send_link")
def links(*, course: str, by: Actor, at: datetime) -> tuple[LinkLine, ...]:
    """The personal links of the participant of a course, the longest-lived first."""
    row = course_row(course, by=by, what="send_link")
    return tuple(
        LinkLine(
            link.id,
            link.expires_at,
            "revoked" if link.revoked_at else "over" if link.expires_at <= at else "in use",
            link.failures,
        )
        for link in LinkRow.objects.filter(participant=row.participant).order_by("-expires_at")
    )


@query("open_link")
def link_works(*, secret: str, by: Actor, at: datetime) -> bool:
    """Whether a secret opens anything now; says nothing about whose it is."""
    link = vault.link(secret)
    return link is not None and link.revoked_at is None and link.expires_at > at


# ---- pieces ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _companion_of(sha256: str) -> Mapping[str, Any]:
    return shelf.read("tables", "companion").table


def _companion() -> Mapping[str, Any]:
    return _companion_of(shelf.read("tables", "companion").sha256)


def _mine(by: Actor) -> tuple[CourseRow, Course, Protocol, ZoneInfo]:
    """The participant's newest course: the one their pages are about."""
    row = course_row(by.courses[0], by=by, what="see_own_course")
    state: Course = journal.state_of(f"course:{row.id}", fold)
    return row, state, definitions.protocol(row.protocol, row.protocol_version), account.zone(row.site)


def _my_response(response: str, by: Actor) -> tuple[Course, Response]:
    for course in by.courses:
        state: Course = journal.state_of(f"course:{course}", fold)
        known = state.responses.get(response)
        if known and known.respondent == "participant":
            return state, known
    raise refuse("There is no such page", "the questions are not yours", "Go back to your first page", code="not-found")


def _to_answer(state: Course, protocol: Protocol, on: date) -> Iterator[ToAnswer]:
    """What waits for the participant: laid before them by staff first, then visit by visit."""
    for response in state.responses.values():
        if not response.visit and response.respondent == "participant" and not response.completed_at:
            yield _waiting(state, response.instrument, "", response, "Your team would like to know this.")
    if not state.consented:
        return
    plan = {visit.visit: visit for visit in schedule(state, protocol, on)}
    shelved = set(shelf.ids("instruments"))
    for ask in asked(protocol, arm_of(state, protocol)):
        if ask.respondent != "participant" or ask.instrument not in shelved:
            continue
        there = standing(state, ask.visit, ask.instrument, "participant")
        if (there and there.completed_at) or not _open(ask, plan[ask.visit], state, on):
            continue
        kind = protocol.visit(ask.visit, arm_of(state, protocol)).kind
        if state.enrolled_on is None and kind != "screening":
            continue
        yield _waiting(state, ask.instrument, ask.visit, there, _companion()["kinds"][kind]["why"])


def _open(ask: Asked, visit: PlannedVisit, state: Course, on: date) -> bool:
    """Whether a visit's questionnaire is asked now: from its window on, until some days after it."""
    if visit.state in ("missed", "withdrawn") or (visit.state == "planned" and visit.visit not in state.booked):
        return False
    day = state.days.get(ask.visit)
    dosed = bool(day and day.doses) or visit.done_on is not None
    if ask.when == "after_effects" and not dosed:
        return False
    if ask.when == "before_dose" and dosed:
        return False
    last = max((d for d in (visit.done_on, visit.due_on, visit.latest_on) if d), default=None)
    begins = visit.earliest_on or visit.due_on
    if visit.done_on is None and begins and on < begins:
        return False
    return last is None or on <= last + timedelta(days=OPEN_DAYS)


def _waiting(state: Course, instrument: str, visit: str, begun: Response | None, why: str) -> ToAnswer:
    items = len(definitions.instrument(instrument).items)
    return ToAnswer(
        course=state.id,
        visit=visit,
        instrument=instrument,
        response=begun.id if begun else "",
        title=forms.plain_title(instrument),
        why=why,
        minutes=max(1, round(items * SECONDS_PER_ITEM / 60)),
        begun=bool(begun and begun.items),
    )


def _coming(row: CourseRow, state: Course, protocol: Protocol, on: date, at: datetime) -> tuple[Coming, ...]:
    """The visits to come: booked ones with their time, the others with the day they are planned for."""
    if state.ended:
        return ()
    kinds = _companion()["kinds"]
    booked = dict(VisitRow.objects.filter(course=row.id, booked_at__gt=at).values_list("visit", "booked_at"))
    found: list[tuple[date, Coming]] = []
    for visit in schedule(state, protocol, on) if state.enrolled_on or booked else ():
        starts_at: datetime | None = booked.get(visit.visit)
        day = starts_at.date() if starts_at else visit.due_on
        if visit.done_on or visit.state in ("missed", "withdrawn", "overdue") or day is None or day < on:
            continue
        about = kinds[protocol.visit(visit.visit, arm_of(state, protocol)).kind]
        found.append((day, Coming(about["title"], about["why"], starts_at, None if starts_at else day, _when(day, on))))
    return tuple(coming for _, coming in sorted(found, key=lambda pair: pair[0]))


def _when(day: date, today: date) -> str:
    days = (day - today).days
    if days < 14:
        return ("today", "tomorrow")[days] if days < 2 else f"in {days} days"
    weeks = round(days / 7)
    return f"in about {weeks} weeks" if weeks < 9 else f"in about {round(days / 30.4)} months"


def _words(row: CourseRow, by: Actor) -> dict[str, list[Words]]:
    """Every kind of words of a course, opened, the newest first."""
    open_ = vault.opener(row.participant)
    found: dict[str, list[Words]] = {
        kind: []
        for kind in (
            "intention_set",
            "fear_noted",
            "support_person_named",
            "ride_home_confirmed",
            "commitment_made",
            "journal_written",
        )
    }
    for words in WordsRow.objects.filter(course=row.id, kind__in=found).order_by("-at", "-id"):
        found[words.kind].append(
            Words(
                id=words.id,
                words=open_(words.words) if words.words else "",
                at=words.at,
                mine=words.role == "participant",
                shared=words.shared,
                due_on=words.due_on,
                state=words.state,
                commitment=str(words.detail.get("commitment", "")),
            )
        )
    return found


def _item_at(definition: Instrument, items: Mapping[str, Any], wanted: str) -> str:
    """The item to show: the wanted one, else the first unreached one that is asked, else the last."""
    ids = [item.id for item in definition.items]
    if wanted in ids:
        return wanted
    open_ = (id for id in ids if id not in items and is_asked(definition, id, items) is not False)
    return next(open_, ids[-1])


def _greeting(hour: int) -> str:
    return "Good morning" if 4 <= hour < 12 else "Good afternoon" if 12 <= hour < 18 else "Good evening"
