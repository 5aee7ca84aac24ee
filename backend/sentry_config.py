"""Error tracking with Sentry. Without SENTRY_DSN, every function here does nothing."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sentry_sdk
from django.conf import settings
from sentry_sdk.integrations.argv import ArgvIntegration
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.tracing import Span
from sentry_sdk.utils import BadDsn, Dsn

from backend import request_context
from backend.formatters import message_of
from backend.logging_config import PERFORMANCE
from backend.logs.handlers import print_error
from backend.redaction import REDACTED, redact

NEVER_TRACED = ("/api/health/", "/metrics", "/static/")
HEADERS = ["accept", "content-length", "content-type", "host", "user-agent"]
_MOST_ITEMS = 1_000  # items of a list; events contain longer lists than log records
_QUERIES = frozenset({"query", "query_string", "query_params", "http.query", "GET"})  # keys that hold URL parameters
_QUERY_VALUE = re.compile(r"(?<=[?&])([\w.\[\]%~-]{1,100}+=)[^\s&#\"'<>]++")
_TIMES = ("timestamp", "start_timestamp")  # redaction would change their type


def setup_sentry() -> bool:
    """Start the SDK if SENTRY_DSN is set; return whether it runs.

    An invalid DSN leaves Sentry off and is reported on stderr (and by check backend.W001). A broken tracker must not
    stop the service.
    """
    if not settings.SENTRY_DSN:
        return False
    if not dsn_is_valid(settings.SENTRY_DSN):
        print_error("SENTRY_DSN cannot be parsed; error tracking is off.")
        return False
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        environment=settings.DJANGO_ENVIRONMENT,
        release=settings.APP_VERSION,
        traces_sampler=_sample_rate,
        # docs/decisions/0012-sentry-without-its-django.md; ArgvIntegration: a command line may contain secrets
        disabled_integrations=[DjangoIntegration(), ArgvIntegration()],
        auto_session_tracking=False,  # it would send a record of each request
        before_send=_scrub_event,
        before_send_transaction=_scrub_event,
        before_breadcrumb=_scrub_breadcrumb,
        # Secrets and personal data are not even collected; add_user_context adds the user's id and role.
        data_collection={
            "user_info": False,
            "cookies": {"mode": "off"},
            "http_headers": {"request": {"mode": "allowlist", "terms": HEADERS}},
            "http_bodies": [],
            "url_query_params": {"mode": "off"},
            "graphql": {"document": False, "variables": False},
            "gen_ai": {"inputs": False, "outputs": False},
            "database_query_data": False,
            "queues": False,
            "stack_frame_variables": False,
        },
        max_request_body_size="never",
    )
    ignore_logger(PERFORMANCE)  # request lines are written after everything that can fail
    for name in ("django.request", "django.server"):  # they repeat what `api` has logged
        ignore_logger(name)
    return True


def wrap_wsgi(application: Callable[..., Any]) -> Callable[..., Any]:
    """Return the application with a Sentry scope and trace per request; unchanged if Sentry is off."""
    return SentryWsgiMiddleware(application) if sentry_sdk.is_initialized() else application


class StatementSpans:
    """Adds each SQL statement of a sampled request as a span to the request's trace."""

    def __init__(self, parent: Span) -> None:
        self._parent = parent

    def add_query(self, sql: str, seconds: float) -> None:
        """Add a statement that has just ended; `sql` contains no parameters."""
        ended = datetime.now(UTC)
        span = self._parent.start_child(op="db", name=sql, start_timestamp=ended - timedelta(seconds=seconds))
        span.finish(end_timestamp=ended)


def statement_spans() -> StatementSpans | None:
    """Return a query listener; None if this request's trace is not sampled."""
    span = sentry_sdk.get_current_span() if sentry_sdk.is_initialized() else None
    return StatementSpans(span) if isinstance(span, Span) and span.sampled else None


def _sample_rate(sampling: dict[str, Any]) -> float:
    """Return 0 for probes, metrics and static files; else the caller's decision or SENTRY_TRACES_SAMPLE_RATE."""
    path = (sampling.get("wsgi_environ") or {}).get("PATH_INFO", "")
    if path.startswith(NEVER_TRACED):
        return 0.0
    parent = sampling.get("parent_sampled")
    return settings.SENTRY_TRACES_SAMPLE_RATE if parent is None else float(parent)


def _scrub_event(event: Any, hint: Any) -> Any:
    """Return the event, redacted like the logs, with the ids of its request."""
    context = request_context.current()
    if context is not None:
        event.setdefault("tags", {}).update(request_id=context.request_id, trace_id=context.trace_id)
        if context.route is not None:
            event |= {"transaction": f"/{context.route}", "transaction_info": {"source": "route"}}
    if "logentry" in event:
        entry = event["logentry"]
        if "log_record" in hint:
            entry["formatted"] = message_of(hint["log_record"])
        entry.pop("params", None)  # unredacted arguments of the message
    redacted = _remove_query_values(redact(event, max_items=_MOST_ITEMS))
    _copy_timestamps(event, redacted)
    for before, after in zip(event.get("spans") or (), redacted.get("spans") or (), strict=False):
        _copy_timestamps(before, after)
    return redacted


def _remove_query_values(value: Any) -> Any:
    """Return `value` with the values of all URL parameters removed: search terms are private."""
    if isinstance(value, str):
        return _QUERY_VALUE.sub(rf"\1{REDACTED}", value)
    if isinstance(value, list):
        return [_remove_query_values(inner) for inner in value]
    if isinstance(value, dict):
        return {
            name: _remove_values(inner) if name in _QUERIES and inner else _remove_query_values(inner)
            for name, inner in value.items()
        }
    return value


def _remove_values(query: Any) -> Any:
    return dict.fromkeys(query, REDACTED) if isinstance(query, dict) else REDACTED


def _copy_timestamps(before: Any, after: Any) -> None:
    after.update({name: before[name] for name in _TIMES if name in before})


def _scrub_breadcrumb(crumb: Any, hint: Any) -> Any:
    """Return the breadcrumb with the redacted log message; the event's redaction covers its other fields."""
    if "log_record" in hint:
        crumb["message"] = message_of(hint["log_record"])
    return crumb


def dsn_is_valid(dsn: str) -> bool:
    """Return whether the SDK can parse the DSN."""
    try:
        Dsn(dsn)
    except (BadDsn, ValueError):  # ValueError: an invalid port or host
        return False
    return True


def add_user_context(user: Any) -> None:
    """Add the current user's id and role, never a name or an email address, to later events."""
    if sentry_sdk.is_initialized() and getattr(user, "pk", None) is not None:
        sentry_sdk.get_isolation_scope().set_user({"id": str(user.pk), "role": getattr(user, "role", "")})


def add_request_context() -> None:
    """Tag later events with the ids of the current request and its trace."""
    context = request_context.current()
    if sentry_sdk.is_initialized() and context is not None:
        scope = sentry_sdk.get_isolation_scope()
        scope.set_tag("request_id", context.request_id)
        scope.set_tag("trace_id", context.trace_id)


def capture_task_context(task_name: str, task_args: Sequence[Any] = ()) -> None:
    """Add the background job to later events."""
    if sentry_sdk.is_initialized():
        scope = sentry_sdk.get_isolation_scope()
        scope.set_tag("task", task_name)
        scope.set_context("task", {"name": task_name, "args": [str(argument) for argument in task_args]})
