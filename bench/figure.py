"""One measured figure, always beside another one of the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`ratio` is larger-is-better: ours/beside for rates, beside/ours for times (`better="less"`).

    Units are in `unit`; `n` is the number of repetitions or items behind the figure.
    """

    name: str
    setting: str
    ours: float
    beside: float
    unit: str
    n: int
    better: str = "more"
    note: str = ""

    @property
    def ratio(self) -> float:
        top, bottom = (self.ours, self.beside) if self.better == "more" else (self.beside, self.ours)
        return top / bottom if bottom else float("nan")

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "setting": self.setting,
            "ours": self.ours,
            "beside": self.beside,
            "unit": self.unit,
            "ratio": self.ratio,
            "n": self.n,
            "note": self.note,
        }
