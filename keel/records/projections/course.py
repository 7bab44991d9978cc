"""Courses, visits, facts, findings, consents, deviations and words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from django.db.models import QuerySet

from keel.domain.course import PHASES, amended
from keel.domain.events import Event
from keel.records.models import ConsentRow, CourseRow, DeviationRow, FactRow, FindingRow, LookRow, VisitRow, WordsRow
from keel.records.projections import on, project


def day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _course(event: Event) -> QuerySet[CourseRow]:
    return CourseRow.objects.filter(id=event.subject)


@on("amended")
def amend(event: Event) -> None:
    """Run the projections of the corrected event again, with what it should have said."""
    corrected = amended(event)
    project(replace(corrected, payload={**corrected.payload, "amended": True}))


@on("course_opened")
def opened(event: Event) -> None:
    p = event.payload
    CourseRow.objects.create(
        id=event.subject,
        participant=p["participant"],
        site=p["site"],
        study=p["study"],
        protocol=p["protocol"],
        protocol_version=p["protocol_version"],
        code=p["code"],
        phase="enquiry",
        opened_at=event.occurred_at,
    )


@on("pre_screened")
def pre_screened(event: Event) -> None:
    _course(event).filter(phase="enquiry").update(phase="screening")


@on("facts_recorded")
def facts(event: Event) -> None:
    for name, fact in event.payload["facts"].items():
        FactRow.objects.update_or_create(
            id=f"{event.subject}/{name}",
            defaults={
                "course": event.subject,
                "name": name,
                "value": fact["value"],
                "on": day(fact["on"]),
                "source": fact.get("source", ""),
                "event": event.id,
            },
        )


@on("judged")
def judged(event: Event) -> None:
    p = event.payload
    kept = {f.rule: f for f in FindingRow.objects.filter(course=event.subject)}
    FindingRow.objects.filter(course=event.subject).delete()
    FindingRow.objects.bulk_create(
        FindingRow(
            id=f"{event.subject}/{f['rule']}",
            course=event.subject,
            rule=f["rule"],
            finding=f["finding"],
            because=f["because"],
            evidence=f["evidence"],
            used=f["used"],
            missing=f["missing"],
            judged_on=day(p["on"]),
            overridden_by=kept[f["rule"]].overridden_by if f["rule"] in kept else "",
            overridden_because=kept[f["rule"]].overridden_because if f["rule"] in kept else None,
        )
        for f in p["findings"]
    )
    _course(event).update(verdict=p["verdict"], verdict_signed=False)


@on("finding_overridden")
def overridden(event: Event) -> None:
    FindingRow.objects.filter(id=f"{event.subject}/{event.payload['rule']}").update(
        overridden_by=event.by["actor"],
        overridden_because={**event.payload["reason"], "finding": event.payload["finding"]},
    )


@on("verdict_signed")
def verdict_signed(event: Event) -> None:
    _course(event).update(verdict_signed=True)


@on("consent_offered")
def offered(event: Event) -> None:
    p = event.payload
    ConsentRow.objects.update_or_create(
        id=f"{event.subject}/{p['document']}",
        defaults={
            "course": event.subject,
            "document": p["document"],
            "version": p["version"],
            "offered_at": event.occurred_at,
            "answers": {},
            "passed": False,
            "signed_at": None,
            "signed_name": None,
            "countersigned_at": None,
            "countersigned_by": "",
            "withdrawn_at": None,
        },
    )


def _consent(event: Event, **change: object) -> None:
    ConsentRow.objects.filter(id=f"{event.subject}/{event.payload['document']}").update(**change)


@on("comprehension_answered")
def understood(event: Event) -> None:
    _consent(event, answers=event.payload["answers"], passed=event.payload["passed"])


@on("consent_signed")
def consented(event: Event) -> None:
    _consent(event, signed_at=event.occurred_at, signed_name=event.payload["name"])


@on("consent_countersigned")
def countersigned(event: Event) -> None:
    _consent(event, countersigned_at=event.occurred_at, countersigned_by=event.by["actor"])


@on("consent_withdrawn")
def unconsented(event: Event) -> None:
    _consent(event, withdrawn_at=event.occurred_at)


@on("enrolled")
def enrolled(event: Event) -> None:
    _course(event).update(enrolled_on=day(event.payload["on"]), phase="preparation")


@on("allocated")
def allocated(event: Event) -> None:
    _course(event).update(arm=event.payload["arm"])


@on("cohort_joined")
def joined(event: Event) -> None:
    _course(event).update(cohort=event.payload["cohort"])


@on("visit_booked")
def booked(event: Event) -> None:
    p = event.payload
    _visit(event, p["visit"], booked_at=moment(p["starts_at"]))


@on("visit_held")
def held(event: Event) -> None:
    p = event.payload
    _visit(
        event,
        p["visit"],
        on=day(p["on"]),
        minutes=p.get("minutes"),
        mode=p.get("mode", ""),
        cause="",
        by=event.by["actor"],
        event=event.id,
        notes=p.get("notes") or {},
        covered=p.get("covered") or [],
    )
    if p.get("phase"):
        _reach(event, p["phase"])


@on("visit_missed")
def missed(event: Event) -> None:
    p = event.payload
    _visit(
        event, p["visit"], on=None, cause=p["cause"], by=event.by["actor"], event=event.id, notes=p.get("notes") or {}
    )


def _visit(told: Event, visit: str, **change: object) -> None:
    VisitRow.objects.update_or_create(
        id=f"{told.subject}/{visit}",
        defaults=change,
        create_defaults={"course": told.subject, "visit": visit, **change},
    )


def _reach(event: Event, phase: str) -> None:
    """A course moves on, never back."""
    _course(event).filter(phase__in=PHASES[: PHASES.index(phase)]).update(phase=phase)


@on("session_planned")
def planned(event: Event) -> None:
    _reach(event, "dosing")


@on("deviation_noted")
def deviated(event: Event) -> None:
    p = event.payload
    DeviationRow.objects.create(
        id=event.id,
        course=event.subject,
        visit=p.get("visit", ""),
        kind=p["kind"],
        days=p.get("days"),
        said=p.get("said", ""),
        noted_at=event.occurred_at,
    )


@on("screening_failed", "withdrawn", "lost_to_follow_up", "course_completed")
def ended(event: Event) -> None:
    how = {
        "screening_failed": "screening_failed",
        "withdrawn": "withdrawn",
        "lost_to_follow_up": "lost",
        "course_completed": "completed",
    }
    _course(event).update(
        ended=how[event.kind],
        ended_on=day(event.payload["on"]),
        ended_reason=event.payload.get("reason", ""),
        phase="ended",
    )


@on("person_erased")
def erased(event: Event) -> None:
    _course(event).update(erased=True)


@on(
    "intention_set",
    "fear_noted",
    "support_person_named",
    "ride_home_confirmed",
    "touch_agreed",
    "insight_noted",
    "meaning_noted",
    "commitment_made",
    "practice_noted",
    "journal_written",
    "note_written",
    "consent_withdrawn",
)
def words(event: Event) -> None:
    p = event.payload
    WordsRow.objects.create(
        id=event.id,
        course=event.subject,
        visit=p.get("visit", ""),
        kind=event.kind,
        words=p.get("words") or {},
        detail={k: v for k, v in p.items() if k not in ("words", "visit", "due_on")},
        at=event.occurred_at,
        by=event.by["actor"],
        role=event.by["role"],
        due_on=day(p.get("due_on")),
        state="open" if event.kind == "commitment_made" else "",
        shared=event.kind != "journal_written",
    )


@on("commitment_kept")
def kept(event: Event) -> None:
    WordsRow.objects.filter(course=event.subject, detail__commitment=event.payload["commitment"]).update(
        state=event.payload["outcome"]
    )


@on("journal_shared")
def shared(event: Event) -> None:
    WordsRow.objects.filter(id=event.payload["entry"]).update(shared=event.payload["shared"])


@on("looked")
def looked(event: Event) -> None:
    LookRow.objects.create(
        id=event.id,
        course=event.subject,
        by=event.by["actor"],
        role=event.by["role"],
        page=event.payload["page"],
        at=event.occurred_at,
    )
