"""How much memory this process has in use."""

import os

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_mb() -> float | None:
    """Megabytes of this process in RAM; None where the system does not tell it in /proc."""
    try:
        descriptor = os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return None
    try:
        return int(os.read(descriptor, 128).split()[1]) * _PAGE / (1024 * 1024)
    finally:
        os.close(descriptor)


class GrowthWatch:
    """Tells once when the process has grown by so many megabytes since its start, and again after it shrank."""

    def __init__(self) -> None:
        self._start: float | None = None
        self._is_told = False

    def has_grown(self, now_mb: float, *, threshold_mb: int) -> bool:
        if self._start is None:
            self._start = now_mb
        is_over = now_mb - self._start >= threshold_mb
        is_news = is_over and not self._is_told
        self._is_told = is_over
        return is_news


growth = GrowthWatch()
