"""Courses and what hangs on them."""

from __future__ import annotations

from django.db import models

from keel.records.models.read_model import ReadModel, key, word


class CourseRow(ReadModel):
    """One course of one participant."""

    id = models.CharField(max_length=36, primary_key=True)
    participant = key()
    site = key(60)
    study = key(60)
    protocol = word()
    protocol_version = models.IntegerField()
    code = word(20)
    phase = word(20)
    arm = word()
    cohort = key(36)
    opened_at = models.DateTimeField()
    enrolled_on = models.DateField(null=True)
    verdict = word(10)
    verdict_signed = models.BooleanField(default=False)
    ended = word(20)
    ended_on = models.DateField(null=True)
    ended_reason = word()
    erased = models.BooleanField(default=False)
    personal = frozenset({"participant", "code", "arm", "cohort", "verdict", "ended", "ended_reason"})

    class Meta:
        db_table = "course"


class VisitRow(ReadModel):
    """A visit that was booked, held or missed."""

    id = models.CharField(max_length=100, primary_key=True)  # course/visit
    course = key()
    visit = word()
    booked_at = models.DateTimeField(null=True)
    on = models.DateField(null=True)
    minutes = models.IntegerField(null=True)
    mode = word(20)
    cause = word()
    by = word(36)
    event = word(36)
    notes = models.JSONField(default=dict)
    covered = models.JSONField(default=list)
    personal = frozenset({"course", "visit", "booked_at", "on", "minutes", "cause", "notes", "covered"})

    class Meta:
        db_table = "visit"
        constraints = [
            models.CheckConstraint(
                condition=~(models.Q(on__isnull=False) & ~models.Q(cause="")), name="visit_held_or_missed_not_both"
            )
        ]


class FactRow(ReadModel):
    """What is known of a participant for the rules, with the day it was found and by whom."""

    id = models.CharField(max_length=120, primary_key=True)  # course/name
    course = key()
    name = word(80)
    value = models.JSONField(null=True)
    on = models.DateField()
    source = word(200)
    event = word(36)
    personal = frozenset({"course", "value", "on", "source"})

    class Meta:
        db_table = "fact"


class FindingRow(ReadModel):
    """The finding of one rule at the last judgement."""

    id = models.CharField(max_length=140, primary_key=True)  # course/rule
    course = key()
    rule = word(100)
    finding = word(10)
    because = models.TextField(default="")
    evidence = models.JSONField(default=list)
    used = models.JSONField(default=dict)
    missing = models.JSONField(default=list)
    judged_on = models.DateField()
    overridden_by = word(36)
    overridden_because = models.JSONField(null=True)
    personal = frozenset({"course", "finding", "because", "used", "missing", "overridden_because"})

    class Meta:
        db_table = "finding"


class ConsentRow(ReadModel):
    """Where consent to one document stands."""

    id = models.CharField(max_length=120, primary_key=True)  # course/document
    course = key()
    document = word()
    version = models.IntegerField()
    offered_at = models.DateTimeField()
    answers = models.JSONField(default=dict)
    passed = models.BooleanField(default=False)
    signed_at = models.DateTimeField(null=True)
    signed_name = models.JSONField(null=True)
    countersigned_at = models.DateTimeField(null=True)
    countersigned_by = word(36)
    withdrawn_at = models.DateTimeField(null=True)
    personal = frozenset({"course", "answers", "signed_at", "signed_name", "withdrawn_at"})

    class Meta:
        db_table = "consent"


class DeviationRow(ReadModel):
    """A departure from the protocol, noted by itself when it happened."""

    id = models.CharField(max_length=36, primary_key=True)
    course = key()
    visit = word()
    kind = word()
    days = models.IntegerField(null=True)
    said = models.TextField(default="")
    noted_at = models.DateTimeField()
    personal = frozenset({"course", "visit", "days", "said"})

    class Meta:
        db_table = "deviation"


class WordsRow(ReadModel):
    """Words that somebody wrote: an intention, a fear, an insight, a commitment, a note, a page of a private journal.

    `words` is sealed with the participant's key. A private page is shown to nobody else until it is `shared`.
    """

    id = models.CharField(max_length=36, primary_key=True)
    course = key()
    visit = word()
    kind = word(30)
    words = models.JSONField(default=dict)
    detail = models.JSONField(default=dict)
    at = models.DateTimeField()
    by = word(36)
    role = word(20)
    due_on = models.DateField(null=True)
    state = word(20)
    shared = models.BooleanField(default=True)
    personal = frozenset({"course", "words", "detail", "due_on", "state"})

    class Meta:
        db_table = "words"


class LookRow(ReadModel):
    """Who opened a participant's chart, and when."""

    id = models.CharField(max_length=36, primary_key=True)
    course = key()
    by = word(36)
    role = word(20)
    page = word()
    at = models.DateTimeField()
    personal = frozenset({"course"})

    class Meta:
        db_table = "look"
