"""Row counts with an upper limit, because counting a large table is slow."""

from typing import Any

from django.db.models import QuerySet

COUNT_LIMIT = 10_000


def count_up_to_limit(queryset: QuerySet[Any, Any]) -> int:
    """Return the number of rows, exact up to COUNT_LIMIT, otherwise COUNT_LIMIT + 1."""
    return queryset.order_by()[: COUNT_LIMIT + 1].count()
