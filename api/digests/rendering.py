"""Digest emails: subject, plain text and HTML."""

from django.conf import settings
from django.template.loader import render_to_string

from api.accounts.unsubscribe import MailingList, unsubscribe_headers, unsubscribe_url
from api.digests.content import DUE_TODAY, OVERDUE, TEAM_OVERDUE, TEAM_UNASSIGNED, Digest
from api.mail.outbox import MailDraft
from api.mail.text import quote_user_text

KIND = "digest"
_SUBJECT_LABELS = {
    OVERDUE: "overdue",
    DUE_TODAY: "due today",
    TEAM_OVERDUE: "overdue in the team",
    TEAM_UNASSIGNED: "unassigned",
}


def build_digest_mail(digest: Digest, *, once_key: str | None) -> MailDraft:
    """Return the email of a digest."""
    subject = digest_subject(digest)
    base_url = settings.FRONTEND_URL or settings.PUBLIC_BASE_URL
    stop_url = unsubscribe_url(digest.user, MailingList.DIGEST)
    name = quote_user_text(digest.user.display_name)
    values = {"digest": digest, "name": name, "subject": subject, "base_url": base_url, "stop_url": stop_url}
    return MailDraft(
        kind=KIND,
        recipient=digest.user.email,
        user_id=digest.user.pk,
        subject=subject,
        text_body=render_to_string("api/digests/digest.txt", values),
        html_body=render_to_string("api/digests/digest.html", values),
        headers=unsubscribe_headers(stop_url),
        once_key=once_key,
    )


def digest_subject(digest: Digest) -> str:
    """Return the subject with the most important counts, like "Cosmo: 2 overdue, 3 due today"."""
    counts = digest.counts
    parts = [f"{counts[name]} {label}" for name, label in _SUBJECT_LABELS.items() if name in counts]
    return f"Cosmo: {', '.join(parts or ['your next tasks'])}"
