"""Error tracking with Sentry; without SENTRY_DSN every function here does nothing."""

import sys
from collections.abc import Sequence
from typing import Any

import sentry_sdk
from django.conf import settings
from sentry_sdk.utils import BadDsn, Dsn

from backend import request_context


def setup_sentry() -> bool:
    """Start the SDK if SENTRY_DSN is set; True if it is on.

    A DSN that cannot be parsed leaves Sentry off and says so on stderr (and in check backend.W001), because a broken
    tracker must not stop the service.
    """
    if not settings.SENTRY_DSN:
        return False
    if not dsn_is_valid(settings.SENTRY_DSN):
        sys.stderr.write("SENTRY_DSN cannot be parsed; error tracking is off.\n")
        return False
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        environment=settings.DJANGO_ENVIRONMENT,
        release=settings.APP_VERSION,
        traces_sample_rate=settings.SENTRY_TRACES_SAMPLE_RATE,
        # Bodies, local variables and personal data carry secrets.
        max_request_body_size="never",
        include_local_variables=False,
        send_default_pii=False,
    )
    return True


def dsn_is_valid(dsn: str) -> bool:
    try:
        Dsn(dsn)
    except (BadDsn, ValueError):  # the latter for a port or an address that is none
        return False
    return True


def add_user_context(user: Any) -> None:
    """Name the user of this request or job in later events: id and role, never a name or an address."""
    if sentry_sdk.is_initialized() and getattr(user, "pk", None) is not None:
        sentry_sdk.get_isolation_scope().set_user({"id": str(user.pk), "role": getattr(user, "role", "")})


def add_request_context() -> None:
    """Tag later events with the id of the request being served."""
    context = request_context.current()
    if sentry_sdk.is_initialized() and context is not None:
        sentry_sdk.get_isolation_scope().set_tag("request_id", context.request_id)


def capture_task_context(task_name: str, task_args: Sequence[Any] = ()) -> None:
    """Name the background job in later events."""
    if sentry_sdk.is_initialized():
        scope = sentry_sdk.get_isolation_scope()
        scope.set_tag("task", task_name)
        scope.set_context("task", {"name": task_name, "args": [str(argument) for argument in task_args]})
