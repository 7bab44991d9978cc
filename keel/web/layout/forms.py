"""What a browser sends, read with care: days, times, numbers, and the one form of many on a page."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.http import HttpRequest, QueryDict

from keel.domain.errors import Reason, Refused
from keel.web.layout.page import malformed, status_of


def day(text: str) -> date:
    """A day as a browser sends it."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise malformed(
            "Nothing was written", f"{text!r} is no day" if text else "no day is given", "Give a day"
        ) from None


def day_or_none(text: str) -> date | None:
    return day(text) if text.strip() else None


def whole(text: str) -> int | None:
    """A whole number, or nothing."""
    if not text.strip():
        return None
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        raise malformed("Nothing was written", f"{text[:20]!r} is no whole number", "Write it in digits")
    return int(text)


def needed(text: str, what: str) -> int:
    """A whole number that must be there."""
    found = whole(text)
    if found is None:
        raise malformed("Nothing was written", f"{what} is missing", "Fill it in")
    return found


def moment(on: str, time: str, zone: str) -> datetime:
    """A day and a time at the site."""
    try:
        return datetime.fromisoformat(f"{on}T{time}").replace(tzinfo=ZoneInfo(zone))
    except ValueError:
        raise malformed("Nothing was written", "the day or the time is missing", "Give both") from None


Forms = dict[str, Callable[[QueryDict], object]]


def send(request: HttpRequest, forms: Forms) -> tuple[tuple[Reason, ...], int]:
    """Do what the form named in `form` asks for: no reasons when it is done, else why it was refused and the status."""
    do = forms.get(request.POST.get("form", ""))
    try:
        if do is None:
            raise malformed("Nothing was written", "the page sent no form that it has", "Reload the page")
        do(request.POST)
    except Refused as refused:
        return refused.reasons, status_of(refused)
    return (), 200
