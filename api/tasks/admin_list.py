"""Queries of the task list in the admin sites, split into parts that have indexes."""

from collections.abc import Iterable
from typing import Any

from django.core.paginator import Page
from django.db.models import Case, Q, QuerySet, When
from django.utils.text import smart_split, unescape_string_literal

from api.adminkit.change_list import CappedPaginator, materialize_small
from api.common.choices import OPEN_STATUSES
from api.properties.models import Property
from api.tasks.models import Task

# Open tasks come first; otherwise a year of completed tasks would precede today's.
OPEN_FIRST = Case(When(status__in=OPEN_STATUSES, then=0), default=1)


class OpenFirstPaginator(CappedPaginator):
    """Reads open tasks and closed tasks separately: each part has an index, the combined ordering has none."""

    def page(self, number: int | str) -> Page[Any]:
        tasks: Any = self.object_list
        if tasks.query.order_by[:1] != (OPEN_FIRST,):
            return super().page(number)
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        stop = min(start + self.per_page, self.count)
        tasks = tasks.order_by("due_date", "id")
        open_tasks, closed_tasks = tasks.filter(status__in=OPEN_STATUSES), tasks.exclude(status__in=OPEN_STATUSES)
        rows = list(open_tasks[start:stop])
        if len(rows) < stop - start:
            open_count = start + len(rows) if rows else open_tasks.order_by()[:start].count()
            rows += closed_tasks[max(start - open_count, 0) : stop - open_count]
        return Page(rows, number, self)


def search_tasks(tasks: QuerySet[Task], text: str) -> QuerySet[Task]:
    """Return the tasks that contain each word in the title, the description or the property's name.

    PostgreSQL needs a different query for few and for many matches:

    - Few: the ids of the matching properties as a list. It scans all tasks with several processes.
    - Many: a subquery for these ids. It reads tasks in the order of the page and stops early.

    A join with properties takes twice as long in both cases.
    """
    words = [_unquoted(word) for word in smart_split(text)]
    if not words:
        return tasks
    with_id_lists = tasks.filter(*(_contains(word, list(_property_ids(word))) for word in words))
    small_result = materialize_small(with_id_lists)
    if small_result is not with_id_lists:
        return small_result
    return tasks.filter(*(_contains(word, _property_ids(word)) for word in words))


def _contains(word: str, property_ids: Iterable[int]) -> Q:
    return Q(title__icontains=word) | Q(description__icontains=word) | Q(property__in=property_ids)


def _property_ids(word: str) -> QuerySet[Property, int]:
    """Return the ids of the properties whose name contains the word."""
    return Property.objects.filter(name__icontains=word).values_list("pk", flat=True)


def _unquoted(word: str) -> str:
    return unescape_string_literal(word) if word[0] in "'\"" and word[0] == word[-1] else word
