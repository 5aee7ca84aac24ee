"""The cleanup job: delete expired rows. It never touches the audit trail."""

import logging
from collections.abc import Mapping
from datetime import timedelta

from django.contrib.sessions.models import Session as BrowserSession
from django.db.models import Q, QuerySet
from django.utils import timezone

from api.accounts import devices
from api.accounts.models import Device, LoginAttemptCounter, Session
from api.idempotency.models import IdempotencyKey
from api.idempotency.service import KEPT_FOR
from api.mail.models import MailState, OutgoingMail
from api.notifications.models import Notification
from backend.logging_config import API

MAIL_KEPT_FOR = timedelta(days=30)
ENDED_SESSIONS_KEPT_FOR = timedelta(days=30)
READ_NOTIFICATIONS_KEPT_FOR = timedelta(days=90)
BATCH = 1_000  # rows per statement, so that locks are short

logger = logging.getLogger(API)


def run() -> Mapping[str, int]:
    """Delete all expired rows and return the number of each kind."""
    now = timezone.now()
    ended_before = now - ENDED_SESSIONS_KEPT_FOR
    expired = {
        "sent emails": OutgoingMail.objects.filter(state=MailState.SENT, finished_at__lt=now - MAIL_KEPT_FOR),
        "ended sessions": Session.objects.filter(Q(ended_at__lt=ended_before) | Q(expires_at__lt=ended_before)),
        "browser sessions": BrowserSession.objects.filter(expire_date__lt=now),
        "read notifications": Notification.objects.filter(read_at__lt=now - READ_NOTIFICATIONS_KEPT_FOR),
        "login attempt counters": LoginAttemptCounter.objects.filter(window_ends_at__lt=now),
        "idempotency keys": IdempotencyKey.objects.filter(claimed_at__lt=now - KEPT_FOR),
        "devices": Device.objects.filter(last_seen_at__lt=now - devices.LIFETIME),
    }
    counts = {name: _delete(rows) for name, rows in expired.items()}
    logger.info("Cleanup done", extra={"event": "cleanup_done", "deleted": counts})
    return counts


def _delete(rows: QuerySet) -> int:  # type: ignore[type-arg]
    count = 0
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        count += rows.filter(pk__in=ids).delete()[0]
    return count
