"""One course with something of everything, and the pages of the URL table: for tests that walk them all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from django.urls import URLPattern, URLResolver, reverse

from keel.actions import participant as participants
from keel.actions import team
from keel.cli import demo
from keel.domain import access
from keel.domain.access import SYSTEM
from keel.domain.events import Actor
from keel.records import vault
from keel.records.models import Account, AlertRow, CourseRow, DayRow, MembershipRow, ResponseRow, WordsRow
from keel.web.urls import urlpatterns

NOW = datetime.now(UTC)

# Pages without a row in the access table, each with its reason.
OPEN = {
    "account_login": "signing in",
    "account_logout": "signing out",
    "account_reauthenticate": "signing in again",
    "account_change_password": "one's own password",
}


@dataclass
class World:
    """One course at one site with something of everything, staff in every role at two sites, and another participant."""

    course: CourseRow
    values: dict[str, str]
    here: dict[str, Account]
    elsewhere: dict[str, Account]
    link: str
    born: dict[str, int]
    others_link: str
    others_born: dict[str, int]
    private: tuple[str, ...]


def small_world() -> World:
    """Two simulated people at one site, staff in every role at both."""
    demo.fill(people=2, groups=False, now=NOW)
    course = CourseRow.objects.filter(study="mood").exclude(enrolled_on=None).order_by("opened_at").first()
    assert course is not None
    other = CourseRow.objects.filter(study="mood").exclude(id=course.id).order_by("opened_at").first()
    assert other is not None
    here = {row.role: Account.objects.get(id=row.staff) for row in MembershipRow.objects.filter(site=demo.SITE)}
    elsewhere = {}
    for role in sorted(access.STAFF):
        email = f"{role}@elsewhere.example"
        staff = team.admit(email=email, name=f"Elsewhere {role}", password=demo.PASSWORD, by=SYSTEM, at=NOW)
        team.grant(staff=staff, site=demo.OTHER, role=role, by=SYSTEM, at=NOW)
        elsewhere[role] = Account.objects.get(id=staff)
    identity = vault.identity(course.participant)
    assert identity is not None
    response = ResponseRow.objects.filter(course=course.id, respondent="participant").exclude(completed_at=None).first()
    day = DayRow.objects.filter(course=course.id).order_by("on").first()
    assert response is not None and day is not None
    alert = AlertRow.objects.first()
    words = WordsRow.objects.filter(course=course.id).first()
    values = {
        "course": course.id,
        "visit": "baseline",
        "response": response.id,
        "instrument": "phq-9",
        "study": course.study,
        "session": day.session,
        "document": "treatment-psilocybin",
        "alert": alert.id if alert else "-",
        "entry": words.id if words else "-",
        "rule": "lithium",
        "report": "-",
        "asked": "consort",
    }
    (link, born), (others_link, others_born) = personal(course), personal(other)
    return World(course, values, here, elsewhere, link, born, others_link, others_born, (identity.name, course.code))


def personal(course: CourseRow) -> tuple[str, dict[str, int]]:
    """A fresh personal link of a participant (its path), and the date of birth that opens it."""
    staff = MembershipRow.objects.filter(site=course.site, role="coordinator").first()
    assert staff is not None
    sent = participants.send_link(
        course=course.id, by=Actor(staff.staff, "coordinator", course.site), at=datetime.now(UTC)
    )
    identity = vault.identity(course.participant)
    assert identity is not None
    born = {"year": identity.born_on.year, "month": identity.born_on.month, "day": identity.born_on.day}
    return reverse("open_link", kwargs={"secret": sent.secret}), born


def pages() -> Iterator[URLPattern]:
    for pattern in urlpatterns:
        if isinstance(pattern, URLResolver):
            assert str(pattern.pattern) == "account/2fa/", "a new include needs a reason here"
        else:
            yield pattern


def doors() -> Iterator[URLPattern]:
    """The pages that not everybody may open."""
    return (p for p in pages() if p.name not in OPEN and not p.callback.open_to_all)


def address(pattern: URLPattern, values: dict[str, str]) -> str:
    wanted = pattern.pattern.converters
    missing = set(wanted) - set(values)
    assert not missing, f"the access test has no value for {missing} of {pattern.name}: add one to its world"
    return reverse(pattern.name, kwargs={name: values[name] for name in wanted})
