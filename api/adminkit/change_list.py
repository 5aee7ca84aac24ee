"""Admin change lists whose cost does not grow with the number of rows."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib.admin import FieldListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property

from api.common.counting import COUNT_LIMIT, count_up_to_limit

FEW = 1_000  # materialize_small() replaces a search by its ids up to this number of rows

_YEARS = range(1900, 2201)  # time zone arithmetic overflows at the ends of the calendar


class CappedCount(int):
    """A count that stopped at COUNT_LIMIT; pages show it as "10,000+"."""

    def __str__(self) -> str:
        return f"{int(self):,}+"


class CappedPaginator(Paginator):
    """Stops counting where the API's pagination does."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        counted = count_up_to_limit(rows)
        return CappedCount(COUNT_LIMIT) if counted > COUNT_LIMIT else counted


class CappedChangeList(ChangeList):
    """A change list with a capped count, in the order of an index."""

    def get_filters(self, request: HttpRequest) -> Any:
        try:
            return super().get_filters(request)
        except (OverflowError, ValueError) as error:  # Django lets these out for some filter values
            raise IncorrectLookupParameters(error) from error

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.is_capped:  # facets would count all rows once per choice
            self.add_facets = self.is_facets_optional = False

    @property
    def is_capped(self) -> bool:
        return isinstance(self.result_count, CappedCount)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Order by the chosen columns, then by the remaining columns of their index.

        Django appends its default ordering and -pk instead, which no index contains.
        """
        *ordering, last = super().get_ordering(request, queryset.order_by())
        if last != "-pk" or not ordering or not isinstance(ordering[-1], str):
            return [*ordering, last] if ordering else list(super().get_ordering(request, queryset))
        name = ordering[-1].removeprefix("-")
        minus = ordering[-1][: -len(name)]
        secondary = getattr(self.model_admin, "secondary_ordering", {}).get(name)
        return [*ordering, *([f"{minus}{secondary}"] if secondary else []), f"{minus}id"]


class DateRangeFilter(FieldListFilter):
    """Filters a datetime column by a first and a last day, in the time zone of the user."""

    template = "admin/date_range_filter.html"

    @property
    def parameter_names(self) -> tuple[str, str]:
        return f"{self.field_path}_from", f"{self.field_path}_to"

    def expected_parameters(self) -> list[str | None]:
        return [*self.parameter_names]

    def choices(self, changelist: Any) -> Any:
        """Return the two inputs and the other parameters of the page, for one form."""
        names = self.parameter_names
        labels = zip(("From", "To"), names, strict=True)
        others = [
            (name, value) for name, values in changelist.filter_params.items() for value in values if name not in names
        ]
        return [
            {
                "inputs": [{"label": label, "name": name, "value": self._text(name)} for label, name in labels],
                "hidden": others,
                "clear": changelist.get_query_string(remove=names) if any(map(self._text, names)) else "",
            }
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        first, last = (self._day(name) for name in self.parameter_names)
        condition = Q()
        if first:
            condition &= Q((f"{self.field_path}__gte", _midnight(first)))
        if last:
            condition &= Q((f"{self.field_path}__lt", _midnight(last + timedelta(days=1))))
        return queryset.filter(condition)

    def _text(self, name: str) -> str:
        values: Any = self.used_parameters.get(name, [""])
        return str(values[-1]).strip()

    def _day(self, name: str) -> date | None:
        text = self._text(name)
        if not text:
            return None
        try:
            day = date.fromisoformat(text)
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error
        if day.year not in _YEARS:
            raise IncorrectLookupParameters(f"The year of {name} is out of range.")
        return day


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def materialize_small(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return the same rows, selected by their ids if there are at most FEW.

    A text search reads every row. With the ids, the count and the page do not repeat that scan.
    """
    ids = list(rows.order_by().values_list("pk", flat=True)[: FEW + 1])
    return rows.filter(pk__in=ids) if len(ids) <= FEW else rows
