"""Studies, cohorts and the definitions in use."""

from __future__ import annotations

from django.db import models

from keel.records.models.read_model import ReadModel, key, word


class StudyRow(ReadModel):
    """A programme that runs one protocol at one or more sites: a trial, a clinic's service, a regulated service."""

    id = models.CharField(max_length=60, primary_key=True)
    title = word(200)
    protocol = word()
    protocol_version = models.IntegerField()
    sites = models.JSONField(default=list)
    documents = models.JSONField(default=list)
    opened_at = models.DateTimeField()
    detail = models.JSONField(default=dict)
    personal = frozenset()

    class Meta:
        db_table = "study"


class CohortRow(ReadModel):
    """People who go through a group course together."""

    id = models.CharField(max_length=36, primary_key=True)
    site = key(60)
    study = key(60)
    name = word(80)
    formed_at = models.DateTimeField()
    courses = models.JSONField(default=list)
    personal = frozenset({"courses"})

    class Meta:
        db_table = "cohort"


class DefinitionRow(ReadModel):
    """A definition as it stood when it came into use: its whole table, by kind, id and version."""

    id = models.CharField(max_length=160, primary_key=True)  # kind/id/version
    kind = word()
    name = word(80)
    version = models.IntegerField()
    sha256 = word(64)
    table = models.JSONField()
    adopted_at = models.DateTimeField()
    personal = frozenset()

    class Meta:
        db_table = "definition"
