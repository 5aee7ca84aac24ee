"""Making log records: a log call never raises, whatever its `extra` is called."""

import logging
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import SuspiciousOperation

from backend import request_context

# What every record has by itself; anything else on a record came from a caller's `extra`.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

MAX_REFUSAL = 200  # characters of what Django or gunicorn says of a request that it refuses, and repeats of it


class ShortMessages(logging.Filter):
    """Cuts gunicorn's line about a request that it cannot read."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.ERROR and isinstance(record.msg, str):
            record.msg = _cut(record.msg)
        return True


def _cut(text: str) -> str:
    return text if len(text) <= MAX_REFUSAL else f"{text[:MAX_REFUSAL]}..."


class StructuredLogger(logging.Logger):
    """Puts a name in `extra` that a record has already into `extra`, where the standard library raises KeyError."""

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
            # A client's mistake, or an attack: Django logs it as an error of ours, with its traceback.
            request_context.note_rejection(400, type(exc_info[1]).__name__)
            level, msg, exc_info = min(level, logging.WARNING), _cut(str(msg)), None
        record = super().makeRecord(name, level, fn, lno, msg, args, exc_info, func, None, sinfo)
        for key, value in (extra or {}).items():
            if key in STANDARD:
                vars(record).setdefault("extra", {})[key] = value
            else:
                vars(record)[key] = value
        return record
