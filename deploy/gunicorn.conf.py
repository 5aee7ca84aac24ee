"""gunicorn for Cosmo: `gunicorn -c deploy/gunicorn.conf.py backend.wsgi:application`.

The values are those of backend/settings.py. They are asked for in a process of its own, because what the master has
imported, its workers inherit, and a HUP would go on serving the old code.
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

BOOT_PAUSE = 10.0  # seconds without a new worker, after one could not boot
ENDS = {SIGTERM, SIGINT, SIGQUIT}

_ASK = """
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


def _ask_settings() -> dict[str, Any]:
    project = Path(__file__).resolve().parent.parent
    answer = subprocess.run([sys.executable, "-c", _ASK], cwd=project, stdout=subprocess.PIPE, check=False)
    if answer.returncode:
        sys.exit(answer.returncode)
    return json.loads(answer.stdout)


def _logging(config: dict[str, Any]) -> dict[str, Any]:
    """Without mails, which need all of Django, and metrics, which are the workers'; the master has none."""
    without = {"mail_admins", "metrics"}
    handlers = {name: handler for name, handler in config["handlers"].items() if name not in without}
    return config | {"handlers": handlers, "root": config["root"] | {"handlers": list(handlers)}}


class Heartbeat(WorkerTmp):
    """What the master sees a living worker by: a file in memory, because /tmp may have no room for one."""

    def __init__(self, cfg: Any) -> None:
        self._tmp = os.fdopen(os.memfd_create("heartbeat"), "w+b", 0)
        if (cfg.uid, cfg.gid) != (os.geteuid(), os.getegid()):
            os.fchown(self._tmp.fileno(), cfg.uid, cfg.gid)


if hasattr(os, "memfd_create"):  # Linux
    base.WorkerTmp = Heartbeat


class CarefulArbiter(Arbiter):
    """A master that ends no worker before the one that replaces it has booted.

    gunicorn's own ends itself where the new configuration or a new worker cannot be loaded, and with it the workers
    that still serve.
    """

    no_spawn_before = 0.0

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """What has come, without reloads that another one, or the end, makes needless: each takes seconds."""
        waiting = super().wait_for_signals(timeout)
        return [
            one
            for number, one in enumerate(waiting, start=1)
            if one != SIGHUP or not {SIGHUP, *ENDS} & {*waiting[number:]}
        ]

    def reload(self) -> None:
        """Replace all workers, if the new configuration and the new code can be loaded."""
        problem = self._problem()
        former = self.app.cfg
        try:
            if not problem:
                self.app.reload()
        except SystemExit:
            problem = "The configuration was changed while it was being checked."
        if not problem and self.app.cfg.address != former.address:
            problem = "The address (WEB_BIND) is another one; only a restart changes it."
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

    def _problem(self) -> str:
        """Why another master could not start here with the same command; empty if it could."""
        command = [sys.executable, "-m", "gunicorn", *sys.argv[1:], "--check-config"]
        output = subprocess.PIPE
        try:
            done = subprocess.run(
                command,
                cwd=self.START_CTX["cwd"],
                stdout=output,
                stderr=output,
                timeout=self.timeout or None,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"The check did not end: {error}"
        if done.returncode == 0:
            return ""
        return done.stderr.decode(errors="replace").strip()[-4000:] or f"The check ended with {done.returncode}."

    def spawn_worker(self) -> Any:
        """Start a worker, which takes a signal to end from its first moment: the master's handler would forget it."""
        pthread_sigmask(SIG_BLOCK, ENDS)
        try:
            return super().spawn_worker()
        finally:
            pthread_sigmask(SIG_UNBLOCK, ENDS)

    def manage_workers(self) -> None:
        """Start what is missing, and end the oldest of those that are too many and have booted."""
        serving = self._serving()
        is_paused = serving and time.monotonic() < self.no_spawn_before
        if len(self.WORKERS) < self.num_workers and not is_paused:
            self.spawn_workers()
        for worker in serving[: max(0, len(serving) - self.num_workers)]:
            worker.is_ended = True
            self.kill_worker(worker.pid, SIGTERM)

    def reap_workers(self) -> None:
        """Take note of the workers that are gone; give up where one cannot boot and no other serves."""
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
        """The oldest first; a worker from before an update has none of these attributes."""
        serving = [
            worker
            for worker in self.WORKERS.values()
            if getattr(worker, "has_booted", b"\1")[0] and not getattr(worker, "is_ended", False)
        ]
        return sorted(serving, key=lambda worker: worker.age)


def on_starting(server: Any) -> None:
    """Choose the folder by which workers add up their metrics, and forget what workers before left there."""
    server.__class__ = CarefulArbiter
    given = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    folder = os.environ.get("TMPDIR", "/tmp")  # noqa: S108 # nosec B108 - nobody can guess the name below
    server.metrics = given or f"{folder}/cosmo-metrics-{os.urandom(8).hex()}"
    _remove_metrics(server, "*.db")
    _remove_metrics(server, "*.new")


def on_reload(server: Any) -> None:
    """Take the code of this file, which is newer than that of the master."""
    server.__class__ = CarefulArbiter


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker the first place that is free: it goes on with the counters of whoever had it before.

    Each process with files of its own, as prometheus_client has it, leaves them to be read by all scrapes to come.
    """
    taken = {getattr(other, "place", None) for other in server.WORKERS.values()}  # none before an update and a HUP
    worker.place = next(
        place for place in (f"{server.pid}-{number}" for number in itertools.count()) if place not in taken
    )
    worker.metrics = _metrics_of(server)
    worker.has_booted = mmap.mmap(-1, 1)  # memory that master and worker share


def post_fork(server: Any, worker: Any) -> None:
    """Let the worker import Cosmo anew: the master imported what it logs with, perhaps before an update and a HUP.

    With --preload all of Cosmo is the master's, and half of it anew would be two of everything.
    """
    for one in ENDS:
        signal(one, _end_at_once)  # until gunicorn's own handlers are there
    pthread_sigmask(SIG_UNBLOCK, ENDS)
    if server.cfg.preload_app:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "backend"]:
        del sys.modules[name]


def _end_at_once(*_: object) -> NoReturn:
    os._exit(0)


def post_worker_init(worker: Any) -> None:
    """What has been imported stays: to look through it for garbage stops all threads for 60 ms, again and again."""
    from backend.telemetry import metric_files  # noqa: PLC0415 - the worker's own

    metric_files.share_values(worker.metrics, worker.place)
    worker.has_booted[0] = 1
    gc.collect()
    gc.freeze()


def child_exit(server: Any, worker: Any) -> None:
    """What a worker that is gone uses no more is in no gauge."""
    _remove_metrics(server, f"gauge_live*_{getattr(worker, 'place', worker.pid)}.db")


def on_exit(server: Any) -> None:
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        shutil.rmtree(server.metrics, ignore_errors=True)


def _metrics_of(server: Any) -> str:
    """The folder; a master from before an update has it in its environment."""
    return getattr(server, "metrics", None) or os.environ["PROMETHEUS_MULTIPROC_DIR"]


def _remove_metrics(server: Any, pattern: str) -> None:
    with contextlib.suppress(OSError):
        for path in Path(_metrics_of(server)).glob(pattern):
            with contextlib.suppress(OSError):
                path.unlink()


_web = _ask_settings()

bind = _web["WEB_BIND"]
workers = _web["WEB_CONCURRENCY"] or (os.cpu_count() or 1) + 1
worker_class = "gthread"
threads = _web["WEB_THREADS"]
timeout = graceful_timeout = _web["WEB_TIMEOUT"]
keepalive = 5
# A worker makes room for a new one now and then, none at the same time as its neighbour: what leaks does not add up.
max_requests = 100_000
max_requests_jitter = 10_000
# Cosmo's longest query string is a page of a search; what is longer is refused with 400 or 431.
limit_request_line = 8_190
limit_request_fields = 100
limit_request_field_size = 8_190

# Which proxies to believe is decided in one place, by TRUSTED_PROXY_COUNT; gunicorn itself believes none.
forwarded_allow_ips = ""
secure_scheme_headers = {}

control_socket_disable = True
accesslog = None  # backend.middleware.RequestLoggingMiddleware writes a line for every request
logconfig_dict = _logging(_web["LOGGING"])  # what gunicorn says goes into the same files, in the same form
