"""The audit trail: content, visibility and append-only rows."""

import pytest
from django.db import transaction

from api.audit.models import AppendOnlyError, AuditEntry
from api.tasks.services import create_task
from tests import factories


def history(client, task_id) -> list[dict]:
    response = client.get(f"/api/tasks/{task_id}/history/")
    assert response.status_code == 200, response.content
    return response.json()["results"]


def test_history_shows_actor_and_old_and_new_values(manager, staff):
    body = factories.task_body(property=factories.property_(name="Loft").pk, title="Clean")
    task_id = manager.post("/api/tasks/", body).json()["id"]
    path = f"/api/tasks/{task_id}/"
    manager.patch(path, {"priority": "urgent", "title": "Clean all"})
    manager.post(f"{path}assign/", {"assigned_to": staff.user.pk})
    staff.post(f"{path}status/", {"status": "in_progress"})
    staff.post(f"{path}status/", {"status": "completed"})
    manager.delete(path)
    manager.post(f"{path}restore/")

    entries = history(manager, task_id)

    assert [entry["event"] for entry in reversed(entries)] == [
        "task_created",
        "task_updated",
        "task_assigned",
        "task_status_changed",
        "task_completed",
        "task_deleted",
        "task_restored",
    ]
    by_event = {entry["event"]: entry for entry in entries}
    assert by_event["task_created"]["changes"]["title"] == [None, "Clean"]
    assert by_event["task_created"]["changes"]["property_name"] == [None, "Loft"]
    assert by_event["task_updated"]["changes"] == {"priority": ["medium", "urgent"], "title": ["Clean", "Clean all"]}
    assert by_event["task_assigned"]["changes"] == {
        "assigned_to": [None, staff.user.pk],
        "assigned_to_name": [None, staff.user.display_name],
    }
    completed = by_event["task_completed"]
    assert completed["changes"]["status"] == ["in_progress", "completed"]
    assert completed["actor"] == staff.user.pk
    assert completed["actor_name"] == f"{staff.user.username} (staff)"
    assert set(completed) == {"id", "event", "actor", "actor_name", "changes", "at"}


def test_unchanged_update_writes_no_entry(manager):
    task = factories.task(title="Same")

    manager.patch(f"/api/tasks/{task.pk}/", {"title": "Same"})

    assert history(manager, task.pk) == []


def test_entry_keeps_former_name_of_renamed_actor(manager, superuser):
    task = factories.task()
    manager.patch(f"/api/tasks/{task.pk}/", {"title": "New"})
    old = f"{manager.user.username} (manager)"

    superuser.patch(f"/api/users/{manager.user.pk}/", {"username": "renamed", "role": "staff"})

    assert history(superuser, task.pk)[0]["actor_name"] == old


def test_history_is_visible_with_its_task(manager, staff, viewer):
    task = factories.task(property=factories.property_(owners=(viewer.user,)), assigned_to=staff.user)
    manager.patch(f"/api/tasks/{task.pk}/", {"title": "New"})
    factories.task()

    assert history(staff, task.pk) == history(viewer, task.pk)
    (visible_entry,), (entry,) = history(staff, task.pk), history(manager, task.pk)
    assert visible_entry == entry | {"actor_name": manager.user.display_name}
    assert entry["actor_name"] == f"{manager.user.username} (manager)"
    manager.post(f"/api/tasks/{task.pk}/assign/", {"assigned_to": manager.user.pk})
    assert staff.get(f"/api/tasks/{task.pk}/history/").status_code == 404


def test_denial_records_actor_action_and_client(staff):
    task = factories.task(assigned_to=staff.user, title="Old")

    response = staff.patch(
        f"/api/tasks/{task.pk}/",
        {"title": "New"},
        REMOTE_ADDR="192.0.2.7",
        headers={"User-Agent": "Curious/1.0", "X-Request-ID": "trace-me-12345"},
    )

    assert response.status_code == 403
    entry = AuditEntry.objects.get(event="permission_denied")
    assert (entry.actor_id, entry.object_type, entry.object_id) == (staff.user.pk, "task", task.pk)
    assert (entry.detail, entry.ip_address, entry.user_agent) == ("tasks.edit", "192.0.2.7", "Curious/1.0")
    assert entry.request_id == "trace-me-12345" == response.headers["X-Request-ID"]
    task.refresh_from_db()
    assert task.title == "Old"


@pytest.mark.parametrize(
    "tamper",
    [
        lambda entry: entry.save(),
        lambda entry: entry.save_base(raw=True),
        lambda entry: entry.delete(),
        lambda entry: AuditEntry.objects.update(actor_label="nobody"),
        lambda entry: AuditEntry.objects.filter(pk=entry.pk).delete(),
        lambda entry: AuditEntry.objects.all()._raw_delete("default"),
        lambda entry: AuditEntry.objects.bulk_update([entry], ["actor_label"]),
        lambda entry: AuditEntry.objects.bulk_create(
            [entry], update_conflicts=True, update_fields=["actor_label"], unique_fields=["id"]
        ),
        lambda entry: AuditEntry.objects.update_or_create(pk=entry.pk, defaults={"actor_label": "nobody"}),
        lambda entry: AuditEntry._base_manager.filter(pk=entry.pk).update(actor_label="nobody"),
    ],
)
def test_entry_rejects_changes_and_deletion(manager, tamper):
    manager.patch(f"/api/tasks/{factories.task().pk}/", {"title": "New"})
    entry = AuditEntry.objects.get()
    before = AuditEntry.objects.values().get()
    entry.actor_label = "nobody"

    with pytest.raises(AppendOnlyError):
        tamper(entry)

    assert AuditEntry.objects.values().get() == before


def test_entry_exists_only_if_its_change_is_committed(manager, caplog, django_capture_on_commit_callbacks):
    body = {"title": "Clean", "task_type": "cleaning", "due_date": factories.task().due_date}
    property_ = factories.property_()

    def create_and_fail():
        with transaction.atomic():
            create_task(actor=manager.user, property=property_, **body)
            raise RuntimeError

    with django_capture_on_commit_callbacks(execute=True), pytest.raises(RuntimeError):
        create_and_fail()

    assert not AuditEntry.objects.exists()
    assert "Task created successfully" not in caplog.text
    with django_capture_on_commit_callbacks(execute=True):
        create_task(actor=manager.user, property=property_, **body)
    assert AuditEntry.objects.count() == 1
    assert "Task created successfully" in caplog.text
