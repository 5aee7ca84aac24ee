"""Which notifications somebody sees: his own."""

from django.db.models import QuerySet

from api.common.errors import NotFound
from api.notifications.models import Notification
from api.users.models import User


def notifications_of(user: User, *, unread: bool | None = None) -> QuerySet[Notification]:
    """The newest first; `unread` keeps those that are, or those that are not."""
    found = Notification.objects.filter(recipient=user)
    if unread is not None:
        found = found.filter(read_at__isnull=unread)
    return found.order_by("-id")


def get_notification(*, actor: User, pk: int) -> Notification:
    """NotFound if it is not his."""
    row = notifications_of(actor).filter(pk=pk).first()
    if row is None:
        raise NotFound
    return row
