"""The console: the same records on stderr, for a terminal, journald or a container's runtime."""

import logging

from backend.logs.handlers.guard import LineHandler
from backend.logs.handlers.standard_error import STANDARD_ERROR

_MESSAGE = "Console lines were dropped"


class ConsoleHandler(LineHandler):
    """Keeps the promises of the log files: whole lines, a bounded wait, counted drops.

    While nobody reads, lines are dropped; the first one that is taken again says how many.
    """

    label = "console"

    def __init__(self, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._told_drops = 0

    def write(self, line: bytes) -> None:
        dropped = self.dropped
        notice = self._notice(dropped - self._told_drops) if dropped > self._told_drops else b""
        STANDARD_ERROR.write(notice + line)
        self._told_drops = dropped

    def after_fork(self) -> None:
        """Leave it to the parent to say what it dropped."""
        super().after_fork()
        self._told_drops = self.dropped

    def report(self, text: str) -> bool:
        """Print nothing: the stream that does not work is the one that reports go to."""
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


# What is logged before logging is configured.
logging.lastResort = ConsoleHandler(logging.WARNING)
