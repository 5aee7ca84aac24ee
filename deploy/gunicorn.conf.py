"""gunicorn for Cosmo: `gunicorn -c deploy/gunicorn.conf.py backend.wsgi:application`.

The values are those of backend/settings.py. They are asked for in a process of its own, because what the master has
imported, its workers inherit, and a HUP would go on serving the old code.
"""

import gc
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

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


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker the first place that is free: it goes on with the counters of whoever had it before.

    Each process with files of its own, as prometheus_client has it, leaves them to be read by all scrapes to come.
    """
    taken = {getattr(other, "place", None) for other in server.WORKERS.values()}  # none before an update and a HUP
    worker.place = next(
        place for place in (f"{server.pid}-{number}" for number in itertools.count()) if place not in taken
    )


def post_fork(server: Any, worker: Any) -> None:
    """Let the worker import Cosmo anew: the master imported what it logs with, perhaps before an update and a HUP.

    With --preload all of Cosmo is the master's, and half of it anew would be two of everything.
    """
    if server.cfg.preload_app:
        return  # its counters are there already, and go by process
    values.ValueClass = values.MultiProcessValue(lambda: worker.place)
    for name in [name for name in sys.modules if name.partition(".")[0] == "backend"]:
        del sys.modules[name]


def post_worker_init(worker: Any) -> None:
    """What has been imported stays: to look through it for garbage stops all threads for 60 ms, again and again."""
    gc.collect()
    gc.freeze()


def on_starting(server: Any) -> None:
    """Forget the counters of workers before."""
    for path in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("*.db"):
        path.unlink()


def child_exit(server: Any, worker: Any) -> None:
    """What a worker that is gone uses no more is in no gauge."""
    for name in (getattr(worker, "place", worker.pid), worker.pid):
        multiprocess.mark_process_dead(name)


def on_exit(server: Any) -> None:
    if _METRICS_ARE_OURS:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)


# The folder by which workers add up their metrics; prometheus_client asks for it when it is imported.
_METRICS_ARE_OURS = "PROMETHEUS_MULTIPROC_DIR" not in os.environ
if _METRICS_ARE_OURS:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="cosmo-metrics-")
from prometheus_client import multiprocess, values  # noqa: E402

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
