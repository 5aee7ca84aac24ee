"""What load balancers ask: does the process answer, can the service be used. No word about the inside.

A check that hangs must not hang its askers, and a hundred askers must not be a hundred checks: each check runs in a
thread of its own, one at a time, and its result is shared for a second.
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

RESULT_LIFETIME = 1.0  # seconds
CHECK_TIMEOUT = 2.0  # seconds that an asker waits
REPEAT_INTERVAL = 60.0  # seconds between lines about the same failure

logger = logging.getLogger(API)


@dataclass(frozen=True)
class Result:
    healthy: bool
    duration_ms: int
    reason: str = ""
    at: float = 0.0  # monotonic


class Check:
    """Something that must work, tried by `attempt`, which raises if it does not."""

    def __init__(self, name: str, attempt: Callable[[], None]) -> None:
        self.name = name
        self._attempt = attempt
        self._lock = threading.Lock()
        self._done: threading.Event | None = None  # of the attempt that is under way
        self._last: Result | None = None
        self._reports = RepeatLimiter(REPEAT_INTERVAL)

    def latest(self) -> Result:
        """At most a second old; "no answer" where the attempt takes too long."""
        with self._lock:
            if self._last is not None and monotonic() - self._last.at < RESULT_LIFETIME:
                return self._last
            if self._done is None:
                self._done = threading.Event()
                threading.Thread(target=self._run, args=(self._done,), name=f"health-{self.name}", daemon=True).start()
            done = self._done
        if done.wait(CHECK_TIMEOUT) and self._last is not None:
            return self._last
        result = Result(healthy=False, duration_ms=round(CHECK_TIMEOUT * 1000), reason="no answer", at=monotonic())
        self._store(result)
        return result

    def _run(self, done: threading.Event) -> None:
        started = perf_counter()
        reason = ""
        try:
            self._attempt()
        except Exception as error:  # noqa: BLE001 - whatever it is, it does not work
            reason = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        duration_ms = round((perf_counter() - started) * 1000)
        self._store(Result(healthy=not reason, duration_ms=duration_ms, reason=reason, at=monotonic()))
        with self._lock:
            self._done = None
        done.set()

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
        raise RuntimeError("what was written was not read")


_are_migrated = threading.Event()  # once is enough: nobody migrates back under a running process


def _check_migrations() -> None:
    if _are_migrated.is_set():
        return
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise RuntimeError("there are migrations to apply")
    _are_migrated.set()


DATABASE = Check("database", _check_database)
CACHE = Check("cache", _check_cache)
MIGRATIONS = Check("migrations", _check_migrations)


def is_draining() -> bool:
    """Whether this machine is about to stop: the load balancer should ask others."""
    return os.path.exists(settings.DRAIN_FILE)


def probe_response(request: HttpRequest) -> HttpResponse | None:
    """The answer to one of the probes' addresses; None for any other."""
    probe = _PROBES.get(request.path_info)
    if probe is None:
        return None
    if request.method not in {"GET", "HEAD"}:
        refusal = HttpResponseNotAllowed(["GET", "HEAD"], headers={"Cache-Control": "no-store"})
        fill_with_problem(refusal)
        return refusal
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
    """For the address list; the middleware has answered before."""
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
