"""Pagination of lists."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework.request import Request
from rest_framework.utils.urls import remove_query_param, replace_query_param

from api.common.counting import COUNT_LIMIT, count_up_to_limit
from api.common.errors import NotFound

DEFAULT_PAGE_SIZE = 20

Row = TypeVar("Row", bound=Model)


def serialize_with(
    serializer_class: Callable[..., Any], **context: Any
) -> Callable[[QuerySet[Any, Any]], Sequence[Mapping[str, Any]]]:
    """Return a function that serializes rows, for `paginate`."""
    return lambda rows: serializer_class(rows, many=True, context=context).data


def paginate(
    request: Request,
    queryset: QuerySet[Row, Any],
    to_rows: Callable[[QuerySet[Row, Any]], Sequence[Mapping[str, Any]]],
    query: Mapping[str, Any],
) -> dict[str, Any]:
    """Return a page as {count, count_is_capped, next, previous, results}.

    `query` can contain page and page_size. Raise NotFound after the last page.
    """
    page: int = query.get("page", 1)
    page_size: int = query.get("page_size", DEFAULT_PAGE_SIZE)
    count = count_up_to_limit(queryset)
    start = (page - 1) * page_size
    # One extra row shows whether there is a next page, even if the count is capped.
    rows = list(to_rows(queryset[start : start + page_size + 1]))
    if page > 1 and not rows:
        raise NotFound("There is no such page. Follow `next` from page 1.", code="no_such_page")
    url = request.build_absolute_uri()
    has_next = len(rows) > page_size
    previous = remove_query_param(url, "page") if page == 2 else replace_query_param(url, "page", page - 1)
    return {
        "count": min(count, COUNT_LIMIT),
        "count_is_capped": count > COUNT_LIMIT,
        "next": replace_query_param(url, "page", page + 1) if has_next else None,
        "previous": previous if page > 1 else None,
        "results": rows[:page_size],
    }
