"""Memory use of this process."""

import os

_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
_REARM_RATIO = 0.9  # of the threshold; growth must fall below it before the next report


class _Statm:
    """/proc/self/statm, kept open: each system call gives up the GIL."""

    def __init__(self) -> None:
        self._file = -1
        os.register_at_fork(after_in_child=self._close)  # the file belongs to the parent

    def read(self) -> bytes:
        if self._file < 0:
            self._file = os.open("/proc/self/statm", os.O_RDONLY)
        return os.pread(self._file, 128, 0)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


_statm = _Statm()


def resident_bytes() -> int | None:
    """Return the resident memory of this process; None on systems without /proc."""
    try:
        return int(_statm.read().split()[1]) * _PAGE_SIZE
    except (OSError, ValueError, IndexError):
        return None


def resident_mb() -> float | None:
    """Return the same in megabytes."""
    size = resident_bytes()
    return None if size is None else size / (1024 * 1024)


class MemoryGrowthDetector:
    """Reports once when the process has grown by a threshold since its start, and again after it has clearly shrunk."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._is_reported = False

    def has_grown(self, now_mb: float, *, threshold_mb: int) -> bool:
        """Return True if this growth has not been reported yet."""
        if self._start is None:
            self._start = now_mb
        growth = now_mb - self._start
        is_new = growth >= threshold_mb and not self._is_reported
        self._is_reported = is_new or (self._is_reported and growth >= _REARM_RATIO * threshold_mb)
        return is_new


memory_growth = MemoryGrowthDetector()
