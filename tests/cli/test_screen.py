"""`keel screen` and `keel safety` as another program sees them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from keel.cli import main
from keel.cli.unverified import UNVERIFIED
from keel.library import rule_files


@pytest.fixture
def keel(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*argv: str) -> tuple[int, Any, str]:
        status = main(argv)
        out, err = capsys.readouterr()
        return status, json.loads(out) if out else None, err

    return call


@pytest.fixture
def facts(tmp_path: Path) -> Any:
    def write(value: Any) -> str:
        path = tmp_path / "facts.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(path)

    return write


def by_rule(answer: Any) -> dict[str, Any]:
    return {finding["rule"]: finding for finding in answer["findings"]}


def test_a_stop_is_a_done_judgement(keel: Any, facts: Any) -> None:
    told = {"medications": {"value": [{"name": "Lithium 300 mg"}], "on": "2026-03-01", "source": "chart"}}
    status, answer, _ = keel("screen", "davis-2021", facts(told), "--on", "2026-03-10")
    assert status == 0
    assert answer["verdict"] == "stop"
    lithium = by_rule(answer)["lithium"]
    assert lithium["finding"] == "stop"
    assert lithium["used"]["medications"]["on"] == "2026-03-01"
    assert lithium["used"]["medications"]["source"] == "chart"
    assert lithium["missing"] == []
    assert any("10.1055/a-1524-2794" in evidence for evidence in lithium["evidence"])
    assert set(lithium) >= {"rule", "finding", "because", "evidence", "used", "missing", "basis", "verified"}


def test_worst_first_and_the_same_every_time(keel: Any, facts: Any) -> None:
    path = facts({"age_years": 80, "family_first_degree": {"psychotic_disorder": True}})
    first, second = (keel("screen", "davis-2021", path, "--on", "2026-03-10")[1] for _ in range(2))
    assert first == second
    rank = ["stop", "unknown", "caution", "clear"]
    order = [rank.index(f["finding"]) for f in first["findings"]]
    assert order == sorted(order)
    assert {f["rule"] for f in first["findings"] if f["finding"] == "stop"} == {"age", "family-first-degree"}


def test_a_missing_qtc_is_unknown_and_names_who_can_supply_it(keel: Any, facts: Any) -> None:
    _, answer, _ = keel("screen", "davis-2021", facts({"age_years": 40}), "--on", "2026-03-10")
    qtc = by_rule(answer)["qtc"]
    assert qtc["finding"] == "unknown"
    assert qtc["missing"] == ["qtcf_ms"]
    assert qtc["supply"]["qtcf_ms"]["supplied_by"] == ["physician"]
    assert "Fridericia" in qtc["because"]


def test_what_cannot_be_is_unknown_with_the_reason_and_the_rest_is_judged(keel: Any, facts: Any) -> None:
    told = {
        "age_years": 40,
        "blood_pressure": [{"systolic_mmhg": 1200, "diastolic_mmhg": 80, "on": "2026-03-09"}],
        "qtcf_ms": {"value": 410, "on": "2027-01-01"},
        "weight_kg": "heavy",
        "shoe_size": 42,
    }
    status, answer, err = keel("screen", "mapp2", facts(told), "--on", "2026-03-10")
    assert status == 0
    found = by_rule(answer)
    assert found["age"]["finding"] == "clear"
    assert found["blood-pressure"]["finding"] == found["qtc"]["finding"] == found["weight"]["finding"] == "unknown"
    assert "1200" in found["blood-pressure"]["supply"]["blood_pressure"]["why"]
    assert "after 2026-03-10" in found["qtc"]["supply"]["qtcf_ms"]["why"]
    assert "1200 mmHg" in err and "shoe_size" in err and "heavy" in err


def test_the_facts_may_come_from_standard_input(keel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"age_years": 12}'))
    status, answer, _ = keel("screen", "mapp1", "-", "--on", "2026-03-10")
    assert status == 0
    assert by_rule(answer)["age"]["finding"] == "stop"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("screen", "davis-2099", "FACTS"), "davis-2021"),
        (("screen", "davis-2021", "/nowhere/facts.json"), "were not read"),
        (("screen", "davis-2021", "FACTS", "--on", "tomorrow"), "no date"),
        (("safety", "explain", "lithum"), "lithium"),
    ],
)
def test_a_refusal_is_a_sentence_and_status_1(keel: Any, facts: Any, argv: tuple[str, ...], said: str) -> None:
    path = facts({})
    status, answer, err = keel(*(path if part == "FACTS" else part for part in argv))
    assert status == 1 and answer is None
    assert said in err and "Traceback" not in err


@pytest.mark.parametrize(
    "text",
    [
        *("[1, 2]", "{", "null", '"facts"', "[" * 100000, '{"age_years": ' + "9" * 5000 + "}"),
        *('{"age_years": 40, "age_years": 20}', '{"medications": [{"name": "\\ud800"}]}'),
    ],
)
def test_what_is_no_object_is_refused(keel: Any, facts: Any, text: str) -> None:
    status, _, err = keel("screen", "davis-2021", facts(text))
    assert status == 1 and "were not read" in err


def test_wrong_usage_is_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["screen", "davis-2021"])
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_morning_asks_for_fresher_facts(keel: Any, facts: Any) -> None:
    path = facts({"sex": "female", "pregnancy_test": {"value": "negative", "on": "2026-03-05"}})
    _, admit, _ = keel("screen", "mapp2", path, "--on", "2026-03-10")
    _, morning, _ = keel("screen", "mapp2", path, "--on", "2026-03-10", "--guard", "give_dose")
    assert by_rule(admit)["pregnancy"]["finding"] == "clear"
    assert by_rule(morning)["pregnancy"]["finding"] == "unknown"


@pytest.mark.parametrize("protocol", rule_files.protocol_ids())
def test_every_protocol_of_the_contract_is_judged(keel: Any, facts: Any, protocol: str) -> None:
    status, answer, _ = keel("screen", protocol, facts({}), "--on", "2026-03-10")
    assert status == 0 and answer["verdict"] == "unknown"


def test_explain_list_and_unverified(keel: Any) -> None:
    _, explained, _ = keel("safety", "explain", "qtc")
    assert explained["protocols"]["davis-2021"]["limits"] == {"qtcf_ms": 450}
    assert explained["protocols"]["raison-2023"]["limits"] == {"qtcf_ms": None}
    assert explained["examples"]
    _, listed, _ = keel("safety", "list")
    assert {row["rule"] for row in listed} >= {rule.id for rule in rule_files.all_rules()} | {"medication-ssri"}
    _, unverified, _ = keel("safety", "unverified")
    told = {(row["rule"], row.get("protocol")) for row in unverified}
    assert ("blood-pressure", "davis-2021") in told and ("severity", "davis-2021") not in told
    assert [row["open"] for row in unverified if (row["rule"], row.get("protocol")) == ("qtc", "raison-2023")] == [
        ["qtcf_ms"]
    ]
    kinds = {kind: [row for row in unverified if row["kind"] == kind] for kind in UNVERIFIED}
    assert all(kinds.values()), "each kind has numbers that somebody signs"
    assert ("cool", "mapp2") in {
        (r["rule"].partition("[")[2].partition("]")[0], r["protocol"]) for r in kinds["protocol"]
    }
    assert {"qtcf_ms", "pregnancy_test", "medications"} <= {row["rule"] for row in kinds["age"]}
    assert keel("safety", "unverified", "--kind", "ladder")[1] == kinds["ladder"]


def test_every_finding_can_be_explained(keel: Any, facts: Any) -> None:
    told = {"medications": [{"name": n} for n in ("sertraline", "Prozac", "Viagra", "warfarin", "Gloriazepan")]}
    _, answer, _ = keel("screen", "mapp2", facts(told), "--on", "2026-03-10")
    for rule in by_rule(answer):
        status, explained, _ = keel("safety", "explain", rule)
        assert status == 0 and explained["title"], rule
    _, ssri, _ = keel("safety", "explain", "medication-ssri")
    assert {s: cell["action"] for s, cell in ssri["substances"].items()} == {
        "psilocybin": "taper",
        "mdma": "taper",
        "lsd": "taper",
        "ayahuasca": "exclude",
    }
    assert "sertraline" in ssri["medicines"]


def test_the_manual_is_printed_from_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["safety", "manual"]) == 0
    kept = Path(__file__).parents[2] / "docs" / "manual" / "safety.md"
    assert capsys.readouterr().out == kept.read_text(encoding="utf-8"), (
        "the rules have changed: ./dev keel safety manual > docs/manual/safety.md"
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("weight_kg", {"value": 70, "on": "2026-03-09", "unit": "lb"}),
        ("qtcf_ms", {"value": 440, "on": "2026-03-09", "formula": "Bazett"}),
        ("blood_pressure", [{"systolic_mmhg": 60, "diastolic_mmhg": 40, "on": "2026-03-09", "unit": "kPa"}]),
        ("medications", {"value": [], "on": "2026-03-09", "except": "lithium"}),
    ],
)
def test_a_word_beside_a_value_that_may_change_it_sets_it_aside(keel: Any, facts: Any, name: str, told: Any) -> None:
    status, answer, err = keel("screen", "mapp1", facts({name: told}), "--on", "2026-03-10")
    assert status == 0
    assert answer["verdict"] == "unknown"
    assert f"{name}: " in err
    assert "beside it stands" in err
    assert not any(name in finding["used"] for finding in answer["findings"])


def test_a_value_in_its_own_unit_is_taken(keel: Any, facts: Any) -> None:
    told = {"weight_kg": {"value": 70, "on": "2026-03-09", "unit": "kg"}}
    _, answer, err = keel("screen", "mapp1", facts(told), "--on", "2026-03-10")
    assert not err
    assert by_rule(answer)["weight"]["finding"] == "clear"


@pytest.mark.parametrize("protocol", ["agrawal-2024", "carhart-harris-2021", "mm120-phase-2b", "palhano-fontes-2019"])
@pytest.mark.parametrize(("qtcf_ms", "finding"), [(450, "clear"), (451, "unknown")])
def test_where_no_qtc_limit_was_read_the_medical_lead_decides_above_450(
    keel: Any, facts: Any, protocol: str, qtcf_ms: int, finding: str
) -> None:
    _, answer, _ = keel("screen", protocol, facts({"qtcf_ms": qtcf_ms}), "--on", "2026-03-10")
    assert by_rule(answer)["qtc-borderline"]["finding"] == finding


@pytest.mark.parametrize("protocol", ["mapp1", "mm120-phase-2b"])
def test_where_the_matrix_has_no_word_the_prescriber_is_asked(keel: Any, facts: Any, protocol: str) -> None:
    _, answer, _ = keel("screen", protocol, facts({"medications": [{"name": "diclofenac"}]}), "--on", "2026-03-10")
    assert by_rule(answer)["medication-not-in-matrix"]["finding"] == "unknown"


def test_psilocin_is_named_as_itself_and_an_endless_name_is_shown_short(keel: Any, facts: Any) -> None:
    told = {"medications": [{"name": "psilocin"}, {"name": "x" * 9999}]}
    _, answer, _ = keel("screen", "davis-2021", facts(told), "--on", "2026-03-10")
    assert "(psilocin)" in by_rule(answer)["medication-not-in-matrix"]["because"]
    assert len(by_rule(answer)["medication-unknown-name"]["because"]) < 300
