"""Queries for the tasks that a user can see, and their API representation."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, When
from django.utils import timezone

from api.common import rules
from api.common.access import get_permitted
from api.common.choices import OPEN_STATUSES, TaskStatus
from api.common.errors import NotFound
from api.common.locking import lock_rows
from api.common.ordering import order_terms
from api.common.rules import Scope
from api.properties.models import Property
from api.tasks.models import Priority, Task, TaskDependency, TaskType, is_overdue, overdue
from api.tasks.visibility import task_types_of
from api.users.models import User
from api.users.selectors import visible_users


def _unassigned(actor: User) -> Q:
    return Q(assigned_to=None, task_type__in=task_types_of(actor.department))


FILTERS: rules.ScopeFilters = {
    Scope.ALL: lambda _: Q(),
    Scope.ASSIGNED: lambda actor: Q(assigned_to=actor.pk),
    Scope.ASSIGNED_OR_UNASSIGNED: lambda actor: Q(assigned_to=actor.pk) | _unassigned(actor),
    Scope.ON_OWNED: lambda actor: Q(
        property__in=Property.owners.through.objects.filter(user=actor.pk).values("property")
    ),
}


def visible_tasks(actor: User, *, deleted: bool = False) -> QuerySet[Task]:
    """Return the tasks that the actor can see, without tasks of deleted properties.

    With `deleted`, return only the tasks that can be restored; raise Denied without permission.
    """
    if deleted:
        rules.require("tasks.view_deleted", actor)
    return Task.objects.filter(
        rules.rows("tasks.view", actor, FILTERS), deleted_at__isnull=not deleted, property__deleted_at=None
    )


def get_task(*, actor: User, pk: int, rule: str, lock: bool = False, deleted: bool = False) -> Task:
    """Return a task. Raise NotFound if the actor cannot see it, Denied if the rule does not cover it."""
    if lock:
        lock_rows(Task.objects.filter(pk=pk))
    visible = visible_tasks(actor, deleted=deleted)
    visible = visible.select_related("property", "assigned_to", "created_by", "modified_by")
    return get_permitted(visible, rules.rows(rule, actor, FILTERS), pk, action=rule)


NO_ASSIGNEE = "There is no user with id {pk_value} that you can assign."


def visible_assignees(actor: User, *, task: Task | None = None) -> QuerySet[User]:
    """Return the users that the actor can choose as assignee: visible users and the current assignee."""
    visible = visible_users(actor)
    if task is None or task.assigned_to_id is None:
        return visible
    return visible | User.objects.filter(pk=task.assigned_to_id)


def filter_tasks(tasks: QuerySet[Task], query: Mapping[str, Any], *, actor: User) -> QuerySet[Task]:
    """Apply the validated parameters of the list (TaskListParams)."""
    conditions: dict[str, Q] = {
        name: Q((lookup, query[name]))
        for name, lookup in {
            "property": "property",
            "status": "status__in",
            "task_type": "task_type",
            "priority": "priority",
            "created_by": "created_by",
            "due_after": "due_date__gte",
            "due_before": "due_date__lt",
            "modified_since": "modified_at__gte",
        }.items()
        if name in query
    }
    if "assigned_to" in query:
        assignee = query["assigned_to"]
        conditions["assigned_to"] = Q(assigned_to={"me": actor.pk, "none": None}.get(assignee, assignee))
    if "overdue" in query:
        condition = overdue(timezone.now())
        conditions["overdue"] = condition if query["overdue"] else ~condition
    if text := query.get("search"):
        conditions["search"] = Q(title__icontains=text) | Q(description__icontains=text)
    return tasks.filter(*conditions.values()).order_by(*order_terms(query.get("ordering", "due_date")))


_USER_FIELDS = ("assigned_to", "created_by", "modified_by")
_COLUMNS = (
    "id",
    "title",
    "description",
    "task_type",
    "status",
    "priority",
    "property_id",
    "property__name",
    "version",
    "due_date",
    "started_at",
    "completed_at",
    "created_at",
    "modified_at",
    *(f"{field}_id" for field in _USER_FIELDS),
    *(f"{field}__{part}" for field in _USER_FIELDS for part in ("first_name", "last_name", "username")),
)


class TaskRow(NamedTuple):
    """A task's API representation and its version."""

    version: int
    data: dict[str, Any]


def read_tasks(tasks: QuerySet[Task], *, reader: User) -> list[TaskRow]:
    """Read tasks in at most two queries, without model instances."""
    now = timezone.now()
    has_dependencies = Exists(TaskDependency.objects.filter(task=OuterRef("pk")))
    rows = list(tasks.values(*_COLUMNS, has_dependencies=has_dependencies))
    dependent_ids = [row["id"] for row in rows if row["has_dependencies"]]
    titles = named_dependencies(dependent_ids, reader=reader) if dependent_ids else {}
    return [TaskRow(row["version"], _as_json(row, titles.get(row["id"], {}), now)) for row in rows]


def task_rows(tasks: QuerySet[Task], *, reader: User) -> list[dict[str, Any]]:
    """Return the API representation of the tasks."""
    return [task.data for task in read_tasks(tasks, reader=reader)]


def read_task(*, actor: User, pk: int) -> TaskRow:
    """Return a task; raise NotFound if the actor cannot see it."""
    for task in read_tasks(visible_tasks(actor).filter(pk=pk), reader=actor):
        return task
    raise NotFound


def dependencies(task_ids: list[int]) -> dict[int, list[int]]:
    """Return the dependencies of these tasks, {id: [ids]}."""
    depends_on_ids: dict[int, list[int]] = {}
    pairs = TaskDependency.objects.filter(task__in=task_ids).order_by("depends_on_id")
    for task_id, depends_on_id in pairs.values_list("task_id", "depends_on_id"):
        depends_on_ids.setdefault(task_id, []).append(depends_on_id)
    return depends_on_ids


def named_dependencies(task_ids: list[int], *, reader: User) -> dict[int, dict[int, str | None]]:
    """Return dependencies with titles, {id: {id: title}}; the title is None if the reader cannot see the task."""
    title = Case(When(depends_on__in=visible_tasks(reader), then=F("depends_on__title")))
    pairs = TaskDependency.objects.filter(task__in=task_ids).annotate(title=title).order_by("depends_on_id")
    titles: dict[int, dict[int, str | None]] = {}
    for task_id, depends_on_id, visible_title in pairs.values_list("task_id", "depends_on_id", "title"):
        titles.setdefault(task_id, {})[depends_on_id] = visible_title
    return titles


def _as_json(row: dict[str, Any], depends_on: dict[int, str | None], now: datetime) -> dict[str, Any]:
    return {
        "id": row["id"],
        "title": row["title"],
        "description": row["description"],
        "task_type": row["task_type"],
        "status": row["status"],
        "priority": Priority(row["priority"]).word,
        "property": row["property_id"],
        "property_name": row["property__name"],
        "assigned_to": row["assigned_to_id"],
        "assigned_to_name": _display_name(row, "assigned_to"),
        "due_date": row["due_date"],
        "started_at": row["started_at"],
        "completed_at": row["completed_at"],
        "is_overdue": is_overdue(row["due_date"], row["status"], now),
        "depends_on": list(depends_on),
        "depends_on_name": list(depends_on.values()),
        "created_by": row["created_by_id"],
        "created_by_name": _display_name(row, "created_by"),
        "modified_by": row["modified_by_id"],
        "modified_by_name": _display_name(row, "modified_by"),
        "created_at": row["created_at"],
        "modified_at": row["modified_at"],
    }


def _display_name(row: dict[str, Any], field: str) -> str | None:
    """Return User.display_name of a user in the row, or None."""
    full_name = f"{row[field + '__first_name']} {row[field + '__last_name']}".strip()
    return full_name or row[field + "__username"] if row[f"{field}_id"] else None


def summarize_tasks(tasks: QuerySet[Task], *, actor: User) -> dict[str, Any]:
    """Return counts by status, type and priority, of overdue tasks, and of open tasks due today.

    "Today" is in the actor's time zone.
    """
    now = timezone.now()
    today = now.astimezone(ZoneInfo(actor.timezone)).replace(hour=0, minute=0, second=0, microsecond=0)
    due_today = Q(status__in=OPEN_STATUSES, due_date__gte=today, due_date__lt=today + timedelta(days=1))
    counts = {
        **{f"status_{value}": Count("pk", filter=Q(status=value)) for value in TaskStatus.values},
        **{f"type_{value}": Count("pk", filter=Q(task_type=value)) for value in TaskType.values},
        **{f"priority_{value}": Count("pk", filter=Q(priority=value)) for value in Priority.values},
    }
    result = tasks.order_by().aggregate(
        total=Count("pk"), overdue=Count("pk", filter=overdue(now)), due_today=Count("pk", filter=due_today), **counts
    )
    return {
        "total": result["total"],
        "by_status": {value: result[f"status_{value}"] for value in TaskStatus.values},
        "by_task_type": {value: result[f"type_{value}"] for value in TaskType.values},
        "by_priority": {priority.word: result[f"priority_{priority.value}"] for priority in Priority},
        "overdue": result["overdue"],
        "due_today": result["due_today"],
    }
