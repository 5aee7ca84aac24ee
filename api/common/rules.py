"""Who may do what: the one table, asked by every door. What is not in it is denied.

A rule names an action; for each role that may perform it, the scope says on which rows. The selectors of each domain
translate a scope into SQL, once.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, cast

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import BooleanField, ExpressionWrapper, Model, Q, QuerySet

from api.common.choices import Role
from api.common.errors import Conflict, Denied, NotFound

Row = TypeVar("Row", bound=Model)


class Scope(StrEnum):
    ALL = "all"
    HIMSELF = "himself"
    # users
    BUT_SUPERUSERS = "everybody but superusers"
    STAFF_AND_VIEWERS = "staff and viewers"
    # properties
    ACTIVE = "active ones"
    OWNED = "those he owns"
    # tasks
    ASSIGNED = "those assigned to him"
    ASSIGNED_OR_UNASSIGNED = "those assigned to him, and unassigned ones of his department"
    ON_OWNED = "those of his properties"


S, M, C, V = Role.SUPERUSER, Role.MANAGER, Role.STAFF, Role.VIEWER

_MANAGING = {S: Scope.ALL, M: Scope.ALL}
_HIMSELF = dict.fromkeys(Role, Scope.HIMSELF)

PUBLIC = "public"

RULES: Mapping[str, Mapping[Role, Scope]] = MappingProxyType(
    {
        "account.use": _HIMSELF,
        "docs.read": _HIMSELF,
        "tasks.view": _MANAGING | {C: Scope.ASSIGNED_OR_UNASSIGNED, V: Scope.ON_OWNED},
        "tasks.view_deleted": _MANAGING,
        "tasks.create": _MANAGING,
        "tasks.edit": _MANAGING,
        "tasks.assign": _MANAGING,
        "tasks.cancel": _MANAGING,
        "tasks.reopen": _MANAGING,
        "tasks.delete": _MANAGING,
        "tasks.restore": _MANAGING,
        "tasks.change_status": _MANAGING | {C: Scope.ASSIGNED},
        "tasks.claim": _MANAGING | {C: Scope.ASSIGNED_OR_UNASSIGNED},
        "properties.view": _MANAGING | {C: Scope.ACTIVE, V: Scope.OWNED},
        "properties.view_deleted": _MANAGING,
        "properties.create": _MANAGING,
        "properties.edit": _MANAGING,
        "properties.delete": _MANAGING,
        "properties.restore": _MANAGING,
        "users.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS, C: Scope.HIMSELF, V: Scope.HIMSELF},
        "users.create": {S: Scope.ALL, M: Scope.STAFF_AND_VIEWERS},
        "users.edit": {S: Scope.ALL, M: Scope.STAFF_AND_VIEWERS},
        "users.edit_profile": _HIMSELF,
        "users.disable": {S: Scope.ALL, M: Scope.STAFF_AND_VIEWERS},
        "users.set_password": {S: Scope.ALL},
        "users.send_reset": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "users.end_sessions": {S: Scope.ALL},
        "users.delete": {S: Scope.ALL},
        "audit.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "mail.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "mail.retry": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "notifications.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "operations.view": _MANAGING,
        "logs.view": {S: Scope.ALL, M: Scope.BUT_SUPERUSERS},
        "metrics.read": {S: Scope.ALL},
        "sites.admin": {S: Scope.ALL},
        "sites.manager": _MANAGING,
    }
)


class Actor(Protocol):
    """Whoever asks: a signed-in user."""

    @property
    def pk(self) -> Any: ...
    @property
    def role(self) -> str: ...
    @property
    def department(self) -> str: ...


ScopeFilters = Mapping[Scope, Callable[[Any], Q]]


def scope_of(rule: str, role: str) -> Scope | None:
    """The rows on which `role` may act; None if it may not at all. An unknown rule is a mistake in the code."""
    return RULES[rule].get(Role(role))


def allows(rule: str, actor: Actor) -> bool:
    """Whether the actor may act on any row at all."""
    return scope_of(rule, actor.role) is not None


def require(rule: str, actor: Actor, *, target: Model | None = None) -> None:
    """Raise Denied unless the actor may act on some rows."""
    if not allows(rule, actor):
        raise Denied(action=rule, target=target)


def rows(rule: str, actor: Actor, filters: ScopeFilters, *, role: str = "") -> Q:
    """The condition for the rows on which the actor may act, in his own role or in the one of `role`."""
    scope = scope_of(rule, role or actor.role)
    return filters[scope](actor) if scope else Q(pk__in=[])


def lock(rows: QuerySet[Any]) -> int:
    """Lock these rows of one table until the transaction ends; others may still refer to them, as foreign keys do.

    Returns how many there are once the lock is there. Read them afterwards: a row that is read and locked in one
    statement, with joins, can vanish from its result when the lock was waited for and the row changed meanwhile
    (PostgreSQL rechecks it against the joined rows of before).
    """
    return len(rows.order_by("pk").select_for_update(no_key=True).values_list("pk"))


def get_permitted(visible: QuerySet[Row], permitted: Q, pk: int, *, action: str) -> Row:
    """The row with this id: NotFound if it is not visible, Denied if it is visible but not permitted."""
    found = visible.filter(pk=pk)
    if permitted:  # an empty condition permits every row
        is_permitted = ExpressionWrapper(permitted, output_field=BooleanField())
        found = cast("QuerySet[Row]", found.annotate(is_permitted=is_permitted))
    try:
        row = found.get()
    except ObjectDoesNotExist:
        raise NotFound from None
    if not getattr(row, "is_permitted", True):
        raise Denied(action=action, target=row)
    return row


def get_deleted(find: Callable[..., Row], rule: str, actor: Actor) -> Row:
    """The row to restore, by `find(deleted=...)`. Who may not restore learns no more of deleted rows than of none."""
    if not allows(rule, actor):
        return find(deleted=False)
    try:
        return find(deleted=True)
    except NotFound:
        find(deleted=False)
        raise Conflict("This is not deleted.", code="not_deleted") from None
