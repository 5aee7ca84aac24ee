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
