"""Reading the log files back, newest first or from a moment on, without reading what is not asked for."""

import gzip
import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
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


def newest_first(path: Path, *, containing: bytes = b"") -> Iterator[Entry]:
    """Every record, the newest first; `containing` leaves out lines without these bytes before they are parsed."""
    for file in files_of(path):
        lines = reversed(_unpacked(file)) if file.suffix == ".gz" else _backwards(file)
        yield from _entries(lines, containing)


def since(path: Path, timestamp: str, moment: float, *, containing: bytes = b"") -> Iterator[Entry]:
    """The records from `timestamp` (as lines have it) on, the oldest first; `moment` is the same in seconds."""
    for file in reversed(files_of(path)):
        if file.stat().st_mtime < moment - DISORDER:
            continue  # its last line is older
        lines = iter(_unpacked(file)) if file.suffix == ".gz" else _from(file, timestamp)
        for entry in _entries(lines, containing):
            if entry.timestamp >= timestamp:
                yield entry


def merged(sources: list[Iterator[Entry]], *, is_newest_first: bool) -> Iterator[Entry]:
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
        yield from _entries(iter(self._new_lines()), b"")
        if self._was_rotated() and self._open():
            yield from _entries(iter(self._new_lines()), b"")

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


def _entries(lines: Iterator[bytes], containing: bytes) -> Iterator[Entry]:
    for line in lines:
        if containing not in line:
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


def _backwards(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        position = opened.seek(0, os.SEEK_END)
        rest = b""
        while position:
            size = min(BLOCK, position)
            position -= size
            opened.seek(position)
            first, *lines = (opened.read(size) + rest).split(b"\n")
            yield from reversed(lines)
            rest = first
        yield rest


def _from(file: Path, timestamp: str) -> Iterator[bytes]:
    """The lines from some way before this time on, found by halving the file."""
    with file.open("rb") as opened:
        low, high = 0, opened.seek(0, os.SEEK_END)
        while high - low > BLOCK:
            middle = (low + high) // 2
            opened.seek(middle)
            opened.readline()
            if _time_at(opened.readline()) < timestamp:
                low = middle
            else:
                high = middle
        opened.seek(max(0, low - BLOCK))
        if low > BLOCK:
            opened.readline()
        for line in opened:
            yield line.rstrip(b"\n")


def _time_at(line: bytes) -> str:
    # Every line begins with {"timestamp":"2026-05-31T12:00:00.000000Z"
    return line[14:41].decode("ascii", "replace")
