"""New records of a log file, as they are written."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from backend.logs.reader import Entry, parse_entries


class Follower:
    """Reads the records that are appended to a file from now on, also across rotations."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None
        self._incomplete = b""  # a line whose end is not written yet
        self._open(at_end=True)

    def new_entries(self) -> Iterator[Entry]:
        """Yield the records that were written since the last call."""
        yield from parse_entries(self._new_lines())
        if self._was_rotated() and self._open():
            yield from parse_entries(self._new_lines())

    def _new_lines(self) -> list[bytes]:
        if self._file is None and not self._open():
            return []
        assert self._file is not None  # noqa: S101 - for the type checker
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)  # truncated by copytruncate
        *lines, self._incomplete = (self._incomplete + self._file.read()).split(b"\n")
        return lines

    def _was_rotated(self) -> bool:
        if self._file is None or not self.path.exists():
            return False
        return os.fstat(self._file.fileno()).st_ino != self.path.stat().st_ino

    def _open(self, *, at_end: bool = False) -> bool:
        if self._file is not None:
            self._file.close()
        try:
            self._file = self.path.open("rb")
            self._file.seek(0, os.SEEK_END if at_end else os.SEEK_SET)
        except OSError:
            self._file = None
        self._incomplete = b""
        return self._file is not None
