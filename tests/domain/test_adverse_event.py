"""Adverse events: everything is collected, judgements may follow, and each clock starts on its own day."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keel.domain.adverse_event import (
    EXPECTEDNESS,
    RELATEDNESS,
    SERIOUSNESS,
    AdverseEvent,
    Due,
    check_adverse_event,
    due_reports,
    window_of,
)
from keel.domain.errors import Refused
from keel.library import alert_files

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
PLAIN = {"term": "Headache", "began_at": "2026-03-09T18:00:00+00:00"}
REGIMES = frozenset(clock.regime for clock in alert_files.clocks())
STARTS = {
    "sponsor_receipt": date(2026, 3, 2),
    "sponsor_determination": date(2026, 3, 5),
    "site_awareness": date(2026, 3, 1),
}


def event(**more: Any) -> AdverseEvent:
    return check_adverse_event({**PLAIN, **more}, now=NOW)


def due(found: AdverseEvent, **more: Any) -> dict[str, Due]:
    asked: dict[str, Any] = {"regimes": REGIMES, "started_on": STARTS, "sent": {}, "on": date(2026, 3, 10)}
    return {d.clock.id: d for d in due_reports(found, alert_files.clocks(), **{**asked, **more})}


def test_a_headache_is_recorded_in_two_words_and_judged_later() -> None:
    found = event()
    assert (found.grade, found.serious, found.related, found.valence) == (None, None, None, None)
    assert found.is_serious is None
    assert event(serious=[]).is_serious is False


def test_serious_and_severe_are_two_things() -> None:
    assert event(grade=3, serious=[]).is_serious is False
    assert event(grade=1, serious=["hospitalisation"]).is_serious is True


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"term": " "}, "no term"),
        ({"began_at": None}, "when it began"),
        ({"began_at": "2026-03-11T12:00:00+00:00"}, "future"),
        ({"ended_at": "2026-03-08T12:00:00+00:00"}, "before it began"),
        ({"ended_at": "later"}, "no day and time"),
        ({"grade": 6}, "CTCAE"),
        ({"grade": True}, "CTCAE"),
        ({"serious": ["awful"]}, "seriousness"),
        ({"serious": True}, "seriousness"),
        ({"grade": 5, "serious": []}, "death"),
        ({"related": "yes"}, "none of the answers"),
        ({"valence": "good"}, "none of the answers"),
    ],
)
def test_what_cannot_be_is_refused_in_words(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        event(**wrong)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Refused) as refused:
        check_adverse_event({"grade": 9, "related": "x"}, now=NOW)
    assert len(refused.value.reasons) == 4


@pytest.mark.parametrize(
    ("began_on", "id"),
    [
        (date(2026, 3, 1), "acute"),
        (date(2026, 3, 2), "post_acute"),
        (date(2026, 3, 8), "post_acute"),
        (date(2026, 3, 9), "short_term"),
        (date(2026, 3, 31), "short_term"),
        (date(2026, 4, 1), "long_term"),
        (date(2027, 4, 1), "long_term"),
    ],
)
def test_the_windows_follow_the_dose(began_on: date, id: str) -> None:
    window = window_of(began_on, date(2026, 3, 1), alert_files.windows())
    assert window is not None and window.id == id


def test_before_any_dose_there_is_no_window() -> None:
    assert window_of(date(2026, 2, 28), date(2026, 3, 1), alert_files.windows()) is None
    assert window_of(date(2026, 2, 28), None, alert_files.windows()) is None


def test_fifteen_days_run_from_the_determination_and_not_from_the_receipt() -> None:
    found = event(serious=["hospitalisation"], related="related", expected="unexpected")
    clock = due(found)["fda_15_day"]
    assert clock.due_on == date(2026, 3, 20) and clock.state == "running"
    assert due(found, started_on={"sponsor_receipt": date(2026, 3, 2)})["fda_15_day"].state == "not_started"


def test_a_clock_says_which_judgement_is_missing() -> None:
    clock = due(event(serious=["death"], related="related"))["fda_7_day"]
    assert clock.state == "undecided"
    assert clock.missing == ("unexpected",)


def test_an_open_duty_is_owed_without_a_day_and_a_sent_report_is_sent() -> None:
    found = event(serious=["hospitalisation"], related="related", expected="unexpected")
    assert due(found)["tga_authorised_prescriber"].state == "open"
    assert due(found, sent={"fda_15_day": date(2026, 3, 12)})["fda_15_day"].state == "sent"
    assert due(found, on=date(2026, 3, 21))["fda_15_day"].state == "overdue"


def test_a_new_determination_starts_a_new_clock() -> None:
    found = event(serious=["hospitalisation"], related="related", expected="unexpected")
    assert "fda_15_day_reassessed" not in due(found)
    again = due(found, reassessed=True, started_on={"sponsor_redetermination": date(2026, 3, 9)})
    assert again["fda_15_day_reassessed"].due_on == date(2026, 3, 24)


@settings(deadline=None)
@given(
    st.none() | st.sets(st.sampled_from(sorted(SERIOUSNESS))),
    st.none() | st.sampled_from(RELATEDNESS),
    st.none() | st.sampled_from(EXPECTEDNESS),
)
def test_judging_more_never_brings_a_clock_that_was_ruled_out(
    serious: set[str] | None, related: str | None, expected: str | None
) -> None:
    less = event(serious=None if serious is None else sorted(serious), related=related, expected=expected)
    more = event(serious=sorted(serious or ()), related=related or "not_related", expected=expected or "expected")
    assert set(due(more)) <= set(due(less))


SUSAR = {"related": "possibly_related", "expected": "unexpected", "grade": 4}


@pytest.mark.parametrize(
    ("country", "serious", "days"),
    [
        ("GB", "life_threatening", {"uk_fatal": 7}),
        ("GB", "hospitalisation", {"uk_other": 15}),
        ("DE", "life_threatening", {"eu_fatal": 7}),
        ("DE", "hospitalisation", {"eu_other": 15}),
        ("CH", "death", {"ch_fatal": 7, "ch_investigator": 1}),
        ("CH", "life_threatening", {"ch_other": 15, "ch_investigator": 1}),
    ],
)
def test_each_country_has_its_own_clocks(country: str, serious: str, days: dict[str, int]) -> None:
    found = due(event(**SUSAR, serious=[serious]), regimes=alert_files.regimes_of(country), on=date(2026, 3, 2))
    starts = {"site_awareness": STARTS["site_awareness"], "sponsor_receipt": STARTS["sponsor_receipt"]}
    running = {id: d.due_on - starts[d.clock.starts] for id, d in found.items() if d.due_on and d.clock.days}
    assert running == {id: timedelta(days=number) for id, number in days.items()}


def test_the_follow_up_runs_from_the_day_the_first_report_went_out() -> None:
    serious = event(**SUSAR, serious=["death"])
    asked = {"regimes": alert_files.regimes_of("GB")}
    assert due(serious, **asked)["uk_fatal_follow_up"].state == "not_started"
    later = due(serious, **asked, sent={"uk_fatal": date(2026, 3, 4)})
    assert later["uk_fatal"].state == "sent"
    assert later["uk_fatal_follow_up"].due_on == date(2026, 3, 12)
