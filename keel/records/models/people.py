"""Sites, and who does what at them."""

from __future__ import annotations

from django.db import models

from keel.records.models.read_model import ReadModel, key, word


class SiteRow(ReadModel):
    id = models.CharField(max_length=60, primary_key=True)
    name = word(120)
    country = word(2)
    timezone = word()
    jurisdiction = word()
    detail = models.JSONField(default=dict)
    personal = frozenset()

    class Meta:
        db_table = "site"


class MembershipRow(ReadModel):
    """One role of one member of staff at one site."""

    id = models.CharField(max_length=140, primary_key=True)  # staff/site/role
    staff = key()
    site = key(60)
    role = word(20)
    granted_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    personal = frozenset()

    class Meta:
        db_table = "membership"
