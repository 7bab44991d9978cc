"""People do not sign themselves up: a supervisor admits them."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest

SILENT = ("account/messages/logged_in.txt", "account/messages/logged_out.txt")
"""What the page itself shows: nobody would read it, and it would wait in a cookie."""


class NoSignup(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *more: Any, **named: Any
    ) -> None:
        if message_template not in SILENT:
            super().add_message(request, level, message_template, *more, **named)
