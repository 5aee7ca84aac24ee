"""How a task moves from state to state, and what it waits for."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from tests import factories

STATES = ["pending", "in_progress", "completed", "canceled"]
MANAGERS = {
    ("pending", "in_progress"),
    ("pending", "canceled"),
    ("in_progress", "completed"),
    ("in_progress", "canceled"),
    ("completed", "pending"),
    ("canceled", "pending"),
}
CREW = {("pending", "in_progress"), ("in_progress", "completed")}


def move(client, task, status):
    return client.post(f"/api/tasks/{task.pk}/status/", {"status": status})


@pytest.mark.parametrize("new", STATES)
@pytest.mark.parametrize("old", STATES)
def test_every_move_is_allowed_refused_or_forbidden(manager, staff, old, new):
    by_manager = factories.task(status=old)
    by_crew = factories.task(status=old, assigned_to=staff.user)

    manager_answer, crew_answer = move(manager, by_manager, new), move(staff, by_crew, new)

    assert manager_answer.status_code == (200 if (old, new) in MANAGERS else 409)
    crew_expected = 200 if (old, new) in CREW else 403 if (old, new) in MANAGERS else 409
    assert crew_answer.status_code == crew_expected
    by_manager.refresh_from_db()
    by_crew.refresh_from_db()
    assert by_manager.status == (new if (old, new) in MANAGERS else old)
    assert by_crew.status == (new if (old, new) in CREW else old)


def test_a_crew_member_moves_only_what_is_his(staff):
    unassigned, somebody_elses = factories.task(), factories.task(assigned_to=factories.user(role="staff"))

    assert move(staff, unassigned, "in_progress").status_code == 403
    assert move(staff, somebody_elses, "in_progress").status_code == 404


def test_the_times_follow_the_moves(manager):
    task = factories.task()

    started = move(manager, task, "in_progress").json()
    assert started["started_at"]
    assert started["completed_at"] is None
    completed = move(manager, task, "completed").json()
    assert completed["started_at"] == started["started_at"]
    assert completed["completed_at"] > completed["started_at"]
    reopened = move(manager, task, "pending").json()
    assert (reopened["started_at"], reopened["completed_at"]) == (None, None)


def test_an_open_dependency_blocks_completion_and_is_named(manager):
    first = factories.task(title="Dry the linen")
    task = factories.task(status="in_progress", depends_on=(first,))

    answer = move(manager, task, "completed")

    assert answer.status_code == 409
    assert answer.json()["code"] == "open_dependencies"
    assert f"{first.pk} (Dry the linen)" in answer.json()["detail"]
    move(manager, first, "in_progress")
    assert move(manager, task, "completed").status_code == 409
    move(manager, first, "completed")
    assert move(manager, task, "completed").status_code == 200


def test_a_refusal_does_not_tell_titles_that_one_may_not_see(staff):
    unseen = factories.task(title="Secret", task_type="laundry")
    task = factories.task(status="in_progress", assigned_to=staff.user, depends_on=(unseen,))

    answer = move(staff, task, "completed")

    assert (answer.status_code, answer.json()["detail"]) == (409, f"Complete these tasks first: {unseen.pk}.")


@pytest.mark.parametrize("state", [{"status": "canceled"}, {"deleted_at": datetime.now(UTC)}, {"status": "completed"}])
def test_a_dependency_that_is_closed_or_deleted_blocks_nothing(manager, state):
    task = factories.task(status="in_progress", depends_on=(factories.task(**state),))

    assert move(manager, task, "completed").status_code == 200


def depend(client, task, *others):
    return client.patch(f"/api/tasks/{task.pk}/", {"depends_on": [other.pk for other in others]})


def test_dependencies_are_set_replaced_and_taken_away(manager):
    a, b, c = (factories.task() for _ in range(3))

    assert depend(manager, a, b, c, b).json()["depends_on"] == [b.pk, c.pk]
    assert depend(manager, a, c).json()["depends_on"] == [c.pk]
    assert depend(manager, a).json()["depends_on"] == []


def test_the_titles_of_dependencies_show_to_those_who_see_them(manager, staff):
    seen, unseen = (
        factories.task(title="Seen", assigned_to=staff.user),
        factories.task(title="Not", task_type="laundry"),
    )
    task = factories.task(assigned_to=staff.user, depends_on=(seen, unseen))

    def names(client):
        detail = client.get(f"/api/tasks/{task.pk}/").json()
        (row,) = [row for row in client.get("/api/tasks/").json()["results"] if row["id"] == task.pk]
        assert row == detail
        assert detail["depends_on"] == [seen.pk, unseen.pk]
        return detail["depends_on_name"]

    assert names(manager) == ["Seen", "Not"]
    assert names(staff) == ["Seen", None]


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_circles_are_refused(manager, length):
    chain = [factories.task() for _ in range(length)]
    for task, following in pairwise(chain):
        assert depend(manager, task, following).status_code == 200

    answer = depend(manager, chain[-1], chain[0])

    assert answer.status_code == 400
    assert answer.json()["errors"][0] | {"detail": ""} == {
        "field": "depends_on",
        "code": "dependency_cycle",
        "detail": "",
    }
    assert manager.get(f"/api/tasks/{chain[-1].pk}/").json()["depends_on"] == []


def test_a_diamond_is_no_circle(manager):
    top, left, right, bottom = (factories.task() for _ in range(4))
    depend(manager, left, bottom)
    depend(manager, right, bottom)

    assert depend(manager, top, left, right).status_code == 200


def test_nobody_waits_for_a_task_that_is_not_there(manager):
    task = factories.task()
    deleted = factories.task(deleted_at=datetime.now(UTC))

    for missing in (deleted.pk, 10**9):
        answer = manager.patch(f"/api/tasks/{task.pk}/", {"depends_on": [missing]})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == "depends_on"
