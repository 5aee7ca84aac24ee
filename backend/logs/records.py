"""Creation of log records. A log call never raises, whatever names its `extra` has."""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import SuspiciousOperation

from backend import request_context

# The attributes of every record. All other attributes come from a caller's `extra`.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

MAX_REJECTION = 200  # characters of a message of Django or gunicorn about a rejected request, which quotes it


class ShortMessages(logging.Filter):
    """Shortens gunicorn's messages about requests that it cannot parse."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR and isinstance(record.msg, str):
            record.msg = _cut(record.msg)
        return True


def _cut(text: str) -> str:
    return text if len(text) <= MAX_REJECTION else f"{text[:MAX_REJECTION]}..."


class StructuredLogger(logging.Logger):
    """Keeps reserved names of `extra` in an attribute `extra`. The standard library raises KeyError."""

    def makeRecord(  # noqa: N802 - the standard library's
        self,
        name: str,
        level: int,
        fn: str,
        lno: int,
        msg: object,
        args: Any,
        exc_info: Any,
        func: str | None = None,
        extra: Mapping[str, object] | None = None,
        sinfo: str | None = None,
    ) -> logging.LogRecord:
        if exc_info and isinstance(exc_info[1], SuspiciousOperation):
            # Caused by the client. Django logs it as a server error with a traceback.
            request_context.note_rejection(400, type(exc_info[1]).__name__)
            level, msg, exc_info = min(level, logging.WARNING), _cut(str(msg)), None
        record = super().makeRecord(name, level, fn, lno, msg, args, exc_info, func, None, sinfo)
        for key, value in (extra or {}).items():
            if key in STANDARD:
                vars(record).setdefault("extra", {})[key] = value
            else:
                vars(record)[key] = value
        return record
