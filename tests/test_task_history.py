"""The history of a task, and audit events of changes and denials. test_audit.py tests the trail itself."""

from datetime import UTC, datetime

import pytest
import time_machine

from api.audit.models import AuditEntry
from api.models import IdempotencyKey, Property, User
from tests import factories
from tests.conftest import sign_in_again


def history(client, task) -> list[dict]:
    response = client.get(f"/api/tasks/{task.pk}/history/")
    assert response.status_code == 200, response.content
    return response.json()["results"]


def denials() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event="permission_denied"))


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [
        ("title", "Old", "New"),
        ("description", "Once", "Twice"),
        ("task_type", "cleaning", "laundry"),
        ("priority", "low", "urgent"),
        ("priority", "medium", "high"),
        ("due_date", "2030-05-31T15:00:00Z", "2030-06-01T15:00:00Z"),
    ],
)
def test_history_shows_values_as_in_the_api(manager, field, old, new):
    body = factories.task_body(property=factories.property_().pk) | {field: old}
    path = f"/api/tasks/{manager.post('/api/tasks/', body).json()['id']}/"

    manager.patch(path, {field: new})

    updated, created = manager.get(f"{path}history/").json()["results"]
    assert (updated["event"], updated["changes"]) == ("task_updated", {field: [old, new]})
    assert (created["event"], created["changes"][field]) == ("task_created", [None, old])


def test_history_names_related_objects(manager, staff):
    old, new, other = factories.property_(name="Loft"), factories.property_(name="Villa"), factories.task()
    task = factories.task(property=old, assigned_to=staff.user)

    manager.patch(f"/api/tasks/{task.pk}/", {"property": new.pk, "assigned_to": None, "depends_on": [other.pk]})

    assert history(manager, task)[0]["changes"] == {
        "property": [old.pk, new.pk],
        "property_name": ["Loft", "Villa"],
        "assigned_to": [staff.user.pk, None],
        "assigned_to_name": [staff.user.display_name, None],
        "depends_on": [[], [other.pk]],
    }


def test_history_shows_times_of_status_transitions(manager):
    task = factories.task()

    for hour, status in enumerate(["in_progress", "completed", "pending"], start=1):
        with time_machine.travel(datetime(2026, 5, 31, hour, tzinfo=UTC), tick=False):
            sign_in_again(manager)
            manager.post(f"/api/tasks/{task.pk}/status/", {"status": status})

    one, two = "2026-05-31T01:00:00Z", "2026-05-31T02:00:00Z"
    sign_in_again(manager)
    assert [(entry["at"][:20], entry["event"], entry["changes"]) for entry in history(manager, task)] == [
        (
            "2026-05-31T03:00:00Z",
            "task_status_changed",
            {"status": ["completed", "pending"], "started_at": [one, None], "completed_at": [two, None]},
        ),
        (two, "task_completed", {"status": ["in_progress", "completed"], "completed_at": [None, two]}),
        (one, "task_status_changed", {"status": ["pending", "in_progress"], "started_at": [None, one]}),
    ]


def test_claim_is_recorded_as_assignment_to_self(staff):
    task = factories.task()

    staff.post(f"/api/tasks/{task.pk}/claim/")

    (entry,) = history(staff, task)
    assert (entry["event"], entry["actor"]) == ("task_assigned", staff.user.pk)
    assert entry["changes"]["assigned_to"] == [None, staff.user.pk]


def test_history_is_paginated_newest_first(manager):
    task = factories.task()
    for title in ("one", "two", "three"):
        manager.patch(f"/api/tasks/{task.pk}/", {"title": title})
    path = f"/api/tasks/{task.pk}/history/"

    first = manager.get(f"{path}?page_size=2").json()
    second = manager.get(first["next"]).json()

    assert (first["count"], second["next"]) == (3, None)
    titles = [entry["changes"]["title"][1] for entry in first["results"] + second["results"]]
    assert titles == ["three", "two", "one"]
    rejected = manager.get(f"{path}?ordering=id")
    assert (rejected.status_code, rejected.json()["errors"][0]["field"]) == (400, "ordering")


def test_history_excludes_other_objects_and_denials(manager, staff):
    task, other = factories.task(assigned_to=staff.user), factories.task()
    # A property with the same id as the task.
    property_ = Property.objects.filter(pk=task.pk).first() or factories.property_(pk=task.pk)
    for path in (f"/api/properties/{property_.pk}/", f"/api/users/{staff.user.pk}/", f"/api/tasks/{other.pk}/"):
        assert manager.delete(path).status_code == 204
    manager.patch(f"/api/users/{staff.user.pk}/", {"is_active": True})
    staff.user.refresh_from_db()
    sign_in_again(staff)
    assert staff.delete(f"/api/tasks/{task.pk}/").status_code in {403, 404}

    manager.post(f"/api/properties/{property_.pk}/restore/")

    assert history(manager, task) == []


def test_history_contains_no_ip_address_or_user_agent(manager):
    task = factories.task()
    manager.patch(
        f"/api/tasks/{task.pk}/", {"title": "New"}, REMOTE_ADDR="192.0.2.7", headers={"User-Agent": "Curious/1.0"}
    )

    response = manager.get(f"/api/tasks/{task.pk}/history/")

    entry = AuditEntry.objects.get()
    assert (entry.ip_address, entry.user_agent) == ("192.0.2.7", "Curious/1.0")
    assert response.json()["count"] == 1
    assert b"192.0.2.7" not in response.content
    assert b"Curious" not in response.content


def test_history_of_invisible_task_is_not_found(manager, staff, viewer, client):
    task = factories.task(assigned_to=staff.user)
    path = f"/api/tasks/{task.pk}/history/"

    assert [reader.get(path).status_code for reader in (manager, staff, viewer, client)] == [200, 200, 404, 401]
    manager.delete(f"/api/tasks/{task.pk}/")
    assert [reader.get(path).status_code for reader in (manager, staff)] == [404, 404]
    manager.post(f"/api/tasks/{task.pk}/restore/")
    assert [entry["event"] for entry in history(staff, task)] == ["task_restored", "task_deleted"]
    assert denials() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "action"),
    [
        ("post", "/api/tasks/", {}, "tasks.create"),
        ("patch", "/api/tasks/{task}/", {"title": "New"}, "tasks.edit"),
        ("delete", "/api/tasks/{task}/", None, "tasks.delete"),
        ("post", "/api/tasks/{task}/restore/", {}, "tasks.restore"),
        ("post", "/api/tasks/{task}/assign/", {"assigned_to": None}, "tasks.assign"),
        ("post", "/api/tasks/{task}/status/", {"status": "canceled"}, "tasks.cancel"),
        ("get", "/api/tasks/?deleted=true", None, "tasks.view_deleted"),
        ("post", "/api/properties/", {}, "properties.create"),
        ("patch", "/api/properties/{property}/", {"name": "New"}, "properties.edit"),
    ],
)
def test_denial_is_audited_with_its_action(manager, staff, method, path, body, action):
    task = factories.task(assigned_to=staff.user)
    path = path.format(task=task.pk, property=task.property_id)
    before = type(task).objects.values().get()

    response = getattr(staff, method)(path, body)

    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    (entry,) = denials()
    assert (entry.detail, entry.actor_id, entry.actor_label) == (
        action,
        staff.user.pk,
        f"{staff.user.username} (staff)",
    )
    assert (entry.request_id, entry.ip_address) == (response.headers["X-Request-ID"], "127.0.0.1")
    assert AuditEntry.objects.count() == 1
    assert type(task).objects.values().get() == before
    assert getattr(manager, method)(path, body).status_code != 403
    assert len(denials()) == 1


def test_denial_is_audited_after_rollback(manager):
    body = {"username": "boss", "email": "boss@example.com", "role": "manager"}

    response = manager.post("/api/users/", body, headers={"Idempotency-Key": "make-a-boss"})

    assert response.status_code == 403
    assert not User.objects.filter(username="boss").exists()
    assert not IdempotencyKey.objects.exists()
    assert [(entry.detail, entry.actor_id) for entry in denials()] == [("users.create as manager", manager.user.pk)]


def test_failed_change_writes_no_entry(manager):
    taken, property_, disabled = (
        factories.property_(name="Taken"),
        factories.property_(),
        factories.user(is_active=False),
    )
    path = f"/api/properties/{property_.pk}/"

    assert manager.patch(path, {"address": "New", "name": taken.name}).status_code == 400
    assert manager.patch(path, {"address": "New", "owners": [disabled.pk]}).status_code == 400
    assert not AuditEntry.objects.exists()
    assert manager.patch(path, {"address": "New"}).status_code == 200
    assert AuditEntry.objects.get().changes == {"address": ["1 Main Street", "New"]}
