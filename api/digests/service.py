"""The daily digest run: one email per user and UTC date, even if runs overlap or repeat."""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, QuerySet
from django.dispatch import receiver
from django.utils import timezone

from api.digests.content import Digest, DigestBuilder, TeamTasks
from api.digests.rendering import KIND, build_digest_mail
from api.mail.delivery import mail_state_changed
from api.mail.models import MailState, OutgoingMail
from api.mail.outbox import MailDraft, enqueue_once
from api.users.models import User
from backend.logging_config import DIGEST
from backend.sentry_config import capture_task_context

BATCH = 100  # users

logger = logging.getLogger(DIGEST)

Progress = Callable[[int], None]


def send_digests(
    *,
    day: date | None = None,
    user_id: int | None = None,
    is_forced: bool = False,
    is_dry_run: bool = False,
    progress: Progress | None = None,
) -> Counter[str]:
    """Put the digests of a UTC date into the outbox and return the number of users for each result.

    The results are `queued`, `already_sent`, `empty` and `failed`. `is_forced` sends a digest again. `progress` is
    called with the number of users processed so far.
    """
    now = _reference_time(day)
    team = TeamTasks(now)
    results: Counter[str] = Counter(queued=0, already_sent=0, empty=0, failed=0)
    summary: dict[str, Any] = {"date": now.date(), "is_dry_run": is_dry_run}
    try:
        for users in _batches(user_id):
            results.update(_send_batch(users, now, team, is_forced=is_forced, is_dry_run=is_dry_run))
            if progress is not None:
                progress(results.total())
    except Exception:
        extra = {"event": "digest_run_failed", "next": "run it again; each user gets one email", **summary, **results}
        logger.exception("Digest run failed", extra=extra)
        raise
    summary |= results
    logger.info("Digest run finished", extra={"event": "digest_run_finished", **summary})
    return results


def count_recipients(user_id: int | None = None) -> int:
    """Return the number of active users who receive digests."""
    return _recipients(user_id).count()


def count_by_mail_state(day: date | None, user_id: int | None = None) -> Counter[str]:
    """Return the number of digests of a UTC date (and one user) for each email state."""
    mails = OutgoingMail.objects.filter(once_key__startswith=f"digest:{_reference_time(day).date()}:")
    if user_id is not None:
        mails = mails.filter(user_id=user_id)
    return Counter(dict(mails.order_by().values_list("state").annotate(count=Count("pk"))))


def digest_of(user: User, *, now: datetime) -> Digest | None:
    """Return the digest that the user would get now; None if it is empty."""
    return DigestBuilder([user], last_sent_at=_last_sent_at([user]), now=now).digest_of(user)


def _reference_time(day: date | None) -> datetime:
    """Return the current time, or the scheduled hour of another day."""
    now = timezone.now()
    if day is None or day == now.date():
        return now
    return datetime.combine(day, time(settings.EMAIL_DIGEST_HOUR_UTC), tzinfo=UTC)


def _recipients(user_id: int | None) -> QuerySet[User]:
    recipients = User.objects.filter(
        is_active=True, digest_opt_out=False
    )  # the constraint user_has_email guarantees an address
    return recipients if user_id is None else recipients.filter(pk=user_id)


def _batches(user_id: int | None) -> Iterator[list[User]]:
    """Yield recipients in batches, so that memory does not grow with their number."""
    last_id = 0
    while users := list(_recipients(user_id).filter(pk__gt=last_id).order_by("pk")[:BATCH]):
        yield users
        last_id = users[-1].pk
        if len(users) < BATCH:
            return


def _last_sent_at(users: Sequence[User]) -> dict[int, datetime]:
    """Return the time of each user's latest digest that has not failed."""
    mails = OutgoingMail.objects.filter(kind=KIND, user_id__in=[user.pk for user in users])
    mails = mails.exclude(state=MailState.FAILED)
    return dict(mails.order_by().values_list("user_id").annotate(at=Max("created_at")))


def _send_batch(
    users: Sequence[User], now: datetime, team: TeamTasks, *, is_forced: bool, is_dry_run: bool
) -> Counter[str]:
    suffix = f":{uuid.uuid4().hex}" if is_forced else ""
    drafts: dict[str, tuple[Digest, MailDraft]] = {}
    results: Counter[str] = Counter()
    builder = DigestBuilder(users, last_sent_at=_last_sent_at(users), now=now, team=team)
    for user in users:
        capture_task_context("send_email_digest", task_args=[user.pk])
        key = f"digest:{now.date()}:{user.pk}{suffix}"
        try:
            digest = builder.digest_of(user)
            if digest is not None:
                drafts[key] = digest, build_digest_mail(digest, once_key=key)
        except Exception:  # broken data of one user must not stop the digests of others
            results["failed"] += 1
            extra = {"event": "digest_failed", "target_user_id": user.pk, "next": "retried with the next run"}
            logger.exception("Digest failed", extra=extra)
    results["empty"] = len(users) - len(drafts) - results["failed"]
    queued = set(drafts)
    if drafts and not is_dry_run:
        queued = enqueue_once([draft for _, draft in drafts.values()])
    for key in queued:
        digest = drafts[key][0]
        extra = {"event": "digest_queued", "target_user_id": digest.user.pk, "counts": digest.counts}
        logger.info("Digest queued", extra=extra | {"is_dry_run": is_dry_run})
    results["queued"] = len(queued)
    results["already_sent"] = len(drafts) - len(queued)
    return results


@receiver(mail_state_changed, dispatch_uid="api.digests.service")
def log_mail_state(mail: OutgoingMail, **_: Any) -> None:
    """Log the delivery result of a digest."""
    if mail.kind != KIND:
        return
    extra: dict[str, Any] = {"target_user_id": mail.user_id, "mail_id": mail.pk, "attempt": mail.attempts}
    if mail.state == MailState.SENT:
        _log_on_commit(logging.INFO, "Digest sent", extra | {"event": "digest_sent"})
        return
    next_steps = {
        MailState.QUEUED: f"retried at {mail.next_try_at:%Y-%m-%dT%H:%M:%SZ}",
        MailState.FAILED: "not retried",
        MailState.UNKNOWN: "it may have arrived; not retried",
    }
    extra |= {"event": "digest_failed", "reason": mail.last_error, "next": next_steps[MailState(mail.state)]}
    _log_on_commit(logging.ERROR, "Digest failed", extra)


def _log_on_commit(level: int, message: str, extra: dict[str, Any]) -> None:
    transaction.on_commit(partial(logger.log, level, message, extra=extra))
