"""The participant's own door: a personal link, a private journal, a call for help; and being forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from keel.actions import safety
from keel.actions.door import action, on_course
from keel.actions.preparation import say
from keel.domain import access
from keel.domain.access import SYSTEM
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.records import journal, vault
from keel.records.journal import Recorded
from keel.records.models import CourseRow, LinkRow, WordsRow

WRONG_DETAILS = 5
"""House rule: after so many wrong birth dates a link is revoked."""

LONGEST_DAYS = 400
ASKED_FOR_HELP = "The participant asks for help now"
RING_AGAIN = timedelta(minutes=10)
"""House rule: a second call for help within this time is the same call, while nobody has taken it."""

ERASED_BECAUSE = {
    "asked": "the participant asked for it",
    "law": "the law demands it",
    "mistake": "the person was entered by mistake",
}


@dataclass(frozen=True)
class Sent:
    """A new personal link. `secret` is shown once and kept nowhere; empty when the same request came again."""

    recorded: Recorded
    link: str
    secret: str
    expires_at: datetime


@action("send_link")
def send_link(*, course: str, by: Actor, at: datetime, expires_in_days: int = 90, id: str | None = None) -> Sent:
    """Make a personal link for the participant of a course: it opens their courses, after a detail only they know."""
    if not 1 <= expires_in_days <= LONGEST_DAYS:
        raise refuse(
            "The link was not made",
            f"{expires_in_days} days is not between 1 and {LONGEST_DAYS}",
            "Give the days it shall work",
        )
    expires_at = at + timedelta(days=expires_in_days)
    with on_course(course, by=by, what="send_link", id=id, ended=True) as (writing, state):
        if writing.answer:
            told = writing.answer.payload
            return Sent(writing.answer, told["link"], "", datetime.fromisoformat(told["expires_at"]))
        link, secret = vault.make_link(state.participant, expires_at)
        writing.append("link_sent", {"link": link, "expires_at": expires_at.isoformat()}, by=by, at=at, id=id)
        return Sent(writing.recorded(), link, secret, expires_at)


@action("revoke_link")
def revoke_link(*, course: str, link: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Take a personal link back: whoever holds it is out at the next request."""
    with on_course(course, by=by, what="revoke_link", id=id, ended=True) as (writing, state):
        if not writing.answer:
            known = LinkRow.objects.filter(id=link, participant=state.participant, revoked_at=None)
            if not known.exists():
                raise refuse("The link was not revoked", "there is no such link in use", "Reload the page")
            vault.revoke_link(link, at)
            writing.append("link_revoked", {"link": link, "because": "taken_back"}, by=by, at=at, id=id)
        return writing.recorded()


@action("open_link")
def confirm_link(*, secret: str, born_on: date, by: Actor, at: datetime) -> Actor:
    """Open a personal link with the participant's date of birth; gives the participant as an actor.

    Each wrong date is on the record; the fifth revokes the link.
    """
    row = vault.link(secret)
    if row is None or row.revoked_at or row.expires_at <= at:
        raise _over()
    courses = list(CourseRow.objects.filter(participant=row.participant).order_by("-opened_at"))
    identity = vault.identity(row.participant)
    if identity is None or not courses:
        raise _over()
    with journal.writing(f"course:{courses[0].id}") as writing:
        row.refresh_from_db()
        if row.revoked_at:
            raise _over()
        if identity.born_on == born_on:
            vault.link_opened(row.id)
            who = Actor(row.participant, "participant", courses[0].site, by.device, tuple(c.id for c in courses))
            writing.append("link_opened", {"link": row.id}, by=who, at=at)
            return who
        failures = vault.link_fails(row.id)
        over = failures >= WRONG_DETAILS
        writing.append("link_missed", {"link": row.id, "failures": failures}, by=SYSTEM, at=at)
        if over:
            vault.revoke_link(row.id, at)
            writing.append("link_revoked", {"link": row.id, "because": "wrong_detail"}, by=SYSTEM, at=at)
    if over:
        raise _over()
    left = WRONG_DETAILS - failures
    raise refuse(
        "Your page was not opened",
        "that is not the date of birth that we have",
        f"Look at day, month and year and try again; you can try {left} more time{'s' if left > 1 else ''}",
        code="wrong-detail",
    )


@action("write_journal")
def write_journal(*, course: str, words: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """A page of the participant's private journal. Nobody else reads it until it is shared."""
    return say(course, "journal_written", words, what="write_journal", by=by, at=at, id=id)


@action("share_journal")
def share_journal(*, course: str, entry: str, shared: bool, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Show one page of the journal to the team, or take it back; never all of it."""
    with on_course(course, by=by, what="share_journal", id=id, ended=True) as (writing, _):
        if not writing.answer:
            if not WordsRow.objects.filter(id=entry, course=course, kind="journal_written").exists():
                raise refuse("Nothing was changed", "your journal has no such page", "Reload it", code="not-found")
            writing.append("journal_shared", {"entry": entry, "shared": shared}, by=by, at=at, id=id)
        return writing.recorded()


@action("ask_for_help")
def ask_for_help(*, course: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """The participant calls their team: an urgent alert. A second call soon after is the same while nobody took it."""
    with on_course(course, by=by, what="ask_for_help", id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        ringing = next(
            (
                alert
                for alert in state.alerts.values()
                if alert.why == ASKED_FOR_HELP
                and alert.state in ("raised", "seen")
                and at - alert.raised_at < RING_AGAIN
            ),
            None,
        )
        if ringing:
            told = {"alert": ringing.id, "site": state.site, "level": ringing.level, "why": ringing.why}
            writing.answer = Recorded(ringing.id, writing.streams[0], 0, "alert_raised", True, told)
            return writing.recorded()
        safety.raise_in(
            writing, site=state.site, level="urgent", why=ASKED_FOR_HELP, source={"kind": "help"}, by=by, at=at, id=id
        )
        return writing.recorded()


@action("erase_person")
def erase_person(*, course: str, because: str, by: Actor, at: datetime) -> Recorded:
    """Forget who the participant of a course is: their identity, links and the key of their words, in all courses.

    The events stay and their chains verify; their words cannot be opened any more. `because`: asked, law, mistake.
    """
    if because not in ERASED_BECAUSE:
        raise refuse(
            "Nobody was erased", f"{because!r} is no reason we know", f"Choose one of {', '.join(ERASED_BECAUSE)}"
        )
    row = CourseRow.objects.filter(id=course).first()
    if row is None:
        raise access.not_here("erase_person")
    others = [c for c in CourseRow.objects.filter(participant=row.participant) if c.id != course]
    for one in (row, *others):
        access.check_course(by, "erase_person", course=one.id, site=one.site)
    also = tuple(f"course:{c.id}" for c in others)
    with on_course(course, by=by, what="erase_person", also=also, ended=True) as (writing, state):
        vault.erase(state.participant)
        for stream in writing.streams:
            writing.append("person_erased", {"because": because}, by=by, at=at, stream=stream)
        return writing.recorded()


def _over() -> Exception:
    return refuse(
        "Your page was not opened",
        "this link does not work any more",
        "Ask your team for a new one; they can send it today",
        code="link-over",
    )
