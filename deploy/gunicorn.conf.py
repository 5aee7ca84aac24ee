"""gunicorn for Cosmo: `gunicorn -c deploy/gunicorn.conf.py backend.wsgi:application`.

The values are those of backend/settings.py. They are asked for in a process of its own, because what the master has
imported, its workers inherit, and a HUP would go on serving the old code.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

_ASK = """
import json, sys
try:
    from backend import settings
except Exception as problem:
    if type(problem).__name__ != "ImproperlyConfigured":
        raise
    sys.exit(f"Cosmo does not start: {problem}")
print(json.dumps({name: getattr(settings, name) for name in dir(settings) if name.startswith("WEB_")}))
"""


def _ask_settings() -> dict[str, str | int]:
    project = Path(__file__).resolve().parent.parent
    answer = subprocess.run([sys.executable, "-c", _ASK], cwd=project, stdout=subprocess.PIPE, check=False)
    if answer.returncode:
        sys.exit(answer.returncode)
    return json.loads(answer.stdout)


_web = _ask_settings()

bind = _web["WEB_BIND"]
workers = _web["WEB_CONCURRENCY"] or (os.cpu_count() or 1) + 1
worker_class = "gthread"
threads = _web["WEB_THREADS"]
timeout = graceful_timeout = _web["WEB_TIMEOUT"]
keepalive = 5

# Which proxies to believe is decided in one place, by TRUSTED_PROXY_COUNT; gunicorn itself believes none.
forwarded_allow_ips = ""
secure_scheme_headers = {}

control_socket_disable = True
accesslog = None
errorlog = "-"
