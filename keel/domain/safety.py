"""Safety rules: facts in, findings out, each with its reason, its evidence and what it stood on.

A finding is clear, caution, unknown or stop, and never a bool. The verdict is the worst of them. What is
not known is never good news: a rule that lacks a fact it needs says unknown, and says who could supply it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from math import isfinite
from typing import Any, Final, NoReturn

from keel.domain.errors import refuse
from keel.domain.expression import UNKNOWN, Answer, Expression, Value, evaluate
from keel.domain.fact import Fact, FactKind, Facts, FactValue, Reading
from keel.domain.medication import (
    NEVER_STOP,
    Interaction,
    Medication,
    MedicineFact,
    MedicineList,
    Standing,
    rows_for,
    standing,
)
from keel.domain.suicidality import ITEMS, triage

BASES: Final = ("trial_exclusion", "label", "regulation", "case_reports", "mechanism", "rct", "house")
GUARDS: Final = ("admit", "give_dose")
QUESTIONS: Final = frozenset(
    {"takes", "takes_class", "within_weeks", "taken_in_last_days", "reported", "known", "age_days", "mean"}
    | {"enough_readings", "cssrs_at_least", "bmi"}
)
MEDICINES_QUESTIONS: Final = frozenset({"takes", "takes_class", "within_weeks", "taken_in_last_days"})


FINDINGS_OF_NO_RULE: Final = {
    "fact-set-aside": "A fact that cannot be right and that no rule asked for: unknown, never passed over",
    "fact-not-known": "A fact under a name that no rule knows: nothing was judged by it",
    "diagnosis-not-known": "A diagnosis that no rule knows: unknown, never harmless",
    "medication-interactions": "Whether anybody has asked which medicines are taken",
    "medication-unknown-name": "A medicine that nobody here knows: unknown, never harmless",
    "medication-not-in-matrix": "A medicine that the matrix of the substance does not speak of",
}
"""The findings that come from no rule of the shelf and no row of the matrix: about what nobody here can read."""


class Level(StrEnum):
    """clear < caution < unknown < stop. Asking a level for its truth is an error: it has four values, not two."""

    CLEAR = "clear"
    CAUTION = "caution"
    UNKNOWN = "unknown"
    STOP = "stop"

    @property
    def rank(self) -> int:
        return list(Level).index(self)

    @property
    def blocks(self) -> bool:
        """Unknown and stop hold the door; caution asks for a recorded decision."""
        return self.rank >= Level.UNKNOWN.rank

    def __bool__(self) -> NoReturn:
        raise TypeError("a finding is never a bool: compare it with Level.CLEAR, or ask .blocks")


def worst(levels: Iterable[Level]) -> Level:
    """The worst level; nothing judged at all is unknown."""
    return max(levels, key=lambda level: level.rank, default=Level.UNKNOWN)


Limit = float | int | str | bool | tuple[str, ...] | None


@dataclass(frozen=True)
class Rule:
    """One rule as it applies to one protocol. A limit of None is a number the facts leave open: the site sets it."""

    id: str
    version: int
    title: str
    finding: Level
    guards: tuple[str, ...]
    when: Expression
    because: str
    evidence: tuple[str, ...]
    basis: str
    verified: bool
    protocol: str
    limits: Mapping[str, Limit] = field(default_factory=dict)
    washout_days: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    from_site: bool = False

    def sentence(self) -> str:
        """`because` with the limits of this protocol written in."""
        shown = {k: "the site's limit" if v is None else _shown(v) for k, v in self.limits.items()}
        return self.because.format(**shown)


def _shown(limit: Limit) -> str:
    if isinstance(limit, float | int) and not isinstance(limit, bool):
        return f"{limit:g}" if isfinite(limit) else "no limit"
    return ", ".join(limit) if isinstance(limit, tuple) else str(limit)


@dataclass(frozen=True)
class RuleSet:
    """Everything a judgement needs for one protocol, read from the shelf by `keel.library.rule_files`."""

    protocol: str
    substance: str
    service: bool
    rules: tuple[Rule, ...]
    matrix: tuple[Interaction, ...]
    medicines: MedicineList
    catalogue: Mapping[str, FactKind]
    risks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reviews: tuple[str, ...] = ()

    def washout_days(self) -> dict[str, int]:
        """The protocol's own washouts by class or ingredient, in days."""
        return {name: days for rule in self.rules for name, days in rule.washout_days.items()}


@dataclass(frozen=True)
class Missing:
    """A fact that is missing and would matter: why, and who could supply it."""

    name: str
    why: str
    supplied_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Override:
    """A physician's decision to go on in spite of a finding: for this rule, up to this level, with a reason."""

    rule: str
    level: Level
    reason: str
    by: str
    role: str
    at: datetime


@dataclass(frozen=True)
class Finding:
    """What one rule found: never a bool."""

    rule: str
    level: Level
    because: str
    evidence: tuple[str, ...] = ()
    basis: str = "house"
    verified: bool = False
    version: int = 1
    used: tuple[Fact, ...] = ()
    missing: tuple[Missing, ...] = ()
    override: Override | None = None
    overridden_level: Level | None = None

    def __bool__(self) -> NoReturn:
        raise TypeError("a finding is never a bool: look at its level")

    def as_json(self) -> dict[str, Any]:
        """The shape of `keel screen`: `used` by fact name, `missing` a list of names, `supply` who could give them."""
        answer: dict[str, Any] = {
            "rule": self.rule,
            "version": self.version,
            "finding": self.level.value,
            "because": self.because,
            "evidence": list(self.evidence),
            "basis": self.basis,
            "verified": self.verified,
            "used": {fact.name: fact_as_json(fact) for fact in self.used},
            "missing": [m.name for m in self.missing],
            "supply": {m.name: {"why": m.why, "supplied_by": list(m.supplied_by)} for m in self.missing},
        }
        if self.override is not None and self.overridden_level is not None:
            answer["override"] = {
                "from": self.overridden_level.value,
                "reason": self.override.reason,
                "by": self.override.by,
                "at": self.override.at.isoformat(),
            }
        return answer


@dataclass(frozen=True)
class Verdict:
    """The worst finding and all the findings, worst first; `overrides` lists every override in force."""

    level: Level
    findings: tuple[Finding, ...]
    protocol: str
    on: date
    guard: str = "admit"

    def __bool__(self) -> NoReturn:
        raise TypeError("a verdict is never a bool: look at its level")

    @property
    def overrides(self) -> tuple[Override, ...]:
        return tuple(f.override for f in self.findings if f.override is not None)

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Every missing fact once, in the order of the findings."""
        return tuple({m.name: m for f in self.findings for m in f.missing}.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.level.value,
            "protocol": self.protocol,
            "on": self.on.isoformat(),
            "guard": self.guard,
            "findings": [f.as_json() for f in self.findings],
        }


def fact_as_json(fact: Fact) -> dict[str, Any]:
    return {
        "value": _value_as_json(fact.value),
        "on": fact.on.isoformat() if fact.on else None,
        "source": fact.source,
    }


def _value_as_json(value: FactValue) -> Any:
    if not isinstance(value, tuple):
        return value
    return [_element_as_json(element) for element in value]


def _element_as_json(element: str | Reading | Medication) -> Any:
    if isinstance(element, Reading):
        return {**element.figures, "on": element.on.isoformat() if element.on else None}
    if isinstance(element, Medication):
        days = {"started_on": element.started_on, "stopped_on": element.stopped_on}
        return {"name": element.name, "dose": element.dose} | {k: v.isoformat() for k, v in days.items() if v}
    return element


# ---- judging ----------------------------------------------------------------------------------


def judge(rules: RuleSet, facts: Facts, *, guard: str = "admit") -> Verdict:
    """Judge what is known of a person against every rule that guards a step; pure, and the same every time."""
    if guard not in GUARDS:
        raise refuse(f"The step {guard!r} was not judged", "no rule guards it", f"Known: {', '.join(GUARDS)}")
    world = _World(rules, facts)
    findings = [_judge_rule(rule, world) for rule in rules.rules if guard in rule.guards]
    findings += _judge_medicines(rules, world, guard)
    findings += _judge_diagnoses(rules, world)
    findings += _judge_set_aside(rules, facts, {m.name for f in findings for m in f.missing})
    findings.sort(key=lambda f: (-f.level.rank, f.rule, f.because))
    return Verdict(worst(f.level for f in findings), tuple(findings), rules.protocol, facts.on, guard)


def apply_overrides(verdict: Verdict, overrides: Sequence[Override]) -> Verdict:
    """The verdict with a physician's overrides in force: each lowers its finding to caution and stays listed.

    An override holds for the level it was made at: a finding that has since become worse stands. Refuses an
    override without a reason, by anyone but a physician, or for a rule that was not judged.
    """
    for override in overrides:
        _check_override(override, verdict)
    by_rule = {override.rule: override for override in overrides}
    findings = tuple(_overridden(f, by_rule.get(f.rule)) for f in verdict.findings)
    ordered = tuple(sorted(findings, key=lambda f: (-f.level.rank, f.rule, f.because)))
    return replace(verdict, findings=ordered, level=worst(f.level for f in ordered))


def _overridden(finding: Finding, override: Override | None) -> Finding:
    if override is None or not finding.level.blocks or finding.level.rank > override.level.rank:
        return finding
    return replace(finding, level=Level.CAUTION, override=override, overridden_level=finding.level)


def _check_override(override: Override, verdict: Verdict) -> None:
    what = f"The override of {override.rule} was not accepted"
    if override.role != "physician":
        raise refuse(what, f"{override.by} acts as {override.role}", "A physician may override", code="not-physician")
    if len(override.reason.split()) < 2:
        raise refuse(what, "it gives no reason", "Say in a sentence why this person may go on", code="no-reason")
    if all(f.rule != override.rule for f in verdict.findings):
        raise refuse(what, "no finding of that rule is in the verdict", "Name a rule that was judged", code="no-rule")


def _judge_rule(rule: Rule, world: _World) -> Finding:
    world = world.under(rule)
    answer = evaluate(rule.when, world)
    level, because = Level.CLEAR, f"Not found: {rule.title[:1].lower()}{rule.title[1:]}."
    if answer.is_unknown:
        level, because = Level.UNKNOWN, f"Not known yet. {rule.sentence()}"
    elif answer.value is True:
        level, because = rule.finding, rule.sentence()
    elif answer.value is not False:
        raise refuse(f"The rule {rule.id} was not judged", "its condition is neither true nor false", where=rule.id)
    missing = world.explain(answer.missing)
    if level is Level.UNKNOWN and not missing:
        missing = (Missing("medical_lead.decision", "the limit of this exclusion is not published", ("medical lead",)),)
    return Finding(
        rule.id,
        level,
        because,
        rule.evidence,
        rule.basis,
        rule.verified,
        rule.version,
        world.facts_named(answer.used),
        missing,
    )


class _World:
    """A person's facts as rules ask for them. Unknown medicines make every question about medicines unknown."""

    def __init__(self, rules: RuleSet, facts: Facts):
        self.rules, self.facts = rules, facts
        self.rule: Rule | None = None
        self.whys: dict[str, str] = {}
        given = facts.known.get("medications")
        self.medicines: tuple[MedicineFact, ...] | None = None
        if given is not None and isinstance(given.value, tuple):
            self.medicines = tuple(
                MedicineFact(m, rules.medicines.recognise(m.name)) for m in given.value if isinstance(m, Medication)
            )

    def under(self, rule: Rule) -> _World:
        """The same facts with the limits of one rule."""
        world = copy(self)
        world.rule, world.whys = rule, {}
        return world

    def look(self, path: str) -> Answer:
        if path.startswith("limit.") and self.rule is not None:
            limit = self.rule.limits.get(path.removeprefix("limit."))
            return Answer(UNKNOWN, missing=frozenset({path})) if limit is None else Answer(limit)
        fact = self.facts.known.get(path)
        if fact is None:
            return Answer(UNKNOWN, missing=frozenset({path}))
        return Answer(fact.value, frozenset({path}))

    def ask(self, question: str, args: tuple[Answer | str, ...], named: Mapping[str, Answer]) -> Answer:
        try:
            return _QUESTIONS[question](self, *args, **named)
        except (KeyError, TypeError):
            raise refuse(f"The question {question}(…) was not asked", "no such question takes these words") from None

    # -- the questions, in the words of the rules

    def takes(self, name: str) -> Answer:
        return self._medicine(name, lambda m: m.is_taken(self.facts.on))

    def within_weeks(self, name: str, weeks: Answer) -> Answer:
        """Taken now, or the last dose less than so many weeks ago."""
        return self._within(name, weeks, lambda off, limit: off < 7 * limit)

    def taken_in_last_days(self, name: str, days: Answer) -> Answer:
        """Taken now, or the last dose so many days ago or fewer."""
        return self._within(name, days, lambda off, limit: off <= limit)

    def _within(self, name: str, span: Answer, holds: Callable[[int, float], bool]) -> Answer:
        if span.is_unknown:
            return span
        limit = _number(span.value)
        return self._medicine(name, lambda m: (off := m.days_off(self.facts.on)) is None or holds(off, limit))

    def _medicine(self, name: str, holds: Callable[[Medication], bool]) -> Answer:
        if self.medicines is None:
            return self.look("medications")
        used, missing = frozenset({"medications"}), set[str]()
        for one in self.medicines:
            if one.is_a(name) and holds(one.medication):
                return Answer(True, used)
            if not one.recognised.is_known and holds(one.medication):
                missing.add(self._unread(one))
        return Answer(UNKNOWN, used, frozenset(missing)) if missing else Answer(False, used)

    def _unread(self, one: MedicineFact) -> str:
        name = f"medications.{one.medication.name}"
        self.whys[name] = f"nobody here knows a medicine called {one.recognised.unread or one.medication.name!r}"
        return name

    def reported(self, path: str) -> Answer:
        """A flag that is heeded when it was told and not asked for otherwise; told in vain it is not known."""
        if self.facts.is_wrong(path):
            return self.look(path)
        fact = self.facts.known.get(path)
        return Answer(fact is not None and fact.value is True, frozenset({path} if fact else ()))

    def known(self, path: str) -> Answer:
        """Whether a fact was told; of one that was told and cannot be right nobody knows."""
        if self.facts.is_wrong(path):
            return self.look(path)
        return Answer(path in self.facts.known, frozenset({path} if path in self.facts.known else ()))

    def age_days(self, path: str) -> Answer:
        fact = self.facts.known.get(path)
        if fact is None or fact.on is None:
            return Answer(UNKNOWN, missing=frozenset({path}))
        return Answer((self.facts.on - fact.on).days, frozenset({path}))

    def mean(self, path: str) -> Answer:
        name, _, figure = path.partition(".")
        answer = self.look(name)
        if answer.is_unknown or not isinstance(answer.value, tuple):
            return answer
        figures = [r.figures[figure] for r in answer.value if isinstance(r, Reading)]
        return Answer(sum(figures) / len(figures), answer.used)

    def enough_readings(self, name: Answer, readings: Answer, days: Answer) -> Answer:
        """True, or UNKNOWN: an average over too few readings is not known yet."""
        if name.is_unknown or readings.is_unknown or days.is_unknown or not isinstance(name.value, tuple):
            return Answer(UNKNOWN, name.used, name.missing | readings.missing | days.missing)
        found = [r for r in name.value if isinstance(r, Reading)]
        on_days = len({r.on for r in found})
        wanted, wanted_days = int(_number(readings.value)), int(_number(days.value))
        if len(found) >= wanted and on_days >= wanted_days:
            return Answer(True, name.used)
        missing = next(iter(name.used))
        self.whys[missing] = f"{len(found)} of {wanted} readings on {on_days} of {wanted_days} days"
        return Answer(UNKNOWN, name.used, frozenset({missing}))

    def cssrs_at_least(self, level: Answer) -> Answer:
        known = self.facts.known
        answers = {item: _flag(known.get(f"suicidality.{item}")) for item in ITEMS}
        when = known.get("suicidality.q6_when")
        found = triage(answers, str(when.value) if when else None)
        reached = found.at_least(str(level.value))
        used = frozenset(n for n in (*(f"suicidality.{i}" for i in ITEMS), "suicidality.q6_when") if n in known)
        if reached is None:
            return Answer(UNKNOWN, used, frozenset(f"suicidality.{item}" for item in found.missing))
        return Answer(reached, used)

    def bmi(self) -> Answer:
        """kg/m², from weight and height."""
        weight, height = self.look("weight_kg"), self.look("height_cm")
        if weight.is_unknown or height.is_unknown:
            return Answer(UNKNOWN, weight.used | height.used, weight.missing | height.missing)
        return Answer(_number(weight.value) / (_number(height.value) / 100) ** 2, weight.used | height.used)

    # -- what a finding says of its facts

    def facts_named(self, names: Iterable[str]) -> tuple[Fact, ...]:
        return tuple(self.facts.known[name] for name in sorted(names) if name in self.facts.known)

    def explain(self, names: Iterable[str]) -> tuple[Missing, ...]:
        return tuple(self._explain(name) for name in sorted(names))

    def _explain(self, name: str) -> Missing:
        if name.startswith("limit."):
            return Missing(name, f"{self.rules.protocol} publishes no number that was read", ("medical lead",))
        if name.startswith("medications."):
            return Missing(name, self.whys.get(name, "this name was not recognised"), ("pharmacist", "prescriber"))
        kind = self.rules.catalogue.get(name)
        why = self.whys.get(name) or self.facts.why_absent(name)
        return Missing(name, why, kind.supplied_by if kind else ())


_QUESTIONS: Final[Mapping[str, Callable[..., Answer]]] = {
    "takes": _World.takes,
    "takes_class": _World.takes,
    "within_weeks": _World.within_weeks,
    "taken_in_last_days": _World.taken_in_last_days,
    "reported": _World.reported,
    "known": _World.known,
    "age_days": _World.age_days,
    "mean": _World.mean,
    "enough_readings": _World.enough_readings,
    "cssrs_at_least": _World.cssrs_at_least,
    "bmi": _World.bmi,
}


# ---- what no rule can read ----------------------------------------------------------------------


def _judge_diagnoses(rules: RuleSet, world: _World) -> Iterable[Finding]:
    """One finding for each diagnosis that no rule knows: it is for a physician to say what it means here."""
    fact, kind = world.facts.known.get("diagnoses"), rules.catalogue.get("diagnoses")
    if fact is None or kind is None or not isinstance(fact.value, tuple):
        return
    for name in dict.fromkeys(one[:80] for one in fact.value if isinstance(one, str) and one not in kind.choices):
        missing = Missing(f"diagnoses.{name}", f"no rule knows a diagnosis called {name!r}", kind.supplied_by)
        because = f"{name.replace('_', ' ')}: no rule here knows this diagnosis, and what is not known is not harmless."
        used = (replace(fact, value=(name,)),)
        yield Finding("diagnosis-not-known", Level.UNKNOWN, because, rules.reviews, used=used, missing=(missing,))


def _judge_set_aside(rules: RuleSet, facts: Facts, named: set[str]) -> Iterable[Finding]:
    """One finding for each thing told that nobody could use and that no rule has named yet: nothing is lost silently."""
    for note in facts.notes:
        if note.code == "unknown-fact":
            missing = Missing(note.where, "no fact of that name is in the catalogue", ("coordinator", "physician"))
            because = f"{note.where} was told, and no rule knows a fact of that name: nothing was judged by it."
            yield Finding("fact-not-known", Level.UNKNOWN, because, rules.reviews, missing=(missing,))
        elif note.where not in named:
            kind = rules.catalogue.get(note.where)
            missing = Missing(note.where, note.why, kind.supplied_by if kind else ("physician",))
            because = f"{note.what}: {note.why}."
            yield Finding("fact-set-aside", Level.UNKNOWN, because, rules.reviews, missing=(missing,))


def _number(value: Value) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse("The rule was not judged", f"{value!r} is not a number")
    return value


def _flag(fact: Fact | None) -> bool | None:
    return fact.value if fact is not None and isinstance(fact.value, bool) else None


# ---- medicines --------------------------------------------------------------------------------


def _judge_medicines(rules: RuleSet, world: _World, guard: str) -> list[Finding]:
    """One finding per medicine and row of the matrix that says something; never silence."""
    if world.medicines is None:
        kind = rules.catalogue.get("medications")
        missing = Missing(
            "medications", world.facts.why_absent("medications"), kind.supplied_by if kind else ("participant",)
        )
        because = "Nobody has asked yet which medicines are taken."
        return [Finding("medication-interactions", Level.UNKNOWN, because, rules.reviews, missing=(missing,))]
    used = world.facts_named(["medications"])
    if not world.medicines:
        because = "Asked, and no medicine is taken."
        return [Finding("medication-interactions", Level.CLEAR, because, rules.reviews, used=used)]
    return [f for one in world.medicines for f in _judge_medicine(rules, one, world, guard)]


def _clipped(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:80]}…"


def _judge_medicine(rules: RuleSet, one: MedicineFact, world: _World, guard: str) -> Iterable[Finding]:
    used = (replace(world.facts.known["medications"], value=(one.medication,)),)
    name = _clipped(one.medication.name)
    if not one.recognised.is_known:
        unread = _clipped(one.recognised.unread or name)
        missing = Missing(f"medications.{name}", f"nobody here knows {unread!r}", ("pharmacist", "prescriber"))
        because = f"{name}: {unread!r} is not a name on the shelf, and an unknown medicine is not a harmless one."
        yield Finding("medication-unknown-name", Level.UNKNOWN, because, rules.reviews, used=used, missing=(missing,))
    for medicine in one.recognised.medicines:
        rows = rows_for(medicine, rules.matrix)
        if not rows:
            missing = Missing(f"medications.{name}", "the matrix has no row for it", ("prescriber", "pharmacist"))
            because = f"{name} ({medicine.id}) has no row in the matrix of {rules.substance}: its prescriber is asked."
            yield Finding(
                "medication-not-in-matrix", Level.UNKNOWN, because, rules.reviews, used=used, missing=(missing,)
            )
        for row in rows:
            at = standing(one.medication, medicine, row, world.facts.on, rules.washout_days())
            yield _judge_standing(rules, at, used, world, guard)


def _judge_standing(rules: RuleSet, at: Standing, used: tuple[Fact, ...], world: _World, guard: str) -> Finding:
    row, name = at.row, at.medication.name
    action = row.action_in(rules.service)
    level = _level_of(action, at, guard, world.facts.on)
    missing: tuple[Missing, ...] = ()
    if level is Level.UNKNOWN and at.washout is not None:
        missing = (Missing(f"medications.{name}", at.washout.why, ("pharmacist", "prescriber")),)
    if level is not Level.CLEAR and row.only_if is not None:
        condition = evaluate(row.only_if, world)
        used = (*used, *world.facts_named(condition.used))
        if condition.value is False:
            level = Level.CLEAR
        elif condition.is_unknown and not rules.service:
            # A service does not measure it, and keeps the caution; a trial does, and is asked for it.
            level, missing = Level.UNKNOWN, world.explain(condition.missing)
    return Finding(
        row.rule_id,
        level,
        _medicine_sentence(rules, at, action, level),
        row.evidence,
        row.basis,
        row.verified,
        row.version,
        used,
        missing,
    )


def _level_of(action: str, at: Standing, guard: str, on: date) -> Level:
    if action in ("continue", "ok") or at.state == "over":
        return Level.CLEAR
    if action == "caution":
        return Level.CAUTION
    if action == "hold":
        return _level_of_hold(at, guard, on)
    return Level.UNKNOWN if at.state == "open" else Level.STOP


def _level_of_hold(at: Standing, guard: str, on: date) -> Level:
    """What is only left out around the day: a reminder at admission, a gate on the morning."""
    if guard != "give_dose":
        return Level.CAUTION
    last = at.medication.last_dose_on or at.medication.stopped_on
    if last is None or at.washout is None or at.washout.days is None:
        return Level.UNKNOWN
    return Level.CLEAR if (on - last).days >= at.washout.days else Level.STOP


def _medicine_sentence(rules: RuleSet, at: Standing, action: str, level: Level) -> str:
    name, row = at.medication.name, at.row
    head = f"{name} ({row.medicine_class.replace('_', ' ')}) and {rules.substance}"
    if level is Level.CLEAR:
        over = f"its washout was over on {at.over_on}" if at.state == "over" else "nothing speaks against it"
        return f"{head}: {over}."
    parts = [f"{head}: {row.because.rstrip('.')}"]
    if at.state == "washing_out" and at.washout is not None:
        parts.append(f"Its washout ({at.washout.days} days: {at.washout.why}) is over on {at.over_on}")
    if at.state == "open" and at.washout is not None and action in ("taper", "exclude"):
        parts.append(f"Whether its washout is over cannot be said: {at.washout.why}")
    if at.state == "taking" and action in ("taper", "exclude"):
        parts.append(f"No dose while it is taken. {NEVER_STOP.rstrip('.')}")
    return ". ".join(parts) + "."
