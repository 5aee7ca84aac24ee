"""The permissions of each role: one table for the API and both admin sites. Access is denied by default.

A rule names an action. For each role with this permission, a scope says which rows it covers. Each domain's selectors
translate its scopes into SQL once.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from django.db.models import Model, Q

from api.common.choices import Role
from api.common.errors import Denied

Row = TypeVar("Row", bound=Model)


class Scope(StrEnum):
    """The rows that a permission covers."""

    ALL = "all"
    SELF = "themselves"
    # users
    BUT_SUPERUSERS = "all except superusers"
    STAFF_AND_VIEWERS = "staff and viewers"
    # properties
    ACTIVE = "active properties"
    OWNED = "properties they own"
    # tasks
    ASSIGNED = "tasks assigned to them"
    ASSIGNED_OR_UNASSIGNED = "tasks assigned to them, and unassigned tasks of their department"
    ON_OWNED = "tasks of their properties"


SUPERUSER, MANAGER, STAFF, VIEWER = Role.SUPERUSER, Role.MANAGER, Role.STAFF, Role.VIEWER

_MANAGING = {SUPERUSER: Scope.ALL, MANAGER: Scope.ALL}
_SELF = dict.fromkeys(Role, Scope.SELF)

PUBLIC = "public"

RULES: Mapping[str, Mapping[Role, Scope]] = MappingProxyType(
    {
        "account.use": _SELF,
        "docs.read": _SELF,
        "tasks.view": _MANAGING | {STAFF: Scope.ASSIGNED_OR_UNASSIGNED, VIEWER: Scope.ON_OWNED},
        "tasks.view_deleted": _MANAGING,
        "tasks.create": _MANAGING,
        "tasks.edit": _MANAGING,
        "tasks.assign": _MANAGING,
        "tasks.cancel": _MANAGING,
        "tasks.reopen": _MANAGING,
        "tasks.delete": _MANAGING,
        "tasks.restore": _MANAGING,
        "tasks.change_status": _MANAGING | {STAFF: Scope.ASSIGNED},
        "tasks.claim": _MANAGING | {STAFF: Scope.ASSIGNED_OR_UNASSIGNED},
        "properties.view": _MANAGING | {STAFF: Scope.ACTIVE, VIEWER: Scope.OWNED},
        "properties.view_deleted": _MANAGING,
        "properties.create": _MANAGING,
        "properties.edit": _MANAGING,
        "properties.delete": _MANAGING,
        "properties.restore": _MANAGING,
        "users.view": _SELF | {SUPERUSER: Scope.ALL, MANAGER: Scope.BUT_SUPERUSERS},
        "users.create": {SUPERUSER: Scope.ALL, MANAGER: Scope.STAFF_AND_VIEWERS},
        "users.edit": {SUPERUSER: Scope.ALL, MANAGER: Scope.STAFF_AND_VIEWERS},
        "users.edit_profile": _SELF,
        "users.disable": {SUPERUSER: Scope.ALL, MANAGER: Scope.STAFF_AND_VIEWERS},
        "users.set_password": {SUPERUSER: Scope.ALL},
        "users.send_reset": {SUPERUSER: Scope.ALL, MANAGER: Scope.BUT_SUPERUSERS},
        "users.end_sessions": {SUPERUSER: Scope.ALL},
        "users.delete": {SUPERUSER: Scope.ALL},
        "audit.view": {SUPERUSER: Scope.ALL, MANAGER: Scope.BUT_SUPERUSERS},
        "mail.view": {SUPERUSER: Scope.ALL, MANAGER: Scope.BUT_SUPERUSERS},
        "mail.retry": {SUPERUSER: Scope.ALL, MANAGER: Scope.BUT_SUPERUSERS},
        "notifications.view": {SUPERUSER: Scope.ALL, MANAGER: Scope.BUT_SUPERUSERS},
        "operations.view": _MANAGING,
        "logs.view": {SUPERUSER: Scope.ALL, MANAGER: Scope.BUT_SUPERUSERS},
        "metrics.read": {SUPERUSER: Scope.ALL},
        "sites.admin": {SUPERUSER: Scope.ALL},
        "sites.manager": _MANAGING,
    }
)


class Actor(Protocol):
    """The authenticated user who performs an action."""

    @property
    def pk(self) -> Any: ...
    @property
    def role(self) -> str: ...
    @property
    def department(self) -> str: ...


ScopeFilters = Mapping[Scope, Callable[[Any], Q]]


def scope_of(rule: str, role: str) -> Scope | None:
    """Return the rows that the rule covers for `role`; None without permission. Raise KeyError for an unknown rule."""
    return RULES[rule].get(Role(role))


def allows(rule: str, actor: Actor) -> bool:
    """Return whether the rule covers any row for the actor."""
    return scope_of(rule, actor.role) is not None


def require(rule: str, actor: Actor, *, target: Model | None = None) -> None:
    """Raise Denied unless the rule covers some rows for the actor."""
    if not allows(rule, actor):
        raise Denied(action=rule, target=target)


def rows(rule: str, actor: Actor, filters: ScopeFilters, *, role: str = "") -> Q:
    """Return the condition for the rows that the rule covers for the actor, in their own role or in `role`."""
    scope = scope_of(rule, role or actor.role)
    return filters[scope](actor) if scope else Q(pk__in=[])
