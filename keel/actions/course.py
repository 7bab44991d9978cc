"""What happens to a course by being looked at: who opened the chart is kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from keel.actions.door import action
from keel.domain import access
from keel.domain.events import Actor
from keel.records import journal
from keel.records.models import CourseRow, LookRow

ONCE_IN = timedelta(hours=1)


@action("look")
def look(*, course: str, page: str, by: Actor, at: datetime) -> None:
    """Note that somebody opened a page of a course; once an hour for the same person and page is enough."""
    row = CourseRow.objects.filter(id=course).first()
    if row is None:
        raise access.not_here("look")
    access.check_course(by, "look", course=course, site=row.site)
    if not LookRow.objects.filter(course=course, by=by.id, page=page, at__gt=at - ONCE_IN).exists():
        with journal.writing(f"looks:{course}") as writing:
            writing.append("looked", {"page": page}, by=by, at=at)
