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
    """What an expression sees: values by name, whether an item does not apply, and the context."""

    value: Callable[[str], Expr]
    idle: Callable[[str], Expr]
    context: Callable[[str], Expr]


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
    lazy = prepared.lazy()
    for item in instrument.branches:
        lazy = lazy.with_columns(_effective(item).alias(f"e:{item.id}"), _idle(item).alias(f"n:{item.id}"))
    shown: list[str] = []
    for step in instrument.steps:
        absent = step.needs is not None and f"c:{step.needs}" not in prepared.columns
        expr = pl.lit(None) if absent else STEPS[type(step)](step, instrument)
        if step.needs is not None and not absent:
            expr = pl.when(pl.col(f"c:{step.needs}").is_not_null()).then(expr)
        lazy = lazy.with_columns(expr.alias(f"s:{step.name}"))
        shown += [step.name] if step.show and not absent else []
    for band in instrument.bands:
        if band.gives:
            lazy = lazy.with_columns(_banded(band).alias(f"s:{band.gives}"))
            shown.append(band.gives)
    fine = ~pl.col("bad")
    done = lazy.select(*(pl.when(fine).then(pl.col(f"s:{name}")).alias(name) for name in shown), "bad").collect()
    return done.drop("bad").with_columns(_faults(instrument, frame, named, done["bad"]))


# ---- columns in -----------------------------------------------------------------------------------------


def _prepared(instrument: Instrument, frame: pl.DataFrame, named: Mapping[str, str]) -> pl.DataFrame:
    """Per item its raw value `r:`, effective value `e:` and whether it does not apply `n:`; contexts `c:`; `bad`."""
    exprs: list[Expr] = []
    bad: list[Expr] = []
    for item in instrument.items:
        value, idle, wrong = _read(item, frame, named[item.id])
        exprs += [value.alias(f"r:{item.id}"), value.alias(f"e:{item.id}"), idle.alias(f"n:{item.id}")]
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
    wrong_at_all = pl.any_horizontal(bad).fill_null(True) if bad else pl.lit(False)
    return frame.select(*exprs, wrong_at_all.alias("bad"))


def _read(item: Item, frame: pl.DataFrame, column: str) -> tuple[Expr, Expr, Expr | None]:
    """The value of an item's column, whether it does not apply, and whether it is outside its codes."""
    no = pl.lit(False)
    kind = item.answers.kind
    if column not in frame.columns or frame.schema[column] == pl.Null:
        return pl.lit(None, dtype=_type_of(item.answers)), no, None
    raw, dtype = pl.col(column), frame.schema[column]
    if dtype == pl.String:
        special = raw.is_in([PREFER_NOT, NOT_APPLICABLE])
        words = kind in ("choice", "many")
        fits = raw.is_in(list(item.answers.choices)) if words else no
        value = pl.when(fits).then(raw) if words else pl.lit(None, dtype=_type_of(item.answers))
        return value, raw.eq(NOT_APPLICABLE).fill_null(False), raw.is_not_null() & ~special & ~fits
    if dtype == pl.Boolean and kind == "yes_no":
        return raw.cast(WHOLE), no, None
    if isinstance(dtype, pl.List) and kind == "many":
        inside = raw.list.eval(pl.element().is_in(list(item.answers.choices))).list.all()
        return raw, no, raw.is_not_null() & ~inside.fill_null(False)
    if not dtype.is_numeric() or kind in ("choice", "many"):
        return pl.lit(None, dtype=_type_of(item.answers)), no, raw.is_not_null()
    fits = _in_codes(item.answers, raw, whole=dtype.is_integer())
    wrong = raw.is_not_null() & ~fits
    if dtype.is_integer() and kind != "scale" and dtype in (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16):
        return raw.cast(WHOLE), no, wrong
    return pl.when(fits).then(raw).cast(_type_of(item.answers)), no, wrong


def _in_codes(answers: Answers, raw: Expr, *, whole: bool) -> Expr:
    if answers.kind == "number":
        return pl.lit(True) if whole else raw.is_finite()
    low, high = answers.low, answers.high
    between = (raw >= low) & (raw <= high)
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


def _effective(item: Item) -> Expr:
    """As `answers.effective`: skipped items take the form's value, items that do not apply take none."""
    own = pl.col(f"r:{item.id}")
    if item.asked_if is not None:
        asked = rule_expr(item.asked_if, RAW)
        skip = ~asked if item.overrides else ~asked & own.is_null()
        own = pl.when(skip.fill_null(False)).then(pl.lit(item.skipped, dtype=_type_of(item.answers))).otherwise(own)
        if item.overrides:
            own = pl.when(asked.is_not_null()).then(own)
    if item.not_applicable_if is not None:
        own = pl.when(~rule_expr(item.not_applicable_if, RAW).fill_null(False)).then(own)
    return own


def _idle(item: Item) -> Expr:
    own = pl.col(f"n:{item.id}")
    return own if item.not_applicable_if is None else own | rule_expr(item.not_applicable_if, RAW).fill_null(False)


# ---- rules ------------------------------------------------------------------------------------------------


def _context_column(name: str) -> Expr:
    return pl.col(f"c:{name}")


RAW = Sight(lambda id: pl.col(f"r:{id}"), lambda id: pl.col(f"n:{id}"), _context_column)


def _sight(instrument: Instrument) -> Sight:
    """Items by their effective values, scores by their columns."""
    ids = {item.id for item in instrument.items}
    return Sight(lambda ref: pl.col(f"e:{ref}" if ref in ids else f"s:{ref}"), RAW.idle, _context_column)


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
        return sight.idle(rule.not_applicable)
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
    met = [pl.when(~sight.idle(ref)).then(_compared(where, sight.value(ref))).otherwise(False) for ref in rule.count]
    sure = pl.sum_horizontal([one.fill_null(False).cast(WHOLE) for one in met])
    most = pl.sum_horizontal([one.fill_null(True).cast(WHOLE) for one in met])
    low, high = _compared(rule, sure), _compared(rule, most)
    if rule.equals is not None:
        inside = (sure <= pl.lit(rule.equals)) & (most >= pl.lit(rule.equals))
        return pl.when(sure == most).then(low).when(inside).then(None).otherwise(False)
    return pl.when(low == high).then(low)


# ---- steps --------------------------------------------------------------------------------------------------


def _added(parts: list[Expr]) -> Expr:
    """Null as soon as one part is."""
    return pl.sum_horizontal(parts, ignore_nulls=False)


def _terms(step: Terms, instrument: Instrument) -> list[Expr]:
    sight = _sight(instrument)
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


def _sum(step: Sum, instrument: Instrument) -> Expr:
    terms = _terms(step, instrument)
    if not step.without_inapplicable:
        return _added(terms)
    idle = [pl.col(f"n:{ref}") for ref in step.of]
    kept = [pl.when(away).then(0).otherwise(term) for term, away in zip(terms, idle, strict=True)]
    return pl.when(~pl.all_horizontal(idle)).then(_added(kept))


def _mean(step: Mean, instrument: Instrument) -> Expr:
    return _added(_terms(step, instrument)) / len(step.of)


def _percent(step: Percent, instrument: Instrument) -> Expr:
    return 100 * _added(_terms(step, instrument)) / step.maximum


def _largest(step: Largest, instrument: Instrument) -> Expr:
    return pl.max_horizontal(_terms(step, instrument))


def _prorated(step: Prorated, instrument: Instrument) -> Expr:
    terms = _terms(step, instrument)
    n = len(terms)
    answered = pl.sum_horizontal([term.is_not_null().cast(WHOLE) for term in terms])
    allow: Expr = pl.lit(step.allow)
    if step.allow_if is not None:
        other = rule_expr(step.allow_if.rule, _sight(instrument)).fill_null(False)
        allow = pl.when(other).then(step.allow_if.allow).otherwise(step.allow)
    total = pl.sum_horizontal(terms)
    return pl.when((answered > 0) & (n - answered <= allow)).then(total * n / answered)


def _possible(step: Possible, instrument: Instrument) -> Expr:
    ends = [instrument.item(ref).answers for ref in step.of]
    fill = [end.low if step.op == "lowest_possible" else end.high for end in ends]
    return pl.sum_horizontal(
        [term.fill_null(blank) for term, blank in zip(_terms(step, instrument), fill, strict=True)]
    )


def _count(step: Count, instrument: Instrument) -> Expr:
    return _added([_compared(step.where, term).cast(WHOLE) for term in _terms(step, instrument)])


def _blank(step: Blank, instrument: Instrument) -> Expr:
    blank = [pl.col(f"e:{ref}").is_null() & ~pl.col(f"n:{ref}") for ref in step.of]
    return pl.sum_horizontal([one.cast(WHOLE) for one in blank])


def _linear(step: Linear, instrument: Instrument) -> Expr:
    value = _sight(instrument).value(step.of) * step.times
    return (value if step.divide == 1 else value / step.divide) + step.plus


def _ratio(step: Ratio, instrument: Instrument) -> Expr:
    sight = _sight(instrument)
    under = sight.value(step.by)
    return pl.when(under != 0).then(step.times * sight.value(step.of) / under)


def _truth(step: Truth, instrument: Instrument) -> Expr:
    return rule_expr(step.rule, _sight(instrument))


def _cases(step: Cases, instrument: Instrument) -> Expr:
    answer: Expr = pl.lit(step.otherwise)
    for case in reversed(step.cases):
        met = rule_expr(case.rule, _sight(instrument))
        answer = pl.when(met).then(pl.lit(case.gives)).when(met.is_null()).then(None).otherwise(answer)
    return answer


def _look_up(step: LookUp, instrument: Instrument) -> Expr:
    rows = [step.first + n for n in range(len(step.values))]
    return _sight(instrument).value(step.of).replace_strict(rows, list(step.values), default=None)


def _fall(step: Fall, instrument: Instrument) -> Expr:
    now = _sight(instrument).value(step.of)
    base = pl.col("c:baseline_total")
    if step.op == "drop":
        return base - now
    fall = 100 * (base - now) / base if step.op == "percent_drop" else 100 * (base - now) >= step.percent * base
    return pl.when(base > 0).then(fall)


def _profile(step: Profile, instrument: Instrument) -> Expr:
    return pl.concat_str([pl.col(f"e:{ref}").cast(pl.String) for ref in step.of])


def _frequencies(step: Frequencies, instrument: Instrument) -> Expr:
    given = [pl.col(f"e:{ref}") for ref in step.of]
    return pl.concat_str([_added([(one == code).cast(WHOLE) for one in given]).cast(pl.String) for code in step.codes])


def _valued(step: Valued, instrument: Instrument) -> Expr:
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


def _listed(step: Listed, instrument: Instrument) -> Expr:
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
    answer: Expr = pl.lit(None, dtype=pl.String)
    for upper, label in reversed(list(zip(band.upper, band.labels, strict=True))):
        answer = pl.when(value <= upper).then(pl.lit(label)).otherwise(answer)
    return pl.when(value >= band.lower).then(answer)


STEPS: dict[type[AnyStep], Callable[[Any, Instrument], Expr]] = {
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
