"""What an import would do, said before it is done: a dry run is a report, and a report that refuses writes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from keel.domain.errors import Reason

# new: not on the shelf yet · changed: other than what travelled with the form · kept: has no place here, kept as text
# not_understood: an expression kept as text · suspicious: a known trap · refused: nothing is imported while it stands
Kind = Literal["new", "same", "changed", "kept", "not_understood", "suspicious", "refused"]


@dataclass(frozen=True)
class Finding:
    """One line of a report. `where` names the row and column (or the item and element); `what` and `mend` are for a
    person."""

    kind: Kind
    where: str
    what: str
    mend: str = ""

    def as_json(self) -> dict[str, str]:
        return {"kind": self.kind, "where": self.where, "what": self.what, "mend": self.mend}

    def as_reason(self) -> Reason:
        return Reason(self.what, "nothing was imported", self.mend, where=self.where, code="import-refused")


@dataclass(frozen=True)
class Definition:
    """One definition that an import would write: `<id>.toml` with this text."""

    id: str
    toml: str


@dataclass(frozen=True)
class Report:
    """What was found in one file, and the definitions that it makes; none of them while anything is refused."""

    format: str
    file: str
    sha256: str
    fields: int
    definitions: tuple[Definition, ...]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not any(finding.kind == "refused" for finding in self.findings)

    def reasons(self) -> tuple[Reason, ...]:
        return tuple(finding.as_reason() for finding in self.findings if finding.kind == "refused")

    def as_json(self) -> dict[str, Any]:
        return {
            "format": self.format,
            "file": self.file,
            "sha256": self.sha256,
            "fields": self.fields,
            "ok": self.ok,
            "instruments": [definition.id for definition in self.definitions],
            "counts": counted(self.findings),
            "findings": [finding.as_json() for finding in self.findings],
        }


def counted(findings: Iterable[Finding]) -> dict[str, int]:
    out: dict[str, int] = {}
    for finding in findings:
        out[finding.kind] = out.get(finding.kind, 0) + 1
    return out
