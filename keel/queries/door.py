"""The door of every query: the access table first, then the one row that may be seen."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from keel.domain import access
from keel.domain.events import Actor
from keel.records.models import CourseRow

Function = TypeVar("Function", bound=Callable[..., Any])


def query(what: str) -> Callable[[Function], Function]:
    """Let a function be called only by who may `what`; its row in domain/access.py stays on it as `.may`."""
    if what not in access.TABLE:
        raise KeyError(f"domain/access.py has no row for {what!r}")

    def guard(function: Function) -> Function:
        @wraps(function)
        def checked(*, by: Actor, **given: Any) -> Any:
            access.check_role(by, what)
            return function(by=by, **given)

        checked.may = what  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return guard


def course_row(course: str, *, by: Actor, what: str) -> CourseRow:
    """The row of a course at the actor's site (or the participant's own); for anybody else it is not there.

    A blinded rater gets it without its arm.
    """
    row = CourseRow.objects.filter(id=course).first()
    if row is None:
        raise access.not_here(what)
    access.check_course(by, what, course=course, site=row.site)
    if not access.may(by, "see_arm"):
        row.arm = ""
    return row
