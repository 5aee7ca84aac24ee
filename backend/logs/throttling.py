"""Limits on repeated log events: those that an attacker can cause at will, and those of a library in an outage."""

import atexit
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

from backend.logging_config import SECURITY
from backend.logs.repeats import RepeatLimiter

LIMIT = 60  # equal events per window and process
WINDOW = 60.0  # seconds
MAX_KEYS = 10_000

logger = logging.getLogger(SECURITY)


class _Window:
    """The events of one key within a minute."""

    __slots__ = ("ends_at", "extra", "level", "message", "total")

    def __init__(self, ends_at: float, level: int, message: str, extra: Mapping[str, Any]) -> None:
        self.ends_at, self.level, self.message, self.extra = ends_at, level, message, extra
        self.total = 0


class EventThrottle:
    """Logs 60 events a minute per event, route and IP address. A summary then gives the number of the others.

    This is no RepeatLimiter: it logs the first 60 events, and its summary does not wait for the next event.
    """

    def __init__(self) -> None:
        self._windows: dict[tuple[Any, ...], _Window] = {}
        self._next_sweep = 0.0
        self._lock = threading.Lock()

    def log(self, level: int, message: str, *, route: str | None, extra: Mapping[str, Any]) -> None:
        """Log to api.security, or only count. `extra` contains event and ip_address."""
        now = time.monotonic()
        key = (extra["event"], route, extra["ip_address"])
        with self._lock:
            window = self._windows.get(key)
            if window is None and len(self._windows) >= MAX_KEYS:
                key = (extra["event"], None, None)  # too many addresses: they share one window
                window = self._windows.get(key)
            if window is None or window.ends_at <= now:
                self._log_summary(window)
                window = self._windows[key] = _Window(now + WINDOW, level, message, dict(extra) | {"route": route})
            window.total += 1
            if window.total > LIMIT:
                return
        logger.log(level, message, extra=dict(extra))

    def log_finished_windows(self) -> None:
        """Log the summaries of finished windows. Every request calls this, so a summary waits for no equal event."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        with self._lock:
            self._next_sweep = now + 1
            finished = [key for key, window in self._windows.items() if window.ends_at <= now]
            for key in finished:
                self._log_summary(self._windows.pop(key))

    def close(self) -> None:
        """Log the summaries of all windows before the process ends."""
        with self._lock:
            while self._windows:
                self._log_summary(self._windows.popitem()[1])

    def _log_summary(self, window: _Window | None) -> None:
        if window is not None and window.total > LIMIT:
            extra = dict(window.extra) | {"summarized_count": window.total - LIMIT}
            logger.log(window.level, window.message, extra=extra)


class RepeatFilter(logging.Filter):
    """Passes one record of a kind per minute, and adds the number of suppressed ones as `summarized_count`.

    It is for records that a library repeats during an outage, not for our own events.
    """

    def __init__(self) -> None:
        super().__init__()
        self._repeats = RepeatLimiter(WINDOW)

    def reset(self) -> None:
        self._repeats.reset()

    def filter(self, record: logging.LogRecord) -> bool:
        suppressed = self._repeats.allow(_repeat_key(record))
        if suppressed:
            record.summarized_count = suppressed
        return suppressed is not None


def _repeat_key(record: logging.LogRecord) -> tuple[object, ...]:
    """Return the log call, the exception type and PostgreSQL's error code: a lock is not an outage."""
    error = record.exc_info[1] if record.exc_info else None
    return (record.pathname, record.lineno, type(error), getattr(getattr(error, "__cause__", None), "sqlstate", None))


event_throttle = EventThrottle()
atexit.register(event_throttle.close)
