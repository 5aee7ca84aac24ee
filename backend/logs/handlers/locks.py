"""The lock that processes agree by: a flock on a file beside the log file, which outlives every rotation."""

import contextlib
import errno
import fcntl
import os
import stat
import time
from pathlib import Path

FILE_MODE = 0o640
PATIENCE = 5.0  # seconds that a process waits for a lock, once; then a minute long hardly at all
ALONE_PATIENCE = 1.0  # seconds, for an exclusive lock: without it a line is written all the same
SHORT_PATIENCE = 0.1  # seconds, for the other files in that minute
DISTRUST = 60.0  # seconds


class FileLock:
    """Shared by those who append, exclusive for those who rename or cut the file.

    Patience is the process's: while an external rotation holds the locks of several files, or holds one for long, a
    request waits for one of them, not for each.
    """

    _process_distrusts_until = 0.0

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = str(path)  # what a call takes fastest
        self._descriptor = -1
        self._identity = (0, 0)
        self._distrusts_until = 0.0

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
        """Take the lock, LOCK_SH or LOCK_EX; raise OSError if another process keeps it."""
        if self._descriptor < 0:
            self.open()
        self._wait_for(mode)
        while not self._is_in_place():
            self.open()  # somebody removed the file: those who come now would agree by another one
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
                if now >= started + self._patience(mode, now):
                    self._give_up(now)
                time.sleep(pause)
                pause = min(pause * 2, 0.005)
            else:
                self._distrusts_until = 0.0
                return

    def _patience(self, mode: int, now: float) -> float:
        if now < self._distrusts_until:
            return 0.0
        if now < FileLock._process_distrusts_until:
            return SHORT_PATIENCE
        return PATIENCE if mode == fcntl.LOCK_SH else ALONE_PATIENCE

    def _give_up(self, now: float) -> None:
        if now >= FileLock._process_distrusts_until:
            FileLock._process_distrusts_until = now + DISTRUST
        if now >= self._distrusts_until:
            self._distrusts_until = now + DISTRUST
        raise OSError(errno.EAGAIN, f"Another process holds {self.path.name}")


def open_shared(path: Path, flags: int) -> int:
    """Open for all processes of the service; what root makes belongs to the owner of the folder."""
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
