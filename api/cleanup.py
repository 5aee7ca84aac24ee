"""Deleting what nobody needs any more. The audit trail stays."""

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
DEAD_SESSIONS_KEPT_FOR = timedelta(days=30)
READ_NOTIFICATIONS_KEPT_FOR = timedelta(days=90)
BATCH = 1_000  # rows in one statement, so that none is locked for long

logger = logging.getLogger(API)


def run() -> Mapping[str, int]:
    """How many rows of each kind are gone."""
    now = timezone.now()
    dead_since = now - DEAD_SESSIONS_KEPT_FOR
    gone = {
        "sent mails": OutgoingMail.objects.filter(state=MailState.SENT, finished_at__lt=now - MAIL_KEPT_FOR),
        "dead sessions": Session.objects.filter(Q(ended_at__lt=dead_since) | Q(expires_at__lt=dead_since)),
        "browser sessions": BrowserSession.objects.filter(expire_date__lt=now),
        "read notifications": Notification.objects.filter(read_at__lt=now - READ_NOTIFICATIONS_KEPT_FOR),
        "login attempt counters": LoginAttemptCounter.objects.filter(window_ends_at__lt=now),
        "idempotency keys": IdempotencyKey.objects.filter(claimed_at__lt=now - KEPT_FOR),
        "devices": Device.objects.filter(last_seen_at__lt=now - devices.LIFETIME),
    }
    counts = {name: _delete(rows) for name, rows in gone.items()}
    logger.info("Cleanup done", extra={"event": "cleanup_done", "deleted": counts})
    return counts


def _delete(rows: QuerySet) -> int:  # type: ignore[type-arg]
    count = 0
    while ids := list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        count += rows.filter(pk__in=ids).delete()[0]
    return count
