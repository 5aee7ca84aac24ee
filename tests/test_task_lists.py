"""The task list: filters, ordering, pagination and summary."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from api.models import Task
from tests import factories
from tests.conftest import sign_in_again

NOON = datetime(2026, 5, 31, 12, tzinfo=UTC)


def titles(client, query="") -> list[str]:
    response = client.get(f"/api/tasks/?page_size=100&{query}")
    assert response.status_code == 200, response.content
    return [row["title"] for row in response.json()["results"]]


@pytest.fixture
def tasks(manager):
    """Create tasks whose titles describe them; return ids for queries."""
    with time_machine.travel(NOON, tick=False):
        property_, staff_user = factories.property_(), factories.user(role="staff")
        common = {"due_date": NOON + timedelta(days=1), "created_at": NOON, "modified_at": NOON}
        factories.task(title="a plain", **common)
        factories.task(title="b property", property=property_, **common)
        factories.task(title="c started", status="in_progress", **common)
        factories.task(title="d done", status="completed", **common | {"due_date": NOON - timedelta(days=2)})
        factories.task(title="e laundry", task_type="laundry", **common)
        factories.task(title="f urgent", priority=4, **common)
        factories.task(title="g low", priority=1, **common)
        factories.task(title="h staff", assigned_to=staff_user, **common)
        factories.task(title="i mine", assigned_to=manager.user, **common)
        factories.task(title="j late", **common | {"due_date": NOON - timedelta(seconds=1)})
        factories.task(title="k due now", **common | {"due_date": NOON})
        factories.task(title="l changed", **common | {"modified_at": NOON + timedelta(hours=1)})
        factories.task(title="m Spülmaschine", description="50% off_now", created_by=staff_user, **common)
        factories.task(title="n deleted", deleted_at=NOON, **common)
        sign_in_again(manager)
        yield {"property": property_.pk, "staff_user": staff_user.pk}


EVERYTHING = "abcdefghijklm"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", EVERYTHING),
        ("property={property}", "b"),
        ("status=in_progress", "c"),
        ("status=in_progress&status=completed", "cd"),
        ("task_type=laundry", "e"),
        ("priority=urgent", "f"),
        ("assigned_to={staff_user}", "h"),
        ("assigned_to=me", "i"),
        ("assigned_to=none", "abcdefgjklm"),
        ("created_by={staff_user}", "m"),
        ("due_after=2026-05-31T12:00:00Z&due_before=2026-06-01T12:00:00Z", "k"),
        ("due_before=2026-05-31T12:00:00Z", "dj"),
        ("due_before=2026-05-31T14:00:00%2B02:00", "dj"),
        ("overdue=true", "j"),
        ("overdue=false", "abcdefghiklm"),
        ("modified_since=2026-05-31T13:00:00Z", "l"),
        ("search=PLAIN", "a"),
        ("search=50%25", "m"),
        ("search=f_n", "m"),
        ("search=%25", "m"),
        ("search=nothing like it", ""),
        ("search=", EVERYTHING),
        ("deleted=true", "n"),
        ("deleted=false", EVERYTHING),
        ("status=pending&priority=low&overdue=false", "g"),
        ("property=999999999", ""),
    ],
)
def test_filter_returns_matching_tasks(manager, tasks, query, expected):
    matching_titles = titles(manager, query.format(**tasks))

    assert "".join(sorted(title[0] for title in matching_titles)) == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("colour=red", "colour"),
        ("status=open", "status"),
        ("priority=4", "priority"),
        ("assigned_to=you", "assigned_to"),
        ("overdue=maybe", "overdue"),
        ("due_after=2026-05-31", "due_after"),
        ("due_after=2026-05-31T12:00:00", "due_after"),
        ("ordering=colour", "ordering"),
        ("ordering=title,", "ordering"),
        ("ordering=title%0A", "ordering"),
        ("page=0", "page"),
        ("page=last", "page"),
        ("page_size=101", "page_size"),
        ("page_size=0", "page_size"),
        ("search=a&search=b", "search"),
        ("search=%00", "search"),
        (f"search={'a' * 201}", "search"),
    ],
)
def test_invalid_parameter_is_rejected_by_name(manager, query, field):
    response = manager.get(f"/api/tasks/?{query}")

    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize("path", ["/api/tasks/1/", "/api/auth/me/", "/api/auth/sessions/"])
def test_unknown_parameter_is_rejected_outside_lists(manager, path):
    factories.task()

    response = manager.get(f"{path}?colour=red")

    assert response.status_code in {400, 404}
    assert manager.get("/api/auth/me/?colour=red").json()["errors"][0]["field"] == "colour"


@pytest.mark.parametrize(
    ("ordering", "first", "last"),
    [
        ("due_date", "d", "m"),
        ("-due_date", "m", "d"),
        ("priority", "g", "f"),
        ("-priority", "f", "g"),
        ("title", "a", "m"),
        ("-title", "m", "a"),
        ("-modified_at", "l", "a"),
        ("status,-title", "d", "a"),
        ("-priority,title", "f", "g"),
    ],
)
def test_ordering_sorts_list(manager, tasks, ordering, first, last):
    matching_titles = titles(manager, f"ordering={ordering}")

    assert (matching_titles[0][0], matching_titles[-1][0]) == (first, last)


@pytest.mark.parametrize("field", ["due_date", "priority", "status", "created_at", "modified_at", "title"])
@pytest.mark.parametrize("minus", ["", "-"])
def test_page_is_read_from_an_index_without_sort(manager, field, minus):
    with CaptureQueriesContext(connection) as queries:
        manager.get(f"/api/tasks/?ordering={minus}{field}")
    page = next(query["sql"] for query in queries if "description" in query["sql"] and "ORDER BY" in query["sql"])

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {page}")
        else:
            cursor.execute("SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off")
            cursor.execute(f"EXPLAIN {page}")
        plan = str(cursor.fetchall())

    assert "TEMP B-TREE" not in plan
    assert "Sort Key" not in plan


def test_pages_link_to_each_other(manager):
    property_ = factories.property_()
    task_ids = [factories.task(property=property_).pk for _ in range(5)]

    listed_ids, url = [], "/api/tasks/?page_size=2&ordering=id"
    while url:
        page = manager.get(url).json()
        assert page["count"] == 5
        assert page["count_is_capped"] is False
        listed_ids += [row["id"] for row in page["results"]]
        last, url = page, page["next"]

    assert listed_ids == task_ids
    assert "page=2" in last["previous"]
    assert "page=" not in manager.get(last["previous"]).json()["previous"].replace("page_size=", "")
    assert manager.get("/api/tasks/?page=4&page_size=2").status_code == 404


def test_empty_list_returns_empty_page(manager):
    page = manager.get("/api/tasks/").json()

    assert page == {"count": 0, "count_is_capped": False, "next": None, "previous": None, "results": []}


@pytest.mark.parametrize(("number", "capped"), [(10_000, False), (10_001, True)])
def test_count_is_exact_up_to_ten_thousand(manager, number, capped):
    example = factories.task()
    values = {name: getattr(example, name) for name in ("task_type", "property_id", "due_date", "created_at")}
    users = {"created_by": manager.user, "modified_by": manager.user, "modified_at": example.created_at}
    Task.objects.bulk_create(Task(title=f"Task {n}", **values, **users) for n in range(number - 1))

    page = manager.get("/api/tasks/?page=100&page_size=100").json()

    assert (page["count"], page["count_is_capped"]) == (10_000, capped)
    assert bool(page["next"]) is capped
    if capped:
        assert len(manager.get(page["next"]).json()["results"]) == 1


def test_list_row_equals_task_detail(manager, tasks):
    factories.task(title="with", depends_on=(factories.task(), factories.task()), assigned_to=manager.user)

    for row in manager.get("/api/tasks/?page_size=100").json()["results"]:
        assert manager.get(f"/api/tasks/{row['id']}/").json() == row


def test_staff_see_own_and_unassigned_tasks_of_department(staff):
    factories.task(title="mine", assigned_to=staff.user, task_type="laundry")
    factories.task(title="unassigned cleaning")
    factories.task(title="assigned to another", assigned_to=factories.user(role="staff"))
    factories.task(title="for the laundry", task_type="laundry")

    assert sorted(titles(staff)) == ["mine", "unassigned cleaning"]


def test_viewer_sees_tasks_of_own_properties(viewer):
    property_ = factories.property_(owners=(viewer.user, factories.user()))
    factories.task(title="own", property=property_)
    factories.task(title="not own")

    assert titles(viewer) == ["own"]
    assert viewer.get("/api/tasks/summary/").json()["total"] == 1


def test_summary_counts_filtered_tasks(manager, tasks):
    summary = manager.get("/api/tasks/summary/").json()

    assert summary["total"] == 13
    assert summary["by_status"] == {"pending": 11, "in_progress": 1, "completed": 1, "canceled": 0}
    assert summary["by_task_type"] == dict.fromkeys(summary["by_task_type"], 0) | {"cleaning": 12, "laundry": 1}
    assert summary["by_priority"] == {"low": 1, "medium": 11, "high": 0, "urgent": 1}
    assert summary["overdue"] == 1
    only_laundry = manager.get("/api/tasks/summary/?task_type=laundry").json()
    assert (only_laundry["total"], only_laundry["overdue"]) == (1, 0)
    assert manager.get("/api/tasks/summary/?page=1").status_code == 400


@pytest.mark.parametrize(
    ("timezone", "today"), [("America/New_York", 30), ("UTC", 31), ("Pacific/Auckland", 31)], ids=str
)
def test_due_today_uses_time_zone_of_user(manager, timezone, today):
    manager.patch("/api/auth/me/", {"timezone": timezone})
    for day in (29, 30, 31):
        due_date = datetime(2026, 5, day, 11, tzinfo=UTC)
        factories.task(due_date=due_date, task_type="laundry" if day == today else "cleaning")
        factories.task(due_date=due_date, status="canceled")

    with time_machine.travel(datetime(2026, 5, 31, 2, tzinfo=UTC)):  # 22:00 on the 30th in New York
        sign_in_again(manager)
        assert manager.get("/api/tasks/summary/").json()["due_today"] == 1
        assert manager.get("/api/tasks/summary/?task_type=laundry").json()["due_today"] == 1
