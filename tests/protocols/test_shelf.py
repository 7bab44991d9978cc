"""Every protocol on the shelf: sound, keepable, sourced throughout, and reachable under the contract's ids."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from typing import Any

import pytest

from keel.domain.dose import UNITS_OF
from keel.domain.protocol import Protocol
from keel.domain.schedule import plan
from keel.domain.windows import check_windows
from keel.library import shelf
from keel.library.jurisdiction_files import jurisdictions
from keel.library.protocol_files import protocol, protocols

IDS = {
    "davis-2021": ("immediate", "delayed"),
    "agrawal-2024": ("psilocybin",),
    "mapp1": ("mdma", "placebo"),
    "mapp2": ("mdma", "placebo"),
    "comp001": ("25mg", "10mg", "1mg"),
    "comp005": ("25mg", "placebo"),
    "comp006": ("25mg", "10mg", "1mg"),
    "raison-2023": ("psilocybin", "niacin"),
    "carhart-harris-2021": ("psilocybin", "escitalopram"),
    "griffiths-2016": ("high-first", "low-first"),
    "mm120-phase-2b": ("200ug", "100ug", "50ug", "25ug", "placebo"),
    "oregon-adult-psilocybin": ("service",),
    "palhano-fontes-2019": ("ayahuasca", "placebo"),
}
# Asked for by a trial; Keel's shelf has no definition, so the answers come on paper.
ON_PAPER = {"nih-heals"}


def test_the_contracts_ids_and_arms_are_there() -> None:
    assert {p.id: p.arm_ids for p in protocols()} == IDS


@pytest.mark.parametrize("id", IDS)
def test_the_windows_can_be_kept(id: str) -> None:
    assert check_windows(protocol(id)) == ()


@pytest.mark.parametrize("id", IDS)
def test_no_number_goes_without_a_source(id: str) -> None:
    """Counted by a second way: every number and yes/no in the raw file is a fact, save its version."""
    raw = [v for k, v in _leaves(shelf.read("protocols", id).table) if k != "version" and _is_number(v)]
    facts = [f for f in protocol(id).facts if _is_number(f.value)]
    assert len(facts) == len(raw) > 0
    assert all(f.sources for f in protocol(id).facts)
    assert len({f.path for f in protocol(id).facts}) == len(protocol(id).facts)


@pytest.mark.parametrize("id", IDS)
def test_every_source_can_be_looked_up(id: str) -> None:
    found = protocol(id)
    used = {mark for f in found.facts for mark in f.sources}
    assert {m for m in used if m[0] in "SI" and m[1] == " "} == set(found.sources)
    for fact in found.facts:
        assert fact.verified == bool(found.cites(fact) and not {"M", "house"} & set(fact.sources))


@pytest.mark.parametrize("id", IDS)
def test_what_is_asked_lies_on_the_shelf(id: str) -> None:
    asked = {a.instrument for v in protocol(id).visits for a in v.asks}
    assert asked - set(shelf.ids("instruments")) <= ON_PAPER


@pytest.mark.parametrize(("id", "arm"), [(id, arm) for id, arms in IDS.items() for arm in arms])
def test_every_arm_gives_doses_in_order_after_enrolment(id: str, arm: str) -> None:
    found = protocol(id)
    dosing = [v for v in found.visits_for(arm) if v.kind == "dosing"]
    assert dosing and all(len(v.doses) == 1 for v in dosing)
    for visit in dosing:
        assert visit.present, "somebody must be there when a dose is given"
        assert visit.doses[0].unit in (*UNITS_OF[visit.doses[0].substance], None)
    start = date(2026, 3, 2)
    visits = {v.visit: v for v in plan(found, arm, enrolled_on=start, on=start)}
    days = [visits[v.id].due_on or visits[v.id].earliest_on for v in dosing]
    assert days == sorted(days) and min(d for d in days if d) >= start


@pytest.mark.parametrize(
    ("id", "visit", "arm", "weeks"),
    [
        ("mapp2", "session-3", "mdma", 10),
        ("comp001", "week-3", "25mg", 9),
        ("comp006", "dosing-2", "25mg", 13),
        ("griffiths-2016", "session-2", "low-first", 9),
    ],
)
def test_nominal_days_of_others(id: str, visit: str, arm: str, weeks: int) -> None:
    start = date(2026, 3, 2)
    found = next(v for v in plan(protocol(id), arm, enrolled_on=start, on=start) if v.visit == visit)
    assert found.due_on is not None and (found.due_on - start).days == 7 * weeks


@pytest.mark.parametrize("id", IDS)
def test_a_copy_kept_as_json_reads_the_same(id: str) -> None:
    """A course keeps the table that it began with in the journal, as JSON."""
    kept = json.loads(json.dumps(shelf.read("protocols", id).table, default=str))
    again = Protocol.from_table(kept, "kept")
    assert again == protocol(id)
    assert [f.as_json() for f in again.facts] == [f.as_json() for f in protocol(id).facts]


def test_mapp_primary_lies_about_18_weeks_after_baseline() -> None:
    start = date(2026, 3, 2)
    primary = next(v for v in plan(protocol("mapp2"), "mdma", enrolled_on=start, on=start) if v.visit == "primary")
    assert primary.due_on is not None and abs((primary.due_on - start).days - 18 * 7) <= 7


def test_presence_on_agrawals_day_is_one_to_one() -> None:
    facilitators = protocol("agrawal-2024").visit("dosing", "psilocybin").present[0]
    assert [facilitators.needed(n) for n in (1, 3, 4)] == [1, 3, 4]
    assert protocol("mapp2").visit("session-1", "mdma").present[0].needed(6) == 12


def test_listing_needs_no_django() -> None:
    """The command line answers in a moment, so it must not wake the web."""
    code = "import sys; from keel.cli import main; main(['protocols', 'list']); assert 'django' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [p["id"] for p in json.loads(done.stdout)] == sorted(IDS)


def test_sources_of_jurisdictions_can_be_looked_up() -> None:
    for place in jurisdictions():
        used = {m for f in place.facts for m in f.sources if re.match(r"[SI] ", m)}
        assert used == set(place.sources)


def _leaves(node: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, dict):
        return [leaf for k, v in node.items() if k not in ("source", "sources") for leaf in _leaves(v, k)]
    if isinstance(node, list) and any(isinstance(item, dict) for item in node):
        return [leaf for item in node for leaf in _leaves(item, key)]
    return [(key, node)]


def _is_number(value: Any) -> bool:
    many = value if isinstance(value, list) else [value]
    return bool(many) and all(isinstance(v, int | float) for v in many)
