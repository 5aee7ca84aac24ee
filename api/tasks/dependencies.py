"""Dependencies between tasks."""

from collections.abc import Collection
from typing import Any

from django.db import connection

from api.common.choices import OPEN_STATUSES
from api.common.errors import Conflict, Invalid
from api.tasks.models import Task, TaskDependency
from api.tasks.selectors import dependencies, named_dependencies, visible_tasks
from api.users.models import User

_ADVISORY_LOCK = 0x636F736D  # an arbitrary number, used for this lock only


def set_dependencies(task: Task, depends_on: Collection[int], *, actor: User) -> dict[str, list[Any]]:
    """Set the task's dependencies and return the change.

    Raise Invalid for tasks that the actor cannot see and for dependency cycles.
    """
    old = dependencies([task.pk]).get(task.pk, [])
    new = sorted(set(depends_on))
    if old == new:
        return {}
    added = set(new) - set(old)
    if missing := added - set(visible_tasks(actor).filter(pk__in=added).values_list("pk", flat=True)):
        raise Invalid({"depends_on": f"There is no task with id {min(missing)}."}, code="does_not_exist")
    _lock_dependency_changes()
    if _reaches(added, task.pk):
        raise Invalid({"depends_on": "The tasks would depend on each other in a cycle."}, code="dependency_cycle")
    TaskDependency.objects.filter(task=task, depends_on__in=set(old) - set(new)).delete()
    TaskDependency.objects.bulk_create(TaskDependency(task=task, depends_on_id=pk) for pk in sorted(added))
    return {"depends_on": [old, new]}


def require_completable(task: Task, *, actor: User) -> None:
    """Raise Conflict if the task has open dependencies.

    The message contains their ids, and titles only of tasks that the actor can see.
    """
    open_dependencies = Task.objects.filter(
        dependent_rows__task=task, status__in=OPEN_STATUSES, deleted_at=None, property__deleted_at=None
    )
    open_ids = list(open_dependencies.order_by("pk").values_list("pk", flat=True))
    if open_ids:
        titles = named_dependencies([task.pk], reader=actor)[task.pk]
        names = [f"{pk} ({titles[pk]})" if titles[pk] else str(pk) for pk in open_ids]
        raise Conflict(f"Complete these tasks first: {', '.join(names)}.", code="open_dependencies")


def _lock_dependency_changes() -> None:
    """Serialize edits of dependencies: two valid edits can form a cycle together without sharing a row to lock."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])


def _reaches(start: Collection[int], goal: int) -> bool:
    """Return whether `goal` is in `start` or among its direct and indirect dependencies."""
    visited: set[int] = set()
    frontier = set(start)
    while frontier:
        if goal in frontier:
            return True
        visited |= frontier
        next_ids = dependencies(sorted(frontier)).values()
        frontier = {pk for ids in next_ids for pk in ids} - visited
    return False
