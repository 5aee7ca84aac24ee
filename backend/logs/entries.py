"""The contents of a log line: a log record as a dict. docs/logging.md lists its keys and their order."""

import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from backend import request_context
from backend.logs.records import STANDARD
from backend.redaction import REDACTED, hides, redact, redact_text, safe_str
from backend.redaction.messages import format_message

_HEAD, _TAIL = 8_000, 16_000  # characters kept of a long traceback
_SEARCHED = 32_000  # characters searched for secrets at each end, because a cut may go through one
# Keys of an entry that a caller's `extra` cannot set. It can set `event`.
RESERVED_KEYS = frozenset(
    {
        "timestamp",
        "level",
        "logger",
        "message",
        "module",
        "function",
        "line",
        "process",
        "thread",
        "thread_name",
        "environment",
        "request",
        "performance",
        "database",
        "memory",
        "security",
        "trace_id",
        "span_id",
        "exception",
        "extra",
        "stack",
    }
)
_NUMBERS = frozenset({int, bool, float, type(None)})
_NOT_EXTRA = STANDARD | {"event"}
_MEASURES = ("duration", "queries_count", "queries_time_ms", "slow_queries", "likely_n_plus_one")
_SEVERITY = {"DEBUG": "low", "INFO": "low", "WARNING": "medium", "ERROR": "high", "CRITICAL": "critical"}
_last_second: tuple[int, str] = (0, "")


def build_entry(
    record: logging.LogRecord,
    environment: Mapping[str, Any],
    has_security: bool,  # noqa: FBT001 - see JSONFormatter.optional_blocks
    has_measures: bool,  # noqa: FBT001
) -> dict[str, Any]:
    extra, collided = _extra(record)
    event = vars(record).get("event", extra.get("security_event"))
    entry: dict[str, Any] = {
        "timestamp": timestamp(record.created),
        "level": _text(record.levelname),
        "logger": _text(record.name),
    }
    if isinstance(event, str):
        entry["event"] = redact_text(str(event))
    elif event is not None:
        collided["event"] = redact(event)
    entry |= {
        "message": message_of(record),
        "module": record.module,
        "function": record.funcName,
        "line": record.lineno,
        "process": record.process,
        "thread": record.thread,
        "thread_name": record.threadName,
        "environment": environment,
    }
    context = request_context.current()
    if context is not None:
        _add_request(entry, context)
    entry["trace_id"], entry["span_id"] = request_context.current_trace()
    if has_measures:
        _add_measures(entry, extra)
    if has_security:
        _add_security(entry, extra)
    if record.exc_info:
        _add_exception(entry, record.exc_info)
    if record.stack_info:
        entry["stack"] = redact_text(str(record.stack_info))
    entry |= extra
    if collided:
        entry["extra"] = collided
    return entry


def _extra(record: logging.LogRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the caller's values: those under their own names, and those whose names are reserved."""
    own: dict[str, Any] = {}
    collided: dict[str, Any] = {}
    fields = vars(record)
    for key, value in fields.items():
        if key in _NOT_EXTRA:
            continue
        name = key if type(key) is str else safe_str(key)
        if name == "request" and safe_str(fields.get("name")).startswith("django."):
            continue  # Django's request object; the request block has its facts
        kind = type(value)  # most values are numbers or empty lists, which need no redaction
        is_plain = (kind in _NUMBERS and -(2**63) <= (value or 0) < 2**63) or (kind is list and not value)
        redacted: Any = value if is_plain else redact(value)
        if hides(name, value):
            redacted = REDACTED
        if name == "extra" and isinstance(redacted, dict):
            collided |= redacted
        elif name in RESERVED_KEYS:
            collided[name] = redacted
        else:
            own[redact_text(name, limit=200)] = redacted
    return own, collided


def _add_request(entry: dict[str, Any], context: request_context.RequestContext) -> None:
    entry["request"] = {
        "id": context.request_id,
        "method": context.method,
        "path": context.path,
        "route": context.route,
        "user_id": context.user_id,
        "user_agent": context.user_agent,
        "remote_addr": context.ip_address,
    }
    is_slow = bool(context.queries and context.queries.slow)
    entry["performance"] = {"duration_ms": context.duration_ms, "slow_query": is_slow}


def _add_measures(entry: dict[str, Any], extra: dict[str, Any]) -> None:
    duration, count, time_ms, slow, repeated = (extra.pop(name, None) for name in _MEASURES)
    performance = entry.setdefault("performance", {"duration_ms": None, "slow_query": False})
    if duration is not None:
        performance["duration_ms"] = duration
    performance["slow_query"] = bool(slow) or performance["slow_query"]
    performance["category"] = extra.pop("category", None) or ("slow" if entry["level"] != "INFO" else "normal")
    if count is not None:
        entry["database"] = {"queries_count": count, "queries_time_ms": time_ms, "slow_queries": slow or []}
        if repeated:
            entry["database"]["likely_n_plus_one"] = repeated
    usage, growth = extra.pop("memory_usage", None), extra.pop("memory_growth", None)
    if usage is not None:
        entry["memory"] = {"usage_mb": usage} | ({} if growth is None else {"growth_mb": growth})


def _add_security(entry: dict[str, Any], extra: dict[str, Any]) -> None:
    entry["security"] = {
        "event_type": extra.get("security_event") or entry.get("event") or "unspecified",
        "category": extra.get("security_category") or "general",
        "severity": extra.pop("security_severity", None) or _SEVERITY.get(entry["level"], "medium"),
    }


def message_of(record: logging.LogRecord) -> str:
    """Return the message with its arguments, without secrets."""
    return format_message(record.msg, record.args)


def _add_exception(entry: dict[str, Any], exc_info: Any) -> None:
    """Add the exception of `exc_info`: a tuple, an exception, or True for the current exception."""
    error = sys.exc_info()[1] if exc_info is True else exc_info
    if isinstance(error, tuple):
        error = next((part for part in error if isinstance(part, BaseException)), None)
    if isinstance(error, BaseException):
        entry["exception"] = _exception(error)


def _exception(error: BaseException) -> dict[str, str]:
    kind = type(error)
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - a caller's own exception may raise while it is formatted
        text = "[a traceback that cannot be shown]"
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": redact_text(safe_str(error)),
        "traceback": _shortened_traceback(text),
    }


def _shortened_traceback(text: str) -> str:
    """Return the head and the tail of a traceback, without secrets. Secrets that a cut goes through are masked, too."""
    if len(text) > 2 * _SEARCHED:
        # Start at the beginning of a line: half a line could contain a secret without its name.
        _, _, tail = text[-_SEARCHED:].partition("\n")
        head = redact_text(text[:_SEARCHED], limit=_SEARCHED)[:_HEAD]
        return f"{head}\n...\n{_tail(redact_text(tail, limit=_SEARCHED))}"
    text = redact_text(text, limit=2 * _SEARCHED)
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n...\n{_tail(text)}"


def _tail(text: str) -> str:
    return text if len(text) <= _TAIL else text[-_TAIL:].partition("\n")[2]


def fallback_entry(
    record: logging.LogRecord,
    environment: Mapping[str, Any],
    failure: Exception,
    has_security: bool,  # noqa: FBT001 - see JSONFormatter.optional_blocks
    has_measures: bool,  # noqa: FBT001
) -> dict[str, Any]:
    """Return an entry for a record that `build_entry` cannot read. Each part that fails is left out."""
    fields = vars(record)
    entry: dict[str, Any] = {
        "timestamp": _attempt(lambda: timestamp(record.created)) or timestamp(time.time()),
        "level": _text(fields.get("levelname")),
        "logger": _text(fields.get("name")),
        "message": _attempt(lambda: message_of(record)) or redact_text(safe_str(fields.get("msg", ""))),
        "module": redact(fields.get("module")),
        "function": redact(fields.get("funcName")),
        "line": redact(fields.get("lineno")),
        "process": redact(fields.get("process")),
        "thread": redact(fields.get("thread")),
        "thread_name": redact(fields.get("threadName")),
        "environment": environment,
    }
    context = request_context.current()
    if context is not None:
        _attempt(lambda: _add_request(entry, context))
    entry["trace_id"], entry["span_id"] = request_context.current_trace()
    extra, collided = _attempt(lambda: _extra(record)) or ({}, {})
    if has_measures:
        _attempt(lambda: _add_measures(entry, extra))
    if has_security:
        _attempt(lambda: _add_security(entry, extra))
    _attempt(lambda: _add_exception(entry, fields.get("exc_info")))
    if fields.get("stack_info") is not None:
        entry["stack"] = redact_text(safe_str(fields["stack_info"]))
    formatting_error = f"{type(failure).__name__} while this record was formatted"
    return entry | extra | {"extra": collided | {"formatting_error": formatting_error}}


def _text(value: Any) -> str:
    return value if type(value) is str else redact_text(safe_str(value))


def _attempt(read: Callable[[], Any]) -> Any:
    """Return what `read` returns, or None if it fails."""
    try:
        return read()
    except Exception:  # noqa: BLE001 - a caller's own class may raise anything
        return None


def timestamp(moment: float) -> str:
    """Return seconds since 1970 as RFC 3339 in UTC, rounded to six digits."""
    global _last_second
    second, microsecond = divmod(round(moment * 1_000_000), 1_000_000)
    cached_second, text = _last_second
    if cached_second != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _last_second = (second, text)
    return f"{text}.{microsecond:06d}Z"
