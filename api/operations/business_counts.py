"""Business counts: counted in the background, so that no request waits for a count of millions of rows."""

import logging
from datetime import timedelta
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
from backend.single_flight import SingleFlight

MAX_AGE = 30.0  # seconds
FIRST_WAIT = 0.03  # seconds that a request waits for the first count

logger = logging.getLogger(API)


class BusinessCounts:
    """The latest counts; {} before the first count has ended."""

    def __init__(self) -> None:
        self._latest: dict[str, Any] = {}
        self._flight = SingleFlight(self._refresh, name="business-counts", max_age=MAX_AGE)

    def current(self) -> dict[str, Any]:
        """Return counts that are about half a minute old at most, if they are requested regularly."""
        running = self._flight.start_if_stale()
        if running is not None and not self._latest:
            running.wait(FIRST_WAIT)
        return self._latest

    def _refresh(self) -> None:
        try:
            self._latest = count()
        except Exception:
            logger.exception("Business counts failed", extra={"event": "counts_failed"})
        finally:
            connection.close()


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
