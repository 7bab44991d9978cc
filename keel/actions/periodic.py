"""Reports that are owed by the calendar: recorded as sent, with their proof."""

from __future__ import annotations

from datetime import date, datetime

from keel.actions.door import action
from keel.actions.visits import today_at
from keel.domain import access
from keel.domain.errors import refuse
from keel.domain.events import Actor
from keel.domain.periodic import check_sent
from keel.queries.periodic import duties_at, opened_on
from keel.records import journal
from keel.records.journal import Recorded


@action("send_periodic")
def send_periodic(
    *, site: str, duty: str, until: date, on: date, proof: str, by: Actor, at: datetime, id: str | None = None
) -> Recorded:
    """Record that the report of the period which ended on `until` went out on `on`, with its proof."""
    access.check_site(by, "send_periodic", site=site)
    with journal.writing(f"site:{site}") as writing:
        if writing.answered(id):
            return writing.recorded()
        found = next((one for one in duties_at(site) if one.id == duty), None)
        if found is None:
            raise refuse("The report was not recorded as sent", "the site owes none of that name", "Reload the page")
        check_sent(found, until, opened_on=opened_on(site), on=on, today=today_at(site, at), proof=proof)
        said = {"duty": duty, "until": until.isoformat(), "on": on.isoformat(), "proof": proof.strip()[:200]}
        writing.append("periodic_report_sent", said, by=by, at=at, id=id)
        return writing.recorded()
