"""The metrics for Prometheus: counters of this process, added up over all workers by `metric_files`.

Label values are limited: route patterns, known methods, status classes and event names; all others are "other".
A counting failure breaks neither a request nor a log call.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import REGISTRY, Collector

from backend.logging_config import API
from backend.logs import handlers
from backend.request_context import RequestContext, printable
from backend.telemetry import metric_files, metric_reader, process_metrics

logger = logging.getLogger(API)

MAX_NAMES = 300  # routes, and events
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "PUT", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("cosmo_http_requests", "HTTP requests.", ["route", "method", "status"])
DURATIONS = Histogram(
    "cosmo_http_request_duration_seconds",
    "Duration of HTTP requests in seconds.",
    ["route", "method"],
    buckets=_SECONDS,
)
QUERIES = Counter("cosmo_database_queries", "SQL statements of HTTP requests.", ["route"])
QUERY_SECONDS = Counter(
    "cosmo_database_query_seconds", "Duration of SQL statements of HTTP requests in seconds.", ["route"]
)
LOG_RECORDS = Counter("cosmo_log_records", "Log records.", ["level"])
LOG_EVENTS = Counter("cosmo_log_events", "Log records by event; docs/logging.md lists the events.", ["event"])
LOG_DROPPED = Counter(
    "cosmo_log_lines_dropped", "Log lines that could not be written to a log file or the console.", ["file"]
)

# Events that alerts and dashboards watch start at 0: increase() ignores the step of a counter that starts at 1.
WATCHED_EVENTS = (
    "account_locked",
    "authentication_required",
    "database_unavailable",
    "failed_login",
    "login_success",
    "password_changed",
    "password_reset_completed",
    "password_reset_failed",
    "password_reset_requested",
    "permission_denied",
    "rate_limit_exceeded",
    "role_changed",
    "suspicious_pattern",
    "token_reuse",
)
for _event in WATCHED_EVENTS:
    LOG_EVENTS.labels(_event)

_names: dict[str, set[str]] = {"route": set(), "event": set(WATCHED_EVENTS)}
_logged: set[str] = set()  # messages about counting failures


def observe_request(context: RequestContext, status: int, seconds: float) -> None:
    """Count a request whose response is closed."""
    try:
        _observe(context, status, seconds)
    except Exception as error:  # noqa: BLE001 - a counting failure must not break a request
        _log_once("Request not counted", error)


def _observe(context: RequestContext, status: int, seconds: float) -> None:
    route = _capped("route", context.route or "none")
    method = context.method if context.method in _METHODS else "other"
    _labeled(REQUESTS, route, method, f"{status // 100}xx").inc()
    _labeled(DURATIONS, route, method).observe(seconds)
    if context.queries.count:
        _labeled(QUERIES, route).inc(context.queries.count)
        _labeled(QUERY_SECONDS, route).inc(context.queries.seconds)
    process_metrics.sample()


def _log_once(message: str, error: Exception) -> None:
    if message not in _logged:
        _logged.add(message)
        logger.error(message, exc_info=error, extra={"event": "metrics_failed"})


@cache  # labels() converts its values and takes a lock at each call; label values are few
def _labeled(metric: Any, *values: str) -> Any:
    return metric.labels(*values)


def _capped(kind: str, name: str) -> str:
    names = _names[kind]
    if name not in names:
        if len(names) >= MAX_NAMES:
            return "other"
        names.add(name)
    return name


class CountingHandler(handlers.GuardedHandler):
    """Counts records instead of writing them."""

    label = "metrics"

    def createLock(self) -> None:  # noqa: N802 - the standard library's
        self.lock = None  # counters have their own locks

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):  # silently: logging here would recurse
            self._count(record)

    def _count(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in logging.getLevelNamesMapping() else "other"
        _labeled(LOG_RECORDS, level).inc()
        event = getattr(record, "event", None) or getattr(record, "security_event", None)
        if isinstance(event, str):
            # One record may summarize many (backend.logs.throttling).
            _labeled(LOG_EVENTS, _capped("event", printable(event[:100]))).inc(getattr(record, "summarized_count", 1))


def _count_drop(name: str) -> None:
    with suppress(Exception):  # the calling handler holds its lock, so nothing may be logged
        LOG_DROPPED.labels(name).inc()


handlers.drop_listeners.append(_count_drop)


class _StaticCollector(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def render_metrics(more: Iterable[Metric] = ()) -> bytes:
    """Return all metrics in Prometheus' text format; `more` are those of the product."""
    try:
        process_metrics.sample(is_due=True)
    except Exception as error:  # noqa: BLE001 - the other metrics are still useful
        _log_once("Process not sampled", error)
    registry = CollectorRegistry()
    folder = metric_files.folder()
    registry.register(REGISTRY if folder is None else _StaticCollector(metric_reader.read_all_workers(folder)))
    registry.register(_StaticCollector(more))
    text: Any = generate_latest(registry)
    return bytes(text)
