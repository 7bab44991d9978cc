"""Sites, memberships, studies, cohorts and definitions."""

from __future__ import annotations

from datetime import datetime

from keel.domain.events import Event
from keel.records.models import CohortRow, DefinitionRow, MembershipRow, SiteRow, StudyRow
from keel.records.projections import on


@on("site_opened")
def site(event: Event) -> None:
    p = event.payload
    SiteRow.objects.create(
        id=event.subject,
        name=p["name"],
        country=p["country"],
        timezone=p["timezone"],
        jurisdiction=p.get("jurisdiction", ""),
        detail=p.get("detail") or {},
    )


@on("shift_planned")
def shift_planned(event: Event) -> None:
    row = SiteRow.objects.get(id=event.subject)
    row.detail = {**row.detail, "shifts": [*row.detail.get("shifts", ()), event.payload]}
    row.save(update_fields=["detail"])


@on("shift_taken_off")
def shift_taken_off(event: Event) -> None:
    """A shift that had begun ended then; one that was still to come is gone from the roster."""
    row = SiteRow.objects.get(id=event.subject)
    kept = []
    for shift in row.detail.get("shifts", ()):
        if shift["shift"] != event.payload["shift"]:
            kept.append(shift)
        elif datetime.fromisoformat(shift["starts_at"]) < event.occurred_at:
            kept.append({**shift, "ends_at": event.occurred_at.isoformat()})
    row.detail = {**row.detail, "shifts": kept}
    row.save(update_fields=["detail"])


@on("periodic_report_sent")
def periodic_report_sent(event: Event) -> None:
    row = SiteRow.objects.get(id=event.subject)
    said = {**event.payload, "by": event.by["actor"]}
    row.detail = {**row.detail, "periodic": [*row.detail.get("periodic", ()), said]}
    row.save(update_fields=["detail"])


@on("role_granted")
def granted(event: Event) -> None:
    p = event.payload
    MembershipRow.objects.update_or_create(
        id=f"{event.subject}/{p['site']}/{p['role']}",
        defaults={
            "staff": event.subject,
            "site": p["site"],
            "role": p["role"],
            "granted_at": event.occurred_at,
            "revoked_at": None,
        },
    )


@on("role_revoked")
def revoked(event: Event) -> None:
    p = event.payload
    MembershipRow.objects.filter(id=f"{event.subject}/{p['site']}/{p['role']}").update(revoked_at=event.occurred_at)


@on("study_opened")
def study(event: Event) -> None:
    p = event.payload
    StudyRow.objects.create(
        id=event.subject,
        title=p["title"],
        protocol=p["protocol"],
        protocol_version=p["protocol_version"],
        sites=p["sites"],
        documents=p.get("documents") or [],
        opened_at=event.occurred_at,
        detail=p.get("detail") or {},
    )


@on("cohort_formed")
def cohort(event: Event) -> None:
    p = event.payload
    CohortRow.objects.create(
        id=event.subject,
        site=p["site"],
        study=p["study"],
        name=p["name"],
        formed_at=event.occurred_at,
        courses=p["courses"],
    )


@on("definition_adopted")
def adopted(event: Event) -> None:
    p = event.payload
    DefinitionRow.objects.create(
        id=event.subject,
        kind=p["kind"],
        name=p["id"],
        version=p["version"],
        sha256=p["sha256"],
        table=p["table"],
        adopted_at=event.occurred_at,
    )
