"""The run counters of background jobs."""

from django.db import models


class JobRun(models.Model):
    """The number of runs and failures of a job and its last success. Each job has one row for all hosts."""

    name = models.CharField(max_length=40, primary_key=True)
    runs = models.PositiveBigIntegerField(default=0)
    failures = models.PositiveBigIntegerField(default=0)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    succeeded_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
