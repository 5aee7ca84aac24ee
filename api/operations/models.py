"""The background jobs, as the database remembers them."""

from django.db import models


class JobRun(models.Model):
    """How often a job ran, and when it last did what it should: one row a job, whichever machine runs it."""

    name = models.CharField(max_length=40, primary_key=True)
    runs = models.PositiveBigIntegerField(default=0)
    failures = models.PositiveBigIntegerField(default=0)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    succeeded_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
