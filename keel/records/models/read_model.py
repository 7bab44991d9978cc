"""What all read models share."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class ReadModel(models.Model):
    """A table that is a view of the journal. Keys come from the events, so that a rebuild gives the same rows.

    `personal` names the fields that say something about one participant (pseudonymous: identity is in the vault).
    """

    personal: ClassVar[frozenset[str]]

    class Meta:
        abstract = True


def key(length: int = 36) -> models.CharField:
    """An id that another row or the vault carries."""
    return models.CharField(max_length=length, db_index=True)


def word(length: int = 60) -> models.CharField:
    return models.CharField(max_length=length, default="")
