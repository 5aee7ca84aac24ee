"""Emails about urgent tasks."""

from zoneinfo import ZoneInfo

from django.conf import settings
from django.template.loader import render_to_string

from api.accounts.unsubscribe import MailingList, unsubscribe_headers, unsubscribe_url
from api.mail.outbox import MailDraft
from api.mail.text import quote_user_text
from api.notifications.models import Kind, Notification

_SENTENCES = {
    Kind.ASSIGNED: "This urgent task is now assigned to you.",
    Kind.UNASSIGNED: "This urgent task is no longer assigned to you.",
    Kind.STATUS_CHANGED: "The status of this urgent task changed.",
    Kind.DUE_DATE_CHANGED: "The due date of this urgent task changed.",
    Kind.COMPLETED: "This urgent task is completed.",
    Kind.OVERDUE: "This urgent task is overdue.",
}


def build_notification_mail(notification: Notification) -> MailDraft:
    """Return the email of a saved notification, whose task and recipient are loaded."""
    user, task = notification.recipient, notification.task
    stop_url = unsubscribe_url(user, MailingList.NOTIFICATIONS)
    values = {
        "sentence": _SENTENCES[Kind(notification.kind)],
        "title": quote_user_text(notification.task_title),
        "actor_name": quote_user_text(notification.actor_name),
        "property_name": quote_user_text(task.property.name),
        "status": task.get_status_display(),
        "due": task.due_date.astimezone(ZoneInfo(user.timezone)).replace(tzinfo=None),
        "user": user,
        "base_url": settings.FRONTEND_URL or settings.PUBLIC_BASE_URL,
        "stop_url": stop_url,
    }
    return MailDraft(
        kind="notification",
        recipient=user.email,
        user_id=user.pk,
        subject=f"Cosmo: {Kind(notification.kind).label.lower()}: {task.title}",
        text_body=render_to_string("api/notifications/notification.txt", values),
        html_body=render_to_string("api/notifications/notification.html", values),
        headers=unsubscribe_headers(stop_url),
        once_key=f"notification:{notification.pk}",
    )
