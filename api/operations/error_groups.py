"""Errors of the last day, those of one cause together, and the latest security events; read no further than a bound."""

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
SECONDS = 0.3  # of reading, of each file
MAX_BYTES = 32 * 1024 * 1024
MAX_GROUPS = 10
EVENTS = 10
# So many of them that they would hide the others.
_USUAL = {"admin_access", "authentication_required", "logs_read"}
_FRAME = re.compile(r'File "([^"\n]{1,500})", line (\d{1,9}), in ([^\n]{1,200})')


@dataclass
class ErrorGroup:
    """Errors of one type at one place."""

    kind: str
    place: str
    last: Entry
    query: str  # of the reader, for exactly these
    count: int = 0


@dataclass
class ErrorGroups:
    found: list[ErrorGroup]  # the latest first
    kinds: int  # of which `found` are some
    count: int  # errors of all kinds
    reached: str  # the time down to which was read, "" if the whole day was


def group_errors(now: datetime, *, is_visible: IsVisible | None) -> ErrorGroups:
    found: dict[tuple[str, str], ErrorGroup] = {}
    entries = _tail("error", now, LogQuery(level="ERROR", is_visible=is_visible))
    for entry in entries:
        fault = _fault(entry)
        found.setdefault((fault.kind, fault.place), fault).count += 1
    count = sum(fault.count for fault in found.values())
    return ErrorGroups([*found.values()][:MAX_GROUPS], len(found), count, entries.reached)


def security_events(now: datetime, *, is_visible: IsVisible | None) -> list[Entry]:
    entries = _tail("security", now, LogQuery(is_visible=is_visible))
    unusual: Iterator[Entry] = (entry for entry in entries if entry.values.get("event") not in _USUAL)
    return list(islice(unusual, EVENTS))


def _tail(name: str, now: datetime, query: LogQuery) -> ReverseLogReader:
    (path,) = log_paths([name])
    return ReverseLogReader(
        path,
        line_filter=query.line_filter,
        matches=query.matches,
        after=timestamp((now - SPAN).timestamp()),
        seconds=SECONDS,
        max_bytes=MAX_BYTES,
    )


def _fault(entry: Entry) -> ErrorGroup:
    values = entry.values
    exception = values.get("exception")
    asked: dict[str, Any] = {"file": "error", "level": "ERROR", "logger": values.get("logger", "")}
    if isinstance(exception, dict):
        kind = str(exception.get("type"))
        place, text = _raised_at(str(exception.get("traceback")))
        asked |= {"exception": kind, "text": text}
    else:
        kind = str(values.get("message"))
        place = f"{values.get('module')}:{values.get('line')} {values.get('function')}"
        asked |= {"text": kind[:200]}
    return ErrorGroup(kind, place, entry, urlencode(asked))


def _raised_at(traceback: str) -> tuple[str, str]:
    """The last line of our own code in it as path:line function, and how the traceback says that."""
    frames = _FRAME.findall(traceback)
    if not frames:
        return "", ""
    ours = [frame for frame in frames if "site-packages" not in frame[0] and {"api", "backend"} & set(_parts(frame[0]))]
    path, line, function = (ours or frames)[-1]
    parts = _parts(path)
    start = next((index for index, part in enumerate(parts) if part in {"api", "backend"}), -2) if ours else -3
    shown = "/".join(parts[start:])
    return f"{shown}:{line} {function}", f'{shown}", line {line}, in {function}'[-200:]


def _parts(path: str) -> tuple[str, ...]:
    return Path(path).parts
