"""Alerts and adverse events."""

from __future__ import annotations

from django.db import models

from keel.records.models.read_model import ReadModel, key, word


class AlertRow(ReadModel):
    """Something that a person must look at, until someone says what was done."""

    id = models.CharField(max_length=36, primary_key=True)
    course = key()
    site = key(60)
    level = word(20)
    why = models.TextField(default="")
    source = models.JSONField(default=dict)
    state = word(20)
    raised_at = models.DateTimeField()
    owner = word(36)
    step = models.IntegerField(default=0)
    moved_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = word(36)
    done = models.JSONField(default=list)
    personal = frozenset({"course", "level", "why", "source", "done"})

    class Meta:
        db_table = "alert"


class AdverseEventRow(ReadModel):
    """An adverse event: collected whether it was good, bad or strange."""

    id = models.CharField(max_length=36, primary_key=True)
    course = key()
    visit = word()
    term = word(120)
    words = models.JSONField(default=dict)
    grade = models.IntegerField(null=True)
    valence = word(20)
    serious = models.JSONField(null=True)  # null: not judged yet; an empty list: judged, and none
    related = word(30)
    expected = word(30)
    began_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    outcome = word(40)
    action = word(60)
    detail = models.JSONField(default=dict)
    reported_at = models.DateTimeField()
    by = word(36)
    amended = models.BooleanField(default=False)
    personal = frozenset(
        {
            "course",
            "term",
            "words",
            "grade",
            "valence",
            "serious",
            "related",
            "began_at",
            "ended_at",
            "outcome",
            "action",
            "detail",
        }
    )

    class Meta:
        db_table = "adverse_event"
