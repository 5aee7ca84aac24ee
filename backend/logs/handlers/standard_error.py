"""Standard error, shared with other processes: whole lines or nothing, and never an endless wait.

A pipe takes a part of a line that does not fit, and blocks for the rest. So a line is written only if it is certain to
fit. A lock on the pipe itself keeps our other processes from filling it in between.
"""

import contextlib
import errno
import fcntl
import os
import select
import socket
import stat
import struct
import sys
import termios
import threading
import time

READER_TIMEOUT = 0.5  # seconds that a line waits for a reader
NO_WAIT_PERIOD = 30.0  # seconds without waiting, after a timeout
_PAGE = os.sysconf("SC_PAGE_SIZE")  # a pipe is a list of pages
_FD = 2
_LOCK_TIMEOUT = 0.005  # seconds; other processes hold the lock for microseconds only, even without a reader
_PAUSE = 0.002  # seconds
_TERMINAL_CHUNK = 512  # bytes
_UNREAD = "No process reads the console"


class StandardError:
    """The stream of descriptor 2, or the object that a program has put into sys.stderr."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._identity: tuple[int, int] | None = None
        self._no_wait_until = 0.0
        self._forget()

    def write(self, unit: bytes, *, timeout: float = READER_TIMEOUT) -> None:
        """Write whole lines that stay together, or raise OSError. Wait for a reader, except after a recent timeout."""
        stream = sys.stderr
        if stream is None:
            return  # the process has no stderr, and descriptor 2 may be any file
        if stream is not sys.__stderr__:
            stream.write(unit.decode("utf-8", "backslashreplace"))
            stream.flush()
            return
        if not self._lock.acquire(timeout=2 * READER_TIMEOUT):  # another thread holds it for READER_TIMEOUT at most
            raise TimeoutError(errno.ETIMEDOUT, _UNREAD)
        try:
            self._open_current()
            now = time.monotonic()
            may_wait = timeout > 0 and now >= self._no_wait_until
            try:
                self._write_until(now + timeout if may_wait else now, unit)
            except TimeoutError:
                if may_wait:
                    self._no_wait_until = time.monotonic() + NO_WAIT_PERIOD
                raise
        finally:
            self._lock.release()

    def after_fork(self) -> None:
        """Replace the lock, which a thread of the parent may hold."""
        self._lock = threading.RLock()

    def _forget(self) -> None:
        self._socket: socket.socket | None = None
        self._own = -1  # a non-blocking descriptor of the same pipe or terminal
        self._is_pipe = self._is_file = self._is_torn = False

    def _open_current(self) -> None:
        """Open the current file of descriptor 2, which a daemon or a test may have replaced."""
        status = os.fstat(_FD)
        if (status.st_dev, status.st_ino) == self._identity:
            return
        if self._socket is not None:
            self._socket.close()
        if self._own >= 0:
            os.close(self._own)
        self._forget()
        self._identity = (status.st_dev, status.st_ino)
        self._is_file = stat.S_ISREG(status.st_mode)
        self._is_pipe = stat.S_ISFIFO(status.st_mode)
        if stat.S_ISSOCK(status.st_mode):
            self._socket = socket.socket(fileno=os.dup(_FD))
        elif self._is_pipe or os.isatty(_FD):
            # Not os.set_blocking: it would change the pipe for all processes that share it.
            with contextlib.suppress(OSError):
                self._own = os.open(f"/proc/self/fd/{_FD}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)

    def _write_until(self, deadline: float, unit: bytes) -> None:
        """Write when there is room. Finish a started line before the lock is released, or mark it as torn."""
        rest = b"\n" + unit if self._is_torn else unit
        lock_deadline = max(deadline, time.monotonic() + _LOCK_TIMEOUT)
        is_locked = is_started = False
        try:
            while True:
                is_locked = is_locked or self._lock_pipe()
                if is_locked:
                    count = self._write_now(rest)
                    rest = rest[count:]
                    if not rest:
                        return
                    is_started = is_started or count > 0
                if time.monotonic() >= (deadline if is_locked else lock_deadline):
                    raise TimeoutError(errno.ETIMEDOUT, _UNREAD)
                if is_locked and not is_started:
                    is_locked = self._unlock_pipe()
                time.sleep(_PAUSE)
        finally:
            if is_started or not rest:
                self._is_torn = bool(rest)
            if is_locked:
                self._unlock_pipe()

    def _lock_pipe(self) -> bool:
        """Lock the pipe itself, or return False if another process has locked it. The lock ends with this process."""
        if self._is_file or self._socket is not None:
            return True  # one call takes the whole unit or nothing
        try:
            fcntl.lockf(_FD, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            pass  # not lockable, such as a device; if it is broken, the write fails
        return True

    def _unlock_pipe(self) -> bool:
        with contextlib.suppress(OSError):
            fcntl.lockf(_FD, fcntl.LOCK_UN)
        return False

    def _write_now(self, data: bytes) -> int:
        """Write without waiting, and return the number of bytes written."""
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            if self._is_file:
                return self._append(data)
            if self._is_pipe and not self._has_room(len(data)):
                return 0
            if self._own >= 0:
                return os.write(self._own, data)
            # /proc is missing, or the pipe belongs to another user.
            return os.write(_FD, data if self._is_pipe else data[:_TERMINAL_CHUNK]) if _is_writable() else 0
        except BlockingIOError:
            return 0

    def _has_room(self, size: int) -> bool:
        """Return whether the pipe takes so many bytes at once. Enlarge a pipe that is too small for them."""
        if size <= select.PIPE_BUF or not hasattr(fcntl, "F_GETPIPE_SZ"):
            return True  # one call takes all of these or nothing
        needed = _pages(size)
        pages = fcntl.fcntl(_FD, fcntl.F_GETPIPE_SZ) // _PAGE
        if needed > pages:
            pages = fcntl.fcntl(_FD, fcntl.F_SETPIPE_SZ, 2 * needed * _PAGE) // _PAGE
        (used,) = struct.unpack("i", fcntl.ioctl(_FD, termios.FIONREAD, bytes(4)))
        # Pages are at least half full, because data that fits into the last page is put there.
        return 2 * _pages(used) + needed <= pages

    def _append(self, data: bytes) -> int:
        """Write to a file. If the disk is full, truncate the part of the line that was written."""
        count = os.write(_FD, data)
        if count == len(data):
            return count
        end = os.lseek(_FD, 0, os.SEEK_CUR)
        if os.fstat(_FD).st_size == end:
            os.ftruncate(_FD, end - count)
            os.lseek(_FD, end - count, os.SEEK_SET)
        else:
            self._is_torn = True
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def print_error(text: str) -> None:
    """Print one line on stderr if it fits without waiting."""
    with contextlib.suppress(Exception):
        STANDARD_ERROR.write(f"{text}\n".encode("utf-8", "backslashreplace"), timeout=0)


def _is_writable() -> bool:
    poll = select.poll()
    poll.register(_FD, select.POLLOUT)
    return any(event & select.POLLOUT for _, event in poll.poll(0))


def _pages(size: int) -> int:
    return -(-size // _PAGE)


STANDARD_ERROR = StandardError()
os.register_at_fork(after_in_child=STANDARD_ERROR.after_fork)
