"""Questionnaires and ratings."""

from __future__ import annotations

from django.db import models

from keel.records.models.read_model import ReadModel, key, word


class ResponseRow(ReadModel):
    """One instrument filled in once: raw codes as entered, scores as the definition of that version gave them."""

    id = models.CharField(max_length=36, primary_key=True)
    course = key()
    visit = word()
    instrument = word()
    instrument_version = models.IntegerField()
    respondent = word(20)
    by = word(36)
    paper = models.BooleanField(default=False)
    begun_at = models.DateTimeField()
    last_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)
    items = models.JSONField(default=dict)
    context = models.JSONField(default=dict)
    scores = models.JSONField(default=dict)
    missing = models.JSONField(default=list)
    event = word(36)
    amended = models.BooleanField(default=False)
    personal = frozenset({"course", "items", "context", "scores", "missing"})

    class Meta:
        db_table = "response"
        indexes = [models.Index(fields=["course", "instrument"], name="response_series")]
