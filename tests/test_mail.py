"""The outbox with a real SMTP server: replies, states, context and log lines."""

import threading
from datetime import timedelta
from time import perf_counter

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from api.mail.delivery import RETRY_DELAYS, deliver_due
from api.mail.outbox import MailDraft, enqueue
from api.mail.smtp import _BeforeDataHook
from api.models import OutgoingMail
from backend import request_context
from backend.request_context import RequestContext
from tests import factories
from tests.logs import wait_until
from tests.mails import now_it_is, queue
from tests.smtp import mail_server, silent_server


def test_email_arrives_with_headers_and_both_bodies(db, smtp_server):
    mail = queue(html_body="<p>Rich text</p>", headers={"List-Unsubscribe": "<https://cosmo.example.com/u>"})

    assert deliver_due() == {"sent": 1}

    (received,) = smtp_server.mails
    message = received.message
    assert received.recipients == ["ada@example.com"]
    assert (message["Subject"], message["Message-ID"]) == ("Hello", mail.message_id)
    assert message["List-Unsubscribe"] == "<https://cosmo.example.com/u>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_body(("plain",)).get_content().strip() == "Plain text"
    assert message.get_body(("html",)).get_content().strip() == "<p>Rich text</p>"
    assert now_it_is(mail) == "sent"
    assert (mail.text_body, mail.html_body, mail.attempts) == ("", "", 1)
    assert deliver_due() == {}


@pytest.mark.parametrize(
    ("recipient", "state", "reason"),
    [
        ("refused@example.com", "failed", "No such user"),
        ("later@example.com", "queued", "Try again later"),
        ("spam@example.com", "failed", "looks like spam"),
        ("full@example.com", "queued", "mailbox is full"),
        ("gone@example.com", "queued", "Connection unexpectedly closed"),
        ("dropped@example.com", "unknown", "Disconnected"),
        ("garbled@example.com", "unknown", "was that?"),
        ("mute@example.com", "unknown", "timed out"),
        ("slow@example.com", "sent", ""),
        ("ada@exam\nple.com", "failed", "Header values can't contain newlines"),
        ("zoë@example.com", "failed", "This address cannot receive email"),
        ("", "failed", "This address cannot receive email"),
    ],
)
def test_server_reply_decides_state_and_stops_no_other_email(
    db, smtp_server, logs, recipient, state, reason, django_capture_on_commit_callbacks
):
    mail, other = queue(recipient), queue("other@example.com")

    with django_capture_on_commit_callbacks(execute=True):
        deliver_due()

    assert now_it_is(mail) == state
    assert reason in mail.last_error
    assert now_it_is(other) == "sent"
    assert (mail.finished_at is None) is (state == "queued")
    event = {"sent": "mail_sent", "queued": "mail_delayed", "failed": "mail_failed", "unknown": "mail_unknown"}[state]
    entry = logs.entry("info", event=event, mail_id=mail.pk)
    assert entry["level"] == ("WARNING" if state in {"failed", "unknown"} else "INFO")
    assert reason in entry.get("reason", "")


def test_unavailable_server_is_retried_with_growing_pauses_until_failed(db, smtp):
    moment = timezone.now()
    with time_machine.travel(moment, tick=False) as clock:
        mail = queue()
        pauses = []
        for _ in RETRY_DELAYS:
            assert deliver_due() == {"queued": 1}
            mail.refresh_from_db()
            pauses.append(mail.next_try_at - timezone.now())
            assert deliver_due() == {}
            clock.move_to(mail.next_try_at)
        assert deliver_due() == {"failed": 1}

    assert pauses == sorted(set(pauses)) == list(RETRY_DELAYS)
    assert "Connection refused" in mail.last_error
    assert mail.text_body == "Plain text"  # kept for a manual retry


def test_queued_email_is_sent_when_server_returns(db, smtp):
    mail = queue()
    deliver_due()
    with mail_server(smtp.EMAIL_PORT) as smtp_server, time_machine.travel(timezone.now() + timedelta(minutes=2)):
        assert deliver_due() == {"sent": 1}

    assert len(smtp_server.mails) == 1
    assert now_it_is(mail) == "sent"


def test_silent_server_costs_one_timeout(db, smtp):
    smtp.EMAIL_TIMEOUT = 1
    mail = queue()
    with silent_server() as smtp.EMAIL_PORT:
        started = perf_counter()
        deliver_due()

    assert 1 <= perf_counter() - started < 3
    assert now_it_is(mail) == "queued"


def test_email_is_not_stored_if_transaction_rolls_back(db, smtp_server):
    def change_and_fail():
        with transaction.atomic():
            queue()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        change_and_fail()

    assert not OutgoingMail.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_delivery_log_contains_requesting_user_and_request(smtp_server, logs, monkeypatch):
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)
    manager = factories.user(role="manager")
    request_context.set_current(
        RequestContext(request_id="abcdefgh-1", ip_address="192.0.2.7", user_agent="Curious/1.0")
    )
    mail = queue(asked_by=manager, user_id=42)
    request_context.set_current(None)

    deliver_due()

    assert (mail.asked_by_id, mail.asked_by_name, mail.asked_by_role) == (manager.pk, manager.username, "manager")
    assert (mail.ip_address, mail.user_agent) == ("192.0.2.7", "Curious/1.0")
    entry = logs.entry("info", event="mail_sent")
    assert (entry["user_id"], entry["target_user_id"], entry["kind"]) == (manager.pk, 42, "test")
    assert entry["request"]["id"] == "abcdefgh-1"


@pytest.mark.parametrize(("has_started", "state"), [(False, "queued"), (True, "unknown")])
def test_abandoned_email_is_retried_or_marked_unknown(db, smtp_server, has_started, state):
    mail = queue()
    now = timezone.now()
    OutgoingMail.objects.update(
        state="sending", attempts=1, claimed_until=now, data_started_at=now if has_started else None
    )

    results = deliver_due()

    assert results[state] == 1
    assert now_it_is(mail) == ("unknown" if has_started else "sent")
    assert len(smtp_server.mails) == (0 if has_started else 1)


def test_expired_claim_sends_nothing(db, smtp_server, monkeypatch):
    mail = queue()
    data = _BeforeDataHook.data

    def let_another_process_claim_first(self, message):
        OutgoingMail.objects.filter(pk=mail.pk).update(attempts=2, claimed_until=timezone.now())
        return data(self, message)

    monkeypatch.setattr(_BeforeDataHook, "data", let_another_process_claim_first)

    assert deliver_due() == {"lost": 1}
    assert smtp_server.mails == []


@pytest.mark.django_db(transaction=True)
def test_email_is_sent_after_commit(smtp_server):
    with transaction.atomic():
        mail = queue()
        assert smtp_server.mails == []

    wait_until(lambda: now_it_is(mail) == "sent")
    assert len(smtp_server.mails) == 1


@pytest.mark.django_db(transaction=True)
def test_parallel_deliveries_send_each_email_once(smtp_server, monkeypatch):
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)
    for number in range(20):
        queue(f"person{number}@example.com")

    def deliver():
        deliver_due()
        connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(mail.recipients[0] for mail in smtp_server.mails) == sorted(
        f"person{n}@example.com" for n in range(20)
    )
    assert set(OutgoingMail.objects.values_list("state", "attempts")) == {("sent", 1)}


def test_command_prints_counts_and_fails_if_an_email_failed(db, smtp_server, capsys):
    queue()
    call_command("deliver_mail")
    assert capsys.readouterr().out == "1 sent, 0 to be retried, 0 failed, 0 unknown.\n"

    queue("refused@example.com")
    with pytest.raises(SystemExit) as stop:
        call_command("deliver_mail")
    assert stop.value.code == 1
    assert "1 failed" in capsys.readouterr().out


def test_subject_is_limited_to_one_line(db, smtp_server):
    subject = "A\r\nBcc: x@example.com" + "y" * 300
    enqueue(MailDraft(kind="test", recipient="ada@example.com", subject=subject, text_body="Hello"))

    deliver_due()

    message = smtp_server.mails[0].message
    assert message["Bcc"] is None
    assert message["Subject"].startswith("A Bcc: x@example.com")
