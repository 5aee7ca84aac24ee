"""Queries for a user's own notifications."""

from django.db.models import QuerySet

from api.common.errors import NotFound
from api.notifications.models import Notification
from api.users.models import User


def notifications_of(user: User, *, unread: bool | None = None) -> QuerySet[Notification]:
    """Return the user's notifications, newest first; `unread` selects only unread or only read ones."""
    notifications = Notification.objects.filter(recipient=user)
    if unread is not None:
        notifications = notifications.filter(read_at__isnull=unread)
    return notifications.order_by("-id")


def get_notification(*, actor: User, pk: int) -> Notification:
    """Return the actor's notification with this id; raise NotFound otherwise."""
    row = notifications_of(actor).filter(pk=pk).first()
    if row is None:
        raise NotFound
    return row
