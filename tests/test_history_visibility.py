"""Staff and viewers read the history of the time when they saw the task, and no value from before or after."""

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
    answer = client.get(f"/api/tasks/{task.pk}/history/")
    assert answer.status_code == 200, answer.content
    return answer.json()["results"]


def read(world: World) -> list[tuple[str, dict]]:
    """(event, changes) with the names of related rows instead of their ids."""
    return [(entry["event"], named(entry["changes"])) for entry in world.history()]


def named(changes: dict) -> dict:
    for field, pair in changes.items():
        names = changes.get(f"{field}_name", pair)
        assert [name is None for name in names] == [value is None for value in pair]
    short = {name: pair for name, pair in changes.items() if f"{name}_name" not in changes}
    return {
        name: [value.split(" ")[0] if name.endswith("_name") and value else value for value in pair]
        for name, pair in short.items()
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
            *(("move", "Villa"), ("title", "Seen"), ("move_and_describe", "Loft")),
            *(("title", "Secret"), ("move", "Villa"), ("title", "Seen again")),
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
            *(("title", "Secret"), ("assign", "reader"), ("title", "Seen"), ("assign", "other")),
            *(("title", "Secret 2"), ("assign", "reader")),
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
            *(("type", "laundry"), ("assign", None), ("title", "Secret"), ("department", "laundry")),
            *(("title", "Seen"), ("department", "cleaning"), ("title", "Secret 2"), ("assign", "reader")),
        ],
        [(UPDATED, {"title": ["Secret", "Seen"]}), (REASSIGNED, {"assigned_to_name": [None, "Rita"]})],
    ),
    "the reader becomes an owner, is none, and is one again": (
        "viewer",
        [
            *(("title", "Secret"), ("own", "Loft"), ("title", "Seen"), ("disown", "Loft")),
            *(("title", "Secret 2"), ("own", "Loft"), ("title", "Seen again")),
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
            *(("move", "Villa"), ("delete_house", "Villa"), ("restore_house", "Villa")),
            ("title", "Seen"),
        ],
        [(UPDATED, {"property_name": [None, "Villa"]}), (UPDATED, {"title": ["Linen", "Seen"]})],
    ),
    "a viewer becomes staff": (
        "viewer",
        [
            *(("move", "Villa"), ("title", "Seen by the owner"), ("role", "staff")),
            *(("title", "Secret"), ("assign", "reader"), ("title", "Seen")),
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
def test_reader_gets_what_they_saw_when(db, scenario):
    role, steps, expected = SCENARIOS[scenario]
    world = World(role)

    for step in steps:
        assert world.do(*step) < 300, step

    assert read(world) == expected


ACTIONS = st.sampled_from(
    [
        ("title", "Towels"),
        ("title", "Soap"),
        *(("move", house) for house in ("Loft", "Villa")),
        *(("move_and_describe", house) for house in ("Loft", "Villa")),
        *(("assign", person) for person in ("reader", "other", None)),
        *(("type", name) for name in ("cleaning", "laundry")),
        *(
            (action, house)
            for action in ("own", "disown", "delete_house", "restore_house")
            for house in ("Loft", "Villa")
        ),
        *((action, None) for action in ("delete", "restore", "disable", "enable")),
        *(("department", name) for name in ("cleaning", "laundry")),
        *(("role", name) for name in ("staff", "viewer")),
    ]
)


SEEN = [("assign", "reader"), ("move", "Villa")]
UNTIL_SEEN = [
    *(("enable", None), ("restore_house", "Loft"), ("restore_house", "Villa"), ("restore", None)),
    *(("own", "Villa"), *SEEN),
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
def test_history_is_what_the_reader_saw_step_by_step(db, role, steps):
    world = World(role)
    last, sees, expected = world.entries()[-1].pk, world.sees_task(), []
    for step in [*SEEN, *steps, *UNTIL_SEEN]:
        world.do(*step)
        saw, sees = sees, world.sees_task()
        for entry in world.entries(after=last):
            last = entry.pk
            if saw or sees:
                changes = {
                    name: [old if saw else None, new if sees else None] for name, (old, new) in entry.changes.items()
                }
                expected.append((entry.pk, changes))

    assert sees
    assert [(entry["id"], entry["changes"]) for entry in world.history()] == expected


def test_history_starts_when_the_reader_joined(manager):
    task = factories.task(title="Linen")
    manager.patch(f"/api/tasks/{task.pk}/", {"title": "Secret"})
    for name in ("made.by.a.manager", "made.otherwise"):
        if name == "made.by.a.manager":
            body = {"username": name, "email": f"{name}@example.com", "role": "staff", "department": "cleaning"}
            reader = client_of(User.objects.get(pk=manager.post("/api/users/", body).json()["id"]))
        else:
            reader = client_of(factories.user(role="staff", department="cleaning"))
        assert history(reader, task) == []

        manager.patch(f"/api/tasks/{task.pk}/", {"title": name})

        assert [entry["changes"]["title"][1] for entry in history(reader, task)] == [name]


def test_history_is_hidden_where_the_trail_contradicts_the_row(manager, viewer):
    loft, villa = factories.property_(), factories.property_(owners=(viewer.user,))
    task = factories.task(property=villa)
    path = f"/api/tasks/{task.pk}/"
    manager.patch(path, {"property": loft.pk})
    Task.objects.filter(pk=task.pk).update(property=villa)  # no entry

    manager.patch(path, {"title": "At one of the two"})
    assert [entry["changes"] for entry in history(viewer, task)] == [
        {"property": [villa.pk, None], "property_name": [villa.name, None]}
    ]


def test_history_names_people_without_role_and_username(manager, staff, viewer):
    User.objects.filter(pk=manager.user.pk).update(username="root.admin", first_name="Max", last_name="Manager")
    task = factories.task(property=factories.property_(owners=(viewer.user,)), assigned_to=staff.user)
    manager.user.refresh_from_db()
    sign_in_again(manager)
    manager.patch(f"/api/tasks/{task.pk}/", {"title": "Towels"})
    about = {"event": "task_updated", "object_type": "task", "object_id": task.pk, "created_at": timezone.now()}
    AuditEntry.objects.create(actor_id=2**40, actor_label="gone (superuser)", **about)
    AuditEntry.objects.create(actor_id=None, actor_label="system", **about)

    for reader in (staff, viewer):
        answer = reader.get(f"/api/tasks/{task.pk}/history/")
        names = [entry["actor_name"] for entry in answer.json()["results"]]
        assert names == ["system", "Former user", "Max Manager"]
        assert b"root.admin" not in answer.content
        assert b"(" not in answer.content
    names = [entry["actor_name"] for entry in history(manager, task)]
    assert names == ["system", "gone (superuser)", "root.admin (manager)"]


@pytest.mark.parametrize("role", ["staff", "viewer"])
def test_history_costs_the_same_however_often_the_task_was_hidden(db, role):
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


def test_history_of_a_task_that_was_hidden_a_thousand_times_is_its_latest_part(manager, staff, viewer):
    task = factories.task(assigned_to=staff.user)
    about = {"event": "task_assigned", "object_type": "task", "object_id": task.pk, "created_at": timezone.now()}
    pairs = [[staff.user.pk, viewer.user.pk], [viewer.user.pk, staff.user.pk]] * 1_000
    AuditEntry.objects.bulk_create(AuditEntry(changes={"assigned_to": pair}, **about) for pair in pairs)

    assert staff.get(f"/api/tasks/{task.pk}/history/").json()["count"] == 2 * MAX_SPANS - 1
    assert manager.get(f"/api/tasks/{task.pk}/history/").json()["count"] == 2_000


def test_visibility_of_former_states_knows_every_scope():
    assert SCOPES.keys() == FILTERS.keys()
