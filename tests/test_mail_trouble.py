"""Email delivery with failing servers, wrong clocks and simultaneous changes."""

import ssl
import subprocess
from datetime import timedelta

import pytest
import time_machine
from aiosmtpd.smtp import AuthResult
from django.core import mail as outbox_of_django
from django.db import OperationalError
from django.utils import timezone

from api.mail import delivery
from api.mail.delivery import RETRY_DELAYS, deliver_due
from api.mail.outbox import retry
from api.mail.smtp import _BeforeDataHook
from api.models import OutgoingMail
from tests.mails import now_it_is, queue
from tests.smtp import mail_server, silent_server

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nothing_leaves")]


@pytest.fixture
def during_data(monkeypatch):
    """Return a function that sets a callback, which runs when the server has accepted the first email."""
    data = _BeforeDataHook.data
    callbacks = []

    def send_then_call_back(self, message):
        response = data(self, message)
        if callbacks:
            callbacks.pop()()
        return response

    monkeypatch.setattr(_BeforeDataHook, "data", send_then_call_back)
    return callbacks.append


@pytest.mark.parametrize("announces_disconnect", [True, False])
def test_disconnect_between_emails_reconnects_immediately(smtp_server, announces_disconnect):
    smtp_server.emails_per_connection, smtp_server.announces_disconnect = 2, announces_disconnect
    for number in range(5):
        queue(f"person{number}@example.com")

    assert deliver_due() == {"sent": 5}

    assert [len([step for step in talk if step[0] == "DATA"]) for talk in smtp_server.conversations] == [2, 2, 1]
    assert set(OutgoingMail.objects.values_list("attempts", flat=True)) == {1}


def test_unreachable_server_costs_one_attempt_of_one_email(smtp):
    for number in range(5):
        queue(f"person{number}@example.com")

    assert deliver_due() == {"queued": 1}
    assert sorted(OutgoingMail.objects.values_list("attempts", flat=True)) == [0, 0, 0, 0, 1]

    with mail_server(smtp.EMAIL_PORT) as server:
        assert deliver_due() == {"sent": 4}
        with time_machine.travel(timezone.now() + RETRY_DELAYS[0]):
            assert deliver_due() == {"sent": 1}
    assert len(server.mails) == 5


def test_silent_server_costs_one_timeout_for_all_emails(smtp):
    smtp.EMAIL_TIMEOUT = 1
    for number in range(5):
        queue(f"person{number}@example.com")

    with silent_server() as smtp.EMAIL_PORT:
        started = timezone.now()
        assert deliver_due() == {"queued": 1}

    assert timezone.now() - started < timedelta(seconds=3)


def test_run_ends_after_time_limit_and_next_run_continues(smtp_server, monkeypatch):
    monkeypatch.setattr(delivery, "MAX_RUN_TIME", 0.2)
    for _ in range(3):
        queue("slow@example.com")

    assert deliver_due() == {"sent": 1}
    assert deliver_due() == {"sent": 1}


def test_rejected_smtp_credentials_are_retried(smtp):
    smtp.EMAIL_HOST_USER, smtp.EMAIL_HOST_PASSWORD = "cosmo", "not the right one"
    mail, _ = queue(), queue()

    def reject(server, session, envelope, mechanism, data):
        return AuthResult(success=False, handled=False)

    with mail_server(smtp.EMAIL_PORT, authenticator=reject, auth_require_tls=False) as server:
        assert deliver_due() == {"queued": 1}

    assert "Authentication" in OutgoingMail.objects.get(attempts=1).last_error
    assert "not the right one" not in OutgoingMail.objects.get(attempts=1).last_error
    assert mail.next_try_at < OutgoingMail.objects.get(attempts=1).next_try_at
    assert server.mails == []


def test_server_without_required_tls_gets_no_email(smtp):
    smtp.EMAIL_USE_TLS = True
    smtp.EMAIL_HOST_USER, smtp.EMAIL_HOST_PASSWORD = "cosmo", "secret of the mail server"
    mail = queue()

    with mail_server(smtp.EMAIL_PORT) as server:
        assert deliver_due() == {"queued": 1}

    assert now_it_is(mail) == "queued"
    assert "STARTTLS" in mail.last_error
    assert server.mails == []


def test_server_with_untrusted_certificate_gets_no_email(smtp, tmp_path):
    smtp.EMAIL_USE_TLS = True
    mail = queue()
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    with mail_server(smtp.EMAIL_PORT, tls_context=context) as server:
        assert deliver_due() == {"queued": 1}

    assert now_it_is(mail) == "queued"
    assert "certificate verify failed" in mail.last_error
    assert server.mails == []


@pytest.mark.parametrize("backend", ["console", "filebased", "locmem", "dummy"])
def test_other_email_backends_send_each_email_once(settings, tmp_path, backend, capsys):
    settings.EMAIL_BACKEND = f"django.core.mail.backends.{backend}.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    mail, other = queue(), queue("other@example.com")

    assert deliver_due() == {"sent": 2}

    assert (now_it_is(mail), now_it_is(other)) == ("sent", "sent")
    sent_text = {
        "console": lambda: capsys.readouterr().out,
        "filebased": lambda: "".join(path.read_text() for path in tmp_path.iterdir()),
        "locmem": lambda: str([message.extra_headers for message in outbox_of_django.outbox]),
        "dummy": lambda: mail.message_id + other.message_id,
    }[backend]()
    assert (sent_text.count(mail.message_id), sent_text.count(other.message_id)) == (1, 1)


def test_unknown_email_becomes_sent_when_server_accepts_it(smtp_server, during_data):
    mail = queue()

    def recover_on_server_with_fast_clock():
        with time_machine.travel(timezone.now() + timedelta(hours=1)):
            assert deliver_due() == {"unknown": 1}

    during_data(recover_on_server_with_fast_clock)

    assert deliver_due() == {"sent": 1}
    assert now_it_is(mail) == "sent"
    assert len(smtp_server.mails) == 1


def test_fast_clock_before_data_sends_no_duplicate(smtp_server, monkeypatch):
    mail = queue()
    data = _BeforeDataHook.data
    others = []

    def deliver_on_another_server_first(self, message):
        if not others:
            others.append(None)
            with time_machine.travel(timezone.now() + timedelta(hours=1)):
                others.append(deliver_due())
        return data(self, message)

    monkeypatch.setattr(_BeforeDataHook, "data", deliver_on_another_server_first)

    assert deliver_due() == {"lost": 1}
    assert others[1] == {"queued": 1, "sent": 1}
    assert now_it_is(mail) == "sent"
    assert len(smtp_server.mails) == 1


@pytest.mark.parametrize(
    ("recipient", "state", "times"), [("ada@example.com", "sent", 1), ("spam@example.com", "failed", 2)]
)
def test_manual_retry_sends_again_only_if_first_attempt_is_rejected(
    smtp_server, during_data, superuser, recipient, state, times
):
    mail = queue(recipient)

    def retry_in_admin():
        with time_machine.travel(timezone.now() + timedelta(hours=1)):
            delivery.recover_abandoned()
        retry(mail, actor=superuser.user)

    during_data(retry_in_admin)
    deliver_due()

    assert now_it_is(mail) == state
    steps = [verb for talk in smtp_server.conversations for verb, _ in talk]
    assert steps.count("DATA") == times


def test_email_deleted_during_delivery_stops_no_other(smtp_server, during_data):
    mail, other = queue(), queue("other@example.com")
    during_data(lambda: OutgoingMail.objects.filter(pk=mail.pk).delete())

    assert deliver_due() == {"sent": 2}
    assert now_it_is(other) == "sent"


def test_database_error_before_data_queues_email_again(smtp_server, monkeypatch):
    mail = queue()
    claim_of = delivery._claim_of
    responses = [OperationalError("the connection is lost")]

    def claim_of_once(row):
        if responses:
            raise responses.pop()
        return claim_of(row)

    monkeypatch.setattr(delivery, "_claim_of", claim_of_once)

    assert deliver_due() == {"queued": 1}
    assert now_it_is(mail) == "queued"
    assert smtp_server.mails == []


def test_international_domain_is_sent_in_ascii(smtp_server):
    queue("ada@exämple.com")

    assert deliver_due() == {"sent": 1}
    assert smtp_server.mails[0].recipients == ["ada@xn--exmple-cua.com"]


@pytest.mark.parametrize(
    "subject",
    [
        "Wäsche " * 60,
        "漢" * 200,
        "\u202egnitset\u202c",
        "W" * 998,
        "A\u2028B\x00\x1b[31m",
        "\U0001f469\u200d\U0001f527 " * 50,
    ],
)
def test_any_subject_arrives_in_short_lines(smtp_server, subject):
    queue(subject=subject)

    assert deliver_due() == {"sent": 1}

    (received,) = smtp_server.mails
    assert max(len(line) for line in received.content.split(b"\r\n")) <= 998
    subject_received = received.message["Subject"].strip()
    assert subject_received.isprintable() or "\u200d" in subject_received
    assert 0 < len(subject_received) <= 200


def test_long_body_lines_arrive_unchanged(smtp_server):
    text = "ü" * 5_000 + "\n.\n" + "x" * 5_000
    queue(text_body=text, html_body=f"<p>{text}</p>")

    assert deliver_due() == {"sent": 1}

    (received,) = smtp_server.mails
    assert max(len(line) for line in received.content.split(b"\r\n")) <= 998
    assert received.plain.replace("\r\n", "\n").strip() == text


def test_lost_claim_during_rejection_logs_nothing(smtp_server, logs, monkeypatch):
    mail = queue("refused@example.com")
    after_failure = delivery._after_failure

    def let_another_process_claim(row, error):
        OutgoingMail.objects.filter(pk=mail.pk).update(claimed_until=timezone.now() + timedelta(hours=1))
        return after_failure(row, error)

    monkeypatch.setattr(delivery, "_after_failure", let_another_process_claim)

    assert deliver_due() == {"lost": 1}
    assert now_it_is(mail) == "sending"
    assert logs.entries("info", event="mail_failed") == []
