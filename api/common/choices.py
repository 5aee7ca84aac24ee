"""Choices and limits that several domains share."""

from datetime import UTC, datetime

from django.db import models

# Dates must be at or after EARLIEST and before LATEST.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2101, 1, 1, tzinfo=UTC)


class Role(models.TextChoices):
    SUPERUSER = "superuser"
    MANAGER = "manager"
    STAFF = "staff"
    VIEWER = "viewer"


class Department(models.TextChoices):
    CLEANING = "cleaning"
    MAINTENANCE = "maintenance"
    LAUNDRY = "laundry"
    LAWN_POOL = "lawn_pool", "Lawn and pool"
    GENERAL = "general"


class TaskStatus(models.TextChoices):
    PENDING = "pending"
    IN_PROGRESS = "in_progress", "In progress"
    COMPLETED = "completed"
    CANCELED = "canceled"


OPEN_STATUSES = (TaskStatus.PENDING, TaskStatus.IN_PROGRESS)
