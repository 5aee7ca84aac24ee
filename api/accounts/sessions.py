"""Sessions and their tokens (JWT, RFC 7519).

A token is valid while its session is open and its epoch equals the user's. Refreshing rotates: one conditional UPDATE
moves the session to its next generation, so only one of several parallel refreshes succeeds. Reuse long after the
rotation shows that this token or its successor was stolen, so the session ends (RFC 9700, 4.14.2).
"""

import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings as jwt_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken, Token

from api.accounts.models import Session
from api.audit.events import Event
from api.audit.trail import record
from api.common.errors import Unauthenticated
from api.users.models import User
from backend import request_context

REUSE_GRACE = timedelta(seconds=10)  # two tabs of one client may refresh at the same time


def open_session(user: User) -> dict[str, str]:
    """Open a session for an authenticated user; return its tokens as {access, refresh}."""
    return _tokens(new_session(user, lifetime=jwt_settings.REFRESH_TOKEN_LIFETIME))


def new_session(user: User, *, lifetime: timedelta) -> Session:
    now = timezone.now()
    context = request_context.current()
    return Session.objects.create(
        user=user,
        started_at=now,
        last_seen_at=now,
        rotated_at=now,
        previously_rotated_at=now,
        expires_at=now + lifetime,
        ip_address=context.ip_address if context else None,
        user_agent=context.user_agent if context else "",
    )


def get_open_session(token: Token) -> Session:
    """Return the open session of a token, with its user; raise Unauthenticated if it has ended."""
    try:
        session = Session.objects.select_related("user").get(pk=uuid.UUID(str(token.get("sid"))))
    except (ValueError, Session.DoesNotExist):
        raise _token_rejected() from None
    if not _is_open(session, token):
        raise _token_rejected()
    return session


def refresh(raw: str) -> dict[str, str]:
    """Return new tokens and invalidate this refresh token; raise Unauthenticated if it is not valid."""
    try:
        token = RefreshToken(raw)  # type: ignore[arg-type]
    except TokenError:
        raise _token_rejected() from None
    session = get_open_session(token)
    now = timezone.now()
    generation = token.get("gen")
    if not isinstance(generation, int):
        raise _token_rejected()
    expires_at = min(now + jwt_settings.REFRESH_TOKEN_LIFETIME, session.started_at + settings.SESSION_ABSOLUTE_LIFETIME)
    is_rotated = Session.objects.filter(pk=session.pk, generation=generation, ended_at=None).update(
        generation=F("generation") + 1,
        previously_rotated_at=F("rotated_at"),
        rotated_at=now,
        last_seen_at=now,
        expires_at=expires_at,
    )
    if not is_rotated:
        session.refresh_from_db()
        if _was_reused(generation, session, now):
            with transaction.atomic():
                _end(session, Event.TOKEN_REUSE)
        raise _token_rejected()
    session.generation += 1
    session.expires_at = expires_at
    return _tokens(session)


def end_session(session: Session, *, event: Event = Event.SESSION_ENDED) -> None:
    with transaction.atomic():
        _end(session, event)


def _tokens(session: Session) -> dict[str, str]:
    refresh_token, access_token = RefreshToken(), AccessToken()
    for token in (refresh_token, access_token):
        token["sid"] = str(session.pk)
        token["epoch"] = session.user.session_epoch
    refresh_token["gen"] = session.generation
    refresh_token.payload["exp"] = int(session.expires_at.timestamp())
    access_token.payload["exp"] = min(access_token.payload["exp"], refresh_token.payload["exp"])
    return {"access": str(access_token), "refresh": str(refresh_token)}


def _is_open(session: Session, token: Token) -> bool:
    user = session.user
    return (
        session.ended_at is None
        and session.expires_at > timezone.now()
        and user.is_active
        and token.get("epoch") == user.session_epoch
    )


def _was_reused(generation: int, session: Session, now: datetime) -> bool:
    if generation >= session.generation:
        return False
    invalidated_at = session.rotated_at if generation == session.generation - 1 else session.previously_rotated_at
    return now - invalidated_at > REUSE_GRACE


def _end(session: Session, event: Event) -> None:
    if Session.objects.filter(pk=session.pk, ended_at=None).update(ended_at=timezone.now()):
        record(event, actor=session.user)


def _token_rejected() -> Unauthenticated:
    return Unauthenticated("This token is invalid or has expired. Sign in again.", code="token_not_valid")
