"""The dosing day."""

from __future__ import annotations

from dataclasses import replace

from keel.domain.events import Event
from keel.domain.session import WITHDRAWN
from keel.records.models import (
    DayRow,
    DoseRow,
    MomentRow,
    PresenceRow,
    ReleaseItemRow,
    RoomRow,
    SessionRow,
    VitalsRow,
)
from keel.records.projections import on
from keel.records.projections.course import day


@on("session_opened")
def opened(event: Event) -> None:
    p = event.payload
    SessionRow.objects.create(
        id=event.subject,
        site=p["site"],
        study=p["study"],
        cohort=p.get("cohort", ""),
        room=p["room"],
        on=day(p["on"]),
        opened_at=event.occurred_at,
        detail=p.get("detail") or {},
    )


@on("session_closed")
def closed(event: Event) -> None:
    SessionRow.objects.filter(id=event.subject).update(closed_at=event.occurred_at)


@on("came_in")
def came(event: Event) -> None:
    p = event.payload
    if p.get("withdrawn"):
        PresenceRow.objects.filter(id=event.id).delete()
        _taken_back(event)
        return
    PresenceRow.objects.update_or_create(
        id=event.id,
        defaults={
            "session": event.subject,
            "staff": p["staff"],
            "role": p["role"],
            "watches": p.get("watches") or [],
            "came_at": event.occurred_at,
            "amended": p.get("amended", False),
        },
    )


@on("went_out")
def went(event: Event) -> None:
    p = event.payload
    if not p.get("amended"):
        here = PresenceRow.objects.filter(session=event.subject, staff=p["staff"], left_at=None)
        here.update(left_at=event.occurred_at, left_entry=event.id)
        return
    ended = PresenceRow.objects.filter(left_entry=event.id)
    if p.get("withdrawn"):
        ended.update(left_at=None, left_entry="", left_amended=False)
        _taken_back(event)
    else:
        ended.update(left_at=event.occurred_at, left_amended=True)


def _taken_back(event: Event) -> None:
    """A coming or a leaving that did not happen stays in sight among the entries of the room."""
    who = {"staff": event.payload["staff"]}
    noted(replace(event, payload={**event.payload, "session": event.subject, "kind": event.kind, "detail": who}))


@on("session_planned")
def planned(event: Event) -> None:
    p = event.payload
    DayRow.objects.create(
        id=f"{event.subject}/{p['visit']}",
        course=event.subject,
        session=p["session"],
        visit=p["visit"],
        on=day(p["on"]),
        state="prepared",
    )


def _day(event: Event, **change: object) -> None:
    DayRow.objects.filter(id=f"{event.subject}/{event.payload['visit']}").update(**change)


@on("arrived")
def arrived(event: Event) -> None:
    _day(event, state="arrived", arrived_at=event.occurred_at)


@on("dose_prepared")
def prepared(event: Event) -> None:
    _day(event, prepared={**event.payload, "by": event.by["actor"]}, confirmed_by="")


@on("dose_confirmed")
def confirmed(event: Event) -> None:
    _day(event, confirmed_by=event.by["actor"])


@on("dose_given")
def given(event: Event) -> None:
    p = event.payload
    DoseRow.objects.update_or_create(
        id=event.id,
        defaults={
            "course": event.subject,
            "visit": p["visit"],
            "substance": p["substance"],
            "amount": p["amount"],
            "unit": p["unit"],
            "given_mg": p.get("given_mg"),
            "arithmetic": p.get("arithmetic", ""),
            "supplemental": p.get("supplemental", False),
            "lot": p["lot"],
            "given_at": event.occurred_at,
            "by": event.by["actor"],
            "confirmed_by": p["confirmed_by"],
            "amended": p.get("amended", False),
        },
    )
    if not p.get("supplemental"):
        _day(event, state="dosed", dosed_at=event.occurred_at)
    if not p.get("amended"):
        _day(event, prepared=None, confirmed_by="")


@on("vitals_recorded")
def vitals(event: Event) -> None:
    p = event.payload
    if p.get("withdrawn"):
        VitalsRow.objects.filter(id=event.id).delete()
        session = DayRow.objects.get(id=f"{event.subject}/{p['visit']}").session
        noted(replace(event, payload={**p, "session": session, "kind": "vitals"}))
        return
    VitalsRow.objects.update_or_create(
        id=event.id,
        defaults={
            "course": event.subject,
            "visit": p.get("visit", ""),
            "systolic_mmhg": p.get("systolic_mmhg"),
            "diastolic_mmhg": p.get("diastolic_mmhg"),
            "heart_rate_bpm": p.get("heart_rate_bpm"),
            "temperature_c": p.get("temperature_c"),
            "spo2_percent": p.get("spo2_percent"),
            "at": event.occurred_at,
            "by": event.by["actor"],
            "amended": p.get("amended", False),
        },
    )


@on("moment_noted")
def noted(event: Event) -> None:
    p = event.payload
    kind, _, subject = event.stream.partition(":")
    withdrawn = p.get("withdrawn", False)
    MomentRow.objects.update_or_create(
        id=event.id,
        defaults={
            "session": p["session"],
            "course": subject if kind == "course" else "",
            "visit": p.get("visit", ""),
            "kind": WITHDRAWN if withdrawn else p["kind"],
            "words": p.get("words") or {},
            "detail": {**(p.get("detail") or {}), **({"was": p["kind"]} if withdrawn else {})},
            "at": event.occurred_at,
            "by": event.by["actor"],
            "amended": p.get("amended", False),
        },
    )


@on("rescue_ordered", "rescue_given")
def rescue(event: Event) -> None:
    p = event.payload
    MomentRow.objects.create(
        id=event.id,
        session=p["session"],
        course=event.subject,
        visit=p["visit"],
        kind=event.kind,
        words=p.get("words") or {},
        detail=p["detail"],
        at=event.occurred_at,
        by=event.by["actor"],
    )


@on("room_described")
def room(event: Event) -> None:
    p = event.payload
    RoomRow.objects.update_or_create(
        id=f"{event.subject}/{p['room']}",
        defaults={"site": event.subject, "room": p["room"], "profile": p["profile"], "at": event.occurred_at},
    )


@on("transferred")
def transferred(event: Event) -> None:
    _day(
        event,
        state="transferred",
        stopped_at=event.occurred_at,
        stopped_because=event.payload.get("words"),
    )


@on("phase_reached")
def reached(event: Event) -> None:
    _day(event, state=event.payload["state"])


@on("release_item_signed")
def item_signed(event: Event) -> None:
    p = event.payload
    ReleaseItemRow.objects.update_or_create(
        id=f"{event.subject}/{p['visit']}/{p['item']}",
        defaults={
            "course": event.subject,
            "visit": p["visit"],
            "item": p["item"],
            "signed_by": event.by["actor"],
            "signed_at": event.occurred_at,
        },
    )


@on("released")
def released(event: Event) -> None:
    _day(event, state="released", released_at=event.occurred_at)


@on("session_stopped")
def stopped(event: Event) -> None:
    _day(event, state="stopped", stopped_at=event.occurred_at, stopped_because=event.payload.get("words"))
