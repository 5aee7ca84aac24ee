"""Sending the digests of a day: one mail for each person and UTC date, whatever runs twice or at the same time."""

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

BATCH = 100  # people

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
    """Put the digests of a UTC date into the outbox: how many people were queued, had it before, had nothing, failed.

    `is_forced` sends again what went out; `progress` is called with the number of people looked at so far.
    """
    now = _moment(day)
    team = TeamTasks(now)
    results: Counter[str] = Counter(queued=0, before=0, nothing=0, failed=0)
    summary: dict[str, Any] = {"date": now.date(), "is_dry_run": is_dry_run}
    try:
        for users in _batches(user_id):
            results.update(_send_to(users, now, team, is_forced=is_forced, is_dry_run=is_dry_run))
            if progress is not None:
                progress(results.total())
    except Exception:
        extra = {"event": "digest_run_failed", "next": "run it again; nobody gets a second one", **summary, **results}
        logger.exception("Digest run failed", extra=extra)
        raise
    summary |= results
    logger.info("Digest run finished", extra={"event": "digest_run_finished", **summary})
    return results


def people(user_id: int | None = None) -> int:
    return _readers(user_id).count()


def delivered(day: date | None, user_id: int | None = None) -> Counter[str]:
    """How many digests of a UTC date, and of one person, are in which state."""
    keys = OutgoingMail.objects.filter(once_key__startswith=f"digest:{_moment(day).date()}:")
    if user_id is not None:
        keys = keys.filter(user_id=user_id)
    return Counter(dict(keys.order_by().values_list("state").annotate(count=Count("pk"))))


def digest_of(user: User, *, now: datetime) -> Digest | None:
    """What this person would read now; None if nothing."""
    return DigestBuilder([user], last=_last_sent_at([user]), now=now).digest_of(user)


def _moment(day: date | None) -> datetime:
    """Now, or the usual hour of another day."""
    now = timezone.now()
    if day is None or day == now.date():
        return now
    return datetime.combine(day, time(settings.EMAIL_DIGEST_HOUR_UTC), tzinfo=UTC)


def _readers(user_id: int | None) -> QuerySet[User]:
    readers = User.objects.filter(is_active=True, digest_opt_out=False)  # an address they have: user_has_email
    return readers if user_id is None else readers.filter(pk=user_id)


def _batches(user_id: int | None) -> Iterator[list[User]]:
    """A hundred people at a time, so that memory does not grow with their number."""
    last = 0
    while users := list(_readers(user_id).filter(pk__gt=last).order_by("pk")[:BATCH]):
        yield users
        last = users[-1].pk
        if len(users) < BATCH:
            return


def _last_sent_at(users: Sequence[User]) -> dict[int, datetime]:
    told = OutgoingMail.objects.filter(kind=KIND, user_id__in=[user.pk for user in users]).exclude(
        state=MailState.FAILED
    )
    return dict(told.order_by().values_list("user_id").annotate(at=Max("created_at")))


def _send_to(
    users: Sequence[User], now: datetime, team: TeamTasks, *, is_forced: bool, is_dry_run: bool
) -> Counter[str]:
    suffix = f":{uuid.uuid4().hex}" if is_forced else ""
    letters: dict[str, tuple[Digest, MailDraft]] = {}
    results: Counter[str] = Counter()
    reading = DigestBuilder(users, last=_last_sent_at(users), now=now, team=team)
    for user in users:
        capture_task_context("send_email_digest", task_args=[user.pk])
        key = f"digest:{now.date()}:{user.pk}{suffix}"
        try:
            digest = reading.digest_of(user)
            if digest is not None:
                letters[key] = digest, build_digest_mail(digest, once_key=key)
        except Exception:  # one person's data must not keep the others from theirs
            results["failed"] += 1
            extra = {"event": "digest_failed", "target_user_id": user.pk, "next": "tried again with the next run"}
            logger.exception("Digest failed", extra=extra)
    results["nothing"] = len(users) - len(letters) - results["failed"]
    queued = set(letters)
    if letters and not is_dry_run:
        queued = enqueue_once([letter for _, letter in letters.values()])
    for key in queued:
        digest = letters[key][0]
        extra = {"event": "digest_queued", "target_user_id": digest.user.pk, "counts": digest.counts}
        logger.info("Digest queued", extra=extra | {"is_dry_run": is_dry_run})
    results["queued"] = len(queued)
    results["before"] = len(letters) - len(queued)
    return results


@receiver(mail_state_changed, dispatch_uid="api.digests.service")
def log_mail_state(mail: OutgoingMail, **_: Any) -> None:
    """What became of a digest at the mail server."""
    if mail.kind != KIND:
        return
    extra: dict[str, Any] = {"target_user_id": mail.user_id, "mail_id": mail.pk, "attempt": mail.attempts}
    if mail.state == MailState.SENT:
        _log_on_commit(logging.INFO, "Digest sent", extra | {"event": "digest_sent"})
        return
    following = {
        MailState.QUEUED: f"tried again at {mail.next_try_at:%Y-%m-%dT%H:%M:%SZ}",
        MailState.FAILED: "not tried again",
        MailState.UNKNOWN: "it may have arrived; not tried again",
    }
    extra |= {"event": "digest_failed", "reason": mail.last_error, "next": following[MailState(mail.state)]}
    _log_on_commit(logging.ERROR, "Digest failed", extra)


def _log_on_commit(level: int, message: str, extra: dict[str, Any]) -> None:
    transaction.on_commit(partial(logger.log, level, message, extra=extra))
