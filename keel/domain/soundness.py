"""What only the whole file of a protocol can show: ids that are named and missing, anchors in a loop, empty windows.

The shape of each part is checked by its own type; here the parts are held against one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from keel.domain.dose import SUBSTANCE_NAMES, UNITS_OF
from keel.domain.errors import Reason

if TYPE_CHECKING:
    from keel.domain.protocol import DosePlan, Endpoint, Protocol, Timing, Visit


def inner_errors(protocol: Protocol) -> Iterator[Reason]:
    """Every contradiction within the file; `where` is the key path."""
    yield from _doubled([a.id for a in protocol.arms], "arms", "arm")
    yield from _doubled([v.id for v in protocol.visits], "visits", "visit")
    yield from _allocation_errors(protocol)
    for at, visit in enumerate(protocol.visits):
        yield from _visit_errors(protocol, visit, f"visits[{at}]")
    yield from _anchor_loops(protocol)
    yield from _phase_errors(protocol)
    yield from _vitals_errors(protocol)
    for place, endpoint in _endpoints(protocol):
        yield from _endpoint_errors(protocol, endpoint, place)
    if protocol.cohort and protocol.cohort.least > protocol.cohort.most:
        yield Reason("The cohort is impossible", "least is above most", "Swap the two", "cohort.least", "empty-range")


def _doubled(ids: Sequence[str], where: str, noun: str) -> Iterator[Reason]:
    for at, id in enumerate(ids):
        if id in ids[:at]:
            yield Reason(f"There are two of {noun} {id!r}", "an id names one thing", "Rename one", f"{where}[{at}].id")
        if id == "enrolled":
            yield Reason(f"{id!r} is the day of enrolment", "a visit may not take its name", "Rename it", where)


def _unknown_arms(protocol: Protocol, arms: Sequence[str], where: str) -> Iterator[Reason]:
    for arm in arms:
        if arm not in protocol.arm_ids:
            yield Reason(
                f"There is no arm {arm!r}", "the file does not list it", f"Use {', '.join(protocol.arm_ids)}", where
            )


def _allocation_errors(protocol: Protocol) -> Iterator[Reason]:
    allocation, many = protocol.allocation, len(protocol.arms) > 1
    yield from _unknown_arms(protocol, tuple(allocation.ratio), "allocation.ratio")
    if (allocation.method == "single") == many:
        yield Reason(
            f"Allocation {allocation.method!r} does not fit {len(protocol.arms)} arm(s)",
            "one arm is `single`, several are `randomised` or `waiting_list`",
            "Correct the method or the arms",
            "allocation.method",
        )
    if many and set(allocation.ratio) != set(protocol.arm_ids):
        yield Reason("The ratio is incomplete", "each arm needs its share", "Give every arm", "allocation.ratio")
    if any(share < 1 for share in allocation.ratio.values()):
        yield Reason("A share is below 1", "nobody could come into that arm", "Write 1 or more", "allocation.ratio")
    total = sum(allocation.ratio.values())
    for size in allocation.block_sizes:
        if total == 0 or size < 1 or size % total:
            yield Reason(
                f"A block of {size} cannot hold the ratio",
                f"the shares add up to {total}",
                f"Use a multiple of {total}",
                "allocation.block_sizes",
            )


def _phase_errors(protocol: Protocol) -> Iterator[Reason]:
    """What a phase says of its sessions and hours as a whole must agree with its visits, arm by arm."""
    for phase, support in protocol.phases.items():
        for arm in protocol.arm_ids:
            visits = [v for v in protocol.visits if v.kind == phase and v.is_in(arm)]
            if support.sessions and visits and not support.sessions[0] <= len(visits) <= support.sessions[1]:
                yield Reason(
                    f"The {phase} of the {arm} arm has {len(visits)} visits",
                    f"the phase says {support.sessions[0]} to {support.sessions[1]}",
                    "Correct the phase or the visits",
                    f"phases.{phase}.sessions",
                    "phase-disagrees",
                )
            hours = [v.hours for v in visits if v.hours]
            if support.hours and visits and len(hours) == len(visits) and _apart(support.hours, hours):
                yield Reason(
                    f"The hours of {phase} in the {arm} arm do not add up",
                    f"its visits take {sum(h[0] for h in hours):g} to {sum(h[1] for h in hours):g} hours, "
                    f"the phase {support.hours[0]:g} to {support.hours[1]:g}",
                    "Correct the phase or the visits",
                    f"phases.{phase}.hours",
                    "phase-disagrees",
                )


def _apart(whole: tuple[float, float], parts: Sequence[tuple[float, float]]) -> bool:
    """Whether the parts, least and most, cannot add up to anything within the whole."""
    return sum(p[0] for p in parts) > whole[1] or sum(p[1] for p in parts) < whole[0]


def _visit_errors(protocol: Protocol, visit: Visit, where: str) -> Iterator[Reason]:
    yield from _unknown_arms(protocol, visit.arms, f"{where}.arms")
    yield from _unknown_arms(protocol, tuple(visit.by_arm), f"{where}.by_arm")
    yield from _timing_errors(protocol, visit, visit.id, where)
    for arm, timing in visit.by_arm.items():
        yield from _timing_errors(protocol, timing, visit.id, f"{where}.by_arm.{arm}")
    if visit.hours and not 0 < visit.hours[0] <= visit.hours[1]:
        yield Reason("The hours run backwards", "they are least and most", "Write [least, most]", f"{where}.hours")
    for at, ask in enumerate(visit.asks):
        yield from _unknown_arms(protocol, ask.arms, f"{where}.asks[{at}].arms")
    if visit.doses and visit.kind != "dosing":
        yield Reason(f"{visit.id} gives a dose", "only a dosing visit may", 'Set kind = "dosing"', f"{where}.kind")
    for at, dose in enumerate(visit.doses):
        yield from _unknown_arms(protocol, dose.arms, f"{where}.doses[{at}].arms")
        yield from _dose_plan_errors(dose, f"{where}.doses[{at}]")
    yield from _arm_anchor_errors(protocol, visit, where)


def _timing_errors(protocol: Protocol, timing: Timing, visit_id: str, where: str) -> Iterator[Reason]:
    given = [n for n in ("due_days", "due_weeks", "due_months") if getattr(timing, n) is not None]
    if len(given) > 1:
        yield Reason(f"{visit_id} is due twice", f"{' and '.join(given)} are given", "Keep one", f"{where}.{given[1]}")
    for at, window in enumerate(timing.windows):
        place = where if at == 0 else f"{where}.also[{at - 1}]"
        if window.after not in protocol.anchors or window.after == visit_id:
            yield Reason(
                f"{visit_id} hangs on {window.after!r}",
                "that is no other visit of this file" if window.after != visit_id else "a visit cannot hang on itself",
                f"Use one of: {', '.join(a for a in protocol.anchors if a != visit_id)}",
                f"{place}.after",
                "unknown-anchor",
            )
        early, late = window.earliest_days, window.latest_days
        if early is not None and late is not None and early > late:
            yield Reason(
                f"The window of {visit_id} is empty",
                f"its earliest day ({early}) is after its latest ({late})",
                "Swap them, or correct one",
                f"{place}.earliest_days",
                "empty-window",
            )
    yield from _due_outside(timing, visit_id, where)


def _due_outside(timing: Timing, visit_id: str, where: str) -> Iterator[Reason]:
    due, early, late = timing.due_offset_days, timing.earliest_days, timing.latest_days
    if due is None:
        return
    if (early is not None and due < early) or (late is not None and due > late):
        yield Reason(
            f"{visit_id} is due outside its own window",
            f"day {due} does not lie from {early} to {late}",
            "Correct the due day or the window",
            f"{where}.due_weeks" if timing.due_weeks is not None else f"{where}.due_days",
            "due-outside-window",
        )


def _arm_anchor_errors(protocol: Protocol, visit: Visit, where: str) -> Iterator[Reason]:
    """An anchor must exist in every arm that the visit is in."""
    by_id = {v.id: v for v in protocol.visits}
    for arm in protocol.arm_ids:
        if not visit.is_in(arm):
            continue
        for window in visit.for_arm(arm).windows:
            anchor = by_id.get(window.after)
            if anchor is not None and not anchor.is_in(arm):
                yield Reason(
                    f"{visit.id} hangs on {anchor.id} in the {arm} arm",
                    f"the {arm} arm does not have {anchor.id}",
                    f"Give {arm} an anchor of its own under by_arm, or take it out of arms",
                    f"{where}.after",
                    "anchor-not-in-arm",
                )


def _anchor_loops(protocol: Protocol) -> Iterator[Reason]:
    """A visit whose windows lead back to itself could never be dated."""
    seen: set[frozenset[str]] = set()
    index = {v.id: at for at, v in enumerate(protocol.visits)}
    for arm in protocol.arm_ids:
        after = {v.id: [w.after for w in v.for_arm(arm).windows] for v in protocol.visits if v.is_in(arm)}
        for start in after:
            loop = _way_back(start, after)
            if loop and frozenset(loop) not in seen:
                seen.add(frozenset(loop))
                yield Reason(
                    f"{' → '.join([*loop, start])} hang on one another",
                    "none of them could ever be dated",
                    "Anchor one of them to `enrolled` or to an earlier visit",
                    f"visits[{index[start]}].after",
                    "anchor-loop",
                )


def _way_back(start: str, after: Mapping[str, Sequence[str]]) -> list[str] | None:
    """A chain of anchors from a visit back to itself, if there is one."""
    waiting, seen = [[start]], set()
    while waiting:
        path = waiting.pop()
        for anchor in after.get(path[-1], ()):
            if anchor == start:
                return path
            if anchor not in seen:
                seen.add(anchor)
                waiting.append([*path, anchor])
    return None


def _dose_plan_errors(dose: DosePlan, where: str) -> Iterator[Reason]:
    allowed = UNITS_OF[dose.substance]
    if dose.substance == "placebo":
        if dose.unit or dose.amounts or dose.most_total is not None:
            yield Reason("Placebo has an amount", "it holds none", "Remove unit and amounts", f"{where}.amounts")
        return
    if dose.unit not in allowed:
        yield Reason(
            f"{SUBSTANCE_NAMES[dose.substance]} is not dosed in {dose.unit or 'no unit'}",
            "the unit decides how much a person swallows",
            f"Use {' or '.join(allowed)}",
            f"{where}.unit",
            "wrong-unit",
        )
    if not dose.amounts and dose.most_total is None:
        yield Reason("No amount is given", "a dose needs one", "Add amounts or most_total", f"{where}.amounts")
    for value in (*dose.amounts, *((dose.most_total,) if dose.most_total is not None else ())):
        if not value > 0:
            yield Reason(f"{value:g} is no dose", "it is not above zero", "Correct it", f"{where}.amounts")
    if dose.most_total is not None and any(a > dose.most_total for a in dose.amounts):
        yield Reason("A dose exceeds the total", f"most is {dose.most_total:g}", "Correct one", f"{where}.most_total")
    if dose.supplemental and not dose.supplemental.amounts and dose.most_total is None:
        yield Reason(
            "The supplemental dose has no limit",
            "neither amounts nor a total is given",
            "Add one",
            f"{where}.most_total",
        )
    window = dose.supplemental.window_minutes if dose.supplemental else None
    if window and not 0 < window[0] <= window[1]:
        yield Reason(
            "The supplemental window runs backwards",
            "it is first and last minute",
            "Write [first, last]",
            f"{where}.supplemental.window_minutes",
        )


def _vitals_errors(protocol: Protocol) -> Iterator[Reason]:
    vitals = protocol.vitals
    if vitals is None:
        return
    if list(vitals.minutes) != sorted(set(vitals.minutes)):
        yield Reason(
            "The vital-sign times are out of order", "each comes once, in order", "Sort them", "vitals.minutes"
        )
    for at, limit in enumerate(vitals.thresholds):
        if (limit.at_least is None) == (limit.above is None):
            yield Reason(
                f"Limit {limit.id} is unclear",
                "it needs exactly one of at_least and above",
                "Keep one",
                f"vitals.thresholds[{at}].at_least",
            )


def _endpoints(protocol: Protocol) -> Iterator[tuple[str, Endpoint]]:
    if protocol.endpoint:
        yield "endpoint", protocol.endpoint
    for at, endpoint in enumerate(protocol.secondary):
        yield f"secondary[{at}]", endpoint


def _endpoint_errors(protocol: Protocol, endpoint: Endpoint, where: str) -> Iterator[Reason]:
    by_id = {v.id: v for v in protocol.visits}
    for id in (*endpoint.visits, *((endpoint.baseline,) if endpoint.baseline else ())):
        visit = by_id.get(id)
        if visit is None:
            yield Reason(f"There is no visit {id!r}", "an endpoint is read at visits", "Correct it", f"{where}.visits")
        elif endpoint.instrument not in {a.instrument for a in visit.asks}:
            yield Reason(
                f"{id} does not ask {endpoint.instrument}",
                "the endpoint could never be read there",
                f"Add it to the asks of {id}, or name another visit",
                f"{where}.visits",
                "endpoint-not-asked",
            )
