"""Alerts: raised by the rules or by people, and moved on until someone says what was done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from keel.actions.door import action, on_course
from keel.domain.errors import refuse
from keel.domain.events import Actor, new_id
from keel.records import vault
from keel.records.journal import Recorded, Writing
from keel.records.models import AlertRow

MOVES: dict[str, tuple[str, ...]] = {
    "raised": ("seen", "acknowledged"),
    "seen": ("acknowledged",),
    "acknowledged": ("acted_on", "closed"),
    "acted_on": ("closed",),
    "closed": (),
}
"""The states of an alert and where each may go. None goes back, none is deleted."""

LADDER_MINUTES = (0, 15, 30)
"""House rule: after how many minutes an unanswered alert goes to the next on the ladder. Sites set their own."""


def raise_in(
    writing: Writing,
    *,
    site: str,
    level: str,
    why: str,
    source: Mapping[str, Any],
    by: Actor,
    at: datetime,
    id: str | None = None,
) -> str:
    """Raise an alert within a decision that is open already: it stands or falls with the answer that caused it."""
    alert = new_id()
    payload = {"alert": alert, "site": site, "level": level, "why": why, "source": dict(source)}
    writing.append("alert_raised", payload, by=by, at=at, id=id)
    return alert


@action("raise_alert")
def raise_alert(
    *,
    course: str,
    level: str,
    why: str,
    by: Actor,
    at: datetime,
    source: Mapping[str, Any] | None = None,
    id: str | None = None,
) -> Recorded:
    """Raise an alert by hand. `level` is notify or urgent."""
    if level not in ("notify", "urgent"):
        raise refuse("The alert was not raised", f"there is no level {level!r}", "Choose notify or urgent")
    with on_course(course, by=by, what="raise_alert", id=id, ended=True) as (writing, state):
        if not writing.answer:
            payload = {"alert": new_id(), "site": state.site, "level": level, "why": why, "source": dict(source or {})}
            writing.append("alert_raised", payload, by=by, at=at, id=id)
        return writing.recorded()


@action("see_alert")
def see_alert(*, course: str, alert: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Say that one has seen it."""
    return _move(course, alert, "seen", "", "see_alert", by, at, id)


@action("acknowledge_alert")
def acknowledge_alert(
    *, course: str, alert: str, done: str, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Take an alert: who and what was done so far. The ladder stops."""
    return _move(course, alert, "acknowledged", done, "acknowledge_alert", by, at, id)


@action("acknowledge_alert")
def act_on_alert(*, course: str, alert: str, done: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Say what was done about it."""
    return _move(course, alert, "acted_on", done, "acknowledge_alert", by, at, id)


@action("close_alert")
def close_alert(*, course: str, alert: str, done: str, by: Actor, at: datetime, id: str | None = None) -> Recorded:
    """Close an alert, with what was done in the end. Only a physician or investigator may."""
    return _move(course, alert, "closed", done, "close_alert", by, at, id)


def _move(course: str, alert: str, to: str, done: str, what: str, by: Actor, at: datetime, id: str | None) -> Recorded:
    with on_course(course, by=by, what=what, id=id, ended=True) as (writing, state):
        if writing.answer:
            return writing.recorded()
        known = state.alerts.get(alert)
        if known is None:
            raise refuse(
                "The alert was not moved", "this course has no such alert", "Reload the inbox", code="not-found"
            )
        if to not in MOVES[known.state]:
            raise refuse(
                "The alert was not moved",
                f"it is {known.state.replace('_', ' ')} and cannot become {to.replace('_', ' ')}",
                f"From here it may become {' or '.join(MOVES[known.state]) or 'nothing else'}".replace("_", " "),
            )
        if to != "seen" and not done.strip():
            raise refuse("The alert was not moved", "it does not say what was done", "Write one sentence")
        payload = {"alert": alert, "state": to, "owner": by.id}
        if done.strip():
            payload["done"] = vault.sealer(state.participant)(done.strip())  # type: ignore[assignment]
        writing.append("alert_moved", payload, by=by, at=at, id=id)
        return writing.recorded()


@action("climb_alerts")
def climb_alerts(*, by: Actor, at: datetime) -> int:
    """Let every alert that nobody took climb as far as its age says; gives how many climbed."""
    climbed = 0
    for row in AlertRow.objects.filter(state__in=("raised", "seen"), step__lt=len(LADDER_MINUTES) - 1):
        due = sum(at - row.raised_at >= timedelta(minutes=minutes) for minutes in LADDER_MINUTES) - 1
        if due > row.step:
            with on_course(row.course, by=by, what="climb_alerts", ended=True) as (writing, state):
                if state.alerts[row.id].state in ("raised", "seen"):
                    writing.append("alert_climbed", {"alert": row.id, "step": due}, by=by, at=at)
                    climbed += 1
                else:  # somebody took it while we waited for the lock
                    writing.answer = Recorded("", writing.streams[0], 0, "", True, {})
    return climbed
