"""Reading what was answered: shapes, codes, and what was never asked.

An answer is a raw code as entered. `null` is a blank. "prefer_not" and "not_applicable" are answers, not gaps:
neither can be summed, but the first is counted as unanswered for scoring and shown as a choice, and the second
is no gap at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from keel.domain.errors import Reason, Refused, refuse
from keel.domain.instrument import Answers, Context, Instrument, Item, Rule
from keel.domain.rules import Judge, Scope, Truth, Value, judge

PREFER_NOT = "prefer_not"
NOT_APPLICABLE = "not_applicable"

Reader = Callable[[Any], Value]


@dataclass(frozen=True)
class Given:
    """Answers by item id, every item present. A value is a code or None; `declined` and `not_applicable` say which
    of the Nones were answers; `seen` are the items that somebody reached."""

    values: dict[str, Value]
    declined: frozenset[str]
    not_applicable: frozenset[str]
    seen: frozenset[str]


# ---- the shape ----------------------------------------------------------------------------------------


def by_item(instrument: Instrument, items: Any) -> dict[str, Any]:
    """Bring the given shape to {item id: raw answer}. A list is in printed order; a table is by item id, or has the
    instrument's own shape. Refuses a wrong length and unknown names."""
    if isinstance(items, Mapping):
        return _from_mapping(instrument, items)
    if isinstance(items, (list, tuple)):
        if instrument.shape:
            raise _bad(
                instrument,
                "items",
                "The answers are a list",
                "this instrument's answers are named",
                f"Give a table with {instrument.names_in_words()}",
            )
        return dict(_in_order(instrument, items))
    raise _bad(
        instrument,
        "items",
        "The answers were not read",
        f"they are {_kind(items)}",
        "Give a list in printed order, or a table by item",
    )


def _in_order(instrument: Instrument, items: list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """A list is the whole form, or the items that are needed and then as many optional ones as there are."""
    printed, ordered, needed = _order(instrument)
    if len(items) == len(printed):
        return zip(printed, items, strict=True)
    if not needed <= len(items) <= len(ordered):
        most = f" to {len(ordered)}" if len(ordered) > needed else ""
        raise _bad(
            instrument,
            "items",
            f"{len(items)} answers were given",
            f"there are {needed}{most} items",
            "Give one answer per item in printed order, null where it is blank",
        )
    return zip(ordered, items, strict=False)


@lru_cache(maxsize=512)
def _order(instrument: Instrument) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Item ids in printed order; those that are needed first; and how many are needed."""
    needed = tuple(item.id for item in instrument.items if not item.optional)
    optional = tuple(item.id for item in instrument.items if item.optional)
    return tuple(item.id for item in instrument.items), needed + optional, len(needed)


def _from_mapping(instrument: Instrument, items: Mapping[str, Any]) -> dict[str, Any]:
    places, plain = _places(instrument)
    if items.keys() <= plain:
        return dict(items)
    out: dict[str, Any] = {}
    for key, value in items.items():
        place = places.get(str(key))
        if isinstance(place, str):
            out[place] = value
        elif place:
            out.update(_part(instrument, str(key), place, value))
        else:
            why = f"there are {instrument.names_in_words()}"
            raise _bad(instrument, str(key), f"There is no item {key!r}", why, "Mend the name")
    return out


@lru_cache(maxsize=512)
def _places(instrument: Instrument) -> tuple[dict[str, str | tuple[str, ...]], frozenset[str]]:
    """What a name in a table stands for: an item, or a list of them; and the names that are an item's own id."""
    places: dict[str, str | tuple[str, ...]] = {item.id: item.id for item in instrument.items}
    places |= instrument.shape or {}
    return places, frozenset(name for name, place in places.items() if name == place)


def _part(instrument: Instrument, key: str, ids: tuple[str, ...], value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, (list, tuple)):
        raise _bad(instrument, key, f"`{key}` is {_kind(value)}", "it is a list", f"Give {len(ids)} answers, or null")
    if len(value) != len(ids):
        raise _bad(
            instrument,
            key,
            f"`{key}` has {len(value)} answers",
            f"there are {len(ids)} items",
            "Give one per item in printed order, null where it is blank",
        )
    return dict(zip(ids, value, strict=True))


# ---- the codes ----------------------------------------------------------------------------------------


def read_answers(instrument: Instrument, items: Any) -> Given:
    """Read and check every answer. Refuses with a reason per item whose answer is outside its codes."""
    given, reasons = read_leniently(instrument, by_item(instrument, items))
    if reasons:
        raise Refused(reasons)
    return given


def read_leniently(instrument: Instrument, raw: Mapping[str, Any]) -> tuple[Given, list[Reason]]:
    """Read what can be read; an answer outside its codes is left out and becomes a reason."""
    values: dict[str, Value] = {}
    declined, idle, reasons = set(), set(), []
    for item, read in _readers(instrument):
        answer = raw.get(item.id)
        value: Value = None
        if answer is None:
            pass
        elif answer == PREFER_NOT and isinstance(answer, str):
            declined.add(item.id)
        elif answer == NOT_APPLICABLE and isinstance(answer, str):
            idle.add(item.id)
        else:
            try:
                value = read(answer)
            except (ValueError, OverflowError):
                reasons.append(_outside(instrument, item, answer))
        values[item.id] = value
    return Given(values, frozenset(declined), frozenset(idle), frozenset(raw)), reasons


@lru_cache(maxsize=512)
def _readers(instrument: Instrument) -> tuple[tuple[Item, Reader], ...]:
    return tuple((item, READERS[item.answers.kind](item.answers)) for item in instrument.items)


def check_answer(instrument: Instrument, item_id: str, answer: Any) -> Value:
    """Read one answer, as a form does when it arrives. Refuses what is outside the item's codes."""
    item = instrument.item(item_id)
    given, reasons = read_leniently(instrument, {item.id: answer})
    if reasons:
        raise Refused(reasons)
    return given.values[item.id]


def _code(answers: Answers) -> Reader:
    """A whole number of the list; 2.0 is 2, but true is not 1 and "2" is not 2."""
    codes = {code: int(code) for code in answers.allowed()}

    def read(answer: Any) -> Value:
        if type(answer) not in (int, float) or answer not in codes:
            raise ValueError
        return codes[answer]

    return read


def _number(_: Answers) -> Reader:
    def read(answer: Any) -> Value:
        if type(answer) not in (int, float) or not math.isfinite(answer):
            raise ValueError
        return cast(float, answer)

    return read


def _point(answers: Answers) -> Reader:
    low, high = answers.low, answers.high

    def read(answer: Any) -> Value:
        if type(answer) not in (int, float) or not low <= answer <= high:
            raise ValueError
        return cast(float, answer)

    return read


def _yes_no(_: Answers) -> Reader:
    def read(answer: Any) -> Value:
        if type(answer) not in (bool, int, float) or answer not in (0, 1):
            raise ValueError
        return int(answer)

    return read


def _choice(answers: Answers) -> Reader:
    def read(answer: Any) -> Value:
        if not isinstance(answer, str) or answer not in answers.choices:
            raise ValueError
        return answer

    return read


def _many(answers: Answers) -> Reader:
    def read(answer: Any) -> Value:
        given = [answer] if isinstance(answer, str) else answer
        if not isinstance(given, (list, tuple)) or any(part not in answers.choices for part in given):
            raise ValueError
        return tuple(choice for choice in answers.choices if choice in given)

    return read


READERS: dict[str, Callable[[Answers], Reader]] = {
    "codes": _code,
    "scale": _point,
    "yes_no": _yes_no,
    "choice": _choice,
    "many": _many,
    "number": _number,
}


def _outside(instrument: Instrument, item: Item, answer: Any) -> Reason:
    shifted = item.answers.kind == "codes" and item.answers.low == 0 and answer == item.answers.high + 1
    mend = "Give one of these, or null where it is blank"
    if shifted:
        mend += "; if the file counts its answers from 1, subtract 1 from every answer first"
    name = f"item {item.id}" if item.id.isdigit() else item.id
    return Reason(
        what=f"The answer {_shown(answer)} to {name} was refused",
        why=f"its codes are {item.answers.in_words()}",
        mend=mend,
        where=f"{instrument.id}, {name}",
        code="answer-outside-codes",
    )


# ---- the context --------------------------------------------------------------------------------------


def read_context(instrument: Instrument, context: Any) -> dict[str, Any]:
    """Check what the score needs to know beside the answers; what an instrument does not ask for is left alone."""
    if context is None:
        context = {}
    if not isinstance(context, Mapping):
        raise _bad(
            instrument, "context", f"The context is {_kind(context)}", "it is a table", "Give {} or leave it out"
        )
    out: dict[str, Any] = {}
    for name, wanted in instrument.contexts.items():
        value = context.get(name)
        out[name] = wanted.default if value is None else _context(instrument, name, wanted, value)
    return out


def _context(instrument: Instrument, name: str, wanted: Context, value: Any) -> Any:
    if wanted.kind == "yes_no" and isinstance(value, bool):
        return value
    if wanted.kind == "choice" and isinstance(value, str) and (value in wanted.choices or not wanted.choices):
        return value
    if wanted.kind == "number" and not isinstance(value, bool) and isinstance(value, (int, float)):
        low = -math.inf if wanted.low is None else wanted.low
        high = math.inf if wanted.high is None else wanted.high
        if low <= value <= high:
            return value
    allowed = {
        "yes_no": "true or false",
        "choice": f"one of {', '.join(wanted.choices)}",
        "number": f"a number from {wanted.low} to {wanted.high}",
    }[wanted.kind]
    raise _bad(
        instrument,
        f"context.{name}",
        f"context.{name} = {_shown(value)} was refused",
        f"it is {allowed}",
        "Mend it or leave it out",
    )


# ---- what is asked --------------------------------------------------------------------------------------


def effective(instrument: Instrument, given: Given, context: Mapping[str, Any]) -> tuple[Scope, frozenset[str]]:
    """Answers as the score sees them, and the items that were not asked. A skipped item takes the value its form
    gives it (AUDIT: 0) when it is blank, and always where the form says that an answer there does not count. "Not
    applicable" leaves an item out only where the instrument knows it; elsewhere a score sees a blank."""
    said = given.not_applicable & instrument.may_not_apply if given.not_applicable else given.not_applicable
    scope = Scope(dict(given.values), context, said)
    if not instrument.branches:
        return scope, frozenset()
    raw = Scope(given.values, context, said)
    skipped, idle = set(), set(said)
    for item, asked_if, idle_if in _gates(instrument):
        if idle_if and idle_if(raw):
            idle.add(item.id)
            scope.values[item.id] = None
        if asked_if:
            asked = asked_if(raw)
            if asked is False:
                skipped.add(item.id)
            if asked is False and (item.overrides or given.values[item.id] is None):
                scope.values[item.id] = item.skipped
            elif asked is None and item.overrides:
                scope.values[item.id] = None
    scope.not_applicable = frozenset(idle)
    return scope, frozenset(skipped)


@lru_cache(maxsize=512)
def _gates(instrument: Instrument) -> tuple[tuple[Item, Judge | None, Judge | None], ...]:
    """Each item that may be skipped or may not apply, with its two conditions ready to judge."""
    return tuple((item, _judged(item.asked_if), _judged(item.not_applicable_if)) for item in instrument.branches)


def _judged(rule: Rule | None) -> Judge | None:
    return None if rule is None else judge(rule)


def is_asked(instrument: Instrument, item_id: str, answers: Mapping[str, Any], context: Any = None) -> Truth:
    """Is this item asked, given the answers so far ({item id: raw answer})? None while its gate is unanswered."""
    item = instrument.item(item_id)
    if item.asked_if is None and item.not_applicable_if is None:
        return True
    given, _ = read_leniently(instrument, answers)
    scope = Scope(given.values, read_context(instrument, context), given.not_applicable)
    if item.not_applicable_if and judge(item.not_applicable_if)(scope):
        return False
    return judge(item.asked_if)(scope) if item.asked_if else True


def next_item(instrument: Instrument, answers: Mapping[str, Any], context: Any = None) -> Item | None:
    """The item to show next: the first one asked that nobody has reached (a blank that was passed is in `answers`
    as None). An item behind an unanswered gate is asked: on a safety form silence must not skip the rest."""
    for item in instrument.items:
        if item.id not in answers and is_asked(instrument, item.id, answers, context) is not False:
            return item
    return None


# ---- words ----------------------------------------------------------------------------------------------


def _bad(instrument: Instrument, where: str, what: str, why: str, mend: str) -> Refused:
    return refuse(what, why, mend, where=f"{instrument.id}, {where}", code="bad-answers")


def _kind(value: Any) -> str:
    words = {dict: "a table", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "true" if value is True else "false" if value is False else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
