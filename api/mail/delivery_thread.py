"""Delivery in the background: by Celery where a broker is configured and answers, else in this process.

The broker is told by the thread too: one that stands still would hold the request for seconds.
"""

import atexit
import contextvars
import logging
import os
import threading

from django.conf import settings
from django.db import connection

from api.mail.delivery import deliver_due
from backend.logging_config import API
from backend.sentry_config import capture_task_context

logger = logging.getLogger(f"{API}.mail")


class _DeliveryThread:
    """One thread a process; it begins when somebody wakes it, and ends when nothing is due."""

    def __init__(self) -> None:
        self._forget()
        os.register_at_fork(after_in_child=self._forget)  # the parent's thread is not here

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._asked_in: contextvars.Context | None = None  # of the request that asked last

    def wake(self) -> None:
        with self._lock:
            self._asked_in = contextvars.copy_context()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mail", daemon=True)
                self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Let the thread end its work; a mail that it cannot finish when the process ends is recovered later."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _work(self) -> None:
        capture_task_context("deliver_mail")
        try:
            while context := self._next():
                if not context.run(_hand_over):
                    deliver_due()
        except Exception:
            logger.exception("Mail delivery stopped", extra={"event": "mail_delivery_stopped"})
            with self._lock:
                self._thread = None
        finally:
            connection.close()

    def _next(self) -> contextvars.Context | None:
        with self._lock:
            context, self._asked_in = self._asked_in, None
            if context is None:
                self._thread = None
            return context


def _hand_over() -> bool:
    """Whether Celery has the work now."""
    if not settings.CELERY_BROKER_URL:
        return False
    from backend.celery import app  # noqa: PLC0415 - only where there is a broker

    try:
        app.send_task("api.deliver_mail", retry=False)
    except Exception:
        logger.warning("Broker unavailable", extra={"event": "broker_unavailable"}, exc_info=True)
        return False
    return True


_worker = _DeliveryThread()


def schedule_delivery() -> None:
    """See to it that what is due is delivered soon."""
    _worker.wake()


def wait_until_delivered() -> None:
    """Wait until this process has delivered what it was woken for."""
    _worker.join()


atexit.register(_worker.join, 5)
