"""Every list costs the same number of queries, however long it is: query_counts.json."""

import json
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests import factories
from tests.conftest import client_of

BASELINE = json.loads(Path(__file__).with_name("query_counts.json").read_text())


def make(number: int, person) -> None:
    for _ in range(number):
        house = factories.property_(owners=(factories.user(), person))
        others = tuple(factories.task(property=house) for _ in range(2))
        task = factories.task(property=house, assigned_to=person, depends_on=others)
        client = client_of(factories.user(role="manager"))
        for title in "abc":
            client.patch(f"/api/tasks/{task.pk}/", {"title": title})


@pytest.mark.parametrize("path", BASELINE)
def test_one_row_and_fifty_cost_the_same(manager, path):
    counts = {}
    for number in (1, 16):
        make(number, manager.user)
        task = factories.Task.objects.filter(assigned_to=manager.user).first()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer = manager.get(path.format(task=task.pk, house=task.property_id))
        assert answer.status_code == 200
        counts[number] = len(queries)

    assert counts == {1: BASELINE[path], 16: BASELINE[path]}


def test_a_list_of_tasks_costs_at_most_four():
    assert max(count for path, count in BASELINE.items() if path.startswith("/api/tasks/?")) <= 4


def test_every_list_is_in_the_baseline():
    from api.urls import urlpatterns

    lists = {f"/api/{pattern.pattern}" for pattern in urlpatterns if _has_page(pattern.callback)}
    known = {path.partition("?")[0].replace("{task}", "<id:pk>") for path in BASELINE}
    assert lists <= known


def _has_page(callback) -> bool:
    action = getattr(callback, "actions", {"get": "get"}).get("get")
    query = callback.cls.queries.get(action) if hasattr(callback.cls, "queries") else None
    return query is not None and "page" in query().fields
