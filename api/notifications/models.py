"""In-app messages about tasks."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from api.tasks.models import Task


class Kind(models.TextChoices):
    ASSIGNED = "assigned"
    UNASSIGNED = "unassigned"
    STATUS_CHANGED = "status_changed", "Status changed"
    DUE_DATE_CHANGED = "due_date_changed", "Due date changed"
    COMPLETED = "completed"
    OVERDUE = "overdue"


class Notification(models.Model):
    """One notification of one user. The title is a copy, so that former assignees can still read it."""

    recipient = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    kind = models.CharField(max_length=20, choices=Kind)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="notifications")
    task_title = models.CharField(max_length=200)
    actor_id = models.BigIntegerField(null=True)  # as in the audit trail: a plain number and a copy of the name
    actor_name = models.CharField(max_length=310, blank=True)
    changes = models.JSONField(default=dict)  # {field: [old, new]}
    read_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=Kind.values), name="notification_kind_known"),
            models.UniqueConstraint(
                fields=["task", "recipient"], condition=Q(kind=Kind.OVERDUE), name="notification_overdue_once"
            ),
        ]
        indexes = [
            models.Index(fields=["recipient", "-id"], name="notification_recipient"),
            models.Index(fields=["recipient", "-id"], condition=Q(read_at=None), name="notification_unread"),
            models.Index(fields=["read_at"], condition=Q(read_at__isnull=False), name="notification_read_at"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.task_title}"
