"""What is being estimated, in the five attributes of ICH E9(R1), kept beside the number it belongs to.

Missing data are not intercurrent events: an event changes what the outcome means or whether it exists, a missing value
is one that would have been of use and was not collected. Source: ICH E9(R1), 2019, step 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from keel.domain.errors import refuse

STRATEGIES: dict[str, str] = {
    "treatment policy": "the outcome counts whatever happened",
    "hypothetical": "the outcome that would have been seen had it not happened",
    "composite": "its happening is part of the outcome",
    "while on treatment": "the outcome up to its happening",
    "principal stratum": "only those in whom it would (or would not) happen",
}

# How missing outcomes after an event are imputed under each strategy that needs it (keel.outcomes.imputation).
IMPUTED_AS: dict[str, tuple[str, ...]] = {
    "treatment policy": ("MAR", "J2R", "CIR", "CR"),
    "hypothetical": ("MAR",),
    "while on treatment": ("LMCF",),
}


@dataclass(frozen=True)
class IntercurrentEvent:
    """One thing that may happen after treatment begins, the strategy for it and, if needed, the imputation."""

    event: str
    strategy: str
    imputation: str = ""

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise refuse(
                f"{self.strategy!r} is not a strategy for {self.event}",
                "ICH E9(R1) names five",
                f"Choose one of: {', '.join(STRATEGIES)}",
                where=self.event,
            )
        allowed = IMPUTED_AS.get(self.strategy, ())
        if self.imputation and self.imputation not in allowed:
            raise refuse(
                f"{self.imputation} does not estimate the {self.strategy} strategy for {self.event}",
                f"that strategy is imputed as {', '.join(allowed) or 'nothing'}",
                "Change the strategy or the imputation",
                where=self.event,
            )


@dataclass(frozen=True)
class Estimand:
    """The five attributes. Refuses an empty one and an event named twice."""

    population: str
    treatment: str
    variable: str
    intercurrent_events: tuple[IntercurrentEvent, ...]
    summary: str

    def __post_init__(self) -> None:
        for attribute in ("population", "treatment", "variable", "summary"):
            if not getattr(self, attribute).strip():
                raise refuse(
                    "The estimand was not written", f"its {attribute} is empty", "Say it in words", where=attribute
                )
        names = [event.event for event in self.intercurrent_events]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise refuse("The estimand was not written", f"{twice} has two strategies", "Choose one", where=twice)

    def sentences(self) -> tuple[str, ...]:
        """The five attributes as a reader sees them."""
        events = "; ".join(
            f"{e.event}: {e.strategy} ({STRATEGIES[e.strategy]})"
            + (f", imputed as {e.imputation}" if e.imputation else "")
            for e in self.intercurrent_events
        )
        return (
            f"Population: {self.population}",
            f"Treatment: {self.treatment}",
            f"Variable: {self.variable}",
            f"Intercurrent events: {events or 'none named'}",
            f"Summary: {self.summary}",
        )


@dataclass(frozen=True)
class Estimated:
    """A result with its estimand, the estimator, and the assumption that the missing data need."""

    estimand: Estimand
    estimator: str
    missing_data: str
    estimate: float
    se: float
    ci_low: float
    ci_high: float
    p: float
    sensitivity: tuple[tuple[str, float, float], ...] = ()

    def with_sensitivity(self, rows: Iterable[tuple[str, float, float]]) -> Estimated:
        """The same result with (assumption, estimate, p) of analyses that change one assumption."""
        known = (self.estimand, self.estimator, self.missing_data, self.estimate, self.se, self.ci_low, self.ci_high)
        return Estimated(*known, self.p, (*self.sensitivity, *rows))
