"""Putting a mail into the outbox."""

from collections.abc import Mapping
from email.utils import make_msgid, parseaddr

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from api.audit.trail import Actor
from api.mail import background
from api.mail.models import OutgoingMail
from backend import request_context
from backend.request_context import printable


@transaction.atomic
def enqueue(
    *,
    kind: str,
    recipient: str,
    subject: str,
    text_body: str,
    html_body: str = "",
    headers: Mapping[str, str] | None = None,
    user_id: int | None = None,
    asked_by: Actor | None = None,
) -> OutgoingMail:
    """A mail that leaves once the caller's transaction has committed, and not at all if it does not."""
    context = request_context.current()
    now = timezone.now()
    mail = OutgoingMail.objects.create(
        kind=kind,
        recipient=recipient,
        user_id=user_id,
        subject=printable(subject)[:200],
        text_body=text_body,
        html_body=html_body,
        headers=dict(headers or {}),
        message_id=make_msgid(domain=parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or None),
        next_try_at=now,
        created_at=now,
        asked_by_id=asked_by.pk if asked_by else None,
        asked_by_name=asked_by.username if asked_by else "",
        asked_by_role=asked_by.role if asked_by else "",
        request_id=context.request_id if context else "",
        ip_address=context.ip_address if context else None,
        user_agent=context.user_agent if context else "",
    )
    transaction.on_commit(background.wake, robust=True)
    return mail
