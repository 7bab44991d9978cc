"""Words for codes, in templates: `{{ state|state_words }}`."""

from __future__ import annotations

from django import template

from keel.domain.watch import DOES
from keel.queries import definitions, forms

register = template.Library()

STATES = {
    "planned": "planned",
    "in_window": "in window",
    "due": "due",
    "overdue": "overdue",
    "done": "done",
    "done_out_of_window": "done, out of window",
    "missed": "missed",
    "withdrawn": "not held: withdrawn",
}


@register.filter
def state_words(state: str) -> str:
    """A visit's state as a person says it."""
    return STATES.get(state, words(state))


@register.filter
def words(code: str) -> str:
    """A code with its underscores and hyphens as spaces."""
    return str(code).replace("_", " ").replace("-", " ")


@register.filter
def does(consequence: str) -> str:
    """What follows from a limit that is crossed, as it is said in the room."""
    return DOES.get(consequence, words(consequence))


@register.filter
def unit(code: str) -> str:
    """A unit of dose as it is written."""
    return {"mg_per_kg": "mg per kg", "mg_per_70kg": "mg per 70 kg", "ug": "µg"}.get(code, code)


@register.filter
def instrument(what: str) -> str:
    """What begins with the id of an instrument (`caps-5 at Baseline`), with the name that people use for it."""
    name, at, visit = what.partition(" at ")
    return f"{forms.title(name)}{at}{visit}"


@register.filter
def document(id: str) -> str:
    """The title of a consent."""
    return definitions.document_title(id)
