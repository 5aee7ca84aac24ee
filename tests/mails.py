"""Helpers for tests of the outbox."""

from api.mail.outbox import MailDraft, enqueue
from api.models import OutgoingMail


def queue(recipient: str = "ada@example.com", *, asked_by=None, **values) -> OutgoingMail:
    draft = MailDraft(**{"kind": "test", "subject": "Hello", "text_body": "Plain text"} | values, recipient=recipient)
    return enqueue(draft, asked_by=asked_by)


def now_it_is(mail: OutgoingMail) -> str:
    mail.refresh_from_db()
    return mail.state
