"""Stored responses of idempotent requests."""

from django.db import models


class IdempotencyKey(models.Model):
    """A request with an Idempotency-Key, and its response. Rows expire after 24 hours."""

    user_id = models.BigIntegerField()
    path = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)  # keyed hash of the body
    claim = models.UUIDField()  # identifies the request that owns the row
    claimed_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)  # null while the first request runs
    body = models.TextField(blank=True)
    etag = models.CharField(max_length=40, blank=True)
    location = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "path", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.path} {self.key}"
