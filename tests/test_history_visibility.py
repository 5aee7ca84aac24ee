"""Visibility of a task's history for staff and viewers: only values from times when they could see the task."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api.audit.models import AuditEntry
from api.models import Task, User
from api.tasks.history import MAX_SPANS
from api.tasks.selectors import FILTERS
from api.tasks.visibility import SCOPES
from tests import factories
from tests.conftest import client_of, sign_in_again
from tests.histories import World

pytestmark = pytest.mark.usefixtures("nothing_leaves")

REASSIGNED = "task_assigned"
UPDATED = "task_updated"


def history(client, task) -> list[dict]:
    response = client.get(f"/api/tasks/{task.pk}/history/")
    assert response.status_code == 200, response.content
    return response.json()["results"]


def visible_changes(world: World) -> list[tuple[str, dict]]:
    """Return (event, changes) with the names of related rows instead of their ids."""
    return [(entry["event"], with_related_names(entry["changes"])) for entry in world.history()]


def with_related_names(changes: dict) -> dict:
    for field, pair in changes.items():
        names = changes.get(f"{field}_name", pair)
        assert [name is None for name in names] == [value is None for value in pair]
    without_ids = {name: pair for name, pair in changes.items() if f"{name}_name" not in changes}
    return {
        name: [value.split(" ")[0] if name.endswith("_name") and value else value for value in pair]
        for name, pair in without_ids.items()
    }


SCENARIOS = {
    "moved to the reader's property": (
        "viewer",
        [("title", "Secret"), ("move_and_describe", "Villa"), ("title", "Towels")],
        [
            (UPDATED, {"property_name": [None, "Villa"], "description": [None, "Nothing secret"]}),
            (UPDATED, {"title": ["Secret", "Towels"]}),
        ],
    ),
    "moved away and back": (
        "viewer",
        [
            ("move", "Villa"),
            ("title", "Seen"),
            ("move_and_describe", "Loft"),
            ("title", "Secret"),
            ("move", "Villa"),
            ("title", "Seen again"),
        ],
        [
            (UPDATED, {"property_name": [None, "Villa"]}),
            (UPDATED, {"title": ["Linen", "Seen"]}),
            (UPDATED, {"property_name": ["Villa", None], "description": ["Door code 1234", None]}),
            (UPDATED, {"property_name": [None, "Villa"]}),
            (UPDATED, {"title": ["Secret", "Seen again"]}),
        ],
    ),
    "assigned to the reader, away and back": (
        "staff",
        [
            ("title", "Secret"),
            ("assign", "reader"),
            ("title", "Seen"),
            ("assign", "other"),
            ("title", "Secret 2"),
            ("assign", "reader"),
        ],
        [
            (REASSIGNED, {"assigned_to_name": [None, "Rita"]}),
            (UPDATED, {"title": ["Secret", "Seen"]}),
            (REASSIGNED, {"assigned_to_name": ["Rita", None]}),
            (REASSIGNED, {"assigned_to_name": [None, "Rita"]}),
        ],
    ),
    "unassigned in the reader's department": (
        "staff",
        [("assign", None), ("title", "Seen"), ("assign", "reader")],
        [
            (REASSIGNED, {"assigned_to_name": [None, None]}),
            (UPDATED, {"title": ["Linen", "Seen"]}),
            (REASSIGNED, {"assigned_to_name": [None, "Rita"]}),
        ],
    ),
    "unassigned in another department": (
        "staff",
        [("type", "laundry"), ("assign", None), ("title", "Secret"), ("type", "cleaning"), ("title", "Seen")],
        [(UPDATED, {"task_type": [None, "cleaning"]}), (UPDATED, {"title": ["Secret", "Seen"]})],
    ),
    "the reader changes the department": (
        "staff",
        [
            ("type", "laundry"),
            ("assign", None),
            ("title", "Secret"),
            ("department", "laundry"),
            ("title", "Seen"),
            ("department", "cleaning"),
            ("title", "Secret 2"),
            ("assign", "reader"),
        ],
        [(UPDATED, {"title": ["Secret", "Seen"]}), (REASSIGNED, {"assigned_to_name": [None, "Rita"]})],
    ),
    "the reader is added, removed and added again as an owner": (
        "viewer",
        [
            ("title", "Secret"),
            ("own", "Loft"),
            ("title", "Seen"),
            ("disown", "Loft"),
            ("title", "Secret 2"),
            ("own", "Loft"),
            ("title", "Seen again"),
        ],
        [(UPDATED, {"title": ["Secret", "Seen"]}), (UPDATED, {"title": ["Secret 2", "Seen again"]})],
    ),
    "the owner of both properties": (
        "viewer",
        [("own", "Loft"), ("move_and_describe", "Villa")],
        [
            (
                UPDATED,
                {"property_name": ["Loft", "Villa"], "description": ["Door code 1234", "Nothing secret"]},
            )
        ],
    ),
    "the task is deleted and restored": (
        "staff",
        [("assign", "reader"), ("delete", None), ("restore", None)],
        [(REASSIGNED, {"assigned_to_name": [None, "Rita"]}), ("task_deleted", {}), ("task_restored", {})],
    ),
    "the property is deleted and restored": (
        "viewer",
        [
            ("move", "Villa"),
            ("delete_property", "Villa"),
            ("restore_property", "Villa"),
            ("title", "Seen"),
        ],
        [(UPDATED, {"property_name": [None, "Villa"]}), (UPDATED, {"title": ["Linen", "Seen"]})],
    ),
    "a viewer becomes staff": (
        "viewer",
        [
            ("move", "Villa"),
            ("title", "Seen by the owner"),
            ("role", "staff"),
            ("title", "Secret"),
            ("assign", "reader"),
            ("title", "Seen"),
        ],
        [
            (UPDATED, {"property_name": [None, "Villa"]}),
            (UPDATED, {"title": ["Linen", "Seen by the owner"]}),
            (REASSIGNED, {"assigned_to_name": [None, "Rita"]}),
            (UPDATED, {"title": ["Secret", "Seen"]}),
        ],
    ),
    "the reader is disabled and enabled": (
        "staff",
        [("assign", "reader"), ("disable", None), ("title", "Secret"), ("enable", None), ("title", "Seen")],
        [
            (REASSIGNED, {"assigned_to_name": [None, "Rita"]}),
            (UPDATED, {"title": ["Secret", "Seen"]}),
        ],
    ),
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_history_contains_only_values_the_reader_could_see(db, scenario):
    role, steps, expected = SCENARIOS[scenario]
    world = World(role)

    for step in steps:
        assert world.do(*step) < 300, step

    assert visible_changes(world) == expected


ACTIONS = st.sampled_from(
    [
        ("title", "Towels"),
        ("title", "Soap"),
        *(("move", name) for name in ("Loft", "Villa")),
        *(("move_and_describe", name) for name in ("Loft", "Villa")),
        *(("assign", assignee) for assignee in ("reader", "other", None)),
        *(("type", name) for name in ("cleaning", "laundry")),
        *(
            (action, name)
            for action in ("own", "disown", "delete_property", "restore_property")
            for name in ("Loft", "Villa")
        ),
        *((action, None) for action in ("delete", "restore", "disable", "enable")),
        *(("department", name) for name in ("cleaning", "laundry")),
        *(("role", name) for name in ("staff", "viewer")),
    ]
)


MAKE_VISIBLE = [("assign", "reader"), ("move", "Villa")]
MAKE_VISIBLE_AGAIN = [
    ("enable", None),
    ("restore_property", "Loft"),
    ("restore_property", "Villa"),
    ("restore", None),
    ("own", "Villa"),
    *MAKE_VISIBLE,
]


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # shrinking a failure takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(role=st.sampled_from(["staff", "viewer"]), steps=st.lists(ACTIONS, min_size=4, max_size=14))
def test_history_matches_visibility_after_random_steps(db, role, steps):
    world = World(role)
    last_id, is_visible, expected = world.entries()[-1].pk, world.sees_task(), []
    for step in [*MAKE_VISIBLE, *steps, *MAKE_VISIBLE_AGAIN]:
        world.do(*step)
        was_visible, is_visible = is_visible, world.sees_task()
        for entry in world.entries(after=last_id):
            last_id = entry.pk
            if was_visible or is_visible:
                changes = {
                    name: [old if was_visible else None, new if is_visible else None]
                    for name, (old, new) in entry.changes.items()
                }
                expected.append((entry.pk, changes))

    assert is_visible
    assert [(entry["id"], entry["changes"]) for entry in world.history()] == expected


def test_history_starts_when_reader_was_created(manager):
    task = factories.task(title="Linen")
    manager.patch(f"/api/tasks/{task.pk}/", {"title": "Secret"})
    for name in ("created.by.manager", "created.otherwise"):
        if name == "created.by.manager":
            body = {"username": name, "email": f"{name}@example.com", "role": "staff", "department": "cleaning"}
            reader = client_of(User.objects.get(pk=manager.post("/api/users/", body).json()["id"]))
        else:
            reader = client_of(factories.user(role="staff", department="cleaning"))
        assert history(reader, task) == []

        manager.patch(f"/api/tasks/{task.pk}/", {"title": name})

        assert [entry["changes"]["title"][1] for entry in history(reader, task)] == [name]


def test_history_is_hidden_if_trail_contradicts_row(manager, viewer):
    loft, villa = factories.property_(), factories.property_(owners=(viewer.user,))
    task = factories.task(property=villa)
    path = f"/api/tasks/{task.pk}/"
    manager.patch(path, {"property": loft.pk})
    Task.objects.filter(pk=task.pk).update(property=villa)  # without an audit entry

    manager.patch(path, {"title": "At one of the two"})
    assert [entry["changes"] for entry in history(viewer, task)] == [
        {"property": [villa.pk, None], "property_name": [villa.name, None]}
    ]


def test_history_shows_display_names_to_staff_and_viewers(manager, staff, viewer):
    User.objects.filter(pk=manager.user.pk).update(username="root.admin", first_name="Max", last_name="Manager")
    task = factories.task(property=factories.property_(owners=(viewer.user,)), assigned_to=staff.user)
    manager.user.refresh_from_db()
    sign_in_again(manager)
    manager.patch(f"/api/tasks/{task.pk}/", {"title": "Towels"})
    entry_values = {"event": "task_updated", "object_type": "task", "object_id": task.pk, "created_at": timezone.now()}
    AuditEntry.objects.create(actor_id=2**40, actor_label="gone (superuser)", **entry_values)
    AuditEntry.objects.create(actor_id=None, actor_label="system", **entry_values)

    for reader in (staff, viewer):
        response = reader.get(f"/api/tasks/{task.pk}/history/")
        names = [entry["actor_name"] for entry in response.json()["results"]]
        assert names == ["system", "Former user", "Max Manager"]
        assert b"root.admin" not in response.content
        assert b"(" not in response.content
    names = [entry["actor_name"] for entry in history(manager, task)]
    assert names == ["system", "gone (superuser)", "root.admin (manager)"]


@pytest.mark.parametrize("role", ["staff", "viewer"])
def test_history_query_count_is_independent_of_visibility_changes(db, role):
    world, counts = World(role), []
    world.do("assign", "reader")
    world.do("move", "Villa")
    for _ in range(2):
        for step in [("move", "Loft"), ("own", "Loft"), ("assign", "other"), ("assign", "reader"), ("move", "Villa")]:
            world.do(*step)
        client = world.client()
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/api/tasks/{world.task}/history/").json()["count"] > 0
        counts.append(len(queries))

    assert counts == [8, 8]


def test_history_is_limited_to_latest_visibility_periods(manager, staff, viewer):
    task = factories.task(assigned_to=staff.user)
    entry_values = {"event": "task_assigned", "object_type": "task", "object_id": task.pk, "created_at": timezone.now()}
    pairs = [[staff.user.pk, viewer.user.pk], [viewer.user.pk, staff.user.pk]] * 1_000
    AuditEntry.objects.bulk_create(AuditEntry(changes={"assigned_to": pair}, **entry_values) for pair in pairs)

    assert staff.get(f"/api/tasks/{task.pk}/history/").json()["count"] == 2 * MAX_SPANS - 1
    assert manager.get(f"/api/tasks/{task.pk}/history/").json()["count"] == 2_000


def test_visibility_of_former_states_covers_every_scope():
    assert SCOPES.keys() == FILTERS.keys()
