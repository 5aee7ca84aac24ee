"""Which records somebody asks for: one way for `manage.py logs` and for the operations page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import orjson
from django.conf import settings

from backend.logs.reader import Entry, ReverseLogReader, merge_by_time

# Together these hold every record once, but for security events of `api`, which are in two of them.
FILES = ("info", "security", "performance", "digest")
ALL_FILES = (*FILES, "debug", "error", "digest_err")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """What a record has to be; what is empty is not asked."""

    level: str = ""  # this one and above
    logger: str = ""  # this one and those below it
    event: str = ""
    request_id: str = ""
    user: int | None = None  # whose request it was, or whom it is about
    text: str = ""  # anywhere in the line, upper or lower case
    exception: str = ""  # its type
    after: str = ""  # times as lines have them
    before: str = ""
    is_visible: Callable[[Entry], bool] | None = None  # None: everything is

    def line_filter(self, line: bytes) -> bool:
        """A quick look before the line is parsed."""
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
    """The ids of whose request it was, who acted, and whom it is about."""
    values = entry.values
    request = values.get("request")
    ids = [values.get("user_id"), values.get("target_user_id"), request.get("user_id") if _is_object(request) else None]
    return [id_ for id_ in ids if id_ is not None]


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)  # what somebody else wrote into the file may be anything


def log_paths(names: Sequence[str]) -> list[Path]:
    return [Path(settings.LOGS_DIR) / f"{name}.log" for name in names]


@dataclass(frozen=True)
class SearchPage:
    """One page: the records, the newest first, and where the next page begins; "" where nothing is left."""

    entries: list[Entry]
    older: str
    is_out_of_time: bool


def search(names: Sequence[str], query: LogQuery, *, cursor: str = "", limit: int, seconds: float) -> SearchPage:
    """At most `limit` records, and at most about `seconds` of reading; `cursor` is the `older` of the page before."""
    start, _, shown = cursor.partition("~")
    before = min(filter(None, (start, query.before)), default="")
    to_skip = int(shown) if shown.isdecimal() else 0
    sources = [
        ReverseLogReader(
            path,
            line_filter=query.line_filter,
            matches=partial(_matches_debug_only, query) if path.stem == "debug" and len(names) > 1 else query.matches,
            before=before,
            after=query.after,
            seconds=seconds / len(names),  # each has a share, so that every page comes further in all of them
        )
        for path in log_paths(names)
    ]
    entries: list[Entry] = []
    for entry in merge_by_time(sources, is_newest_first=True):
        if entry.timestamp <= max(source.reached for source in sources):
            break  # another file was not read as far as this
        if entry.timestamp == start and to_skip:
            to_skip -= 1
            continue
        if len(entries) == limit:
            return SearchPage(entries, _cursor_after(entries, cursor), is_out_of_time=False)
        entries.append(entry)
    reached = max(source.reached for source in sources)
    return SearchPage(entries, reached, is_out_of_time=bool(reached))


def _matches_debug_only(query: LogQuery, entry: Entry) -> bool:
    """Beside the other files, debug.log is asked for what only it has."""
    return entry.values.get("level") == "DEBUG" and query.matches(entry)


def _cursor_after(entries: list[Entry], cursor: str) -> str:
    """The time of the last one shown, and how many of that very time were shown."""
    last = entries[-1].timestamp
    start, _, shown = cursor.partition("~")
    alike = sum(entry.timestamp == last for entry in entries)
    return f"{last}~{alike + (int(shown or 0) if last == start else 0)}"
