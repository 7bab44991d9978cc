"""Alerts: the inbox of a site, and where help is in a country."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from keel.domain import access
from keel.domain import alert as ladders
from keel.domain.alert import MOVES, WAITING, Ladder
from keel.domain.events import Actor
from keel.library import alert_files
from keel.queries import account
from keel.queries.door import query
from keel.queries.on_call import called
from keel.records import journal, vault
from keel.records.models import AlertRow, CourseRow, SiteRow

OPEN = ("raised", "seen", "acknowledged", "acted_on")
KEPT_DAYS = 30
"""Closed alerts stay in the inbox for so many days; on the chart of a course they stay for good."""


# ---- the inbox ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """What somebody wrote that they did."""

    words: str
    by: str
    at: datetime


@dataclass(frozen=True)
class Alert:
    """One line of the inbox. `may` are the moves this reader may make; `asked` the roles that the ladder has called,
    `people` who they are; `calls` how many calls went out, `climbs_at` when the next does and `next_role` to whom."""

    id: str
    course: str
    code: str
    name: str
    level: str
    why: str
    state: str
    raised_at: datetime
    age: str
    owner: str
    calls: int
    asked: tuple[str, ...]
    people: tuple[str, ...]
    climbs_at: datetime | None
    next_role: str
    done: tuple[Done, ...]
    may: tuple[str, ...]
    response: str
    about_event: bool = False

    @property
    def unanswered(self) -> bool:
        return self.state in WAITING


@dataclass(frozen=True)
class Inbox:
    """The open alerts of a site, the most pressing first, and those closed lately."""

    open: tuple[Alert, ...]
    closed: tuple[Alert, ...]
    streams: tuple[str, ...]
    after: str
    zone: ZoneInfo


@query("see_alerts")
def inbox(*, by: Actor, at: datetime) -> Inbox:
    """The alerts of the reader's site."""
    after = journal.end()  # before the rows are read: what is written in between is told twice, never missed
    rows = AlertRow.objects.filter(site=by.site)
    live = sorted(rows.filter(state__in=OPEN), key=_pressing)
    closed = rows.filter(state="closed", moved_at__gte=at - timedelta(days=KEPT_DAYS)).order_by("-moved_at")
    shown = _shown([*live, *closed], by, at)
    return Inbox(shown[: len(live)], shown[len(live) :], (f"alerts:{by.site}",), str(after), _zone(by.site))


def _zone(site: str) -> ZoneInfo:
    row = SiteRow.objects.filter(id=site).first()
    return ZoneInfo(row.timezone if row else "UTC")


@query("see_alerts")
def count(*, by: Actor) -> tuple[int, bool]:
    """How many alerts wait for somebody at the reader's site, and whether one of them is urgent."""
    levels = list(AlertRow.objects.filter(site=by.site, state__in=WAITING).values_list("level", flat=True))
    return len(levels), "urgent" in levels


def of_course(course: str, *, by: Actor, at: datetime) -> tuple[Alert, ...]:
    """Every alert of one course, the newest first; the caller has passed the course's own door."""
    return _shown(list(AlertRow.objects.filter(course=course).order_by("-raised_at", "id")), by, at)


def _pressing(row: AlertRow) -> tuple[bool, bool, datetime]:
    return (row.state not in WAITING, row.level != "urgent", row.raised_at)


def _shown(rows: list[AlertRow], by: Actor, at: datetime) -> tuple[Alert, ...]:
    courses = {c.id: c for c in CourseRow.objects.filter(id__in={row.course for row in rows})}
    identities = vault.identities([c.participant for c in courses.values()]) if access.may(by, "see_identity") else {}
    names = account.names({row.owner for row in rows} | {done["by"] for row in rows for done in row.done})
    steps = {level: alert_files.ladder(level) for level in {row.level for row in rows}}
    roles = {rung.role for ladder in steps.values() for rung in ladder.rungs}
    ids = {role: called(by.site, role, at=at) for role in roles}
    known = account.names({one for found in ids.values() for one in found})
    people = {role: tuple(known[one] for one in found) for role, found in ids.items()}
    return tuple(_alert(row, courses[row.course], identities, names, people, steps[row.level], by, at) for row in rows)


def _alert(
    row: AlertRow,
    course: CourseRow,
    identities: Mapping[str, Any],
    names: Mapping[str, str],
    people: Mapping[str, tuple[str, ...]],
    steps: Ladder,
    by: Actor,
    at: datetime,
) -> Alert:
    open_ = vault.opener(course.participant)
    known = identities.get(course.participant)
    rungs = steps.rungs
    asked = tuple(dict.fromkeys(rungs[min(n, len(rungs) - 1)].role for n in range(row.step)))
    upcoming = ladders.next_call_at(ladders.Alert(row.id, row.level, row.state, row.raised_at, row.step), steps)
    return Alert(
        id=row.id,
        course=row.course,
        code=course.code,
        name=known.name if known else "",
        level=row.level,
        why=row.why,
        state=row.state,
        raised_at=row.raised_at,
        age=age_words(at - row.raised_at),
        owner=names.get(row.owner, ""),
        calls=row.step,
        asked=tuple(_role(role) for role in asked) if upcoming else (),
        people=tuple(dict.fromkeys(name for role in asked for name in people[role])) if upcoming else (),
        climbs_at=upcoming,
        next_role=_role(rungs[min(row.step, len(rungs) - 1)].role) if upcoming else "",
        done=tuple(
            Done(open_(done["words"]), names.get(done["by"], done["by"]), datetime.fromisoformat(done["at"]))
            for done in row.done
        ),
        may=tuple(to for to in MOVES[row.state] if access.may(by, _ROW[to])),
        response=row.source.get("response", ""),
        about_event=row.source.get("kind") in ("adverse_event", "rescue"),
    )


_ROW = {
    "seen": "see_alert",
    "acknowledged": "acknowledge_alert",
    "acted_on": "acknowledge_alert",
    "closed": "close_alert",
}


def _role(role: str) -> str:
    return "on call" if role == "on_call" else access.ROLES[role].lower()


def age_words(age: timedelta) -> str:
    """ "4 minutes ago", "2 hours ago", "3 days ago": the largest unit that fits."""
    seconds = int(age.total_seconds())
    for size, word in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            n = seconds // size
            return f"{n} {word}{'s' if n > 1 else ''} ago"
    return "just now"


# ---- help now -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    name: str
    call: str
    dial: str
    text: str
    hours: str


@dataclass(frozen=True)
class Help:
    """Where help is: what to call in danger, whom to call to talk. `country` is empty where it is not known."""

    country: str
    emergency: str
    dial: str
    lines: tuple[Line, ...]


def help_in(country: str) -> Help:
    """The help of a country (ISO 3166 alpha-2); for an unknown one no number is guessed."""
    found = alert_files.crisis_lines(country)
    if found is None:
        return Help("", "", "", ())
    lines = tuple(
        Line(line["name"], line["call"], _dial(line["call"]), line.get("text", ""), line.get("hours", ""))
        for line in found.lines
    )
    return Help(found.country, found.emergency, _dial(found.emergency), lines)


def help_for(courses: Iterable[str]) -> Help:
    """The help of the country in which these courses run."""
    sites = CourseRow.objects.filter(id__in=list(courses)).order_by("-opened_at").values_list("site", flat=True)
    site = SiteRow.objects.filter(id__in=list(sites)[:1]).first()
    return help_in(site.country if site else "")


def _dial(number: str) -> str:
    return "".join(letter for letter in number if letter.isdigit() or letter == "+")
