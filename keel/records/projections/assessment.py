"""Questionnaires and ratings."""

from __future__ import annotations

from keel.domain.events import Event
from keel.records.models import ResponseRow
from keel.records.projections import insert, on


@on("response_begun")
def begun(event: Event) -> None:
    p = event.payload
    ResponseRow.objects.create(
        id=p["response"],
        course=event.subject,
        visit=p["visit"],
        instrument=p["instrument"],
        instrument_version=p["instrument_version"],
        respondent=p["respondent"],
        by=event.by["actor"],
        begun_at=event.occurred_at,
        last_at=event.occurred_at,
    )


@on("item_answered")
def answered(event: Event) -> None:
    row = ResponseRow.objects.get(id=event.payload["response"])
    row.items = {**row.items, event.payload["item"]: event.payload["value"]}
    row.last_at = event.occurred_at
    row.save(update_fields=["items", "last_at"])


@on("response_completed")
def completed(event: Event) -> None:
    p = event.payload
    ResponseRow.objects.filter(id=p["response"]).update(
        completed_at=event.occurred_at,
        last_at=event.occurred_at,
        scores=p["scores"],
        missing=p["missing"],
        context=p["context"],
        event=event.id,
    )


@on("response_entered")
def entered(event: Event) -> None:
    p = event.payload
    said = {
        "items": p["items"],
        "context": p["context"],
        "scores": p["scores"],
        "missing": p["missing"],
        "completed_at": event.occurred_at,
        "event": event.id,
    }
    if p.get("amended"):  # who answered and when they began stays as it was
        ResponseRow.objects.filter(id=p["response"]).update(**said, amended=True)
        return
    insert(
        ResponseRow,
        id=p["response"],
        course=event.subject,
        visit=p["visit"],
        instrument=p["instrument"],
        instrument_version=p["instrument_version"],
        respondent=p["respondent"],
        by=event.by["actor"],
        paper=p["paper"],
        begun_at=event.occurred_at,
        last_at=event.occurred_at,
        **said,
    )
