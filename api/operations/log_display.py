"""Log records for display. Log files can contain hostile input, so all values become plain text."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
from django.utils import timezone

from backend.logs.reader import Entry
from backend.request_context import printable

MAX_VALUE = 4_000  # characters; the file has the whole value
# Time range before and after a record in which to search for its request.
REQUEST_RANGE = (timedelta(minutes=15), timedelta(hours=1))
# Every record has these fields; they are displayed last.
_COMMON_FIELDS = ("module", "function", "line", "process", "thread", "environment", "trace_id", "span_id")


@dataclass(frozen=True)
class DisplayRecord:
    """A log record as the templates display it."""

    time: datetime | None
    level: str
    logger: str
    message: str
    summary: str  # of the request: method, path, status, duration
    user_id: int | None
    ip_address: str
    request_id: str
    request_query: str  # query string of the log page that lists the records of the request
    fields: list[tuple[str, str]]
    traceback: str


def display_record(entry: Entry) -> DisplayRecord:
    values = entry.values
    request = _block(values, "request")
    exception = _block(values, "exception")
    time = parse_timestamp(entry.timestamp)
    request_id = str(request.get("id") or "")
    traceback = str(exception.get("traceback") or values.get("stack") or "")
    fields = [
        (_display_text(name), _display_text(value))
        for name, value in sorted(_flatten(values), key=lambda field: field[0].startswith(_COMMON_FIELDS))
        if name not in {"timestamp", "level", "logger", "message", "exception.traceback", "stack"}
    ]
    user_id = next((id_ for id_ in (values.get("user_id"), request.get("user_id")) if isinstance(id_, int)), None)
    return DisplayRecord(
        time=time,
        level=_display_text(values.get("level", "")),
        logger=_display_text(values.get("logger", "")),
        message=_display_text(values.get("message", "")),
        summary=_display_text(" ".join(_summary(values, request))),
        user_id=user_id,
        ip_address=_display_text(values.get("ip_address") or request.get("remote_addr") or ""),
        request_id=request_id,
        request_query=_request_query(request_id, time),
        fields=fields,
        traceback="\n".join(printable(line) for line in traceback.splitlines()),
    )


def parse_timestamp(timestamp: str) -> datetime | None:
    """Return the timestamp of a log line in the current time zone, or None if it is invalid."""
    try:
        return timezone.localtime(datetime.fromisoformat(timestamp))
    except (ValueError, OverflowError):
        return None


def _block(values: dict[str, Any], name: str) -> dict[str, Any]:
    block = values.get(name)
    return block if isinstance(block, dict) else {}


def _summary(values: dict[str, Any], request: dict[str, Any]) -> Iterator[str]:
    if request:
        yield f"{request.get('method')} {request.get('path')}"
    if "status_code" in values:
        yield f"{values['status_code']}, {_block(values, 'performance').get('duration_ms')} ms"


def _request_query(request_id: str, time: datetime | None) -> str:
    if not request_id or time is None:
        return ""
    first, last = time - REQUEST_RANGE[0], time + REQUEST_RANGE[1]
    query = {"request_id": request_id, "after": f"{first:%Y-%m-%dT%H:%M:%S}", "before": f"{last:%Y-%m-%dT%H:%M:%S}"}
    return urlencode(query)


def _flatten(values: dict[str, Any], prefix: str = "", levels: int = 4) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value and levels:
            yield from _flatten(value, f"{prefix}{name}.", levels - 1)
        elif value not in (None, "", [], {}):
            yield f"{prefix}{name}", value


def _display_text(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = printable(text[: MAX_VALUE + 1])
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}... [truncated; the log file has the whole value]"
