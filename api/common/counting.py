"""Counts that stop: beyond the limit, counting costs more than the number tells."""

from typing import Any

from django.db.models import QuerySet

COUNT_LIMIT = 10_000


def count_up_to_limit(queryset: QuerySet[Any, Any]) -> int:
    """Return the number of rows, exact up to COUNT_LIMIT, COUNT_LIMIT + 1 for more."""
    return queryset.order_by()[: COUNT_LIMIT + 1].count()
