"""Which properties somebody sees."""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Count, Q, QuerySet

from api.common import rules
from api.common.access import get_permitted
from api.common.choices import OPEN_STATUSES
from api.common.locking import lock_rows
from api.common.ordering import order_terms
from api.common.rules import Scope
from api.properties.models import Property
from api.users.models import User

FILTERS: rules.ScopeFilters = {
    Scope.ALL: lambda _: Q(),
    Scope.ACTIVE: lambda _: Q(is_active=True),
    Scope.OWNED: lambda actor: Q(pk__in=actor.properties.through.objects.filter(user=actor).values("property")),
}


def visible_properties(actor: User, *, deleted: bool = False) -> QuerySet[Property]:
    """Not the deleted ones; or only those, for who may restore them."""
    if deleted:
        rules.require("properties.view_deleted", actor)
    seen = Property.objects.filter(rules.rows("properties.view", actor, FILTERS), deleted_at__isnull=not deleted)
    return seen.select_related("created_by", "modified_by").prefetch_related("owners")


def get_property(*, actor: User, pk: int, rule: str, lock: bool = False, deleted: bool = False) -> Property:
    """NotFound if the actor does not see this property, Denied if the rule does not allow it to him."""
    if lock:
        lock_rows(Property.objects.filter(pk=pk))
    visible = visible_properties(actor, deleted=deleted)
    return get_permitted(visible, rules.rows(rule, actor, FILTERS), pk, action=rule)


def filter_properties(properties: QuerySet[Property], query: Mapping[str, Any]) -> QuerySet[Property]:
    """`query`: search, property_type, is_active, owner, ordering."""
    if text := query.get("search"):
        properties = properties.filter(Q(name__icontains=text) | Q(address__icontains=text))
    if "property_type" in query:
        properties = properties.filter(property_type=query["property_type"])
    if "is_active" in query:
        properties = properties.filter(is_active=query["is_active"])
    if "owner" in query:
        properties = properties.filter(owners=query["owner"])
    return properties.order_by(*order_terms(query.get("ordering", "name")))


def open_task_counts(property_ids: Iterable[int]) -> dict[int, int]:
    """How many tasks are open at each of these properties."""
    is_open = Q(tasks__status__in=OPEN_STATUSES, tasks__deleted_at=None)
    counted = Property.objects.filter(pk__in=list(property_ids)).values_list("pk")
    return dict(counted.annotate(open_tasks=Count("tasks", filter=is_open)))
