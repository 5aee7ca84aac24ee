"""Log files that all workers and commands of one machine write and rotate together.

A line is one write() at the end of the file, under a shared flock on a lock file in the same folder (`.info.log.lock`).
The lock file survives every rotation. A process with the exclusive lock may rename the file, or truncate it as
deploy/logrotate/cosmo does. So a line without the lock is not written: a truncation could delete it unnoticed.
"""

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from backend.logs.handlers.backups import Backups
from backend.logs.handlers.guard import LineHandler, reason_of
from backend.logs.handlers.locks import FileLock, open_shared

RENAME_GRACE = 0.5  # seconds that logrotate may need between its rename and its new file
ROTATION_RETRY = 60.0  # seconds after a failed rotation
_DAYS_TO_MONDAY_OF_EPOCH = 4  # 1970-01-01 was a Thursday; weeks begin on Mondays, 00:00 UTC
_WEEK = 7 * 86_400
_CANNOT_ROTATE = "cannot be rotated"


class _HalfLineError(Exception):
    """The disk took only a part of a line, from `start` to `end`."""

    def __init__(self, start: int, end: int) -> None:
        self.start, self.end = start, end


class SharedFileHandler(LineHandler):
    """Appends lines to a file that several processes share, and rotates it.

    It is no FileHandler, because gunicorn would close and reopen that on SIGUSR1. If `max_bytes` is 0, an external
    tool such as logrotate rotates the file. If the file cannot be written, its records are dropped (the console has
    them), stderr gets one line a minute, and no exception is raised.
    """

    where_dropped_lines_are = "; they are on the console"

    def __init__(
        self, filename: str | Path, *, max_bytes: int = 0, backup_count: int = 0, weekly: bool = False
    ) -> None:
        super().__init__()
        self.path = Path(filename).absolute()
        self.label = self.path.name
        self._name = str(self.path)  # faster than a Path in system calls
        self.max_bytes = max_bytes
        self.weekly = weekly
        self._backups = Backups(self.path, backup_count)
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        self._file = -1
        self._identity = (0, 0)  # of the open file
        self._absent_since = self._rotates_from = 0.0
        try:
            self._open()
            self._lock.open()
        except OSError as error:
            self.last_error = reason_of(error)
            self.report(f"{self.last_error}. Its lines are on the console.")

    def title(self) -> str:
        return f"Log file {self.path}"

    def write(self, line: bytes) -> None:
        """Append one whole line that ends with a line feed."""
        if self._file < 0:
            self._open()
        try:
            is_written = self._write_shared(line)
            if not is_written and not self._write_exclusive(line):
                self._write_shared(line, is_last_try=True)
        except _HalfLineError as half:
            self._remove_half_line(half)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None

    def close(self) -> None:
        self.close_files()
        super().close()

    def close_files(self) -> None:
        """Close the descriptors. The next record opens them again."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                os.close(self._file)
        self._file = -1
        self._lock.close()

    def after_fork(self) -> None:
        """Close the files, because the parent shares their flocks. The next record opens new ones."""
        super().after_fork()
        self.close_files()

    def _write_shared(self, line: bytes, *, is_last_try: bool = False) -> bool:
        """Return False if the line needs the exclusive lock, to rotate the file or to end a killed process' line."""
        self._lock.acquire(fcntl.LOCK_SH)
        try:
            status = self._current_file()
            is_torn = not self._ends_a_line(status.st_size)
            # A line that another process is writing also looks torn.
            if not is_last_try and (is_torn or self._is_due(status, len(line))):
                return False
            start = self._append(b"\n" + line if is_torn else line)
            if os.fstat(self._file).st_nlink == 0:
                return False  # deleted during the write; the line is written again
            # Another process may have been killed in the middle of a line since our check. Our line then follows its
            # half line directly, and is written again.
            return is_last_try or start == status.st_size or self._ends_a_line(start)
        finally:
            self._lock.release()

    def _write_exclusive(self, line: bytes) -> bool:
        """Rotate the file or end a torn line, then write. Return False if a stopped process keeps its shared lock."""
        try:
            self._lock.acquire(fcntl.LOCK_EX)
        except BlockingIOError as error:
            if self._is_due(os.fstat(self._file), len(line)):
                self._fail_to_rotate(error)
            return False
        try:
            status = self._current_file()
            if self._is_due(status, len(line)):
                self._rotate()
                status = os.fstat(self._file)
            self._append(line if self._ends_a_line(status.st_size) else b"\n" + line)
            return os.fstat(self._file).st_nlink > 0
        finally:
            self._lock.release()

    def _append(self, data: bytes) -> int:
        """Write at the end, and return the offset of the data."""
        count = os.write(self._file, data)
        end = os.lseek(self._file, 0, os.SEEK_CUR)
        if count < len(data):
            raise _HalfLineError(end - count, end)
        return end - count

    def _remove_half_line(self, half: "_HalfLineError") -> None:
        """Truncate half a line, unless another line follows it. If it stays, the next write ends it first."""
        with contextlib.suppress(OSError):
            self._lock.acquire(fcntl.LOCK_EX)
            try:
                if os.fstat(self._file).st_size == half.end:
                    os.ftruncate(self._file, half.start)
            finally:
                self._lock.release()

    def _ends_a_line(self, size: int) -> bool:
        return size == 0 or os.pread(self._file, 1, size - 1) == b"\n"

    def _current_file(self) -> os.stat_result:
        """Open the file again if another process has rotated or deleted it, and return its status."""
        try:
            named = os.stat(self._name)
        except FileNotFoundError:
            # logrotate has renamed the file and is about to create a new one. Creating it here would collide.
            now = time.monotonic()
            self._absent_since = self._absent_since or now
            status = os.fstat(self._file)
            is_renamed = status.st_nlink > 0 and self.path.parent.is_dir()
            if is_renamed and now - self._absent_since < RENAME_GRACE:
                return status
            named = None
        self._absent_since = 0.0
        if named is not None and (named.st_ino, named.st_dev) == self._identity:
            return named
        self._open()
        return os.fstat(self._file)

    def _is_due(self, status: os.stat_result, length: int) -> bool:
        is_full = bool(self.max_bytes) and status.st_size + length > self.max_bytes
        if not status.st_size or not (is_full or (self.weekly and status.st_mtime < _monday_before(time.time()))):
            return False
        return time.monotonic() >= self._rotates_from

    def _rotate(self) -> None:
        try:
            self._backups.rotate()
        except OSError as error:  # a large file is better than a lost line
            self._fail_to_rotate(error)
        else:
            if self.last_error.startswith(_CANNOT_ROTATE):
                self.last_error = ""
        self._current_file()

    def _fail_to_rotate(self, error: OSError) -> None:
        self._rotates_from = time.monotonic() + ROTATION_RETRY
        self.last_error = f"{_CANNOT_ROTATE}, {reason_of(error)}"
        self.report(f"{self.last_error}. The file grows; no line is lost.")

    def _open(self) -> None:
        descriptor = open_shared(self.path, os.O_RDWR | os.O_APPEND)
        if self._file >= 0:
            os.close(self._file)
        self._file = descriptor
        status = os.fstat(descriptor)
        self._identity = (status.st_ino, status.st_dev)


def _monday_before(moment: float) -> float:
    """Return 00:00 UTC of the last Monday. Both times are in seconds since 1970."""
    first_monday = _DAYS_TO_MONDAY_OF_EPOCH * 86_400
    return moment - (moment - first_monday) % _WEEK
