"""The lock of a log file: a flock on a lock file in the same folder, which survives every rotation."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from pathlib import Path

FILE_MODE = 0o640
LOCK_TIMEOUT = 5.0  # seconds; after a timeout, SHORT_TIMEOUT applies for LOCK_RETRY_PAUSE
EXCLUSIVE_TIMEOUT = 1.0  # seconds; a line can also be written without the exclusive lock
SHORT_TIMEOUT = 0.1  # seconds, for the locks of the other files
LOCK_RETRY_PAUSE = 60.0  # seconds


class FileLock:
    """A lock that is shared while a process appends, and exclusive while it renames or truncates the file.

    A timeout counts for the whole process. An external rotation may hold the locks of several files, and a request
    must not wait for each of them.
    """

    _process_waits_less_until = 0.0

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = str(path)  # faster than a Path in system calls
        self._descriptor = -1
        self._identity = (0, 0)
        self._no_wait_until = 0.0

    def open(self) -> None:
        self.close()
        self._descriptor = open_shared(self.path, os.O_RDWR)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)

    def close(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
        self._descriptor = -1

    def acquire(self, mode: int) -> None:
        """Take the lock (LOCK_SH or LOCK_EX), or raise OSError if another process keeps it."""
        if self._descriptor < 0:
            self.open()
        self._wait_for(mode)
        while not self._is_in_place():
            self.open()  # the lock file was deleted, so other processes will use a new one
            self._wait_for(mode)

    def release(self) -> None:
        if self._descriptor >= 0:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _is_in_place(self) -> bool:
        try:
            status = os.stat(self._name)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    def _wait_for(self, mode: int) -> None:
        pause = 0.00002
        started = 0.0
        while True:
            try:
                fcntl.flock(self._descriptor, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                now = time.monotonic()
                started = started or now
                if now >= started + self._timeout(mode, now):
                    self._give_up(now)
                time.sleep(pause)
                pause = min(pause * 2, 0.005)
            else:
                self._no_wait_until = 0.0
                return

    def _timeout(self, mode: int, now: float) -> float:
        if now < self._no_wait_until:
            return 0.0
        if now < FileLock._process_waits_less_until:
            return SHORT_TIMEOUT
        return LOCK_TIMEOUT if mode == fcntl.LOCK_SH else EXCLUSIVE_TIMEOUT

    def _give_up(self, now: float) -> None:
        if now >= FileLock._process_waits_less_until:
            FileLock._process_waits_less_until = now + LOCK_RETRY_PAUSE
        if now >= self._no_wait_until:
            self._no_wait_until = now + LOCK_RETRY_PAUSE
        raise OSError(errno.EAGAIN, f"Another process holds {self.path.name}")


def open_shared(path: Path, flags: int) -> int:
    """Open or create a file for all processes of the service. A file created by root gets the folder's owner."""
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
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
