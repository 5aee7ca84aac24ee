"""Emails about errors to DJANGO_ADMINS, sent by a thread: a mail server that is down delays no request."""

import atexit
import logging
import os
import queue
import threading

from django.core import mail

from backend.formatters import TextFormatter
from backend.logs.handlers import GuardedHandler
from backend.logs.repeats import RepeatLimiter
from backend.logs.text import format_entry
from backend.request_context import printable

INTERVAL = 60.0  # seconds between two emails about the same error group
MAX_WAITING = 50  # emails
GRACE = 5.0  # seconds that an ending process waits for its last emails

logger = logging.getLogger("backend.telemetry.error_mail")


class AdminMailHandler(GuardedHandler):
    """Sends one email per error group and minute; the next email counts the errors in between."""

    label = "admin_mail"
    where_dropped_lines_are = "; they are in error.log"

    def __init__(self) -> None:
        super().__init__()
        self._text = TextFormatter()
        self._repeats = RepeatLimiter(INTERVAL)
        self._waiting: queue.Queue[tuple[str, str] | None] = queue.Queue(MAX_WAITING)
        self._thread: threading.Thread | None = None
        self._pid = 0
        atexit.register(self._finish)

    def emit(self, record: logging.LogRecord) -> None:
        # Clients cause security records, and test_logging writes test records: neither is an error of Cosmo.
        if record.name.startswith(("django.security", "api.test_logging")):
            return
        suppressed = self._repeats.allow(_error_key(record))
        if suppressed is None:
            return
        entry = self._text.build_entry(record)[0]
        body = format_entry(entry)
        if suppressed:
            body += f"\n\n{suppressed} more of these since the last email; logs/error.log has all of them."
        self._enqueue(printable(f"{record.levelname}: {entry['message']}")[:200], body)

    def _enqueue(self, subject: str, body: str) -> None:
        """Queue the email for the thread; raise queue.Full if too many are waiting."""
        self.acquire()
        try:
            self._start_thread()
            self._waiting.put_nowait((subject, body))
            self.written += 1
        finally:
            self.release()

    def _start_thread(self) -> None:
        if self._thread is not None and self._pid == os.getpid():
            return
        self._waiting = queue.Queue(MAX_WAITING)  # after a fork, the parent's thread does not exist here
        self._pid = os.getpid()
        self._thread = threading.Thread(target=_deliver, args=(self._waiting,), name="admin-mail", daemon=True)
        self._thread.start()

    def _finish(self) -> None:
        if self._thread is None or self._pid != os.getpid():
            return
        try:
            self._waiting.put(None, timeout=GRACE)
        except queue.Full:
            return
        self._thread.join(GRACE)


def _error_key(record: logging.LogRecord) -> tuple[object, ...]:
    """Return the key of an error group: type and location of the exception, else the location of the log call."""
    error = record.exc_info[1] if record.exc_info else None
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    location = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ()
    return (record.name, record.pathname, record.lineno, type(error), location)


def _deliver(waiting: "queue.Queue[tuple[str, str] | None]") -> None:
    while (item := waiting.get()) is not None:
        try:
            mail.mail_admins(*item)
        except Exception as error:  # noqa: BLE001 - after any failure the next email is tried
            logger.warning("Admin mail failed", extra={"event": "admin_mail_failed", "reason": str(error)})
