"""Report an event once per interval, and count the repeats in between."""

import os
import threading
import time
import weakref
from collections.abc import Hashable
from math import inf

_limiters: "weakref.WeakSet[RepeatLimiter]" = weakref.WeakSet()


class RepeatLimiter:
    """Allows one report per key and interval. Safe for threads, signal handlers and forks.

    At most `max_keys` keys are kept. One more key forgets the others, so some of their repeats are reported early.
    """

    def __init__(self, interval: float, *, max_keys: int = 1_000) -> None:
        self.interval = interval  # seconds
        self.max_keys = max_keys
        self._reports: dict[Hashable, tuple[float, int]] = {}  # {key: (time of the last report, repeats since)}
        self.renew_lock()
        _limiters.add(self)

    def reset(self) -> None:
        """Forget all reports: the next one of each key is allowed."""
        with self._lock:
            self._reports.clear()

    def renew_lock(self) -> None:
        """Make a new lock. After a fork, a thread that does not exist in the child may hold the old one."""
        self._lock = threading.RLock()  # a signal handler may log while its own thread is in allow()

    def allow(self, key: Hashable = None) -> int | None:
        """Return None to suppress this report, else the number of reports suppressed since the last one."""
        now = time.monotonic()
        with self._lock:
            reported_at, count = self._reports.get(key, (-inf, 0))
            if now - reported_at < self.interval:
                self._reports[key] = (reported_at, count + 1)
                return None
            if len(self._reports) >= self.max_keys and key not in self._reports:
                self._reports.clear()
            self._reports[key] = (now, 0)
            return count


def _renew_locks_in_child() -> None:
    for limiter in list(_limiters):
        limiter.renew_lock()


os.register_at_fork(after_in_child=_renew_locks_in_child)
