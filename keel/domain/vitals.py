"""Vital signs: what can be a reading at all.

House rule, to be signed off by a site: outside these ranges a number is a slip of the finger or a broken device,
not a finding. Thresholds that call for something are the protocol's and far narrower.
"""

from __future__ import annotations

from collections.abc import Mapping

from keel.domain.errors import Reason, Refused

PLAUSIBLE: dict[str, tuple[float, float, str]] = {
    "systolic_mmhg": (40, 300, "mmHg"),
    "diastolic_mmhg": (20, 200, "mmHg"),
    "heart_rate_bpm": (20, 260, "beats a minute"),
    "temperature_c": (30, 43, "°C"),
    "spo2_percent": (40, 100, "%"),
}
_LABELS = {
    "systolic_mmhg": "Systolic pressure",
    "diastolic_mmhg": "Diastolic pressure",
    "heart_rate_bpm": "Heart rate",
    "temperature_c": "Temperature",
    "spo2_percent": "Oxygen saturation",
}


def check_vitals(readings: Mapping[str, float | None]) -> dict[str, float]:
    """The readings that were taken; refused when there is none, or one that cannot be."""
    taken = {name: value for name, value in readings.items() if value is not None}
    reasons = []
    if not taken:
        reasons.append(
            Reason("The vital signs were not recorded", "there is no reading among them", "Enter at least one")
        )
    for name, value in taken.items():
        if name not in PLAUSIBLE:
            reasons.append(
                Reason(
                    "The vital signs were not recorded",
                    f"{name!r} is none we know",
                    f"Use {', '.join(PLAUSIBLE)}",
                    name,
                )
            )
            continue
        low, high, unit = PLAUSIBLE[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            why = f"{_LABELS[name].lower()} {value} {unit} cannot be a reading"
            reasons.append(
                Reason(
                    "The vital signs were not recorded", why, f"Enter {low:g} to {high:g} {unit}", name, "implausible"
                )
            )
    above, below = taken.get("systolic_mmhg"), taken.get("diastolic_mmhg")
    if not reasons and above is not None and below is not None and below >= above:
        reasons.append(
            Reason(
                "The vital signs were not recorded",
                f"{above:g} over {below:g} is upside down",
                "Enter systolic, then diastolic",
            )
        )
    if reasons:
        raise Refused(reasons)
    return taken
