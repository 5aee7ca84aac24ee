"""gunicorn for Cosmo: `gunicorn -c deploy/gunicorn.conf.py backend.wsgi:application`.

The values come from backend/settings.py. A separate process loads them, because workers inherit every module that the
master has imported: after a HUP they would still serve the old code.
"""

import contextlib
import gc
import itertools
import json
import mmap
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from signal import SIG_BLOCK, SIG_UNBLOCK, SIGHUP, SIGINT, SIGQUIT, SIGTERM, pthread_sigmask, signal
from typing import Any, NoReturn

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.workers import base
from gunicorn.workers.workertmp import WorkerTmp

BOOT_PAUSE = 10.0  # seconds until the next boot attempt after a failed one
END_SIGNALS = {SIGTERM, SIGINT, SIGQUIT}

_PRINT_SETTINGS = """
import json, sys
try:
    from backend import settings
except Exception as problem:
    if type(problem).__name__ != "ImproperlyConfigured":
        raise
    sys.exit(f"Cosmo does not start: {problem}")
names = [name for name in dir(settings) if name.startswith("WEB_")]
print(json.dumps({name: getattr(settings, name) for name in [*names, "LOGGING"]}))
"""


def _load_settings() -> dict[str, Any]:
    project = Path(__file__).resolve().parent.parent
    result = subprocess.run([sys.executable, "-c", _PRINT_SETTINGS], cwd=project, stdout=subprocess.PIPE, check=False)
    if result.returncode:
        sys.exit(result.returncode)
    return json.loads(result.stdout)


def _logging(config: dict[str, Any]) -> dict[str, Any]:
    """Return the master's configuration: without emails, which need all of Django, and without metrics."""
    excluded = {"mail_admins", "metrics"}
    handlers = {name: handler for name, handler in config["handlers"].items() if name not in excluded}
    return config | {"handlers": handlers, "root": config["root"] | {"handlers": list(handlers)}}


class Heartbeat(WorkerTmp):
    """A worker's heartbeat file, in memory, because /tmp may be full."""

    def __init__(self, cfg: Any) -> None:
        self._tmp = os.fdopen(os.memfd_create("heartbeat"), "w+b", 0)
        if (cfg.uid, cfg.gid) != (os.geteuid(), os.getegid()):
            os.fchown(self._tmp.fileno(), cfg.uid, cfg.gid)


if hasattr(os, "memfd_create"):  # Linux
    base.WorkerTmp = Heartbeat


class CarefulArbiter(Arbiter):
    """A master that ends no worker before its successor has booted.

    gunicorn's own master exits if the new configuration or a new worker cannot be loaded, and ends all workers.
    """

    no_spawn_before = 0.0

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Return received signals without reloads that a later reload or an end signal makes redundant."""
        signals = super().wait_for_signals(timeout)
        return [
            signal_
            for number, signal_ in enumerate(signals, start=1)
            if signal_ != SIGHUP or not {SIGHUP, *END_SIGNALS} & {*signals[number:]}
        ]

    def reload(self) -> None:
        """Replace all workers, if the new configuration and the new code can be loaded."""
        problem = self._reload_problem()
        former = self.app.cfg
        try:
            if not problem:
                self.app.reload()
        except SystemExit:
            problem = "The configuration changed during its check."
        if not problem and self.app.cfg.address != former.address:
            problem = "WEB_BIND has changed, which needs a restart."
        if problem:
            self.app.cfg = former
            extra = {"event": "reload_refused", "reason": problem}
            self.log.error("Reload refused, the running workers go on: %s", problem.splitlines()[-1], extra=extra)
            return
        self.setup(self.app)
        self.log.reopen_files()
        self.cfg.on_reload(self)
        for _ in range(self.num_workers):
            self.spawn_worker()

    def _reload_problem(self) -> str:
        """Return why a new master could not start with the same command; empty if it could."""
        command = [sys.executable, "-m", "gunicorn", *sys.argv[1:], "--check-config"]
        try:
            check = subprocess.run(
                command,
                cwd=self.START_CTX["cwd"],
                capture_output=True,
                timeout=self.timeout or None,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"The check did not finish: {error}"
        if check.returncode == 0:
            return ""
        return (
            check.stderr.decode(errors="replace").strip()[-4000:]
            or f"The check failed with exit status {check.returncode}."
        )

    def spawn_worker(self) -> Any:
        """Start a worker with end signals blocked: until it has its own handlers, the master's would drop them."""
        pthread_sigmask(SIG_BLOCK, END_SIGNALS)
        try:
            return super().spawn_worker()
        finally:
            pthread_sigmask(SIG_UNBLOCK, END_SIGNALS)

    def manage_workers(self) -> None:
        """Start missing workers; end the oldest booted workers if there are too many."""
        serving = self._serving()
        is_paused = serving and time.monotonic() < self.no_spawn_before
        if len(self.WORKERS) < self.num_workers and not is_paused:
            self.spawn_workers()
        for worker in serving[: max(0, len(serving) - self.num_workers)]:
            worker.is_ended = True
            self.kill_worker(worker.pid, SIGTERM)

    def reap_workers(self) -> None:
        """Handle ended workers; give up only if a worker cannot boot and no other serves."""
        while True:
            before = dict(self.WORKERS)
            try:
                super().reap_workers()
            except HaltServer:
                if not self._serving():
                    raise
                for worker in (worker for pid, worker in before.items() if pid not in self.WORKERS):
                    worker.tmp.close()
                self.no_spawn_before = time.monotonic() + BOOT_PAUSE
                self.log.error(
                    "A new worker could not boot, the running ones go on", extra={"event": "worker_not_booted"}
                )
            else:
                return

    def _serving(self) -> list[Any]:
        """Return serving workers, oldest first. Workers from before an update lack these attributes."""
        serving = [
            worker
            for worker in self.WORKERS.values()
            if getattr(worker, "has_booted", b"\1")[0] and not getattr(worker, "is_ended", False)
        ]
        return sorted(serving, key=lambda worker: worker.age)


def on_starting(server: Any) -> None:
    """Choose the folder of the workers' metrics, and delete files of previous workers."""
    server.__class__ = CarefulArbiter
    configured = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    folder = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 # nosec B108 - the name below is random
    server.metrics = configured or f"{folder}/cosmo-metrics-{os.urandom(8).hex()}"
    _remove_metrics(server, "*.db")
    _remove_metrics(server, "*.new")


def on_reload(server: Any) -> None:
    """Use the code of this file, which is newer than the master's."""
    server.__class__ = CarefulArbiter


def pre_fork(server: Any, worker: Any) -> None:
    """Assign the first free place, so that the worker continues the counters of its predecessor.

    With one set of files per process, as in prometheus_client, every scrape would read the files of all past workers.
    """
    taken = {getattr(other, "place", None) for other in server.WORKERS.values()}  # none before an update
    worker.place = next(
        place for place in (f"{server.pid}-{number}" for number in itertools.count()) if place not in taken
    )
    worker.metrics = _metrics_of(server)
    worker.has_booted = mmap.mmap(-1, 1)  # shared by master and worker


def post_fork(server: Any, worker: Any) -> None:
    """Let the worker import Cosmo again: the master has imported its logging code, possibly before an update.

    With --preload the worker uses all modules of the master; importing some again would duplicate them.
    """
    for number in END_SIGNALS:
        signal(number, _end_at_once)  # until gunicorn installs its own handlers
    pthread_sigmask(SIG_UNBLOCK, END_SIGNALS)
    if server.cfg.preload_app:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "backend"]:
        del sys.modules[name]


def _end_at_once(*_: object) -> NoReturn:
    os._exit(0)


def post_worker_init(worker: Any) -> None:
    """Exclude imported objects from garbage collection: scanning them stops all threads for 60 ms each time."""
    from backend.telemetry import metric_files  # noqa: PLC0415 - imported by the worker only

    metric_files.share_values(worker.metrics, worker.place)
    worker.has_booted[0] = 1
    gc.collect()
    gc.freeze()


def child_exit(server: Any, worker: Any) -> None:
    """Remove an ended worker from the gauges."""
    _remove_metrics(server, f"gauge_live*_{getattr(worker, 'place', worker.pid)}.db")


def on_exit(server: Any) -> None:
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        shutil.rmtree(server.metrics, ignore_errors=True)


def _metrics_of(server: Any) -> str:
    """Return the metrics folder; a master from before an update has it in its environment."""
    return getattr(server, "metrics", None) or os.environ["PROMETHEUS_MULTIPROC_DIR"]


def _remove_metrics(server: Any, pattern: str) -> None:
    with contextlib.suppress(OSError):
        for path in Path(_metrics_of(server)).glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()


_web = _load_settings()

bind = _web["WEB_BIND"]
workers = _web["WEB_CONCURRENCY"] or (os.cpu_count() or 1) + 1
worker_class = "gthread"
threads = _web["WEB_THREADS"]
timeout = graceful_timeout = _web["WEB_TIMEOUT"]
keepalive = 5
# Workers are replaced regularly, at different times, which limits memory leaks.
max_requests = 100_000
max_requests_jitter = 10_000
# Cosmo's longest query string is a search; longer ones get 400 or 431.
limit_request_line = 8_190
limit_request_fields = 100
limit_request_field_size = 8_190

# TRUSTED_PROXY_COUNT alone decides which proxies are trusted; gunicorn trusts none.
forwarded_allow_ips = ""
secure_scheme_headers = {}

control_socket_disable = True
accesslog = None  # backend.middleware.RequestLoggingMiddleware logs every request
logconfig_dict = _logging(_web["LOGGING"])  # gunicorn logs into the same files, in the same format
