"""Business counts (tasks, users, emails, jobs). A thread counts them, so that requests do not wait."""

import logging
import threading
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Any

from django.db import connection
from django.db.models import Count, Min, Q
from django.utils import timezone

from api.accounts.models import Session
from api.common.choices import TaskStatus
from api.mail.models import MailState, OutgoingMail
from api.operations.job_runs import jobs_queued
from api.operations.models import JobRun
from api.tasks.models import Task, overdue
from api.users.models import User
from backend.logging_config import API

MAX_AGE = 30.0  # seconds
FIRST_TIMEOUT = 0.03  # seconds that a caller waits for the first counts

logger = logging.getLogger(API)


class BusinessCounts:
    """The latest business counts; an empty dict before the first count."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running_count: threading.Event | None = None
        self._counted_at = float("-inf")
        self._latest: dict[str, Any] = {}

    def current(self) -> dict[str, Any]:
        """Return the latest counts. If they are older than MAX_AGE, start to count again."""
        with self._lock:
            if self._running_count is None and monotonic() - self._counted_at > MAX_AGE:
                self._start()
            running = self._running_count
        if running is not None and not self._latest:
            running.wait(FIRST_TIMEOUT)
        return self._latest

    def _start(self) -> None:
        done = threading.Event()
        # If no thread can be started, keep the last counts.
        with suppress(RuntimeError):
            threading.Thread(target=self._count, args=(done,), name="business-counts", daemon=True).start()
            self._running_count = done

    def _count(self, done: threading.Event) -> None:
        try:
            self._latest = count()
        except Exception:
            logger.exception("Business counts failed", extra={"event": "counts_failed"})
        finally:
            connection.close()
            with self._lock:
                self._counted_at, self._running_count = monotonic(), None
            done.set()


def count() -> dict[str, Any]:
    """Return {tasks: {status: n, overdue, total}, users: {...}, mails: {(kind, state): n}, jobs: {name: run}, ...}."""
    now = timezone.now()
    tasks = Task.objects.filter(deleted_at=None, property__deleted_at=None)
    statuses = {status: Count("pk", filter=Q(status=status)) for status in TaskStatus.values}
    tasks_by_status = tasks.aggregate(total=Count("pk"), overdue=Count("pk", filter=overdue(now)), **statuses)
    queued_mails = OutgoingMail.objects.filter(state__in=[MailState.QUEUED, MailState.SENDING])
    mails_by_kind_and_state = OutgoingMail.objects.order_by().values_list("kind", "state").annotate(count=Count("pk"))
    recent_sessions = Session.objects.filter(last_seen_at__gte=now - timedelta(days=1))
    return {
        "tasks": tasks_by_status,
        "users": {
            "total": User.objects.filter(is_active=True).count(),
            "active_24h": recent_sessions.values("user").distinct().count(),
        },
        "mails": {(kind, state): count for kind, state, count in mails_by_kind_and_state},
        "oldest_mail": queued_mails.aggregate(oldest=Min("created_at"))["oldest"],
        "jobs": {job.name: job for job in JobRun.objects.all()},
        "jobs_queued": jobs_queued(),
    }


BUSINESS_COUNTS = BusinessCounts()
