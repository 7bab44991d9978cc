"""A small protocol to vary in tests."""

from __future__ import annotations

import copy
from typing import Any

from keel.domain.protocol import Protocol

TABLE: dict[str, Any] = {
    "id": "small",
    "version": 1,
    "title": "A small protocol",
    "short_title": "Small",
    "service_model": "clinical_trial",
    "indication": "mdd",
    "summary": "For tests.",
    "sources": {"S 1": {"tag": "P", "at": "somewhere"}},
    "arms": [{"id": "only", "label": "Only"}],
    "allocation": {"method": "single", "source": "S 1"},
    "visits": [
        {"id": "baseline", "label": "Baseline", "kind": "baseline", "due_days": 0, "source": "S 1"},
        {
            "id": "dosing",
            "label": "Dosing",
            "kind": "dosing",
            "after": "baseline",
            "due_days": 7,
            "earliest_days": 5,
            "latest_days": 9,
            "source": "S 1",
            "doses": [{"substance": "psilocybin-anhydrous", "unit": "mg", "amounts": [25], "most_total": 25}],
        },
        {
            "id": "after",
            "label": "After",
            "kind": "integration",
            "after": "dosing",
            "due_days": 1,
            "source": "S 1",
            "asks": [{"instrument": "madrs"}],
        },
    ],
}


def table(**changes: Any) -> dict[str, Any]:
    """A fresh copy, with top-level keys replaced."""
    return {**copy.deepcopy(TABLE), **changes}


def visits_of(*visits: dict[str, Any]) -> Protocol:
    """A protocol of one arm with just these visits, everything sourced."""
    whole = [{"label": v["id"], "kind": "assessment", "source": "S 1", **v} for v in visits]
    return Protocol.from_table(table(visits=whole), "small.toml")
