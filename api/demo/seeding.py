"""Creation of the demo portfolio in an empty database, through the services that the API uses."""

import random
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction

from api.common.choices import Role, TaskStatus
from api.common.errors import Conflict
from api.demo.portfolio import PROPERTIES, TASKS, USERS
from api.properties.models import Property
from api.properties.services import create_property
from api.tasks.services import change_status, create_task
from api.users.models import User
from api.users.services import create_user

TASK_COUNT = 320


def require_demo_allowed() -> None:
    """Raise Conflict except in development and test."""
    if settings.DJANGO_ENVIRONMENT not in {"development", "test"}:
        raise Conflict(f"Demo data is for development; DJANGO_ENVIRONMENT is {settings.DJANGO_ENVIRONMENT}.")


def is_empty() -> bool:
    return not User.objects.exists()


@transaction.atomic
def seed(*, task_count: int = TASK_COUNT) -> dict[str, str]:
    """Create users, properties and tasks; return {username: password}.

    The data is the same on every computer, except the passwords, which are random.
    """
    require_demo_allowed()
    rng = random.Random(4)  # noqa: S311 - repeatable, not secret
    passwords = {username: secrets.token_urlsafe(12) for username, *_ in USERS}
    users = {
        username: create_user(
            actor=None,
            username=username,
            email=f"{username}@cosmo.example",
            password=passwords[username],
            first_name=first_name,
            last_name=last_name,
            role=role,
            department=department,
        )
        for username, first_name, last_name, role, department in USERS
    }
    managers = [user for user in users.values() if user.role == Role.MANAGER]
    properties = [
        create_property(
            actor=rng.choice(managers), name=name, address=address, property_type=kind, owners=[users[owner].pk]
        )
        for name, address, kind, owner in PROPERTIES
    ]
    staff = [user for user in users.values() if user.role == Role.STAFF]
    today = datetime.now(UTC).replace(hour=15, minute=0, second=0, microsecond=0)
    for number in range(task_count):
        _make_task(rng, number, today, managers, staff, properties)
    return passwords


def _make_task(
    rng: random.Random,
    number: int,
    today: datetime,
    managers: Sequence[User],
    staff: Sequence[User],
    properties: Sequence[Property],
) -> None:
    title, task_type, priority, description = TASKS[number % len(TASKS)]
    days = rng.randint(-30, 30)
    candidates = [user for user in staff if user.department == task_type.department] or list(staff)
    task = create_task(
        actor=rng.choice(managers),
        title=title,
        description=description,
        task_type=task_type,
        priority=priority,
        property=properties[number % len(properties)],
        assigned_to=rng.choice(candidates) if rng.random() < 0.7 else None,
        due_date=today + timedelta(days=days, hours=rng.randint(-6, 4)),
    )
    for status in _status_changes(rng, days):
        is_by_assignee = task.assigned_to is not None and status is not TaskStatus.CANCELED
        change_status(
            actor=(task.assigned_to if is_by_assignee else None) or task.created_by, task_id=task.pk, status=status
        )


def _status_changes(rng: random.Random, days: int) -> list[TaskStatus]:
    """Return the status transitions of a task: most past tasks are completed, a few stay open and are overdue."""
    if days < 0:
        completed = [TaskStatus.IN_PROGRESS, TaskStatus.COMPLETED]
        return rng.choices([completed, [TaskStatus.IN_PROGRESS], [TaskStatus.CANCELED], []], [80, 6, 6, 8])[0]
    return rng.choices([[], [TaskStatus.IN_PROGRESS], [TaskStatus.CANCELED]], [85, 12, 3])[0]
