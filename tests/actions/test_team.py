"""Who may admit whom, and what a role does not mix with."""

from __future__ import annotations

import pytest

from keel.actions import study, team
from keel.domain.access import SYSTEM
from keel.domain.errors import Refused
from keel.queries import account
from tests.clinic import Clinic

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def test_a_supervisor_admits_and_grants_and_revokes(clinic: Clinic) -> None:
    by = clinic.staff["supervisor"]
    new = team.admit(
        email="new@north.example", name="Simulated newcomer", password="simulated-clinic", by=by, at=clinic.at
    )
    team.grant(staff=new, site="north", role="facilitator", by=by, at=clinic.at)
    assert [m.key for m in account.memberships(new)] == ["north/facilitator"]
    team.revoke(staff=new, site="north", role="facilitator", by=by, at=clinic.at)
    assert account.memberships(new) == ()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"site": "south"}, "no such course at your site"),
        ({"role": "wizard"}, "there is no role 'wizard'"),
        ({"staff": "nobody"}, "nobody signs in with that id"),
        ({"role": "rater"}, "a blinded rater holds no other role"),
    ],
)
def test_a_grant_that_is_refused(clinic: Clinic, change: dict[str, str], why: str) -> None:
    given = {"staff": clinic.staff["facilitator"].id, "site": "north", "role": "coordinator", **change}
    with pytest.raises(Refused, match=why):
        team.grant(**given, by=clinic.staff["supervisor"], at=clinic.at)


def test_a_coordinator_may_not_grant(clinic: Clinic) -> None:
    with pytest.raises(Refused, match="the role coordinator may not"):
        team.grant(
            staff=clinic.staff["facilitator"].id,
            site="north",
            role="coordinator",
            by=clinic.staff["coordinator"],
            at=clinic.at,
        )


def test_a_study_needs_a_site_and_a_protocol(clinic: Clinic) -> None:
    with pytest.raises(Refused, match="no site"):
        study.open_study(study="other", title="B", protocol="davis-2021", sites=[], by=SYSTEM, at=clinic.at)
    with pytest.raises(Refused, match="There is no protocol called 'nothing'"):
        study.open_study(study="other", title="B", protocol="nothing", sites=["north"], by=SYSTEM, at=clinic.at)
