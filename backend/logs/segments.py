"""The bytes of a log file and of its rotated files: find them, open them, read their lines from either end."""

import os
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from gzip import BadGzipFile, GzipFile
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

BLOCK = 256 * 1024  # bytes
# Several processes write a file, so its lines are only nearly in the order of their timestamps.
DISORDER = 10.0  # seconds
_TRUNCATED = (EOFError, BadGzipFile, zlib.error)  # errors of a truncated gzip file; the part before is still read


def rotated_files(path: Path) -> list[Path]:
    """Return the file and its rotated files, newest first."""
    return [file for file, _ in sorted(_modification_times(path), key=lambda pair: pair[1], reverse=True)]


def _modification_times(path: Path) -> Iterator[tuple[Path, int]]:
    for file in path.parent.glob(f"{path.name}*"):
        if file.suffix == ".gz" and file.with_suffix("").exists():
            continue  # logrotate is compressing it
        with suppress(FileNotFoundError):  # renamed by a rotation at this moment
            yield file, file.stat().st_mtime_ns


def open_all(path: Path, stack: ExitStack) -> list[IO[bytes]]:
    """Open each file once, newest first. A rotation can give a file a new name while this runs."""
    files: dict[int, IO[bytes]] = {}
    for file in rotated_files(path):
        with suppress(FileNotFoundError):
            opened = stack.enter_context(file.open("rb"))
            files.setdefault(os.fstat(opened.fileno()).st_ino, opened)
    return list(files.values())


def may_contain(compressed: IO[bytes], before: str, after: str) -> bool:
    """Return whether a compressed file may have lines of that time, judged by its first line and its age."""
    modified = datetime.fromtimestamp(os.fstat(compressed.fileno()).st_mtime + DISORDER, UTC)
    if modified.isoformat() < after[:19]:
        return False
    with suppress(*_TRUNCATED), GzipFile(fileobj=compressed) as lines:
        return not before or timestamp_of(lines.readline()) <= shift(before, DISORDER)
    return False


@contextmanager
def decompress(compressed: IO[bytes], before: str) -> Iterator[IO[bytes]]:
    """Open a temporary plain copy, which ends soon after `before`. A gzip file cannot be read from its end."""
    last = shift(before, DISORDER) if before else "~"
    compressed.seek(0)
    with TemporaryFile() as plain:
        with suppress(*_TRUNCATED), GzipFile(fileobj=compressed) as lines:
            while block := lines.read(BLOCK):
                plain.write(block)
                end = block.rfind(b"\n")
                if timestamp_of(block[block.rfind(b"\n", 0, max(end, 0)) + 1 : end]) > last:
                    break
        yield plain


def reverse_blocks(opened: IO[bytes], before: str) -> Iterator[list[bytes]]:
    """Yield lists of lines, newest first. If `before` is given, start a little after it."""
    end = opened.seek(0, os.SEEK_END)
    position = min(end, _bisect_offset(opened, shift(before, DISORDER)) + 2 * BLOCK) if before else end
    starts_inside_a_line = position < end
    rest = b""
    while position:
        size = min(BLOCK, position)
        position -= size
        opened.seek(position)
        rest, *lines = (opened.read(size) + rest).split(b"\n")
        if starts_inside_a_line and lines:
            del lines[-1]
            starts_inside_a_line = False
        yield lines[::-1]
    yield [rest]


def lines_since(file: Path, timestamp: str) -> Iterator[bytes]:
    """Yield the lines of a file, oldest first. A plain file is read from a little before `timestamp` on."""
    if file.suffix == ".gz":
        with suppress(*_TRUNCATED), GzipFile(file) as decompressed:
            for line in decompressed:
                yield line.rstrip(b"\n")
        return
    with file.open("rb") as opened:
        start = _bisect_offset(opened, timestamp)
        opened.seek(max(0, start - BLOCK))
        if start > BLOCK:
            opened.readline()
        for line in opened:
            yield line.rstrip(b"\n")


def _bisect_offset(opened: IO[bytes], timestamp: str) -> int:
    """Return an offset: all lines before it are older, and those more than a block behind it are not."""
    low, high = 0, opened.seek(0, os.SEEK_END)
    while high - low > BLOCK:
        middle = (low + high) // 2
        opened.seek(middle)
        opened.readline()
        if timestamp_of(opened.readline()) < timestamp:
            low = middle
        else:
            high = middle
    return low


def timestamp_of(line: bytes) -> str:
    """Return the timestamp of a line, or "" if it has none."""
    # Every line begins with {"timestamp":"2026-05-31T12:00:00.000000Z"
    return line[14:41].decode("ascii", "replace") if line.startswith(b'{"timestamp":') else ""


def shift(timestamp: str, seconds: float) -> str:
    """Return the timestamp that many seconds later, or the same text if it is no timestamp."""
    try:
        moment = datetime.fromisoformat(timestamp) + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return timestamp
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
