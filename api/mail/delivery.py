"""Delivery of the outbox: any number of processes on any number of servers send each email at most once.

1. A process claims an email for a limited time.
2. It commits `data_started_at` under that claim, before the mail server receives the message.
3. It stores the result.

If the process dies before step 2, the email is retried. If it dies after step 2, the email becomes `unknown`.
"""

import logging
import re
import smtplib
from collections import Counter
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import Error as DatabaseError
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.dispatch import Signal
from django.utils import timezone

from api.mail.models import MailState, OutgoingMail
from api.mail.renderers import SkipMail, render_bodies
from api.mail.smtp import Mailer
from backend import request_context
from backend.logging_config import API
from backend.redaction import redact_text
from backend.request_context import RequestContext
from backend.telemetry import tracing

RETRY_DELAYS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 180, 480))
MAX_RUN_TIME = 900.0  # seconds; below the time limit of a job, which would kill the run

# Mail servers repeat the rejected address. Logs contain ids only.
_EMAIL_ADDRESS = re.compile(r"[\w.+%=-]{1,64}@[\w.-]{1,255}")

_DIED_BEFORE_DATA = "The delivering process ended before it sent the email."
_DIED_AFTER_DATA = "The delivering process ended while the mail server had the email. It may have arrived."

logger = logging.getLogger(f"{API}.mail")

# Sent with `mail`, in the transaction that stores the result of an attempt.
mail_state_changed = Signal()


class ClaimLostError(Exception):
    """The claim expired, and another process has claimed the email."""


def deliver_due() -> Counter[str]:
    """Deliver all emails that are due; return the number of emails for each resulting state.

    If the mail server is unavailable, the run ends and the remaining emails keep their number of attempts.
    """
    results = recover_abandoned()
    mailer = Mailer()
    deadline = monotonic() + MAX_RUN_TIME
    try:
        while not mailer.is_server_unavailable and monotonic() < deadline and (mail := _claim()) is not None:
            results[_deliver(mail, mailer)] += 1
    finally:
        mailer.close()
    return results


def recover_abandoned() -> Counter[str]:
    """Queue emails of dead processes again; mark those as unknown that the mail server may have received."""
    results: Counter[str] = Counter()
    abandoned = Q(state=MailState.SENDING, claimed_until__lt=timezone.now())
    for mail in OutgoingMail.objects.filter(abandoned).iterator():
        if mail.data_started_at is None:
            values: dict[str, Any] = {"state": MailState.QUEUED, "last_error": _DIED_BEFORE_DATA}
        else:
            values = _finished(MailState.UNKNOWN, _DIED_AFTER_DATA)
        with transaction.atomic():
            if _claim_of(mail).filter(abandoned).update(**values):
                results[_announce_state(mail, values)] += 1
    return results


def _claim() -> OutgoingMail | None:
    """Claim the next email that is due and return it; None if there is none."""
    now = timezone.now()
    with transaction.atomic():  # SQLite locks the database, PostgreSQL this row
        due = OutgoingMail.objects.filter(state=MailState.QUEUED, next_try_at__lte=now).order_by("next_try_at", "id")
        mail = due.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked).first()
        if mail is None:
            return None
        mail.state, mail.attempts, mail.data_started_at = MailState.SENDING, mail.attempts + 1, None
        # Longer than an SMTP dialog in which every step takes almost EMAIL_TIMEOUT.
        mail.claimed_until = now + timedelta(seconds=60 + 10 * settings.EMAIL_TIMEOUT)
        mail.save(update_fields=["state", "attempts", "data_started_at", "claimed_until"])
    return mail


def _claim_of(mail: OutgoingMail) -> QuerySet[OutgoingMail]:
    """Return the row while this attempt still owns it. A retry in the admin resets the attempts."""
    return OutgoingMail.objects.filter(pk=mail.pk, attempts=mail.attempts, claimed_until=mail.claimed_until)


def _deliver(mail: OutgoingMail, mailer: Mailer) -> str:
    context = _context(mail)
    with request_context.activate(context), tracing.span(context, "deliver mail"):
        return _attempt(mail, mailer)


def _attempt(mail: OutgoingMail, mailer: Mailer) -> str:
    def before_data() -> None:
        now = timezone.now()
        if not _claim_of(mail).filter(state=MailState.SENDING).update(data_started_at=now):
            raise ClaimLostError
        mail.data_started_at = now

    try:
        mailer.send(_message(mail), before_data=before_data)
    except ClaimLostError:
        return "lost"
    except SkipMail:
        _claim_of(mail).delete()
        return "dropped"
    except Exception as error:  # noqa: BLE001 - one broken email must not stop the others
        values = _after_failure(mail, error)
        # Another process may have marked it unknown, but this one has the server's reply.
        updatable = _claim_of(mail).filter(state__in=[MailState.SENDING, MailState.UNKNOWN])
    else:
        values = _finished(MailState.SENT, "") | {"text_body": "", "html_body": "", "headers": {}}
        # Also if it was queued again: it has arrived.
        updatable = OutgoingMail.objects.filter(pk=mail.pk, claimed_until=mail.claimed_until)
    with transaction.atomic():
        if not updatable.update(**values) and values["state"] != MailState.SENT:
            return "lost"
        return _announce_state(mail, values)


def _message(mail: OutgoingMail) -> EmailMultiAlternatives:
    bodies = render_bodies(mail)
    name = mail.recipient.rpartition("@")[0]
    if not name or not name.isascii():  # Django skips the first and rewrites the second
        raise ValueError("This address cannot receive email.")
    headers = {"Auto-Submitted": "auto-generated", **mail.headers, "Message-ID": mail.message_id}
    message = EmailMultiAlternatives(mail.subject, bodies.text, to=[mail.recipient], headers=headers)
    if bodies.html:
        message.attach_alternative(bodies.html, "text/html")
    return message


def _after_failure(mail: OutgoingMail, error: Exception) -> dict[str, Any]:
    code = _reply_code(error)
    reason = _EMAIL_ADDRESS.sub("[address]", redact_text(f"{type(error).__name__}: {error}"))[:300]
    if code is None and mail.data_started_at is not None:
        return _finished(MailState.UNKNOWN, reason)
    is_temporary = isinstance(error, OSError | DatabaseError) if code is None else code < 500
    if not is_temporary or mail.attempts > len(RETRY_DELAYS):
        return _finished(MailState.FAILED, reason)
    next_try_at = timezone.now() + RETRY_DELAYS[mail.attempts - 1]
    return {"state": MailState.QUEUED, "next_try_at": next_try_at, "last_error": reason}


def _reply_code(error: Exception) -> int | None:
    """Return the server's reply code for this email (RFC 5321: 4yz temporary, 5yz permanent), or None."""
    code = None  # also for rejected SMTP credentials: they concern the configuration, not this email
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = next(iter(error.recipients.values()))[0]
    elif isinstance(error, smtplib.SMTPSenderRefused | smtplib.SMTPDataError):
        code = error.smtp_code
    return code if code is not None and 400 <= code < 600 else None


def _finished(state: MailState, error: str) -> dict[str, Any]:
    return {"state": state, "last_error": error, "finished_at": timezone.now()}


_STATE_EVENTS = {
    MailState.SENT: (logging.INFO, "mail_sent", "Mail sent"),
    MailState.QUEUED: (logging.INFO, "mail_delayed", "Mail delayed"),
    MailState.FAILED: (logging.WARNING, "mail_failed", "Mail failed"),
    MailState.UNKNOWN: (logging.WARNING, "mail_unknown", "Mail may have arrived"),
}


def _announce_state(mail: OutgoingMail, values: dict[str, Any]) -> str:
    for name, value in values.items():
        setattr(mail, name, value)
    level, event, message = _STATE_EVENTS[MailState(mail.state)]
    facts = {"mail_id": mail.pk, "kind": mail.kind, "target_user_id": mail.user_id, "attempt": mail.attempts}
    if mail.last_error:
        facts["reason"] = mail.last_error
    extra = {"event": event, "user_id": mail.asked_by_id, **facts}
    transaction.on_commit(partial(logger.log, level, message, extra=extra))
    mail_state_changed.send_robust(sender=OutgoingMail, mail=mail)
    return str(mail.state)


def _context(mail: OutgoingMail) -> RequestContext:
    """Return the context of the request or job that queued this email, so that its log lines carry the same id."""
    job = request_context.current()
    return RequestContext(
        request_id=mail.request_id or (job.request_id if job else request_context.request_id("")),
        traceparent=mail.traceparent or (job.traceparent if job else ""),
        ip_address=mail.ip_address,
        user_agent=mail.user_agent,
    )
