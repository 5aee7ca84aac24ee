"""/api/tasks/: making, changing, giving away, deleting and restoring."""

from datetime import UTC, datetime

import pytest

from api.common.errors import Invalid
from api.models import Task
from api.tasks.services import assign_task
from tests import factories

READ_ONLY = ["id", "status", "started_at", "completed_at", "created_by", "modified_by", "created_at", "modified_at"]
DERIVED = ["depends_on_name", "property_name", "assigned_to_name", "created_by_name", "is_overdue"]


def fields_of(answer) -> set[str]:
    return {error["field"] for error in answer.json()["errors"]}


def test_a_manager_creates_a_task(manager):
    house = factories.property_(name="Harbour Loft")
    cleaner = factories.user(role="staff", first_name="Carla", last_name="Mendes")
    body = factories.task_body(property=house.pk, assigned_to=cleaner.pk, priority="urgent", description="Twice.")

    answer = manager.post("/api/tasks/", body)

    assert answer.status_code == 201
    task = answer.json()
    assert answer.headers["Location"] == f"/api/tasks/{task['id']}/"
    assert body.items() <= task.items()
    assert task["status"] == "pending"
    assert task["property_name"] == "Harbour Loft"
    assert task["assigned_to_name"] == "Carla Mendes"
    assert task["created_by"] == task["modified_by"] == manager.user.pk
    assert task["created_by_name"] == manager.user.username
    assert task["depends_on"] == []
    assert manager.get(answer.headers["Location"]).json() == task


def test_what_is_left_out_has_its_default(manager):
    task = manager.post("/api/tasks/", factories.task_body(property=factories.property_().pk)).json()

    assert (task["priority"], task["description"], task["assigned_to"]) == ("medium", "", None)
    assert (task["started_at"], task["completed_at"]) == (None, None)


@pytest.mark.parametrize("field", ["title", "task_type", "property", "due_date"])
def test_a_required_field_that_is_missing_is_named(manager, field):
    body = factories.task_body(property=factories.property_().pk)
    del body[field]

    answer = manager.post("/api/tasks/", body)

    assert answer.status_code == 400
    assert fields_of(answer) == {field}
    assert not Task.objects.exists()


@pytest.mark.parametrize("field", [*READ_ONLY, *DERIVED, "no_such_field", "deleted_at", "version"])
def test_a_field_that_nobody_sets_is_named_and_nothing_is_written(manager, field):
    task = factories.task()
    body = factories.task_body(property=task.property_id)

    created = manager.post("/api/tasks/", body | {field: "x"})
    changed = manager.patch(f"/api/tasks/{task.pk}/", {"title": "New", field: "x"})

    assert (created.status_code, changed.status_code) == (400, 400)
    assert fields_of(created) == fields_of(changed) == {field}
    assert Task.objects.get().title == task.title


def test_a_patch_changes_what_it_names_and_who_did_it(manager):
    task = factories.task(title="Old", description="Kept")
    before = manager.get(f"/api/tasks/{task.pk}/").json()

    after = manager.patch(f"/api/tasks/{task.pk}/", {"title": "New", "priority": "low"}).json()

    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"title", "priority", "modified_by", "modified_by_name", "modified_at"}
    assert after["modified_by"] == manager.user.pk


def test_a_deleted_task_is_gone_until_it_is_restored(manager, staff):
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


def test_deleting_a_property_hides_its_tasks_and_restoring_shows_them(manager):
    task = factories.task()
    house = f"/api/properties/{task.property_id}/"

    manager.delete(house)
    assert manager.get(f"/api/tasks/{task.pk}/").status_code == 404
    assert manager.get("/api/tasks/").json()["count"] == 0
    assert manager.get("/api/tasks/?deleted=true").json()["count"] == 0

    manager.post(f"{house}restore/")
    assert manager.get(f"/api/tasks/{task.pk}/").status_code == 200


def test_a_task_for_a_deleted_property_is_refused(manager):
    house = factories.property_(deleted_at=datetime.now(UTC))

    answer = manager.post("/api/tasks/", factories.task_body(property=house.pk))

    assert answer.status_code == 400
    assert fields_of(answer) == {"property"}


@pytest.mark.parametrize(
    ("who", "status"),
    [
        ({"role": "staff"}, 200),
        ({"role": "manager"}, 200),
        ({"role": "viewer"}, 400),
        ({"role": "staff", "is_active": False}, 400),
    ],
)
def test_tasks_go_to_active_crew_and_managers(manager, who, status):
    task = factories.task()
    person = factories.user(**who)

    assigned = manager.post(f"/api/tasks/{task.pk}/assign/", {"assigned_to": person.pk})
    patched = manager.patch(f"/api/tasks/{task.pk}/", {"assigned_to": person.pk})

    assert (assigned.status_code, patched.status_code) == (status, status)
    task.refresh_from_db()
    assert task.assigned_to == (person if status == 200 else None)
    if status == 400:
        assert fields_of(assigned) == {"assigned_to"}


def test_nobody_is_named_whom_one_does_not_see(manager, superuser):
    task = factories.task()
    body = {"assigned_to": superuser.user.pk}

    answers = [
        manager.post(f"/api/tasks/{task.pk}/assign/", body),
        manager.patch(f"/api/tasks/{task.pk}/", body),
        manager.post("/api/tasks/", factories.task_body(property=task.property_id) | body),
        manager.patch(f"/api/properties/{task.property_id}/", {"owners": [superuser.user.pk]}),
    ]

    assert [answer.status_code for answer in answers] == [400] * 4
    assert superuser.post(f"/api/tasks/{task.pk}/assign/", body).status_code == 200


def test_null_takes_a_task_from_somebody(manager, staff):
    task = factories.task(assigned_to=staff.user, task_type="maintenance")

    answer = manager.post(f"/api/tasks/{task.pk}/assign/", {"assigned_to": None})

    assert answer.json()["assigned_to"] is None
    assert staff.get(f"/api/tasks/{task.pk}/").status_code == 404


@pytest.mark.parametrize("status", ["completed", "canceled"])
def test_a_closed_task_is_not_given_to_anybody(manager, status):
    task = factories.task(status=status)
    person = factories.user(role="staff")

    answers = [
        manager.post(f"/api/tasks/{task.pk}/assign/", {"assigned_to": person.pk}),
        manager.patch(f"/api/tasks/{task.pk}/", {"assigned_to": person.pk}),
        manager.post(f"/api/tasks/{task.pk}/claim/"),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "task_closed")] * 3


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
def test_the_crew_claims_open_tasks_of_its_own_department(staff, department, task_type, status):
    type(staff.user).objects.filter(pk=staff.user.pk).update(department=department)
    task = factories.task(task_type=task_type)

    assert staff.post(f"/api/tasks/{task.pk}/claim/").status_code == status
    task.refresh_from_db()
    assert (task.assigned_to == staff.user) == (status == 200)


def test_a_task_that_somebody_has_cannot_be_claimed(manager, staff):
    task = factories.task(assigned_to=factories.user(role="staff", first_name="Carla"))

    answer = manager.post(f"/api/tasks/{task.pk}/claim/")

    assert answer.status_code == 409
    assert "Carla" in answer.json()["detail"]
    assert staff.post(f"/api/tasks/{task.pk}/claim/").status_code == 404


@pytest.fixture
def hidden(db) -> dict[str, int]:
    """Ids that a manager cannot tell from each other."""
    return {
        "unknown": 999_999,
        "superuser": factories.user(role="superuser").pk,
        "disabled superuser": factories.user(role="superuser", is_active=False).pk,
    }


@pytest.mark.parametrize("state", ["pending", "completed"])
@pytest.mark.parametrize("kind", ["unknown", "superuser", "disabled superuser"])
@pytest.mark.parametrize("way", ["create", "create with errors", "edit", "edit with errors", "edit stale", "assign"])
def test_assignee_whom_a_manager_does_not_see_is_an_unknown_one(manager, hidden, way, kind, state):
    task = factories.task(status=state)
    path, pk = f"/api/tasks/{task.pk}/", hidden[kind]
    wrong = {"assigned_to": pk, "title": "", "property": 999_999}
    answer = {
        "create": lambda: manager.post("/api/tasks/", factories.task_body(property=task.property_id, assigned_to=pk)),
        "create with errors": lambda: manager.post("/api/tasks/", factories.task_body() | wrong),
        "edit": lambda: manager.patch(path, {"assigned_to": pk}),
        "edit with errors": lambda: manager.patch(path, wrong),
        "edit stale": lambda: manager.patch(path, {"assigned_to": pk}, headers={"If-Match": '"999"'}),
        "assign": lambda: manager.post(f"{path}assign/", {"assigned_to": pk}),
    }[way]()

    assert answer.status_code == 400
    errors = {error["field"]: error for error in answer.json()["errors"]}
    assert errors["assigned_to"] == {
        "field": "assigned_to",
        "code": "does_not_exist",
        "detail": f"There is no user with id {pk} that you can assign.",
    }
    assert errors.keys() == ({"assigned_to", "title", "property"} if "errors" in way else {"assigned_to"})
    if "errors" in way:
        assert errors["property"]["detail"] == "There is no property with id 999999 that you can choose."


def test_assignee_whom_a_manager_does_not_see_may_stay(manager, superuser):
    task = factories.task(assigned_to=superuser.user)
    path = f"/api/tasks/{task.pk}/"

    assert manager.patch(path, {"assigned_to": superuser.user.pk, "title": "New"}).status_code == 200
    assert manager.post(f"{path}assign/", {"assigned_to": superuser.user.pk}).status_code == 200
    assert manager.post(f"{path}assign/", {"assigned_to": None}).status_code == 200
    assert manager.post(f"{path}assign/", {"assigned_to": superuser.user.pk}).status_code == 400


def test_service_assigns_no_user_whom_the_actor_does_not_see(manager, superuser):
    task = factories.task(status="completed")

    with pytest.raises(Invalid) as refusal:
        assign_task(actor=manager.user, task_id=task.pk, assigned_to=superuser.user)

    assert refusal.value.code == "does_not_exist"


def test_owner_whom_a_manager_does_not_see_is_an_unknown_one(manager, hidden):
    house = factories.property_()
    path = f"/api/properties/{house.pk}/"

    answers = [manager.patch(path, {"owners": [pk]}).json()["errors"] for pk in hidden.values()]

    assert [
        errors[0]["detail"].replace(str(pk), "ID") for errors, pk in zip(answers, hidden.values(), strict=True)
    ] == ["There is no active user with id ID."] * 3
    assert {errors[0]["code"] for errors in answers} == {"does_not_exist"}


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
def test_user_whom_a_manager_does_not_see_is_like_an_unknown_one(manager, hidden, method, path):
    answers = [getattr(manager, method)(path.format(pk=pk)) for pk in hidden.values()]

    shown = [{key: value for key, value in answer.json().items() if key != "request_id"} for answer in answers]
    assert len({answer.status_code for answer in answers}) == 1
    assert shown[0] == shown[1] == shown[2]
