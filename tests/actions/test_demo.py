"""The simulated clinic: everything that can happen happens in it, through the actions alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keel.cli.demo import fill
from keel.records import journal
from keel.records.models import AlertRow, CourseRow, DeviationRow, DoseRow, EventRow, VisitRow
from keel.records.rebuild import rebuild

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


def test_the_simulated_clinic_lives_through_everything() -> None:
    assert fill(people=13, now=NOW)
    assert not fill(people=13, now=NOW), "a filled record is left as it is"

    phases = set(CourseRow.objects.values_list("phase", flat=True))
    assert phases == {"enquiry", "screening", "preparation", "dosing", "integration", "follow_up", "ended"}
    assert set(CourseRow.objects.values_list("protocol", flat=True)) == {"davis-2021", "agrawal-2024", "mapp2"}
    assert set(CourseRow.objects.exclude(ended="").values_list("ended", flat=True)) >= {"completed", "screening_failed"}
    assert (
        AlertRow.objects.filter(state="raised", source__instrument="phq-9").exists()
        or AlertRow.objects.filter(why__contains="9").exists()
    )
    assert VisitRow.objects.filter(cause="travel").exists()
    assert EventRow.objects.filter(kind="amended").exists()
    assert EventRow.objects.filter(kind="consent_withdrawn").exists()
    assert DeviationRow.objects.filter(kind="missed").exists()
    assert DoseRow.objects.filter(confirmed_by="").count() == 0

    assert journal.verify().first_broken is None
    rebuilt = rebuild(keep=False)
    assert rebuilt.different == {}
    assert rebuilt.rows > 500
