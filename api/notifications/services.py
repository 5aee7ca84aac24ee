"""Telling people about their tasks: a row for each person, and for urgent tasks a mail.

Whoever did it is left out, and so is everybody who does not see the task.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.dispatch import receiver
from django.utils import timezone

from api.audit.events import Event
from api.audit.trail import recorded
from api.common import rules
from api.common.rules import Scope
from api.common.vocabulary import Role
from api.mail.outbox import enqueue_once
from api.notifications.mails import letter
from api.notifications.models import Kind, Notification
from api.tasks.models import Priority, Task, overdue
from api.users.models import User
from backend.logging_config import API

OVERDUE_SINCE = timedelta(days=7)  # who was told of older ones may have read and lost his row since
BATCH = 100  # tasks
_EVENTS = {Event.TASK_CREATED, Event.TASK_UPDATED, Event.TASK_ASSIGNED, Event.TASK_STATUS_CHANGED, Event.TASK_COMPLETED}
_TOLD = ("status", "due_date", "assigned_to", "assigned_to_name")

logger = logging.getLogger(API)


def mark_read(notification: Notification) -> None:
    """The first time counts."""
    if notification.read_at is None:
        notification.read_at = timezone.now()
        notification.save(update_fields=["read_at"])


def mark_all_read(user: User) -> None:
    Notification.objects.filter(recipient=user, read_at=None).update(read_at=timezone.now())


@receiver(recorded, dispatch_uid="api.notifications.services")
def tell_of_change(event: Event, actor: User | None, target: Any, changes: Mapping[str, list[Any]], **_: Any) -> None:
    """In the transaction of the change: nobody is told of what did not happen."""
    if event not in _EVENTS:
        return
    kinds: dict[int, Kind] = {}
    if event != Event.TASK_CREATED:
        kinds = _by_person(target, _kind_for_all(event, changes))
    if "assigned_to" in changes:
        before, after = changes["assigned_to"]
        kinds |= {before: Kind.UNASSIGNED, after: Kind.ASSIGNED}
    if actor is not None:
        kinds.pop(actor.pk, None)
    people = _readers(target, kinds) if kinds else []
    told = {name: changes[name] for name in _TOLD if name in changes}
    _tell([_row(kinds[person.pk], person, target, actor=actor, changes=told) for person in people])


def notify_overdue() -> int:
    """Tell of tasks that became overdue, once of each; how many tasks. Any number of processes may do it at once."""
    count = last = 0
    while ids := list(_newly_overdue().filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        last = ids[-1]
        with transaction.atomic():
            rules.lock(Task.objects.filter(pk__in=ids))
            # Another process may have told of some before we had the lock.
            tasks = _newly_overdue().filter(pk__in=ids)
            rows = [
                _row(Kind.OVERDUE, person, task)
                for task in tasks
                for person in _readers(task, _by_person(task, Kind.OVERDUE))
            ]
            _tell(rows)
        count += len({row.task_id for row in rows})
    if count:
        logger.info("Overdue tasks told", extra={"event": "overdue_told", "tasks": count})
    return count


def _kind_for_all(event: Event, changes: Mapping[str, Any]) -> Kind | None:
    if event == Event.TASK_COMPLETED:
        return Kind.COMPLETED
    if "status" in changes:
        return Kind.STATUS_CHANGED
    return Kind.DUE_DATE_CHANGED if "due_date" in changes else None


def _by_person(task: Task, kind: Kind | None) -> dict[int, Kind]:
    """Who does it and who asked for it; of its end, and of its delay, whose house it is too."""
    if kind is None:
        return {}
    people = {task.created_by_id}
    if task.assigned_to_id is not None:
        people.add(task.assigned_to_id)
    if kind in {Kind.COMPLETED, Kind.OVERDUE}:
        people |= set(User.objects.filter(properties=task.property_id).values_list("pk", flat=True))
    return dict.fromkeys(people, kind)


def _readers(task: Task, kinds: Mapping[int, Kind]) -> QuerySet[User]:
    """Those of them who are active and see the task, or saw it until now."""
    roles: dict[Scope | None, list[Role]] = {}
    for role in Role:
        roles.setdefault(rules.scope_of("tasks.view", role), []).append(role)
    lost = [pk for pk, kind in kinds.items() if kind is Kind.UNASSIGNED]
    owns = Exists(User.properties.through.objects.filter(user=OuterRef("pk"), property=task.property_id))
    sees = Q(role__in=roles[Scope.ALL]) | Q(pk=task.assigned_to_id) | Q(pk__in=lost)
    sees |= Q(owns, role__in=roles[Scope.ON_OWNED])
    return User.objects.filter(sees, pk__in=[pk for pk in kinds if pk is not None], is_active=True).order_by("pk")


def _newly_overdue() -> QuerySet[Task]:
    now = timezone.now()
    told = Exists(Notification.objects.filter(task=OuterRef("pk"), kind=Kind.OVERDUE))
    rows = Task.objects.filter(overdue(now), ~told, due_date__gte=now - OVERDUE_SINCE)
    return rows.filter(deleted_at=None, property__deleted_at=None).select_related("property")


def _row(
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


def _tell(rows: Sequence[Notification]) -> None:
    if not rows:
        return
    Notification.objects.bulk_create(rows)
    urgent = [row for row in rows if row.task.priority == Priority.URGENT and not row.recipient.notification_opt_out]
    if urgent:
        enqueue_once([letter(row) for row in urgent])
