"""The task endpoints: create, change, assign, claim, delete and restore."""

from datetime import UTC, datetime

import pytest

from api.common.errors import Invalid
from api.models import Task
from api.tasks.services import assign_task
from tests import factories

READ_ONLY = ["id", "status", "started_at", "completed_at", "created_by", "modified_by", "created_at", "modified_at"]
DERIVED = ["depends_on_name", "property_name", "assigned_to_name", "created_by_name", "is_overdue"]


def fields_of(response) -> set[str]:
    return {error["field"] for error in response.json()["errors"]}


def test_manager_creates_task(manager):
    property_ = factories.property_(name="Harbour Loft")
    cleaner = factories.user(role="staff", first_name="Carla", last_name="Mendes")
    body = factories.task_body(property=property_.pk, assigned_to=cleaner.pk, priority="urgent", description="Twice.")

    response = manager.post("/api/tasks/", body)

    assert response.status_code == 201
    task = response.json()
    assert response.headers["Location"] == f"/api/tasks/{task['id']}/"
    assert body.items() <= task.items()
    assert task["status"] == "pending"
    assert task["property_name"] == "Harbour Loft"
    assert task["assigned_to_name"] == "Carla Mendes"
    assert task["created_by"] == task["modified_by"] == manager.user.pk
    assert task["created_by_name"] == manager.user.username
    assert task["depends_on"] == []
    assert manager.get(response.headers["Location"]).json() == task


def test_omitted_field_has_default(manager):
    task = manager.post("/api/tasks/", factories.task_body(property=factories.property_().pk)).json()

    assert (task["priority"], task["description"], task["assigned_to"]) == ("medium", "", None)
    assert (task["started_at"], task["completed_at"]) == (None, None)


@pytest.mark.parametrize("field", ["title", "task_type", "property", "due_date"])
def test_missing_required_field_is_rejected_by_name(manager, field):
    body = factories.task_body(property=factories.property_().pk)
    del body[field]

    response = manager.post("/api/tasks/", body)

    assert response.status_code == 400
    assert fields_of(response) == {field}
    assert not Task.objects.exists()


@pytest.mark.parametrize("field", [*READ_ONLY, *DERIVED, "no_such_field", "deleted_at", "version"])
def test_unknown_or_read_only_field_is_rejected_by_name(manager, field):
    task = factories.task()
    body = factories.task_body(property=task.property_id)

    created = manager.post("/api/tasks/", body | {field: "x"})
    changed = manager.patch(f"/api/tasks/{task.pk}/", {"title": "New", field: "x"})

    assert (created.status_code, changed.status_code) == (400, 400)
    assert fields_of(created) == fields_of(changed) == {field}
    assert Task.objects.get().title == task.title


def test_patch_changes_only_named_fields_and_modified_by(manager):
    task = factories.task(title="Old", description="Kept")
    before = manager.get(f"/api/tasks/{task.pk}/").json()

    after = manager.patch(f"/api/tasks/{task.pk}/", {"title": "New", "priority": "low"}).json()

    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"title", "priority", "modified_by", "modified_by_name", "modified_at"}
    assert after["modified_by"] == manager.user.pk


def test_deleted_task_is_hidden_until_restored(manager, staff):
    task = factories.task(assigned_to=staff.user)
    path = f"/api/tasks/{task.pk}/"

    assert manager.delete(path).status_code == 204
    assert manager.get(path).status_code == staff.get(path).status_code == 404
    assert manager.get("/api/tasks/").json()["count"] == 0
    assert [row["id"] for row in manager.get("/api/tasks/?deleted=true").json()["results"]] == [task.pk]
    assert staff.get("/api/tasks/?deleted=true").status_code == 403

    restored = manager.post(f"{path}restore/")

    assert restored.status_code == 200
    assert manager.get(path).json() == restored.json()
    assert manager.post(f"{path}restore/").json()["code"] == "not_deleted"


def test_deleted_property_hides_its_tasks_until_restored(manager):
    task = factories.task()
    property_ = f"/api/properties/{task.property_id}/"

    manager.delete(property_)
    assert manager.get(f"/api/tasks/{task.pk}/").status_code == 404
    assert manager.get("/api/tasks/").json()["count"] == 0
    assert manager.get("/api/tasks/?deleted=true").json()["count"] == 0

    manager.post(f"{property_}restore/")
    assert manager.get(f"/api/tasks/{task.pk}/").status_code == 200


def test_task_of_deleted_property_is_rejected(manager):
    property_ = factories.property_(deleted_at=datetime.now(UTC))

    response = manager.post("/api/tasks/", factories.task_body(property=property_.pk))

    assert response.status_code == 400
    assert fields_of(response) == {"property"}


@pytest.mark.parametrize(
    ("user_values", "status"),
    [
        ({"role": "staff"}, 200),
        ({"role": "manager"}, 200),
        ({"role": "viewer"}, 400),
        ({"role": "staff", "is_active": False}, 400),
    ],
)
def test_task_is_assignable_to_active_staff_and_managers(manager, user_values, status):
    task = factories.task()
    user = factories.user(**user_values)

    assigned = manager.post(f"/api/tasks/{task.pk}/assign/", {"assigned_to": user.pk})
    patched = manager.patch(f"/api/tasks/{task.pk}/", {"assigned_to": user.pk})

    assert (assigned.status_code, patched.status_code) == (status, status)
    task.refresh_from_db()
    assert task.assigned_to == (user if status == 200 else None)
    if status == 400:
        assert fields_of(assigned) == {"assigned_to"}


def test_manager_cannot_assign_invisible_user(manager, superuser):
    task = factories.task()
    body = {"assigned_to": superuser.user.pk}

    responses = [
        manager.post(f"/api/tasks/{task.pk}/assign/", body),
        manager.patch(f"/api/tasks/{task.pk}/", body),
        manager.post("/api/tasks/", factories.task_body(property=task.property_id) | body),
        manager.patch(f"/api/properties/{task.property_id}/", {"owners": [superuser.user.pk]}),
    ]

    assert [response.status_code for response in responses] == [400] * 4
    assert superuser.post(f"/api/tasks/{task.pk}/assign/", body).status_code == 200


def test_null_unassigns_task(manager, staff):
    task = factories.task(assigned_to=staff.user, task_type="maintenance")

    response = manager.post(f"/api/tasks/{task.pk}/assign/", {"assigned_to": None})

    assert response.json()["assigned_to"] is None
    assert staff.get(f"/api/tasks/{task.pk}/").status_code == 404


@pytest.mark.parametrize("status", ["completed", "canceled"])
def test_closed_task_cannot_be_assigned(manager, status):
    task = factories.task(status=status)
    user = factories.user(role="staff")

    responses = [
        manager.post(f"/api/tasks/{task.pk}/assign/", {"assigned_to": user.pk}),
        manager.patch(f"/api/tasks/{task.pk}/", {"assigned_to": user.pk}),
        manager.post(f"/api/tasks/{task.pk}/claim/"),
    ]

    assert [(response.status_code, response.json()["code"]) for response in responses] == [(409, "task_closed")] * 3


@pytest.mark.parametrize(
    ("department", "task_type", "status"),
    [
        ("cleaning", "cleaning", 200),
        ("maintenance", "maintenance", 200),
        ("laundry", "laundry", 200),
        ("lawn_pool", "lawn_pool", 200),
        ("general", "inspection", 200),
        ("general", "preparation", 200),
        ("general", "administration", 200),
        ("general", "other", 200),
        ("cleaning", "laundry", 404),
        ("general", "cleaning", 404),
        ("maintenance", "other", 404),
    ],
)
def test_staff_claim_open_tasks_of_own_department(staff, department, task_type, status):
    type(staff.user).objects.filter(pk=staff.user.pk).update(department=department)
    task = factories.task(task_type=task_type)

    assert staff.post(f"/api/tasks/{task.pk}/claim/").status_code == status
    task.refresh_from_db()
    assert (task.assigned_to == staff.user) == (status == 200)


def test_assigned_task_cannot_be_claimed(manager, staff):
    task = factories.task(assigned_to=factories.user(role="staff", first_name="Carla"))

    response = manager.post(f"/api/tasks/{task.pk}/claim/")

    assert response.status_code == 409
    assert "Carla" in response.json()["detail"]
    assert staff.post(f"/api/tasks/{task.pk}/claim/").status_code == 404


@pytest.fixture
def hidden_ids(db) -> dict[str, int]:
    """Return ids that a manager must not be able to tell apart."""
    return {
        "unknown": 999_999,
        "superuser": factories.user(role="superuser").pk,
        "disabled superuser": factories.user(role="superuser", is_active=False).pk,
    }


@pytest.mark.parametrize("state", ["pending", "completed"])
@pytest.mark.parametrize("kind", ["unknown", "superuser", "disabled superuser"])
@pytest.mark.parametrize(
    "request_kind", ["create", "create with errors", "edit", "edit with errors", "edit stale", "assign"]
)
def test_invisible_assignee_gets_same_error_as_unknown_id(manager, hidden_ids, request_kind, kind, state):
    task = factories.task(status=state)
    path, pk = f"/api/tasks/{task.pk}/", hidden_ids[kind]
    invalid_body = {"assigned_to": pk, "title": "", "property": 999_999}
    response = {
        "create": lambda: manager.post("/api/tasks/", factories.task_body(property=task.property_id, assigned_to=pk)),
        "create with errors": lambda: manager.post("/api/tasks/", factories.task_body() | invalid_body),
        "edit": lambda: manager.patch(path, {"assigned_to": pk}),
        "edit with errors": lambda: manager.patch(path, invalid_body),
        "edit stale": lambda: manager.patch(path, {"assigned_to": pk}, headers={"If-Match": '"999"'}),
        "assign": lambda: manager.post(f"{path}assign/", {"assigned_to": pk}),
    }[request_kind]()

    assert response.status_code == 400
    errors = {error["field"]: error for error in response.json()["errors"]}
    assert errors["assigned_to"] == {
        "field": "assigned_to",
        "code": "does_not_exist",
        "detail": f"There is no user with id {pk} that you can assign.",
    }
    assert errors.keys() == ({"assigned_to", "title", "property"} if "errors" in request_kind else {"assigned_to"})
    if "errors" in request_kind:
        assert errors["property"]["detail"] == "There is no property with id 999999 that you can choose."


def test_invisible_current_assignee_can_stay(manager, superuser):
    task = factories.task(assigned_to=superuser.user)
    path = f"/api/tasks/{task.pk}/"

    assert manager.patch(path, {"assigned_to": superuser.user.pk, "title": "New"}).status_code == 200
    assert manager.post(f"{path}assign/", {"assigned_to": superuser.user.pk}).status_code == 200
    assert manager.post(f"{path}assign/", {"assigned_to": None}).status_code == 200
    assert manager.post(f"{path}assign/", {"assigned_to": superuser.user.pk}).status_code == 400


def test_service_rejects_invisible_assignee(manager, superuser):
    task = factories.task(status="completed")

    with pytest.raises(Invalid) as error:
        assign_task(actor=manager.user, task_id=task.pk, assigned_to=superuser.user)

    assert error.value.code == "does_not_exist"


def test_invisible_owner_gets_same_error_as_unknown_id(manager, hidden_ids):
    property_ = factories.property_()
    path = f"/api/properties/{property_.pk}/"

    responses = [manager.patch(path, {"owners": [pk]}).json()["errors"] for pk in hidden_ids.values()]

    assert [
        errors[0]["detail"].replace(str(pk), "ID") for errors, pk in zip(responses, hidden_ids.values(), strict=True)
    ] == ["There is no active user with id ID."] * 3
    assert {errors[0]["code"] for errors in responses} == {"does_not_exist"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/users/{pk}/"),
        ("patch", "/api/users/{pk}/"),
        ("delete", "/api/users/{pk}/"),
        ("post", "/api/users/{pk}/password-reset/"),
        ("get", "/api/tasks/?assigned_to={pk}"),
        ("get", "/api/tasks/?created_by={pk}"),
        ("get", "/api/tasks/summary/?assigned_to={pk}"),
        ("get", "/api/properties/?owner={pk}"),
    ],
)
def test_invisible_user_gets_same_response_as_unknown_id(manager, hidden_ids, method, path):
    responses = [getattr(manager, method)(path.format(pk=pk)) for pk in hidden_ids.values()]

    bodies = [{key: value for key, value in response.json().items() if key != "request_id"} for response in responses]
    assert len({response.status_code for response in responses}) == 1
    assert bodies[0] == bodies[1] == bodies[2]
