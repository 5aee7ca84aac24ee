"""Command that shows records of the log files, including rotated files, as text."""

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
from backend.logs.follower import Follower
from backend.logs.reader import Entry, ReverseLogReader, merge_by_time, read_since
from backend.logs.search import ALL_FILES, FILES, LEVELS, LogQuery, log_paths
from backend.logs.text import format_entry

POLL_INTERVAL = 0.25  # seconds
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Command(BaseCommand):
    help = "Show, filter and follow the log files: the last 50 records, or all records of --since."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="*", metavar="file", help=f"{', '.join(ALL_FILES)}; default: all records")
        parser.add_argument("--level", type=str.upper, choices=LEVELS, help="this level and above")
        parser.add_argument("--logger", help="this logger and its children, such as api")
        parser.add_argument("--event", help="this event, such as failed_login")
        parser.add_argument("--user", type=int, metavar="ID", help="records of this user's requests, or about them")
        parser.add_argument("--request-id", metavar="ID", help="the X-Request-ID of a response")
        parser.add_argument("--since", type=_seconds, metavar="TIME", help="30s, 15m, 1h, 7d")
        parser.add_argument("--lines", "-n", type=int, default=None, help="number of records; 50 without --since")
        parser.add_argument("--follow", "-f", action="store_true", help="also show new records until Ctrl-C")
        parser.add_argument("--json", action="store_true", help="show the lines as they are in the files")

    def handle(self, *args: Any, **options: Any) -> None:
        unknown = set(options["files"]) - set(ALL_FILES)
        if unknown:
            self.stderr.write(f"There is no {min(unknown)}.log. Choose from {', '.join(ALL_FILES)}.")
            sys.exit(2)
        paths = log_paths(options["files"] or FILES)
        query = _query(options)
        format_line = _line_format(options, is_colored=self.style.ERROR("") != "" and not options["json"])
        followers = [Follower(path) for path in paths] if options["follow"] else []
        try:
            recent: deque[Entry] = deque(maxlen=1_000)
            for entry in _matching_entries(paths, query, options):
                self.stdout.write(format_line(entry))
                recent.append(entry)
            self._follow(followers, query, format_line, recent)
        except (KeyboardInterrupt, BrokenPipeError):
            sys.stderr.close()  # otherwise Python prints an error about the closed pipe

    def _follow(
        self,
        followers: list[Follower],
        query: LogQuery,
        format_line: Callable[[Entry], str],
        recent: deque[Entry],  # already shown; the followers may yield them again
    ) -> None:
        while followers:
            for entry in merge_by_time([_new_entries(follower) for follower in followers], is_newest_first=False):
                if query.matches(entry) and entry not in recent:
                    self.stdout.write(format_line(entry))
            recent.clear()
            self.stdout.flush()
            time.sleep(POLL_INTERVAL)


def _new_entries(follower: Follower) -> list[Entry]:
    return sorted(follower.new_entries(), key=lambda entry: entry.timestamp)


def _matching_entries(paths: list[Path], query: LogQuery, options: dict[str, Any]) -> Iterator[Entry]:
    """Return the selected records, oldest first."""
    if options["since"] is not None:
        moment = time.time() - options["since"]
        sources = [read_since(path, timestamp(moment), moment, line_filter=query.line_filter) for path in paths]
        entries = filter(query.matches, merge_by_time(sources, is_newest_first=False))
        return iter(list(entries)[-options["lines"] :]) if options["lines"] else entries
    readers = [ReverseLogReader(path, line_filter=query.line_filter, matches=query.matches) for path in paths]
    newest = merge_by_time(readers, is_newest_first=True)
    return reversed(list(islice(newest, options["lines"] or 50)))


def _query(options: dict[str, Any]) -> LogQuery:
    return LogQuery(
        level=options["level"] or "",
        logger=options["logger"] or "",
        event=options["event"] or "",
        request_id=options["request_id"] or "",
        user=options["user"],
    )


def _line_format(options: dict[str, Any], *, is_colored: bool) -> Callable[[Entry], str]:
    if options["json"]:
        return lambda entry: entry.line.decode("utf-8", "replace")
    return lambda entry: format_entry(entry.values, is_colored=is_colored)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if match is None:
        raise ArgumentTypeError("write 30s, 15m, 1h or 7d")
    return int(match[1]) * _UNITS[match[2]]
