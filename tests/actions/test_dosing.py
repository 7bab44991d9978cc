"""The dosing day as actions: the gate, the check by two, limits, transfers, rescue, corrections, and late tablets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from keel.actions import dosing, preparation, study, team
from keel.domain.access import SYSTEM
from keel.domain.errors import Refused
from keel.domain.events import new_id
from keel.queries import definitions
from keel.queries import dosing as days
from keel.records import journal
from keel.records.models import AlertRow, DayRow, DoseRow, MomentRow, VisitRow, VitalsRow
from keel.records.rebuild import rebuild
from tests.clinic import Clinic
from tests.dosing_days import Day, dose, opened, prepare, ready, state_of

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def second_facilitator(day: Day, number: int = 2) -> str:
    staff = team.admit(
        email=f"f{number}@north.example",
        name=f"Facilitator {number}",
        password="simulated-clinic",
        by=SYSTEM,
        at=day.at,
    )
    team.grant(staff=staff, site="north", role="facilitator", by=SYSTEM, at=day.at)
    dosing.come_in(session=day.session, staff=staff, by=day.first, at=day.later())
    return str(staff)


@pytest.fixture
def davis(clinic: Clinic) -> Day:
    """One person of Davis 2021, arrived, with two facilitators and the physician in the room."""
    protocol = definitions.protocol("davis-2021", 1)
    day = opened(clinic, protocol=protocol, study="mood", visit="session-1", arm="immediate")
    second_facilitator(day)
    return day


@pytest.fixture
def mdma(clinic: Clinic) -> Day:
    protocol = open_study(clinic, "mapp2", "treatment-mdma")
    day = opened(clinic, protocol=protocol, study="mapp2", visit="session-1", arm="mdma")
    second_facilitator(day)
    return day


def open_study(clinic: Clinic, protocol: str, document: str = "treatment-psilocybin"):
    study.open_study(
        study=protocol, title="Simulated study", protocol=protocol, sites=["north"], documents=[document],
        by=SYSTEM, at=clinic.at,
    )  # fmt: skip
    return definitions.protocol(protocol, 1)


def vitals(day: Day, course: str, systolic: int = 124, diastolic: int = 78, pulse: int = 70, **more: float) -> str:
    return dosing.record_vitals(
        course=course, visit=day.visit, systolic_mmhg=systolic, diastolic_mmhg=diastolic, heart_rate_bpm=pulse,
        by=day.second, at=day.later(), **more,
    ).id  # fmt: skip


def codes(what: Callable[[], object]) -> set[str]:
    with pytest.raises(Refused) as refused:
        what()
    return {r.code for r in refused.value.reasons}


def release(day: Day, course: str, at: datetime) -> None:
    dosing.release(course=course, visit=day.visit, by=day.first, at=at)


def sign_all(day: Day, course: str) -> None:
    for item in days.protocol_of(state_of(course)).release.items:
        dosing.sign_release_item(course=course, visit=day.visit, item=item.id, by=day.second, at=day.later())


# ---- the dose -------------------------------------------------------------------------------------------


def test_a_dose_is_prepared_checked_by_another_and_given(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)
    (given,) = state_of(course).days[davis.visit].doses
    assert given["given_mg"] == 20.4 and given["confirmed_by"] == davis.second.id
    assert DayRow.objects.get(course=course).state == "dosed"


def test_a_day_of_ayahuasca_from_the_weight_to_the_release(clinic: Clinic) -> None:
    """The dose is the DMT by the weight of that day; what is poured follows from the lot, and no other unit passes."""
    protocol = open_study(clinic, "palhano-fontes-2019", "treatment-ayahuasca")
    day = opened(clinic, protocol=protocol, study="palhano-fontes-2019", visit="dosing", arm="ayahuasca")
    (course,) = day.courses
    said = {"course": course, "visit": day.visit, "substance": "ayahuasca-dmt", "lot": "SIM-1", "by": day.first}
    right = {"value": 0.36, "unit": "mg_per_kg", "mg_per_ml": 0.45}

    def wrong(**other: object) -> set[str]:
        return codes(lambda: dosing.prepare_dose(**{**said, **right, **other}, at=day.later()))

    assert wrong(mg_per_ml=None) == wrong(mg_per_ml=0) == {"strength-unknown"}
    assert wrong(unit="mg", value=25.74) == wrong(unit="mg_per_70kg", value=25.2) == wrong(unit="ml") == {"wrong-unit"}
    assert wrong(value=0.6) == {"over-maximum"}
    assert wrong(substance="placebo", value=None, unit=None) == {"wrong-substance"}
    weighed = {"weight_kg": {"value": 71.5, "on": (clinic.today - timedelta(days=1)).isoformat(), "source": "scale"}}
    with journal.writing(f"course:{course}") as writing:
        writing.append("facts_recorded", {"facts": weighed}, by=SYSTEM, at=day.later())
    assert wrong() == {"weight-unknown"}
    weighed["weight_kg"]["on"] = clinic.today.isoformat()
    with journal.writing(f"course:{course}") as writing:
        writing.append("facts_recorded", {"facts": weighed}, by=SYSTEM, at=day.later())
    prepare(day, course, mg_per_ml=0.45)
    assert codes(lambda: dosing.give_dose(course=course, visit=day.visit, by=day.first, at=day.later())) == {"presence"}
    second_facilitator(day)
    person = days.board(session=day.session, by=day.second, at=day.later()).people[0]
    sum_shown = "0.36 mg per kg × 71.5 kg = 25.74 mg; 25.74 mg ÷ 0.45 mg per mL = 57.2 mL, 0.80 mL per kg"
    assert person.plan and person.plan.is_poured and person.prepared and person.prepared["arithmetic"] == sum_shown
    dosing.give_dose(course=course, visit=day.visit, by=day.first, at=day.later())
    (given,) = state_of(course).days[day.visit].doses
    assert (given["given_mg"], given["given_ml"], given["mg_per_ml"]) == (25.74, 57.2, 0.45)
    assert DoseRow.objects.get(course=course).arithmetic == sum_shown
    assert wrong() == {"supplement-not-agreed"}  # what was vomited is not given again
    sign_all(day, course)
    vitals(day, course, temperature_c=36.8)
    assert codes(lambda: release(day, course, day.later(300))) == {"too-early"}
    day.later(60)
    vitals(day, course, temperature_c=36.8)
    release(day, course, day.later())
    assert DayRow.objects.get(course=course).state == "released"
    assert not rebuild(keep=False).different


def test_nothing_but_a_liquid_has_a_strength(davis: Day) -> None:
    assert codes(lambda: prepare(davis, davis.courses[0], mg_per_ml=0.36)) == {"wrong-unit"}


def test_nobody_checks_their_own(davis: Day) -> None:
    (course,) = davis.courses
    prepare(davis, course)
    state = state_of(course).days[davis.visit]
    assert state.confirmed and state.confirmed["by"] == davis.second.id
    davis.first, davis.second = davis.second, davis.first
    with pytest.raises(Refused, match="you prepared it yourself"):
        davis.second = davis.first
        prepare(davis, course)


def test_a_room_that_is_short_gets_no_dose(davis: Day) -> None:
    (course,) = davis.courses
    prepare(davis, course)
    dosing.go_out(session=davis.session, staff=davis.first.id, by=davis.first, at=davis.later())

    def give() -> None:
        dosing.give_dose(course=course, visit=davis.visit, by=davis.first, at=davis.later())

    assert codes(give) == {"presence"}
    dosing.come_in(session=davis.session, staff=davis.first.id, by=davis.first, at=davis.later())
    give()


def test_a_pressure_that_is_high_three_times_holds_the_dose(davis: Day) -> None:
    (course,) = davis.courses
    prepare(davis, course)
    for _ in range(3):
        vitals(davis, course, systolic=144)

    def give() -> None:
        dosing.give_dose(course=course, visit=davis.visit, by=davis.first, at=davis.later())

    assert codes(give) == {"limit-crossed"}
    vitals(davis, course, systolic=132)
    give()


def test_the_law_counts_heads_by_the_largest_dose_in_the_room(clinic: Clinic) -> None:
    """Oregon: with 25 mg in the room one facilitator may hold four; five need two."""
    protocol = open_study(clinic, "oregon-adult-psilocybin")
    day = opened(
        clinic, protocol=protocol, study="oregon-adult-psilocybin", visit="administration", arm=protocol.arm_ids[0],
        people=4,
    )  # fmt: skip
    for course, mg in zip(day.courses, (10, 10, 10, 50), strict=True):
        dosing.prepare_dose(
            course=course, visit=day.visit, substance="psilocybin-analyte", value=mg, unit="mg", lot="S",
            by=day.first, at=day.later(),
        )  # fmt: skip
        dosing.confirm_dose(course=course, visit=day.visit, by=day.second, at=day.later())

    def give() -> None:
        dosing.give_dose(course=day.courses[0], visit=day.visit, by=day.first, at=day.later())

    assert codes(give) == {"too-few-facilitators"}  # 10 mg each for three, but 50 mg is in the room: one for two
    second_facilitator(day)
    give()


def test_a_supplemental_dose_needs_its_window_and_fresh_readings(mdma: Day) -> None:
    (course,) = mdma.courses
    said = {"course": course, "visit": mdma.visit, "by": mdma.first}
    for agreed in (False, True):
        dosing.agree_supplement(**said, agreed=agreed, at=mdma.later())
    dose(mdma, course)

    def again() -> None:
        dosing.prepare_dose(
            course=course,
            visit=mdma.visit,
            substance="mdma-hcl",
            value=40,
            unit="mg",
            lot="S",
            by=mdma.first,
            at=mdma.later(),
        )

    assert "outside-window" in codes(again)
    mdma.later(90)
    again()
    dosing.confirm_dose(course=course, visit=mdma.visit, by=mdma.second, at=mdma.later())

    def give() -> None:
        dosing.give_dose(course=course, visit=mdma.visit, by=mdma.first, at=mdma.later())

    assert codes(give) == {"vitals-unknown"}
    vitals(mdma, course, systolic=164)
    assert codes(give) == {"limit-crossed"}
    vitals(mdma, course, systolic=142)
    give()
    assert len(state_of(course).days[mdma.visit].doses) == 2


def test_a_supplemental_dose_needs_a_yes_that_was_given_sober(mdma: Day) -> None:
    (course,) = mdma.courses
    said = {"course": course, "visit": mdma.visit, "by": mdma.first}
    dose(mdma, course)
    mdma.later(90)
    second = {**said, "substance": "mdma-hcl", "value": 40, "unit": "mg", "lot": "S"}
    assert codes(lambda: dosing.prepare_dose(**second, at=mdma.later())) == {"supplement-not-agreed"}
    assert codes(lambda: dosing.agree_supplement(**said, agreed=True, at=mdma.later())) == {"supplement-widened"}
    dosing.agree_supplement(**said, agreed=False, at=mdma.later())
    board = days.board(session=mdma.session, by=mdma.first, at=mdma.later()).people[0]
    assert board.supplement is not None and not board.supplement.open and board.supplement_agreed is False


def test_nobody_is_asked_for_a_dose_that_the_protocol_does_not_have(davis: Day) -> None:
    said = {"course": davis.courses[0], "visit": davis.visit, "by": davis.first}
    with pytest.raises(Refused, match="no supplemental dose"):
        dosing.agree_supplement(**said, agreed=True, at=davis.later())


def test_the_board_says_at_once_that_nobody_watches_and_when_a_break_is_over(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)
    vitals(davis, course)

    def says() -> str:
        return days.board(session=davis.session, by=davis.first, at=davis.later()).people[0].standing_says

    assert says() == "Within the limits"
    for member in days.board(session=davis.session, by=davis.first, at=davis.at).inside:
        dosing.go_out(session=davis.session, staff=member.id, by=davis.first, at=davis.later())
    assert says().startswith("Nobody watches since")
    dosing.come_in(session=davis.session, staff=davis.second.id, by=davis.first, at=davis.later())
    assert says() == "Within the limits"


def test_a_limit_that_calls_the_physician_raises_one_alert_and_a_single_peak_none(mdma: Day) -> None:
    (course,) = mdma.courses
    dose(mdma, course)

    def alerts() -> list[str]:
        return list(AlertRow.objects.filter(course=course, level="urgent").values_list("why", flat=True))

    vitals(mdma, course, systolic=166)
    assert alerts() == []
    vitals(mdma, course, systolic=184)
    vitals(mdma, course, systolic=186)
    (why,) = alerts()
    assert why.startswith("Systolic 184 mmHg")
    vitals(mdma, course, systolic=150)
    vitals(mdma, course, systolic=185)
    assert len(alerts()) == 2  # it had come down in between


# ---- release, stop, transfer ------------------------------------------------------------------------------


def test_release_needs_signatures_time_and_calm_readings(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)
    assert {"release-item", "vitals-unknown"} <= codes(lambda: release(davis, course, davis.at))
    sign_all(davis, course)
    vitals(davis, course, systolic=166)
    late = davis.at + timedelta(hours=9)
    assert codes(lambda: release(davis, course, late)) == {"limit-crossed"}
    davis.at = late
    vitals(davis, course)
    release(davis, course, davis.later())
    assert DayRow.objects.get(course=course).state == "released"
    assert VisitRow.objects.get(course=course, visit=davis.visit).on == davis.at.date()


def test_a_tablet_that_was_away_may_still_tell_what_happened_before_the_release(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)
    sign_all(davis, course)
    davis.later(9 * 60)
    vitals(davis, course)
    before = davis.at
    release(davis, course, davis.later())

    def tell(when: datetime) -> None:
        dosing.note_moment(
            course=course, visit=davis.visit, kind="tears", by=davis.second, at=davis.later(), occurred_at=when
        )

    tell(before)
    assert MomentRow.objects.get(course=course, kind="tears").at == before
    with pytest.raises(Refused, match="was released"):
        tell(davis.at)


def test_a_consent_withdrawn_on_the_day_keeps_nobody_in_the_room(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)
    with journal.writing(f"course:{course}") as writing:
        writing.append("consent_withdrawn", {"document": "participation"}, by=SYSTEM, at=davis.later())
    sign_all(davis, course)
    davis.later(9 * 60)
    vitals(davis, course)
    release(davis, course, davis.later())
    assert DayRow.objects.get(course=course).state == "released"


def test_stop_then_transfer_are_told_with_their_reason(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)

    def stop(words: str) -> None:
        dosing.stop_session(course=course, visit=davis.visit, words=words, by=davis.first, at=davis.later())

    with pytest.raises(Refused, match="no reason"):
        stop(" ")
    stop("Chest pain.")
    with pytest.raises(Refused, match="the person is stopped"):
        stop("Again.")
    dosing.transfer(
        course=course,
        visit=davis.visit,
        to="Emergency department",
        words="Chest pain.",
        by=davis.first,
        at=davis.later(),
    )
    assert DayRow.objects.get(course=course).state == "transferred"
    with pytest.raises(Refused):
        vitals(davis, course)


# ---- rescue medicines, touch, corrections ------------------------------------------------------------------


def test_a_rescue_medicine_needs_two_signatures_and_asks_for_the_adverse_event(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)

    def order(medicine: str = "lorazepam", amount: str = "1 mg by mouth", words: str = "Panic.") -> str:
        return dosing.order_rescue(
            course=course,
            visit=davis.visit,
            medicine=medicine,
            dose=amount,
            words=words,
            by=davis.second,
            at=davis.later(),
        ).id

    for wrong in ({"medicine": "whisky"}, {"amount": "some"}, {"words": " "}):
        with pytest.raises(Refused):
            order(**wrong)
    ordered = order()

    def give(by: object) -> None:
        dosing.give_rescue(course=course, visit=davis.visit, order=ordered, by=by, at=davis.later())

    assert codes(lambda: give(davis.second)) == {"same-person"}
    give(davis.first)
    with pytest.raises(Refused, match="carried out already"):
        give(davis.first)
    assert "Lorazepam" in AlertRow.objects.get(course=course).why


def test_touch_is_tightened_on_the_day_and_never_widened(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)

    def agree(**areas: bool) -> None:
        preparation.agree_touch(course=course, areas=areas, words="", by=davis.first, at=davis.later())

    agree(hand=False, shoulder=True)
    assert codes(lambda: agree(hand=True, shoulder=True)) == {"touch-widened"}
    board = days.board(session=davis.session, by=davis.first, at=davis.at)
    assert board.people[0].touch == {"hand": False, "shoulder": True}


def test_a_time_is_corrected_and_the_first_entry_stays(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)
    entry, when = vitals(davis, course, 131), davis.at - timedelta(minutes=4)

    def correct(reason: str, values: dict[str, float] | None = None) -> None:
        dosing.amend_entry(
            course=course, entry=entry, reason=reason, values=values, by=davis.first, at=davis.later(),
            occurred_at=None if values else when,
        )  # fmt: skip

    with pytest.raises(Refused, match="no reason"):
        correct("")
    correct("Typed late.")
    row = VitalsRow.objects.get(id=entry)
    assert (row.at, row.systolic_mmhg, row.amended) == (when, 131, True)
    correct("Misread.", {"systolic_mmhg": 121, "diastolic_mmhg": 80})
    row.refresh_from_db()
    assert (row.at, row.systolic_mmhg, row.heart_rate_bpm) == (when, 121, None)
    first = journal.event(entry)
    assert first is not None and first.payload["systolic_mmhg"] == 131
    assert not rebuild(keep=False).different


# ---- the session ------------------------------------------------------------------------------------------


def test_a_cohort_is_opened_whole_and_once(clinic: Clinic) -> None:
    protocol = open_study(clinic, "agrawal-2024")
    arm, cohort = protocol.arm_ids[0], new_id()
    courses = [
        ready(clinic, n, clinic.at, study="agrawal-2024", arm=arm, visit="dosing", cohort=cohort) for n in (1, 2, 3)
    ]
    by = clinic.staff["facilitator"]

    def open_for(who: list[str], room: str = "Garden room") -> str:
        made = dosing.open_session(courses=who, visit="dosing", room=room, on=clinic.today, by=by, at=clinic.at)
        return str(made.payload["session"])

    assert codes(lambda: open_for(courses[:2])) == {"cohort-size"}
    assert codes(lambda: open_for(courses, " "))
    session = open_for(courses)
    assert codes(lambda: open_for(courses)) == {"duplicate-visit"}
    board = days.board(session=session, by=by, at=clinic.at)
    assert [p.state for p in board.people] == ["prepared"] * 3
    assert board.short and board.needed == 3  # nobody is in the room yet


def test_the_same_entry_again_changes_nothing(davis: Day) -> None:
    (course,) = davis.courses
    id = new_id()

    def tap(kind: str = "water") -> bool:
        told = dosing.note_moment(
            course=course, visit=davis.visit, kind=kind, by=davis.first, at=davis.later(), id=id
        )  # fmt: skip
        return told.already

    assert [tap(), tap(), tap("food")] == [False, True, True]
    assert MomentRow.objects.get(course=course).kind == "water"


def test_presence_is_proven_or_the_break_is_named(davis: Day) -> None:
    (course,) = davis.courses
    dose(davis, course)
    report = days.report(session=davis.session, course=course, by=davis.first, at=davis.later(30))
    assert report.watched.gaps == ()
    board = days.board(session=davis.session, by=davis.first, at=davis.at)
    for member in board.inside:
        dosing.go_out(session=davis.session, staff=member.id, by=davis.first, at=davis.at)
    left = davis.at
    back = davis.later(7)
    dosing.come_in(session=davis.session, staff=davis.first.id, by=davis.first, at=back)
    report = days.report(session=davis.session, course=course, by=davis.first, at=davis.later(30))
    (gap,) = report.watched.gaps
    assert (gap.start, gap.end) == (left, back)


def test_who_watches_somebody_else_does_not_count(clinic: Clinic) -> None:
    protocol = open_study(clinic, "agrawal-2024")
    day = opened(
        clinic, protocol=protocol, study="agrawal-2024", visit="dosing", arm=protocol.arm_ids[0], people=3
    )  # fmt: skip
    for number in (2, 3):
        second_facilitator(day, number)
    for course in day.courses:
        dose(day, course)
    board = days.board(session=day.session, by=day.first, at=day.later())
    for member in board.inside:
        dosing.go_out(session=day.session, staff=member.id, by=day.first, at=day.at)
    dosing.come_in(
        session=day.session, staff=day.first.id, watches=[day.courses[0]], by=day.first, at=day.at
    )  # fmt: skip
    later = day.later(20)

    def breaks(course: str) -> int:
        return len(days.report(session=day.session, course=course, by=day.first, at=later).watched.gaps)

    assert [breaks(course) for course in day.courses] == [0, 1, 1]


def test_what_the_room_shares_is_corrected_and_taken_back(davis: Day) -> None:
    (course,) = davis.courses
    given = dose(davis, course)
    session, by = davis.session, davis.first
    music = dosing.note_room(session=session, kind="music", detail={"step": "Onset"}, by=by, at=davis.later()).id
    noise = dosing.note_room(session=session, kind="room", detail={"said": "A drill"}, by=by, at=davis.later()).id
    left = dosing.go_out(session=session, staff=davis.first.id, by=by, at=davis.later(10)).id
    for member in days.board(session=session, by=by, at=davis.at).inside:
        dosing.go_out(session=session, staff=member.id, by=by, at=davis.at)
    came = dosing.come_in(session=session, staff=davis.first.id, by=by, at=davis.later(20)).id

    def correct(entry: str, at: datetime, reason: str = "The clock was wrong") -> None:
        dosing.amend_room_entry(
            session=session, entry=entry, reason=reason, occurred_at=at, by=by, at=davis.later(0.1)
        )  # fmt: skip

    def take_back(entry: str, reason: str = "A wrong tap") -> None:
        dosing.withdraw_room_entry(session=session, entry=entry, reason=reason, by=by, at=davis.later(0.1))

    def gaps() -> list[float]:
        found = days.report(session=session, course=course, by=by, at=davis.later(0.1))
        return [round(gap.minutes) for gap in found.watched.gaps]

    def log() -> dict[str, tuple[str, bool]]:
        shown = days.board(session=session, by=by, at=davis.at)
        return {line.id: (line.what, line.amended) for line in shown.log}

    assert gaps() == [20]
    correct(music, given)
    correct(came, davis.at - timedelta(minutes=15))
    assert MomentRow.objects.get(id=music).at == given
    assert gaps() == [5]
    take_back(noise)
    assert log()[noise] == ("Taken back: Room: A drill", False)
    assert "The day" not in str(days.setting(session=session, by=by, at=davis.at).items)

    for wrong in (
        lambda: correct(left, davis.at),  # they had come in again by then
        lambda: correct(left, given - timedelta(hours=9)),  # before they came
        lambda: take_back(left),  # they would be in the room twice
        lambda: correct(music, given, reason=" "),
        lambda: take_back(new_id()),
        lambda: take_back(noise),
    ):
        with pytest.raises(Refused):
            wrong()
    take_back(came)
    take_back(left)  # nobody left: the first stay goes on
    assert gaps() == []
    assert log()[came][0] == f"Taken back: {log()[left][0].removeprefix('Taken back: ').removesuffix(' left')} came in"
    assert journal.verify().first_broken is None
    assert not rebuild(keep=False).different


def test_a_room_is_described_once_for_all_its_sessions(davis: Day) -> None:
    def describe(**profile: str) -> None:
        dosing.describe_room(site="north", room="Garden room", profile=profile, by=davis.first, at=davis.later())

    describe(lighting="Lamps that can be dimmed", nature="A garden")
    found = days.setting(session=davis.session, by=davis.first, at=davis.at)
    assert {5, 3} <= {i.number for i in found.items if i.reported}
    assert {1, 2} <= {i.number for i in found.unreported}
    with pytest.raises(Refused):
        describe(colour="Blue")
    with pytest.raises(Refused):
        describe(lighting=" ")
    with pytest.raises(Refused):
        dosing.describe_room(
            site="south", room="x", profile={"lighting": "y"}, by=davis.first, at=datetime.now(UTC)
        )  # fmt: skip
    assert not rebuild(keep=False).different
