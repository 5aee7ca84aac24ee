"""How much memory this process has in use."""

import os

_PAGE = os.sysconf("SC_PAGE_SIZE")
_FALLEN = 0.9  # of the threshold; below it memory has fallen, between the two it only wavers


class _Statm:
    """/proc/self/statm, kept open: each call of the system lets another thread run first."""

    def __init__(self) -> None:
        self._file = -1
        os.register_at_fork(after_in_child=self._close)  # it is the parent's

    def read(self) -> bytes:
        if self._file < 0:
            self._file = os.open("/proc/self/statm", os.O_RDONLY)
        return os.pread(self._file, 128, 0)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


_statm = _Statm()


def resident_mb() -> float | None:
    """Megabytes of this process in RAM; None where the system does not tell it in /proc."""
    try:
        return int(_statm.read().split()[1]) * _PAGE / (1024 * 1024)
    except (OSError, ValueError, IndexError):
        return None


class MemoryGrowthDetector:
    """Tells once when the process has grown by so many megabytes since its start, and again after it clearly shrank."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._is_told = False

    def has_grown(self, now_mb: float, *, threshold_mb: int) -> bool:
        if self._start is None:
            self._start = now_mb
        grown = now_mb - self._start
        is_news = grown >= threshold_mb and not self._is_told
        self._is_told = is_news or (self._is_told and grown >= _FALLEN * threshold_mb)
        return is_news


memory_growth = MemoryGrowthDetector()
