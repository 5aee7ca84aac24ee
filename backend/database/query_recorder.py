"""Record the SQL statements of a request: count, time, slow ones and repeated ones.

Works with DEBUG off, unlike `connection.queries`. Only the SQL text is kept, never its parameters.
"""

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any

from django.db import connections

_PROJECT = str(Path(__file__).resolve().parents[2])
_OUR_CODE = tuple(f"{_PROJECT}/{package}/" for package in ("api", "backend"))
_MAX_SLOW = 10
_MAX_STATEMENTS = 500
_MAX_SQL = 2_000  # characters
LIKELY_N_PLUS_ONE = 10  # executions of the same statement


class QueryRecorder:
    """Records the statements of this thread on every database between start() and stop()."""

    __slots__ = ("_hooks", "_listeners", "_repeated", "_seen", "count", "seconds", "slow", "threshold_ms")

    def __init__(self, *, threshold_ms: int, listeners: Iterable[Any] = ()) -> None:
        """Call each listener's add_query(sql, seconds) for every statement."""
        self.threshold_ms = threshold_ms
        self._listeners = tuple(listeners)
        self.count = 0
        self.seconds = 0.0
        self.slow: list[dict[str, Any]] = []
        self._seen: dict[str, int] = {}
        self._repeated: dict[str, str] = {}
        self._hooks = ExitStack()

    def start(self) -> None:
        for connection in connections.all():
            self._hooks.enter_context(connection.execute_wrapper(self))

    def stop(self) -> None:
        self._hooks.close()

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:  # noqa: FBT001 - Django's
        started = perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self._record(str(sql), perf_counter() - started)

    def _record(self, sql: str, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds
        for listener in self._listeners:
            listener.add_query(sql, seconds)
        if seconds * 1000 >= self.threshold_ms and len(self.slow) < _MAX_SLOW:
            self.slow.append({"sql": sql[:_MAX_SQL], "duration_ms": round(seconds * 1000), "at": _source_location()})
        times = self._seen.get(sql, 0) + 1
        if times > 1 or len(self._seen) < _MAX_STATEMENTS:
            self._seen[sql] = times
        if times == LIKELY_N_PLUS_ONE:
            self._repeated[sql] = _source_location()

    @property
    def likely_n_plus_one(self) -> list[dict[str, Any]]:
        """Return the statements that ran ten times or more: [{sql, count, at}]."""
        return [{"sql": sql[:_MAX_SQL], "count": self._seen[sql], "at": at} for sql, at in self._repeated.items()]


def _source_location() -> str:
    """Return the line of our own code that ran the statement, as "path:line function"."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_OUR_CODE) and path != __file__:
            return f"{path[len(_PROJECT) + 1 :]}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return ""
