"""Functions that put emails into the outbox."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import make_msgid, parseaddr

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from api.audit.events import Event
from api.audit.trail import Actor, record
from api.common.errors import Conflict
from api.mail import delivery_thread
from api.mail.models import MailState, OutgoingMail
from api.mail.text import subject_line
from backend import request_context


@dataclass(frozen=True, kw_only=True)
class MailDraft:
    """An email before it is stored. `once_key` identifies an email that is sent once."""

    kind: str
    recipient: str
    subject: str
    text_body: str
    html_body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    user_id: int | None = None
    once_key: str | None = None


def enqueue(draft: MailDraft, *, asked_by: Actor | None = None) -> OutgoingMail:
    """Store an email and schedule its delivery on commit of the caller's transaction."""
    with transaction.atomic():
        mail = _row(draft, asked_by)
        mail.save(force_insert=True)
        transaction.on_commit(delivery_thread.schedule_delivery, robust=True)
    return mail


def enqueue_once(drafts: Sequence[MailDraft]) -> set[str]:
    """Store many emails in two statements, except those whose key exists; return the keys of the stored ones."""
    rows = [_row(draft, None) for draft in drafts]
    with transaction.atomic():
        OutgoingMail.objects.bulk_create(rows, ignore_conflicts=True)
        stored = OutgoingMail.objects.filter(message_id__in=[row.message_id for row in rows])
        keys = {key for key in stored.values_list("once_key", flat=True) if key}
        if keys:
            transaction.on_commit(delivery_thread.schedule_delivery, robust=True)
    return keys


def _row(draft: MailDraft, asked_by: Actor | None) -> OutgoingMail:
    context = request_context.current()
    now = timezone.now()
    return OutgoingMail(
        kind=draft.kind,
        recipient=draft.recipient,
        user_id=draft.user_id,
        subject=subject_line(draft.subject),
        text_body=draft.text_body,
        html_body=draft.html_body,
        headers=dict(draft.headers),
        message_id=make_msgid(domain=parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or None),
        once_key=draft.once_key,
        next_try_at=now,
        created_at=now,
        asked_by_id=asked_by.pk if asked_by else None,
        asked_by_name=asked_by.username if asked_by else "",
        asked_by_role=asked_by.role if asked_by else "",
        request_id=context.request_id if context else "",
        traceparent=context.traceparent if context else "",
        ip_address=context.ip_address if context else None,
        user_agent=context.user_agent if context else "",
    )


@transaction.atomic
def retry(mail: OutgoingMail, *, actor: Actor) -> None:
    """Queue a failed or unknown email again; raise Conflict for an email in another state."""
    updated = OutgoingMail.objects.filter(pk=mail.pk, state__in=[MailState.FAILED, MailState.UNKNOWN]).update(
        state=MailState.QUEUED, attempts=0, next_try_at=timezone.now(), finished_at=None, last_error=""
    )
    if not updated:
        raise Conflict("Only failed emails and emails that may not have arrived can be retried.", code="not_failed")
    record(Event.MAIL_RETRIED, actor=actor, target=mail)
    transaction.on_commit(delivery_thread.schedule_delivery, robust=True)
