"""A task's history, limited to the times at which its reader could see the task.

Managers and superusers read the whole history. For other readers, the audit trail shows when they could see the task:
entries from other times stay hidden.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from api.audit.events import Event
from api.audit.models import AuditEntry
from api.audit.timeline import UNKNOWN, Timeline
from api.common import rules
from api.common.rules import Scope
from api.properties.models import Property
from api.tasks.models import Task
from api.tasks.visibility import ReaderState, TaskState, sees
from api.users.models import User

SYSTEM, FORMER_USER = "system", "Former user"
MAX_SPANS = 100  # only the latest; each span is a term of the query, and SQLite limits their number

_CREATED = {Event.TASK_CREATED, Event.PROPERTY_CREATED, Event.USER_CREATED}
_HIDDEN = {  # (was hidden before, is hidden after)
    **dict.fromkeys(_CREATED, (True, False)),
    **dict.fromkeys((Event.TASK_DELETED, Event.PROPERTY_DELETED), (False, True)),
    **dict.fromkeys((Event.TASK_RESTORED, Event.PROPERTY_RESTORED), (True, False)),
}


class Span(NamedTuple):
    """A period in which the reader could see the task."""

    first: int  # the entry that made it visible; 0 if it always was
    last: int | None  # the entry that hid it


@dataclass(frozen=True)
class TaskHistory:
    """The part of a task's history that one reader may see."""

    entries: QuerySet[AuditEntry]  # newest first
    spans: Sequence[Span] | None = None  # None: the whole history, with roles and usernames

    def rows(self, entries: QuerySet[AuditEntry]) -> list[dict[str, Any]]:
        """Return the API representation of some of the entries."""
        page = list(entries)
        names = {} if self.spans is None else _display_names(entry.actor_id for entry in page)
        return [
            {
                "id": entry.pk,
                "event": entry.event,
                "actor": entry.actor_id,
                "actor_name": entry.actor_label if self.spans is None else names.get(entry.actor_id, FORMER_USER),
                "changes": self._visible_changes(entry),
                "at": entry.created_at,
            }
            for entry in page
        ]

    def _visible_changes(self, entry: AuditEntry) -> dict[str, list[Any]]:
        """Return the changes without values from times when the reader could not see the task."""
        for first, last in self.spans or ():
            if entry.pk == first:
                return {name: [None, new] for name, (_, new) in entry.changes.items()}
            if entry.pk == last:
                return {name: [old, None] for name, (old, _) in entry.changes.items()}
        return dict(entry.changes)


def task_history(*, task: Task, reader: User) -> TaskHistory:
    """Return the part of the history that the reader may see. They can see the task now."""
    entries = AuditEntry.objects.filter(object_type="task", object_id=task.pk).order_by("-id")
    entries = entries.exclude(event=Event.PERMISSION_DENIED)
    if rules.scope_of("tasks.view", reader.role) is Scope.ALL:
        return TaskHistory(entries)
    spans = list(_VisibilityTimeline(task, reader).spans())[-MAX_SPANS:]
    visible = reduce(or_, map(_within, spans), Q(pk__in=[]))
    return TaskHistory(entries.filter(visible, created_at__gte=reader.date_joined), spans)


def _within(span: Span) -> Q:
    return Q(pk__gte=span.first) if span.last is None else Q(pk__gte=span.first, pk__lte=span.last)


class _VisibilityTimeline:
    """The facts that decide whether the reader can see the task, after each audit entry."""

    def __init__(self, task: Task, reader: User) -> None:
        self._reader = reader
        object_ids = {"task": task.pk, "user": reader.pk}
        decisive = Q(event__in=_HIDDEN) | Q(
            changes__has_any_keys=["property", "assigned_to", "task_type", "role", "department", "is_active"]
        )
        entries = _entries(decisive, {kind: [pk] for kind, pk in object_ids.items()})
        of_task = [entry for entry in entries if entry.object_type == "task"]
        of_reader = [entry for entry in entries if entry.object_type == "user"]
        self._task_hidden = _hidden(of_task, present=task.deleted_at is not None)
        self._property = _timeline(of_task, "property", present=task.property_id)
        self._assignee = _timeline(of_task, "assigned_to", present=task.assigned_to_id, absent=None)
        self._task_type = _timeline(of_task, "task_type", present=task.task_type)
        self._reader_missing = _hidden(of_reader, present=False)
        self._active = _timeline(of_reader, "is_active", present=reader.is_active)
        self._role = _timeline(of_reader, "role", present=reader.role)
        self._department = _timeline(of_reader, "department", present=reader.department)

        ids = {task.property_id} | {pk for entry in of_task for pk in entry.changes.get("property", ())} - {None}
        of_properties = _entries(Q(event__in=_HIDDEN) | Q(changes__has_key="owners"), {"property": ids})
        self._property_hidden: dict[int, Timeline] = {}
        self._owned: dict[int, Timeline] = {}
        owns = Exists(Property.owners.through.objects.filter(property=OuterRef("pk"), user=reader.pk))
        rows = Property.objects.filter(pk__in=ids).values_list("pk", "deleted_at", owns)
        for pk, deleted_at, is_owned in rows:
            of_one = [entry for entry in of_properties if entry.object_id == pk]
            self._property_hidden[pk] = _hidden(of_one, present=deleted_at is not None)
            changes = [
                (entry_id, reader.pk in (old or ()), reader.pk in (new or ()))
                for entry_id, old, new in _changes(of_one, "owners", absent=[])
            ]
            self._owned[pk] = Timeline(changes, present=is_owned)
        self._points = sorted(entry.pk for entry in (*entries, *of_properties))

    def spans(self) -> Iterator[Span]:
        """Yield the periods in which the reader could see the task, earliest first."""
        first = 0 if self._is_visible(after=0) else None
        for point in self._points:
            is_visible = self._is_visible(after=point)
            if is_visible and first is None:
                first = point
            elif first is not None and not is_visible:
                yield Span(first, point)
                first = None
        if first is not None:
            yield Span(first, None)

    def _is_visible(self, *, after: int) -> bool:
        property_id = self._property.after(after)
        if property_id not in self._owned or self._active.after(after) is not True:
            return False
        hidden = (self._task_hidden, self._reader_missing, self._property_hidden[property_id])
        if any(timeline.after(after) is not False for timeline in hidden):
            return False
        reader = ReaderState(
            pk=self._reader.pk,
            role=self._role.after(after),
            department=self._department.after(after),
            owns_property=self._owned[property_id].after(after) is True,
        )
        task = TaskState(
            property_id=property_id,
            assigned_to_id=self._assignee.after(after),
            task_type=self._task_type.after(after),
        )
        return sees(reader, task)


def _entries(decisive: Q, object_ids: Mapping[str, Iterable[int]]) -> list[AuditEntry]:
    objects = reduce(or_, (Q(object_type=kind, object_id__in=ids) for kind, ids in object_ids.items()))
    return list(AuditEntry.objects.filter(decisive, objects).order_by("pk"))


def _hidden(entries: Sequence[AuditEntry], *, present: bool) -> Timeline:
    changes = [(entry.pk, *_HIDDEN[Event(entry.event)]) for entry in entries if entry.event in _HIDDEN]
    return Timeline(changes, present=present)


def _timeline(entries: Sequence[AuditEntry], field: str, *, present: Any, absent: Any = UNKNOWN) -> Timeline:
    return Timeline(list(_changes(entries, field, absent=absent)), present=present)


def _changes(entries: Sequence[AuditEntry], field: str, *, absent: Any = UNKNOWN) -> Iterator[tuple[int, Any, Any]]:
    """Yield (entry id, old, new); `absent` is the initial value if the creation entry does not name the field."""
    for entry in entries:
        if field in entry.changes:
            yield entry.pk, *entry.changes[field]
        elif entry.event in _CREATED and absent is not UNKNOWN:
            yield entry.pk, absent, absent


def _display_names(ids: Iterable[int | None]) -> dict[int | None, str]:
    """Return display names by user id, without roles and usernames."""
    users = User.objects.filter(pk__in={pk for pk in ids if pk is not None})
    return {None: SYSTEM, **{user.pk: user.display_name for user in users}}
