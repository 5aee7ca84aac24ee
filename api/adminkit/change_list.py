"""The lists of both admin sites, as quick with a million rows as with a few."""

from calendar import monthrange
from datetime import date
from itertools import takewhile
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.functional import cached_property
from django.utils.text import capfirst

from api.common.counting import COUNT_LIMIT, count_up_to_limit
from api.common.ordering import order_terms

FEW = 1_000  # rows that a search may find to be remembered by their ids

_LEVELS = ("year", "month", "day")
_FORMATS = ("Y", "YEAR_MONTH_FORMAT", "MONTH_DAY_FORMAT")


class CappedCount(int):
    """A count that was stopped: every text of the page that names it says 10,000+."""

    def __str__(self) -> str:
        return f"{int(self):,}+"


class CappedPaginator(Paginator):
    """Counts as far as the API does."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted = count_up_to_limit(rows)
        return CappedCount(COUNT_LIMIT) if counted > COUNT_LIMIT else counted


class CappedChangeList(ChangeList):
    def get_filters(self, request: HttpRequest) -> Any:
        try:
            return super().get_filters(request)
        except (OverflowError, ValueError) as error:  # a year of thirty digits, or the last one that there is
            raise IncorrectLookupParameters(error) from error

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.is_capped:  # each number beside a filter would be a count of everything
            self.add_facets = self.is_facets_optional = False

    @property
    def is_capped(self) -> bool:
        return isinstance(self.result_count, CappedCount)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """By the chosen columns, and then as an index goes on: Django's way, the usual order and -pk, is in none."""
        *ordering, last = super().get_ordering(request, queryset.order_by())
        if last != "-pk" or not ordering or not isinstance(ordering[-1], str):
            return [*ordering, last] if ordering else list(super().get_ordering(request, queryset))
        name = ordering[-1].removeprefix("-")
        minus = ordering[-1][: -len(name)]
        further = getattr(self.model_admin, "secondary_ordering", {}).get(name)
        return [*ordering, *([f"{minus}{further}"] if further else []), f"{minus}id"]

    @cached_property
    def dates(self) -> dict[str, Any]:
        """`back` and `choices` as Django's date_hierarchy has them, from the first date to the last.

        Django's reads all rows to find the dates that occur.
        """
        names = takewhile(self.params.__contains__, (f"{self.date_hierarchy}__{level}" for level in _LEVELS))
        chosen = [int(self.params[name]) for name in names]
        if len(chosen) == len(_LEVELS):
            return {"back": self._period(*chosen[:-1]), "choices": [{"title": self._period(*chosen)["title"]}]}
        ends = self._ends(*chosen)
        if ends and not chosen:  # what all have in common need not be chosen
            pairs = list(zip(ends[0], ends[-1], strict=True))[:-1]
            chosen = [first for first, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        level = len(chosen)
        parts = range(ends[0][level], ends[-1][level] + 1) if ends else ()
        return {
            "back": self._period(*chosen[:-1]) if chosen else None,
            "choices": [self._period(*chosen, part) for part in parts],
        }

    def _ends(self, *chosen: int) -> list[tuple[int, int, int]]:
        """The first day and the last of what is found, or of the period where no index has the dates."""
        order: str = getattr(self.model_admin, "date_order", "")
        if order and chosen:
            year, first, last = chosen[0], *((chosen[1:] * 2) or (1, 12))
            return [(year, first, 1), (year, last, monthrange(year, last)[1])]
        rows = self.root_queryset if order else self.queryset
        found: list[tuple[int, int, int]] = []
        for terms in (order_terms(order or self.date_hierarchy), order_terms(f"-{order or self.date_hierarchy}")):
            for moment in rows.order_by(*terms).values_list(self.date_hierarchy, flat=True)[:1]:
                day = timezone.localtime(moment)
                found.append((day.year, day.month, day.day))
        return sorted(found)

    def _period(self, *parts: int) -> dict[str, str]:
        """The link and the title of a year, a month, a day; without parts of all dates."""
        query = {f"{self.date_hierarchy}__{level}": part for level, part in zip(_LEVELS, parts, strict=False)}
        year, month, day = (*parts, *(1, 1, 1)[len(parts) :])
        title = formats.date_format(date(year, month, day), _FORMATS[len(parts) - 1]) if parts else "All dates"
        return {"link": self.get_query_string(query, [f"{self.date_hierarchy}__"]), "title": capfirst(title)}


def materialize_small(found: QuerySet[Any]) -> QuerySet[Any]:
    """The same rows, by their ids where they are few.

    A search for words reads every row: once, and not again for the count, the page and the dates.
    """
    ids = list(found.order_by().values_list("pk", flat=True)[: FEW + 1])
    return found.filter(pk__in=ids) if len(ids) <= FEW else found
