"""Records of the log files, newest first or since a moment. Parts of files that cannot match are not read."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import perf_counter
from typing import IO, Any

import orjson

from backend.logs import segments
from backend.logs.segments import DISORDER


@dataclass(frozen=True)
class Entry:
    """One record: its line in the file, and the parsed line."""

    line: bytes
    values: dict[str, Any] = field(compare=False)

    @property
    def timestamp(self) -> str:
        return str(self.values.get("timestamp", ""))


class ReadBudget:
    """The time and bytes that a reader may still use. Time counts only between `resume` and `pause`."""

    def __init__(self, seconds: float, max_bytes: float) -> None:
        self.is_limited = min(seconds, max_bytes) < inf
        self._seconds, self._bytes = seconds, max_bytes
        self._resumed_at = 0.0

    def resume(self) -> None:
        self._resumed_at = perf_counter()

    def pause(self) -> None:
        self._seconds -= perf_counter() - self._resumed_at

    def spend(self, lines: list[bytes]) -> None:
        self._bytes -= sum(map(len, lines))

    @property
    def is_spent(self) -> bool:
        return min(self._seconds, self._bytes) <= 0


class ReverseLogReader:
    """Iterates over the records of a file and its rotated files in the exact order of time, newest first.

    `line_filter` gets a line before it is parsed, and `matches` gets the record. `before` and `after` are inclusive
    timestamps. Reading stops after `seconds` or `max_bytes`, or before a second compressed file. Then `reached` is a
    timestamp, and all records after it were returned. Otherwise it is "".
    """

    def __init__(
        self,
        path: Path,
        *,
        line_filter: Callable[[bytes], bool] = bool,
        matches: Callable[[Entry], bool] = lambda _: True,
        before: str = "",
        after: str = "",
        seconds: float = inf,
        max_bytes: float = inf,
    ) -> None:
        self.reached = ""
        self._path, self._line_filter, self._matches = path, line_filter, matches
        self._before, self._after = before, after
        self._budget = ReadBudget(seconds, max_bytes)
        self._read_down_to = "~"  # all records after this timestamp have been read
        self._start = before

    def __iter__(self) -> Iterator[Entry]:
        pending: list[Entry] = []  # a line that is not read yet may be newer than these
        self._budget.resume()
        with ExitStack() as stack:
            for lines in self._blocks(stack):
                pending += [entry for entry in parse_entries(lines, self._line_filter) if self._is_wanted(entry)]
                self._note_progress(lines)
                ready = [entry for entry in pending if entry.timestamp > self._read_down_to]
                pending = [entry for entry in pending if entry.timestamp <= self._read_down_to]
                self._budget.pause()
                yield from _newest_first(ready)
                self._budget.resume()
                if self._read_down_to < self._after:
                    break
                if self._budget.is_spent and self._has_advanced():
                    self.reached = self._read_down_to
                    return
        if not self.reached:
            yield from _newest_first(pending)

    def _blocks(self, stack: ExitStack) -> Iterator[list[bytes]]:
        """Yield blocks of lines from all files, and count them. Stop before a second compressed file if limited."""
        has_decompressed = False
        # All files are opened before the first is read, because a rotation renames them.
        for opened in segments.open_all(self._path, stack):
            if not opened.name.endswith(".gz"):
                yield from self._count_blocks(opened)
            elif segments.may_contain(opened, self._before, self._after):
                if has_decompressed and self._budget.is_limited and self._has_advanced():
                    self.reached = self._read_down_to
                    return
                has_decompressed = True
                self._budget.pause()  # decompression could use all the time, and leave none for reading
                with segments.decompress(opened, self._before) as plain:
                    self._budget.resume()
                    yield from self._count_blocks(plain)

    def _count_blocks(self, opened: IO[bytes]) -> Iterator[list[bytes]]:
        for lines in segments.reverse_blocks(opened, self._before):
            self._budget.spend(lines)
            yield lines

    def _note_progress(self, lines: list[bytes]) -> None:
        """Move the bound down: lines that are still unread are at most DISORDER newer than these."""
        newest = max(map(segments.timestamp_of, lines), default="")
        if newest:
            self._read_down_to = min(self._read_down_to, segments.shift(newest, DISORDER))
            self._start = self._start or newest

    def _has_advanced(self) -> bool:
        """Return whether a later reader that continues here would not start at the same place again."""
        return self._read_down_to < self._start

    def _is_wanted(self, entry: Entry) -> bool:
        if entry.timestamp < self._after or (self._before and entry.timestamp > self._before):
            return False
        return self._matches(entry)


def _newest_first(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.timestamp, reverse=True)


def read_since(
    path: Path, timestamp: str, moment: float, *, line_filter: Callable[[bytes], bool] = bool
) -> Iterator[Entry]:
    """Yield the records since `timestamp`, oldest first. `moment` is the same time in seconds since 1970."""
    for file in reversed(segments.rotated_files(path)):
        if file.stat().st_mtime < moment - DISORDER:
            continue  # its last line is older
        for entry in parse_entries(segments.lines_since(file, timestamp), line_filter):
            if entry.timestamp >= timestamp:
                yield entry


def merge_by_time(sources: Sequence[Iterable[Entry]], *, is_newest_first: bool) -> Iterator[Entry]:
    """Yield the records of several files in the order of time. A record that is in two files is yielded once."""
    recent: list[Entry] = []
    for entry in heapq.merge(*sources, key=lambda entry: entry.timestamp, reverse=is_newest_first):
        recent = [other for other in recent if other.timestamp == entry.timestamp]
        if entry not in recent:
            recent.append(entry)
            yield entry


def parse_entries(lines: Iterable[bytes], line_filter: Callable[[bytes], bool] = bool) -> Iterator[Entry]:
    """Yield the records of those lines that pass the filter and are JSON objects."""
    for line in lines:
        if not line_filter(line):
            continue
        try:
            values = orjson.loads(line)
        except ValueError:
            continue  # half a line of a killed process
        if isinstance(values, dict):
            yield Entry(line, values)
