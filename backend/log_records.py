"""Making log records: a log call never raises, whatever its `extra` is called."""

import logging
from collections.abc import Mapping
from typing import Any

# What every record has by itself; anything else on a record came from a caller's `extra`.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


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
        record = super().makeRecord(name, level, fn, lno, msg, args, exc_info, func, None, sinfo)
        for key, value in (extra or {}).items():
            if key in STANDARD:
                vars(record).setdefault("extra", {})[key] = value
            else:
                vars(record)[key] = value
        return record
