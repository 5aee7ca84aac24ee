"""Senders are killed at random moments: no mail arrives twice, and none is left without an end."""

import os
import random
import signal
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.utils import timezone

from api.mail.delivery import deliver_due
from api.mail.outbox import Letter, enqueue
from api.models import OutgoingMail
from tests.smtp import mail_server

pytestmark = [pytest.mark.fault, pytest.mark.django_db(transaction=True)]
KILLS = 200
SENDERS = 2  # at the same time


@pytest.fixture
def server(settings, monkeypatch):
    monkeypatch.setattr("api.mail.background.wake", lambda: None)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST = "127.0.0.1"
    with mail_server() as server:
        settings.EMAIL_PORT = server.port
        yield server


def start_sender() -> int:
    """The id of a child process that delivers until it is killed."""
    child = os.fork()
    if child == 0:
        try:
            while True:
                deliver_due()
                time.sleep(0.001)
        finally:
            os._exit(1)
    return child


def close_connections() -> None:
    """A child must not use its parent's."""
    connections.close_all()
    if connection.vendor == "postgresql":
        connection.close_pool()


def expire_claims() -> None:
    """What time would do to the claims of the dead."""
    OutgoingMail.objects.filter(state="sending").update(claimed_until=timezone.now() - timedelta(seconds=1))


def test_two_hundred_kills_lose_nothing_and_double_nothing(server):
    dice = random.Random(4)
    queued = 0
    for round_ in range(KILLS // SENDERS):
        for _ in range(6):
            letter = Letter(
                kind="test", recipient=f"person{queued}@example.com", subject="Hello", text_body="Plain text"
            )
            enqueue(letter)
            queued += 1
        close_connections()
        senders = [start_sender() for _ in range(SENDERS)]
        for sender in senders:
            time.sleep(dice.uniform(0.0, 0.03))
            os.kill(sender, signal.SIGKILL)
        for sender in senders:
            os.waitpid(sender, 0)
        if round_ % 5 == 4:
            time.sleep(0.05)  # the server ends what the dead had begun
            expire_claims()
    time.sleep(0.5)
    expire_claims()
    deliver_due()

    states = dict(OutgoingMail.objects.values_list("recipient", "state"))
    arrived = Counter(mail.recipients[0] for mail in server.mails)
    assert len(states) == queued
    assert set(states.values()) <= {"sent", "unknown"}
    assert {name for name, times in arrived.items() if times > 1} == set()
    assert [name for name, state in states.items() if state == "sent" and not arrived[name]] == []
    unknown = [name for name, state in states.items() if state == "unknown"]
    assert len(unknown) <= KILLS
    print(f"{KILLS} kills, {queued} mails: {len(unknown)} unknown, {sum(arrived[n] for n in unknown)} of them arrived")  # noqa: T201
