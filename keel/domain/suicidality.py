"""Suicidality: what the answers of the C-SSRS screener come to, and how an alert travels until somebody has acted.

Triage levels: high = item 4 or 5 in the past month, or behaviour within three months; moderate = item 3, or
behaviour longer ago; low = item 1 or 2 alone (Columbia triage, see evidence S121 and the instruments facts 5.4).
An unanswered question leaves every level possible that some answer to it would give: if all agree the level
stands, otherwise it is unknown and is acted on like moderate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

LEVELS: Final = ("none", "low", "moderate", "high")
ITEMS: Final = ("q1", "q2", "q3", "q4", "q5", "q6")
WHEN: Final = ("lifetime", "past_3_months")


@dataclass(frozen=True)
class Triage:
    """`level` is none, low, moderate, high or unknown; `possible` are the levels the blanks leave open."""

    level: str
    possible: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        return not self.missing

    def at_least(self, level: str) -> bool | None:
        """Whether the risk is at least `level`; None where the blanks leave it open."""
        reached = {LEVELS.index(p) >= LEVELS.index(level) for p in self.possible}
        return reached.pop() if len(reached) == 1 else None


def triage(answers: Mapping[str, bool | None], q6_when: str | None = None) -> Triage:
    """The triage level of a C-SSRS screener, three-valued.

    `answers` holds q1 to q6; absent or None is unanswered. A No to q2 skips q3 to q5 by the form's own rule.
    """
    given: dict[str, bool | None] = {item: answers.get(item) for item in ITEMS}
    if given["q2"] is False:
        given.update({item: False for item in ("q3", "q4", "q5") if given[item] is None})
    open_when = given["q6"] is not False and q6_when not in WHEN
    missing = tuple(item for item in ITEMS if given[item] is None) + (("q6_when",) if open_when and given["q6"] else ())
    choices = [(True, False) if given[item] is None else (given[item],) for item in ITEMS]
    whens = WHEN if open_when else (q6_when,)
    possible = {
        _level(dict(zip(ITEMS, row[:-1], strict=True)), row[-1] == "past_3_months") for row in product(*choices, whens)
    }
    ordered = tuple(level for level in LEVELS if level in possible)
    return Triage(ordered[0] if len(ordered) == 1 else "unknown", ordered, missing)


def _level(answers: Mapping[str, object], behaviour_is_recent: bool) -> str:
    if answers["q4"] or answers["q5"] or (answers["q6"] and behaviour_is_recent):
        return "high"
    if answers["q3"] or answers["q6"]:
        return "moderate"
    return "low" if answers["q1"] or answers["q2"] else "none"
