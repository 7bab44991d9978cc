"""What a questionnaire or rating is: its items, its codes, how it is scored, who holds it.

An instrument is data (`library/instruments/<id>.toml`); this module gives that data a shape and refuses
what does not fit. How answers are read is `answers.py`; how they are scored is `scoring.py`.
A definition holds numbers and neutral labels of ours; the holder's wording lives in a file of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from keel.domain.errors import Reason, Refused, refuse

Number = int | float
Code = bool | int | float | str


class Part(BaseModel):
    """A piece of a definition: never changed, and no key that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, strict=False)


class Sourced(Part):
    """Something that somebody published: `source` names rows of the list of sources, or a paper."""

    source: str = ""
    verified: bool = True
    basis: Literal["published", "house", "memory"] = "published"


class Answers(Part):
    """One way to answer: the codes a person may give, and our labels for them where they are neutral.

    kind `codes`: whole numbers, listed or from min to max. `scale`: any number from min to max (a line or a
    percentage). `yes_no`: true or false, 1 or 0. `choice`: one of some words. `many`: any of some words. `number`: any
    number, kept as entered, where the codes of a form were not found.
    """

    kind: Literal["codes", "scale", "yes_no", "choice", "many", "number"]
    codes: tuple[int, ...] = ()
    min: Number | None = None
    max: Number | None = None
    choices: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Answers:
        if self.kind == "codes" and not self.codes and (self.min is None or self.max is None):
            raise ValueError("kind `codes` needs `codes`, or `min` and `max`")
        if self.kind == "scale" and (self.min is None or self.max is None):
            raise ValueError("kind `scale` needs `min` and `max`")
        if self.kind in ("choice", "many") and not self.choices:
            raise ValueError(f"kind `{self.kind}` needs `choices`")
        if self.labels and len(self.labels) != len(self.allowed()):
            raise ValueError(f"{len(self.labels)} labels for {len(self.allowed())} codes")
        return self

    def allowed(self) -> tuple[Code, ...]:
        """Every code in order; empty for a scale."""
        if self.kind == "codes":
            return self.codes or tuple(range(int(self.low), int(self.high) + 1))
        if self.kind == "yes_no":
            return (0, 1)
        return self.choices

    @property
    def low(self) -> Number:
        if self.kind == "yes_no":
            return 0
        return min(self.codes) if self.codes else (self.min if self.min is not None else 0)

    @property
    def high(self) -> Number:
        if self.kind == "yes_no":
            return 1
        return max(self.codes) if self.codes else (self.max if self.max is not None else 0)

    def in_words(self) -> str:
        if self.kind == "scale":
            return f"any number from {self.low} to {self.high}"
        if self.kind == "number":
            return "any number"
        if self.kind == "yes_no":
            return "true or false (1 or 0)"
        words = ", ".join(str(code) for code in self.allowed())
        return f"any of {words}" if self.kind == "many" else f"one of {words}"


class Rule(Part):
    """A condition that is true, false or unknown (an unanswered item never counts as a no).

    Exactly one form: `all`, `any`, `not`; `of` (an item or a score) with a comparison; `count` (how many of
    these meet `where`) with a comparison; `sum` with `percent_at_least` of `maximum`; `context` (bare: is it
    true?) with a comparison; `context_given`; `answered` (every one of these); `not_applicable` (an item).
    """

    all: tuple[Rule, ...] = ()
    any: tuple[Rule, ...] = ()
    negated: Rule | None = Field(default=None, alias="not")
    of: str | None = None
    count: tuple[str, ...] = ()
    where: Where | None = None
    sum: tuple[str, ...] = ()
    percent_at_least: int | None = None
    maximum: int | None = None
    context: str | None = None
    context_given: str | None = None
    answered: tuple[str, ...] = ()
    not_applicable: str | None = None
    at_least: Number | None = None
    at_most: Number | None = None
    equals: Code | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Rule:
        forms = [
            name
            for name in ("all", "any", "negated", "of", "count", "sum", "context", "context_given", "answered")
            if getattr(self, name) not in (None, ())
        ] + (["not_applicable"] if self.not_applicable else [])
        if len(forms) != 1:
            raise ValueError(f"a rule has exactly one form; this has {', '.join(forms) or 'none'}")
        compared = [n for n in ("at_least", "at_most", "equals") if getattr(self, n) is not None]
        if forms[0] in ("of", "count") and len(compared) != 1:
            raise ValueError(f"`{forms[0]}` needs one of at_least, at_most, equals")
        if forms[0] == "count" and self.where is None:
            raise ValueError("`count` needs `where`")
        if forms[0] == "sum" and (self.percent_at_least is None or self.maximum is None):
            raise ValueError("`sum` needs `percent_at_least` and `maximum`")
        return self

    def parts(self) -> Iterator[Rule]:
        """This rule and every rule inside it."""
        yield self
        for rule in (*self.all, *self.any, *((self.negated,) if self.negated else ())):
            yield from rule.parts()

    def refs(self) -> Iterator[str]:
        """The items and scores that it looks at."""
        for rule in self.parts():
            yield from (*rule.count, *rule.sum, *rule.answered)
            yield from (ref for ref in (rule.of, rule.not_applicable) if ref)

    def contexts(self) -> Iterator[str]:
        for rule in self.parts():
            yield from (name for name in (rule.context, rule.context_given) if name)


class Where(Part):
    """A comparison of one value."""

    at_least: Number | None = None
    at_most: Number | None = None
    equals: Code | None = None

    @model_validator(mode="after")
    def _one(self) -> Where:
        if sum(value is not None for value in (self.at_least, self.at_most, self.equals)) != 1:
            raise ValueError("one of at_least, at_most, equals")
        return self


class Item(Part):
    """One thing that is asked. `number` is its place in print, from 1; `id` is how scores name it; `way` names its
    way to answer, under which a wording pack has the labels."""

    id: str
    number: int
    label: str
    answers: Answers
    way: str
    optional: bool = False
    asked_if: Rule | None = None
    skipped: Number | None = None
    overrides: bool = False
    not_applicable_if: Rule | None = None
    loinc: str | None = None

    def options(self) -> tuple[tuple[Code, str], ...]:
        """Each code with our label for it, or the code itself; empty for a line or a number."""
        codes = self.answers.allowed() if self.answers.kind not in ("scale", "number") else ()
        return tuple(zip(codes, self.answers.labels or map(str, codes), strict=True))


# ---- steps: how a score comes about ---------------------------------------------------------------


class Step(Sourced):
    """One score. `show = false` keeps a value between steps; `needs` names the context without which it does not
    apply and is not returned; `low` and `high` are the values it can take."""

    name: str
    show: bool = True
    needs: str | None = None
    low: Number | None = None
    high: Number | None = None
    label: str = ""

    def refs(self) -> Iterator[str]:
        of = getattr(self, "of", ())
        yield from (of,) if isinstance(of, str) else of

    def rules(self) -> Iterator[Rule]:
        return iter(())


class Terms(Step):
    """A score over several items. `reversed` turns x into (lowest + highest) - x, always or `reversed_if`;
    `recode` maps the items of a list through one of the instrument's recode tables first."""

    of: tuple[str, ...]
    reversed: tuple[str, ...] = ()
    reversed_if: Rule | None = None
    recode: Mapping[str, tuple[str, ...]] = {}

    def rules(self) -> Iterator[Rule]:
        return iter((self.reversed_if,) if self.reversed_if else ())

    @model_validator(mode="after")
    def _inside(self) -> Terms:
        named = {*self.reversed, *(ref for refs in self.recode.values() for ref in refs)}
        if named - set(self.of):
            raise ValueError(f"{', '.join(sorted(named - set(self.of)))} is reversed or recoded but not in `of`")
        return self


class Sum(Terms):
    """A blank gives none; with `without_inapplicable` an item that does not apply is left out."""

    op: Literal["sum"]
    without_inapplicable: bool = False


class Mean(Terms):
    op: Literal["mean"]


class Percent(Terms):
    """100 x sum / `maximum`; a blank gives none."""

    op: Literal["percent"]
    maximum: int


class Largest(Terms):
    """The largest of the answered; none only when nothing is answered."""

    op: Literal["max"]


class Prorated(Terms):
    """sum x items / answered, while at most `allow` are blank; `allow_if` is another rule that a site may choose."""

    op: Literal["prorated"]
    allow: int
    allow_if: AllowIf | None = None

    def rules(self) -> Iterator[Rule]:
        yield from super().rules()
        if self.allow_if:
            yield self.allow_if.rule


class AllowIf(Part):
    rule: Rule
    allow: int


class Possible(Terms):
    """The sum if every blank were the lowest (or highest) answer there is."""

    op: Literal["lowest_possible", "highest_possible"]


class Count(Terms):
    """How many meet `where`; a blank gives none."""

    op: Literal["count"]
    where: Where


class Blank(Step):
    """How many of these are blank. Not asked and not applicable are not blank."""

    op: Literal["blank"]
    of: tuple[str, ...]


class Linear(Step):
    """(x times `times`) / `divide` + `plus`."""

    op: Literal["linear"]
    of: str
    times: Number = 1
    divide: Number = 1
    plus: Number = 0


class Ratio(Step):
    """`times` x one score / another."""

    op: Literal["ratio"]
    of: str
    by: str
    times: Number = 100

    def refs(self) -> Iterator[str]:
        yield from (self.of, self.by)


class Truth(Step):
    op: Literal["rule"]
    rule: Rule

    def refs(self) -> Iterator[str]:
        return self.rule.refs()

    def rules(self) -> Iterator[Rule]:
        yield self.rule


class Case(Part):
    rule: Rule
    gives: Code


class Cases(Step):
    """The first case that is true; unknown as soon as a case before it is unknown."""

    op: Literal["cases"]
    cases: tuple[Case, ...]
    otherwise: Code | None = None

    def refs(self) -> Iterator[str]:
        for case in self.cases:
            yield from case.rule.refs()

    def rules(self) -> Iterator[Rule]:
        return (case.rule for case in self.cases)


class LookUp(Step):
    """The `values` table, whose first row belongs to the score `first`."""

    op: Literal["look_up"]
    of: str
    first: int
    values: tuple[Number, ...]


class Fall(Step):
    """Against `context.baseline_total`: `drop` in points, `percent_drop`, or `response` (at least `percent`)."""

    op: Literal["drop", "percent_drop", "response"]
    of: str
    percent: int = 50
    needs: str | None = "baseline_total"


class Profile(Step):
    """The codes written one after the other."""

    op: Literal["profile"]
    of: tuple[str, ...]


class Frequencies(Step):
    """How often each of `codes` was given, written one after the other."""

    op: Literal["frequencies"]
    of: tuple[str, ...]
    codes: tuple[int, ...]


class Valued(Step):
    """The index of a profile in the value set named by `context.value_set`; none where the shelf has it not."""

    op: Literal["value_set"]
    of: tuple[str, ...]
    needs: str | None = "value_set"


class Listed(Step):
    """The items to which one of `codes` was given."""

    op: Literal["listed"]
    of: tuple[str, ...]
    codes: tuple[Code, ...]


AnyStep = Annotated[
    Sum
    | Mean
    | Percent
    | Largest
    | Prorated
    | Possible
    | Count
    | Blank
    | Linear
    | Ratio
    | Truth
    | Cases
    | LookUp
    | Fall
    | Profile
    | Frequencies
    | Valued
    | Listed,
    Field(discriminator="op"),
]


class Bands(Sourced):
    """Named ranges of a score, by the author who drew them. `upper` holds the last value of each band;
    `gives` names the score that carries the band (without it the band is shown, not returned)."""

    of: str
    author: str
    lower: Number
    upper: tuple[Number, ...]
    labels: tuple[str, ...]
    gives: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Bands:
        if len(self.upper) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels for {len(self.upper)} bands")
        if list(self.upper) != sorted(set(self.upper)) or self.upper[0] < self.lower:
            raise ValueError("`upper` must rise from `lower`")
        return self

    def name(self, value: Number) -> str | None:
        if value < self.lower:
            return None
        return next((label for upper, label in zip(self.upper, self.labels, strict=True) if value <= upper), None)


class Safety(Sourced):
    """An answer that somebody must see now: an item with `at_least`, or a rule. Judged before and without scoring.
    A rule may name the items whose answers it stands on; the item of the first form is its own. With `when_finished`
    it is about what was left out, and judged once nothing more will come."""

    item: str | None = None
    at_least: Number | None = None
    rule: Rule | None = None
    when_finished: bool = False
    level: Literal["notify", "urgent"]
    says: str

    @model_validator(mode="after")
    def _one(self) -> Safety:
        if (self.item is None or self.at_least is None) == (self.rule is None):
            raise ValueError("a safety item has `item` and `at_least`, or a `rule`")
        return self

    def items(self) -> tuple[str, ...]:
        return (self.item,) if self.item else tuple(dict.fromkeys(self.rule.refs())) if self.rule else ()


class Warning_(Sourced):
    """Something odd in the answers that does not stop the score."""

    rule: Rule
    says: str


class Change(Sourced):
    """A published measure of change. `kind`: response (percent), remission (at most), important (points), reliable
    (points), end_state (at most), cut (at least). Which one a trial uses is said by its protocol."""

    kind: Literal["response", "remission", "important", "reliable", "end_state", "cut"]
    of: str
    value: Number
    to: Number | None = None
    unit: Literal["points", "percent", "score"] = "points"
    note: str = ""


class Context(Part):
    """Something the score needs to know that is not an answer."""

    kind: Literal["yes_no", "choice", "number"]
    choices: tuple[str, ...] = ()
    default: Code | None = None
    low: Number | None = None
    high: Number | None = None
    says: str = ""


class ValueSet(Part):
    """A country's value set for a profile, as a site holds it on its shelf (`value_sets/<id>.toml`): the index is
    `full_health`, less `any_problem` once any level is above 1, less each dimension's decrement."""

    id: str
    version: int
    instrument: str
    name: str
    full_health: Number = 1
    any_problem: Number = 0
    decrements: Mapping[str, tuple[Number, ...]]
    source: str
    licence: str


class Licence(Part):
    """May we ship the wording? `class` W yes, CC open access (check), NC not for commerce, P by permission."""

    kind: Literal["W", "CC", "NC", "P"] = Field(alias="class")
    holder: str
    terms: str
    source: str = ""
    verified: bool = True


class Paper(Part):
    """The paper to cite; `verified` says whether it was opened."""

    cite: str
    doi: str = ""
    verified: bool = False


class Example(Part):
    """A worked example: run as a test, printed in the manual. In the file "" is a blank, `null` names the scores that
    must be None, `flags` the safety flags as "item:level"."""

    note: str = ""
    items: Any
    context: Mapping[str, Any] = {}
    gives: Mapping[str, Any]
    null: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


class Kept(Part):
    """A piece of an imported form that has no place in a definition, as text; `place` is its name in that form."""

    place: str
    text: str


class Imported(Part):
    """The form that a definition came from, and what came with it that is not understood here: kept, and given back
    when the definition goes out in that format again."""

    format: Literal["fhir", "redcap", "xlsform"]
    file: str
    sha256: str
    kept: tuple[Kept, ...] = ()


class Group(Part):
    """Items that are written down together: `numbers` with an optional `prefix`, or `ids`."""

    numbers: str | None = None
    prefix: str = ""
    ids: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    loinc: tuple[str, ...] = ()
    answers: str
    optional: bool = False
    asked_if: Rule | None = None
    skipped: Number | None = None
    overrides: bool = False
    not_applicable_if: Rule | None = None


class Instrument(Part):
    """A whole definition. Two different `edition`s are two instruments: their scores are never pooled."""

    id: str
    version: int
    title: str
    short: str
    edition: str
    measures: str
    answered_by: Literal["participant", "clinician", "facilitator"]
    recall: str
    direction: Literal["higher is worse", "higher is better", "higher is more", "none"]
    items: tuple[Item, ...]
    shape: Mapping[str, str | tuple[str, ...]] | None = None
    contexts: Mapping[str, Context] = {}
    recodes: Mapping[str, Mapping[str, Number]] = {}
    steps: tuple[AnyStep, ...]
    bands: tuple[Bands, ...] = ()
    safety: tuple[Safety, ...] = ()
    warnings: tuple[Warning_, ...] = ()
    change: tuple[Change, ...] = ()
    missing_rule: str
    licence: Licence
    loinc: Mapping[str, str] = {}
    snomed: Mapping[str, str] = {}
    paper: Paper | None = None
    sources: tuple[str, ...]
    verified: bool
    notes: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    imported: Imported | None = None
    value_sets: Mapping[str, ValueSet] = {}

    @classmethod
    def from_table(cls, table: Mapping[str, Any], place: str, *, id: str = "") -> Instrument:
        """Read a parsed TOML table. Refuses with the file, the place in it and the mend for each thing wrong."""
        return _from_table(table, place, id or str(place).rsplit("/", 1)[-1].removesuffix(".toml"))

    def item(self, id: str) -> Item:
        for item in self.items:
            if item.id == id:
                return item
        raise refuse(
            f"{self.id} has no item {id!r}", "its definition does not", f"It has {self.names_in_words()}", where=id
        )

    def names_in_words(self) -> str:
        """What answers may be called, for a sentence."""
        ids = list(self.shape or [item.id for item in self.items])
        return ", ".join(ids) if len(ids) <= 12 else f"{', '.join(ids[:3])} … {ids[-1]}"

    @cached_property
    def branches(self) -> tuple[Item, ...]:
        """The items that are only asked, or only apply, when something is so."""
        return tuple(item for item in self.items if item.asked_if or item.not_applicable_if)

    @cached_property
    def may_not_apply(self) -> frozenset[str]:
        """The items of which the instrument itself says that they may not apply (work, for somebody without). "Not
        applicable" anywhere else is an answer that no score knows what to do with: unknown, as a blank is."""
        rules = [rule for step in self.steps for top in step.rules() for rule in top.parts()]
        named = {rule.not_applicable for rule in rules if rule.not_applicable}
        return frozenset(named | {item.id for item in self.items if item.not_applicable_if})

    def __hash__(self) -> int:
        return hash((self.id, self.version))

    def score_names(self) -> tuple[str, ...]:
        """Every score that can come back, in order."""
        return (*(s.name for s in self.steps if s.show), *(b.gives for b in self.bands if b.gives))

    def main_score(self) -> str | None:
        """The score that one line shows: a total where there is one, else the first from which no other is made.
        None where every score is a list, a count of blanks or a yes or no."""
        said = [s for s in self.steps if s.show and not isinstance(s, (Truth, Listed, Blank))]
        made_of = {ref for step in said for ref in step.refs()}
        totals = [s.name for s in said if s.name.startswith("total")]
        return next((name for name in [*totals, *(s.name for s in said if s.name not in made_of)]), None)

    def step(self, name: str) -> AnyStep | None:
        return next((step for step in self.steps if step.name == name), None)


# ---- reading the table ------------------------------------------------------------------------------

_RANGE = re.compile(r"([A-Za-z_]*)(\d+)-\1(\d+)")
_REF_LISTS = ("of", "reversed", "count", "sum", "answered")


def expand(refs: Iterable[Any]) -> list[Any]:
    """ "1-4" stands for "1", "2", "3", "4"; "q1-q5" likewise."""
    out: list[Any] = []
    for ref in refs:
        found = _RANGE.fullmatch(ref) if isinstance(ref, str) else None
        if found:
            out += [f"{found[1]}{n}" for n in range(int(found[2]), int(found[3]) + 1)]
        else:
            out.append(str(ref) if isinstance(ref, int) else ref)
    return out


def _expanded(value: Any, key: str = "") -> Any:
    """The same table with every list of references written out."""
    if isinstance(value, Mapping):
        if key == "recode":
            return {name: expand(refs) for name, refs in value.items()}
        return {k: _expanded(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return expand(value) if key in _REF_LISTS else [_expanded(part) for part in value]
    return value


def _from_table(table: Mapping[str, Any], place: str, id: str) -> Instrument:
    raw = dict(table)
    try:
        answers = {name: Answers(**value) for name, value in dict(raw.pop("answers", {})).items()}
        groups = [Group(**_expanded(group)) for group in raw.pop("items", [])]
    except ValidationError as error:
        raise _mends(error, place, "items and answers") from None
    except TypeError as error:
        raise refuse("The items were not read", str(error), "Write them as tables", where=place) from None
    raw["items"] = _items(groups, answers, place)
    raw["steps"] = _expanded(raw.pop("scores", []))
    for key in ("safety", "warnings"):
        raw[key] = _expanded(raw.get(key, []))
    if "shape" in raw:
        raw["shape"] = {k: tuple(expand(v)) if isinstance(v, list) else _span(v) for k, v in raw["shape"].items()}
    raw["examples"] = [{**e, "items": _blanks(e.get("items"))} for e in raw.get("examples", [])]
    for key, plain in (("context", "contexts"), ("recode", "recodes")):
        if key in raw:
            raw[plain] = raw.pop(key)
    try:
        instrument = Instrument(**{**raw, "id": id})
    except ValidationError as error:
        raise _mends(error, place, "") from None
    reasons = [Reason(what, why, mend, where=f"{place}, {where}") for where, what, why, mend in _faults(instrument)]
    if reasons:
        raise Refused(reasons)
    return instrument


def _blanks(value: Any) -> Any:
    """TOML has no null: in an example "" is a blank."""
    if isinstance(value, Mapping):
        return {key: _blanks(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_blanks(part) for part in value]
    return None if value == "" else value


def _span(value: Any) -> Any:
    """A shape's value: one item id, or a list of them."""
    many = expand([value])
    return tuple(many) if many != [value] else value


def _items(groups: list[Group], answers: Mapping[str, Answers], place: str) -> list[Item]:
    items: list[Item] = []
    for group in groups:
        ids = list(group.ids) or expand(part.strip() for part in (group.numbers or "").split(","))
        for given, what in ((group.labels, "labels"), (group.loinc, "loinc")):
            if given and len(given) != len(ids):
                raise refuse(
                    f"{len(given)} {what} for {len(ids)} items",
                    "each item has one",
                    f"Give {len(ids)}, or leave `{what}` out",
                    where=f"{place}, items {ids[0]} …",
                )
        if group.answers not in answers:
            raise refuse(
                f"There is no way to answer called {group.answers!r}",
                f"the file has {', '.join(answers) or 'none'}",
                f"Add [answers.{group.answers}]",
                where=f"{place}, items {ids[0]} …",
            )
        for n, own in enumerate(ids):
            items.append(
                Item(
                    id=group.prefix + own,
                    number=len(items) + 1,
                    label=group.labels[n] if group.labels else f"Item {own}",
                    answers=answers[group.answers],
                    way=group.answers,
                    optional=group.optional,
                    asked_if=group.asked_if and _for_item(group.asked_if, own),
                    skipped=group.skipped,
                    overrides=group.overrides,
                    not_applicable_if=group.not_applicable_if,
                    loinc=(group.loinc[n] or None) if group.loinc else None,
                )
            )
    return items


def _for_item(rule: Rule, number: str) -> Rule:
    """The rule of one item of a group: "{n}" in it stands for the item's own number."""
    return Rule.model_validate_json(rule.model_dump_json(by_alias=True, exclude_defaults=True).replace("{n}", number))


def _mends(error: ValidationError, place: str, part: str) -> Refused:
    """Each thing wrong with the shape, as a sentence with its place."""
    reasons = []
    for fault in error.errors(include_url=False):
        where = ".".join(str(step) for step in fault["loc"]) or part
        mend = {
            "missing": f"Add `{fault['loc'][-1] if fault['loc'] else part}`",
            "extra_forbidden": "Take it out, or mend its spelling",
        }.get(fault["type"], "Mend that value")
        why = fault["msg"].removeprefix("Value error, ")
        reasons.append(Reason(f"`{where}` was refused", why, mend, where=place, code="bad-instrument"))
    return Refused(reasons)


def _faults(instrument: Instrument) -> Iterator[tuple[str, str, str, str]]:
    """What is wrong although each piece is well formed: (place, what, why, mend)."""
    ids = [item.id for item in instrument.items]
    for id in sorted(id for id, times in Counter(ids).items() if times > 1):
        yield "items", f"Item {id} occurs twice", "an id names one item", "Give each its own"
    known = set(ids)
    for item in instrument.items:
        for gate in (item.asked_if, item.not_applicable_if):
            if gate:
                yield from _unknown(f"item {item.id}", gate.refs(), known)
                yield from _unknown_contexts(f"item {item.id}", gate, instrument)
        if item.asked_if and item.skipped is None and item.answers.kind != "choice" and not item.optional:
            yield f"item {item.id}", "It can be skipped", "no score for a skipped item is given", "Add `skipped = 0`"
    for step in instrument.steps:
        place = f"score {step.name}"
        if step.name in known:
            yield place, f"The name {step.name} is taken", "an item or an earlier score has it", "Name it otherwise"
        yield from _unknown(place, step.refs(), known)
        for rule in step.rules():
            yield from _unknown(place, rule.refs(), known)
            yield from _unknown_contexts(place, rule, instrument)
        if isinstance(step, Terms):
            for name in set(step.recode) - set(instrument.recodes):
                yield place, f"There is no recode table {name!r}", "it is named here", f"Add [recode.{name}]"
        known.add(step.name)
    for band in instrument.bands:
        yield from _unknown(f"bands of {band.of}", [band.of], known)
    for safety in instrument.safety:
        yield from _unknown("safety", safety.items(), set(ids))
    for warning in instrument.warnings:
        yield from _unknown("warnings", warning.rule.refs(), set(ids))
    for key, value in (instrument.shape or {}).items():
        yield from _unknown(f"shape.{key}", (value,) if isinstance(value, str) else value, set(ids))


def _unknown(place: str, refs: Iterable[str], known: set[str]) -> Iterator[tuple[str, str, str, str]]:
    for ref in refs:
        if ref not in known:
            yield place, f"{ref!r} is unknown here", "no item and no earlier score is called that", "Mend the name"


def _unknown_contexts(place: str, rule: Rule, instrument: Instrument) -> Iterator[tuple[str, str, str, str]]:
    for name in rule.contexts():
        if name not in instrument.contexts:
            yield place, f"context {name!r} is unknown", "the file does not describe it", f"Add [context.{name}]"
