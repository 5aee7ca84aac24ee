"""Processes that render and send digests are killed at random: each email ends once, none arrives twice."""

import os
import random
import signal
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from api.digests.service import send_digests
from api.mail.delivery import deliver_due
from api.models import OutgoingMail, Property, User
from tests import factories
from tests.smtp import MailServer

pytestmark = [pytest.mark.fault, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nothing_leaves")]
KILLS = 200
WORKERS = 2  # at the same time
READERS = 10  # new ones in each round; the mail server rejects one of them


@pytest.fixture
def property_(db) -> Property:
    return factories.property_(created_by=factories.user(role="manager", digest_opt_out=True))


def more_readers(property_: Property, round_: int) -> None:
    """Create users with a digest; disable the users of earlier rounds."""
    User.objects.update(digest_opt_out=True)
    for number in range(READERS):
        name = f"{'refused' if number == 0 else 'person'}{round_}.{number}"
        person = factories.user(role="staff", username=name, email=f"{name}@example.com")
        factories.task(property=property_, assigned_to=person, due_date=timezone.now() - timedelta(days=1))


def start_worker() -> int:
    """Return the id of a child process that renders and delivers digests until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            while True:
                send_digests()
                deliver_due()
                time.sleep(0.001)
        finally:
            os._exit(1)
    return child


def close_connections() -> None:
    """Close inherited connections, which a child must not use."""
    connections.close_all()
    if connection.vendor == "postgresql":
        connection.close_pool()


def expire_claims() -> None:
    """Expire the claims of killed processes, as time would."""
    OutgoingMail.objects.filter(state="sending").update(claimed_until=timezone.now() - timedelta(seconds=1))


def test_killed_processes_lose_and_repeat_no_digest(property_, smtp_server):
    smtp_server.thinks = 0.01
    dice = random.Random(4)
    for round_ in range(KILLS // WORKERS):
        more_readers(property_, round_)
        send_digests(is_dry_run=True)  # warms caches that the children inherit
        close_connections()
        workers = [start_worker() for _ in range(WORKERS)]
        for worker in workers:
            time.sleep(dice.uniform(0.0, 0.12 if connection.vendor == "sqlite" else 0.5))
            os.kill(worker, signal.SIGKILL)
        for worker in workers:
            os.waitpid(worker, 0)
        if round_ % 5 == 4:
            time.sleep(0.05)  # the server ends the sessions of killed processes
            expire_claims()
    time.sleep(0.5)
    expire_claims()
    before = Counter(OutgoingMail.objects.values_list("state", flat=True))
    User.objects.filter(role="staff").update(digest_opt_out=False)
    send_digests()
    deliver_due()

    states = dict(OutgoingMail.objects.values_list("recipient", "state"))
    people = set(User.objects.filter(role="staff").values_list("email", flat=True))
    assert states.keys() == people
    assert OutgoingMail.objects.count() == len(people) == READERS * KILLS // WORKERS
    arrived = Counter(mail.recipients[0] for mail in smtp_server.mails)
    assert [name for name, times in arrived.items() if times > 1] == []
    for name, state in states.items():
        assert state in ({"failed"} if name.startswith("refused") else {"sent", "unknown"})
        assert state != "sent" or arrived[name]
    unknown = [name for name, state in states.items() if state == "unknown"]
    assert 0 < len(unknown) <= KILLS
    assert [name for name in unknown if name not in last_heard_of(smtp_server)] == []
    print(  # noqa: T201
        f"{KILLS} kills, {len(people)} digests, {before.total()} of them made and {before['sent']} sent by who was "
        f"killed: {len(unknown)} unknown, {sum(arrived[name] for name in unknown)} of them arrived"
    )


def last_heard_of(server: MailServer) -> set[str]:
    """Return the recipient of each connection's last email: after a response a client continues or disconnects."""
    return {talk[-1][1] for talk in server.conversations if talk}
