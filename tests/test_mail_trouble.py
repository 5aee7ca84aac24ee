"""Delivering mails while the server, the clock or somebody in the admin does what one does not expect."""

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
    """Makes something happen while the first mail is with the server: after it was taken, before we hear of it."""
    data = _BeforeDataHook.data
    waiting = []

    def take(self, message):
        answer = data(self, message)
        if waiting:
            waiting.pop()()
        return answer

    monkeypatch.setattr(_BeforeDataHook, "data", take)
    return waiting.append


@pytest.mark.parametrize("says_so", [True, False])
def test_a_server_that_hangs_up_between_two_mails_is_called_again_at_once(smtp_server, says_so):
    smtp_server.takes_on_a_connection, smtp_server.says_so = 2, says_so
    for number in range(5):
        queue(f"person{number}@example.com")

    assert deliver_due() == {"sent": 5}

    assert [len([step for step in talk if step[0] == "DATA"]) for talk in smtp_server.conversations] == [2, 2, 1]
    assert set(OutgoingMail.objects.values_list("attempts", flat=True)) == {1}


def test_a_server_that_cannot_be_reached_costs_one_attempt_of_one_mail(smtp):
    for number in range(5):
        queue(f"person{number}@example.com")

    assert deliver_due() == {"queued": 1}
    assert sorted(OutgoingMail.objects.values_list("attempts", flat=True)) == [0, 0, 0, 0, 1]

    with mail_server(smtp.EMAIL_PORT) as server:
        assert deliver_due() == {"sent": 4}
        with time_machine.travel(timezone.now() + RETRY_DELAYS[0]):
            assert deliver_due() == {"sent": 1}
    assert len(server.mails) == 5


def test_a_silent_server_costs_one_timeout_however_many_wait(smtp):
    smtp.EMAIL_TIMEOUT = 1
    for number in range(5):
        queue(f"person{number}@example.com")

    with silent_server() as smtp.EMAIL_PORT:
        started = timezone.now()
        assert deliver_due() == {"queued": 1}

    assert timezone.now() - started < timedelta(seconds=3)


def test_a_run_ends_by_itself_and_the_next_one_goes_on(smtp_server, monkeypatch):
    monkeypatch.setattr(delivery, "MAX_RUN_TIME", 0.2)
    for _ in range(3):
        queue("slow@example.com")

    assert deliver_due() == {"sent": 1}
    assert deliver_due() == {"sent": 1}


def test_a_sign_in_that_is_refused_is_tried_again(smtp):
    smtp.EMAIL_HOST_USER, smtp.EMAIL_HOST_PASSWORD = "cosmo", "not the right one"
    mail, _ = queue(), queue()

    def refuse(server, session, envelope, mechanism, data):
        return AuthResult(success=False, handled=False)

    with mail_server(smtp.EMAIL_PORT, authenticator=refuse, auth_require_tls=False) as server:
        assert deliver_due() == {"queued": 1}

    assert "Authentication" in OutgoingMail.objects.get(attempts=1).last_error
    assert "not the right one" not in OutgoingMail.objects.get(attempts=1).last_error
    assert mail.next_try_at < OutgoingMail.objects.get(attempts=1).next_try_at
    assert server.mails == []


def test_without_tls_where_it_is_asked_for_nothing_is_said(smtp):
    smtp.EMAIL_USE_TLS = True
    smtp.EMAIL_HOST_USER, smtp.EMAIL_HOST_PASSWORD = "cosmo", "secret of the mail server"
    mail = queue()

    with mail_server(smtp.EMAIL_PORT) as server:
        assert deliver_due() == {"queued": 1}

    assert now_it_is(mail) == "queued"
    assert "STARTTLS" in mail.last_error
    assert server.mails == []


def test_a_certificate_that_nobody_vouches_for_gets_no_mail(smtp, tmp_path):
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
def test_other_ways_of_django_take_mails_too(settings, tmp_path, backend, capsys):
    settings.EMAIL_BACKEND = f"django.core.mail.backends.{backend}.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    mail, other = queue(), queue("other@example.com")

    assert deliver_due() == {"sent": 2}

    assert (now_it_is(mail), now_it_is(other)) == ("sent", "sent")
    where = {
        "console": lambda: capsys.readouterr().out,
        "filebased": lambda: "".join(path.read_text() for path in tmp_path.iterdir()),
        "locmem": lambda: str([message.extra_headers for message in outbox_of_django.outbox]),
        "dummy": lambda: mail.message_id + other.message_id,
    }[backend]()
    assert (where.count(mail.message_id), where.count(other.message_id)) == (1, 1)


def test_a_mail_that_was_given_up_too_early_is_sent_once_the_server_says_so(smtp_server, during_data):
    mail = queue()

    def another_machine_whose_clock_is_an_hour_ahead():
        with time_machine.travel(timezone.now() + timedelta(hours=1)):
            assert deliver_due() == {"unknown": 1}

    during_data(another_machine_whose_clock_is_an_hour_ahead)

    assert deliver_due() == {"sent": 1}
    assert now_it_is(mail) == "sent"
    assert len(smtp_server.mails) == 1


def test_before_the_message_goes_out_a_clock_that_is_ahead_doubles_nothing(smtp_server, monkeypatch):
    mail = queue()
    data = _BeforeDataHook.data
    others = []

    def another_machine_comes_first(self, message):
        if not others:
            others.append(None)
            with time_machine.travel(timezone.now() + timedelta(hours=1)):
                others.append(deliver_due())
        return data(self, message)

    monkeypatch.setattr(_BeforeDataHook, "data", another_machine_comes_first)

    assert deliver_due() == {"lost": 1}
    assert others[1] == {"queued": 1, "sent": 1}
    assert now_it_is(mail) == "sent"
    assert len(smtp_server.mails) == 1


@pytest.mark.parametrize(
    ("recipient", "state", "times"), [("ada@example.com", "sent", 1), ("spam@example.com", "failed", 2)]
)
def test_another_try_is_needed_only_where_the_first_one_turns_out_to_be_refused(
    smtp_server, during_data, superuser, recipient, state, times
):
    mail = queue(recipient)

    def somebody_presses_try_again():
        with time_machine.travel(timezone.now() + timedelta(hours=1)):
            delivery.recover_abandoned()
        retry(mail, actor=superuser.user)

    during_data(somebody_presses_try_again)
    deliver_due()

    assert now_it_is(mail) == state
    steps = [verb for talk in smtp_server.conversations for verb, _ in talk]
    assert steps.count("DATA") == times


def test_a_mail_that_was_deleted_while_it_was_sent_stops_no_other(smtp_server, during_data):
    mail, other = queue(), queue("other@example.com")
    during_data(lambda: OutgoingMail.objects.filter(pk=mail.pk).delete())

    assert deliver_due() == {"sent": 2}
    assert now_it_is(other) == "sent"


def test_a_database_that_does_not_answer_before_the_message_goes_out_is_no_end_of_the_mail(smtp_server, monkeypatch):
    mail = queue()
    claim_of = delivery._claim_of
    answers = [OperationalError("the connection is lost")]

    def claim_of_once(row):
        if answers:
            raise answers.pop()
        return claim_of(row)

    monkeypatch.setattr(delivery, "_claim_of", claim_of_once)

    assert deliver_due() == {"queued": 1}
    assert now_it_is(mail) == "queued"
    assert smtp_server.mails == []


def test_a_domain_with_other_letters_is_reached_by_its_ascii_form(smtp_server):
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
def test_any_subject_arrives_in_lines_that_mail_servers_take(smtp_server, subject):
    queue(subject=subject)

    assert deliver_due() == {"sent": 1}

    (received,) = smtp_server.mails
    assert max(len(line) for line in received.content.split(b"\r\n")) <= 998
    shown = received.message["Subject"].strip()
    assert shown.isprintable() or "\u200d" in shown
    assert 0 < len(shown) <= 200


def test_long_lines_of_a_body_arrive_whole(smtp_server):
    text = "ü" * 5_000 + "\n.\n" + "x" * 5_000
    queue(text_body=text, html_body=f"<p>{text}</p>")

    assert deliver_due() == {"sent": 1}

    (received,) = smtp_server.mails
    assert max(len(line) for line in received.content.split(b"\r\n")) <= 998
    assert received.plain.replace("\r\n", "\n").strip() == text


def test_who_has_lost_a_mail_in_the_middle_of_a_refusal_says_nothing(smtp_server, logs, monkeypatch):
    mail = queue("refused@example.com")
    after_failure = delivery._after_failure

    def somebody_else_has_it(row, error):
        OutgoingMail.objects.filter(pk=mail.pk).update(claimed_until=timezone.now() + timedelta(hours=1))
        return after_failure(row, error)

    monkeypatch.setattr(delivery, "_after_failure", somebody_else_has_it)

    assert deliver_due() == {"lost": 1}
    assert now_it_is(mail) == "sending"
    assert logs.entries("info", event="mail_failed") == []
