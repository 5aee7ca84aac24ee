"""The daily digest: who gets one, what stands in it, and that it comes once."""

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
from tests.live.server import PROJECT, environment, manage

NOON = datetime(2026, 6, 3, 12, tzinfo=UTC)  # a Wednesday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def clock(settings, monkeypatch):
    """It is noon in UTC, and nothing leaves by itself."""
    settings.CELERY_BROKER_URL = ""
    monkeypatch.setattr("api.mail.delivery_thread.schedule_delivery", lambda: None)
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


@pytest.fixture
def carla(db, clock):
    return factories.user(username="carla", first_name="Carla", role="staff", timezone="UTC")


def quiet() -> User:
    """A manager who makes everything and reads nothing."""
    found = User.objects.filter(username="quiet").first()
    return found or factories.user(username="quiet", role="manager", digest_opt_out=True)


def house(**values) -> Property:
    return factories.property_(created_by=quiet(), **values)


def task(title: str, due: timedelta, **values) -> Task:
    long_ago = NOON - 30 * DAY
    values = {"property": house(), "created_at": long_ago, "modified_at": long_ago} | values
    return factories.task(title=title, due_date=NOON + due, **values)


def the_mail() -> OutgoingMail:
    return OutgoingMail.objects.get()


def test_each_task_stands_in_the_first_section_that_it_belongs_to(carla):
    boss = factories.user(role="viewer")
    values = {"assigned_to": carla}
    started = {"status": "in_progress", "started_at": NOON}
    done = {"status": "completed", "started_at": NOON, "completed_at": NOON}
    task("late", -HOUR, **values)
    task("late and begun", -2 * HOUR, **values | started)
    task("later today", 2 * HOUR, **values)
    task("in two days", 2 * DAY + 11 * HOUR, **values)
    task("in three days", 3 * DAY, **values)
    task("given to her", 9 * DAY, **values | {"modified_at": NOON - HOUR, "modified_by": boss})
    task("done by another", -DAY, **values | done | {"modified_at": NOON - HOUR, "modified_by": boss})
    task("done by herself", -DAY, **values | done | {"modified_at": NOON - HOUR, "modified_by": carla})
    task("deleted", -HOUR, **values | {"deleted_at": NOON})
    task("of a deleted house", -HOUR, **values | {"property": house(deleted_at=NOON)})
    task("of another", -HOUR)

    assert send_digests()["queued"] == 1

    text = the_mail().text_body
    overdue, today, soon, changed = (text.index(word) for word in ("OVERDUE", "DUE TODAY", "DUE IN", "NEW OR CHANGED"))
    places = {
        name: text.index(f"- {name} [")
        for name in ("late", "late and begun", "later today", "in two days", "given to her", "done by another")
    }
    assert overdue < places["late and begun"] < today
    assert overdue < places["late"] < today < places["later today"] < soon < places["in two days"] < changed
    assert changed < places["given to her"]
    assert changed < places["done by another"]
    for name in ("in three days", "done by herself", "deleted", "of a deleted house", "of another"):
        assert f"- {name} [" not in text
    assert the_mail().subject == "Cosmo: 2 overdue, 1 due today"


@pytest.mark.parametrize(
    ("zone", "section", "shown"),
    [
        ("UTC", "DUE TODAY", "Wed 3 Jun, 23:00"),
        ("Asia/Tokyo", "DUE IN THE NEXT TWO DAYS", "Thu 4 Jun, 08:00"),
        ("America/New_York", "DUE TODAY", "Wed 3 Jun, 19:00"),
    ],
)
def test_today_is_the_readers_day(db, clock, zone, section, shown):
    task("at eleven", 11 * HOUR, assigned_to=factories.user(role="staff", timezone=zone))

    send_digests()

    text = the_mail().text_body
    assert section in text
    assert f"due {shown}" in text


def test_who_is_inactive_opted_out_or_has_nothing_to_read_gets_none(db, clock):
    for values in ({"is_active": False}, {"digest_opt_out": True}):
        task("late", -HOUR, assigned_to=factories.user(role="staff", **values))
    factories.user(role="staff")

    results = send_digests()

    assert results["queued"] == 0
    assert not OutgoingMail.objects.exists()


def test_managers_read_of_the_team_too_and_at_most_so_many_lines(db, clock):
    factories.user(role="manager", timezone="UTC")
    loft = house(name="Loft")
    for number in range(30):
        task(f"late {number}", -HOUR, property=loft, assigned_to=quiet())
    task("nobody has it", 20 * DAY, property=loft)

    send_digests()

    mail = the_mail()
    assert mail.subject == "Cosmo: 30 overdue in the team, 1 unassigned"
    assert mail.text_body.count("- late ") == 25
    assert "and 5 more." in mail.text_body
    assert "nobody has it" in mail.html_body


def test_owners_read_of_their_houses(db, clock):
    owner = factories.user(role="viewer", timezone="UTC")
    task("late", -HOUR, property=house(owners=(owner,)), assigned_to=factories.user(role="staff", digest_opt_out=True))
    task("of another house", -HOUR)

    send_digests()

    assert the_mail().user_id == owner.pk
    assert "late" in the_mail().text_body
    assert "of another house" not in the_mail().text_body


def test_a_section_ends_after_fifty_lines(carla):
    loft = house()
    for number in range(53):
        task(f"late {number}", -HOUR, property=loft, assigned_to=carla)

    send_digests()

    assert the_mail().subject == "Cosmo: 53 overdue"
    assert the_mail().text_body.count("- late ") == 50
    assert "and 3 more." in the_mail().text_body


def test_the_longest_digest_is_shown_whole_by_mail_programs(db, clock):
    boss = factories.user(role="manager", timezone="UTC")
    lofts = [house(name=f"Loft {number} at the quay") for number in range(20)]
    for number, due in enumerate((-HOUR, 2 * HOUR, DAY, 9 * DAY, 9 * DAY) * 60):
        mine = {"assigned_to": boss, "modified_at": NOON} if number % 5 != 4 else {"assigned_to": None}
        title = f"Change the linen, air the rooms and count towels {number}"
        task(title, due, property=lofts[number % 20], modified_by=quiet(), **mine)

    send_digests()

    assert [the_mail().text_body.count(f"and {left} more.") for left in (10, 35)] == [4, 2]
    assert len(the_mail().html_body.encode()) < 102_000  # Gmail shows no more, and cuts off the footer


def test_marks_of_direction_turn_nothing_around(carla):
    task("Linen \u202egnp.exe", -HOUR, assigned_to=carla, property=house(name="Haus\u2067\u2028am See"))

    send_digests()

    assert "  - Linen gnp.exe [medium], due" in the_mail().text_body
    assert "\nHaus am See\n" in the_mail().text_body
    assert "\u202e" not in the_mail().html_body


def test_what_people_wrote_stays_text_in_html(carla):
    task("<script>alert(1)</script>", -HOUR, assigned_to=carla)

    send_digests()

    assert "<script>alert" not in the_mail().html_body
    assert "&lt;script&gt;" in the_mail().html_body
    assert "<script>alert(1)</script>" in the_mail().text_body


def test_what_a_digest_that_failed_would_have_told_is_told_by_the_next_one(carla, clock):
    boss = factories.user(role="viewer")
    task("late", -HOUR, assigned_to=carla)
    task("given", 20 * DAY, assigned_to=carla, modified_at=NOON - HOUR, modified_by=boss)
    send_digests()
    OutgoingMail.objects.update(state="failed", created_at=NOON)

    clock.move_to(NOON + DAY - HOUR)
    send_digests(day=(NOON + DAY).date())

    assert "- given [" in OutgoingMail.objects.latest("pk").text_body


def test_it_comes_once_a_day_and_changes_are_told_since_the_last_one(carla, clock):
    boss = factories.user(role="viewer")
    task("late", -HOUR, assigned_to=carla)
    assert send_digests()["queued"] == 1
    assert (send_digests()["queued"], send_digests()["before"]) == (0, 1)
    clock.move_to(NOON + 2 * HOUR)
    task("given at one", 20 * DAY, assigned_to=carla, modified_at=NOON + HOUR, modified_by=boss)
    assert send_digests()["queued"] == 0

    clock.move_to(NOON + DAY)
    assert send_digests()["queued"] == 1

    assert "given at one" in OutgoingMail.objects.latest("pk").text_body
    assert send_digests(is_forced=True)["queued"] == 1
    assert OutgoingMail.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_at_once_send_one_mail(clock):
    people = [factories.user(role="staff") for _ in range(5)]
    for person in people:
        task("late", -HOUR, assigned_to=person)
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

    assert sorted(OutgoingMail.objects.values_list("user_id", flat=True)) == [person.pk for person in people]


def test_a_hundred_people_cost_at_most_six_statements(db, clock):
    roles = ["manager", "viewer", *["staff"] * 8] * 10
    for role in roles:
        person = factories.user(role=role)
        whose = {"property": house(owners=(person,))} if role == "viewer" else {"assigned_to": person}
        task("late", -HOUR, **whose)
        task("today", HOUR, **whose)

    with CaptureQueriesContext(connection) as queries:
        assert send_digests()["queued"] == 100

    statements = [query["sql"].lstrip("(").split()[0] for query in queries]
    inserts = 1 if connection.vendor == "sqlite" else statements.count("INSERT")  # SQLite takes 39 rows in one
    # One more SELECT looks whether there is a second hundred.
    assert statements.count("SELECT") + statements.count("DECLARE") + inserts <= 6 + 1
    assert set(statements) <= {"SELECT", "DECLARE", "INSERT", "BEGIN", "SAVEPOINT", "RELEASE", "COMMIT"}


def test_one_person_whose_digest_fails_keeps_no_other_from_theirs(carla, logs, monkeypatch):
    other = factories.user(role="staff")
    for person in (carla, other):
        task("late", -HOUR, assigned_to=person)
    subject = rendering.subject

    def fail_for_carla(digest):
        return subject(digest) if digest.user != carla else 1 / 0

    monkeypatch.setattr(rendering, "subject", fail_for_carla)

    results = send_digests()

    assert (results["queued"], results["failed"]) == (1, 1)
    entry = logs.entry("digest_err", event="digest_failed")
    assert (entry["target_user_id"], entry["next"]) == (carla.pk, "tried again with the next run")
    assert entry["exception"]["type"] == "builtins.ZeroDivisionError"


def test_a_time_zone_that_nobody_knows_keeps_no_other_from_theirs(carla, logs):
    other = factories.user(role="staff")
    User.objects.filter(pk=carla.pk).update(timezone="Mars/Olympus_Mons")
    for person in (carla, other):
        task("late", -HOUR, assigned_to=person)

    results = send_digests()

    assert (results["queued"], results["failed"]) == (1, 1)
    assert the_mail().user_id == other.pk
    assert logs.entry("digest_err", event="digest_failed")["target_user_id"] == carla.pk


def test_a_run_that_breaks_off_says_so_and_what_to_do(carla, logs, monkeypatch):
    task("late", -HOUR, assigned_to=carla)
    with monkeypatch.context() as patch:
        patch.setattr("api.digests.service.enqueue_once", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            send_digests()

    entry = logs.entry("digest_err", event="digest_run_failed")
    assert (entry["date"], entry["next"]) == ("2026-06-03", "run it again; nobody gets a second one")
    assert logs.entries("digest", event="digest_run_finished") == []
    assert send_digests()["queued"] == 1


def test_the_log_has_a_line_a_person_and_one_a_run_and_no_address(carla, logs):
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
    ("address", "event", "following"),
    [
        ("ada@example.com", "digest_sent", None),
        ("refused@example.com", "digest_failed", "not tried again"),
        ("later@example.com", "digest_failed", "tried again at 2026-06-03T12:01:00Z"),
        ("full@example.com", "digest_failed", "tried again at 2026-06-03T12:01:00Z"),
        ("spam@example.com", "digest_failed", "not tried again"),
        ("dropped@example.com", "digest_failed", "it may have arrived; not tried again"),
        ("mute@example.com", "digest_failed", "it may have arrived; not tried again"),
    ],
)
def test_what_the_mail_server_said_is_in_the_digest_logs(
    db, clock, logs, smtp_server, address, event, following, django_capture_on_commit_callbacks
):
    person = factories.user(role="staff", email=address)
    task("late", -HOUR, assigned_to=person)
    send_digests()

    with django_capture_on_commit_callbacks(execute=True):
        deliver_due()

    entry = logs.entry("digest", event=event)
    assert entry["target_user_id"] == person.pk
    assert entry.get("next") == following
    assert bool(entry.get("reason")) is (following is not None)
    assert len(logs.entries("digest_err")) == (0 if following is None else 1)
    assert address not in logs.text("digest*")


def test_a_dry_run_sends_nothing_and_one_person_can_be_chosen(carla):
    other = factories.user(role="staff")
    for person in (carla, other):
        task("late", -HOUR, assigned_to=person)

    assert send_digests(is_dry_run=True)["queued"] == 2
    assert not OutgoingMail.objects.exists()
    assert send_digests(user_id=carla.pk)["queued"] == 1
    assert the_mail().user_id == carla.pk


def test_the_command_says_what_it_did(carla, capsys):
    task("late", -HOUR, assigned_to=carla)

    call_command("send_email_digest", "--dry-run")
    assert capsys.readouterr().out.startswith("Dry run: 1 queued, 0 had it before, ")
    call_command("send_email_digest")
    assert capsys.readouterr().out.endswith("0 failed; of this date: 1 sent.\n")
    call_command("send_email_digest", "--date", "2026-06-04")
    assert OutgoingMail.objects.latest("pk").once_key == f"digest:2026-06-04:{carla.pk}"


def test_the_command_is_about_the_person_it_was_given(db, clock, smtp_server, capsys):
    ada, other = (factories.user(role="staff", email=f"{name}@example.com") for name in ("ada", "refused"))
    for person in (ada, other):
        task("late", -HOUR, assigned_to=person)

    with pytest.raises(SystemExit):
        call_command("send_email_digest")
    assert capsys.readouterr().out.endswith("of this date: 1 failed, 1 sent.\n")
    call_command("send_email_digest", "--user", str(ada.pk))
    assert capsys.readouterr().out == (
        "0 queued, 1 had it before, 0 had nothing to read, 0 failed; of this date: 1 sent.\n"
    )
    with pytest.raises(CommandError, match="There is no such user"):
        call_command("send_email_digest", "--user", "999999")


def test_the_command_delivers_where_a_broker_is_configured_too(carla, settings, smtp_server, capsys):
    settings.CELERY_BROKER_URL = "redis://127.0.0.1:1/0"
    task("late", -HOUR, assigned_to=carla)

    call_command("send_email_digest")

    assert capsys.readouterr().out.endswith("of this date: 1 sent.\n")
    assert len(smtp_server.mails) == 1


def test_a_terminal_sees_how_far_it_is(tmp_path):
    variables = environment(tmp_path, EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend")
    manage(variables, "migrate", "--verbosity", "0")
    manage(variables, "shell", "--verbosity", "0", "-c", "from tests import factories; factories.task()")
    ours, theirs = pty.openpty()
    command = [sys.executable, "manage.py", "send_email_digest"]

    done = subprocess.run(command, cwd=PROJECT, env=variables, stdout=subprocess.PIPE, stderr=theirs, check=True)

    assert "[##############################] 1 of 1\r\n" in os.read(ours, 10_000).decode()
    assert done.stdout.startswith(b"1 queued, 0 had it before, ")


def test_the_command_fails_where_a_digest_did(carla, monkeypatch, capsys):
    task("late", -HOUR, assigned_to=carla)
    monkeypatch.setattr(rendering, "subject", lambda _: 1 / 0)

    with pytest.raises(SystemExit) as stop:
        call_command("send_email_digest")

    assert stop.value.code == 1
    assert "1 failed" in capsys.readouterr().out


def test_a_preview_sends_nothing(carla, capsys, tmp_path):
    task("late", -HOUR, assigned_to=carla)

    call_command("preview_digest", "--user", str(carla.pk), "--html", str(tmp_path / "digest.html"))

    assert capsys.readouterr().out.startswith("Subject: Cosmo: 1 overdue\n\nHello Carla")
    assert "<h1" in (tmp_path / "digest.html").read_text()
    assert (tmp_path / "digest.html").stat().st_mode & 0o077 == 0  # it holds a link that needs no login
    assert not OutgoingMail.objects.exists()


def test_one_click_in_the_mail_stops_it_and_a_look_does_not(carla, settings, client, logs):
    task("late", -HOUR, assigned_to=carla)
    send_digests()
    header = the_mail().headers["List-Unsubscribe"]
    assert header.startswith(f"<{settings.PUBLIC_BASE_URL}/unsubscribe/")
    assert the_mail().headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = header.strip("<>").removeprefix(settings.PUBLIC_BASE_URL)
    assert path in the_mail().text_body
    browser = Client(enforce_csrf_checks=True)

    page = browser.get(path)
    assert "Unsubscribe from the daily digest?" in page.content.decode()
    carla.refresh_from_db()
    assert not carla.digest_opt_out

    answer = browser.post(path, {"List-Unsubscribe": "One-Click"})
    carla.refresh_from_db()
    assert (answer.status_code, carla.digest_opt_out) == (200, True)
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
def test_a_forged_link_stops_nothing(db, token):
    assert Client().post(f"/unsubscribe/{token}/").status_code == 404


def test_the_preview_of_the_api_is_ones_own(carla):
    client = client_of(carla)
    assert client.post("/api/digests/preview/").json() == {"subject": None, "text_body": "", "html_body": ""}
    task("late", -HOUR, assigned_to=carla)

    made = client.post("/api/digests/preview/").json()

    assert made["subject"] == "Cosmo: 1 overdue"
    assert "late" in made["text_body"]
    assert "<h1" in made["html_body"]
    assert not OutgoingMail.objects.exists()
