"""What the three forms have in common: fields with names and cells, and the way between fields and a definition.

A definition travels inside the form that it is written as. When the form comes back, what travelled is believed only
as far as the fields around it still say the same; a field that was changed is read anew. What has no place in a
definition (a free text, a date, an action tag, an expression beyond the rules here) is kept as text beside it, and
given back when it goes out in the same format.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal, TypeVar

from keel.domain.errors import Refused
from keel.domain.instrument import Answers, Imported, Instrument, Kept
from keel.exchange.definition import table_of, written
from keel.exchange.logic import Dialect, Node, NotUnderstood, Scored, mentions, parse, rule_of, score_of
from keel.exchange.report import Definition, Finding

Format = Literal["fhir", "redcap", "xlsform"]
# The id and the way to answer of each field that is an item.
Readable = Mapping[str, tuple[str, Answers]]
Said = TypeVar("Said")

# Place of the list that holds the order of an imported form's fields.
ORDER = "(order)"
# Codes that stand for "not applicable" or "refused" in many forms and must never be summed.
_STANDING_FOR_NOTHING = frozenset((99, 98, 97, 88, 77, 999, 998, 9999, -99, -9, -98, -88, -77, -999))


@dataclass(frozen=True)
class Field:
    """One field of a form: its name there, the place for a report, and its cells as text, blanks left out."""

    name: str
    where: str
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Logic:
    """An expression of a field: its text, the column that holds it, and the rule in the form's own structure if the
    format has one instead of a text."""

    text: str
    column: str
    node: Node | None = None


@dataclass(frozen=True)
class Drawn:
    """A field as it was read. An item has answers, a score has a calculation, all else is kept; `why` says why."""

    field: Field
    label: str = ""
    answers: Answers | None = None
    way: str = ""
    shown_if: Logic | None = None
    calculation: Logic | None = None
    loinc: str | None = None
    prefilled: str = ""
    why: str = ""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Form:
    """One form of a file, read but not yet judged. `write` gives the fields of a definition in the same format."""

    format: Format
    dialect: Dialect
    id: str
    title: str
    file: str
    sha256: str
    drawn: tuple[Drawn, ...]
    write: Callable[[Instrument], list[Field]]
    carried: Instrument | None = None
    carrier: str = ""
    loinc: Mapping[str, str] = field(default_factory=dict)


# ---- names ----------------------------------------------------------------------------------------------------


def slug(text: str) -> str:
    """A name that every format takes: small letters, digits, underscores, a letter first."""
    out = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return out if out[:1].isalpha() else f"f_{out}"


def names_of(instrument: Instrument) -> dict[str, str]:
    """The field of every item and score, in order; a foreign form's own names come first."""
    kept = foreign_names(instrument)
    prefix = slug(instrument.id)
    refs = [item.id for item in instrument.items]
    refs += [step.name for step in instrument.steps] + [band.gives for band in instrument.bands if band.gives]
    out: dict[str, str] = {}
    # REDCap keeps `<form>_complete` for itself, and the definition travels in `<form>_keel`.
    taken = {*kept.values(), f"{prefix}_complete", f"{prefix}_keel"}
    for ref in refs:
        name = kept.get(ref) or f"{prefix}_{slug(ref) if not ref[:1].isdigit() else re.sub(r'[^a-z0-9]+', '_', ref)}"
        while ref not in kept and name in taken:
            name += "_2"
        taken.add(name)
        out[ref] = name
    return out


def foreign_names(instrument: Instrument) -> dict[str, str]:
    """Where an imported form called its fields otherwise than they would be called from here."""
    out = {}
    for kept in instrument.imported.kept if instrument.imported else ():
        if kept.place != ORDER:
            ref = json.loads(kept.text).get("is")
            if ref is not None:
                out[str(ref)] = kept.place
    return out


def _own_id(name: str, prefix: str) -> str:
    own = name[len(prefix) + 1 :] if name.startswith(prefix + "_") else name
    return re.sub(r"[^A-Za-z0-9_]+", "_", own) or "_"


def instrument_id(text: str) -> str:
    return slug(text).replace("_", "-")


# ---- giving back what was kept ----------------------------------------------------------------------------------


def given_back(instrument: Instrument, format: Format, own: Sequence[Field]) -> list[Field]:
    """The fields of a definition with what an imported form of this format had beside them, in that form's order."""
    imported = instrument.imported
    if imported is None or imported.format != format:
        return list(own)
    by_name = {one.name: one for one in own}
    order: list[str] = []
    for kept in imported.kept:
        if kept.place == ORDER:
            order = json.loads(kept.text)
            continue
        cells = json.loads(kept.text)["cells"]
        before = by_name[kept.place].cells if kept.place in by_name else {}
        merged = {key: value for key, value in {**before, **cells}.items() if value != ""}
        by_name[kept.place] = Field(kept.place, "", merged)
    place = {name: n for n, name in enumerate(order)}
    return sorted(by_name.values(), key=lambda one: place.get(one.name, len(place)))


def _kept(form: Form, made: Instrument, refs: Mapping[str, str]) -> tuple[Kept, ...]:
    """What of the form's fields its definition does not give again: {name: {cells, is}}."""
    named = made.model_copy(
        update={"imported": Imported(format=form.format, file="", sha256="", kept=tuple(_named(refs)))}
    )
    own = {one.name: one.cells for one in form.write(named)}
    out = [Kept(place=ORDER, text=_json([drawn.field.name for drawn in form.drawn]))]
    for drawn in form.drawn:
        name, cells = drawn.field.name, drawn.field.cells
        mine = own.get(name, {})
        differ = {key: cells.get(key, "") for key in dict.fromkeys((*cells, *mine)) if cells.get(key) != mine.get(key)}
        ref = refs.get(name)
        if differ or ref:
            out.append(Kept(place=name, text=_json({"cells": differ, **({"is": ref} if ref else {})})))
    return tuple(out)


def _named(refs: Mapping[str, str]) -> Iterator[Kept]:
    for name, ref in refs.items():
        yield Kept(place=name, text=_json({"cells": {}, "is": ref}))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# ---- faults of a whole file --------------------------------------------------------------------------------------


def faults(drawn: Sequence[Drawn], dialect: Dialect) -> list[Finding]:
    """Duplicate names and loops: nothing is imported while there is one. Names beyond the file are only told."""
    out = []
    first: dict[str, Field] = {}
    for one in drawn:
        name = one.field.name
        if name in first:
            what = f"The name {name} is taken by {first[name].where}"
            out.append(Finding("refused", f"{one.field.where}, name", what, "Give each field its own name"))
        first.setdefault(name, one.field)
    graph: dict[str, dict[str, str]] = {}
    for one in drawn:
        edges = graph.setdefault(one.field.name, {})
        for logic in (one.shown_if, one.calculation):
            for ref in mentions(logic.text, dialect) if logic else ():
                edges.setdefault(ref, logic.column if logic else "")
                if ref not in first and logic:
                    where = f"{one.field.where}, {logic.column}"
                    out.append(Finding("not_understood", where, f"It names {ref}, which is no field of this file"))
    return out + list(_loops(graph, first))


def _loops(graph: Mapping[str, Mapping[str, str]], fields: Mapping[str, Field]) -> Iterator[Finding]:
    known = {name: {ref for ref in edges if ref in fields} for name, edges in graph.items()}
    for name in [name for name, edges in known.items() if name in edges]:
        where = f"{fields[name].where}, {graph[name][name]}"
        yield Finding("refused", where, f"{name} waits for itself", "Take the field out of its own condition")
        known[name].discard(name)
    try:
        TopologicalSorter(known).prepare()
    except CycleError as error:
        ring = list(error.args[1])[::-1]
        where = f"{fields[ring[0]].where}, {graph[ring[0]].get(ring[1], '')}"
        what = f"A loop: {' waits for '.join(ring[:8])}{' …' if len(ring) > 8 else ''}"
        yield Finding("refused", where, what, "Take one of these conditions out")


# ---- fields to a definition ----------------------------------------------------------------------------------


def all_made(
    forms: Iterable[Form], found: Sequence[Finding], known: Mapping[str, Instrument]
) -> tuple[tuple[Definition, ...], tuple[Finding, ...]]:
    """The definitions of a whole file and all that is to be said. None of them where anything stands against one; a
    file that is faulty as a whole is not read further."""
    definitions: list[Definition] = []
    findings = list(found)
    faulty = any(finding.kind == "refused" for finding in findings)
    for form in forms:
        if faulty:
            findings += [finding for drawn in form.drawn for finding in drawn.findings]
            continue
        one, more = made(form, known)
        findings += more
        definitions += [one] if one else []
    ok = not any(finding.kind == "refused" for finding in findings)
    return tuple(definitions) if ok else (), tuple(findings)


def made(form: Form, known: Mapping[str, Instrument]) -> tuple[Definition | None, list[Finding]]:
    """The definition that a form makes, and what is to be said about it. None where something is refused."""
    findings = [finding for drawn in form.drawn for finding in drawn.findings]
    same = _unchanged(form)
    if form.carried is not None and same is None:
        return _as_it_was(form.carried, known, [finding for finding in findings if finding.kind == "refused"])
    table, refs, more = _table(form, same or frozenset())
    findings += more
    if any(finding.kind == "refused" for finding in findings):
        return None, findings
    id = form.carried.id if form.carried else form.id
    try:
        instrument = Instrument.from_table(table, form.file, id=id)
        if form.carried is None:
            kept = _kept(form, instrument, refs)
            came = Imported(format=form.format, file=form.file, sha256=form.sha256, kept=kept)
            table["imported"] = came.model_dump(mode="json")
            instrument = instrument.model_copy(update={"imported": came})
    except Refused as refused:
        findings += [Finding("refused", one.where, f"{one.what}: {one.why}", one.mend) for one in refused.reasons]
        return None, findings
    findings += suspicions(instrument, form, known)
    if id not in known:
        findings.append(
            Finding("new", form.file, f"{id}: {len(instrument.items)} items, {len(instrument.steps)} scores")
        )
    elif known[id] != instrument:
        findings.append(Finding("changed", form.file, f"{id} is on the shelf and says something else"))
    return Definition(id, written(table)), findings


def _as_it_was(
    carried: Instrument, known: Mapping[str, Instrument], findings: list[Finding]
) -> tuple[Definition, list[Finding]]:
    there = known.get(carried.id)
    if there is None:
        findings.append(Finding("new", carried.id, f"{carried.id} travelled whole and is not on the shelf"))
    elif there.model_copy(update={"value_sets": {}}) == carried:
        findings.append(Finding("same", carried.id, f"{carried.id} is on the shelf and says the same"))
    else:
        findings.append(Finding("changed", carried.id, f"{carried.id} is on the shelf and says something else"))
    return Definition(carried.id, written(table_of(carried))), findings


def _unchanged(form: Form) -> frozenset[str] | None:
    """The names of the fields that still say what the definition inside says; None where all do."""
    if form.carried is None:
        return frozenset()
    own = {one.name: dict(one.cells) for one in form.write(form.carried)}
    same = frozenset(
        d.field.name for d in form.drawn if own.get(d.field.name) == dict(d.field.cells) or d.field.name == form.carrier
    )
    whole = len(same) == len(form.drawn) and same.issuperset(own)
    in_order = [d.field.name for d in form.drawn if d.field.name in own] == list(own)
    return None if whole and in_order else same


def _table(form: Form, same: frozenset[str]) -> tuple[dict[str, Any], dict[str, str], list[Finding]]:
    carried = form.carried
    table: dict[str, Any] = table_of(carried) if carried else _skeleton(form)
    own = {name: ref for ref, name in names_of(carried).items()} if carried else {}
    prefix = slug(form.id)
    refs = {d.field.name: own.get(d.field.name) or _own_id(d.field.name, prefix) for d in form.drawn if _counts(d)}
    refs = _apart(refs)
    readable = {d.field.name: (refs[d.field.name], d.answers) for d in form.drawn if d.answers is not None}
    read = _Reading(form, same, refs, readable)
    table["items"] = [read.item(d) for d in form.drawn if d.answers is not None]
    table["answers"] = read.ways
    before = {step["name"]: step for step in table.pop("scores", [])}
    table["scores"] = read.scores(before, own)
    if not carried:
        read.tell_kept()
    else:
        read.tell_changed(own)
    if not table["scores"]:
        table.pop("scores")
    return table, {d.field.name: refs[d.field.name] for d in form.drawn if _counts(d)}, read.findings


def _counts(drawn: Drawn) -> bool:
    return drawn.answers is not None or drawn.calculation is not None


def _apart(refs: dict[str, str]) -> dict[str, str]:
    """Ids that differ, where taking a prefix off or mending a sign made two the same."""
    seen: Counter[str] = Counter()
    out = {}
    for name, ref in refs.items():
        seen[ref] += 1
        out[name] = ref if seen[ref] == 1 else f"{ref}_{seen[ref]}"
    return out


def _skeleton(form: Form) -> dict[str, Any]:
    """What a foreign form does not say, said plainly: nothing here was read at a source."""
    return {
        "version": 1,
        "title": form.title or form.id,
        "short": form.title or form.id,
        "edition": f"as imported from {form.file}",
        "measures": "not said by the imported form",
        "answered_by": "participant",
        "recall": "not said by the imported form",
        "direction": "none",
        "sources": [],
        "verified": False,
        "missing_rule": "A blank gives no score; the imported form says nothing else here.",
        "open": ["Imported: check title, who answers, recall, direction, licence and every score against the paper"],
        "licence": {
            "class": "P",
            "holder": "not said by the imported form",
            "terms": "Whoever imported the form answers for the right to use its words.",
            "verified": False,
        },
        **({"loinc": dict(form.loinc)} if form.loinc else {}),
    }


@dataclass
class _Reading:
    """The reading of one form: items, ways to answer and scores as tables, with the findings on the way."""

    form: Form
    same: frozenset[str]
    refs: Mapping[str, str]
    readable: Readable
    ways: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    _by_answers: dict[str, str] = field(default_factory=dict)

    def item(self, drawn: Drawn) -> dict[str, Any]:
        name = drawn.field.name
        carried = self.form.carried
        if carried is not None and name in self.same:
            return self._carried_item(carried, self.refs[name])
        assert drawn.answers is not None
        out: dict[str, Any] = {
            "ids": [self.refs[name]],
            "labels": [drawn.label or name],
            "answers": self._way(drawn.answers, drawn.way),
        }
        if drawn.loinc:
            out["loinc"] = [drawn.loinc]
        if drawn.shown_if:
            rule = self._condition(drawn, drawn.shown_if)
            if rule is not None:
                # The form gives no score for a question that was skipped, so none is made up: it stays blank.
                out |= {"asked_if": rule, "optional": True}
        return out

    def _carried_item(self, carried: Instrument, id: str) -> dict[str, Any]:
        item = carried.item(id)
        alone = carried.model_copy(update={"items": (item,)})
        group: dict[str, Any] = table_of(alone)["items"][0]
        return {**group, "answers": self._way(item.answers, item.way)}

    def _way(self, answers: Answers, wanted: str) -> str:
        plain = answers.model_dump(mode="json", exclude_defaults=True)
        key = _json(plain)
        if key not in self._by_answers:
            name = slug(wanted) if wanted else f"way_{len(self.ways) + 1}"
            while name in self.ways:
                name += "_2"
            self.ways[name] = plain
            self._by_answers[key] = name
        return self._by_answers[key]

    def _condition(self, drawn: Drawn, logic: Logic) -> dict[str, Any] | None:
        rule = self._understood(drawn, logic, "condition", rule_of)
        return None if rule is None else rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    def _understood(self, drawn: Drawn, logic: Logic, what: str, read: Callable[[Node, Readable], Said]) -> Said | None:
        """What an expression says here; told, and None, where it says more."""
        try:
            node = logic.node if logic.node is not None else parse(logic.text, self.form.dialect)
            return read(node, self.readable)
        except NotUnderstood as error:
            text = f"The {what} {_short(logic.text)} is kept as text: {error}"
            self._tell("not_understood", drawn, logic.column, text)
            return None

    def scores(self, before: Mapping[str, dict[str, Any]], own: Mapping[str, str]) -> list[dict[str, Any]]:
        """The scores that travelled, and those that are new or changed and understood."""
        steps = dict(before)
        for drawn in self.form.drawn:
            if drawn.calculation is None or drawn.field.name in self.same:
                continue
            made = self._score(drawn, drawn.calculation)
            ref = self.refs[drawn.field.name]
            if made is not None:
                steps[ref] = made
            elif drawn.field.name in own:
                self._tell(
                    "refused", drawn, drawn.calculation.column, f"The calculation of {ref} was changed and is not read"
                )
        return list(steps.values())

    def _score(self, drawn: Drawn, logic: Logic) -> dict[str, Any] | None:
        scored = self._understood(drawn, logic, "calculation", score_of)
        if scored is None:
            return None
        if scored.blanks_counted:
            what = "It counts a blank as nothing; the score here is empty when an item is blank"
            self._tell("suspicious", drawn, logic.column, what)
        return _step(self.refs[drawn.field.name], drawn.label, scored)

    def tell_kept(self) -> None:
        for drawn in self.form.drawn:
            if drawn.why:
                self._tell("kept", drawn, "", drawn.why)

    def tell_changed(self, own: Mapping[str, str]) -> None:
        assert self.form.carried is not None
        there = {one.name: one for one in self.form.write(self.form.carried)}
        here = {drawn.field.name for drawn in self.form.drawn}
        for drawn in self.form.drawn:
            if drawn.field.name in self.same:
                continue
            before = there.get(drawn.field.name)
            if before is None:
                self._tell("changed", drawn, "", f"{drawn.field.name} is new in a form that Keel wrote")
                continue
            cells = {key for key in {*before.cells, *drawn.field.cells} if _differ(before, drawn.field, key)}
            self._tell("changed", drawn, " and ".join(sorted(cells)), "It says something else than Keel wrote")
        for name in there:
            if name not in here:
                self.findings.append(Finding("changed", self.form.file, f"{name} is gone from the form"))

    def _tell(self, kind: Any, drawn: Drawn, column: str, what: str) -> None:
        where = f"{drawn.field.where}, {column}" if column else f"{drawn.field.where} ({drawn.field.name})"
        self.findings.append(Finding(kind, where, what))


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 80 else plain[:77] + "…"


def _differ(a: Field, b: Field, key: str) -> bool:
    return a.cells.get(key) != b.cells.get(key)


def _step(name: str, label: str, scored: Scored) -> dict[str, Any]:
    out: dict[str, Any] = {"name": name, "op": scored.op, "verified": False}
    if label and label != name:
        out["label"] = label
    if scored.rule is not None:
        return {**out, "rule": scored.rule.model_dump(mode="json", by_alias=True, exclude_defaults=True)}
    out["of"] = list(scored.of)
    if scored.reversed:
        out["reversed"] = list(scored.reversed)
    if scored.op == "percent":
        out["maximum"] = scored.maximum
    return out


# ---- known traps --------------------------------------------------------------------------------------------


def suspicions(instrument: Instrument, form: Form, known: Mapping[str, Instrument]) -> list[Finding]:
    """What public forms of known questionnaires get wrong, looked for in this one."""
    fields = {d.field.name: d for d in form.drawn}
    out = list(_odd_codes(fields.values()))
    for drawn in fields.values():
        if drawn.prefilled and drawn.answers is not None:
            what = f"An answer is filled in beforehand ({drawn.prefilled[:40]}): it cannot be told from a given one"
            out.append(Finding("suspicious", drawn.field.where, what, "Take the default away"))
    for other in _alike(instrument, form, known):
        out += _against(instrument, other, form)
    return out


def _odd_codes(fields: Iterable[Drawn]) -> Iterator[Finding]:
    for drawn in fields:
        if drawn.answers is None or drawn.answers.kind != "codes":
            continue
        for code in drawn.answers.codes:
            if code in _STANDING_FOR_NOTHING:
                where = f"{drawn.field.where} ({drawn.field.name})"
                what = f"Code {code} looks like “not applicable” or “refused” and would be summed as a number"
                yield Finding("suspicious", where, what, "Take it out: Keel records both as answers of their own")


def _alike(instrument: Instrument, form: Form, known: Mapping[str, Instrument]) -> Iterator[Instrument]:
    """The known instrument that this form seems to be: by id, by short name, or by the code of its panel."""
    said = {_letters(text) for text in (form.id, form.title)}
    for other in known.values():
        panel = form.loinc.get("panel")
        by_code = panel is not None and panel == other.loinc.get("panel")
        by_name = bool({_letters(other.id), _letters(other.short)} & said)
        if other != instrument and (other.id == instrument.id or by_name or by_code):
            yield other


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _against(instrument: Instrument, other: Instrument, form: Form) -> Iterator[Finding]:
    mine = [item for item in instrument.items if not item.optional]
    theirs = [item for item in other.items if not item.optional]
    if len(mine) != len(theirs):
        what = f"It has {len(mine)} items that count; {other.id} has {len(theirs)}"
        yield Finding("suspicious", form.file, what, f"Check that it is the same edition as {other.id}")
        return
    shifted = [
        a.id
        for a, b in zip(mine, theirs, strict=True)
        if a.answers.kind == b.answers.kind == "codes"
        and a.answers.allowed() != b.answers.allowed()
        and [int(code) - 1 for code in a.answers.allowed()] == list(b.answers.allowed())
    ]
    if shifted:
        codes = theirs[0].answers.in_words()
        what = f"Answers of {len(shifted)} items are counted from 1; those of {other.id} are {codes}"
        yield Finding("suspicious", form.file, what, "Subtract 1 from every answer before scoring")


def without_place(drawn: Drawn, why: str) -> Drawn:
    """A field that has no place in a definition: its cells are kept as they are."""
    return replace(drawn, answers=None, calculation=None, why=why)
