"""Rules over answers: true, false or unknown.

After Kleene: a blank is unknown, and unknown stays unknown unless it cannot matter. A rule is turned into a
function once, when an instrument is first used, and then judged on every response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keel.domain.instrument import Rule, Where

Value = bool | int | float | str | tuple[str, ...] | None
Truth = bool | None
Test = Callable[[Any], Truth]


@dataclass(slots=True)
class Scope:
    """What a rule or a step can see."""

    values: dict[str, Value]
    context: Mapping[str, Any]
    not_applicable: frozenset[str]


Judge = Callable[[Scope], Truth]


def judge(rule: Rule) -> Judge:
    """The rule as a function of what can be seen."""
    if rule.all:
        return _every([judge(part) for part in rule.all])
    if rule.any:
        return _some([judge(part) for part in rule.any])
    if rule.negated:
        return _not(judge(rule.negated))
    if rule.count:
        return _counted(rule)
    if rule.sum:
        return _share(rule)
    if rule.answered:
        refs = rule.answered
        return lambda scope: all(scope.values[ref] is not None for ref in refs)
    if rule.not_applicable:
        item = rule.not_applicable
        return lambda scope: item in scope.not_applicable
    if rule.context_given:
        name = rule.context_given
        return lambda scope: scope.context.get(name) is not None
    if rule.context:
        return _told(rule, rule.context)
    assert rule.of is not None
    ref, test = rule.of, compared(rule)
    return lambda scope: test(scope.values[ref])


def compared(by: Rule | Where) -> Test:
    """A comparison with one value; of a blank it is unknown."""
    if by.at_least is not None:
        least = by.at_least
        return lambda value: None if value is None else value >= least
    if by.at_most is not None:
        most = by.at_most
        return lambda value: None if value is None else value <= most
    wanted = by.equals
    return lambda value: None if value is None else value == wanted


def _every(parts: list[Judge]) -> Judge:
    def judged(scope: Scope) -> Truth:
        answer: Truth = True
        for part in parts:
            met = part(scope)
            if met is False:
                return False
            if met is None:
                answer = None
        return answer

    return judged


def _some(parts: list[Judge]) -> Judge:
    def judged(scope: Scope) -> Truth:
        answer: Truth = False
        for part in parts:
            met = part(scope)
            if met is True:
                return True
            if met is None:
                answer = None
        return answer

    return judged


def _not(part: Judge) -> Judge:
    def judged(scope: Scope) -> Truth:
        met = part(scope)
        return None if met is None else not met

    return judged


def _told(rule: Rule, name: str) -> Judge:
    """A bare context must itself be true or false."""
    if rule.at_least is None and rule.at_most is None and rule.equals is None:
        return lambda scope: scope.context.get(name)
    test = compared(rule)
    return lambda scope: test(scope.context.get(name))


def _counted(rule: Rule) -> Judge:
    """How many meet a condition lies between those that surely do and those that might: the comparison is known when
    both ends agree. What does not apply does not count."""
    assert rule.where is not None
    refs, meets, enough, exactly = rule.count, compared(rule.where), compared(rule), rule.equals

    def judged(scope: Scope) -> Truth:
        sure = unknown = 0
        for ref in refs:
            if ref in scope.not_applicable:
                continue
            met = meets(scope.values[ref])
            if met:
                sure += 1
            elif met is None:
                unknown += 1
        low = enough(sure)
        if not unknown:
            return low
        if exactly is not None:
            return None if sure <= int(exactly) <= sure + unknown else False
        return low if low == enough(sure + unknown) else None

    return judged


def _share(rule: Rule) -> Judge:
    """At least a percentage of the maximum, in whole numbers: 60% of 75 is 45, never 44.999."""
    assert rule.percent_at_least is not None and rule.maximum is not None
    refs, enough = rule.sum, rule.percent_at_least * rule.maximum

    def judged(scope: Scope) -> Truth:
        values: list[Any] = [scope.values[ref] for ref in refs]
        return None if None in values else 100 * sum(values) >= enough

    return judged
