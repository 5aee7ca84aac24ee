"""Reading the log files back, newest first or from a moment on, without reading what is not asked for."""

import gzip
import heapq
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import inf
from pathlib import Path
from time import perf_counter
from typing import IO, Any

import orjson

BLOCK = 256 * 1024  # bytes
# Lines of several processes are in the order in which they were written, which is nearly that of their times.
DISORDER = 10.0  # seconds


@dataclass(frozen=True)
class Entry:
    """One record: its line as it stands in the file, and what it says."""

    line: bytes
    values: dict[str, Any] = field(compare=False)

    @property
    def timestamp(self) -> str:
        return str(self.values.get("timestamp", ""))


def files_of(path: Path) -> list[Path]:
    """The file and what was rotated from it, newest first."""
    return sorted(path.parent.glob(f"{path.name}*"), key=lambda file: file.stat().st_mtime_ns, reverse=True)


class Backwards:
    """The records of a file and of what was rotated from it, the newest first.

    `keeps` looks at a line before it is parsed, `matches` at the record; `before` and `after` are times as lines have
    them, both included. Once `seconds` were spent on reading, it ends; `reached` is then the time down to which was
    read, and else "".
    """

    def __init__(
        self,
        path: Path,
        *,
        keeps: Callable[[bytes], bool] = bool,
        matches: Callable[[Entry], bool] = lambda _: True,
        before: str = "",
        after: str = "",
        seconds: float = inf,
    ) -> None:
        self.reached = ""
        self._path, self._keeps, self._matches = path, keeps, matches
        self._before, self._after, self._seconds = before, after, seconds

    def __iter__(self) -> Iterator[Entry]:
        started = perf_counter()
        for lines in chain.from_iterable(_blocks(file, self._before) for file in files_of(self._path)):
            found = [entry for entry in _entries(lines, self._keeps) if self._is_wanted(entry)]
            self._seconds -= perf_counter() - started
            yield from found
            started = perf_counter()
            oldest = next((_time_at(line) for line in reversed(lines) if line), "")
            if oldest < self._after:
                return
            if self._seconds <= 0 and (not self._before or oldest < self._before):
                self.reached = oldest
                return

    def _is_wanted(self, entry: Entry) -> bool:
        if entry.timestamp < self._after or (self._before and entry.timestamp > self._before):
            return False
        return self._matches(entry)


def since(path: Path, timestamp: str, moment: float, *, keeps: Callable[[bytes], bool] = bool) -> Iterator[Entry]:
    """The records from `timestamp` (as lines have it) on, the oldest first; `moment` is the same in seconds."""
    for file in reversed(files_of(path)):
        if file.stat().st_mtime < moment - DISORDER:
            continue  # its last line is older
        lines = iter(_unpacked(file)) if file.suffix == ".gz" else _from(file, timestamp)
        for entry in _entries(lines, keeps):
            if entry.timestamp >= timestamp:
                yield entry


def merged(sources: Sequence[Iterable[Entry]], *, is_newest_first: bool) -> Iterator[Entry]:
    """The records of several files in the order of time; what stands in two files is given once."""
    recent: list[Entry] = []
    for entry in heapq.merge(*sources, key=lambda entry: entry.timestamp, reverse=is_newest_first):
        recent = [other for other in recent if other.timestamp == entry.timestamp]
        if entry not in recent:
            recent.append(entry)
            yield entry


class Follower:
    """What is appended to a file from now on, also when it is rotated."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._rest = b""
        if self._open():
            self._end()

    def new_entries(self) -> Iterator[Entry]:
        yield from _entries(self._new_lines())
        if self._was_rotated() and self._open():
            yield from _entries(self._new_lines())

    def _new_lines(self) -> list[bytes]:
        if self._file is None and not self._open():
            return []
        assert self._file is not None  # noqa: S101 - for the type checker
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # cut by copytruncate
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return lines

    def _was_rotated(self) -> bool:
        if self._file is None or not self.path.exists():
            return False
        return os.fstat(self._file.fileno()).st_ino != self.path.stat().st_ino

    def _open(self) -> bool:
        if self._file is not None:
            self._file.close()
        try:
            self._file = self.path.open("rb")
        except OSError:
            self._file = None
        self._rest = b""
        return self._file is not None

    def _end(self) -> None:
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)


def _entries(lines: Iterable[bytes], keeps: Callable[[bytes], bool] = bool) -> Iterator[Entry]:
    for line in lines:
        if not keeps(line):
            continue
        try:
            values = orjson.loads(line)
        except ValueError:
            continue  # the half line of somebody who was killed
        if isinstance(values, dict):
            yield Entry(line, values)


def _unpacked(file: Path) -> list[bytes]:
    with gzip.open(file) as unpacked:
        return unpacked.read().splitlines()


def _blocks(file: Path, before: str) -> Iterator[list[bytes]]:
    """The lines of a file, the newest first, some hundred at a time; from about `before` on, if it is given."""
    if file.suffix == ".gz":
        yield _unpacked(file)[::-1]  # it can only be read from its beginning
        return
    with file.open("rb") as opened:
        end = opened.seek(0, os.SEEK_END)
        position = min(end, _halved(opened, before) + 2 * BLOCK) if before else end
        is_cut = position < end
        rest = b""
        while position:
            size = min(BLOCK, position)
            position -= size
            opened.seek(position)
            rest, *lines = (opened.read(size) + rest).split(b"\n")
            if is_cut and lines:
                del lines[-1]  # half of one
                is_cut = False
            yield lines[::-1]
        yield [rest]


def _from(file: Path, timestamp: str) -> Iterator[bytes]:
    """The lines from some way before this time on."""
    with file.open("rb") as opened:
        start = _halved(opened, timestamp)
        opened.seek(max(0, start - BLOCK))
        if start > BLOCK:
            opened.readline()
        for line in opened:
            yield line.rstrip(b"\n")


def _halved(opened: IO[bytes], timestamp: str) -> int:
    """A place in the file before which all is older, found by halving; what is a block behind it is not."""
    low, high = 0, opened.seek(0, os.SEEK_END)
    while high - low > BLOCK:
        middle = (low + high) // 2
        opened.seek(middle)
        opened.readline()
        if _time_at(opened.readline()) < timestamp:
            low = middle
        else:
            high = middle
    return low


def _time_at(line: bytes) -> str:
    # Every line begins with {"timestamp":"2026-05-31T12:00:00.000000Z"
    return line[14:41].decode("ascii", "replace")
