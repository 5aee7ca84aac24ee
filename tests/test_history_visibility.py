"""Staff and viewers read the history of the time when they saw the task, and no value from before or after."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.audit.models import AuditEntry
from api.common.vocabulary import Department
from api.models import User
from api.properties.models import Property
from api.tasks.history import MAX_SPANS
from api.tasks.models import Task, TaskType
from api.tasks.selectors import FILTERS, visible_tasks
from api.tasks.visibility import SCOPES, ReaderState, TaskState, sees
from tests import factories
from tests.conftest import client_of
from tests.histories import World

pytestmark = pytest.mark.usefixtures("nothing_leaves")

REASSIGNED = "task_assigned"
UPDATED = "task_updated"


def read(world: World) -> list[tuple[str, dict]]:
    """(event, changes) with the names of related rows instead of their ids."""
    return [(entry["event"], named(entry["changes"])) for entry in world.history()]


def named(changes: dict) -> dict:
    for field in changes:
        if f"{field}_name" in changes:
            hidden = [name is None for name in changes[f"{field}_name"]]
            assert hidden == [pk is None for pk in changes[field]]
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
        *((action, house) for action in ("own", "disown", "delete_house", "restore_house") for house in ("Loft", "Villa")),
        *((action, None) for action in ("delete", "restore", "disable", "enable")),
        *(("department", name) for name in ("cleaning", "laundry")),
        *(("role", name) for name in ("staff", "viewer")),
    ]
)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(role=st.sampled_from(["staff", "viewer"]), steps=st.lists(ACTIONS, min_size=4, max_size=14))
def test_history_is_what_the_reader_saw_step_by_step(db, role, steps):
    world = World(role)
    last, seen, expected = world.entries()[-1].pk, world.sees_task(), []
    for step in [*steps, ("enable", None), ("restore_house", "Loft"), ("restore_house", "Villa"), ("restore", None)]:
        world.do(*step)
        saw, seen = seen, world.sees_task()
        for entry in world.entries(after=last):
            last = entry.pk
            if saw or seen:
                changes = {
                    name: [old if saw else None, new if seen else None] for name, (old, new) in entry.changes.items()
                }
                expected.append((entry.pk, changes))

    if seen:
        assert [(entry["id"], entry["changes"]) for entry in world.history()] == expected
