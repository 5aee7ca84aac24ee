"""How the list of tasks in the admin sites is read: in parts that have indexes."""

from collections.abc import Callable
from typing import Any

from django.core.paginator import Page
from django.db.models import Case, Q, QuerySet, When
from django.utils.text import smart_split, unescape_string_literal

from api.adminkit.change_list import CappedPaginator, materialize_small
from api.common.choices import OPEN_STATUSES
from api.properties.models import Property
from api.tasks.models import Task

# What is done comes last, or a year of it would stand before today.
OPEN_FIRST = Case(When(status__in=OPEN_STATUSES, then=0), default=1)


class OpenFirstPaginator(CappedPaginator):
    """No index has the order of OPEN_FIRST and the due date; its halves, open tasks and the others, have one each."""

    def page(self, number: int | str) -> Page[Any]:
        tasks: Any = self.object_list
        if tasks.query.order_by[:1] != (OPEN_FIRST,):
            return super().page(number)
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        stop = min(start + self.per_page, self.count)
        tasks = tasks.order_by("due_date", "id")
        open_tasks, others = tasks.filter(status__in=OPEN_STATUSES), tasks.exclude(status__in=OPEN_STATUSES)
        rows = list(open_tasks[start:stop])
        if len(rows) < stop - start:
            before = start + len(rows) if rows else open_tasks.order_by()[:start].count()
            rows += others[max(start - before, 0) : stop - before]
        return Page(rows, number, self)


def search_tasks(tasks: QuerySet[Task], text: str) -> QuerySet[Task]:
    """Tasks in which each word occurs: in the title, the description or the name of the property.

    The plans of PostgreSQL decide the form. Compared in a join, names cost twice as much. By their ids, few matches are
    expected and all tasks read by several processes; with a subquery, many, and they are read in the order of the page.
    """
    words = [_unquoted(word) for word in smart_split(text)]

    def having(houses: Callable[[str], Any]) -> QuerySet[Task]:
        found = tasks
        for word in words:
            found = found.filter(
                Q(title__icontains=word) | Q(description__icontains=word) | Q(property__in=houses(word))
            )
        return found

    if not words:
        return tasks
    found = having(lambda word: list(_named(word)))
    few = materialize_small(found)
    return having(_named) if few is found else few


def _named(word: str) -> QuerySet[Property, Any]:
    return Property.objects.filter(name__icontains=word).values_list("pk", flat=True)


def _unquoted(word: str) -> str:
    return unescape_string_literal(word) if word[0] in "'\"" and word[0] == word[-1] else word
