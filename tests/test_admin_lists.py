"""Lists of both admin sites: their cost is independent of the number of rows."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.models import AuditEntry, Task
from api.tasks.admin import TaskAdmin
from tests import factories
from tests.admin_sites import ADMIN, MANAGER, act

SITES = [ADMIN, MANAGER]
pytestmark = pytest.mark.usefixtures("nothing_leaves")


@pytest.fixture
def short_pages(monkeypatch):
    monkeypatch.setattr(TaskAdmin, "list_per_page", 2)


@pytest.fixture
def stop_counting(monkeypatch):
    """Cap counts at three."""
    for module in ("api.common.counting", "api.adminkit.change_list"):
        monkeypatch.setattr(f"{module}.COUNT_LIMIT", 3)


def tasks_of_both_kinds(open_tasks: int, others: int) -> list[str]:
    """Create tasks; return their titles in list order: completed tasks are due first, but come last."""
    now, property_ = timezone.now(), factories.property_()
    for number in range(others):
        factories.task(
            property=property_, title=f"done {number}", status="completed", due_date=now + timedelta(number - 99)
        )
    for number in range(open_tasks):
        factories.task(property=property_, title=f"open {number}", due_date=now + timedelta(number))
    return [f"open {number}" for number in range(open_tasks)] + [f"done {number}" for number in range(others)]


def titles(page) -> list[str]:
    return [task.title for task in page.context["cl"].result_list]


def text_of(page) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", page.content.decode())).split())


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite without statistics uses any index of a filter.")
@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize(
    "query",
    [
        *("", "p=2", "p=3", "due=overdue", "assigned=none", "status__exact=completed", "task_type__exact=cleaning"),
        *(f"o={minus}{column}" for column in (1, 3, 4, 5, 6) for minus in ("", "-")),
        f"due_date_from={(timezone.now() - timedelta(200)).date()}",
    ],
)
def test_page_is_read_from_an_index_without_sorting(browsers, short_pages, site, query):
    tasks_of_both_kinds(3, 3)
    for number in range(3):
        factories.task(due_date=timezone.now() - timedelta(days=number + 1))
    with CaptureQueriesContext(connection) as queries:
        page = browsers[site].get(f"{site}/api/task/?{query}")
    assert page.context["cl"].multi_page
    statements = [query["sql"] for query in queries]
    ordered = [sql for sql in statements if "ORDER BY" in sql and '"api_task"' in sql]

    assert ordered
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_sort = off; SET LOCAL enable_incremental_sort = off")
        for statement in ordered:
            cursor.execute(f"EXPLAIN {statement}")
            assert "Sort Key" not in str(cursor.fetchall()), statement


@pytest.mark.parametrize(("open_tasks", "others"), [(5, 4), (4, 4), (1, 5), (0, 5), (5, 0)])
def test_pages_list_open_tasks_before_the_others(boss, short_pages, open_tasks, others):
    expected = tasks_of_both_kinds(open_tasks, others)

    pages = [titles(boss.get(f"/manager/api/task/?p={1 + first // 2}")) for first in range(0, len(expected), 2)]

    assert [title for page in pages for title in page] == expected
    assert titles(boss.get("/manager/api/task/?all=")) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("o=1", "bacd"),
        ("o=-1", "dcab"),
        ("o=4", "dcba"),
        ("o=-4", "abcd"),
        ("o=5", "abcd"),
        ("o=-5", "dcba"),
        ("o=5.6", "abdc"),
        ("o=5.-6", "abcd"),
        ("o=6", "dcba"),
        ("", "badc"),
        ("o=zzz", "badc"),
    ],
)
def test_list_is_ordered_only_by_the_chosen_column(boss, short_pages, query, expected):
    now, property_ = timezone.now(), factories.property_()
    for name, title, status, priority in (
        ("a", "Beds", "pending", 1),
        ("b", "Air", "pending", 2),
        ("c", "Hall", "completed", 3),
        ("d", "Pool", "completed", 3),
    ):
        due_date = now - timedelta(days=ord(name))
        factories.task(
            property=property_, title=title, description=name, status=status, priority=priority, due_date=due_date
        )

    pages = [boss.get(f"/manager/api/task/?{query}&p={number}") for number in (1, 2)]

    assert "".join(task.description for page in pages for task in page.context["cl"].result_list) == expected


@pytest.mark.parametrize(("number", "count", "capped"), [(10_000, "10000", False), (10_001, "10,000+", True)])
def test_count_is_exact_up_to_ten_thousand(boss, number, count, capped):
    example = factories.task()
    values = {name: getattr(example, name) for name in ("task_type", "property_id", "due_date", "created_at")}
    users = {"created_by": boss.user, "modified_by": boss.user, "modified_at": example.created_at}
    Task.objects.bulk_create(Task(title=f"Task {n}", **values, **users) for n in range(number - 1))

    for query in ("", "p=200", "_facets=True", "q=task"):
        page = boss.get(f"/manager/api/task/?{query}")
        text = text_of(page)
        assert len(titles(page)) == 50
        assert text.count(f"{count} tasks") == 2, query  # next to the pages, and in the action to select all
        assert f"All {count} selected" in text
        assert f"{count} results" in text
        assert ("see the rest" in text) is capped
        assert ("Show counts" in text or "Hide counts" in text) is not capped
    assert boss.get("/manager/api/task/?p=201").url.endswith("?e=1")


@pytest.mark.parametrize("model", ["task", "auditentry", "outgoingmail", "notification", "user"])
@pytest.mark.parametrize("site", SITES)
def test_lists_neither_count_all_rows_nor_read_all_dates(browsers, one_of_each, site, model):
    with CaptureQueriesContext(connection) as queries:
        browsers[site].get(f"{site}/api/{model}/")
    statements = [query["sql"] for query in queries if f'FROM "api_{model}"' in query["sql"]]

    assert [statement for statement in statements if "COUNT(" in statement and "LIMIT 10001" not in statement] == []
    assert not any("TRUNC" in statement.upper() or "MIN(" in statement for statement in statements)


def test_select_across_includes_all_rows_when_the_count_is_capped(boss, stop_counting):
    tasks_of_both_kinds(5, 0)
    page = boss.get("/manager/api/task/")

    assert "Select all 3+ tasks" in text_of(page)
    shown_messages = act(boss, MANAGER, "task", "start", Task.objects.first(), select_across="1")
    assert len(shown_messages) == 5
    assert set(Task.objects.values_list("status", flat=True)) == {"in_progress"}


def test_date_range_filter_uses_days_in_the_time_zone_of_the_user(boss):
    boss.user.timezone = "Pacific/Auckland"
    boss.user.save()
    for day in (9, 10, 11):
        factories.task(title=f"March {day + 1}", due_date=datetime(2031, 3, day, 20, tzinfo=UTC))  # the next day there
    path = "/manager/api/task/?"

    assert titles(boss.get(f"{path}due_date_from=2031-03-11")) == ["March 11", "March 12"]
    assert titles(boss.get(f"{path}due_date_to=2031-03-11")) == ["March 10", "March 11"]
    assert titles(boss.get(f"{path}due_date_from=2031-03-11&due_date_to=2031-03-11")) == ["March 11"]
    assert titles(boss.get(f"{path}due_date_from=&due_date_to=")) == ["March 10", "March 11", "March 12"]


def test_date_range_filter_keeps_the_other_parameters_of_the_page(boss):
    factories.task(due_date=datetime(2031, 5, 3, 15, tzinfo=UTC))
    page = boss.get("/manager/api/task/?status__exact=pending&q=task&due_date_from=2031-05-01").content.decode()

    form = page.partition('class="cosmo-date-range"')[2].partition("</form>")[0]
    assert '<input type="hidden" name="status__exact" value="pending">' in form
    assert '<input type="hidden" name="q" value="task">' in form
    assert 'name="due_date_from" value="2031-05-01"' in form
    assert 'href="?q=task&amp;status__exact=pending"' in form


@pytest.mark.parametrize("days", ["from=2031-02-30", "to=tomorrow", "from=0001-01-01", "to=9999-12-31"])
def test_date_range_filter_rejects_what_is_no_usable_date(boss, days):
    assert boss.get(f"/manager/api/task/?due_date_{days}").url.endswith("?e=1")


@pytest.mark.parametrize("model", ["auditentry", "outgoingmail", "notification"])
def test_log_lists_are_filtered_by_date(root, one_of_each, model):
    rows = root.get(f"/admin/api/{model}/").context["cl"].result_list
    today = timezone.now().date()
    around = f"created_at_from={today - timedelta(1)}&created_at_to={today + timedelta(1)}"

    assert len(rows) > 0
    assert len(root.get(f"/admin/api/{model}/?{around}").context["cl"].result_list) >= len(rows)
    assert len(root.get(f"/admin/api/{model}/?created_at_to=2001-01-01").context["cl"].result_list) == 0


@pytest.mark.parametrize("few", [1_000, 1])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("linen", ["Linen", "Towels"]),
        ("linen harbour", ["Towels"]),
        ("LINEN pool", []),
        ("'linen of'", ["Towels"]),
        ('"', ["Linen", "Towels", "Pool"]),
        ("harbour", ["Towels", "Pool"]),
        ("  ", ["Linen", "Towels", "Pool"]),
    ],
)
def test_search_matches_each_word_in_title_description_or_property(boss, monkeypatch, few, query, expected):
    monkeypatch.setattr("api.adminkit.change_list.FEW", few)
    property_, now = factories.property_(name="Harbour house"), timezone.now()
    factories.task(title="Linen", due_date=now + timedelta(1))
    factories.task(title="Towels", description="and linen of the hall", property=property_, due_date=now + timedelta(2))
    factories.task(title="Pool", property=property_, due_date=now + timedelta(3))
    factories.task(title="Linen, long ago", property=property_, deleted_at=now)

    assert titles(boss.get("/manager/api/task/", {"q": query})) == expected


@pytest.mark.parametrize(("model", "column"), [("task", "title"), ("auditentry", "object_label")])
def test_search_reads_all_rows_once(root, one_of_each, model, column):
    AuditEntry.objects.create(event="task_updated", object_label="Linen", created_at=timezone.now())
    with CaptureQueriesContext(connection) as queries:
        page = root.get(f"/admin/api/{model}/?q=linen")
    statements = [query["sql"] for query in queries if f'"{column}"' in query["sql"] and "LIKE" in query["sql"]]

    assert len(page.context["cl"].result_list) == 1
    assert len([statement for statement in statements if f'"api_{model}"."id" IN (' not in statement]) == 1
    assert len(statements) > 1
