"""The daily digest: recipients, content and sending once per day."""

import os
import pty
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from api.digests import rendering
from api.digests.service import send_digests
from api.mail.delivery import deliver_due
from api.models import AuditEntry, OutgoingMail, Property, Task, User
from tests import factories
from tests.conftest import client_of
from tests.live.server import PROJECT, environment, manage, migrate

NOON = datetime(2026, 6, 3, 12, tzinfo=UTC)  # a Wednesday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def clock(settings, monkeypatch):
    """Stop the clock at noon UTC, and deliver no email automatically."""
    settings.CELERY_BROKER_URL = ""
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def carla(db, clock):
    return factories.user(username="carla", first_name="Carla", role="staff", timezone="UTC")


def manager_without_digest() -> User:
    """Return a manager who creates all rows and gets no digest."""
    existing = User.objects.filter(username="quiet").first()
    return existing or factories.user(username="quiet", role="manager", digest_opt_out=True)


def new_property(**values) -> Property:
    return factories.property_(created_by=manager_without_digest(), **values)


def task(title: str, due: timedelta, **values) -> Task:
    long_ago = NOON - 30 * DAY
    values = {"property": new_property(), "created_at": long_ago, "modified_at": long_ago} | values
    return factories.task(title=title, due_date=NOON + due, **values)


def only_email() -> OutgoingMail:
    return OutgoingMail.objects.get()


def test_task_is_in_first_matching_section(carla):
    other_user = factories.user(role="viewer")
    values = {"assigned_to": carla}
    started = {"status": "in_progress", "started_at": NOON}
    done = {"status": "completed", "started_at": NOON, "completed_at": NOON}
    task("late", -HOUR, **values)
    task("late and begun", -2 * HOUR, **values | started)
    task("later today", 2 * HOUR, **values)
    task("in two days", 2 * DAY + 11 * HOUR, **values)
    task("in three days", 3 * DAY, **values)
    task("given to her", 9 * DAY, **values | {"modified_at": NOON - HOUR, "modified_by": other_user})
    task("done by another", -DAY, **values | done | {"modified_at": NOON - HOUR, "modified_by": other_user})
    task("done by herself", -DAY, **values | done | {"modified_at": NOON - HOUR, "modified_by": carla})
    task("deleted", -HOUR, **values | {"deleted_at": NOON})
    task("of a deleted property", -HOUR, **values | {"property": new_property(deleted_at=NOON)})
    task("of another", -HOUR)

    assert send_digests()["queued"] == 1

    text = only_email().text_body
    overdue, today, soon, changed = (text.index(word) for word in ("OVERDUE", "DUE TODAY", "DUE IN", "NEW OR CHANGED"))
    positions = {
        name: text.index(f"- {name} [")
        for name in ("late", "late and begun", "later today", "in two days", "given to her", "done by another")
    }
    assert overdue < positions["late and begun"] < today
    assert overdue < positions["late"] < today < positions["later today"] < soon < positions["in two days"] < changed
    assert changed < positions["given to her"]
    assert changed < positions["done by another"]
    for name in ("in three days", "done by herself", "deleted", "of a deleted property", "of another"):
        assert f"- {name} [" not in text
    assert only_email().subject == "Cosmo: 2 overdue, 1 due today"


@pytest.mark.parametrize(
    ("zone", "section", "due_text"),
    [
        ("UTC", "DUE TODAY", "Wed 3 Jun, 23:00"),
        ("Asia/Tokyo", "DUE IN THE NEXT TWO DAYS", "Thu 4 Jun, 08:00"),
        ("America/New_York", "DUE TODAY", "Wed 3 Jun, 19:00"),
    ],
)
def test_today_depends_on_time_zone_of_reader(db, clock, zone, section, due_text):
    task("at eleven", 11 * HOUR, assigned_to=factories.user(role="staff", timezone=zone))

    send_digests()

    text = only_email().text_body
    assert section in text
    assert f"due {due_text}" in text


def test_inactive_opted_out_or_idle_user_gets_no_digest(db, clock):
    for values in ({"is_active": False}, {"digest_opt_out": True}):
        task("late", -HOUR, assigned_to=factories.user(role="staff", **values))
    factories.user(role="staff")

    results = send_digests()

    assert results["queued"] == 0
    assert not OutgoingMail.objects.exists()


def test_manager_digest_contains_limited_team_sections(db, clock):
    factories.user(role="manager", timezone="UTC")
    loft = new_property(name="Loft")
    for number in range(30):
        task(f"late {number}", -HOUR, property=loft, assigned_to=manager_without_digest())
    task("unassigned task", 20 * DAY, property=loft)

    send_digests()

    mail = only_email()
    assert mail.subject == "Cosmo: 30 overdue in the team, 1 unassigned"
    assert mail.text_body.count("- late ") == 25
    assert "and 5 more." in mail.text_body
    assert "unassigned task" in mail.html_body


def test_viewer_digest_contains_tasks_of_own_properties(db, clock):
    owner = factories.user(role="viewer", timezone="UTC")
    task(
        "late",
        -HOUR,
        property=new_property(owners=(owner,)),
        assigned_to=factories.user(role="staff", digest_opt_out=True),
    )
    task("of another property", -HOUR)

    send_digests()

    assert only_email().user_id == owner.pk
    assert "late" in only_email().text_body
    assert "of another property" not in only_email().text_body


def test_section_is_limited_to_fifty_lines(carla):
    loft = new_property()
    for number in range(53):
        task(f"late {number}", -HOUR, property=loft, assigned_to=carla)

    send_digests()

    assert only_email().subject == "Cosmo: 53 overdue"
    assert only_email().text_body.count("- late ") == 50
    assert "and 3 more." in only_email().text_body


def test_longest_digest_fits_limit_of_mail_clients(db, clock):
    other_user = factories.user(role="manager", timezone="UTC")
    lofts = [new_property(name=f"Loft {number} at the quay") for number in range(20)]
    for number, due in enumerate((-HOUR, 2 * HOUR, DAY, 9 * DAY, 9 * DAY) * 60):
        assignment = {"assigned_to": other_user, "modified_at": NOON} if number % 5 != 4 else {"assigned_to": None}
        title = f"Change the linen, air the rooms and count towels {number}"
        task(title, due, property=lofts[number % 20], modified_by=manager_without_digest(), **assignment)

    send_digests()

    assert [only_email().text_body.count(f"and {left} more.") for left in (10, 35)] == [4, 2]
    assert len(only_email().html_body.encode()) < 102_000  # Gmail cuts longer emails, including the footer


def test_direction_marks_are_removed(carla):
    task("Linen \u202egnp.exe", -HOUR, assigned_to=carla, property=new_property(name="Haus\u2067\u2028am See"))

    send_digests()

    assert "  - Linen gnp.exe [medium], due" in only_email().text_body
    assert "\nHaus am See\n" in only_email().text_body
    assert "\u202e" not in only_email().html_body


def test_user_text_is_escaped_in_html(carla):
    task("<script>alert(1)</script>", -HOUR, assigned_to=carla)

    send_digests()

    assert "<script>alert" not in only_email().html_body
    assert "&lt;script&gt;" in only_email().html_body
    assert "<script>alert(1)</script>" in only_email().text_body


def test_next_digest_contains_changes_of_failed_one(carla, clock):
    other_user = factories.user(role="viewer")
    task("late", -HOUR, assigned_to=carla)
    task("given", 20 * DAY, assigned_to=carla, modified_at=NOON - HOUR, modified_by=other_user)
    send_digests()
    OutgoingMail.objects.update(state="failed", created_at=NOON)

    clock.move_to(NOON + DAY - HOUR)
    send_digests(day=(NOON + DAY).date())

    assert "- given [" in OutgoingMail.objects.latest("pk").text_body


def test_digest_is_sent_once_a_day_with_changes_since_last_one(carla, clock):
    other_user = factories.user(role="viewer")
    task("late", -HOUR, assigned_to=carla)
    assert send_digests()["queued"] == 1
    assert (send_digests()["queued"], send_digests()["already_sent"]) == (0, 1)
    clock.move_to(NOON + 2 * HOUR)
    task("given at one", 20 * DAY, assigned_to=carla, modified_at=NOON + HOUR, modified_by=other_user)
    assert send_digests()["queued"] == 0

    clock.move_to(NOON + DAY)
    assert send_digests()["queued"] == 1

    assert "given at one" in OutgoingMail.objects.latest("pk").text_body
    assert send_digests(is_forced=True)["queued"] == 1
    assert OutgoingMail.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_parallel_runs_send_one_email_per_user(clock):
    users = [factories.user(role="staff") for _ in range(5)]
    for user in users:
        task("late", -HOUR, assigned_to=user)
    barrier = threading.Barrier(2)

    def run():
        barrier.wait()
        send_digests()
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(OutgoingMail.objects.values_list("user_id", flat=True)) == [user.pk for user in users]


def test_hundred_digests_need_at_most_six_statements(db, clock):
    roles = ["manager", "viewer", *["staff"] * 8] * 10
    for role in roles:
        user = factories.user(role=role)
        relation = {"property": new_property(owners=(user,))} if role == "viewer" else {"assigned_to": user}
        task("late", -HOUR, **relation)
        task("today", HOUR, **relation)

    with CaptureQueriesContext(connection) as queries:
        assert send_digests()["queued"] == 100

    statements = [query["sql"].lstrip("(").split()[0] for query in queries]
    inserts = 1 if connection.vendor == "sqlite" else statements.count("INSERT")  # SQLite inserts 39 rows per statement
    # One more SELECT checks for a second batch.
    assert statements.count("SELECT") + statements.count("DECLARE") + inserts <= 6 + 1
    assert set(statements) <= {"SELECT", "DECLARE", "INSERT", "BEGIN", "SAVEPOINT", "RELEASE", "COMMIT"}


def test_failed_digest_does_not_stop_others(carla, logs, monkeypatch):
    other = factories.user(role="staff")
    for user in (carla, other):
        task("late", -HOUR, assigned_to=user)
    subject = rendering.digest_subject

    def fail_for_carla(digest):
        return subject(digest) if digest.user != carla else 1 / 0

    monkeypatch.setattr(rendering, "digest_subject", fail_for_carla)

    results = send_digests()

    assert (results["queued"], results["failed"]) == (1, 1)
    entry = logs.entry("digest_err", event="digest_failed")
    assert (entry["target_user_id"], entry["next"]) == (carla.pk, "retried with the next run")
    assert entry["exception"]["type"] == "builtins.ZeroDivisionError"


def test_unknown_time_zone_does_not_stop_others(carla, logs):
    other = factories.user(role="staff")
    User.objects.filter(pk=carla.pk).update(timezone="Mars/Olympus_Mons")
    for user in (carla, other):
        task("late", -HOUR, assigned_to=user)

    results = send_digests()

    assert (results["queued"], results["failed"]) == (1, 1)
    assert only_email().user_id == other.pk
    assert logs.entry("digest_err", event="digest_failed")["target_user_id"] == carla.pk


def test_aborted_run_logs_next_step(carla, logs, monkeypatch):
    task("late", -HOUR, assigned_to=carla)
    with monkeypatch.context() as patch:
        patch.setattr("api.digests.service.enqueue_once", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            send_digests()

    entry = logs.entry("digest_err", event="digest_run_failed")
    assert (entry["date"], entry["next"]) == ("2026-06-03", "run it again; each user gets one email")
    assert logs.entries("digest", event="digest_run_finished") == []
    assert send_digests()["queued"] == 1


def test_log_has_one_line_per_digest_and_run_without_email_addresses(carla, logs):
    task("late", -HOUR, assigned_to=carla)
    task("today", HOUR, assigned_to=carla)

    send_digests()

    entry = logs.entry("digest", event="digest_queued")
    assert (entry["target_user_id"], entry["counts"]) == (carla.pk, {"overdue": 1, "due_today": 1})
    run = logs.entry("digest", event="digest_run_finished")
    assert (run["date"], run["queued"], run["failed"]) == ("2026-06-03", 1, 0)
    assert logs.files_with(carla.email) == set()
    assert logs.entries("info") == []


@pytest.mark.parametrize(
    ("address", "event", "next_step"),
    [
        ("ada@example.com", "digest_sent", None),
        ("refused@example.com", "digest_failed", "not retried"),
        ("later@example.com", "digest_failed", "retried at 2026-06-03T12:01:00Z"),
        ("full@example.com", "digest_failed", "retried at 2026-06-03T12:01:00Z"),
        ("spam@example.com", "digest_failed", "not retried"),
        ("dropped@example.com", "digest_failed", "it may have arrived; not retried"),
        ("mute@example.com", "digest_failed", "it may have arrived; not retried"),
    ],
)
def test_delivery_result_is_in_digest_logs(
    db, clock, logs, smtp_server, address, event, next_step, django_capture_on_commit_callbacks
):
    user = factories.user(role="staff", email=address)
    task("late", -HOUR, assigned_to=user)
    send_digests()

    with django_capture_on_commit_callbacks(execute=True):
        deliver_due()

    entry = logs.entry("digest", event=event)
    assert entry["target_user_id"] == user.pk
    assert entry.get("next") == next_step
    assert bool(entry.get("reason")) is (next_step is not None)
    assert len(logs.entries("digest_err")) == (0 if next_step is None else 1)
    assert address not in logs.text("digest*")


def test_dry_run_sends_nothing_and_user_option_selects_one(carla):
    other = factories.user(role="staff")
    for user in (carla, other):
        task("late", -HOUR, assigned_to=user)

    assert send_digests(is_dry_run=True)["queued"] == 2
    assert not OutgoingMail.objects.exists()
    assert send_digests(user_id=carla.pk)["queued"] == 1
    assert only_email().user_id == carla.pk


def test_command_prints_summary(carla, capsys):
    task("late", -HOUR, assigned_to=carla)

    call_command("send_email_digest", "--dry-run")
    assert capsys.readouterr().out.startswith("Dry run: 1 queued, 0 already sent, ")
    call_command("send_email_digest")
    assert capsys.readouterr().out.endswith("0 failed; of this date: 1 sent.\n")
    call_command("send_email_digest", "--date", "2026-06-04")
    assert OutgoingMail.objects.latest("pk").once_key == f"digest:2026-06-04:{carla.pk}"


def test_command_reports_only_selected_user(db, clock, smtp_server, capsys):
    ada, other = (factories.user(role="staff", email=f"{name}@example.com") for name in ("ada", "refused"))
    for user in (ada, other):
        task("late", -HOUR, assigned_to=user)

    with pytest.raises(SystemExit):
        call_command("send_email_digest")
    assert capsys.readouterr().out.endswith("of this date: 1 failed, 1 sent.\n")
    call_command("send_email_digest", "--user", str(ada.pk))
    assert capsys.readouterr().out == ("0 queued, 1 already sent, 0 empty, 0 failed; of this date: 1 sent.\n")
    with pytest.raises(CommandError, match="There is no such user"):
        call_command("send_email_digest", "--user", "999999")


def test_command_delivers_also_with_broker(carla, settings, smtp_server, capsys):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    task("late", -HOUR, assigned_to=carla)

    call_command("send_email_digest")

    assert capsys.readouterr().out.endswith("of this date: 1 sent.\n")
    assert len(smtp_server.mails) == 1


def test_command_shows_progress_in_terminal(tmp_path):
    variables = environment(tmp_path, EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend")
    migrate(variables)
    manage(variables, "shell", "--verbosity", "0", "-c", "from tests import factories; factories.task()")
    our_end, their_end = pty.openpty()
    command = [sys.executable, "manage.py", "send_email_digest"]

    done = subprocess.run(command, cwd=PROJECT, env=variables, stdout=subprocess.PIPE, stderr=their_end, check=True)

    assert "[##############################] 1 of 1\r\n" in os.read(our_end, 10_000).decode()
    assert done.stdout.startswith(b"1 queued, 0 already sent, ")


def test_command_fails_if_a_digest_failed(carla, monkeypatch, capsys):
    task("late", -HOUR, assigned_to=carla)
    monkeypatch.setattr(rendering, "digest_subject", lambda _: 1 / 0)

    with pytest.raises(SystemExit) as exit_info:
        call_command("send_email_digest")

    assert exit_info.value.code == 1
    assert "1 failed" in capsys.readouterr().out


def test_preview_command_sends_nothing(carla, capsys, tmp_path):
    task("late", -HOUR, assigned_to=carla)

    call_command("preview_digest", "--user", str(carla.pk), "--html", str(tmp_path / "digest.html"))

    assert capsys.readouterr().out.startswith("Subject: Cosmo: 1 overdue\n\nHello Carla")
    assert "<h1" in (tmp_path / "digest.html").read_text()
    assert (tmp_path / "digest.html").stat().st_mode & 0o077 == 0  # it contains a link that needs no login
    assert not OutgoingMail.objects.exists()


def test_unsubscribe_link_stops_digest_on_post_but_not_on_get(carla, settings, client, logs):
    task("late", -HOUR, assigned_to=carla)
    send_digests()
    header = only_email().headers["List-Unsubscribe"]
    assert header.startswith(f"<{settings.PUBLIC_BASE_URL}/unsubscribe/")
    assert only_email().headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = header.strip("<>").removeprefix(settings.PUBLIC_BASE_URL)
    assert path in only_email().text_body
    browser = Client(enforce_csrf_checks=True)

    page = browser.get(path)
    assert "Unsubscribe from the daily digest?" in page.content.decode()
    carla.refresh_from_db()
    assert not carla.digest_opt_out

    response = browser.post(path, {"List-Unsubscribe": "One-Click"})
    carla.refresh_from_db()
    assert (response.status_code, carla.digest_opt_out) == (200, True)
    assert browser.post(path).status_code == 200
    assert "Subscribe again" in browser.get(path).content.decode()
    (entry,) = AuditEntry.objects.filter(event="user_updated")
    assert (entry.actor_id, entry.changes) == (carla.pk, {"digest_opt_out": [False, True]})
    assert send_digests(is_forced=True)["queued"] == 0
    assert path.split("/")[2] not in logs.text()
    assert "Subscribed to the daily digest" in browser.post(path, {"again": "yes"}).content.decode()
    carla.refresh_from_db()
    assert not carla.digest_opt_out


@pytest.mark.parametrize("token", ["nonsense", "NQ:1abcde:AAAAAAAAAAAAAAAA"])
def test_forged_unsubscribe_link_is_not_found(db, token):
    assert Client().post(f"/unsubscribe/{token}/").status_code == 404


def test_preview_endpoint_returns_own_digest(carla):
    client = client_of(carla)
    assert client.post("/api/digests/preview/").json() == {"subject": None, "text_body": "", "html_body": ""}
    task("late", -HOUR, assigned_to=carla)

    preview = client.post("/api/digests/preview/").json()

    assert preview["subject"] == "Cosmo: 1 overdue"
    assert "late" in preview["text_body"]
    assert "<h1" in preview["html_body"]
    assert not OutgoingMail.objects.exists()
