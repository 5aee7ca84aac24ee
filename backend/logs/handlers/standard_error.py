"""Standard error of this process, which it shares with others: whole lines or nothing, and never a wait without end.

A pipe takes what it has room for, and makes the rest wait for a reader. So nothing is written before it is certain to
fit: under a lock on the pipe itself, which keeps our other processes from filling it in between.
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

PATIENCE = 0.5  # seconds that a line waits for a reader
DISTRUST = 30.0  # seconds without waiting, after patience ran out
_PAGE = os.sysconf("SC_PAGE_SIZE")  # a pipe is a list of pages
_FD = 2
_LOCK_PATIENCE = 0.005  # seconds; others hold the lock for some microseconds, also while nobody reads
_PAUSE = 0.002  # seconds
_TERMINAL_CHUNK = 512  # bytes
_UNREAD = "Nobody reads the console"


class StandardError:
    """The stream that has descriptor 2, or what a program has put into sys.stderr instead."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._identity: tuple[int, int] | None = None
        self._distrusts_until = 0.0
        self._forget()

    def write(self, unit: bytes, *, patience: float = PATIENCE) -> None:
        """Write whole lines, which stay together, or raise OSError; wait for a reader unless it did not come lately."""
        stream = sys.stderr
        if stream is None:
            return  # the process has none, and descriptor 2 may be anything
        if stream is not sys.__stderr__:
            stream.write(unit.decode("utf-8", "backslashreplace"))
            stream.flush()
            return
        if not self._lock.acquire(timeout=2 * PATIENCE):  # whoever has it waits for PATIENCE at most
            raise TimeoutError(errno.ETIMEDOUT, _UNREAD)
        try:
            self._follow()
            now = time.monotonic()
            is_patient = patience > 0 and now >= self._distrusts_until
            try:
                self._write_until(now + patience if is_patient else now, unit)
            except TimeoutError:
                if is_patient:
                    self._distrusts_until = time.monotonic() + DISTRUST
                raise
        finally:
            self._lock.release()

    def after_fork(self) -> None:
        """Replace what belonged to the parent; a thread that does not exist here may hold the lock."""
        self._lock = threading.RLock()

    def _forget(self) -> None:
        self._socket: socket.socket | None = None
        self._own = -1  # a descriptor that does not block, of a pipe or a terminal
        self._is_pipe = self._is_file = self._is_torn = False

    def _follow(self) -> None:
        """Open what descriptor 2 is now: a daemon, or a test, may have put another file there."""
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
            # Not os.set_blocking: the flag would be that of all processes that have this pipe.
            with contextlib.suppress(OSError):
                self._own = os.open(f"/proc/self/fd/{_FD}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)

    def _write_until(self, deadline: float, unit: bytes) -> None:
        """Write once there is room; what was begun is finished before others get the lock, or marked as torn."""
        rest = b"\n" + unit if self._is_torn else unit
        lock_deadline = max(deadline, time.monotonic() + _LOCK_PATIENCE)
        is_locked = is_begun = False
        try:
            while True:
                is_locked = is_locked or self._lock_others_out()
                if is_locked:
                    count = self._write_now(rest)
                    rest = rest[count:]
                    if not rest:
                        return
                    is_begun = is_begun or count > 0
                if time.monotonic() >= (deadline if is_locked else lock_deadline):
                    raise TimeoutError(errno.ETIMEDOUT, _UNREAD)
                if is_locked and not is_begun:
                    is_locked = self._let_others_in()
                time.sleep(_PAUSE)
        finally:
            if is_begun or not rest:
                self._is_torn = bool(rest)
            if is_locked:
                self._let_others_in()

    def _lock_others_out(self) -> bool:
        """Take a lock on the pipe itself, which is this process's and ends with it; False if another process has it."""
        if self._is_file or self._socket is not None:
            return True  # one call takes the whole unit, or nothing of it
        try:
            fcntl.lockf(_FD, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            pass  # not a file that can be locked, such as a device; what is wrong with it, writing says
        return True

    def _let_others_in(self) -> bool:
        with contextlib.suppress(OSError):
            fcntl.lockf(_FD, fcntl.LOCK_UN)
        return False

    def _write_now(self, data: bytes) -> int:
        """Write without waiting; return how many bytes were taken."""
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            if self._is_file:
                return self._append(data)
            if self._is_pipe and not self._has_room(len(data)):
                return 0
            if self._own >= 0:
                return os.write(self._own, data)
            # Where /proc is missing, or the pipe belongs to another user.
            return os.write(_FD, data if self._is_pipe else data[:_TERMINAL_CHUNK]) if _is_writable() else 0
        except BlockingIOError:
            return 0

    def _has_room(self, size: int) -> bool:
        """Whether the pipe takes so many bytes at once; it is made larger where it could never."""
        if size <= select.PIPE_BUF or not hasattr(fcntl, "F_GETPIPE_SZ"):
            return True  # a call takes these whole, or nothing of them
        needed = _pages(size)
        pages = fcntl.fcntl(_FD, fcntl.F_GETPIPE_SZ) // _PAGE
        if needed > pages:
            pages = fcntl.fcntl(_FD, fcntl.F_SETPIPE_SZ, 2 * needed * _PAGE) // _PAGE
        (used,) = struct.unpack("i", fcntl.ioctl(_FD, termios.FIONREAD, bytes(4)))
        # A page is left half empty at worst: what would fit into the one before is put there.
        return 2 * _pages(used) + needed <= pages

    def _append(self, data: bytes) -> int:
        """Write to a file; cut off again what a full disk took of a line."""
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
    """Print one line on stderr if it takes it at once."""
    with contextlib.suppress(Exception):
        STANDARD_ERROR.write(f"{text}\n".encode("utf-8", "backslashreplace"), patience=0)


def _is_writable() -> bool:
    poll = select.poll()
    poll.register(_FD, select.POLLOUT)
    return any(event & select.POLLOUT for _, event in poll.poll(0))


def _pages(size: int) -> int:
    return -(-size // _PAGE)


STANDARD_ERROR = StandardError()
os.register_at_fork(after_in_child=STANDARD_ERROR.after_fork)
