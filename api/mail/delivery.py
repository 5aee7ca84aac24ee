"""Delivering the outbox: any number of processes on any number of machines, each mail at most once.

A mail is claimed for a while. Before the server gets the message, `data_started_at` is committed under that claim; so a
mail whose sender died before that moment is tried again, and one whose sender died after it is marked unknown.
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
MAX_RUN_TIME = (
    900.0  # seconds, after which the next sweep goes on: a run ends by itself before a job's time limit kills it
)

# Mail servers repeat whom they refuse; the row knows it, and logs have ids.
_ADDRESS = re.compile(r"[\w.+%=-]{1,64}@[\w.-]{1,255}")

logger = logging.getLogger(f"{API}.mail")

# Sent with `mail` in the transaction that says what came of an attempt.
mail_state_changed = Signal()


class ClaimLostError(Exception):
    """The claim ran out, and somebody else has the mail."""


def deliver_due() -> Counter[str]:
    """Deliver what is due; how many mails came to which state.

    A mail server that cannot be reached ends it: the mails that wait keep their attempts for when it is there.
    """
    results = recover_abandoned()
    mailer = Mailer()
    until = monotonic() + MAX_RUN_TIME
    try:
        while not mailer.is_server_away and monotonic() < until and (mail := _claim()) is not None:
            results[_deliver(mail, mailer)] += 1
    finally:
        mailer.close()
    return results


def recover_abandoned() -> Counter[str]:
    """Mails whose sender died: back into the queue, or unknown where the server may have them."""
    results: Counter[str] = Counter()
    abandoned = Q(state=MailState.SENDING, claimed_until__lt=timezone.now())
    for mail in OutgoingMail.objects.filter(abandoned).iterator():
        if mail.data_started_at is None:
            values: dict[str, Any] = {"state": MailState.QUEUED, "last_error": "The sender died before it was sent."}
        else:
            values = _finished(MailState.UNKNOWN, "The sender died while the mail server had it; it may have arrived.")
        with transaction.atomic():
            if _claim_of(mail).filter(abandoned).update(**values):
                results[_announce_state(mail, values)] += 1
    return results


def _claim() -> OutgoingMail | None:
    """The next mail that is due, for us alone."""
    now = timezone.now()
    with transaction.atomic():  # on SQLite the write lock, on PostgreSQL the lock of this row
        due = OutgoingMail.objects.filter(state=MailState.QUEUED, next_try_at__lte=now).order_by("next_try_at", "id")
        mail = due.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked).first()
        if mail is None:
            return None
        mail.state, mail.attempts, mail.data_started_at = MailState.SENDING, mail.attempts + 1, None
        # Longer than every step of a conversation that times out one after the other.
        mail.claimed_until = now + timedelta(seconds=60 + 10 * settings.EMAIL_TIMEOUT)
        mail.save(update_fields=["state", "attempts", "data_started_at", "claimed_until"])
    return mail


def _claim_of(mail: OutgoingMail) -> QuerySet[OutgoingMail]:
    """The row while it is still this attempt of this mail; "try again" in the admin begins to count anew."""
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
    except Exception as error:  # noqa: BLE001 - one mail that cannot be sent must not stop the others
        values = _after_failure(mail, error)
        # Unknown: somebody gave us up meanwhile, but we know the answer.
        ours = _claim_of(mail).filter(state__in=[MailState.SENDING, MailState.UNKNOWN])
    else:
        values = _finished(MailState.SENT, "") | {"text_body": "", "html_body": "", "headers": {}}
        # Also where it was given up and waits for another try: it has arrived.
        ours = OutgoingMail.objects.filter(pk=mail.pk, claimed_until=mail.claimed_until)
    with transaction.atomic():
        if not ours.update(**values) and values["state"] != MailState.SENT:
            return "lost"
        return _announce_state(mail, values)


def _message(mail: OutgoingMail) -> EmailMultiAlternatives:
    bodies = render_bodies(mail)
    name = mail.recipient.rpartition("@")[0]
    if not name or not name.isascii():  # Django sends nothing to the first, and to the second by another name
        raise ValueError("No mail can be sent to this address.")
    headers = {"Auto-Submitted": "auto-generated", **mail.headers, "Message-ID": mail.message_id}
    message = EmailMultiAlternatives(mail.subject, bodies.text, to=[mail.recipient], headers=headers)
    if bodies.html:
        message.attach_alternative(bodies.html, "text/html")
    return message


def _after_failure(mail: OutgoingMail, error: Exception) -> dict[str, Any]:
    code = _refusal(error)
    reason = _ADDRESS.sub("[address]", redact_text(f"{type(error).__name__}: {error}"))[:300]
    if code is None and mail.data_started_at is not None:
        return _finished(MailState.UNKNOWN, reason)
    is_temporary = isinstance(error, OSError | DatabaseError) if code is None else code < 500
    if not is_temporary or mail.attempts > len(RETRY_DELAYS):
        return _finished(MailState.FAILED, reason)
    next_try_at = timezone.now() + RETRY_DELAYS[mail.attempts - 1]
    return {"state": MailState.QUEUED, "next_try_at": next_try_at, "last_error": reason}


def _refusal(error: Exception) -> int | None:
    """The server's answer about this mail (RFC 5321: 4yz for now, 5yz for ever); None where it said nothing of it."""
    code = None  # a sign-in that it refuses, say, is about us, and is mended sooner or later
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
    """That of the request or the job that asked for this mail, so that its lines are found by its id."""
    job = request_context.current()
    return RequestContext(
        request_id=mail.request_id or (job.request_id if job else request_context.request_id("")),
        traceparent=mail.traceparent or (job.traceparent if job else ""),
        ip_address=mail.ip_address,
        user_agent=mail.user_agent,
    )
