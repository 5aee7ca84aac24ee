"""Rows for tests, with unsurprising defaults: each test states the values that matter."""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

from django.contrib.auth.hashers import make_password

from api.notifications.models import Notification
from api.properties.models import Property
from api.tasks.models import Task, TaskDependency
from api.users.models import User

PASSWORD = "correct horse battery staple"
_number = count(1)


@cache
def password_hash() -> str:
    return make_password(PASSWORD)


def user(**values: Any) -> User:
    """Create a user: by default a viewer whose password is PASSWORD."""
    number = next(_number)
    defaults = {"username": f"user{number}", "email": f"user{number}@example.com", "password": password_hash()}
    return User.objects.create(**(defaults | values))


def property_(*, owners: tuple[User, ...] = (), **values: Any) -> Property:
    creator = values.pop("created_by", None) or user(role="manager")
    now = datetime.now(UTC)
    defaults = {
        "name": f"House {next(_number)}",
        "address": "1 Main Street",
        "created_by": creator,
        "modified_by": creator,
        "created_at": now,
        "modified_at": now,
    }
    row = Property.objects.create(**(defaults | values))
    row.owners.set(owners)
    return row


def task(*, depends_on: tuple[Task, ...] = (), **values: Any) -> Task:
    """Create a task: by default pending, for cleaning, due tomorrow and unassigned."""
    task_property = values.pop("property", None) or property_()
    creator = values.pop("created_by", None) or task_property.created_by
    now = datetime.now(UTC)
    defaults = {
        "title": f"Task {next(_number)}",
        "task_type": "cleaning",
        "property": task_property,
        "due_date": now + timedelta(days=1),
        "created_by": creator,
        "modified_by": creator,
        "created_at": now,
        "modified_at": now,
    }
    if values.get("status") in {"in_progress", "completed"}:
        defaults["started_at"] = now
    if values.get("status") == "completed":
        defaults["completed_at"] = now
    row = Task.objects.create(**(defaults | values))
    TaskDependency.objects.bulk_create(TaskDependency(task=row, depends_on=other) for other in depends_on)
    return row


def notification(task: Task, recipient: User, **values: Any) -> Notification:
    """Create a notification: by default about a changed due date."""
    defaults = {"kind": "due_date_changed", "task_title": task.title, "created_at": datetime.now(UTC)}
    return Notification.objects.create(task=task, recipient=recipient, **(defaults | values))


def task_body(**values: Any) -> dict[str, Any]:
    """Return the required fields of POST /api/tasks/, except `property`."""
    return {"title": "Clean", "task_type": "cleaning", "due_date": "2030-05-31T15:00:00Z"} | values
