"""Filling an empty database with the demo portfolio, through the same services that the API calls."""

import random
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import transaction

from api.common.choices import Role, TaskStatus
from api.common.errors import Conflict
from api.demo.portfolio import JOBS, PEOPLE, PROPERTIES
from api.properties.models import Property
from api.properties.services import create_property
from api.tasks.services import change_status, create_task
from api.users.models import User
from api.users.services import create_user

TASK_COUNT = 320


def require_playground() -> None:
    """Raise Conflict where people may rely on the data."""
    if settings.DJANGO_ENVIRONMENT not in {"development", "test"}:
        raise Conflict(f"Demo data is for development; DJANGO_ENVIRONMENT is {settings.DJANGO_ENVIRONMENT}.")


def is_empty() -> bool:
    return not User.objects.exists()


@transaction.atomic
def seed(*, task_count: int = TASK_COUNT) -> dict[str, str]:
    """People, properties and tasks, the same ones on every machine; {username: password} with fresh passwords."""
    require_playground()
    dice = random.Random(4)  # noqa: S311 - repeatable, not secret
    passwords = {username: secrets.token_urlsafe(12) for username, *_ in PEOPLE}
    people = {
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
        for username, first_name, last_name, role, department in PEOPLE
    }
    managers = [person for person in people.values() if person.role == Role.MANAGER]
    houses = [
        create_property(
            actor=dice.choice(managers), name=name, address=address, property_type=kind, owners=[people[owner].pk]
        )
        for name, address, kind, owner in PROPERTIES
    ]
    crew = [person for person in people.values() if person.role == Role.STAFF]
    today = datetime.now(UTC).replace(hour=15, minute=0, second=0, microsecond=0)
    for number in range(task_count):
        _make_task(dice, number, today, managers, crew, houses)
    return passwords


def _make_task(
    dice: random.Random,
    number: int,
    today: datetime,
    managers: Sequence[User],
    crew: Sequence[User],
    houses: Sequence[Property],
) -> None:
    title, task_type, priority, description = JOBS[number % len(JOBS)]
    days = dice.randint(-30, 30)
    suited = [person for person in crew if person.department == task_type.department] or list(crew)
    task = create_task(
        actor=dice.choice(managers),
        title=title,
        description=description,
        task_type=task_type,
        priority=priority,
        property=houses[number % len(houses)],
        assigned_to=dice.choice(suited) if dice.random() < 0.7 else None,
        due_date=today + timedelta(days=days, hours=dice.randint(-6, 4)),
    )
    for status in _history(dice, days):
        by_crew = task.assigned_to is not None and status is not TaskStatus.CANCELED
        change_status(actor=(task.assigned_to if by_crew else None) or task.created_by, task_id=task.pk, status=status)


def _history(dice: random.Random, days: int) -> list[TaskStatus]:
    """What is past is mostly done; a few tasks were forgotten, and are overdue."""
    if days < 0:
        done = [TaskStatus.IN_PROGRESS, TaskStatus.COMPLETED]
        return dice.choices([done, [TaskStatus.IN_PROGRESS], [TaskStatus.CANCELED], []], [80, 6, 6, 8])[0]
    return dice.choices([[], [TaskStatus.IN_PROGRESS], [TaskStatus.CANCELED]], [85, 12, 3])[0]
