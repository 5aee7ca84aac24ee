"""Formatters of log records: JSON, one object per line, or text for developers."""

import logging
import threading
from operator import is_
from typing import Any

import orjson

from backend import request_context
from backend.logging_config import PERFORMANCE
from backend.logs.entries import RESERVED_KEYS, build_entry, fallback_entry, message_of, timestamp
from backend.logs.text import format_entry
from backend.redaction import redact

__all__ = ["JSONFormatter", "PerformanceFormatter", "SecurityFormatter", "TextFormatter", "message_of", "timestamp"]

MAX_BYTES = 64 * 1024  # of a line
_IMMUTABLE = frozenset({str, int, bool, float, type(None)})
# orjson leaves these as they are, but they split lines or confuse terminals: DEL, C1, NEL, LS, PS, bidi overrides.
_ESCAPES = {
    code: f"\\u{code:04x}"
    for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


class _LastRecord(threading.local):
    """The entries of the last record that this thread has formatted. The handlers of one record share them."""

    def __init__(self) -> None:
        self.sources: list[Any] = []
        self.entries: dict[Any, tuple[dict[str, Any], str]] = {}


_last_record = _LastRecord()


class JSONFormatter(logging.Formatter):
    """Formats any record as one line of valid JSON, and never raises. A security event gets its block."""

    def __init__(
        self,
        *,
        debug: bool = False,
        service: str = "cosmo-backend",
        version: str = "1.0.0",
        environment: str = "development",
        max_bytes: int = MAX_BYTES,
    ) -> None:
        super().__init__()
        self.environment = {"debug": debug, "service": service, "version": version, "name": environment}
        self.max_bytes = max_bytes

    def format(self, record: logging.LogRecord) -> str:
        entry, line = self.build_entry(record)
        if len(line) * 6 <= self.max_bytes or len(line.encode()) <= self.max_bytes:
            return line
        return _shortened(entry, self.max_bytes)

    def build_entry(self, record: logging.LogRecord) -> tuple[dict[str, Any], str]:
        """Return the entry and its line. They are built again if anything they depend on has changed."""
        blocks = self.optional_blocks(record)
        sources = _sources_of(record)
        if sources is None:
            return self._build(record, blocks)
        last = _last_record
        key = (*blocks, *self.environment.values())
        if len(sources) != len(last.sources) or not all(map(is_, sources, last.sources)):
            last.sources, last.entries = sources, {key: (built := self._build(record, blocks))}
            return built
        if key not in last.entries:
            last.entries[key] = self._build(record, blocks)
        return last.entries[key]

    def _build(self, record: logging.LogRecord, blocks: tuple[bool, bool]) -> tuple[dict[str, Any], str]:
        try:
            entry = build_entry(record, self.environment, *blocks)
            return entry, _encode(entry)
        except Exception as error:  # noqa: BLE001 - a log call never raises
            entry = fallback_entry(record, self.environment, error, *blocks)
            return entry, _encode(entry)

    def optional_blocks(self, record: logging.LogRecord) -> tuple[bool, bool]:
        """Return whether the record gets a security block, and whether it gets the blocks of measures."""
        name = vars(record).get("name")
        return "security_event" in vars(record), type(name) is str and name.startswith(PERFORMANCE)


class SecurityFormatter(JSONFormatter):
    """Adds security {event_type, category, severity} to every record."""

    def optional_blocks(self, record: logging.LogRecord) -> tuple[bool, bool]:
        return True, super().optional_blocks(record)[1]


class PerformanceFormatter(JSONFormatter):
    """Moves measures of `extra`, such as `duration`, to the blocks performance, database and memory."""

    def optional_blocks(self, record: logging.LogRecord) -> tuple[bool, bool]:
        return super().optional_blocks(record)[0], True


class TextFormatter(JSONFormatter):
    """Formats the same facts as text for developers, followed by the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return format_entry(self.build_entry(record)[0])


def _sources_of(record: logging.LogRecord) -> list[Any] | None:
    """Return the immutable objects that the entry is made from; None if something in it could change in place."""
    fields = vars(record)
    for value in fields.values():
        kind = type(value)
        if kind in _IMMUTABLE or (kind is tuple and _IMMUTABLE.issuperset(map(type, value))):
            continue
        if kind is not list or value:  # an item added to an empty list is noticed here
            return None
    span_id = request_context.current_trace()[1]  # stands for the request, which must not stay in memory
    return [*fields.values(), *fields, span_id]


def _shortened(entry: dict[str, Any], max_bytes: int) -> str:
    """Return the line of a long entry, with its long values cut."""
    for max_text, max_items in ((4_000, 40), (1_000, 20), (200, 10)):
        line = _encode(redact(entry, max_text=max_text, max_items=max_items + len(entry)))
        if len(line.encode()) <= max_bytes:
            return line
    kept = {name: value for name, value in entry.items() if name in RESERVED_KEYS - {"exception", "extra", "database"}}
    return _encode(redact(kept, max_text=200, max_items=40) | {"extra": {"cut": "the record was too long"}})


def _encode(entry: dict[str, Any]) -> str:
    try:
        line = orjson.dumps(entry).decode()
    except TypeError:  # a lone surrogate
        line = orjson.dumps(_without_surrogates(entry)).decode()
    return line if line.isascii() and "\x7f" not in line else line.translate(_ESCAPES)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
