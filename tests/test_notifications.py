"""Who is told what about a task, and by mail only where it is urgent."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client

from api.models import Notification, OutgoingMail
from tests import factories
from tests.conftest import client_of

NOW = datetime(2026, 6, 3, 12, tzinfo=UTC)
pytestmark = pytest.mark.usefixtures("nothing_leaves")


@pytest.fixture
def house(db, viewer, manager):
    return factories.property_(owners=(viewer.user,), created_by=manager.user)


@pytest.fixture
def task(house, staff, manager):
    """Made by the manager, done by the staff member, at a house of the viewer."""
    return factories.task(title="Linen", property=house, created_by=manager.user, assigned_to=staff.user)


def told() -> set[tuple[str, str]]:
    """{(who, what)}"""
    return set(Notification.objects.values_list("recipient__username", "kind"))


def names(*pairs) -> set[tuple[str, str]]:
    return {(client.user.username, kind) for client, kind in pairs}


def test_who_gets_a_task_and_who_loses_it_are_told(task, staff, superuser):
    other = client_of(factories.user(role="staff"))

    superuser.post(f"/api/tasks/{task.pk}/assign/", {"assigned_to": other.user.pk})

    assert told() == names((staff, "unassigned"), (other, "assigned"))


def test_a_task_that_is_made_for_somebody_is_told(house, staff, manager):
    body = factories.task_body(property=house.pk, assigned_to=staff.user.pk)

    manager.post("/api/tasks/", body)

    assert told() == names((staff, "assigned"))


def test_whoever_did_it_is_left_out(house, staff, manager):
    mine = factories.task(property=house, created_by=manager.user)

    staff.post(f"/api/tasks/{mine.pk}/claim/", {})
    assert told() == set()
    staff.post(f"/api/tasks/{mine.pk}/status/", {"status": "in_progress"})

    assert told() == names((manager, "status_changed"))


def test_the_end_of_a_task_is_told_to_the_owner_of_the_house_too(task, staff, manager, viewer):
    for status in ("in_progress", "completed"):
        staff.post(f"/api/tasks/{task.pk}/status/", {"status": status})

    assert told() == names((manager, "status_changed"), (manager, "completed"), (viewer, "completed"))


def test_another_due_date_is_told_with_both(task, staff, superuser, manager):
    superuser.patch(f"/api/tasks/{task.pk}/", {"due_date": "2030-01-02T12:00:00Z"})

    assert told() == names((staff, "due_date_changed"), (manager, "due_date_changed"))
    shown = staff.get("/api/notifications/").json()["results"][0]
    assert shown["changes"]["due_date"][1] == "2030-01-02T12:00:00Z"
    assert (shown["task"], shown["task_name"], shown["actor"]) == (task.pk, "Linen", superuser.user.pk)


def test_what_concerns_nobody_is_told_to_nobody(task, superuser):
    superuser.patch(f"/api/tasks/{task.pk}/", {"title": "Towels", "priority": "high"})
    superuser.delete(f"/api/tasks/{task.pk}/")

    assert told() == set()


def test_one_change_of_many_things_tells_each_person_one_thing(task, staff, superuser, manager):
    other = client_of(factories.user(role="staff"))
    body = {"assigned_to": other.user.pk, "due_date": "2030-01-02T12:00:00Z"}

    superuser.patch(f"/api/tasks/{task.pk}/", body)

    assert told() == names((staff, "unassigned"), (other, "assigned"), (manager, "due_date_changed"))


def test_each_person_reads_only_values_of_when_they_saw_the_task(task, staff, superuser, manager):
    other, villa = client_of(factories.user(role="staff")), factories.property_(name="Villa")
    body = {"assigned_to": other.user.pk, "due_date": "2030-01-02T12:00:00Z", "title": "Secret", "property": villa.pk}
    due = task.due_date.isoformat().replace("+00:00", "Z")

    superuser.patch(f"/api/tasks/{task.pk}/", body)

    names = ["assigned_to", "assigned_to_name", "due_date"]
    old, new = [staff.user.pk, str(staff.user), due], [other.user.pk, str(other.user), body["due_date"]]
    none = [None] * 3
    for client, title, before, after in (
        (staff, "Linen", old, none),
        (other, "Secret", none, new),
        (manager, "Secret", old, new),
    ):
        (row,) = client.get("/api/notifications/").json()["results"]
        assert row["task_name"] == title
        assert row["changes"] == dict(zip(names, map(list, zip(before, after, strict=True)), strict=True))


def test_mail_about_a_lost_task_tells_what_it_was(house, staff, manager, superuser):
    task = factories.task(title="Linen", property=house, assigned_to=staff.user, priority=4, created_by=manager.user)
    villa, other = factories.property_(name="Villa"), factories.user(role="staff")
    body = {"title": "Secret", "property": villa.pk, "due_date": "2030-01-02T12:00:00Z", "priority": "low"}

    superuser.patch(f"/api/tasks/{task.pk}/", body | {"assigned_to": other.pk})

    mail = OutgoingMail.objects.get()
    assert (mail.user_id, mail.subject) == (staff.user.pk, "Cosmo: unassigned: Linen")
    assert house.name in mail.text_body
    for text in (mail.text_body, mail.html_body):
        assert not [word for word in ("Secret", "Villa", "2030") if word in text]


def test_who_may_not_see_their_assigned_tasks_any_more_is_not_told(task, staff, manager, superuser):
    manager.patch(f"/api/users/{staff.user.pk}/", {"role": "viewer"})

    superuser.patch(f"/api/tasks/{task.pk}/", {"due_date": "2030-01-02T12:00:00Z"})

    assert told() == names((manager, "due_date_changed"))


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": "staff"}, {"role": "viewer"}])
def test_who_is_inactive_or_sees_the_task_no_more_is_not_told(task, staff, manager, superuser, change):
    superuser.patch(f"/api/users/{manager.user.pk}/", change)

    staff.post(f"/api/tasks/{task.pk}/status/", {"status": "in_progress"})

    assert told() == set()


def test_nobody_is_told_of_a_change_that_did_not_happen(task, staff):
    answer = staff.post(f"/api/tasks/{task.pk}/status/", {"status": "completed"})

    assert answer.status_code == 409
    assert told() == set()


def test_overdue_is_told_once_a_task(task, staff, manager, viewer, capsys, logs):
    task.due_date = NOW - timedelta(minutes=1)
    task.save()
    old = factories.task(property=task.property, assigned_to=staff.user, due_date=NOW - timedelta(days=8))
    factories.task(property=task.property, assigned_to=staff.user, due_date=NOW + timedelta(minutes=1))
    with time_machine.travel(NOW):
        call_command("notify_overdue")
        call_command("notify_overdue")

    assert capsys.readouterr().out == "1 tasks became overdue.\n0 tasks became overdue.\n"
    assert told() == names((staff, "overdue"), (manager, "overdue"), (viewer, "overdue"))
    assert not old.notifications.exists()
    assert logs.entry("info", event="overdue_notified")["tasks"] == 1


def test_a_task_of_nobody_keeps_no_other_from_being_told(house, staff, monkeypatch):
    monkeypatch.setattr("api.notifications.services.BATCH", 2)
    quiet = factories.user(role="manager", is_active=False)
    lonely = factories.property_(created_by=quiet)
    with time_machine.travel(NOW):
        for _ in range(5):
            factories.task(property=lonely, due_date=NOW - timedelta(hours=1), created_by=quiet)
        factories.task(property=lonely, due_date=NOW - timedelta(hours=1), created_by=quiet, assigned_to=staff.user)
        call_command("notify_overdue")

    assert told() == names((staff, "overdue"))


def test_they_are_listed_counted_and_read(task, staff, manager):
    notes = [factories.notification(task, staff.user) for _ in range(3)]
    factories.notification(task, manager.user)

    listed = staff.get("/api/notifications/").json()
    assert [row["id"] for row in listed["results"]] == [note.pk for note in reversed(notes)]
    assert staff.get("/api/notifications/unread-count/").json() == {"unread_count": 3}

    read = staff.post(f"/api/notifications/{notes[0].pk}/read/")
    assert read.json()["read_at"] is not None
    again = staff.post(f"/api/notifications/{notes[0].pk}/read/")
    assert again.json()["read_at"] == read.json()["read_at"]
    assert staff.get("/api/notifications/?unread=true").json()["count"] == 2
    assert staff.get("/api/notifications/?unread=false").json()["count"] == 1

    assert staff.post("/api/notifications/read-all/").json() == {"unread_count": 0}
    assert manager.get("/api/notifications/unread-count/").json() == {"unread_count": 1}


def test_the_notifications_of_others_do_not_exist(task, staff, manager):
    note = factories.notification(task, manager.user)

    assert staff.post(f"/api/notifications/{note.pk}/read/").status_code == 404
    note.refresh_from_db()
    assert note.read_at is None


def test_only_urgent_tasks_send_a_mail(house, staff, manager):
    for priority in ("high", "urgent"):
        body = factories.task_body(property=house.pk, assigned_to=staff.user.pk, priority=priority, title=priority)
        manager.post("/api/tasks/", body)

    mail = OutgoingMail.objects.get()
    assert (mail.kind, mail.recipient, mail.subject) == ("notification", staff.user.email, "Cosmo: assigned: urgent")
    assert "This urgent task is yours now." in mail.text_body
    assert house.name in mail.html_body


def test_a_mail_is_hostile_text_safe(house, staff, manager):
    title = "<img src=x onerror=alert(1)>\r\nBcc: all@example.com".replace("\r\n", " ")
    body = factories.task_body(property=house.pk, assigned_to=staff.user.pk, priority="urgent", title=title)

    manager.post("/api/tasks/", body)

    mail = OutgoingMail.objects.get()
    assert "<img" not in mail.html_body
    assert "<img src=x" in mail.text_body


def test_mails_stop_by_the_profile_or_with_one_click_in_the_mail(house, staff, manager, settings):
    body = factories.task_body(property=house.pk, assigned_to=staff.user.pk, priority="urgent")
    manager.post("/api/tasks/", body)
    url = OutgoingMail.objects.get().headers["List-Unsubscribe"].strip("<>")
    page = Client(enforce_csrf_checks=True).post(url.removeprefix(settings.PUBLIC_BASE_URL))
    assert "Unsubscribed from emails about urgent tasks" in page.content.decode()

    manager.post("/api/tasks/", body)
    assert OutgoingMail.objects.count() == 1
    assert staff.get("/api/auth/me/").json()["notification_opt_out"] is True
    assert staff.get("/api/auth/me/").json()["digest_opt_out"] is False

    staff.patch("/api/auth/me/", {"notification_opt_out": False})
    manager.post("/api/tasks/", body)
    assert OutgoingMail.objects.count() == 2
    assert Notification.objects.count() == 3
