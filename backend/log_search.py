"""Which records somebody asks for: one way for `manage.py logs` and for the operations page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from django.conf import settings

from backend.log_reader import Backwards, Entry, merged

# Together these hold every record once, but for security events of `api`, which are in two of them.
FILES = ("info", "security", "performance", "digest")
ALL_FILES = (*FILES, "debug", "error", "digest_err")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a record has to be; what is empty is not asked."""

    level: str = ""  # this one and above
    logger: str = ""  # this one and those below it
    event: str = ""
    request_id: str = ""
    user: int | None = None  # whose request it was, or whom it is about
    text: str = ""  # anywhere in the line, upper or lower case
    after: str = ""  # times as lines have them
    before: str = ""
    hidden_users: frozenset[int] = frozenset()  # nothing of theirs

    def keeps(self, line: bytes) -> bool:
        """A quick look before the line is parsed."""
        if self.request_id.encode() not in line or self.event.encode() not in line:
            return False
        return not self.text or orjson.dumps(self.text)[1:-1].lower() in line.lower()

    def matches(self, entry: Entry) -> bool:
        values = entry.values
        request_id = (values.get("request") or {}).get("id")
        return (
            (not self.level or values.get("level") not in LEVELS or _rank(values["level"]) >= _rank(self.level))
            and (not self.logger or f"{values.get('logger')}.".startswith(f"{self.logger}."))
            and self.event in {"", values.get("event")}
            and self.request_id in {"", request_id}
            and (self.user is None or self.user in users_of(entry))
            and self.hidden_users.isdisjoint(users_of(entry))
        )


def _rank(level: str) -> int:
    return LEVELS.index(level)


def users_of(entry: Entry) -> set[int]:
    """Whose request it was, who acted, and whom it is about."""
    values = entry.values
    ids = (values.get("user_id"), values.get("target_user_id"), (values.get("request") or {}).get("user_id"))
    return {id_ for id_ in ids if isinstance(id_, int)}


def paths_of(names: Sequence[str]) -> list[Path]:
    return [Path(settings.LOGS_DIR) / f"{name}.log" for name in names]


@dataclass(frozen=True)
class Found:
    """One page: the records, the newest first, and where the next page begins; "" where nothing is left."""

    entries: list[Entry]
    older: str
    is_out_of_time: bool


def search(names: Sequence[str], query: Query, *, cursor: str = "", limit: int, seconds: float) -> Found:
    """At most `limit` records, and at most about `seconds` of reading; `cursor` is the `older` of the page before."""
    start, _, shown = cursor.partition("~")
    before = min(filter(None, (start, query.before)), default="")
    to_skip = int(shown) if shown.isdecimal() else 0
    sources = [
        Backwards(
            path,
            keeps=query.keeps,
            matches=query.matches,
            before=before,
            after=query.after,
            seconds=seconds / len(names),  # each has a share, so that every page comes further in all of them
        )
        for path in paths_of(names)
    ]
    entries: list[Entry] = []
    for entry in merged(sources, is_newest_first=True):
        if entry.timestamp < max(source.reached for source in sources):
            break  # another file was not read as far as this
        if entry.timestamp == start and to_skip:
            to_skip -= 1
            continue
        if len(entries) == limit:
            return Found(entries, _after(entries, cursor), is_out_of_time=False)
        entries.append(entry)
    reached = max(source.reached for source in sources)
    return Found(entries, reached, is_out_of_time=bool(reached))


def _after(entries: list[Entry], cursor: str) -> str:
    """The time of the last one shown, and how many of that very time were shown."""
    last = entries[-1].timestamp
    start, _, shown = cursor.partition("~")
    alike = sum(entry.timestamp == last for entry in entries)
    return f"{last}~{alike + (int(shown or 0) if last == start else 0)}"
