"""The dashboard: the start page of both admin sites, in two queries."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from api.audit.events import Event
from api.audit.models import AuditEntry
from api.common.choices import OPEN_STATUSES
from api.tasks.models import overdue
from api.tasks.selectors import visible_tasks
from api.users.models import User
from api.users.selectors import visible_entries

DENIALS = 5


@dataclass(frozen=True)
class DashboardCounts:
    """Counts of open tasks, and the latest denials."""

    overdue: int
    due_today: int
    unassigned: int
    denials: list[AuditEntry]


def dashboard_counts(user: User, *, role: str = "") -> DashboardCounts:
    """Return the counts for today in the active time zone, and the denials that this role may read."""
    now = timezone.now()
    today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    is_open = Q(status__in=OPEN_STATUSES)
    counts: dict[str, Any] = visible_tasks(user).aggregate(
        overdue=Count("pk", filter=overdue(now)),
        due_today=Count("pk", filter=is_open & Q(due_date__gte=today, due_date__lt=today + timedelta(days=1))),
        unassigned=Count("pk", filter=is_open & Q(assigned_to=None)),
    )
    denials = visible_entries(user, role=role).filter(event=Event.PERMISSION_DENIED).order_by("-pk")[:DENIALS]
    return DashboardCounts(**counts, denials=list(denials))
