"""Status transitions and dependencies of tasks."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from tests import factories

STATUSES = ["pending", "in_progress", "completed", "canceled"]
MANAGER_TRANSITIONS = {
    ("pending", "in_progress"),
    ("pending", "canceled"),
    ("in_progress", "completed"),
    ("in_progress", "canceled"),
    ("completed", "pending"),
    ("canceled", "pending"),
}
STAFF_TRANSITIONS = {("pending", "in_progress"), ("in_progress", "completed")}


def change_status(client, task, status):
    return client.post(f"/api/tasks/{task.pk}/status/", {"status": status})


@pytest.mark.parametrize("new", STATUSES)
@pytest.mark.parametrize("old", STATUSES)
def test_transition_is_allowed_denied_or_a_conflict_by_role(manager, staff, old, new):
    managers_task = factories.task(status=old)
    staff_task = factories.task(status=old, assigned_to=staff.user)

    manager_response, staff_response = change_status(manager, managers_task, new), change_status(staff, staff_task, new)

    assert manager_response.status_code == (200 if (old, new) in MANAGER_TRANSITIONS else 409)
    expected_for_staff = 200 if (old, new) in STAFF_TRANSITIONS else 403 if (old, new) in MANAGER_TRANSITIONS else 409
    assert staff_response.status_code == expected_for_staff
    managers_task.refresh_from_db()
    staff_task.refresh_from_db()
    assert managers_task.status == (new if (old, new) in MANAGER_TRANSITIONS else old)
    assert staff_task.status == (new if (old, new) in STAFF_TRANSITIONS else old)


def test_staff_change_only_status_of_own_tasks(staff):
    unassigned, assigned_to_other = factories.task(), factories.task(assigned_to=factories.user(role="staff"))

    assert change_status(staff, unassigned, "in_progress").status_code == 403
    assert change_status(staff, assigned_to_other, "in_progress").status_code == 404


def test_transition_sets_and_clears_times(manager):
    task = factories.task()

    started = change_status(manager, task, "in_progress").json()
    assert started["started_at"]
    assert started["completed_at"] is None
    completed = change_status(manager, task, "completed").json()
    assert completed["started_at"] == started["started_at"]
    assert completed["completed_at"] > completed["started_at"]
    reopened = change_status(manager, task, "pending").json()
    assert (reopened["started_at"], reopened["completed_at"]) == (None, None)


def test_open_dependency_blocks_completion_and_is_named(manager):
    first = factories.task(title="Dry the linen")
    task = factories.task(status="in_progress", depends_on=(first,))

    response = change_status(manager, task, "completed")

    assert response.status_code == 409
    assert response.json()["code"] == "open_dependencies"
    assert f"{first.pk} (Dry the linen)" in response.json()["detail"]
    change_status(manager, first, "in_progress")
    assert change_status(manager, task, "completed").status_code == 409
    change_status(manager, first, "completed")
    assert change_status(manager, task, "completed").status_code == 200


def test_conflict_omits_titles_of_invisible_dependencies(staff):
    invisible = factories.task(title="Secret", task_type="laundry")
    task = factories.task(status="in_progress", assigned_to=staff.user, depends_on=(invisible,))

    response = change_status(staff, task, "completed")

    assert (response.status_code, response.json()["detail"]) == (409, f"Complete these tasks first: {invisible.pk}.")


@pytest.mark.parametrize("state", [{"status": "canceled"}, {"deleted_at": datetime.now(UTC)}, {"status": "completed"}])
def test_closed_or_deleted_dependency_does_not_block_completion(manager, state):
    task = factories.task(status="in_progress", depends_on=(factories.task(**state),))

    assert change_status(manager, task, "completed").status_code == 200


def depend(client, task, *others):
    return client.patch(f"/api/tasks/{task.pk}/", {"depends_on": [other.pk for other in others]})


def test_dependencies_are_set_replaced_and_removed(manager):
    a, b, c = (factories.task() for _ in range(3))

    assert depend(manager, a, b, c, b).json()["depends_on"] == [b.pk, c.pk]
    assert depend(manager, a, c).json()["depends_on"] == [c.pk]
    assert depend(manager, a).json()["depends_on"] == []


def test_dependency_titles_are_shown_only_if_visible(manager, staff):
    visible, invisible = (
        factories.task(title="Seen", assigned_to=staff.user),
        factories.task(title="Not", task_type="laundry"),
    )
    task = factories.task(assigned_to=staff.user, depends_on=(visible, invisible))

    def names(client):
        detail = client.get(f"/api/tasks/{task.pk}/").json()
        (row,) = [row for row in client.get("/api/tasks/").json()["results"] if row["id"] == task.pk]
        assert row == detail
        assert detail["depends_on"] == [visible.pk, invisible.pk]
        return detail["depends_on_name"]

    assert names(manager) == ["Seen", "Not"]
    assert names(staff) == ["Seen", None]


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_dependency_cycle_is_rejected(manager, length):
    chain = [factories.task() for _ in range(length)]
    for task, following in pairwise(chain):
        assert depend(manager, task, following).status_code == 200

    response = depend(manager, chain[-1], chain[0])

    assert response.status_code == 400
    assert response.json()["errors"][0] | {"detail": ""} == {
        "field": "depends_on",
        "code": "dependency_cycle",
        "detail": "",
    }
    assert manager.get(f"/api/tasks/{chain[-1].pk}/").json()["depends_on"] == []


def test_diamond_of_dependencies_is_accepted(manager):
    top, left, right, bottom = (factories.task() for _ in range(4))
    depend(manager, left, bottom)
    depend(manager, right, bottom)

    assert depend(manager, top, left, right).status_code == 200


def test_missing_or_deleted_dependency_is_rejected(manager):
    task = factories.task()
    deleted = factories.task(deleted_at=datetime.now(UTC))

    for missing in (deleted.pk, 10**9):
        response = manager.patch(f"/api/tasks/{task.pk}/", {"depends_on": [missing]})
        assert response.status_code == 400
        assert response.json()["errors"][0]["field"] == "depends_on"
