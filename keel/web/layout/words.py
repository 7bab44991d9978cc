"""Words for codes, in templates: `{{ state|state_words }}`."""

from __future__ import annotations

from django import template

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
