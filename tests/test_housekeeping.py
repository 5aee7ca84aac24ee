"""What housekeeping deletes, and what stays."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.utils import timezone

from api.mail.outbox import Letter, enqueue
from api.models import AuditEntry, GuessCounter, IdempotencyKey, OutgoingMail, Session
from tests import factories

NOTHING = "Deleted: 0 sent mails, 0 dead sessions, 0 limits, 0 idempotency keys.\n"


@pytest.fixture
def things(client, manager):
    """One of everything that housekeeping looks at."""
    client.post("/api/auth/login/", {"username": manager.user.username, "password": "wrong"})
    body = {"name": "Loft", "address": "Quay"}
    manager.post("/api/properties/", body, headers={"Idempotency-Key": "make-a-loft"})
    for state in ("sent", "failed"):
        mail = enqueue(Letter(kind="test", recipient="ada@example.com", subject="Hello", text_body="Plain text"))
        OutgoingMail.objects.filter(pk=mail.pk).update(state=state, finished_at=timezone.now())
    factories.task()


def housekeeping(capsys) -> str:
    call_command("housekeeping")
    return capsys.readouterr().out


@pytest.mark.usefixtures("things")
def test_what_is_young_stays(capsys):
    assert housekeeping(capsys) == NOTHING


@pytest.mark.usefixtures("things")
def test_what_is_old_goes_but_for_failures_open_sessions_and_the_trail(capsys, manager):
    entries, keys = AuditEntry.objects.count(), IdempotencyKey.objects.count()
    with time_machine.travel(timezone.now() + timedelta(days=29)):
        printed = housekeeping(capsys)
        assert printed == f"Deleted: 0 sent mails, 0 dead sessions, 2 limits, {keys} idempotency keys.\n"
    with time_machine.travel(timezone.now() + timedelta(days=38)):
        assert housekeeping(capsys) == "Deleted: 1 sent mails, 1 dead sessions, 0 limits, 0 idempotency keys.\n"
        assert housekeeping(capsys) == NOTHING

    assert list(OutgoingMail.objects.values_list("state", flat=True)) == ["failed"]
    assert (Session.objects.count(), GuessCounter.objects.count(), IdempotencyKey.objects.count()) == (0, 0, 0)
    assert AuditEntry.objects.count() == entries
