"""Changes of tasks."""

from collections.abc import Collection
from typing import Any

from django.db import transaction
from django.utils import timezone

from api.audit.events import Event
from api.audit.trail import record
from api.common import rules
from api.common.changes import apply_changes, changes_of_new_row, save_changes
from api.common.choices import OPEN_STATUSES, Role, TaskStatus
from api.common.errors import Conflict, Invalid
from api.common.locking import IfMatch, require_match
from api.tasks.dependencies import require_completable, set_dependencies
from api.tasks.models import Task
from api.tasks.selectors import NO_ASSIGNEE, get_task, visible_assignees
from api.users.models import User

AUDITED = ("title", "description", "task_type", "status", "priority", "property", "assigned_to", "due_date")

# {from: {to: rule}}
STATUS_TRANSITIONS: dict[str, dict[str, str]] = {
    TaskStatus.PENDING: {TaskStatus.IN_PROGRESS: "tasks.change_status", TaskStatus.CANCELED: "tasks.cancel"},
    TaskStatus.IN_PROGRESS: {TaskStatus.COMPLETED: "tasks.change_status", TaskStatus.CANCELED: "tasks.cancel"},
    TaskStatus.COMPLETED: {TaskStatus.PENDING: "tasks.reopen"},
    TaskStatus.CANCELED: {TaskStatus.PENDING: "tasks.reopen"},
}


@transaction.atomic
def create_task(*, actor: User, depends_on: Collection[int] = (), **values: Any) -> Task:
    rules.require("tasks.create", actor)
    _require_assignable(actor, None, values.get("assigned_to"))
    now = timezone.now()
    task = Task.objects.create(created_by=actor, modified_by=actor, created_at=now, modified_at=now, **values)
    changes = changes_of_new_row(task, AUDITED) | set_dependencies(task, depends_on, actor=actor)
    record(Event.TASK_CREATED, actor=actor, target=task, changes=changes)
    return task


@transaction.atomic
def update_task(
    *, actor: User, task_id: int, if_match: IfMatch = None, depends_on: Collection[int] | None = None, **values: Any
) -> Task:
    task = get_task(actor=actor, pk=task_id, rule="tasks.edit", lock=True)
    require_match(task, if_match)
    if values.get("assigned_to", task.assigned_to) != task.assigned_to:
        _require_assignable(actor, task, values["assigned_to"])
    changes = apply_changes(task, values)
    if depends_on is not None:
        changes |= set_dependencies(task, depends_on, actor=actor)
    if changes:
        save_changes(task, changes, actor=actor)
        only_assigned = changes.keys() <= {"assigned_to", "assigned_to_name"}
        event = Event.TASK_ASSIGNED if only_assigned else Event.TASK_UPDATED
        record(event, actor=actor, target=task, changes=changes)
    return task


def assign_task(*, actor: User, task_id: int, assigned_to: User | None, if_match: IfMatch = None) -> Task:
    """Assign the task to a user, or unassign it with None."""
    return _reassign("tasks.assign", actor, task_id, assigned_to, if_match)


def claim_task(*, actor: User, task_id: int, if_match: IfMatch = None) -> Task:
    """Assign an unassigned open task to the actor. Only the first of several simultaneous claims succeeds."""
    return _reassign("tasks.claim", actor, task_id, actor, if_match)


@transaction.atomic
def change_status(*, actor: User, task_id: int, status: str, if_match: IfMatch = None) -> Task:
    """Change the status; raise Conflict if the current status does not allow this transition."""
    task = get_task(actor=actor, pk=task_id, rule="tasks.change_status", lock=True)
    require_match(task, if_match)
    rule = STATUS_TRANSITIONS[task.status].get(status)
    if rule is None:
        allowed = ", ".join(STATUS_TRANSITIONS[task.status])
        raise Conflict(f"The task is {task.status}; it can become {allowed}.", code="transition_not_allowed")
    rules.require(rule, actor, target=task)
    if status == TaskStatus.COMPLETED:
        require_completable(task, actor=actor)
    changes = apply_changes(task, {"status": status} | _times(task, status))
    save_changes(task, changes, actor=actor)
    event = Event.TASK_COMPLETED if status == TaskStatus.COMPLETED else Event.TASK_STATUS_CHANGED
    record(event, actor=actor, target=task, changes=changes)
    return task


@transaction.atomic
def delete_task(*, actor: User, task_id: int, if_match: IfMatch = None) -> None:
    """Hide the task until it is restored."""
    task = get_task(actor=actor, pk=task_id, rule="tasks.delete", lock=True)
    require_match(task, if_match)
    task.deleted_at = timezone.now()
    save_changes(task, {"deleted_at": None}, actor=actor)
    record(Event.TASK_DELETED, actor=actor, target=task)


@transaction.atomic
def restore_task(*, actor: User, task_id: int, if_match: IfMatch = None) -> Task:
    task = get_task(actor=actor, pk=task_id, rule="tasks.restore", lock=True, deleted=True)
    require_match(task, if_match)
    task.deleted_at = None
    save_changes(task, {"deleted_at": None}, actor=actor)
    record(Event.TASK_RESTORED, actor=actor, target=task)
    return task


@transaction.atomic
def _reassign(rule: str, actor: User, task_id: int, assignee: User | None, if_match: IfMatch) -> Task:
    task = get_task(actor=actor, pk=task_id, rule=rule, lock=True)
    require_match(task, if_match)
    if rule == "tasks.claim" and task.assigned_to_id is not None:
        raise Conflict(f"The task is assigned to {task.assigned_to}.", code="already_assigned")
    _require_assignable(actor, task, assignee)
    changes = apply_changes(task, {"assigned_to": assignee})
    if changes:
        save_changes(task, changes, actor=actor)
        record(Event.TASK_ASSIGNED, actor=actor, target=task, changes=changes)
    return task


def _require_assignable(actor: User, task: Task | None, assignee: User | None) -> None:
    """Raise an error unless the task, or a new one, can be assigned to this user.

    Check visibility first: for a user that the actor cannot see, the error is that of an unknown id.
    """
    if assignee is not None and not visible_assignees(actor, task=task).filter(pk=assignee.pk).exists():
        raise Invalid({"assigned_to": NO_ASSIGNEE.format(pk_value=assignee.pk)}, code="does_not_exist")
    if task is not None and task.status not in OPEN_STATUSES:
        raise Conflict(f"The task is {task.status}; reopen it first.", code="task_closed")
    if assignee is None or (task is not None and assignee == task.assigned_to):
        return
    if not assignee.is_active or assignee.role == Role.VIEWER:
        raise Invalid({"assigned_to": "Tasks can be assigned to active staff, managers and superusers only."})


def _times(task: Task, status: str) -> dict[str, Any]:
    """Return the changes of started_at and completed_at for a new status. Reopening clears both."""
    now = timezone.now()
    times_by_status: dict[str, dict[str, Any]] = {
        TaskStatus.PENDING: {"started_at": None, "completed_at": None},
        TaskStatus.IN_PROGRESS: {"started_at": now},
        TaskStatus.COMPLETED: {"completed_at": now},
        TaskStatus.CANCELED: {},
    }
    return times_by_status[status]
