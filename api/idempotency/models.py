from django.db import models


class IdempotencyKey(models.Model):
    """A request that a client may repeat without it happening twice; the answer is kept for a day."""

    user_id = models.BigIntegerField()
    path = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)  # keyed hash of the body
    claim = models.UUIDField()  # which attempt owns the row
    claimed_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)  # null while the first attempt runs
    body = models.TextField(blank=True)
    etag = models.CharField(max_length=40, blank=True)
    location = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user_id", "path", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return f"{self.path} {self.key}"
