"""The reports that a site owes by the calendar, with their day and their proof."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from keel.domain.access import not_here
from keel.domain.periodic import Duty, owed
from keel.library import alert_files
from keel.queries.adverse_events import regimes_at
from keel.records import journal
from keel.records.models import SiteRow


@dataclass(frozen=True)
class Periodic:
    """One period of a duty, as the safety page shows it. `until` names it: the last day of the period."""

    duty: str
    label: str
    owner: str
    first: date
    until: date
    state: str
    says: str
    proof: str


_LOOK = {"running": "due", "overdue": "stop", "open": "caution", "sent": "done"}


def duties_at(site: str) -> tuple[Duty, ...]:
    """The duties of the regimes that a site is under."""
    regimes = regimes_at(site)
    return tuple(duty for duty in alert_files.duties() if duty.regime in regimes)


def opened_on(site: str) -> date:
    """The day a site was opened, in its own time."""
    first = journal.events(f"site:{site}")[:1]
    if not first:
        raise not_here("see_safety")
    return first[0].occurred_at.astimezone(ZoneInfo(SiteRow.objects.get(id=site).timezone)).date()


def of_site(site: str, *, at: datetime) -> tuple[Periodic, ...]:
    """Every period that waits for its report, and the last one sent of each duty; the caller has passed a door."""
    row = SiteRow.objects.get(id=site)
    today, opened = at.astimezone(ZoneInfo(row.timezone)).date(), opened_on(site)
    said = {(one["duty"], date.fromisoformat(one["until"])): one for one in row.detail.get("periodic", ())}
    found = []
    for duty in duties_at(site):
        sent = {until: date.fromisoformat(one["on"]) for (id, until), one in said.items() if id == duty.id}
        for period in owed(duty, opened_on=opened, on=today, sent=sent):
            done = said.get((duty.id, period.last))
            words = f"sent {sent[period.last]:%-d %B %Y}" if done else _says(period.due_on, today)
            proof = done["proof"] if done else ""
            look = _LOOK[period.state]
            found.append(Periodic(duty.id, duty.label, duty.owner, period.first, period.last, look, words, proof))
    return tuple(found)


def _says(due_on: date | None, today: date) -> str:
    if due_on is None:
        return "owed; no source names a number of days: the site says by when"
    return f"was due on {due_on:%-d %B %Y}" if today > due_on else f"due on {due_on:%-d %B %Y}"
