"""Records of job runs, from Celery and from commands."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.db.models import F
from django.utils import timezone

from api.operations.models import JobRun
from backend.logging_config import API
from backend.sentry_config import capture_task_context

logger = logging.getLogger(API)


@contextmanager
def track_job_run(name: str, *, is_counted: bool = True) -> Iterator[None]:
    """Record the block as a run of this job: name it in Sentry, count it, and log a failure.

    Pass `is_counted=False` if the block does only a part of the work.
    """
    capture_task_context(name)
    started_at = timezone.now()
    try:
        yield
    except Exception:
        # The database may be the cause of the failure: log it in any case.
        if is_counted:
            with suppress(DatabaseError):
                _store_run(name, started_at, has_succeeded=False)
        logger.exception("Job failed", extra={"event": "job_failed", "job": name})
        raise
    if is_counted:
        _store_run(name, started_at, has_succeeded=True)


def jobs_queued() -> int | None:
    """Return the number of jobs waiting at the broker; None without a broker or if it does not respond."""
    if not settings.CELERY_BROKER_URL:
        return None
    from kombu.exceptions import OperationalError  # noqa: PLC0415 - only where there is a broker

    from backend.celery import app  # noqa: PLC0415

    try:
        with app.connection_for_read() as connection:  # type: ignore[no-untyped-call]
            queue = connection.default_channel.queue_declare(app.conf.task_default_queue, passive=True)
    except connection.channel_errors:
        return 0  # the queue does not exist before the first job
    except (OSError, OperationalError):
        return None
    return int(queue.message_count)


def _store_run(name: str, started_at: datetime, *, has_succeeded: bool) -> None:
    times: dict[str, Any] = {"started_at": started_at, "finished_at": timezone.now()}
    if has_succeeded:
        times["succeeded_at"] = times["finished_at"]
    JobRun.objects.update_or_create(
        name=name,
        defaults=times | {"runs": F("runs") + 1, "failures": F("failures") + int(not has_succeeded)},
        create_defaults=times | {"runs": 1, "failures": int(not has_succeeded)},
    )
