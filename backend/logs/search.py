"""Search of the log files, for `manage.py logs` and for the operations page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import orjson
from django.conf import settings

from backend.logs.reader import Entry, ReverseLogReader, merge_by_time

# Together these contain every record once, except security events of `api`, which are in two files.
FILES = ("info", "security", "performance", "digest")
ALL_FILES = (*FILES, "debug", "error", "digest_err")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """The conditions of a search. Empty conditions match every record."""

    level: str = ""  # this level and above
    logger: str = ""  # this logger and its children
    event: str = ""
    request_id: str = ""
    user: int | None = None  # the user of the request, or the user that the record is about
    text: str = ""  # anywhere in the line, ignoring case
    exception: str = ""  # the type of the exception
    after: str = ""  # timestamps of lines, inclusive
    before: str = ""
    is_visible: Callable[[Entry], bool] | None = None  # None: all records are

    def line_filter(self, line: bytes) -> bool:
        """Return False if the line cannot match. This is cheaper than parsing the line."""
        if self.request_id.encode() not in line or self.event.encode() not in line:
            return False
        if self.user is not None and str(self.user).encode() not in line:
            return False
        return not self.text or orjson.dumps(self.text)[1:-1].lower() in line.lower()

    def matches(self, entry: Entry) -> bool:
        values = entry.values
        request, exception = values.get("request"), values.get("exception")
        return (
            (not self.level or values.get("level") not in LEVELS or _rank(values["level"]) >= _rank(self.level))
            and (not self.logger or f"{values.get('logger')}.".startswith(f"{self.logger}."))
            and (not self.event or values.get("event") == self.event)
            and (not self.request_id or (_is_object(request) and request.get("id") == self.request_id))
            and (self.user is None or self.user in user_ids_of(entry))
            and (not self.exception or (_is_object(exception) and exception.get("type") == self.exception))
            and (self.is_visible is None or self.is_visible(entry))
        )


def _rank(level: str) -> int:
    return LEVELS.index(level)


def user_ids_of(entry: Entry) -> list[Any]:
    """Return the ids of the acting user, of the target user and of the request's user."""
    values = entry.values
    request = values.get("request")
    ids = [values.get("user_id"), values.get("target_user_id"), request.get("user_id") if _is_object(request) else None]
    return [id_ for id_ in ids if id_ is not None]


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)  # other programs may have written any JSON into the file


def log_paths(names: Sequence[str]) -> list[Path]:
    return [Path(settings.LOGS_DIR) / f"{name}.log" for name in names]


@dataclass(frozen=True)
class SearchPage:
    """One page of records, newest first. `older` is the cursor of the next page, or "" if there is none."""

    entries: list[Entry]
    older: str
    is_out_of_time: bool


def search(names: Sequence[str], query: LogQuery, *, cursor: str = "", limit: int, seconds: float) -> SearchPage:
    """Return at most `limit` records after about `seconds` at most. `cursor` is the last page's `older`."""
    start, _, count = cursor.partition("~")
    before = min(filter(None, (start, query.before)), default="")
    to_skip = int(count) if count.isdecimal() else 0
    sources = [
        ReverseLogReader(
            path,
            line_filter=query.line_filter,
            matches=partial(_matches_debug_only, query) if path.stem == "debug" and len(names) > 1 else query.matches,
            before=before,
            after=query.after,
            seconds=seconds / len(names),  # each file has a share, so that every page advances in all files
        )
        for path in log_paths(names)
    ]
    entries: list[Entry] = []
    for entry in merge_by_time(sources, is_newest_first=True):
        if entry.timestamp <= max(source.reached for source in sources):
            break  # another file has not been read down to this time
        if entry.timestamp == start and to_skip:
            to_skip -= 1
            continue
        if len(entries) == limit:
            return SearchPage(entries, _cursor_after(entries, cursor), is_out_of_time=False)
        entries.append(entry)
    reached = max(source.reached for source in sources)
    return SearchPage(entries, reached, is_out_of_time=bool(reached))


def _matches_debug_only(query: LogQuery, entry: Entry) -> bool:
    """Match only DEBUG records: the other files contain all others of debug.log."""
    return entry.values.get("level") == "DEBUG" and query.matches(entry)


def _cursor_after(entries: list[Entry], cursor: str) -> str:
    """Return the timestamp of the last record, and how many records with it were shown so far."""
    last = entries[-1].timestamp
    start, _, count = cursor.partition("~")
    alike = sum(entry.timestamp == last for entry in entries)
    return f"{last}~{alike + (int(count or 0) if last == start else 0)}"
