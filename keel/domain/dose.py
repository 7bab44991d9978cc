"""Amounts of a substance, each unit its own type, so that 25 mg can never be taken for 25 mg per 70 kg.

`Mg` is a fixed dose. `MgPer70Kg` grows with body weight: dose = x × (weight ÷ 70). `Ug` is micrograms.
None of them can be compared or added to another; only `worked(weight_kg)` turns one into milligrams, and it
shows the arithmetic so that two people can check it.

A substance is named with the form that its mass is counted in: 25 mg of psilocybin is not 25 mg of psilocin.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import ClassVar, Literal

from keel.domain.errors import refuse

Unit = Literal["mg", "mg_per_70kg", "ug"]
Substance = Literal[
    "psilocybin-anhydrous",
    "psilocybin-analyte",
    "psilocin",
    "mdma-hcl",
    "lsd-freebase-equivalent",
    "ayahuasca",
    "niacin",
    "placebo",
]

SUBSTANCE_NAMES: dict[Substance, str] = {
    "psilocybin-anhydrous": "psilocybin, counted as anhydrous psilocybin",
    "psilocybin-analyte": "psilocybin in a mushroom product, counted as psilocybin analyte",
    "psilocin": "psilocin",
    "mdma-hcl": "MDMA, counted as the hydrochloride",
    "lsd-freebase-equivalent": "LSD, counted as freebase equivalent",
    "ayahuasca": "ayahuasca",
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
    "ayahuasca": ("mg",),
    "niacin": ("mg",),
    "placebo": (),
}


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
        if weight_kg is None or not weight_kg > 0:
            raise refuse(
                f"{self} cannot be worked out",
                "the body weight is not known" if weight_kg is None else f"{weight_kg} kg is not a weight",
                "Weigh the person and record the weight in kilograms",
                where="weight_kg",
                code="weight-unknown",
            )
        mg = (exact(self.value) * exact(weight_kg) / 70).quantize(Decimal("0.1"), ROUND_HALF_EVEN)
        return Worked(mg, f"{self.value:g} mg × {weight_kg:g} kg ÷ 70 kg = {mg} mg")

    def __str__(self) -> str:
        return f"{self.value:g} mg per 70 kg"


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


Amount = Mg | MgPer70Kg | Ug

TYPES: dict[Unit, type[Mg] | type[MgPer70Kg] | type[Ug]] = {"mg": Mg, "mg_per_70kg": MgPer70Kg, "ug": Ug}


def amount(value: float, unit: Unit) -> Amount:
    """A number and the name of its unit as a typed amount."""
    return TYPES[unit](value)


def exact(value: float) -> Decimal:
    """The number as it was written, not as binary floating point holds it."""
    return Decimal(repr(value))
