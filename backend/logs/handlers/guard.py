"""The guarantees of all handlers: they never raise, they count lines, and they report errors at most once a minute."""

import contextlib
import logging
import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from backend.logs.handlers.standard_error import print_error
from backend.logs.repeats import RepeatLimiter

REPORT_INTERVAL = 60.0  # seconds between two lines on stderr about the same handler
MAX_REENTRANT_LINES = 100

# Called with the handler's label for each dropped line; backend.telemetry.metrics counts them.
drop_listeners: list[Callable[[str], None]] = []

_line_handlers: "weakref.WeakSet[LineHandler]" = weakref.WeakSet()


class GuardedHandler(logging.Handler):
    """Base of all handlers. A subclass overrides `emit`. If that raises, the record is counted as dropped."""

    label = "other"  # value of `file` in cosmo_log_lines_dropped_total
    where_dropped_lines_are = ""  # the end of a sentence

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self.written = self.dropped = 0  # lines of this process
        self.last_error = ""
        self._reported_drops = 0
        self._reports = RepeatLimiter(REPORT_INTERVAL)

    def handle(self, record: logging.LogRecord) -> Any:
        """Filter and emit without the handler's lock, so that threads format at the same time."""
        try:
            passed = self.filter(record)
            if passed:
                self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        except Exception as error:  # noqa: BLE001 - a log call never raises
            self.drop(error)
            return False
        return passed

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the standard library's
        """Count a drop instead of printing a traceback, which could block on stderr."""
        self.drop(RuntimeError("A record could not be handled"))

    def drop(self, error: Exception) -> None:
        """Count a dropped line, and report the reason."""
        self.acquire()
        try:
            self.dropped += 1
            self.last_error = reason_of(error)
        finally:
            self.release()
        for listener in drop_listeners:
            with contextlib.suppress(Exception):  # a failing metric must not fail the log call
                listener(self.label)
        self.report_drops(f"{self.last_error}.")

    def report_drops(self, reason: str) -> None:
        """Print the number of dropped lines, at most once a minute."""
        count = f"{self.dropped} line{'s' if self.dropped > 1 else ''}"
        if self.report(f"{reason} Process {os.getpid()} has dropped {count}{self.where_dropped_lines_are}."):
            self._reported_drops = self.dropped

    def report(self, text: str) -> bool:
        """Print a line about this handler on stderr; return False if the last one is less than a minute old."""
        if self._reports.allow() is None:
            return False
        print_error(f"{self.title()}: {text}")
        return True

    def title(self) -> str:
        return f"Log handler {self.label}"


class LineHandler(GuardedHandler):
    """Formats records outside the lock, and writes them inside it, one at a time."""

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._lines: deque[bytes] = deque()
        self._is_writing = False
        _line_handlers.add(self)

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        self.acquire()
        try:
            self._lines.append(line)
            # A signal handler may log while its own thread holds the lock. Its line is written after the current one.
            while self._lines and not self._is_writing:
                self._write_pending()
        finally:
            self.release()

    def write(self, line: bytes) -> None:
        """Write whole lines that end with a line feed, or raise OSError."""
        raise NotImplementedError

    def _write_pending(self) -> None:
        self._is_writing = True
        try:
            for _ in range(MAX_REENTRANT_LINES):
                if not self._lines:
                    return
                self._write_or_drop(self._lines.popleft())
            self._lines.clear()  # writing logs again each time, and would never end
        finally:
            self._is_writing = False

    def _write_or_drop(self, line: bytes) -> None:
        try:
            self.write(line)
        except Exception as error:  # noqa: BLE001 - the next line must be tried all the same
            self.drop(error)
        else:
            self.written += 1
            if self.dropped > self._reported_drops:
                self.on_recovery()

    def after_fork(self) -> None:
        """Discard, in a child process, the lines that a thread of the parent was writing."""
        self._lines.clear()
        self._is_writing = False

    def on_recovery(self) -> None:
        """Report the number of dropped lines. This runs after a write that succeeded, if drops are unreported."""
        self.report_drops("Lines are written again.")


def reason_of(error: Exception) -> str:
    """Return the error's type and the system's text. Other texts may contain the logged data."""
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or 'a record could not be handled'}"


def _after_fork_in_child() -> None:
    for handler in list(_line_handlers):
        handler.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
