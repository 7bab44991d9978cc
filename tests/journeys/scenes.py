"""Scenes for browser tests, made by the same actions as people use. Each gives plain JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from keel.actions import assessment, participant, safety, team
from keel.actions import screening as actions
from keel.domain.access import SYSTEM
from keel.records import journal
from keel.records.models import AlertRow, CourseRow, ResponseRow
from keel.records.rebuild import rebuild
from tests.clinic import BORN_ON, NAME, PASSWORD, begin, consent, open_clinic, right_answers


def phone(instrument: str = "phq-9") -> dict[str, Any]:
    """A clinic, a consented participant with a personal link, and one questionnaire laid before them."""
    clinic = open_clinic()
    clinic.at = datetime.now(UTC) - timedelta(minutes=10)
    course = begin(clinic)
    consent(clinic, course)
    by = clinic.staff["coordinator"]
    laid = assessment.begin(
        course=course, instrument=instrument, visit="", respondent="participant", by=by, at=clinic.at
    )
    sent = participant.send_link(course=course, by=by, at=clinic.at)
    return {
        "course": course,
        "response": laid.payload["response"],
        "link": f"/p/{sent.secret}/",
        "born": {"day": BORN_ON.day, "month": BORN_ON.month, "year": BORN_ON.year},
        "emails": clinic.emails,
    }


def standing(response: str) -> dict[str, Any]:
    """What the record holds of a response, and the alerts of the house."""
    row = ResponseRow.objects.get(id=response)
    return {
        "items": row.items,
        "scores": row.scores,
        "completed": row.completed_at is not None,
        "alerts": list(AlertRow.objects.order_by("raised_at").values("level", "state", "why", "step")),
        "raised_at": [row.raised_at.isoformat() for row in AlertRow.objects.order_by("raised_at")],
    }


def climbed(at: str) -> int:
    """How many alerts a turn of the server's clock at that instant would let climb."""
    return safety.climb_alerts(by=SYSTEM, at=datetime.fromisoformat(at))


def screening() -> dict[str, Any]:
    """A person who is being screened: facts that leave some rules unknown, and a consent to read on the phone."""
    clinic = open_clinic()
    clinic.at = datetime.now(UTC) - timedelta(minutes=10)
    course = begin(clinic)
    staff = clinic.staff
    facts = {"qtcf_ms": 408, "history": {"stroke": False}, "medications": [{"name": "Gloriazepan"}]}
    actions.record_facts(course=course, facts=facts, by=staff["physician"], at=clinic.at)
    actions.offer_consent(course=course, document="treatment-psilocybin", by=staff["coordinator"], at=clinic.at)
    sent = participant.send_link(course=course, by=staff["coordinator"], at=clinic.at)
    return {
        "course": course,
        "link": f"/p/{sent.secret}/",
        "born": {"day": BORN_ON.day, "month": BORN_ON.month, "year": BORN_ON.year},
        "emails": clinic.emails,
        "name": NAME,
        "right": right_answers("treatment-psilocybin"),
    }


def clinic(protocol: str) -> dict[str, Any]:
    """An empty clinic with a study of one protocol, and facilitators enough for a cohort of three."""
    opened = open_clinic(protocol=protocol)
    by = opened.staff["supervisor"]
    for number in (2, 3):
        email = f"facilitator{number}@north.example"
        team.admit_with_role(
            email=email,
            name=f"Simulated facilitator {number}",
            password=PASSWORD,
            site="north",
            role="facilitator",
            by=by,
            at=opened.at,
        )
        opened.emails[f"north/facilitator{number}"] = email
    return {"emails": opened.emails, "start": opened.at.isoformat()}


def record() -> dict[str, Any]:
    """Whether the whole record holds: chains, and tables made anew."""
    found, again = journal.verify(), rebuild(keep=False)
    return {
        "broken": found.first_broken.why if found.first_broken else "",
        "different": again.different,
        "events": found.events,
        "courses": list(CourseRow.objects.order_by("code").values("code", "phase", "ended", "arm")),
    }


def pages() -> dict[str, Any]:
    """Every page that can be read, with somebody who may read it: from the URL table, so that none is forgotten."""
    from keel.domain import access
    from tests.world import OPEN, address, doors, small_world

    at = small_world()
    found: list[tuple[str, str, str]] = [
        ("account_login", "nobody", "/account/login/"),
        ("link_over", "nobody", "/link-over"),
    ]
    order = ("physician", "coordinator", "facilitator", "supervisor", "investigator", "data_manager", "rater")
    for pattern in doors():
        view = pattern.callback
        if "GET" not in view.methods or pattern.name in OPEN or pattern.name in NO_PAGE:
            continue
        roles = access.TABLE[view.door].roles
        role = "participant" if view.open_to_links else next(r for r in order if r in roles)
        url = address(pattern, at.values)
        if not url.endswith((".zip", ".pdf", ".csv", ".json")):
            found.append((pattern.name, role, url))
    return {
        "pages": found,
        "emails": {role: account.email for role, account in at.here.items()},
        "link": at.link,
        "born": at.born,
    }


NO_PAGE = {
    "home": "leads on to the first page",
    "consent_paper": "a PDF",
    "my_consent_paper": "a PDF",
    "board_tail": "a ticket for the live stream",
    "worker": "code",
    "rate_again": "the table of `enter`, for a rating that stands and another rater",
}
