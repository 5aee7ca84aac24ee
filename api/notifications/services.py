"""Telling people about their tasks: a row for each person, and for urgent tasks a mail.

Whoever did it is left out, and so is everybody who does not see the task.
"""

import logging
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.dispatch import receiver
from django.utils import timezone

from api.audit.events import Event
from api.audit.trail import Changes, audit_event_recorded
from api.common.locking import lock_rows
from api.mail.outbox import enqueue_once
from api.notifications.mails import build_notification_mail
from api.notifications.models import Kind, Notification
from api.properties.models import Property
from api.tasks.models import Priority, Task, overdue
from api.tasks.visibility import ReaderState, TaskState, sees
from api.users.models import User
from backend.logging_config import API

OVERDUE_SINCE = timedelta(days=7)  # who was told of older ones may have read and lost his row since
BATCH = 100  # tasks
_EVENTS = {Event.TASK_CREATED, Event.TASK_UPDATED, Event.TASK_ASSIGNED, Event.TASK_STATUS_CHANGED, Event.TASK_COMPLETED}
_REPORTED_FIELDS = ("status", "due_date", "assigned_to", "assigned_to_name")

logger = logging.getLogger(API)


def mark_read(notification: Notification) -> None:
    """The first time counts."""
    if notification.read_at is None:
        notification.read_at = timezone.now()
        notification.save(update_fields=["read_at"])


def mark_all_read(user: User) -> None:
    Notification.objects.filter(recipient=user, read_at=None).update(read_at=timezone.now())


@receiver(audit_event_recorded, dispatch_uid="api.notifications.services")
def notify_of_change(event: Event, actor: User | None, target: Any, changes: Changes, **_: Any) -> None:
    """In the transaction of the change: nobody is told of what did not happen."""
    if event not in _EVENTS:
        return
    kinds: dict[int, Kind] = {}
    if event != Event.TASK_CREATED:
        kinds = _recipients(target, _kind_for_all(event, changes))
    if "assigned_to" in changes:
        before, after = changes["assigned_to"]
        kinds |= {before: Kind.UNASSIGNED, after: Kind.ASSIGNED}
    if actor is not None:
        kinds.pop(actor.pk, None)
    if not kinds:
        return
    told = {name: changes[name] for name in _REPORTED_FIELDS if name in changes}
    _save_and_enqueue(
        [
            _notification_for(reader, target, changes, actor=actor, told=told)
            for reader in _allowed_recipients(target, kinds, changes)
        ]
    )


def notify_overdue() -> int:
    """Tell of tasks that became overdue, once of each; how many tasks. Any number of processes may do it at once."""
    count = last = 0
    while ids := list(_newly_overdue().filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        last = ids[-1]
        with transaction.atomic():
            lock_rows(Task.objects.filter(pk__in=ids))
            # Another process may have told of some before we had the lock.
            tasks = _newly_overdue().filter(pk__in=ids)
            rows = [
                _build_notification(Kind.OVERDUE, reader.person, task)
                for task in tasks
                for reader in _allowed_recipients(task, _recipients(task, Kind.OVERDUE), {})
            ]
            _save_and_enqueue(rows)
        count += len({row.task_id for row in rows})
    if count:
        logger.info("Overdue tasks notified", extra={"event": "overdue_notified", "tasks": count})
    return count


def _kind_for_all(event: Event, changes: Mapping[str, Any]) -> Kind | None:
    if event == Event.TASK_COMPLETED:
        return Kind.COMPLETED
    if "status" in changes:
        return Kind.STATUS_CHANGED
    return Kind.DUE_DATE_CHANGED if "due_date" in changes else None


def _recipients(task: Task, kind: Kind | None) -> dict[int, Kind]:
    """Who does it and who asked for it; of its end, and of its delay, whose house it is too."""
    if kind is None:
        return {}
    people = {task.created_by_id}
    if task.assigned_to_id is not None:
        people.add(task.assigned_to_id)
    if kind in {Kind.COMPLETED, Kind.OVERDUE}:
        people |= set(User.objects.filter(properties=task.property_id).values_list("pk", flat=True))
    return dict.fromkeys(people, kind)


class _Reader(NamedTuple):
    """Somebody who is notified, and whether they saw the task before the change and see it now."""

    person: User
    kind: Kind
    saw: bool
    sees: bool


def _allowed_recipients(task: Task, kinds: Mapping[int, Kind], changes: Changes) -> list[_Reader]:
    """Those of them who are active and see the task, or who saw it until it was assigned to somebody else."""
    now = TaskState(task.property_id, task.assigned_to_id, task.task_type)
    names = ("property", "assigned_to", "task_type")
    before = TaskState(*(changes[name][0] if name in changes else old for name, old in zip(names, now, strict=True)))
    people = User.objects.filter(pk__in=[pk for pk in kinds if pk is not None], is_active=True).order_by("pk")
    owners = set(
        User.properties.through.objects.filter(
            user__in=people, property__in={before.property_id, now.property_id} - {None}
        ).values_list("user", "property")
    )
    readers = []
    for person in people:
        saw, sees_now = (
            sees(
                ReaderState(person.pk, person.role, person.department, (person.pk, state.property_id) in owners), state
            )
            for state in (before, now)
        )
        if sees_now or (saw and kinds[person.pk] is Kind.UNASSIGNED):
            readers.append(_Reader(person, kinds[person.pk], saw, sees_now))
    return readers


def _notification_for(
    reader: _Reader, task: Task, changes: Changes, *, actor: User | None, told: Changes
) -> Notification:
    """What this person could see before the change, and can see after it."""
    shown = {name: [old if reader.saw else None, new if reader.sees else None] for name, (old, new) in told.items()}
    seen = task if reader.sees else _task_before(task, changes)
    return _build_notification(reader.kind, reader.person, seen, actor=actor, changes=shown)


def _task_before(task: Task, changes: Changes) -> Task:
    """The task as it was before the change, as far as notifications tell of it."""
    former = copy(task)
    if "title" in changes:
        former.title = changes["title"][0]
    if "due_date" in changes:
        former.due_date = datetime.fromisoformat(changes["due_date"][0])
    if "priority" in changes:
        former.priority = Priority[changes["priority"][0].upper()]
    if "property" in changes:
        former.property = Property.objects.get(pk=changes["property"][0])
    return former


def _newly_overdue() -> QuerySet[Task]:
    now = timezone.now()
    told = Exists(Notification.objects.filter(task=OuterRef("pk"), kind=Kind.OVERDUE))
    rows = Task.objects.filter(overdue(now), ~told, due_date__gte=now - OVERDUE_SINCE)
    return rows.filter(deleted_at=None, property__deleted_at=None).select_related("property")


def _build_notification(
    kind: Kind, person: User, task: Task, *, actor: User | None = None, changes: Mapping[str, Any] | None = None
) -> Notification:
    return Notification(
        recipient=person,
        kind=kind,
        task=task,
        task_title=task.title,
        actor_id=actor.pk if actor else None,
        actor_name=actor.display_name if actor else "",
        changes=changes or {},
        created_at=timezone.now(),
    )


def _save_and_enqueue(rows: Sequence[Notification]) -> None:
    if not rows:
        return
    Notification.objects.bulk_create(rows)
    urgent = [row for row in rows if row.task.priority == Priority.URGENT and not row.recipient.notification_opt_out]
    if urgent:
        enqueue_once([build_notification_mail(row) for row in urgent])
