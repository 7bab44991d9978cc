"""The dosing day."""

from __future__ import annotations

from django.db import models

from keel.records.models.read_model import ReadModel, key, word


class SessionRow(ReadModel):
    """What the people of one dosing day share: the room, the day, who is there."""

    id = models.CharField(max_length=36, primary_key=True)
    site = key(60)
    study = word()
    cohort = word(36)
    room = word(80)
    on = models.DateField()
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    detail = models.JSONField(default=dict)
    personal = frozenset()

    class Meta:
        db_table = "session"


class RoomRow(ReadModel):
    """A room as the site describes it, once for all sessions in it."""

    id = models.CharField(max_length=160, primary_key=True)  # site/room
    site = key(60)
    room = word(80)
    profile = models.JSONField(default=dict)
    at = models.DateTimeField()
    personal = frozenset()

    class Meta:
        db_table = "room"


class PresenceRow(ReadModel):
    """A member of staff in the room, from when until when."""

    id = models.CharField(max_length=36, primary_key=True)
    session = key()
    staff = word(36)
    role = word(30)
    watches = models.JSONField(default=list)
    came_at = models.DateTimeField()
    left_at = models.DateTimeField(null=True)
    left_entry = word(36)  # the event that ended the stay, so that it can be corrected or taken back
    amended = models.BooleanField(default=False)
    left_amended = models.BooleanField(default=False)
    personal = frozenset({"watches"})

    class Meta:
        db_table = "presence"


class DayRow(ReadModel):
    """One person's dosing visit: its state and its times."""

    id = models.CharField(max_length=100, primary_key=True)  # course/visit
    course = key()
    session = key()
    visit = word()
    on = models.DateField()
    state = word(20)
    arrived_at = models.DateTimeField(null=True)
    prepared = models.JSONField(null=True)
    confirmed_by = word(36)
    dosed_at = models.DateTimeField(null=True)
    released_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True)
    stopped_because = models.JSONField(null=True)
    personal = frozenset(
        {"course", "state", "arrived_at", "prepared", "dosed_at", "released_at", "stopped_at", "stopped_because"}
    )

    class Meta:
        db_table = "day"


class DoseRow(ReadModel):
    """A dose that was given: what, how much by whose arithmetic, from which lot, checked by whom."""

    id = models.CharField(max_length=36, primary_key=True)
    course = key()
    visit = word()
    substance = word()
    amount = models.FloatField()
    unit = word(20)
    given_mg = models.FloatField(null=True)
    arithmetic = word(200)
    supplemental = models.BooleanField(default=False)
    lot = word()
    given_at = models.DateTimeField()
    by = word(36)
    confirmed_by = word(36)
    amended = models.BooleanField(default=False)
    personal = frozenset({"course", "substance", "amount", "unit", "given_mg", "arithmetic", "lot", "given_at"})

    class Meta:
        db_table = "dose"


class VitalsRow(ReadModel):
    """One set of vital signs."""

    id = models.CharField(max_length=36, primary_key=True)
    course = key()
    visit = word()
    systolic_mmhg = models.IntegerField(null=True)
    diastolic_mmhg = models.IntegerField(null=True)
    heart_rate_bpm = models.IntegerField(null=True)
    temperature_c = models.FloatField(null=True)
    spo2_percent = models.IntegerField(null=True)
    at = models.DateTimeField()
    by = word(36)
    amended = models.BooleanField(default=False)
    personal = frozenset(
        {"course", "systolic_mmhg", "diastolic_mmhg", "heart_rate_bpm", "temperature_c", "spo2_percent", "at"}
    )

    class Meta:
        db_table = "vitals"


class MomentRow(ReadModel):
    """Something noted on the dosing day; of one person (`course`), or of the room (`course` empty)."""

    id = models.CharField(max_length=36, primary_key=True)
    session = key()
    course = key()
    visit = word()
    kind = word(40)
    words = models.JSONField(default=dict)
    detail = models.JSONField(default=dict)
    at = models.DateTimeField()
    by = word(36)
    amended = models.BooleanField(default=False)
    personal = frozenset({"course", "kind", "words", "detail", "at"})

    class Meta:
        db_table = "moment"


class ReleaseItemRow(ReadModel):
    """One line of the release checklist, signed."""

    id = models.CharField(max_length=160, primary_key=True)  # course/visit/item
    course = key()
    visit = word()
    item = word()
    signed_by = word(36)
    signed_at = models.DateTimeField()
    personal = frozenset({"course", "signed_at"})

    class Meta:
        db_table = "release_item"
