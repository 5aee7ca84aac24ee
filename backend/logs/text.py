"""A log entry as text: one line, followed by slow queries and the traceback."""

from collections.abc import Mapping
from typing import Any

from backend.logs.entries import RESERVED_KEYS
from backend.request_context import printable

_COLORS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
# Keys that are shown elsewhere in the text, or left out because they help nobody there.
_NOT_FACTS = (RESERVED_KEYS - {"extra"}) | {
    "event",
    "ip_address",
    "user_agent",
    "user_role",
    "security_event",
    "security_category",
    "status_code",
    "bytes",
}
_MAX_FACT = 200


def format_entry(entry: Mapping[str, Any], *, is_colored: bool = False) -> str:
    """Return time, level, logger, message, facts and request in one line, then the details."""
    level = printable(str(entry.get("level", "")))
    colors = {"level": _COLORS.get(level, "0"), "message": "1", "request": "2"}
    parts = {
        "time": printable(str(entry.get("timestamp", ""))[:23].replace("T", " ")),
        "level": f"{level:<7}",
        "logger": printable(str(entry.get("logger"))),
        "message": printable(str(entry.get("message"))),
        "facts": printable(" ".join(_facts(entry))),
        "request": printable(_request(entry)),
    }
    if is_colored:
        parts |= {name: f"\x1b[{color}m{parts[name]}\x1b[0m" for name, color in colors.items() if parts[name]}
    return "\n".join([" ".join(part for part in parts.values() if part), *_details(entry)])


def _facts(entry: Mapping[str, Any]) -> list[str]:
    return [f"{name}={_fact(value)}" for name, value in entry.items() if name not in _NOT_FACTS and value is not None]


def _request(entry: Mapping[str, Any]) -> str:
    request = entry.get("request")
    if not isinstance(request, Mapping):
        return ""
    parts = [f"{request.get('method')} {request.get('path')}"]
    if "status_code" in entry:
        parts.append(str(entry["status_code"]))
    if isinstance(database := entry.get("database"), Mapping):
        parts.append(f"{entry.get('performance', {}).get('duration_ms')} ms, {database.get('queries_count')} queries")
    if request.get("user_id") is not None:
        parts.append(f"user {request['user_id']}")
    parts.append(f"[{request.get('id')}]")
    return " ".join(parts)


def _details(entry: Mapping[str, Any]) -> list[str]:
    lines = []
    if isinstance(database := entry.get("database"), Mapping):
        lines += [
            f"    slow query, {query.get('duration_ms')} ms at {query.get('at')}: {_fact(query.get('sql'))}"
            for query in database.get("slow_queries") or []
        ]
        lines += [
            f"    {query.get('count')} times at {query.get('at')}, likely N+1: {_fact(query.get('sql'))}"
            for query in database.get("likely_n_plus_one") or []
        ]
    if isinstance(exception := entry.get("exception"), Mapping):
        lines += [f"    {line}" for line in str(exception.get("traceback", "")).splitlines()]
    lines += [f"    {line}" for line in str(entry.get("stack", "")).splitlines()]
    return [printable(line) for line in lines]


def _fact(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_FACT else f"{text[:_MAX_FACT]}..."
