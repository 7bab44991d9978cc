"""From the journal to the answer: one small simulated clinic, and what can be asked of it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from django.db import transaction
from django.test import Client

from keel.actions import screening
from keel.cli import main
from keel.cli.demo import SITE, fill
from keel.domain.errors import Refused, refuse
from keel.domain.events import Actor
from keel.domain.report import Report
from keel.outcomes.progress import step
from keel.outcomes.proportions import share
from keel.queries import insight
from keel.records import journal
from keel.records.journal import Place
from keel.records.models import Account, EventRow, MembershipRow
from keel.web.insight.folder import report_folder

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def house(django_db_setup: None, django_db_blocker: Any) -> Iterator[SimpleNamespace]:
    """Ten simulated people, written once for this file and taken back at its end."""
    with django_db_blocker.unblock(), transaction.atomic():
        fill(people=10, groups=False, now=NOW)
        staff = {m.role: Actor(m.staff, m.role, m.site) for m in MembershipRow.objects.filter(site=SITE)}
        yield SimpleNamespace(staff=staff, place=str(journal.stands()))
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def filled(house: SimpleNamespace, db: None) -> None:
    """Every test here stands in the clinic that was filled, and leaves it as it was."""


def told(report: str, house: SimpleNamespace, *, role: str = "investigator", study: str = "mood") -> insight.ReportPage:
    return insight.report(study=study, report=report, by=house.staff[role])


def browser(house: SimpleNamespace, role: str) -> Client:
    client = Client()
    account = Account.objects.get(id=house.staff[role].id)
    client.force_login(account, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


# ---- the dataset --------------------------------------------------------------------------------------------


def test_one_place_in_the_journal_gives_the_same_bytes_whatever_is_written_later(house: SimpleNamespace) -> None:
    by = house.staff["data_manager"]
    first = insight.analysis_dataset(study="mood", by=by, place=house.place)
    screening.open_course(
        site=SITE, study="mood", name="Late Simulated", born_on=datetime(1990, 1, 2).date(), phone="+44 20 7946 0009",
        by=house.staff["coordinator"], at=NOW + timedelta(hours=1),
    )  # fmt: skip
    insight._built.cache_clear()
    again = insight.analysis_dataset(study="mood", by=by, place=house.place)
    now = insight.analysis_dataset(study="mood", by=by)

    assert first.parquet == again.parquet
    assert first.provenance == again.provenance
    assert now.people.height == first.people.height + 1
    assert now.provenance.head != first.provenance.head


def test_the_dataset_has_a_row_per_participant_visit_and_measure(house: SimpleNamespace) -> None:
    found = insight.analysis_dataset(study="mood", by=house.staff["investigator"])
    rows = found.rows
    assert rows.select("course", "visit", "measure").is_duplicated().sum() == 0
    # Only who waited is awaited at the visits of the waiting list.
    waiting = rows.filter(pl.col("visit").cast(pl.String).str.starts_with("waiting"))
    assert set(waiting["arm"].cast(pl.String).unique()) <= {"delayed"}
    # The total at baseline is the one in the event, and the change is from it.
    depression = rows.filter(
        (pl.col("measure").cast(pl.String) == "grid-hamd-17.total") & pl.col("change").is_not_null()
    )
    assert (depression["value"] - depression["baseline"] == depression["change"]).all()
    written = [
        json.loads(e.payload)["scores"]["total"]
        for e in EventRow.objects.filter(kind="response_entered")
        if json.loads(e.payload)["instrument"] == "grid-hamd-17"
    ]
    in_table = rows.filter((pl.col("measure").cast(pl.String) == "grid-hamd-17.total") & pl.col("value").is_not_null())
    not_enrolled = len(written) - in_table.height
    assert 0 <= not_enrolled <= 2, "only those who were never enrolled have no row"
    assert set(found.provenance.definitions) >= {"protocols/davis-2021/1"}
    names = {event["name"] for event in _identities()}
    text = found.rows.write_csv() + found.people.write_csv()
    assert names and not any(name in text for name in names)


def _identities() -> list[dict[str, str]]:
    from keel.records import vault
    from keel.records.models import IdentityRow

    known = vault.identities(list(IdentityRow.objects.values_list("participant", flat=True)))
    return [{"name": one.name} for one in known.values()]


def test_a_blinded_dataset_tells_no_arm(house: SimpleNamespace) -> None:
    found = insight.analysis_dataset(study="mood", by=house.staff["data_manager"], blinded=True)
    assert found.rows["arm"].null_count() == found.rows.height
    assert found.people["arm"].null_count() == found.people.height
    visits = set(found.rows["visit"].cast(pl.String))
    assert "baseline" in visits
    assert not visits & {"waiting-week-5", "waiting-week-8", "session-1"}, "these are at other times in the other arm"


def test_a_place_that_the_journal_has_not_reached_is_refused(house: SimpleNamespace) -> None:
    for place in ("999999999.999999999", "somewhere"):
        with pytest.raises(Refused):
            insight.analysis_dataset(study="mood", by=house.staff["investigator"], place=place)


# ---- the flow -----------------------------------------------------------------------------------------------


def test_the_flow_reconciles_with_the_journal_to_the_last_person(house: SimpleNamespace) -> None:
    for study in ("mood", "ptsd"):
        numbers = told("consort", house, study=study).answer.numbers
        opened = {
            e.stream for e in EventRow.objects.filter(kind="course_opened") if json.loads(e.payload)["study"] == study
        }

        def happened(kind: str, opened: set[str] = opened) -> int:
            return EventRow.objects.filter(kind=kind, stream__in=opened).values("stream").distinct().count()

        assert numbers["opened"] == len(opened)
        assert numbers["enrolled"] == happened("enrolled")
        assert numbers["screened"] == happened("pre_screened")
        assert numbers["not_enrolled"].get("family-history", 0) == happened("screening_failed")
        arms = numbers["arms"].values()
        assert sum(arm["allocated"] for arm in arms) == happened("allocated")
        assert sum(arm["dosed"] for arm in arms) == happened("dose_given")
        assert sum(arm["completed"] for arm in arms) == happened("course_completed")
        assert sum(arm["left"] for arm in arms) == happened("withdrawn")
        for arm in arms:
            assert arm["allocated"] == arm["completed"] + arm["left"] + arm["continuing"]


# ---- the answers ----------------------------------------------------------------------------------------------


def test_response_is_the_protocols_own_and_carries_wilsons_interval(house: SimpleNamespace) -> None:
    page = told("response-and-remission", house)
    assert page.answer.numbers["definitions"]["response"] == "a fall of at least 50% from baseline"
    found = page.answer.numbers["shares"]["response"]["after-2-week-1"]["everybody"]
    rows = page.data.rows if page.data else pl.DataFrame()
    at = rows.filter(
        (pl.col("measure").cast(pl.String) == "grid-hamd-17.total")
        & (pl.col("visit").cast(pl.String) == "after-2-week-1")
        & pl.col("value").is_not_null()
        & pl.col("dosed")
    )
    responders = at.filter(pl.col("value") <= pl.col("baseline") / 2).height
    assert (found["events"], found["n"]) == (responders, at.height)
    expected = share(responders, at.height)
    assert (found["ci_low"], found["ci_high"]) == (expected.ci_low, expected.ci_high)


def test_the_levin_report_states_its_n_and_refuses_where_there_are_too_few(house: SimpleNamespace) -> None:
    page = told("levin-2024", house)
    pairs = page.answer.numbers["pairs"]
    assert len(pairs) == 12
    for pair in pairs:
        assert ("estimate" in pair) <= (pair["n"] >= 5)
    refused = [pair for pair in pairs if "estimate" not in pair]
    assert len(page.answer.refused) == len(refused)
    assert any("are the least" in line for line in page.answer.refused)
    assert "seed 2024" in page.answer.numbers["interval"]


def test_arms_that_only_waited_are_not_compared(house: SimpleNamespace) -> None:
    page = told("outcome-over-time", house)
    assert page.answer.numbers["mmrm"] is None
    assert any("the same treatment" in line for line in page.answer.refused)


def test_a_guess_that_nobody_was_asked_for_is_said_not_computed(house: SimpleNamespace) -> None:
    answer = told("blinding", house).answer
    assert not answer.tables
    assert "Nobody was asked" in answer.refused[0]


# ---- who may see what -----------------------------------------------------------------------------------------


def test_who_may_not_see_rows_sees_no_small_cell_and_no_single_person(house: SimpleNamespace) -> None:
    for report in ("consort", "outcome-over-time", "response-and-remission", "levin-2024"):
        entitled, other = told(report, house), told(report, house, role="supervisor")
        assert entitled.data is not None and not entitled.answer.withheld
        assert other.data is None and other.answer.withheld
        for count in _counts(other.answer.numbers):
            assert count == 0 or count >= 5, (report, other.answer.numbers)
        for figure in other.answer.figures:
            assert not getattr(figure, "people", ()) and not getattr(figure, "points", ())


def _counts(value: Any, name: str = "") -> Iterator[int]:
    """Every number of people in an answer."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _counts(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from _counts(part, name)
    elif isinstance(value, int) and not isinstance(value, bool) and name not in ("seed",):
        yield value


@pytest.mark.parametrize("role", ["rater", "coordinator", "facilitator", "physician"])
def test_insight_is_closed_to_who_has_no_row_for_it(house: SimpleNamespace, role: str) -> None:
    with pytest.raises(Refused) as refused:
        told("consort", house, role=role)
    assert refused.value.reasons[0].code == "forbidden"
    for address in ("/insight/", "/insight/mood/consort/", "/insight/mood/consort/folder.zip"):
        assert browser(house, role).get(address).status_code == 403


def test_rows_are_closed_to_the_supervisor_and_another_site(house: SimpleNamespace) -> None:
    with pytest.raises(Refused):
        insight.analysis_dataset(study="mood", by=house.staff["supervisor"])
    elsewhere = Actor("somebody", "investigator", "hillside")
    with pytest.raises(Refused) as refused:
        insight.report(study="mood", report="consort", by=elsewhere)
    assert refused.value.reasons[0].code == "not-found"
    assert insight.studies(by=elsewhere) == ()


# ---- pages and folders ----------------------------------------------------------------------------------------


def test_the_pages_show_every_report(house: SimpleNamespace, settings: Any) -> None:
    settings.SIMULATED = True
    client = browser(house, "investigator")
    index = client.get("/insight/").content.decode()
    for report in ("consort", "blinding", "levin-2024", "outcome-over-time", "response-and-remission"):
        address = f"/insight/mood/{report}/"
        assert address in index
        response = client.get(address)
        page = response.content.decode()
        assert response.status_code == 200
        assert house.place in page
        assert "imulated" in page
        assert len(response.content) < 200_000
    assert "/insight/ptsd/levin-2024/" not in index, "it is asked of the studies it is about only"
    assert client.get("/insight/mood/nothing/").status_code == 404
    assert client.get("/insight/nothing/consort/").status_code == 404


def test_a_page_then_is_a_page_now(house: SimpleNamespace) -> None:
    client = browser(house, "investigator")
    then = client.get(f"/insight/mood/consort/?at={house.place}")
    assert then.status_code == 200
    assert client.get("/insight/mood/consort/?at=9999999999.9999999999").status_code == 409


def test_the_folder_makes_its_numbers_again(house: SimpleNamespace, tmp_path: Path) -> None:
    client = browser(house, "data_manager")
    address = "/insight/mood/response-and-remission/folder.zip"
    response = client.get(address)
    zipfile.ZipFile(io.BytesIO(response.content)).extractall(tmp_path)
    top = tmp_path / "mood-response-and-remission"
    assert (top / "report.pdf").read_bytes().startswith(b"%PDF-")
    assert list(top.glob("figures/*.svg")) and list(top.glob("tables/*.csv"))
    run = [sys.executable, "reproduce.py"]
    done = subprocess.run(run, cwd=top, capture_output=True, text=True, check=False, env=_bare())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("The numbers are the same.")
    # Another number is noticed.
    published = json.loads((top / "numbers.json").read_text())
    published["numbers"]["shares"]["response"]["after-2-week-1"]["everybody"]["events"] += 1
    (top / "numbers.json").write_text(json.dumps(published))
    assert subprocess.run(run, cwd=top, capture_output=True, check=False, env=_bare()).returncode == 1


def _bare() -> dict[str, str]:
    """An environment without a database or a server."""
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[2])}


def test_a_machine_that_cannot_make_paper_still_gives_the_folder(
    house: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*given: Any, **more: Any) -> bytes:
        raise refuse("The paper was not made", "this machine has no Pango")

    monkeypatch.setattr("keel.web.layout.paper.as_pdf", without)
    files = report_folder(told("consort", house))
    assert "report.pdf" not in files
    assert b"no Pango" in files["WITHOUT-PDF.txt"]
    assert json.loads(files["numbers.json"])["numbers"]["opened"] > 0


def test_the_folder_of_who_may_not_see_rows_has_none(house: SimpleNamespace) -> None:
    response = browser(house, "supervisor").get("/insight/mood/levin-2024/folder.zip")
    names = zipfile.ZipFile(io.BytesIO(response.content)).namelist()
    assert any(name.endswith("numbers.json") for name in names)
    assert not [name for name in names if "/data/" in name or name.endswith(".py")]
    assert browser(house, "supervisor").get("/insight/mood/dataset.zip").status_code == 403


# ---- the command line -----------------------------------------------------------------------------------------


def test_the_commands_write_the_same_as_the_pages(house: SimpleNamespace, tmp_path: Path, capsys: Any) -> None:
    assert main(["export", "dataset", "--study", "mood", "--out", str(tmp_path / "data")]) == 0
    said = json.loads(capsys.readouterr().out)
    found = insight.analysis_dataset(study="mood", by=house.staff["data_manager"])
    assert (tmp_path / "data/dataset.parquet").read_bytes() == found.parquet
    assert said["rows"] == found.rows.height
    assert main(["report", "consort", "--study", "mood", "--out", str(tmp_path / "report")]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["numbers"] == told("consort", house).answer.numbers
    assert numbers["made_from"]["place"] == house.place
    Report.from_table(__import__("tomllib").loads((tmp_path / "report/report.toml").read_text()), "report.toml")
    assert main(["report", "consort", "--study", "nothing", "--out", str(tmp_path / "none")]) == 1
    assert "no such study" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


# ---- long work ----------------------------------------------------------------------------------------------


def test_a_report_that_takes_long_says_how_far_it_is_comes_by_itself_and_can_be_stopped(
    house: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work waits for the test at its first step; nothing here depends on how fast it is."""
    page = told("consort", house)
    begun, go_on = threading.Event(), threading.Event()

    def slow(**_: object) -> insight.ReportPage:
        step("Drawing imputations", 30, 120)
        begun.set()
        assert go_on.wait(60)
        step("Drawing imputations", 60, 120)
        return page

    monkeypatch.setattr("keel.web.insight.reports.insight.report", slow)
    monkeypatch.setattr("keel.web.insight.work.beside", lambda: True)
    monkeypatch.setattr("keel.web.insight.work.WAIT_SECONDS", 0.01)
    client = browser(house, "investigator")
    address = f"/insight/mood/consort/?at={house.place}"
    client.get(address)
    assert begun.wait(60)
    working = client.get(address).content.decode()
    assert "Drawing imputations: 25 %" in working
    assert 'value="30"' in working
    assert client.post("/insight/mood/consort/stop/", {"at": house.place}).status_code == 302
    go_on.set()
    stopped = settled(client, address, 409)
    assert "The report was stopped" in stopped
    begun.clear()
    client.get(address)
    assert begun.wait(60)
    assert page.report.title in settled(client, address, 200)
    assert client.post("/insight/mood/consort/stop/", {"at": house.place}).status_code == 409


def settled(client: Client, address: str, status: int) -> str:
    """The page once it is no longer the one that says how far the work is."""
    while True:
        answer = client.get(address)
        text = answer.content.decode()
        if "Stop it" not in text:
            assert answer.status_code == status, text[:600]
            return text


def test_who_sees_no_rows_cannot_step_through_the_journal(house: SimpleNamespace) -> None:
    doses = EventRow.objects.filter(kind="dose_given").order_by("xid", "seq").values_list("xid", "seq")
    early = str(Place(*doses[3]))
    study = {"study": "mood", "report": "outcome-over-time"}
    assert insight.report(**study, by=house.staff["investigator"], place=early).study.id == "mood"
    with pytest.raises(Refused, match="two places differ by what single people entered"):
        insight.report(**study, by=house.staff["supervisor"], place=early)
    assert insight.report(**study, by=house.staff["supervisor"], place=house.place).answer.withheld


# ---- published evidence ---------------------------------------------------------------------------------------


def test_published_evidence_stands_beside_what_comes_out_of_it(house: SimpleNamespace) -> None:
    at = browser(house, "supervisor")
    whole = at.get("/insight/published/").content.decode()
    assert whole.count("<svg") == 2 * 2 * 3, "a forest and a funnel of each pool, wide and narrow"
    davis = at.get("/insight/published/", {"trial": "davis-2021"}).content.decode()
    assert (
        'href="?trial=davis-2021"' in whole and "not verified" in davis and "Marked as corrected in the source" in davis
    )
    differing = at.get("/insight/published/", {"trial": "carhart-harris-2021", "which": "differs"}).content.decode()
    assert "a Wald interval that ends at 46" in differing and "Davis 2021</h2>" not in differing
    assert at.get("/insight/published/", {"trial": "comp001", "which": "same"}).status_code == 200, "unknown is all"
    numbers = at.get("/insight/published/numbers.json").json()
    assert numbers["pools"][0]["pooled"]["estimate"] == pytest.approx(-0.9031, abs=5e-5)
    assert at.get("/insight/published/data.csv").content.decode().count("\n") > 80
    assert browser(house, "rater").get("/insight/published/").status_code == 403
