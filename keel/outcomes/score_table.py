"""Scoring many responses at once: a table in, a table out, by the same definitions as one by one.

Every operator of `domain/scoring.py` is written here a second time, as a Polars expression. The two never share
code: a property test compares them on random responses, blanks and answers outside the codes included.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import polars as pl

from keel.domain import answers as reading
from keel.domain.answers import NOT_APPLICABLE, PREFER_NOT
from keel.domain.errors import Refused, refuse
from keel.domain.instrument import (
    Answers,
    AnyStep,
    Bands,
    Blank,
    Cases,
    Context,
    Count,
    Fall,
    Frequencies,
    Instrument,
    Item,
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
    Sum,
    Terms,
    Truth,
    Valued,
    Where,
)

CONTEXT = "context."
FAULT = "error"
WHOLE = pl.Int32
Expr = pl.Expr


@dataclass(frozen=True)
class Sight:
    """What an expression sees: values by name, whether an item does not apply, the context, and counts of items that
    meet a condition (counted once, however many rules ask)."""

    value: Callable[[str], Expr]
    idle: Callable[[str], Expr | None]
    context: Callable[[str], Expr]
    counts: Callable[[tuple[str, ...], Where], tuple[Expr, Expr]]


def score_table(
    instrument: Instrument, frame: pl.DataFrame, *, columns: Mapping[str, str] | None = None
) -> pl.DataFrame:
    """Score every row of a table.

    `frame` has a column per item, named by the item's id (or as `columns` maps {item id: column}), raw codes, null
    for a blank; an absent column is blank throughout; `context.NAME` columns hold the context. Returns, row for row,
    a column per score and `error`: the sentence that the one-by-one engine would give, with all scores null there.
    A score that needs a context column which is absent is not returned.
    """
    named = {item.id: (columns or {}).get(item.id, item.id) for item in instrument.items}
    if not any(column in frame.columns for column in named.values()):
        raise refuse(
            f"The table was not scored as {instrument.id}",
            f"it has no column for any item; items are called {instrument.names_in_words()}",
            "Rename its columns, or say which is which in `columns`",
            where=instrument.id,
        )
    prepared = _prepared(instrument, frame, named)
    prepared = prepared.with_columns(_counts(instrument, prepared))
    bad = prepared["bad"]
    shown = [step.name for step in instrument.steps if step.show and _told(step, prepared)]
    shown += [band.gives for band in instrument.bands if band.gives]
    lazy = prepared.lazy()
    for level in _levels(instrument):
        lazy = lazy.with_columns(*(_scored(step, instrument, prepared).alias(f"s:{step.name}") for step in level))
    given = [_banded(band).alias(f"s:{band.gives}") for band in instrument.bands if band.gives]
    done = lazy.with_columns(*given).select(pl.col(f"s:{name}").alias(name) for name in shown).collect()
    if bad.any():
        done = done.with_columns(bad).select(pl.when(~pl.col("bad")).then(pl.col(name)).alias(name) for name in shown)
    return done.with_columns(_faults(instrument, frame, named, bad))


def _levels(instrument: Instrument) -> list[list[AnyStep]]:
    """Steps that stand on each other's scores come one after the other; the others together."""
    depth: dict[str, int] = {}
    levels: list[list[AnyStep]] = []
    for step in instrument.steps:
        own = max((depth[ref] + 1 for ref in step.refs() if ref in depth), default=0)
        depth[step.name] = own
        levels += [[]] if own == len(levels) else []
        levels[own].append(step)
    return levels


def _told(step: AnyStep, prepared: pl.DataFrame) -> bool:
    return step.needs is None or f"c:{step.needs}" in prepared.columns


def _scored(step: AnyStep, instrument: Instrument, prepared: pl.DataFrame) -> Expr:
    if not _told(step, prepared):
        return pl.lit(None)
    sight = _sight(instrument, prepared)
    expr = STEPS[type(step)](step, instrument, sight)
    return expr if step.needs is None else pl.when(pl.col(f"c:{step.needs}").is_not_null()).then(expr)


# ---- columns in -----------------------------------------------------------------------------------------


def _prepared(instrument: Instrument, frame: pl.DataFrame, named: Mapping[str, str]) -> pl.DataFrame:
    """Per item its value `e:`, and `n:` where it may not apply; contexts `c:`; whether the row is `bad`."""
    exprs: list[Expr] = []
    bad: list[Expr] = []
    for item in instrument.items:
        value, idle, wrong = _read(item, frame, named[item.id])
        idle = idle if item.id in instrument.may_not_apply else None
        exprs.append(value.alias(f"e:{item.id}"))
        exprs += [idle.alias(f"n:{item.id}")] if idle is not None else []
        bad += [wrong] if wrong is not None else []
    for name, wanted in instrument.contexts.items():
        column = CONTEXT + name
        if column in frame.columns:
            fits = _context_fits(wanted, frame.schema[column], pl.col(column))
            bad.append(pl.col(column).is_not_null() & ~fits)
            given = pl.when(fits).then(pl.col(column))
            exprs.append(
                (given.fill_null(pl.lit(wanted.default)) if wanted.default is not None else given).alias(f"c:{name}")
            )
        elif wanted.default is not None:
            exprs.append(pl.lit(wanted.default).alias(f"c:{name}"))
    wrong_at_all = pl.any_horizontal(bad).fill_null(False) if bad else pl.lit(False)
    raw = frame.select(*exprs, wrong_at_all.alias("bad"))
    if not instrument.branches:
        return raw
    sight = _sight(instrument, raw)
    gates = [_effective(item, sight).alias(f"e:{item.id}") for item in instrument.branches]
    gates += [_idle(item, sight).alias(f"n:{item.id}") for item in instrument.branches if item.not_applicable_if]
    return raw.with_columns(*gates)


def _read(item: Item, frame: pl.DataFrame, column: str) -> tuple[Expr, Expr | None, Expr | None]:
    """The value of an item's column; whether it does not apply, where a row may say so; whether it is outside its
    codes (null where it is blank)."""
    kind, empty = item.answers.kind, pl.lit(None, dtype=_type_of(item.answers))
    if column not in frame.columns or frame.schema[column] == pl.Null:
        return empty, None, None
    raw, dtype = pl.col(column), frame.schema[column]
    if dtype == pl.String:
        words = list(item.answers.choices) if kind in ("choice", "many") else []
        wrong = ~raw.is_in([*words, PREFER_NOT, NOT_APPLICABLE])
        value = pl.when(raw.is_in(words)).then(raw) if words else empty
        return value, raw.eq(NOT_APPLICABLE).fill_null(False), wrong
    if dtype == pl.Boolean and kind == "yes_no":
        return raw.cast(WHOLE), None, None
    if isinstance(dtype, pl.List) and kind == "many":
        return raw, None, ~raw.list.eval(pl.element().is_in(list(item.answers.choices))).list.all()
    if not dtype.is_numeric() or kind in ("choice", "many"):
        return empty, None, raw.is_not_null()
    wrong = ~_in_codes(item.answers, raw, whole=dtype.is_integer())
    # Small whole numbers are kept as they are: what is outside the codes is set aside with its whole row at the end.
    if dtype in (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16) and _type_of(item.answers) == WHOLE:
        return raw.cast(WHOLE), None, wrong
    return pl.when(~wrong).then(raw).cast(_type_of(item.answers)), None, wrong


def _in_codes(answers: Answers, raw: Expr, *, whole: bool) -> Expr:
    if answers.kind == "number":
        return pl.lit(True) if whole else raw.is_finite()
    low, high = answers.low, answers.high
    between = raw.is_between(low, high)
    if answers.kind == "scale":
        return between if whole else between & raw.is_not_nan()
    codes = answers.allowed()
    if whole and len(codes) == int(high) - int(low) + 1:
        return between
    return raw.is_in([float(code) for code in codes]) if not whole else raw.is_in([int(code) for code in codes])


def _type_of(answers: Answers) -> Any:
    return {"scale": pl.Float64, "number": pl.Float64, "choice": pl.String, "many": pl.List(pl.String)}.get(
        answers.kind, WHOLE
    )


def _context_fits(wanted: Context, dtype: Any, raw: Expr) -> Expr:
    if wanted.kind == "yes_no":
        return raw.is_not_null() if dtype == pl.Boolean else pl.lit(False)
    if wanted.kind == "choice":
        if dtype != pl.String:
            return pl.lit(False)
        return raw.is_in(list(wanted.choices)) if wanted.choices else raw.is_not_null()
    if not dtype.is_numeric():
        return pl.lit(False)
    low, high = wanted.low, wanted.high
    fits = raw.is_not_null() if dtype.is_integer() else raw.is_not_nan()
    return fits & (raw >= low if low is not None else True) & (raw <= high if high is not None else True)


def _faults(instrument: Instrument, frame: pl.DataFrame, named: Mapping[str, str], bad: pl.Series) -> pl.Series:
    """The sentence for each row that cannot be read, from the engine that reads one row."""
    words: list[str | None] = [None] * frame.height
    back = {column: id for id, column in named.items() if column in frame.columns}
    contexts = [c for c in frame.columns if c.startswith(CONTEXT)]
    for row in bad.arg_true():
        record = frame.row(row, named=True)
        try:
            reading.read_context(instrument, {c.removeprefix(CONTEXT): record[c] for c in contexts})
            reading.read_answers(instrument, {id: record[column] for column, id in back.items()})
        except Refused as refused:
            words[row] = str(refused)
    return pl.Series(FAULT, words, dtype=pl.String)


def _effective(item: Item, sight: Sight) -> Expr:
    """As `answers.effective`: skipped items take the form's value, items that do not apply take none."""
    own = sight.value(item.id)
    if item.asked_if is not None:
        asked = rule_expr(item.asked_if, sight)
        skip = ~asked if item.overrides else ~asked & own.is_null()
        own = pl.when(skip).then(pl.lit(item.skipped, dtype=_type_of(item.answers))).otherwise(own)
        if item.overrides:
            own = pl.when(asked.is_not_null()).then(own)
    if item.not_applicable_if is not None:
        own = pl.when(~rule_expr(item.not_applicable_if, sight).fill_null(False)).then(own)
    return own


def _idle(item: Item, sight: Sight) -> Expr:
    assert item.not_applicable_if is not None
    away, own = rule_expr(item.not_applicable_if, sight).fill_null(False), sight.idle(item.id)
    return away if own is None else away | own


def _sight(instrument: Instrument, prepared: pl.DataFrame) -> Sight:
    """Items by their values, scores by their columns; an item without a column `n:` applies in every row."""
    ids = {item.id for item in instrument.items}
    columns = set(prepared.columns)
    counted = {asked: f"k:{place}" for place, asked in enumerate(_asked_counts(instrument))}

    def counts(refs: tuple[str, ...], where: Where) -> tuple[Expr, Expr]:
        ready = counted.get((refs, where), "")
        return (pl.col(ready), pl.col(f"{ready}+")) if ready in columns else _ends(refs, where, sight)

    sight = Sight(
        value=lambda ref: pl.col(f"e:{ref}" if ref in ids else f"s:{ref}"),
        idle=lambda id: pl.col(f"n:{id}") if f"n:{id}" in columns else None,
        context=lambda name: pl.col(f"c:{name}") if f"c:{name}" in columns else pl.lit(None, dtype=pl.Boolean),
        counts=counts,
    )
    return sight


def _asked_counts(instrument: Instrument) -> list[tuple[tuple[str, ...], Where]]:
    """Each count over items that some score's rule asks for."""
    ids = {item.id for item in instrument.items}
    rules = [rule for step in instrument.steps for rule in step.rules()]
    asked = [
        (rule.count, rule.where) for top in rules for rule in top.parts() if rule.where and ids.issuperset(rule.count)
    ]
    return list(dict.fromkeys(asked))


def _counts(instrument: Instrument, prepared: pl.DataFrame) -> list[Expr]:
    sight = _sight(instrument, prepared)
    ends = [_ends(refs, where, sight) for refs, where in _asked_counts(instrument)]
    return [
        expr
        for place, (sure, most) in enumerate(ends)
        for expr in (sure.alias(f"k:{place}"), most.alias(f"k:{place}+"))
    ]


# ---- rules ------------------------------------------------------------------------------------------------


def rule_expr(rule: Rule, sight: Sight) -> Expr:
    """A rule as a Boolean column; Polars' and, or and not follow Kleene as `answers.truth` does."""
    if rule.all:
        return reduce(operator.and_, (rule_expr(part, sight) for part in rule.all))
    if rule.any:
        return reduce(operator.or_, (rule_expr(part, sight) for part in rule.any))
    if rule.negated:
        return ~rule_expr(rule.negated, sight)
    if rule.count:
        assert rule.where is not None
        return _counted(rule, rule.where, sight)
    if rule.sum:
        assert rule.percent_at_least is not None and rule.maximum is not None
        return 100 * _added([sight.value(ref) for ref in rule.sum]) >= rule.percent_at_least * rule.maximum
    if rule.answered:
        return pl.all_horizontal([sight.value(ref).is_not_null() for ref in rule.answered])
    if rule.not_applicable:
        away = sight.idle(rule.not_applicable)
        return pl.lit(False) if away is None else away
    if rule.context_given:
        return sight.context(rule.context_given).is_not_null()
    if rule.context:
        value = sight.context(rule.context)
        bare = rule.at_least is None and rule.at_most is None and rule.equals is None
        return value if bare else _compared(rule, value)
    assert rule.of is not None
    return _compared(rule, sight.value(rule.of))


def _compared(by: Rule | Where, value: Expr) -> Expr:
    if by.at_least is not None:
        return value >= by.at_least
    if by.at_most is not None:
        return value <= by.at_most
    return value == by.equals


def _counted(rule: Rule, where: Where, sight: Sight) -> Expr:
    sure, most = sight.counts(rule.count, where)
    low, high = _compared(rule, sure), _compared(rule, most)
    if rule.equals is not None:
        inside = (sure <= pl.lit(rule.equals)) & (most >= pl.lit(rule.equals))
        return pl.when(sure == most).then(low).when(inside).then(None).otherwise(False)
    return pl.when(low == high).then(low)


def _ends(refs: tuple[str, ...], where: Where, sight: Sight) -> tuple[Expr, Expr]:
    """How many surely meet a condition, and how many at most: the blanks might."""
    met = [_met(where, ref, sight) for ref in refs]
    sure = reduce(operator.add, (one.eq_missing(True).cast(pl.Int16) for one in met))
    return sure, sure + pl.sum_horizontal([one.is_null() for one in met]).cast(pl.Int16)


def _met(where: Where, ref: str, sight: Sight) -> Expr:
    """Whether an item meets a condition; one that does not apply does not."""
    met, away = _compared(where, sight.value(ref)), sight.idle(ref)
    return met if away is None else pl.when(~away).then(met).otherwise(False)


# ---- steps --------------------------------------------------------------------------------------------------


def _added(parts: list[Expr]) -> Expr:
    """Null as soon as one part is."""
    return pl.sum_horizontal(parts, ignore_nulls=False)


def _terms(step: Terms, instrument: Instrument, sight: Sight) -> list[Expr]:
    tables = {ref: instrument.recodes[name] for name, refs in step.recode.items() for ref in refs}
    turn = rule_expr(step.reversed_if, sight) if step.reversed_if is not None else None
    out = []
    for ref in step.of:
        own = sight.value(ref)
        if ref in tables:
            pairs = {int(code): value for code, value in tables[ref].items()}
            own = own.replace_strict(list(pairs), list(pairs.values()), default=None)
        elif ref in step.reversed:
            answers = instrument.item(ref).answers
            turned = (answers.low + answers.high) - own
            own = turned if turn is None else pl.when(turn).then(turned).otherwise(own)
        out.append(own if turn is None else pl.when(turn.is_not_null()).then(own))
    return out


def _sum(step: Sum, instrument: Instrument, sight: Sight) -> Expr:
    terms = _terms(step, instrument, sight)
    if not step.without_inapplicable:
        return _added(terms)
    idle = [sight.idle(ref) for ref in step.of]
    kept = [
        term if away is None else pl.when(~away).then(term).otherwise(0) for term, away in zip(terms, idle, strict=True)
    ]
    gone = [pl.lit(False) if away is None else away for away in idle]
    return pl.when(~pl.all_horizontal(gone)).then(_added(kept))


def _mean(step: Mean, instrument: Instrument, sight: Sight) -> Expr:
    return _added(_terms(step, instrument, sight)) / len(step.of)


def _percent(step: Percent, instrument: Instrument, sight: Sight) -> Expr:
    return 100 * _added(_terms(step, instrument, sight)) / step.maximum


def _largest(step: Largest, instrument: Instrument, sight: Sight) -> Expr:
    return pl.max_horizontal(_terms(step, instrument, sight))


def _prorated(step: Prorated, instrument: Instrument, sight: Sight) -> Expr:
    terms = _terms(step, instrument, sight)
    n = len(terms)
    answered = n - pl.sum_horizontal([term.is_null() for term in terms]).cast(WHOLE)
    allow: Expr = pl.lit(step.allow)
    if step.allow_if is not None:
        other = rule_expr(step.allow_if.rule, sight).fill_null(False)
        allow = pl.when(other).then(step.allow_if.allow).otherwise(step.allow)
    total = pl.sum_horizontal(terms)
    return pl.when((answered > 0) & (n - answered <= allow)).then(total * n / answered)


def _possible(step: Possible, instrument: Instrument, sight: Sight) -> Expr:
    ends = [instrument.item(ref).answers for ref in step.of]
    fill = [end.low if step.op == "lowest_possible" else end.high for end in ends]
    return pl.sum_horizontal(
        [term.fill_null(blank) for term, blank in zip(_terms(step, instrument, sight), fill, strict=True)]
    )


def _count(step: Count, instrument: Instrument, sight: Sight) -> Expr:
    return _added([_compared(step.where, term).cast(WHOLE) for term in _terms(step, instrument, sight)])


def _blank(step: Blank, instrument: Instrument, sight: Sight) -> Expr:
    idle = [sight.idle(ref) for ref in step.of]
    empty = [sight.value(ref).is_null() for ref in step.of]
    blank = [one if away is None else one & ~away for one, away in zip(empty, idle, strict=True)]
    return pl.sum_horizontal(blank)


def _linear(step: Linear, instrument: Instrument, sight: Sight) -> Expr:
    value = sight.value(step.of) * step.times
    return (value if step.divide == 1 else value / step.divide) + step.plus


def _ratio(step: Ratio, instrument: Instrument, sight: Sight) -> Expr:
    under = sight.value(step.by)
    return pl.when(under != 0).then(step.times * sight.value(step.of) / under)


def _truth(step: Truth, instrument: Instrument, sight: Sight) -> Expr:
    return rule_expr(step.rule, sight)


def _cases(step: Cases, instrument: Instrument, sight: Sight) -> Expr:
    answers = [*(case.gives for case in step.cases), step.otherwise]
    place: Expr = pl.lit(len(step.cases), dtype=pl.UInt32)
    for n, case in reversed(list(enumerate(step.cases))):
        met = rule_expr(case.rule, sight)
        place = pl.when(met).then(pl.lit(n, dtype=pl.UInt32)).when(met.is_null()).then(None).otherwise(place)
    return pl.lit(pl.Series(answers)).gather(place)


def _look_up(step: LookUp, instrument: Instrument, sight: Sight) -> Expr:
    rows = [step.first + n for n in range(len(step.values))]
    return sight.value(step.of).replace_strict(rows, list(step.values), default=None)


def _fall(step: Fall, instrument: Instrument, sight: Sight) -> Expr:
    now = sight.value(step.of)
    base = pl.col("c:baseline_total")
    if step.op == "drop":
        return base - now
    fall = 100 * (base - now) / base if step.op == "percent_drop" else 100 * (base - now) >= step.percent * base
    return pl.when(base > 0).then(fall)


def _profile(step: Profile, instrument: Instrument, sight: Sight) -> Expr:
    return pl.concat_str([pl.col(f"e:{ref}").cast(pl.String) for ref in step.of])


def _frequencies(step: Frequencies, instrument: Instrument, sight: Sight) -> Expr:
    given = [pl.col(f"e:{ref}") for ref in step.of]
    return pl.concat_str([_added([(one == code).cast(WHOLE) for one in given]).cast(pl.String) for code in step.codes])


def _valued(step: Valued, instrument: Instrument, sight: Sight) -> Expr:
    answer: Expr = pl.lit(None, dtype=pl.Float64)
    for name, table in instrument.value_sets.items():
        given = [pl.col(f"e:{ref}") for ref in step.of]
        losses = [
            one.replace_strict(
                [n + 1 for n in range(len(table.decrements[ref]))], list(table.decrements[ref]), default=None
            )
            for ref, one in zip(step.of, given, strict=True)
        ]
        worse = pl.when(pl.any_horizontal([one > 1 for one in given])).then(table.any_problem).otherwise(0)
        index = (table.full_health - worse - _added(losses)).round(6)
        answer = pl.when(pl.col("c:value_set").str.to_lowercase() == name).then(index).otherwise(answer)
    return answer


def _listed(step: Listed, instrument: Instrument, sight: Sight) -> Expr:
    hits = [pl.when(_holds(instrument.item(ref), step)).then(pl.lit(ref)) for ref in step.of]
    return pl.concat_list(hits).list.drop_nulls()


def _holds(item: Item, step: Listed) -> Expr:
    own = pl.col(f"e:{item.id}")
    if item.answers.kind != "many":
        return own.is_in(list(step.codes)).fill_null(False)
    codes = [str(code) for code in step.codes]
    return own.cast(pl.List(pl.String)).list.eval(pl.element().is_in(codes)).list.any().fill_null(False)


def _banded(band: Bands) -> Expr:
    value = pl.col(f"s:{band.of}")
    place = reduce(operator.add, ((value > upper).cast(pl.UInt32) for upper in band.upper))
    fits = (value >= band.lower) & (value <= band.upper[-1])
    return pl.lit(pl.Series(list(band.labels))).gather(pl.when(fits).then(place))


STEPS: dict[type[AnyStep], Callable[[Any, Instrument, Sight], Expr]] = {
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
