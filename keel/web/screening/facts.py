"""The form of the facts, made from the catalogue. Only what was changed, or has grown too old, is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from keel.actions import screening as actions
from keel.domain.errors import Reason, Refused
from keel.domain.events import Actor
from keel.queries import screening as queries
from keel.queries.screening import FactField, FactsForm
from keel.web.course.tabs import tabs
from keel.web.layout.page import page, status_of
from keel.web.screening.typed import day, field, options, wrong

WHAT = "The facts were not recorded"
READINGS, MEDICINES = 4, 3
"""Empty rows offered for new readings and further medicines."""
FLAGS = {"yes": True, "no": False}


@page("record_facts", methods=("GET", "POST"))
def facts(request: HttpRequest, *, by: Actor, at: datetime, course: str) -> HttpResponse:
    reasons: tuple[Reason, ...] = ()
    status = 200
    given: Mapping[str, str] = request.POST
    form = queries.facts_form(course=course, by=by, at=at)
    if request.method == "POST":
        try:
            actions.record_facts(
                course=course,
                facts=read(form, request.POST),
                visit=given.get("visit", ""),
                on=day(given.get("on", ""), what=WHAT, where="on"),
                source=given.get("source", ""),
                by=by,
                at=at,
            )
            return redirect("screening", course=course)
        except Refused as refused:
            reasons, status = refused.reasons, status_of(refused)
    visits = {"": "Told to us, outside a visit", **dict(form.visits)}
    context = {
        "page_title": f"Facts, {form.strip.code}",
        "course": form.strip,
        "tabs": tabs(course, by, "screening"),
        "form": form,
        "reasons": reasons,
        "flags": (("yes", "Yes"), ("no", "No"), ("unknown", "Not known")),
        "groups": [
            (group, [shown(f, request.POST if request.method == "POST" else None, reasons) for f in group.fields])
            for group in form.groups
        ],
        "about": [
            field(
                "on",
                "Found on",
                given=given,
                reasons=reasons,
                kind="date",
                required=True,
                short=True,
                value=form.today.isoformat(),
                max=form.today.isoformat(),
            ),
            field("visit", "At", given=given, reasons=reasons, kind="select", options=options(visits), required=True),
            field("source", "Source", given=given, hint="Such as: asked, measured, letter of the family doctor."),
        ],
    }
    return render(request, "screening/facts.html", context, status=status)


@dataclass(frozen=True)
class Shown:
    """A field as the page draws it: `picked` words, `text` typed, `rows` of a repeating field, `wrong` in words."""

    field: FactField
    picked: tuple[str, ...] = ()
    text: str = ""
    rows: tuple[Mapping[str, str], ...] = ()
    again: bool = False
    wrong: str = ""

    @property
    def broad(self) -> bool:
        """Whether it needs the whole width."""
        return self.field.kind in ("choices", "readings", "medications")

    @property
    def id(self) -> str:
        return f"fact-{self.field.name}"


def shown(field: FactField, given: Any, reasons: tuple[Reason, ...]) -> Shown:
    """The field with what was typed, or with what is known where it still holds."""
    says = wrong(field.name, reasons)
    if given is not None:
        return Shown(
            field,
            tuple(given.getlist(field.name)),
            given.get(f"{field.name}.text", given.get(field.name, "")),
            tuple(_rows(field, given)),
            f"{field.name}.again" in given,
            says,
        )
    rows: list[Mapping[str, str]] = []
    if field.kind == "medications":
        rows = [*({k: str(v) for k, v in one.items() if v} for one in field.value or ()), *({},) * MEDICINES]
    if field.kind == "readings":
        rows = [{}] * READINGS
    return Shown(field, _picked(field), _other(field), tuple(rows), wrong=says)


def _picked(field: FactField) -> tuple[str, ...]:
    if not field.holds or field.value is None:
        return ("unknown",) if field.kind == "flag" else ()
    if field.kind == "flag":
        return ("yes" if field.value else "no",)
    if field.kind == "choices":
        return tuple(field.value) or ("none",)
    return (str(field.value),) if field.kind == "choice" else ()


def _other(field: FactField) -> str:
    known = {choice for choice, _ in field.choices}
    return ", ".join(one for one in field.value or () if one not in known) if field.kind == "choices" else ""


def _rows(field: FactField, given: Any) -> list[dict[str, str]]:
    """The rows of a repeating field as they were sent: `<fact>.<column>` once a row."""
    columns = _COLUMNS.get(field.kind, ())
    sent = [given.getlist(f"{field.name}.{column}") for column in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*sent, strict=False)]


_COLUMNS = {
    "readings": ("systolic_mmhg", "diastolic_mmhg", "on"),
    "medications": ("name", "dose", "started_on", "stopped_on"),
}


# ---- reading what was sent --------------------------------------------------------------------------------


def read(form: FactsForm, given: Any) -> dict[str, Any]:
    """The facts that were changed, by name; refused with every field that cannot be read."""
    found: dict[str, Any] = {}
    reasons: list[Reason] = []
    for group in form.groups:
        for one in group.fields:
            try:
                changed, value = _READ[one.kind](one, given)
            except ValueError as error:
                reasons.append(Reason(f"{one.label} was not recorded", str(error), "Correct it", one.name, "malformed"))
                continue
            if changed:
                found[one.name] = value
    if reasons:
        raise Refused(reasons)
    return found


def _flag(one: FactField, given: Any) -> tuple[bool, Any]:
    sent = given.get(one.name, "unknown")
    if sent not in FLAGS:
        return one.value is not None and one.holds, None
    return one.value is not FLAGS[sent] or not one.holds, FLAGS[sent]


def _number(one: FactField, given: Any) -> tuple[bool, Any]:
    text = given.get(one.name, "").strip()
    return bool(text), _figure(text) if text else None


def _figure(text: str) -> int | float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    return int(value) if value == int(value) else value


def _choice(one: FactField, given: Any) -> tuple[bool, Any]:
    text = given.get(one.name, "")
    return bool(text) and (text != one.value or not one.holds), text


def _choices(one: FactField, given: Any) -> tuple[bool, Any]:
    picked = [choice for choice in given.getlist(one.name) if choice != "none"]
    picked += [word.strip() for word in given.get(f"{one.name}.text", "").split(",") if word.strip()]
    none = "none" in given.getlist(one.name)
    if none and picked:
        raise ValueError("it says none and names some")
    if not none and not picked:
        return one.value is not None and one.holds, None
    return picked != one.value or not one.holds, picked


def _readings(one: FactField, given: Any) -> tuple[bool, Any]:
    new = [row for row in _rows(one, given) if row["systolic_mmhg"].strip() or row["diastolic_mmhg"].strip()]
    if any(not (row["systolic_mmhg"].strip() and row["diastolic_mmhg"].strip()) for row in new):
        raise ValueError("one figure of a reading is missing")
    told = [
        {
            "systolic_mmhg": _figure(row["systolic_mmhg"].strip()),
            "diastolic_mmhg": _figure(row["diastolic_mmhg"].strip()),
            "on": row["on"].strip() or given.get("on", ""),
        }
        for row in new
    ]
    return bool(told), [*(one.value or ()), *told]


def _medicines(one: FactField, given: Any) -> tuple[bool, Any]:
    filled = [{k: v.strip() for k, v in row.items() if v.strip()} for row in _rows(one, given)]
    rows = [row for row in filled if row]
    if any("name" not in row for row in rows):
        raise ValueError("a medicine has no name")
    none = f"{one.name}.none" in given
    if none and rows:
        raise ValueError("it says that none is taken and names some")
    again = f"{one.name}.again" in given
    before = [{k: str(v) for k, v in row.items() if v} for row in one.value or ()]
    if rows == before and not (again or (none and one.value is None)):
        return False, None
    if not rows and not none:
        raise ValueError("no medicine is named; tick that none is taken, if so")
    return True, rows


_READ = {
    "flag": _flag,
    "number": _number,
    "choice": _choice,
    "choices": _choices,
    "readings": _readings,
    "medications": _medicines,
}
