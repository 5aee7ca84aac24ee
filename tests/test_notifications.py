"""Notifications about tasks, and emails about urgent ones."""

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
def rental(db, viewer, manager):
    return factories.property_(owners=(viewer.user,), created_by=manager.user)


@pytest.fixture
def task(rental, staff, manager):
    """A task created by the manager, assigned to the staff user, at a property of the viewer."""
    return factories.task(title="Linen", property=rental, created_by=manager.user, assigned_to=staff.user)


def notified() -> set[tuple[str, str]]:
    """Return {(username, kind)} of all notifications."""
    return set(Notification.objects.values_list("recipient__username", "kind"))


def expected(*pairs) -> set[tuple[str, str]]:
    return {(client.user.username, kind) for client, kind in pairs}


def test_reassignment_notifies_new_and_former_assignee(task, staff, superuser):
    other = client_of(factories.user(role="staff"))

    superuser.post(f"/api/tasks/{task.pk}/assign/", {"assigned_to": other.user.pk})

    assert notified() == expected((staff, "unassigned"), (other, "assigned"))


def test_new_task_notifies_assignee(rental, staff, manager):
    body = factories.task_body(property=rental.pk, assigned_to=staff.user.pk)

    manager.post("/api/tasks/", body)

    assert notified() == expected((staff, "assigned"))


def test_actor_is_not_notified(rental, staff, manager):
    unassigned_task = factories.task(property=rental, created_by=manager.user)

    staff.post(f"/api/tasks/{unassigned_task.pk}/claim/", {})
    assert notified() == set()
    staff.post(f"/api/tasks/{unassigned_task.pk}/status/", {"status": "in_progress"})

    assert notified() == expected((manager, "status_changed"))


def test_completion_notifies_property_owner(task, staff, manager, viewer):
    for status in ("in_progress", "completed"):
        staff.post(f"/api/tasks/{task.pk}/status/", {"status": status})

    assert notified() == expected((manager, "status_changed"), (manager, "completed"), (viewer, "completed"))


def test_due_date_change_notifies_with_old_and_new_value(task, staff, superuser, manager):
    superuser.patch(f"/api/tasks/{task.pk}/", {"due_date": "2030-01-02T12:00:00Z"})

    assert notified() == expected((staff, "due_date_changed"), (manager, "due_date_changed"))
    notification = staff.get("/api/notifications/").json()["results"][0]
    assert notification["changes"]["due_date"][1] == "2030-01-02T12:00:00Z"
    assert (notification["task"], notification["task_name"], notification["actor"]) == (
        task.pk,
        "Linen",
        superuser.user.pk,
    )


def test_minor_changes_notify_no_one(task, superuser):
    superuser.patch(f"/api/tasks/{task.pk}/", {"title": "Towels", "priority": "high"})
    superuser.delete(f"/api/tasks/{task.pk}/")

    assert notified() == set()


def test_combined_change_sends_one_notification_per_user(task, staff, superuser, manager):
    other = client_of(factories.user(role="staff"))
    body = {"assigned_to": other.user.pk, "due_date": "2030-01-02T12:00:00Z"}

    superuser.patch(f"/api/tasks/{task.pk}/", body)

    assert notified() == expected((staff, "unassigned"), (other, "assigned"), (manager, "due_date_changed"))


def test_notification_contains_only_values_visible_to_recipient(task, staff, superuser, manager):
    other, villa = client_of(factories.user(role="staff")), factories.property_(name="Villa")
    body = {"assigned_to": other.user.pk, "due_date": "2030-01-02T12:00:00Z", "title": "Secret", "property": villa.pk}
    due = task.due_date.isoformat().replace("+00:00", "Z")

    superuser.patch(f"/api/tasks/{task.pk}/", body)

    fields = ["assigned_to", "assigned_to_name", "due_date"]
    old, new = [staff.user.pk, str(staff.user), due], [other.user.pk, str(other.user), body["due_date"]]
    hidden_values = [None] * 3
    for client, title, before, after in (
        (staff, "Linen", old, hidden_values),
        (other, "Secret", hidden_values, new),
        (manager, "Secret", old, new),
    ):
        (row,) = client.get("/api/notifications/").json()["results"]
        assert row["task_name"] == title
        assert row["changes"] == dict(zip(fields, map(list, zip(before, after, strict=True)), strict=True))


def test_email_about_unassigned_task_contains_former_values(rental, staff, manager, superuser):
    task = factories.task(title="Linen", property=rental, assigned_to=staff.user, priority=4, created_by=manager.user)
    villa, other = factories.property_(name="Villa"), factories.user(role="staff")
    body = {"title": "Secret", "property": villa.pk, "due_date": "2030-01-02T12:00:00Z", "priority": "low"}

    superuser.patch(f"/api/tasks/{task.pk}/", body | {"assigned_to": other.pk})

    mail = OutgoingMail.objects.get()
    assert (mail.user_id, mail.subject) == (staff.user.pk, "Cosmo: unassigned: Linen")
    assert rental.name in mail.text_body
    for text in (mail.text_body, mail.html_body):
        assert not [word for word in ("Secret", "Villa", "2030") if word in text]


def test_assignee_who_can_no_longer_see_task_is_not_notified(task, staff, manager, superuser):
    manager.patch(f"/api/users/{staff.user.pk}/", {"role": "viewer"})

    superuser.patch(f"/api/tasks/{task.pk}/", {"due_date": "2030-01-02T12:00:00Z"})

    assert notified() == expected((manager, "due_date_changed"))


@pytest.mark.parametrize("change", [{"is_active": False}, {"role": "staff"}, {"role": "viewer"}])
def test_inactive_or_demoted_creator_is_not_notified(task, staff, manager, superuser, change):
    superuser.patch(f"/api/users/{manager.user.pk}/", change)

    staff.post(f"/api/tasks/{task.pk}/status/", {"status": "in_progress"})

    assert notified() == set()


def test_rejected_change_notifies_no_one(task, staff):
    response = staff.post(f"/api/tasks/{task.pk}/status/", {"status": "completed"})

    assert response.status_code == 409
    assert notified() == set()


def test_overdue_task_notifies_once(task, staff, manager, viewer, capsys, logs):
    task.due_date = NOW - timedelta(minutes=1)
    task.save()
    old = factories.task(property=task.property, assigned_to=staff.user, due_date=NOW - timedelta(days=8))
    factories.task(property=task.property, assigned_to=staff.user, due_date=NOW + timedelta(minutes=1))
    with time_machine.travel(NOW):
        call_command("notify_overdue")
        call_command("notify_overdue")

    assert capsys.readouterr().out == "1 tasks became overdue.\n0 tasks became overdue.\n"
    assert notified() == expected((staff, "overdue"), (manager, "overdue"), (viewer, "overdue"))
    assert not old.notifications.exists()
    assert logs.entry("info", event="overdue_notified")["tasks"] == 1


def test_overdue_tasks_without_recipients_do_not_block_others(rental, staff, monkeypatch):
    monkeypatch.setattr("api.notifications.services.BATCH", 2)
    inactive_manager = factories.user(role="manager", is_active=False)
    quiet_property = factories.property_(created_by=inactive_manager)
    with time_machine.travel(NOW):
        for _ in range(5):
            factories.task(property=quiet_property, due_date=NOW - timedelta(hours=1), created_by=inactive_manager)
        factories.task(
            property=quiet_property,
            due_date=NOW - timedelta(hours=1),
            created_by=inactive_manager,
            assigned_to=staff.user,
        )
        call_command("notify_overdue")

    assert notified() == expected((staff, "overdue"))


def test_notifications_are_listed_counted_and_marked_read(task, staff, manager):
    notifications = [factories.notification(task, staff.user) for _ in range(3)]
    factories.notification(task, manager.user)

    page = staff.get("/api/notifications/").json()
    assert [row["id"] for row in page["results"]] == [notification.pk for notification in reversed(notifications)]
    assert staff.get("/api/notifications/unread-count/").json() == {"unread_count": 3}

    first_reading = staff.post(f"/api/notifications/{notifications[0].pk}/read/")
    assert first_reading.json()["read_at"] is not None
    second_reading = staff.post(f"/api/notifications/{notifications[0].pk}/read/")
    assert second_reading.json()["read_at"] == first_reading.json()["read_at"]
    assert staff.get("/api/notifications/?unread=true").json()["count"] == 2
    assert staff.get("/api/notifications/?unread=false").json()["count"] == 1

    assert staff.post("/api/notifications/read-all/").json() == {"unread_count": 0}
    assert manager.get("/api/notifications/unread-count/").json() == {"unread_count": 1}


def test_notification_of_other_user_is_not_found(task, staff, manager):
    notification = factories.notification(task, manager.user)

    assert staff.post(f"/api/notifications/{notification.pk}/read/").status_code == 404
    notification.refresh_from_db()
    assert notification.read_at is None


def test_only_urgent_task_sends_email(rental, staff, manager):
    for priority in ("high", "urgent"):
        body = factories.task_body(property=rental.pk, assigned_to=staff.user.pk, priority=priority, title=priority)
        manager.post("/api/tasks/", body)

    mail = OutgoingMail.objects.get()
    assert (mail.kind, mail.recipient, mail.subject) == ("notification", staff.user.email, "Cosmo: assigned: urgent")
    assert "This urgent task is now assigned to you." in mail.text_body
    assert rental.name in mail.html_body


def test_email_escapes_hostile_text(rental, staff, manager):
    title = "<img src=x onerror=alert(1)>\r\nBcc: all@example.com".replace("\r\n", " ")
    body = factories.task_body(property=rental.pk, assigned_to=staff.user.pk, priority="urgent", title=title)

    manager.post("/api/tasks/", body)

    mail = OutgoingMail.objects.get()
    assert "<img" not in mail.html_body
    assert "<img src=x" in mail.text_body


def test_emails_stop_by_profile_or_one_click_unsubscribe(rental, staff, manager, settings):
    body = factories.task_body(property=rental.pk, assigned_to=staff.user.pk, priority="urgent")
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
