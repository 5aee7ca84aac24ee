"""Numbers of the business and the backlog, counted in the background: a request never waits for a count of millions."""

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

FRESH_FOR = 30.0  # seconds
FIRST_WAIT = 0.03  # seconds that the very first asker waits

logger = logging.getLogger(API)


class BusinessCounts:
    """The last numbers, {} before the first count is done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counting: threading.Event | None = None
        self._at = float("-inf")
        self._last: dict[str, Any] = {}

    def current(self) -> dict[str, Any]:
        """At most about half a minute old while somebody asks."""
        with self._lock:
            if self._counting is None and monotonic() - self._at > FRESH_FOR:
                self._start()
            counting = self._counting
        if counting is not None and not self._last:
            counting.wait(FIRST_WAIT)
        return self._last

    def _start(self) -> None:
        done = threading.Event()
        # At the limit of threads the last numbers have to do.
        with suppress(RuntimeError):
            threading.Thread(target=self._count, args=(done,), name="figures", daemon=True).start()
            self._counting = done

    def _count(self, done: threading.Event) -> None:
        try:
            self._last = count()
        except Exception:
            logger.exception("Figures not counted", extra={"event": "counts_failed"})
        finally:
            connection.close()
            with self._lock:
                self._at, self._counting = monotonic(), None
            done.set()


def count() -> dict[str, Any]:
    """{tasks {status: n, overdue, total}, users {...}, mails {(kind, state): n}, jobs {name: run} ...}."""
    now = timezone.now()
    tasks = Task.objects.filter(deleted_at=None, property__deleted_at=None)
    statuses = {status: Count("pk", filter=Q(status=status)) for status in TaskStatus.values}
    by_status = tasks.aggregate(total=Count("pk"), overdue=Count("pk", filter=overdue(now)), **statuses)
    waiting = OutgoingMail.objects.filter(state__in=[MailState.QUEUED, MailState.SENDING])
    by_kind = OutgoingMail.objects.order_by().values_list("kind", "state").annotate(count=Count("pk"))
    active = Session.objects.filter(last_seen_at__gte=now - timedelta(days=1))
    return {
        "tasks": by_status,
        "users": {
            "total": User.objects.filter(is_active=True).count(),
            "active_24h": active.values("user").distinct().count(),
        },
        "mails": {(kind, state): count for kind, state, count in by_kind},
        "oldest_mail": waiting.aggregate(oldest=Min("created_at"))["oldest"],
        "jobs": {job.name: job for job in JobRun.objects.all()},
        "jobs_queued": jobs_queued(),
    }


BUSINESS_COUNTS = BusinessCounts()
