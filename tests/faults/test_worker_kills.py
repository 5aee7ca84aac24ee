"""Celery workers are killed while they render and send digests, on their own broker."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery

from tests.live.celery import worker
from tests.live.server import environment, fresh_database, manage
from tests.logs import wait_until
from tests.smtp import free_port, mail_server

pytestmark = pytest.mark.fault
READERS, KILLS, AT_ONCE = 300, 60, 20  # with every twentieth kill all processes of the worker die

MAKE_READERS = f"""
from datetime import timedelta
from django.utils import timezone
from tests import factories
house = factories.property_(created_by=factories.user(role="manager", digest_opt_out=True))
for number in range({READERS}):
    person = factories.user(role="staff", email=f"person{{number}}@example.com")
    factories.task(property=house, assigned_to=person, due_date=timezone.now() - timedelta(days=1))
"""
EXPIRE_CLAIMS = """
from django.utils import timezone
from api.models import OutgoingMail
OutgoingMail.objects.filter(state="sending").update(claimed_until=timezone.now())
"""
STATES = """
from api.models import OutgoingMail
for mail in OutgoingMail.objects.all():
    print(mail.recipient, mail.state)
"""


@pytest.fixture
def broker(tmp_path) -> Iterator[str]:
    """Run a redis-server for this test; yield its URL."""
    program, port = shutil.which("redis-server"), free_port()
    assert program, "install redis-server"
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(timeout=10)


def states(variables: dict[str, str]) -> dict[str, str]:
    """Return {recipient: state} of all emails."""
    printed = manage(variables, "shell", "--verbosity", "0", "-c", STATES)
    return dict(line.split() for line in printed.splitlines())


def has_ended(found: dict[str, str]) -> bool:
    return len(found) == READERS and set(found.values()) <= {"sent", "unknown"}


def kill_some(process: subprocess.Popen, dice: random.Random, app: Celery) -> None:
    """Kill single children at random moments, and finally all of them at once."""
    for _ in range(AT_ONCE - 1):
        app.send_task("api.deliver_mail")
        time.sleep(dice.uniform(0.0, 0.4))
        children = psutil.Process(process.pid).children()
        if children:
            dice.choice(children).kill()
    time.sleep(dice.uniform(0.0, 0.4))
    os.killpg(process.pid, signal.SIGKILL)


def test_killed_celery_workers_lose_and_repeat_no_digest(tmp_path: Path, broker: str):
    dice = random.Random(4)
    with fresh_database(tmp_path) as database, mail_server() as server, Celery(broker=broker) as app:
        server.delay = 0.02
        variables = environment(
            tmp_path,
            DATABASE_URL=database,
            CELERY_BROKER_URL=broker,
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
            EMAIL_HOST="127.0.0.1",
            EMAIL_PORT=str(server.port),
        )
        manage(variables, "migrate", "--verbosity", "0")
        manage(variables, "shell", "--verbosity", "0", "-c", MAKE_READERS)
        for _ in range(KILLS // AT_ONCE):
            app.send_task("api.send_email_digest")
            with worker(tmp_path, variables, concurrency=2) as process:
                kill_some(process, dice, app)
        time.sleep(0.5)
        before = Counter(states(variables).values())
        manage(variables, "shell", "--verbosity", "0", "-c", EXPIRE_CLAIMS)
        with worker(tmp_path, variables, concurrency=2):
            app.send_task("api.send_email_digest")
            app.send_task("api.deliver_mail")
            wait_until(lambda: has_ended(states(variables)), seconds=60)
        ended = states(variables)

    assert ended.keys() == {f"person{number}@example.com" for number in range(READERS)}
    arrived = Counter(mail.recipients[0] for mail in server.mails)
    assert [name for name, times in arrived.items() if times > 1] == []
    assert [name for name, state in ended.items() if state == "sent" and not arrived[name]] == []
    unknown = {name for name, state in ended.items() if state == "unknown"}
    assert len(unknown) <= KILLS + KILLS // AT_ONCE  # two children of one worker at once
    assert unknown <= {talk[-1][1] for talk in server.conversations if talk}
    print(  # noqa: T201
        f"{KILLS} kills, {READERS} digests, {before['sent']} of them sent by who was killed: "
        f"{len(unknown)} unknown, {sum(arrived[name] for name in unknown)} of them arrived"
    )
