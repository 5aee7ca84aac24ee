"""`manage.py logs`: reads logs/*.log, rotated files too, for people."""

import re
import sys
import time
from argparse import ArgumentTypeError
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from backend.formatters import timestamp
from backend.logs import reader
from backend.logs.reader import Entry, Follower, ReverseLogReader
from backend.logs.search import ALL_FILES, FILES, LEVELS, LogQuery, log_paths
from backend.logs.text import format_entry

POLL = 0.25  # seconds
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Command(BaseCommand):
    help = "Show, filter and follow the log files: the last 50 records, or all of --since."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", metavar="file", help=f"of {', '.join(ALL_FILES)}; without: all records")
        parser.add_argument("--level", type=str.upper, choices=LEVELS, help="this level and above")
        parser.add_argument("--logger", help="this logger and those below it, like api")
        parser.add_argument("--event", help="like failed_login")
        parser.add_argument("--user", type=int, metavar="ID", help="records of requests of this user, or about him")
        parser.add_argument("--request-id", metavar="ID", help="what X-Request-ID said")
        parser.add_argument("--since", type=_seconds, metavar="TIME", help="30s, 15m, 1h, 7d")
        parser.add_argument("--lines", "-n", type=int, default=None, help="how many; 50 without --since")
        parser.add_argument("--follow", "-f", action="store_true", help="go on with what is written from now on")
        parser.add_argument("--json", action="store_true", help="the lines as they stand in the files")

    def handle(self, *args: Any, **options: Any) -> None:
        unknown = set(options["files"]) - set(ALL_FILES)
        if unknown:
            self.stderr.write(f"There is no {min(unknown)}.log; choose of {', '.join(ALL_FILES)}.")
            sys.exit(2)
        paths = log_paths(options["files"] or FILES)
        query = _query(options)
        show = _shown(options, is_coloured=self.style.ERROR("") != "" and not options["json"])
        followers = [Follower(path) for path in paths] if options["follow"] else []
        try:
            recent: deque[Entry] = deque(maxlen=1_000)
            for entry in _found(paths, query, options):
                self.stdout.write(show(entry))
                recent.append(entry)
            self._follow(followers, query, show, recent)
        except (KeyboardInterrupt, BrokenPipeError):
            sys.stderr.close()  # Python would complain about the pipe once more

    def _follow(
        self,
        followers: list[Follower],
        query: LogQuery,
        show: Callable[[Entry], str],
        recent: deque[Entry],  # written since the followers began, and shown already
    ) -> None:
        while followers:
            entries = reader.merge_by_time([_sorted(follower) for follower in followers], is_newest_first=False)
            for entry in entries:
                if query.matches(entry) and entry not in recent:
                    self.stdout.write(show(entry))
            recent.clear()
            self.stdout.flush()
            time.sleep(POLL)


def _sorted(follower: Follower) -> Iterator[Entry]:
    return iter(sorted(follower.new_entries(), key=lambda entry: entry.timestamp))


def _found(paths: list[Path], query: LogQuery, options: dict[str, Any]) -> Iterator[Entry]:
    """The records asked for, the oldest first."""
    if options["since"] is not None:
        moment = time.time() - options["since"]
        sources = [reader.read_since(path, timestamp(moment), moment, line_filter=query.line_filter) for path in paths]
        found = filter(query.matches, reader.merge_by_time(sources, is_newest_first=False))
        return iter(list(found)[-options["lines"] :]) if options["lines"] else found
    backwards = [ReverseLogReader(path, line_filter=query.line_filter, matches=query.matches) for path in paths]
    newest = reader.merge_by_time(backwards, is_newest_first=True)
    return reversed(list(islice(newest, options["lines"] or 50)))


def _query(options: dict[str, Any]) -> LogQuery:
    return LogQuery(
        level=options["level"] or "",
        logger=options["logger"] or "",
        event=options["event"] or "",
        request_id=options["request_id"] or "",
        user=options["user"],
    )


def _shown(options: dict[str, Any], *, is_coloured: bool) -> Callable[[Entry], str]:
    if options["json"]:
        return lambda entry: entry.line.decode("utf-8", "replace")
    return lambda entry: format_entry(entry.values, is_coloured=is_coloured)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None:
        raise ArgumentTypeError("write 30s, 15m, 1h or 7d")
    return int(match[1]) * _UNITS[match[2]]
