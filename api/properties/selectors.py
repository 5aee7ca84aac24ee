"""Queries for the properties that a user can see."""

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
    """Return the properties that the actor can see; with `deleted`, only those that can be restored.

    Raise Denied if the actor cannot see deleted properties.
    """
    if deleted:
        rules.require("properties.view_deleted", actor)
    properties = Property.objects.filter(rules.rows("properties.view", actor, FILTERS), deleted_at__isnull=not deleted)
    return properties.select_related("created_by", "modified_by").prefetch_related("owners")


def get_property(*, actor: User, pk: int, rule: str, lock: bool = False, deleted: bool = False) -> Property:
    """Return a property. Raise NotFound if the actor cannot see it, Denied if the rule does not cover it."""
    if lock:
        lock_rows(Property.objects.filter(pk=pk))
    visible = visible_properties(actor, deleted=deleted)
    return get_permitted(visible, rules.rows(rule, actor, FILTERS), pk, action=rule)


def filter_properties(properties: QuerySet[Property], query: Mapping[str, Any]) -> QuerySet[Property]:
    """Apply the validated parameters of the list (PropertyListParams)."""
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
    """Return the number of open tasks of each of these properties."""
    is_open = Q(tasks__status__in=OPEN_STATUSES, tasks__deleted_at=None)
    properties = Property.objects.filter(pk__in=list(property_ids)).values_list("pk")
    return dict(properties.annotate(open_tasks=Count("tasks", filter=is_open)))
