"""The number of queries of a list is independent of its length: query_counts.json."""

import json
from pathlib import Path

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests import factories
from tests.conftest import client_of

BASELINE = json.loads(Path(__file__).with_name("query_counts.json").read_text())


def create_tasks(number: int, user) -> None:
    for _ in range(number):
        property_ = factories.property_(owners=(factories.user(), user))
        others = tuple(factories.task(property=property_) for _ in range(2))
        task = factories.task(property=property_, assigned_to=user, depends_on=others)
        client = client_of(factories.user(role="manager"))
        for title in "abc":
            client.patch(f"/api/tasks/{task.pk}/", {"title": title})


def count_queries(client) -> dict[str, int]:
    task = factories.Task.objects.filter(assigned_to=client.user).first()
    counts = {}
    for path in BASELINE:
        with CaptureQueriesContext(connection) as queries:
            response = client.get(path.format(task=task.pk, property=task.property_id))
        assert response.status_code == 200
        counts[path] = len(queries)
    return counts


def test_query_count_is_independent_of_row_count(manager):
    create_tasks(1, manager.user)
    assert count_queries(manager) == BASELINE
    create_tasks(16, manager.user)
    assert count_queries(manager) == BASELINE


def test_task_list_needs_at_most_four_queries():
    assert max(count for path, count in BASELINE.items() if path.startswith("/api/tasks/?")) <= 4


def test_baseline_contains_every_list():
    from api.urls import urlpatterns

    lists = {f"/api/{pattern.pattern}" for pattern in urlpatterns if _has_page(pattern.callback)}
    covered = {path.partition("?")[0].replace("{task}", "<id:pk>") for path in BASELINE}
    assert lists <= covered


def _has_page(callback) -> bool:
    action = getattr(callback, "actions", {"get": "get"}).get("get")
    query = callback.cls.queries.get(action) if hasattr(callback.cls, "queries") else None
    return query is not None and "page" in query().fields
