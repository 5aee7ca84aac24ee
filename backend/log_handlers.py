"""Log files that all workers and commands of one machine write together, and rotate among themselves.

A line is one write() at the end of the file, under a shared flock on a lock file beside it (`.info.log.lock`), which
outlives every rotation. Whoever holds it alone may rename the file or, as deploy/logrotate/cosmo does, cut it.
"""

import contextlib
import errno
import fcntl
import logging
import os
import stat
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE_MODE = 0o640
LOCK_PATIENCE = 5.0  # seconds; a stopped process that holds the lock must not stop the service
DISTRUST = 60.0  # seconds without waiting, after patience ran out
COMPLAINT_INTERVAL = 60.0  # seconds between two lines on stderr about the same file
ABSENCE_GRACE = 0.5  # seconds between logrotate's rename and its new file
_DAYS_TO_MONDAY_OF_EPOCH = 4  # 1970-01-01 was a Thursday; weeks begin on Mondays, 00:00 UTC
_WEEK = 7 * 86_400

# Called with the file's name for each line that is lost; backend.metrics counts them.
drop_listeners: list[Callable[[str], None]] = []

_open_handlers: "weakref.WeakSet[SharedFileHandler]" = weakref.WeakSet()


class SharedFileHandler(logging.Handler):
    """Not a FileHandler: gunicorn's USR1 would close and reopen it behind our back.

    `max_bytes` 0 leaves the size to somebody else, such as logrotate. A file that cannot be written costs its records
    (they are on the console), one line a minute on stderr, and never an exception.
    """

    def __init__(
        self, filename: str | Path, *, max_bytes: int = 0, backup_count: int = 0, weekly: bool = False
    ) -> None:
        super().__init__()
        self.path = Path(filename).absolute()
        self.lock_path = self.path.with_name(f".{self.path.name}.lock")
        self.max_bytes = max_bytes
        self.backup_count = backup_count
        self.weekly = weekly
        self.written = self.dropped = 0  # lines, of this process
        self.last_error = ""
        self._file = self._lock_file = -1
        self._identity = (0, 0)  # of the open file
        self._absent_since = self._distrusts_until = self._complains_from = 0.0
        _open_handlers.add(self)
        try:
            self._open()
            self._open_lock()
        except OSError as error:
            self._complain(error)

    def handle(self, record: logging.LogRecord) -> Any:
        """As the standard library does, but its lock is for writing alone: threads format at the same time."""
        passed = self.filter(record)
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001 - a log call never raises
            self._drop(error)
        else:
            data = line.encode("utf-8", "backslashreplace") + b"\n"
            self.acquire()
            try:
                self.write(data)
            finally:
                self.release()

    def write(self, line: bytes) -> None:
        """Append one whole line, which ends with a line feed; drop it if that cannot be done."""
        try:
            if self._file < 0:
                self._open()
            if not self._write_under(fcntl.LOCK_SH, line):
                self._write_under(fcntl.LOCK_EX, line)
        except OSError as error:
            self._drop(error)
        else:
            self.written += 1

    def close(self) -> None:
        self.close_files()
        _open_handlers.discard(self)
        super().close()

    def close_files(self) -> None:
        """The next record opens them again."""
        for descriptor in (self._file, self._lock_file):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._file = self._lock_file = -1

    def _write_under(self, lock: int, line: bytes) -> bool:
        """False where somebody has to be alone with the file: to rotate it, or to mend what a killed process left."""
        is_locked = self._acquire(lock)
        is_alone = is_locked and lock == fcntl.LOCK_EX
        try:
            status = self._current_file()
            is_due = self._is_due(status, len(line))
            # What looks like half a line may be one that is being written.
            is_torn = not self._ends_a_line(status.st_size)
            if (is_due or is_torn) and is_locked and not is_alone:
                return False
            if is_due and is_alone:
                self._rotate_or_complain()
                is_torn = False
            data = b"\n" + line if is_torn and is_alone else line
            count = os.write(self._file, data)
            end = os.lseek(self._file, 0, os.SEEK_CUR)
            if count == len(data):
                # Somebody may have written, and been killed, since we looked; the line that is glued to his is written
                # once more.
                is_next = end - count == status.st_size
                return is_next or is_alone or not is_locked or self._ends_a_line(end - count)
        finally:
            if is_locked:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)
        self._cut_half_line(end - count, end)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _ends_a_line(self, size: int) -> bool:
        return size == 0 or os.pread(self._file, 1, size - 1) == b"\n"

    def _cut_half_line(self, start: int, end: int) -> None:
        if self._acquire(fcntl.LOCK_EX):
            try:
                if os.fstat(self._file).st_size == end:
                    os.ftruncate(self._file, start)
            finally:
                fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _current_file(self) -> os.stat_result:
        """Open what bears our name now: somebody may have rotated."""
        try:
            named = os.stat(self.path)
        except FileNotFoundError:
            # Between logrotate's rename and its new file the old one is still good; making one here would collide.
            now = time.monotonic()
            self._absent_since = self._absent_since or now
            if now - self._absent_since < ABSENCE_GRACE and self.path.parent.is_dir():
                return os.fstat(self._file)
            named = None
        self._absent_since = 0.0
        if named is not None and (named.st_ino, named.st_dev) == self._identity:
            return named
        self._open()
        return os.fstat(self._file)

    def _is_due(self, status: os.stat_result, length: int) -> bool:
        if not status.st_size:
            return False
        if self.max_bytes and status.st_size + length > self.max_bytes:
            return True
        return self.weekly and status.st_mtime < _monday_before(time.time())

    def _rotate_or_complain(self) -> None:
        try:
            self._rotate()
        except OSError as error:  # a file too large is better than a line lost
            self._complain(error)

    def _rotate(self) -> None:
        if self.backup_count == 0:
            os.ftruncate(self._file, 0)
            return
        for number in range(self.backup_count - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._backup(number), self._backup(number + 1))
        os.replace(self.path, self._backup(1))
        self._open()

    def _backup(self, number: int) -> str:
        return f"{self.path}.{number}"

    def _open(self) -> None:
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        descriptor = _open_shared(self.path, os.O_RDWR | os.O_APPEND)
        if self._file >= 0:
            os.close(self._file)
        self._file = descriptor
        status = os.fstat(descriptor)
        self._identity = (status.st_ino, status.st_dev)

    def _open_lock(self) -> None:
        self._lock_file = _open_shared(self.lock_path, os.O_RDWR)

    def _acquire(self, lock: int) -> bool:
        """Take the lock; False where it could not be had in time, and nothing but appending is safe."""
        if self._lock_file < 0:
            self._open_lock()
        pause = 0.00002
        deadline = 0.0
        while True:
            try:
                fcntl.flock(self._lock_file, lock | fcntl.LOCK_NB)
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + LOCK_PATIENCE
                if now < self._distrusts_until:
                    return False
                if now > deadline:
                    self._distrusts_until = now + DISTRUST
                    self._complain(OSError(errno.EAGAIN, f"Another process holds {self.lock_path.name}"))
                    return False
                time.sleep(pause)
                pause = min(pause * 2, 0.005)
            else:
                return True

    def _drop(self, error: Exception) -> None:
        self.dropped += 1
        for listener in drop_listeners:
            listener(self.path.name)
        self._complain(error)

    def _complain(self, error: Exception) -> None:
        self.last_error = (
            f"{type(error).__name__}: {getattr(error, 'strerror', None) or 'a record could not be formatted'}"
        )
        now = time.monotonic()
        if now < self._complains_from:
            return
        self._complains_from = now + COMPLAINT_INTERVAL
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(
                f"Log file {self.path}: {self.last_error}. Process {os.getpid()} dropped {self.dropped} lines; "
                "they are on the console.\n"
            )


def _open_shared(path: Path, flags: int) -> int:
    """Open for all processes of the service; what root makes belongs to the owner of the folder."""
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != FILE_MODE:
        os.fchmod(descriptor, FILE_MODE)
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return descriptor


def _monday_before(moment: float) -> float:
    """00:00 UTC of the Monday before this moment, both in seconds since 1970."""
    first_monday = _DAYS_TO_MONDAY_OF_EPOCH * 86_400
    return moment - (moment - first_monday) % _WEEK


def _after_fork_in_child() -> None:
    # A flock belongs to the open file, which the parent has too.
    for handler in list(_open_handlers):
        handler.close_files()


os.register_at_fork(after_in_child=_after_fork_in_child)
