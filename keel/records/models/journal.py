"""The journal's own tables. Only records/journal.py writes them; triggers refuse to change an event or a seal."""

from __future__ import annotations

from django.db import models


class EventRow(models.Model):
    """One event. Everything but `seq` and `xid` is in the hash; instants are the text that was hashed."""

    seq = models.BigAutoField(primary_key=True)
    # The transaction, so that the tail can wait for late commits: PostgreSQL's own id (elsewhere 0), and the offset.
    xid = models.BigIntegerField(default=0)
    id = models.CharField(max_length=36, unique=True)
    stream = models.CharField(max_length=130)
    position = models.IntegerField()
    kind = models.CharField(max_length=60)
    version = models.IntegerField()
    occurred_at = models.CharField(max_length=27)
    recorded_at = models.CharField(max_length=27)
    by = models.TextField()
    payload = models.TextField()
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        db_table = "journal_event"
        constraints = [models.UniqueConstraint(fields=["stream", "position"], name="journal_one_event_a_place")]
        indexes = [models.Index(fields=["xid", "seq"], name="journal_tail")]


class OffsetRow(models.Model):
    """What is added to this server's transaction ids: a restored record brings ids of another server, and what comes
    after must stand behind them. One row, or none where nothing was restored."""

    id = models.IntegerField(primary_key=True, default=1)
    xid = models.BigIntegerField()

    class Meta:
        db_table = "journal_offset"


class HeadRow(models.Model):
    """The end of a stream: what the next event hangs on, and the lock a decision holds."""

    stream = models.CharField(max_length=130, primary_key=True)
    position = models.IntegerField()
    hash = models.CharField(max_length=64)
    sealed = models.IntegerField(default=0)

    class Meta:
        db_table = "journal_head"


class SealRow(models.Model):
    """A signed seal over the heads that moved since the one before it."""

    number = models.IntegerField(primary_key=True)
    sealed_at = models.CharField(max_length=27)
    heads = models.TextField()
    previous = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    signature = models.CharField(max_length=128)

    class Meta:
        db_table = "journal_seal"
