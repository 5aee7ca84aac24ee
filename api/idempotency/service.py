"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): repeat a POST safely."""

import contextlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from api.common.errors import Conflict, DomainError, Invalid
from api.idempotency.models import IdempotencyKey

KEPT_FOR = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The parts of a response that a repeated request receives again."""

    status: int
    body: str  # JSON
    etag: str
    location: str


class KeyReused(DomainError):
    status, code = 422, "idempotency_key_reused"
    detail = "This Idempotency-Key was used with a different body. Use a new key for a new request."


class StillRunning(Conflict):
    code = "idempotency_key_running"
    detail = "The first request with this Idempotency-Key is still running. Try again in a moment."

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})


def run_once(
    produce: Callable[[], StoredResponse], *, user_id: int, path: str, key: str | None, body: Any
) -> StoredResponse:
    """Return the response of `produce`, or the stored response of the same request.

    The response is stored in the transaction of the change: both are saved or neither. A failed request stores nothing,
    so clients can correct it and send it again with the same key.
    """
    if key is None:
        with transaction.atomic():
            return produce()
    if not _KEY.fullmatch(key):
        raise Invalid({"Idempotency-Key": "Use 1 to 255 visible ASCII characters."})
    row = _claim(user_id, path, key, _fingerprint(body))
    if row.status is not None:
        return StoredResponse(status=row.status, body=row.body, etag=row.etag, location=row.location)
    owned = IdempotencyKey.objects.filter(pk=row.pk, claim=row.claim, status=None)
    try:
        with transaction.atomic():
            response = produce()
            if not owned.update(**asdict(response)):
                raise StillRunning  # this request exceeded WEB_TIMEOUT and another one took over its key
    except BaseException:
        with contextlib.suppress(DatabaseError, InterfaceError):
            owned.delete()
        raise
    return response


def _claim(user_id: int, path: str, key: str, fingerprint: str) -> IdempotencyKey:
    """Return the row of this key: claimed by this request (status None), or with a stored response."""
    now = timezone.now()
    claim: dict[str, Any] = {"fingerprint": fingerprint, "claim": uuid.uuid4(), "claimed_at": now}
    IdempotencyKey.objects.bulk_create(
        [IdempotencyKey(user_id=user_id, path=path, key=key, **claim)], ignore_conflicts=True
    )
    row = IdempotencyKey.objects.filter(user_id=user_id, path=path, key=key).first()
    if row is None:
        raise StillRunning  # the first request has just failed and deleted its row
    if row.claim == claim["claim"]:
        return row
    age = now - row.claimed_at
    abandoned = row.status is None and age > timedelta(seconds=settings.WEB_TIMEOUT)
    if abandoned or age > KEPT_FOR:
        if not IdempotencyKey.objects.filter(pk=row.pk, claim=row.claim).update(status=None, **claim):
            raise StillRunning
        row.status, row.claim = None, claim["claim"]
        return row
    if row.fingerprint != fingerprint:
        raise KeyReused
    if row.status is None:
        raise StillRunning
    return row


def _fingerprint(body: Any) -> str:
    # Keyed, because a body may contain a password.
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return salted_hmac("api.idempotency", text, algorithm="sha256").hexdigest()
