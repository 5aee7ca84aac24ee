"""The console: the same records on stderr, for a terminal, journald or a container runtime."""

import logging

from backend.logs.handlers.guard import LineHandler
from backend.logs.handlers.standard_error import STANDARD_ERROR

_MESSAGE = "Console lines were dropped"


class ConsoleHandler(LineHandler):
    """Writes whole lines, waits for a bounded time, and counts dropped lines, as the log files do.

    Lines are dropped while no process reads stderr. A notice before the next line gives their number.
    """

    label = "console"

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._announced_drops = 0

    def write(self, line: bytes) -> None:
        dropped = self.dropped
        notice = self._notice(dropped - self._announced_drops) if dropped > self._announced_drops else b""
        STANDARD_ERROR.write(notice + line)
        self._announced_drops = dropped

    def after_fork(self) -> None:
        """Announce only own drops; the parent announces its drops."""
        super().after_fork()
        self._announced_drops = self.dropped

    def report(self, text: str) -> bool:
        """Print nothing, because reports would go to the same stream that failed."""
        return False

    def _notice(self, count: int) -> bytes:
        record = logging.makeLogRecord(
            {
                "name": __name__,
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": _MESSAGE,
                "dropped": count,
            }
        )
        return self.format(record).encode("utf-8", "backslashreplace") + b"\n"


# Handles records that are logged before logging is configured.
logging.lastResort = ConsoleHandler(logging.WARNING)
