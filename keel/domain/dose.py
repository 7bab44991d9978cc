"""Amounts of a substance, each unit its own type, so that 25 mg can never be taken for 25 mg per 70 kg.

`Mg` is a fixed dose. `MgPer70Kg` and `MgPerKg` grow with body weight: dose = x × (weight ÷ 70), and x × weight.
`Ug` is micrograms. None of them can be compared or added to another; only `worked(weight_kg)` turns one into
milligrams, and it shows the arithmetic so that two people can check it.

A substance is named with the form that its mass is counted in: 25 mg of psilocybin is not 25 mg of psilocin.
Ayahuasca is a liquid whose strength differs from lot to lot: its dose is the DMT in it, never a number of millilitres,
and `poured(…)` works out the millilitres from what the lot was found to hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import ClassVar, Literal

from keel.domain.errors import refuse

Unit = Literal["mg", "mg_per_kg", "mg_per_70kg", "ug"]
Substance = Literal[
    "psilocybin-anhydrous",
    "psilocybin-analyte",
    "psilocin",
    "mdma-hcl",
    "lsd-freebase-equivalent",
    "ayahuasca-dmt",
    "niacin",
    "placebo",
]

SUBSTANCE_NAMES: dict[Substance, str] = {
    "psilocybin-anhydrous": "psilocybin, counted as anhydrous psilocybin",
    "psilocybin-analyte": "psilocybin in a mushroom product, counted as psilocybin analyte",
    "psilocin": "psilocin",
    "mdma-hcl": "MDMA, counted as the hydrochloride",
    "lsd-freebase-equivalent": "LSD, counted as freebase equivalent",
    "ayahuasca-dmt": "ayahuasca, counted as the DMT in it",
    "niacin": "niacin",
    "placebo": "placebo",
}

# The units that a substance may be dosed in here. LSD in milligrams would be a thousandfold error.
UNITS_OF: dict[Substance, tuple[Unit, ...]] = {
    "psilocybin-anhydrous": ("mg", "mg_per_70kg"),
    "psilocybin-analyte": ("mg",),
    "psilocin": ("mg",),
    "mdma-hcl": ("mg",),
    "lsd-freebase-equivalent": ("ug",),
    "ayahuasca-dmt": ("mg_per_kg",),
    "niacin": ("mg",),
    "placebo": (),
}

BY_WEIGHT: frozenset[Unit] = frozenset({"mg_per_kg", "mg_per_70kg"})
"""The units that need the body weight of the day."""

POURED: frozenset[Substance] = frozenset({"ayahuasca-dmt"})
"""The substances that are poured: what a millilitre holds is recorded with the lot."""

STRENGTHS_MG_PER_ML = (0.01, 100.0)
"""What a liquid can hold; it catches slips of the pen and is no safety limit."""


@dataclass(frozen=True)
class Worked:
    """A dose in milligrams and the sum that gave it."""

    mg: Decimal
    text: str


@dataclass(frozen=True)
class Mg:
    """A fixed dose in milligrams."""

    value: float

    unit: ClassVar[Unit] = "mg"

    def worked(self, weight_kg: float | None = None) -> Worked:
        return Worked(exact(self.value), f"{self} is given as it stands; body weight does not change it")

    def __str__(self) -> str:
        return f"{self.value:g} mg"


@dataclass(frozen=True)
class MgPer70Kg:
    """A dose in milligrams per 70 kg of body weight."""

    value: float

    unit: ClassVar[Unit] = "mg_per_70kg"

    def worked(self, weight_kg: float | None = None) -> Worked:
        weight = _weight(self, weight_kg)
        mg = (exact(self.value) * exact(weight) / 70).quantize(Decimal("0.1"), ROUND_HALF_EVEN)
        return Worked(mg, f"{self.value:g} mg × {weight:g} kg ÷ 70 kg = {mg} mg")

    def __str__(self) -> str:
        return f"{self.value:g} mg per 70 kg"


@dataclass(frozen=True)
class MgPerKg:
    """A dose in milligrams per kilogram of body weight."""

    value: float

    unit: ClassVar[Unit] = "mg_per_kg"

    def worked(self, weight_kg: float | None = None) -> Worked:
        weight = _weight(self, weight_kg)
        mg = (exact(self.value) * exact(weight)).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
        return Worked(mg, f"{self.value:g} mg per kg × {weight:g} kg = {mg} mg")

    def __str__(self) -> str:
        return f"{self.value:g} mg per kg"


@dataclass(frozen=True)
class Ug:
    """A fixed dose in micrograms."""

    value: float

    unit: ClassVar[Unit] = "ug"

    def worked(self, weight_kg: float | None = None) -> Worked:
        mg = exact(self.value) / 1000
        return Worked(mg, f"{self.value:g} µg ÷ 1000 = {mg} mg")

    def __str__(self) -> str:
        return f"{self.value:g} µg"


Amount = Mg | MgPerKg | MgPer70Kg | Ug

TYPES: dict[Unit, type[Mg] | type[MgPerKg] | type[MgPer70Kg] | type[Ug]] = {
    "mg": Mg,
    "mg_per_kg": MgPerKg,
    "mg_per_70kg": MgPer70Kg,
    "ug": Ug,
}


def amount(value: float, unit: Unit) -> Amount:
    """A number and the name of its unit as a typed amount."""
    return TYPES[unit](value)


@dataclass(frozen=True)
class Poured:
    """A dose as millilitres of one lot, and the sum that gave it."""

    ml: Decimal
    text: str


def poured(dose: Worked, mg_per_ml: float | None, weight_kg: float | None = None) -> Poured:
    """The millilitres of a lot that hold the dose, rounded to 0.1 mL, below 10 mL to 0.01; `mg_per_ml` is what the lot was found to hold.

    With a weight the sum also says how much that is per kilogram, which two people can hold against what the trial poured.
    Refuses an unknown strength, and one that no liquid has.
    """
    if mg_per_ml is None or not STRENGTHS_MG_PER_ML[0] <= mg_per_ml <= STRENGTHS_MG_PER_ML[1]:
        raise refuse(
            "The volume cannot be worked out",
            "what a millilitre of this lot holds is not known"
            if mg_per_ml is None
            else f"{mg_per_ml:g} mg per mL is no strength",
            "Read the milligrams of DMT per millilitre off the analysis of the lot",
            where="mg_per_ml",
            code="strength-unknown",
        )
    ml = dose.mg / exact(mg_per_ml)
    ml = ml.quantize(Decimal("0.1" if ml >= 10 else "0.01"), ROUND_HALF_EVEN)
    text = f"{dose.text}; {dose.mg} mg ÷ {mg_per_ml:g} mg per mL = {ml} mL"
    if weight_kg:
        text += f", {(ml / exact(weight_kg)).quantize(Decimal('0.01'), ROUND_HALF_EVEN)} mL per kg"
    return Poured(ml, text)


def _weight(dose: MgPerKg | MgPer70Kg, weight_kg: float | None) -> float:
    """The weight that a dose is worked out by; refused where it is not known or is none."""
    if weight_kg is None or not weight_kg > 0:
        raise refuse(
            f"{dose} cannot be worked out",
            "the body weight is not known" if weight_kg is None else f"{weight_kg} kg is not a weight",
            "Weigh the person and record the weight in kilograms",
            where="weight_kg",
            code="weight-unknown",
        )
    return weight_kg


def exact(value: float) -> Decimal:
    """The number as it was written, not as binary floating point holds it."""
    return Decimal(repr(value))
