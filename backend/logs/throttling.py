"""One line a minute instead of thousands: what an attacker can cause at will, what a library repeats in an outage."""

import atexit
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from backend.logging_config import SECURITY

LIMIT = 60  # alike lines in a minute and process
WINDOW = 60.0  # seconds
MAX_KEYS = 10_000

logger = logging.getLogger(SECURITY)


class _Count:
    __slots__ = ("ends_at", "extra", "level", "message", "suppressed", "total")

    def __init__(self, ends_at: float, level: int, message: str, extra: Mapping[str, Any]) -> None:
        self.ends_at, self.level, self.message, self.extra = ends_at, level, message, extra
        self.total = self.suppressed = 0


class EventThrottle:
    """Lets through 60 lines a minute of one event, route and address, and tells how many more there were."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Any, ...], _Count] = {}
        self._next_sweep = 0.0
        self._lock = threading.Lock()

    def log(self, level: int, message: str, *, route: str | None, extra: Mapping[str, Any]) -> None:
        """Log to api.security, or count. `extra` has event and ip_address."""
        now = time.monotonic()
        key = (extra["event"], route, extra["ip_address"])
        with self._lock:
            count = self._counts.get(key)
            if count is None and len(self._counts) >= MAX_KEYS:
                key = (extra["event"], None, None)  # from everywhere at once: counted together
                count = self._counts.get(key)
            if count is None or count.ends_at <= now:
                self._log_summary(count)
                count = self._counts[key] = _Count(now + WINDOW, level, message, dict(extra) | {"route": route})
            count.total += 1
            if count.total > LIMIT:
                count.suppressed += 1
                return
        logger.log(level, message, extra=dict(extra))

    def log_finished_windows(self) -> None:
        """Tell of floods whose minute is over; called with every request, so that the end of one is told too."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        with self._lock:
            self._next_sweep = now + 1
            over = [key for key, count in self._counts.items() if count.ends_at <= now]
            for key in over:
                self._log_summary(self._counts.pop(key))

    def close(self) -> None:
        """Tell of everything that is still being counted; the process ends."""
        with self._lock:
            while self._counts:
                self._log_summary(self._counts.popitem()[1])

    def _log_summary(self, count: _Count | None) -> None:
        if count is not None and count.suppressed:
            logger.log(count.level, count.message, extra=dict(count.extra) | {"summarized_count": count.suppressed})


class RepeatFilter(logging.Filter):
    """Lets one record of a kind through when it begins, and then one a minute with the number of those in between.

    For what a library says by itself, again and again, while a server is away; no event of ours.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self._told: dict[tuple[object, ...], tuple[float, int]] = {}  # {kind: (when, how many since)}

    def filter(self, record: logging.LogRecord) -> bool:
        kind, now = _repeat_key(record), time.monotonic()
        with self._lock:
            when, more = self._told.get(kind, (-WINDOW, 0))
            if now - when < WINDOW:
                self._told[kind] = (when, more + 1)
                return False
            self._told[kind] = (now, 0)
        if more:
            record.summarized_count = more
        return True


def _repeat_key(record: logging.LogRecord) -> tuple[object, ...]:
    """The place, and what PostgreSQL called the fault: a lock is another one than a server that is away."""
    error = record.exc_info[1] if record.exc_info else None
    return (record.pathname, record.lineno, type(error), getattr(getattr(error, "__cause__", None), "sqlstate", None))


event_throttle = EventThrottle()
atexit.register(event_throttle.close)
