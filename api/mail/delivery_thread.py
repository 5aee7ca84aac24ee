"""Delivery in the background: by Celery if a broker is configured and responds, otherwise in this process.

The thread also calls the broker, because a broker that does not respond would delay the request by seconds.
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
    """One thread per process. It starts on demand and ends when no email is due."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # a child process does not have the parent's thread

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._requested_in: contextvars.Context | None = None  # context of the latest request

    def start(self) -> None:
        with self._lock:
            self._requested_in = contextvars.copy_context()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mail", daemon=True)
                self._thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread. If the process ends first, another run recovers the unfinished email."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def _work(self) -> None:
        capture_task_context("deliver_mail")
        try:
            while context := self._next():
                if not context.run(_enqueue_job):
                    deliver_due()
        except Exception:
            logger.exception("Mail delivery stopped", extra={"event": "mail_delivery_stopped"})
            with self._lock:
                self._thread = None
        finally:
            connection.close()

    def _next(self) -> contextvars.Context | None:
        with self._lock:
            context, self._requested_in = self._requested_in, None
            if context is None:
                self._thread = None
            return context


def _enqueue_job() -> bool:
    """Enqueue the Celery job; return whether that succeeded."""
    if not settings.CELERY_BROKER_URL:
        return False
    from backend.celery import app  # noqa: PLC0415 - needed with a broker only

    try:
        app.send_task("api.deliver_mail", retry=False)
    except Exception:
        logger.warning("Broker unavailable", extra={"event": "broker_unavailable"}, exc_info=True)
        return False
    return True


_delivery_thread = _DeliveryThread()


def schedule_delivery() -> None:
    """Deliver due emails soon, in the background."""
    _delivery_thread.start()


def wait_until_delivered() -> None:
    """Wait until this process has delivered the scheduled emails."""
    _delivery_thread.join()


atexit.register(_delivery_thread.join, 5)
