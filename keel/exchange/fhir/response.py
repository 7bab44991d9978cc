"""A FHIR R4 QuestionnaireResponse, both ways. Answers are codes as entered; a refusal to answer and what does not apply
are answers here and reasons for an absent value there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from keel.domain.answers import NOT_APPLICABLE, PREFER_NOT, by_item, read_leniently
from keel.domain.errors import Reason, Refused, refuse
from keel.domain.instrument import Instrument, Item
from keel.exchange.fhir.path import is_picked
from keel.exchange.fhir.questionnaire import CORE, link_ids
from keel.exchange.forms import slug

ABSENT = CORE + "data-absent-reason"
_REASONS = {PREFER_NOT: "asked-declined", NOT_APPLICABLE: "not-applicable"}


def exported(
    instrument: Instrument,
    items: Any,
    *,
    id: str = "",
    subject: str = "",
    authored_at: dt.datetime | None = None,
    finished: bool = True,
    scores: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The answers of one person to one form as a QuestionnaireResponse. `subject` is a reference without a name
    ("Patient/…"), `authored_at` an aware instant. Blanks are left out. Refuses an answer outside its codes."""
    given = by_item(instrument, items)
    _, reasons = read_leniently(instrument, given)
    if reasons:
        raise Refused(reasons)
    links = link_ids(instrument)
    out: dict[str, Any] = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": f"urn:keel:instrument:{instrument.id}|{instrument.version}",
        "status": "completed" if finished else "in-progress",
    }
    if id:
        out["id"] = id
    if subject:
        out["subject"] = {"reference": subject}
    if authored_at:
        out["authored"] = authored_at.isoformat()
    answered = [_item(item, given[item.id], instrument, links) for item in instrument.items if _told(given, item)]
    scored = list(_scores(instrument, scores or {}, links))
    if scored:
        answered.append({"linkId": "scores", "item": scored})
    return {**out, **({"item": answered} if answered else {})}


def _told(given: Mapping[str, Any], item: Item) -> bool:
    return given.get(item.id) not in (None, [], ())


def _item(item: Item, answer: Any, instrument: Instrument, links: Mapping[str, str]) -> dict[str, Any]:
    out: dict[str, Any] = {"linkId": links[item.id]}
    if isinstance(answer, str) and answer in _REASONS:
        return {**out, "extension": [{"url": ABSENT, "valueCode": _REASONS[answer]}]}
    parts = answer if item.answers.kind == "many" and not isinstance(answer, str) else [answer]
    return {**out, "answer": [_value(item, part, instrument) for part in parts]}


def _value(item: Item, code: Any, instrument: Instrument) -> dict[str, Any]:
    kind = item.answers.kind
    if kind == "yes_no":
        return {"valueBoolean": bool(code)}
    if is_picked(item):
        shown = str(int(code) if kind == "codes" else code)
        label = {str(key): text for key, text in item.options()}[shown]
        system = f"urn:keel:instrument:{instrument.id}:{slug(item.way)}"
        return {"valueCoding": {"system": system, "code": shown, "display": label}}
    return {"valueInteger": int(code)} if kind == "codes" else {"valueDecimal": code}


def _scores(instrument: Instrument, scores: Mapping[str, Any], links: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name in instrument.score_names():
        value = scores.get(name)
        if value is None:
            continue
        parts = value if isinstance(value, (list, tuple)) else [value]
        answers = [_scored(part) for part in parts]
        if answers:
            yield {"linkId": links[name], "answer": answers}


def _scored(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"valueBoolean": value}
    return {"valueString": value} if isinstance(value, str) else {"valueDecimal": value}


def imported(instrument: Instrument, resource: Any) -> dict[str, Any]:
    """The answers by item id. Refuses another questionnaire, another version, unknown items and what cannot be read;
    the codes themselves are judged by whoever scores them. Scores in the response are left: they are computed anew."""
    _check(instrument, resource)
    by_link = {link: item for item in instrument.items for link in (link_ids(instrument)[item.id],)}
    scores = set(link_ids(instrument).values()) - set(by_link)
    out: dict[str, Any] = {}
    reasons: list[Reason] = []
    for place, part in _flat(resource.get("item", []), "item", 0):
        link = str(part.get("linkId"))
        if link in scores or (link not in by_link and part.get("item")):
            continue
        if link not in by_link:
            what = f"There is no item {link!r} in {instrument.id}"
            reasons.append(Reason(what, "the form has other items", "Give answers to this form", where=place))
            continue
        try:
            out[by_link[link].id] = _read(by_link[link], part)
        except (KeyError, TypeError, ValueError, StopIteration, AttributeError):
            why = f"item {link} takes {by_link[link].answers.in_words()}"
            reasons.append(Reason("The answer was not read", why, "Mend the value", where=place))
    if reasons:
        raise Refused(reasons)
    return out


def _check(instrument: Instrument, resource: Any) -> None:
    if not isinstance(resource, Mapping) or resource.get("resourceType") != "QuestionnaireResponse":
        raise refuse("The answers were not read", "this is no QuestionnaireResponse", "Give one", where=instrument.id)
    said = str(resource.get("questionnaire", ""))
    url, _, version = said.partition("|")
    if url != f"urn:keel:instrument:{instrument.id}" or (version and version != str(instrument.version)):
        raise refuse(
            "The answers were not read",
            f"they belong to {said or 'no questionnaire'}, not to {instrument.id} version {instrument.version}",
            "Read them with the definition that they were given to",
            where="questionnaire",
        )


def _flat(items: Any, path: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(items, list) or depth > 20:
        raise refuse("The answers were not read", "its items are no list, or lie too deep", "Mend it", where=path)
    for n, part in enumerate(items):
        if not isinstance(part, Mapping):
            raise refuse("The answers were not read", "an item is no table", "Mend it", where=f"{path}[{n}]")
        yield f"{path}[{n}]", part
        if part.get("item"):
            yield from _flat(part["item"], f"{path}[{n}].item", depth + 1)


def _read(item: Item, part: Mapping[str, Any]) -> Any:
    for extension in part.get("extension", []):
        if extension.get("url") == ABSENT:
            return next(key for key, code in _REASONS.items() if code == extension.get("valueCode"))
    values = [
        next(value for key, value in answer.items() if key.startswith("value")) for answer in part.get("answer", [])
    ]
    if not values:
        return None
    codes = [_code(item, value) for value in values]
    if item.answers.kind == "many":
        return codes
    (only,) = codes
    return only


def _code(item: Item, value: Any) -> Any:
    if isinstance(value, Mapping):
        code = str(value["code"])
        return int(code) if item.answers.kind == "codes" else code
    if item.answers.kind == "yes_no":
        return int(value) if isinstance(value, bool) else value
    return value
