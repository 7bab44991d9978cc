"""Alerts and adverse events."""

from __future__ import annotations

from keel.domain.events import Event
from keel.records.models import AdverseEventRow, AlertRow, DeviationRow
from keel.records.projections import insert, on
from keel.records.projections.course import moment


@on("alert_raised")
def raised(event: Event) -> None:
    p = event.payload
    insert(
        AlertRow,
        id=p["alert"],
        course=event.subject,
        site=p["site"],
        level=p["level"],
        why=p["why"],
        source=p.get("source") or {},
        state="raised",
        raised_at=event.occurred_at,
        moved_at=event.occurred_at,
        owner=p.get("owner", ""),
    )


@on("alert_moved")
def moved(event: Event) -> None:
    p = event.payload
    row = AlertRow.objects.get(id=p["alert"])
    row.state, row.moved_at = p["state"], event.occurred_at
    row.owner = p.get("owner", row.owner)
    if p["state"] == "acknowledged":
        row.acknowledged_at, row.acknowledged_by = event.occurred_at, event.by["actor"]
    if p.get("done"):
        row.done = [*row.done, {"words": p["done"], "by": event.by["actor"], "at": event.occurred_at.isoformat()}]
    row.save()


@on("alert_climbed")
def climbed(event: Event) -> None:
    p = event.payload
    AlertRow.objects.filter(id=p["alert"]).update(step=p["step"], owner=p.get("owner", ""))


@on("unblinded", "emergency_contacted")
def departed(event: Event) -> None:
    """Both are listed beside the deviations; their words stay sealed in the event."""
    said = {"unblinded": "The arm was disclosed", "emergency_contacted": "Emergency services or a hospital were called"}
    DeviationRow.objects.create(
        id=event.id,
        course=event.subject,
        visit=event.payload.get("visit", ""),
        kind=event.kind,
        said=f"{said[event.kind]}: {event.payload['whom'].replace('_', ' ')}",
        noted_at=event.occurred_at,
    )


@on("adverse_event_reported")
def reported(event: Event) -> None:
    p = event.payload
    first = AdverseEventRow.objects.filter(id=event.id).first() if p.get("amended") else None
    AdverseEventRow.objects.update_or_create(
        id=event.id,
        defaults={
            "course": event.subject,
            "visit": p.get("visit", ""),
            "term": p["term"],
            "words": p.get("words") or {},
            "grade": p.get("grade"),
            "valence": p.get("valence") or "",
            "serious": p.get("serious"),
            "related": p.get("related") or "",
            "expected": p.get("expected") or "",
            "began_at": moment(p.get("began_at")),
            "ended_at": moment(p.get("ended_at")),
            "outcome": p.get("outcome") or "",
            "action": p.get("action") or "",
            "detail": p.get("detail") or {},
            "reported_at": first.reported_at if first else event.occurred_at,
            "by": first.by if first else event.by["actor"],
            "amended": p.get("amended", False),
        },
    )
