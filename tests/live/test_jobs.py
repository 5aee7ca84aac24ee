"""A real Celery worker on a real broker: mails leave through it, and its lines are in the same files."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from urllib.parse import urlsplit

import pytest
import redis

from tests.live.celery import beat, worker
from tests.live.server import PROJECT, environment, fresh_database, manage, migrate
from tests.logs import Logs, wait_until
from tests.smtp import MailServer, mail_server

pytestmark = pytest.mark.skipif(not os.environ.get("REDIS_URL"), reason="needs a broker (make test-services)")

ENQUEUE = """
from api.mail.outbox import MailDraft, enqueue
from backend import request_context
from backend.request_context import RequestContext
trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
request_context.set_current(RequestContext(request_id="asked-by-1", traceparent=trace))
enqueue(MailDraft(kind="test", recipient="ada@example.com", subject="Hello", text_body="Plain text"))
"""


ENQUEUE_MANY = """
from api.mail.outbox import MailDraft, enqueue
from django.db import transaction
with transaction.atomic():
    for number in range(20):
        name = f"person{{20 * {round_} + number}}@example.com"
        enqueue(MailDraft(kind="test", recipient=name, subject="Hello", text_body="Plain text"))
"""
EXPIRE_CLAIMS = """
from django.utils import timezone
from api.models import OutgoingMail
OutgoingMail.objects.filter(state="sending").update(claimed_until=timezone.now())
"""
SCHEDULE_DELIVERY = """
from api.mail.delivery_thread import schedule_delivery
schedule_delivery()
"""
STATES = """
from api.models import OutgoingMail
print(*OutgoingMail.objects.values_list("state", flat=True))
"""
BREAK_HOUSEKEEPING = """
from django.db import connection
connection.cursor().execute("DROP TABLE api_loginattemptcounter")
"""
KILLS = 3


@pytest.fixture
def broker():
    """The address of an empty broker: other tests leave tasks that nobody takes in the one they were given."""
    given = urlsplit(os.environ["REDIS_URL"])
    address = given._replace(path=f"/{int(given.path.strip('/') or 0) + 1}").geturl()
    with redis.from_url(address) as connection:
        connection.flushdb()
        yield address
        connection.flushdb()


@pytest.fixture
def variables(tmp_path, broker):
    with fresh_database(tmp_path) as database, mail_server() as server:
        variables = environment(
            tmp_path,
            DATABASE_URL=database,
            CELERY_BROKER_URL=broker,
            EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
            EMAIL_HOST="127.0.0.1",
            EMAIL_PORT=str(server.port),
        )
        migrate(variables)
        yield variables | {"server": server}


def test_a_worker_delivers_and_logs_with_the_request_that_asked(tmp_path, variables):
    server = variables.pop("server")
    logs = Logs(tmp_path / "logs")
    with worker(tmp_path, variables):
        manage(variables, "shell", "--verbosity", "0", "-c", ENQUEUE)
        wait_until(lambda: server.mails, seconds=15)
        wait_until(lambda: logs.entries("info", event="mail_sent"))

    entry = logs.entry("info", event="mail_sent")
    assert entry["request"]["id"] == "asked-by-1"
    assert entry["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert entry["process"] != os.getpid()
    done = next(
        line
        for line in logs.entries("info")
        if "api.deliver_mail" in line["message"] and "succeeded" in line["message"]
    )
    assert done["request"]["id"] == "asked-by-1"
    assert any(line["logger"].startswith("celery.") for line in logs.entries("info"))
    assert len(server.mails) == 1


def test_a_job_that_fails_is_one_error(tmp_path, variables):
    variables.pop("server")
    logs = Logs(tmp_path / "logs")
    send = "from backend.celery import app; app.send_task('api.cleanup')"
    manage(variables, "shell", "--verbosity", "0", "-c", BREAK_HOUSEKEEPING)
    with worker(tmp_path, variables):
        manage(variables, "shell", "--verbosity", "0", "-c", send)
        wait_until(lambda: logs.entries("error"), seconds=15)
        time.sleep(1)

    (entry,) = logs.entries("error")
    assert (entry["event"], entry["job"]) == ("job_failed", "cleanup")
    assert "api_loginattemptcounter" in entry["exception"]["message"]


def test_a_worker_that_is_killed_loses_no_mail_and_sends_none_twice(tmp_path, variables):
    server = variables.pop("server")
    for round_ in range(KILLS):
        manage(variables, "shell", "--verbosity", "0", "-c", ENQUEUE_MANY.format(round_=round_))
        with worker(tmp_path, variables) as process:
            wait_until(partial(has_arrived, server, 20 * round_ + 5), seconds=20)
            os.killpg(process.pid, signal.SIGKILL)
    manage(variables, "shell", "--verbosity", "0", "-c", EXPIRE_CLAIMS)
    manage(variables, "shell", "--verbosity", "0", "-c", SCHEDULE_DELIVERY)

    with worker(tmp_path, variables):
        names = {f"person{number}@example.com" for number in range(20 * KILLS)}
        wait_until(lambda: set(states(variables)) <= {"sent", "unknown"}, seconds=40)

    arrived = Counter(mail.recipients[0] for mail in server.mails)
    assert {name for name, times in arrived.items() if times > 1} == set()
    assert len(names - set(arrived)) <= states(variables)["unknown"] <= KILLS
    assert states(variables).total() == len(names)


def has_arrived(server: MailServer, number: int) -> bool:
    return len(server.mails) > number


def states(variables: dict[str, str]) -> Counter[str]:
    """How many mails are in each state."""
    return Counter(manage(variables, "shell", "--verbosity", "0", "-c", STATES).split())


def test_without_the_broker_mails_leave_all_the_same(variables, tmp_path):
    server = variables.pop("server")
    variables["CELERY_BROKER_URL"] = "redis://127.0.0.1:1/0"

    manage(variables, "shell", "--verbosity", "0", "-c", ENQUEUE)

    wait_until(lambda: server.mails)
    assert Logs(tmp_path / "logs").entries("info", event="broker_unavailable")


MAKE_READERS = """
from datetime import timedelta
from django.utils import timezone
from api.models import OutgoingMail
from tests import factories
house = factories.property_(created_by=factories.user(role="manager", digest_opt_out=True))
for number in range(5):
    person = factories.user(role="staff", email=f"person{number}@example.com")
    factories.task(property=house, assigned_to=person, due_date=timezone.now() - timedelta(days=1))
"""
# A beat that last ran yesterday, before the hour of the digests.
BEAT_OF_YESTERDAY = """
import sys
from datetime import timedelta
from celery.beat import PersistentScheduler
from django.utils import timezone
from backend.celery import app
app.loader.import_default_modules()  # api/jobs.py has the schedule
for path in sys.argv[-1].split(","):
    scheduler = PersistentScheduler(app, schedule_filename=path)
    for entry in scheduler.schedule.values():
        entry.last_run_at = timezone.now() - timedelta(days=1, minutes=1)
    scheduler.close()
"""


def test_two_beats_that_were_away_at_the_hour_and_a_command_send_one_mail_to_each_person(tmp_path, variables):
    server = variables.pop("server")
    logs = Logs(tmp_path / "logs")
    manage(variables, "shell", "--verbosity", "0", "-c", MAKE_READERS)
    schedules = [tmp_path / "beat-1", tmp_path / "beat-2"]
    seed = [sys.executable, "-c", f"import django; django.setup()\n{BEAT_OF_YESTERDAY}", ",".join(map(str, schedules))]
    subprocess.run(seed, cwd=PROJECT, env=variables | {"DJANGO_SETTINGS_MODULE": "backend.settings"}, check=True)

    with (
        worker(tmp_path, variables, concurrency=2),
        beat(tmp_path, variables, schedule=schedules[0]),
        beat(tmp_path, variables, schedule=schedules[1]),
    ):
        manage(variables, "send_email_digest")
        wait_until(lambda: len(logs.entries("digest", event="digest_run_finished")) == 3, seconds=30)
        wait_until(lambda: len(logs.entries("digest", event="digest_sent")) >= 5, seconds=15)
        wait_until(lambda: len(logs.entries("info", event="cleanup_done")) == 2, seconds=15)

    assert sorted(mail.recipients[0] for mail in server.mails) == [f"person{number}@example.com" for number in range(5)]
    assert len(logs.entries("digest", event="digest_queued")) == 5
    runs = logs.entries("digest", event="digest_run_finished")
    assert sum(run["queued"] for run in runs) == 5
    assert sum(run["queued"] + run["already_sent"] for run in runs) == 15
    told = [line for line in logs.entries("info", logger="celery.beat") if "due task" in line["message"]]
    assert {"send_email_digest", "deliver_mail", "notify_overdue", "cleanup"} <= {
        line["message"].split("due task ")[1].split()[0] for line in told
    }
    assert len({line["process"] for line in told}) == 2
