"""How Keel says no: a refusal is data with sentences, never a bare False."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One reason for a refusal.

    `what` was refused, `why`, and the `mend` that would make it right: three sentences or
    fragments a person can act on. `where` names the place (a file and key, a field, an item);
    `code` is stable and machine-readable.
    """

    what: str
    why: str
    mend: str = ""
    where: str = ""
    code: str = "refused"

    def __str__(self) -> str:
        parts = [p.strip().rstrip(".") for p in (self.what, self.why, self.mend) if p.strip()]
        sentence = ". ".join(parts) + "."
        return f"{self.where}: {sentence}" if self.where else sentence

    def as_json(self) -> dict[str, str]:
        return {"code": self.code, "where": self.where, "what": self.what, "why": self.why, "mend": self.mend}


class Refused(Exception):
    """Raised by every check_x: what was asked may not happen, and `reasons` say why. Nothing was written."""

    def __init__(self, reasons: Reason | Iterable[Reason]):
        self.reasons: tuple[Reason, ...] = (reasons,) if isinstance(reasons, Reason) else tuple(reasons)
        super().__init__("\n".join(str(r) for r in self.reasons))


def refuse(what: str, why: str, mend: str = "", *, where: str = "", code: str = "refused") -> Refused:
    """Build a Refused of one reason: `raise refuse("The dose was not recorded", "…", "…")`."""
    return Refused(Reason(what=what, why=why, mend=mend, where=where, code=code))
