"""The load balancers' probes: is the process alive, is the service usable. Responses reveal no internals.

A hanging check must not hang its callers, and a hundred callers must not cause a hundred checks. So each check runs
in its own thread, one at a time, and its result is shared for a second.
"""

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, perf_counter

import orjson
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed

from backend.http.problems import fill_with_problem
from backend.logging_config import API
from backend.logs.repeats import RepeatLimiter
from backend.single_flight import SingleFlight

RESULT_LIFETIME = 1.0  # seconds
CHECK_TIMEOUT = 2.0  # seconds that a caller waits
REPEAT_INTERVAL = 60.0  # seconds between log lines about the same failure

logger = logging.getLogger(API)


@dataclass(frozen=True)
class Result:
    healthy: bool
    duration_ms: int
    reason: str = ""
    at: float = 0.0  # monotonic


class Check:
    """A health check of one dependency: `attempt` raises if the dependency does not work."""

    def __init__(self, name: str, attempt: Callable[[], None]) -> None:
        self.name = name
        self._attempt = attempt
        self._lock = threading.Lock()
        self._last: Result | None = None
        self._reports = RepeatLimiter(REPEAT_INTERVAL)
        self._flight = SingleFlight(self._run, name=f"health-{name}", max_age=RESULT_LIFETIME)

    def latest(self) -> Result:
        """Return a result that is at most a second old; "no answer" if the attempt takes too long."""
        if self._last is not None and monotonic() - self._last.at < RESULT_LIFETIME:
            return self._last
        running = self._flight.start_if_stale()
        has_ended = running is None or running.wait(CHECK_TIMEOUT)
        if has_ended and self._last is not None:
            return self._last
        result = Result(healthy=False, duration_ms=round(CHECK_TIMEOUT * 1000), reason="no answer", at=monotonic())
        self._store(result)
        return result

    def _run(self) -> None:
        started = perf_counter()
        reason = ""
        try:
            self._attempt()
        except Exception as error:  # noqa: BLE001 - any exception means that the dependency does not work
            reason = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        duration_ms = round((perf_counter() - started) * 1000)
        self._store(Result(healthy=not reason, duration_ms=duration_ms, reason=reason, at=monotonic()))

    def _store(self, result: Result) -> None:
        with self._lock:
            was_healthy = self._last is None or self._last.healthy
            self._last = result
            is_news = result.healthy != was_healthy
            if is_news:
                self._reports.reset()
            if (result.healthy and not is_news) or self._reports.allow() is None:
                return
        extra = {"check": self.name, "reason": result.reason}
        if result.healthy:
            logger.info("Health check recovered", extra={"event": "health_check_recovered", **extra})
        else:
            logger.error("Health check failed", extra={"event": "health_check_failed", **extra})


def _check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _check_cache() -> None:
    cache.set("health", "1", timeout=10)
    if cache.get("health") != "1":
        raise RuntimeError("the cache did not return the stored value")


_are_migrated = threading.Event()  # one check is enough: nobody reverts migrations under a running process


def _check_migrations() -> None:
    if _are_migrated.is_set():
        return
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise RuntimeError("there are unapplied migrations")
    _are_migrated.set()


DATABASE = Check("database", _check_database)
CACHE = Check("cache", _check_cache)
MIGRATIONS = Check("migrations", _check_migrations)


def is_draining() -> bool:
    """Return whether this instance is about to stop, so that load balancers send requests to the others."""
    return os.path.exists(settings.DRAIN_FILE)


def probe_response(request: HttpRequest) -> HttpResponse | None:
    """Return the response to a probe; None for every other path."""
    probe = _PROBES.get(request.path_info)
    if probe is None:
        return None
    if request.method not in {"GET", "HEAD"}:
        not_allowed = HttpResponseNotAllowed(["GET", "HEAD"], headers={"Cache-Control": "no-store"})
        fill_with_problem(not_allowed)
        return not_allowed
    healthy = probe()
    body = {
        "status": "healthy" if healthy else "unhealthy",
        "timestamp": datetime.now(UTC).replace(microsecond=0),
        "service": settings.SERVICE_NAME,
        "version": settings.APP_VERSION,
    }
    content = orjson.dumps(body, option=orjson.OPT_UTC_Z)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), "Cache-Control": "no-store"}
    return HttpResponse(content, status=200 if healthy else 503, headers=headers)


def view(request: HttpRequest) -> HttpResponse:
    """Register the probes as URLs; HealthCheckMiddleware responds before this view is called."""
    return probe_response(request) or HttpResponse(status=404)


def _is_alive() -> bool:
    return True


def _is_usable() -> bool:
    return not is_draining() and DATABASE.latest().healthy


def _is_ready() -> bool:
    return _is_usable() and CACHE.latest().healthy and MIGRATIONS.latest().healthy


_PROBES: dict[str, Callable[[], bool]] = {
    "/api/health/": _is_usable,
    "/api/health/live/": _is_alive,
    "/api/health/ready/": _is_ready,
}
