"""The two tags that the base pages take from installed applications, for drawing them without the application."""

from __future__ import annotations

from django.template import Library
from django.utils.safestring import SafeString, mark_safe

register = Library()


@register.simple_tag
def static(path: str) -> str:
    return f"/static/{path}"


@register.simple_tag
def htmx_script() -> SafeString:
    return mark_safe('<script src="/static/django_htmx/htmx-2.min.js" defer></script>')
