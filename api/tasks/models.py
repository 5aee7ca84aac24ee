"""Tasks at properties, and their dependencies."""

import builtins
from datetime import UTC, datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Length

from api.common.choices import EARLIEST, LATEST, OPEN_STATUSES, Department, TaskStatus
from api.common.models import TrackedModel
from api.properties.models import Property

MAX_DESCRIPTION = 10_000


class TaskType(models.TextChoices):
    CLEANING = "cleaning"
    MAINTENANCE = "maintenance"
    LAUNDRY = "laundry"
    LAWN_POOL = "lawn_pool", "Lawn and pool"
    INSPECTION = "inspection"
    PREPARATION = "preparation"
    ADMINISTRATION = "administration"
    OTHER = "other"

    @property
    def department(self) -> Department:
        """Return the department of the same name, otherwise general."""
        return Department(self.value) if self.value in Department else Department.GENERAL


class Priority(models.IntegerChoices):
    """Priorities as numbers, so that the database sorts them from low to urgent. The API uses their names."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    URGENT = 4

    @property
    def word(self) -> str:
        return self.name.lower()


def is_overdue(due_date: datetime, status: str, now: datetime) -> bool:
    """Return whether one task is overdue. `overdue()` is the same definition as a query."""
    return due_date < now and status in OPEN_STATUSES


def overdue(now: datetime) -> Q:
    """Return the condition for overdue tasks. `is_overdue()` is the same definition for one task."""
    return Q(due_date__lt=now, status__in=OPEN_STATUSES)


class Task(TrackedModel):
    """A task at a property. Tasks are soft deleted; a task of a deleted property is hidden, too."""

    title = models.CharField(max_length=200)
    description = models.TextField(max_length=MAX_DESCRIPTION, blank=True)
    task_type = models.CharField(max_length=20, choices=TaskType)
    status = models.CharField(max_length=20, choices=TaskStatus, default=TaskStatus.PENDING)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.MEDIUM)
    property = models.ForeignKey(Property, on_delete=models.PROTECT, related_name="tasks")
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="assigned_tasks"
    )
    due_date = models.DateTimeField()
    started_at = models.DateTimeField(null=True, editable=False)
    completed_at = models.DateTimeField(null=True, editable=False)
    depends_on = models.ManyToManyField(
        "self", through="TaskDependency", symmetrical=False, related_name="dependents", blank=True
    )
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(title=""), name="task_has_title"),
            models.CheckConstraint(
                condition=models.lookups.LessThanOrEqual(Length("description"), MAX_DESCRIPTION),
                name="task_description_length",
            ),
            models.CheckConstraint(condition=Q(task_type__in=TaskType.values), name="task_type_known"),
            models.CheckConstraint(condition=Q(status__in=TaskStatus.values), name="task_status_known"),
            models.CheckConstraint(condition=Q(priority__in=Priority.values), name="task_priority_known"),
            models.CheckConstraint(
                condition=Q(due_date__gte=EARLIEST, due_date__lt=LATEST), name="task_due_date_in_range"
            ),
            models.CheckConstraint(
                condition=Q(status=TaskStatus.COMPLETED, completed_at__isnull=False)
                | (~Q(status=TaskStatus.COMPLETED) & Q(completed_at=None)),
                name="task_completed_at_follows_status",
            ),
            models.CheckConstraint(
                condition=~Q(status=TaskStatus.PENDING) | Q(started_at=None), name="task_pending_is_not_started"
            ),
            models.CheckConstraint(
                condition=~Q(status=TaskStatus.IN_PROGRESS) | Q(started_at__isnull=False),
                name="task_in_progress_is_started",
            ),
        ]
        indexes = [
            # Each index ends with the list's ordering, so that a page needs no sort. It includes the property, which
            # can be deleted, so that PostgreSQL counts tasks from the index alone (SQLite ignores `include`).
            *(
                models.Index(
                    fields=fields,
                    include=[] if "property" in fields else ["property"],
                    condition=Q(deleted_at=None),
                    name=f"task_{name}",
                )
                for name, fields in {
                    "due": ["due_date", "id"],
                    "priority": ["priority", "id"],
                    "status": ["status", "due_date", "id"],
                    "by_status": ["status", "id"],
                    "type": ["task_type", "due_date", "id"],
                    "property": ["property", "due_date", "id"],
                    "assigned": ["assigned_to", "due_date", "id"],
                    "creator": ["created_by", "due_date", "id"],
                    "title": ["title", "id"],
                    "created": ["created_at", "id"],
                    "modified": ["modified_at", "id"],
                }.items()
            ),
            models.Index(
                fields=["due_date", "id"],
                include=["property"],
                condition=Q(status__in=OPEN_STATUSES, deleted_at=None),
                name="task_open_due",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @builtins.property  # `property` is a field of this model
    def is_overdue(self) -> bool:
        """Return whether the task is overdue now."""
        return is_overdue(self.due_date, self.status, datetime.now(UTC))


class TaskDependency(models.Model):
    """`task` cannot be completed before `depends_on`."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="dependency_rows")
    depends_on = models.ForeignKey(Task, on_delete=models.PROTECT, related_name="dependent_rows")

    class Meta:
        verbose_name_plural = "task dependencies"
        constraints = [
            models.UniqueConstraint(fields=["task", "depends_on"], name="task_dependency_once"),
            models.CheckConstraint(condition=~Q(task=F("depends_on")), name="task_dependency_not_on_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.task_id} after {self.depends_on_id}"
