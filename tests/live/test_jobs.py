"""A real Celery worker on a real broker: mails leave through it, and its lines are in the same files."""

import os
import subprocess
import sys

import pytest

from tests.live.server import PROJECT, environment, fresh_database, manage
from tests.logs import Logs, wait_until
from tests.smtp import mail_server

pytestmark = pytest.mark.skipif(not os.environ.get("REDIS_URL"), reason="needs a broker (make test-services)")

ENQUEUE = """
from api.mail.outbox import Letter, enqueue
from backend import request_context
from backend.request_context import RequestContext
request_context.enter(RequestContext(request_id="asked-by-1"))
enqueue(Letter(kind="test", recipient="ada@example.com", subject="Hello", text_body="Plain text"))
"""


@pytest.fixture
def variables(tmp_path):
    with fresh_database(tmp_path) as database, mail_server() as server:
        variables = environment(
            tmp_path,
            DATABASE_URL=database,
            CELERY_BROKER_URL=os.environ["REDIS_URL"],
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
            EMAIL_HOST="127.0.0.1",
            EMAIL_PORT=str(server.port),
        )
        manage(variables, "migrate", "--verbosity", "0")
        yield variables | {"server": server}


def test_a_worker_delivers_and_logs_with_the_request_that_asked(tmp_path, variables):
    server = variables.pop("server")
    command = [sys.executable, "-m", "celery", "-A", "backend", "worker", "--concurrency=1", "--without-gossip"]
    with (tmp_path / "worker").open("wb") as output:
        worker = subprocess.Popen(command, cwd=PROJECT, env=variables, stdout=output, stderr=subprocess.STDOUT)
    logs = Logs(tmp_path / "logs")
    try:
        wait_until(lambda: "ready" in (tmp_path / "worker").read_text(errors="replace"), seconds=30)
        manage(variables, "shell", "--verbosity", "0", "-c", ENQUEUE)
        wait_until(lambda: server.mails, seconds=15)
        wait_until(lambda: logs.entries("info", event="mail_sent"))
    finally:
        worker.terminate()
        worker.wait(timeout=30)

    entry = logs.entry("info", event="mail_sent")
    assert entry["request"]["id"] == "asked-by-1"
    assert entry["process"] != os.getpid()
    assert any(line["logger"].startswith("celery.") for line in logs.entries("info"))
    assert len(server.mails) == 1


def test_without_the_broker_mails_leave_all_the_same(variables, tmp_path):
    server = variables.pop("server")
    variables["CELERY_BROKER_URL"] = "redis://127.0.0.1:1/0"

    manage(variables, "shell", "--verbosity", "0", "-c", ENQUEUE)

    wait_until(lambda: server.mails)
    assert Logs(tmp_path / "logs").entries("info", event="broker_unavailable")
