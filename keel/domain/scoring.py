"""Scoring one response, as its definition says.

Nothing known is not good news: a blank gives no total unless a published rule says otherwise, a rule that the
blanks could turn is unknown, and a safety item is judged alone, before and without any score.
`outcomes/score_table.py` answers the same for whole tables; a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from keel.domain import answers as reading
from keel.domain.answers import Given
from keel.domain.instrument import (
    Bands,
    Blank,
    Cases,
    Count,
    Fall,
    Frequencies,
    Instrument,
    Largest,
    Linear,
    Listed,
    LookUp,
    Mean,
    Percent,
    Possible,
    Profile,
    Prorated,
    Ratio,
    Rule,
    Safety,
    Sum,
    Terms,
    Truth,
    Valued,
)
from keel.domain.rules import Judge, Scope, Value, compared, judge

Number = int | float
Compute = Callable[[Scope], Any]
Change = Callable[[Any], Any] | None


@dataclass(frozen=True)
class SafetyFlag:
    """Somebody must look: `level` is notify, urgent, or unknown (a safety item of a finished form was left blank)."""

    items: tuple[str, ...]
    level: str
    answers: tuple[Value, ...]
    says: str
    source: str
    basis: str

    def as_json(self) -> dict[str, Any]:
        return {"items": list(self.items), "level": self.level, "answers": list(self.answers), "says": self.says}


@dataclass(frozen=True)
class ScoreResult:
    """The scores by name (None: cannot be scored), the items left blank, the answers that were a refusal to answer or
    did not apply, what is odd in the answers, and the safety flags."""

    instrument: str
    version: int
    scores: dict[str, Any]
    missing: tuple[str, ...]
    declined: tuple[str, ...]
    not_applicable: tuple[str, ...]
    warnings: tuple[str, ...]
    alerts: tuple[SafetyFlag, ...]

    def as_json(self) -> dict[str, Any]:
        """The contract's four keys; the others only where there is something to say."""
        out: dict[str, Any] = {
            "instrument": self.instrument,
            "version": self.version,
            "scores": self.scores,
            "missing": list(self.missing),
        }
        for name in ("declined", "not_applicable", "warnings"):
            if getattr(self, name):
                out[name] = list(getattr(self, name))
        if self.alerts:
            out["alerts"] = [flag.as_json() for flag in self.alerts]
        return out


@dataclass(frozen=True, slots=True)
class Ready:
    """A definition turned into functions, once: the steps with the context they need, whether they are shown and how
    they are computed; the bands that are returned; the warnings; the safety items with the items they stand on."""

    steps: tuple[tuple[str, str | None, bool, Compute], ...]
    bands: tuple[tuple[str, str, Bands], ...]
    warnings: tuple[tuple[Judge, str], ...]
    safety: tuple[tuple[Safety, tuple[str, ...], Judge], ...]


@lru_cache(maxsize=512)
def _ready(instrument: Instrument) -> Ready:
    return Ready(
        steps=tuple((s.name, s.needs, s.show, STEPS[type(s)](s, instrument)) for s in instrument.steps),
        bands=tuple((band.gives, band.of, band) for band in instrument.bands if band.gives),
        warnings=tuple((judge(warning.rule), warning.says) for warning in instrument.warnings),
        safety=tuple((safety, safety.items(), judge(_safety_rule(safety))) for safety in instrument.safety),
    )


def score(instrument: Instrument, items: Any, context: Any = None) -> ScoreResult:
    """Score one response. `items` as in print (a list), by item id, or in the instrument's own shape; raw codes, None
    for a blank. Refuses an answer outside its codes, by item. Scores that need a context which is not given do not
    apply and are not returned."""
    ready = _ready(instrument)
    known = reading.read_context(instrument, context)
    given = reading.read_answers(instrument, items)
    scope, skipped = reading.effective(instrument, given, known)
    values = scope.values
    shown: dict[str, Any] = {}
    for name, needs, show, compute in ready.steps:
        if needs is not None and known.get(needs) is None:
            values[name] = None
            continue
        values[name] = value = compute(scope)
        if show:
            shown[name] = value
    for gives, of, band in ready.bands:
        reached = values[of]
        shown[gives] = band.name(reached) if isinstance(reached, int | float) else None
    silent = None in given.values.values()
    return ScoreResult(
        instrument=instrument.id,
        version=instrument.version,
        scores=shown,
        missing=_missing(instrument, scope, given, skipped) if silent else (),
        declined=_in_print(instrument, given.declined),
        not_applicable=_in_print(instrument, given.not_applicable | scope.not_applicable),
        warnings=tuple(says for warns, says in ready.warnings if warns(scope)),
        alerts=_flags(ready, scope, finished=True, skipped=skipped) if ready.safety else (),
    )


def _in_print(instrument: Instrument, ids: frozenset[str]) -> tuple[str, ...]:
    return tuple(item.id for item in instrument.items if item.id in ids) if ids else ()


def safety_flags(
    instrument: Instrument, items: Any, context: Any = None, *, finished: bool = False
) -> tuple[SafetyFlag, ...]:
    """The safety items alone: on a half-finished form, beside answers that cannot be read, before any score.

    `items` as for `score`, but a list may be short. With `finished`, a blank safety item is flagged as unknown.
    """
    if isinstance(items, (list, tuple)) and not instrument.shape:
        ordered = [i.id for i in instrument.items if not i.optional]
        items = dict(zip(ordered, items, strict=False))
    given, _ = reading.read_leniently(instrument, reading.by_item(instrument, items))
    scope, skipped = reading.effective(instrument, given, reading.read_context(instrument, context))
    return _flags(_ready(instrument), scope, finished=finished, skipped=skipped)


def _missing(instrument: Instrument, scope: Scope, given: Given, skipped: frozenset[str]) -> tuple[str, ...]:
    excused = skipped | scope.not_applicable
    return tuple(
        item.id
        for item in instrument.items
        if given.values[item.id] is None and not item.optional and item.id not in excused
    )


# ---- safety -------------------------------------------------------------------------------------------------

_RANK = {"urgent": 0, "notify": 1, "unknown": 2}


def _flags(ready: Ready, scope: Scope, *, finished: bool, skipped: frozenset[str]) -> tuple[SafetyFlag, ...]:
    """One flag per item or group of items: the most urgent that fires, else unknown where a blank hides it."""
    found: dict[tuple[str, ...], SafetyFlag] = {}
    for safety, items, judged in ready.safety:
        if safety.when_finished and not finished:
            continue
        fires = judged(scope)
        level = safety.level if fires else "unknown"
        if fires is False or (fires is None and (not finished or skipped.issuperset(items))):
            continue
        flag = SafetyFlag(
            items, level, tuple(scope.values[i] for i in items), safety.says if fires else _silent(items),
            safety.source, safety.basis,
        )  # fmt: skip
        if items not in found or _RANK[level] < _RANK[found[items].level]:
            found[items] = flag
    return tuple(sorted(found.values(), key=lambda flag: _RANK[flag.level]))


def _safety_rule(safety: Safety) -> Rule:
    return safety.rule or Rule(of=safety.item, at_least=safety.at_least)


def _silent(items: tuple[str, ...]) -> str:
    return f"A safety question was left blank ({', '.join(items)}): that is unknown, not no"


# ---- steps --------------------------------------------------------------------------------------------------


def changes(step: Terms, instrument: Instrument, *, reverse: bool) -> list[tuple[str, Change]]:
    """Each item of a step with what is done to its code before it counts."""
    out: list[tuple[str, Change]] = []
    tables = {ref: instrument.recodes[name] for name, refs in step.recode.items() for ref in refs}
    for ref in step.of:
        if ref in tables:
            out.append((ref, _mapped(tables[ref])))
        elif reverse and ref in step.reversed:
            item = instrument.item(ref)
            out.append((ref, _reversed(item.answers.low + item.answers.high)))
        else:
            out.append((ref, None))
    return out


def _mapped(table: Mapping[str, Number]) -> Callable[[Any], Any]:
    by_code = {int(code): value for code, value in table.items()}
    return lambda code: by_code[code]


def _reversed(ends: Number) -> Callable[[Any], Any]:
    return lambda code: ends - code


def _terms(step: Terms, instrument: Instrument) -> Callable[[Scope], list[Any] | None]:
    """The changed codes of a step, blanks as None; None altogether while it is unknown whether to reverse."""
    plain = _pairs(changes(step, instrument, reverse=False))
    turned = _pairs(changes(step, instrument, reverse=True))
    if step.reversed_if is None:
        return turned
    turn_if = judge(step.reversed_if)

    def read(scope: Scope) -> list[Any] | None:
        turn = turn_if(scope)
        return None if turn is None else turned(scope) if turn else plain(scope)

    return read


def _pairs(pairs: list[tuple[str, Change]]) -> Callable[[Scope], list[Any]]:
    refs = [ref for ref, _ in pairs]
    changed = [(place, change) for place, (_, change) in enumerate(pairs) if change is not None]

    def read(scope: Scope) -> list[Any]:
        values = scope.values
        codes: list[Any] = [values[ref] for ref in refs]
        for place, change in changed:
            if codes[place] is not None:
                codes[place] = change(codes[place])
        return codes

    return read


def _whole(step: Terms, instrument: Instrument, finish: Callable[[list[Any]], Any]) -> Compute:
    """A score that a single blank takes away."""
    read = _terms(step, instrument)

    def compute(scope: Scope) -> Any:
        codes = read(scope)
        return None if codes is None or None in codes else finish(codes)

    return compute


def _sum(step: Sum, instrument: Instrument) -> Compute:
    if not step.without_inapplicable:
        return _whole(step, instrument, sum)
    read = _terms(step, instrument)

    def compute(scope: Scope) -> Any:
        codes = read(scope)
        if codes is None:
            return None
        kept = [code for ref, code in zip(step.of, codes, strict=True) if ref not in scope.not_applicable]
        return None if None in kept or not kept else sum(kept)

    return compute


def _mean(step: Mean, instrument: Instrument) -> Compute:
    return _whole(step, instrument, lambda codes: sum(codes) / len(codes))


def _percent(step: Percent, instrument: Instrument) -> Compute:
    return _whole(step, instrument, lambda codes: 100 * sum(codes) / step.maximum)


def _count(step: Count, instrument: Instrument) -> Compute:
    meets = compared(step.where)
    return _whole(step, instrument, lambda codes: sum(bool(meets(code)) for code in codes))


def _largest(step: Largest, instrument: Instrument) -> Compute:
    read = _terms(step, instrument)
    return lambda scope: max((code for code in read(scope) or () if code is not None), default=None)


def _prorated(step: Prorated, instrument: Instrument) -> Compute:
    read = _terms(step, instrument)
    n = len(step.of)
    other = step.allow_if and judge(step.allow_if.rule)

    def compute(scope: Scope) -> Any:
        codes = read(scope)
        if codes is None:
            return None
        answered = [code for code in codes if code is not None]
        allow = step.allow_if.allow if step.allow_if and other and other(scope) else step.allow
        if not answered or n - len(answered) > allow:
            return None
        return sum(answered) if len(answered) == n else sum(answered) * n / len(answered)

    return compute


def _possible(step: Possible, instrument: Instrument) -> Compute:
    read = _terms(step, instrument)
    ends = [instrument.item(ref).answers for ref in step.of]
    fill = [end.low if step.op == "lowest_possible" else end.high for end in ends]
    return lambda scope: sum(
        blank if code is None else code for code, blank in zip(read(scope) or (), fill, strict=True)
    )


def _blank(step: Blank, instrument: Instrument) -> Compute:
    return lambda scope: sum(scope.values[ref] is None and ref not in scope.not_applicable for ref in step.of)


def _linear(step: Linear, instrument: Instrument) -> Compute:
    def compute(scope: Scope) -> Any:
        value: Any = scope.values[step.of]
        if value is None:
            return None
        value = value * step.times
        return (value if step.divide == 1 else value / step.divide) + step.plus

    return compute


def _ratio(step: Ratio, instrument: Instrument) -> Compute:
    def compute(scope: Scope) -> Any:
        top: Any = scope.values[step.of]
        under: Any = scope.values[step.by]
        return None if top is None or not under else step.times * top / under

    return compute


def _truth(step: Truth, instrument: Instrument) -> Compute:
    return judge(step.rule)


def _cases(step: Cases, instrument: Instrument) -> Compute:
    cases = [(judge(case.rule), case.gives) for case in step.cases]

    def compute(scope: Scope) -> Any:
        for judged, gives in cases:
            met = judged(scope)
            if met is not False:
                return gives if met else None
        return step.otherwise

    return compute


def _look_up(step: LookUp, instrument: Instrument) -> Compute:
    def compute(scope: Scope) -> Any:
        value: Any = scope.values[step.of]
        return None if value is None else step.values[value - step.first]

    return compute


def _fall(step: Fall, instrument: Instrument) -> Compute:
    """A baseline of zero (or less) leaves nothing to fall by: percentages of it are unknown, not infinite."""

    def compute(scope: Scope) -> Any:
        now: Any = scope.values[step.of]
        base = scope.context["baseline_total"]
        if now is None:
            return None
        if step.op == "drop":
            return base - now
        if base <= 0:
            return None
        return 100 * (base - now) / base if step.op == "percent_drop" else 100 * (base - now) >= step.percent * base

    return compute


def _profile(step: Profile, instrument: Instrument) -> Compute:
    def compute(scope: Scope) -> Any:
        codes = [scope.values[ref] for ref in step.of]
        return None if None in codes else "".join(map(str, codes))

    return compute


def _frequencies(step: Frequencies, instrument: Instrument) -> Compute:
    def compute(scope: Scope) -> Any:
        codes = [scope.values[ref] for ref in step.of]
        return None if None in codes else "".join(str(codes.count(code)) for code in step.codes)

    return compute


def _valued(step: Valued, instrument: Instrument) -> Compute:
    def compute(scope: Scope) -> Any:
        table = instrument.value_sets.get(str(scope.context["value_set"]).casefold())
        codes: list[Any] = [scope.values[ref] for ref in step.of]
        if table is None or None in codes:
            return None
        index = float(table.full_health)
        if any(code > 1 for code in codes):
            index -= table.any_problem
        for ref, code in zip(step.of, codes, strict=True):
            index -= table.decrements[ref][code - 1]
        return round(index, 6)

    return compute


def _listed(step: Listed, instrument: Instrument) -> Compute:
    wanted = set(step.codes)

    def compute(scope: Scope) -> Any:
        return [ref for ref in step.of if wanted.intersection(_as_set(scope.values[ref]))]

    return compute


def _as_set(value: Value) -> set[Any]:
    return set() if value is None else set(value) if isinstance(value, tuple) else {value}


STEPS: dict[type, Callable[[Any, Instrument], Compute]] = {
    Sum: _sum,
    Mean: _mean,
    Percent: _percent,
    Largest: _largest,
    Prorated: _prorated,
    Possible: _possible,
    Count: _count,
    Blank: _blank,
    Linear: _linear,
    Ratio: _ratio,
    Truth: _truth,
    Cases: _cases,
    LookUp: _look_up,
    Fall: _fall,
    Profile: _profile,
    Frequencies: _frequencies,
    Valued: _valued,
    Listed: _listed,
}
