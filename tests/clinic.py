"""A small simulated clinic for tests: two sites, one member of staff per role, a study, a participant."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pytest

from keel.actions import study, team
from keel.domain import access
from keel.domain.access import SYSTEM
from keel.domain.events import Actor

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PASSWORD = "simulated-clinic"


@dataclass
class Clinic:
    """`staff[role]` at the site north, `elsewhere[role]` at the site south; `at` is the clinic's clock."""

    staff: dict[str, Actor]
    elsewhere: dict[str, Actor]
    emails: dict[str, str]
    at: datetime = START
    links: dict[str, str] = field(default_factory=dict)

    def later(self, **by: float) -> datetime:
        """Move the clock on: `clinic.later(days=7)`."""
        self.at += timedelta(**by)
        return self.at

    @property
    def today(self) -> date:
        return self.at.date()


def open_clinic(*, protocol: str = "davis-2021", study_id: str = "mood") -> Clinic:
    """Two sites with staff in every role, and a study of one protocol at both."""
    emails: dict[str, str] = {}
    everyone: dict[str, dict[str, Actor]] = {}
    for site, name in (("north", "North clinic (simulated)"), ("south", "South clinic (simulated)")):
        team.open_site(site=site, name=name, country="GB", timezone="Europe/London", by=SYSTEM, at=START)
        everyone[site] = {}
        for role in sorted(access.STAFF):
            email = f"{role}@{site}.example"
            staff = team.admit(email=email, name=f"Simulated {role} {site}", password=PASSWORD, by=SYSTEM, at=START)
            team.grant(staff=staff, site=site, role=role, by=SYSTEM, at=START)
            everyone[site][role] = Actor(staff, role, site)
            emails[f"{site}/{role}"] = email
    study.open_study(
        study=study_id, title="Simulated study", protocol=protocol, sites=["north", "south"], by=SYSTEM, at=START
    )
    return Clinic(everyone["north"], everyone["south"], emails)


@pytest.fixture
def clinic(db: None) -> Clinic:
    return open_clinic()
