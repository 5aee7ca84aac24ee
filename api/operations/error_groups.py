"""Error groups and security events of the last day. Reading stops at SECONDS and MAX_BYTES."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from api.operations.log_access import IsVisible
from backend.formatters import timestamp
from backend.logs.reader import Entry, ReverseLogReader
from backend.logs.search import LogQuery, log_paths

SPAN = timedelta(days=1)
SECONDS = 0.3  # reading time for each file
MAX_BYTES = 32 * 1024 * 1024
MAX_GROUPS = 10
MAX_EVENTS = 10
# Frequent events that would crowd out the others.
_ROUTINE_EVENTS = {"admin_access", "authentication_required", "logs_read"}
_FRAME = re.compile(r'File "([^"\n]{1,500})", line (\d{1,9}), in ([^\n]{1,200})')


@dataclass
class ErrorGroup:
    """Errors of one type that were raised at one location."""

    error_type: str
    location: str
    last_entry: Entry
    log_query: str  # query string of the log page that lists them
    count: int = 0


@dataclass
class ErrorGroups:
    """The latest error groups and the totals of all groups."""

    groups: list[ErrorGroup]  # the latest first, at most MAX_GROUPS
    group_count: int
    error_count: int
    read_since: str  # timestamp where reading stopped, "" if the whole day was read


def group_errors(now: datetime, *, is_visible: IsVisible | None) -> ErrorGroups:
    """Return the errors of the last day, grouped by type and location."""
    groups: dict[tuple[str, str], ErrorGroup] = {}
    entries = _read_last_day("error", now, LogQuery(level="ERROR", is_visible=is_visible))
    for entry in entries:
        group = _group_of(entry)
        groups.setdefault((group.error_type, group.location), group).count += 1
    error_count = sum(group.count for group in groups.values())
    return ErrorGroups([*groups.values()][:MAX_GROUPS], len(groups), error_count, entries.reached)


def security_events(now: datetime, *, is_visible: IsVisible | None) -> list[Entry]:
    """Return the latest security events of the last day, without routine events."""
    entries = _read_last_day("security", now, LogQuery(is_visible=is_visible))
    events: Iterator[Entry] = (entry for entry in entries if entry.values.get("event") not in _ROUTINE_EVENTS)
    return list(islice(events, MAX_EVENTS))


def _read_last_day(name: str, now: datetime, query: LogQuery) -> ReverseLogReader:
    (path,) = log_paths([name])
    return ReverseLogReader(
        path,
        line_filter=query.line_filter,
        matches=query.matches,
        after=timestamp((now - SPAN).timestamp()),
        seconds=SECONDS,
        max_bytes=MAX_BYTES,
    )


def _group_of(entry: Entry) -> ErrorGroup:
    values = entry.values
    exception = values.get("exception")
    query: dict[str, Any] = {"file": "error", "level": "ERROR", "logger": values.get("logger", "")}
    if isinstance(exception, dict):
        error_type = str(exception.get("type"))
        location, text = _raised_at(str(exception.get("traceback")))
        query |= {"exception": error_type, "text": text}
    else:
        error_type = str(values.get("message"))
        location = f"{values.get('module')}:{values.get('line')} {values.get('function')}"
        query |= {"text": error_type[:200]}
    return ErrorGroup(error_type, location, entry, urlencode(query))


def _raised_at(traceback: str) -> tuple[str, str]:
    """Return the traceback's last frame in our code as "path:line function", and as text to search for."""
    frames = _FRAME.findall(traceback)
    if not frames:
        return "", ""
    own_frames = [
        frame for frame in frames if "site-packages" not in frame[0] and {"api", "backend"} & set(_parts(frame[0]))
    ]
    path, line, function = (own_frames or frames)[-1]
    parts = _parts(path)
    start = next((index for index, part in enumerate(parts) if part in {"api", "backend"}), -2) if own_frames else -3
    short_path = "/".join(parts[start:])
    return f"{short_path}:{line} {function}", f'{short_path}", line {line}, in {function}'[-200:]


def _parts(path: str) -> tuple[str, ...]:
    return Path(path).parts
