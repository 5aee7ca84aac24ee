"""Refresh a value in a thread: one refresh at a time, shared by all callers."""

import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic


class SingleFlight:
    """Runs `refresh` in its own thread, never twice at once, at most once per `max_age` seconds."""

    def __init__(self, refresh: Callable[[], None], *, name: str, max_age: float) -> None:
        self._refresh = refresh
        self._name = name
        self._max_age = max_age
        self._lock = threading.Lock()
        self._running: threading.Event | None = None
        self._ended_at = float("-inf")

    def start_if_stale(self) -> threading.Event | None:
        """Start a refresh if the last one is too old; return an event that is set at the end of the running one.

        Return None if no refresh is running: the value is fresh, or the process can start no more threads.
        """
        with self._lock:
            if self._running is None and monotonic() - self._ended_at >= self._max_age:
                self._start()
            return self._running

    def _start(self) -> None:
        ended = threading.Event()
        with suppress(RuntimeError):  # the process has reached its thread limit
            threading.Thread(target=self._run, args=(ended,), name=self._name, daemon=True).start()
            self._running = ended

    def _run(self, ended: threading.Event) -> None:
        try:
            self._refresh()
        finally:
            with self._lock:
                self._ended_at, self._running = monotonic(), None
            ended.set()
