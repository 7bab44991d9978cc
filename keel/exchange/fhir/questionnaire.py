"""A FHIR R4 Questionnaire, both ways, with the extensions of Structured Data Capture for scores and conditions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from keel.domain.errors import Refused, refuse
from keel.domain.instrument import Answers, Cases, Frequencies, Instrument, Item, Listed, Profile, Rule, Step, Truth
from keel.exchange.definition import packed, unpacked
from keel.exchange.fhir.path import condition, expressions, is_picked
from keel.exchange.forms import (
    Drawn,
    Field,
    Form,
    Logic,
    all_made,
    faults,
    foreign_names,
    given_back,
    instrument_id,
    slug,
    without_place,
)
from keel.exchange.logic import CannotSay, Lit, Node, Op, Ref
from keel.exchange.report import Finding, Report
from keel.exchange.text import decoded, sha256

SDC = "http://hl7.org/fhir/uv/sdc/StructureDefinition/"
CORE = "http://hl7.org/fhir/StructureDefinition/"
CALCULATED = SDC + "sdc-questionnaire-calculatedExpression"
ENABLE_WHEN = SDC + "sdc-questionnaire-enableWhenExpression"
ORDINAL = CORE + "ordinalValue"
LOINC = "http://loinc.org"
DEFINITION = "urn:keel:exchange:definition"
UNSAID = "urn:keel:exchange:not-said"
ROOT = "(questionnaire)"
SCORES = "scores"
_PARENT = "(in)"

_ASKED = frozenset(
    ("boolean", "decimal", "integer", "date", "dateTime", "time", "string", "text", "url", "choice", "open-choice",
     "attachment", "reference", "quantity")
)  # fmt: skip
_TYPES = _ASKED | {"group", "display"}
DEEPEST = 20


# ---- out --------------------------------------------------------------------------------------------------------


def exported(
    instrument: Instrument,
    words: Mapping[str, str] | None = None,
    labels: Mapping[str, tuple[tuple[Any, str], ...]] | None = None,
) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """The Questionnaire of a definition, and what FHIRPath cannot say of it. `words` and `labels` are texts of items and
    of their options that may be shown instead of ours."""
    out = _built(fields(instrument))
    if words or labels:
        refs = {name: ref for ref, name in link_ids(instrument).items()}
        for item in _walk(out.get("item", [])):
            _reword(item, refs.get(item["linkId"], ""), words or {}, labels or {})
    return out, tuple(unsaid(instrument))


def _walk(items: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for item in items:
        yield item
        yield from _walk(item.get("item", []))


def _reword(item: dict[str, Any], ref: str, words: Mapping[str, str], labels: Mapping[str, Any]) -> None:
    item["text"] = words.get(ref, item.get("text", ""))
    by_code = {str(code): label for code, label in labels.get(ref, ())}
    for option in item.get("answerOption", []):
        coding = option.get("valueCoding", {})
        if coding.get("code") in by_code:
            coding["display"] = by_code[coding["code"]]


def link_ids(instrument: Instrument) -> dict[str, str]:
    """The linkId of every item and score: the item's own id, the score's under `score.`, a foreign form's own first."""
    foreign = foreign_names(instrument) if _foreign(instrument) else {}
    out = {item.id: foreign.get(item.id, item.id) for item in instrument.items}
    names = [step.name for step in instrument.steps] + [band.gives for band in instrument.bands if band.gives]
    return out | {name: foreign.get(name, f"score.{name}") for name in names}


def _foreign(instrument: Instrument) -> bool:
    return instrument.imported is not None and instrument.imported.format == "fhir"


def fields(instrument: Instrument) -> list[Field]:
    """The questionnaire as fields: its head, its items, its scores in a group of their own."""
    links = link_ids(instrument)
    own = [_field(ROOT, _head(instrument))]
    own += [_field(links[item.id], _item(item, instrument, links)) for item in instrument.items]
    scores = list(_scores(instrument, links))
    if scores:
        own.append(_field(SCORES, {"type": "group", "text": "Scores", "readOnly": True}))
    out = given_back(instrument, "fhir", own + scores)
    return [_loaded(one, instrument) if one.name == ROOT else one for one in out]


def _field(name: str, element: Mapping[str, Any], parent: str = "") -> Field:
    cells = {key: _json(value) for key, value in element.items() if key not in ("linkId", "item")}
    return Field(name, "", {**cells, **({_PARENT: parent} if parent else {})})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _head(instrument: Instrument) -> dict[str, Any]:
    panel = instrument.loinc.get("panel")
    licence = instrument.licence
    return {
        "resourceType": "Questionnaire",
        "url": f"urn:keel:instrument:{instrument.id}",
        "version": str(instrument.version),
        "name": _computable(instrument.id),
        "title": instrument.title,
        "status": "active",
        "subjectType": ["Patient"],
        "description": f"{instrument.short}, {instrument.edition}: {instrument.measures}",
        "copyright": f"{licence.holder}. {licence.terms}",
        **({"code": [{"system": LOINC, "code": panel}]} if panel else {}),
    }


def _computable(id: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", f"keel-{id}"))


def _loaded(one: Field, instrument: Instrument) -> Field:
    """The definition, and what its expressions cannot say, travel in the head."""
    held = json.loads(one.cells.get("extension", "[]"))
    own = [{"url": DEFINITION, "valueString": packed(instrument).rstrip()}]
    own += [{"url": UNSAID, "valueString": f"{found.where}: {found.what}"} for found in unsaid(instrument)]
    return Field(one.name, one.where, {**one.cells, "extension": _json([*held, *own])})


def unsaid(instrument: Instrument) -> Iterator[Finding]:
    for name, _, why in expressions(instrument):
        if why:
            yield Finding("kept", f"{instrument.id}, score {name}", f"Not calculated in FHIRPath: {why}")
    for item in instrument.items:
        if item.not_applicable_if:
            yield Finding("kept", f"{instrument.id}, item {item.id}", "When it does not apply is not said in FHIR")


def _item(item: Item, instrument: Instrument, links: Mapping[str, str]) -> dict[str, Any]:
    answers, extension = item.answers, []
    out: dict[str, Any] = {"type": _type(item), "text": item.label, "required": False}
    if item.loinc:
        out["code"] = [{"system": LOINC, "code": item.loinc}]
    if answers.kind == "many":
        out["repeats"] = True
    if is_picked(item):
        out["answerOption"] = [_option(code, label, item, instrument) for code, label in item.options()]
    elif answers.kind in ("codes", "scale"):
        extension += [_bound("minValue", answers.low, answers), _bound("maxValue", answers.high, answers)]
    if item.asked_if:
        flat = _enable_when(item.asked_if, instrument, links)
        if flat:
            out |= flat
        else:
            extension += _condition(item.asked_if, instrument)
    return {**out, **({"extension": extension} if extension else {})}


def _type(item: Item) -> str:
    if is_picked(item):
        return "choice"
    return {"yes_no": "boolean", "codes": "integer"}.get(item.answers.kind, "decimal")


def _option(code: Any, label: str, item: Item, instrument: Instrument) -> dict[str, Any]:
    coding: dict[str, Any] = {
        "system": f"urn:keel:instrument:{instrument.id}:{slug(item.way)}",
        "code": str(code),
        "display": label,
    }
    if item.answers.kind == "codes":
        coding["extension"] = [{"url": ORDINAL, "valueDecimal": code}]
    return {"valueCoding": coding}


def _bound(name: str, value: Any, answers: Answers) -> dict[str, Any]:
    kind = "valueInteger" if answers.kind == "codes" else "valueDecimal"
    return {"url": CORE + name, kind: value}


_OPERATORS = {"at_least": ">=", "at_most": "<=", "equals": "="}


def _enable_when(rule: Rule, instrument: Instrument, links: Mapping[str, str]) -> dict[str, Any] | None:
    """FHIR's own condition, where the rule is one comparison or a flat list of them."""
    parts = rule.all or rule.any or (rule,)
    whens = [_when(part, instrument, links) for part in parts]
    if None in whens:
        return None
    out: dict[str, Any] = {"enableWhen": whens}
    if len(whens) > 1:
        out["enableBehavior"] = "all" if rule.all else "any"
    return out


def _when(rule: Rule, instrument: Instrument, links: Mapping[str, str]) -> dict[str, Any] | None:
    item = next((item for item in instrument.items if item.id == rule.of), None)
    if item is None:
        return None
    name, value = next((n, getattr(rule, n)) for n in _OPERATORS if getattr(rule, n) is not None)
    when: dict[str, Any] = {"question": links[item.id], "operator": _OPERATORS[name]}
    if item.answers.kind == "yes_no" and name == "equals":
        return {**when, "answerBoolean": bool(value)}
    if is_picked(item):
        if name != "equals" and item.answers.kind == "codes":
            return None  # options of a list have no order in FHIR: said as an expression instead
        return {**when, "answerCoding": _option(value, "", item, instrument)["valueCoding"] | {"display": str(value)}}
    return {**when, "answerDecimal": value} if item.answers.kind != "codes" else {**when, "answerInteger": value}


def _condition(rule: Rule, instrument: Instrument) -> list[dict[str, Any]]:
    try:
        text = condition(instrument, rule)
    except CannotSay:
        return []
    return [{"url": ENABLE_WHEN, "valueExpression": {"language": "text/fhirpath", "expression": text}}]


def _scores(instrument: Instrument, links: Mapping[str, str]) -> Iterator[Field]:
    labels = {step.name: step for step in instrument.steps}
    for name, text, _ in expressions(instrument):
        step = labels.get(name)
        element: dict[str, Any] = {
            "type": _score_type(step),
            "text": (step.label if step else "") or name,
            "readOnly": True,
            "required": False,
        }
        if isinstance(step, Listed):
            element["repeats"] = True
        if name in instrument.loinc:
            element["code"] = [{"system": LOINC, "code": instrument.loinc[name]}]
        if text:
            expression = {"language": "text/fhirpath", "expression": text}
            element["extension"] = [{"url": CALCULATED, "valueExpression": expression}]
        yield _field(links[name], element, SCORES)


def _score_type(step: Step | None) -> str:
    if step is None or isinstance(step, (Profile, Frequencies, Listed)):
        return "string"
    if isinstance(step, Truth):
        return "boolean"
    words = isinstance(step, Cases) and any(isinstance(case.gives, str) for case in step.cases)
    return "string" if words else "decimal"


def _built(parts: list[Field]) -> dict[str, Any]:
    """Fields back into a resource, each under its parent."""
    elements: dict[str, dict[str, Any]] = {}
    head: dict[str, Any] = {}
    items: list[dict[str, Any]] = []
    for one in parts:
        element = {key: json.loads(value) for key, value in one.cells.items() if key != _PARENT}
        if one.name == ROOT:
            head = element
            continue
        elements[one.name] = element = {"linkId": one.name, **element}
        parent = elements.get(one.cells.get(_PARENT, ""))
        (items if parent is None else parent.setdefault("item", [])).append(element)
    return {**head, **({"item": items} if items else {})}


# ---- in -----------------------------------------------------------------------------------------------------------


def imported(data: bytes, file: str, known: Mapping[str, Instrument]) -> Report:
    """What a Questionnaire would bring in, or the items and elements that stand against it. Never raises for what is
    in the file."""
    digest, findings = sha256(data), []
    try:
        resource = _resource(data, file)
        read = list(_read(resource))
        drawn = tuple(_drawn(one) for one in read)
        carried, carrier = _carried(read, file)
    except Refused as refused:
        findings = [Finding("refused", r.where or file, f"{r.what}: {r.why}", r.mend) for r in refused.reasons]
        return Report("fhir", file, digest, 0, (), tuple(findings))
    findings = faults(drawn, "xlsform")
    title = str(resource.get("title") or resource.get("name") or "")
    id = carried.id if carried else instrument_id(str(resource.get("name") or resource.get("id") or title or file))
    form = Form("fhir", "xlsform", id, title, file, digest, drawn, fields, carried, carrier, _panel(resource))
    definitions, found = all_made([form], findings, known)
    return Report("fhir", file, digest, len(read), definitions, found)


def _resource(data: bytes, file: str) -> dict[str, Any]:
    text, _ = decoded(data, file)
    try:
        resource = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refuse(f"{file} is not JSON", str(error), "Export the Questionnaire again as JSON", where=file) from None
    if not isinstance(resource, dict) or resource.get("resourceType") != "Questionnaire":
        raise refuse(f"{file} is no Questionnaire", "its resourceType is another", "Give a Questionnaire", where=file)
    return resource


def _panel(resource: Mapping[str, Any]) -> dict[str, str]:
    codes = resource.get("code")
    for code in codes if isinstance(codes, list) else ():
        if isinstance(code, Mapping) and code.get("system") == LOINC and code.get("code"):
            return {"panel": str(code["code"])}
    return {}


def _carried(read: list[Field], file: str) -> tuple[Instrument | None, str]:
    held = json.loads(read[0].cells.get("extension", "[]"))
    for extension in held if isinstance(held, list) else ():
        if isinstance(extension, dict) and extension.get("url") == DEFINITION:
            return unpacked(str(extension.get("valueString", "")), file), ROOT
    return None, ""


def _read(resource: dict[str, Any]) -> Iterator[Field]:
    """The head and every item, flat; groups are remembered by name."""
    yield Field(ROOT, "questionnaire", _field("", resource).cells)
    yield from _items(resource.get("item", []), "", "item", 0)


def _items(items: Any, parent: str, path: str, depth: int) -> Iterator[Field]:
    if not isinstance(items, list) or depth > DEEPEST:
        why = "it is no list" if depth <= DEEPEST else f"it lies deeper than {DEEPEST} groups"
        raise refuse("The items were not read", why, "Mend it", where=path)
    for n, item in enumerate(items):
        where = f"{path}[{n}]"
        if not isinstance(item, dict) or not isinstance(item.get("linkId"), str) or not item["linkId"]:
            raise refuse("An item has no linkId", "every item has one", "Give it one", where=where)
        yield Field(item["linkId"], where, _field("", item, parent).cells)
        if "item" in item:
            yield from _items(item["item"], item["linkId"], f"{where}.item", depth + 1)


def _drawn(one: Field) -> Drawn:
    """An item as it was read; an element of another shape than FHIR's is refused with its item."""
    try:
        return _item_drawn(one)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        what = f"The item was not read: {str(error).split(chr(10))[0][:100]}"
        return Drawn(one, findings=(Finding("refused", one.where, what, "Mend its elements as FHIR R4 has them"),))


def _item_drawn(one: Field) -> Drawn:
    if one.name == ROOT:
        return Drawn(one)
    element = {key: json.loads(value) for key, value in one.cells.items() if key != _PARENT}
    kind = element.get("type")
    text = str(element.get("text") or "")
    if kind not in _TYPES:
        what = f"There is no item type {kind!r} in FHIR R4"
        refused = Finding("refused", f"{one.where}, type", what, f"It is one of {', '.join(sorted(_TYPES))}")
        return Drawn(one, findings=(refused,))
    base = Drawn(one, label=text, loinc=_loinc(element), shown_if=_shown_if(element))
    if kind in ("group", "display"):
        return base if kind == "group" else without_place(base, "It is shown, not asked")
    try:
        if _expression(element, CALCULATED):
            return _rescored(base, _expression(element, CALCULATED))
        if element.get("readOnly"):
            return without_place(base, "It is filled in by something that the form does not say")
        answers = _answers(kind, element)
    except (Refused, ValueError, TypeError, AttributeError, KeyError) as error:
        refused = Finding(
            "refused", f"{one.where}, answerOption", f"The answers were not read: {_why(error)}", "Mend them"
        )
        return Drawn(one, label=text, findings=(refused,))
    if answers is None:
        return without_place(base, f"It has no codes to score (type {kind}): kept, and given back to FHIR")
    prefilled = (
        "initial"
        if "initial" in element
        or any(isinstance(o, dict) and o.get("initialSelected") for o in element.get("answerOption", []))
        else ""
    )
    return Drawn(**{**base.__dict__, "answers": answers, "prefilled": prefilled})


def _why(error: Exception) -> str:
    return error.reasons[0].why if isinstance(error, Refused) else str(error).split("\n")[0]


def _rescored(base: Drawn, text: str) -> Drawn:
    return Drawn(**{**base.__dict__, "calculation": Logic(text, "calculatedExpression")})


def _loinc(element: Mapping[str, Any]) -> str | None:
    return _panel(element).get("panel")


def _expression(element: Mapping[str, Any], url: str) -> str:
    for extension in element.get("extension", []):
        if isinstance(extension, dict) and extension.get("url") == url:
            return str(extension.get("valueExpression", {}).get("expression", ""))
    return ""


def _shown_if(element: Mapping[str, Any]) -> Logic | None:
    """FHIR's conditions as the same tree that the other formats' texts are read to."""
    whens = element.get("enableWhen", [])
    if whens:
        parts = [_node(when) for when in whens if isinstance(when, dict)]
        word = "or" if element.get("enableBehavior") == "any" else "and"
        node = parts[0]
        for part in parts[1:]:
            node = Op(word, (node, part))
        text = " ".join(f"${{{when.get('question')}}}" for when in whens if isinstance(when, dict))
        return Logic(text, "enableWhen", node)
    expression = _expression(element, ENABLE_WHEN)
    return Logic(expression, "enableWhenExpression") if expression else None


def _node(when: Mapping[str, Any]) -> Node:
    ref = Ref(str(when.get("question")))
    operator = str(when.get("operator"))
    value = next((when[key] for key in when if key.startswith("answer")), None)
    if operator == "exists":
        return Op("<>" if value else "=", (ref, Lit("")))
    if isinstance(value, dict):
        value = value.get("code", "")
    if isinstance(value, bool):
        value = int(value)
    return Op(
        "<>" if operator == "!=" else operator, (ref, Lit(value if isinstance(value, (int, float)) else str(value)))
    )


def _answers(kind: str, element: Mapping[str, Any]) -> Answers | None:
    if kind == "boolean":
        return Answers(kind="yes_no")
    if kind in ("integer", "decimal"):
        if element.get("answerOption"):
            return _options(element)
        low, high = (_limit(element, name) for name in ("minValue", "maxValue"))
        if low is None or high is None:
            return Answers(kind="number")
        whole = kind == "integer" and high - low <= 1000
        return Answers(kind="codes" if whole else "scale", min=low, max=high)
    if kind == "choice" and element.get("answerOption"):
        return _options(element)
    return None


def _limit(element: Mapping[str, Any], name: str) -> Any:
    for extension in element.get("extension", []):
        if isinstance(extension, dict) and extension.get("url") == CORE + name:
            value = extension.get("valueInteger", extension.get("valueDecimal"))
            return value if isinstance(value, (int, float)) and math.isfinite(value) else None
    return None


def _options(element: Mapping[str, Any]) -> Answers:
    codes: list[str] = []
    labels: list[str] = []
    ordinals: list[Any] = []
    for option in element["answerOption"]:
        value = option.get("valueCoding")
        if isinstance(value, dict):
            codes.append(str(value["code"]))
            labels.append(str(value.get("display") or value["code"]))
            ordinals.append(_ordinal(value) if _ordinal(value) is not None else _ordinal(option))
        else:
            plain = option.get("valueInteger", option.get("valueString"))
            codes.append(str(plain))
            labels.append(str(plain))
            ordinals.append(plain if isinstance(plain, int) else None)
    if len(set(codes)) != len(codes):
        raise refuse("A code stands twice", "a code stands twice among the options", "Give each its own")
    if element.get("repeats"):
        return Answers(kind="many", choices=tuple(codes), labels=tuple(labels))
    whole = [int(n) for n in ordinals if isinstance(n, (int, float)) and not isinstance(n, bool) and int(n) == n]
    if len(whole) == len(codes) == len(set(whole)):
        return Answers(kind="codes", codes=tuple(whole), labels=tuple(labels))
    if all(re.fullmatch(r"-?\d{1,9}", code) for code in codes) and not any(n is not None for n in ordinals):
        return Answers(kind="codes", codes=tuple(map(int, codes)), labels=tuple(labels))
    return Answers(kind="choice", choices=tuple(codes), labels=tuple(labels))


def _ordinal(part: Mapping[str, Any]) -> Any:
    urls = (ORDINAL, CORE + "questionnaire-ordinalValue", CORE + "itemWeight")
    for extension in part.get("extension", []):
        if isinstance(extension, dict) and extension.get("url") in urls:
            value = extension.get("valueDecimal")
            return value if isinstance(value, (int, float)) and math.isfinite(value) else None
    return None
