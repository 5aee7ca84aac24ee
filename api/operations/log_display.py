"""Log records as the pages show them. What stands in a file may be hostile: everything here is text."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
from django.utils import timezone

from backend.logs.reader import Entry
from backend.request_context import printable

MAX_VALUE = 4_000  # characters; the file has all
AROUND = (timedelta(minutes=15), timedelta(hours=1))  # before and after a record, when its request is asked for
# Every record has these; they stand last.
_OF_NO_NEWS = ("module", "function", "line", "process", "thread", "environment", "trace_id", "span_id")


@dataclass(frozen=True)
class Record:
    at: datetime | None
    level: str
    logger: str
    message: str
    facts: str  # of the request: method, path, status, time
    user_id: int | None
    ip_address: str
    request_id: str
    request_query: str  # of the reader, for everything that this request did
    fields: list[tuple[str, str]]
    traceback: str


def display_record(entry: Entry) -> Record:
    values = entry.values
    request = _block(values, "request")
    exception = _block(values, "exception")
    at = parse_timestamp(entry.timestamp)
    request_id = str(request.get("id") or "")
    traceback = str(exception.get("traceback") or values.get("stack") or "")
    fields = [
        (_clean(name), _clean(value))
        for name, value in sorted(_flat(values), key=lambda field: field[0].startswith(_OF_NO_NEWS))
        if name not in {"timestamp", "level", "logger", "message", "exception.traceback", "stack"}
    ]
    user_id = next((id_ for id_ in (values.get("user_id"), request.get("user_id")) if isinstance(id_, int)), None)
    return Record(
        at=at,
        level=_clean(values.get("level", "")),
        logger=_clean(values.get("logger", "")),
        message=_clean(values.get("message", "")),
        facts=_clean(" ".join(_facts(values, request))),
        user_id=user_id,
        ip_address=_clean(values.get("ip_address") or request.get("remote_addr") or ""),
        request_id=request_id,
        request_query=_around(request_id, at),
        fields=fields,
        traceback="\n".join(printable(line) for line in traceback.splitlines()),
    )


def parse_timestamp(timestamp: str) -> datetime | None:
    """The time of a line in the time zone of whoever looks."""
    try:
        return timezone.localtime(datetime.fromisoformat(timestamp))
    except (ValueError, OverflowError):
        return None


def _block(values: dict[str, Any], name: str) -> dict[str, Any]:
    block = values.get(name)
    return block if isinstance(block, dict) else {}


def _facts(values: dict[str, Any], request: dict[str, Any]) -> Iterator[str]:
    if request:
        yield f"{request.get('method')} {request.get('path')}"
    if "status_code" in values:
        yield f"{values['status_code']}, {_block(values, 'performance').get('duration_ms')} ms"


def _around(request_id: str, at: datetime | None) -> str:
    if not request_id or at is None:
        return ""
    first, last = at - AROUND[0], at + AROUND[1]
    asked = {"request_id": request_id, "after": f"{first:%Y-%m-%dT%H:%M:%S}", "before": f"{last:%Y-%m-%dT%H:%M:%S}"}
    return urlencode(asked)


def _flat(values: dict[str, Any], prefix: str = "", levels: int = 4) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value and levels:
            yield from _flat(value, f"{prefix}{name}.", levels - 1)
        elif value not in (None, "", [], {}):
            yield f"{prefix}{name}", value


def _clean(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    text = printable(text[: MAX_VALUE + 1])
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}... [cut; the file has all]"
