"""Notifications about tasks: one row per recipient, and an email if the task is urgent.

The acting user gets none, and neither do users who cannot see the task.
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

OVERDUE_SINCE = timedelta(days=7)  # cleanup may have deleted the read notifications of older tasks
BATCH = 100  # tasks
_EVENTS = {Event.TASK_CREATED, Event.TASK_UPDATED, Event.TASK_ASSIGNED, Event.TASK_STATUS_CHANGED, Event.TASK_COMPLETED}
_REPORTED_FIELDS = ("status", "due_date", "assigned_to", "assigned_to_name")

logger = logging.getLogger(API)


def mark_read(notification: Notification) -> None:
    """Mark a notification as read; keep the time of the first reading."""
    if notification.read_at is None:
        notification.read_at = timezone.now()
        notification.save(update_fields=["read_at"])


def mark_all_read(user: User) -> None:
    """Mark all unread notifications of a user as read."""
    Notification.objects.filter(recipient=user, read_at=None).update(read_at=timezone.now())


@receiver(audit_event_recorded, dispatch_uid="api.notifications.services")
def notify_of_change(event: Event, actor: User | None, target: Any, changes: Changes, **_: Any) -> None:
    """Notify all recipients of a change, in its transaction, so that a rollback also removes the notifications."""
    if event not in _EVENTS:
        return
    kinds: dict[int, Kind] = {}
    if event != Event.TASK_CREATED:
        kinds = _recipients(target, _general_kind(event, changes))
    if "assigned_to" in changes:
        before, after = changes["assigned_to"]
        kinds |= {before: Kind.UNASSIGNED, after: Kind.ASSIGNED}
    if actor is not None:
        kinds.pop(actor.pk, None)
    if not kinds:
        return
    reported_changes = {name: changes[name] for name in _REPORTED_FIELDS if name in changes}
    _save_and_enqueue(
        [
            _notification_for(recipient, target, changes, actor=actor, reported_changes=reported_changes)
            for recipient in _allowed_recipients(target, kinds, changes)
        ]
    )


def notify_overdue() -> int:
    """Notify recipients once of each task that became overdue; return the number of tasks.

    Several processes can run this at the same time.
    """
    count = last_id = 0
    while ids := list(_newly_overdue().filter(pk__gt=last_id).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        last_id = ids[-1]
        with transaction.atomic():
            lock_rows(Task.objects.filter(pk__in=ids))
            # Another process may have notified of some tasks while this one waited for the lock.
            tasks = _newly_overdue().filter(pk__in=ids)
            rows = [
                _build_notification(Kind.OVERDUE, recipient.user, task)
                for task in tasks
                for recipient in _allowed_recipients(task, _recipients(task, Kind.OVERDUE), {})
            ]
            _save_and_enqueue(rows)
        count += len({row.task_id for row in rows})
    if count:
        logger.info("Overdue tasks notified", extra={"event": "overdue_notified", "tasks": count})
    return count


def _general_kind(event: Event, changes: Mapping[str, Any]) -> Kind | None:
    """Return the kind for everyone except a new or former assignee."""
    if event == Event.TASK_COMPLETED:
        return Kind.COMPLETED
    if "status" in changes:
        return Kind.STATUS_CHANGED
    return Kind.DUE_DATE_CHANGED if "due_date" in changes else None


def _recipients(task: Task, kind: Kind | None) -> dict[int, Kind]:
    """Return assignee and creator, and the property's owners if the task is completed or overdue."""
    if kind is None:
        return {}
    user_ids = {task.created_by_id}
    if task.assigned_to_id is not None:
        user_ids.add(task.assigned_to_id)
    if kind in {Kind.COMPLETED, Kind.OVERDUE}:
        user_ids |= set(User.objects.filter(properties=task.property_id).values_list("pk", flat=True))
    return dict.fromkeys(user_ids, kind)


class _Recipient(NamedTuple):
    """A user to notify, and whether they could see the task before the change and can see it now."""

    user: User
    kind: Kind
    saw_before: bool
    sees_now: bool


def _allowed_recipients(task: Task, kinds: Mapping[int, Kind], changes: Changes) -> list[_Recipient]:
    """Return the active users who can see the task, or could until it was reassigned."""
    now = TaskState(task.property_id, task.assigned_to_id, task.task_type)
    names = ("property", "assigned_to", "task_type")
    before = TaskState(*(changes[name][0] if name in changes else old for name, old in zip(names, now, strict=True)))
    users = User.objects.filter(pk__in=[pk for pk in kinds if pk is not None], is_active=True).order_by("pk")
    owners = set(
        User.properties.through.objects.filter(
            user__in=users, property__in={before.property_id, now.property_id} - {None}
        ).values_list("user", "property")
    )
    recipients = []
    for user in users:
        saw_before, sees_now = (
            sees(
                ReaderState(user.pk, user.role, user.department, (user.pk, state.property_id) in owners),
                state,
            )
            for state in (before, now)
        )
        if sees_now or (saw_before and kinds[user.pk] is Kind.UNASSIGNED):
            recipients.append(_Recipient(user, kinds[user.pk], saw_before, sees_now))
    return recipients


def _notification_for(
    recipient: _Recipient, task: Task, changes: Changes, *, actor: User | None, reported_changes: Changes
) -> Notification:
    """Return a notification with only the values that this user could see before or can see after the change."""
    visible_changes = {
        name: [old if recipient.saw_before else None, new if recipient.sees_now else None]
        for name, (old, new) in reported_changes.items()
    }
    visible_task = task if recipient.sees_now else _task_before(task, changes)
    return _build_notification(recipient.kind, recipient.user, visible_task, actor=actor, changes=visible_changes)


def _task_before(task: Task, changes: Changes) -> Task:
    """Return the task with the values that notifications show, as they were before the change."""
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
    """Return recently overdue tasks without a notification about it."""
    now = timezone.now()
    is_notified = Exists(Notification.objects.filter(task=OuterRef("pk"), kind=Kind.OVERDUE))
    rows = Task.objects.filter(overdue(now), ~is_notified, due_date__gte=now - OVERDUE_SINCE)
    return rows.filter(deleted_at=None, property__deleted_at=None).select_related("property")


def _build_notification(
    kind: Kind, recipient: User, task: Task, *, actor: User | None = None, changes: Mapping[str, Any] | None = None
) -> Notification:
    return Notification(
        recipient=recipient,
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
