"""Browser logins in Django sessions. Each also has a Session row, so that it can be listed and ended."""

import uuid
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.middleware import AuthenticationMiddleware as BaseMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import InternalError, OperationalError, transaction
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from api.accounts import sessions
from api.accounts.login import lock_unchanged_account
from api.accounts.models import Session
from api.audit.events import Event
from api.audit.trail import record
from api.users.models import User
from backend import request_context
from backend.sentry_config import add_user_context

_KEY = "cosmo_session"
_LAST_SEEN_INTERVAL = timedelta(minutes=5)


class AuthenticationMiddleware(BaseMiddleware):
    """Treats users as anonymous if their Session row has ended."""

    def process_request(self, request: HttpRequest) -> None:
        key = request.session.session_key
        if key is not None and not key.isalnum():
            # We never set such a cookie. PostgreSQL fails on a NUL in a query.
            request.session = type(request.session)()
        super().process_request(request)
        request.user = SimpleLazyObject(partial(_get_user, request))  # type: ignore[assignment]


def _get_user(request: Any) -> User | AnonymousUser:
    if not hasattr(request, "_cached_user"):
        user = get_user(request)
        if isinstance(user, User) and not _is_open(request, user):
            request.session.flush()
            user = AnonymousUser()
        add_user_context(user)
        request._cached_user = user
    return request._cached_user  # type: ignore[no-any-return]


def _is_open(request: Any, user: User) -> bool:
    try:
        key = uuid.UUID(request.session.get(_KEY, ""))
    except ValueError:
        return False
    now = timezone.now()
    session = Session.objects.filter(pk=key, user=user, ended_at=None, expires_at__gt=now).first()
    if session is None:
        return False
    if now - session.last_seen_at > _LAST_SEEN_INTERVAL:
        with suppress(InternalError, OperationalError):  # pages stay readable while the database is read-only
            Session.objects.filter(pk=key).update(last_seen_at=now)
    return True


def is_current(request: Any) -> Any:
    """Return an expression for annotate(): whether a Session is that of this browser."""
    return ExpressionWrapper(Q(pk=request.session.get(_KEY)), output_field=BooleanField())


@receiver(user_logged_in, dispatch_uid="api.accounts.browser_sessions")
def store_browser_session(request: Any, user: User, **_: Any) -> None:
    """Create the Session row; raise Unauthenticated if the account changed during password hashing."""
    request_context.set_user(user.pk)
    with transaction.atomic():
        lock_unchanged_account(user)
        session = sessions.new_session(user, lifetime=timedelta(seconds=settings.SESSION_COOKIE_AGE))
        record(Event.LOGIN_SUCCESS, actor=user)
    request.session[_KEY] = str(session.pk)


@receiver(user_logged_out, dispatch_uid="api.accounts.browser_sessions")
def end_browser_session(request: Any, user: User | None, **_: Any) -> None:
    session = Session.objects.filter(pk=request.session.get(_KEY)).first()
    if session is not None:
        sessions.end_session(session, event=Event.LOGOUT)
