"""A digest as a letter: plain text and HTML."""

from django.conf import settings
from django.template.loader import render_to_string

from api.accounts.unsubscribe import List, stop_headers, stop_url
from api.digests.content import OVERDUE, TEAM_OVERDUE, TEAM_UNASSIGNED, TODAY, Digest
from api.mail.outbox import Letter
from api.mail.text import quoted

KIND = "digest"
_SHORT = {OVERDUE: "overdue", TODAY: "due today", TEAM_OVERDUE: "overdue in the team", TEAM_UNASSIGNED: "unassigned"}


def letter(digest: Digest, *, once_key: str | None) -> Letter:
    title = subject(digest)
    base_url = settings.FRONTEND_URL or settings.PUBLIC_BASE_URL
    stop = stop_url(digest.user, List.DIGEST)
    name = quoted(digest.user.display_name)
    values = {"digest": digest, "name": name, "subject": title, "base_url": base_url, "stop_url": stop}
    return Letter(
        kind=KIND,
        recipient=digest.user.email,
        user_id=digest.user.pk,
        subject=title,
        text_body=render_to_string("api/digests/digest.txt", values),
        html_body=render_to_string("api/digests/digest.html", values),
        headers=stop_headers(stop),
        once_key=once_key,
    )


def subject(digest: Digest) -> str:
    """The numbers that matter first, like "Cosmo: 2 overdue, 3 due today"."""
    counts = digest.counts
    told = [f"{counts[name]} {words}" for name, words in _SHORT.items() if name in counts]
    return f"Cosmo: {', '.join(told or ['what is next'])}"
