"""Log records as JSON, one object a line; as text for people. The keys and their order are those of docs/logging.md."""

import logging
import time
import traceback
from collections.abc import Mapping
from typing import Any

import orjson

from backend import request_context
from backend.logging_config import PERFORMANCE
from backend.logs.records import STANDARD
from backend.logs.text import format_entry
from backend.redaction import REDACTED, hides, redact, redact_text, safe_str
from backend.redaction.messages import format_message

MAX_BYTES = 64 * 1024  # of a line
_HEAD, _TAIL = 8_000, 16_000  # characters that stay of a long traceback
_LOOKED_AT = 32_000  # at each end, for secrets that a cut goes through
# Names of an entry that a caller's `extra` cannot take; `event` he may give.
RESERVED_KEYS = frozenset(
    {
        *("timestamp", "level", "logger", "message", "module", "function", "line", "process", "thread", "thread_name"),
        *("environment", "request", "performance", "database", "memory", "security", "trace_id", "span_id"),
        *("exception", "extra"),
        "stack",
    }
)
_CACHE = "_cosmo_entries"
_PLAIN = frozenset({int, bool, float, type(None)})
_NOT_EXTRA = STANDARD | {_CACHE, "event"}
_MEASURES = ("duration", "queries_count", "queries_time_ms", "slow_queries", "likely_n_plus_one")
_SEVERITY = {"DEBUG": "low", "INFO": "low", "WARNING": "medium", "ERROR": "high", "CRITICAL": "critical"}
# What orjson leaves as it is, but splits lines or confuses terminals: DEL, C1 controls, NEL, LS, PS, bidi overrides.
_ESCAPES = {
    code: f"\\u{code:04x}"
    for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_seconds: tuple[int, str] = (0, "")


class JSONFormatter(logging.Formatter):
    """One line of valid JSON for any record; never raises. A record with a security event carries its block."""

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
        """The entry and its line; the handlers of one record have them in common, and they are made once."""
        known: dict[Any, tuple[dict[str, Any], str]] = vars(record).setdefault(_CACHE, {})
        key = (*self.optional_blocks(record), *self.environment.values())
        if key not in known:
            try:
                entry = _build_entry(record, self.environment, *self.optional_blocks(record))
                known[key] = entry, _encode(entry)
            except Exception as error:  # noqa: BLE001 - a log call never raises
                entry = _fallback_entry(record, self.environment, error)
                known[key] = entry, _encode(entry)
        return known[key]

    def optional_blocks(self, record: logging.LogRecord) -> tuple[bool, bool]:
        """Whether the record gets a security block, and blocks of measures."""
        return hasattr(record, "security_event"), record.name.startswith(PERFORMANCE)


class SecurityFormatter(JSONFormatter):
    """Every record has security {event_type, category, severity}."""

    def optional_blocks(self, record: logging.LogRecord) -> tuple[bool, bool]:
        return True, super().optional_blocks(record)[1]


class PerformanceFormatter(JSONFormatter):
    """`duration`, `queries_count` and `memory_usage` of `extra` become the blocks performance, database and memory."""

    def optional_blocks(self, record: logging.LogRecord) -> tuple[bool, bool]:
        return super().optional_blocks(record)[0], True


class TextFormatter(JSONFormatter):
    """For people in development: the same facts, and the traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        return format_entry(self.build_entry(record)[0])


def _build_entry(
    record: logging.LogRecord,
    environment: Mapping[str, Any],
    has_security: bool,  # noqa: FBT001 - the two of JSONFormatter.optional_blocks
    has_measures: bool,  # noqa: FBT001
) -> dict[str, Any]:
    extra, collided = _extra(record)
    event = vars(record).get("event", extra.get("security_event"))
    entry: dict[str, Any] = {"timestamp": timestamp(record.created), "level": record.levelname, "logger": record.name}
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
        entry["security"] = {
            "event_type": extra.get("security_event") or entry.get("event") or "unspecified",
            "category": extra.get("security_category") or "general",
            "severity": extra.pop("security_severity", None) or _SEVERITY.get(record.levelname, "medium"),
        }
    if record.exc_info and record.exc_info[1] is not None:
        entry["exception"] = _exception(record.exc_info[1])
    if record.stack_info:
        entry["stack"] = redact_text(str(record.stack_info))
    entry |= extra
    if collided:
        entry["extra"] = collided
    return entry


def _extra(record: logging.LogRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the caller gave: under its own name, or under `extra` where the name is taken."""
    own: dict[str, Any] = {}
    collided: dict[str, Any] = {}
    for name, value in vars(record).items():
        if name in _NOT_EXTRA:
            continue
        if name == "request" and record.name.startswith("django."):
            continue  # Django's request object; the request block says it better
        kind = type(value)  # what most records are made of needs no walk
        is_plain = (kind in _PLAIN and -(2**63) <= (value or 0) < 2**63) or (kind is list and not value)
        clean: Any = value if is_plain else redact(value)
        if hides(name, value):
            clean = REDACTED
        if name == "extra" and isinstance(clean, dict):
            collided |= clean
        elif name in RESERVED_KEYS:
            collided[name] = clean
        else:
            own[redact_text(name, limit=200)] = clean
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


def message_of(record: logging.LogRecord) -> str:
    """The message with its arguments, without secrets."""
    return format_message(record.msg, record.args)


def _exception(error: BaseException) -> dict[str, str]:
    kind = type(error)
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - an exception of somebody's own may raise when it is shown
        text = "[a traceback that cannot be shown]"
    text = _ends_of(text)
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": redact_text(safe_str(error)),
        "traceback": text,
    }


def _ends_of(text: str) -> str:
    """The head and the tail of a traceback, without secrets, also of those that begin or end in what is left out."""
    if len(text) > 2 * _LOOKED_AT:
        # From a line's beginning: half a line could show a secret without its name.
        _, _, tail = text[-_LOOKED_AT:].partition("\n")
        head = redact_text(text[:_LOOKED_AT], limit=_LOOKED_AT)[:_HEAD]
        return f"{head}\n...\n{_tail(redact_text(tail, limit=_LOOKED_AT))}"
    text = redact_text(text, limit=2 * _LOOKED_AT)
    return text if len(text) <= _HEAD + _TAIL else f"{text[:_HEAD]}\n...\n{_tail(text)}"


def _tail(text: str) -> str:
    return text if len(text) <= _TAIL else text[-_TAIL:].partition("\n")[2]


def _fallback_entry(record: logging.LogRecord, environment: Mapping[str, Any], error: Exception) -> dict[str, Any]:
    """What can always be said."""
    return {
        "timestamp": timestamp(record.created),
        "level": str(record.levelname),
        "logger": str(record.name),
        "message": "A record could not be formatted",
        "line": record.lineno if isinstance(record.lineno, int) else None,
        "environment": environment,
        "extra": {"error": type(error).__name__, "file": safe_str(record.pathname)},
    }


def _shortened(entry: dict[str, Any], max_bytes: int) -> str:
    """The line of an entry that is too long, with its long values cut."""
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


def timestamp(moment: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC, with six digits."""
    global _seconds
    second = int(moment // 1)
    known, text = _seconds
    if known != second:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        _seconds = (second, text)
    return f"{text}.{int((moment - second) * 1_000_000):06d}Z"
