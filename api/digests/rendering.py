"""A digest as a letter: plain text and HTML."""

from django.conf import settings
from django.template.loader import render_to_string

from api.accounts.unsubscribe import MailingList, unsubscribe_headers, unsubscribe_url
from api.digests.content import OVERDUE, TEAM_OVERDUE, TEAM_UNASSIGNED, TODAY, Digest
from api.mail.outbox import MailDraft
from api.mail.text import quote_user_text

KIND = "digest"
_SHORT = {OVERDUE: "overdue", TODAY: "due today", TEAM_OVERDUE: "overdue in the team", TEAM_UNASSIGNED: "unassigned"}


def build_digest_mail(digest: Digest, *, once_key: str | None) -> MailDraft:
    title = subject(digest)
    base_url = settings.FRONTEND_URL or settings.PUBLIC_BASE_URL
    stop = unsubscribe_url(digest.user, MailingList.DIGEST)
    name = quote_user_text(digest.user.display_name)
    values = {"digest": digest, "name": name, "subject": title, "base_url": base_url, "stop_url": stop}
    return MailDraft(
        kind=KIND,
        recipient=digest.user.email,
        user_id=digest.user.pk,
        subject=title,
        text_body=render_to_string("api/digests/digest.txt", values),
        html_body=render_to_string("api/digests/digest.html", values),
        headers=unsubscribe_headers(stop),
        once_key=once_key,
    )


def subject(digest: Digest) -> str:
    """The numbers that matter first, like "Cosmo: 2 overdue, 3 due today"."""
    counts = digest.counts
    told = [f"{counts[name]} {words}" for name, words in _SHORT.items() if name in counts]
    return f"Cosmo: {', '.join(told or ['what is next'])}"
