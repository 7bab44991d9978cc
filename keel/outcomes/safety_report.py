"""The safety table of a study: who had what, out of how many, with small cells kept closed.

Rates are of people (with the exact interval of Clopper and Pearson) and of events per 100 doses: the
exposure is always shown beside them. A cell of fewer people than `smallest` is closed, and with it every
other arm of its row, so that nobody can be found by subtraction; the total of the row stays where it is
large enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from keel.domain.adverse_event import AdverseEvent
from keel.domain.errors import refuse
from keel.outcomes.proportions import share

SMALLEST_CELL = 5
"""House rule: fewer people than this are not shown. A site sets its own."""
TOTAL = "total"


@dataclass(frozen=True)
class Reported:
    """One adverse event as a study counts it: whose, in which arm, in which window after a dose."""

    participant: str
    arm: str
    event: AdverseEvent
    window: str | None = None


@dataclass(frozen=True)
class Exposure:
    """The denominator of an arm: people who were dosed at least once, and doses given."""

    people: int
    doses: int


@dataclass(frozen=True)
class Cell:
    """One arm of one row; `is_closed` and no figure where it would show too few people.

    `percent`, `low` and `high` are of people, 0 to 100, with a 95 percent exact interval; `per_100_doses` of events.
    """

    exposure: Exposure
    is_closed: bool = False
    people: int | None = None
    events: int | None = None
    percent: float | None = None
    low: float | None = None
    high: float | None = None
    per_100_doses: float | None = None


@dataclass(frozen=True)
class Row:
    label: str
    cells: Mapping[str, Cell]


def by_term(one: Reported) -> str:
    return one.event.term


def by_grade(one: Reported) -> str:
    return "not graded" if one.event.grade is None else f"grade {one.event.grade}"


def by_window(one: Reported) -> str:
    return one.window or "before any dose"


def by_valence(one: Reported) -> str:
    return one.event.valence or "not told"


def by_seriousness(one: Reported) -> str:
    return {None: "not judged", True: "serious", False: "not serious"}[one.event.is_serious]


def safety_table(
    reported: Iterable[Reported],
    exposure: Mapping[str, Exposure],
    *,
    by: Callable[[Reported], str] = by_term,
    smallest: int = SMALLEST_CELL,
) -> tuple[Row, ...]:
    """One row per label of `by`, most people first, then by label; a cell per arm and one for the total.

    Refuses an event of an arm without exposure, and more people with an event than people exposed.
    """
    rows: dict[str, list[Reported]] = {}
    for one in reported:
        if one.arm not in exposure:
            raise refuse(
                "The safety table was not made", f"the arm {one.arm!r} has events and no exposure", "Give its doses"
            )
        rows.setdefault(by(one), []).append(one)
    whole = Exposure(sum(e.people for e in exposure.values()), sum(e.doses for e in exposure.values()))
    made = [Row(label, _cells(events, {**exposure, TOTAL: whole}, smallest)) for label, events in rows.items()]
    people = {label: len({one.participant for one in events}) for label, events in rows.items()}
    return tuple(sorted(made, key=lambda row: (-people[row.label], row.label)))


def _cells(events: Sequence[Reported], exposure: Mapping[str, Exposure], smallest: int) -> dict[str, Cell]:
    cells = {arm: _cell([one for one in events if arm in (one.arm, TOTAL)], e) for arm, e in exposure.items()}
    if any(0 < (cell.people or 0) < smallest for arm, cell in cells.items() if arm != TOTAL):
        cells |= {arm: Cell(cell.exposure, is_closed=True) for arm, cell in cells.items() if arm != TOTAL}
    if 0 < (cells[TOTAL].people or 0) < smallest:
        cells[TOTAL] = Cell(cells[TOTAL].exposure, is_closed=True)
    return cells


def _cell(events: Sequence[Reported], exposure: Exposure) -> Cell:
    people = len({one.participant for one in events})
    if people > exposure.people:
        raise refuse(
            "The safety table was not made",
            f"{people} people had the event and {exposure.people} were exposed",
            "Count everybody who was dosed",
        )
    if exposure.people == 0:
        return Cell(exposure, people=0, events=0)
    found = share(people, exposure.people, interval="exact")
    return Cell(
        exposure,
        people=people,
        events=len(events),
        percent=100 * found.estimate,
        low=100 * found.ci_low,
        high=100 * found.ci_high,
        per_100_doses=100 * len(events) / exposure.doses if exposure.doses else None,
    )
