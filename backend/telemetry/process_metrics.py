"""Resources of this process: memory, CPU time, open files, connections of the database pool.

A scrape reaches only one worker. So each worker samples itself every few seconds, as part of a request.
"""

import os
import threading
from time import monotonic, process_time
from typing import Any

from django.db import connections
from prometheus_client import Counter, Gauge

from backend.telemetry import metric_files
from backend.telemetry.memory import resident_bytes

SAMPLED_EVERY = 5.0  # seconds

WORKERS = Gauge("cosmo_workers", "Live workers that have served a request.", multiprocess_mode="livesum")
MEMORY = Gauge("cosmo_worker_memory_bytes", "Resident memory of all workers in bytes.", multiprocess_mode="livesum")
OPEN_FILES = Gauge("cosmo_worker_open_files", "Open files of the worker with the most.", multiprocess_mode="livemax")
CPU_SECONDS = Counter("cosmo_worker_cpu_seconds", "CPU time of all workers in seconds.")
POOL = Gauge(
    "cosmo_database_pool_connections",
    "Connections in the pools of all workers.",
    ["state"],
    multiprocess_mode="livesum",
)
POOL_EVENTS = Counter(
    "cosmo_database_pool_events",
    "Requests that waited for a connection, requests that timed out, and failed connection attempts.",
    ["event"],
)
# {our event: the pool's counter}.
EVENTS = {"waited": "requests_queued", "timed_out": "requests_errors", "not_connected": "connections_errors"}
for _name in EVENTS:
    POOL_EVENTS.labels(_name)
for _name in ("idle", "busy"):
    POOL.labels(_name)


class _Sampler:
    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)  # CPU time and counters belong to the parent

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._next = 0.0
        self._cpu = 0.0
        self._pool: dict[str, int] = {}

    def sample(self, *, is_due: bool) -> None:
        now = monotonic()
        if now < self._next and not is_due:
            return
        with self._lock:
            self._next = now + SAMPLED_EVERY
            metric_files.repair_files()
            WORKERS.set(1)
            MEMORY.set(resident_bytes() or 0)
            OPEN_FILES.set(_open_files())
            cpu, self._cpu = self._cpu, process_time()
            CPU_SECONDS.inc(self._cpu - cpu)
            self._sample_pool()

    def _sample_pool(self) -> None:
        pool: Any = getattr(connections["default"], "pool", None)  # PostgreSQL only
        if pool is None:
            return
        before, self._pool = self._pool, pool.get_stats()
        idle = self._pool["pool_available"]
        POOL.labels("idle").set(idle)
        POOL.labels("busy").set(self._pool["pool_size"] - idle)
        for event, name in EVENTS.items():
            POOL_EVENTS.labels(event).inc(max(0, self._pool.get(name, 0) - before.get(name, 0)))


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


_sampler = _Sampler()


def sample(*, is_due: bool = False) -> None:
    """Sample this process if `is_due` or if the last sample is some seconds old."""
    _sampler.sample(is_due=is_due)
