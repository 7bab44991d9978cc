"""What was typed into a form, kept when it is refused, with the reason beside the field it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from keel.domain.errors import Reason, Refused


def field(
    name: str,
    label: str,
    *,
    given: Mapping[str, str],
    reasons: Iterable[Reason] = (),
    value: Any = "",
    **more: Any,
) -> dict[str, Any]:
    """A field for layout/parts/field.html: what was typed, else `value`; and what was wrong with it."""
    return {"name": name, "label": label, "value": given.get(name, value), "wrong": wrong(name, reasons), **more}


def wrong(name: str, reasons: Iterable[Reason]) -> str:
    """The first reason that is about this field, as a sentence."""
    for reason in reasons:
        if reason.where == name:
            return ". ".join(part.rstrip(".") for part in (reason.why, reason.mend) if part).capitalize() + "."
    return ""


def options(choices: Mapping[str, str], first: str = "") -> list[dict[str, str]]:
    """Choices of a select; `first` is what stands there before one is chosen."""
    asked = [{"value": "", "label": first}] if first else []
    return [*asked, *({"value": value, "label": label} for value, label in choices.items())]


def day(text: str, *, what: str, where: str) -> date:
    """A day as a browser sends it; refused in words."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        why = f"{text!r} is no day" if text.strip() else "no day is given"
        raise Refused(Reason(what, why, "Give a day such as 2026-03-01", where=where, code="malformed")) from None
