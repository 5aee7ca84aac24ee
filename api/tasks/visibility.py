"""Visibility of a task in a given state, including former states. `selectors.FILTERS` is the same as SQL."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from api.common import rules
from api.common.choices import Role
from api.common.rules import Scope
from api.tasks.models import TaskType


class TaskState(NamedTuple):
    """The values of a task that decide who can see it. Unknown values equal nothing."""

    property_id: Any
    assigned_to_id: Any
    task_type: Any


class ReaderState(NamedTuple):
    """The values of an active user that decide which tasks they can see."""

    pk: int
    role: Any
    department: Any
    owns_property: bool  # the property of the task


def task_types_of(department: Any) -> list[str]:
    """Return the task types whose tasks belong to a department."""
    return [task_type.value for task_type in TaskType if task_type.department == department]


def _is_assigned(reader: ReaderState, task: TaskState) -> bool:
    return bool(task.assigned_to_id == reader.pk)


def _is_unassigned(reader: ReaderState, task: TaskState) -> bool:
    return task.assigned_to_id is None and task.task_type in task_types_of(reader.department)


SCOPES: Mapping[Scope, Callable[[ReaderState, TaskState], bool]] = {
    Scope.ALL: lambda _reader, _task: True,
    Scope.ASSIGNED: _is_assigned,
    Scope.ASSIGNED_OR_UNASSIGNED: lambda reader, task: _is_assigned(reader, task) or _is_unassigned(reader, task),
    Scope.ON_OWNED: lambda reader, _task: reader.owns_property,
}


def sees(reader: ReaderState, task: TaskState) -> bool:
    """Return whether the rules table makes this task visible to this reader."""
    scope = rules.scope_of("tasks.view", reader.role) if reader.role in Role.values else None
    return scope is not None and SCOPES[scope](reader, task)
