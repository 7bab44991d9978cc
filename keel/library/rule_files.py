"""The safety shelf: rules, the medication matrix, the catalogue of facts, as the domain judges with them.

    rules = rules_for("davis-2021")
    facts = read_facts(raw, rules.catalogue, on=day)
    verdict = judge(rules, facts)

A site's shelf (KEEL_SHELF) may add rules, and may answer a number that ours leaves open. Where a site's
file has the id of one of ours, both are judged and the worse finding counts: a site can tighten a rule
and never silently loosen it. The same holds for rows of the medication matrix, for medicines and for the
ages of facts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from keel.domain.errors import Refused, refuse
from keel.domain.expression import Expression, parse
from keel.domain.fact import KINDS, FactKind, read_facts
from keel.domain.medication import ACTIONS, Interaction, Medicine, MedicineList
from keel.domain.safety import (
    BASES,
    GUARDS,
    MEDICINES_QUESTIONS,
    QUESTIONS,
    Level,
    Limit,
    Rule,
    RuleSet,
    Verdict,
    judge,
)
from keel.library import shelf

KIND = "safety"
SHELF_KINDS = (KIND, "medications", "substances", "tables", "sources", "protocols")
Stamp = tuple[tuple[str, int, int], ...]
RULE_KEYS = frozenset(
    {"version", "title", "finding", "guards", "when", "because", "evidence", "basis", "verified", "note"}
    | {"limits", "washouts", "applies_to", "substances", "protocols", "examples", "open_in"}
)
PROTOCOL_KEYS = RULE_KEYS - {"version", "guards", "applies_to", "substances", "protocols", "examples", "open_in"}
OPEN = "open"


def rules_for(protocol_id: str) -> RuleSet:
    """Everything that judges a person for one protocol. Refuses an unknown protocol id by naming what there is."""
    return _rules_for(protocol_id, _stamp())


@lru_cache(maxsize=64)
def _rules_for(protocol_id: str, stamp: Stamp) -> RuleSet:
    substance, service = _protocol(protocol_id)
    if protocol_id in _screened():
        rules = tuple(rule for rule in all_rules() if rule.protocol == protocol_id)
    else:
        rules = tuple(_rules_of_kind(protocol_id, substance, service))
    return RuleSet(
        protocol=protocol_id,
        substance=substance,
        service=service,
        rules=rules,
        matrix=matrix(substance),
        medicines=medicines(),
        catalogue=catalogue(),
        risks=risks(),
        reviews=_reviews(substance),
    )


def screen(protocol_id: str, raw: object, *, on: date, guard: str = "admit") -> Verdict:
    """Read facts and judge them: the whole of `keel screen` as one call."""
    rules = rules_for(protocol_id)
    return judge(rules, read_facts(raw, rules.catalogue, on=on, guard=guard), guard=guard)


def protocol_ids() -> tuple[str, ...]:
    return tuple(_screened())


def all_rules() -> tuple[Rule, ...]:
    """Every rule as it applies to every protocol of the table, ours first, then what sites add."""
    return _all_rules(_stamp())


def rule_entries() -> tuple[shelf.Entry, ...]:
    """The files of the rules, ours and the sites'."""
    return tuple(shelf.read_file(path, kind=KIND) for path in _rule_paths())


def _rule_paths() -> Iterator[Path]:
    for folder in reversed(shelf.shelves()):
        yield from sorted((folder / KIND).glob("*.toml"))


def _entries(kind: str, id: str) -> tuple[shelf.Entry, ...]:
    """Every file of that id, ours first: what a site writes is laid upon ours and never stands instead of it."""
    paths = (folder / kind / f"{id}.toml" for folder in reversed(shelf.shelves()))
    return tuple(shelf.read_file(path, kind=kind) for path in paths if path.exists()) or (shelf.read(kind, id),)


def _laid(kind: str, id: str, key: str) -> dict[str, Any]:
    """One table of names out of every file of that id; where a site says something else of a name, ours holds."""
    return {name: row for entry in reversed(_entries(kind, id)) for name, row in entry.table.get(key, {}).items()}


def _stamp(*kinds: str) -> Stamp:
    """Changes when any file that a judgement rests on changes, so that nothing is read twice for nothing."""
    folders = [folder / kind for folder in shelf.shelves() for kind in kinds or SHELF_KINDS]
    return tuple(
        (str(path), found.st_mtime_ns, found.st_size)
        for folder in folders
        for path in sorted(folder.glob("*.toml"))
        for found in (path.stat(),)
    )


@lru_cache(maxsize=8)
def _all_rules(stamp: Stamp) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for path in _rule_paths():
        entry = shelf.read_file(path, kind=KIND)
        is_site = path.parent.parent != shelf.OWN_SHELF
        for protocol_id, (substance, service) in _screened().items():
            rule = _rule(entry, protocol_id, substance, service, is_site)
            if rule is not None:
                _fill(rules, rule)
                rules.append(rule)
    return tuple(rules)


def _fill(rules: list[Rule], site: Rule) -> None:
    """A number that ours leaves open is answered by the site's rule of the same id; a number we have stands."""
    if not site.from_site:
        return
    for place, ours in enumerate(rules):
        if (ours.id, ours.protocol) == (site.id, site.protocol) and not ours.from_site:
            answered = {k: site.limits.get(k) if v is None else v for k, v in ours.limits.items()}
            rules[place] = replace(ours, limits=answered)


def _rules_of_kind(protocol_id: str, substance: str, service: bool) -> Iterator[Rule]:
    """The rules for a site's own protocol: those that hold for its kind or its substance."""
    for path in _rule_paths():
        is_site = path.parent.parent != shelf.OWN_SHELF
        rule = _rule(shelf.read_file(path, kind=KIND), protocol_id, substance, service, is_site)
        if rule is not None:
            yield rule


def _rule(entry: shelf.Entry, protocol_id: str, substance: str, service: bool, is_site: bool) -> Rule | None:
    table = entry.table
    _check_keys(table, RULE_KEYS, entry.place)
    own = table.get("protocols", {}).get(protocol_id)
    kind = "service" if service else "trial"
    if own is None and not (kind in table.get("applies_to", ()) and substance in table.get("substances", (substance,))):
        return None
    _check_keys(own or {}, PROTOCOL_KEYS, f"{entry.place}, protocols.{protocol_id}")
    merged: dict[str, Any] = {**table, **(own or {})}
    merged["limits"] = {**table.get("limits", {}), **(own or {}).get("limits", {})}
    return _checked_rule(merged, entry, protocol_id, is_site)


def _checked_rule(table: Mapping[str, Any], entry: shelf.Entry, protocol_id: str, is_site: bool) -> Rule:
    where = f"{entry.place} ({protocol_id})"
    for key in ("title", "finding", "guards", "when", "because", "evidence", "basis", "verified"):
        if key not in table:
            raise _bad(where, f"it has no `{key}`")
    limits: dict[str, Limit] = {k: _limit(v) for k, v in table["limits"].items()}
    when = _condition(table["when"], limits, where)
    if table["finding"] not in ("caution", "unknown", "stop"):
        raise _bad(where, f"its finding {table['finding']!r} is not caution, unknown or stop")
    if table["basis"] not in BASES:
        raise _bad(where, f"its basis {table['basis']!r} is not one of {', '.join(BASES)}")
    if not table["guards"] or not set(table["guards"]) <= set(GUARDS):
        raise _bad(where, f"its guards are not among {', '.join(GUARDS)}")
    if not isinstance(table["verified"], bool) or not table["evidence"]:
        raise _bad(where, "it does not say `verified = true` or `false`, or names no evidence")
    return Rule(
        id=entry.id,
        version=entry.version,
        title=table["title"],
        finding=Level(table["finding"]),
        guards=tuple(table["guards"]),
        when=when,
        because=table["because"],
        evidence=tuple(resolve(one, where) for one in table["evidence"]),
        basis=table["basis"],
        verified=table["verified"],
        protocol=protocol_id,
        limits=limits,
        washout_days=_washouts(table.get("washouts", {}), limits, where),
        note=table.get("note", ""),
        from_site=is_site,
    )


def _limit(value: Any) -> Limit:
    """A limit as data; the word "open" is a number that no source gave."""
    if value == OPEN:
        return None
    return tuple(value) if isinstance(value, list) else value


def _condition(text: str, limits: Mapping[str, Limit], where: str) -> Expression:
    try:
        when = parse(text)
    except Refused as refused:
        raise _bad(where, str(refused.reasons[0])) from None
    for path in sorted(when.paths):
        name = path.removeprefix("limit.")
        if path.startswith("limit.") and name not in limits:
            raise _bad(where, f"`when` asks for the limit {name!r}, which is not among its limits")
        if not path.startswith("limit.") and path not in catalogue():
            raise _bad(where, f"`when` asks for the fact {path!r}, which the catalogue does not know")
    for question in sorted(when.questions - QUESTIONS):
        raise _bad(where, f"`when` asks {question}(…), which is no question")
    for question, name in sorted(when.named):
        if not _is_named(question, name):
            raise _bad(where, f"`when` asks {question}({name}), and nothing is called {name!r}")
    return when


def _is_named(question: str, name: str) -> bool:
    """Whether a question names what there is: a slip in a name would otherwise be a rule that never fires."""
    if question in MEDICINES_QUESTIONS:
        return name in _classes() or name in medicines().by_id
    if question == "mean":
        fact, _, figure = name.partition(".")
        return fact in catalogue() and figure in catalogue()[fact].fields
    return name in catalogue()


def _washouts(named: Mapping[str, str], limits: Mapping[str, Limit], where: str) -> dict[str, int]:
    """class or ingredient -> days, from the limit (in weeks) that `washouts` names for it."""
    days = {}
    for name, limit in named.items():
        weeks = limits.get(limit)
        if not isinstance(weeks, int) or isinstance(weeks, bool):
            raise _bad(where, f"its washout of {name} names {limit!r}, which is no number of weeks")
        days[name] = 7 * weeks
    return days


def _check_keys(table: Mapping[str, Any], allowed: frozenset[str], where: str) -> None:
    for key in sorted(set(table) - allowed):
        raise _bad(where, f"it has a key {key!r} that no rule has")


def _bad(where: str, why: str) -> Refused:
    return refuse("The rule was not read", why, "Mend the file", where=where, code="bad-rule")


# ---- protocols, evidence, facts ---------------------------------------------------------------


def _screened() -> dict[str, tuple[str, bool]]:
    """The protocols that have rules of their own: id -> (substance, is it a service)."""
    table = _laid("tables", "screening_protocols", "protocols")
    return {id: (row["substance"], row["kind"] == "service") for id, row in table.items()}


def _protocol(protocol_id: str) -> tuple[str, bool]:
    known = _screened()
    if protocol_id in known:
        return known[protocol_id]
    if protocol_id in shelf.ids("protocols"):
        table = shelf.read("protocols", protocol_id).table
        substances = {s for named in _named(table, "substance") for s in shelf.ids("substances") if named.startswith(s)}
        if len(substances) == 1:
            return substances.pop(), table.get("service_model") == "regulated_service"
    raise refuse(
        f"Nobody was screened for {protocol_id!r}",
        "there is no protocol of that id",
        f"Known: {', '.join(known)}",
        code="unknown-protocol",
    )


def _named(table: object, key: str) -> Iterator[str]:
    """Every text under a key, anywhere in a table."""
    if isinstance(table, Mapping):
        for name, value in table.items():
            if name == key and isinstance(value, str):
                yield value
            yield from _named(value, key)
    elif isinstance(table, list):
        for value in table:
            yield from _named(value, key)


def resolve(evidence: str, where: str = "") -> str:
    """`S 96` as its address, a DOI or an address as it stands. Refuses what is neither."""
    if evidence.startswith(("doi:", "http://", "https://", "21 CFR ", "45 CFR ", "Regulation ")):
        return evidence
    sources: Mapping[str, str] = _laid("sources", KIND, "rows")
    if evidence not in sources:
        raise _bad(where, f"its evidence {evidence!r} is no source that we have")
    return sources[evidence]


def catalogue() -> Mapping[str, FactKind]:
    """The facts that rules may ask for, by name, in the order of a screening form."""
    return _catalogue(_stamp("tables"))


@lru_cache(maxsize=4)
def _catalogue(stamp: Stamp) -> Mapping[str, FactKind]:
    """A site may add facts and diagnoses, and let ours go stale sooner, never later."""
    kinds: dict[str, FactKind] = {}
    for entry in _entries("tables", "facts"):
        for row in entry.table["facts"]:
            new = _fact_kind(row)
            old = kinds.setdefault(new.name, new)
            sooner = {guard: min(days, new.max_age_days.get(guard, days)) for guard, days in old.max_age_days.items()}
            choices = dict.fromkeys((*old.choices, *new.choices)) if old.kind == "choices" else old.choices
            ages = {**new.max_age_days, **sooner}
            kinds[new.name] = replace(old, max_age_days=ages, choices=tuple(choices))
    return kinds


def _fact_kind(row: Mapping[str, Any]) -> FactKind:
    if row["kind"] not in KINDS:
        raise _bad(f"tables/facts.toml, {row['name']}", f"its kind {row['kind']!r} is not one of {', '.join(KINDS)}")
    return FactKind(
        name=row["name"],
        label=row["label"],
        kind=row["kind"],
        group=row.get("group", ""),
        unit=row.get("unit", ""),
        least=row.get("least"),
        most=row.get("most"),
        choices=tuple(row.get("choices", ())),
        fields={name: (float(low), float(high)) for name, (low, high) in row.get("fields", {}).items()},
        max_age_days=row.get("max_age_days", {}),
        lasting=tuple(row.get("lasting", ())),
        supplied_by=tuple(row["supplied_by"]),
        ask=row.get("ask", ""),
    )


# ---- medicines --------------------------------------------------------------------------------


def medicines() -> MedicineList:
    """Every medicine by every name, with its classes and the groups above them."""
    return _medicines(_stamp("medications", "tables"))


@lru_cache(maxsize=4)
def _medicines(stamp: Stamp) -> MedicineList:
    groups = {id: tuple(row.get("groups", ())) for id, row in _classes().items()}
    found: dict[str, Medicine] = {}
    for id in shelf.ids("medications"):
        for entry in _entries("medications", id):
            for new in _medicines_of(entry, groups):
                found[new.id] = _together(found.get(new.id, new), new)
    return MedicineList.of(found.values())


def _together(old: Medicine, new: Medicine) -> Medicine:
    """A medicine of two files has the names and the classes of both, and the longer half-life."""
    longer = max(old, new, key=lambda medicine: medicine.half_life_hours or 0)
    return replace(
        old,
        names=tuple(dict.fromkeys((*old.names, *new.names))),
        classes=old.classes | new.classes,
        half_life_hours=longer.half_life_hours,
        half_life_source=longer.half_life_source,
    )


def _medicines_of(entry: shelf.Entry, groups: Mapping[str, tuple[str, ...]]) -> Iterator[Medicine]:
    table = entry.table
    for row in table["medicines"]:
        direct = {table["class"], *row.get("also", ())}
        for name in sorted(direct - set(groups)):
            raise _bad(f"{entry.place}, {row['id']}", f"its class {name!r} is not in the table of classes")
        half_life = row.get("half_life_hours")
        yield Medicine(
            id=row["id"],
            names=tuple(row.get("names", ())),
            classes=frozenset(direct | {g for name in direct for g in groups[name]}),
            half_life_hours=half_life,
            half_life_source=resolve(row.get("half_life_source", ""), entry.place) if half_life is not None else "",
            source=table["source"],
        )


def _classes() -> Mapping[str, Any]:
    return _laid("tables", "medication_classes", "classes")


def risks() -> dict[str, tuple[str, ...]]:
    """What stopping may bring, by class: withdrawal and relapse, in sentences."""
    return {id: tuple(row["stopping"]) for id, row in _classes().items() if row.get("stopping")}


def substances() -> tuple[str, ...]:
    return shelf.ids("substances")


def matrix(substance: str) -> tuple[Interaction, ...]:
    """The rows of the medication matrix for one substance."""
    reviews = _reviews(substance)
    return tuple(
        _interaction(row, entry, reviews)
        for entry in _entries("substances", substance)
        for row in entry.table.get("interactions", ())
    )


def _reviews(substance: str) -> tuple[str, ...]:
    """Where to look up what a row does not cite, and what no row speaks of."""
    named = (one for entry in _entries("substances", substance) for one in entry.table.get("reviews", ()))
    return tuple(dict.fromkeys(resolve(one) for one in named))


def _interaction(row: Mapping[str, Any], entry: shelf.Entry, reviews: tuple[str, ...]) -> Interaction:
    where = f"{entry.place}, interactions {row.get('class')!r}"
    for action in (row.get("action"), row.get("in_service") or "caution"):
        if action not in ACTIONS:
            raise _bad(where, f"its action {action!r} is not one of {', '.join(ACTIONS)}")
    if row["class"] not in _classes() and row["class"] not in medicines().by_id:
        raise _bad(where, "it is neither a class nor a medicine that we know")
    if row["basis"] not in BASES:
        raise _bad(where, f"its basis {row['basis']!r} is not one of {', '.join(BASES)}")
    return Interaction(
        substance=entry.id,
        version=entry.version,
        medicine_class=row["class"],
        action=row["action"],
        because=row["because"],
        mechanism=row.get("mechanism", ""),
        basis=row["basis"],
        evidence=tuple(resolve(one, where) for one in row.get("evidence", ())) or reviews,
        confidence=row.get("confidence", ""),
        verified=row["verified"],
        washout_days=row.get("washout_days"),
        hold_hours=row.get("hold_hours"),
        in_service=row.get("in_service", ""),
        only_if=_only_if(row.get("only_if", ""), where),
    )


def _only_if(text: str, where: str) -> Expression | None:
    return _condition(text, {}, where) if text else None
