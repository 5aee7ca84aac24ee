"""Reading the log files back, newest first or from a moment on, without reading what is not asked for."""

import heapq
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from gzip import BadGzipFile, GzipFile
from math import inf
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter
from typing import IO, Any

import orjson

BLOCK = 256 * 1024  # bytes
# Lines of several processes are in the order in which they were written, which is nearly that of their times.
DISORDER = 10.0  # seconds
_BROKEN = (EOFError, BadGzipFile, zlib.error)  # what a packed file says that was cut; what came before is read


@dataclass(frozen=True)
class Entry:
    """One record: its line as it stands in the file, and what it says."""

    line: bytes
    values: dict[str, Any] = field(compare=False)

    @property
    def timestamp(self) -> str:
        return str(self.values.get("timestamp", ""))


def rotated_files(path: Path) -> list[Path]:
    """The file and what was rotated from it, newest first."""
    return [file for file, _ in sorted(_sort_by_age(path), key=lambda aged: aged[1], reverse=True)]


def _sort_by_age(path: Path) -> Iterator[tuple[Path, int]]:
    for file in path.parent.glob(f"{path.name}*"):
        if file.suffix == ".gz" and file.with_suffix("").exists():
            continue  # being packed
        with suppress(FileNotFoundError):  # rotated away at this moment
            yield file, file.stat().st_mtime_ns


class ReverseLogReader:
    """The records of a file and of what was rotated from it, the newest first, in the exact order of their times.

    `line_filter` sees a line before it is parsed, `matches` sees the record. `before` and `after` are times as lines
    have them, both included. Reading ends after `seconds` or `max_bytes`, or before a second compressed file;
    `reached` is then the time above which nothing was left out, otherwise "".
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
        self._path, self._keeps, self._matches = path, line_filter, matches
        self._before, self._after = before, after
        self._seconds, self._bytes = seconds, max_bytes
        self._is_bounded = min(seconds, max_bytes) < inf
        self._bound = "~"  # what is newer than this has been read
        self._start = before

    def __iter__(self) -> Iterator[Entry]:
        waiting: list[Entry] = []  # until nothing newer can follow
        started = perf_counter()
        with ExitStack() as stack:
            for lines in self._blocks(stack):
                waiting += [entry for entry in _entries(lines, self._keeps) if self._is_wanted(entry)]
                newest = max(map(_time_at, lines), default="")
                self._bound = min(self._bound, _later(newest, DISORDER)) if newest else self._bound
                self._start = self._start or newest
                ready = [entry for entry in waiting if entry.timestamp > self._bound]
                waiting = [entry for entry in waiting if entry.timestamp <= self._bound]
                self._seconds -= perf_counter() - started
                yield from _newest_first(ready)
                started = perf_counter()
                if self._bound < self._after:
                    break
                if min(self._seconds, self._bytes) <= 0 and self._has_advanced():
                    self.reached = self._bound
                    return
        if not self.reached:
            yield from _newest_first(waiting)

    def _has_advanced(self) -> bool:
        """Whether to go on from here later would not be to begin again."""
        return self._bound < self._start

    def _blocks(self, stack: ExitStack) -> Iterator[list[bytes]]:
        is_first = True
        # All are opened before the first is read: names change hands when files are rotated.
        for opened in _open_log(self._path, stack):
            if not opened.name.endswith(".gz"):
                yield from self._counted(_blocks(opened, self._before))
            elif _is_within(opened, self._before, self._after):
                if not is_first and self._has_advanced() and self._is_bounded:
                    self.reached = self._bound
                    return
                is_first = False
                started = perf_counter()
                with _open_compressed(opened, self._before) as plain:
                    self._seconds += perf_counter() - started  # or else nothing would be left for reading it
                    yield from self._counted(_blocks(plain, self._before))

    def _counted(self, blocks: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
        for lines in blocks:
            self._bytes -= sum(map(len, lines))
            yield lines

    def _is_wanted(self, entry: Entry) -> bool:
        if entry.timestamp < self._after or (self._before and entry.timestamp > self._before):
            return False
        return self._matches(entry)


def _newest_first(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.timestamp, reverse=True)


def _open_log(path: Path, stack: ExitStack) -> list[IO[bytes]]:
    """Each file once, the newest first."""
    found: dict[int, IO[bytes]] = {}
    for file in rotated_files(path):
        with suppress(FileNotFoundError):
            opened = stack.enter_context(file.open("rb"))
            found.setdefault(os.fstat(opened.fileno()).st_ino, opened)
    return list(found.values())


def _is_within(packed: IO[bytes], before: str, after: str) -> bool:
    """Whether a packed file may have lines of that time; its first one and its change tell."""
    changed = datetime.fromtimestamp(os.fstat(packed.fileno()).st_mtime + DISORDER, UTC)
    if changed.isoformat() < after[:19]:
        return False
    with suppress(*_BROKEN), GzipFile(fileobj=packed) as lines:
        return not before or _time_at(lines.readline()) <= _later(before, DISORDER)
    return False


@contextmanager
def _open_compressed(opened: IO[bytes], before: str) -> Iterator[IO[bytes]]:
    """A plain file of what was packed, up to what is not wanted: a packed one is read from its beginning only."""
    last = _later(before, DISORDER) if before else "~"
    opened.seek(0)
    with TemporaryFile() as plain:
        with suppress(*_BROKEN), GzipFile(fileobj=opened) as packed:
            while block := packed.read(BLOCK):
                plain.write(block)
                end = block.rfind(b"\n")
                if _time_at(block[block.rfind(b"\n", 0, max(end, 0)) + 1 : end]) > last:
                    break
        yield plain


def _later(timestamp: str, seconds: float) -> str:
    """So many seconds later, as lines have it; itself where it is no time."""
    try:
        moment = datetime.fromisoformat(timestamp) + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return timestamp
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"


def read_since(
    path: Path, timestamp: str, moment: float, *, line_filter: Callable[[bytes], bool] = bool
) -> Iterator[Entry]:
    """The records from `timestamp` (as lines have it) on, the oldest first; `moment` is the same in seconds."""
    for file in reversed(rotated_files(path)):
        if file.stat().st_mtime < moment - DISORDER:
            continue  # its last line is older
        lines = _lines_of(file) if file.suffix == ".gz" else _from(file, timestamp)
        for entry in _entries(lines, line_filter):
            if entry.timestamp >= timestamp:
                yield entry


def merge_by_time(sources: Sequence[Iterable[Entry]], *, is_newest_first: bool) -> Iterator[Entry]:
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


def _entries(lines: Iterable[bytes], line_filter: Callable[[bytes], bool] = bool) -> Iterator[Entry]:
    for line in lines:
        if not line_filter(line):
            continue
        try:
            values = orjson.loads(line)
        except ValueError:
            continue  # the half line of somebody who was killed
        if isinstance(values, dict):
            yield Entry(line, values)


def _lines_of(file: Path) -> Iterator[bytes]:
    with suppress(*_BROKEN), GzipFile(file) as unpacked:
        for line in unpacked:
            yield line.rstrip(b"\n")


def _blocks(opened: IO[bytes], before: str) -> Iterator[list[bytes]]:
    """The lines of a file, the newest first, some hundred at a time; from about `before` on, if it is given."""
    end = opened.seek(0, os.SEEK_END)
    position = min(end, _bisect_offset(opened, _later(before, DISORDER)) + 2 * BLOCK) if before else end
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
        start = _bisect_offset(opened, timestamp)
        opened.seek(max(0, start - BLOCK))
        if start > BLOCK:
            opened.readline()
        for line in opened:
            yield line.rstrip(b"\n")


def _bisect_offset(opened: IO[bytes], timestamp: str) -> int:
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
    return line[14:41].decode("ascii", "replace") if line.startswith(b'{"timestamp":') else ""
