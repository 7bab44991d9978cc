"""Alerts: raised by the rules or by people, and moved on until someone says what was done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from keel.actions.door import action, on_course
from keel.domain.alert import WAITING, Alert, check_move, climb
from keel.domain.errors import refuse
from keel.domain.events import Actor, new_id
from keel.library import alert_files
from keel.queries.on_call import called
from keel.records import vault
from keel.records.journal import Recorded, Writing
from keel.records.models import AlertRow


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
        check_move(Alert(alert, known.level, known.state, known.raised_at), to, done=done)
        payload: dict[str, Any] = {"alert": alert, "site": state.site, "state": to, "owner": by.id}
        if done.strip():
            payload["done"] = vault.sealer(state.participant)(done.strip())
        writing.append("alert_moved", payload, by=by, at=at, id=id)
        return writing.recorded()


@action("climb_alerts")
def climb_alerts(*, by: Actor, at: datetime) -> int:
    """Send every call of a ladder that is due and has not gone out; gives how many alerts climbed."""
    climbed = 0
    for row in AlertRow.objects.filter(state__in=WAITING):
        ladder = alert_files.ladder(row.level)
        if not climb(Alert(row.id, row.level, row.state, row.raised_at, row.step), ladder, at):
            continue
        with on_course(row.course, by=by, what="climb_alerts", ended=True) as (writing, state):
            known = state.alerts[row.id]
            # Folded anew under the lock: somebody may have taken it while we waited.
            calls = climb(Alert(row.id, row.level, known.state, known.raised_at, known.calls), ladder, at)
            if not calls:
                writing.answer = Recorded("", writing.streams[0], 0, "", True, {})
                continue
            last = calls[-1]
            # Who that was at this moment: rosters and roles change, and it is asked afterwards.
            people = list(dict.fromkeys(one for call in calls for one in called(row.site, call.role, at=at)))
            payload = {"alert": row.id, "site": row.site, "step": last.number + 1, "role": last.role, "called": people}
            writing.append("alert_climbed", {**payload, "owner": row.owner}, by=by, at=at)
            climbed += 1
    return climbed
