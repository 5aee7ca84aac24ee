"""The background jobs: one table for Celery beat, the commands, the timers in deploy/systemd and docs/operations.md.

A new job needs a line here, a function in `api/jobs.py` and a command of the same name. Tests compare the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.conf import settings


@dataclass(frozen=True, kw_only=True)
class Job:
    """The schedule of a job. Every job can run twice without harm."""

    crontab: str  # in UTC: minute, hour, day of the month, month, day of the week
    expires: int | None = None  # seconds; after a pause, Celery runs only the last queued one
    setting: str = ""  # the boolean setting that disables the job

    @property
    def is_enabled(self) -> bool:
        return not self.setting or bool(getattr(settings, self.setting))


JOBS: Mapping[str, Job] = MappingProxyType(
    {
        "deliver_mail": Job(crontab="* * * * *", expires=60),
        "send_email_digest": Job(crontab=f"0 {settings.EMAIL_DIGEST_HOUR_UTC} * * *", setting="EMAIL_DIGEST_ENABLED"),
        "notify_overdue": Job(crontab="*/5 * * * *", expires=300),
        "cleanup": Job(crontab="17 */6 * * *"),
    }
)
