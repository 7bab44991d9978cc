"""Alerts, crisis lines, adverse events and reporting clocks, as the shelf says them.

A site's shelf may hold its own `tables/alert_ladder.toml` or `tables/crisis_lines.toml`: it then stands instead of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keel.domain.adverse_event import CLOCK_FACTS, STARTS, Clock, Window
from keel.domain.alert import Escalation, Ladder, Rung
from keel.domain.errors import refuse
from keel.domain.expression import parse
from keel.domain.periodic import Duty
from keel.library import shelf
from keel.library.rule_files import resolve


@dataclass(frozen=True)
class CrisisLines:
    """Help at once in one country: the emergency number and the lines (name, call, text, hours)."""

    country: str
    emergency: str
    lines: tuple[Mapping[str, str], ...]
    verified: bool


def ladder(level: str) -> Ladder:
    """The ladder for an alert level (urgent, notify). Refuses a level that has none, and rungs out of order."""
    table = shelf.read("tables", "alert_ladder").table
    row = table["ladders"].get(level)
    if row is None:
        raise refuse(f"There is no ladder for {level!r}", "the table has none", f"Known: {', '.join(table['ladders'])}")
    rungs = tuple(Rung(rung["role"], rung["after_minutes"]) for rung in row["rungs"])
    minutes = [rung.after_minutes for rung in rungs]
    if not rungs or minutes[0] != 0 or minutes != sorted(set(minutes)) or row["then_every_minutes"] < 1:
        raise refuse(
            f"The ladder for {level!r} was not read",
            "its first rung has to be at minute 0 and each next one later",
            "Mend the table",
            where="tables/alert_ladder.toml",
        )
    return Ladder(level, rungs, row["then_every_minutes"], table["verified"])


def escalations() -> dict[str, Escalation]:
    """What each triage level asks for, by level."""
    rows = shelf.read("tables", "alert_ladder").table["escalation"]
    return {
        level: Escalation(level=level, **{**row, "cleared_by": tuple(row["cleared_by"])}) for level, row in rows.items()
    }


def crisis_lines(country: str) -> CrisisLines | None:
    """Help at once in a country (two letters); None where we know of none, and the site's own number stands alone."""
    table = shelf.read("tables", "crisis_lines").table
    row = table["countries"].get(country.upper())
    return (
        None if row is None else CrisisLines(country.upper(), row["emergency"], tuple(row["lines"]), table["verified"])
    )


def terms() -> tuple[str, ...]:
    """The terms of the adverse-event form, in its order."""
    return tuple(shelf.read("tables", "adverse_events").table["terms"])


def watched_terms() -> frozenset[str]:
    return frozenset(shelf.read("tables", "adverse_events").table["watch"])


def terms_apart() -> frozenset[str]:
    """Terms that go to people outside the treating team, not onto the form of the team."""
    return frozenset(shelf.read("tables", "adverse_events").table["report_apart"])


def windows() -> tuple[Window, ...]:
    rows = shelf.read("tables", "adverse_events").table["windows"]
    return tuple(Window(row["id"], row["label"], row["first_day"], row.get("last_day")) for row in rows)


def regimes_of(country: str) -> frozenset[str]:
    """The reporting regimes that a site is under by its country alone, until the site names its own."""
    rows = shelf.read("tables", "reporting_clocks").table["countries"]
    return frozenset({*rows["everywhere"], *rows.get(country.upper(), ())})


def clocks() -> tuple[Clock, ...]:
    """The reporting clocks. Refuses a condition that asks for what an event does not have, and a start that nobody knows."""
    found = tuple(_clock(row) for row in shelf.read("tables", "reporting_clocks").table["clocks"])
    known = {*STARTS, *(f"sent:{clock.id}" for clock in found)}
    for clock in found:
        if clock.starts not in known:
            where = f"tables/reporting_clocks.toml, {clock.id}"
            raise refuse(
                "The clock was not read", f"nothing is called {clock.starts!r} that could start it", where=where
            )
    return found


def duties() -> tuple[Duty, ...]:
    """The reports that are owed by the calendar."""
    rows = shelf.read("tables", "reporting_clocks").table.get("periodic", ())
    return tuple(
        Duty(
            id=row["id"],
            regime=row["regime"],
            label=row["label"],
            every_months=row["every_months"],
            due_days=row["due_days"] if isinstance(row["due_days"], int) else None,
            owner=row["owner"],
            evidence=tuple(resolve(one, f"tables/reporting_clocks.toml, {row['id']}") for one in row["evidence"]),
            verified=row["verified"],
        )
        for row in rows
    )


def _clock(row: Mapping[str, object]) -> Clock:
    where = f"tables/reporting_clocks.toml, {row['id']}"
    when = parse(str(row["when"]))
    unheard = sorted(when.paths - CLOCK_FACTS)
    if unheard or when.questions:
        raise refuse(
            "The clock was not read", f"its condition asks for {', '.join(unheard) or 'a question'}", where=where
        )
    days, evidence = row["days"], row["evidence"]
    assert isinstance(evidence, list)
    return Clock(
        id=str(row["id"]),
        regime=str(row["regime"]),
        label=str(row["label"]),
        when=when,
        starts=str(row["starts"]),
        days=days if isinstance(days, int) else None,
        owner=str(row["owner"]),
        evidence=tuple(resolve(str(one), where) for one in evidence),
        verified=bool(row["verified"]),
    )
