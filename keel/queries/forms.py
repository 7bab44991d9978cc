"""A questionnaire as it is shown: its words where a licence allows them, our own neutral labels elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from keel.domain.answers import NOT_APPLICABLE, PREFER_NOT
from keel.domain.errors import Refused
from keel.domain.instrument import Instrument, Item, Rule
from keel.domain.questionnaire import fires_at
from keel.library import shelf
from keel.library.wording import Wording, words_for
from keel.queries import definitions

MOST_CHOICES = 11
"""More codes than this are typed, not picked."""
FEWEST_ROWS = 3
"""Fewer neighbours with the same answers than this make no matrix."""


@dataclass(frozen=True)
class Option:
    value: str
    label: str


@dataclass(frozen=True)
class ShownItem:
    """One item as a form shows it. `kind`: choice, many, number, range. `ask_when` and `help_when` are for the page's
    script: "2:1|2" (asked when item 2 is 1 or 2), "1|2|3" (answers at which help is shown at once). `declinable`: the
    refusal to answer is none of its options and stands beside it."""

    id: str
    number: int
    text: str
    hint: str
    kind: str
    name: str
    value: str | None
    options: tuple[Option, ...]
    min: Any
    max: Any
    low: str
    high: str
    ask_when: str
    help_when: str
    picked: tuple[str, ...]
    declinable: bool


@dataclass(frozen=True)
class Form:
    """An instrument as a form. `worded` says whether these are the instrument's own words."""

    id: str
    version: int
    title: str
    plain_title: str
    stem: str
    credit: str
    worded: bool
    right_to_left: bool
    language: str
    items: tuple[ShownItem, ...]

    def is_matrix(self) -> bool:
        """Whether it reads well as a matrix: three or more neighbours with the same answers to pick from."""
        runs = (list(run) for _, run in groupby(self.items, key=lambda item: (item.kind, item.options)))
        return any(run[0].kind == "choice" and len(run) >= FEWEST_ROWS for run in runs)


def form(
    definition: Instrument, answers: Mapping[str, Any], *, on: date, languages: tuple[str, ...] = ("en",), plain: bool
) -> Form:
    """The form of an instrument with the answers so far. `plain` is for participants: kinder words, no item labels."""
    words = _words(definition.id, languages, on)
    return Form(
        id=definition.id,
        version=definition.version,
        title=definition.title,
        plain_title=plain_title(definition.id),
        stem=words.stem if words else "",
        credit=words.credit if words else "",
        worded=words is not None,
        right_to_left=bool(words and words.right_to_left),
        language=words.language if words else "en",
        items=tuple(_item(definition, item, words, answers, plain=plain) for item in definition.items),
    )


def plain_title(instrument: str) -> str:
    """What a participant's page calls it."""
    named: Mapping[str, str] = shelf.read("tables", "companion").table["instruments"]
    return named.get(instrument, "A few questions")


def title(instrument: str) -> str:
    """The short name of an instrument; its id where the shelf does not hold it."""
    try:
        return definitions.instrument(instrument).short
    except Refused:
        return instrument


def _words(id: str, languages: tuple[str, ...], on: date) -> Wording | None:
    try:
        return words_for(id, languages, on=on)
    except Refused:  # a faulty pack on a site's shelf: the form still works by number
        return None


def _item(
    definition: Instrument, item: Item, words: Wording | None, answers: Mapping[str, Any], *, plain: bool
) -> ShownItem:
    text = words.items.get(item.id, "") if words else ""
    label = item.label if item.label != f"Item {item.id}" else ""
    given = answers.get(item.id)
    low, high = _ends(item)
    return ShownItem(
        id=item.id,
        number=item.number,
        text=_text(item, text, label, plain=plain),
        hint="" if text or not plain else "Your team gave you the words of this question on paper.",
        kind=_kind(item),
        name=f"item-{item.id}",
        value=as_text(given),
        options=tuple(_options(definition, item, words)),
        min=item.answers.low,
        max=item.answers.high,
        low=low,
        high=high,
        ask_when=_ask_when(item.asked_if),
        help_when="|".join(as_text(code) or "" for code in fires_at(definition, item)),
        picked=tuple((as_text(given) or "").split(",")),
        declinable=_kind(item) != "choice",
    )


def _text(item: Item, words: str, label: str, *, plain: bool) -> str:
    """What stands before an item: at the desk with its number in print, which is how a sheet is read."""
    if plain:
        return words or f"Question {item.number}"
    said = words or label or f"Item {item.id}"
    return said if said[:1].isdigit() or not item.id.isdigit() else f"{item.number}. {said}"


def _kind(item: Item) -> str:
    answers = item.answers
    if answers.kind in ("scale", "number"):
        return "range" if answers.kind == "scale" else "number"
    if answers.kind == "many":
        return "many"
    return "number" if answers.kind == "codes" and len(answers.allowed()) > MOST_CHOICES else "choice"


def _ends(item: Item) -> tuple[str, str]:
    labels = item.answers.labels
    return (labels[0], labels[-1]) if labels else (str(item.answers.low), str(item.answers.high))


def as_text(value: Any) -> str | None:
    """An answer as a form field carries it; None for a blank."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _options(definition: Instrument, item: Item, words: Wording | None) -> Iterator[Option]:
    if _kind(item) in ("number", "range"):
        return
    labels = _labels(item, words)
    for code, label in zip(item.answers.allowed(), labels, strict=True):
        yield Option(str(code), label)
    if _kind(item) == "choice":
        if item.id in definition.may_not_apply:
            yield Option(NOT_APPLICABLE, "This does not apply to me")
        yield Option(PREFER_NOT, "I would rather not answer this")


def _labels(item: Item, words: Wording | None) -> tuple[str, ...]:
    """The pack's labels, else ours, else the codes themselves."""
    labels = words.labels(item) if words else item.options()
    if item.answers.kind == "yes_no" and not item.answers.labels and [text for _, text in labels] == ["0", "1"]:
        return ("No", "Yes")
    return tuple(text.replace("_", " ") for _, text in labels)


def _ask_when(rule: Rule | None) -> str:
    """The page's script knows one item with one answer; what is more than that is asked, and the record decides."""
    if rule is None or rule.of is None or rule.equals is None:
        return ""
    return f"{rule.of}:{int(rule.equals) if isinstance(rule.equals, bool) else rule.equals}"
