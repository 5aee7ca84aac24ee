"""The cleanup job."""

from datetime import timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.utils import timezone

from api.mail.outbox import MailDraft, enqueue
from api.models import AuditEntry, IdempotencyKey, LoginAttemptCounter, Notification, OutgoingMail, Session
from tests import factories
from tests.admin_sites import browser_of

KINDS = (
    "sent emails",
    "ended sessions",
    "browser sessions",
    "read notifications",
    "login attempt counters",
    "idempotency keys",
    "devices",
)


def deleted(*counts: int) -> str:
    """Return the command's output for these counts, zero for the remaining kinds."""
    padded = [*counts, *[0] * (len(KINDS) - len(counts))]
    return f"Deleted: {', '.join(f'{count} {kind}' for count, kind in zip(padded, KINDS, strict=True))}.\n"


@pytest.fixture
def one_of_each_kind(client, manager):
    """Create rows of every kind that cleanup deletes."""
    client.post("/api/auth/login/", {"username": manager.user.username, "password": "wrong"})
    body = {"name": "Loft", "address": "Quay"}
    manager.post("/api/properties/", body, headers={"Idempotency-Key": "make-a-loft"})
    for state in ("sent", "failed"):
        mail = enqueue(MailDraft(kind="test", recipient="ada@example.com", subject="Hello", text_body="Plain text"))
        OutgoingMail.objects.filter(pk=mail.pk).update(state=state, finished_at=timezone.now())
    browser_of(factories.user())
    task = factories.task()
    for read_at in (None, timezone.now()):
        factories.notification(task, task.created_by, read_at=read_at)


def cleanup(capsys) -> str:
    call_command("cleanup")
    return capsys.readouterr().out


@pytest.mark.usefixtures("one_of_each_kind")
def test_cleanup_keeps_recent_rows(capsys):
    assert cleanup(capsys) == deleted()


@pytest.mark.usefixtures("one_of_each_kind")
def test_cleanup_deletes_expired_rows_except_failed_emails_and_audit_entries(capsys, manager):
    entries, keys = AuditEntry.objects.count(), IdempotencyKey.objects.count()
    with time_machine.travel(timezone.now() + timedelta(days=29)):
        assert cleanup(capsys) == deleted(0, 0, 1, 0, 3, keys)
    with time_machine.travel(timezone.now() + timedelta(days=38)):
        assert cleanup(capsys) == deleted(1, 2)
        assert cleanup(capsys) == deleted()
    with time_machine.travel(timezone.now() + timedelta(days=91)):
        assert "1 read notifications" in cleanup(capsys)

    assert [note.read_at for note in Notification.objects.all()] == [None]
    assert list(OutgoingMail.objects.values_list("state", flat=True)) == ["failed"]
    assert (Session.objects.count(), LoginAttemptCounter.objects.count(), IdempotencyKey.objects.count()) == (0, 0, 0)
    assert AuditEntry.objects.count() == entries


def test_old_command_name_deletes_and_names_the_new_command(db, capsys):
    call_command("housekeeping")

    output = capsys.readouterr()
    assert output.out == deleted()
    assert "now called cleanup" in output.err
