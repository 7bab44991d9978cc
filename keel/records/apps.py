"""The one Django app."""

from __future__ import annotations

from django.apps import AppConfig


class Records(AppConfig):
    name = "keel.records"
    label = "records"

    def ready(self) -> None:
        from keel.records import projections

        projections.load()
