"""Who is on call, and the ladder of an alert that nobody takes: with a clock that is moved, and over a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from keel.actions import now as clock
from keel.actions import on_call as act
from keel.actions import safety, team
from keel.domain.access import SYSTEM
from keel.domain.course import fold
from keel.domain.errors import Refused
from keel.library import alert_files
from keel.queries import on_call as ask
from keel.queries import safety as inbox
from keel.records import journal
from keel.records.models import Account, AlertRow
from keel.records.rebuild import rebuild
from tests.clinic import Clinic, begin

pytestmark = [pytest.mark.database, pytest.mark.django_db]
HOUR = timedelta(hours=1)


def plan(clinic: Clinic, role: str, begins: timedelta, length: timedelta, **change: Any) -> str:
    given = {"site": "north", "staff": clinic.staff[role].id, "by": clinic.staff["coordinator"], "at": clinic.at}
    times = {"starts_at": clinic.at + begins, "ends_at": clinic.at + begins + length}
    return str(act.plan_shift(**{**given, **times, **change}).payload["shift"])


def names(clinic: Clinic, *roles: str) -> tuple[str, ...]:
    return tuple(clinic.staff[role].id for role in roles)


def test_the_roster_says_who_is_called_and_somebody_always_is(clinic: Clinic) -> None:
    at = clinic.at
    assert ask.called("north", "on_call", at=at) == names(clinic, "physician"), "nobody is planned"
    begun = plan(clinic, "facilitator", -HOUR, 3 * HOUR)
    plan(clinic, "investigator", 2 * HOUR, 2 * HOUR)
    assert ask.called("north", "on_call", at=at) == names(clinic, "facilitator")
    assert ask.called("north", "on_call", at=at + 2 * HOUR) == names(clinic, "investigator")
    assert ask.called("north", "on_call", at=at + 4 * HOUR) == names(clinic, "physician")
    assert ask.called("north", "physician", at=at) == names(clinic, "physician")
    seen = ask.roster(by=clinic.staff["rater"], at=at)
    assert seen.planned and [one.now for one in seen.shifts] == [True, False]
    assert seen.gaps == ((at + 4 * HOUR, at + ask.AHEAD),)
    act.take_off(site="north", shift=begun, by=clinic.staff["supervisor"], at=at)
    assert ask.called("north", "on_call", at=at) == names(clinic, "physician")
    assert ask.called("north", "on_call", at=at - HOUR / 2) == names(clinic, "facilitator"), "what was, was"
    team.revoke(staff=clinic.staff["investigator"].id, site="north", role="investigator", by=SYSTEM, at=at)
    assert ask.called("north", "on_call", at=at + 2 * HOUR) == names(clinic, "physician"), "no longer works here"
    assert not rebuild(keep=False).different


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ends_at": datetime(2020, 1, 1, tzinfo=UTC)}, "ends before it begins"),
        ({"starts_at": datetime(2020, 1, 1, tzinfo=UTC), "ends_at": datetime(2020, 1, 2, tzinfo=UTC)}, "over already"),
        ({"ends_at": datetime(2027, 1, 2, tzinfo=UTC)}, "longer than 31 days"),
        ({"staff": "nobody"}, "does not work here"),
        ({"site": "south"}, "at your site"),
    ],
)
def test_a_shift_that_is_refused(clinic: Clinic, change: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        plan(clinic, "facilitator", HOUR, HOUR, **change)
    with pytest.raises(Refused, match="may take an alert"):
        plan(clinic, "rater", HOUR, HOUR)
    with pytest.raises(Refused, match="may not"):
        plan(clinic, "facilitator", HOUR, HOUR, by=clinic.staff["facilitator"])
    plan(clinic, "facilitator", HOUR, HOUR)
    with pytest.raises(Refused, match="overlaps"):
        plan(clinic, "facilitator", 1.5 * HOUR, HOUR)


def test_the_ladder_climbs_by_a_moved_clock_over_a_restart_and_says_whom_it_called(
    clinic: Clinic, settings: Any, tmp_path: Any
) -> None:
    settings.SIMULATED, settings.CLOCK = True, tmp_path / "clock"
    course = begin(clinic)
    raised = clinic.at
    plan(clinic, "coordinator", -HOUR, HOUR + timedelta(minutes=2))
    given: dict[str, Any] = {"course": course, "level": "urgent", "why": "Asks for help", "by": clinic.staff["rater"]}
    safety.raise_alert(**given, at=raised)

    def turn(minutes: float) -> tuple[str, list[str]]:
        """What the clock of the server does at its next turn, and what the inbox says then."""
        clock.set_clock(settings.CLOCK, raised + timedelta(minutes=minutes))
        safety.climb_alerts(by=SYSTEM, at=clock.now())
        (line,) = inbox.inbox(by=clinic.staff["physician"], at=clock.now()).open
        return f"{line.calls} then {line.next_role}", [e.payload["called"] for e in climbs()]

    def climbs() -> list[Any]:
        return [e for e in journal.events(f"course:{course}") if e.kind == "alert_climbed"]

    first, second, third = (rung.after_minutes for rung in alert_files.ladder("urgent").rungs)
    on_call, physician, investigator = (
        list(names(clinic, role)) for role in ("coordinator", "physician", "investigator")
    )
    assert turn(first) == ("1 then physician", [on_call])
    assert turn(second - 0.5) == ("1 then physician", [on_call])
    assert turn(second) == ("2 then investigator", [on_call, physician])
    # The server is down past the next rung; the tables are made anew from the journal, as after a crash.
    assert not rebuild(keep=True).different
    assert turn(third + 4) == ("3 then investigator", [on_call, physician, investigator])
    assert turn(third + 4)[1] == [on_call, physician, investigator], "no call goes out twice"
    alert = AlertRow.objects.get().id
    done = {"course": course, "alert": alert, "done": "Rang her: safe at home.", "by": clinic.staff["physician"]}
    safety.acknowledge_alert(**done, at=clock.now())
    turn(third + 600)
    assert len(climbs()) == 3, "taken: nobody is called any more"
    state = journal.state_of(f"course:{course}", fold)
    assert state.alerts[alert].state == "acknowledged"


def test_the_page_plans_a_shift_in_the_time_of_the_clinic(clinic: Clinic) -> None:
    client = Client()
    account = Account.objects.get(id=clinic.staff["coordinator"].id)
    client.force_login(account, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert "Nobody is planned now" in client.get("/team/on-call/").content.decode()
    begins = datetime.now(UTC).date() + timedelta(days=1)
    given = {"form": "plan", "staff": clinic.staff["physician"].id, "from_on": begins, "from_time": "18:00"}
    refused = client.post("/team/on-call/", {**given, "until_on": begins, "until_time": "08:00"})
    assert refused.status_code == 409 and "ends before it begins" in refused.content.decode()
    planned = client.post("/team/on-call/", {**given, "until_on": begins + timedelta(days=1), "until_time": "08:00"})
    assert planned.status_code == 302
    (shift,) = ask.shifts_of("north")
    assert shift.ends_at - shift.starts_at == 14 * HOUR
    assert f"{begins:%a} {begins.day} {begins:%b %Y}, 18:00" in client.get("/team/on-call/").content.decode()
    client.post("/team/on-call/", {"form": "take_off", "shift": shift.id})
    assert ask.shifts_of("north") == ()
