"""Amounts of different units never mix, and no dose passes that the protocol does not have."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keel.domain.dose import UNITS_OF, Amount, Mg, MgPer70Kg, MgPerKg, Ug, amount, poured
from keel.domain.dose_rules import Given, check_dose
from keel.domain.errors import Refused
from keel.library.protocol_files import protocol

PSILOCYBIN, MDMA, LSD, DMT = "psilocybin-anhydrous", "mdma-hcl", "lsd-freebase-equivalent", "ayahuasca-dmt"


# ---- units ---------------------------------------------------------------------------------------


def test_units_are_different_types() -> None:
    assert Mg(25) != MgPer70Kg(25) != Ug(25) != MgPerKg(25) != MgPer70Kg(25)
    kinds = [type(amount(1, unit)) for unit in ("mg", "mg_per_kg", "mg_per_70kg", "ug")]
    assert kinds == [Mg, MgPerKg, MgPer70Kg, Ug]
    with pytest.raises(TypeError):
        Mg(25) + MgPer70Kg(25)


@pytest.mark.parametrize(
    ("given_amount", "weight_kg", "mg", "text"),
    [
        (MgPer70Kg(20), 70, "20.0", "20 mg × 70 kg ÷ 70 kg = 20.0 mg"),
        (MgPer70Kg(30), 84, "36.0", "30 mg × 84 kg ÷ 70 kg = 36.0 mg"),
        (MgPer70Kg(20), 61.3, "17.5", "20 mg × 61.3 kg ÷ 70 kg = 17.5 mg"),
        (MgPerKg(0.36), 70, "25.20", "0.36 mg per kg × 70 kg = 25.20 mg"),
        (MgPerKg(0.36), 61.3, "22.07", "0.36 mg per kg × 61.3 kg = 22.07 mg"),
        (Ug(100), None, "0.1", "100 µg ÷ 1000 = 0.1 mg"),
        (Mg(25), 90, "25", "25 mg is given as it stands; body weight does not change it"),
    ],
)
def test_the_arithmetic_is_shown(given_amount: Amount, weight_kg: float | None, mg: str, text: str) -> None:
    worked = given_amount.worked(weight_kg)
    assert (worked.mg, worked.text) == (Decimal(mg), text)


@pytest.mark.parametrize("weight_kg", [None, 0, -70, float("nan")])
def test_a_dose_by_weight_needs_the_weight(weight_kg: float | None) -> None:
    for dose in (MgPer70Kg(20), MgPerKg(0.36)):
        with pytest.raises(Refused, match="Weigh the person"):
            dose.worked(weight_kg)


@given(st.floats(1, 40), st.floats(30, 200), st.floats(0, 100))
def test_a_heavier_person_never_gets_less(x: float, weight_kg: float, more: float) -> None:
    for dose in (MgPer70Kg(x), MgPerKg(x)):
        assert dose.worked(weight_kg).mg <= dose.worked(weight_kg + more).mg


# ---- ayahuasca is poured: the dose is the DMT, the millilitres follow from the lot ---------------


@pytest.mark.parametrize(
    ("weight_kg", "mg_per_ml", "ml", "text"),
    [
        (70, 0.36, "70.0", "0.36 mg per kg × 70 kg = 25.20 mg; 25.20 mg ÷ 0.36 mg per mL = 70.0 mL, 1.00 mL per kg"),
        (61.3, 0.6, "36.8", "0.36 mg per kg × 61.3 kg = 22.07 mg; 22.07 mg ÷ 0.6 mg per mL = 36.8 mL, 0.60 mL per kg"),
    ],
)
def test_a_stronger_lot_is_poured_less(weight_kg: float, mg_per_ml: float, ml: str, text: str) -> None:
    found = poured(MgPerKg(0.36).worked(weight_kg), mg_per_ml, weight_kg)
    assert (found.ml, found.text) == (Decimal(ml), text)


@given(st.floats(30, 200), st.floats(0.05, 100))
def test_what_is_poured_holds_the_dose_whatever_the_lot(weight_kg: float, mg_per_ml: float) -> None:
    dose = MgPerKg(0.36).worked(weight_kg)
    held_mg = float(poured(dose, mg_per_ml, weight_kg).ml) * mg_per_ml
    assert held_mg == pytest.approx(float(dose.mg), rel=0.05)  # half of the last digit that is poured, of the smallest


@pytest.mark.parametrize("mg_per_ml", [None, 0, -0.36, float("nan"), float("inf"), 1e-9, 101])
def test_a_lot_of_unknown_strength_is_not_poured(mg_per_ml: float | None) -> None:
    with pytest.raises(Refused, match="analysis of the lot"):
        poured(MgPerKg(0.36).worked(70), mg_per_ml, 70)


def test_ayahuasca_has_no_unit_but_the_dmt_per_kilogram() -> None:
    assert UNITS_OF["ayahuasca-dmt"] == ("mg_per_kg",)
    assert [s for s, units in UNITS_OF.items() if "mg_per_kg" in units] == ["ayahuasca-dmt"]


# ---- what the protocol allows --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("id", "visit", "arm", "substance", "dose"),
    [
        ("davis-2021", "session-1", "delayed", PSILOCYBIN, MgPer70Kg(20)),
        ("davis-2021", "session-2", "immediate", PSILOCYBIN, MgPer70Kg(30)),
        ("comp001", "dosing", "10mg", PSILOCYBIN, Mg(10)),
        ("agrawal-2024", "dosing", "psilocybin", PSILOCYBIN, Mg(25)),
        ("mapp2", "session-1", "mdma", MDMA, Mg(80)),
        ("mapp2", "session-3", "placebo", "placebo", None),
        ("mm120-phase-2b", "dosing", "100ug", LSD, Ug(100)),
        ("oregon-adult-psilocybin", "administration", "service", "psilocybin-analyte", Mg(50)),
        ("raison-2023", "dosing", "niacin", "niacin", Mg(100)),
        ("griffiths-2016", "session-1", "low-first", PSILOCYBIN, MgPer70Kg(3)),
        ("palhano-fontes-2019", "dosing", "ayahuasca", DMT, MgPerKg(0.36)),
        ("palhano-fontes-2019", "dosing", "placebo", "placebo", None),
    ],
)
def test_the_protocols_own_dose_passes(id: str, visit: str, arm: str, substance: str, dose: Amount | None) -> None:
    assert check_dose(protocol(id), visit, arm, substance=substance, amount=dose).substance == substance


@pytest.mark.parametrize(
    ("id", "visit", "arm", "substance", "dose", "code", "said"),
    [
        ("davis-2021", "session-1", "immediate", PSILOCYBIN, Mg(20), "wrong-unit", "20 mg is in milligrams"),
        ("davis-2021", "session-1", "immediate", PSILOCYBIN, None, "wrong-unit", "no amount was named"),
        ("davis-2021", "session-1", "immediate", PSILOCYBIN, MgPer70Kg(30), "over-maximum", "20 mg per 70 kg"),
        ("davis-2021", "session-2", "immediate", PSILOCYBIN, MgPer70Kg(25), "not-in-protocol", "Give 30 mg per 70 kg"),
        ("davis-2021", "baseline", "immediate", PSILOCYBIN, MgPer70Kg(20), "no-dose-here", "gives none"),
        ("davis-2021", "session-1", "immediate", "psilocin", MgPer70Kg(20), "wrong-substance", "not psilocin"),
        ("davis-2021", "session-1", "immediate", "aspirin", Mg(500), "wrong-substance", "not aspirin"),
        ("comp001", "dosing", "1mg", PSILOCYBIN, Mg(25), "over-maximum", "over the maximum"),
        ("comp001", "dosing", "25mg", PSILOCYBIN, Mg(-25), "no-amount", "above zero"),
        ("mapp2", "session-1", "placebo", MDMA, Mg(80), "wrong-substance", "gives placebo"),
        ("mapp2", "session-1", "placebo", "placebo", Mg(80), "wrong-unit", "placebo has no amount"),
        ("mapp2", "session-1", "mdma", MDMA, Mg(125), "over-maximum", "80 mg or 120 mg"),
        ("mm120-phase-2b", "dosing", "100ug", LSD, Mg(100), "wrong-unit", "counts this dose in micrograms"),
        ("palhano-fontes-2019", "dosing", "ayahuasca", DMT, MgPer70Kg(25.2), "wrong-unit", "milligrams per kg, and"),
        ("palhano-fontes-2019", "dosing", "ayahuasca", DMT, Mg(25), "wrong-unit", "25 mg is in milligrams"),
        ("palhano-fontes-2019", "dosing", "ayahuasca", DMT, Ug(360), "wrong-unit", "in micrograms"),
        ("palhano-fontes-2019", "dosing", "ayahuasca", DMT, MgPerKg(1), "over-maximum", "Give 0.36 mg per kg"),
        ("palhano-fontes-2019", "dosing", "ayahuasca", DMT, MgPerKg(0.3), "not-in-protocol", "Give 0.36 mg per kg"),
        ("palhano-fontes-2019", "dosing", "ayahuasca", "ayahuasca", MgPerKg(0.36), "wrong-substance", "the DMT in it"),
        ("palhano-fontes-2019", "dosing", "placebo", DMT, MgPerKg(0.36), "wrong-substance", "gives placebo"),
        ("davis-2021", "session-1", "immediate", PSILOCYBIN, MgPerKg(20), "wrong-unit", "20 mg per kg is in"),
        (
            "oregon-adult-psilocybin",
            "administration",
            "service",
            "psilocybin-analyte",
            Mg(50.5),
            "over-maximum",
            "50 mg",
        ),
        ("oregon-adult-psilocybin", "administration", "service", PSILOCYBIN, Mg(25), "wrong-substance", "analyte"),
    ],
)
def test_any_other_dose_is_refused(
    id: str, visit: str, arm: str, substance: str, dose: Amount | None, code: str, said: str
) -> None:
    with pytest.raises(Refused, match=said) as refused:
        check_dose(protocol(id), visit, arm, substance=substance, amount=dose)
    assert code in {r.code for r in refused.value.reasons}
    assert all(r.what == "The dose was not allowed" and r.mend for r in refused.value.reasons)


# ---- the supplemental dose -----------------------------------------------------------------------


def booster(first_mg: float, then_mg: float, minute: int, *more: Given) -> None:
    given_before = [Given("mdma-hcl", Mg(first_mg)), *more]
    check_dose(
        protocol("mapp2"), "session-2", "mdma", substance=MDMA, amount=Mg(then_mg), before=given_before, minute=minute
    )


@pytest.mark.parametrize(("first_mg", "then_mg", "minute"), [(80, 40, 90), (80, 40, 120), (120, 60, 105)])
def test_half_of_the_first_within_the_window_passes(first_mg: float, then_mg: float, minute: int) -> None:
    booster(first_mg, then_mg, minute)


@pytest.mark.parametrize(
    ("first_mg", "then_mg", "minute", "said"),
    [
        (120, 60, 89, "Wait until it opens"),
        (120, 60, 121, "The window has closed"),
        (80, 60, 100, "half of the first"),
        (120, 120, 100, "over the protocol's 180 mg"),
    ],
)
def test_any_other_booster_is_refused(first_mg: float, then_mg: float, minute: int, said: str) -> None:
    with pytest.raises(Refused, match=said):
        booster(first_mg, then_mg, minute)


def test_there_is_no_third_dose() -> None:
    with pytest.raises(Refused, match="already given"):
        booster(80, 40, 100, Given("mdma-hcl", Mg(40), 95))


def test_psilocybin_has_no_second_dose() -> None:
    before = [Given("psilocybin-anhydrous", Mg(25))]
    with pytest.raises(Refused, match="no second one"):
        check_dose(protocol("comp001"), "dosing", "25mg", substance=PSILOCYBIN, amount=Mg(25), before=before, minute=60)


@given(st.lists(st.floats(0.5, 60), min_size=1, max_size=6))
def test_oregons_total_never_passes_50_mg(doses: list[float]) -> None:
    """Whatever is tried, what was allowed adds up to no more than the maximum."""
    given_so_far: list[Given] = []
    for minute, mg in enumerate(doses):
        try:
            check_dose(
                protocol("oregon-adult-psilocybin"),
                "administration",
                "service",
                substance="psilocybin-analyte",
                amount=Mg(mg),
                before=given_so_far,
                minute=minute,
            )
        except Refused:
            continue
        given_so_far.append(Given("psilocybin-analyte", Mg(mg), minute))
    assert sum(g.amount.value for g in given_so_far) <= 50


def test_an_earlier_dose_in_another_unit_is_not_added() -> None:
    with pytest.raises(Refused, match="cannot be added"):
        check_dose(
            protocol("mapp2"),
            "session-1",
            "mdma",
            substance=MDMA,
            amount=Mg(40),
            before=[Given("mdma-hcl", MgPer70Kg(80))],
            minute=100,
        )
